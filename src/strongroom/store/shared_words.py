"""A file of machine words that all processes on a data folder share by memory. Never knows what they count."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_WORD: Final = 8  # bytes


class SharedWords:
    """``words``: unsigned, aligned, so that none is ever read half-written. New ones are 0. Raises OSError."""

    def __init__(self, path: Path, count: int) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # With its bytes on the disk: on a full one, a page in memory without a place there would be a signal that ends the process.
            os.posix_fallocate(descriptor, 0, count * _WORD)
            self._map = mmap.mmap(descriptor, count * _WORD)
        finally:
            os.close(descriptor)
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        self.words.release()
        self._map.close()
