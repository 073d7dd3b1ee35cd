"""``strongroom explain`` beside a running server and without one: the decision, the statement and the key, and what the server does then."""

from __future__ import annotations

import json
import shutil

import pytest
from botocore.exceptions import ClientError

from tests.server.process import ROOT, here
from tests.server.test_serving import client

ACCOUNT, OTHER = ROOT["STRONGROOM_ACCOUNT_ID"], "999988887777"
OBJECT, PLAIN = "arn:aws:s3:::explained/sealed", "arn:aws:s3:::explained/plain"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def may(action, resource, effect="Allow", **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def user_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


@pytest.fixture(scope="module")
def house(shared):
    """A bucket under a KMS key, an object from before that; users with more and fewer rights."""
    iam, kms, s3 = (client(service, shared.url) for service in ("iam", "kms", "s3"))
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="explained")
    s3.put_object(Bucket="explained", Key="plain", Body=b"x")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket="explained", ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.put_object(Bucket="explained", Key="sealed", Body=b"x")
    read = may("s3:GetObject", "arn:aws:s3:::explained/*", Sid="Read")
    iam.create_policy(PolicyName="reading", PolicyDocument=policy(may("s3:ListBucket", "*"), read))
    for name, statements in (
        ("full", [read, may("kms:Decrypt", key)]),
        ("keyless", [read]),
        ("nothing", []),
        ("local", [may("s3:GetObject", "*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})]),
        ("barred", [may("*", "*"), may("s3:GetObject", "*", "Deny", Sid="Never")]),
        (
            "tagged",
            [read, may("s3:GetObject", "*", "Deny", Condition={"StringEquals": {"s3:ExistingObjectTag/class": "secret"}})],
        ),
        ("writer", [may("s3:PutObject", "*"), may("kms:GenerateDataKey", "*")]),
    ):
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy(*statements))
    trust = {"Effect": "Allow", "Principal": {"AWS": user_arn("full")}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="reader", Path="/ops/", AssumeRolePolicyDocument=policy(trust))
    iam.attach_role_policy(RoleName="reader", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/reading")
    here("account", "create", "other", "--id", OTHER, "--data", shared.folder)
    yield key
    for each in (iam, kms, s3):
        each.close()


def explain(shared, principal, action, resource, *words):
    done = here(
        "explain", "--principal", principal, "--action", action, "--resource", resource, *words, "--json", "--data", shared.folder
    )
    assert done.returncode in {0, 1}, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["allowed"] else 1)
    return found


def test_the_statement_and_the_key(shared, house):
    found = explain(shared, user_arn("full"), "s3:getobject", OBJECT)
    of_object, of_key = found["decisions"]
    assert found["allowed"]
    assert (of_object["action"], of_object["reason"]) == (
        "s3:GetObject",
        'statement 1 ("Read") of the identity-based policy rights allows s3:GetObject',
    )
    assert of_object["decided_by"] == {"policy": "rights", "policy_type": "identity-based policy", "statement": 1, "sid": "Read"}
    assert (of_key["action"], of_key["resource"], of_key["allowed"]) == ("kms:Decrypt", house, True)
    assert found["encryption"] == {
        "mode": "SSE-KMS",
        "kms_key": house,
        "state": "Enabled",
        "bucket_key": True,
        "version_id": "null",
        "context": {"aws:s3:arn": "arn:aws:s3:::explained"},
    }


def test_a_right_to_the_object_without_one_to_its_key(shared, house):
    found = explain(shared, user_arn("keyless"), "s3:GetObject", OBJECT)
    assert [one["allowed"] for one in found["decisions"]] == [True, False]
    assert found["decisions"][1]["reason"] == "no identity-based policy allows kms:Decrypt"
    found = explain(shared, user_arn("keyless"), "s3:GetObject", PLAIN)
    assert (found["allowed"], found["encryption"]["mode"], len(found["decisions"])) == (True, "SSE-S3", 1)


def test_an_object_s_owner_and_list_are_looked_at_where_lists_count(shared, house):
    s3 = client("s3", shared.url)
    s3.create_bucket(Bucket="listed", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="listed")
    for key, acl in (("open", "public-read"), ("shut", "private")):
        s3.put_object(Bucket="listed", Key=key, Body=b"x", ACL=acl)
    found = explain(shared, "anonymous", "s3:GetObject", "arn:aws:s3:::listed/open")
    assert found["allowed"]
    assert found["decisions"][0]["reason"] == (
        'grant 2 ("READ to http://acs.amazonaws.com/groups/global/AllUsers") of the access control list of arn:aws:s3:::listed/open '
        "allows s3:GetObject"
    )
    assert not explain(shared, "anonymous", "s3:GetObject", "arn:aws:s3:::listed/shut")["allowed"]
    assert explain(shared, ACCOUNT, "s3:GetObject", "arn:aws:s3:::listed/shut")["allowed"]


@pytest.mark.parametrize(
    ("principal", "resource", "words", "reason"),
    [
        (user_arn("nothing"), OBJECT, (), "no identity-based policy allows s3:GetObject"),
        (user_arn("barred"), OBJECT, (), 'statement 2 ("Never") of the identity-based policy rights denies s3:GetObject'),
        (user_arn("local"), PLAIN, (), "no identity-based policy allows s3:GetObject"),
        (user_arn("local"), PLAIN, ("--context", "aws:SourceIp=11.0.0.1"), "no identity-based policy allows s3:GetObject"),
        (f"arn:aws:iam::{OTHER}:root", PLAIN, (), "the resource is another account's, which does not allow it"),
        ("anonymous", PLAIN, (), "nobody signed the request, and no resource-based policy lets everybody in"),
    ],
)
@pytest.mark.usefixtures("house")
def test_who_may_not_and_why(shared, principal, resource, words, reason):
    found = explain(shared, principal, "s3:GetObject", resource, *words)
    assert (found["allowed"], found["decisions"][0]["reason"]) == (False, reason)


@pytest.mark.usefixtures("house")
def test_the_context_is_the_requests(shared):
    found = explain(shared, user_arn("local"), "s3:GetObject", PLAIN)
    assert found["decisions"][0]["absent"] == ["aws:sourceip"]
    found = explain(shared, user_arn("local"), "s3:GetObject", PLAIN, "--context", "AWS:sourceIP=10.1.2.3")
    assert (found["allowed"], found["decisions"][0]["absent"]) == (True, [])


def test_roots_roles_and_sessions(shared, house):
    root = explain(shared, ACCOUNT, "s3:GetObject", OBJECT)
    assert root["principal"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert root["decisions"][0]["reason"] == "the caller is the root of the owning account, and nothing denies"
    role = f"arn:aws:iam::{ACCOUNT}:role/ops/reader"
    for principal in (role, f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/monday"):
        found = explain(shared, principal, "s3:GetObject", PLAIN)
        assert (found["principal"], found["allowed"]) == (role, True)
        policy_arn = f"arn:aws:iam::{ACCOUNT}:policy/reading"
        assert found["decisions"][0]["looked_at"] == [
            {"verdict": "allows", "policy": policy_arn, "policy_type": "identity-based policy", "statement": 2, "sid": "Read"}
        ]
    assert explain(shared, user_arn("full"), "sts:AssumeRole", role)["allowed"]
    assert not explain(shared, user_arn("nothing"), "sts:AssumeRole", role)["allowed"]
    assert explain(shared, user_arn("full"), "kms:Decrypt", house)["allowed"]
    assert not explain(shared, user_arn("full"), "s3:ListAllMyBuckets", "*")["allowed"]


def test_a_write_gets_the_key_of_the_rule_or_of_its_headers(shared, house):
    found = explain(shared, user_arn("writer"), "s3:PutObject", "arn:aws:s3:::explained/new")
    assert [(one["action"], one["allowed"]) for one in found["decisions"]] == [
        ("s3:PutObject", True),
        ("kms:GenerateDataKey", True),
        ("kms:Decrypt", False),  # of a bucket key
    ]
    assert found["encryption"]["kms_key"] == house
    header = ("--context", "s3:x-amz-server-side-encryption=AES256")
    found = explain(shared, user_arn("writer"), "s3:PutObject", "arn:aws:s3:::explained/new", *header)
    assert (found["allowed"], found["encryption"]["mode"]) == (True, "SSE-S3")


def test_a_disabled_key_serves_nobody(shared, house):
    kms = client("kms", shared.url)
    kms.disable_key(KeyId=house)
    try:
        found = explain(shared, ACCOUNT, "s3:GetObject", OBJECT)
        assert (found["allowed"], found["encryption"]["state"]) == (False, "Disabled")
        assert all(one["allowed"] for one in found["decisions"])
        assert found["notes"] == [f"{house} is Disabled: nobody can use it now, whatever policies say"]
    finally:
        kms.enable_key(KeyId=house)
        kms.close()


def test_everybody_who_can_read_an_object(shared, house):
    words = ("explain", "--action", "s3:GetObject", "--resource", OBJECT, "--data", shared.folder)
    found = json.loads(here(*words, "--json").stdout)
    assert [one["principal"] for one in found["allowed"]] == [f"arn:aws:iam::{ACCOUNT}:root", user_arn("full")]
    assert found["of"] >= 10
    done = here(*words)
    assert done.returncode == 0
    assert f"2 of {found['of']} principals may s3:GetObject on {OBJECT}" in done.stdout
    assert f"{house} (Enabled)" in done.stdout


@pytest.mark.usefixtures("house")
def test_in_words(shared):
    words = ("--action", "s3:GetObject", "--resource", OBJECT, "--data", shared.folder)
    done = here("explain", "--principal", user_arn("keyless"), *words)
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert f"denied s3:GetObject on {OBJECT} for {user_arn('keyless')}" in lines
    assert 'because statement 1 ("Read") of the identity-based policy rights allows s3:GetObject' in lines
    assert "but no identity-based policy allows kms:Decrypt" in lines
    assert "allows s3:GetObject rights 1 (Read) identity-based policy" in lines
    assert "says nothing kms:Decrypt rights identity-based policy" in lines


@pytest.mark.parametrize(
    ("principal", "action", "resource", "words", "text"),
    [
        ("arn:aws:iam::111122223333:user/none", "s3:GetObject", PLAIN, (), "there is no principal"),
        ("user/full", "s3:GetObject", PLAIN, (), "there is no principal"),
        (ACCOUNT, "GetObject", PLAIN, (), "is no action"),
        (ACCOUNT, "s3:*", PLAIN, (), "is no action"),
        (ACCOUNT, "s3:GetObject", "explained/plain", (), "is no ARN"),
        (ACCOUNT, "s3:GetObject", "arn:aws:s3:::explained", (), "is asked for an object"),
        (ACCOUNT, "s3:GetObject", "arn:aws:s3:::no-such-bucket/k", (), "The specified bucket does not exist"),
        (ACCOUNT, "s3:GetObject", PLAIN, ("--context", "nonsense"), "is not KEY=VALUE"),
        (ACCOUNT, "s3:GetObject", PLAIN, ("--version-id", "-"), "Invalid version id"),
    ],
)
@pytest.mark.usefixtures("house")
def test_bad_questions(shared, principal, action, resource, words, text):
    done = here("explain", "--principal", principal, "--action", action, "--resource", resource, *words, "--data", shared.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("house")
def test_an_object_that_is_not_there(shared):
    found = explain(shared, user_arn("full"), "s3:GetObject", "arn:aws:s3:::explained/none")
    assert found["notes"] == ["there is no such object: 404 for whoever may s3:ListBucket, 403 for others"]
    assert "encryption" not in found


def test_without_a_server_and_as_the_server_decides(shared, house, tmp_path):
    """A copy of the folder answers the same; and what is said is what the server does."""
    copy = tmp_path / "copy"
    shutil.copytree(shared.folder, copy)
    iam = client("iam", shared.url)
    for name in ("full", "keyless", "barred"):
        found = explain(shared, user_arn(name), "s3:GetObject", OBJECT)
        words = (
            "explain",
            "--principal",
            user_arn(name),
            "--action",
            "s3:GetObject",
            "--resource",
            OBJECT,
            "--json",
            "--data",
            copy,
        )
        assert json.loads(here(*words).stdout) == found
        made = iam.create_access_key(UserName=name)["AccessKey"]
        s3 = client("s3", shared.url, (made["AccessKeyId"], made["SecretAccessKey"]))
        if found["allowed"]:
            s3.get_object(Bucket="explained", Key="sealed")["Body"].close()
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.get_object(Bucket="explained", Key="sealed")
        s3.close()
    iam.close()


def test_tags_of_the_object_that_is_there(house, shared):
    s3 = client("s3", shared.url)
    for value in ("public", "secret"):
        s3.put_object_tagging(Bucket="explained", Key="plain", Tagging={"TagSet": [{"Key": "class", "Value": value}]})
        found = explain(shared, user_arn("tagged"), "s3:GetObject", PLAIN)
        assert found["allowed"] == (value == "public")
    s3.delete_object_tagging(Bucket="explained", Key="plain")
    assert explain(shared, user_arn("tagged"), "s3:GetObject", PLAIN)["allowed"]
    s3.close()
