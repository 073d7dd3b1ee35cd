"""What becomes unreadable when a KMS key goes: every version and every unfinished upload that is wrapped under it.

Reads rows and the clear part of their envelopes, and opens nothing. Never knows who asks or what a key's state is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from strongroom.api.errors import ApiError
from strongroom.kms.identifiers import parse
from strongroom.kms.names import KeyName
from strongroom.kms.notices import next_notice, told
from strongroom.s3.bucket_cache import ENCRYPTION, bucket_scope
from strongroom.s3.walking import every_bucket, every_upload, every_version
from strongroom.seal import SealError
from strongroom.seal.format import Envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strongroom.kms.ring import KeyRing
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import BucketRow

MOST_ROWS: Final = 1_000_000  # that upkeep looks at for one line of the log
_PAGE: Final = 100  # rows at a time beside requests: under a millisecond
_PAUSE: Final = 0.002  # seconds between such pages

_log = structlog.get_logger("strongroom.keys")


@dataclass(frozen=True, slots=True)
class Dependent:
    """One version, or one unfinished upload (then ``version_id`` is empty and ``size`` 0)."""

    bucket: str
    object_key: str
    version_id: str  # as clients see it: "null" for the null version
    upload_id: str
    size: int  # bytes of plaintext


@dataclass(slots=True)
class Count:
    versions: int = 0
    uploads: int = 0
    size: int = 0  # bytes of plaintext
    default: bool = False  # the key is the bucket's default: writes that name no key will fail

    def add(self, found: Dependent) -> None:
        if found.upload_id:
            self.uploads += 1
        else:
            self.versions += 1
            self.size += found.size


@dataclass(slots=True)
class Counts:
    """By bucket, only those that depend on the key at all. ``complete`` is false when the limit of rows was reached before the end."""

    buckets: dict[str, Count] = field(default_factory=dict[str, Count])
    complete: bool = True
    rows: int = 0  # that were looked at

    def of(self, bucket: str) -> Count:
        return self.buckets.setdefault(bucket, Count())

    @property
    def versions(self) -> int:
        return sum(count.versions for count in self.buckets.values())

    @property
    def uploads(self) -> int:
        return sum(count.uploads for count in self.buckets.values())

    @property
    def size(self) -> int:
        return sum(count.size for count in self.buckets.values())


class Dependents:
    def __init__(self, rooms: Rooms) -> None:
        self._catalog = rooms.catalog
        self._ring = rooms.keys.ring

    async def walk(
        self, key_arn: str, counts: Counts, *, bucket: str | None = None, most_rows: int | None = None, pause: float = 0.0
    ) -> AsyncIterator[Dependent]:
        """Every dependent, while ``counts`` is filled. Ends early after ``most_rows`` rows."""
        wanted = key_arn.encode()
        async for row in every_bucket(self._catalog, bucket):
            if await self._is_default(row, key_arn):
                counts.of(row.name).default = True
            async for upload in every_upload(self._catalog, row.bucket_id):
                counts.rows += 1
                if _is_under(upload.seal, wanted, key_arn):
                    found = Dependent(row.name, upload.object_key, "", upload.upload_id, 0)
                    counts.of(row.name).add(found)
                    yield found
            async for page in every_version(self._catalog, row.bucket_id, page=_PAGE if pause else 500):
                if most_rows is not None and counts.rows + len(page) > most_rows:
                    counts.complete = False
                    return
                counts.rows += len(page)
                for version in page:
                    if wanted in version.seal and _is_under(version.seal, wanted, key_arn):
                        shown = "null" if version.null_version else version.version_id
                        found = Dependent(row.name, version.object_key, shown, "", version.size)
                        counts.of(row.name).add(found)
                        yield found
                if pause:
                    await asyncio.sleep(pause)

    async def count(self, key_arn: str, *, most_rows: int | None = None, pause: float = 0.0) -> Counts:
        counts = Counts()
        async for _ in self.walk(key_arn, counts, most_rows=most_rows, pause=pause):
            pass
        return counts

    async def _is_default(self, row: BucketRow, key_arn: str) -> bool:
        rule: Any = await self._catalog.document(bucket_scope(row.bucket_id), ENCRYPTION)
        named: Any = None if rule is None else rule["kms_key"]
        return isinstance(named, str) and await _arn_of(self._ring, row, named) == key_arn

    async def tell_scheduled(self) -> int:
        """For upkeep: log, for each key whose deletion was scheduled, what becomes unreadable with it. How many keys there were."""
        count = 0
        while (name := await next_notice(self._catalog)) is not None:
            record = await self._ring.key(name, self._ring.now_ms())
            if record is not None and record.state == "PendingDeletion":  # else it was cancelled, or is over
                counts = await self.count(name.arn, most_rows=MOST_ROWS, pause=_PAUSE)
                _log.warning(
                    "key deletion scheduled",
                    key=name.arn,
                    deletion_ms=record.deletion_ms,
                    versions=counts.versions,
                    uploads=counts.uploads,
                    bytes=counts.size,
                    buckets=sorted(counts.buckets),
                    complete=counts.complete,
                )
            await told(self._catalog, name)
            count += 1
        return count


async def _arn_of(ring: KeyRing, row: BucketRow, named: str) -> str | None:
    """The ARN of the key that a bucket's rule names; None when it names none that is there."""
    try:
        name = parse(named, row.account_id, row.region)
    except ApiError:
        return None
    if isinstance(name, KeyName):
        return name.arn
    found = await ring.alias(name, ring.now_ms())
    return None if found is None else found[1].name.arn


def _is_under(sealed: bytes, wanted: bytes, key_arn: str) -> bool:
    """An envelope that names the key but does not decode is counted: rather one too many."""
    if wanted not in sealed:
        return False
    try:
        return Envelope.decode(sealed).key_arn == key_arn
    except SealError:
        return True
