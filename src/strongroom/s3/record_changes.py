"""Changing the sealed record of a stored version, and nothing else: no byte, time, ETag or version id. It needs no key of KMS.

The record is read and written inside the transaction, so of two changes at the same time none is lost. Never knows what is changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.reading import find_version_for
from strongroom.store.contract import Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction, VersionRow

TRIES: Final = 4  # looks at a version that others replace at the same time


async def change_record(
    call: Call, rooms: Rooms, bucket: Bucket, change: Callable[[ObjectMeta], None], method: str = "PUT"
) -> VersionRow:
    """Let ``change`` alter the record of the version that a call means; the version's row as it was before.

    ``change`` runs in the transaction and may raise ApiError, which leaves all as it was. ``method``: of the call, for the error that
    names it. Raises ApiError as ``find_version_for``, OperationAborted.
    """
    for _ in range(TRIES):
        row = await find_version_for(call, rooms, bucket, call.input, method)
        try:
            await rooms.catalog.write(partial(change_in, bucket=bucket, row=row, change=change))
        except Gone:
            continue
        return row
    raise ApiError("OperationAborted")


def change_in(tx: Transaction, bucket: Bucket, row: VersionRow, change: Callable[[ObjectMeta], None]) -> None:
    """Inside a transaction. Raises Gone when the version has been removed or replaced meanwhile, SealError when it is not as written."""
    now = tx.version(bucket.bucket_id, row.object_key, row.version_id)
    if now is None:
        raise Gone("the version is gone")
    meta = ObjectMeta.open(bucket, now)
    change(meta)
    record = meta.seal(bucket, now.object_key, now.version_id, size=now.size, seal=now.seal, manifest=now.manifest)
    tx.reseal_version(now, seal=now.seal, meta=record)
