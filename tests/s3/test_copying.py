"""CopyObject: whose encryption, which words come along, and when a copy onto itself is legal (facts 4.6)."""

from __future__ import annotations

import hashlib
import os

import pytest

from strongroom.api import digests
from strongroom.s3.copy_source import parse_copy_source
from tests.s3.test_objects import digest, md5

SMALL, LARGE = os.urandom(1000), os.urandom(3_000_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("b/k", ("b", "k", None)),
        ("/b/k", ("b", "k", None)),
        ("b/a/b//c", ("b", "a/b//c", None)),
        ("b//k", ("b", "/k", None)),
        ("b/a%20b%2Fc", ("b", "a b/c", None)),
        ("b%2Fk", ("b", "k", None)),
        ("b/a+b", ("b", "a+b", None)),
        ("b/%C3%BC", ("b", "ü", None)),
        ("b/k?versionId=v%2D1", ("b", "k", "v-1")),
        ("b/k?versionId=null", ("b", "k", "null")),
        ("b/what?", ("b", "what?", None)),
        ("b/what?a=b", ("b", "what?a=b", None)),
        ("b/k%3FversionId=x", ("b", "k?versionId=x", None)),
    ],
)
def test_names_of_sources(value, expected):
    assert parse_copy_source(value) == expected


@pytest.mark.parametrize("value", ["", "/", "b", "b/", "/b", "//k", "b/%FF"])
def test_names_of_no_source(value):
    from strongroom.api.errors import ApiError

    with pytest.raises(ApiError) as caught:
        parse_copy_source(value)
    assert (caught.value.code, caught.value.members["ArgumentName"]) == ("InvalidArgument", "x-amz-copy-source")


async def copy(vault, object_key="copy", source="bucket/k", **given):
    return await vault.run("CopyObject", **{"Bucket": "bucket", "Key": object_key, "CopySource": source} | given)


async def refused(vault, object_key="copy", source="bucket/k", **given):
    return await vault.refused("CopyObject", **{"Bucket": "bucket", "Key": object_key, "CopySource": source} | given)


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
async def test_a_copy_is_a_new_object_with_the_same_bytes(vault, data):
    await vault.make()
    await vault.put("k", data, Metadata={"a": "b"}, ContentType="text/plain")
    answer = await copy(vault)
    assert answer["CopyObjectResult"]["ETag"] == md5(data)
    assert answer["CopyObjectResult"]["ChecksumCRC64NVME"] == digest("crc64nvme", data)
    assert answer["ServerSideEncryption"] == "AES256"
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    await vault.upkeep.delete_discarded()
    read, answer = await vault.get("copy")
    assert read == data
    assert (answer.output["Metadata"], answer.output["ContentType"]) == ({"a": "b"}, "text/plain")
    assert (await vault.row("copy")).body != data


async def test_words_are_copied_or_replaced(vault):
    await vault.make()
    await vault.put("k", SMALL, Metadata={"a": "b"}, CacheControl="x", StorageClass="STANDARD_IA", WebsiteRedirectLocation="/a")
    await copy(vault, Metadata={"c": "d"}, ContentType="text/plain")
    head = await vault.head("copy")
    assert (head["Metadata"], head["CacheControl"], head["ContentType"]) == ({"a": "b"}, "x", "binary/octet-stream")
    assert head.keys().isdisjoint({"StorageClass", "WebsiteRedirectLocation"})  # never copied
    await copy(vault, MetadataDirective="REPLACE", Metadata={"c": "d"}, ContentType="text/plain", StorageClass="ONEZONE_IA")
    head = await vault.head("copy")
    assert (head["Metadata"], head["ContentType"], head["StorageClass"]) == ({"c": "d"}, "text/plain", "ONEZONE_IA")
    assert "CacheControl" not in head


async def test_the_checksum_of_a_copy(vault):
    await vault.make()
    await vault.put("k", SMALL)
    assert (await copy(vault, ChecksumAlgorithm="SHA256"))["CopyObjectResult"]["ChecksumSHA256"] == digest("sha256", SMALL)
    # Without a wish the source's algorithm stays.
    result = (await copy(vault, "again", "bucket/copy"))["CopyObjectResult"]
    assert result["ChecksumSHA256"] == digest("sha256", SMALL)
    assert (await refused(vault, ChecksumAlgorithm="MD4")).code == "InvalidRequest"


