"""Tags of a bucket: put, got and deleted as one set in S3, and one by one in S3 Control. Conditions of policies see them where ABAC is on.

Sources: the reference pages of the operations; "Enabling ABAC in general purpose buckets" in the S3 user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.bucket_cache import ARN_PREFIX, TAGS, Bucket, bucket_scope, no_such_bucket
from strongroom.s3.tag_sets import BUCKET_TAGS, brought, check_tags, read_tag_set, show_tag_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.api.operation import Call, Told
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

_ON: Final = "Attribute-based access control is enabled for this bucket: use TagResource and UntagResource instead."


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
        if bucket.tags is not None:
            raise ApiError("InvalidRequest", _ON)
        await self._change(bucket, lambda _before: tags)

    # --------------------------------------------------------------------------------------------------------- S3 Control

    @operation("s3control", "TagResource", "s3:TagResource", on="run")
    async def tag_resource(self, call: Call) -> Answer:
        """Tags are added, or get other values."""
        tags = read_tag_set({"TagSet": call.input.get("Tags") or []}, BUCKET_TAGS)
        bucket = await self._named(call, brought(tags))
        await self._change(bucket, lambda before: check_tags(before | tags, BUCKET_TAGS))
        return Answer(status=204)

    @operation("s3control", "UntagResource", "s3:UntagResource", on="run")
    async def untag_resource(self, call: Call) -> Answer:
        """A key that is not there is no error."""
        names: frozenset[str] = frozenset(call.input.get("TagKeys") or ())
        bucket = await self._named(call, {"aws:TagKeys": tuple(sorted(names))} if names else {})
        await self._change(bucket, lambda before: {key: value for key, value in before.items() if key not in names})
        return Answer(status=204)

    @operation("s3control", "ListTagsForResource", "s3:ListTagsForResource", on="run")
    async def list_tags_for_resource(self, call: Call) -> Answer:
        bucket = await self._named(call, {})
        stored: list[tuple[str, str]] | None = await self._rooms.catalog.document(bucket_scope(bucket.bucket_id), TAGS)
        return Answer({"Tags": show_tag_set(dict(stored or ()))})

    async def _named(self, call: Call, told: Told) -> Bucket:
        """The bucket of an ARN, which must be of the account that is named. Raises ApiError."""
        arn: str = call.input["ResourceArn"]
        name = arn.removeprefix(ARN_PREFIX)
        if not arn.startswith(ARN_PREFIX) or name.count("/"):
            raise ApiError("NotImplemented", "Only general purpose buckets have tags here.")
        await call.allow(call.operation.need.action, arn, told=told)
        bucket = await self._rooms.buckets.find(name)
        if call.input["AccountId"] != bucket.account_id:
            raise ApiError("AccessDenied")
        return bucket

    async def _change(self, bucket: Bucket, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        scope = bucket_scope(bucket.bucket_id)

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            tx.set_document(scope, TAGS, stored_tags(change(dict(tx.document(scope, TAGS) or ()))))

        await self._rooms.catalog.write(work)
