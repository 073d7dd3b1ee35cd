"""Patterns of policies: ``*`` for any run of characters, ``?`` for one, matched in linear time however many there are.

No regular expression is involved, so nothing can backtrack: each stretch between two stars is searched once, from where the one
before it ended. Pure. Never knows what is matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, unique
from typing import Final


@unique
class Wild(Enum):
    ANY = "*"
    ONE = "?"


#: Literal text and wildcards, in order.
Items = tuple["str | Wild", ...]

_PIECES: Final = re.compile(r"([*?])")
_WILD: Final[dict[str, str | Wild]] = {wild.value: wild for wild in Wild}


def wild_items(text: str) -> Items:
    """The items of a text in which every ``*`` and ``?`` is a wildcard."""
    return tuple(_WILD.get(piece, piece) for piece in _PIECES.split(text) if piece)


class _Stretch:
    """What stands between two stars: literal runs at fixed offsets, with single wild characters around them."""

    __slots__ = ("_everywhere", "_masks", "_runs", "length", "text")

    def __init__(self, items: Iterable[str | Wild]) -> None:
        self._runs: list[tuple[int, str]] = []
        self.length = 0
        for item in items:
            if isinstance(item, str):
                if self._runs and self._runs[-1][0] + len(self._runs[-1][1]) == self.length:
                    offset, before = self._runs.pop()
                    self._runs.append((offset, before + item))
                else:
                    self._runs.append((self.length, item))
            self.length += len(item) if isinstance(item, str) else 1
        literal = sum(len(run) for _, run in self._runs)
        #: The text itself, when there is no wild character in it.
        self.text: str | None = "".join(run for _, run in self._runs) if literal == self.length else None
        self._masks: dict[str, int] | None = None
        self._everywhere = 0

    def stands_at(self, text: str, at: int) -> bool:
        """``text`` is known to be long enough."""
        return all(text.startswith(run, at + offset) for offset, run in self._runs)

    def find(self, text: str, start: int, end: int) -> int:
        """Where the stretch first stands within ``text[start:end]``, or -1."""
        if self.text is not None:
            return text.find(self.text, start, end)
        if end - start < self.length:
            return -1
        if not self._runs:
            return start
        return self._scan(text, start, end)

    def _scan(self, text: str, start: int, end: int) -> int:
        """Shift-And: one bit for each position of the stretch, all moved at once for each character of the text."""
        masks = self._masks
        if masks is None:
            masks = self._prepare()
        found = 1 << (self.length - 1)
        state = 0
        for at in range(start, end):
            state = ((state << 1) | 1) & masks.get(text[at], self._everywhere)
            if state & found:
                return at - self.length + 1
        return -1

    def _prepare(self) -> dict[str, int]:
        places: dict[str, list[int]] = {}
        wild = bytearray((self.length + 8) // 8)
        taken = {offset + at for offset, run in self._runs for at in range(len(run))}
        for at in range(self.length):
            if at not in taken:
                wild[at >> 3] |= 1 << (at & 7)
        for offset, run in self._runs:
            for at, character in enumerate(run, offset):
                places.setdefault(character, []).append(at)
        masks: dict[str, int] = {}
        for character, at_all in places.items():
            bits = bytearray(wild)
            for at in at_all:
                bits[at >> 3] |= 1 << (at & 7)
            masks[character] = int.from_bytes(bits, "little")
        self._everywhere = int.from_bytes(wild, "little")
        self._masks = masks
        return masks


class Pattern:
    """A compiled pattern. Equal texts give equal patterns; nothing about one can be changed."""

    __slots__ = ("_head", "_middle", "_shortest", "_tail", "anything", "literal", "prefix")

    def __init__(self, items: Iterable[str | Wild]) -> None:
        stretches: list[list[str | Wild]] = [[]]
        for item in items:
            if item is Wild.ANY:
                stretches.append([])
            else:
                stretches[-1].append(item)
        made = [_Stretch(each) for each in stretches]
        self._head = made[0]
        self._tail = made[-1] if len(made) > 1 else None
        self._middle = [each for each in made[1:-1] if each.length]
        self._shortest = sum(each.length for each in made)
        #: Whether every text matches.
        self.anything: Final = self._tail is not None and self._shortest == 0
        #: The only text that matches, or None when there are wildcards.
        self.literal: Final = made[0].text if self._tail is None else None
        #: What every text that begins with it matches, or None when more is asked: ``prefix*``.
        self.prefix: Final = self._head.text if self._tail is not None and self._shortest == self._head.length else None

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Of a text in which every ``*`` and ``?`` is a wildcard."""
        return cls(wild_items(text))

    def matches(self, text: str) -> bool:
        if self.prefix is not None:
            return text.startswith(self.prefix)
        if self.literal is not None:
            return text == self.literal
        size = len(text)
        if size < self._shortest or not self._head.stands_at(text, 0):
            return False
        if self._tail is None:
            return size == self._shortest
        end = size - self._tail.length
        if not self._tail.stands_at(text, end):
            return False
        at = self._head.length
        for stretch in self._middle:
            at = stretch.find(text, at, end)
            if at < 0:
                return False
            at += stretch.length
        return True
