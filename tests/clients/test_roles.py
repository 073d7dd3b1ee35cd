"""Roles, and sessions that assume them, with boto3: trust, session policies, what ends a session."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config

from tests.clients.house import OWNER, STRANGER, refused, unique
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user, policy

SESSION = "session-1"


def trust(principal, **more):
    return policy({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole", **more})


@pytest.fixture(scope="module")
def user(server, iam):
    return new_user(server, iam)


@pytest.fixture(scope="module")
def sts(server, user):
    client = server.client("sts", user[1])
    yield client
    client.close()


@pytest.fixture
def role(iam, user):
    """One that the user may assume, and that may read and write any object."""
    name = unique("role")
    made = iam.create_role(RoleName=name, Path="/app/", AssumeRolePolicyDocument=trust(arn_of(user[0])))["Role"]
    iam.put_role_policy(
        RoleName=name, PolicyName="rights", PolicyDocument=policy({"Effect": "Allow", "Action": "s3:*Object", "Resource": "*"})
    )
    return made


def acting(server, service, credentials, *, url=None, **more):
    """A client with a session's credentials."""
    return boto3.client(
        service,
        endpoint_url=url or server.url,
        region_name="us-east-1",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials.get("SessionToken"),
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, **more),
    )


def assume(sts, role, **more):
    return sts.assume_role(RoleArn=role["Arn"], RoleSessionName=SESSION, **more)


def no(sts, role, **more):
    return refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName=SESSION, **more)


def denied(who, role_arn):
    return "AccessDenied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"


def told(refusal):
    return refusal.code, refusal.message


@pytest.mark.fact("F17", "F22", "F23", "F25", "F26")
def test_a_role_from_making_to_deleting(iam, user):
    name, document = unique("Role"), trust(arn_of(user[0]))
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Description="d", Tags=[{"Key": "a", "Value": "b"}])
    made = made["Role"]
    assert (made["Arn"], made["RoleId"][:4], len(made["RoleId"])) == (f"arn:aws:iam::{OWNER}:role/{name}", "AROA", 21)
    assert made["AssumeRolePolicyDocument"] == json.loads(document)
    assert not {"MaxSessionDuration", "RoleLastUsed"} & set(made)
    got = iam.get_role(RoleName=name.lower())["Role"]
    assert got == {**made, "MaxSessionDuration": 3600, "RoleLastUsed": {}}
    listed = [one for page in iam.get_paginator("list_roles").paginate() for one in page["Roles"] if one["RoleName"] == name]
    assert [(one["MaxSessionDuration"], "RoleLastUsed" in one) for one in listed] == [(3600, False)]
    assert refused(iam.create_role, RoleName=name.upper(), AssumeRolePolicyDocument=document).code == "EntityAlreadyExists"
    iam.update_role(RoleName=name, MaxSessionDuration=7200)
    got = iam.get_role(RoleName=name)["Role"]
    assert (got["MaxSessionDuration"], "Description" in got) == (7200, False)
    iam.tag_role(RoleName=name, Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_role(RoleName=name, TagKeys=["a"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "c", "Value": "d"}]
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    managed = iam.create_policy(PolicyName=unique(), PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=managed)
    assert iam.get_policy(PolicyArn=managed)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    assert [one["RoleName"] for one in iam.list_entities_for_policy(PolicyArn=managed)["PolicyRoles"]] == [name]
    assert refused(iam.delete_role, RoleName=name).message == "Cannot delete entity, must detach all policies first."
    iam.detach_role_policy(RoleName=name, PolicyArn=managed)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(ALLOW_ALL))
    assert iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"]["Statement"] == [ALLOW_ALL]
    assert refused(iam.delete_role, RoleName=name).message == "Cannot delete entity, must delete policies first."
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    iam.delete_policy(PolicyArn=managed)
    missing = refused(iam.get_role, RoleName=name)
    assert (missing.status, missing.code, missing.message) == (404, "NoSuchEntity", f"The role with name {name} cannot be found.")


@pytest.mark.fact("C49", "C50", "C51")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "This policy contains invalid Json"),
        (trust(arn_of("nobody-here")), f'Invalid principal in policy: "AWS":"{arn_of("nobody-here")}"'),
        (trust(OWNER, Resource="*"), "Has prohibited field Resource"),
        (trust(OWNER).replace("sts:AssumeRole", "s3:GetObject"), "AssumeRole policy may only specify STS AssumeRole actions."),
    ],
)
def test_trust_policies_are_checked(iam, text, message):
    name = unique("role")
    refusal = refused(iam.create_role, RoleName=name, AssumeRolePolicyDocument=text)
    assert (refusal.status, refusal.code, refusal.message) == (400, "MalformedPolicyDocument", message)
    assert refused(iam.get_role, RoleName=name).code == "NoSuchEntity"


