"""ListMultipartUploads: uploads by key and time of creation, groups under a common prefix stepped over. Never knows HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, operation
from strongroom.s3.encryption import refuse_on
from strongroom.s3.listing import Names, after_all, common_prefix
from strongroom.s3.owners import owner_of
from strongroom.s3.parts import bounded
from strongroom.s3.reading import utc
from strongroom.s3.uploads import UploadRecord

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import UploadRow

MOST_LISTED: Final = 1000  # uploads and common prefixes of a page together


@dataclass(slots=True)
class _Page:
    rows: list[UploadRow] = field(default_factory=list["UploadRow"])
    prefixes: list[str] = field(default_factory=list[str])
    last: tuple[str, str] = ("", "")  # key (or common prefix) and upload id of the last element
    truncated: bool = False

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.prefixes)


class UploadListing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "ListMultipartUploads", "s3:ListBucketMultipartUploads", on="bucket")
    async def list_multipart_uploads(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        names = Names.of(given)
        most = bounded(given, "MaxUploads", "max-uploads", MOST_LISTED)
        prefix, delimiter = given.get("Prefix") or "", given.get("Delimiter") or ""
        key_marker = given.get("KeyMarker") or ""
        upload_marker = (given.get("UploadIdMarker") or "") if key_marker else ""
        page = await self._page(bucket, prefix, delimiter, (key_marker, upload_marker), most)
        owner = await owner_of(self._rooms.catalog, call, bucket.account_id)
        output: dict[str, Any] = {
            "Bucket": bucket.name,
            "KeyMarker": names(key_marker),
            "UploadIdMarker": upload_marker,
            "NextKeyMarker": names(page.last[0]) if page.truncated else "",
            "NextUploadIdMarker": page.last[1] if page.truncated else "",
            "Prefix": names(prefix),
            "MaxUploads": most,
            "IsTruncated": page.truncated,
            "Uploads": [_shown(owner, bucket, row, names) for row in page.rows],
            "CommonPrefixes": [{"Prefix": names(group)} for group in page.prefixes],
        }
        if delimiter:
            output["Delimiter"] = names(delimiter)
        if names.encoded:
            output["EncodingType"] = given["EncodingType"]
        return Answer(output)

    async def _page(self, bucket: Bucket, prefix: str, delimiter: str, marker: tuple[str, str], most: int) -> _Page:
        page = _Page()
        start: str | None = ""
        after: tuple[str, str] | None = None
        if marker[0]:
            group = common_prefix(marker[0], prefix, delimiter) if marker[0].startswith(prefix) else None
            if group is not None:
                start = after_all(group)
            else:
                after = marker if marker[1] else (marker[0], "\U0010ffff")  # without an upload id: all of that key are past
        while start is not None and most and not page.truncated:
            limit = most - page.count + 1
            rows = await self._rooms.catalog.uploads(bucket.bucket_id, prefix=prefix, start=start, after=after, limit=limit)
            stepped = False
            for row in rows:
                if page.count == most:
                    page.truncated = True
                    break
                group = common_prefix(row.object_key, prefix, delimiter)
                if group is not None:
                    page.prefixes.append(group)
                    page.last = (group, "")
                    start, after, stepped = after_all(group), None, True
                    break
                page.rows.append(row)
                page.last = after = (row.object_key, row.upload_id)
            if not stepped and len(rows) < limit:
                break
        return page


def _shown(owner: dict[str, str], bucket: Bucket, row: UploadRow, names: Names) -> dict[str, Any]:
    record = UploadRecord.open(bucket, row)
    return {
        "Key": names(row.object_key),
        "UploadId": row.upload_id,
        "Initiator": {"ID": record.initiator_arn, "DisplayName": record.initiator_name},
        "Owner": record.meta.shown_owner(bucket, owner),
        "StorageClass": record.meta.storage_class,
        "Initiated": utc(row.initiated_ms),
        **record.answered(),
    }
