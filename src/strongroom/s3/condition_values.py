"""What the conditions of policies may ask and only this room can tell: of a request, and of the object that a question is about.

Never knows policies, or who asks. Sources: "Tagging and access control policies" in the S3 user guide, facts D19 and C44.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.bucket_cache import ARN_PREFIX
from strongroom.s3.object_tags import Values, tag_values, tags_of
from strongroom.s3.sealing import encryption_output
from strongroom.s3.tag_sets import BUCKET_TAGS, OBJECT_TAGS, brought, read_tag_set, requested_tags
from strongroom.s3.versions import read_version_id
from strongroom.seal.format import Envelope

if TYPE_CHECKING:
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms

#: Condition key -> the member of an answer that has its value.
_ENCRYPTION: Final = {
    "s3:x-amz-server-side-encryption": "ServerSideEncryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}
#: Members of an input that have anything to tell.
_TELLING: Final = frozenset({"Tagging", "TaggingDocument", "UploadId", "CreateBucketConfiguration"})
_OF_BUCKET: Final = ("aws:ResourceTag", "s3:BucketTag")


async def request_values(rooms: Rooms, given: Mapping[str, Any]) -> Values:
    """Of a request: the tags it brings; and the encryption of the upload it is about, which its parts do not say themselves."""
    if _TELLING.isdisjoint(given):
        return {}
    values = tag_values(_tags(given)) | brought(_tags_of_new_bucket(given))
    row = None
    if given.get("UploadId"):
        bucket = await rooms.buckets.place(given["Bucket"])
        row = None if bucket is None else await rooms.catalog.upload(bucket.bucket_id, given["UploadId"])
    if row is not None:
        shown = encryption_output(Envelope.decode(row.seal))
        values |= {key: shown[member] for key, member in _ENCRYPTION.items() if member in shown}
    return values


async def resource_values(rooms: Rooms, resource: str, version_id: str | None) -> Values:
    """Of what is there, by its ARN: the tags of an object, or of one version of it, and those of a bucket with ABAC, for whatever is in
    it. None of what does not exist.
    """
    name, _, object_key = resource.removeprefix(ARN_PREFIX).partition("/")
    bucket = await rooms.buckets.place(name)
    if bucket is None:
        return {}
    of_bucket = {f"{name}/{key}": value for key, value in (bucket.tags or {}).items() for name in _OF_BUCKET}
    return of_bucket | (await _object_values(rooms, bucket, object_key, version_id) if object_key else {})


async def _object_values(rooms: Rooms, bucket: Bucket, object_key: str, version_id: str | None) -> Values:
    if version_id:
        try:
            wanted = read_version_id(version_id, "versionId")
        except ApiError:  # the run says so
            return {}
        row = await rooms.catalog.version(bucket.bucket_id, object_key, wanted)
    else:
        row = await rooms.catalog.latest(bucket.bucket_id, object_key)
    return {} if row is None else {f"s3:ExistingObjectTag/{key}": value for key, value in tags_of(bucket, row).items()}


def _tags_of_new_bucket(given: Mapping[str, Any]) -> Mapping[str, str]:
    configuration: Mapping[str, Any] = given.get("CreateBucketConfiguration") or {}
    try:
        return read_tag_set({"TagSet": configuration.get("Tags") or []}, BUCKET_TAGS)
    except ApiError:  # the run refuses them
        return {}


def _tags(given: Mapping[str, Any]) -> Mapping[str, str]:
    """Those that a request says itself. A copy that takes the tags of its source along says none: the run tells of them."""
    if "Key" not in given or ("CopySource" in given and given.get("TaggingDirective") != "REPLACE"):
        return {}
    try:
        tagging: Any = given.get("Tagging")
        return requested_tags(given) if tagging is None or isinstance(tagging, str) else read_tag_set(tagging, OBJECT_TAGS)
    except ApiError:  # the run refuses them
        return {}