@pytest.mark.fact("F3", "F4", "F10", "C13", "E6")
def test_a_session_works_on_all_services_and_follows_its_role(server, iam, s3, sts, role, bucket):
    answer = assume(sts, role)
    credentials, name = answer["Credentials"], role["RoleName"]
    arn = f"arn:aws:sts::{OWNER}:assumed-role/{name}/{SESSION}"
    assert answer["AssumedRoleUser"] == {"AssumedRoleId": f"{role['RoleId']}:{SESSION}", "Arn": arn}
    assert "PackedPolicySize" not in answer
    assert (credentials["AccessKeyId"][:4], len(credentials["AccessKeyId"])) == ("ASIA", 20)
    assert 3500 < (credentials["Expiration"] - datetime.now(UTC)).total_seconds() <= 3600
    who = acting(server, "sts", credentials).get_caller_identity()
    assert (who["Account"], who["Arn"], who["UserId"]) == (OWNER, arn, f"{role['RoleId']}:{SESSION}")
    client = acting(server, "s3", credentials)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    refusal = refused(client.list_objects_v2, Bucket=bucket)
    assert refusal.message.startswith(f"User: {arn} is not authorized to perform: s3:ListBucket")
    assert refused(acting(server, "kms", credentials).list_keys).code == "AccessDeniedException"
    assert refused(acting(server, "iam", credentials).list_users).code == "AccessDenied"
    iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=policy({**ALLOW_ALL, "Effect": "Deny"}))
    refusal = refused(client.get_object, Bucket=bucket, Key="k")
    assert refusal.message.endswith("with an explicit deny in an identity-based policy")


@pytest.mark.fact("F8", "F9", "F10", "F6")
def test_who_may_assume(server, iam, sts, user, role, stranger):
    other, theirs = new_user(server, iam)
    client = server.client("sts", theirs)
    assert told(no(client, role)) == denied(arn_of(other), role["Arn"])
    absent = {"Arn": f"arn:aws:iam::{OWNER}:role/absent"}
    assert told(no(sts, absent)) == denied(arn_of(user[0]), absent["Arn"])
    by_another_path = {"Arn": role["Arn"].replace("/app/", "/")}
    assert told(no(sts, by_another_path)) == denied(arn_of(user[0]), by_another_path["Arn"])
    for who in (server.owner, stranger):
        refusal = no(server.client("sts", who), role)
        assert told(refusal) == ("AccessDenied", "Roles may not be assumed by root accounts.")
    malformed = no(sts, {"Arn": "arn:aws:iam::1:role/x-y-z"})
    assert told(malformed) == ("ValidationError", "arn:aws:iam::1:role/x-y-z is invalid")
    # Trusting the account leaves it to the account's own policies.
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trust(OWNER))
    assert no(client, role).code == "AccessDenied"
    right = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]})
    iam.put_user_policy(UserName=other, PolicyName="assume", PolicyDocument=right)
    assert assume(client, role)["Credentials"]
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trust(arn_of(user[0])))
    assert no(client, role).code == "AccessDenied"


@pytest.mark.fact("F10")
def test_across_accounts_both_must_allow(server, iam, role, stranger):
    theirs = server.client("iam", stranger)
    name = unique("abroad")
    theirs.create_user(UserName=name)
    made = theirs.create_access_key(UserName=name)["AccessKey"]
    client = acting(server, "sts", made)
    right = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role["Arn"]})
    theirs.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=right)
    assert no(client, role).code == "AccessDenied"
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trust(f"arn:aws:iam::{STRANGER}:user/{name}"))
    credentials = assume(client, role)["Credentials"]
    assert acting(server, "sts", credentials).get_caller_identity()["Account"] == OWNER
    theirs.delete_user_policy(UserName=name, PolicyName="assume")
    assert no(client, role).code == "AccessDenied"


def test_an_external_id(iam, sts, user, role):
    condition = {"StringEquals": {"sts:ExternalId": "ours"}}
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trust(arn_of(user[0]), Condition=condition))
    assert no(sts, role).code == "AccessDenied"
    assert no(sts, role, ExternalId="another").code == "AccessDenied"
    assert assume(sts, role, ExternalId="ours")["Credentials"]


