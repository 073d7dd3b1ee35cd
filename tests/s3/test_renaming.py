"""RenameObject: another key for an object, in one commit, with no byte moved and nothing else changed."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest

from strongroom.s3.renaming import Renaming
from strongroom.s3.versions import stored_blobs
from strongroom.seal.format import Envelope
from tests.s3.test_customer_keys import trio
from tests.s3.test_multipart import FIRST, TAIL, Upload
from tests.s3.vault import B

KMS = {"ServerSideEncryption": "aws:kms"}
MODES = {
    "SSE-S3": {},
    "SSE-KMS": KMS,
    "SSE-KMS with a bucket key": {**KMS, "BucketKeyEnabled": True},
    "DSSE-KMS": {"ServerSideEncryption": "aws:kms:dsse"},
}


@pytest.fixture
async def bucket(vault):
    return await vault.make()


async def rename(vault, source="k", key="new", **given):
    assert await vault.run("RenameObject", Bucket="bucket", Key=key, RenameSource=f"bucket/{source}", **given) == {}


async def refused(vault, source="bucket/k", key="new", **given):
    return await vault.refused("RenameObject", Bucket="bucket", Key=key, RenameSource=source, **given)


async def keys(vault):
    return [one["Key"] for one in (await vault.run("ListObjectsV2", Bucket="bucket")).get("Contents", [])]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [0, 10, 200_000])
async def test_only_the_key_changes(vault, bucket, mode, size, monkeypatch):
    data = os.urandom(size)
    given = {**MODES[mode], "Metadata": {"a": "b"}, "ContentType": "text/plain", "StorageClass": "STANDARD_IA", "Tagging": "a=1"}
    await vault.put("k", data, **given)
    row, head = await vault.row("k"), await vault.head("k", ChecksumMode="ENABLED")
    contents = [path.read_bytes() for path in vault.files]
    vault.now += timedelta(hours=1)
    reads = vault.recorded_reads(monkeypatch)
    await rename(vault)
    monkeypatch.undo()
    assert reads == []
    assert [path.read_bytes() for path in vault.files] == contents
    assert await vault.head("new", ChecksumMode="ENABLED") == head  # the time of its last change, too
    assert (await vault.get("new"))[0] == data
    moved = await vault.row("new")
    assert (moved.manifest, moved.size, moved.body) == (row.manifest, row.size, row.body)
    assert moved.version_id != row.version_id
    assert moved.seal != row.seal
    assert await keys(vault) == ["new"]
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k")).code == "NoSuchKey"
    vault.now += timedelta(days=3)
    assert (await vault.upkeep.delete_discarded(), await vault.upkeep.sweep()) == (0, 0)
    assert (await vault.get("new"))[0] == data  # upkeep has not taken its blob for one that nobody names


async def test_a_kms_ciphertext_that_names_the_object_is_made_anew(vault, bucket):
    _, arn = await vault.kms_key()
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=arn)
    before = Envelope.decode((await vault.row("k")).seal)
    vault.uses.clear()
    await rename(vault)
    after = Envelope.decode((await vault.row("new")).seal)
    assert (after.key_arn, after.context) == (arn, before.context)
    assert after.kms_wrapped != before.kms_wrapped
    arns = [use.context["aws:s3:arn"] for use in vault.uses]
    assert [use.operation for use in vault.uses] == ["Decrypt", "GenerateDataKey"]
    assert arns == ["arn:aws:s3:::bucket/k", "arn:aws:s3:::bucket/new"]
    vault.uses.clear()
    assert (await vault.get("new"))[0] == b"x"
    assert [use.context["aws:s3:arn"] for use in vault.uses] == ["arn:aws:s3:::bucket/new"]


async def test_who_may_not_use_the_key_may_not_rename(vault, bucket):
    key_id, _ = await vault.kms_key()
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=key_id)
    await vault.kms("DisableKey", KeyId=key_id)
    assert (await refused(vault)).code == "KMS.DisabledException"
    assert await keys(vault) == ["k"]
    for more in ({"anonymous": True}, {"secure": False}, {"signed_v4": False}):
        assert (await refused(vault, **more)).code == "InvalidArgument"


async def test_an_object_of_parts(vault, bucket):
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, FIRST)
    await upload.part(2, TAIL)
    await upload.complete()
    head = await vault.head("k", PartNumber=2)
    await rename(vault)
    assert (await vault.get("new"))[0] == FIRST + TAIL
    assert await vault.head("new", PartNumber=2) == head


async def test_what_was_at_the_destination_goes_for_good(vault, bucket):
    await vault.put("k", b"x" * 100_000)
    await vault.put("new", b"y" * 100_000)
    old = await vault.row("new")
    await rename(vault)
    assert (await vault.get("new"))[0] == b"x" * 100_000
    assert await vault.catalog.discarded(10) == stored_blobs(old.manifest)
    vault.now += timedelta(hours=1)
    assert len(vault.files) == 2


# ------------------------------------------------------------------------------------------------------------------ rights


async def test_the_rights_of_reading_and_deleting_the_one_and_writing_the_other(vault, bucket):
    assert vault.register.find("s3", "RenameObject").need.action == "s3:PutObject"
    await vault.put("k", b"x")
    vault.asked.clear()
    await rename(vault)
    source = "arn:aws:s3:::bucket/k"
    assert vault.asked == [("s3:GetObject", source), ("s3:DeleteObject", source)]
    await rename(vault, "new", "k")
    for action in ("s3:GetObject", "s3:DeleteObject"):
        vault.denied = {(action, source)}
        assert (await refused(vault)).code == "AccessDenied"
    assert await keys(vault) == ["k"]


async def test_who_may_not_list_does_not_learn_that_there_is_none(vault, bucket):
    assert (await refused(vault)).code == "NoSuchKey"
    vault.denied = {("s3:ListBucket", "arn:aws:s3:::bucket")}
    assert (await refused(vault)).code == "AccessDenied"


# -------------------------------------------------------------------------------------------------------------- conditions


async def test_conditions_on_the_destination(vault, bucket):
    await vault.put("k", b"x")
    before = vault.now
    assert (await refused(vault, DestinationIfMatch='"a"')).code == "NoSuchKey"
    assert (await refused(vault, DestinationIfModifiedSince=before - timedelta(days=1))).code == "PreconditionFailed"
    etag = (await vault.put("new", b"y"))["ETag"]
    failing = [
        ({"DestinationIfNoneMatch": "*"}, "If-None-Match"),
        ({"DestinationIfMatch": '"a"'}, "If-Match"),
        ({"DestinationIfModifiedSince": before}, "If-Modified-Since"),
        ({"DestinationIfUnmodifiedSince": before - timedelta(days=1)}, "If-Unmodified-Since"),
    ]
    for given, header in failing:
        error = await refused(vault, **given)
        assert (error.status, error.code, error.members) == (412, "PreconditionFailed", {"Condition": header})
    assert (await refused(vault, DestinationIfNoneMatch='"a"')).code == "NotImplemented"
    assert await keys(vault) == ["k", "new"]
    await rename(vault, DestinationIfMatch=etag, DestinationIfUnmodifiedSince=before)
    await rename(vault, "new", "k", DestinationIfNoneMatch="*", DestinationIfUnmodifiedSince=before - timedelta(days=1))
    assert await keys(vault) == ["k"]


async def test_conditions_on_the_source(vault, bucket):
    etag = (await vault.put("k", b"x"))["ETag"]
    now = vault.now
    failing = [
        ({"SourceIfMatch": '"a"'}, "x-amz-rename-source-If-Match"),
        ({"SourceIfNoneMatch": etag}, "x-amz-rename-source-If-None-Match"),
        ({"SourceIfNoneMatch": "*"}, "x-amz-rename-source-If-None-Match"),
        ({"SourceIfModifiedSince": now}, "x-amz-rename-source-If-Modified-Since"),
        ({"SourceIfUnmodifiedSince": now - timedelta(days=1)}, "x-amz-rename-source-If-Unmodified-Since"),
    ]
    for given, header in failing:
        error = await refused(vault, **given)
        assert (error.status, error.code, error.members) == (412, "PreconditionFailed", {"Condition": header})
    await rename(vault, SourceIfMatch=etag, SourceIfModifiedSince=now - timedelta(days=1))
    assert await keys(vault) == ["new"]


# ------------------------------------------------------------------------------------------------------------ client tokens


async def test_a_retry_with_its_token_does_nothing_more(vault, bucket):
    await vault.put("k", b"x")
    await rename(vault, ClientToken="t")
    await rename(vault, ClientToken="t")
    await vault.put("k", b"another")
    await rename(vault, ClientToken="t")  # not the other one
    assert (await vault.get("new"))[0] == b"x"
    error = await refused(vault, ClientToken="t", DestinationIfNoneMatch="*")
    assert (error.status, error.code) == (400, "IdempotencyParameterMismatch")
    error = await refused(vault, "bucket/new", "newer", ClientToken="t")
    assert error.code == "IdempotencyParameterMismatch"
    await rename(vault, ClientToken="u")
    assert (await vault.get("new"))[0] == b"another"
    await rename(vault, "new", "newer")  # and without a token nothing of it stays
    await rename(vault, "newer", "new", ClientToken="u")


async def test_a_token_is_kept_when_tags_change(vault, bucket):
    await vault.put("k", b"x")
    await rename(vault, ClientToken="t")
    await vault.run("PutObjectTagging", Bucket="bucket", Key="new", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    await rename(vault, ClientToken="t")


@pytest.mark.parametrize("token", ["", "a" * 65, "a b", "ä", "\x7f"])
async def test_a_token_that_is_none(vault, bucket, token):
    await vault.put("k", b"x")
    error = await refused(vault, ClientToken=token)
    assert (error.code, error.members["ArgumentName"]) == ("InvalidArgument", "x-amz-client-token")
    await rename(vault, ClientToken="!" * 64)


async def test_of_many_at_once_one_moves_it(vault, bucket):
    await vault.put("k", b"x")
    same = [vault.ask("RenameObject", Bucket="bucket", Key="same", RenameSource="bucket/k", ClientToken="t") for _ in range(4)]
    assert all(answer.output == {} for answer in await asyncio.gather(*same))
    assert await keys(vault) == ["same"]
    others = [vault.ask("RenameObject", Bucket="bucket", Key=f"to-{n}", RenameSource="bucket/same") for n in range(4)]
    results = await asyncio.gather(*others, return_exceptions=True)
    assert sorted(getattr(one, "code", "done") for one in results) == ["NoSuchKey", "NoSuchKey", "NoSuchKey", "done"]
    assert len(await keys(vault)) == 1


async def test_a_source_that_changes_meanwhile_is_looked_at_again(vault, bucket, monkeypatch):
    await vault.put("k", b"x")
    look, looks = Renaming._key, []

    async def changing(self, call, bucket, row, wish):
        looks.append(row.version_id)
        key = await look(self, call, bucket, row, wish)
        if len(looks) == 1:
            await vault.put("k", b"y")
        return key

    monkeypatch.setattr(Renaming, "_key", changing)
    await rename(vault)
    assert (len(looks), (await vault.get("new"))[0]) == (2, b"y")


# ---------------------------------------------------------------------------------------------------------------- refusals


async def test_buckets_with_versions_are_left_alone(vault, bucket):
    await vault.put("k", b"x")
    for status in ("Enabled", "Suspended"):
        await vault.versioned(status=status)
        error = await refused(vault)
        assert (error.status, error.code) == (409, "InvalidBucketState")
    assert await keys(vault) == ["k"]


async def test_versioning_that_begins_meanwhile(vault, bucket, monkeypatch):
    await vault.put("k", b"x")
    look = Renaming._key

    async def enabling(self, *given):
        await vault.versioned()
        return await look(self, *given)

    monkeypatch.setattr(Renaming, "_key", enabling)
    assert (await refused(vault)).code == "InvalidBucketState"
    assert await keys(vault) == ["k"]


async def test_customers_keys(vault, bucket):
    await vault.put("k", b"x", **trio(bytes(32)))
    error = await refused(vault)
    assert (error.status, error.code) == (400, "InvalidRequest")
    assert await keys(vault) == ["k"]


@pytest.mark.parametrize(
    ("source", "key", "code"),
    [
        ("k", "new", "InvalidArgument"),
        ("bucket/", "new", "InvalidArgument"),
        ("/", "new", "InvalidArgument"),
        ("bucket/%ff", "new", "InvalidArgument"),
        ("other/k", "new", "InvalidRequest"),
        ("bucket/k", "k", "InvalidRequest"),
        ("bucket/folder/", "new", "InvalidRequest"),
        ("bucket/k", "folder/", "InvalidRequest"),
        ("bucket/" + "k" * 1025, "new", "KeyTooLongError"),
    ],
)
async def test_names_that_do_not_go(vault, bucket, source, key, code):
    await vault.put("k", b"x")
    error = await refused(vault, source, key)
    assert (error.status, error.code) == (400, code)
    assert await keys(vault) == ["k"]


async def test_names_as_they_are_encoded(vault, bucket):
    await vault.put("ä b+c%/d?versionId=e", b"x")
    await rename(vault, "%C3%A4%20b+c%25/d%3FversionId=e")
    assert await vault.run("RenameObject", Bucket="bucket", Key="k", RenameSource="/bucket/new") == {}
    assert await keys(vault) == ["k"]


async def test_another_account_needs_to_be_let_in_like_everybody(vault, bucket):
    await vault.put("k", b"x")
    vault.denied = {("s3:GetObject", "arn:aws:s3:::bucket/k")}
    assert (await refused(vault, account=B)).code == "AccessDenied"
