"""Tags of a bucket: put, got and deleted as one set. Conditions of policies do not see them, as on AWS where ABAC is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.bucket_cache import bucket_scope, no_such_bucket
from strongroom.s3.tag_sets import BUCKET_TAGS, read_tag_set, show_tag_set

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

TAGS: Final = "tags"  # kind of the document


def stored_tags(tags: dict[str, str]) -> list[list[str]] | None:
    """The document of a set; None for an empty one, which is as if there were none."""
    return [[key, value] for key, value in tags.items()] or None


class BucketTagging:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "PutBucketTagging", "s3:PutBucketTagging", on="bucket")
    async def put_bucket_tagging(self, call: Call) -> Answer:
        """The set takes the place of the one before. AWS answers 204, whatever its model says."""
        tags = read_tag_set(call.input.get("Tagging") or {}, BUCKET_TAGS)
        await self._set(call, tags)
        return Answer(status=204)

    # There is no s3:DeleteBucketTagging: deleting is a way of putting.
    @operation("s3", "DeleteBucketTagging", "s3:PutBucketTagging", on="bucket")
    async def delete_bucket_tagging(self, call: Call) -> Answer:
        await self._set(call, {})
        return Answer()

    @operation("s3", "GetBucketTagging", "s3:GetBucketTagging", on="bucket")
    async def get_bucket_tagging(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        stored: list[tuple[str, str]] | None = await self._rooms.catalog.document(bucket_scope(bucket.bucket_id), TAGS)
        if not stored:
            raise ApiError("NoSuchTagSet", BucketName=bucket.name)
        return Answer({"TagSet": show_tag_set(dict(stored))})

    async def _set(self, call: Call, tags: dict[str, str]) -> None:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            tx.set_document(bucket_scope(bucket.bucket_id), TAGS, stored_tags(tags))

        await self._rooms.catalog.write(work)
