"""The sealed form of annotations: named texts beside a version of an object, under the version's own data keys.

The payload is a stream like that of a small body; its record, under the bucket's metadata key, binds name, size and stream to the version. So
another wrapping of the data key leaves annotations as they are, and no annotation passes for another, or for one of another version.
Never knows HTTP or operations. ``docs/spec/at-rest.md`` section 8.1 is the specification.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.writing import seal_in_row
from strongroom.seal import Truncated
from strongroom.seal.format import decode_manifest
from strongroom.seal.wrap import record_associated_data
from strongroom.store.contract import AnnotationRow

if TYPE_CHECKING:
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.seal.layers import Layers
    from strongroom.store.contract import Transaction, VersionRow

MOST: Final = 1_000  # annotations of one version
NAME_BYTES: Final = 512
PAYLOAD_BYTES: Final = 1 << 20
MOST_COPIED: Final = 64 << 20  # bytes of annotations that one copy takes along: they are held in memory until it is committed
_SIGNS: Final = frozenset("_.-")
_KINDS: Final = frozenset("LN")  # letters and numbers
_RESERVED: Final = ("aws", "s3")


def check_name(name: str) -> None:
    """Raises ApiError AnnotationNameTooLong, InvalidAnnotationName."""
    if len(name.encode()) > NAME_BYTES:
        raise ApiError("AnnotationNameTooLong", MaxSizeAllowed=str(NAME_BYTES))
    if not name or not allowed(name) or name.lower().startswith(_RESERVED):
        raise ApiError("InvalidAnnotationName", AnnotationName=name)


def allowed(text: str) -> bool:
    """Whether these are characters of annotation names."""
    return all(character in _SIGNS or unicodedata.category(character)[0] in _KINDS for character in text)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An annotation whose payload is sealed and whose record is not, because it does not know its version yet."""

    name: str
    size: int
    modified_ms: int
    meta: ObjectMeta  # ETag and checksum
    manifest: bytes
    body: bytes

    def beside(self, bucket: Bucket, row: VersionRow) -> AnnotationRow:
        """The row for that version."""
        record = bucket.records.seal(self.meta.pack(), _binding(bucket, row, self.name, self.size, self.manifest))
        return AnnotationRow(self.name, self.size, self.modified_ms, record, self.manifest, self.body)


def sealed(rooms: Rooms, layers: Layers, name: str, payload: bytes, meta: ObjectMeta, modified_ms: int) -> Sealed:
    """``layers``: the open data keys of the version it will stand beside."""
    stored = seal_in_row(rooms, layers, payload)
    assert stored.in_row is not None
    return Sealed(name, stored.size, modified_ms, meta, stored.manifest, stored.in_row)


def open_record(bucket: Bucket, row: VersionRow, annotation: AnnotationRow) -> ObjectMeta:
    """Its ETag and checksum. Raises SealError when it is not as it was written, or not beside that version."""
    bound = _binding(bucket, row, annotation.name, annotation.size, annotation.manifest)
    return ObjectMeta.unpack(bucket.records.open(annotation.meta, bound))


def open_payload(layers: Layers, annotation: AnnotationRow) -> bytes:
    """After ``open_record``, which vouches for the manifest. Raises SealError."""
    pieces = decode_manifest(annotation.manifest)
    if annotation.body is None or len(pieces) != 1 or pieces[0].size != annotation.size:
        raise Truncated("the annotation has lost its body")
    return layers.open_whole(pieces[0], annotation.body)


def moved_records(bucket: Bucket, old: VersionRow, row: VersionRow, annotations: list[AnnotationRow]) -> dict[str, bytes]:
    """The records of the annotations of ``old``, bound to ``row``, which has the same data keys: by name."""
    moved: dict[str, bytes] = {}
    for one in annotations:
        packed = bucket.records.open(one.meta, _binding(bucket, old, one.name, one.size, one.manifest))
        moved[one.name] = bucket.records.seal(packed, _binding(bucket, row, one.name, one.size, one.manifest))
    return moved


def _binding(bucket: Bucket, row: VersionRow, name: str, size: int, manifest: bytes) -> bytes:
    place = record_associated_data(bucket.bucket_id, row.object_key, f"annotation/{row.version_id}/{name}")
    return place + hashlib.sha256(size.to_bytes(8, "big") + manifest).digest()


@dataclass(frozen=True, slots=True)
class Copied:
    """The annotations of a copy's source, sealed for the copy. Both are judged and written in the transaction that commits the copy."""

    bucket: Bucket  # of the copy
    source: VersionRow
    before: list[tuple[str, bytes]]  # names and records at the source
    sealed: list[Sealed]

    def check(self, tx: Transaction) -> None:
        """Before the copy, which may take its source's place. Raises ApiError OperationAborted."""
        if [(one.name, one.meta) for one in tx.annotations(self.source)] != self.before:
            raise ApiError("OperationAborted")

    def put(self, tx: Transaction, row: VersionRow) -> None:
        """After it."""
        for one in self.sealed:
            tx.put_annotation(row, one.beside(self.bucket, row))


async def opened_for_copy(
    rooms: Rooms, source_bucket: Bucket, source: VersionRow, source_layers: Layers, bucket: Bucket, layers: Layers
) -> Copied:
    """Every annotation of ``source``, opened and sealed under the copy's data keys. Raises ApiError NotImplemented, OperationAborted, SealError."""
    rows = await rooms.catalog.annotations(source, limit=MOST)
    if sum(one.size for one in rows) > MOST_COPIED:
        text = f"A copy takes at most {MOST_COPIED} bytes of annotations along: exclude them."
        raise ApiError("NotImplemented", text, Header="x-amz-object-annotation-directive")
    copies: list[Sealed] = []
    for one in rows:
        whole = await rooms.catalog.annotation(source, one.name)
        if whole is None:
            raise ApiError("OperationAborted")
        meta = open_record(source_bucket, source, whole)
        payload = open_payload(source_layers, whole)
        copies.append(sealed(rooms, layers, one.name, payload, meta, whole.modified_ms))
    return Copied(bucket, source, [(one.name, one.meta) for one in rows], copies)


def listed(bucket: Bucket, row: VersionRow, annotation: AnnotationRow) -> dict[str, Any]:
    """The members of a list entry that its record knows."""
    meta = open_record(bucket, row, annotation)
    return {"ETag": f'"{meta.etag}"', "ChecksumAlgorithm": list(meta.checksums)}
