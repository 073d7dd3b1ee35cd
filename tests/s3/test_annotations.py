"""Annotations: named texts beside a version, sealed as it is, bound to it, and gone with it."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

import pytest

from strongroom.s3 import annotation_records
from strongroom.s3.verifying import Verifying
from strongroom.seal import SealError
from tests.s3.test_customer_keys import trio
from tests.s3.test_object_lock import MD5, PROTECTED, hold, retain, told

KMS = {"ServerSideEncryption": "aws:kms"}
MODES = {
    "SSE-S3": ({}, "AES256"),
    "SSE-KMS": (KMS, "aws:kms"),
    "SSE-KMS with a bucket key": ({**KMS, "BucketKeyEnabled": True}, "aws:kms"),
    "DSSE-KMS": ({"ServerSideEncryption": "aws:kms:dsse"}, "aws:kms:dsse"),
}
NOTE = '{"labels": ["cat", "Gr\u00fc\u00dfe"]}'.encode()
MIB = 1 << 20


@pytest.fixture
async def bucket(vault):
    return await vault.make()


async def annotate(vault, name="note", payload=NOTE, key="k", bucket="bucket", **given):
    return await vault.run("PutObjectAnnotation", data=payload, Bucket=bucket, Key=key, AnnotationName=name, **given)


async def got(vault, name="note", key="k", bucket="bucket", **given):
    answer = await vault.ask("GetObjectAnnotation", Bucket=bucket, Key=key, AnnotationName=name, **given)
    assert len(answer.body) == answer.length == answer.output["ContentLength"]
    return answer.body


async def names(vault, key="k", bucket="bucket", **given):
    listed = await vault.run("ListObjectAnnotations", Bucket=bucket, Key=key, **given)
    assert listed["AnnotationCount"] == len(listed["Annotations"])
    return [one["AnnotationName"] for one in listed["Annotations"]]


async def refused(vault, verb="Put", name="note", key="k", **given):
    data = {"data": NOTE} if verb == "Put" else {}
    named = {} if verb == "List" else {"AnnotationName": name}
    what = f"{verb}ObjectAnnotation" + ("s" if verb == "List" else "")
    return await vault.refused(what, **{"Bucket": "bucket", "Key": key, **named, **data, **given})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 65_480, MIB])
@pytest.mark.fact("4.1.7")
async def test_an_annotation_is_sealed_as_its_object_is(vault, bucket, mode, size):
    given, algorithm = MODES[mode]
    await vault.put("k", b"x", **given)
    payload = (NOTE * (size // len(NOTE) + 1))[:size].decode("utf-8", "ignore").encode().ljust(size, b".")
    answer = await annotate(vault, payload=payload)
    etag = answer.pop("ETag")
    assert (etag == f'"{hashlib.md5(payload).hexdigest()}"') is (algorithm == "AES256")
    checksum = answer.pop("ChecksumCRC64NVME")
    said = {"Key": "k", "AnnotationName": "note", "ChecksumType": "FULL_OBJECT", "ServerSideEncryption": algorithm}
    assert answer == said
    whole = await vault.ask("GetObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note", ChecksumMode="ENABLED")
    assert (whole.body, whole.output["ETag"], whole.output["ChecksumCRC64NVME"]) == (payload, etag, checksum)
    assert (whole.output["ServerSideEncryption"], whole.output["LastModified"]) == (algorithm, _second(vault.now))
    on_disk = b"".join(path.read_bytes() for path in vault.folder.rglob("*") if path.is_file())
    assert payload[:200] not in on_disk or size == 1
    listed = await vault.run("ListObjectAnnotations", Bucket="bucket", Key="k")
    entry = {"AnnotationName": "note", "Size": size, "ETag": etag, "ChecksumAlgorithm": ["CRC64NVME"]}
    assert listed["Annotations"] == [{**entry, "LastModified": _second(vault.now)}]
    head = await vault.head("k")
    assert head["ContentLength"] == 1


def _second(moment):
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def test_one_takes_the_place_of_that_name_and_deleting_is_for_good(vault, bucket):
    await vault.put("k", b"x")
    modified = (await vault.head("k"))["LastModified"]
    await annotate(vault)
    vault.now += timedelta(minutes=1)
    await annotate(vault, payload=b"another")
    await annotate(vault, "b")
    assert await got(vault) == b"another"
    assert (await vault.head("k"))["LastModified"] == modified
    for _ in range(2):
        assert await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note") == {}
    error = await refused(vault, "Get")
    assert (error.status, error.code, error.message) == (404, "NoSuchAnnotation", "The specified annotation does not exist.")
    assert await names(vault) == ["b"]


# -------------------------------------------------------------------------------------------------------- names and limits


@pytest.mark.parametrize("name", ["a", "ml.sentiment", "_", "9", "\u4e2d\u6587-x", "n" * 512, "saws", "\u00e4" * 256])
async def test_names(vault, bucket, name):
    await vault.put("k", b"x")
    await annotate(vault, name)
    assert (await got(vault, name), await names(vault)) == (NOTE, [name])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "InvalidAnnotationName"),
        ("aws.x", "InvalidAnnotationName"),
        ("AWSx", "InvalidAnnotationName"),
        ("s3", "InvalidAnnotationName"),
        ("S3-x", "InvalidAnnotationName"),
        ("a b", "InvalidAnnotationName"),
        ("a/b", "InvalidAnnotationName"),
        ("a\0", "InvalidAnnotationName"),
        ("n" * 513, "AnnotationNameTooLong"),
        ("\u00e4" * 257, "AnnotationNameTooLong"),
    ],
)
async def test_names_that_are_none(vault, bucket, name, code):
    await vault.put("k", b"x")
    error = await refused(vault, name=name)
    assert (error.status, error.code) == (400, code)
    assert await names(vault) == []


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        (b"", 400, "InvalidRequest"),
        (b"x" * (MIB + 1), 400, "EntityTooLarge"),
        (b"\xff\xfe", 415, "UnsupportedMediaType"),
        ("\u00e4".encode()[:1], 415, "UnsupportedMediaType"),
    ],
)
async def test_payloads_that_do_not_go_keep_the_old_one(vault, bucket, payload, status, code):
    await vault.put("k", b"x")
    await annotate(vault)
    error = await refused(vault, data=payload)
    assert (error.status, error.code) == (status, code)
    assert await got(vault) == NOTE


async def test_a_thousand_and_no_more(vault, bucket, monkeypatch):
    monkeypatch.setattr(annotation_records, "MOST", 3)
    await vault.put("k", b"x")
    for name in "abc":
        await annotate(vault, name)
    error = await refused(vault, name="d")
    assert (error.status, error.code) == (400, "AnnotationLimitExceeded")
    await annotate(vault, "c", b"anew")
    await vault.put("other", b"x")
    await annotate(vault, "d", key="other")


# ----------------------------------------------------------------------------------------------------------------- listing


async def test_pages_and_prefixes(vault, bucket):
    await vault.put("k", b"x")
    wanted = ["a", "a.1", "a.2", "b", "\u4e2d", "\U00010400"]
    for name in reversed(wanted):
        await annotate(vault, name)
    assert await names(vault) == wanted
    assert await names(vault, AnnotationPrefix="a.") == ["a.1", "a.2"]
    found, token = [], {}
    while True:
        page = await vault.run("ListObjectAnnotations", Bucket="bucket", Key="k", MaxAnnotationResults=4, **token)
        assert (page["MaxAnnotationResults"], page["Bucket"], page["Key"]) == (4, "bucket", "k")
        assert page.get("ContinuationToken") == token.get("ContinuationToken")
        found += [one["AnnotationName"] for one in page["Annotations"]]
        if "NextContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == wanted


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"MaxAnnotationResults": 0}, "InvalidArgument"),
        ({"MaxAnnotationResults": 1001}, "InvalidArgument"),
        ({"ContinuationToken": "x"}, "InvalidArgument"),
        ({"ContinuationToken": "AWJi"}, "InvalidArgument"),  # of another kind of listing
        ({"AnnotationPrefix": "a/"}, "InvalidPrefix"),
        ({"AnnotationPrefix": "a" * 513}, "InvalidPrefix"),
    ],
)
async def test_lists_that_do_not_go(vault, bucket, given, code):
    await vault.put("k", b"x")
    error = await refused(vault, "List", **given)
    assert (error.status, error.code) == (400, code)


# --------------------------------------------------------------------------------------------------- versions and objects


async def test_each_version_has_its_own(vault, bucket):
    await vault.versioned()
    first = (await vault.put("k", b"1"))["VersionId"]
    assert (await annotate(vault))["ObjectVersionId"] == first
    second = (await vault.put("k", b"2"))["VersionId"]
    assert await names(vault) == []
    await annotate(vault, payload=b"of the second")
    assert await got(vault, VersionId=first) == NOTE
    assert (await vault.run("ListObjectAnnotations", Bucket="bucket", Key="k"))["ObjectVersionId"] == second
    answer = await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note", VersionId=first)
    assert answer == {"ObjectVersionId": first}
    assert (await names(vault, VersionId=first), await names(vault)) == ([], ["note"])
    await vault.delete_marker("k")
    assert (await refused(vault, "Get")).code == "NoSuchKey"
    assert await got(vault, VersionId=second) == b"of the second"
    await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId=second)
    assert (await refused(vault, "Get", VersionId=second)).code == "NoSuchVersion"
    assert vault.sql("SELECT count(*) FROM annotation") == [(0,)]


async def test_what_replaces_an_object_has_none(vault, bucket):
    await vault.put("k", b"1")
    await annotate(vault)
    await vault.put("k", b"2")
    assert await names(vault) == []
    await annotate(vault)
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    assert vault.sql("SELECT count(*) FROM annotation") == [(0,)]
    await vault.put("k", b"3")
    assert await names(vault) == []


async def test_only_if_the_object_is_that_one(vault, bucket):
    etag = (await vault.put("k", b"1"))["ETag"]
    await annotate(vault, ObjectIfMatch=etag)
    await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note", ObjectIfMatch=etag)
    await annotate(vault)
    for verb in ("Put", "Delete"):
        error = await refused(vault, verb, ObjectIfMatch='"a"')
        assert (error.status, error.code) == (412, "PreconditionFailed")
    assert await names(vault) == ["note"]


@pytest.mark.parametrize("verb", ["Put", "Get", "List", "Delete"])
async def test_no_object_no_bucket_no_right(vault, bucket, verb):
    assert (await refused(vault, verb)).code == "NoSuchKey"
    vault.denied = {("s3:ListBucket", "arn:aws:s3:::bucket")}
    assert (await refused(vault, verb)).code == "AccessDenied"
    assert (await refused(vault, verb, Bucket="none")).code == "NoSuchBucket"
    need = vault.register.find("s3", f"{verb}ObjectAnnotation" + ("s" if verb == "List" else "")).need
    assert (need.on, need.action) == ("object", f"s3:{verb}ObjectAnnotation" + ("s" if verb == "List" else ""))


# -------------------------------------------------------------------------------------------------------------- encryption


@pytest.mark.fact("4.1.7")
async def test_objects_under_customers_keys_have_none(vault, bucket):
    await vault.put("k", b"x", **trio(bytes(32)))
    error = await refused(vault)
    assert (error.status, error.code) == (400, "InvalidRequest")
    assert await names(vault) == []


async def test_whose_key_is_gone_lists_and_deletes_but_does_not_read(vault, bucket):
    key_id, _ = await vault.kms_key()
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=key_id)
    await annotate(vault)
    await vault.kms("DisableKey", KeyId=key_id)
    for verb in ("Get", "Put"):
        assert (await refused(vault, verb)).code == "KMS.DisabledException"
    for more in ({"anonymous": True}, {"secure": False}, {"signed_v4": False}):
        assert (await refused(vault, "Get", **more)).code == "InvalidArgument"
    assert await names(vault) == ["note"]
    await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note")
    assert await names(vault) == []


async def test_another_wrapping_of_the_object_leaves_them(vault, bucket):
    _, arn = await vault.kms_key()
    await vault.put("k", b"x")
    await annotate(vault)
    rows = vault.sql("SELECT meta, manifest, body FROM annotation")
    await vault.run("UpdateObjectEncryption", Bucket="bucket", Key="k", ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}})
    assert vault.sql("SELECT meta, manifest, body FROM annotation") == rows
    answer = await vault.ask("GetObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note")
    assert (answer.body, answer.output["ServerSideEncryption"]) == (NOTE, "aws:kms")


SWAPS = [
    "UPDATE annotation SET name = CAST('c' AS BLOB) WHERE name = CAST('a' AS BLOB)",
    "UPDATE annotation SET size = size + 1",
    "UPDATE annotation SET body = (SELECT body FROM annotation WHERE name = CAST('b' AS BLOB))",
    "UPDATE annotation SET manifest = (SELECT manifest FROM annotation WHERE name = CAST('b' AS BLOB))",
    "UPDATE annotation SET meta = (SELECT meta FROM annotation WHERE name = CAST('b' AS BLOB))",
    "UPDATE annotation SET (meta, manifest, body) = (SELECT meta, manifest, body FROM annotation WHERE name = CAST('b' AS BLOB))",
    "UPDATE annotation SET version = (SELECT id FROM version WHERE object_key = CAST('other' AS BLOB))",
    "UPDATE annotation SET body = substr(body, 1, length(body) - 1)",
    "UPDATE annotation SET body = (SELECT body FROM version WHERE object_key = CAST('k' AS BLOB))",
    "UPDATE annotation SET meta = (SELECT meta FROM version WHERE object_key = CAST('k' AS BLOB))",
]


@pytest.mark.parametrize("swap", SWAPS)
async def test_what_is_changed_on_the_disk_is_found_out(vault, bucket, swap):
    await vault.put("k", NOTE)
    await vault.put("other", b"x")
    for name in "ab":
        await annotate(vault, name, NOTE if name == "a" else NOTE[::-1].replace(b"\x9f\xc3", b"").replace(b"\xbc\xc3", b""))
    vault.sql(swap)
    key = "other" if "'other'" in swap else "k"
    with pytest.raises(SealError):
        await got(vault, "c" if "'c'" in swap else "a", key=key)
    found = [one async for one in Verifying(vault.rooms).findings()]
    assert {(one.kind, one.object_key) for one in found} == {("corrupt", key)}
    assert all(one.why.startswith("annotation ") for one in found)


async def test_what_is_whole_is_no_finding(vault, bucket):
    await vault.put("k", b"x")
    await annotate(vault)
    assert [one async for one in Verifying(vault.rooms).findings()] == []
    vault.sql("UPDATE annotation SET body = zeroblob(length(body))")
    assert [one async for one in Verifying(vault.rooms, quick=True).findings()] == []
    (found,) = [one async for one in Verifying(vault.rooms).findings()]
    assert (found.kind, found.object_key, found.why.partition(":")[0]) == ("corrupt", "k", "annotation note")


# ------------------------------------------------------------------------------------------------------ copying, renaming


async def copy(vault, **given):
    return await vault.run("CopyObject", **{"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/k", **given})


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
async def test_a_copy_has_them_under_its_own_key(vault, bucket, before, after):
    await vault.put("k", b"x", **MODES[before][0])
    for name, payload in (("a", NOTE), ("b", b"y" * 100_000)):
        await annotate(vault, name, payload)
    vault.now += timedelta(minutes=1)
    vault.asked.clear()
    await copy(vault, **MODES[after][0])
    assert [asked for asked in vault.asked if "Annotation" in asked[0]] == [
        ("s3:GetObjectAnnotation", "arn:aws:s3:::bucket/k"),
        ("s3:PutObjectAnnotation", "arn:aws:s3:::bucket/copy"),
    ]
    answer = await vault.ask("GetObjectAnnotation", Bucket="bucket", Key="copy", AnnotationName="a")
    assert (answer.body, answer.output["ServerSideEncryption"]) == (NOTE, MODES[after][1])
    assert await got(vault, "b", key="copy") == b"y" * 100_000
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    assert await names(vault, key="copy") == ["a", "b"]


async def test_a_copy_without_them(vault, bucket):
    await vault.put("k", b"x")
    await annotate(vault)
    await copy(vault, AnnotationDirective="EXCLUDE")
    assert await names(vault, key="copy") == []
    assert (await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource="bucket/k", AnnotationDirective="x")).code == (
        "InvalidArgument"
    )
    customer = trio(bytes(32))
    error = await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource="bucket/k", **customer)
    assert error.code == "InvalidRequest"
    await copy(vault, AnnotationDirective="EXCLUDE", **customer)
    for denied in (("s3:GetObjectAnnotation", "bucket/k"), ("s3:PutObjectAnnotation", "bucket/c")):
        vault.denied = {(denied[0], f"arn:aws:s3:::{denied[1]}")}
        error = await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource="bucket/k")
        assert error.code == "AccessDenied"
        await copy(vault, AnnotationDirective="EXCLUDE")


async def test_a_copy_onto_itself_keeps_them(vault, bucket):
    await vault.put("k", b"x")
    await annotate(vault)
    await copy(vault, Key="k", MetadataDirective="REPLACE")
    assert await got(vault) == NOTE
    await copy(vault, Key="k", MetadataDirective="REPLACE", AnnotationDirective="EXCLUDE")
    assert await names(vault) == []


async def test_a_copy_of_what_changes_meanwhile_is_to_be_tried_again(vault, bucket, monkeypatch):
    await vault.put("k", b"x" * 200_000)
    await annotate(vault)
    real = annotation_records.Copied.check

    def check(self, tx):
        tx.delete_annotation(self.source, "note")
        real(self, tx)

    monkeypatch.setattr(annotation_records.Copied, "check", check)
    error = await vault.refused("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")
    assert (error.status, error.code) == (409, "OperationAborted")
    assert (await vault.refused("GetObject", Bucket="bucket", Key="copy")).code == "NoSuchKey"
    assert await names(vault) == ["note"]
    assert len(vault.files) == 1  # the copy's blob is gone


async def test_a_copy_takes_so_many_bytes_along(vault, bucket, monkeypatch):
    monkeypatch.setattr(annotation_records, "MOST_COPIED", 10)
    await vault.put("k", b"x")
    await annotate(vault)
    error = await vault.refused("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")
    assert (error.status, error.code) == (501, "NotImplemented")


@pytest.mark.parametrize("mode", MODES)
async def test_a_rename_takes_them_along(vault, bucket, mode):
    await vault.put("k", os.urandom(100), **MODES[mode][0])
    await vault.put("new", b"y")
    for name in "ab":
        await annotate(vault, name)
    await annotate(vault, "c", key="new")
    bodies = vault.sql("SELECT body FROM annotation WHERE name < CAST('c' AS BLOB) ORDER BY name")
    await vault.run("RenameObject", Bucket="bucket", Key="new", RenameSource="bucket/k")
    assert await names(vault, key="new") == ["a", "b"]
    assert await got(vault, "a", key="new") == NOTE
    assert vault.sql("SELECT body FROM annotation ORDER BY name") == bodies


# ------------------------------------------------------------------------------------------------------------- object lock


@pytest.mark.parametrize("lock", ["GOVERNANCE", "COMPLIANCE", "hold"])
async def test_what_protects_a_version_protects_its_annotations(vault, lock):
    await vault.make(ObjectLockEnabledForBucket=True)
    version_id = (await vault.put("k", b"x", headers=MD5))["VersionId"]
    await annotate(vault)
    if lock == "hold":
        await hold(vault, version_id, "ON")
    else:
        await retain(vault, version_id, lock)
    await annotate(vault, "another")
    bypass = {"headers": {"x-amz-bypass-governance-retention": "true"}}
    for verb, more in (("Put", {}), ("Put", bypass), ("Delete", {})):
        assert told(await refused(vault, verb, **more)) == PROTECTED
    await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="none")
    assert await got(vault) == NOTE
    vault.denied = {("s3:BypassGovernanceRetention", "arn:aws:s3:::bucket/k")}
    assert (await refused(vault, "Delete", **bypass)).code == "AccessDenied"
    vault.denied = set()
    if lock == "GOVERNANCE":
        await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="note", **bypass)
        assert await names(vault) == ["another"]
    else:
        assert told(await refused(vault, "Delete", **bypass)) == PROTECTED
    if lock != "hold":
        vault.now += timedelta(days=11)
        await vault.run("DeleteObjectAnnotation", Bucket="bucket", Key="k", AnnotationName="another")
