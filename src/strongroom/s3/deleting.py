"""DeleteObject and DeleteObjects. Needs no key: an object whose KMS key is gone can still be deleted. Never knows HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.bucket_cache import no_such_bucket
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import asked_version, check_object_key, remove_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction

MOST_KEYS: Final = 1000  # of one DeleteObjects


def delete_one(tx: Transaction, bucket: Bucket, given: Mapping[str, Any]) -> None:
    """Remove what ``given`` (Key, VersionId, ETag or IfMatch) names; nothing there is no error. Raises ApiError PreconditionFailed."""
    asked, version_id = asked_version(given)
    object_key: str = given["Key"]
    row = tx.version(bucket.bucket_id, object_key, version_id) if asked else tx.latest(bucket.bucket_id, object_key)
    wanted = given.get("ETag") or given.get("IfMatch")
    if wanted is not None:
        if row is None:
            raise ApiError("NoSuchKey", Key=object_key)
        if wanted.strip() != "*" and wanted.strip().strip('"') != ObjectMeta.open(bucket, row).etag:
            raise ApiError("PreconditionFailed", Condition="If-Match")
    if row is not None:
        remove_version(tx, row)


def refuse_directory_conditions(given: Mapping[str, Any]) -> None:
    """Conditions that S3 knows on directory buckets only."""
    for member, header in (
        ("IfMatchLastModifiedTime", "x-amz-if-match-last-modified-time"),
        ("IfMatchSize", "x-amz-if-match-size"),
    ):
        if given.get(member) is not None:
            raise ApiError("NotImplemented", Header=header)


class Deleting:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "DeleteObject", "s3:DeleteObject", on="object", with_version="s3:DeleteObjectVersion")
    async def delete_object(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        check_object_key(call.input["Key"])
        refuse_directory_conditions(call.input)
        asked_version(call.input)

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            delete_one(tx, bucket, call.input)

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "DeleteObjects", "s3:DeleteObject", on="run")
    async def delete_objects(self, call: Call) -> Answer:
        """All keys in one commit. A key that may not be deleted is an Error element; the others go."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        wanted: list[dict[str, Any]] = call.input["Delete"].get("Objects") or []
        if not 1 <= len(wanted) <= MOST_KEYS:
            raise ApiError("MalformedXML")
        refused: dict[int, ApiError] = {}
        for index, one in enumerate(wanted):
            action = "s3:DeleteObject" if one.get("VersionId") is None else "s3:DeleteObjectVersion"
            try:
                await call.allow(action, object_arn(bucket.name, one["Key"]))
                _check(one)
            except ApiError as error:
                refused[index] = error

        def work(tx: Transaction) -> dict[int, ApiError]:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            failed: dict[int, ApiError] = {}
            for index, one in enumerate(wanted):
                if index not in refused:
                    try:
                        delete_one(tx, bucket, one)
                    except ApiError as error:  # raised before its first change, so the others stand
                        failed[index] = error
            return failed

        refused |= await self._rooms.catalog.write(work)
        quiet = call.input["Delete"].get("Quiet") or False
        deleted = [] if quiet else [_named(one) for index, one in enumerate(wanted) if index not in refused]
        errors = [
            {**_named(wanted[index]), "Code": error.code, "Message": error.message} for index, error in sorted(refused.items())
        ]
        return Answer({"Deleted": deleted, "Errors": errors})


def _named(one: Mapping[str, Any]) -> dict[str, str]:
    named = {"Key": one["Key"]}
    if one.get("VersionId") is not None:
        named["VersionId"] = one["VersionId"]
    return named


def _check(one: Mapping[str, Any]) -> None:
    """A key in the document that could not be stored; an empty one was an error of the document."""
    if not one["Key"]:
        raise ApiError("UserKeyMustBeSpecified")
    check_object_key(one["Key"])
    for member in ("LastModifiedTime", "Size"):
        if one.get(member) is not None:
            raise ApiError("NotImplemented", "Conditional deletes by time or size are for directory buckets.")
    try:
        asked_version(one)
    except ApiError:
        raise ApiError("NoSuchVersion") from None
