"""Objects through boto3: bytes, names, words and checksums arrive and come back; conditions, ranges, presigned URLs."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.clients.house import refused

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


def body_of(s3, bucket, key, **given):
    with s3.get_object(Bucket=bucket, Key=key, **given)["Body"] as body:
        return body.read()


# ------------------------------------------------------------------------------------------------------------- checksums


class Unseekable(io.RawIOBase):
    """A stream as a pipe is: boto3 sends its checksum as a trailer."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


@pytest.fixture(scope="module")
def plain_s3(server):
    """A client that adds no checksum of its own."""
    client = server.client("s3", request_checksum_calculation="when_required", response_checksum_validation="when_required")
    yield client
    client.close()


@pytest.mark.parametrize("size", [11, 300_000])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_that_the_client_computes(s3, bucket, algorithm, size):
    """boto3 sends them as a trailer behind an aws-chunked body."""
    data = os.urandom(size)
    written = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    member = f"Checksum{algorithm}"
    assert written["ChecksumType"] == "FULL_OBJECT"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[member] == written[member]
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")  # boto3 compares it itself
    assert got[member] == written[member]
    assert got["Body"].read() == data
    if algorithm.startswith("SHA"):
        assert base64.b64decode(written[member]) == hashlib.new(algorithm, data).digest()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_by_header(s3, plain_s3, bucket, algorithm):
    data = os.urandom(1000)
    member = f"Checksum{algorithm}"
    value = s3.put_object(Bucket=bucket, Key="first", Body=data, ChecksumAlgorithm=algorithm)[member]
    written = plain_s3.put_object(Bucket=bucket, Key="k", Body=data, **{member: value})
    assert written[member] == value
    refusal = refused(plain_s3.put_object, Bucket=bucket, Key="k", Body=data + b"!", **{member: value})
    assert (refusal.status, refusal.code) == (400, "BadDigest")
    assert refusal.message == f"The {algorithm} you specified did not match the calculated checksum."
    refusal = refused(plain_s3.put_object, Bucket=bucket, Key="k", Body=data, **{member: "short"})
    assert (refusal.status, refusal.code) == (400, "InvalidRequest")
    assert body_of(s3, bucket, "k") == data


def test_without_a_checksum_of_the_client_the_server_has_its_own(plain_s3, bucket):
    written = plain_s3.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    assert written["ChecksumCRC64NVME"] == base64.b64encode(bytes.fromhex("ae8b14860a799888")).decode()


def test_content_md5(plain_s3, bucket):
    data = os.urandom(70_000)
    right = base64.b64encode(hashlib.md5(data).digest()).decode()
    plain_s3.put_object(Bucket=bucket, Key="k", Body=data, ContentMD5=right)
    refusal = refused(plain_s3.put_object, Bucket=bucket, Key="k", Body=data[1:], ContentMD5=right)
    assert (refusal.status, refusal.code) == (400, "BadDigest")
    assert refusal.members["CalculatedDigest"] == base64.b64encode(hashlib.md5(data[1:]).digest()).decode()
    assert refused(plain_s3.put_object, Bucket=bucket, Key="k", Body=data, ContentMD5="nonsense").code == "InvalidDigest"
    assert body_of(plain_s3, bucket, "k") == data


@pytest.mark.parametrize("size", [0, 1, 65_480, 65_481, 1 << 20, 3_000_001])
def test_bodies_of_any_size_in_any_form(s3, plain_s3, bucket, size):
    data = os.urandom(size)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    for client, body in ((s3, data), (plain_s3, data), (s3, io.BytesIO(data))):
        assert client.put_object(Bucket=bucket, Key="k", Body=body)["ETag"] == etag
        got = s3.get_object(Bucket=bucket, Key="k")
        assert (got["ContentLength"], got["ETag"]) == (size, etag)
        assert got["Body"].read() == data


def test_a_stream_that_cannot_be_rewound(s3, bucket):
    data = os.urandom(6_000_000)
    s3.upload_fileobj(Unseekable(data), bucket, "k")
    assert body_of(s3, bucket, "k") == data


