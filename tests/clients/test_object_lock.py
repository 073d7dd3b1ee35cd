"""Object lock, as unmodified clients use it: root, users with and without the right to bypass, and plain HTTP."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from tests.clients.house import refused, unique
from tests.clients.test_posts import SMALL, form_for, post
from tests.clients.test_user_rights import new_user

PROTECTED = (403, "AccessDenied", "Access Denied because object protected by object lock.")
ENABLED = {"ObjectLockEnabled": "Enabled"}


def later(days=10):
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def told(error):
    return error.status, error.code, error.message


@pytest.fixture(scope="module")
def s3(server):
    client = server.client("s3", signature_version="s3v4")
    yield client
    client.close()


@pytest.fixture
def bucket(s3):
    name = unique("locked")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def allow(*actions, **condition):
    said = {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": "*"}
    return {**said, "Condition": condition} if condition else said


def test_a_locked_bucket_and_its_default(s3, bucket):
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == ENABLED
    configuration = {**ENABLED, "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == configuration
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert timedelta() < later(1) - head["ObjectLockRetainUntilDate"] + timedelta(seconds=60) < timedelta(seconds=120)
    assert told(refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version)) == PROTECTED
    assert told(refused(s3.delete_object, Bucket=bucket, Key="k", VersionId=version, BypassGovernanceRetention=True)) == PROTECTED
    suspended = {"Status": "Suspended"}
    assert refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=suspended).code == "InvalidBucketState"
    assert refused(s3.delete_bucket, Bucket=bucket).code == "BucketNotEmpty"


def test_an_existing_bucket(s3):
    name = unique()
    s3.create_bucket(Bucket=name)
    error = refused(s3.get_object_lock_configuration, Bucket=name)
    assert (error.status, error.code) == (404, "ObjectLockConfigurationNotFoundError")
    assert refused(s3.put_object_lock_configuration, Bucket=name, ObjectLockConfiguration=ENABLED).code == "InvalidBucketState"
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later()}
    assert refused(s3.put_object, Bucket=name, Key="k", **lock).message == "Bucket is missing ObjectLockConfiguration"
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=ENABLED)
    version = s3.put_object(Bucket=name, Key="k", **lock)["VersionId"]
    assert told(refused(s3.delete_object, Bucket=name, Key="k", VersionId=version)) == PROTECTED


@pytest.mark.fact("E11", "E12")
def test_e11_e12_retention_and_bypass(s3, server, iam, bucket):
    at = {"Bucket": bucket, "Key": "k"}
    until = later()
    version = s3.put_object(**at, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    assert s3.get_object_retention(**at)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    got = s3.get_object(**at)
    assert got["Body"].read() == b"x"
    assert (got["ObjectLockMode"], got["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    s3.put_object_retention(**at, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": later(11)})
    shorter = {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": later(5)}}
    assert told(refused(s3.put_object_retention, **at, **shorter)) == PROTECTED
    objects = {"Objects": [{"Key": "k", "VersionId": version}]}
    (error,) = s3.delete_objects(Bucket=bucket, Delete=objects)["Errors"]
    assert error == {"Key": "k", "VersionId": version, "Code": PROTECTED[1], "Message": PROTECTED[2]}
    plain = ("PutObjectRetention", "DeleteObject", "DeleteObjectVersion", "PutObjectLegalHold", "GetObject", "GetObjectVersion")
    _, who = new_user(server, iam, allow(*plain))
    user = server.client("s3", who)
    bypass = {"BypassGovernanceRetention": True}
    for call, given in ((user.delete_object, {"VersionId": version}), (user.put_object_retention, shorter)):
        assert told(refused(call, **at, **given)) == PROTECTED
        error = refused(call, **at, **given, **bypass)
        assert "is not authorized to perform: s3:BypassGovernanceRetention" in error.message
    (error,) = user.delete_objects(Bucket=bucket, Delete=objects, **bypass)["Errors"]
    assert "s3:BypassGovernanceRetention" in error["Message"]
    assert not {"ObjectLockMode", "ObjectLockRetainUntilDate"} & set(user.head_object(**at))  # it may not see retention
    s3.put_object_retention(**at, **shorter, **bypass)
    s3.put_object_legal_hold(**at, LegalHold={"Status": "ON"})
    assert told(refused(s3.delete_object, **at, VersionId=version, **bypass)) == PROTECTED
    assert s3.get_object_legal_hold(**at)["LegalHold"] == {"Status": "ON"}
    user.put_object_legal_hold(**at, LegalHold={"Status": "OFF"})
    assert s3.head_object(**at)["ObjectLockLegalHoldStatus"] == "OFF"
    s3.put_object_retention(**at, Retention={}, **bypass)
    assert refused(s3.get_object_retention, **at).code == "NoSuchObjectLockConfiguration"
    user.delete_object(**at, VersionId=version)
    assert refused(s3.get_object, **at, VersionId=version).code == "NoSuchVersion"
    user.close()


def test_every_write(s3, server, bucket, key):
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later(), "ObjectLockLegalHoldStatus": "ON"}
    s3.put_object(Bucket=bucket, Key="put", Body=b"x", **lock)
    s3.copy_object(Bucket=bucket, Key="copied", CopySource=f"{bucket}/put")
    assert "ObjectLockMode" not in s3.head_object(Bucket=bucket, Key="copied")
    s3.copy_object(Bucket=bucket, Key="copied", CopySource=f"{bucket}/put", **lock)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="upload", **lock)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="upload", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="upload", UploadId=upload, MultipartUpload=parts)
    fields = {
        "x_amz_object_lock_mode": "GOVERNANCE",
        "x_amz_object_lock_retain_until_date": later().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x_amz_object_lock_legal_hold": "ON",
    }
    without = post(server, bucket, form_for(s3, bucket, "posted", **fields))
    assert without.error[:2] == (400, "InvalidRequest")
    digest = base64.b64encode(hashlib.sha256(SMALL).digest()).decode()
    assert post(server, bucket, form_for(s3, bucket, "posted", **fields, x_amz_checksum_sha256=digest)).status == 204
    for name in ("put", "copied", "upload", "posted"):
        head = s3.head_object(Bucket=bucket, Key=name)
        assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
        assert told(refused(s3.delete_object, Bucket=bucket, Key=name, VersionId=head["VersionId"])) == PROTECTED
    wanted = {"SSEKMS": {"KMSKeyArn": key["Arn"]}}
    error = refused(s3.update_object_encryption, Bucket=bucket, Key="put", ObjectEncryption=wanted)
    assert (error.code, "protected by S3 Object Lock" in error.message) == ("AccessDenied", True)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "tomorrow"},
            "The retain until date must be provided in ISO 8601 format",
        ),
        (
            {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2001-01-01T00:00:00Z"},
            "The retain until date must be in the future!",
        ),
        (
            {"x-amz-object-lock-mode": "governance", "x-amz-object-lock-retain-until-date": "2901-01-01T00:00:00Z"},
            "Unknown wormMode directive.",
        ),
        ({"x-amz-object-lock-legal-hold": "on"}, "Legal Hold must be either of 'ON' or 'OFF'"),
    ],
)
def test_bad_headers(server, bucket, headers, message):
    answer = server.ask("PUT", f"/{bucket}/k", headers, b"x")
    assert answer.error == (400, "InvalidArgument", message)
    (name, value) = list(headers.items())[-1] if "wormMode" not in message else next(iter(headers.items()))
    assert (answer.members["ArgumentName"], answer.members["ArgumentValue"]) == (name, value)


def test_a_locked_body_brings_a_digest(server, bucket):
    headers = {"x-amz-object-lock-legal-hold": "ON"}
    text = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
    assert server.ask("PUT", f"/{bucket}/k", headers, b"x").error == (400, "InvalidRequest", text)
    digest = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert server.ask("PUT", f"/{bucket}/k", headers | {"Content-MD5": digest}, b"x").status == 200
    document = b"<LegalHold><Status>OFF</Status></LegalHold>"
    text = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
    assert server.ask("PUT", f"/{bucket}/k?legal-hold", {}, document).error == (400, "InvalidRequest", text)


def test_conditions_of_object_lock(s3, server, iam, bucket):
    rights = ("PutObject", "PutObjectLegalHold", "GetObject")
    limited = allow(
        "PutObjectRetention",
        StringEquals={"s3:object-lock-mode": "GOVERNANCE"},
        NumericLessThanEquals={"s3:object-lock-remaining-retention-days": "10"},
        DateLessThan={"s3:object-lock-retain-until-date": "2900-01-01T00:00:00Z"},
    )
    no_hold = {**allow("PutObjectLegalHold", StringEquals={"s3:object-lock-legal-hold": "OFF"}), "Effect": "Deny"}
    _, who = new_user(server, iam, allow(*rights), limited, no_hold)
    user = server.client("s3", who)
    at = {"Bucket": bucket, "Key": "k"}
    good = {"Mode": "GOVERNANCE", "RetainUntilDate": later(10)}
    bad = [{"Mode": "GOVERNANCE", "RetainUntilDate": later(11)}, {"Mode": "COMPLIANCE", "RetainUntilDate": later(5)}]
    user.put_object(**at, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=later(9))
    user.put_object_retention(**at, Retention=good)
    for one in bad:
        assert refused(user.put_object_retention, **at, Retention=one).code == "AccessDenied"
        lock = {"ObjectLockMode": one["Mode"], "ObjectLockRetainUntilDate": one["RetainUntilDate"]}
        assert refused(user.put_object, **at, Body=b"y", **lock).code == "AccessDenied"
    user.put_object_legal_hold(**at, LegalHold={"Status": "ON"})
    error = refused(user.put_object_legal_hold, **at, LegalHold={"Status": "OFF"})
    assert "with an explicit deny" in error.message
    assert refused(user.put_object, **at, ObjectLockLegalHoldStatus="OFF").code == "AccessDenied"
    assert s3.get_object(**at)["Body"].read() == b"x"
    user.close()


def test_a_bucket_with_object_lock_takes_the_rights_to_lock(server, iam):
    create = allow("CreateBucket")
    _, who = new_user(server, iam, create)
    user = server.client("s3", who)
    name = unique("locked")
    error = refused(user.create_bucket, Bucket=name, ObjectLockEnabledForBucket=True)
    assert "s3:PutBucketObjectLockConfiguration" in error.message
    user.create_bucket(Bucket=name)
    user.close()
    _, who = new_user(server, iam, create, allow("PutBucketObjectLockConfiguration", "PutBucketVersioning"))
    user = server.client("s3", who)
    user.create_bucket(Bucket=unique("locked"), ObjectLockEnabledForBucket=True)
    user.close()


def test_reading_without_the_right_to_see_locks_leaves_no_denials_in_the_log(s3, server, iam, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1", ObjectLockLegalHoldStatus="ON")
    _, who = new_user(server, iam, allow("GetObject"))
    user = server.client("s3", who)
    answer = user.get_object(Bucket=bucket, Key="k")
    assert answer["Body"].read() == b"x"
    assert not {"TagCount", "ObjectLockLegalHoldStatus"} & set(answer)
    request_id = answer["ResponseMetadata"]["RequestId"]
    refusal = refused(user.get_object_legal_hold, Bucket=bucket, Key="k")
    assert refusal.code == "AccessDenied"
    user.close()
    log = server.log.read_text("utf-8")
    assert "s3:GetObjectLegalHold" in log
    assert request_id not in log
