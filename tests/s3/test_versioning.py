"""Versioning: its states, delete markers, null versions, versions named by their ids, and what a conditional delete compares with."""

from __future__ import annotations

import os
from datetime import timedelta
from email.utils import format_datetime

import pytest

from strongroom.api.errors import ApiError
from tests.s3.test_multipart import FIRST, TAIL, Upload
from tests.s3.vault import body_of

AT = {"Bucket": "bucket", "Key": "k"}
ARN = "arn:aws:s3:::bucket/k"


@pytest.fixture
async def bucket(vault):
    return await vault.make()


async def delete(vault, object_key="k", **given):
    return await vault.run("DeleteObject", Bucket="bucket", Key=object_key, **given)


async def put(vault, data, object_key="k", **given):
    return (await vault.put(object_key, data, **given)).get("VersionId")


async def read(vault, version_id=None):
    """The bytes of a version, or the code of the refusal."""
    more = {} if version_id is None else {"VersionId": version_id}
    try:
        return (await vault.get("k", **more))[0]
    except ApiError as error:
        return error.code


async def listed(vault, **given):
    """(key, version id, newest, what it is) of every version and marker, in the order of one listing."""
    output = await vault.run("ListObjectVersions", Bucket="bucket", **given)
    rows = [(one, "object") for one in output["Versions"]] + [(one, "marker") for one in output["DeleteMarkers"]]
    return {(one["Key"], one["VersionId"], one["IsLatest"], kind) for one, kind in rows}


# ---- the setting


async def test_the_state_is_said_as_it_was_set_and_nothing_where_it_never_was(vault, bucket):
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {}
    for status in ("Suspended", "Enabled", "Suspended", "Enabled"):
        await vault.versioned(status=status)
        assert await vault.run("GetBucketVersioning", Bucket="bucket") == {"Status": status}


@pytest.mark.parametrize(
    ("configuration", "status", "code"),
    [
        ({}, 400, "IllegalVersioningConfigurationException"),
        ({"Status": ""}, 400, "IllegalVersioningConfigurationException"),
        ({"MFADelete": "Disabled"}, 400, "IllegalVersioningConfigurationException"),
        ({"Status": "enabled"}, 400, "MalformedXML"),
        ({"Status": "Enabled", "MFADelete": "Enabled"}, 501, "NotImplemented"),
        ({"Status": "Enabled", "MFADelete": "x"}, 501, "NotImplemented"),
    ],
)
async def test_a_bad_configuration_is_refused_and_the_old_one_stays(vault, bucket, configuration, status, code):
    await vault.versioned(status="Suspended")
    error = await vault.refused("PutBucketVersioning", Bucket="bucket", VersioningConfiguration=configuration)
    assert (error.status, error.code) == (status, code)
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {"Status": "Suspended"}


async def test_mfa_delete_may_be_said_to_be_off(vault, bucket):
    given = {"Status": "Enabled", "MFADelete": "Disabled"}
    await vault.run("PutBucketVersioning", Bucket="bucket", VersioningConfiguration=given)
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {"Status": "Enabled"}


async def test_a_bucket_that_is_not_there(vault):
    error = await vault.refused("PutBucketVersioning", Bucket="none", VersioningConfiguration={"Status": "Enabled"})
    assert error.code == "NoSuchBucket"
    assert (await vault.refused("ListObjectVersions", Bucket="none")).code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("name", "action", "with_version"),
    [
        ("PutBucketVersioning", "s3:PutBucketVersioning", None),
        ("GetBucketVersioning", "s3:GetBucketVersioning", None),
        ("ListObjectVersions", "s3:ListBucketVersions", None),
        ("GetObject", "s3:GetObject", "s3:GetObjectVersion"),
        ("HeadObject", "s3:GetObject", "s3:GetObjectVersion"),
        ("DeleteObject", "s3:DeleteObject", "s3:DeleteObjectVersion"),
    ],
)
def test_what_each_operation_needs(vault, name, action, with_version):
    need = vault.register.find("s3", name).need
    assert (need.action, need.with_version) == (action, with_version)


