"""A multipart upload between its creation and its end: the row, its sealed record, its open data key. Never knows HTTP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from strongroom.api.errors import ApiError
from strongroom.s3.checksums import ALGORITHMS
from strongroom.s3.customer_keys import another_key
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.versions import stored_blobs
from strongroom.seal import Forged
from strongroom.seal.format import Envelope, decode_manifest
from strongroom.seal.wrap import record_associated_data

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import CustomerKey
    from strongroom.s3.rooms import Rooms
    from strongroom.s3.sealing import ObjectKey, Sealing
    from strongroom.store.contract import PartRow, Transaction, UploadRow

MOST_PARTS: Final = 10_000
LEAST_PART: Final = 5 * 1024**2  # bytes, of every part but the last
MOST_PART: Final = 5 * 1024**3


def new_upload_id(now_ms: int, random: Callable[[int], bytes]) -> str:
    """Begins with the time, so that the order of ids is the order of creation."""
    return f"{now_ms:012x}" + base64.urlsafe_b64encode(random(36)).decode()


def upload_place(upload_id: str) -> str:
    """What stands for the version id in bindings while there is none yet. No version id contains a slash."""
    return f"upload/{upload_id}"


def no_such_upload(upload_id: str) -> ApiError:
    return ApiError("NoSuchUpload", UploadId=upload_id)


async def find_upload(rooms: Rooms, bucket: Bucket, given: Mapping[str, Any]) -> UploadRow:
    """Raises ApiError NoSuchUpload, also for an upload of another key."""
    upload_id: str = given["UploadId"]
    row = await rooms.catalog.upload(bucket.bucket_id, upload_id)
    if row is None or row.object_key != given["Key"]:
        raise no_such_upload(upload_id)
    return row


def remove_upload(tx: Transaction, upload: UploadRow) -> None:
    """Take an upload away with its parts, and give their blobs to upkeep. Raises Gone."""
    tx.discard([blob for part in tx.delete_upload(upload) for blob in stored_blobs(part.manifest)])


async def open_upload_key(
    sealing: Sealing, call: Call, bucket: Bucket, row: UploadRow, customer: CustomerKey | None
) -> ObjectKey:
    """The data keys all parts of an upload share. Raises as ``Sealing.open``; InvalidRequest for another customer's key."""
    envelope = Envelope.decode(row.seal)
    place = row.object_key, upload_place(row.upload_id)
    return await sealing.open(call, bucket, *place, row.seal, envelope, b"", customer, another_key)


def check_part_number(number: int) -> None:
    if not 1 <= number <= MOST_PARTS:
        text = f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
        raise ApiError("InvalidArgument", text, ArgumentName="partNumber", ArgumentValue=str(number))


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """What was said at creation and is needed until the end."""

    meta: ObjectMeta
    checksum: str | None  # algorithm the client chose
    checksum_type: str
    initiator_arn: str
    initiator_name: str

    def seal(self, bucket: Bucket, object_key: str, upload_id: str, seal: bytes) -> bytes:
        packed = orjson.dumps(
            {
                "meta": self.meta.pack().decode(),
                "checksum": self.checksum,
                "type": self.checksum_type,
                "arn": self.initiator_arn,
                "name": self.initiator_name,
            }
        )
        return bucket.records.seal(packed, _binding(bucket, object_key, upload_id, seal))

    @classmethod
    def open(cls, bucket: Bucket, row: UploadRow) -> UploadRecord:
        """Raises seal.Forged."""
        value = orjson.loads(bucket.records.open(row.meta, _binding(bucket, row.object_key, row.upload_id, row.seal)))
        return cls(ObjectMeta.unpack(value["meta"].encode()), value["checksum"], value["type"], value["arn"], value["name"])

    def answered(self) -> dict[str, str]:
        """The checksum members of the listings and of the creation; nothing when the client chose none."""
        return {} if self.checksum is None else {"ChecksumAlgorithm": self.checksum, "ChecksumType": self.checksum_type}


def _binding(bucket: Bucket, object_key: str, upload_id: str, seal: bytes) -> bytes:
    return record_associated_data(bucket.bucket_id, object_key, upload_place(upload_id)) + hashlib.sha256(seal).digest()


@dataclass(frozen=True, slots=True)
class PartRecord:
    etag: str  # without quotes; 32 hex
    checksums: dict[str, str]  # algorithm -> base64

    def seal(self, bucket: Bucket, object_key: str, upload_id: str, number: int, manifest: bytes) -> bytes:
        packed = orjson.dumps({"e": self.etag, "c": self.checksums})
        return bucket.records.seal(packed, _part_binding(bucket, object_key, upload_id, number, manifest))

    @classmethod
    def open(cls, bucket: Bucket, object_key: str, row: PartRow) -> PartRecord:
        """Raises seal.Forged."""
        bound = _part_binding(bucket, object_key, row.upload_id, row.part_number, row.manifest)
        value = orjson.loads(bucket.records.open(row.meta, bound))
        if sum(piece.size for piece in decode_manifest(row.manifest)) != row.size:
            raise Forged("the part's size is not that of its manifest")
        return cls(value["e"], value["c"])

    def answered(self) -> dict[str, str]:
        return {f"Checksum{name}": self.checksums[name] for name in ALGORITHMS if name in self.checksums}


def _part_binding(bucket: Bucket, object_key: str, upload_id: str, number: int, manifest: bytes) -> bytes:
    place = f"part/{number}/{upload_id}"
    return record_associated_data(bucket.bucket_id, object_key, place) + hashlib.sha256(manifest).digest()
