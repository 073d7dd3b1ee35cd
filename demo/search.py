"""Does any 32-byte window of a plaintext stand anywhere in the files below a folder? Exact, and quick enough to try every offset.

Any 32 consecutive bytes contain one whole 8-byte word that begins at a multiple of 24. So the words of the plaintext at those places go
into a set, and every 8 bytes of every file, at each of the eight alignments, are looked up in it. Where a word is found, the bytes
around it are compared, and only 32 equal ones in a row count.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

WINDOW: Final = 32
_WORD: Final = 8
_STRIDE: Final = WINDOW - _WORD  # the most that two words may lie apart when none may slip through a window


@dataclass(frozen=True, slots=True)
class Searched:
    files: int
    size: int  # bytes that were looked at
    found: list[str]  # FILE at OFFSET of what is plaintext


class Plaintext:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._words = set(_words(content, 0)[:: _STRIDE // _WORD])

    def search(self, folder: Path) -> Searched:
        """Every regular file below ``folder``, hidden ones and databases too."""
        files, size, found = 0, 0, list[str]()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # the server took it away since it was listed
                continue
            files, size = files + 1, size + len(data)
            found += [f"{path.relative_to(folder)} at {offset}" for offset in self._windows(data)]
        return Searched(files, size, found)

    def _windows(self, data: bytes) -> list[int]:
        """Offsets in ``data`` of runs of at least 32 bytes of the plaintext."""
        found: set[int] = set()
        for shift in range(_WORD):
            for word in self._words.intersection(_words(data, shift)):
                text = word.to_bytes(_WORD, _ENDIAN)
                found |= {
                    start
                    for at in _places(text, data)
                    for there in _places(text, self._content)
                    if (start := self._run(data, at, there)) is not None
                }
        return sorted(found)

    def _run(self, data: bytes, at: int, there: int) -> int | None:
        """Where the run around two equal words begins in ``data``, if it is long enough."""
        content, before, after = self._content, 0, _WORD
        while before < WINDOW and min(at, there) > before and data[at - before - 1] == content[there - before - 1]:
            before += 1
        while (
            after < WINDOW
            and max(at + after - len(data), there + after - len(content)) < 0
            and data[at + after] == content[there + after]
        ):
            after += 1
        return at - before if before + after >= WINDOW else None


_ENDIAN: Final = "little" if memoryview(b"\1" + bytes(7)).cast("Q")[0] == 1 else "big"


def _words(data: bytes, shift: int) -> memoryview[int]:
    """The 8-byte words of ``data`` from ``shift`` on, as numbers."""
    whole = max(0, len(data) - shift) // _WORD * _WORD
    return memoryview(data)[shift : shift + whole].cast("Q")


def _places(text: bytes, data: bytes) -> list[int]:
    places, at = [], data.find(text)
    while at >= 0:
        places.append(at)
        at = data.find(text, at + 1)
    return places