# ---- ids


async def test_ids_are_32_characters_that_no_command_line_takes_for_an_option(vault, bucket):
    await vault.versioned()
    ids = [await put(vault, b"") for _ in range(100)]
    assert len(set(ids)) == 100
    for version_id in ids:
        assert len(version_id) == 32
        assert version_id.replace(".", "").replace("_", "").isalnum()


@pytest.mark.parametrize("name", ["GetObject", "HeadObject", "DeleteObject"])
@pytest.mark.parametrize("version_id", ["", "x", "A" * 31, "A" * 33, "A" * 31 + "/", "A" * 31 + "\u00e9", "NULL"])
async def test_a_malformed_id_is_refused(vault, bucket, name, version_id):
    await vault.versioned()
    error = await vault.refused(name, **AT, VersionId=version_id)
    text = "Version id cannot be the empty string" if version_id == "" else "Invalid version id specified"
    assert (error.status, error.code, error.message) == (400, "InvalidArgument", text)
    assert (error.members["ArgumentName"], error.members["ArgumentValue"]) == ("versionId", version_id)


async def test_an_id_of_another_key_or_bucket_is_no_id_here(vault, bucket):
    await vault.make("other")
    for name in ("bucket", "other"):
        await vault.versioned(name)
    foreign = [(await vault.put(key, b"foreign", bucket=name))["VersionId"] for name, key in (("bucket", "l"), ("other", "k"))]
    mine = await put(vault, b"mine")
    for version_id in foreign:
        for name in ("GetObject", "HeadObject"):
            error = await vault.refused(name, **AT, VersionId=version_id)
            assert (error.status, error.code) == (404, "NoSuchVersion")
        source = f"bucket/k?versionId={version_id}"
        assert (await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource=source)).code == "NoSuchVersion"
        assert await delete(vault, VersionId=version_id) == {"VersionId": version_id}
    assert await read(vault, mine) == b"mine"
    assert (await vault.get("k", bucket="other", VersionId=foreign[1]))[0] == b"foreign"
    assert (await vault.get("l", VersionId=foreign[0]))[0] == b"foreign"


# ---- enabled


@pytest.mark.parametrize("size", [3, 200_000])
async def test_every_version_stays_and_is_read_by_its_id(vault, bucket, size):
    await vault.versioned()
    bodies = [os.urandom(size) for _ in range(3)]
    ids = [await put(vault, body) for body in bodies]
    assert await read(vault) == bodies[2]
    for version_id, body in zip(ids, bodies, strict=True):
        assert await read(vault, version_id) == body
        assert (await vault.head("k", VersionId=version_id))["VersionId"] == version_id
    assert await vault.upkeep.delete_discarded() == 0


async def test_a_delete_makes_a_marker_and_the_versions_stay(vault, bucket):
    await vault.versioned()
    version_id = await put(vault, b"x")
    first = await delete(vault)
    assert first["DeleteMarker"] is True
    second = await delete(vault)  # each one makes another
    assert second["VersionId"] != first["VersionId"]
    error = await vault.refused("GetObject", **AT)
    assert (error.status, error.code) == (404, "NoSuchKey")
    assert error.headers == {"x-amz-delete-marker": "true", "x-amz-version-id": second["VersionId"]}
    assert await read(vault, version_id) == b"x"
    assert await listed(vault) == {
        ("k", second["VersionId"], True, "marker"),
        ("k", first["VersionId"], False, "marker"),
        ("k", version_id, False, "object"),
    }
    assert (await vault.run("ListObjectsV2", Bucket="bucket"))["Contents"] == []


async def test_a_marker_needs_no_object(vault, bucket):
    await vault.versioned()
    marker = (await delete(vault, "never"))["VersionId"]
    assert await listed(vault) == {("never", marker, True, "marker")}


