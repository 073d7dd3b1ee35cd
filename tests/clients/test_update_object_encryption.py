"""UpdateObjectEncryption by boto3 and by hand. Numbers are those of the facts about encryption (sections 8 and 11.H)."""

from __future__ import annotations

import base64
import hashlib
import os

import pytest

from tests.clients.house import refused
from tests.clients.rules import NEW, encryption_of, put_rule, read_rule, under

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def kms(key, **more):
    return {"SSEKMS": {"KMSKeyArn": key["Arn"], **more}}


def ask(server, target, body):
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    return server.ask("PUT", target, {"content-md5": md5}, body)


def sse_kms(inside):
    return f"<ObjectEncryption {XMLNS}><SSE-KMS>{inside}</SSE-KMS></ObjectEncryption>".encode()


@pytest.mark.fact("8.2", "8.4", "8.7", "11.H61")
def test_61_from_sse_s3_to_sse_kms(s3, bucket, key):
    put_rule(s3, bucket, "AES256", BucketKeyEnabled=True)  # the bucket's flag does not count
    body = os.urandom(300_000)
    s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm="SHA256", Metadata={"a": "b"})
    before = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    answer = s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption=kms(key))
    assert answer.keys() == {"ResponseMetadata"}
    after = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert after["Body"].read() == body
    assert encryption_of(after) == under(key["Arn"])
    assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == under(key["Arn"])
    for name in ("ETag", "LastModified", "ChecksumSHA256", "Metadata", "ContentLength"):
        assert after[name] == before[name]
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=100000-100009")["Body"].read() == body[100000:100010]


