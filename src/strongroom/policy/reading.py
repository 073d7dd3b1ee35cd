"""From the text of a document to its parts, in the shape every kind of policy shares.

JSON is read strictly: no key twice, no control characters, bounded nesting; numbers stay as they are written. What a kind asks
beyond the shape is in ``identity_documents``, ``bucket_documents`` and ``key_documents``. Pure. Raises InvalidPolicy and nothing
else, whatever it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from strongroom.policy.compiled import Actions, Statement
from strongroom.policy.conditions import Condition, UnknownOperator, compile_condition
from strongroom.policy.faults import Fault, Kind, invalid, invalid_principal
from strongroom.policy.operators import BadOperand
from strongroom.policy.principals import EVERYONE, BadPrincipal, Principals, read_principals
from strongroom.policy.templates import Template, template

OLD_VERSION: Final = "2008-10-17"
VERSION: Final = "2012-10-17"

_MOST_TEXT: Final = 1_048_576  # characters looked at at all; every kind has a far lower limit for what it holds
_SORTS: Final = frozenset({"AWS", "CanonicalUser", "Service", "Federated"})
_ELEMENTS: Final = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)


@dataclass(frozen=True, slots=True)
class Document:
    """A document whose shape is right: its statements are objects with known elements, each of the right type."""

    kind: Kind
    version: str
    statements: tuple[Mapping[str, Any], ...]
    normalized: str  # the whole without needless white space


class _Repeated(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Repeated
    return found


class _Number(str):
    """A number of a document, as written."""

    __slots__ = ()


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _refused(_text: str) -> Any:
    raise ValueError


def read_document(text: str, kind: Kind) -> Document:
    """Raises InvalidPolicy."""
    if not text.startswith("{") or len(text) > _MOST_TEXT:
        raise invalid(kind, Fault.NOT_JSON)
    try:
        found: Any = json.loads(text, object_pairs_hook=_pairs, parse_int=_Number, parse_float=_Number, parse_constant=_refused)
        text.encode()  # a lone surrogate is no text
        normalized = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
        normalized.encode()
    except (ValueError, RecursionError):
        raise invalid(kind, Fault.BROKEN_JSON) from None
    if not _is_object(found):  # pragma: no cover - it began with a brace
        raise invalid(kind, Fault.NOT_JSON)
    whole = found
    if not {"Version", "Id", "Statement"}.issuperset(whole) or not isinstance(whole.get("Id", ""), str):
        raise invalid(kind, Fault.SYNTAX)
    version: Any = whole.get("Version", OLD_VERSION)
    if not _is_text(version) or version not in {OLD_VERSION, VERSION}:
        raise invalid(kind, Fault.VERSION)
    return Document(kind, version, _statements(whole, kind), normalized)


def _statements(whole: Mapping[str, Any], kind: Kind) -> tuple[Mapping[str, Any], ...]:
    if "Statement" not in whole:
        raise invalid(kind, Fault.NO_STATEMENT)
    written: Any = whole["Statement"]
    every = [written] if _is_object(written) else written
    if every == []:
        raise invalid(kind, Fault.EMPTY_STATEMENT)
    if not _is_list(every):
        raise invalid(kind, Fault.SYNTAX)
    return tuple(_checked_shape(one, kind) for one in every)


def _checked_shape(statement: Any, kind: Kind) -> Mapping[str, Any]:
    """A statement whose elements are known, of the right types, and not both of a pair."""
    if not _is_object(statement) or not _ELEMENTS.issuperset(statement):
        raise invalid(kind, Fault.SYNTAX)
    found = statement
    for element in ("Principal", "Action", "Resource"):
        if element in found and f"Not{element}" in found:
            raise invalid(kind, Fault.SYNTAX)
    for element in ("Action", "NotAction", "Resource", "NotResource"):
        if element in found:
            texts(found[element], kind)
    for element in ("Principal", "NotPrincipal"):
        if element in found:
            _principal_shape(found[element], kind)
    effect = found.get("Effect", "Allow")
    if not _is_text(found.get("Sid", "")) or not _is_text(effect) or effect not in {"Allow", "Deny"}:
        raise invalid(kind, Fault.SYNTAX)
    _condition_shape(found.get("Condition", {}), kind)
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def texts(value: Any, kind: Kind) -> list[str]:
    """One text or a list of texts, as a list. Raises InvalidPolicy."""
    every = value if _is_list(value) else [value]
    if not all(_is_text(one) for one in every):
        raise invalid(kind, Fault.SYNTAX)
    return every


def _principal_shape(value: Any, kind: Kind) -> None:
    if value == "*":
        return
    if not _is_object(value) or not _SORTS.issuperset(value):
        raise invalid(kind, Fault.SYNTAX)
    for each in value.values():
        texts(each, kind)


def _condition_shape(value: Any, kind: Kind) -> None:
    if not _is_object(value):
        raise invalid(kind, Fault.SYNTAX)
    for keys in value.values():
        if not _is_object(keys):
            raise invalid(kind, Fault.SYNTAX)
        for operands in keys.values():
            operand_texts(operands, kind)


def operand_texts(value: Any, kind: Kind) -> list[str]:
    """Texts, numbers and booleans, one or a list, as texts. Raises InvalidPolicy."""
    every = value if _is_list(value) else [value]
    if not all(isinstance(one, (str, bool)) for one in every):
        raise invalid(kind, Fault.SYNTAX)
    return [str(one) if isinstance(one, str) else "true" if one else "false" for one in every]


# -------------------------------------------------------------------------------------------------- parts of a statement


def read_effect(statement: Mapping[str, Any], kind: Kind) -> bool:
    """Whether it allows."""
    if "Effect" not in statement:
        raise invalid(kind, Fault.NO_EFFECT)
    return bool(statement["Effect"] == "Allow")


def read_who(statement: Mapping[str, Any], kind: Kind, *, canonical: bool = False) -> tuple[Principals, bool]:
    """The principals, and whether they are a NotPrincipal. ``canonical``: whether canonical users may be named."""
    negated = "NotPrincipal" in statement
    if not negated and "Principal" not in statement:
        raise invalid(kind, Fault.NO_PRINCIPAL)
    written: Any = statement["NotPrincipal" if negated else "Principal"]
    if negated and statement.get("Effect") == "Allow":
        raise invalid(kind, Fault.NOT_PRINCIPAL_ALLOW)
    if written == "*":
        return EVERYONE, negated
    by_sort = {sort: texts(value, kind) for sort, value in written.items()}
    if not by_sort or not all(by_sort.values()):
        raise invalid(kind, Fault.EMPTY_PRINCIPAL)
    if not canonical and "CanonicalUser" in by_sort:
        raise invalid_principal(kind, by_sort["CanonicalUser"][0], "CanonicalUser")
    try:
        return read_principals(by_sort), negated
    except BadPrincipal as bad:
        raise invalid_principal(kind, bad.value, bad.sort) from None


def read_list(statement: Mapping[str, Any], element: str, kind: Kind, missing: Fault, empty: Fault) -> tuple[list[str], bool]:
    """The texts of ``element`` or of its Not form, and whether it is that."""
    negated = f"Not{element}" in statement
    if not negated and element not in statement:
        raise invalid(kind, missing)
    found = texts(statement[f"Not{element}" if negated else element], kind)
    if not found:
        raise invalid(kind, empty)
    return found, negated


def read_actions(statement: Mapping[str, Any], kind: Kind) -> tuple[list[str], bool]:
    return read_list(statement, "Action", kind, Fault.NO_ACTION, Fault.EMPTY_ACTION)


def read_resources(statement: Mapping[str, Any], kind: Kind) -> tuple[list[str], bool]:
    return read_list(statement, "Resource", kind, Fault.NO_RESOURCE, Fault.EMPTY_RESOURCE)


def read_conditions(statement: Mapping[str, Any], document: Document) -> tuple[Condition, ...]:
    kind = document.kind
    found: list[Condition] = []
    for operator, keys in statement.get("Condition", {}).items():
        for key, operands in keys.items():
            try:
                condition = compile_condition(operator, key, operand_texts(operands, kind), variables=document.version == VERSION)
            except UnknownOperator:
                raise invalid(kind, Fault.OPERATOR, operator) from None
            except BadOperand as bad:
                raise invalid(kind, bad.fault) from None
            found.append(condition)
    return tuple(found)


def resource_templates(resources: Sequence[str], document: Document) -> tuple[Template, ...]:
    return tuple(template(resource, variables=document.version == VERSION) for resource in resources)


def inert_statement(index: int, sid: str, *, allows: bool) -> Statement:
    """A statement that is kept and has no effect."""
    return Statement(index, sid, allows, Actions(()), (), (), inert=True)