@pytest.mark.parametrize("name", ["GetObject", "HeadObject"])
async def test_a_marker_cannot_be_read_by_its_id(vault, bucket, name):
    await vault.versioned()
    marker = (await delete(vault))["VersionId"]
    error = await vault.refused(name, **AT, VersionId=marker)
    assert (error.status, error.code) == (405, "MethodNotAllowed")
    assert error.headers == {
        "x-amz-delete-marker": "true",
        "x-amz-version-id": marker,
        "Allow": "DELETE",
        "Last-Modified": format_datetime(vault.now, usegmt=True),
    }


async def test_deleting_the_marker_brings_the_object_back(vault, bucket):
    await vault.versioned()
    version_id = await put(vault, b"x")
    marker = (await delete(vault))["VersionId"]
    assert await delete(vault, VersionId=marker) == {"VersionId": marker, "DeleteMarker": True}
    assert await read(vault) == b"x"
    assert await listed(vault) == {("k", version_id, True, "object")}


async def test_deleting_the_newest_version_restores_the_one_before(vault, bucket):
    await vault.versioned()
    bodies = [os.urandom(100_000) for _ in range(3)]
    ids = [await put(vault, body) for body in bodies]
    assert await delete(vault, VersionId=ids[1]) == {"VersionId": ids[1]}  # of the middle: nothing changes above it
    assert await read(vault) == bodies[2]
    assert await delete(vault, VersionId=ids[2]) == {"VersionId": ids[2]}
    assert await read(vault) == bodies[0]
    assert await read(vault, ids[2]) == "NoSuchVersion"
    assert await vault.upkeep.delete_discarded() == 2
    assert await read(vault) == bodies[0]
    await delete(vault, VersionId=ids[0])
    await vault.upkeep.delete_discarded()
    assert not vault.files


async def test_a_bucket_goes_only_when_the_last_version_and_marker_are_gone(vault, bucket):
    await vault.versioned()
    version_id = await put(vault, b"x")
    marker = (await delete(vault))["VersionId"]
    for gone in (version_id, marker):
        assert (await vault.refused("DeleteBucket", Bucket="bucket")).code == "BucketNotEmpty"
        await delete(vault, VersionId=gone)
    await vault.run("DeleteBucket", Bucket="bucket")
    await vault.make()  # of the same name: the state was the old bucket's
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {}


# ---- null versions


async def test_the_null_version_across_all_states(vault, bucket):
    """Unversioned, Enabled, Suspended, Enabled: there is one null version at most, and only a suspended bucket replaces it."""
    assert await put(vault, b"before") is None
    await vault.versioned()
    assert (await vault.head("k"))["VersionId"] == "null"
    first = await put(vault, b"first")
    assert await read(vault, "null") == b"before"
    await vault.versioned(status="Suspended")
    assert await put(vault, b"second") == "null"
    assert await read(vault, "null") == await read(vault) == b"second"
    assert await put(vault, b"third") == "null"
    assert await listed(vault) == {("k", "null", True, "object"), ("k", first, False, "object")}
    assert await delete(vault) == {"VersionId": "null", "DeleteMarker": True}
    assert await delete(vault) == {"VersionId": "null", "DeleteMarker": True}
    assert await listed(vault) == {("k", "null", True, "marker"), ("k", first, False, "object")}
    assert (await vault.refused("GetObject", **AT, VersionId="null")).code == "MethodNotAllowed"
    assert await read(vault, first) == b"first"
    await vault.versioned()
    last = await put(vault, b"last")
    assert await listed(vault) == {
        ("k", last, True, "object"),
        ("k", "null", False, "marker"),
        ("k", first, False, "object"),
    }
    assert await delete(vault, VersionId="null") == {"VersionId": "null", "DeleteMarker": True}
    await vault.versioned(status="Suspended")
    assert await put(vault, b"null again") == "null"
    assert await delete(vault, VersionId="null") == {"VersionId": "null"}
    assert await read(vault) == b"last"


async def test_a_suspended_delete_without_a_null_version_removes_nothing(vault, bucket):
    await vault.versioned()
    version_id = await put(vault, b"x")
    await vault.versioned(status="Suspended")
    await delete(vault)
    assert await listed(vault) == {("k", "null", True, "marker"), ("k", version_id, False, "object")}


