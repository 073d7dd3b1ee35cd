"""Tags of buckets that decide: kept one by one through S3 Control, seen by conditions of policies where ABAC is enabled, and only there."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, Account, refused, unique

RED = {"Key": "team", "Value": "red"}


@pytest.fixture
def control(server, resolving):
    """The client puts the account id before the name of the host."""
    client = server.client("s3control", url=f"http://localhost:{server.port}")
    yield client
    client.close()


@pytest.fixture
def user(server):
    """An IAM user's S3 client, and a function that gives it one policy."""
    iam, name = server.client("iam"), unique()
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    client = server.client("s3", Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"]))

    def let(*statements):
        policy = {"Version": "2012-10-17", "Statement": [{"Resource": "*", **one} for one in statements]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))

    yield client, let
    client.close()
    iam.close()


def enable(s3, bucket, status="Enabled"):
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": status})


def arn(bucket):
    return f"arn:aws:s3:::{bucket}"


def test_the_state_is_kept(s3, bucket):
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Disabled"}
    enable(s3, bucket)
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Enabled"}


def test_tags_one_by_one(s3, control, bucket):
    at = {"AccountId": OWNER, "ResourceArn": arn(bucket)}
    assert control.list_tags_for_resource(**at)["Tags"] == []
    control.tag_resource(**at, Tags=[RED, {"Key": "stage", "Value": "test"}])
    control.tag_resource(**at, Tags=[{"Key": "stage", "Value": "live"}])
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [RED, {"Key": "stage", "Value": "live"}]
    control.untag_resource(**at, TagKeys=["stage", "none"])
    assert control.list_tags_for_resource(**at)["Tags"] == [RED]


def test_what_is_refused(control, s3, bucket, server, stranger):
    at = {"AccountId": OWNER, "ResourceArn": arn(bucket)}
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    control.tag_resource(**at, Tags=many)
    assert refused(control.tag_resource, **at, Tags=[RED]).code == "BadRequest"
    assert len(control.list_tags_for_resource(**at)["Tags"]) == 50
    assert refused(control.tag_resource, **at, Tags=[{"Key": "aws:x", "Value": ""}]).code == "InvalidTag"
    assert refused(control.tag_resource, **{**at, "ResourceArn": arn(unique())}, Tags=[RED]).code == "NoSuchBucket"
    assert refused(control.tag_resource, **{**at, "ResourceArn": f"{arn(bucket)}/object"}, Tags=[RED]).status == 501
    theirs = server.client("s3control", stranger, url=f"http://localhost:{server.port}")
    for account_id in (OWNER, stranger.account_id):
        assert refused(theirs.tag_resource, AccountId=account_id, ResourceArn=arn(bucket), Tags=[RED]).code == "AccessDenied"
        assert refused(theirs.list_tags_for_resource, AccountId=account_id, ResourceArn=arn(bucket)).code == "AccessDenied"
    theirs.close()


def test_the_old_ways_to_tag_end_where_tags_decide(s3, control, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [RED]})
    enable(s3, bucket)
    assert refused(s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": []}).code == "InvalidRequest"
    assert refused(s3.delete_bucket_tagging, Bucket=bucket).code == "InvalidRequest"
    assert control.list_tags_for_resource(AccountId=OWNER, ResourceArn=arn(bucket))["Tags"] == [RED]
    enable(s3, bucket, "Disabled")
    s3.delete_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize("key", ["aws:ResourceTag/team", "s3:BucketTag/team"])
def test_a_tag_lets_in_where_abac_is_enabled_and_only_there(s3, control, bucket, user, key):
    client, let = user
    s3.put_object(Bucket=bucket, Key="k", Body=b"red")
    let({"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Condition": {"StringEquals": {key: "red"}}})
    control.tag_resource(AccountId=OWNER, ResourceArn=arn(bucket), Tags=[RED])
    assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    enable(s3, bucket)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"red"
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    control.tag_resource(AccountId=OWNER, ResourceArn=arn(bucket), Tags=[{"Key": "team", "Value": "blue"}])
    assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"


def test_a_tag_denies(s3, control, bucket, user):
    client, let = user
    s3.put_object(Bucket=bucket, Key="k", Body=b"red")
    enable(s3, bucket)
    only_blue = {"Effect": "Deny", "Action": "s3:*", "Condition": {"StringNotEquals": {"aws:ResourceTag/team": "blue"}}}
    let({"Effect": "Allow", "Action": "s3:*"}, only_blue)
    assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    control.tag_resource(AccountId=OWNER, ResourceArn=arn(bucket), Tags=[{"Key": "team", "Value": "blue"}])
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"red"


def test_the_tags_that_a_request_brings(control, bucket, user, server):
    client, let = user
    let(
        {"Effect": "Allow", "Action": "s3:CreateBucket"},
        {
            "Effect": "Allow",
            "Action": "s3:TagResource",
            "Condition": {"StringEquals": {"aws:RequestTag/team": "red"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}},
        },
    )
    made = unique()
    client.create_bucket(Bucket=made, CreateBucketConfiguration={"Tags": [RED]})
    other = {"Tags": [{"Key": "team", "Value": "blue"}]}
    assert refused(client.create_bucket, Bucket=unique(), CreateBucketConfiguration=other).code == "AccessDenied"
    more = {"Tags": [RED, {"Key": "stage", "Value": "live"}]}
    assert refused(client.create_bucket, Bucket=unique(), CreateBucketConfiguration=more).code == "AccessDenied"
    assert control.list_tags_for_resource(AccountId=OWNER, ResourceArn=arn(made))["Tags"] == [RED]
