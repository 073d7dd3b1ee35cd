"""What S3's protocol asks beyond the model: headers, queries, errors, and the answers that are peculiar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.codec import Codec, Encoded
from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer
from strongroom.api.rest_xml_plans import NAMESPACE
from strongroom.api.routing import Route

CODEC = Codec()


def decode(operation: str, query: str = "", headers: dict[str, str] | None = None, body: bytes | None = None) -> dict[str, Any]:
    given = CODEC.decode(Route("s3", operation, "b", "k", virtual_host=False), query, headers or {}, body)
    return {name: value for name, value in given.items() if name not in ("Bucket", "Key")}


def status_of(operation: str, body: bytes) -> int:
    try:
        decode(operation, body=body)
    except ApiError as error:
        return error.status
    return 200


def encode(operation: str, output: dict[str, Any], **more: Any) -> Encoded:
    return CODEC.encode("s3", operation, Answer(output, **more), "R", "H")


def headers_of(encoded: Encoded) -> dict[str, str]:
    assert len({name for name, _ in encoded.headers}) == len(encoded.headers)
    return dict(encoded.headers)


# ------------------------------------------------------------------------------------------------------------- requests


def test_metadata_keeps_its_map_and_loses_its_prefix() -> None:
    headers = {
        "x-amz-meta-a": "1",
        "x-amz-meta-": "empty",
        "x-amz-meta-b-c": "two words",
        "x-amz-metadata-directive": "COPY",
        "x-other": "no",
    }
    assert decode("PutObject", headers=headers) == {"Metadata": {"a": "1", "": "empty", "b-c": "two words"}}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("é".encode().decode("latin-1"), "é"),  # UTF-8 bytes handed over as latin-1
        ("\xe9", "\xe9"),  # real latin-1
        ("日本", "日本"),  # text already
        ("=?UTF-8?B?w6k=?=", "=?UTF-8?B?w6k=?="),
        ("", ""),
    ],
)
def test_what_a_client_meant_by_header_bytes(sent: str, meant: str) -> None:
    assert decode("PutObject", headers={"x-amz-meta-a": sent, "content-disposition": sent}) == {
        "Metadata": {"a": meant},
        "ContentDisposition": meant,
    }


@pytest.mark.parametrize(
    "text",
    [
        "Sat, 21 Feb 2026 10:11:12 GMT",
        "Saturday, 21-Feb-26 10:11:12 GMT",
        "Sat Feb 21 10:11:12 2026",
        "2026-02-21T10:11:12Z",
        "2026-02-21T10:11:12.000Z",
        "2026-02-21T12:11:12+02:00",
        "20260221T101112Z",
        "1771668672",
    ],
)
def test_all_forms_of_timestamps(text: str) -> None:
    moment = datetime(2026, 2, 21, 10, 11, 12, tzinfo=UTC)
    assert decode("HeadObject", headers={"if-modified-since": text}) == {"IfModifiedSince": moment}
    assert decode("PutObject", headers={"x-amz-object-lock-retain-until-date": text}) == {"ObjectLockRetainUntilDate": moment}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "0000-00-00",
        "Sat, 30 Feb 2026 10:11:12 GMT",
        "9" * 12,
        "9" * 60,
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_timestamps_that_are_none(text: str) -> None:
    assert decode("GetObject", headers={"if-modified-since": text}).get("IfModifiedSince") is None  # RFC 9110: ignored
    with pytest.raises(ApiError) as caught:
        decode("PutObject", headers={"x-amz-object-lock-retain-until-date": text})
    assert caught.value.code == "InvalidArgument"
    assert caught.value.members == {"ArgumentName": "x-amz-object-lock-retain-until-date", "ArgumentValue": text}


def test_expires_is_kept_as_it_was_written() -> None:
    assert decode("PutObject", headers={"expires": "tomorrow, perhaps"}) == {"Expires": "tomorrow, perhaps"}
    assert headers_of(encode("GetObject", {"Expires": "tomorrow, perhaps"}))["expires"] == "tomorrow, perhaps"


@pytest.mark.parametrize(
    ("operation", "query", "headers", "name", "message"),
    [
        ("ListObjectsV2", "max-keys=x", {}, "max-keys", "Provided max-keys not an integer or within integer range"),
        ("ListObjectsV2", "max-keys=1.0", {}, "max-keys", "Provided max-keys not an integer or within integer range"),
        ("GetObject", "partNumber=one", {}, "partNumber", "Part number must be an integer between 1 and 10000, inclusive"),
        ("ListObjectsV2", "fetch-owner=maybe", {}, "fetch-owner", "Invalid fetch-owner"),
        (
            "PutObject",
            "",
            {"x-amz-server-side-encryption-bucket-key-enabled": "1"},
            "x-amz-server-side-encryption-bucket-key-enabled",
            "Invalid x-amz-server-side-encryption-bucket-key-enabled",
        ),
    ],
)
def test_garbage_is_an_invalid_argument(operation: str, query: str, headers: dict[str, str], name: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode(operation, query, headers)
    assert (caught.value.code, caught.value.message, caught.value.members["ArgumentName"]) == ("InvalidArgument", message, name)


def test_queries_are_decoded_once() -> None:
    query = "list-type=2&prefix=a%20b+c%2525&start-after=%E2%98%83&max-keys=&prefix=second&unknown=%zz&delimiter="
    assert decode("ListObjectsV2", query) == {"Prefix": "a b c%25", "StartAfter": "☃", "Delimiter": ""}
    with pytest.raises(ApiError, match="InvalidURI"):
        decode("ListObjectsV2", "prefix=%ff")


def test_headers_that_a_presigning_client_moved_into_the_query() -> None:
    query = "X-Amz-Signature=0&x-amz-server-side-encryption=aws%3Akms&X-Amz-Meta-Colour=dark%20blue&x-amz-acl=private"
    headers = {"x-amz-acl": "bucket-owner-full-control"}
    assert decode("PutObject", query, headers) == {
        "ServerSideEncryption": "aws:kms",
        "Metadata": {"colour": "dark blue"},
        "ACL": "bucket-owner-full-control",
    }


def test_lists_in_headers() -> None:
    headers = {"x-amz-object-attributes": "ETag, Checksum,,ObjectSize"}
    assert decode("GetObjectAttributes", headers=headers) == {"ObjectAttributes": ["ETag", "Checksum", "ObjectSize"]}


@pytest.mark.parametrize(
    ("operation", "code"),
    [("GetObjectAttributes", "InvalidRequest"), ("AbortMultipartUpload", "InvalidArgument"), ("UploadPart", "InvalidArgument")],
)
def test_what_is_required_is_asked_for(operation: str, code: str) -> None:
    with pytest.raises(ApiError, match="Missing required") as caught:
        decode(operation)
    assert caught.value.code == code


def test_long_keys() -> None:
    for key in ("k" * 1024, "☃" * 341):
        assert CODEC.decode(Route("s3", "GetObject", "b", key, virtual_host=False), "", {}, None)["Key"] == key
    for key in ("k" * 1025, "☃" * 342):
        with pytest.raises(ApiError) as caught:
            CODEC.decode(Route("s3", "GetObject", "b", key, virtual_host=False), "", {}, None)
        assert caught.value.code == "KeyTooLongError"
        assert caught.value.members["MaxSizeAllowed"] == "1024"


def test_a_policy_is_its_text() -> None:
    assert decode("PutBucketPolicy", body=b'{"a": "\xc3\xa9"}') == {"Policy": '{"a": "é"}'}
    with pytest.raises(ApiError, match="MalformedPolicy"):
        decode("PutBucketPolicy", body=b"\xff")


def test_kinds_of_bodies() -> None:
    kinds = {
        name: CODEC.body_kind("s3", name)
        for name in ("PutObject", "UploadPart", "GetObject", "PutBucketEncryption", "DeleteObjects")
    }
    assert kinds == {
        "PutObject": "stream",
        "UploadPart": "stream",
        "GetObject": "none",
        "PutBucketEncryption": "buffer",
        "DeleteObjects": "buffer",
    }
    with pytest.raises(LookupError):
        CODEC.body_kind("s3", "PutEverything")


# -------------------------------------------------------------------------------------------------------------- answers


def test_an_object_answer() -> None:
    output = {
        "LastModified": datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC),
        "ETag": '"abc"',
        "ContentLength": 3,
        "BucketKeyEnabled": True,
        "TagCount": 0,
        "VersionId": None,
        "ObjectLockRetainUntilDate": datetime(2026, 2, 1, 5, 4, 5, 678900, tzinfo=timezone(timedelta(hours=2))),
    }
    encoded = encode("GetObject", output, status=206, body=b"abc", length=3)
    assert (encoded.status, encoded.body) == (206, b"abc")
    assert headers_of(encoded) == {
        "x-amz-request-id": "R",
        "x-amz-id-2": "H",
        "last-modified": "Sun, 01 Feb 2026 03:04:05 GMT",
        "etag": '"abc"',
        "content-length": "3",
        "x-amz-server-side-encryption-bucket-key-enabled": "true",
        "x-amz-tagging-count": "0",
        "x-amz-object-lock-retain-until-date": "2026-02-01T03:04:05.678Z",
    }


def test_lengths() -> None:
    assert headers_of(encode("PutObject", {}))["content-length"] == "0"
    assert "content-length" not in headers_of(encode("DeleteObject", {}))
    assert encode("DeleteObject", {}).status == 204
    assert headers_of(encode("HeadObject", {"ContentLength": 7}))["content-length"] == "7"
    assert headers_of(encode("GetObject", {}, body=b"xy"))["content-length"] == "2"


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "\x00", "é", "日本", "tab\there", "\x7f", "\ud800"])
def test_no_value_can_leave_its_header(value: str) -> None:
    output = {"ContentDisposition": value, "Metadata": {"a": value}, "Expires": value, "ETag": value}
    for name, text in encode("GetObject", output).headers:
        assert re.fullmatch(r"[\x20-\x7e]*", text), name


def test_metadata_that_ascii_cannot_carry_is_an_encoded_word() -> None:
    headers = headers_of(encode("HeadObject", {"Metadata": {"A": "ÄMÄ", "bad name": "x", "c\r\n": "y"}}))
    assert headers["x-amz-meta-a"] == "=?UTF-8?B?w4RNw4Q=?="
    assert headers["x-amz-missing-meta"] == "2"
    assert not any("bad" in name or "\r" in name for name in headers)


@pytest.mark.parametrize(("region", "text"), [("eu-central-1", ">eu-central-1</LocationConstraint>"), ("", "/>"), (None, "/>")])
def test_the_odd_root_of_a_location(region: str | None, text: str) -> None:
    body = encode("GetBucketLocation", {"LocationConstraint": region}).body
    assert body == f'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="{NAMESPACE}"{text}'.encode()


def test_empty_is_not_absent() -> None:
    body = encode(
        "ListObjects", {"Prefix": "", "Marker": "", "Delimiter": None, "IsTruncated": False, "MaxKeys": 1000, "Contents": []}
    ).body
    assert (
        body
        == (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{NAMESPACE}"><IsTruncated>false</IsTruncated><Marker></Marker>'
            "<Prefix></Prefix><MaxKeys>1000</MaxKeys></ListBucketResult>"
        ).encode()
    )


def test_etags_times_and_control_characters_in_xml() -> None:
    moment = datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC)
    body = encode("ListObjectsV2", {"Contents": [{"Key": "a\x01\r<&>", "ETag": '"e"', "LastModified": moment}]}).body
    assert isinstance(body, bytes)
    assert b"<Key>a&#x1;&#xd;&lt;&amp;&gt;</Key>" in body
    assert b"<ETag>&quot;e&quot;</ETag>" in body
    assert b"<LastModified>2026-02-01T03:04:05.000Z</LastModified>" in body


def test_the_default_encryption_of_a_bucket() -> None:
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BucketKeyEnabled": False,
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
    }
    body = encode("GetBucketEncryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}).body
    root = ET.fromstring(body)  # noqa: S314 - ours
    assert root.tag == f"{{{NAMESPACE}}}ServerSideEncryptionConfiguration"
    assert [child.tag for child in root] == [f"{{{NAMESPACE}}}Rule"]
    assert root.findtext(f".//{{{NAMESPACE}}}EncryptionType") == "SSE-C"
    assert root.findtext(f".//{{{NAMESPACE}}}BucketKeyEnabled") == "false"


def test_a_policy_is_answered_as_it_is() -> None:
    encoded = encode("GetBucketPolicy", {"Policy": '{"é": 1}'})
    assert encoded.body == '{"é": 1}'.encode()
    assert headers_of(encoded)["content-type"] == "application/json"


def test_a_member_that_the_model_does_not_have_is_our_mistake() -> None:
    with pytest.raises(LookupError):
        encode("GetObject", {"Etag": "x"})
    with pytest.raises(LookupError):
        encode("ListObjects", {"Contents": [{"key": "x"}]})
    with pytest.raises(ValueError, match="time zone"):
        encode("HeadObject", {"LastModified": datetime(2026, 1, 1)})


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=50))
def test_any_text_survives_both_ways(text: str) -> None:
    body = encode("ListObjects", {"Prefix": text}).body
    root = ET.fromstring(body)  # noqa: S314 - ours
    assert (root.findtext(f"{{{NAMESPACE}}}Prefix") or "") == text


@settings(max_examples=100)
@given(st.text(max_size=50))
def test_no_text_breaks_the_document(text: str) -> None:
    body = encode("ListObjects", {"Prefix": text}).body
    assert isinstance(body, bytes)
    inner = body.partition(b"<Prefix>")[2].partition(b"</Prefix></ListBucketResult>")[0]
    assert b"<" not in inner
    assert b">" not in inner
    assert not re.search(rb"&(?!#x[0-9a-f]+;|amp;|lt;|gt;|quot;)", inner)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_no_body_does_worse_than_an_error(body: bytes) -> None:
    for operation in ("PutBucketEncryption", "PutBucketPolicy"):
        assert status_of(operation, body) in (200, 400)


# --------------------------------------------------------------------------------------------------------------- errors


def test_an_error_document() -> None:
    error = ApiError(
        "BadDigest", 'not <this> "one"', fields={"Content-MD5": "x&y"}, CalculatedDigest="z", headers={"X-Amz-Thing": "a\r\nb"}
    )
    encoded = CODEC.encode_error("s3", error, "R", "H", resource="/b/k")
    assert encoded.status == 400
    assert encoded.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>BadDigest</Code><Message>not &lt;this&gt; &quot;one&quot;</Message>'
        b"<CalculatedDigest>z</CalculatedDigest><Content-MD5>x&amp;y</Content-MD5><Resource>/b/k</Resource>"
        b"<RequestId>R</RequestId><HostId>H</HostId></Error>"
    )
    headers = headers_of(encoded)
    assert headers["x-amz-request-id"] == "R"
    assert headers["x-amz-id-2"] == "H"
    assert headers["content-type"] == "application/xml"
    assert headers["content-length"] == str(len(encoded.body))  # type: ignore[arg-type]
    assert "\r" not in headers["x-amz-thing"]


def test_head_and_not_modified_have_no_document() -> None:
    encoded = CODEC.encode_error("s3", ApiError("NoSuchKey", Key="k"), "R", "H", head=True)
    assert (encoded.status, encoded.body) == (404, b"")
    encoded = CODEC.encode_error("s3", ApiError("NotModified", headers={"ETag": '"e"'}), "R", "H")
    assert (encoded.status, encoded.body) == (304, b"")
    assert headers_of(encoded) == {"x-amz-request-id": "R", "x-amz-id-2": "H", "etag": '"e"'}


def test_a_key_error_keeps_its_prefix_in_s3() -> None:
    body = CODEC.encode_error("s3", ApiError("KMS.DisabledException", "arn is disabled."), "R", "H").body
    assert b"<Code>KMS.DisabledException</Code><Message>arn is disabled.</Message>" in body  # type: ignore[operator]


def test_what_is_not_built() -> None:
    error = CODEC.not_built("s3", "GetObjectTorrent")
    assert (error.code, error.status) == ("NotImplemented", 501)