@pytest.mark.fact("11.H62")
def test_62_from_key_to_key(s3, kms, bucket, keys, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])
    s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption={"SSEKMS": {"KMSKeyArn": keys[1]["Arn"]}})
    kms.disable_key(KeyId=key["KeyId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    refusal = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption={"SSEKMS": {"KMSKeyArn": key["Arn"]}})
    assert (refusal.status, refusal.code, refusal.message) == (400, "KMS.DisabledException", f"{key['Arn']} is disabled.")


TEXTS = {
    "c": "The UpdateObjectEncryption operation doesn't support updating the encryption type to DSSE-KMS or SSE-C. Modify the request to "
    "specify SSE-KMS for the updated encryption type, and then try again.",
    "e": "Requests that modify an object encryption configuration require a valid new encryption type. Valid values are SSEKMS. Modify "
    "the request to specify SSE-KMS for the updated encryption type, and then try again.",
    "f": "Requests that modify an object's encryption type to SSE-KMS require an AWS KMS key Amazon Resource Name (ARN). Modify the "
    "request to specify a KMS key ARN, and then try again.",
    "g": "Requests that modify an object's encryption type to SSE-KMS require a valid AWS KMS key Amazon Resource Name (ARN). Confirm "
    "that you have a correctly formatted KMS key ARN in your request, and then try again.",
    "h": "The BucketKeyEnabled value isn't valid. Valid values are true or false. Modify the request to specify a valid value, and then "
    "try again.",
}
ROWS = [
    ("c", b"<ObjectEncryption><DSSE-KMS/></ObjectEncryption>"),
    *(("e", f"<ObjectEncryption {XMLNS}>{inside}</ObjectEncryption>".encode()) for inside in ("", "<SSE-S3/>", "<SSEKMS/>")),
    *(("f", sse_kms(inside)) for inside in ("", "<KMSKeyArn/>", "<BucketKeyEnabled>true</BucketKeyEnabled>")),
    *(
        ("g", sse_kms(f"<KMSKeyArn>{arn}</KMSKeyArn>"))
        for arn in ("x", "alias/first", "arn:aws:kms:us-east-1:111122223333:alias/first", "11111111-2222-3333-4444-555555555555")
    ),
    ("h", sse_kms("<KMSKeyArn>x</KMSKeyArn><BucketKeyEnabled>yes</BucketKeyEnabled>")),
]


@pytest.mark.parametrize(("row", "body"), ROWS, ids=[f"{row}{number}" for number, (row, *_) in enumerate(ROWS)])
@pytest.mark.fact("8.5", "8.14", "8.15", "11.H63")
def test_63_each_row_of_8_14_that_a_document_provokes(server, s3, bucket, row, body):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    reply = ask(server, f"/{bucket}/k?encryption", body)
    assert reply.error == (400, "InvalidRequest", TEXTS[row])
    assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == {"ServerSideEncryption": "AES256"}


@pytest.mark.fact("6.8", "8.14", "11.H63")
def test_63_row_b_a_source_under_dsse(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms:dsse")
    refusal = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption=kms(key))
    message = (
        "The UpdateObjectEncryption operation doesn't support source objects with the encryption type DSSE-KMS or SSE-C. Only source "
        "objects encrypted with SSE-S3 or SSE-KMS are supported."
    )
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidRequest", message)


@pytest.mark.fact("8.10", "8.14", "11.H63")
def test_63_row_i_a_key_of_another_account(server, s3, stranger, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    theirs = server.client("kms", stranger)
    other = theirs.create_key()["KeyMetadata"]
    theirs.close()
    refusal = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption=kms(other))
    message = (
        "The AWS KMS key in the request must be owned by the same account as the bucket. Modify the request to specify a KMS key from "
        "the same account, and then try again."
    )
    assert (refusal.status, refusal.code, refusal.message) == (403, "AccessDenied", message)


@pytest.mark.fact("8.1", "11.H64")
def test_64_the_key_in_the_path_tells_the_two_apart(server, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption=kms(key))
    assert read_rule(s3, bucket) == NEW
    put_rule(s3, bucket, "aws:kms", key["KeyId"])
    assert read_rule(s3, bucket)["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key["KeyId"],
    }
    document = sse_kms(f"<KMSKeyArn>{key['Arn']}</KMSKeyArn>")
    assert ask(server, f"/{bucket}?encryption", document).members["Code"] == "MalformedXML"
    reply = ask(server, f"/{bucket}/k?encryption", b"<ServerSideEncryptionConfiguration/>")
    assert reply.members["Code"] == "MalformedXML"


@pytest.mark.fact("8.3")
def test_8_3_the_body_must_be_covered(server, s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    document = sse_kms(f"<KMSKeyArn>{key['Arn']}</KMSKeyArn>")
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert server.ask("PUT", f"/{bucket}/k?encryption", {"content-md5": wrong}, document).members["Code"] == "BadDigest"
    assert server.ask("PUT", f"/{bucket}/k?encryption", {"content-md5": "x"}, document).members["Code"] == "InvalidDigest"
    assert server.ask("PUT", f"/{bucket}/k?encryption", {"x-amz-expected-bucket-owner": "0" * 12}, document).status in {400, 403}
    assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == {"ServerSideEncryption": "AES256"}
    assert ask(server, f"/{bucket}/k?encryption", document).status == 200


def test_8_5_nobody_else(server, s3, stranger, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    document = sse_kms(f"<KMSKeyArn>{key['Arn']}</KMSKeyArn>")
    md5 = {"content-md5": base64.b64encode(hashlib.md5(document).digest()).decode()}
    for who in ({"account": stranger}, {"anonymous": True}):
        assert server.ask("PUT", f"/{bucket}/k?encryption", md5, document, **who).status == 403
    assert refused(s3.update_object_encryption, Bucket=bucket, Key="none", ObjectEncryption=kms(key)).code == "NoSuchKey"
    assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == {"ServerSideEncryption": "AES256"}


@pytest.mark.fact("8.2", "11.H61")
def test_61_a_bucket_key_only_if_asked(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for flag in (True, False):
        s3.update_object_encryption(Bucket=bucket, Key="k", ObjectEncryption=kms(key, BucketKeyEnabled=flag))
        expected = under(key["Arn"]) | ({"BucketKeyEnabled": True} if flag else {})
        assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == expected
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
