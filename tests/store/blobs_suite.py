"""What every Blobs must do, from the contract alone. A subclass gives the fixture ``blobs``."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from typing import TYPE_CHECKING

import pytest

from strongroom.store.contract import LEAST_ROOM, Gone, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.store.contract import Blobs, BlobWriter


async def store(blobs: Blobs, *pieces: bytes) -> str:
    writer = await blobs.create()
    for piece in pieces:
        await writer.write(piece)
    await writer.commit()
    return writer.blob_id


async def listed(blobs: Blobs) -> dict[str, int]:
    return {blob_id: committed_ms async for blob_id, committed_ms, _ in blobs.list()}


class BlobsSuite:
    async def test_what_was_written_is_read_in_any_range(self, blobs: Blobs) -> None:
        data = os.urandom(300_000)
        view = memoryview(bytearray(data))
        writer = await blobs.create()
        assert re.fullmatch("[0-9a-f]{32}", writer.blob_id)
        await writer.write(data[:1])
        await writer.write(view[1:200_000])
        await writer.write(bytearray())
        await writer.write(bytearray(data[200_000:]))
        await writer.commit()
        assert await blobs.size(writer.blob_id) == len(data)
        for offset, length in (
            (0, 300_000),
            (0, 1),
            (299_999, 1),
            (100, 65_536),
            (299_990, 100),
            (300_000, 5),
            (400_000, 5),
            (7, 0),
        ):
            assert await blobs.read(writer.blob_id, offset, length) == data[offset : offset + length]

    async def test_what_is_read_is_used_in_a_thread_unless_it_is_little(self, blobs: Blobs) -> None:
        data = os.urandom(5 << 20)
        blob_id = await store(blobs, data)
        here = threading.get_ident()

        def use(seen: memoryview) -> tuple[bool, bytes]:
            return threading.get_ident() == here, bytes(seen)

        for offset, length in (
            (0, 5 << 20),
            (0, 6 << 20),
            (17, 2 << 20),
            (100, 65_537),
            ((5 << 20) - 5, 6),
            (9 << 20, 5),
            (7, 0),
        ):
            here_used, seen = await blobs.read_with(blob_id, offset, length, use)
            assert seen == data[offset : offset + length]
            assert not here_used or length < 1 << 20
        many = await asyncio.gather(*(blobs.read_with(blob_id, at, 300_000, use) for at in range(0, 5 << 20, 77_777)))
        assert [seen for _, seen in many] == [data[at : at + 300_000] for at in range(0, 5 << 20, 77_777)]

        def fail(_seen: memoryview) -> None:
            raise LookupError("use")

        with pytest.raises(LookupError, match="use"):
            await blobs.read_with(blob_id, 0, 10, fail)
        with pytest.raises(Gone):
            await blobs.read_with("00" * 16, 0, 1, use)

    async def test_a_source_fills_the_room_it_is_given(self, blobs: Blobs) -> None:
        """Beside what is written, in any amounts, and never with less room than the contract says."""
        data = os.urandom(9 << 20)
        rooms: list[int] = []
        at = 0

        def source(most: int, end: int) -> Callable[[memoryview], int]:
            def fill(room: memoryview) -> int:
                nonlocal at
                rooms.append(len(room))
                count = min(most, len(room), end - at)
                room[:count] = data[at : at + count]
                at += count
                return count

            return fill

        writer = await blobs.create()
        await writer.fill(source(1 << 30, 3 << 20))
        await writer.fill(source(1000, at + 100_000))
        await writer.write(data[at : at + 77_777])
        at += 77_777
        await writer.fill(source(65_536, 8 << 20))
        await writer.fill(source(1, at))
        await writer.write(data[at:])
        await writer.commit()
        assert min(rooms) >= LEAST_ROOM
        assert await blobs.read(writer.blob_id, 0, 10 << 20) == data
        with pytest.raises(Unavailable):
            await writer.fill(source(1, 0))

    async def test_what_a_source_raises_comes_through_and_leaves_nothing(self, blobs: Blobs) -> None:
        def source(room: memoryview) -> int:
            room[:5] = b"begun"
            raise LookupError("source")

        writer = await blobs.create()
        with pytest.raises(LookupError, match="source"):
            await writer.fill(source)
        await writer.abort()
        assert await listed(blobs) == {}

    async def test_an_empty_blob_is_a_blob(self, blobs: Blobs) -> None:
        blob_id = await store(blobs)
        assert await blobs.size(blob_id) == 0
        assert await blobs.read(blob_id, 0, 10) == b""
        assert list(await listed(blobs)) == [blob_id]

    async def test_nothing_is_visible_before_the_commit(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        await writer.write(b"x" * 100_000)
        with pytest.raises(Gone):
            await blobs.size(writer.blob_id)
        with pytest.raises(Gone):
            await blobs.read(writer.blob_id, 0, 1)
        assert await listed(blobs) == {}
        await writer.commit()
        assert list(await listed(blobs)) == [writer.blob_id]

    async def test_an_aborted_blob_never_was(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        await writer.write(b"x")
        await writer.abort()
        await writer.abort()
        with pytest.raises(Gone):
            await blobs.size(writer.blob_id)
        for late in (writer.write(b"y"), writer.commit()):
            with pytest.raises(Unavailable):
                await late
        assert await listed(blobs) == {}

    async def test_an_abort_after_the_commit_is_harmless(self, blobs: Blobs) -> None:
        writer: BlobWriter = await blobs.create()
        await writer.write(b"x")
        await writer.commit()
        await writer.abort()
        assert await blobs.read(writer.blob_id, 0, 5) == b"x"

    async def test_a_deleted_blob_is_gone(self, blobs: Blobs) -> None:
        kept, deleted = await store(blobs, b"kept"), await store(blobs, b"deleted")
        assert await blobs.read(deleted, 0, 9) == b"deleted"
        await blobs.delete(deleted)
        await blobs.delete(deleted)
        with pytest.raises(Gone):
            await blobs.read(deleted, 0, 9)
        with pytest.raises(Gone):
            await blobs.size(deleted)
        assert list(await listed(blobs)) == [kept]

    @pytest.mark.parametrize(
        "blob_id", ["0" * 32, "", "..", "../../../../etc/passwd", "A" * 32, "0" * 31, "0" * 33, "00/" + "0" * 29, "0" * 32 + "\n"]
    )
    async def test_an_id_that_names_no_blob_is_gone(self, blobs: Blobs, blob_id: str) -> None:
        await store(blobs, b"x")
        with pytest.raises(Gone):
            await blobs.read(blob_id, 0, 1)
        with pytest.raises(Gone):
            await blobs.size(blob_id)
        await blobs.delete(blob_id)
        assert len(await listed(blobs)) == 1

    async def test_the_list_tells_when_each_blob_was_committed(self, blobs: Blobs) -> None:
        writer = await blobs.create()
        await writer.write(b"x")
        before = time.time_ns() // 1_000_000 - 20  # a file system's clock ticks slower
        await writer.commit()
        after = time.time_ns() // 1_000_000 + 1
        other = await store(blobs, b"y")
        found = await listed(blobs)
        assert found.keys() == {writer.blob_id, other}
        assert before <= found[writer.blob_id] <= after

    async def test_many_are_written_at_once(self, blobs: Blobs) -> None:
        contents = [os.urandom(50_000) for _ in range(40)]
        blob_ids = await asyncio.gather(*(store(blobs, content[:10], content[10:]) for content in contents))
        assert len(set(blob_ids)) == 40
        assert await asyncio.gather(*(blobs.read(blob_id, 0, 60_000) for blob_id in blob_ids)) == contents

    async def test_a_cancelled_write_can_be_aborted_at_once(self, blobs: Blobs) -> None:
        for _ in range(20):
            writer = await blobs.create()
            task = asyncio.create_task(writer.write(b"x" * (4 << 20)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await writer.abort()
        assert await listed(blobs) == {}

    async def test_after_close_nothing_is_done(self, blobs: Blobs) -> None:
        blob_id = await store(blobs, b"x")
        await blobs.close()
        await blobs.close()
        with pytest.raises(Unavailable):
            await blobs.read(blob_id, 0, 1)
        with pytest.raises(Unavailable):
            await blobs.create()
