"""A range of a stored body as plaintext: read and opened in threads, a window at a time, some windows ahead of whoever takes them.

A window is handed on when all of it was authentic, and in its turn. Never knows rows, keys' whereabouts, or who reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from strongroom.seal.stream import FIRST_PLAIN, PLAIN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from strongroom.api.operation import BodyPart
    from strongroom.s3.conditions import ByteRange
    from strongroom.seal.format import Piece
    from strongroom.seal.layers import LayeredOpener, Layers, Plan
    from strongroom.store.contract import Blobs

WINDOW: Final = 16  # segments read, opened and sent at a time: 1 MiB
LAYERED_WINDOW: Final = (
    30  # the same with an outer layer, whose segments at a window's borders are opened twice: 2 MiB on the disk
)
WHOLE_MOST: Final = 192 << 10  # bytes of a body that is read and opened in one step
AHEAD: Final = 2  # windows that are read and opened while another is on its way to the client


@dataclass(frozen=True, slots=True)
class _Window:
    """A run of plaintext inside one piece whose segments are read and opened together."""

    piece: Piece
    plan: Plan


class Windows:
    """The body of one version: its pieces, in order, under its open data keys. For one range at a time."""

    def __init__(self, blobs: Blobs, layers: Layers, pieces: list[Piece]) -> None:
        self._blobs = blobs
        self._layers = layers
        self._pieces = pieces
        self._opening: tuple[str, asyncio.Future[LayeredOpener]] | None = None  # of the piece that is being read, by its blob id

    async def read(self, wanted: ByteRange) -> bytes | AsyncIterator[BodyPart]:
        """The bytes of a range that is not empty; the first of them are open when it returns. Raises SealError, store.Gone."""
        if len(self._pieces) == 1 and wanted.length == self._pieces[0].size <= WHOLE_MOST:
            return await self._whole(self._pieces[0])
        windows = self._cut(wanted)
        first, second = next(windows), next(windows, None)
        if second is None:
            return bytes(await self._open(first))
        ahead: deque[asyncio.Future[bytes | bytearray]] = deque()
        ahead.extend(asyncio.ensure_future(self._open(window)) for window in (first, second))
        parts = self._stream(ahead, windows)
        return _Resumed(await anext(parts), parts)

    async def _whole(self, piece: Piece) -> bytes:
        """With a byte more than there should be, to see that there is none."""
        layers = self._layers

        def use(sealed: memoryview) -> bytes:
            return layers.open_whole(piece, sealed)

        return await self._blobs.read_with(piece.blob_id, 0, layers.sealed_size(piece.size) + 1, use)

    async def _stream(
        self, ahead: deque[asyncio.Future[bytes | bytearray]], windows: Iterator[_Window]
    ) -> AsyncGenerator[BodyPart, None]:
        try:
            while ahead:
                part = await ahead[0]
                ahead.popleft()
                while len(ahead) < AHEAD and (following := next(windows, None)) is not None:
                    ahead.append(asyncio.ensure_future(self._open(following)))
                yield part
        finally:
            for opening in ahead:
                opening.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _open(self, window: _Window) -> bytes | bytearray:
        piece, plan, layers = window.piece, window.plan, self._layers
        opener = None if plan.offset == 0 else await self._opener(piece)

        def use(sealed: memoryview) -> bytes | bytearray:
            mine = layers.opener(piece, bytes(sealed[: layers.head_size(piece.size)])) if opener is None else opener.twin()
            return mine.open(plan, sealed)

        ends = plan.offset + plan.length == layers.sealed_size(piece.size)  # then a byte more, to see that there is none
        return await self._blobs.read_with(piece.blob_id, plan.offset, plan.length + ends, use)

    async def _opener(self, piece: Piece) -> LayeredOpener:
        """Made once for a piece, when first asked for."""
        if self._opening is None or self._opening[0] != piece.blob_id:
            self._opening = piece.blob_id, asyncio.ensure_future(self._make_opener(piece))
        return await self._opening[1]

    async def _make_opener(self, piece: Piece) -> LayeredOpener:
        return self._layers.opener(piece, await self._blobs.read(piece.blob_id, 0, self._layers.head_size(piece.size)))

    def _cut(self, wanted: ByteRange) -> Iterator[_Window]:
        start = 0
        segments = WINDOW if self._layers.outer is None else LAYERED_WINDOW
        for piece in self._pieces:
            first, last = max(wanted.first - start, 0), min(wanted.last - start, piece.size - 1)
            start += piece.size
            while first <= last:
                # Windows end where a segment ends, so that no segment of the inner layer is read or opened twice.
                segment = 0 if first < FIRST_PLAIN else 1 + (first - FIRST_PLAIN) // PLAIN
                end = min(last, FIRST_PLAIN + (segment + segments - 1) * PLAIN - 1)
                yield _Window(piece, self._layers.plan(piece.size, first, end))
                first = end + 1


class _Resumed:
    """A stream whose first part was taken already. Closing ends all of it, begun or not, and lets its memory go at once."""

    __slots__ = ("_first", "_rest")

    def __init__(self, first: BodyPart, rest: AsyncGenerator[BodyPart, None]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[BodyPart]:
        return self

    async def __anext__(self) -> BodyPart:
        first = self._first
        if first:
            self._first = b""
            return first
        return await self._rest.__anext__()

    async def aclose(self) -> None:
        self._first = b""
        await self._rest.aclose()