async def test_the_blobs_of_a_replaced_null_version_go(vault, bucket):
    await put(vault, os.urandom(100_000))
    await vault.versioned()
    kept = os.urandom(100_000)
    version_id = await put(vault, kept)
    await vault.versioned(status="Suspended")
    await put(vault, os.urandom(100_000))  # the null version lies below another one
    assert await vault.upkeep.delete_discarded() == 1
    await delete(vault)  # and here on top
    assert await vault.upkeep.delete_discarded() == 1
    assert len(vault.files) == 1
    assert await read(vault, version_id) == kept


async def test_an_unversioned_bucket_says_no_version_id(vault, bucket):
    assert "VersionId" not in await vault.put("k", b"x")
    assert "VersionId" not in await vault.head("k")
    assert (await vault.head("k", VersionId="null"))["ContentLength"] == 1
    assert await listed(vault) == {("k", "null", True, "object")}
    assert await delete(vault) == {}
    assert await listed(vault) == set()


# ---- the state at the commit


class _Pausing:
    """A body's verifier that lets something happen once it is read."""

    def __init__(self, body, then):
        self._body, self._then = body, then

    def __getattr__(self, name):
        return getattr(self._body, name)

    async def read(self, limit):
        data = await self._body.read(limit)
        await self._then()
        return data


@pytest.mark.parametrize(("begun", "at_commit"), [(None, "Enabled"), ("Suspended", "Enabled"), ("Enabled", "Suspended")])
async def test_a_write_follows_the_state_that_it_meets_at_its_commit(vault, bucket, begun, at_commit):
    if begun is not None:
        await vault.versioned(status=begun)
    await put(vault, b"before")
    body = _Pausing(body_of(b"under way"), lambda: vault.versioned(status=at_commit))
    shown = (await vault.run("PutObject", data=body, **AT))["VersionId"]
    assert (shown == "null") == (at_commit == "Suspended")
    assert await read(vault) == b"under way"
    assert len(await listed(vault)) == 2  # nothing was replaced that should have stayed


async def test_a_delete_follows_the_state_that_it_meets_at_its_commit(vault, bucket, monkeypatch):
    await put(vault, b"before")
    real = vault.catalog.write

    async def write(work, *claim):
        monkeypatch.setattr(vault.catalog, "write", real)
        await vault.versioned()
        return await real(work, *claim)

    monkeypatch.setattr(vault.catalog, "write", write)
    marker = await delete(vault)
    assert marker["DeleteMarker"] is True
    assert await read(vault, "null") == b"before"


# ---- copies and uploads


async def test_a_copy_takes_a_version_and_makes_one(vault, bucket):
    await vault.versioned()
    old, new = [await put(vault, data) for data in (b"old", b"new")]
    copied = await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource=f"bucket/k?versionId={old}")
    assert copied["CopySourceVersionId"] == old
    assert (await vault.get("copy", VersionId=copied["VersionId"]))[0] == b"old"
    assert vault.asked_versions == [("s3:GetObjectVersion", ARN, old)]
    restored = await vault.run("CopyObject", **AT, CopySource=f"bucket/k?versionId={old}")  # onto itself, without a change
    assert await read(vault) == b"old"
    assert {await read(vault, each) for each in (old, new, restored["VersionId"])} == {b"old", b"new"}


async def test_a_marker_cannot_be_copied(vault, bucket):
    await vault.versioned()
    await put(vault, b"x")
    marker = (await delete(vault))["VersionId"]
    error = await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource="bucket/k")
    assert (error.status, error.code, error.headers) == (404, "NoSuchKey", {})
    error = await vault.refused("CopyObject", Bucket="bucket", Key="c", CopySource=f"bucket/k?versionId={marker}")
    assert (error.status, error.code) == (400, "InvalidRequest")


