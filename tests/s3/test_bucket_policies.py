"""Bucket policies as they are kept, and what they make of a bucket's authority."""

from __future__ import annotations

import json

import pytest

from strongroom.policy.decide import Question, Reason, decide
from strongroom.s3.bucket_cache import POLICY, PUBLIC_ACCESS, bucket_scope
from tests.s3.vault import A, B, Vault

ROOT = f"arn:aws:iam::{A}:root"
EVERYONE = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket/*"}


@pytest.fixture
async def made(vault: Vault) -> Vault:
    await vault.make()
    return vault


async def store(vault: Vault, kind: str, value: object) -> None:
    bucket = await vault.buckets.find("bucket")
    await vault.catalog.write(lambda tx: tx.set_document(bucket_scope(bucket.bucket_id), kind, value))


async def reason(vault: Vault, action: str, arn: str = ROOT) -> Reason:
    authority = await vault.buckets.authority("arn:aws:s3:::bucket")
    return decide(Question(arn.split(":")[4], arn, False, action, "arn:aws:s3:::bucket", authority)).reason


async def test_a_stored_policy_that_is_not_understood_shuts_the_bucket_but_not_its_policy(made: Vault):
    await store(made, POLICY, {"text": json.dumps({"Statement": {**EVERYONE, "Action": "s3:NoLongerKnown"}}), "ids": {}})
    assert await reason(made, "s3:ListBucket") is Reason.DENIED_BY_RESOURCE
    for action in ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"):
        assert await reason(made, action) is Reason.ROOT_OF_OWNER
    await made.run("DeleteBucketPolicy", Bucket="bucket")
    assert await reason(made, "s3:ListBucket") is Reason.ROOT_OF_OWNER


async def test_a_change_is_seen_by_the_next_question(made: Vault):
    policy = {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::bucket"}}
    assert await reason(made, "s3:ListBucket") is Reason.ROOT_OF_OWNER
    await made.run("PutBucketPolicy", Bucket="bucket", Policy=json.dumps(policy))
    assert await reason(made, "s3:ListBucket") is Reason.DENIED_BY_RESOURCE


@pytest.mark.parametrize(("document", "restricted"), [(None, True), ({}, False), ({"RestrictPublicBuckets": True}, True)])
async def test_without_a_document_a_bucket_has_the_settings_of_a_new_one(made: Vault, document: object, restricted: bool):
    await store(made, POLICY, {"text": json.dumps({"Statement": EVERYONE}), "ids": {}})
    await store(made, PUBLIC_ACCESS, document)
    assert (await made.buckets.authority("arn:aws:s3:::bucket/k")).restricted is restricted


async def test_only_the_bucket_s_account_has_its_policy(made: Vault):
    for name, given in (("GetBucketPolicy", {}), ("DeleteBucketPolicy", {}), ("PutBucketPolicy", {"Policy": "{}"})):
        assert (await made.refused(name, Bucket="bucket", account=B, **given)).code == "MethodNotAllowed"


async def test_a_missing_key_is_told_only_to_those_who_may_list(made: Vault):
    assert (await made.refused("GetObject", Bucket="bucket", Key="k")).code == "NoSuchKey"
    made.denied.add(("s3:ListBucket", "arn:aws:s3:::bucket"))
    for name in ("GetObject", "HeadObject"):
        assert (await made.refused(name, Bucket="bucket", Key="k")).code == "AccessDenied"
        assert (await made.refused(name, Bucket="bucket", Key="k", VersionId="0" * 32)).code == "AccessDenied"
