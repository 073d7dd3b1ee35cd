"""Temporary credentials with boto3: session tokens, federated users, tags and source identities of roles, and what conditions see of them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pytest

from tests.clients.house import OWNER, refused, unique
from tests.clients.test_roles import acting, assume, told
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user, policy

TRUSTED = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
TEAM = [{"Key": "Team", "Value": "blue"}]


@pytest.fixture(scope="module")
def user(server, iam):
    return new_user(server, iam, ALLOW_ALL, Tags=[{"Key": "Cost", "Value": "7"}])


@pytest.fixture(scope="module")
def sts(server, user):
    client = server.client("sts", user[1])
    yield client
    client.close()


def new_role(iam, principal, *, actions=TRUSTED, condition=None, tags=(), rights=ALLOW_ALL):
    name = unique("role")
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions}
    document = policy({**statement, **({"Condition": condition} if condition else {})})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Tags=list(tags))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=policy(rights))
    return made


def when(operator, **keys):
    return {**ALLOW_ALL, "Condition": {operator: {name.replace("__", ":").replace("_", "/"): one for name, one in keys.items()}}}


def seconds(credentials):
    return (credentials["Expiration"] - datetime.now(UTC)).total_seconds()


# ------------------------------------------------------------------------------------------------------- GetSessionToken


@pytest.mark.fact("F14")
def test_a_session_of_a_user_is_that_user(server, iam, bucket):
    name, who = new_user(server, iam, {"Effect": "Allow", "Action": "s3:*Object", "Resource": "*"})
    credentials = server.client("sts", who).get_session_token()["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert 43_100 < seconds(credentials) <= 43_200
    sts, s3 = (acting(server, service, credentials) for service in ("sts", "s3"))
    caller = sts.get_caller_identity()
    assert (caller["Arn"], caller["UserId"][:4]) == (arn_of(name), "AIDA")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(s3.list_objects_v2, Bucket=bucket).message.startswith(f"User: {arn_of(name)} is not authorized")
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy({**ALLOW_ALL, "Effect": "Deny"}))
    assert refused(s3.get_object, Bucket=bucket, Key="k").message.endswith("explicit deny in an identity-based policy")


@pytest.mark.fact("F14")
def test_what_a_session_of_a_user_does_not_open(server, iam, user, sts):
    credentials = sts.get_session_token()["Credentials"]
    assert told(refused(acting(server, "iam", credentials).list_users)) == (
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    )
    inside = acting(server, "sts", credentials)
    for call, given in ((inside.get_session_token, {}), (inside.get_federation_token, {"Name": "ann"})):
        refusal = refused(call, **given)
        assert told(refusal) == ("AccessDenied", f"Cannot call {call.__name__.title().replace('_', '')} with session credentials")
    assert refused(inside.get_access_key_info, AccessKeyId=user[1].access_key_id).code == "AccessDenied"
    role = new_role(iam, arn_of(user[0]))
    longer = assume(inside, role)["Credentials"]  # that is no chaining
    assert acting(server, "sts", longer).get_caller_identity()["Arn"].endswith(f"assumed-role/{role['RoleName']}/session-1")


@pytest.mark.fact("F14")
def test_a_session_of_the_root(server, s3, bucket):
    sts = server.client("sts")
    for asked in ({}, {"DurationSeconds": 129_600}):
        credentials = sts.get_session_token(**asked)["Credentials"]
        assert 3_500 < seconds(credentials) <= 3_600
    inside = acting(server, "sts", credentials)
    assert inside.get_caller_identity()["Arn"] == f"arn:aws:iam::{OWNER}:root"
    acting(server, "s3", credentials).put_object(Bucket=bucket, Key="k", Body=b"x")
    acting(server, "kms", credentials).list_keys()
    assert refused(acting(server, "iam", credentials).list_users).code == "InvalidClientTokenId"
    role = {"Arn": f"arn:aws:iam::{OWNER}:role/any"}
    refusal = refused(inside.assume_role, RoleArn=role["Arn"], RoleSessionName="session")
    assert told(refusal) == ("AccessDenied", "Roles may not be assumed by root accounts.")


def test_durations_and_mfa(sts):
    assert refused(sts.get_session_token, DurationSeconds=129_601).code == "ValidationError"
    assert seconds(sts.get_session_token(DurationSeconds=900)["Credentials"]) <= 900
    refusal = refused(sts.get_session_token, SerialNumber="arn:aws:iam::1:mfa/x", TokenCode="123456")
    assert (refusal.status, refusal.code) == (501, "NotImplemented")


@pytest.mark.parametrize("how", ["off", "deleted", "user deleted", "renamed"])
@pytest.mark.parametrize("sort", ["session", "federation"])
def test_sessions_end_with_the_access_key_that_asked_for_them(server, iam, how, sort):
    name, who = new_user(server, iam, ALLOW_ALL)
    sts = server.client("sts", who)
    made = sts.get_session_token() if sort == "session" else sts.get_federation_token(Name="ann", Policy=policy(ALLOW_ALL))
    s3 = acting(server, "s3", made["Credentials"])
    s3.list_buckets()
    given = {"UserName": name, "AccessKeyId": who.access_key_id}
    if how == "renamed":
        iam.update_user(UserName=name, NewUserName=f"{name}-new")
        s3.list_buckets()
        return
    if how == "off":
        iam.update_access_key(**given, Status="Inactive")
    else:
        iam.delete_access_key(**given)
    if how == "user deleted":
        iam.delete_user_policy(UserName=name, PolicyName="rights")
        iam.delete_user(UserName=name)
    assert refused(s3.list_buckets).code == "InvalidAccessKeyId"
    if how == "off":
        iam.update_access_key(**given, Status="Active")
        s3.list_buckets()


# --------------------------------------------------------------------------------------------------- GetFederationToken


@pytest.mark.fact("F15", "E6")
def test_a_federated_user(server, iam, user, sts, bucket):
    answer = sts.get_federation_token(Name="ann")
    arn = f"arn:aws:sts::{OWNER}:federated-user/ann"
    assert answer["FederatedUser"] == {"Arn": arn, "FederatedUserId": f"{OWNER}:ann"}
    assert answer["PackedPolicySize"] == 0
    caller = acting(server, "sts", answer["Credentials"]).get_caller_identity()
    assert (caller["Arn"], caller["UserId"]) == (arn, f"{OWNER}:ann")
    refusal = refused(acting(server, "s3", answer["Credentials"]).put_object, Bucket=bucket, Key="k", Body=b"x")
    assert refusal.message.startswith(f"User: {arn} is not authorized to perform: s3:PutObject")
    assert refusal.message.endswith("because no session policy allows the s3:PutObject action")
    only_put = policy({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})
    answer = sts.get_federation_token(Name="ann", Policy=only_put)
    assert 0 < answer["PackedPolicySize"] < 10
    client = acting(server, "s3", answer["Credentials"])
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(client.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert refused(acting(server, "iam", answer["Credentials"]).list_users).code == "InvalidClientTokenId"
    inside = acting(server, "sts", answer["Credentials"])
    role = new_role(iam, OWNER)
    assert told(refused(inside.assume_role, RoleArn=role["Arn"], RoleSessionName="x1")) == (
        "AccessDenied",
        "Cannot call AssumeRole with session credentials",
    )
    assert refused(inside.get_session_token).code == "AccessDenied"


def test_a_federated_user_may_no_more_than_who_asked_for_it(server, iam, bucket):
    name, who = new_user(server, iam)
    sts = server.client("sts", who)
    named = f"arn:aws:sts::{OWNER}:federated-user/bob"
    refusal = refused(sts.get_federation_token, Name="bob", Policy=policy(ALLOW_ALL))
    assert refusal.code == "AccessDenied"
    assert refusal.message.startswith(
        f"User: {arn_of(name)} is not authorized to perform: sts:GetFederationToken on resource: {named}"
    )
    right = {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": named}
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy(right))
    client = acting(server, "s3", sts.get_federation_token(Name="bob", Policy=policy(ALLOW_ALL))["Credentials"])
    refusal = refused(client.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert refusal.message.endswith("because no identity-based policy allows the s3:PutObject action")
    assert refused(sts.get_federation_token, Name="rob").code == "AccessDenied"
    tags = {"Name": "bob", "Tags": TEAM}
    assert "sts:TagSession" in refused(sts.get_federation_token, **tags).message
    both = {**right, "Action": ["sts:GetFederationToken", "sts:TagSession"]}
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy(both))
    assert sts.get_federation_token(**tags)["PackedPolicySize"] > 0


@pytest.mark.fact("C5", "F15")
def test_a_bucket_policy_names_a_federated_user_or_its_user(server, iam, s3, user, sts, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    client = acting(server, "s3", sts.get_federation_token(Name="ann")["Credentials"])
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({**statement, "Principal": {"AWS": arn_of(user[0])}}))
    assert refused(client.get_object, Bucket=bucket, Key="k").message.endswith("no session policy allows the s3:GetObject action")
    named = {"Principal": "*", "Condition": {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:sts::{OWNER}:federated-user/ann"}}}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy({**statement, **named}))
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_a_federated_user_of_the_root_is_not_the_root(server, bucket):
    sts = server.client("sts")
    answer = sts.get_federation_token(Name="ann", Policy=policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))
    assert seconds(answer["Credentials"]) <= 3_600
    acting(server, "s3", answer["Credentials"]).put_object(Bucket=bucket, Key="k", Body=b"x")
    refusal = refused(acting(server, "kms", answer["Credentials"]).list_keys)
    assert refusal.message.endswith("because no session policy allows the kms:ListKeys action")
    nothing = acting(server, "s3", sts.get_federation_token(Name="ann")["Credentials"])
    assert refused(nothing.list_buckets).code == "AccessDenied"


# ------------------------------------------------------------------------------------------------- tags of role sessions


@pytest.mark.fact("F12", "C35")
def test_tags_of_a_session_are_seen_by_conditions(server, iam, user, sts, bucket):
    role = new_role(
        iam,
        arn_of(user[0]),
        tags=[{"Key": "team", "Value": "red"}, {"Key": "site", "Value": "x"}],
        rights=when("StringEquals", aws__PrincipalTag_TEAM="blue", aws__PrincipalTag_site="x"),
    )
    plain = acting(server, "s3", assume(sts, role)["Credentials"])
    assert refused(plain.put_object, Bucket=bucket, Key="k", Body=b"x").code == "AccessDenied"
    answer = assume(sts, role, Tags=TEAM)
    assert answer["PackedPolicySize"] > 0
    acting(server, "s3", answer["Credentials"]).put_object(Bucket=bucket, Key="k", Body=b"x")  # the session's tag wins
    iam.tag_role(RoleName=role["RoleName"], Tags=[{"Key": "site", "Value": "y"}])
    inside = acting(server, "s3", answer["Credentials"])
    assert refused(inside.put_object, Bucket=bucket, Key="k", Body=b"x").code == "AccessDenied"


@pytest.mark.fact("C35")
def test_tags_of_a_user_are_seen_by_conditions(server, iam, bucket):
    name, who = new_user(server, iam, Tags=TEAM)
    rights = when("StringEquals", aws__PrincipalTag_team="blue")
    iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy(rights))
    s3 = server.client("s3", who)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    federated = server.client("sts", who).get_federation_token(Name="ann", Policy=policy(ALLOW_ALL), Tags=TEAM)
    acting(server, "s3", federated["Credentials"]).put_object(Bucket=bucket, Key="k", Body=b"x")
    iam.untag_user(UserName=name, TagKeys=["TEAM"])
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x").code == "AccessDenied"
    got = acting(server, "s3", federated["Credentials"]).get_object(Bucket=bucket, Key="k")  # by its own tag
    assert got["Body"].read() == b"x"


@pytest.mark.fact("F12")
def test_tags_need_a_right_of_their_own(iam, user, sts):
    role = new_role(iam, arn_of(user[0]), actions="sts:AssumeRole")
    for more, action in (({"Tags": TEAM}, "TagSession"), ({"SourceIdentity": "ann"}, "SetSourceIdentity")):
        refusal = refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session", **more)
        assert told(refusal) == (
            "AccessDenied",
            f"User: {arn_of(user[0])} is not authorized to perform: sts:{action} on resource: {role['Arn']}",
        )


@pytest.mark.fact("F12")
@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (
            {"Tags": TEAM, "TransitiveTagKeys": ["site"]},
            "InvalidParameterValue",
            "The specified transitive tag key must be included",
        ),
        ({"Tags": [*TEAM, {"Key": "TEAM", "Value": ""}]}, "InvalidParameterValue", "Duplicate tag keys found. Please note that"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidParameterValue", "System tags cannot be added"),
        ({"Tags": [{"Key": f"k{n}", "Value": ""} for n in range(51)]}, "ValidationError", "1 validation error detected"),
        ({"SerialNumber": "arn:aws:iam::1:mfa/x", "TokenCode": "123456"}, "NotImplemented", "The parameter SerialNumber"),
        ({"MinimumSessionTokenSize": 4096}, "NotImplemented", "The parameter MinimumSessionTokenSize"),
    ],
)
def test_tags_that_cannot_be(iam, user, sts, more, code, text):
    role = new_role(iam, arn_of(user[0]))
    refusal = refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session", **more)
    assert (refusal.code, refusal.message[: len(text)]) == (code, text)


@pytest.mark.fact("F12")
def test_too_much_to_pack(server, iam, user, sts):
    role = new_role(iam, arn_of(user[0]))
    tags = [{"Key": secrets.token_hex(60), "Value": secrets.token_hex(120)} for _ in range(30)]
    refusal = refused(sts.assume_role, RoleArn=role["Arn"], RoleSessionName="session", Tags=tags)
    assert (refusal.status, refusal.code) == (400, "PackedPolicyTooLarge")
    assert refusal.message.startswith("Packed policy consumes 1")
    assert refusal.message.endswith("% of allotted space, please use smaller policy.")
    answer = assume(sts, role, Tags=tags[:17])
    assert 60 < answer["PackedPolicySize"] <= 100
    assert acting(server, "s3", answer["Credentials"]).list_buckets()["Buckets"] is not None


@pytest.mark.fact("C35", "C32")
@pytest.mark.parametrize(
    ("condition", "holds", "fails"),
    [
        ({"StringEquals": {"aws:RequestTag/team": "blue"}}, {"Tags": TEAM}, {}),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": "Team"}}, {"Tags": TEAM}, {"Tags": [*TEAM, {"Key": "b", "Value": ""}]}),
        (
            {"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": "Team"}},
            {"Tags": TEAM, "TransitiveTagKeys": ["Team"]},
            {"Tags": TEAM},
        ),
        ({"StringLike": {"sts:SourceIdentity": "a*"}}, {"SourceIdentity": "ann"}, {"SourceIdentity": "bob"}),
        ({"StringEquals": {"sts:ExternalId": "ours"}}, {"ExternalId": "ours"}, {"ExternalId": "theirs"}),
        ({"StringLike": {"sts:RoleSessionName": "ann-*"}}, {"RoleSessionName": "ann-1"}, {}),
        ({"StringEquals": {"aws:PrincipalTag/cost": "7"}}, {}, None),
        ({"Null": {"aws:MultiFactorAuthPresent": "true", "aws:TokenIssueTime": "true"}}, {}, None),
        ({"Null": {"aws:FederatedProvider": "true", "aws:SourceIdentity": "true"}}, {}, None),
    ],
)
def test_what_a_trust_policy_sees(iam, user, sts, condition, holds, fails):
    role = new_role(iam, arn_of(user[0]), condition=condition)
    asked = {"RoleArn": role["Arn"], "RoleSessionName": "session"}
    assert sts.assume_role(**asked | holds)["Credentials"]
    if fails is not None:
        assert refused(sts.assume_role, **asked | fails).code == "AccessDenied"


@pytest.mark.fact("C35", "C36")
def test_what_conditions_see_of_a_session(server, iam, user, sts, bucket):
    role = new_role(iam, arn_of(user[0]))
    sessions = {
        "role": assume(sts, role, SourceIdentity="ann"),
        "user": sts.get_session_token(),
        "federated": sts.get_federation_token(Name="ann", Policy=policy(ALLOW_ALL)),
    }
    assert sessions["role"]["SourceIdentity"] == "ann"
    temporary = {
        "Bool": {"aws:MultiFactorAuthPresent": "false"},
        "DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:00Z"},
        "DateLessThan": {"aws:TokenIssueTime": "2120-01-01T00:00:00Z"},
        "Null": {"aws:FederatedProvider": "true", "aws:MultiFactorAuthAge": "true"},
    }
    own = {
        "role": {
            "aws:userid": f"{role['RoleId']}:session-1",
            "aws:PrincipalType": "AssumedRole",
            "aws:PrincipalArn": role["Arn"],
            "aws:SourceIdentity": "ann",
        },
        "user": {"aws:username": user[0], "aws:PrincipalType": "User", "aws:PrincipalArn": arn_of(user[0])},
        "federated": {
            "aws:userid": f"{OWNER}:ann",
            "aws:PrincipalType": "FederatedUser",
            "aws:PrincipalArn": f"arn:aws:sts::{OWNER}:federated-user/ann",
            "aws:PrincipalTag/cost": "7",
        },
    }
    for sort, answer in sessions.items():
        client = acting(server, "s3", answer["Credentials"])
        conditions = {**temporary, "StringEquals": own[sort]}
        deny = {"Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*", "Condition": conditions}
        client.list_objects_v2(Bucket=bucket)
        iam.put_user_policy(UserName=user[0], PolicyName="seen", PolicyDocument=policy(deny))
        iam.put_role_policy(RoleName=role["RoleName"], PolicyName="seen", PolicyDocument=policy(deny))
        assert refused(client.list_objects_v2, Bucket=bucket).message.endswith("explicit deny in an identity-based policy"), sort
        server.client("s3", user[1]).list_objects_v2(Bucket=bucket)  # a long-term key has none of that
        iam.delete_user_policy(UserName=user[0], PolicyName="seen")
        iam.delete_role_policy(RoleName=role["RoleName"], PolicyName="seen")


def test_sessions_that_were_made_before_a_moment_are_ended(server, iam, user, sts):
    """AWS's way of ending the sessions of a role: deny whatever was issued before now."""
    role = new_role(iam, arn_of(user[0]))
    client = acting(server, "s3", assume(sts, role)["Credentials"])
    client.list_buckets()
    older = {"DateLessThan": {"aws:TokenIssueTime": "2120-01-01T00:00:00Z"}}
    deny = {**ALLOW_ALL, "Effect": "Deny", "Condition": older}
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="AWSRevokeOlderSessions", PolicyDocument=policy(deny))
    assert refused(client.list_buckets).code == "AccessDenied"


