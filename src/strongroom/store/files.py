"""Blobs as files: written under ``tmp/``, made durable, then renamed to ``blobs/ab/cd/<id>``.

A file under its final name is complete and on the disk; what a crash leaves under ``tmp/`` counts for nothing and is swept at
start-up. File calls run in threads, those that write in others than those that read, but for a few bytes that were read before: these
are asked for without waiting. Never knows what the bytes are.
"""

# Paths are plain strings: making a Path costs more than most of these calls.
# ruff: noqa: PTH102, PTH104, PTH108, PTH116, PTH208

from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import re
import secrets
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from strongroom.store.contract import LEAST_ROOM, Gone, StoreError, Unavailable
from strongroom.store.reserve import Reserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

T = TypeVar("T")

THREADS: Final = 16  # file calls at once, at most: so many that write, and so many others
# Bytes that are gathered and then written at once, past the page cache where the file system can (O_DIRECT): what was uploaded is
# rarely read at once, filling the cache costs more processor time than sealing, and the last fsync finds little to do.
GATHERED: Final = 2 << 20
AT_ONCE: Final = 256 << 10  # bytes that are read without a thread when the system has them in memory
_NO_WAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
_NOT_AT_HAND: Final = {errno.EAGAIN, errno.EOPNOTSUPP}  # it would have to be waited for, or the file system does not tell
_LATELY: Final = 4096  # blobs that are known to have been read
_BUFFERS_KEPT: Final = 8  # free buffers that wait for the next upload
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
_LONGEST_READ: Final = 1 << 30
_BLOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHARD: Final = re.compile(r"[0-9a-f]{2}")


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _told(error: OSError, missing: type[StoreError]) -> StoreError:
    """An error of a file call in the contract's words."""
    return missing("blobs: no such file") if isinstance(error, FileNotFoundError) else Unavailable(f"blobs: {error.strerror}")


