"""Verifies a whole store, with a server on it or without: every row, envelope, record, manifest, key, blob and segment.

Changes nothing. Whatever looks wrong is read again before it is judged, so that what a running server replaces meanwhile is no
finding. Memory is bounded, however large the store is. Never knows how findings are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.s3 import annotation_records
from strongroom.s3.body_check import check_length, check_segments
from strongroom.s3.bucket_cache import ENCRYPTION, Bucket, bare_bucket, bucket_scope
from strongroom.s3.encryption import BucketEncryption
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.operator_keys import MissingKey, OpenKeys, OperatorKeys, lengths
from strongroom.s3.uploads import PartRecord, UploadRecord, upload_place
from strongroom.s3.versions import IN_ROW, milliseconds, stored_blobs
from strongroom.s3.walking import every_bucket, every_part, every_upload, every_version
from strongroom.seal import SealError
from strongroom.seal.format import decode_manifest
from strongroom.store.blob_set import BlobSet
from strongroom.store.contract import Gone, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from strongroom.kms.service_keys import KeyFault
    from strongroom.s3.rooms import Rooms
    from strongroom.seal.format import Piece
    from strongroom.store.contract import BucketRow, PartRow, UploadRow, VersionRow

_TRIES: Final = 5  # looks at one row that changes under our eyes
_BATCH: Final = 500  # blobs
SETTLING_MS: Final = 3_600_000  # a blob without a row that is younger may be that of a request under way
_STATES: Final = {"Disabled": "key-disabled", "PendingDeletion": "key-pending-deletion"}  # of a KMS key -> kind of finding


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``kind``: corrupt, missing, orphaned, unreadable, or key-… with what the matter is with a KMS key."""

    kind: str
    why: str
    bucket: str = ""
    object_key: str = ""
    version_id: str = ""  # the row's own
    upload_id: str = ""
    part_number: int | None = None
    blob_id: str = ""
    key: str = ""  # a key of the server's or of KMS

    @property
    def what(self) -> str:
        """The thing, in one line."""
        if self.key:
            return self.key
        if not self.bucket:
            return f"blob {self.blob_id}"
        where = f"{self.bucket}/{self.object_key}" if self.object_key else f"bucket {self.bucket}"
        if self.upload_id:
            where += f" upload {self.upload_id}"
        if self.version_id:
            where += f" version {self.version_id}"
        return where + ("" if self.part_number is None else f" part {self.part_number}")


@dataclass(slots=True)
class Tally:
    """What has been looked at so far."""

    buckets: int = 0
    versions: int = 0
    uploads: int = 0
    parts: int = 0
    size: int = 0  # bytes of plaintext whose segments were opened
    customer_locked: int = 0  # streams whose segments only the client's key opens
    blobs: int = 0
    waiting: int = 0  # blobs that were given up and wait for upkeep
    settling: int = 0  # young blobs that no row names yet
    findings: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class Named:
    """Where the blobs that rows name are collected; None when not all rows are walked."""

    blobs: BlobSet | None

    def add(self, manifest: bytes) -> None:
        if self.blobs is not None:
            self.blobs.add(stored_blobs(manifest))


