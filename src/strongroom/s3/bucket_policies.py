"""Bucket policies, and the settings that keep a bucket from the public: stored here, judged elsewhere.

A policy is kept as the text that was put, with the unique ids of the users and roles it names. Never knows who may do what: what a policy
means is for ``policy``, and ``bucket_cache`` hands it to the judge. Sources: the reference pages of these operations and "Blocking public
access" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam.principals import Principals
from strongroom.policy.binding import arns_of, renamed
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Policy
from strongroom.policy.faults import InvalidPolicy, Kind, invalid_principal
from strongroom.s3.bucket_cache import POLICY, PUBLIC_ACCESS, Bucket, block_at, bucket_scope, no_such_bucket
from strongroom.s3.owners import bucket_arn
from strongroom.s3.public_access import read_block, show_block
from strongroom.s3.rooms import Rooms
from strongroom.store.contract import Transaction

_PUT: Final = "s3:PutBucketPolicy"


class BucketPolicies:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._principals = Principals(rooms.catalog)

    @operation("s3", "PutBucketPolicy", _PUT, on="bucket")
    async def put_bucket_policy(self, call: Call) -> Answer:
        """The owner's root may always put another one, so nobody can lock himself out for good."""
        bucket = await self._own(call)
        text: str = call.input["Policy"]
        policy = await self._checked(text, bucket)
        ids = await self._principals.ids_of(arns_of(policy))

        def work(tx: Transaction) -> None:
            if block_at(tx, bucket).refuses_policy(public=policy.public):
                raise _public_policy(call, bucket)
            self._set(tx, bucket, POLICY, {"text": text, "ids": ids})

        await self._rooms.catalog.write(work)
        return Answer(status=204)

    @operation("s3", "GetBucketPolicy", "s3:GetBucketPolicy", on="bucket")
    async def get_bucket_policy(self, call: Call) -> Answer:
        bucket = await self._own(call)
        if bucket.policy is None:
            raise ApiError("NoSuchBucketPolicy", BucketName=bucket.name)
        return Answer({"Policy": renamed(bucket.policy, await self._principals.names_of(bucket.policy_ids))})

    @operation("s3", "DeleteBucketPolicy", "s3:DeleteBucketPolicy", on="bucket")
    async def delete_bucket_policy(self, call: Call) -> Answer:
        bucket = await self._own(call)
        await self._rooms.catalog.write(lambda tx: self._set(tx, bucket, POLICY, None))
        return Answer()

    @operation("s3", "GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", on="bucket")
    async def get_bucket_policy_status(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if bucket.policy is None:
            raise ApiError("NoSuchBucketPolicy", BucketName=bucket.name)
        return Answer({"PolicyStatus": {"IsPublic": any(policy.public for policy in bucket.authority.policies)}})

    @operation("s3", "GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", on="bucket")
    async def get_public_access_block(self, call: Call) -> Answer:
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if bucket.public_access is None:
            raise ApiError("NoSuchPublicAccessBlockConfiguration", BucketName=bucket.name)
        return Answer({"PublicAccessBlockConfiguration": show_block(bucket.public_access)})

    @operation("s3", "PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock", on="bucket")
    async def put_public_access_block(self, call: Call) -> Answer:
        """A flag that is left out is off."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        block = show_block(read_block(call.input["PublicAccessBlockConfiguration"] or {}))
        await self._rooms.catalog.write(lambda tx: self._set(tx, bucket, PUBLIC_ACCESS, block))
        return Answer()

    @operation("s3", "DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock", on="bucket")
    async def delete_public_access_block(self, call: Call) -> Answer:
        """What is left is a bucket without the configuration, not one with the configuration of a new bucket."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        await self._rooms.catalog.write(lambda tx: self._set(tx, bucket, PUBLIC_ACCESS, {}))
        return Answer()

    async def _own(self, call: Call) -> Bucket:
        """The bucket, for a caller of its own account: no policy can give these rights away."""
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        if call.caller.account_id != bucket.account_id:
            raise ApiError("MethodNotAllowed", Method="POLICY", ResourceType="BUCKETPOLICY")
        return bucket

    async def _checked(self, text: str, bucket: Bucket) -> Policy:
        try:
            policy = read_bucket_policy(text, bucket.name)
            for sort, value in policy.named:
                if not await self._principals.is_named(sort, value):
                    raise invalid_principal(Kind.RESOURCE, value, sort)
        except InvalidPolicy as error:
            detail = {} if error.detail is None else {"Detail": error.detail}
            raise ApiError("MalformedPolicy", str(error), fields=detail) from None
        return policy

    @staticmethod
    def _set(tx: Transaction, bucket: Bucket, kind: str, value: Mapping[str, Any] | None) -> None:
        if not tx.bucket_exists(bucket.bucket_id):
            raise no_such_bucket(bucket.name)
        tx.set_document(bucket_scope(bucket.bucket_id), kind, value)


def _public_policy(call: Call, bucket: Bucket) -> ApiError:
    return ApiError(
        "AccessDenied",
        f'User: {call.caller.arn} is not authorized to perform: {_PUT} on resource: "{bucket_arn(bucket.name)}" because public '
        "policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
    )
