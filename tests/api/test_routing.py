from __future__ import annotations

from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.model import SUCCESSORS, operation_names
from strongroom.api.routing import Route, Router, is_modelled
from tests.api.samples import params_for, written

ROUTER = Router(["localhost", "s3.example.com", "example.com"])
HOST = {"host": "127.0.0.1:9000"}


def operation(method: str, path: str, query: str = "", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ROUTER.route(method, path, query, HOST | named).operation


@pytest.mark.parametrize("name", operation_names("s3"))
def test_every_operation_reaches_itself_with_its_least_parameters(name: str) -> None:
    request = written("s3", name, params_for("s3", name, 0, 0.0))
    route = ROUTER.route(request.method, request.path, request.query, request.headers)
    assert route.operation == SUCCESSORS.get(name, name)
    assert is_modelled(route)


@pytest.mark.parametrize(
    ("host", "path", "bucket", "key", "virtual"),
    [
        ("127.0.0.1:9000", "/b/k", "b", "k", False),
        ("localhost:9000", "/b/k", "b", "k", False),
        ("b.localhost:9000", "/k", "b", "k", True),
        ("B.LocalHost", "/k", "b", "k", True),
        ("my.dotted.bucket.localhost", "/a/b", "my.dotted.bucket", "a/b", True),
        ("b.s3.example.com", "/k", "b", "k", True),
        ("s3.example.com", "/b/k", "b", "k", False),
        ("notlocalhost", "/b/k", "b", "k", False),
        ("b.localhost.", "/k", "b", "k", True),
        ("[::1]:9000", "/b/k", "b", "k", False),
        ("", "/b/k", "b", "k", False),
        ("b.localhost", "//k", "b", "/k", True),
        ("localhost", "/b//k/", "b", "/k/", False),
    ],
)
def test_addresses(host: str, path: str, bucket: str, key: str, virtual: bool) -> None:
    route = ROUTER.route("GET", path, "", {"host": host})
    assert route == Route("s3", "GetObject", bucket, key, virtual)


def test_no_domains_means_path_addressing() -> None:
    assert Router().route("GET", "/b/k", "", {"host": "b.localhost"}).bucket == "b"


def test_the_host_cache_is_bounded() -> None:
    router = Router(["localhost"])
    for number in range(10_000):
        assert router.route("GET", "/k", "", {"host": f"b{number}.localhost"}).bucket == f"b{number}"
    assert len(router._hosts) <= 4096


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/", "", "ListBuckets"),
        ("GET", "/b", "", "ListObjects"),
        ("GET", "/b/", "", "ListObjects"),
        ("GET", "/b", "list-type=2&prefix=a", "ListObjectsV2"),
        ("GET", "/b", "list-type=1", "ListObjects"),
        ("GET", "/b", "versions", "ListObjectVersions"),
        ("GET", "/b", "versions=", "ListObjectVersions"),
        ("GET", "/b", "analytics", "ListBucketAnalyticsConfigurations"),
        ("GET", "/b", "analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("PUT", "/b", "encryption", "PutBucketEncryption"),
        ("PUT", "/b/k", "encryption", "UpdateObjectEncryption"),
        ("PUT", "/b/k", "renameObject", "RenameObject"),
        ("GET", "/b/k", "partNumber=2", "GetObject"),
        ("HEAD", "/b/k", "partNumber=2", "HeadObject"),
        ("GET", "/b/k", "uploadId=u", "ListParts"),
        ("DELETE", "/b/k", "uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "versionId=v", "DeleteObject"),
        ("PUT", "/b/k", "uploadId=u&partNumber=1", "UploadPart"),
        ("PUT", "/b/k", "uploadId=u", "UploadPart"),
        ("PUT", "/b/k", "partNumber=1", "UploadPart"),
        ("POST", "/b/k", "uploadId=u", "CompleteMultipartUpload"),
        ("POST", "/b/k", "uploads", "CreateMultipartUpload"),
        ("POST", "/b", "delete", "DeleteObjects"),
        ("POST", "/b/k", "select&select-type=2", "SelectObjectContent"),
        ("POST", "/b", "", "PostObject"),
        ("OPTIONS", "/b/k", "", "Preflight"),
        # ordinary parameters say nothing
        ("GET", "/b/k", "x-id=GetObject", "GetObject"),
        ("PUT", "/b/k", "x-foo=1&&=&bar", "PutObject"),
        ("PUT", "/b/k", "X-Amz-Signature=0&x-id=PutObject", "PutObject"),
        ("GET", "/b/k", "response-content-type=text%2Fplain", "GetObject"),
        # a subresource word in percent form is that word
        ("PUT", "/b/k", "%61cl", "PutObjectAcl"),
        ("GET", "/b/k", "acl&acl=", "GetObjectAcl"),
    ],
)
def test_query_words(method: str, path: str, query: str, expected: str) -> None:
    assert operation(method, path, query) == expected


@pytest.mark.parametrize(
    ("method", "path", "query", "resource"),
    [
        ("PUT", "/b", "location", "LOCATION"),
        ("PUT", "/b/k", "torrent", "TORRENT"),
        ("PUT", "/b/k", "uploads", "UPLOADS"),
        ("PUT", "/b/k", "policy", "BUCKETPOLICY"),
        ("DELETE", "/b", "versioning", "VERSIONING"),
        ("DELETE", "/b/k", "acl", "ACL"),
        ("DELETE", "/b", "uploadId=u", "UPLOAD"),  # a lost key must not delete the bucket
        ("PUT", "/b", "uploadId=u", "UPLOAD"),
        ("POST", "/b", "delete2&policy", "BUCKETPOLICY"),
        ("POST", "/b/k", "", "OBJECT"),
        ("PUT", "/", "", "SERVICE"),
        ("DELETE", "/", "", "SERVICE"),
        ("PATCH", "/b/k", "", "OBJECT"),
        ("GET", "/", "acl", "ACL"),
    ],
)
def test_what_fits_no_operation_is_refused(method: str, path: str, query: str, resource: str) -> None:
    with pytest.raises(ApiError) as caught:
        operation(method, path, query)
    assert caught.value.code == "MethodNotAllowed"
    assert caught.value.status == 405
    assert caught.value.members == {"Method": method, "ResourceType": resource}


def test_two_subresources_conflict() -> None:
    with pytest.raises(ApiError) as caught:
        operation("GET", "/b", "policy&acl")
    assert caught.value.code == "InvalidArgument"
    assert caught.value.message == "Conflicting query string parameters: acl, policy"


def test_the_copy_source_tells_copies_apart() -> None:
    assert operation("PUT", "/b/k", x_amz_copy_source="/a/k") == "CopyObject"
    assert operation("PUT", "/b/k", "x-id=CopyObject", x_amz_copy_source="/a/k") == "CopyObject"
    assert operation("PUT", "/b/k", "uploadId=u&partNumber=1", x_amz_copy_source="/a/k") == "UploadPartCopy"
    assert operation("PUT", "/b/k", "uploadId=u", x_amz_copy_source="/a/k") == "UploadPart"
    assert operation("PUT", "/b/k", "acl", x_amz_copy_source="/a/k") == "PutObjectAcl"
    assert operation("GET", "/b/k", x_amz_copy_source="/a/k") == "GetObject"


KMS = {"x-amz-target": "TrentService.Encrypt"}
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("method", "query", "headers", "scope", "service", "name"),
    [
        ("POST", "", KMS, "kms", "kms", "Encrypt"),
        ("POST", "", KMS, "", "kms", "Encrypt"),
        ("POST", "", {}, "kms", "kms", ""),
        ("POST", "", {"x-amz-target": "DynamoDB_20120810.GetItem"}, "kms", "kms", ""),
        ("POST", "", FORM, "sts", "sts", ""),
        ("POST", "", FORM, "iam", "iam", ""),
        ("POST", "", FORM, "", "sts", ""),
        ("GET", "Action=GetCallerIdentity&Version=2011-06-15", {}, "sts", "sts", "GetCallerIdentity"),
        ("GET", "Action=GetCallerIdentity&Version=2011-06-15", {}, "", "sts", "GetCallerIdentity"),
        ("GET", "Action=GetUser&Version=2010-05-08", {}, "iam", "iam", "GetUser"),
        ("GET", "Action=GetUser&Version=2010-05-08", {}, "", "iam", "GetUser"),
        ("GET", "Action=x", {}, "s3", "s3", "ListBuckets"),
        ("GET", "", {}, "", "s3", "ListBuckets"),
    ],
)
def test_services_share_one_address(
    method: str, query: str, headers: dict[str, str], scope: str, service: Any, name: str
) -> None:
    assert ROUTER.route(method, "/", query, HOST | headers, scope) == Route(service, name, "", "", virtual_host=False)


