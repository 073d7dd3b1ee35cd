"""Annotations as boto3 puts and reads them, under a policy, and beside versions."""

from __future__ import annotations

import pytest

from tests.clients.house import refused
from tests.clients.test_bucket_policies import other, put, to_stranger  # noqa: F401 - fixtures

NOTE = '{"labels": ["cat"], "by": "Gr\u00fc\u00dfe"}'


def names(s3, bucket, key="k", **given):
    return [one["AnnotationName"] for one in s3.list_object_annotations(Bucket=bucket, Key=key, **given).get("Annotations", [])]


def test_the_life_of_an_annotation(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    at = {"Bucket": bucket, "Key": "k", "AnnotationName": "ml.labels"}
    made = s3.put_object_annotation(**at, AnnotationPayload=NOTE.encode())
    assert (made["Key"], made["AnnotationName"], made["ServerSideEncryption"]) == ("k", "ml.labels", "aws:kms")
    got = s3.get_object_annotation(**at, ChecksumMode="ENABLED")
    assert (got["AnnotationPayload"].read(), got["ETag"]) == (NOTE.encode(), made["ETag"])
    assert (got["ContentLength"], got["ServerSideEncryption"]) == (len(NOTE.encode()), "aws:kms")
    s3.put_object_annotation(
        Bucket=bucket, Key="k", AnnotationName="\u00e4-1", AnnotationPayload=b"1", ChecksumAlgorithm="SHA256"
    )
    listed = s3.list_object_annotations(Bucket=bucket, Key="k")
    assert [(one["AnnotationName"], one["Size"], one["ChecksumAlgorithm"]) for one in listed["Annotations"]] == [
        ("ml.labels", len(NOTE.encode()), ["CRC32"]),
        ("\u00e4-1", 1, ["SHA256"]),
    ]
    assert names(s3, bucket, AnnotationPrefix="ml.") == ["ml.labels"]
    pages = s3.get_paginator("list_object_annotations") if s3.can_paginate("list_object_annotations") else None
    if pages is not None:
        found = [one["AnnotationName"] for page in pages.paginate(Bucket=bucket, Key="k") for one in page["Annotations"]]
        assert found == ["ml.labels", "\u00e4-1"]
    assert s3.delete_object_annotation(**at)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refusal = refused(s3.get_object_annotation, **at)
    assert (refusal.status, refusal.code) == (404, "NoSuchAnnotation")


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"AnnotationName": "aws.x"}, 400, "InvalidAnnotationName"),
        ({"AnnotationName": "n" * 513}, 400, "AnnotationNameTooLong"),
        ({"AnnotationPayload": b"\xff"}, 415, "UnsupportedMediaType"),
        ({"AnnotationPayload": b""}, 400, "InvalidRequest"),
        ({"AnnotationPayload": b"x" * ((1 << 20) + 1)}, 400, "EntityTooLarge"),
        ({"ObjectIfMatch": '"a"'}, 412, "PreconditionFailed"),
        ({"Key": "none"}, 404, "NoSuchKey"),
        ({"VersionId": "x"}, 400, "InvalidArgument"),
    ],
)
def test_refusals(s3, bucket, given, status, code):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    at = {"Bucket": bucket, "Key": "k", "AnnotationName": "note", "AnnotationPayload": b"x", **given}
    refusal = refused(s3.put_object_annotation, **at)
    assert (refusal.status, refusal.code) == (status, code)
    assert names(s3, bucket) == []


def test_a_whole_one_of_a_mebibyte_and_its_copy(s3, bucket):
    whole = b"0123456789abcdef" * (1 << 16)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_annotation(Bucket=bucket, Key="k", AnnotationName="note", AnnotationPayload=whole)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    got = s3.get_object_annotation(Bucket=bucket, Key="copy", AnnotationName="note")
    assert got["AnnotationPayload"].read() == whole
    s3.copy_object(Bucket=bucket, Key="bare", CopySource=f"{bucket}/k", AnnotationDirective="EXCLUDE")
    assert names(s3, bucket, "bare") == []


def test_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    made = s3.put_object_annotation(Bucket=bucket, Key="k", AnnotationName="note", AnnotationPayload=b"of 1")
    assert made["ObjectVersionId"] == first
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    assert (names(s3, bucket), names(s3, bucket, VersionId=first)) == ([], ["note"])


def test_rights_of_their_own(s3, other, bucket, put, stranger):  # noqa: F811
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object_annotation(Bucket=bucket, Key="k", AnnotationName="note", AnnotationPayload=b"x")
    at = {"Bucket": bucket, "Key": "k", "AnnotationName": "note"}
    put(to_stranger(bucket, "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"))
    for call, more in (
        (other.get_object_annotation, {}),
        (other.put_object_annotation, {"AnnotationPayload": b"y"}),
        (other.delete_object_annotation, {}),
    ):
        assert refused(call, **at, **more).status == 403
    assert refused(other.list_object_annotations, Bucket=bucket, Key="k").status == 403
    put(to_stranger(bucket, "s3:GetObjectAnnotation", "s3:ListObjectAnnotations"))
    assert other.get_object_annotation(**at)["AnnotationPayload"].read() == b"x"
    assert names(other, bucket) == ["note"]
    assert refused(other.delete_object_annotation, **at).status == 403
