"""Copies of files with their SHA-256, on the disk before they have a name. Never knows what is copied.

What is read and written leaves the page cache again: it belongs to the server.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from strongroom.store.descriptors import write_whole

_CHUNK: Final = 1 << 20


def digest(path: Path, going_on: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Size and SHA-256 of a file. Raises OSError, and what ``going_on`` raises, which is asked at each megabyte."""
    return _read(path, None, going_on)


def copy(source: Path, new: Path, going_on: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Make ``new`` a copy of ``source``, synced. Size and SHA-256 of what was written. Raises OSError."""
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        found = _read(source, descriptor, going_on)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    if new.stat().st_size != found[0]:
        raise OSError(0, "the copy is not as long as what was copied", str(new))
    return found


def write(data: bytes, new: Path) -> tuple[int, str]:
    """The same for bytes in hand."""
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return len(data), hashlib.sha256(data).hexdigest()


def sync(path: Path) -> None:
    """What is in the file is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(source: Path, into: int | None, going_on: Callable[[], None]) -> tuple[int, str]:
    hashed = hashlib.sha256()
    size = 0
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while data := os.read(descriptor, _CHUNK):
            going_on()
            hashed.update(data)
            size += len(data)
            if into is not None:
                write_whole(into, data)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return size, hashed.hexdigest()