async def test_uploads_make_versions_and_take_them_as_sources(vault, bucket):
    await vault.versioned()
    old = await put(vault, TAIL)
    await put(vault, b"new")
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, FIRST)
    copied = await vault.run("UploadPartCopy", PartNumber=2, CopySource=f"bucket/k?versionId={old}", **upload.at)
    assert copied["CopySourceVersionId"] == old
    upload.etags[2] = copied["CopyPartResult"]["ETag"]
    done = await upload.complete()
    assert await read(vault, done["VersionId"]) == await read(vault) == FIRST + TAIL
    assert await read(vault, old) == TAIL
    await vault.versioned(status="Suspended")
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, b"null")
    assert (await upload.complete())["VersionId"] == "null"
    assert await read(vault, "null") == b"null"


# ---- DeleteObjects


async def test_many_deletes_make_markers_and_remove_versions(vault, bucket):
    await vault.versioned()
    ids = [await put(vault, b"x", key) for key in ("a", "b")]
    marked = (await delete(vault, "c"))["VersionId"]
    wanted = [
        {"Key": "a"},
        {"Key": "b", "VersionId": ids[1]},
        {"Key": "c", "VersionId": marked},
        {"Key": "none", "VersionId": "A" * 32},
        {"Key": "a", "VersionId": "short"},
    ]
    output = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": wanted})
    made = output["Deleted"][0]["DeleteMarkerVersionId"]
    assert output["Deleted"] == [
        {"Key": "a", "DeleteMarker": True, "DeleteMarkerVersionId": made},
        {"Key": "b", "VersionId": ids[1]},
        {"Key": "c", "VersionId": marked, "DeleteMarker": True, "DeleteMarkerVersionId": marked},
        {"Key": "none", "VersionId": "A" * 32},
    ]
    assert [(one["Key"], one["VersionId"], one["Code"]) for one in output["Errors"]] == [("a", "short", "NoSuchVersion")]
    assert await listed(vault) == {("a", made, True, "marker"), ("a", ids[0], False, "object")}
    assert vault.asked_versions == [
        ("s3:DeleteObjectVersion", f"arn:aws:s3:::bucket/{one['Key']}", one["VersionId"]) for one in wanted if "VersionId" in one
    ]
    assert ("s3:DeleteObject", "arn:aws:s3:::bucket/a") in vault.asked


async def test_many_deletes_of_a_suspended_bucket(vault, bucket):
    await put(vault, b"x")
    await vault.versioned(status="Suspended")
    output = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k"}, {"Key": "k"}]})
    assert output["Deleted"] == [{"Key": "k", "DeleteMarker": True, "DeleteMarkerVersionId": "null"}] * 2
    assert await listed(vault) == {("k", "null", True, "marker")}


async def test_deleting_a_version_is_another_right_than_deleting(vault, bucket):
    await vault.versioned()
    version_id = await put(vault, b"x")
    vault.denied.add(("s3:DeleteObjectVersion", ARN))
    wanted = [{"Key": "k", "VersionId": version_id}, {"Key": "k", "VersionId": "null"}, {"Key": "k"}]
    output = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": wanted})
    assert [one["Code"] for one in output["Errors"]] == ["AccessDenied", "AccessDenied"]
    assert [one["DeleteMarker"] for one in output["Deleted"]] == [True]
    assert await read(vault, version_id) == b"x"


# ---- conditional deletes


async def test_a_conditional_delete_compares_with_the_current_version(vault, bucket):
    await vault.versioned()
    old, new = [(await vault.put("k", data))["ETag"] for data in (b"old", b"new")]
    for wanted in (old, '"x"', "x"):
        error = await vault.refused("DeleteObject", **AT, IfMatch=wanted)
        assert (error.status, error.code, error.members) == (412, "PreconditionFailed", {"Condition": "If-Match"})
    assert await read(vault) == b"new"
    assert (await delete(vault, IfMatch=new))["DeleteMarker"] is True
    for wanted in (new, "*"):  # a marker is no object
        assert (await vault.refused("DeleteObject", **AT, IfMatch=wanted)).code == "PreconditionFailed"
        error = await vault.refused("DeleteObject", Bucket="bucket", Key="none", IfMatch=wanted)
        assert (error.status, error.code) == (404, "NoSuchKey")
    assert len(await listed(vault)) == 3