@pytest.mark.fact("4.6.1")
async def test_the_destination_decides_the_encryption(vault):
    await vault.make()
    await vault.make("sealed")
    key_id, arn = await vault.kms_key()
    await vault.rule("aws:kms", key_id, bucket="sealed", BucketKeyEnabled=True)
    await vault.put("k", SMALL)
    there = await copy(vault, Bucket="sealed", object_key="k")
    assert (there["ServerSideEncryption"], there["SSEKMSKeyId"]) == ("aws:kms", arn)
    assert there["CopyObjectResult"]["ETag"] != md5(SMALL)
    back = await copy(vault, source="sealed/k")  # 29: the rule of a bucket that nobody configured
    assert back["ServerSideEncryption"] == "AES256"
    assert "SSEKMSKeyId" not in back
    assert back["CopyObjectResult"]["ETag"] == md5(SMALL)
    assert (await vault.get("copy"))[0] == SMALL
    managed = await copy(vault, source="sealed/k", ServerSideEncryption="aws:kms")  # 32: aws/s3, never the source's key
    assert managed["SSEKMSKeyId"] not in {arn, None}
    assert "BucketKeyEnabled" not in managed


ILLEGAL = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
    "storage class, website redirect location or encryption attributes."
)


@pytest.mark.parametrize("given", [{}, {"Metadata": {"a": "b"}}, {"ACL": "private"}, {"MetadataDirective": "COPY"}], ids=repr)
@pytest.mark.parametrize("storage", ["STANDARD", "STANDARD_IA"])
@pytest.mark.fact("4.6.3")
async def test_an_idle_copy_onto_itself(vault, given, storage):
    await vault.make()
    await vault.put("k", SMALL, StorageClass=storage)
    error = await refused(vault, "k", **given)
    assert (error.status, error.code, error.message, error.members) == (400, "InvalidRequest", ILLEGAL, {})


@pytest.mark.parametrize(
    "given",
    [
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms"},
        {"MetadataDirective": "REPLACE"},
        {"StorageClass": "STANDARD"},
        {"WebsiteRedirectLocation": "/x"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
@pytest.mark.fact("4.6.4")
async def test_a_copy_onto_itself_that_changes_something(vault, given, data):
    await vault.make()
    await vault.put("k", data)
    await copy(vault, "k", **given)
    assert (await vault.get("k"))[0] == data
    await vault.upkeep.delete_discarded()
    assert (await vault.get("k"))[0] == data


@pytest.mark.fact("4.6.4")
async def test_a_kms_source_may_be_copied_onto_itself_and_becomes_what_the_rule_says(vault):
    await vault.make()
    await vault.put("k", SMALL, ServerSideEncryption="aws:kms")
    assert (await copy(vault, "k", ServerSideEncryption="aws:kms"))["ServerSideEncryption"] == "aws:kms"
    assert (await copy(vault, "k"))["ServerSideEncryption"] == "AES256"
    assert (await refused(vault, "k")).message == ILLEGAL


@pytest.mark.fact("2.1.8", "3.7", "4.6.4")
async def test_an_explicit_rule_makes_it_legal_and_its_deletion_illegal_again(vault):
    await vault.make()
    await vault.put("k", b"")
    await vault.rule("AES256", BucketKeyEnabled=False)
    await copy(vault, "k")
    await vault.run("DeleteBucketEncryption", Bucket="bucket")
    assert (await refused(vault, "k")).message == ILLEGAL


async def test_conditions_of_source_and_destination(vault):
    await vault.make()
    etag = (await vault.put("k", SMALL))["ETag"]
    await vault.put("copy", b"there")
    for given in (
        {"CopySourceIfMatch": '"x"'},
        {"CopySourceIfNoneMatch": etag},
        {"IfNoneMatch": "*"},
        {"IfMatch": '"x"'},
    ):
        assert (await refused(vault, **given)).code == "PreconditionFailed", given
    assert (await vault.get("copy"))[0] == b"there"
    await copy(vault, CopySourceIfMatch=etag, IfMatch="*")
    assert (await vault.get("copy"))[0] == SMALL


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"source": "bucket/none"}, 404, "NoSuchKey"),
        ({"source": "none/k"}, 404, "NoSuchBucket"),
        ({"source": "bucket/k?versionId=" + "A" * 32}, 404, "NoSuchVersion"),
        ({"source": "bucket"}, 400, "InvalidArgument"),
        ({"Bucket": "none"}, 404, "NoSuchBucket"),
        ({"object_key": "k" * 1025}, 400, "KeyTooLongError"),
        ({"MetadataDirective": "MOVE"}, 400, "InvalidArgument"),
        ({"TaggingDirective": "MOVE"}, 400, "InvalidArgument"),
        ({"ExpectedSourceBucketOwner": "000000000000"}, 403, "AccessDenied"),
        ({"ExpectedSourceBucketOwner": "1"}, 400, "InvalidBucketOwnerAWSAccountID"),
        ({"CopySourceSSECustomerAlgorithm": "AES256"}, 400, "InvalidArgument"),
        ({"SSEKMSKeyId": "x"}, 400, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "x"}, 400, "KMS.NotFoundException"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_copies_that_are_refused(vault, given, status, code):
    await vault.make()
    await vault.put("k", SMALL)
    error = await refused(vault, **given)
    assert (error.status, error.code) == (status, code)
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]