class FileBlobs:
    """Implements ``contract.Blobs`` in a data folder; any number of processes may share it."""

    def __init__(
        self,
        folder: Path,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        threads: int = THREADS,
        reserve: Reserve | None = None,
    ) -> None:
        """Makes the folders. ``reserve``: while any of it is given up, nothing is written. Raises Unavailable when it cannot."""
        self._blobs = str(folder / "blobs")
        self._unfinished = str(folder / "tmp")
        self._random = random
        self._reserve = reserve or Reserve()
        self._buffers: deque[mmap.mmap] = deque(maxlen=_BUFFERS_KEPT)
        self.failed = False  # the last write did
        self._lately: dict[str, None] = {}  # blobs of which little was read, oldest first
        self._durable: set[str] = set()  # shard folders known to be on the disk with their names
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        # Of their own: a disk that stands still under an fsync may well read on, and reads that have no thread would wait with it.
        self._writing_threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs-writing")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_folder(self._blobs)
            _make_folder(self._unfinished)
            _sync_folder(str(folder))
        except OSError as error:
            raise Unavailable(f"blobs: {error.strerror}") from error

    async def create(self) -> FileBlobWriter:
        writer = FileBlobWriter(self)
        try:
            await self.run_writing(writer.open)
        except BaseException:  # cancelled: it may be open all the same
            await writer.abort()
            raise
        return writer

    async def read(self, blob_id: str, offset: int, length: int) -> bytes:
        return await self.run(partial(self._read, blob_id, offset, length))

    async def read_with(self, blob_id: str, offset: int, length: int, use: Callable[[memoryview], T]) -> T:
        if length > AT_ONCE or _NO_WAIT is None:
            return await self.run(partial(self._read_with, blob_id, offset, length, use))
        if blob_id in self._lately:
            # The system is likely to have its name and its bytes in memory: to ask a thread would cost more than to read them.
            try:
                return self._read_with(blob_id, offset, length, use, _NO_WAIT)
            except OSError as error:
                if error.errno not in _NOT_AT_HAND:
                    raise _told(error, Gone) from error
        used = await self.run(partial(self._read_with, blob_id, offset, length, use))
        while len(self._lately) >= _LATELY:
            del self._lately[next(iter(self._lately))]
        self._lately[blob_id] = None
        return used

    async def size(self, blob_id: str) -> int:
        return await self.run(lambda: os.stat(self._path(blob_id)).st_size)

    async def delete(self, blob_id: str) -> None:
        # Not made durable: a blob that comes back after a crash is named by no row, and upkeep sweeps it.
        with suppress(Gone):
            await self.run(lambda: os.unlink(self._path(blob_id)))

    async def list(self) -> AsyncIterator[tuple[str, int, int]]:
        for first in await self.run(partial(_shards, self._blobs)):
            for second in await self.run(partial(_shards, f"{self._blobs}/{first}")):
                for found in await self.run(partial(_committed, f"{self._blobs}/{first}/{second}")):
                    yield found

    async def sweep_unfinished(self) -> int:
        """Delete what dead processes left unfinished; returns how many. Files that a live writer holds stay."""
        return await self.run(self._sweep)

    async def prove_writing(self) -> None:
        if self.failed:
            await self._in_thread(self._writing_threads, self._prove_writing, Unavailable)
            self.failed = False

    @property
    def waiting(self) -> int:
        """File calls that wait for a thread."""
        return sum(each._work_queue.qsize() for each in (self._threads, self._writing_threads))  # noqa: SLF001 - told nowhere else

    async def close(self) -> None:
        """Idempotent. Waits for file calls under way."""
        for threads in (self._threads, self._writing_threads):
            await asyncio.to_thread(threads.shutdown)

    # ---- for the writer

    async def run(self, call: Callable[[], T]) -> T:
        """``call`` in a thread, with its errors in the contract's words. It runs to its end even if the awaiting task is cancelled."""
        return await self._in_thread(self._threads, call, Gone)

    async def _in_thread(self, threads: ThreadPoolExecutor, call: Callable[[], T], missing: type[StoreError]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(threads, call)
        except RuntimeError as error:  # the threads have been shut down
            raise Unavailable("blobs: closed") from error
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise _told(error, missing) from error

    async def run_writing(self, call: Callable[[], None]) -> None:
        """As ``run``, in a thread for writing; that it failed is remembered until a write succeeds."""
        try:
            await self._in_thread(self._writing_threads, call, Unavailable)
        except Unavailable:
            self.failed = True
            raise

    def take_buffer(self) -> mmap.mmap:
        """``GATHERED`` bytes on the borders of pages, as direct writing wants them."""
        try:
            return self._buffers.pop()
        except IndexError:
            return mmap.mmap(-1, GATHERED)

    def give_buffer(self, buffer: mmap.mmap) -> None:
        self._buffers.append(buffer)

    def require_room(self) -> None:
        """Raises OSError while what is set aside for deletes is given up: it is for nobody else."""
        if self._reserve.given:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def begin(self) -> tuple[str, str, int]:
        """A new unfinished file: its blob id, path and descriptor. Its lock says that the writer lives."""
        self.require_room()
        while True:
            blob_id = self._random(16).hex()
            path = f"{self._unfinished}/{blob_id}"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    return blob_id, path, descriptor
            except BlockingIOError:  # swept between the two calls: take another
                pass
            os.close(descriptor)

    def publish(self, blob_id: str, path: str) -> None:
        """Give a finished, durable file its final name, durably."""
        parent = f"{self._blobs}/{blob_id[:2]}"
        shard = f"{parent}/{blob_id[2:4]}"
        known = shard in self._durable
        if not known:
            _make_folder(parent)
            _make_folder(shard)
        os.rename(path, f"{shard}/{blob_id}")
        _sync_folder(shard)
        if not known:
            _sync_folder(parent)
            _sync_folder(self._blobs)
            self._durable.add(shard)

    # ---- in threads

    def _prove_writing(self) -> None:
        _, path, descriptor = self.begin()
        try:
            rest = memoryview(bytes(GATHERED))
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(path)

    def _path(self, blob_id: str) -> str:
        if _BLOB_ID.fullmatch(blob_id) is None:  # never a path of someone's making
            raise FileNotFoundError
        return f"{self._blobs}/{blob_id[:2]}/{blob_id[2:4]}/{blob_id}"

    def _read(self, blob_id: str, offset: int, length: int) -> bytes:
        descriptor = os.open(self._path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces: list[bytes] = []
            while length > 0 and (piece := os.pread(descriptor, min(length, _LONGEST_READ), offset)):
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        finally:
            os.close(descriptor)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_with(self, blob_id: str, offset: int, length: int, use: Callable[[memoryview], T], flags: int = 0) -> T:
        if length > GATHERED:
            return use(memoryview(self._read(blob_id, offset, length)))
        buffer = self.take_buffer()
        try:
            with memoryview(buffer) as whole, whole[:length] as room:
                filled = self._read_into(blob_id, offset, room, flags)
                with room[:filled] as sealed:
                    return use(sealed)
        finally:
            self.give_buffer(buffer)

    def _read_into(self, blob_id: str, offset: int, room: memoryview, flags: int) -> int:
        filled = 0
        descriptor = os.open(self._path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while filled < len(room):
                with room[filled:] as rest:
                    count = os.preadv(descriptor, [rest], offset + filled, flags)
                if not count:
                    break
                filled += count
        finally:
            os.close(descriptor)
        return filled

    def _sweep(self) -> int:
        count = 0
        for name in os.listdir(self._unfinished):
            path = f"{self._unfinished}/{name}"
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
                count += 1
            except (BlockingIOError, FileNotFoundError):
                continue
            finally:
                os.close(descriptor)
        return count


def _shards(path: str) -> list[str]:
    return [name for name in os.listdir(path) if _SHARD.fullmatch(name)]


def _committed(path: str) -> list[tuple[str, int, int]]:
    """A renamed file's status changes last when it gets its name."""
    found: list[tuple[str, int, int]] = []
    with os.scandir(path) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if _BLOB_ID.fullmatch(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    found.append((entry.name, status.st_ctime_ns // 1_000_000, status.st_size))
    return found


class FileBlobWriter:
    """Implements ``contract.BlobWriter``; made by ``FileBlobs.create``.

    A cancelled call may still be running in its thread when ``abort`` comes, so each holds the lock.
    """

    def __init__(self, blobs: FileBlobs) -> None:
        self._owner = blobs
        self._lock = threading.Lock()
        self._descriptor = -1
        self._path = ""
        self._id = ""
        self._buffer: mmap.mmap | None = None
        self._gathered = 0  # bytes in the buffer
        self._written = 0  # bytes in the file
        self._direct = _DIRECT != 0
        self._over = False

    @property
    def blob_id(self) -> str:
        return self._id

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        await self._owner.run_writing(partial(self._write, data))

    async def fill(self, source: Callable[[memoryview], int]) -> None:
        await self._owner.run_writing(partial(self._fill, source))

    async def commit(self) -> None:
        await self._owner.run_writing(self._commit)
        self._owner.failed = False

    async def abort(self) -> None:
        if not self._over:
            with suppress(Gone, Unavailable):
                await self._owner.run(self._abort)

    # ---- in threads

    def open(self) -> None:
        with self._lock:
            if not self._over:
                self._id, self._path, self._descriptor = self._owner.begin()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        with self._lock:
            buffer = self._open_buffer()
            rest = memoryview(data).cast("B")
            while rest:
                count = min(len(rest), GATHERED - self._gathered)
                buffer[self._gathered : self._gathered + count] = rest[:count]
                self._gathered += count
                rest = rest[count:]
                if self._gathered == GATHERED:
                    self._flush(buffer)

    def _fill(self, source: Callable[[memoryview], int]) -> None:
        with self._lock:
            buffer = self._open_buffer()
            while True:
                if GATHERED - self._gathered < LEAST_ROOM:  # full, but after writes of other sizes
                    self._flush(buffer)
                with memoryview(buffer) as whole, whole[self._gathered :] as room:
                    count = source(room)
                if not count:
                    return
                self._gathered += count

    def _open_buffer(self) -> mmap.mmap:
        self._require_open()
        if self._buffer is None:
            self._buffer = self._owner.take_buffer()
        return self._buffer

    def _flush(self, buffer: mmap.mmap) -> None:
        """Write what was gathered: whole buffers directly, the last one (of any length) and all else through the page cache."""
        self._owner.require_room()
        self._go_direct(self._direct and self._gathered == GATHERED)
        started = self._written
        with memoryview(buffer) as whole:
            done = 0
            while done < self._gathered:
                try:
                    done += os.write(self._descriptor, whole[done : self._gathered])
                except OSError as error:
                    if error.errno != errno.EINVAL or not self._direct:
                        raise
                    self._go_direct(False)  # this file system cannot, or no longer after a short write
        self._written += done
        self._gathered = 0
        if not self._direct and done == GATHERED:
            # On pages that are still to be written, this starts the writing and drops nothing.
            os.posix_fadvise(self._descriptor, started, done, os.POSIX_FADV_DONTNEED)

    def _go_direct(self, direct: bool) -> None:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        wanted = flags | _DIRECT if direct else flags & ~_DIRECT
        if wanted != flags:
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_SETFL, wanted)
            except OSError:  # tmpfs and others
                direct = False
        self._direct = direct

    def _commit(self) -> None:
        with self._lock:
            self._require_open()
            if self._buffer is not None and self._gathered:
                self._flush(self._buffer)
            os.fsync(self._descriptor)
            self._owner.publish(self._id, self._path)
            self._over = True
            self._close()

    def _abort(self) -> None:
        with self._lock:
            self._over = True
            if self._descriptor >= 0:
                self._close()
                os.unlink(self._path)

    def _require_open(self) -> None:
        if self._descriptor < 0:
            raise OSError(0, "the blob is committed or aborted")

    def _close(self) -> None:
        if self._buffer is not None:
            self._owner.give_buffer(self._buffer)
            self._buffer = None
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
