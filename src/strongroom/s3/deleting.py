"""DeleteObject and DeleteObjects: a version removed for good, or a delete marker put on top of what stays.

Needs no key: an object whose KMS key is gone can still be deleted. Which of the two it is, and every condition, is judged in the
transaction that does it. Never knows HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.object_locking import allow_bypass, asks_bypass
from strongroom.s3.sealing import object_arn
from strongroom.s3.versions import (
    asked_version,
    check_object_key,
    commit_marker,
    has_lock,
    milliseconds,
    new_version_id,
    remove_version,
    versioning_at,
)
from strongroom.store.contract import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Transaction, VersionRow

MOST_KEYS: Final = 1000  # of one DeleteObjects


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of one key. ``version_id``, as clients see it: of the version removed, or of the delete marker made."""

    version_id: str | None = None  # None in a bucket that never had versioning
    marker: bool = False  # what was removed, or made, is a delete marker

    def answered(self) -> dict[str, Any]:
        """The members of DeleteObject."""
        output: dict[str, Any] = {} if self.version_id is None else {"VersionId": self.version_id}
        return output | ({"DeleteMarker": True} if self.marker else {})

    def listed(self) -> dict[str, Any]:
        """The members of a Deleted element, beside the key and the version id that were sent."""
        return {"DeleteMarker": True, "DeleteMarkerVersionId": self.version_id} if self.marker else {}


@dataclass(frozen=True, slots=True)
class Deletion:
    """One transaction that deletes: the bucket, its versioning state at the commit, and what a delete marker is made of."""

    tx: Transaction
    bucket: Bucket
    versioning: str
    modified_ms: int
    version_id: Callable[[], str]
    locks: bool  # the bucket has object lock
    bypass: bool = False  # of governance, by somebody who may

    def delete(self, given: Mapping[str, Any]) -> Deleted:
        """What ``given`` (Key, VersionId, ETag or IfMatch) names; nothing there is no error. Raises ApiError before any change."""
        tx, bucket_id = self.tx, self.bucket.bucket_id
        object_key: str = given["Key"]
        asked, version_id = asked_version(given)
        wanted: str | None = given.get("ETag") or given.get("IfMatch")
        if wanted is not None:
            _judge(self.bucket, object_key, wanted.strip(), tx.latest(bucket_id, object_key))
        if not asked and self.versioning:
            fresh = self.version_id()
            shown = commit_marker(tx, self.bucket, object_key, fresh, self.modified_ms, self.versioning)
            return Deleted(shown, marker=True)
        row = tx.version(bucket_id, object_key, version_id)  # without versioning there is no other than the null version
        if row is not None:
            remove_version(tx, self.bucket, row, self.modified_ms, locks=self.locks, bypass=self.bypass)
        return Deleted(given.get("VersionId") if self.versioning else None, marker=row is not None and row.delete_marker)


def _judge(bucket: Bucket, object_key: str, wanted: str, newest: VersionRow | None) -> None:
    """If-Match of a delete looks at the current version, whichever version is to go. Raises ApiError NoSuchKey, PreconditionFailed."""
    if newest is None:
        raise ApiError("NoSuchKey", Key=object_key)
    if newest.delete_marker or (wanted != "*" and wanted.strip('"') != ObjectMeta.open(bucket, newest).etag):
        raise ApiError("PreconditionFailed", Condition="If-Match")


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
        await _allow_comparing(call, bucket, call.input["Key"], call.input.get("IfMatch"))
        bypass = asks_bypass(call, bucket)
        if bypass:
            await allow_bypass(call, bucket, call.input["Key"], call.input.get("VersionId"))
        deleted = await self._rooms.catalog.write(
            lambda tx: self._deletion(tx, call, bucket, bypass=bypass).delete(call.input), _claim(bucket, [call.input])
        )
        return Answer(deleted.answered())

    @operation("s3", "DeleteObjects", "s3:DeleteObject", on="run")
    async def delete_objects(self, call: Call) -> Answer:
        """All keys in one commit. A key that may not be deleted is an Error element; the others go."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        wanted: list[dict[str, Any]] = call.input["Delete"].get("Objects") or []
        if not 1 <= len(wanted) <= MOST_KEYS:
            raise ApiError("MalformedXML")
        bypass = asks_bypass(call, bucket)
        refused: dict[int, ApiError] = {}
        for index, one in enumerate(wanted):
            action = "s3:DeleteObject" if one.get("VersionId") is None else "s3:DeleteObjectVersion"
            try:
                await call.allow(action, object_arn(bucket.name, one["Key"]), version_id=one.get("VersionId"))
                _check(one)
                await _allow_comparing(call, bucket, one["Key"], one.get("ETag"))
                if bypass:
                    await allow_bypass(call, bucket, one["Key"], one.get("VersionId"))
            except ApiError as error:
                refused[index] = error

        def work(tx: Transaction) -> tuple[dict[int, Deleted], dict[int, ApiError]]:
            deletion = self._deletion(tx, call, bucket, bypass=bypass)
            done: dict[int, Deleted] = {}
            failed: dict[int, ApiError] = {}
            for index, one in enumerate(wanted):
                if index not in refused:
                    try:
                        done[index] = deletion.delete(one)
                    except ApiError as error:  # raised before its first change, so the others stand
                        failed[index] = error
            return done, failed

        done, failed = await self._rooms.catalog.write(work, _claim(bucket, wanted))
        quiet = call.input["Delete"].get("Quiet") or False
        deleted = [] if quiet else [_named(wanted[index]) | one.listed() for index, one in done.items()]
        errors = [
            {**_named(wanted[index]), "Code": error.code, "Message": error.message}
            for index, error in sorted((refused | failed).items())
        ]
        return Answer({"Deleted": deleted, "Errors": errors})

    def _deletion(self, tx: Transaction, call: Call, bucket: Bucket, *, bypass: bool) -> Deletion:
        return Deletion(
            tx,
            bucket,
            versioning_at(tx, bucket),
            milliseconds(call.now),
            lambda: new_version_id(self._rooms.random),
            has_lock(tx, bucket),
            bypass,
        )


def _claim(bucket: Bucket, wanted: Iterable[Mapping[str, Any]]) -> Claim:
    """A delete marker is one row more. Should the versioning change before the commit, little is lost."""
    marks = bucket.versioning and any(one.get("VersionId") is None for one in wanted)
    return Claim.DELETE if marks else Claim.FREE


async def _allow_comparing(call: Call, bucket: Bucket, object_key: str, etag: str | None) -> None:
    """Who deletes by ETag learns whether it is that one, so must be allowed to read. Raises ApiError AccessDenied."""
    if etag is not None and etag.strip() != "*":
        await call.allow("s3:GetObject", object_arn(bucket.name, object_key))


def _named(one: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {"Key": one["Key"]}
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