# -------------------------------------------------------------------------------------------------------------- chaining


@pytest.mark.fact("F12", "F7")
def test_what_is_handed_on_to_the_next_role(server, iam, user, sts):
    first = new_role(iam, arn_of(user[0]))
    seen = {
        "StringEquals": {"aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "ann"},
        "Null": {"aws:PrincipalTag/own": "true"},
    }
    rights = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*", "Condition": seen}
    second = new_role(iam, first["Arn"], rights=rights)
    tags = [*TEAM, {"Key": "own", "Value": "1"}]
    answer = assume(sts, first, Tags=tags, TransitiveTagKeys=["team"], SourceIdentity="ann")
    inside = acting(server, "sts", answer["Credentials"])
    chained = assume(inside, second)
    assert chained["SourceIdentity"] == "ann"
    acting(server, "s3", chained["Credentials"]).list_buckets()
    conflict = (
        "InvalidParameterValue",
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
    )
    for more in ({"TransitiveTagKeys": ["Team"]}, {"Tags": [{"Key": "TEAM", "Value": "red"}]}):
        assert told(refused(inside.assume_role, RoleArn=second["Arn"], RoleSessionName="session", **more)) == conflict
    refusal = refused(inside.assume_role, RoleArn=second["Arn"], RoleSessionName="session", SourceIdentity="bob")
    assert refusal.code == "AccessDenied"
    assert assume(inside, second, SourceIdentity="ann")["SourceIdentity"] == "ann"


def test_what_is_handed_on_must_be_let_in(server, iam, user, sts):
    first = new_role(iam, arn_of(user[0]))
    second = new_role(iam, first["Arn"], actions="sts:AssumeRole", rights=ALLOW_ALL)
    plain = acting(server, "sts", assume(sts, first, Tags=TEAM)["Credentials"])
    assert assume(plain, second)["Credentials"]  # this tag is not handed on
    for more, action in (
        ({"Tags": TEAM, "TransitiveTagKeys": ["Team"]}, "TagSession"),
        ({"SourceIdentity": "ann"}, "SetSourceIdentity"),
    ):
        inside = acting(server, "sts", assume(sts, first, **more)["Credentials"])
        refusal = refused(inside.assume_role, RoleArn=second["Arn"], RoleSessionName="session")
        assert refusal.message.endswith(f"is not authorized to perform: sts:{action} on resource: {second['Arn']}")


@pytest.mark.fact("F13")
def test_a_roles_session_asks_for_no_token(server, iam, user, sts):
    inside = acting(server, "sts", assume(sts, new_role(iam, arn_of(user[0])))["Credentials"])
    refusal = refused(inside.get_session_token)
    assert told(refusal) == ("AccessDenied", "Cannot call GetSessionToken with session credentials")
    refusal = refused(inside.get_federation_token, Name="ann")
    assert told(refusal) == ("AccessDenied", "Cannot call GetFederationToken with session credentials")
    assert inside.get_access_key_info(AccessKeyId=user[1].access_key_id)["Account"] == OWNER


@pytest.mark.parametrize("name", ["decode_authorization_message", "assume_root", "assume_role_with_web_identity"])
def test_what_is_not_built_says_so(sts, name):
    given = {
        "decode_authorization_message": {"EncodedMessage": "x"},
        "assume_root": {"TargetPrincipal": OWNER, "TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRoot"}},
        "assume_role_with_web_identity": {
            "RoleArn": f"arn:aws:iam::{OWNER}:role/any-role",
            "RoleSessionName": "ann",
            "WebIdentityToken": "x" * 8,
        },
    }[name]
    refusal = refused(getattr(sts, name), **given)
    assert (refusal.status, refusal.code) in {(501, "NotImplemented"), (403, "MissingAuthenticationToken")}