# ------------------------------------------------------------------------------------------------------- names and words

NAMES = [
    "plain",
    "with space",
    "a+b",
    "100%",
    "%41",
    "%2F",
    "ü/漢字/🔑",
    "a//b",
    "//",
    "/leading",
    "trailing/",
    ".",
    "..",
    "a/../b",
    "./a",
    "what?versionId=1",
    "a#b",
    "a&b=c;d",
    "'\"<>",
    "tab\tnew\nline",
    "~!@$^*()_-=[]{}|\\:,",
    "e\u0301 and \u00e9",
    "-/ready",
    "k" * 1024,
    "ü" * 512,
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
def test_names(s3, bucket, name):
    s3.put_object(Bucket=bucket, Key=name, Body=name.encode(), Metadata={"a": "b"})
    assert body_of(s3, bucket, name) == name.encode()
    assert s3.head_object(Bucket=bucket, Key=name)["Metadata"] == {"a": "b"}
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [name]
    assert [each["Key"] for each in s3.list_objects(Bucket=bucket)["Contents"]] == [name]
    assert s3.list_objects_v2(Bucket=bucket, Prefix=name[:5])["KeyCount"] == 1
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": name})
    assert body_of(s3, bucket, "copy") == name.encode()
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name}, {"Key": "copy"}]})
    assert sorted(each["Key"] for each in answer["Deleted"]) == sorted([name, "copy"])
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_name_that_xml_cannot_hold(s3, bucket):
    """Listings are percent-encoded, so they can tell it; a document that names it is no XML (boto3 writes it as it is)."""
    s3.put_object(Bucket=bucket, Key="bell\x07", Body=b"x")
    assert body_of(s3, bucket, "bell\x07") == b"x"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["bell\x07"]
    assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "bell\x07"}]}).code == "MalformedXML"
    s3.delete_object(Bucket=bucket, Key="bell\x07")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_names_that_differ_are_different(s3, bucket):
    alike = ["a", "A", "a ", " a", "a/", "/a", "a+", "a%20", "\u00e9", "e\u0301", "a//", "a/."]
    for name in alike:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    for name in alike:
        assert body_of(s3, bucket, name) == name.encode()
    listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(alike, key=str.encode)


def test_a_name_that_is_too_long(s3, bucket):
    refusal = refused(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"")
    assert (refusal.status, refusal.code, refusal.message) == (400, "KeyTooLongError", "Your key is too long")
    assert refusal.members == {"Size": "1025", "MaxSizeAllowed": "1024"}


def test_words_come_back(s3, bucket):
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=3",
        "ContentDisposition": 'attachment; filename="x y.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-AT",
        "Metadata": {"one": "1", "with-dash": "a b  c", "quoted": "=?UTF-8?Q?=C3=BC?=", "empty": ""},
        "WebsiteRedirectLocation": "/other",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC), **said)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in said} == said
        assert answer["ExpiresString"] == "Mon, 03 Feb 2031 04:05:06 GMT"
        assert answer["AcceptRanges"] == "bytes"
        assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=5)


def test_words_in_unicode(server, s3, bucket):
    """boto3 refuses them; others send what RFC 2047 makes of them, or percent-encode them themselves. ASCII stays as it is."""
    encoded = quote("grüße 漢字")
    reply = server.ask(
        "PUT", f"/{bucket}/k", {"x-amz-meta-Mixed-Case": encoded, "x-amz-meta-b": "=?UTF-8?B?Z3LDvMOfZQ==?="}, b"x"
    )
    assert reply.status == 200
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"mixed-case": encoded, "b": "=?UTF-8?B?Z3LDvMOfZQ==?="}


def test_too_many_words(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2047})
    refusal = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2048})
    assert (refusal.status, refusal.code) == (400, "MetadataTooLarge")
    assert refusal.members["MaxSizeAllowed"] == "2048"


