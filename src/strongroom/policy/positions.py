"""Where the statements of a document stand in its text, as line and column, and which condition keys each of them speaks of.

Pure. Only for texts that ``reading`` has accepted: what they mean is its affair. Positions are counted as IAM's simulator counts them:
lines and columns from 1, a statement beginning behind the bracket that opens the list or the lone statement, or behind the statement before
it, and ending behind its own last brace. Source: samples of "SimulateCustomPolicy" in the IAM API reference, and answers of AWS as recorded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from strongroom.policy.faults import Kind
from strongroom.policy.reading import VERSION, operand_texts, read_document, texts
from strongroom.policy.templates import variable_names

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


class Position(NamedTuple):
    line: int
    column: int


@lru_cache(maxsize=256)
def statement_positions(text: str) -> tuple[tuple[Position, Position], ...]:
    """Start and end of each statement."""
    return tuple((_position(text, start), _position(text, end)) for start, end in _spans(text))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    at = _after_space(text, 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)  # behind the colon
        if name == "Statement":
            yield from _among(text, at)
            return
        _, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _among(text: str, at: int) -> Iterator[tuple[int, int]]:
    if text[at] == "{":
        yield at + 1, _DECODER.raw_decode(text, at)[1]
        return
    start = at + 1
    at = _after_space(text, start)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield start, end
        start, at = end, _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _position(text: str, at: int) -> Position:
    return Position(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


@lru_cache(maxsize=256)
def statement_keys(text: str, kind: Kind) -> tuple[tuple[str, ...], ...]:
    """The condition keys of each statement as they are written: of its conditions, then of its variables. Raises InvalidPolicy."""
    document = read_document(text, kind)
    found: list[tuple[str, ...]] = []
    for statement in document.statements:
        conditions: Any = statement.get("Condition", {})
        keys = [key for operands in conditions.values() for key in operands]
        if document.version == VERSION:
            holding = [
                one for keyed in conditions.values() for operands in keyed.values() for one in operand_texts(operands, kind)
            ]
            for element in ("Resource", "NotResource"):
                holding += texts(statement[element], kind) if element in statement else []
            keys += [name for one in holding for name in variable_names(one)]
        found.append(tuple(unlike(keys)))
    return tuple(found)


def unlike(keys: list[str]) -> list[str]:
    """Each key once, whatever its case, as it was written first."""
    first: dict[str, str] = {}
    for key in keys:
        first.setdefault(key.lower(), key)
    return list(first.values())
