"""Which key an object is under, or would be: read from its row or decided by the bucket's rule, without opening anything.

Never knows who may use a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.iam.callers import Caller
from strongroom.kms.identifiers import parse
from strongroom.kms.names import S3_ALIAS, KeyName
from strongroom.kms.records import KeyRecord
from strongroom.s3.bucket_cache import Bucket
from strongroom.s3.encryption import choose
from strongroom.s3.sealing import kms_context, object_arn
from strongroom.s3.versions import read_version_id
from strongroom.seal.format import Envelope, Mode
from strongroom.startup.opening import LowerRooms

_DECRYPT, _GENERATE = "kms:Decrypt", "kms:GenerateDataKey"
_MODES: Final = {Mode.SSE_S3: "SSE-S3", Mode.SSE_KMS: "SSE-KMS", Mode.DSSE_KMS: "DSSE-KMS", Mode.SSE_C: "SSE-C"}
_NO_RIGHT: Final = {
    "SSE-S3": "under S3's own key: no right to a key is needed",
    "SSE-C": "under a key that only clients have and must send: no right to a KMS key is needed",
}
_HEADERS: Final = {
    "ServerSideEncryption": "s3:x-amz-server-side-encryption",
    "SSEKMSKeyId": "s3:x-amz-server-side-encryption-aws-kms-key-id",
}


@dataclass(frozen=True, slots=True)
class Wrapping:
    """``actions`` are asked for ``key_arn``, with that encryption context. ``version_id``: of the row that was looked at."""

    mode: str  # SSE-S3, SSE-KMS, DSSE-KMS, SSE-C
    key_arn: str = ""
    state: str = ""  # of the KMS key
    bucket_key: bool = False
    version_id: str | None = None
    actions: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    usable: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    bucket: Bucket
    object_key: str
    version_id: str | None  # None: the newest


async def of_read(lower: LowerRooms, read: Read, caller: Caller) -> Wrapping:
    """The key an object was written under. Raises ApiError for a version id that is none."""
    bucket, object_key = read.bucket, read.object_key
    if read.version_id is None:
        row = await lower.catalog.latest(bucket.bucket_id, object_key)
    else:
        row = await lower.catalog.version(bucket.bucket_id, object_key, read_version_id(read.version_id, "versionId"))
    if row is None or row.delete_marker:
        what = (
            "there is no such version"
            if row is None and read.version_id
            else "a delete marker"
            if row is not None
            else "there is no such object"
        )
        return Wrapping("", notes=(f"{what}: 404 for whoever may s3:ListBucket, 403 for others",))
    envelope = Envelope.decode(row.seal)
    mode, version_id = _MODES[envelope.mode], "null" if row.null_version else row.version_id
    if mode in _NO_RIGHT:
        return Wrapping(mode, version_id=version_id, notes=(_NO_RIGHT[mode],))
    parts = envelope.key_arn.split(":", 5)
    name = KeyName(parts[4], parts[3], parts[5].removeprefix("key/"))
    record = await lower.keys.ring.key(name, lower.keys.ring.now_ms())
    context = kms_context(bucket.name, object_key, envelope.context, bucket_key=envelope.bucket_key)
    found = Wrapping(mode, name.arn, bucket_key=envelope.bucket_key, version_id=version_id, actions=(_DECRYPT,), context=context)
    return _with_state(found, record, caller)


async def of_write(
    lower: LowerRooms, bucket: Bucket, object_key: str, caller: Caller, given: Mapping[str, str | tuple[str, ...]]
) -> Wrapping:
    """The key a write gets, by the headers that were given as condition values, else by the bucket's rule. Raises ApiError."""
    headers = {member: str(given[key]) for member, key in _HEADERS.items() if key in given}
    choice = choose(
        headers, bucket.encryption, secure=True, principal_arn=caller.arn, object_arn=object_arn(bucket.name, object_key)
    )
    if choice.mode in _NO_RIGHT:
        return Wrapping(choice.mode, notes=(_NO_RIGHT[choice.mode],))
    named = parse(choice.kms_key or S3_ALIAS, caller.account_id, bucket.region)
    ring = lower.keys.ring
    if isinstance(named, KeyName):
        record = await ring.key(named, ring.now_ms())
    else:
        alias = await ring.alias(named, ring.now_ms())
        record = None if alias is None else alias[1]
    arn = named.arn if record is None else record.name.arn
    context = kms_context(bucket.name, object_key, choice.context, bucket_key=choice.bucket_key)
    actions = (_GENERATE, _DECRYPT) if choice.bucket_key else (_GENERATE,)
    found = Wrapping(choice.mode, arn, bucket_key=choice.bucket_key, actions=actions, context=context)
    if record is None and choice.kms_key is None and not caller.anonymous:
        made_later = f"{S3_ALIAS} of account {caller.account_id} is made by the first write; until then its ARN is not known"
        return Wrapping(
            choice.mode, arn, "not made yet", choice.bucket_key, actions=actions, context=context, notes=(made_later,)
        )
    return _with_state(found, record, caller)


def _with_state(found: Wrapping, record: KeyRecord | None, caller: Caller) -> Wrapping:
    """A key serves nobody unless it is enabled, and a key that S3 manages only its own account."""
    notes: tuple[str, ...] = ()
    if record is None:
        state, notes = "not there", (f"there is no key {found.key_arn}",)
    else:
        state = record.state
        if state != "Enabled":
            notes = (f"{found.key_arn} is {state}: nobody can use it now, whatever policies say",)
        elif record.manager == "AWS" and record.name.account_id != caller.account_id:
            notes = (f"{found.key_arn} is managed by S3 for account {record.name.account_id} alone",)
    return Wrapping(
        found.mode, found.key_arn, state, found.bucket_key, found.version_id, found.actions, found.context, not notes, notes
    )
