"""IAM's policy simulator with boto3: the answers of the judge, in the shapes that clients of the simulator read."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, STRANGER, refused, unique
from tests.clients.test_user_rights import arn_of, new_user, policy

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
OBJECT, OTHER = "arn:aws:s3:::b/k", "arn:aws:s3:::other/k"
CALLER, FOREIGN = f"arn:aws:iam::{OWNER}:user/ann", f"arn:aws:iam::{STRANGER}:user/bob"


def custom(iam, *statements, actions=("s3:GetObject",), **more):
    """The results of a simulation of one policy."""
    answer = iam.simulate_custom_policy(PolicyInputList=[policy(*statements)], ActionNames=list(actions), **more)
    assert not answer["IsTruncated"]
    return answer["EvaluationResults"]


def decision(iam, *statements, **more):
    (found,) = custom(iam, *statements, **more)
    return found["EvalDecision"]


def entry(key, *values, sort="string"):
    return {"ContextKeyName": key, "ContextKeyValues": list(values), "ContextKeyType": sort}


def test_the_statement_that_allowed(iam):
    text = json.dumps({"Version": "2012-10-17", "Statement": [{**READ, "Action": "s3:PutObject"}, READ]}, indent=2)
    answer = iam.simulate_custom_policy(PolicyInputList=[text], ActionNames=["s3:GetObject"], ResourceArns=[OBJECT])
    (found,) = answer["EvaluationResults"]
    lines = text.split("\n")
    (matched,) = found["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) == ("PolicyInputList.1", "IAM Policy")
    start, end = matched["StartPosition"], matched["EndPosition"]
    assert lines[end["Line"] - 1][: end["Column"] - 1].strip() == "}"
    assert "GetObject" in "".join(lines[start["Line"] - 1 : end["Line"]])
    assert (found["EvalActionName"], found["EvalResourceName"], found["EvalDecision"]) == ("s3:GetObject", OBJECT, "allowed")
    (specific,) = found["ResourceSpecificResults"]
    assert (specific["EvalResourceName"], specific["EvalResourceDecision"]) == (OBJECT, "allowed")
    assert specific["MatchedStatements"] == [matched]
    assert found["MissingContextValues"] == []
    assert found["EvalDecisionDetails"] == {}


def test_several_actions_and_resources(iam):
    actions = ["s3:GetObject", "s3:PutObject"]
    answers = custom(iam, READ, actions=actions, ResourceArns=[OBJECT, OTHER])
    assert [one["EvalActionName"] for one in answers] == actions
    read, write = answers
    assert [one["EvalResourceDecision"] for one in read["ResourceSpecificResults"]] == ["allowed", "implicitDeny"]
    assert (read["EvalDecision"], read["EvalResourceName"]) == ("implicitDeny", "arn:aws:s3:::${BucketName}/${KeyName}")
    assert (write["EvalDecision"], write["MatchedStatements"]) == ("implicitDeny", [])


def test_without_resources_it_is_all_of_them(iam):
    (found,) = custom(iam, {**READ, "Resource": "*"})
    assert (found["EvalResourceName"], found["EvalDecision"]) == ("*", "allowed")
    assert "ResourceSpecificResults" not in found
    assert decision(iam, READ) == "implicitDeny"


def test_every_deny_is_shown_and_nothing_else(iam):
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    (found,) = custom(iam, READ, deny, {**deny, "Action": "*"}, ResourceArns=[OBJECT])
    assert (found["EvalDecision"], len(found["MatchedStatements"])) == ("explicitDeny", 2)
    (found,) = custom(iam, READ, {**READ, "Resource": "*"}, ResourceArns=[OBJECT])
    assert (found["EvalDecision"], len(found["MatchedStatements"])) == ("allowed", 2)


@pytest.mark.parametrize(
    ("condition", "entries", "expected"),
    [
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, [entry("aws:SourceIp", "10.1.1.1", sort="ip")], "allowed"),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, [entry("AWS:sourceip", "11.1.1.1", sort="ip")], "implicitDeny"),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, [entry("s3:max-keys", "9", sort="numeric")], "allowed"),
        ({"Bool": {"aws:SecureTransport": "true"}}, [entry("aws:SecureTransport", "true", sort="boolean")], "allowed"),
        (
            {"DateGreaterThan": {"aws:CurrentTime": "2018-08-16T12:00:00Z"}},
            [entry("aws:CurrentTime", "2018-04-25T11:00:00Z", sort="date")],
            "implicitDeny",
        ),
        (
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
            [entry("aws:TagKeys", "a", "b", sort="stringList")],
            "allowed",
        ),
        (
            {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
            [entry("aws:TagKeys", "a", "c", sort="stringList")],
            "implicitDeny",
        ),
        ({"BinaryEquals": {"my:key": "AAEC"}}, [entry("my:key", "AAEC", sort="binary")], "allowed"),
    ],
)
def test_context_entries(iam, condition, entries, expected):
    assert decision(iam, {**READ, "Condition": condition}, ResourceArns=[OBJECT], ContextEntries=entries) == expected


def test_missing_context_values(iam):
    conditions = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "StringLike": {"s3:prefix": "${aws:username}/*"}}
    narrowed = {**READ, "Resource": "*", "Condition": conditions}
    elsewhere = {**READ, "Action": "s3:PutObject", "Condition": {"Null": {"aws:SourceIp": "true"}}}
    (found,) = custom(iam, narrowed, elsewhere)
    assert found["MissingContextValues"] == ["aws:MultiFactorAuthPresent", "s3:prefix", "aws:username"]
    (found,) = custom(iam, narrowed, elsewhere, CallerArn=CALLER, ContextEntries=[entry("S3:PREFIX", "ann/x")])
    assert (found["MissingContextValues"], found["EvalDecision"]) == (["aws:MultiFactorAuthPresent"], "implicitDeny")
    (found,) = custom(iam, narrowed, ResourceArns=[OBJECT])
    assert len(found["ResourceSpecificResults"][0]["MissingContextValues"]) == 3


def test_a_resource_policy(iam):
    statement = {"Effect": "Allow", "Principal": {"AWS": CALLER}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    given = {"ResourceArns": [OBJECT], "CallerArn": CALLER}
    nothing = {**READ, "Resource": "arn:aws:s3:::none/*"}
    assert decision(iam, nothing, **given) == "implicitDeny"
    (found,) = custom(iam, nothing, **given, ResourcePolicy=policy(statement))
    assert found["EvalDecision"] == "allowed"
    assert [(one["SourcePolicyId"], one["SourcePolicyType"]) for one in found["MatchedStatements"]] == [
        ("ResourcePolicy", "Resource Policy")
    ]
    deny = policy({**statement, "Effect": "Deny", "Principal": "*"})
    assert decision(iam, READ, **given, ResourcePolicy=deny) == "explicitDeny"


def test_across_accounts_each_side_must_allow(iam):
    statement = {"Effect": "Allow", "Principal": {"AWS": FOREIGN}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    given = {"ResourceArns": [OBJECT], "CallerArn": FOREIGN, "ResourceOwner": OWNER, "ResourcePolicy": policy(statement)}
    (found,) = custom(iam, READ, **given)
    assert (found["EvalDecision"], found["EvalDecisionDetails"]) == (
        "allowed",
        {"IAM Policy": "allowed", "Resource Policy": "allowed"},
    )
    (found,) = custom(iam, {**READ, "Resource": "arn:aws:s3:::none/*"}, **given)
    assert (found["EvalDecision"], found["EvalDecisionDetails"]) == (
        "implicitDeny",
        {"IAM Policy": "implicitDeny", "Resource Policy": "allowed"},
    )
    given["ResourceOwner"] = f"arn:aws:iam::{STRANGER}:root"
    assert "EvalDecisionDetails" in custom(iam, READ, **given)[0]


def test_the_policy_of_a_key_decides_alone(iam):
    key = f"arn:aws:kms:us-east-1:{OWNER}:key/6d0b7ee4-0000-4000-8000-000000000001"
    right = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    given = {"actions": ["kms:Decrypt"], "ResourceArns": [key], "CallerArn": CALLER}
    other = policy({**right, "Principal": {"AWS": f"arn:aws:iam::{OWNER}:user/other"}})
    assert decision(iam, right, **given) == "allowed"
    assert decision(iam, right, **given, ResourcePolicy=other) == "implicitDeny"
    delegating = policy({**right, "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"}})
    assert decision(iam, right, **given, ResourcePolicy=delegating) == "allowed"


def test_a_permissions_boundary(iam):
    for statement, expected, allowed in (
        ({**READ, "Action": "s3:PutObject"}, "implicitDeny", False),
        ({**READ, "Effect": "Deny"}, "explicitDeny", False),
        ({**READ, "Action": "*"}, "allowed", True),
    ):
        (found,) = custom(iam, READ, ResourceArns=[OBJECT], PermissionsBoundaryPolicyInputList=[policy(statement)])
        assert found["EvalDecision"] == expected
        assert found["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": allowed}
        assert found["ResourceSpecificResults"][0]["PermissionsBoundaryDecisionDetail"] == {
            "AllowedByPermissionsBoundary": allowed
        }


@pytest.fixture(scope="module")
def world(server, iam):
    """A user with an inline and a managed policy and a group; what it may is spread over them."""
    user, who = new_user(server, iam, READ)
    group, managed = unique("group"), unique("managed")
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="g", PolicyDocument=policy({**READ, "Action": "s3:PutObject"}))
    iam.add_user_to_group(GroupName=group, UserName=user)
    condition = {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}
    text = policy({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": condition})
    arn = iam.create_policy(PolicyName=managed, PolicyDocument=text)["Policy"]["Arn"]
    iam.attach_user_policy(UserName=user, PolicyArn=arn)
    return user, who, group, managed, arn


def principal(iam, user, action, *, resource=OBJECT, **more):
    answer = iam.simulate_principal_policy(PolicySourceArn=arn_of(user), ActionNames=[action], ResourceArns=[resource], **more)
    (found,) = answer["EvaluationResults"]
    return found


def test_a_users_policies_and_its_groups(iam, world):
    user, _, group, managed, _ = world
    for action, source in (("s3:GetObject", f"user_{user}_rights"), ("s3:PutObject", f"group_{group}_g")):
        found = principal(iam, user, action)
        assert (found["EvalDecision"], [one["SourcePolicyId"] for one in found["MatchedStatements"]]) == ("allowed", [source])
    listing = {"action": "s3:ListBucket", "resource": "arn:aws:s3:::b"}
    found = principal(iam, user, **listing)
    assert (found["EvalDecision"], found["MissingContextValues"]) == ("implicitDeny", ["aws:RequestedRegion"])
    found = principal(iam, user, **listing, ContextEntries=[entry("aws:RequestedRegion", "us-east-1")])
    assert [one["SourcePolicyId"] for one in found["MatchedStatements"]] == [managed]
    more = policy({"Effect": "Deny", "Action": "*", "Resource": "*"})
    found = principal(iam, user, "s3:GetObject", PolicyInputList=[more])
    assert (found["EvalDecision"], found["MatchedStatements"][0]["SourcePolicyId"]) == ("explicitDeny", "PolicyInputList.1")


def test_what_is_excluded(iam, world):
    user, _, group, _, arn = world
    named = {"PolicyName": "rights", "AttachmentType": "user", "AttachmentName": user}
    for entries, action, resource, expected in (
        ([{"PolicyType": "inline"}], "s3:GetObject", OBJECT, "implicitDeny"),
        ([{"InlinePolicyIdentifier": named}], "s3:GetObject", OBJECT, "implicitDeny"),
        ([{"InlinePolicyIdentifier": {**named, "AttachmentName": "else"}}], "s3:GetObject", OBJECT, "allowed"),
        ([{"PolicyType": "scp"}], "s3:GetObject", OBJECT, "allowed"),
        ([{"PolicyArn": arn[:-3] + "???"}], "s3:ListBucket", "*", "implicitDeny"),
        ([{"PolicyType": "aws-managed"}], "s3:ListBucket", "*", "allowed"),
        ([{"PolicyType": "user-managed"}], "s3:ListBucket", "*", "implicitDeny"),
    ):
        region = [entry("aws:RequestedRegion", "us-east-1")]
        found = principal(iam, user, action, resource=resource, PolicyExclusionList=entries, ContextEntries=region)
        assert found["EvalDecision"] == expected, entries
    bad = [{"PolicyArn": f"arn:aws:iam::{OWNER}:policy/*a*"}]
    assert refused(principal, iam=iam, user=user, action="s3:GetObject", PolicyExclusionList=bad).code == "InvalidInput"
    del group


def test_an_attached_boundary_and_one_instead_of_it(iam, server):
    user, _ = new_user(server, iam, READ)
    bound = iam.create_policy(PolicyName=unique("bound"), PolicyDocument=policy({**READ, "Action": "s3:PutObject"}))["Policy"][
        "Arn"
    ]
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=bound)
    assert principal(iam, user, "s3:GetObject")["EvalDecision"] == "implicitDeny"
    instead = [policy({**READ, "Action": "*"})]
    assert principal(iam, user, "s3:GetObject", PermissionsBoundaryPolicyInputList=instead)["EvalDecision"] == "allowed"
    excluded = [{"PolicyType": "permission-boundary"}]
    assert principal(iam, user, "s3:GetObject", PolicyExclusionList=excluded)["EvalDecision"] == "allowed"


def test_roles_and_other_callers(iam, world):
    role = unique("role")
    trust = policy({"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "sts:AssumeRole"})
    arn = iam.create_role(RoleName=role, Path="/ops/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=policy(READ))
    given = {"PolicySourceArn": arn, "ActionNames": ["s3:GetObject"], "ResourceArns": [OBJECT]}
    (found,) = iam.simulate_principal_policy(**given)["EvaluationResults"]
    assert (found["EvalDecision"], found["MatchedStatements"][0]["SourcePolicyId"]) == ("allowed", f"role_{role}_own")
    statement = {"Effect": "Deny", "Principal": {"AWS": arn}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    given["ResourcePolicy"] = policy(statement)
    refusal = refused(iam.simulate_principal_policy, **given)
    assert (refusal.status, refusal.code) == (400, "InvalidInput")
    (found,) = iam.simulate_principal_policy(**given, CallerArn=arn)["EvaluationResults"]
    assert found["EvalDecision"] == "explicitDeny"
    (found,) = iam.simulate_principal_policy(**given, CallerArn=arn_of(world[0]))["EvaluationResults"]
    assert found["EvalDecision"] == "allowed"  # as if that user had the role's policies


def test_pages(iam):
    actions = [f"s3:Action{number}" for number in range(5)]
    given = {"PolicyInputList": [policy(READ)], "ActionNames": actions}
    seen, marker = [], {}
    while True:
        page = iam.simulate_custom_policy(**given, MaxItems=2, **marker)
        seen.append([one["EvalActionName"] for one in page["EvaluationResults"]])
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert seen == [actions[:2], actions[2:4], actions[4:]]
    pages = iam.get_paginator("simulate_custom_policy").paginate(**given, PaginationConfig={"PageSize": 3})
    assert [one["EvalActionName"] for page in pages for one in page["EvaluationResults"]] == actions


def test_context_keys(iam, world):
    user = world[0]
    keyed = policy({**READ, "Condition": {"StringLike": {"s3:prefix": "${aws:username}"}, "Null": {"AWS:SourceIp": "true"}}})
    assert iam.get_context_keys_for_custom_policy(PolicyInputList=[keyed, keyed])["ContextKeyNames"] == [
        "s3:prefix",
        "AWS:SourceIp",
        "aws:username",
    ]
    answer = iam.get_context_keys_for_principal_policy(PolicySourceArn=arn_of(user), PolicyInputList=[keyed])
    assert answer["ContextKeyNames"] == ["aws:RequestedRegion", "s3:prefix", "AWS:SourceIp", "aws:username"]


@pytest.mark.parametrize(
    "given",
    [
        {"PolicyInputList": ["{"]},
        {"PolicyInputList": [policy({**READ, "Principal": "*"})]},
        {"ActionNames": ["GetObject"]},
        {"ActionNames": ["s3:*"]},
        {"ResourceArns": ["b/k"]},
        {"ResourceArns": [OBJECT], "ResourcePolicy": "{}", "CallerArn": CALLER},
        {"ResourceArns": [OBJECT], "ResourcePolicy": policy({**READ, "Principal": "*"})},  # without a caller
        {"ResourceArns": ["*"], "ResourcePolicy": policy({**READ, "Principal": "*"}), "CallerArn": CALLER},
        {"CallerArn": f"arn:aws:iam::{OWNER}:root"},
        {"CallerArn": f"arn:aws:sts::{OWNER}:assumed-role/a/bc"},
        {"ResourceOwner": "somebody"},
        {"PermissionsBoundaryPolicyInputList": [policy(READ), policy(READ)]},
        {"ContextEntries": [entry("nonsense", "x")]},
        {"ContextEntries": [entry("s3:prefix", "a"), entry("S3:Prefix", "b")]},
        {"ContextEntries": [entry("s3:prefix", "a", "b")]},
        {"ContextEntries": [entry("s3:prefix")]},
        {"ContextEntries": [entry("s3:max-keys", "many", sort="numeric")]},
        {"ContextEntries": [entry("aws:SecureTransport", "yes", sort="boolean")]},
        {"ContextEntries": [entry("aws:SourceIp", "here", sort="ip")]},
        {"ContextEntries": [entry("aws:CurrentTime", "now", sort="dateList")]},
        {"ContextEntries": [entry("my:key", "!", sort="binary")]},
        {"ActionNames": ["s3:GetObject"] * 101, "ResourceArns": [OBJECT] * 100},
    ],
)
def test_bad_input(iam, given):
    refusal = refused(iam.simulate_custom_policy, **{"PolicyInputList": [policy(READ)], "ActionNames": ["s3:GetObject"], **given})
    assert (refusal.status, refusal.code) == (400, "InvalidInput")
    assert refusal.message


def test_what_is_not_built(iam):
    given = {"PolicyInputList": [policy(READ)], "ActionNames": ["ec2:RunInstances"]}
    assert refused(iam.simulate_custom_policy, **given, ResourceHandlingOption="EC2-VPC-InstanceStore").status == 501
    levels = [{"ServiceControlPolicyInputList": [policy(READ)]}]
    assert refused(iam.simulate_custom_policy, **given, OrderedOrganizationPolicyInputList=levels).status == 501


def test_whose_policies_may_be_looked_at(iam, server, world, stranger):
    """Of oneself too only with the right to it; of another account never."""
    user, who = world[0], world[1]
    own = server.client("iam", who)
    given = {"PolicySourceArn": arn_of(user), "ActionNames": ["s3:GetObject"]}
    for call, more in (
        (own.simulate_principal_policy, given),
        (own.get_context_keys_for_principal_policy, {"PolicySourceArn": arn_of(user)}),
    ):
        refusal = refused(call, **more)
        assert refusal.code == "AccessDenied"
        assert f"on resource: {arn_of(user)} because no identity-based policy allows" in refusal.message
    theirs = server.client("iam", stranger)
    assert refused(theirs.simulate_principal_policy, **given).code == "AccessDenied"
    for arn, code in (
        (arn_of("nobody-here"), "NoSuchEntity"),
        (f"arn:aws:iam::{OWNER}:group/none", "NoSuchEntity"),
        (f"arn:aws:iam::{OWNER}:user/path/{user}", "NoSuchEntity"),
        (f"arn:aws:iam::{OWNER}:root", "InvalidInput"),
        ("arn:aws:s3:::bucket-bucket", "InvalidInput"),
    ):
        assert refused(iam.simulate_principal_policy, PolicySourceArn=arn, ActionNames=["s3:GetObject"]).code == code
    own.close()
    theirs.close()
