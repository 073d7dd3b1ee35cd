"""FileBlobs: the suite, and what only files can get wrong."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from strongroom.store import files
from strongroom.store.contract import Gone, Unavailable
from strongroom.store.files import FileBlobs
from tests.store.blobs_suite import BlobsSuite, listed, store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    opened = FileBlobs(tmp_path / "data")
    yield opened
    await opened.close()


class TestFileBlobs(BlobsSuite):
    pass


async def test_files_lie_in_shards_for_their_owner_alone(blobs: FileBlobs, tmp_path: Path) -> None:
    blob_id = await store(blobs, b"x")
    data = tmp_path / "data"
    assert (data / "blobs" / blob_id[:2] / blob_id[2:4] / blob_id).read_bytes() == b"x"
    for path in (data, *data.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("way", ["direct", "refused at once", "refused when written", "not on this system"])
async def test_whole_buffers_and_what_is_left_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """However the file system takes direct writing, and whatever the sizes, the bytes are the same."""
    real_fcntl, real_write = fcntl.fcntl, os.write

    def refusing_fcntl(descriptor: int, command: int, value: int = 0) -> int:
        if command == fcntl.F_SETFL and value & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writing here")
        return real_fcntl(descriptor, command, value)

    def refusing_write(descriptor: int, data: memoryview) -> int:
        if real_fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writing here")
        return real_write(descriptor, data)

    monkeypatch.setattr(files, "GATHERED", 16_384)
    if way == "refused at once":
        monkeypatch.setattr(fcntl, "fcntl", refusing_fcntl)
    elif way == "refused when written":
        monkeypatch.setattr(os, "write", refusing_write)
    elif way == "not on this system":
        monkeypatch.setattr(files, "_DIRECT", 0)
    blobs = FileBlobs(tmp_path)
    for size in (1, 16_383, 16_384, 16_385, 32_768, 100_000):
        data = os.urandom(size)
        for step in (size, 1000, 16_384):
            blob_id = await store(blobs, *(data[at : at + step] for at in range(0, size, step)))
            assert await blobs.read(blob_id, 0, 200_000) == data
    await blobs.close()


async def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GATHERED", 16_384)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[: max(1, len(data) // 2)]))
    blobs = FileBlobs(tmp_path)
    data = os.urandom(40_000)
    blob_id = await store(blobs, data)
    assert await blobs.read(blob_id, 0, 40_000) == data
    await blobs.close()


async def test_a_failed_write_is_unavailable_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    blobs = FileBlobs(tmp_path)
    writer = await blobs.create()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Unavailable, match="No space"):
            await writer.write(bytes(files.GATHERED))
    await writer.abort()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert await listed(blobs) == {}
    await blobs.close()


async def test_two_handles_see_each_other_at_once(blobs: FileBlobs, tmp_path: Path) -> None:
    other = FileBlobs(tmp_path / "data")
    blob_id = await store(other, b"x")
    assert await blobs.read(blob_id, 0, 1) == b"x"
    await blobs.delete(blob_id)
    with pytest.raises(Gone):
        await other.read(blob_id, 0, 1)
    await other.close()


_DYING = """
import asyncio, pathlib, sys
from strongroom.store.files import FileBlobs
async def main():
    blobs = FileBlobs(pathlib.Path(sys.argv[1]))
    done = await blobs.create()
    await done.write(b"acknowledged")
    await done.commit()
    unfinished = await blobs.create()
    await unfinished.write(b"lost")
    print(done.blob_id, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def start_dying(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _DYING, folder], stdout=subprocess.PIPE, text=True)


