"""CopyObject. The destination's encryption comes from the request or the destination bucket's rule, never from the source.

A copy has bytes and data keys of its own: a blob belongs to one row. Only a copy that takes its source's place takes these over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3 import checksums
from strongroom.s3.acl_grantees import give_owner
from strongroom.s3.annotation_records import opened_for_copy
from strongroom.s3.bucket_lifecycle import expiration_output
from strongroom.s3.conditions import judge_copy_source
from strongroom.s3.copy_source import CopySource, Measured, measured, open_source
from strongroom.s3.locked_writes import lock_of_write, lock_with_default
from strongroom.s3.metadata import SYSTEM_HEADERS, ObjectMeta
from strongroom.s3.object_tags import allow_tagging
from strongroom.s3.reading import Reading, modified_at
from strongroom.s3.sealing import Sealing, encryption_output, object_arn
from strongroom.s3.versions import Condition, check_object_key, commit_in_place, milliseconds, new_version_id
from strongroom.s3.writing import choice_for, commit_object, digested, echoed, etag_of, refuse_unbuilt, store_plaintext
from strongroom.seal.format import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import Choice
    from strongroom.s3.rooms import Rooms
    from strongroom.s3.sealing import ObjectKey
    from strongroom.seal.layers import Layers
    from strongroom.store.contract import VersionRow

MOST_COPIED: Final = 5 * 1024**3  # bytes of one CopyObject


class Copying:
    def __init__(self, rooms: Rooms, reading: Reading) -> None:
        self._rooms = rooms
        self._reading = reading
        self._sealing = Sealing(rooms.keys, rooms.random)

    @operation("s3", "CopyObject", "s3:PutObject", on="object")
    async def copy_object(self, call: Call) -> Answer:
        given = call.input
        object_key: str = given["Key"]
        bucket = await self._rooms.buckets.find(given["Bucket"])
        check_object_key(object_key)
        refuse_unbuilt(given)
        owned = ObjectMeta()
        await give_owner(call, self._rooms, bucket, owned)
        condition = Condition.of(given)
        choice = choice_for(call, bucket, object_key)
        source = await open_source(self._rooms, call)
        meta = _metadata(given, source)
        meta.owner, meta.acl = owned.owner, owned.acl
        await _allow_tags(call, bucket, object_key, meta, source)
        meta.lock = lock_with_default(call, bucket, await lock_of_write(call, bucket, object_key))
        _refuse_idle_copy(given, bucket, object_key, choice, source)
        judge_copy_source(given, source.meta.etag, modified_at(source.row))
        annotated = await self._takes_annotations(call, bucket, object_key, choice, source)
        if source.row.size > MOST_COPIED:
            text = f"The specified copy source is larger than the maximum allowable size for a copy source: {MOST_COPIED}"
            raise ApiError("InvalidRequest", text)
        opened = await self._reading.open(call, source.bucket, source.row, source.envelope, source.customer)
        key = await self._sealing.new(call, bucket, object_key, choice)
        company = None
        if annotated:
            company = await opened_for_copy(self._rooms, source.bucket, source.row, opened.layers, bucket, key.layers)
        algorithm = _algorithm(given, source.meta)
        copied = Measured(*digested(key.mode), algorithm.lower(), known=_known(source, algorithm))
        written = None
        if not copied.missing and company is None and _stays(bucket, object_key, source, opened.layers, key):
            _describe(meta, key.mode, copied, algorithm, self._rooms)
            written = await self._rewrap(call, bucket, replace(key, layers=opened.layers), meta, source.row, condition)
        if written is None:
            body, size = await opened.read(None)
            stored = await store_plaintext(self._rooms, key.layers, size, measured(body, copied))
            _describe(meta, key.mode, copied, algorithm, self._rooms)
            written = await commit_object(self._rooms, bucket, object_key, key, meta, stored, call.now, condition, company)
        result = {"ETag": f'"{meta.etag}"', "LastModified": call.now, **meta.checksum_output()}
        output: dict[str, Any] = {"CopyObjectResult": result, **source.answered(), **written}
        output |= expiration_output(bucket, object_key, source.row.size, milliseconds(call.now), meta)
        return Answer(output | encryption_output(key.envelope) | echoed(given))

    async def _rewrap(
        self, call: Call, bucket: Bucket, key: ObjectKey, meta: ObjectMeta, old: VersionRow, condition: Condition
    ) -> dict[str, str] | None:
        """A copy onto itself: another row about the same sealed bytes takes the place of ``old``. Answers as ``commit_version``; None when
        ``old`` is not, or no longer, what a new version would replace.
        """
        version_id = new_version_id(self._rooms.random)
        envelope = key.bound(bucket.bucket_id, old.object_key, version_id, old.manifest, self._rooms.random)
        record = meta.seal(bucket, old.object_key, version_id, size=old.size, seal=envelope, manifest=old.manifest)
        row = old._replace(version_id=version_id, modified_ms=milliseconds(call.now), seal=envelope, meta=record)
        return await self._rooms.catalog.write(lambda tx: commit_in_place(tx, bucket, old, row, condition))

    async def _takes_annotations(self, call: Call, bucket: Bucket, object_key: str, choice: Choice, source: CopySource) -> bool:
        """Whether the source has annotations that go along, which needs rights of its own. Raises ApiError AccessDenied, InvalidRequest,
        InvalidArgument.
        """
        directive = call.input.get("AnnotationDirective") or "COPY"
        if directive not in {"COPY", "EXCLUDE"}:
            header = "x-amz-object-annotation-directive"
            raise ApiError("InvalidArgument", "Unknown annotation directive.", ArgumentName=header, ArgumentValue=directive)
        if directive == "EXCLUDE" or not await self._rooms.catalog.annotations(source.row, limit=1):
            return False
        await call.allow("s3:GetObjectAnnotation", object_arn(source.bucket.name, source.row.object_key))
        await call.allow("s3:PutObjectAnnotation", object_arn(bucket.name, object_key))
        if choice.customer is not None:
            raise ApiError("InvalidRequest", "Objects encrypted with customer-provided keys (SSE-C) cannot have annotations.")
        return True


def _known(source: CopySource, algorithm: str) -> dict[str, bytes]:
    """Digests of the whole plaintext that the source's record holds, which is as authentic as its bytes."""
    meta, known = source.meta, dict[str, bytes]()
    if meta.checksum_type == checksums.FULL and algorithm in meta.checksums:
        known[algorithm.lower()] = checksums.decoded(meta.checksums[algorithm])
    if source.envelope.mode == Mode.SSE_S3 and not meta.multipart:  # else its ETag says nothing of the content
        known["md5"] = bytes.fromhex(meta.etag)
    return known


