"""RenameObject as boto3 sends it: with a client token of its own at each call."""

from __future__ import annotations

from tests.clients.house import refused
from tests.clients.rules import under


def test_an_object_gets_another_key(s3, bucket, key):
    s3.put_object(
        Bucket=bucket, Key="a b/ä", Body=b"hello", Metadata={"m": "1"}, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"]
    )
    before = s3.head_object(Bucket=bucket, Key="a b/ä")
    s3.rename_object(Bucket=bucket, Key="new", RenameSource=f"{bucket}/a%20b/%C3%A4")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["new"]
    after = s3.get_object(Bucket=bucket, Key="new")
    assert (after["Body"].read(), after["Metadata"]) == (b"hello", {"m": "1"})
    assert after | under(key["Arn"]) | {"ETag": before["ETag"], "LastModified": before["LastModified"]} == after


def test_conditions_and_tokens(s3, bucket):
    for name in ("one", "two"):
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())
    asked = {"Bucket": bucket, "Key": "two", "RenameSource": f"{bucket}/one"}
    refusal = refused(s3.rename_object, **asked, DestinationIfNoneMatch="*")
    assert (refusal.status, refusal.code) == (412, "PreconditionFailed")
    for _ in range(2):
        s3.rename_object(**asked, ClientToken="once")
    assert s3.get_object(Bucket=bucket, Key="two")["Body"].read() == b"one"
    refusal = refused(s3.rename_object, **{**asked, "RenameSource": f"{bucket}/three"}, ClientToken="once")
    assert (refusal.status, refusal.code) == (400, "IdempotencyParameterMismatch")
    assert refused(s3.rename_object, **{**asked, "RenameSource": f"{bucket}/three"}).code == "NoSuchKey"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    refusal = refused(s3.rename_object, **{**asked, "RenameSource": f"{bucket}/two", "Key": "x"})
    assert (refusal.status, refusal.code) == (409, "InvalidBucketState")