async def test_a_killed_writer_leaves_what_it_committed_and_its_rest_is_swept(blobs: FileBlobs, tmp_path: Path) -> None:
    data = tmp_path / "data"
    alive = await blobs.create()
    await alive.write(b"still writing")
    with start_dying(data) as process:
        assert process.stdout is not None
        blob_id = (await asyncio.to_thread(process.stdout.readline)).strip()
        assert await blobs.sweep_unfinished() == 0  # both writers live
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
    assert await blobs.read(blob_id, 0, 99) == b"acknowledged"
    assert len(list((data / "tmp").iterdir())) == 2
    assert await blobs.sweep_unfinished() == 1
    await alive.commit()
    assert await blobs.read(alive.blob_id, 0, 99) == b"still writing"
    assert list((data / "tmp").iterdir()) == []
    assert (await listed(blobs)).keys() == {blob_id, alive.blob_id}


async def test_a_cancelled_create_leaves_nothing_open(blobs: FileBlobs, tmp_path: Path) -> None:
    for _ in range(10):
        task = asyncio.create_task(blobs.create())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await blobs.close()
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


_FULL = """
import asyncio, pathlib, resource, signal, sys
from strongroom.store.contract import Unavailable
from strongroom.store.files import FileBlobs
async def main():
    blobs = FileBlobs(pathlib.Path(sys.argv[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    writer = await blobs.create()
    try:
        await writer.write(b"x" * 200_000)
        await writer.commit()
    except Unavailable:
        await writer.abort()
    else:
        sys.exit("written beyond the limit")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer = await blobs.create()
    await writer.write(b"x" * 200_000)
    await writer.commit()
    assert await blobs.size(writer.blob_id) == 200_000
    await blobs.close()
asyncio.run(main())
"""


def test_a_full_disk_is_unavailable_and_passes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _FULL, tmp_path], check=True, timeout=30)
    assert list((tmp_path / "tmp").iterdir()) == []


async def _used_here(blobs: FileBlobs, blob_id: str, length: int) -> bool:
    here = threading.get_ident()
    used_here, seen = await blobs.read_with(blob_id, 0, length, lambda seen: (threading.get_ident() == here, bytes(seen)))
    assert len(seen) == length
    return used_here


async def test_little_that_was_read_before_is_read_without_a_thread(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    blob_id = await store(blobs, bytes(1 << 20))
    assert [await _used_here(blobs, blob_id, 65_536) for _ in range(3)] == [False, True, True]
    assert not await _used_here(blobs, blob_id, files.AT_ONCE + 1)
    real, asked = os.preadv, list[int]()

    def not_in_memory(descriptor: int, rooms: list[memoryview], offset: int, flags: int) -> int:
        """The system has the first page of it, and no more."""
        asked.append(flags)
        if flags and offset:
            raise BlockingIOError(errno.EAGAIN, "not in memory")
        with rooms[0][:4096] as page:
            return real(descriptor, [page] if flags else rooms, offset)

    monkeypatch.setattr(os, "preadv", not_in_memory)
    assert not await _used_here(blobs, blob_id, 65_536)
    assert asked == [os.RWF_NOWAIT, os.RWF_NOWAIT, 0]
    monkeypatch.undo()
    assert await _used_here(blobs, blob_id, 65_536)
    await blobs.delete(blob_id)
    with pytest.raises(Gone):
        await blobs.read_with(blob_id, 0, 65_536, len)


async def test_what_was_read_lately_is_bounded(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LATELY", 2)
    first, *others = [await store(blobs, b"x") for _ in range(3)]
    for blob_id in (first, *others):
        assert not await _used_here(blobs, blob_id, 1)
    assert not await _used_here(blobs, first, 1)
    assert await _used_here(blobs, others[1], 1)


async def test_no_descriptors_left_is_unavailable(blobs: FileBlobs) -> None:
    blob_id = await store(blobs, b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open("/dev/null", os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        with pytest.raises(Unavailable):
            await blobs.read(blob_id, 0, 1)
        with pytest.raises(Unavailable):
            await blobs.create()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await blobs.read(blob_id, 0, 1) == b"x"


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        FileBlobs(tmp_path / "file" / "data")
