"""Random bytes from the system, fetched some at a time: a call of the system for each few bytes costs more than all else that is done with them.

Safe between threads, since a block is taken from the list in one step and never put back; what is left of a block is not used. Never
knows what the bytes are for. Not for a process that forks: both would go on with the same blocks.
"""

from __future__ import annotations

import os
from typing import Final

_BLOCK: Final = 64  # bytes; a key, a nonce or an id is shorter
_BLOCKS: Final = 64  # fetched at once


class Randomness:
    """Call it with a number of bytes; it is used where ``os.urandom`` would be."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def __call__(self, count: int) -> bytes:
        if count > _BLOCK:
            return os.urandom(count)
        try:
            return self._blocks.pop()[:count]
        except IndexError:
            fetched = os.urandom(_BLOCK * _BLOCKS)
            self._blocks.extend(fetched[start : start + _BLOCK] for start in range(_BLOCK, len(fetched), _BLOCK))
            return fetched[:count]
