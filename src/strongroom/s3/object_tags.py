"""What other rooms need of the tags of objects: those of a row, the right that a write with tags needs, their count for a read.

Tags live in the version's sealed record. Never knows HTTP, or what policies and lifecycle rules make of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.api.errors import ApiError
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.sealing import object_arn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.store.contract import VersionRow


Values = dict[str, str | tuple[str, ...]]  # as api.operation.Told


def tag_values(tags: Mapping[str, str]) -> Values:
    """Of tags that are to be put."""
    values: Values = {f"s3:RequestObjectTag/{key}": value for key, value in tags.items()}
    if tags:
        values["s3:RequestObjectTagKeys"] = tuple(tags)
    return values


def tags_of(bucket: Bucket, row: VersionRow) -> Mapping[str, str]:
    """The tags of a version's row: one record is opened, and no key is asked for. Raises SealError when the row is not as written.

    Whoever needs more of the record opens it and takes ``ObjectMeta.tags``.
    """
    return {} if row.delete_marker else ObjectMeta.open(bucket, row).tags


async def allow_tagging(call: Call, bucket: Bucket, object_key: str, meta: ObjectMeta) -> None:
    """A write that brings tags needs the right to tag beside the right to write (facts C46). Raises ApiError AccessDenied."""
    if meta.tags:
        # A copy's request does not say the tags that come from its source.
        await call.allow("s3:PutObjectTagging", object_arn(bucket.name, object_key), told=tag_values(meta.tags), new=True)


async def tag_count(call: Call, bucket: Bucket, object_key: str, meta: ObjectMeta) -> dict[str, int]:
    """The member of a read's answer that says how many tags there are, for those who may read them."""
    if not meta.tags:
        return {}
    action = "s3:GetObjectVersionTagging" if call.input.get("VersionId") else "s3:GetObjectTagging"
    return {"TagCount": len(meta.tags)} if await allowed(call, action, object_arn(bucket.name, object_key)) else {}


async def allowed(call: Call, action: str, resource: str) -> bool:
    """Whether the caller may, where not being allowed is no reason to refuse the request."""
    try:
        await call.allow(action, resource, optional=True)
    except ApiError as error:
        if error.code != "AccessDenied":
            raise
        return False
    return True
