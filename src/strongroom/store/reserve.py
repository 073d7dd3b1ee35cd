"""Room on the disk that is kept for what must go on when the disk is full: three files that are given up, one by one, and made again.

The first is for deletes of any kind, the second for those that only give back, the third for the record of key uses. While any is
given up, plain writes are refused, or they would eat what was set aside. All processes on a data folder share what is given up by
memory. Never knows what is written into the room.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from strongroom.store.contract import Claim, Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

FOLDER: Final = "reserve"  # in the data folder
#: The parts, as bits of what is given up.
DELETES: Final = 1
FREES: Final = 2
USES: Final = 4
_FILES: Final = {DELETES: "deletes", FREES: "frees", USES: "key-uses"}
#: What a write may have given up for it, in that order.
_OF_CLAIM: Final = {Claim.NONE: (), Claim.DELETE: (DELETES,), Claim.FREE: (DELETES, FREES)}
_STATE: Final = "state"
_STATE_BYTES: Final = 4096
_HOLDS_MS: Final = 1000  # what was given up is not taken back at once: somebody is about to use it
_PROBE: Final = 64 << 10
_TIGHT: Final = 1 << 20  # free bytes below which a catalog cannot be opened for certain


def is_full(error: OSError) -> bool:
    """Whether it says that there is no room: on the disk, or in a quota."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def missing(folder: Path) -> list[str]:
    """The files of a data folder's reserve that are given up. One that no server has made yet misses nothing."""
    if not (folder / FOLDER / _STATE).exists():
        return []
    return [name for name in _FILES.values() if not _size(folder / FOLDER / name)]


class Reserve:
    """One per process and data folder. Its methods, but for ``given``, wait for the disk; any thread may call them."""

    def __init__(self, folder: Path | None = None, part_bytes: int = 0, *, join: bool = False) -> None:
        """Without a folder or bytes there is no reserve: nothing is ever given up. Raises Unavailable when the folder cannot be used.

        ``join``: take part in the one that a server has made, as it is, if there is one; it is neither made nor brought to another size.
        """
        if join and folder is not None and _size(folder / FOLDER / _STATE) < _STATE_BYTES:
            folder = None
        self._folder = "" if folder is None or not part_bytes else str(folder / FOLDER)
        self._part_bytes = part_bytes
        self._word: list[int] | memoryview[int] = [0, 0]  # what is given up; when that was, in ms of the system's own clock
        self._map: mmap.mmap | None = None
        if self._folder:
            try:
                (self._join if join else self._open)()
            except OSError as error:
                raise Unavailable(f"reserve: {error.strerror}") from error

    @property
    def given(self) -> int:
        """The parts that are given up; 0 as long as the disk has room. A fraction of a microsecond."""
        return self._word[0]

    @property
    def part_bytes(self) -> int:
        return self._part_bytes

    def give(self, part: int) -> bool:
        """Give a part up, so that its room can be used at once; whether it was there to be given.

        With that of the record goes the one of deletes: they are refused or done, but never live on what the record was kept.
        """
        if not self._folder:
            return False
        if part == USES:
            self.give(DELETES)
        with self._alone():
            if self._word[0] & part:
                return False
            self._word[1] = _now_ms()
            self._word[0] |= part  # before the room is there: nobody else may have it
            self._cut(part)
        return True

    def give_for(self, claim: Claim) -> bool:
        """Give up the next part that such a write may have; whether there was one."""
        return any(self.give(part) for part in _OF_CLAIM[claim])

    def relieve(self) -> None:
        """Before a catalog is opened: on a disk without any room it could not be, so what deletes and records live on is given up now."""
        if self._folder and self.no_room(_TIGHT):
            self.give(USES)

    def restore(self) -> bool:
        """Make again what was given up, if the disk has that much and a quarter more; whether all is there."""
        if not self._word[0]:
            return True
        with self._alone():
            if _now_ms() - self._word[1] >= _HOLDS_MS:
                self._make()
            return not self._word[0]

    def no_room(self, wanted: int = _PROBE) -> bool:
        """Whether the disk has not even so many bytes, found out by taking them and giving them back."""
        if not self._folder:
            return False
        path = f"{self._folder}/probe.{os.getpid()}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            return is_full(error)
        try:
            os.posix_fallocate(descriptor, 0, wanted)
        except OSError as error:
            return is_full(error)
        finally:
            os.close(descriptor)
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - paths are plain strings here, as in store/files.py
        return False

    def close(self) -> None:
        """Idempotent. What was given up stays so, for the others."""
        if self._map is not None:
            word, self._word = self._word, [self._word[0], 0]
            if isinstance(word, memoryview):
                word.release()
            self._map.close()
            self._map = None

    # ---- inside

    def _join(self) -> None:
        with self._alone() as descriptor:
            self._map = mmap.mmap(descriptor, _STATE_BYTES)
            self._word = memoryview(self._map).cast("Q")

    def _open(self) -> None:
        with suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)  # noqa: PTH102
        with self._alone() as descriptor:
            # With its bytes on the disk: a page in memory that has no place there would be a signal that ends the process.
            os.posix_fallocate(descriptor, 0, _STATE_BYTES)
            self._map = mmap.mmap(descriptor, _STATE_BYTES)
            self._word = memoryview(self._map).cast("Q")
            # What the files say counts: the memory may be of before a power cut, or of another size of reserve.
            self._word[0] = sum(part for part in _FILES if self._size(part) < self._part_bytes)
            for part in _FILES:
                if self._size(part) > self._part_bytes:
                    self._cut(part, self._part_bytes)
            self._make()

    def _make(self) -> None:
        """Under the lock. All parts that are missing, or none: what is left of a try that failed goes again."""
        missing = [part for part in _FILES if self._word[0] & part]
        status = os.statvfs(self._folder)
        if not missing or status.f_bavail * status.f_frsize < len(missing) * self._part_bytes + self._part_bytes // 4:
            return
        try:
            for part in missing:
                with self._opened(part) as descriptor:
                    _allocate(descriptor, self._part_bytes)
        except OSError:
            for part in missing:
                self._cut(part)
            return
        self._word[0] = 0

    def _cut(self, part: int, size: int = 0) -> None:
        with self._opened(part) as descriptor:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)  # journaling file systems give room back with their next commit

    def _size(self, part: int) -> int:
        return _size(f"{self._folder}/{_FILES[part]}")

    @contextmanager
    def _opened(self, part: int) -> Generator[int]:
        descriptor = os.open(f"{self._folder}/{_FILES[part]}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _alone(self) -> Generator[int]:
        """Among all threads and processes: a descriptor of one's own is what a lock belongs to."""
        descriptor = os.open(f"{self._folder}/{_STATE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a map of the file keeps a copy of its descriptor, and with it the lock
            os.close(descriptor)


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0


def _allocate(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        for offset in range(0, size, _STATE_BYTES):  # a file system that cannot set room aside is given bytes to keep
            os.pwrite(descriptor, bytes(min(_STATE_BYTES, size - offset)), offset)
        os.fsync(descriptor)


def _now_ms() -> int:
    """Since the machine was started: the same for all processes."""
    return time.monotonic_ns() // 1_000_000
