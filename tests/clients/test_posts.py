"""Uploads from a browser's form: forms that boto3 has signed, sent as a browser sends them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import urllib.request

import pytest

from tests.clients.house import OWNER, Account, Reply, refused, rule, unique

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
SMALL, LARGE = b"<p>hello</p>", os.urandom(3_000_017)
SSE = "x-amz-server-side-encryption"


def encoded(fields, data, filename="a.txt"):
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    head = f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: text/plain\r\n\r\n'.encode()
    parts.append(head + data + b"\r\n")
    line = f"--{BOUNDARY}".encode()
    return b"".join(line + b"\r\n" + each for each in parts) + line + b"--\r\n"


def post(server, bucket, fields, data=SMALL, filename="a.txt", **headers) -> Reply:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return server.send("POST", f"/{bucket}", {"Content-Type": kind, **headers}, encoded(fields, data, filename))


@pytest.fixture(scope="module")
def s3(server):
    """Where nothing else is said, boto3 signs forms by version 2 in us-east-1."""
    client = server.client("s3", signature_version="s3v4")
    yield client
    client.close()


def form_for(client, bucket, key="k", more=(), expires=3600, **fields):
    """The fields of a signed form that says ``fields``."""
    fields = {name.replace("_", "-") if name.startswith(("x_", "Content_")) else name: value for name, value in fields.items()}
    conditions = [{name: value} for name, value in fields.items()] + list(more)
    signed = client.generate_presigned_post(bucket, key, Fields=dict(fields), Conditions=conditions, ExpiresIn=expires)
    return signed["fields"]


def read(s3, bucket, key="k", **given):
    return s3.get_object(Bucket=bucket, Key=key, **given)


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
def test_a_form_becomes_an_object(s3, server, bucket, data):
    fields = form_for(s3, bucket, "up/${filename}", Content_Type="text/html", x_amz_meta_who="me", acl="private")
    answer = post(server, bucket, fields, data, "C:\\folder\\ü b.txt")
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert (answer.status, answer.body) == (204, b"")
    location = f"{server.url}/{bucket}/up/%C3%BC%20b.txt"
    assert (answer.headers["etag"], answer.headers["location"], answer.headers[SSE]) == (etag, location, "AES256")
    got = read(s3, bucket, "up/ü b.txt", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ETag"], got["ContentType"], got["Metadata"]) == (data, etag, "text/html", {"who": "me"})
    assert got["ChecksumCRC64NVME"] == answer.headers["x-amz-checksum-crc64nvme"]


def test_by_urllib(s3, server, bucket):
    signed = s3.generate_presigned_post(bucket, "k")
    request = urllib.request.Request(signed["url"], encoded(signed["fields"], LARGE))  # noqa: S310 - our own server
    request.add_header("Content-Type", f'multipart/form-data; boundary="{BOUNDARY}"')
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        assert answer.status == 204
    got = read(s3, bucket)
    assert (got["Body"].read(), got["ContentType"]) == (LARGE, "binary/octet-stream")


def test_signature_version_2(server, bucket):
    answer = post(server, bucket, form_for(server.client("s3", signature_version="s3"), bucket))
    text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
    assert answer.error == (400, "InvalidRequest", text)


@pytest.mark.parametrize("asked", ["200", "201", "204", "302", ""])
def test_statuses(s3, server, bucket, asked):
    answer = post(server, bucket, form_for(s3, bucket, "a&b", success_action_status=asked))
    assert answer.status == {"200": 200, "201": 201}.get(asked, 204)
    if asked == "201":
        assert answer.members == {
            "Location": f"{server.url}/{bucket}/a%26b",
            "Bucket": bucket,
            "Key": "a&b",
            "ETag": answer.headers["etag"],
        }
        assert answer.headers["content-type"] == "application/xml"
        assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse><Location>')
    else:
        assert answer.body == b""


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_redirects(s3, server, bucket, name):
    fields = form_for(s3, bucket, "a b", success_action_status="201", **{name: "https://example.com/ok?x=1#top"})
    answer = post(server, bucket, fields)
    told = f"bucket={bucket}&key=a+b&etag=%22{answer.headers['etag'][1:-1]}%22"
    assert (answer.status, answer.headers["location"]) == (303, f"https://example.com/ok?x=1&{told}#top")
    for address in ("javascript:alert(1)", "/ok", "http://", "http://[", "http://a/\r\nx: y", "ftp://example.com/"):
        assert post(server, bucket, form_for(s3, bucket, **{name: address})).status == 204  # as if there were none


@pytest.mark.fact("11.B24", "4.1.1", "4.1.4", "4.1.5", "4.2.5", "4.3.1", "4.3.4", "4.3.5")
def test_24_encryption_by_fields(s3, server, bucket, key):
    context = base64.b64encode(b'{"a":"b"}').decode()
    arn = key["Arn"]
    managed = post(server, bucket, form_for(s3, bucket, x_amz_server_side_encryption="aws:kms"))
    assert managed.status == 204
    assert managed.headers[f"{SSE}-aws-kms-key-id"].startswith("arn:aws:kms:")
    kms = {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": key["KeyId"]}
    for asked, told in (
        ({SSE: "AES256"}, {SSE: "AES256"}),
        (kms, {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": arn}),
        (
            kms | {f"{SSE}-context": context, f"{SSE}-bucket-key-enabled": "true"},
            {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": arn, f"{SSE}-context": context, f"{SSE}-bucket-key-enabled": "true"},
        ),
        (kms | {SSE: "aws:kms:dsse"}, {SSE: "aws:kms:dsse", f"{SSE}-aws-kms-key-id": arn}),
    ):
        answer = post(server, bucket, form_for(s3, bucket, **asked))
        assert answer.status == 204, answer.body
        assert {name: value for name, value in answer.headers.items() if name.startswith(SSE)} == told
        got = read(s3, bucket)
        assert (got["Body"].read(), got["ServerSideEncryption"]) == (SMALL, asked[SSE])
        assert (got["ETag"] == f'"{hashlib.md5(SMALL).hexdigest()}"') == (asked[SSE] == "AES256")
    fields = form_for(s3, bucket) | {SSE: "AES256"}  # not in the policy
    text = f"Invalid according to Policy: Extra input fields: {SSE}"
    assert post(server, bucket, fields).error == (403, "AccessDenied", text)


@pytest.mark.fact("4.3.7", "4.4.1", "4.4.2")
def test_the_buckets_rule_and_fields_that_do_not_go(s3, server, bucket, key):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms", key["Arn"], BucketKeyEnabled=True))
    answer = post(server, bucket, form_for(s3, bucket))
    assert (answer.headers[SSE], answer.headers[f"{SSE}-bucket-key-enabled"]) == ("aws:kms", "true")
    answer = post(server, bucket, form_for(s3, bucket, **{SSE: "aes256"}))
    assert answer.error == (400, "InvalidArgument", "The encryption method specified is not supported")
    answer = post(server, bucket, form_for(s3, bucket, **{f"{SSE}-aws-kms-key-id": key["KeyId"]}))
    assert answer.error[:2] == (400, "InvalidArgument")


@pytest.mark.fact("11.E46", "5.6.2", "5.6.5", "5.1.6", "4.2.3")
def test_46_a_customers_key(s3, server, bucket):
    secret = os.urandom(32)
    trio = {
        f"{SSE}-customer-algorithm": "AES256",
        f"{SSE}-customer-key": base64.b64encode(secret).decode(),
        f"{SSE}-customer-key-MD5": base64.b64encode(hashlib.md5(secret).digest()).decode(),
    }
    status, code, message = post(server, bucket, form_for(s3, bucket, **trio)).error
    assert (status, code) == (403, "AccessDenied")
    assert message == (
        f'User: {server.owner.arn} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::{bucket}/k" because this '
        "bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C). Please specify "
        "a different server-side encryption type"
    )
    blocked = {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule(**blocked))
    answer = post(server, bucket, form_for(s3, bucket, **trio), LARGE)
    assert answer.status == 204, answer.body
    assert answer.headers[f"{SSE}-customer-key-md5"] == trio[f"{SSE}-customer-key-MD5"]
    assert SSE not in answer.headers
    assert f"{SSE}-customer-key" not in answer.headers
    assert refused(s3.get_object, Bucket=bucket, Key="k").status == 400
    assert read(s3, bucket, SSECustomerAlgorithm="AES256", SSECustomerKey=secret)["Body"].read() == LARGE


@pytest.mark.fact("E31")
def test_what_a_policy_does_not_let(s3, server, bucket):
    fields = form_for(s3, bucket, more=[["content-length-range", 2, 20]])
    for data, code, members in (
        (b"x", "EntityTooSmall", {"ProposedSize": "1", "MinSizeAllowed": "2"}),
        (LARGE, "EntityTooLarge", {"ProposedSize": str(len(LARGE)), "MaxSizeAllowed": "20"}),
    ):
        answer = post(server, bucket, fields, data)
        assert answer.status == 400
        assert answer.members.items() >= ({"Code": code} | members).items()
    text = "Invalid according to Policy: Policy expired."
    assert post(server, bucket, form_for(s3, bucket, expires=-1)).error == (403, "AccessDenied", text)
    text = 'Invalid according to Policy: Policy Condition failed: ["eq", "$key", "k"]'
    assert post(server, bucket, fields | {"key": "other"}).error == (403, "AccessDenied", text)
    assert post(server, bucket, fields | {"policy": base64.b64encode(b"{}").decode()}).error[:2] == (403, "SignatureDoesNotMatch")
    other = unique()
    s3.create_bucket(Bucket=other)
    text = f'Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "{bucket}"]'
    assert post(server, other, fields).error == (403, "AccessDenied", text)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_versions(s3, server, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (post(server, bucket, form_for(s3, bucket), data).headers["x-amz-version-id"] for data in (SMALL, LARGE))
    assert read(s3, bucket, VersionId=first)["Body"].read() == SMALL
    names = ["ObjectSize"]
    for version, size in ((first, len(SMALL)), (second, len(LARGE))):
        told = s3.get_object_attributes(Bucket=bucket, Key="k", VersionId=version, ObjectAttributes=names)
        assert (told["ObjectSize"], told["VersionId"]) == (size, version)
    s3.delete_object(Bucket=bucket, Key="k")
    assert refused(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=names).code == "NoSuchKey"


def test_what_cannot_be_kept(s3, server, bucket):
    assert post(server, bucket, form_for(s3, bucket, acl="public-read")).error[:2] == (400, "AccessControlListNotSupported")
    assert post(server, bucket, form_for(s3, bucket, "k" * 1025)).error[:2] == (400, "KeyTooLongError")
    big = form_for(s3, bucket, x_amz_meta_a="x" * 2049)
    assert post(server, bucket, big).error[:2] == (400, "MetadataTooLarge")
    right = base64.b64encode(hashlib.sha256(SMALL).digest()).decode()
    answer = post(server, bucket, form_for(s3, bucket, x_amz_checksum_sha256=right))
    assert (answer.status, answer.headers["x-amz-checksum-sha256"]) == (204, right)
    answer = post(server, bucket, form_for(s3, bucket, x_amz_checksum_sha256=right), LARGE)
    assert answer.error[:2] == (400, "BadDigest")
    assert read(s3, bucket)["Body"].read() == SMALL


def test_nobody_and_a_stranger(s3, server, stranger, bucket, key):
    assert post(server, bucket, {"key": "k"}).error == (403, "AccessDenied", "Access Denied")
    theirs = server.client("s3", stranger, signature_version="s3v4")
    assert post(server, bucket, form_for(theirs, bucket)).error == (403, "AccessDenied", "Access Denied")
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": False})
    only = {"StringEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}}
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement | {"Condition": only}})
    )
    given = {"key": "open/k", "x-amz-storage-class": "STANDARD_IA"}  # a field is what a header is
    assert post(server, bucket, given).status == 204
    assert read(s3, bucket, "open/k")["StorageClass"] == "STANDARD_IA"
    assert post(server, bucket, {"key": "open/k"}).status == 403
    assert post(server, bucket, given | {"key": "k"}).status == 403
    answer = post(server, bucket, given | {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": key["Arn"]})
    text = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
    assert answer.error == (400, "InvalidArgument", text)


def test_a_user_signs_a_form(s3, server, bucket):
    """What its policies say is judged when the form is sent, and a field is what a header is."""
    iam, name = server.client("iam"), unique("user")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    signer = server.client("s3", Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"]), signature_version="s3v4")
    fields = form_for(signer, bucket, "up/k", **{SSE: "AES256"})
    user = f"User: arn:aws:iam::{OWNER}:user/{name} is not authorized to perform: "
    why = "because no identity-based policy allows the {} action"
    text = f'{user}s3:PutObject on resource: "arn:aws:s3:::{bucket}/up/k" {why.format("s3:PutObject")}'
    assert post(server, bucket, fields).error == (403, "AccessDenied", text)
    statement = {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:GetObject"],
        "Resource": f"arn:aws:s3:::{bucket}/up/*",
        "Condition": {
            "StringEqualsIfExists": {"s3:authType": ["POST", "REST-HEADER"], "s3:x-amz-server-side-encryption": "AES256"}
        },
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="up", PolicyDocument=document)
    assert post(server, bucket, fields).status == 204
    assert post(server, bucket, form_for(signer, bucket, "k")).status == 403
    assert post(server, bucket, form_for(signer, bucket, "up/k", **{SSE: "aws:kms"})).status == 403
    with signer.get_object(Bucket=bucket, Key="up/k")["Body"] as body:
        assert body.read() == SMALL
    refusal = refused(signer.get_object_attributes, Bucket=bucket, Key="up/k", ObjectAttributes=["ETag"])
    why = why.format("s3:GetObjectAttributes")
    assert refusal.message == f'{user}s3:GetObjectAttributes on resource: "arn:aws:s3:::{bucket}/up/k" {why}'


def test_a_form_that_is_cut_off(s3, server, bucket):
    body = encoded(form_for(s3, bucket), LARGE)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest("POST", f"/{bucket}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-20])
    connection.close()
    short = body[: -len(BOUNDARY) - 10]
    answer = server.send("POST", f"/{bucket}", {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, short)
    assert answer.error[:2] == (400, "MalformedPOSTRequest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