def test_answers_with_other_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    wanted = {
        "ContentType": "image/png",
        "CacheControl": "no-store",
        "ContentLanguage": "fr",
        "ContentDisposition": "inline; a=b",
    }
    given = {f"Response{name}": value for name, value in wanted.items()}
    for call in (s3.get_object, s3.head_object):
        answer = call(Bucket=bucket, Key="k", **given)
        assert {name: answer[name] for name in wanted} == wanted


# --------------------------------------------------------------------------------------------------- ranges and conditions


@pytest.mark.parametrize("size", [1000, 200_000])
def test_ranges(s3, bucket, size):
    data = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    rows = [("bytes=0-0", 0, 1), (f"bytes=10-{size + 5}", 10, size), ("bytes=-7", size - 7, size), ("bytes=500-", 500, size)]
    for given, first, end in rows:
        answer = s3.get_object(Bucket=bucket, Key="k", Range=given)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"] == f"bytes {first}-{end - 1}/{size}"
        assert answer["ContentLength"] == end - first
        assert answer["Body"].read() == data[first:end]
        assert s3.head_object(Bucket=bucket, Key="k", Range=given)["ContentLength"] == end - first
    for given in ("bytes=5-4", "bytes=0-1,5-6", "lines=1-2"):
        answer = s3.get_object(Bucket=bucket, Key="k", Range=given)
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read()) == (200, data)
    refusal = refused(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={size}-")
    assert (refusal.status, refusal.code, refusal.message) == (416, "InvalidRange", "The requested range is not satisfiable")
    assert refusal.members == {"RangeRequested": f"bytes={size}-", "ActualObjectSize": str(size)}


def test_conditional_reads(s3, bucket):
    written = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(hours=1)
    for call in (s3.get_object, s3.head_object):
        for given in (
            {"IfMatch": written["ETag"]},
            {"IfNoneMatch": '"other"'},
            {"IfModifiedSince": past},
            {"IfUnmodifiedSince": future},
            {"IfMatch": written["ETag"], "IfUnmodifiedSince": past},
        ):
            assert call(Bucket=bucket, Key="k", **given)["ETag"] == written["ETag"]
        for given, status in (
            ({"IfMatch": '"other"'}, 412),
            ({"IfUnmodifiedSince": past}, 412),
            ({"IfNoneMatch": written["ETag"]}, 304),
            ({"IfModifiedSince": future}, 304),
        ):
            refusal = refused(call, Bucket=bucket, Key="k", **given)
            assert refusal.status == status
            if status == 412 and call == s3.get_object:
                assert refusal.code == "PreconditionFailed"
                assert refusal.message == "At least one of the pre-conditions you specified did not hold"


def test_a_304_says_which(server, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    reply = server.ask("GET", f"/{bucket}/k", {"If-None-Match": etag})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
    assert "last-modified" in reply.headers


def test_conditional_writes(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refusal = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert (refusal.status, refusal.code, refusal.members) == (412, "PreconditionFailed", {"Condition": "If-None-Match"})
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"other"').code == "PreconditionFailed"
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"2", IfMatch=etag).code == "NoSuchKey"
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag).code == "PreconditionFailed"
    assert body_of(s3, bucket, "k") == b"2"


def test_what_is_not_there(server, s3, bucket):
    refusal = refused(s3.get_object, Bucket=bucket, Key="none")
    assert (refusal.status, refusal.code, refusal.message) == (404, "NoSuchKey", "The specified key does not exist.")
    assert refusal.members == {"Key": "none"}
    assert refused(s3.head_object, Bucket=bucket, Key="none").code == "404"
    reply = server.ask("HEAD", f"/{bucket}/none")
    assert (reply.status, reply.body) == (404, b"")
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="none")


