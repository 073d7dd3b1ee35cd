"""The constraints of a shape, and AWS's sentence for each that a value breaks. Never knows a protocol.

Used by the JSON and the query protocol, whose front end checks the whole input before the operation sees it and reports
all violations in one text: ``2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: …; …``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from strongroom.api.model import constraint, members, required

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape

_CATEGORY: Final = re.compile(r"\\p\{(.)\}")
#: Appends the sentences of what a value at a path breaks.
Check = Callable[[Any, str, list[str]], None]


def violations(check: Check | None, value: Mapping[str, Any]) -> str:
    """The text of the validation error of an input (``check`` is its shape's), or "" when it keeps every constraint."""
    found: list[str] = []
    if check is not None:
        check(value, "", found)
    if not found:
        return ""
    return f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: {'; '.join(found)}"


@cache
def checker(shape: Shape) -> Check | None:
    """The check of a shape and all it holds (compiled once), or None when nothing is constrained."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure(shape)
    own = _own(shape, kind)
    if kind == "list":
        inner = checker(cast("ListShape", shape).member)
        return _each(own, inner, lambda value: ((str(place), item) for place, item in enumerate(value, 1)))
    if kind == "map":
        inner = checker(cast("MapShape", shape).value)
        return _each(own, inner, lambda value: value.items())
    return own


def _structure(shape: Shape) -> Check | None:
    needed = frozenset(required(shape))
    checks = [
        (member, member[:1].lower() + member[1:], checker(inner), member in needed) for member, inner in members(shape).items()
    ]
    checks = [entry for entry in checks if entry[2] is not None or entry[3]]
    if not checks:
        return None

    def check(value: Mapping[str, Any], path: str, found: list[str]) -> None:
        for member, name, inner, must in checks:
            given = value.get(member)
            where = f"{path}.{name}" if path else name
            if given is not None:
                if inner is not None:
                    inner(given, where, found)
            elif must:
                found.append(f"Value null at '{where}' failed to satisfy constraint: Member must not be null")

    return check


def _each(own: Check | None, inner: Check | None, items: Callable[[Any], Any]) -> Check | None:
    if inner is None:
        return own

    def check(value: Any, path: str, found: list[str]) -> None:
        if own is not None:
            own(value, path, found)
        for place, item in items(value):
            inner(item, f"{path}.{place}.member", found)

    return check


def _own(shape: Shape, kind: str) -> Check | None:
    """The check of a value alone: its range or length, its pattern, its enumeration."""
    low, high, pattern, enum = (constraint(shape, name) for name in ("min", "max", "pattern", "enum"))
    tests: list[tuple[Callable[[Any], bool], str]] = []
    measure, noun = (_itself, "value") if kind in ("integer", "long") else (len, "length")
    if low:  # a least length of 0 says nothing
        tests.append((lambda value: measure(value) >= low, f"Member must have {noun} greater than or equal to {low}"))
    if high is not None:
        tests.append((lambda value: measure(value) <= high, f"Member must have {noun} less than or equal to {high}"))
    if pattern and kind == "string":
        tests.append((_matcher(pattern), f"Member must satisfy regular expression pattern: {pattern}"))
    if enum:
        values = frozenset(enum)
        tests.append((lambda value: value in values, f"Member must satisfy enum value set: [{', '.join(enum)}]"))
    if not tests:
        return None
    hidden = kind == "blob" or bool(constraint(shape, "sensitive"))

    def check(value: Any, path: str, found: list[str]) -> None:
        for test, text in tests:
            if not test(value):
                shown = "Value" if hidden else f"Value '{_shown(value)}'"
                found.append(f"{shown} at '{path}' failed to satisfy constraint: {text}")

    return check


def _matcher(pattern: str) -> Callable[[str], bool]:
    r"""The model's patterns are Java's, matched whole; ``\p{L}`` and its like, always in one class, are told by Unicode category."""
    categories = frozenset(_CATEGORY.findall(pattern))
    if not categories:
        whole = re.compile(pattern, re.ASCII)
        return lambda value: whole.fullmatch(value) is not None
    one = re.compile(_CATEGORY.sub("", pattern).rstrip("*+"), re.ASCII)
    return lambda value: all(unicodedata.category(char)[0] in categories or one.fullmatch(char) for char in value)


def _itself(value: int) -> int:
    return value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(item) for item in cast('list[object]', value))}]"
    return str(value)
