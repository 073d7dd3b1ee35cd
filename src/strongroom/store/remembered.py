"""Newest versions that were read lately, as they lie in the catalog, and how whoever remembers one learns that it has changed.

All processes on a data folder share a table of numbers by memory, one for each of many parts of all object keys: odd while a change of
a key of that part is being committed, and another even one afterwards. A row is remembered together with its part's number, and holds
as long as that is the number. What is remembered is what SQLite's own cache holds, too: sealed rows, no keys and no plaintext. Never
knows what a row means, nor SQLite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from strongroom.store.shared_words import SharedWords

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from strongroom.store.contract import VersionRow

PARTS: Final = 1 << 16
_OVERHEAD: Final = 1024  # bytes that a row takes beside its sealed body, its key and what Python needs


def part_of(bucket_id: str, object_key: str) -> int:
    """The same in every process, which Python's own hash is not."""
    return crc32(object_key.encode(), crc32(bucket_id.encode())) % PARTS


class Parts:
    """The table. Opened, and changed, only by a process whose turn it is to write."""

    def __init__(self, path: Path) -> None:
        self._shared = SharedWords(path, PARTS)
        self.numbers = self._shared.words

    def begin(self, parts: Iterable[int]) -> None:
        """Changes of keys of these parts are about to be committed. One that somebody left odd, who died in the midst, stays odd."""
        for part in parts:
            self.numbers[part] |= 1

    def end(self, parts: Iterable[int]) -> None:
        """They have been committed, or were not."""
        for part in parts:
            self.numbers[part] = (self.numbers[part] | 1) + 1

    def close(self) -> None:
        self._shared.close()


class Remembered:
    """One per process. ``most``: bytes, as far as they can be told; beyond that the oldest row goes. 0: nothing is remembered."""

    __slots__ = ("_numbers", "_rows", "_size", "most")

    def __init__(self, parts: Parts, most: int) -> None:
        self._numbers = parts.numbers
        self._rows: dict[
            tuple[str, str], tuple[VersionRow, int, int]
        ] = {}  # by bucket id and key: the row, its part, that's number
        self._size = 0
        self.most = most

    def find(self, bucket_id: str, object_key: str) -> VersionRow | None:
        """The newest version of the key, if it is remembered and nothing has changed since."""
        kept = self._rows.get((bucket_id, object_key))
        if kept is None or self._numbers[kept[1]] != kept[2]:
            return None
        return kept[0]

    def number(self, part: int) -> int:
        """To be asked before the row is read; for ``keep``."""
        return self._numbers[part]

    def keep(self, row: VersionRow, part: int, number: int) -> None:
        """A row that was read after its part had that number, unless it may have changed since."""
        if number & 1 or self._numbers[part] != number:
            return
        where = (row.bucket_id, row.object_key)
        before = self._rows.pop(where, None)
        if before is not None:
            self._size -= _size(before[0])
        self._rows[where] = (row, part, number)
        self._size += _size(row)
        while self._size > self.most:
            oldest = next(iter(self._rows))
            self._size -= _size(self._rows.pop(oldest)[0])

    def forget(self) -> None:
        """All of it, for good."""
        self.most = self._size = 0
        self._rows.clear()

    def __len__(self) -> int:
        return len(self._rows)


def _size(row: VersionRow) -> int:
    return _OVERHEAD + len(row.object_key) + len(row.seal) + len(row.meta) + len(row.manifest) + len(row.body or b"")