class Verifying:
    """One verification. ``quick``: everything but the segments of bodies. ``served``: a server may be writing.

    ``faults``: what is known of the server's own keys already. ``seen`` is told how far it is, and in which bucket.
    """

    def __init__(
        self,
        rooms: Rooms,
        *,
        quick: bool = False,
        served: bool = False,
        faults: Sequence[KeyFault] = (),
        seen: Callable[[Tally, str], None] = lambda _tally, _where: None,
    ) -> None:
        self._rooms = rooms
        self._catalog = rooms.catalog
        self._blobs = rooms.blobs
        self._keys = OperatorKeys(rooms.keys)
        self._quick = quick
        self._served = served
        self._faults = faults
        self._seen = seen
        self.tally = Tally()

    async def findings(self, bucket: str | None = None, prefix: str = "") -> AsyncIterator[Finding]:
        """Everything of the store, or of one bucket and of keys that begin with ``prefix``."""
        async for found in self._found(bucket, prefix):
            self.tally.findings[found.kind] = self.tally.findings.get(found.kind, 0) + 1
            yield found

    async def _found(self, bucket: str | None, prefix: str) -> AsyncIterator[Finding]:
        started_ms = milliseconds(self._rooms.clock())
        for fault in [*self._faults, *[fault async for fault in self._keys.operating.faults()]]:
            yield Finding("missing" if fault.missing else "corrupt", fault.why, key=fault.what)
        with BlobSet() as blobs:
            named = Named(blobs if bucket is None else None)
            async for row in every_bucket(self._catalog, bucket):
                async for found in self._bucket(row, prefix, named):
                    yield found
            if bucket is None:
                async for found in self._unnamed(blobs, started_ms):
                    yield found

    # ---- one bucket

    async def _bucket(self, row: BucketRow, prefix: str, named: Named) -> AsyncIterator[Finding]:
        self.tally.buckets += 1
        if not await self._rule_is_sound(row) and await self._catalog.bucket(row.name) == row:
            yield Finding("corrupt", "its default encryption cannot be read", row.name)
        try:
            bucket = bare_bucket(row, self._rooms.keys)
        except LookupError:
            yield Finding(
                "unreadable", "no metadata can be opened without the metadata root: its rows were not looked at", row.name
            )
            return
        # Uploads first: what is completed meanwhile is then met as a version, and no blob is named by neither.
        async for upload in every_upload(self._catalog, row.bucket_id, prefix):
            async for found in self._upload(bucket, upload, named):
                yield found
        async for page in every_version(self._catalog, row.bucket_id, prefix):
            for version in page:
                self.tally.versions += 1
                self._seen(self.tally, row.name)
                if version.delete_marker:
                    continue
                for found in await self._version(bucket, version, named):
                    yield found

    async def _rule_is_sound(self, row: BucketRow) -> bool:
        rule: Any = await self._catalog.document(bucket_scope(row.bucket_id), ENCRYPTION)
        try:
            BucketEncryption.from_document(rule, "blocked")
        except (LookupError, TypeError):
            return False
        return True

    # ---- versions

    async def _version(self, bucket: Bucket, row: VersionRow, named: Named) -> list[Finding]:
        found: list[Finding] = []
        for _ in range(_TRIES):
            found = [
                Finding(kind, why, bucket.name, row.object_key, row.version_id, blob_id=blob_id)
                for kind, why, blob_id in await self._look_at_version(bucket, row, named)
            ]
            if not found:
                break
            now = await self._catalog.version(bucket.bucket_id, row.object_key, row.version_id)
            if now is None:
                return []  # deleted meanwhile
            if (now.size, now.seal, now.meta, now.manifest) == (row.size, row.seal, row.meta, row.manifest):
                break
            row = now
        return found

    async def _look_at_version(self, bucket: Bucket, row: VersionRow, named: Named) -> list[_Problem]:
        problems: list[_Problem] = []
        try:
            named.add(row.manifest)
            pieces = decode_manifest(row.manifest)
        except SealError as error:
            return [("corrupt", f"manifest: {error}", "")]
        try:
            ObjectMeta.open(bucket, row)
        except (SealError, ValueError, KeyError) as error:
            problems.append(("corrupt", f"metadata record, or size, envelope or manifest beside it: {_said(error)}", ""))
        if sum(piece.size for piece in pieces) != row.size:
            problems.append(("corrupt", "the row's size is not that of its manifest", ""))
        opened, problem = await self._open(bucket, row.object_key, row.version_id, row.seal, row.manifest)
        problems += problem
        return problems + await self._bodies(row, pieces, opened) + await self._annotations(bucket, row, opened)

    async def _open(
        self, bucket: Bucket, object_key: str, place: str, sealed: bytes, manifest: bytes
    ) -> tuple[OpenKeys | None, list[_Problem]]:
        try:
            opened = await self._keys.open(bucket, object_key, place, sealed, manifest)
        except MissingKey as error:
            return None, [(error.kind, str(error), "")]
        except SealError as error:
            return None, [("corrupt", f"envelope: {error}", "")]
        record = opened.record
        if record is None or record.state == "Enabled":
            return opened, []
        kind = _STATES.get(record.state, "key-unavailable")
        return opened, [(kind, f"its KMS key {record.name.arn} is {record.state}", "")]

    async def _bodies(self, row: VersionRow, pieces: Sequence[Piece], opened: OpenKeys | None) -> list[_Problem]:
        problems: list[_Problem] = []
        for piece in pieces:
            in_row: bytes | None = None
            if piece.part_number == IN_ROW:
                whole = await self._catalog.version(row.bucket_id, row.object_key, row.version_id)
                if whole is None:
                    return []
                in_row = whole.body
                if in_row is None:
                    problems.append(("missing", "the row has lost its body", ""))
                    continue
            problems += await self._piece(piece, in_row, row.seal, opened)
        return problems

    async def _annotations(self, bucket: Bucket, row: VersionRow, opened: OpenKeys | None) -> list[_Problem]:
        problems: list[_Problem] = []
        for listed in await self._catalog.annotations(row, limit=annotation_records.MOST):
            whole = await self._catalog.annotation(row, listed.name)
            if whole is None:
                continue  # deleted meanwhile
            try:
                annotation_records.open_record(bucket, row, whole)
                if opened is not None and opened.key is not None and not self._quick:
                    annotation_records.open_payload(opened.key.layers, whole)
            except (SealError, ValueError, KeyError) as error:
                problems.append(("corrupt", f"annotation {listed.name}: {_said(error)}", ""))
        return problems

    async def _piece(self, piece: Piece, in_row: bytes | None, sealed: bytes, opened: OpenKeys | None) -> list[_Problem]:
        """One stream; ``in_row`` is its sealed bytes if they are in the row itself, ``sealed`` the envelope of its data keys."""
        problems: list[_Problem] = []
        if in_row is None and await self._catalog.kept([piece.blob_id]) == []:
            problems.append(("corrupt", f"blob {piece.blob_id} is not kept in the catalog: upkeep may delete it", piece.blob_id))
        try:
            await self._look_at_stream(piece, in_row, sealed, opened)
        except Gone:
            problems.append(("missing", f"blob {piece.blob_id} is not there", piece.blob_id))
        except SealError as error:
            problems.append(("corrupt", str(error), "" if in_row is not None else piece.blob_id))
        except Unavailable as error:
            problems.append(("unreadable", str(error), piece.blob_id))
        return problems

    async def _look_at_stream(self, piece: Piece, in_row: bytes | None, sealed: bytes, opened: OpenKeys | None) -> None:
        key = None if opened is None else opened.key
        try:
            layers = lengths(sealed) if key is None else key.layers
        except SealError:  # an envelope that is nothing: told already, and nothing is known of its lengths
            if in_row is None:
                await self._blobs.size(piece.blob_id)
            return
        await check_length(self._blobs, piece, in_row, layers)
        if opened is not None and key is None:
            self.tally.customer_locked += 1
        elif key is not None and not self._quick:
            await check_segments(self._blobs, piece, in_row, layers)
            self.tally.size += piece.size

    # ---- uploads

    async def _upload(self, bucket: Bucket, row: UploadRow, named: Named) -> AsyncIterator[Finding]:
        self.tally.uploads += 1
        problems: list[_Problem] = []
        try:
            UploadRecord.open(bucket, row)
        except (SealError, ValueError, KeyError) as error:
            problems.append(("corrupt", f"metadata record, or envelope beside it: {_said(error)}", ""))
        opened, more = await self._open(bucket, row.object_key, upload_place(row.upload_id), row.seal, b"")
        problems += more
        if problems and await self._catalog.upload(bucket.bucket_id, row.upload_id) == row:
            for kind, why, blob_id in problems:
                yield Finding(kind, why, bucket.name, row.object_key, upload_id=row.upload_id, blob_id=blob_id)
        async for part in every_part(self._catalog, row.upload_id):
            self.tally.parts += 1
            for found in await self._part(bucket, row, part, opened, named):
                yield found

    async def _part(
        self, bucket: Bucket, upload: UploadRow, row: PartRow, opened: OpenKeys | None, named: Named
    ) -> list[Finding]:
        found: list[Finding] = []
        for _ in range(_TRIES):
            found = [
                Finding(kind, why, bucket.name, upload.object_key, "", upload.upload_id, row.part_number, blob_id)
                for kind, why, blob_id in await self._look_at_part(bucket, upload, row, opened, named)
            ]
            if not found:
                break
            now = await self._catalog.part(upload.upload_id, row.part_number)
            if now is None:
                return []
            if now == row:
                break
            row = now
        return found

    async def _look_at_part(
        self, bucket: Bucket, upload: UploadRow, row: PartRow, opened: OpenKeys | None, named: Named
    ) -> list[_Problem]:
        problems: list[_Problem] = []
        try:
            named.add(row.manifest)
            pieces = decode_manifest(row.manifest)
            PartRecord.open(bucket, upload.object_key, row)
        except (SealError, ValueError, KeyError) as error:
            return [("corrupt", f"metadata record, or size or manifest beside it: {_said(error)}", "")]
        for piece in pieces:
            problems += await self._piece(piece, None, upload.seal, opened)
        return problems

    # ---- blobs that no row names

    async def _unnamed(self, named: BlobSet, started_ms: int) -> AsyncIterator[Finding]:
        batch: list[tuple[str, int]] = []
        async for blob in self._blobs.list():
            self.tally.blobs += 1
            batch.append(blob)
            if len(batch) == _BATCH:
                for found in await self._judge_unnamed(named, batch, started_ms):
                    yield found
                batch = []
        for found in await self._judge_unnamed(named, batch, started_ms):
            yield found

    async def _judge_unnamed(self, named: BlobSet, batch: list[tuple[str, int]], started_ms: int) -> list[Finding]:
        """A blob that was there when the walk began, and was met in no row, is named by none: see the order of the walk."""
        committed = dict(batch)
        strangers = named.without([blob_id for blob_id, _ in batch])
        unkept = set(await self._catalog.unkept(strangers))
        kept = set(await self._catalog.kept([blob_id for blob_id in strangers if blob_id not in unkept]))
        found: list[Finding] = []
        for blob_id in strangers:
            if blob_id in unkept:
                if self._served and committed[blob_id] > started_ms - SETTLING_MS:
                    self.tally.settling += 1
                else:
                    found.append(Finding("orphaned", "no row names it; upkeep sweeps it when it is a day old", blob_id=blob_id))
            elif blob_id not in kept:
                self.tally.waiting += 1
            elif committed[blob_id] < started_ms:
                found.append(Finding("orphaned", "it is kept in the catalog, but no row names it", blob_id=blob_id))
        return found


_Problem = tuple[str, str, str]  # kind and why of a finding, and the blob it is about


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SealError) else "it is not of the form that it must have"
