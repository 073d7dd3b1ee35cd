"""Lifecycles through boto3: configurations put, got and refused, and the headers that tell of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from tests.clients.house import refused

RULE = {"ID": "r 1", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def put(s3, bucket, *rules, **more):
    return s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more)


def got(s3, bucket):
    return s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def test_a_configuration_of_every_element(s3, bucket):
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket).code == "NoSuchLifecycleConfiguration"
    full = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {
            "And": {"Prefix": "a/", "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9, "Tags": [{"Key": "k", "Value": "v"}]}
        },
        "Transitions": [{"Date": datetime(2027, 1, 1, tzinfo=UTC), "StorageClass": "GLACIER_IR"}],
        "Expiration": {"Date": datetime(2028, 1, 1, tzinfo=UTC)},
        "NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "STANDARD_IA", "NewerNoncurrentVersions": 2}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 60, "NewerNoncurrentVersions": 3},
    }
    other = {
        "ID": "other",
        "Status": "Disabled",
        "Filter": {},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    minimum = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    assert put(s3, bucket, full, other, **minimum)["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert answer["Rules"] == [full, other]
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket).status == 404


def test_the_old_spelling(server, s3, bucket):
    """PutBucketLifecycle and GetBucketLifecycle look the same on the wire; their rules have a Prefix and no Filter."""
    rule = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle(Bucket=bucket)["Rules"] == [rule]
    assert got(s3, bucket) == [rule]


def document(inside: str, status: str = "<Status>Enabled</Status>", chosen: str = "<Filter/>") -> str:
    return f"<LifecycleConfiguration><Rule>{status}{chosen}{inside}</Rule></LifecycleConfiguration>"


DAY = "<Expiration><Days>1</Days></Expiration>"
DOCUMENTS = [
    "",
    "<no",
    "<Other/>",
    f"<LifecycleConfiguration {NAMESPACE}/>",
    document(DAY + "<More/>"),
    document(DAY, status="<Status>enabled</Status>"),
    document(DAY, status=""),
    document(DAY + DAY),
    document("<Expiration><Days>one</Days></Expiration>"),
    document("<Expiration><Date>soon</Date></Expiration>"),
    document("<Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>"),
    document(DAY, chosen="<Filter><Tag><Key>k</Key></Tag></Filter>"),
    "<!DOCTYPE x>" + document(DAY),
]


def test_a_document_that_is_none_changes_nothing(server, s3, bucket):
    put(s3, bucket, RULE)
    for body in DOCUMENTS:
        reply = server.ask("PUT", f"/{bucket}?lifecycle", body=body.encode())
        assert (reply.status, reply.error[1]) == (400, "MalformedXML"), body
    assert got(s3, bucket) == [RULE]
    assert server.ask("PUT", f"/{bucket}?lifecycle", body=document(DAY).encode()).status == 200


def test_a_document_that_the_rules_forbid_changes_nothing(s3, bucket):
    put(s3, bucket, RULE)
    for change, code in (
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Date": datetime(2027, 1, 1, 1, tzinfo=UTC)}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML"),
        ({"Transitions": [{"Days": 5, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument"),
        ({"Prefix": "both"}, "MalformedXML"),
    ):
        given = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": [RULE | change]}}
        assert refused(s3.put_bucket_lifecycle_configuration, **given).code == code, change
    assert got(s3, bucket) == [RULE]


def midnight(days):
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=days + 1)


def test_headers(server, s3, bucket):
    put(
        s3,
        bucket,
        RULE,
        {**RULE, "ID": "up", "Filter": {"Prefix": "m"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
    )
    expected = f'expiry-date="{format_datetime(midnight(3), usegmt=True)}", rule-id="r%201"'
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["Expiration"] == expected
    assert server.ask("HEAD", f"/{bucket}/k").headers["x-amz-expiration"] == expected
    assert s3.get_object(Bucket=bucket, Key="k")["Expiration"] == expected
    assert s3.copy_object(Bucket=bucket, Key="l", CopySource=f"{bucket}/k")["Expiration"] == expected
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")
    at = {"Bucket": bucket, "Key": "m", "UploadId": upload["UploadId"]}
    assert (upload["AbortDate"], upload["AbortRuleId"]) == (midnight(2), "up")
    assert s3.list_parts(**at)["AbortDate"] == midnight(2)
    part = s3.upload_part(**at, PartNumber=1, Body=b"x")["ETag"]
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert done["Expiration"] == expected
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert "x-amz-expiration" not in server.ask("HEAD", f"/{bucket}/k").headers


def test_archived_objects_and_their_restoring(s3, bucket):
    at = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**at, Body=b"x" * 100_000, StorageClass="DEEP_ARCHIVE")
    refusal = refused(s3.get_object, **at)
    assert (refusal.status, refusal.code, refusal.members["StorageClass"]) == (403, "InvalidObjectState", "DEEP_ARCHIVE")
    refusal = refused(s3.copy_object, **at | {"Key": "l"}, CopySource=at)
    assert (refusal.status, refusal.code) == (403, "InvalidObjectState")
    request = {"Days": 2, "GlacierJobParameters": {"Tier": "Standard"}}
    assert s3.restore_object(**at, RestoreRequest=request)["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert s3.get_object(**at)["Body"].read() == b"x" * 100_000
    expected = f'ongoing-request="false", expiry-date="{format_datetime(midnight(2), usegmt=True)}"'
    assert s3.head_object(**at)["Restore"] == expected
    assert s3.restore_object(**at, RestoreRequest={"Days": 3})["ResponseMetadata"]["HTTPStatusCode"] == 200
    page = s3.list_objects_v2(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])
    assert page["Contents"][0]["RestoreStatus"] == {"IsRestoreInProgress": False, "RestoreExpiryDate": midnight(3)}
    s3.put_object(**at, Body=b"x")
    assert refused(s3.restore_object, **at, RestoreRequest={"Days": 3}).code == "InvalidObjectState"
