"""Texts of policies that may hold variables: ``${aws:username}``, ``${aws:PrincipalTag/team, 'none'}``, ``${*}``.

A text without variables is compiled once; one with variables is completed for each question, and what comes from the request is
always literal: no value can smuggle a wildcard in. Pure. Source: "IAM policy elements: Variables and tags" in the IAM user guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.policy.wildcards import Items, Pattern, Wild, wild_items

#: What a condition key has in a request: one text, several (a multivalued key), or None when it is absent.
Value = str | tuple[str, ...] | None
#: Gives the value of a key, which is always asked for in lower case. May raise Untold.
Lookup = Callable[[str], Value]


class Untold(Exception):
    """Raised by a lookup for a key that requests have, but whose value this server cannot tell: then a Deny holds, and an Allow does not."""


class OneOf(tuple[str, ...]):
    """A value of a request that is one of these, and nobody can tell which: what holds for all of them holds, what holds for some is
    ``Untold``.
    """

    __slots__ = ()


#: A key has at most 128 characters of a tag's name behind its prefix; the bounds keep the search linear.
_VARIABLE: Final = re.compile(r"\$\{(?:([*?$])|\s*([^{}'$,]{1,300}?)\s*(?:,\s*'([^']{0,1024})'\s*)?)\}")


def caseless(pairs: Mapping[str, str | tuple[str, ...]], name: str, key: str) -> Value:
    """The value of ``name`` (in lower case) among names in any case. Raises Untold, of the condition key ``key``, where two names differ
    by case alone: which of them a policy means, nobody knows.
    """
    found = [value for other, value in pairs.items() if other.lower() == name]
    if len(found) > 1:
        raise Untold(key)
    return found[0] if found else None


def no_values(_key: str, /) -> Value:
    """A request about which nothing is known."""
    return None


def lookup_of(values: Mapping[str, str | tuple[str, ...] | list[str]]) -> Lookup:
    """A lookup in a mapping, whose keys may be spelled in any case."""
    lowered: dict[str, str | tuple[str, ...]] = {
        key.lower(): value if isinstance(value, str) else tuple(value) for key, value in values.items()
    }
    return lowered.get


class Lazy:
    """A lookup that computes each value once, and only if some policy asks for it. One a request."""

    __slots__ = ("_compute", "_known", "untold")

    def __init__(self, compute: Lookup) -> None:
        self._compute = compute
        self._known: dict[str, Value] = {}
        self.untold = False  # a key was asked for that could not be told

    def __call__(self, key: str, /) -> Value:
        if key in self._known:
            return self._known[key]
        try:
            value = self._known[key] = self._compute(key)
        except Untold:
            self.untold = True
            raise
        return value

    @property
    def asked(self) -> Iterable[str]:
        """The keys that were asked for and told, in lower case."""
        return self._known


@dataclass(frozen=True, slots=True)
class Variable:
    key: str  # lower case
    default: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text as written, and what it matches. ``pattern`` is None when the text has variables: ask ``complete``."""

    text: str
    items: tuple[str | Wild | Variable, ...]
    lowered: bool = False  # compared without case
    pattern: Pattern | None = field(default=None, compare=False)

    def complete(self, lookup: Lookup) -> Pattern | None:
        """The pattern for one request; None when a variable has no value there, and so the text matches nothing."""
        if self.pattern is not None:
            return self.pattern
        items = self.resolve(lookup)
        return None if items is None else Pattern(items)

    def resolve(self, lookup: Lookup) -> Items | None:
        """The items with every variable replaced by its value, or None when one has none. A multivalued key has none."""
        items: list[str | Wild] = []
        for item in self.items:
            if isinstance(item, Variable):
                value = lookup(item.key)
                if isinstance(value, OneOf):
                    raise Untold(item.key)
                if not isinstance(value, str):
                    value = item.default if value is None else None
                if value is None:
                    return None
                items.append(value.lower() if self.lowered else value)
            else:
                items.append(item)
        return tuple(items)

    def matches(self, text: str, lookup: Lookup) -> bool:
        pattern = self.complete(lookup)
        return pattern is not None and pattern.matches(text)

    @property
    def head(self) -> str:
        """The literal text that every match begins with."""
        return self.items[0] if self.items and isinstance(self.items[0], str) else ""

    @property
    def needle(self) -> str:
        """The longest literal text behind the head, which every match holds somewhere; "" for none."""
        return max((item for item in self.items[1:] if isinstance(item, str)), key=len, default="")

    @property
    def fixed(self) -> bool:
        """Whether one text alone matches, whatever the request."""
        return self.pattern is not None and self.pattern.literal is not None


def template(text: str, *, variables: bool, wildcards: bool = True, lowered: bool = False) -> Template:
    """Read a text. ``variables``: whether ``${...}`` means anything (Version 2012-10-17); else it is literal."""
    items: list[str | Wild | Variable] = []
    start = 0
    if variables and "${" in text:
        for found in _VARIABLE.finditer(text):
            items.extend(_plain(text[start : found.start()], wildcards=wildcards, lowered=lowered))
            items.append(_variable(found, lowered=lowered))
            start = found.end()
    items.extend(_plain(text[start:], wildcards=wildcards, lowered=lowered))
    fixed = [item for item in items if not isinstance(item, Variable)]
    pattern = Pattern(fixed) if len(fixed) == len(items) else None
    return Template(text, tuple(items), lowered, pattern)


def variable_names(text: str) -> list[str]:
    """The keys of the variables in a text, as written."""
    return [found.group(2) for found in _VARIABLE.finditer(text) if found.group(1) is None]


def _plain(text: str, *, wildcards: bool, lowered: bool) -> Items:
    text = text.lower() if lowered else text
    return wild_items(text) if wildcards else ((text,) if text else ())


def _variable(found: re.Match[str], *, lowered: bool) -> str | Variable:
    escaped, key, default = found.group(1), found.group(2), found.group(3)
    if escaped is not None:
        return str(escaped)
    return Variable(key.lower(), default.lower() if lowered and default is not None else default)
