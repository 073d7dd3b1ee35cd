"""Conditions of a statement: operators with their quantifiers, absent keys, negation and Null.

All conditions must hold (and across operators and keys); one value of several suffices (or across values). Pure.
Source: "IAM JSON policy elements: Condition" and "Set operators for multivalued context keys" in the IAM user guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final

from strongroom.policy.faults import Fault
from strongroom.policy.operators import OPERATORS, BadOperand, Test
from strongroom.policy.templates import Lookup, OneOf, Untold

IF_EXISTS: Final = "IfExists"


@unique
class Quantifier(Enum):
    NONE = ""
    ALL = "ForAllValues:"
    ANY = "ForAnyValue:"


class UnknownOperator(Exception):
    """``str()`` is the operator as written."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator applied to one key."""

    operator: str  # without quantifier and suffix: "StringEquals", "Null"
    quantifier: Quantifier
    if_exists: bool
    key: str  # lower case
    operands: tuple[str, ...]
    negated: bool
    test: Test = field(repr=False, compare=False)

    def holds(self, lookup: Lookup) -> bool:
        value = lookup(self.key)
        if value is None or (not value and value != ""):  # a key without values is an absent key
            return self._absent()
        if self.operator == "Null":
            return "false" in self.operands
        if isinstance(value, OneOf):
            held = {self.test(one, lookup) is not self.negated for one in value}
            if len(held) > 1:
                raise Untold(self.key)
            return held.pop()
        if isinstance(value, str):
            return self.test(value, lookup) is not self.negated
        if self.quantifier is Quantifier.ALL:
            return all(self.test(one, lookup) is not self.negated for one in value)
        if self.quantifier is Quantifier.ANY:
            return any(self.test(one, lookup) is not self.negated for one in value)
        # Without a quantifier, a multivalued key is matched by one of its values; negated, by none of them.
        return any(self.test(one, lookup) for one in value) is not self.negated

    def _absent(self) -> bool:
        if self.operator == "Null":
            return "true" in self.operands
        if self.quantifier is not Quantifier.NONE:  # it outweighs IfExists: there is no value that could be any or not all
            return self.quantifier is Quantifier.ALL
        return self.if_exists or self.negated


def split_operator(written: str) -> tuple[Quantifier, str, bool]:
    """("ForAnyValue:", "StringLike", whether IfExists) of an operator as written. Raises UnknownOperator."""
    quantifier, name = Quantifier.NONE, written
    for each in (Quantifier.ALL, Quantifier.ANY):
        if written.startswith(each.value):
            quantifier, name = each, written[len(each.value) :]
    if_exists = name.endswith(IF_EXISTS)
    name = name.removesuffix(IF_EXISTS)
    if name not in OPERATORS and (name != "Null" or if_exists or quantifier is not Quantifier.NONE):
        raise UnknownOperator(written)
    return quantifier, name, if_exists


def compile_condition(written: str, key: str, operands: Sequence[str], *, variables: bool) -> Condition:
    """``variables``: whether the document's version has them. Raises UnknownOperator, BadOperand."""
    quantifier, name, if_exists = split_operator(written)
    if name == "Null":
        lowered = tuple(each.lower() for each in operands)
        if not {"true", "false"}.issuperset(lowered):
            raise BadOperand(Fault.SYNTAX)
        return Condition(name, quantifier, if_exists, key.lower(), lowered, negated=False, test=_never)
    make, negated = OPERATORS[name]
    return Condition(name, quantifier, if_exists, key.lower(), tuple(operands), negated, make(operands, variables))


def _never(_value: str, _lookup: Lookup) -> bool:
    return False


def encryption_context_values(context: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    """What conditions see of an encryption context: one key a pair, whose name ignores case, and the names as they are."""
    values: dict[str, str | tuple[str, ...]] = {f"kms:encryptioncontext:{name}".lower(): text for name, text in context.items()}
    if context:
        values["kms:encryptioncontextkeys"] = tuple(context)
    return values
