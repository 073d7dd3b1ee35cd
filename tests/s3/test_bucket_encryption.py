"""GetBucketEncryption, PutBucketEncryption, DeleteBucketEncryption, and the settings that only read."""

from __future__ import annotations

import asyncio

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer
from strongroom.s3 import bucket_settings
from strongroom.s3.bucket_cache import ENCRYPTION, bucket_scope
from strongroom.s3.rooms import S3Settings
from tests.s3.world import A

UUID = "0d1e9b1c-3a5e-4f0e-9a52-7a6d2c1b0f11"


async def put(world, *rules, **where):
    return await world.run(
        "PutBucketEncryption", Bucket="bucket", ServerSideEncryptionConfiguration={"Rules": list(rules)}, **where
    )


async def read(world):
    output = await world.run("GetBucketEncryption", Bucket="bucket")
    (rule,) = output["ServerSideEncryptionConfiguration"]["Rules"]
    return rule


def default(algorithm="AES256", kms_key=None):
    return {"SSEAlgorithm": algorithm} | ({} if kms_key is None else {"KMSMasterKeyID": kms_key})


def shown(algorithm="AES256", kms_key=None, *, bucket_key=False, block="SSE-C"):
    return {
        "ApplyServerSideEncryptionByDefault": default(algorithm, kms_key),
        "BucketKeyEnabled": bucket_key,
        "BlockedEncryptionTypes": {"EncryptionType": [block]},
    }


def rule(algorithm="AES256", kms_key=None, **more):
    return {"ApplyServerSideEncryptionByDefault": default(algorithm, kms_key)} | more


def block(*types):
    return {"BlockedEncryptionTypes": {"EncryptionType": list(types)} if types else {}}


@pytest.mark.parametrize(("setting", "value"), [("blocked", "SSE-C"), ("allowed", "NONE")])
@pytest.mark.fact("1.1", "1.2", "1.3", "5.6.1", "5.6.9")
async def test_a_new_bucket_has_a_rule_that_nobody_put(world, setting, value):
    world.use(S3Settings(new_bucket_sse_c=setting))
    bucket = await world.make()
    assert await read(world) == shown(block=value)
    assert not bucket.encryption.explicit


async def test_the_setting_for_new_buckets_does_not_change_old_ones(world):
    await world.make()
    world.use(S3Settings(new_bucket_sse_c="allowed"))
    assert (await world.buckets.find("bucket")).encryption.blocks_sse_c


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule(), shown()),
        (rule(BucketKeyEnabled=True), shown(bucket_key=True)),
        (rule("AES256", ""), shown()),
        (rule("aws:kms"), shown("aws:kms")),
        (rule("aws:kms", ""), shown("aws:kms")),
        (rule("aws:kms", UUID, BucketKeyEnabled=True), shown("aws:kms", UUID, bucket_key=True)),
        (rule("aws:kms", "alias/aws/s3"), shown("aws:kms", "alias/aws/s3")),
        (rule("aws:kms", "no such key, and nobody asks"), shown("aws:kms", "no such key, and nobody asks")),
        (rule("aws:kms:dsse", BucketKeyEnabled=True), shown("aws:kms:dsse", bucket_key=True)),
        (rule("aws:kms", UUID) | block("NONE"), shown("aws:kms", UUID, block="NONE")),
        (block("SSE-C"), shown()),
        (block(), shown(block="NONE")),
        (block("NONE", "NONE"), shown(block="NONE")),
    ],
)
@pytest.mark.fact("1.5", "1.6", "1.7", "1.8")
async def test_a_put_rule_is_echoed_as_it_was_put(world, given, expected):
    await world.make()
    assert await put(world, given) == {}
    assert await read(world) == expected
    assert (await world.buckets.find("bucket")).encryption.explicit
    await put(world, given)
    assert await read(world) == expected


@pytest.mark.fact("2.1.2", "2.1.3")
async def test_a_put_replaces_all_but_an_omitted_block(world):
    await world.make()
    await put(world, rule("aws:kms", UUID, BucketKeyEnabled=True) | block("NONE"))
    await put(world, rule("aws:kms"))
    assert await read(world) == shown("aws:kms", block="NONE")
    await put(world, rule() | block("SSE-C"))
    await put(world, rule("aws:kms:dsse"))
    assert await read(world) == shown("aws:kms:dsse")


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{}],
        [rule(), rule()],
        [{"ApplyServerSideEncryptionByDefault": {}}],
        [rule("SSE-KMS")],
        [rule("aes256")],
        [rule("aws:fsx")],
        [rule("aws:backup")],
        [rule() | block("NONE", "SSE-C")],
        [rule() | block("SSE-S3")],
    ],
)
async def test_a_malformed_rule_changes_nothing(world, rules):
    await world.make()
    await put(world, rule("aws:kms", UUID))
    with pytest.raises(ApiError) as caught:
        await put(world, *rules)
    assert (caught.value.status, caught.value.code) == (400, "MalformedXML")
    assert caught.value.message == "The XML you provided was not well-formed or did not validate against our published schema"
    assert await read(world) == shown("aws:kms", UUID)