@pytest.mark.fact("4.6.9", "4.10")
async def test_the_source_must_be_readable_to_the_caller(vault):
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.put("k", LARGE, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    vault.asked.clear()
    await copy(vault, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    assert vault.asked == [("s3:GetObject", "arn:aws:s3:::bucket/k"), ("kms:Decrypt", arn), ("kms:GenerateDataKey", arn)]
    for action, resource in (("s3:GetObject", "arn:aws:s3:::bucket/k"), ("kms:Decrypt", arn)):
        vault.denied = {(action, resource)}
        assert (await refused(vault, "other")).code == "AccessDenied"
    vault.denied = set()
    await vault.kms("DisableKey", KeyId=key_id)
    assert (await refused(vault, "other")).code == "KMS.DisabledException"
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="other")).code == "NoSuchKey"


async def test_a_source_that_is_damaged_is_not_copied(vault):
    from strongroom.seal import SealError

    await vault.make()
    await vault.put("k", LARGE)
    (path,) = vault.files
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(SealError):
        await copy(vault)
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="copy")).code == "NoSuchKey"
    assert vault.files == [path]


async def test_a_copy_of_a_multipart_object_is_one_piece(vault):
    from tests.s3.test_multipart import FIRST, TAIL, Upload

    await vault.make()
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, FIRST)
    await upload.part(2, TAIL)
    await upload.complete()
    assert (await copy(vault))["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(FIRST + TAIL).hexdigest()}"'
    assert "PartsCount" not in await vault.head("copy", PartNumber=1)
    assert (await vault.get("copy"))[0] == FIRST + TAIL


KMS, DSSE = {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms:dsse"}
REPLACE = {"MetadataDirective": "REPLACE", "Metadata": {"new": "words"}}


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
@pytest.mark.parametrize(("before", "after"), [({}, {}), ({}, KMS), (KMS, KMS), (DSSE, DSSE)], ids=repr)
async def test_a_copy_onto_itself_moves_no_data(vault, monkeypatch, before, after, data):
    """Only the row changes: other words, another wrapping, the same streams under the same data keys."""
    await vault.make()
    await vault.put("k", data, Metadata={"old": "words"}, **before)
    row, head, contents = (
        await vault.row("k"),
        await vault.head("k", ChecksumMode="ENABLED"),
        [p.read_bytes() for p in vault.files],
    )
    reads = vault.recorded_reads(monkeypatch)
    answer = await copy(vault, "k", **REPLACE, **after)
    assert reads == []
    assert [path.read_bytes() for path in vault.files] == contents
    new, now = await vault.row("k"), await vault.head("k", ChecksumMode="ENABLED")
    assert (new.manifest, new.body, new.size) == (row.manifest, row.body, row.size)
    assert new.version_id != row.version_id
    assert new.seal != row.seal
    assert (now["Metadata"], now["ChecksumCRC64NVME"]) == ({"new": "words"}, head["ChecksumCRC64NVME"])
    assert now["ServerSideEncryption"] == after.get("ServerSideEncryption", "AES256")
    assert now["ETag"] == answer["CopyObjectResult"]["ETag"]
    assert (now["ETag"] == head["ETag"]) == (not after)  # with KMS it is opaque
    await vault.upkeep.delete_discarded()
    assert (await vault.get("k"))[0] == data
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    await vault.upkeep.delete_discarded()
    assert vault.files == []


@pytest.mark.parametrize(("before", "after"), [({}, DSSE), (DSSE, {}), (KMS, {}), (DSSE, KMS)], ids=repr)
async def test_a_copy_onto_itself_that_needs_other_bytes_or_another_digest(vault, before, after):
    await vault.make()
    await vault.put("k", LARGE, **before)
    row = await vault.row("k")
    await copy(vault, "k", **REPLACE, **after)
    assert (await vault.row("k")).manifest != row.manifest
    assert (await vault.get("k"))[0] == LARGE
    await vault.upkeep.delete_discarded()
    assert len(vault.files) == 1


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
async def test_a_copy_onto_itself_beside_other_versions(vault, status):
    """A version that stays keeps its blob for itself."""
    await vault.make()
    await vault.put("k", LARGE)
    await vault.versioned(status=status)
    answer = await copy(vault, "k", **REPLACE)
    assert (answer["VersionId"] == "null") == (status == "Suspended")
    versions = (await vault.run("ListObjectVersions", Bucket="bucket"))["Versions"]
    assert len(versions) == len(vault.files) == (2 if status == "Enabled" else 1)
    for each in versions:
        assert (await vault.get("k", VersionId=each["VersionId"]))[0] == LARGE
        await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId=each["VersionId"])
        await vault.upkeep.delete_discarded()
    assert vault.files == []


async def test_what_is_written_meanwhile_is_replaced_by_a_copy_of_its_own(vault, monkeypatch):
    await vault.make()
    await vault.put("k", LARGE)
    write = vault.catalog.write

    async def late(work):
        monkeypatch.undo()
        await vault.put("k", SMALL)
        return await write(work)

    monkeypatch.setattr(vault.catalog, "write", late)
    await copy(vault, "k", **REPLACE)
    assert (await vault.get("k"))[0] == LARGE
    assert (await vault.head("k"))["Metadata"] == {"new": "words"}
    await vault.upkeep.delete_discarded()
    assert (await vault.get("k"))[0] == LARGE
    assert len(vault.files) == 1


async def test_a_copy_onto_itself_heeds_its_conditions(vault):
    await vault.make()
    await vault.put("k", LARGE)
    row = await vault.row("k")
    assert (await refused(vault, "k", IfMatch='"00"', **REPLACE)).code == "PreconditionFailed"
    assert await vault.row("k") == row
    await copy(vault, "k", IfMatch=md5(LARGE), **REPLACE)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
async def test_digests_that_are_known_are_not_computed_again(vault, monkeypatch, data):
    await vault.make()
    await vault.put("k", data)
    await vault.put("kms", data, **KMS)
    head = await vault.head("k", ChecksumMode="ENABLED")
    with monkeypatch.context() as patched:
        for name in digests.DIGEST_BYTES:
            patched.setitem(digests._NEW, name, None)
        answer = await copy(vault)
        await copy(vault, "second", source="bucket/copy", **KMS)
        with pytest.raises(TypeError):
            await copy(vault, "other", ChecksumAlgorithm="SHA256")
        with pytest.raises(TypeError):
            await copy(vault, "other", source="bucket/kms")  # its ETag is none of the content
    result = answer["CopyObjectResult"]
    assert (result["ETag"], result["ChecksumCRC64NVME"]) == (md5(data), head["ChecksumCRC64NVME"])
    assert (await vault.get("second"))[0] == data
    assert (await copy(vault, "other", source="bucket/kms"))["CopyObjectResult"]["ETag"] == md5(data)