@pytest.mark.fact("F5", "F7")
def test_names_and_durations(server, iam, sts, user, role):
    refusal = refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="Session1:2")
    assert refusal.code == "ValidationError"
    assert refusal.message == (
        "1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [\\w+=,.@-]*"
    )
    assert no(sts, role, DurationSeconds=43201).code == "ValidationError"
    too_long = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    assert no(sts, role, DurationSeconds=3601).message == too_long
    iam.update_role(RoleName=role["RoleName"], MaxSessionDuration=7200)
    credentials = assume(sts, role, DurationSeconds=7200)["Credentials"]
    arn = f"arn:aws:sts::{OWNER}:assumed-role/{role['RoleName']}/{SESSION}"
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trust(arn_of(user[0]), Sid="a"))
    second = iam.create_role(RoleName=unique("second"), AssumeRolePolicyDocument=trust(role["Arn"]), MaxSessionDuration=7200)[
        "Role"
    ]
    chained = acting(server, "sts", credentials)
    assert chained.get_caller_identity()["Arn"] == arn
    refusal = no(chained, second, DurationSeconds=3601)
    assert refusal.message == "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    assert assume(chained, second, DurationSeconds=3600)["Credentials"]


@pytest.mark.fact("F11", "C5", "E7")
def test_a_session_policy_narrows(server, iam, sts, role, bucket):
    only_put = policy({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})
    managed = iam.create_policy(PolicyName=unique(), PolicyDocument=only_put)["Policy"]["Arn"]
    for more in ({"Policy": only_put}, {"PolicyArns": [{"arn": managed}]}):
        answer = assume(sts, role, **more)
        assert answer["PackedPolicySize"] > 0
        client = acting(server, "s3", answer["Credentials"])
        client.put_object(Bucket=bucket, Key="k", Body=b"x")
        refusal = refused(client.get_object, Bucket=bucket, Key="k")
        assert refusal.message.endswith("because no session policy allows the s3:GetObject action")
    all_rights = assume(sts, role, Policy=policy(ALLOW_ALL))["Credentials"]
    assert refused(acting(server, "s3", all_rights).list_buckets).status == 403  # it adds nothing
    assert no(sts, role, Policy="{").code == "MalformedPolicyDocument"
    assert no(sts, role, Policy=only_put + " " * 2048).code == "ValidationError"


@pytest.mark.fact("E25")
def test_what_ends_a_session(server, iam, sts, role):
    credentials = assume(sts, role)["Credentials"]
    client = acting(server, "s3", credentials)
    iam.delete_role_policy(RoleName=role["RoleName"], PolicyName="rights")
    iam.delete_role(RoleName=role["RoleName"])
    assert refused(client.list_buckets).code == "InvalidAccessKeyId"
    iam.create_role(RoleName=role["RoleName"], Path="/app/", AssumeRolePolicyDocument=trust(OWNER))
    assert refused(client.list_buckets).code == "InvalidAccessKeyId"  # it is another role


def test_tokens_that_are_not_ones_own(server, iam, sts, user, role):
    first, second = (assume(sts, role)["Credentials"] for _ in range(2))
    changed = first["SessionToken"][:-8] + ("AAAAAAA=" if first["SessionToken"][-8:] != "AAAAAAA=" else "BBBBBBB=")
    for token in (second["SessionToken"], changed, "x", "A" * 9000):
        stolen = {**first, "SessionToken": token}
        assert refused(acting(server, "s3", stolen).list_buckets).code == "InvalidToken"
        assert refused(acting(server, "sts", stolen).get_caller_identity).code == "InvalidClientTokenId"
        assert refused(acting(server, "kms", stolen).list_keys).code == "UnrecognizedClientException"
    without = {**first, "SessionToken": None}
    assert refused(acting(server, "s3", without).list_buckets).code == "InvalidAccessKeyId"
    wrong = {**first, "SecretAccessKey": "x" * 40}
    assert refused(acting(server, "s3", wrong).list_buckets).code == "SignatureDoesNotMatch"
    long_term = {"AccessKeyId": user[1].access_key_id, "SecretAccessKey": user[1].secret_access_key}
    with_token = {**long_term, "SessionToken": first["SessionToken"]}
    assert refused(acting(server, "s3", with_token).list_buckets).code == "InvalidToken"


def test_what_terraform_asks_before_it_deletes_a_user(iam):
    name = unique("user")
    iam.create_user(UserName=name)
    assert iam.list_mfa_devices(UserName=name)["MFADevices"] == []
    assert iam.list_signing_certificates(UserName=name)["Certificates"] == []
    assert iam.list_ssh_public_keys(UserName=name)["SSHPublicKeys"] == []
    assert iam.list_service_specific_credentials(UserName=name)["ServiceSpecificCredentials"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    for call in (iam.get_login_profile, iam.delete_login_profile):
        refusal = refused(call, UserName=name)
        assert told(refusal) == ("NoSuchEntity", f"Login Profile for User {name} cannot be found.")
    iam.delete_user(UserName=name)
