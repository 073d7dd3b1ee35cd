"""Buckets through boto3: their life, their regions, and the two ways of addressing them."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.config import Config

from tests.clients.house import OWNER, Account, refused, unique

WEST, PARIS = "us-west-2", "eu-west-3"


def create_in(server, region):
    client, name = server.client("s3", region=region), unique()
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    return client, name


def test_the_life_of_a_bucket(s3):
    name = unique()
    answer = s3.create_bucket(Bucket=name)
    assert (answer["Location"], answer["BucketArn"]) == (f"/{name}", f"arn:aws:s3:::{name}")
    s3.create_bucket(Bucket=name)  # one's own, in us-east-1: as if it were new
    assert name in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "us-east-1"
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    refusal = refused(s3.delete_bucket, Bucket=name)
    assert (refusal.status, refusal.code, refusal.members) == (409, "BucketNotEmpty", {"BucketName": name})
    s3.delete_object(Bucket=name, Key="k")
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.head_bucket, Bucket=name).status == 404
    assert refused(s3.delete_bucket, Bucket=name).code == "NoSuchBucket"


def test_pages_of_buckets(server):
    s3 = server.client("s3", region=PARIS)
    prefix = unique("paged")
    names = [f"{prefix}-{number}" for number in range(5)]
    for name in names:
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": PARIS})
    found, regions = [], set()
    for page in s3.get_paginator("list_buckets").paginate(Prefix=prefix, PaginationConfig={"PageSize": 2}):
        assert len(page["Buckets"]) <= 2
        found += [each["Name"] for each in page["Buckets"]]
        regions |= {each["BucketRegion"] for each in page["Buckets"]}
    assert (found, regions) == (names, {PARIS})
    assert s3.list_buckets(Prefix=prefix, BucketRegion=WEST)["Buckets"] == []
    s3.close()


@pytest.mark.parametrize("name", ["UPPER", "a", "under_score", "192.168.1.1", "xn--a", "dots..twice", "-start", "a" * 64])
def test_names_that_no_bucket_has(server, name):
    reply = server.ask("PUT", f"/{name}")
    assert reply.error == (400, "InvalidBucketName", "The specified bucket is not valid.")
    assert reply.members["BucketName"] == name


def test_a_bucket_lives_in_its_region(server):
    client, name = create_in(server, PARIS)
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == PARIS
    assert client.head_bucket(Bucket=name)["BucketRegion"] == PARIS
    refusal = refused(client.create_bucket, Bucket=name, CreateBucketConfiguration={"LocationConstraint": PARIS})
    assert (refusal.status, refusal.code) == (409, "BucketAlreadyOwnedByYou")
    client.close()


def test_the_oldest_region_has_no_location(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_a_region_that_does_not_go_with_the_endpoint(server):
    client = server.client("s3", region=WEST)
    refusal = refused(client.create_bucket, Bucket=unique(), CreateBucketConfiguration={"LocationConstraint": PARIS})
    assert (refusal.status, refusal.code) == (400, "IllegalLocationConstraintException")
    refusal = refused(client.create_bucket, Bucket=unique())
    assert (refusal.status, refusal.code) == (400, "IllegalLocationConstraintException")
    client.close()


def test_a_wrong_region_names_the_right_one(server):
    _, name = create_in(server, PARIS)
    reply = server.ask("GET", f"/{name}?list-type=2", region=WEST)
    assert reply.status == 400
    assert reply.members["Code"] == "AuthorizationHeaderMalformed"
    assert reply.members["Message"] == f"The authorization header is malformed; the region '{WEST}' is wrong; expecting '{PARIS}'"
    assert reply.members["Region"] == PARIS
    reply = server.ask("HEAD", f"/{name}", region=WEST)
    assert (reply.status, reply.headers["x-amz-bucket-region"]) == (400, PARIS)


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_boto3_finds_its_way_to_the_right_region(server, resolving, style):
    """By botocore's own redirector: the first request is signed for the wrong region, the second for the right one."""
    owner, name = create_in(server, PARIS)
    owner.put_object(Bucket=name, Key="k", Body=b"hello")
    lost = boto3.client(
        "s3",
        endpoint_url=f"http://localhost:{server.port}",
        region_name=WEST,
        aws_access_key_id=server.owner.access_key_id,
        aws_secret_access_key=server.owner.secret_access_key,
        config=Config(s3={"addressing_style": style}),
    )
    with lost.get_object(Bucket=name, Key="k")["Body"] as body:
        assert body.read() == b"hello"
    lost.put_object(Bucket=name, Key="new", Body=b"x" * 100_000)
    assert [each["Key"] for each in lost.list_objects_v2(Bucket=name)["Contents"]] == ["k", "new"]
    assert lost.head_bucket(Bucket=name)["BucketRegion"] == PARIS
    for client in (owner, lost):
        client.close()