async def test_a_conditional_delete_of_a_version_looks_at_the_current_one_too(vault, bucket):
    await vault.versioned()
    old, new = [await vault.put("k", data) for data in (b"old", b"new")]
    error = await vault.refused("DeleteObject", **AT, VersionId=old["VersionId"], IfMatch=old["ETag"])
    assert error.code == "PreconditionFailed"
    await delete(vault, VersionId=old["VersionId"], IfMatch=new["ETag"])
    assert await listed(vault) == {("k", new["VersionId"], True, "object")}


async def test_conditions_of_many_deletes_are_judged_one_by_one_in_order(vault, bucket):
    etag = (await vault.put("k", b"x"))["ETag"]
    await vault.put("l", b"y")
    wanted = [
        {"Key": "k", "ETag": '"no"'},
        {"Key": "k", "ETag": etag},
        {"Key": "k", "ETag": etag},  # gone by the one before
        {"Key": "l", "ETag": "*"},
        {"Key": "none", "ETag": "*"},
    ]
    output = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": wanted})
    assert output["Deleted"] == [{"Key": "k"}, {"Key": "l"}]
    assert [(one["Key"], one["Code"]) for one in output["Errors"]] == [
        ("k", "PreconditionFailed"),
        ("k", "NoSuchKey"),
        ("none", "NoSuchKey"),
    ]


async def test_a_condition_is_judged_at_the_commit(vault, bucket, monkeypatch):
    etag = (await vault.put("k", b"x"))["ETag"]
    real = vault.catalog.write

    async def write(work, *claim):
        monkeypatch.setattr(vault.catalog, "write", real)
        await vault.put("k", b"meanwhile")
        return await real(work, *claim)

    monkeypatch.setattr(vault.catalog, "write", write)
    assert (await vault.refused("DeleteObject", **AT, IfMatch=etag)).code == "PreconditionFailed"
    assert await read(vault) == b"meanwhile"


async def test_who_deletes_by_etag_must_be_allowed_to_read(vault, bucket):
    etag = (await vault.put("k", b"x"))["ETag"]
    vault.denied.add(("s3:GetObject", ARN))
    assert (await vault.refused("DeleteObject", **AT, IfMatch=etag)).code == "AccessDenied"
    output = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k", "ETag": etag}]})
    assert [one["Code"] for one in output["Errors"]] == ["AccessDenied"]
    await delete(vault, IfMatch="*")  # says no more than that there is something
    assert await listed(vault) == set()


@pytest.mark.parametrize("operation", ["PutObject", "CopyObject", "CompleteMultipartUpload"])
async def test_conditional_writes_see_a_marker_as_no_object(vault, bucket, operation):
    await vault.versioned()
    await put(vault, b"x", "source")
    etag = (await vault.put("k", b"x"))["ETag"]
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, b"y")
    given = {
        "PutObject": {},
        "CopyObject": {"CopySource": "bucket/source"},
        "CompleteMultipartUpload": {"UploadId": upload.at["UploadId"], "MultipartUpload": upload.named()},
    }[operation]
    error = await vault.refused(operation, **AT, **given, IfNoneMatch="*")
    assert (error.status, error.code) == (412, "PreconditionFailed")
    assert (await vault.refused(operation, **AT, **given, IfMatch='"x"')).code == "PreconditionFailed"
    await delete(vault)
    error = await vault.refused(operation, **AT, **given, IfMatch=etag)
    assert (error.status, error.code) == (404, "NoSuchKey")
    assert "VersionId" in await vault.run(operation, **AT, **given, IfNoneMatch="*")


async def test_times_are_those_of_the_versions(vault, bucket):
    await vault.versioned()
    vault.now = vault.now.replace(microsecond=0)
    begin = vault.now
    await put(vault, b"x")
    vault.now += timedelta(hours=1)
    await delete(vault)
    output = await vault.run("ListObjectVersions", Bucket="bucket")
    assert (output["Versions"][0]["LastModified"], output["DeleteMarkers"][0]["LastModified"]) == (begin, vault.now)
