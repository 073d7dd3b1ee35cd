"""Storage classes on every way of writing, archived objects and their restored copies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.s3.rooms import S3Settings
from strongroom.s3.storage_classes import CLASSES

NOON = datetime(2012, 12, 18, 12, tzinfo=UTC)
ARCHIVED = ("GLACIER", "DEEP_ARCHIVE")
BODY = bytes(range(256)) * 400
AT = {"Bucket": "bucket", "Key": "k"}


@pytest.fixture
async def bucket(vault):
    vault.now = NOON
    return await vault.make()


async def restore(vault, days=2, **more):
    request = {"Days": days} | more.pop("request", {})
    return await vault.ask("RestoreObject", RestoreRequest=request, **{**AT, **more})


async def refused_restore(vault, request, **more):
    error = await vault.refused("RestoreObject", RestoreRequest=request, **{**AT, **more})
    return error.status, error.code, error.message


@pytest.mark.parametrize("name", sorted(CLASSES))
async def test_every_class_on_every_way_of_writing(vault, bucket, name):
    shown = {} if name == "STANDARD" else {"StorageClass": name}
    await vault.put("source", b"x")
    await vault.put("put", b"x", StorageClass=name)
    await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/source", StorageClass=name)
    upload = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="m", StorageClass=name)
    at = {"Bucket": "bucket", "Key": "m", "UploadId": upload["UploadId"]}
    part = await vault.run("UploadPart", data=b"x", PartNumber=1, **at)
    assert (await vault.run("ListParts", **at))["StorageClass"] == name
    assert (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"][0]["StorageClass"] == name
    await vault.run("CompleteMultipartUpload", MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **at)
    await vault.ask("PostObject", data=b"x", Bucket="bucket", Key="posted", StorageClass=name)
    for key in ("put", "copy", "m", "posted"):
        head = await vault.head(key)
        assert {member: head[member] for member in ("StorageClass",) if member in head} == shown, key
    listed = (await vault.run("ListObjectsV2", Bucket="bucket"))["Contents"]
    assert {one["Key"]: one["StorageClass"] for one in listed} == {
        key: "STANDARD" if key == "source" else name for key in ("source", "put", "copy", "m", "posted")
    }
    versions = (await vault.run("ListObjectVersions", Bucket="bucket"))["Versions"]
    assert {one["StorageClass"] for one in versions} == {name, "STANDARD"}
    asked = await vault.run("GetObjectAttributes", Bucket="bucket", Key="put", ObjectAttributes=["StorageClass"])
    assert asked["StorageClass"] == name


@pytest.mark.parametrize("name", ["OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "standard", "COLD"])
async def test_other_classes(vault, bucket, name):
    for operation in ("PutObject", "CreateMultipartUpload"):
        error = await vault.refused(operation, **AT, StorageClass=name)
        assert (error.status, error.code, error.members) == (400, "InvalidStorageClass", {"StorageClassRequested": name})


@pytest.mark.parametrize("name", ARCHIVED)
async def test_archived_bytes_are_kept_back(vault, bucket, name):
    await vault.put("k", BODY, StorageClass=name, Metadata={"a": "b"})
    for given in ({}, {"Range": "bytes=0-1"}, {"PartNumber": 1}):
        error = await vault.refused("GetObject", **AT, **given)
        assert (error.status, error.code, error.members) == (403, "InvalidObjectState", {"StorageClass": name})
        assert error.message == "The operation is not valid for the object's storage class"
    copy = {"Bucket": "bucket", "Key": "other", "CopySource": "bucket/k"}
    upload = (await vault.run("CreateMultipartUpload", Bucket="bucket", Key="other"))["UploadId"]
    for operation, given in (("CopyObject", copy), ("UploadPartCopy", copy | {"UploadId": upload, "PartNumber": 1})):
        error = await vault.refused(operation, **given)
        assert (error.status, error.code) == (403, "InvalidObjectState")
        assert error.message == "Operation is not valid for the source object's storage class"
    head = await vault.head("k")
    assert (head["StorageClass"], head["Metadata"], head["ContentLength"]) == (name, {"a": "b"}, len(BODY))
    assert "Restore" not in head
    error = await vault.refused("GetObject", **AT, IfNoneMatch=head["ETag"])
    assert error.status == 304
    await vault.run("DeleteObject", **AT)


@pytest.mark.parametrize("name", ARCHIVED)
async def test_a_copy_comes_at_once_and_goes_at_a_midnight(vault, bucket, name):
    await vault.put("k", BODY, StorageClass=name)
    row = await vault.row("k")
    assert (await restore(vault)).status == 202
    restored = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"'
    body, answer = await vault.get("k")
    assert (body, answer.output["Restore"], answer.output["StorageClass"]) == (BODY, restored, name)
    assert (await vault.head("k"))["Restore"] == restored
    assert (await vault.row("k"))._replace(meta=b"") == row._replace(meta=b"")
    await vault.run("CopyObject", Bucket="bucket", Key="other", CopySource="bucket/k")
    head = await vault.head("other")  # of its own class, and no archive's
    assert head.keys().isdisjoint({"StorageClass", "Restore"})
    vault.now = datetime(2012, 12, 20, 23, 59, 59, tzinfo=UTC)
    assert (await vault.get("k"))[0] == BODY
    vault.now += timedelta(seconds=1)
    assert (await vault.refused("GetObject", **AT)).code == "InvalidObjectState"
    assert "Restore" not in await vault.head("k")
    assert (await restore(vault)).status == 202  # it is asked for anew


async def test_the_days_of_a_copy_are_changed(vault, bucket):
    await vault.put("k", BODY, StorageClass="GLACIER")
    await restore(vault)
    vault.now += timedelta(days=1)
    assert (await restore(vault, 10)).status == 200
    assert (await vault.head("k"))["Restore"].endswith('expiry-date="Sun, 30 Dec 2012 00:00:00 GMT"')
    assert (await restore(vault, 1)).status == 200
    assert (await vault.head("k"))["Restore"].endswith('expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"')


async def test_a_restore_that_takes_its_time(vault, bucket):
    vault.use(S3Settings(restore_seconds=3 * 3600))
    await vault.put("k", BODY, StorageClass="GLACIER")
    assert (await restore(vault, request={"GlacierJobParameters": {"Tier": "Bulk"}})).status == 202
    assert (await vault.head("k"))["Restore"] == 'ongoing-request="true"'
    assert (await vault.refused("GetObject", **AT)).code == "InvalidObjectState"
    assert await refused_restore(vault, {"Days": 3}) == (409, "RestoreAlreadyInProgress", "Object restore is already in progress")
    vault.now += timedelta(hours=3)
    assert (await vault.get("k"))[0] == BODY
    assert (await vault.head("k"))["Restore"].endswith('expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"')


async def test_what_cannot_be_restored(vault, bucket):
    await vault.put("k", b"x", StorageClass="GLACIER_IR")
    text = "Restore is not allowed for the object's current storage class"
    assert await refused_restore(vault, {"Days": 1}) == (403, "InvalidObjectState", text)
    assert (await vault.refused("RestoreObject", **AT)).code == "InvalidObjectState"
    await vault.put("k", b"x", StorageClass="INTELLIGENT_TIERING")
    assert (await refused_restore(vault, {"Days": 1}))[:2] == (403, "ObjectAlreadyInActiveTierError")
    await vault.put("k", b"x", StorageClass="DEEP_ARCHIVE")
    assert (await vault.refused("RestoreObject", **AT)).code == "MalformedXML"
    assert (await refused_restore(vault, {}))[:2] == (400, "MalformedXML")
    for days in (0, -1, 2**31 - 1):
        assert (await refused_restore(vault, {"Days": days}))[:2] == (400, "InvalidArgument")
    expedited = {"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}
    text = "Retrieval option is not supported by this storage class"
    assert await refused_restore(vault, expedited) == (400, "InvalidArgument", text)
    for request in ({"Type": "SELECT"}, {"OutputLocation": {}}, {"SelectParameters": {}}):
        assert (await refused_restore(vault, request))[:2] == (501, "NotImplemented")
    assert (await refused_restore(vault, {"Days": 1}, Key="none"))[:2] == (404, "NoSuchKey")
    assert vault.register.find("s3", "RestoreObject").need.action == "s3:RestoreObject"


async def test_versions_are_restored_one_by_one(vault, bucket):
    await vault.versioned()
    old, new = [(await vault.put("k", body, StorageClass="GLACIER"))["VersionId"] for body in (b"old", b"new")]
    await restore(vault, VersionId=old)
    assert (await vault.get("k", VersionId=old))[0] == b"old"
    assert (await vault.refused("GetObject", **AT, VersionId=new)).code == "InvalidObjectState"
    await vault.delete_marker("k")
    marker = (await vault.run("ListObjectVersions", Bucket="bucket"))["DeleteMarkers"][0]["VersionId"]
    error = await vault.refused("RestoreObject", **AT, VersionId=marker, RestoreRequest={"Days": 1})
    assert (error.code, error.members["Method"]) == ("MethodNotAllowed", "POST")


async def test_listings_tell_of_restores_when_they_are_asked(vault, bucket):
    for key in ("archived", "restored"):
        await vault.put(key, b"x", StorageClass="GLACIER")
    await vault.put("standard", b"x")
    await restore(vault, Key="restored")
    asked = {"OptionalObjectAttributes": ["RestoreStatus"]}
    status = {"IsRestoreInProgress": False, "RestoreExpiryDate": datetime(2012, 12, 21, tzinfo=UTC)}
    for operation, member in (("ListObjects", "Contents"), ("ListObjectsV2", "Contents"), ("ListObjectVersions", "Versions")):
        shown = (await vault.run(operation, Bucket="bucket", **asked))[member]
        assert [one.get("RestoreStatus") for one in shown] == [None, status, None]
        assert all("RestoreStatus" not in one for one in (await vault.run(operation, Bucket="bucket"))[member])
    vault.use(S3Settings(restore_seconds=60))
    await restore(vault, Key="archived")
    shown = (await vault.run("ListObjectsV2", Bucket="bucket", **asked))["Contents"]
    assert shown[0]["RestoreStatus"] == {"IsRestoreInProgress": True}


async def test_a_change_of_encryption_or_tags_leaves_a_copy_as_it_is(vault, bucket):
    """And works on what is archived, without a restore (facts 8.8)."""
    _, arn = await vault.kms_key()
    await vault.put("k", BODY, StorageClass="GLACIER")
    wanted = {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": arn}}}
    await vault.run("UpdateObjectEncryption", **AT, **wanted)
    await restore(vault)
    await vault.run("PutObjectTagging", **AT, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert (await vault.get("k"))[0] == BODY
