"""Whether one sealed stream is whole: its length, and with its data keys every segment. Nothing of it is kept.

Never knows rows, where data keys come from, or how many layers there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.seal import Forged, Truncated
from strongroom.seal.stream import FIRST_PLAIN, PLAIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from strongroom.seal.format import Piece
    from strongroom.seal.layers import LayeredOpener, Layers
    from strongroom.store.contract import Blobs

WINDOW: Final = 30  # segments read at a time; with what an outer layer adds, still 2 MiB on the disk


async def check_length(blobs: Blobs, piece: Piece, in_row: bytes | None, layers: Layers) -> None:
    """``layers`` may hold any keys: only their number counts. Raises Truncated, store.Gone, store.Unavailable."""
    wanted = layers.sealed_size(piece.size)
    length = await blobs.size(piece.blob_id) if in_row is None else len(in_row)
    if length != wanted:
        raise Truncated(f"{_named(piece, in_row)} has {length} bytes instead of {wanted}")


async def check_segments(
    blobs: Blobs, piece: Piece, in_row: bytes | None, layers: Layers, pace: Callable[[int], Awaitable[None]] | None = None
) -> None:
    """Of a stream of the right length. ``pace`` is told how many bytes are read next, and may wait.

    Raises SealError, which names the segment, and store.Gone, store.Unavailable.
    """
    if in_row is not None:
        if pace is not None:
            await pace(len(in_row))
        try:
            layers.open_whole(piece, in_row)
        except Forged:
            raise Forged(f"{_named(piece, in_row)} is not authentic") from None
        return
    try:
        opener = layers.opener(piece, await blobs.read(piece.blob_id, 0, layers.head_size(piece.size)))
    except Forged:
        raise Forged(f"{_named(piece, in_row)}: its head is not authentic") from None
    for first, last in _ranges(piece.size, WINDOW):
        if pace is not None:
            await pace(last - first + 1)
        try:
            await _open(blobs, piece, layers, opener, first, last)
        except Forged:
            segment = await _first_forged(blobs, piece, layers, opener, first, last)
            raise Forged(f"{_named(piece, in_row)}: segment {segment} is not authentic") from None


async def _open(blobs: Blobs, piece: Piece, layers: Layers, opener: LayeredOpener, first: int, last: int) -> None:
    plan = layers.plan(piece.size, first, last)

    def use(sealed: memoryview) -> None:
        opener.open(plan, sealed)

    await blobs.read_with(piece.blob_id, plan.offset, plan.length, use)


async def _first_forged(blobs: Blobs, piece: Piece, layers: Layers, opener: LayeredOpener, first: int, last: int) -> int:
    """Its number in the innermost layer."""
    for start, end in _ranges(piece.size, 1):
        if first <= start <= last:
            try:
                await _open(blobs, piece, layers, opener, start, end)
            except Forged:
                return _segment(start)
    return _segment(first)


def _ranges(size: int, segments: int) -> Iterator[tuple[int, int]]:
    """The plaintext in runs of so many whole segments: first and last byte. An empty one is one run, (0, -1)."""
    first = 0
    while first < size or first == 0:
        last = min(size, FIRST_PLAIN + (_segment(first) + segments - 1) * PLAIN) - 1
        yield first, last
        if last < 0:
            return
        first = last + 1


def _segment(plain: int) -> int:
    return 0 if plain < FIRST_PLAIN else 1 + (plain - FIRST_PLAIN) // PLAIN


def _named(piece: Piece, in_row: bytes | None) -> str:
    return f"blob {piece.blob_id}" if in_row is None else "the body in the row"
