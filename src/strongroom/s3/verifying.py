"""Verifies a whole store, with a server on it or without: every row, envelope, record, manifest, key, blob and segment.

Changes nothing. Whatever looks wrong is read again before it is judged, so that what a running server replaces meanwhile is no
finding. Memory is bounded, however large the store is. Never knows how findings are shown, and never waits but for the store and
where it is told to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.s3 import annotation_records
from strongroom.s3.body_check import check_length, check_segments
from strongroom.s3.bucket_cache import ENCRYPTION, Bucket, bare_bucket, bucket_scope
from strongroom.s3.encryption import BucketEncryption
from strongroom.s3.findings import Finding, Position, Tally
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.operator_keys import MissingKey, OpenKeys, OperatorKeys, lengths
from strongroom.s3.row_types import is_body, of_another_type, shown
from strongroom.s3.unnamed import Unnamed
from strongroom.s3.uploads import PartRecord, UploadRecord, upload_place
from strongroom.s3.versions import IN_ROW
from strongroom.s3.walking import PAGE, every_bucket, every_page, every_part, every_upload
from strongroom.seal import SealError
from strongroom.seal.format import decode_manifest
from strongroom.store.contract import Gone, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from strongroom.kms.records import KeyRecord
    from strongroom.kms.service_keys import KeyFault
    from strongroom.s3.rooms import Rooms
    from strongroom.seal.format import Piece
    from strongroom.store.contract import BucketRow, PartRow, UploadRow, VersionRow

_TRIES: Final = 5  # looks at one row that changes under our eyes
_ROW: Final = 16 << 10  # bytes that take as long to open as it takes to look at a row
_LISTED: Final = 512  # the same of a row or blob that is only listed
_STATES: Final = {"Disabled": "key-disabled", "PendingDeletion": "key-pending-deletion"}  # of a KMS key -> kind of finding
_BEGIN: Final = Position()


class Verifying:
    """One verification. ``quick``: everything but the segments of bodies. ``served``: a server may be writing.

    ``faults``: what is known of the server's own keys already. ``seen`` is told how far it is, and in which bucket; ``passed`` is
    called where it can be taken up again, which ends every ``page`` of rows; ``pace`` is told how many bytes are looked at next, and
    may wait; ``used`` is told of openings by a KMS key.
    """

    def __init__(
        self,
        rooms: Rooms,
        *,
        quick: bool = False,
        served: bool = False,
        faults: Sequence[KeyFault] = (),
        seen: Callable[[Tally, str], None] = lambda _tally, _where: None,
        passed: Callable[[Position], Awaitable[None]] | None = None,
        pace: Callable[[int], Awaitable[None]] | None = None,
        used: Callable[[Bucket, KeyRecord], None] | None = None,
        page: int = PAGE,
    ) -> None:
        self._rooms = rooms
        self._catalog = rooms.catalog
        self._blobs = rooms.blobs
        self._keys = OperatorKeys(rooms.keys, used)
        self._quick = quick
        self._served = served
        self._faults = faults
        self._seen = seen
        self._passed_to = passed
        self._pace = pace
        self._page = page
        self.tally = Tally()

    async def findings(self, bucket: str | None = None, prefix: str = "", start: Position = _BEGIN) -> AsyncIterator[Finding]:
        """Everything of the store behind ``start``, or of one bucket and of keys that begin with ``prefix``."""
        async for found in self._found(bucket, prefix, start):
            self.tally.findings[found.kind] = self.tally.findings.get(found.kind, 0) + 1
            yield found

    async def _found(self, bucket: str | None, prefix: str, start: Position) -> AsyncIterator[Finding]:
        if start == _BEGIN:
            for fault in [*self._faults, *[fault async for fault in self._keys.operating.faults()]]:
                yield Finding("missing" if fault.missing else "corrupt", fault.why, key=fault.what)
        if not start.rows_done:
            async for row in every_bucket(self._catalog, bucket):
                if row.name < start.bucket:
                    continue
                async for found in self._bucket(row, prefix, start if row.name == start.bucket else _BEGIN):
                    yield found
            await self._passed(Position(rows_done=True))
        if bucket is None:
            async for found in self._unnamed().findings():
                yield found

    def _unnamed(self) -> Unnamed:
        pace = self._pace

        async def list_at_pace(count: int) -> None:
            if pace is not None:
                await pace(count * _LISTED)

        return Unnamed(self._rooms, self.tally, served=self._served, page=self._page, pace=None if pace is None else list_at_pace)

    async def _passed(self, position: Position) -> None:
        if self._passed_to is not None:
            await self._passed_to(position)

    async def _look_at_row(self) -> None:
        if self._pace is not None:
            await self._pace(_ROW)

    # ---- one bucket

    async def _bucket(self, row: BucketRow, prefix: str, start: Position) -> AsyncIterator[Finding]:
        resumed = start != _BEGIN
        if not resumed:
            self.tally.buckets += 1
            if not await self._rule_is_sound(row) and await self._catalog.bucket(row.name) == row:
                yield Finding("corrupt", "its default encryption cannot be read", row.name)
        try:
            bucket = bare_bucket(row, self._rooms.keys)
        except LookupError:
            if not resumed:
                why = "no metadata can be opened without the metadata root: its rows were not looked at"
                yield Finding("unreadable", why, row.name)
            return
        # Uploads first: what is completed meanwhile is then met as a version.
        if start.place is None:
            async for upload in every_upload(self._catalog, row.bucket_id, prefix, page=self._page, after=start.upload):
                async for found in self._upload(bucket, upload):
                    yield found
                await self._passed(Position(row.name, (upload.object_key, upload.upload_id)))
        async for page, place in every_page(self._catalog, row.bucket_id, prefix, page=self._page, after=start.place):
            for version in page:
                self.tally.versions += 1
                self._seen(self.tally, row.name)
                await self._look_at_row()
                if version.delete_marker:
                    if version.seal or version.meta or version.manifest or version.size:
                        yield _hidden(row.name, version)
                    continue
                for found in await self._version(bucket, version):
                    yield found
            if place is not None:
                await self._passed(Position(row.name, None, place))

    async def _rule_is_sound(self, row: BucketRow) -> bool:
        try:
            rule: Any = await self._catalog.document(bucket_scope(row.bucket_id), ENCRYPTION)
            BucketEncryption.from_document(rule, "blocked")
        except (LookupError, TypeError, ValueError):
            return False
        return True

    # ---- versions

    async def _version(self, bucket: Bucket, row: VersionRow) -> list[Finding]:
        found: list[Finding] = []
        for _ in range(_TRIES):
            found = [
                Finding(kind, why, bucket.name, row.object_key, shown(row.version_id), blob_id=blob_id)
                for kind, why, blob_id in await self._look_at_version(bucket, row)
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

    async def _look_at_version(self, bucket: Bucket, row: VersionRow) -> list[_Problem]:
        if wrong := of_another_type(row):
            return [_odd(wrong)]
        problems: list[_Problem] = []
        try:
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
                if not is_body(in_row):
                    problems.append(_odd("body"))
                    continue
            problems += await self._piece(piece, in_row, row.seal, opened)
        return problems

    async def _annotations(self, bucket: Bucket, row: VersionRow, opened: OpenKeys | None) -> list[_Problem]:
        problems: list[_Problem] = []
        for listed in await self._catalog.annotations(row, limit=annotation_records.MOST):
            whole = await self._catalog.annotation(row, listed.name)
            if whole is None:
                continue  # deleted meanwhile
            if wrong := of_another_type(whole) or ("" if is_body(whole.body) else "body"):
                problems.append(_odd(wrong, f"annotation {listed.name}: "))
                continue
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
            await check_segments(self._blobs, piece, in_row, layers, self._pace)
            self.tally.size += piece.size

    # ---- uploads

    async def _upload(self, bucket: Bucket, row: UploadRow) -> AsyncIterator[Finding]:
        self.tally.uploads += 1
        await self._look_at_row()
        problems, opened, known = await self._look_at_upload(bucket, row)
        if problems and await self._catalog.upload(bucket.bucket_id, row.upload_id) == row:
            for kind, why, blob_id in problems:
                yield Finding(kind, why, bucket.name, row.object_key, upload_id=shown(row.upload_id), blob_id=blob_id)
        async for part in every_part(self._catalog, row.upload_id, page=self._page):
            self.tally.parts += 1
            await self._look_at_row()
            for found in await self._part(bucket, known, part, opened):
                yield found

    async def _look_at_upload(self, bucket: Bucket, row: UploadRow) -> tuple[list[_Problem], OpenKeys | None, UploadRow]:
        """And the row as far as it is one."""
        if wrong := of_another_type(row):
            known = replace(row, seal=b"", meta=b"")
            return [_odd(wrong)], None, known
        problems: list[_Problem] = []
        try:
            UploadRecord.open(bucket, row)
        except (SealError, ValueError, KeyError) as error:
            problems.append(("corrupt", f"metadata record, or envelope beside it: {_said(error)}", ""))
        opened, more = await self._open(bucket, row.object_key, upload_place(row.upload_id), row.seal, b"")
        return problems + more, opened, row

    async def _part(self, bucket: Bucket, upload: UploadRow, row: PartRow, opened: OpenKeys | None) -> list[Finding]:
        found: list[Finding] = []
        for _ in range(_TRIES):
            found = [
                Finding(kind, why, bucket.name, upload.object_key, "", shown(upload.upload_id), row.part_number, blob_id)
                for kind, why, blob_id in await self._look_at_part(bucket, upload, row, opened)
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

    async def _look_at_part(self, bucket: Bucket, upload: UploadRow, row: PartRow, opened: OpenKeys | None) -> list[_Problem]:
        if wrong := of_another_type(row):
            return [_odd(wrong)]
        problems: list[_Problem] = []
        try:
            pieces = decode_manifest(row.manifest)
            PartRecord.open(bucket, upload.object_key, row)
        except (SealError, ValueError, KeyError) as error:
            return [("corrupt", f"metadata record, or size or manifest beside it: {_said(error)}", "")]
        for piece in pieces:
            problems += await self._piece(piece, None, upload.seal, opened)
        return problems


def _odd(columns: str, what: str = "") -> _Problem:
    """As ``of_another_type`` names them."""
    return "corrupt", f"{what}in its row of another type than was written: {columns}", ""


def _hidden(bucket: str, row: VersionRow) -> Finding:
    why = "it is marked as deleted, and has what only an object has: somebody hid it"
    return Finding("corrupt", why, bucket, row.object_key, shown(row.version_id))


_Problem = tuple[str, str, str]  # kind and why of a finding, and the blob it is about


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SealError) else "it is not of the form that it must have"