def test_every_answer_can_be_traced(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for method, target in (("GET", "k"), ("HEAD", "k"), ("GET", "none"), ("DELETE", "k"), ("GET", "")):
        reply = server.ask(method, f"/{bucket}/{target}")
        assert len(reply.headers["x-amz-request-id"]) == 16
        assert reply.headers["x-amz-id-2"]
        if reply.status == 404:
            assert reply.members["RequestId"] == reply.headers["x-amz-request-id"]
            assert reply.members["HostId"] == reply.headers["x-amz-id-2"]


def test_deleting_many(s3, bucket):
    names = [f"k{number:04}" for number in range(1000)]
    for name in names[::100]:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names]})
    assert [each["Key"] for each in answer["Deleted"]] == names
    assert "Errors" not in answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}], "Quiet": True})
    assert "Deleted" not in answer
    objects = [{"Key": str(number)} for number in range(1001)]
    assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": objects}).code == "MalformedXML"


def test_storage_classes_are_labels(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD_IA"
    refusal = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"y", StorageClass="SNOW")
    assert (refusal.status, refusal.code) == (400, "InvalidStorageClass")
    assert body_of(s3, bucket, "k") == b"x"


# ------------------------------------------------------------------------------------------------------------- presigned


@pytest.fixture(scope="module")
def signing(server):
    client = server.client("s3", signature_version="s3v4")
    yield client
    client.close()


@pytest.mark.parametrize("name", ["k", "with space+and%", "ü/漢", "a//b", "what?x=y"])
def test_presigned_urls(server, s3, signing, bucket, name):
    where = {"Bucket": bucket, "Key": name}
    url = signing.generate_presigned_url("put_object", {**where, "ContentType": "text/plain"}, ExpiresIn=60)
    assert server.follow("PUT", url, {"Content-Type": "text/plain"}, b"hello").status == 200
    url = signing.generate_presigned_url("get_object", {**where, "ResponseContentType": "text/html"})
    reply = server.follow("GET", url)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"hello", "text/html")
    assert server.follow("GET", url, {"Range": "bytes=1-2"}).body == b"el"
    reply = server.follow("HEAD", signing.generate_presigned_url("head_object", where))
    assert (reply.status, reply.headers["content-length"], reply.headers["content-type"]) == (200, "5", "text/plain")
    assert server.follow("DELETE", signing.generate_presigned_url("delete_object", where)).status == 204
    assert refused(s3.head_object, **where).status == 404


def test_presigned_urls_that_were_changed_or_are_too_old(server, s3, signing, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = signing.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    assert server.follow("PUT", url, body=b"x").error[:2] == (403, "SignatureDoesNotMatch")
    assert server.follow("GET", url.replace("/k?", "/l?")).error[:2] == (403, "SignatureDoesNotMatch")
    assert server.follow("GET", url + "&versionId=null").error[:2] == (403, "SignatureDoesNotMatch")
    longer = url.replace("Expires=60&", "Expires=600&")
    assert longer != url
    assert server.follow("GET", longer).error[:2] == (403, "SignatureDoesNotMatch")
    old = (datetime.now(UTC) - timedelta(minutes=2)).strftime("%Y%m%dT%H%M%SZ")
    date = url.split("X-Amz-Date=")[1][:16]
    reply = server.follow("GET", url.replace(date, old))
    assert reply.error == (403, "AccessDenied", "Request has expired")


def test_the_old_signature_says_what_to_use(server, bucket):
    """What boto3 makes in us-east-1 when nobody chooses: signature version 2."""
    client = server.client("s3")
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    assert "AWSAccessKeyId" in url
    message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    assert server.follow("GET", url).error == (400, "InvalidRequest", message)
    client.close()


def test_a_delete_of_100_000_keys_is_refused_and_deletes_nothing(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k0", Body=b"kept")
    objects = "".join(f"<Object><Key>k{number}</Key></Object>" for number in range(100_000))
    body = f"<Delete>{objects}</Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    reply = server.ask("POST", f"/{bucket}?delete", {"Content-MD5": digest}, body)
    assert reply.error[:2] == (400, "MalformedXML")
    assert s3.get_object(Bucket=bucket, Key="k0")["Body"].read() == b"kept"
