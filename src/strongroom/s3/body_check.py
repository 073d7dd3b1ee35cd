"""Whether one sealed stream is whole: its length, and with its data key every segment. Nothing of it is kept.

Never knows rows, or where the data key comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.seal import Forged, Truncated
from strongroom.seal.format import blob_associated_data
from strongroom.seal.stream import HEADER, SEGMENT, Opener, open_whole, sealed_size

if TYPE_CHECKING:
    from strongroom.seal.format import Piece
    from strongroom.store.contract import Blobs

WINDOW: Final = 32 * SEGMENT  # bytes read at a time


async def check_piece(blobs: Blobs, piece: Piece, in_row: bytes | None, data_key: bytes | None) -> int:
    """How many bytes of plaintext were opened: 0 without a data key, when only the length is looked at.

    Raises SealError, which names the segment, and store.Gone, store.Unavailable.
    """
    wanted = sealed_size(piece.size)
    length = await blobs.size(piece.blob_id) if in_row is None else len(in_row)
    what = f"blob {piece.blob_id}" if in_row is None else "the body in the row"
    if length != wanted:
        raise Truncated(f"{what} has {length} bytes instead of {wanted}")
    if data_key is None:
        return 0
    bound = blob_associated_data(piece.blob_id, piece.part_number)
    if in_row is not None:
        try:
            open_whole(data_key, bound, in_row)
        except Forged:
            raise Forged(f"{what} is not authentic") from None
        return piece.size
    opener = Opener(data_key, bound, await blobs.read(piece.blob_id, 0, HEADER), length)
    for offset in range(0, length, WINDOW):
        sealed = await blobs.read(piece.blob_id, offset, min(WINDOW, length - offset))
        try:
            opener.open_buffer(offset // SEGMENT, sealed)
        except Forged:
            raise Forged(f"{what}: segment {_first_forged(opener, offset // SEGMENT, sealed)} is not authentic") from None
    return piece.size


def _first_forged(opener: Opener, first: int, sealed: bytes) -> int:
    view = memoryview(sealed)
    for index in range(-(-len(view) // SEGMENT)):
        try:
            opener.open_buffer(first + index, view[index * SEGMENT : (index + 1) * SEGMENT])
        except Forged:
            return first + index
    return first
