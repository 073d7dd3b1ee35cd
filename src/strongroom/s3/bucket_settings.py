"""Settings of a bucket that are one document each: default encryption, versioning.

The codec has refused malformed documents before a run sees them; what is checked here are the rules the model does not
state. KMS keys are text here: nobody asks KMS before an object is written. Never knows XML or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.s3.bucket_cache import ENCRYPTION, VERSIONING, Bucket, bucket_scope, no_such_bucket
from strongroom.s3.encryption import BucketEncryption
from strongroom.s3.rooms import Rooms
from strongroom.s3.versions import ENABLED, SUSPENDED, has_lock
from strongroom.store.contract import Transaction

#: What DeleteBucketEncryption does with BlockedEncryptionTypes, which AWS does not say: True returns to the new-bucket value,
#: False keeps what is stored. They differ only where SSE-C had been allowed by name.
DELETE_RESETS_BLOCK: Final = True

_DEFAULTS: Final = ("AES256", "aws:kms", "aws:kms:dsse")  # the model's other values are not for buckets like ours
_BLOCK_TYPES: Final = frozenset({"NONE", "SSE-C"})


def read_rule(configuration: Mapping[str, Any], before: BucketEncryption) -> BucketEncryption:
    """The rule that a ServerSideEncryptionConfiguration puts in place of ``before``.

    An omitted member gets its default, not its former value; only an omitted block element leaves the block as it was.
    Raises ApiError MalformedXML, InvalidArgument.
    """
    rules: list[Mapping[str, Any]] = configuration.get("Rules") or []
    if len(rules) != 1 or not rules[0]:
        raise ApiError("MalformedXML")
    rule = rules[0]
    default: Mapping[str, Any] = rule.get("ApplyServerSideEncryptionByDefault", {"SSEAlgorithm": "AES256"})
    algorithm = default.get("SSEAlgorithm")
    if algorithm not in _DEFAULTS:
        raise ApiError("MalformedXML")
    kms_key: str | None = default.get("KMSMasterKeyID") or None
    if algorithm == "AES256" and kms_key is not None:
        raise ApiError(
            "InvalidArgument",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            ArgumentName="ApplyServerSideEncryptionByDefault",
        )
    blocked = before.blocked if rule.get("BlockedEncryptionTypes") is None else _blocked(rule["BlockedEncryptionTypes"])
    return BucketEncryption(algorithm, kms_key, bool(rule.get("BucketKeyEnabled")), blocked, explicit=True)


def _blocked(element: Mapping[str, Any]) -> tuple[str, ...]:
    types = set(element.get("EncryptionType") or ["NONE"])
    if len(types) != 1 or not types <= _BLOCK_TYPES:
        raise ApiError("MalformedXML")
    return tuple(types)


def show_rule(rule: BucketEncryption) -> dict[str, Any]:
    """The ServerSideEncryptionConfiguration of an answer: always one rule, with its flag and its block."""
    default = {"SSEAlgorithm": rule.algorithm} | ({} if rule.kms_key is None else {"KMSMasterKeyID": rule.kms_key})
    return {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": default,
                "BucketKeyEnabled": rule.bucket_key,
                "BlockedEncryptionTypes": {"EncryptionType": list(rule.blocked)},
            }
        ]
    }


def read_versioning(configuration: Mapping[str, Any]) -> str:
    """The state that a VersioningConfiguration asks for. MFA delete would be a promise that nothing here could keep, so only its
    absence can be asked for. Raises ApiError IllegalVersioningConfigurationException, MalformedXML, NotImplemented.
    """
    status: str | None = configuration.get("Status")
    if not status:
        raise ApiError("IllegalVersioningConfigurationException")
    if status not in {ENABLED, SUSPENDED}:
        raise ApiError("MalformedXML")
    if configuration.get("MFADelete") not in {None, "Disabled"}:
        raise ApiError("NotImplemented", "MFA delete is not implemented.", Header="x-amz-mfa")
    return status


class BucketSettings:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "GetBucketEncryption", "s3:GetEncryptionConfiguration", on="bucket")
    async def get_bucket_encryption(self, call: Call) -> Answer:
        bucket = await self._find(call)
        return Answer({"ServerSideEncryptionConfiguration": show_rule(bucket.encryption)})

    @operation("s3", "PutBucketEncryption", "s3:PutEncryptionConfiguration", on="bucket")
    async def put_bucket_encryption(self, call: Call) -> Answer:
        bucket = await self._find(call)
        configuration: Mapping[str, Any] = call.input.get("ServerSideEncryptionConfiguration") or {}
        read_rule(configuration, bucket.encryption)  # a bad document is refused without a turn at the writer

        def work(tx: Transaction) -> None:
            self._set(tx, bucket, read_rule(configuration, self._stored(tx, bucket)))

        await self._rooms.catalog.write(work)
        return Answer()

    # There is no s3:DeleteEncryptionConfiguration: deleting is a way of putting.
    @operation("s3", "DeleteBucketEncryption", "s3:PutEncryptionConfiguration", on="bucket")
    async def delete_bucket_encryption(self, call: Call) -> Answer:
        bucket = await self._find(call)

        def work(tx: Transaction) -> None:
            rule = BucketEncryption.new_bucket(self._rooms.settings.new_bucket_sse_c)
            if not DELETE_RESETS_BLOCK:
                rule = BucketEncryption(
                    "AES256", None, bucket_key=False, blocked=self._stored(tx, bucket).blocked, explicit=False
                )
            self._set(tx, bucket, rule)

        await self._rooms.catalog.write(work)
        return Answer()

    @operation("s3", "GetBucketVersioning", "s3:GetBucketVersioning", on="bucket")
    async def get_bucket_versioning(self, call: Call) -> Answer:
        """Says nothing where versioning was never set."""
        bucket = await self._find(call)
        return Answer({"Status": bucket.versioning} if bucket.versioning else {})

    @operation("s3", "PutBucketVersioning", "s3:PutBucketVersioning", on="bucket")
    async def put_bucket_versioning(self, call: Call) -> Answer:
        """Takes effect at the commit: of writes under way, those that commit later see it. There is no way back to never set."""
        bucket = await self._find(call)
        status = read_versioning(call.input.get("VersioningConfiguration") or {})

        def work(tx: Transaction) -> None:
            if not tx.bucket_exists(bucket.bucket_id):
                raise no_such_bucket(bucket.name)
            if status != ENABLED and has_lock(tx, bucket):
                text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                raise ApiError("InvalidBucketState", text)
            tx.set_document(bucket_scope(bucket.bucket_id), VERSIONING, {"status": status})

        await self._rooms.catalog.write(work)
        return Answer()

    async def _find(self, call: Call) -> Bucket:
        return await self._rooms.buckets.find(call.input["Bucket"])

    def _stored(self, tx: Transaction, bucket: Bucket) -> BucketEncryption:
        value = tx.document(bucket_scope(bucket.bucket_id), ENCRYPTION)
        return BucketEncryption.from_document(value, self._rooms.settings.new_bucket_sse_c)

    def _set(self, tx: Transaction, bucket: Bucket, rule: BucketEncryption) -> None:
        if not tx.bucket_exists(bucket.bucket_id):
            raise no_such_bucket(bucket.name)
        tx.set_document(bucket_scope(bucket.bucket_id), ENCRYPTION, rule.to_document())
