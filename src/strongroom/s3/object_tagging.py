"""Tags of an object's version: read, and replaced as one set. A change of tags changes nothing else of the version.

Never knows HTTP. Source: "Object tagging" in the S3 user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.api.operation import Answer, operation
from strongroom.s3.object_tags import tags_of
from strongroom.s3.reading import find_version_for
from strongroom.s3.record_changes import change_record
from strongroom.s3.tag_sets import OBJECT_TAGS, read_tag_set, show_tag_set
from strongroom.s3.versions import shown_id

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.metadata import ObjectMeta
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import VersionRow


class ObjectTagging:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "PutObjectTagging", "s3:PutObjectTagging", on="object", with_version="s3:PutObjectVersionTagging")
    async def put_object_tagging(self, call: Call) -> Answer:
        """The set takes the place of the one before."""
        return await self._replace(call, read_tag_set(call.input.get("Tagging") or {}, OBJECT_TAGS), "PUT")

    @operation("s3", "DeleteObjectTagging", "s3:DeleteObjectTagging", on="object", with_version="s3:DeleteObjectVersionTagging")
    async def delete_object_tagging(self, call: Call) -> Answer:
        return await self._replace(call, {}, "DELETE")

    @operation("s3", "GetObjectTagging", "s3:GetObjectTagging", on="object", with_version="s3:GetObjectVersionTagging")
    async def get_object_tagging(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        row = await find_version_for(call, self._rooms, bucket, call.input)
        return Answer({"TagSet": show_tag_set(tags_of(bucket, row)), **_versioned(bucket, row)})

    async def _replace(self, call: Call, tags: dict[str, str], method: str) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])

        def change(meta: ObjectMeta) -> None:
            meta.tags = tags

        row = await change_record(call, self._rooms, bucket, change, method)
        return Answer(_versioned(bucket, row))


def _versioned(bucket: Bucket, row: VersionRow) -> dict[str, str]:
    return {"VersionId": shown_id(row)} if bucket.versioning else {}
