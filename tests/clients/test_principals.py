"""Whom a policy names is who it was when it was put: not whoever has the name one day, with boto3."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, Account, refused, unique
from tests.clients.test_roles import acting, assume
from tests.clients.test_sessions import new_role
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user, policy


def put(s3, bucket, *arns):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": list(arns)},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))


def named(s3, bucket):
    found = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Principal"]["AWS"]
    return found if isinstance(found, list) else [found]


def again(server, iam, name):
    """A new user of the old name."""
    for one in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=one["AccessKeyId"])
    iam.delete_user(UserName=name)
    return new_user(server, iam, name=name)


@pytest.mark.fact("C8")
def test_c8_a_new_user_of_an_old_name_is_not_let_in_by_a_bucket_policy(server, iam, s3, bucket):
    name, who = new_user(server, iam)
    unique_id = iam.get_user(UserName=name)["User"]["UserId"]
    put(s3, bucket, arn_of(name), f"arn:aws:iam::{OWNER}:root")
    assert server.client("s3", who).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert named(s3, bucket) == [arn_of(name), f"arn:aws:iam::{OWNER}:root"]
    _, successor = again(server, iam, name)
    assert server.client("sts", successor).get_caller_identity()["Arn"] == arn_of(name)
    assert refused(server.client("s3", successor).get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert named(s3, bucket) == [unique_id, f"arn:aws:iam::{OWNER}:root"]
    refusal = refused(s3.put_bucket_policy, Bucket=bucket, Policy=s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert (refusal.code, refusal.message) == ("MalformedPolicy", "Invalid principal in policy")
    put(s3, bucket, arn_of(name))
    assert server.client("s3", successor).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.fact("C8")
def test_c8_a_renamed_user_stays_who_it_is(server, iam, s3, bucket):
    name, who = new_user(server, iam)
    put(s3, bucket, arn_of(name))
    iam.update_user(UserName=name, NewUserName=f"{name}-new", NewPath="/there/")
    assert server.client("s3", who).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert named(s3, bucket) == [arn_of(f"there/{name}-new")]
    _, other = new_user(server, iam, name=name)
    assert refused(server.client("s3", other).get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert named(s3, bucket) == [arn_of(f"there/{name}-new")]


@pytest.mark.fact("C8")
def test_c8_a_role_trusts_whom_it_trusted(server, iam):
    name, who = new_user(server, iam)
    unique_id = iam.get_user(UserName=name)["User"]["UserId"]
    role = new_role(iam, arn_of(name))
    assert assume(server.client("sts", who), role)["Credentials"]
    _, successor = again(server, iam, name)
    refusal = refused(server.client("sts", successor).assume_role, RoleArn=role["Arn"], RoleSessionName="session")
    assert refusal.code == "AccessDenied"
    trust = iam.get_role(RoleName=role["RoleName"])["Role"]["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Principal"] == {"AWS": unique_id}
    listed = [one for page in iam.get_paginator("list_roles").paginate() for one in page["Roles"]]
    assert trust in [one["AssumeRolePolicyDocument"] for one in listed if one["RoleName"] == role["RoleName"]]


@pytest.mark.fact("C8", "C5")
def test_c8_a_new_role_of_an_old_name(server, iam, s3, bucket):
    name, who = new_user(server, iam)
    sts = server.client("sts", who)
    role = new_role(iam, arn_of(name), rights={**ALLOW_ALL, "Action": "sts:GetCallerIdentity"})
    second = new_role(iam, role["Arn"])
    put(s3, bucket, role["Arn"])
    credentials = assume(sts, role)["Credentials"]
    assert acting(server, "s3", credentials).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    assert assume(acting(server, "sts", credentials), second)["Credentials"]
    iam.delete_role_policy(RoleName=role["RoleName"], PolicyName="rights")
    iam.delete_role(RoleName=role["RoleName"])
    document = policy({"Effect": "Allow", "Principal": {"AWS": arn_of(name)}, "Action": "sts:AssumeRole"})
    successor = iam.create_role(RoleName=role["RoleName"], AssumeRolePolicyDocument=document)["Role"]
    assert successor["Arn"] == role["Arn"]
    credentials = assume(sts, successor)["Credentials"]
    assert refused(acting(server, "s3", credentials).get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    inside = acting(server, "sts", credentials)
    assert refused(inside.assume_role, RoleArn=second["Arn"], RoleSessionName="session").code == "AccessDenied"
    assert named(s3, bucket) == [role["RoleId"]]


def test_another_accounts_users_are_bound_too(server, iam, s3, bucket, stranger):
    theirs = server.client("iam", stranger)
    name = unique("abroad")
    right = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})

    def made():
        theirs.create_user(UserName=name)
        theirs.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=right)
        key = theirs.create_access_key(UserName=name)["AccessKey"]
        return Account(stranger.account_id, key["AccessKeyId"], key["SecretAccessKey"])

    who = made()
    put(s3, bucket, f"arn:aws:iam::{stranger.account_id}:user/{name}")
    assert server.client("s3", who).get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    theirs.delete_access_key(UserName=name, AccessKeyId=who.access_key_id)
    theirs.delete_user_policy(UserName=name, PolicyName="p")
    theirs.delete_user(UserName=name)
    assert refused(server.client("s3", made()).get_object, Bucket=bucket, Key="k").code == "AccessDenied"