# ------------------------------------------------------------------------------------------------ virtual-host addressing


@pytest.fixture(scope="module")
def virtual(server):
    """``http://BUCKET.localhost:PORT/KEY``."""
    client = server.client(
        "s3", url=f"http://localhost:{server.port}", s3={"addressing_style": "virtual"}, signature_version="s3v4"
    )
    yield client
    client.close()


def test_the_bucket_in_the_host(server, s3, virtual, resolving):
    name = unique()
    hosts = []
    virtual.meta.events.register("before-send.s3", lambda request, **_: hosts.append(request.url), unique_id="hosts")
    virtual.create_bucket(Bucket=name)
    for key in ("k", "a b+ü", "a//b", "/leading", "."):
        virtual.put_object(Bucket=name, Key=key, Body=key.encode())
        with virtual.get_object(Bucket=name, Key=key)["Body"] as body:
            assert body.read() == key.encode()
        with s3.get_object(Bucket=name, Key=key)["Body"] as body:  # the same object, by its path
            assert body.read() == key.encode()
    virtual.meta.events.unregister("before-send.s3", unique_id="hosts")
    assert all(url.startswith(f"http://{name}.localhost:{server.port}/") for url in hosts)
    assert len(virtual.list_objects_v2(Bucket=name)["Contents"]) == 5
    assert virtual.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    virtual.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": name, "Key": "a b+ü"})
    where = {"Bucket": name, "Key": "m"}
    upload = virtual.create_multipart_upload(**where)["UploadId"]
    part = virtual.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
    done = virtual.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert done["Location"].startswith(f"http://{name}.localhost:{server.port}/")


def test_presigned_with_the_bucket_in_the_host(server, virtual, resolving):
    name = unique()
    virtual.create_bucket(Bucket=name)
    url = virtual.generate_presigned_url("put_object", {"Bucket": name, "Key": "a b"})
    assert f"//{name}.localhost:" in url
    assert server.follow("PUT", url, body=b"hello").status == 200
    assert server.follow("GET", virtual.generate_presigned_url("get_object", {"Bucket": name, "Key": "a b"})).body == b"hello"


def test_a_host_that_is_no_domain_of_ours_is_a_path(server, s3, bucket):
    """The first segment of the path is the bucket, whatever address the server was reached by."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    signing = server.client("s3", url=f"http://127.0.0.1:{server.port}", signature_version="s3v4")
    reply = server.follow("GET", signing.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}))
    assert (reply.status, reply.body) == (200, b"x")
    signing.close()


def test_tags_of_a_bucket(s3, bucket):
    assert refused(s3.get_bucket_tagging, Bucket=bucket).code == "NoSuchTagSet"
    tags = [{"Key": "team", "Value": "red"}, {"Key": "cost centre", "Value": ""}]
    assert s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    twice = {"TagSet": [tags[0], tags[0]]}
    assert refused(s3.put_bucket_tagging, Bucket=bucket, Tagging=twice).code == "InvalidTag"
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_tagging, Bucket=bucket).code == "NoSuchTagSet"


def test_a_bucket_is_made_with_tags(s3):
    tags = [{"Key": "team", "Value": "letters"}]
    name = unique()
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags


def test_the_right_to_make_a_bucket_names_buckets(server):
    """CreateBucket is asked about the bucket's ARN, and its tags need a right of their own."""
    iam = server.client("iam")
    user, allowed = unique(), unique()
    iam.create_user(UserName=user)
    arn = f"arn:aws:s3:::{allowed}*"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:CreateBucket", "Resource": arn}]}
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=user)["AccessKey"]
    client = server.client("s3", Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"]))
    client.create_bucket(Bucket=f"{allowed}-one")
    assert refused(client.create_bucket, Bucket=unique()).code == "AccessDenied"
    tagged = {"Tags": [{"Key": "team", "Value": "letters"}]}
    assert refused(client.create_bucket, Bucket=f"{allowed}-two", CreateBucketConfiguration=tagged).code == "AccessDenied"
    for one in (client, iam):
        one.close()
