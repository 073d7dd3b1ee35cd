"""Moves objects from one KMS key to another, or to the newest material of their key: only the wrapping of data keys changes.

No body is read or written; ETag, times, size and version stay. Works in batches of one commit each; a row that changed meanwhile is left to
the next run. What is right already is skipped, so a run that broke off is simply started again. Acts with the operator's authority.
Never knows how progress is shown.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from strongroom.kms.blob import BlobError
from strongroom.kms.operating import KeyProblem, check_encrypts
from strongroom.s3.bucket_cache import bare_bucket
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.operator_keys import MissingKey, OperatorKeys
from strongroom.s3.walking import every_bucket, every_upload, every_version
from strongroom.seal import SealError
from strongroom.seal.format import Envelope, Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.kms.records import KeyRecord
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction, VersionRow

BATCH: Final = 256  # rows of one commit: some ten milliseconds in which no other process may write
_KEK: Final = 32
_MOST_SHARED: Final = 10_000  # objects under one bucket key of ours


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be moved: objects under ``source`` (None: under any KMS key) to ``target`` (None: the newest material of their own).

    Without a target, objects of SSE-S3 are moved to S3's newest service key as well.
    """

    source: KeyRecord | None
    target: KeyRecord | None


@dataclass(frozen=True, slots=True)
class Left:
    """A version that could not be moved, and why."""

    bucket: str
    object_key: str
    version_id: str
    why: str


@dataclass(slots=True)
class Tally:
    looked_at: int = 0  # versions
    moved: int = 0
    right: int = 0  # that are where they should be already
    others: int = 0  # under another key or mode, which the order does not mean
    changed: int = 0  # that were written by somebody else meanwhile
    left: int = 0  # that could not be moved
    uploads: int = 0  # unfinished, under the key to be left: they have to be completed or aborted
    complete: bool = False  # the walk came to its end


@dataclass(frozen=True, slots=True)
class _Prepared:
    row: VersionRow
    seal: bytes = field(repr=False)
    meta: bytes = field(repr=False)


