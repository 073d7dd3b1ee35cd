"""IAM's operations on an account as a whole, with boto3: summary, details, alias; groups that are renamed."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, refused, unique
from tests.clients.test_roles import trust
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user, policy


@pytest.fixture(scope="module")
def other(server):
    """An account of its own, so that what is in it can be counted."""
    client = server.client("iam", server.account("777788889999", "counted"))
    yield client
    client.close()


@pytest.mark.fact("F26", "C52")
def test_what_an_account_has_is_counted(other):
    before = other.get_account_summary()["SummaryMap"]
    assert (before["Users"], before["Groups"], before["Roles"], before["Policies"]) == (0, 0, 0, 0)
    assert (before["AccessKeysPerUserQuota"], before["PolicySizeQuota"], before["AccountMFAEnabled"]) == (2, 6144, 0)
    other.create_user(UserName="one")
    other.create_group(GroupName="one")
    other.create_role(RoleName="one", AssumeRolePolicyDocument=trust("777788889999"))
    managed = other.create_policy(PolicyName="one", PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"]
    other.create_policy_version(PolicyArn=managed, PolicyDocument=policy(ALLOW_ALL))
    after = other.get_account_summary()["SummaryMap"]
    assert (after["Users"], after["Groups"], after["Roles"], after["Policies"], after["PolicyVersionsInUse"]) == (1, 1, 1, 1, 2)
    other.delete_user(UserName="one")
    assert other.get_account_summary()["SummaryMap"]["Users"] == 0


def test_everything_of_everybody_in_pages(server):
    iam = server.client("iam", server.account("888899990000", "detailed"))
    document = json.loads(policy(ALLOW_ALL))
    managed = iam.create_policy(PolicyName="Managed", PolicyDocument=policy(ALLOW_ALL), Description="d")["Policy"]["Arn"]
    iam.create_group(GroupName="Group", Path="/dev/")
    for name in ("Ann", "Bob", "Cid"):
        iam.create_user(UserName=name, Tags=[{"Key": "a", "Value": name}])
    iam.put_user_policy(UserName="Bob", PolicyName="inline", PolicyDocument=policy(ALLOW_ALL))
    iam.add_user_to_group(GroupName="Group", UserName="Bob")
    iam.attach_group_policy(GroupName="Group", PolicyArn=managed)
    iam.put_user_permissions_boundary(UserName="Cid", PermissionsBoundary=managed)
    iam.create_role(RoleName="Role", AssumeRolePolicyDocument=trust("888899990000"), Tags=[{"Key": "r", "Value": ""}])
    whole = iam.get_account_authorization_details()
    bob = whole["UserDetailList"][1]
    assert [one["UserName"] for one in whole["UserDetailList"]] == ["Ann", "Bob", "Cid"]
    assert bob["UserPolicyList"] == [{"PolicyName": "inline", "PolicyDocument": document}]
    assert (bob["GroupList"], bob["AttachedManagedPolicies"], bob["Tags"]) == (["Group"], [], [{"Key": "a", "Value": "Bob"}])
    assert whole["UserDetailList"][2]["PermissionsBoundary"]["PermissionsBoundaryArn"] == managed
    (group,) = whole["GroupDetailList"]
    assert (group["Path"], group["AttachedManagedPolicies"]) == ("/dev/", [{"PolicyName": "Managed", "PolicyArn": managed}])
    (role,) = whole["RoleDetailList"]
    assert role["AssumeRolePolicyDocument"] == json.loads(trust("888899990000"))
    assert (role["InstanceProfileList"], role["Tags"]) == ([], [{"Key": "r", "Value": ""}])
    (found,) = whole["Policies"]
    assert (found["Arn"], found["AttachmentCount"], found["Description"]) == (managed, 1, "d")
    assert [(one["VersionId"], one["Document"]) for one in found["PolicyVersionList"]] == [("v1", document)]
    pages = list(iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2}))
    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    assert [[len(page[name]) for name in lists] for page in pages] == [[2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]
    for name in lists:
        assert [one for page in pages for one in page[name]] == whole[name]
    roles = iam.get_account_authorization_details(Filter=["Role", "AWSManagedPolicy"])
    assert [len(roles[name]) for name in lists] == [0, 0, 1, 0]


def test_an_account_has_one_alias_and_nobody_else_has_it(iam, other):
    assert other.list_account_aliases()["AccountAliases"] == []
    first, second = unique("alias"), unique("alias")
    other.create_account_alias(AccountAlias=first)
    other.create_account_alias(AccountAlias=first)
    refusal = refused(iam.create_account_alias, AccountAlias=first)
    assert (refusal.status, refusal.code, refusal.message) == (
        409,
        "EntityAlreadyExists",
        f"The account alias {first} already exists.",
    )
    other.create_account_alias(AccountAlias=second)
    assert other.list_account_aliases()["AccountAliases"] == [second]
    iam.create_account_alias(AccountAlias=first)  # it is free again
    refusal = refused(iam.delete_account_alias, AccountAlias=second)
    assert (refusal.status, refusal.code) == (404, "NoSuchEntity")
    iam.delete_account_alias(AccountAlias=first)
    other.delete_account_alias(AccountAlias=second)
    assert iam.list_account_aliases()["AccountAliases"] == other.list_account_aliases()["AccountAliases"] == []
    for wrong in ("Alias", "-alias", "a--b"):
        assert refused(iam.create_account_alias, AccountAlias=wrong).code == "ValidationError"


@pytest.mark.fact("F22")
def test_a_group_is_renamed_and_its_members_stay(server, iam, bucket):
    name, who = new_user(server, iam)
    group, taken = unique("Group"), unique("group")
    for one in (group, taken):
        iam.create_group(GroupName=one)
    managed = iam.create_policy(PolicyName=unique(), PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"]
    iam.add_user_to_group(GroupName=group, UserName=name)
    iam.attach_group_policy(GroupName=group, PolicyArn=managed)
    before = iam.get_group(GroupName=group)["Group"]
    assert refused(iam.update_group, GroupName=group, NewGroupName=taken.upper()).code == "EntityAlreadyExists"
    iam.update_group(GroupName=group, NewGroupName=f"{group}-new", NewPath="/dev/")
    after = iam.get_group(GroupName=f"{group}-new")
    assert after["Group"]["Arn"] == f"arn:aws:iam::{OWNER}:group/dev/{group}-new"
    assert after["Group"]["GroupId"] == before["GroupId"]
    assert [one["UserName"] for one in after["Users"]] == [name]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName=name)["Groups"]] == [f"{group}-new"]
    assert [one["GroupName"] for one in iam.list_entities_for_policy(PolicyArn=managed)["PolicyGroups"]] == [f"{group}-new"]
    server.client("s3", who).put_object(Bucket=bucket, Key="k", Body=b"x")
    assert refused(iam.get_group, GroupName=group).code == "NoSuchEntity"
    iam.update_group(GroupName=f"{group}-new", NewGroupName=group.upper())  # another case alone
    assert iam.get_group(GroupName=group)["Group"]["GroupName"] == group.upper()


def test_whose_an_access_key_is_by_the_name_and_path_of_the_user(server, iam):
    name, who = new_user(server, iam, name=unique("User"), Path="/dev/")
    right = {"Effect": "Allow", "Action": "iam:GetAccessKeyLastUsed", "Resource": arn_of(f"dev/{name}")}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(right))
    found = server.client("iam", who).get_access_key_last_used(AccessKeyId=who.access_key_id)
    assert found["UserName"] == name


@pytest.mark.parametrize(
    ("key", "holds", "fails"),
    [
        ("iam:PolicyARN", True, False),
        ("iam:PermissionsBoundary", True, False),
        ("aws:RequestTag/team", True, False),
        ("aws:ResourceTag/team", False, False),
    ],
)
def test_conditions_on_what_is_asked_of_iam(server, iam, key, holds, fails):
    """A key about the tags of who is asked for is one that nobody can tell: an Allow under it does not hold."""
    managed, other = (iam.create_policy(PolicyName=unique(), PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"] for _ in range(2))
    name, who = new_user(server, iam)
    victim = unique("victim")
    iam.create_user(UserName=victim, Tags=[{"Key": "team", "Value": "blue"}])
    value = managed if key.startswith("iam:") else "blue"
    right = {"Effect": "Allow", "Action": "iam:*", "Resource": "*", "Condition": {"StringEquals": {key: value}}}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(right))
    client = server.client("iam", who)

    def ask(which, tag):
        if key == "iam:PolicyARN":
            client.attach_user_policy(UserName=victim, PolicyArn=which)
        elif key == "iam:PermissionsBoundary":
            client.create_user(UserName=unique(), PermissionsBoundary=which)
        else:
            client.tag_user(UserName=victim, Tags=[{"Key": "Team", "Value": tag}])

    for given, expected in (((managed, "blue"), holds), ((other, "red"), fails)):
        if expected:
            ask(*given)
        else:
            assert refused(ask, which=given[0], tag=given[1]).code == "AccessDenied"