async def test_a_key_beside_aes256(world):
    await world.make()
    with pytest.raises(ApiError) as caught:
        await put(world, rule("AES256", UUID))
    assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
    assert (
        caught.value.message == "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
    )
    assert caught.value.members == {"ArgumentName": "ApplyServerSideEncryptionByDefault"}


@pytest.mark.fact("1.9", "3.4", "3.7")
async def test_delete_returns_to_the_new_bucket(world):
    await world.make()
    await put(world, rule("aws:kms", UUID) | block("NONE"))
    for _ in range(2):
        assert await world.run("DeleteBucketEncryption", Bucket="bucket") == {}
        assert await read(world) == shown()
        assert not (await world.buckets.find("bucket")).encryption.explicit


@pytest.mark.fact("3.8", "12.1")
async def test_delete_may_keep_the_block_instead(world, monkeypatch):
    monkeypatch.setattr(bucket_settings, "DELETE_RESETS_BLOCK", False)
    await world.make()
    await put(world, rule("aws:kms") | block("NONE"))
    await world.run("DeleteBucketEncryption", Bucket="bucket")
    assert await read(world) == shown(block="NONE")
    assert not (await world.buckets.find("bucket")).encryption.explicit


@pytest.mark.parametrize(
    "name", ["GetBucketEncryption", "DeleteBucketEncryption", "PutBucketEncryption", "GetBucketVersioning", "GetBucketAcl"]
)
@pytest.mark.fact("1.13")
async def test_a_missing_bucket_comes_before_a_bad_document(world, name):
    with pytest.raises(ApiError) as caught:
        await world.run(name, Bucket="bucket")
    assert (caught.value.status, caught.value.code) == (404, "NoSuchBucket")
    assert caught.value.members == {"BucketName": "bucket"}


async def test_a_bucket_that_goes_between_looking_and_writing_leaves_no_document(world):
    bucket = await world.make()
    call = world.call("PutBucketEncryption", Bucket="bucket", ServerSideEncryptionConfiguration={"Rules": [rule("aws:kms")]})
    gone = world.call("DeleteBucket", Bucket="bucket")
    done = await asyncio.gather(gone.operation.run(gone), call.operation.run(call), return_exceptions=True)
    assert isinstance(done[0], Answer)
    assert isinstance(done[1], ApiError)
    assert done[1].code == "NoSuchBucket"
    assert await world.catalog.document(bucket_scope(bucket.bucket_id), ENCRYPTION) is None


@pytest.mark.fact("2.1.6")
async def test_rules_that_race_do_not_mix(world):
    await world.make()
    rules = [rule("aws:kms", f"key-{number}", BucketKeyEnabled=number % 2 == 1) for number in range(8)]
    await asyncio.gather(*(put(world, one) for one in rules))
    assert await read(world) in [shown("aws:kms", f"key-{number}", bucket_key=number % 2 == 1) for number in range(8)]


async def test_versioning_that_was_never_set_says_nothing(world):
    await world.make()
    assert await world.run("GetBucketVersioning", Bucket="bucket") == {}


async def test_the_acl_is_the_owners_alone(world):
    await world.make()
    output = await world.run("GetBucketAcl", Bucket="bucket")
    owner = {"ID": world.call("GetBucketAcl").caller.canonical_id}
    assert output == {
        "Owner": owner,
        "Grants": [{"Grantee": {**owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}],
    }


@pytest.mark.fact("1.15", "2.5.2", "3.6", "11.G60")
async def test_the_needs(world):
    needs = {operation.name: (operation.need.action, operation.need.on) for operation in world.register}
    assert needs["GetBucketEncryption"] == ("s3:GetEncryptionConfiguration", "bucket")
    assert needs["PutBucketEncryption"] == needs["DeleteBucketEncryption"] == ("s3:PutEncryptionConfiguration", "bucket")
    assert world.call("GetBucketAcl").caller.account_id == A