class Rewrapping:
    def __init__(self, rooms: Rooms, order: Order, *, dry_run: bool = False) -> None:
        """Raises KeyProblem when nothing can be moved to the target."""
        if order.target is not None:
            check_encrypts(order.target)
        self._rooms = rooms
        self._catalog = rooms.catalog
        self._keys = OperatorKeys(rooms.keys)
        self._order = order
        self.dry_run = dry_run
        self.tally = Tally()
        self._bucket_keys: dict[tuple[str, str, tuple[tuple[str, str], ...]], tuple[bytes, bytes]] = {}
        self._shared = 0

    async def run(
        self,
        bucket: str | None,
        prefix: str = "",
        *,
        stop: Callable[[], bool] = lambda: False,
        seen: Callable[[str], None] = lambda _where: None,
        leave: Callable[[Left], None] = lambda _left: None,
    ) -> None:
        """``stop`` is asked between batches; ``seen`` is told of each, ``leave`` of each version that cannot be moved.

        Raises KeyProblem when the target is in another Region than a bucket.
        """
        async for row in every_bucket(self._catalog, bucket):
            if self._order.target is not None and self._order.target.name.region != row.region:
                raise KeyProblem(f"{self._order.target.name.arn} is in another Region than the bucket {row.name} ({row.region})")
            self._bucket_keys.clear()
            where = bare_bucket(row, self._rooms.keys)
            committing: asyncio.Task[None] | None = None
            try:
                async for page in every_version(self._catalog, row.bucket_id, prefix, page=BATCH):
                    await self._check_target()
                    prepared = [each for each in [await self._prepare(where, version, leave) for version in page] if each]
                    if committing is not None:  # the disk works on a batch while the next one is prepared
                        await committing
                        committing = None
                    if prepared and not self.dry_run:
                        committing = asyncio.create_task(self._commit(prepared))
                        await asyncio.sleep(0)
                    self.tally.moved += len(prepared)
                    self.tally.looked_at += len(page)
                    seen(row.name)
                    if stop():
                        return
            finally:
                if committing is not None:
                    await committing
            await self._count_uploads(row.bucket_id, prefix)
        self.tally.complete = True

    async def _check_target(self) -> None:
        """It may have been disabled since the last batch. Raises KeyProblem."""
        if self._order.target is not None:
            target = await self._keys.operating.key(self._order.target.name.arn)
            if target is None:
                raise KeyProblem(f"{self._order.target.name.arn} is gone")
            check_encrypts(target)
            self._order = replace(self._order, target=target)

    async def _prepare(self, bucket: Bucket, row: VersionRow, leave: Callable[[Left], None]) -> _Prepared | None:
        if row.delete_marker:
            return None
        try:
            envelope = Envelope.decode(row.seal)
            return await self._rewrapped(bucket, row, envelope) if await self._is_meant(envelope) else None
        except MissingKey as error:
            why = str(error)
        except (SealError, BlobError) as error:
            why = str(error) or "KMS's ciphertext is none"
        except KeyProblem as error:
            why = str(error)
        self.tally.left += 1
        leave(Left(bucket.name, row.object_key, row.version_id, why))
        return None

    async def _is_meant(self, envelope: Envelope) -> bool:
        """Whether there is anything to do, judged by the clear part alone."""
        order = self._order
        if envelope.mode not in {Mode.SSE_KMS, Mode.DSSE_KMS}:
            if envelope.mode == Mode.SSE_S3 and order.target is None and order.source is None:
                right = envelope.key_id == self._rooms.keys.service_key().key_id
                self.tally.right += right
                return not right
            self.tally.others += 1
            return False
        if order.target is not None and envelope.key_arn == order.target.name.arn:
            self.tally.right += 1
            return False
        if order.source is not None and envelope.key_arn != order.source.name.arn:
            self.tally.others += 1
            return False
        if order.target is None:
            record = await self._keys.operating.key(envelope.key_arn)
            if record is not None and self._keys.operating.material_of(envelope.kms_wrapped) == record.current:
                self.tally.right += 1
                return False
        return True

    async def _rewrapped(self, bucket: Bucket, row: VersionRow, envelope: Envelope) -> _Prepared:
        """Raises MissingKey, SealError, BlobError, KeyProblem."""
        opened = await self._keys.open(bucket, row.object_key, row.version_id, row.seal, row.manifest, envelope)
        key = opened.key
        assert key is not None  # of the modes that are meant, the operator opens all
        if key.mode == Mode.SSE_S3:
            service = self._rooms.keys.service_key()
            key = replace(key, kek=service.key, envelope=key.envelope._replace(key_id=service.key_id))
        else:
            target = self._order.target or opened.record
            assert target is not None
            kek, wrapped = await self._kek(target, bucket, row.object_key, key.envelope)
            key = replace(key, kek=kek, envelope=key.envelope._replace(key_arn=target.name.arn, kms_wrapped=wrapped))
        seal = key.bound(bucket.bucket_id, row.object_key, row.version_id, row.manifest, self._rooms.random)
        return _Prepared(row, seal, ObjectMeta.resealed(bucket, row, seal))

    async def _kek(self, target: KeyRecord, bucket: Bucket, object_key: str, envelope: Envelope) -> tuple[bytes, bytes]:
        """A wrapping key and KMS's ciphertext of it: of this object alone, or shared as the bucket key was that it replaces."""
        context = self._keys.context(bucket, object_key, envelope)
        if not envelope.bucket_key:
            kek = self._rooms.random(_KEK)
            return kek, await self._keys.operating.wrap(target, kek, context)
        shared = (target.name.arn, target.current, tuple(sorted(context.items())))  # the context names the bucket
        if self._shared == _MOST_SHARED:
            self._bucket_keys.clear()
        found = self._bucket_keys.get(shared)
        if found is None:
            kek = self._rooms.random(_KEK)
            found = self._bucket_keys[shared] = (kek, await self._keys.operating.wrap(target, kek, context))
            self._shared = 0
        check_encrypts(target)
        self._shared += 1
        return found

    async def _commit(self, prepared: list[_Prepared]) -> None:
        def work(tx: Transaction) -> int:
            changed = 0
            for each in prepared:
                now = tx.version(each.row.bucket_id, each.row.object_key, each.row.version_id)
                # Deleted, replaced, wrapped anew or tagged by somebody else: what we have prepared would undo that.
                if now is None or (now.seal, now.meta) != (each.row.seal, each.row.meta):
                    changed += 1
                else:
                    tx.reseal_version(now, seal=each.seal, meta=each.meta)
            return changed

        changed = await self._catalog.write(work)
        self.tally.changed += changed
        self.tally.moved -= changed

    async def _count_uploads(self, bucket_id: str, prefix: str) -> None:
        """Unfinished uploads are wrapped when they are completed: they keep the key they were begun under."""
        order = self._order
        async for upload in every_upload(self._catalog, bucket_id, prefix):
            try:
                arn = Envelope.decode(upload.seal).key_arn
            except SealError:  # nothing that anybody could complete
                continue
            if order.target is not None and arn not in {"", order.target.name.arn}:
                self.tally.uploads += order.source is None or arn == order.source.name.arn
