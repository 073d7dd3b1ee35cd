"""Kept settings as boto3 puts and reads them, requesters who pay, redirects of objects, and what nobody has."""

from __future__ import annotations

import pytest

from tests.clients.house import refused, unique
from tests.clients.test_bucket_policies import arn, nobody, other, put, says, to_stranger  # noqa: F401 - fixtures

METRICS = {"Id": "m", "Filter": {"Prefix": "logs/"}}
ANALYTICS = {"Id": "a", "StorageClassAnalysis": {}}
TIERING = {"Id": "t", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}


@pytest.mark.parametrize(
    ("word", "member", "configuration"),
    [
        ("metrics", "MetricsConfiguration", METRICS),
        ("analytics", "AnalyticsConfiguration", ANALYTICS),
        ("intelligent_tiering", "IntelligentTieringConfiguration", TIERING),
    ],
)
def test_configurations_by_id(s3, bucket, word, member, configuration):
    given = {"Bucket": bucket, "Id": configuration["Id"]}
    getattr(s3, f"put_bucket_{word}_configuration")(**given, **{member: configuration})
    assert getattr(s3, f"get_bucket_{word}_configuration")(**given)[member] == configuration
    listed = getattr(s3, f"list_bucket_{word}_configurations")(Bucket=bucket)
    assert (listed["IsTruncated"], listed[f"{member}List"]) == (False, [configuration])
    gone = getattr(s3, f"delete_bucket_{word}_configuration")(**given)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    refusal = refused(getattr(s3, f"get_bucket_{word}_configuration"), **given)
    assert (refusal.status, refusal.code) == (404, "NoSuchConfiguration")


@pytest.mark.parametrize(
    ("target", "document"),
    [
        ("metrics&id=m", b"<MetricsConfiguration><Id>m</Id><Filter><Size>1</Size></Filter></MetricsConfiguration>"),
        ("metrics&id=m", b"<MetricsConfiguration><Id>m</Id><Id>m</Id></MetricsConfiguration>"),
        ("metrics&id=m", b"<MetricsConfiguration/>"),
        ("accelerate", b"<AccelerateConfiguration><Status>On</Status></AccelerateConfiguration>"),
        ("requestPayment", b"<RequestPaymentConfiguration><Payer>Nobody</Payer></RequestPaymentConfiguration>"),
        ("abac", b"<AbacStatus><Status>Perhaps</Status></AbacStatus>"),
    ],
)
def test_documents_that_are_none_keep_the_old_ones(server, s3, bucket, target, document):
    s3.put_bucket_metrics_configuration(Bucket=bucket, Id="m", MetricsConfiguration=METRICS)
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": "Suspended"})
    assert server.ask("PUT", f"/{bucket}?{target}", body=document).error[:2] == (400, "MalformedXML")
    assert s3.get_bucket_metrics_configuration(Bucket=bucket, Id="m")["MetricsConfiguration"] == METRICS
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Suspended"
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"


def test_states(s3, bucket):
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Disabled"}
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Disabled"})


def test_requesters_who_pay(server, s3, other, nobody, bucket, put, stranger):  # noqa: F811
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_public_access_block(Bucket=bucket)
    put(to_stranger(bucket, "s3:*"), says("Allow", "*", "s3:GetObject", arn(bucket, "*")))
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    pays = {"RequestPayer": "requester"}
    own = unique("payer")
    other.create_bucket(Bucket=own)
    calls = [
        (other.get_object, {"Bucket": bucket, "Key": "k"}),
        (other.head_object, {"Bucket": bucket, "Key": "k"}),
        (other.put_object, {"Bucket": bucket, "Key": "theirs", "Body": b"y"}),
        (other.list_objects_v2, {"Bucket": bucket}),
        (other.delete_objects, {"Bucket": bucket, "Delete": {"Objects": [{"Key": "theirs"}]}}),
        (other.copy_object, {"Bucket": own, "Key": "copy", "CopySource": f"{bucket}/k"}),
    ]
    for call, given in calls:
        assert refused(call, **given).status == 403
        assert call(**given, **pays)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert server.ask("GET", f"/{bucket}/k?x-amz-request-payer=requester", account=stranger).status == 200
    assert server.ask("GET", f"/{bucket}/k?x-amz-request-payer=owner", account=stranger).status == 403
    for more in ({}, pays):  # nobody cannot be charged
        refusal = refused(nobody.get_object, Bucket=bucket, Key="k", **more)
        assert (refusal.status, refusal.code, refusal.message) == (403, "AccessDenied", "Access Denied")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"  # its owner need not say it
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_a_redirect_is_kept_with_its_object(s3, bucket):
    for place in ("/other.html", "https://example.com/x?y", "http://" + "a" * 2041):
        s3.put_object(Bucket=bucket, Key="k", WebsiteRedirectLocation=place)
        assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == place
        assert s3.get_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == place
    for bad, message in (
        ("other.html", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."),
        ("ftp://example.com", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."),
        ("/" + "a" * 2048, "The length of website redirect location cannot exceed 2,048 characters."),
    ):
        for call in (s3.put_object, s3.create_multipart_upload):
            refusal = refused(call, Bucket=bucket, Key="k", WebsiteRedirectLocation=bad)
            assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidRedirectLocation", message)


def test_what_no_bucket_has(s3, bucket):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert s3.get_bucket_notification_configuration(Bucket=bucket).keys() == {"ResponseMetadata"}
    assert refused(s3.get_bucket_replication, Bucket=bucket).code == "ReplicationConfigurationNotFoundError"
    assert refused(s3.get_bucket_website, Bucket=bucket).code == "NoSuchWebsiteConfiguration"
    assert s3.list_bucket_inventory_configurations(Bucket=bucket)["IsTruncated"] is False
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    enabled = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": ""}}
    assert refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=enabled).status == 501
    website = {"IndexDocument": {"Suffix": "index.html"}}
    assert refused(s3.put_bucket_website, Bucket=bucket, WebsiteConfiguration=website).status == 501
    assert refused(s3.get_object_torrent, Bucket=bucket, Key="k").status == 501


@pytest.mark.fact("1.19")
def test_directory_buckets(server):
    name = "base--euc1-az1--x-s3"
    for method, target in (("PUT", f"/{name}"), ("GET", f"/{name}?encryption"), ("GET", f"/{name}/k"), ("PUT", f"/{name}/k")):
        assert server.ask(method, target).error == (501, "NotImplemented", "Directory buckets are not implemented.")
    assert server.ask("HEAD", f"/{name}").status == 501
    owner = {"x-amz-expected-bucket-owner": "111122223333"}
    assert server.ask("GET", f"/{name}?encryption", owner).error[:2] == (501, "NotImplemented")
