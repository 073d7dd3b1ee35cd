"""GetObjectAttributes: what is known of a version beside its bytes, as far as it is asked for. Never knows HTTP, and reads no bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.customer_keys import check_needed, key_of_read
from strongroom.s3.encryption import refuse_on
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.parts import MOST_LISTED, bounded
from strongroom.s3.reading import OF_KMS, find_version_for, modified_at, refuse_unsafe_read
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import shown_id
from strongroom.seal.format import Envelope, decode_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.reading import Reading
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import VersionRow

HEADER: Final = "x-amz-object-attributes"
ATTRIBUTES: Final = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


class ObjectAttributes:
    def __init__(self, rooms: Rooms, reading: Reading) -> None:
        self._rooms = rooms
        self._reading = reading

    @operation("s3", "GetObjectAttributes", "s3:GetObjectAttributes", on="object", with_version="s3:GetObjectVersionAttributes")
    async def get_object_attributes(self, call: Call) -> Answer:
        """Needs the right to read the object as well. Asks KMS only for checksums, as HeadObject; says nothing of encryption
        (facts 4.8.6, 4.10).
        """
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        read = "s3:GetObjectVersion" if given.get("VersionId") else "s3:GetObject"
        await call.allow(read, object_arn(bucket.name, given["Key"]))
        asked = asked_attributes(given)
        customer = key_of_read(given, secure=call.secure)
        row = await find_version_for(call, self._rooms, bucket, given)
        meta = ObjectMeta.open(bucket, row)
        envelope = Envelope.decode(row.seal)
        check_needed(envelope.mode, customer)
        tells_checksums = "Checksum" in asked or ("ObjectParts" in asked and bool(meta.part_checksums))
        if tells_checksums:
            refuse_unsafe_read(call, envelope)
        if customer is not None or (tells_checksums and envelope.mode in OF_KMS):
            await self._reading.open(call, bucket, row, envelope, customer)
        output = {name: value for name, value in _attributes(given, meta, row).items() if name in asked and value}
        if "ObjectSize" in asked:
            output["ObjectSize"] = row.size  # also when it is 0
        output["LastModified"] = modified_at(row)
        if bucket.versioning:
            output["VersionId"] = shown_id(row)
        return Answer(output)


def asked_attributes(given: Mapping[str, Any]) -> frozenset[str]:
    """Raises ApiError InvalidRequest when none is named, InvalidArgument for one that objects do not have."""
    names = [name.strip() for name in given["ObjectAttributes"]]
    if not any(names):
        text = f"The {HEADER} header specifying the attributes to be retrieved is either missing or empty"
        raise ApiError("InvalidRequest", text)
    for name in names:
        if name not in ATTRIBUTES:
            raise ApiError("InvalidArgument", "Invalid attribute name specified.", ArgumentName=HEADER, ArgumentValue=name)
    return frozenset(names)


def _attributes(given: Mapping[str, Any], meta: ObjectMeta, row: VersionRow) -> dict[str, Any]:
    return {
        "ETag": meta.etag,
        "Checksum": meta.checksum_output(),
        "ObjectParts": _parts(given, meta, row),
        "StorageClass": meta.storage_class,
    }


def _parts(given: Mapping[str, Any], meta: ObjectMeta, row: VersionRow) -> dict[str, Any]:
    """How many parts, and a page of them if they have checksums; nothing of an object that came in one piece.

    Parts count from 1 without a gap, as ``partNumber`` of GetObject counts them.
    """
    limit = bounded(given, "MaxParts", "x-amz-max-parts", MOST_LISTED)
    marker = bounded(given, "PartNumberMarker", "x-amz-part-number-marker", 0, most=2**31 - 1)
    if not meta.multipart:
        return {}
    pieces = decode_manifest(row.manifest)
    counted: dict[str, Any] = {"TotalPartsCount": len(pieces)}
    if not meta.part_checksums:
        return counted
    algorithm = next(iter(meta.checksums))
    numbers = range(marker + 1, len(pieces) + 1)[:limit]
    last = numbers[-1] if numbers else marker
    return counted | {
        "PartNumberMarker": marker,
        "NextPartNumberMarker": last if numbers else 0,
        "MaxParts": limit,
        "IsTruncated": last < len(pieces),
        "Parts": [
            {
                "PartNumber": number,
                "Size": pieces[number - 1].size,
                f"Checksum{algorithm}": meta.part_checksums[number - 1],
            }
            for number in numbers
        ],
    }
