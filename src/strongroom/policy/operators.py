"""The condition operators: each reads its operands once, and then tells whether one value of a request matches any of them.

Negation, quantifiers and absent keys are the business of ``conditions``. A value or operand that is not of the operator's type
matches nothing. Pure. Source: "IAM JSON policy elements: Condition operators" in the IAM user guide.
"""

from __future__ import annotations

import binascii
import ipaddress
import operator
import re
from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from strongroom.policy.faults import Fault
from strongroom.policy.templates import Lookup, Template, template
from strongroom.policy.wildcards import Items, Pattern, Wild

#: Whether a value of the request matches one of the operands.
Test = Callable[[str, Lookup], bool]

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_DATE: Final = re.compile(
    r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_EPOCH: Final = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]{1,9})?")
_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")


class BadOperand(Exception):
    """An operand that a document may not hold. Malformed numbers, dates and booleans are not: they never match."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


# ---------------------------------------------------------------------------------------------------------------- text


def _equal(operands: Sequence[str], variables: bool, *, lowered: bool = False) -> Test:
    templates = [template(each, variables=variables, wildcards=False, lowered=lowered) for each in operands]
    fixed = frozenset(one.pattern.literal for one in templates if one.pattern is not None)
    varying = [one for one in templates if one.pattern is None]

    def test(value: str, lookup: Lookup) -> bool:
        value = value.lower() if lowered else value
        return value in fixed or any(one.matches(value, lookup) for one in varying)

    return test


def _string_equals(operands: Sequence[str], variables: bool) -> Test:
    return _equal(operands, variables)


def _string_equals_ignore_case(operands: Sequence[str], variables: bool) -> Test:
    return _equal(operands, variables, lowered=True)


def _string_like(operands: Sequence[str], variables: bool) -> Test:
    templates = [template(each, variables=variables) for each in operands]
    return lambda value, lookup: any(one.matches(value, lookup) for one in templates)


def _arn(operands: Sequence[str], variables: bool) -> Test:
    """Equals and Like are one. Each of the six parts of an ARN is compared by itself; a lone ``*`` is every ARN."""
    templates = [template(each, variables=variables) for each in operands]
    compiled = [_arn_parts(one.items) if one.pattern is not None else one for one in templates]  # type: ignore[arg-type]

    def test(value: str, lookup: Lookup) -> bool:
        parts = value.split(":", 5)
        return len(parts) == 6 and any(_arn_matches(one, parts, lookup) for one in compiled)

    return test


def _arn_matches(operand: Template | tuple[Pattern, ...], parts: list[str], lookup: Lookup) -> bool:
    if isinstance(operand, Template):
        items = operand.resolve(lookup)
        if items is None:
            return False
        operand = _arn_parts(items)
    if len(operand) == 1:
        return operand[0].anything
    return len(operand) == 6 and all(pattern.matches(part) for pattern, part in zip(operand, parts, strict=True))


def _arn_parts(items: Items) -> tuple[Pattern, ...]:
    parts: list[list[str | Wild]] = [[]]
    for item in items:
        if isinstance(item, Wild):
            parts[-1].append(item)
            continue
        first, *others = item.split(":", 6 - len(parts))
        parts[-1].append(first)
        parts.extend([other] for other in others)
    return tuple(Pattern(part) for part in parts)


# ------------------------------------------------------------------------------------------------------ numbers and dates


def read_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_date(text: str) -> Decimal | None:
    """Seconds since 1970 of an ISO 8601 date (UTC, where it has no zone) or of a number of seconds; None for anything else.

    Four digits are a year.
    """
    if not _DATE.fullmatch(text):
        return Decimal(text) if _EPOCH.fullmatch(text) else None
    if len(text) < 10:
        text = f"{text}-01-01"[:10] if len(text) == 4 else f"{text}-01"
    whole, dot, fraction = text.partition(".")
    digits = re.match(r"[0-9]*", fraction)
    shown = digits.group() if digits is not None else ""
    try:
        moment = datetime.fromisoformat(whole + fraction[len(shown) :] if dot else whole)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return Decimal(int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())) + (Decimal(f"0.{shown}") if shown else 0)


def _compared(read: Callable[[str], Decimal | None], holds: Callable[[Decimal, Decimal], bool]) -> Callable[..., Test]:
    def make(operands: Sequence[str], _variables: bool) -> Test:
        bounds = [bound for bound in map(read, operands) if bound is not None]

        def test(value: str, _lookup: Lookup) -> bool:
            number = read(value)
            return number is not None and any(holds(number, bound) for bound in bounds)

        return test

    return make


# ------------------------------------------------------------------------------------------------ booleans, bytes, addresses


def _bool(operands: Sequence[str], _variables: bool) -> Test:
    wanted = {each.lower() for each in operands} & {"true", "false"}
    return lambda value, _: value.lower() in wanted


def _bytes(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _binary(operands: Sequence[str], _variables: bool) -> Test:
    wanted: set[bytes] = set()
    for each in operands:
        data = _bytes(each)
        if data is None:
            raise BadOperand(Fault.BINARY)
        wanted.add(data)
    return lambda value, _: _bytes(value) in wanted


def read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """An address or a CIDR block; bits of the host are ignored. None for anything else."""
    if not _NETWORK.fullmatch(text):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _ip_address(operands: Sequence[str], _variables: bool) -> Test:
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for each in operands:
        network = read_network(each)
        if network is None:
            raise BadOperand(Fault.IP_ADDRESS)
        networks.append(network)

    def test(value: str, _lookup: Lookup) -> bool:
        address = _address(value)
        return address is not None and any(address in network for network in networks)

    return test


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


# -------------------------------------------------------------------------------------------------------------- the table

_NUMERIC: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}

#: Name of an operator → (how its operands are read, whether it is negated). Null is not here: it asks about the key alone.
OPERATORS: Final[dict[str, tuple[Callable[[Sequence[str], bool], Test], bool]]] = {
    "StringEquals": (_string_equals, False),
    "StringNotEquals": (_string_equals, True),
    "StringEqualsIgnoreCase": (_string_equals_ignore_case, False),
    "StringNotEqualsIgnoreCase": (_string_equals_ignore_case, True),
    "StringLike": (_string_like, False),
    "StringNotLike": (_string_like, True),
    "ArnEquals": (_arn, False),
    "ArnLike": (_arn, False),
    "ArnNotEquals": (_arn, True),
    "ArnNotLike": (_arn, True),
    "Bool": (_bool, False),
    "BinaryEquals": (_binary, False),
    "IpAddress": (_ip_address, False),
    "NotIpAddress": (_ip_address, True),
    "NumericNotEquals": (_compared(read_number, _NUMERIC["Equals"]), True),
    "DateNotEquals": (_compared(read_date, _NUMERIC["Equals"]), True),
    **{f"Numeric{name}": (_compared(read_number, holds), False) for name, holds in _NUMERIC.items()},
    **{f"Date{name}": (_compared(read_date, holds), False) for name, holds in _NUMERIC.items()},
}