def test_a_target_does_not_take_an_object_or_an_s3_signature_away() -> None:
    assert ROUTER.route("PUT", "/b/k", "", HOST | KMS).service == "s3"
    assert ROUTER.route("POST", "/", "delete", {"host": "b.localhost"} | KMS, "s3").operation == "DeleteObjects"


def test_a_form_names_its_action() -> None:
    unnamed = Route("sts", "", "", "", virtual_host=False)
    assert ROUTER.action(unnamed, b"Action=GetUser&Version=2010-05-08").service == "iam"
    assert ROUTER.action(unnamed, b"Version=2011-06-15&Action=Get%43allerIdentity").operation == "GetCallerIdentity"
    assert ROUTER.action(unnamed, b"Action=First&Action=Second").operation == "First"
    assert ROUTER.action(unnamed, b"").operation == ""
    with pytest.raises(ApiError, match="MalformedQueryString"):
        ROUTER.action(unnamed, b"Action=%ff")
    with pytest.raises(ApiError, match="MalformedQueryString"):
        ROUTER.action(unnamed, b"a&" * 20_000)


def test_s3_control_is_told_by_its_header_and_its_version() -> None:
    path, account = "/v20180820/configuration/publicAccessBlock", {"x-amz-account-id": "111122223333"}
    for host in ("localhost", "111122223333.localhost", "111122223333.s3-control.us-east-1.example.org"):
        route = ROUTER.route("PUT", path, "", account | {"host": host}, "s3")
        assert route == Route("s3control", "PutPublicAccessBlock", "", "", virtual_host=False)
    assert ROUTER.route("GET", "/v20180820/accesspoint", "", HOST | account).operation == "ListAccessPoints"
    assert ROUTER.route("GET", "/v20180820/accesspoint/a/policy", "", HOST | account)[:2] == ("s3control", "")  # 501
    tags = ROUTER.route("DELETE", "/v20180820/tags/arn:aws:s3:::b", "tagKeys=a&tagKeys=b", HOST | account)
    assert tags == Route("s3control", "UntagResource", "", "arn:aws:s3:::b", virtual_host=False)
    assert ROUTER.route("PUT", path, "", HOST)[:4] == ("s3", "PutObject", "v20180820", "configuration/publicAccessBlock")
    assert ROUTER.route("PUT", "/b/k", "", HOST | account)[:2] == ("s3", "PutObject")
