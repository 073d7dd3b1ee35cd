"""The policy of a form upload: what its signer lets the form say. Pure. Never knows who signed it, or what a field means.

Source: "POST policy" in the S3 API reference; refusals as recorded from AWS (facts E31).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeGuard, cast

from strongroom.api.errors import ApiError

_EXPIRATION: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z", re.ASCII)
_UNCOVERED: Final = frozenset({"x-amz-signature", "policy", "file"})
_IGNORED: Final = "x-ignore-"
_CUSTOMER_KEY: Final = "-customer-key"
_RANGE: Final = "content-length-range"
_LONGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Condition:
    kind: str  # "eq" or "starts-with"
    name: str  # lower-case, without the dollar sign
    shown: str  # the name as written
    value: str = field(repr=False)  # may be a customer's key

    def __str__(self) -> str:
        value = "***" if self.name.endswith(_CUSTOMER_KEY) else self.value  # an answer is more easily logged than a request
        return json.dumps([self.kind, f"${self.shown}", value], ensure_ascii=False)

    def holds(self, given: str) -> bool:
        if self.kind == "eq":
            return given == self.value
        if self.name == "content-type":  # a list of types: each must begin so
            return all(each.strip().startswith(self.value) for each in given.split(","))
        return given.startswith(self.value)


@dataclass(frozen=True, slots=True)
class FormPolicy:
    expiration: datetime
    conditions: tuple[Condition, ...]
    least: int  # bytes of the file
    most: int | None

    @classmethod
    def parse(cls, text: str) -> FormPolicy:
        """From the field as sent. Raises ApiError InvalidPolicyDocument."""
        document = _document(text)
        expiration, conditions = document.get("expiration"), document.get("conditions")
        if expiration is None:
            _invalid("Policy missing expiration.")
        if conditions is None:
            _invalid("Policy missing conditions.")
        if not _is_list(conditions):
            _invalid("Invalid 'conditions' value: must be a List.")
        least, most = 0, None
        read: list[Condition] = []
        for each in conditions:
            parts = each if _is_list(each) else []
            if parts and str(parts[0]).lower() == _RANGE:
                low, high = _range(parts[1:])
                least, most = max(least, low), high if most is None else min(most, high)
            else:
                read.append(_list_condition(parts) if parts else _simple_condition(each))
        return cls(_moment(expiration), tuple(read), least, most)

    def check(self, fields: Mapping[str, str], bucket: str, now: datetime) -> None:
        """``fields``: all of the form, by lower-case names. Raises ApiError AccessDenied."""
        if now >= self.expiration:
            _denied("Policy expired.")
        for condition in self.conditions:
            given = bucket if condition.name == "bucket" else fields.get(condition.name, "")
            if not condition.holds(given):
                _denied(f"Policy Condition failed: {condition}")
        covered = {condition.name for condition in self.conditions} | _UNCOVERED
        extra = [name for name in fields if name not in covered and not name.startswith(_IGNORED)]
        if extra:
            _denied(f"Extra input fields: {', '.join(extra)}")


def names_customer_key(text: str) -> bool:
    """Whether a policy as sent may hold a customer's key."""
    try:
        return _CUSTOMER_KEY.encode() in base64.b64decode(text.encode("ascii")).lower()
    except ValueError:
        return True  # who knows


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.b64decode(text.encode("ascii"), validate=True).decode(), object_pairs_hook=_once)
    except (ValueError, binascii.Error, RecursionError):
        _invalid("Invalid JSON.")
    if not isinstance(document, dict):
        _invalid("Invalid JSON.")
    return cast("dict[str, Any]", document)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is given twice")
    return dict(pairs)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _moment(value: Any) -> datetime:
    moment = None
    if isinstance(value, str) and _EXPIRATION.fullmatch(value):
        try:
            moment = datetime.strptime(value[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            moment = None
    if moment is None:
        _invalid(f"Invalid 'expiration' value: '{value}'")
    return moment


def _simple_condition(given: Any) -> Condition:
    if not isinstance(given, dict):
        _invalid("Invalid Condition: must be an object, or an array of an operator, a field and a value.")
    pairs = list(cast("dict[str, Any]", given).items())
    if len(pairs) != 1:
        _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    name, value = pairs[0]
    if not isinstance(value, str):
        _invalid("Invalid Simple-Condition: value must be a string.")
    return Condition("eq", name.lower(), name, value)


def _list_condition(parts: list[Any]) -> Condition:
    if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
        _invalid("Invalid Condition: must be an object, or an array of an operator, a field and a value.")
    kind, name, value = cast("list[str]", parts)
    if kind.lower() not in {"eq", "starts-with"}:
        _invalid(f"Invalid Condition: unknown operation '{kind}'.")
    if not name.startswith("$") or len(name) == 1:
        _invalid("Invalid Condition: a field's name must begin with '$'.")
    return Condition(kind.lower(), name[1:].lower(), name[1:], value)


def _range(bounds: list[Any]) -> tuple[int, int]:
    if len(bounds) != 2:
        _invalid(f"Invalid {_RANGE}: wrong number of arguments.")
    return _bound(bounds[0]), _bound(bounds[1])


def _bound(value: Any) -> int:
    """A number, also written as text, as some programs do."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LONGEST:
        _invalid(f"Invalid {_RANGE}: bounds must be numbers of bytes.")
    return value


def _invalid(text: str) -> NoReturn:
    raise ApiError("InvalidPolicyDocument", f"Invalid Policy: {text}")


def _denied(text: str) -> NoReturn:
    raise ApiError("AccessDenied", f"Invalid according to Policy: {text}")
