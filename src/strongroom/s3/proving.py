"""Whether the data keys of stored versions and uploads open, with the operator's authority. Opens no body and changes nothing.

Never knows where the root key came from, nor who may read an object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.kms.contract import ProviderError
from strongroom.s3.bucket_cache import bare_bucket
from strongroom.s3.operator_keys import MissingKey, OperatorKeys
from strongroom.s3.uploads import upload_place
from strongroom.s3.walking import every_bucket, every_upload, every_version
from strongroom.seal import SealError

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import BucketRow

_SHOWN: Final = 20


@dataclass(slots=True)
class Proof:
    """What was tried. Of an object under a customer's own key (SSE-C) only our layer can be: it is the lock around the customer's."""

    opened: int = 0
    total: int = 0  # versions with a body, and uploads, tried or not
    failed: int = 0
    faults: list[str] = field(default_factory=list[str])  # the first few


class Proving:
    def __init__(self, rooms: Rooms) -> None:
        self._catalog = rooms.catalog
        self._data_keys = rooms.keys
        self._keys = OperatorKeys(rooms.keys)

    async def walk(self, most: int | None, progress: Callable[[int, str], None] = lambda _done, _where: None) -> Proof:
        """``most``: about so many, spread evenly over all; None: every one."""
        step = 1
        if most is not None:
            total = 0
            async for row in every_bucket(self._catalog):
                total += await self._catalog.count_versions(row.bucket_id)
            step = max(1, -(-total // most))
        proof = Proof()
        async for row in every_bucket(self._catalog):
            async for upload in every_upload(self._catalog, row.bucket_id):
                await self._try(proof, row, upload.object_key, upload_place(upload.upload_id), upload.seal, b"", step)
            async for page in every_version(self._catalog, row.bucket_id):
                for version in page:
                    if not version.delete_marker:
                        await self._try(proof, row, version.object_key, version.version_id, version.seal, version.manifest, step)
                progress(proof.total, row.name)
        return proof

    async def _try(
        self, proof: Proof, row: BucketRow, object_key: str, place: str, seal: bytes, manifest: bytes, step: int
    ) -> None:
        proof.total += 1
        if (proof.total - 1) % step:
            return
        try:
            await self._keys.open(bare_bucket(row, self._data_keys), object_key, place, seal, manifest)
        except (SealError, MissingKey, ProviderError, LookupError, ValueError) as error:
            proof.failed += 1
            if len(proof.faults) < _SHOWN:
                proof.faults.append(f"{row.name}/{object_key} ({place}): {error or type(error).__name__}")
        else:
            proof.opened += 1