def _stays(bucket: Bucket, object_key: str, source: CopySource, layers: Layers, key: ObjectKey) -> bool:
    """Whether a copy may take over the source's sealed bytes and data keys, because it takes its place; the commit looks again."""
    own_place = (source.bucket.bucket_id, source.row.object_key) == (bucket.bucket_id, object_key)
    same_layers = (layers.outer is None) == (key.layers.outer is None)
    return own_place and source.row.null_version and same_layers and Mode.SSE_C not in {source.envelope.mode, key.mode}


def _describe(meta: ObjectMeta, mode: Mode, copied: Measured, algorithm: str, rooms: Rooms) -> None:
    meta.etag = etag_of(mode, copied, rooms)
    meta.checksums = {algorithm: checksums.encoded(copied.digest(algorithm.lower()))}
    meta.checksum_type = checksums.FULL


def _metadata(given: Mapping[str, Any], source: CopySource) -> ObjectMeta:
    directive = given.get("MetadataDirective") or "COPY"
    if directive not in {"COPY", "REPLACE"}:
        raise ApiError(
            "InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive", ArgumentValue=directive
        )
    tagging = given.get("TaggingDirective") or "COPY"
    if tagging not in {"COPY", "REPLACE"}:
        raise ApiError(
            "InvalidArgument", "Unknown tagging directive.", ArgumentName="x-amz-tagging-directive", ArgumentValue=tagging
        )
    meta = ObjectMeta.from_input(given)
    if tagging == "COPY":
        meta.tags = dict(source.meta.tags)
    if directive == "COPY":
        meta.user = dict(source.meta.user)
        meta.system = {name: source.meta.system[name] for name in SYSTEM_HEADERS if name in source.meta.system}
    return meta


async def _allow_tags(call: Call, bucket: Bucket, object_key: str, meta: ObjectMeta, source: CopySource) -> None:
    """Tags that are copied are read from the source, which is a right of its own. Raises ApiError AccessDenied."""
    if meta.tags and call.input.get("TaggingDirective") != "REPLACE":
        await source.allow(call, "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
    await allow_tagging(call, bucket, object_key, meta)


def _refuse_idle_copy(given: Mapping[str, Any], bucket: Bucket, object_key: str, choice: Choice, source: CopySource) -> None:
    """A copy onto itself must change something (facts 4.6.3, 4.6.4). Raises ApiError InvalidRequest."""
    if source.bucket.bucket_id != bucket.bucket_id or source.row.object_key != object_key:
        return
    changes = (
        given.get("MetadataDirective") == "REPLACE"
        or given.get("StorageClass")
        or given.get("WebsiteRedirectLocation")
        or choice.explicit_header
        or source.envelope.mode != Mode.SSE_S3
        or bucket.encryption.explicit
        or (source.by_version and bucket.versioning)
    )
    if not changes:
        text = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
            "storage class, website redirect location or encryption attributes."
        )
        raise ApiError("InvalidRequest", text)


def _algorithm(given: Mapping[str, Any], source: ObjectMeta) -> str:
    """The checksum of the copy: what the request names, else the source's algorithm, else S3's own."""
    named: str | None = given.get("ChecksumAlgorithm")
    return next(iter(source.checksums), checksums.DEFAULT) if named is None else checksums.known(named)
