"""Versioning through boto3: states, paginators and the resource that empties a bucket."""

from __future__ import annotations

import json

import boto3
import pytest

from tests.clients.house import refused, unique


@pytest.fixture
def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def put(s3, bucket, key, body=b""):
    return s3.put_object(Bucket=bucket, Key=key, Body=body).get("VersionId")


def status(call, **given):
    return call(**given)["ResponseMetadata"]["HTTPStatusCode"]


def test_the_states(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for state in ("Enabled", "Suspended", "Enabled"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": state})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == state
    given = {"Bucket": bucket, "VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
    assert refused(s3.put_bucket_versioning, **given, MFA="serial 123456").status == 501
    given = {"Bucket": bucket, "VersioningConfiguration": {}}
    assert refused(s3.put_bucket_versioning, **given).code == "IllegalVersioningConfigurationException"
    given = {"Bucket": bucket, "VersioningConfiguration": {"Status": "Off"}}
    assert refused(s3.put_bucket_versioning, **given).code == "MalformedXML"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_document_that_is_none(server, s3, versioned):
    for body in (
        b"",
        b"<no",
        b"<Other/>",
        b"<VersioningConfiguration><Status>Suspended</Status><More/></VersioningConfiguration>",
    ):
        reply = server.ask("PUT", f"/{versioned}?versioning", body=body)
        assert reply.status == 400, body
    assert s3.get_bucket_versioning(Bucket=versioned)["Status"] == "Enabled"


def test_versions_markers_and_restoring(s3, versioned):
    old, new = put(s3, versioned, "k", b"old"), put(s3, versioned, "k", b"new" * 50_000)
    at = {"Bucket": versioned, "Key": "k"}
    marker = s3.delete_object(**at)
    assert (marker["DeleteMarker"], marker["ResponseMetadata"]["HTTPStatusCode"]) == (True, 204)
    gone = refused(s3.get_object, **at)
    assert (gone.status, gone.code) == (404, "NoSuchKey")
    head = refused(s3.head_object, **at, VersionId=marker["VersionId"])
    assert head.status == 405
    assert s3.get_object(**at, VersionId=old)["Body"].read() == b"old"
    deleted = s3.delete_object(**at, VersionId=marker["VersionId"])
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, marker["VersionId"])
    got = s3.get_object(**at)
    assert (got["VersionId"], got["Body"].read()) == (new, b"new" * 50_000)
    deleted = s3.delete_object(**at, VersionId=new)
    assert (deleted["VersionId"], "DeleteMarker" in deleted) == (new, False)
    got = s3.get_object(**at)
    assert (got["VersionId"], got["Body"].read()) == (old, b"old")
    assert refused(s3.get_object, **at, VersionId=new).code == "NoSuchVersion"
    assert refused(s3.get_object, **at, VersionId="not-one").code == "InvalidArgument"


def test_headers_of_a_marker(server, s3, versioned):
    reply = server.ask("DELETE", f"/{versioned}/k")
    marker = reply.headers["x-amz-version-id"]
    assert (reply.status, reply.headers["x-amz-delete-marker"]) == (204, "true")
    reply = server.ask("GET", f"/{versioned}/k")
    assert (reply.status, reply.headers["x-amz-delete-marker"], reply.headers["x-amz-version-id"]) == (404, "true", marker)
    for method in ("GET", "HEAD"):
        reply = server.ask(method, f"/{versioned}/k?versionId={marker}")
        assert (reply.status, reply.headers["allow"], reply.headers["x-amz-delete-marker"]) == (405, "DELETE", "true")
        assert reply.headers["last-modified"].endswith("GMT")
    reply = server.ask("GET", f"/{versioned}/k?versionId=")
    assert reply.error == (400, "InvalidArgument", "Version id cannot be the empty string")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_page_size_shows_every_version_once_and_the_newest_first(s3, versioned, size):
    made = [(key, put(s3, versioned, key)) for key in ("a", "b/1", "a", "b/2", "a", "c")]
    made.append(("a", s3.delete_object(Bucket=versioned, Key="a")["VersionId"]))
    expected = [(key, version_id) for key in ("a", "b/1", "b/2", "c") for name, version_id in reversed(made) if name == key]
    found, latest = [], {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=versioned, PaginationConfig={"PageSize": size}):
        rows = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        assert len(rows) <= size
        found += sorted(((one["Key"], one["VersionId"]) for one in rows), key=expected.index)
        latest |= {one["Key"]: one["VersionId"] for one in rows if one["IsLatest"]}
    assert found == expected
    assert latest == {key: next(version_id for name, version_id in expected if name == key) for key, _ in expected}
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["b/"]
    assert {one["Key"] for one in page["Versions"]} == {"a", "c"}


def test_a_versioned_bucket_is_emptied_as_everybody_empties_one(server, s3):
    """boto3's collection lists a page, deletes it, and lists on behind versions that are no longer there."""
    name = unique()
    who = server.owner
    resource = boto3.resource(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
    )
    bucket = resource.create_bucket(Bucket=name)
    put(s3, name, "k")
    bucket.Versioning().enable()
    for number in range(9):
        put(s3, name, "k")
        put(s3, name, f"l/{number % 3}")
    s3.delete_object(Bucket=name, Key="k")
    bucket.Versioning().suspend()
    s3.delete_object(Bucket=name, Key="l/1")
    assert refused(s3.delete_bucket, Bucket=name).code == "BucketNotEmpty"
    answers = bucket.object_versions.page_size(4).delete()
    assert sum(len(answer["Deleted"]) for answer in answers) == 21
    assert not any("Errors" in answer for answer in answers)
    bucket.delete()
    resource.meta.client.close()


def test_many_deletes(s3, versioned):
    version_id = put(s3, versioned, "a", b"x")
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    markers = {one["Key"]: one["DeleteMarkerVersionId"] for one in answer["Deleted"] if one["DeleteMarker"]}
    assert set(markers) == {"a", "b"}
    objects = [{"Key": "a", "VersionId": markers["a"]}, {"Key": "a", "VersionId": version_id}, {"Key": "a", "VersionId": "none"}]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    assert sorted(one.get("DeleteMarker", False) for one in answer["Deleted"]) == [False, True]
    assert [(one["VersionId"], one["Code"]) for one in answer["Errors"]] == [("none", "NoSuchVersion")]
    quiet = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b", "VersionId": markers["b"]}], "Quiet": True})
    assert "Deleted" not in quiet
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket=versioned)


def test_conditional_deletes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    at = {"Bucket": bucket, "Key": "k"}
    no = refused(s3.delete_object, **at, IfMatch='"0"')
    assert (no.status, no.code, no.members["Condition"]) == (412, "PreconditionFailed", "If-Match")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": '"0"'}]})
    assert [one["Code"] for one in answer["Errors"]] == ["PreconditionFailed"]
    assert status(s3.delete_object, **at, IfMatch=etag) == 204
    assert refused(s3.delete_object, **at, IfMatch=etag).status == 404


def test_a_policy_may_allow_conditional_deletes_only(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:if-match": "true"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    at = {"Bucket": bucket, "Key": "k"}
    assert refused(s3.delete_object, **at).code == "AccessDenied"
    assert refused(s3.delete_object, **at, IfMatch='"0"').code == "PreconditionFailed"
    assert status(s3.delete_object, **at, IfMatch=etag) == 204


def test_a_version_that_a_policy_denies_is_denied_by_every_way_to_it(s3, versioned):
    """Read, copied, copied into a part, deleted, deleted among others: one statement about one version."""
    secret, other = put(s3, versioned, "k", b"secret"), put(s3, versioned, "k", b"other")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObjectVersion", "s3:DeleteObjectVersion"],
        "Resource": f"arn:aws:s3:::{versioned}/*",
        "Condition": {"StringEquals": {"s3:VersionId": secret}},
    }
    s3.put_bucket_policy(Bucket=versioned, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    at = {"Bucket": versioned, "Key": "k"}
    upload = s3.create_multipart_upload(Bucket=versioned, Key="up")["UploadId"]
    part = {"Bucket": versioned, "Key": "up", "UploadId": upload, "PartNumber": 1}
    assert refused(s3.get_object, **at, VersionId=secret).code == "AccessDenied"
    assert refused(s3.delete_object, **at, VersionId=secret).code == "AccessDenied"
    for version_id, allowed in ((other, True), (secret, False)):
        source = {**at, "VersionId": version_id}
        for call, given in ((s3.copy_object, {"Bucket": versioned, "Key": "copy"}), (s3.upload_part_copy, part)):
            if allowed:
                call(**given, CopySource=source)
            else:
                assert refused(call, **given, CopySource=source).code == "AccessDenied"
    objects = [{"Key": "k", "VersionId": version_id} for version_id in (secret, other)]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": objects})
    assert [(one["VersionId"], one["Code"]) for one in answer["Errors"]] == [(secret, "AccessDenied")]
    assert [one["VersionId"] for one in answer["Deleted"]] == [other]


def test_copies_name_both_versions(s3, versioned):
    old, _ = put(s3, versioned, "k", b"old"), put(s3, versioned, "k", b"new")
    copied = s3.copy_object(Bucket=versioned, Key="k", CopySource={"Bucket": versioned, "Key": "k", "VersionId": old})
    assert copied["CopySourceVersionId"] == old
    got = s3.get_object(Bucket=versioned, Key="k")
    assert (got["Body"].read(), got["VersionId"]) == (b"old", copied["VersionId"])


def test_a_stranger_sees_and_changes_nothing(server, stranger, s3, versioned):
    version_id = put(s3, versioned, "k")
    other = server.client("s3", stranger)
    at = {"Bucket": versioned, "Key": "k", "VersionId": version_id}
    state = {"Bucket": versioned, "VersioningConfiguration": {"Status": "Suspended"}}
    for call, given in (
        (other.get_bucket_versioning, {"Bucket": versioned}),
        (other.put_bucket_versioning, state),
        (other.list_object_versions, {"Bucket": versioned}),
        (other.get_object, at),
        (other.delete_object, at),
    ):
        assert refused(call, **given).code == "AccessDenied"
    answer = other.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "k", "VersionId": version_id}]})
    assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
    other.close()
    assert s3.head_object(**at)["VersionId"] == version_id


def test_versions_outlive_a_restart(own_server):
    s3 = own_server.client("s3")
    name = unique()
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    bodies = (b"one", b"two" * 40_000)
    ids = [put(s3, name, "k", data) for data in bodies]
    own_server.kill()
    own_server.start()
    for version_id, data in zip(ids, bodies, strict=True):
        assert s3.get_object(Bucket=name, Key="k", VersionId=version_id)["Body"].read() == data
    page = s3.list_object_versions(Bucket=name)
    assert [one["VersionId"] for one in page["Versions"]] == ids[::-1]
    assert put(s3, name, "k") != "null"
    s3.close()
