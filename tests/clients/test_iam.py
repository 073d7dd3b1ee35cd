"""IAM with boto3, as the aws CLI and Terraform use it: users, access keys, policies and groups, with AWS's texts."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, refused, unique

ALLOW = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}
DOCUMENT = json.dumps(ALLOW)
KINDS = {"user": "User", "group": "Group"}


def statement(**more):
    return json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*", **more}})


@pytest.fixture
def user(iam):
    name = unique("user")
    iam.create_user(UserName=name)
    return name


@pytest.fixture
def group(iam):
    name = unique("group")
    iam.create_group(GroupName=name)
    return name


@pytest.fixture
def managed(iam):
    return iam.create_policy(PolicyName=unique("policy"), PolicyDocument=DOCUMENT)["Policy"]["Arn"]


@pytest.mark.fact("F22", "F25", "F26")
def test_a_user_from_making_to_deleting(iam):
    name = unique("User")
    made = iam.create_user(UserName=name, Path="/dev/", Tags=[{"Key": "team", "Value": "a b"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{OWNER}:user/dev/{name}"
    assert (made["UserId"][:4], len(made["UserId"])) == ("AIDA", 21)
    assert iam.get_user(UserName=name.lower())["User"] == made
    again = refused(iam.create_user, UserName=name.upper())
    assert (again.status, again.code, again.message) == (
        409,
        "EntityAlreadyExists",
        f"User with name {name.upper()} already exists.",
    )
    assert name in [one["UserName"] for one in iam.list_users(PathPrefix="/dev/")["Users"]]
    assert name not in [one["UserName"] for one in iam.list_users(PathPrefix="/ops/")["Users"]]
    iam.tag_user(UserName=name, Tags=[{"Key": "Team", "Value": "b"}, {"Key": "x", "Value": ""}])
    iam.untag_user(UserName=name, TagKeys=["X"])
    assert iam.list_user_tags(UserName=name)["Tags"] == [{"Key": "Team", "Value": "b"}]
    iam.delete_user(UserName=name)
    gone = refused(iam.get_user, UserName=name)
    assert (gone.status, gone.code, gone.message) == (404, "NoSuchEntity", f"The user with name {name} cannot be found.")


@pytest.mark.fact("F26")
@pytest.mark.parametrize(
    "given", [{"UserName": "a b"}, {"UserName": "x" * 65}, {"UserName": "x", "Path": "dev"}, {"UserName": "x", "Path": "/a b/"}]
)
def test_names_and_paths_have_a_form(iam, given):
    assert refused(iam.create_user, **given).code == "ValidationError"


def test_the_root_asks_for_itself(iam):
    assert iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{OWNER}:root"
    refusal = refused(iam.create_access_key)
    assert (refusal.code, refusal.message) == (
        "ValidationError",
        "Must specify userName when calling with non-User credentials",
    )


@pytest.mark.fact("F24", "F25")
def test_access_keys(iam, user):
    first, second = (iam.create_access_key(UserName=user)["AccessKey"] for _ in range(2))
    assert (first["AccessKeyId"][:4], len(first["AccessKeyId"]), len(first["SecretAccessKey"])) == ("AKIA", 20, 40)
    assert first["SecretAccessKey"] != second["SecretAccessKey"]
    third = refused(iam.create_access_key, UserName=user)
    assert (third.status, third.code, third.message) == (409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
    iam.update_access_key(UserName=user, AccessKeyId=first["AccessKeyId"], Status="Inactive")
    listed = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert {one["AccessKeyId"]: one["Status"] for one in listed} == {
        first["AccessKeyId"]: "Inactive",
        second["AccessKeyId"]: "Active",
    }
    assert all("SecretAccessKey" not in one for one in listed)
    last = iam.get_access_key_last_used(AccessKeyId=first["AccessKeyId"])
    assert (last["UserName"], last["AccessKeyLastUsed"]["ServiceName"]) == (user, "N/A")
    missing = refused(iam.delete_access_key, UserName=user, AccessKeyId="AKIANOBODYNOBODYNOBO")
    assert (missing.code, missing.message) == (
        "NoSuchEntity",
        "The Access Key with id AKIANOBODYNOBODYNOBO cannot be found.",
    )
    assert refused(iam.delete_user, UserName=user).message == "Cannot delete entity, must delete access keys first."


def test_an_access_key_is_its_users_alone(iam, user):
    other = unique("other")
    iam.create_user(UserName=other)
    theirs = iam.create_access_key(UserName=other)["AccessKey"]["AccessKeyId"]
    for call, more in ((iam.delete_access_key, {}), (iam.update_access_key, {"Status": "Inactive"})):
        assert refused(call, UserName=user, AccessKeyId=theirs, **more).code == "NoSuchEntity"
    assert iam.list_access_keys(UserName=other)["AccessKeyMetadata"][0]["Status"] == "Active"


@pytest.mark.fact("F18")
@pytest.mark.parametrize("sort", KINDS)
def test_inline_policies(iam, sort, user, group):
    name, word = {"user": user, "group": group}[sort], KINDS[sort]
    who = {f"{word}Name": name}
    text = json.dumps({**ALLOW, "Statement": [{**ALLOW["Statement"], "Resource": "arn:aws:s3:::b/%20+ é/*"}]})
    getattr(iam, f"put_{sort}_policy")(**who, PolicyName="p", PolicyDocument=text)
    got = getattr(iam, f"get_{sort}_policy")(**who, PolicyName="p")
    assert (got["PolicyDocument"], got[f"{word}Name"]) == (json.loads(text), name)
    assert getattr(iam, f"list_{sort}_policies")(**who)["PolicyNames"] == ["p"]
    assert refused(getattr(iam, f"delete_{sort}"), **who).message == "Cannot delete entity, must delete policies first."
    for call in (f"get_{sort}_policy", f"delete_{sort}_policy"):
        missing = refused(getattr(iam, call), **who, PolicyName="q")
        assert (missing.code, missing.message) == ("NoSuchEntity", f"The {sort} policy with name q cannot be found.")
    getattr(iam, f"delete_{sort}_policy")(**who, PolicyName="p")
    assert getattr(iam, f"list_{sort}_policies")(**who)["PolicyNames"] == []


@pytest.mark.fact("C49", "C51")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "This policy contains invalid Json"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17"}', "This policy contains invalid Json"),
        ('{"Version": "2012-10-17"}', "Syntax errors in policy."),
        (statement(Principal="*"), "Policy document should not specify a principal."),
        (statement(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
        (statement(Action="GetObject"), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        (statement(Condition={"Like": {"aws:username": "x"}}), "Syntax errors in policy."),
    ],
)
def test_documents_are_checked_and_nothing_is_stored(iam, user, text, message):
    for call, given in (
        (iam.put_user_policy, {"UserName": user, "PolicyName": "p"}),
        (iam.create_policy, {"PolicyName": unique("bad")}),
    ):
        refusal = refused(call, PolicyDocument=text, **given)
        assert (refusal.status, refusal.code, refusal.message) == (400, "MalformedPolicyDocument", message)
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == []


@pytest.mark.fact("C52")
def test_sizes(iam, user):
    """White space does not count; all inline policies of a user together do."""
    long = statement(Resource=["arn:aws:s3:::" + "b" * 100 + str(place) for place in range(10)])
    iam.put_user_policy(UserName=user, PolicyName="a", PolicyDocument=long + " " * 4000)
    refusal = refused(iam.put_user_policy, UserName=user, PolicyName="b", PolicyDocument=long)
    assert (refusal.status, refusal.code) == (409, "LimitExceeded")
    assert refusal.message == f"Maximum policy size of 2048 bytes exceeded for user {user}"
    huge = statement(Resource=["arn:aws:s3:::" + "b" * 100 + str(place) for place in range(60)])
    refusal = refused(iam.create_policy, PolicyName=unique(), PolicyDocument=huge)
    assert refusal.message == "Cannot exceed quota for PolicySize: 6144"


@pytest.mark.fact("F19", "F21", "F23", "F25")
def test_a_managed_policy_and_its_versions(iam, user):
    name = unique("policy")
    made = iam.create_policy(PolicyName=name, Path="/p/", PolicyDocument=DOCUMENT, Description="what for")["Policy"]
    policy_arn = made["Arn"]
    assert policy_arn == f"arn:aws:iam::{OWNER}:policy/p/{name}"
    assert {
        key: made[key] for key in ("AttachmentCount", "DefaultVersionId", "IsAttachable", "PermissionsBoundaryUsageCount")
    } == {
        "AttachmentCount": 0,
        "DefaultVersionId": "v1",
        "IsAttachable": True,
        "PermissionsBoundaryUsageCount": 0,
    }
    assert (made["PolicyId"][:4], len(made["PolicyId"])) == ("ANPA", 21)
    assert iam.get_policy(PolicyArn=policy_arn)["Policy"] == made
    assert refused(iam.create_policy, PolicyName=name.upper(), PolicyDocument=DOCUMENT).code == "EntityAlreadyExists"
    for number in range(2, 6):
        version = iam.create_policy_version(PolicyArn=policy_arn, PolicyDocument=statement(), SetAsDefault=number == 3)
        assert version["PolicyVersion"]["VersionId"] == f"v{number}"
    assert refused(iam.create_policy_version, PolicyArn=policy_arn, PolicyDocument=DOCUMENT).code == "LimitExceeded"
    versions = iam.list_policy_versions(PolicyArn=policy_arn)["Versions"]
    assert [(one["VersionId"], one["IsDefaultVersion"]) for one in versions] == [
        (f"v{number}", number == 3) for number in range(5, 0, -1)
    ]
    document = iam.get_policy_version(PolicyArn=policy_arn, VersionId="v1")["PolicyVersion"]["Document"]
    assert document == ALLOW
    refusal = refused(iam.delete_policy_version, PolicyArn=policy_arn, VersionId="v3")
    assert (refusal.code, refusal.message) == ("DeleteConflict", "Cannot delete the default version of a policy.")
    iam.set_default_policy_version(PolicyArn=policy_arn, VersionId="v1")
    for number in (2, 3, 4):
        iam.delete_policy_version(PolicyArn=policy_arn, VersionId=f"v{number}")
    assert refused(iam.get_policy_version, PolicyArn=policy_arn, VersionId="v2").code == "NoSuchEntity"
    assert refused(iam.delete_policy, PolicyArn=policy_arn).code == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=policy_arn, VersionId="v5")
    iam.attach_user_policy(UserName=user, PolicyArn=policy_arn)
    refusal = refused(iam.delete_policy, PolicyArn=policy_arn)
    assert (refusal.code, refusal.message) == ("DeleteConflict", "Cannot delete a policy attached to entities.")
    iam.detach_user_policy(UserName=user, PolicyArn=policy_arn)
    iam.delete_policy(PolicyArn=policy_arn)
    refusal = refused(iam.get_policy, PolicyArn=policy_arn)
    assert (refusal.status, refusal.code, refusal.message) == (404, "NoSuchEntity", f"Policy {policy_arn} was not found.")


@pytest.mark.fact("F20", "F23")
@pytest.mark.parametrize("sort", KINDS)
def test_attaching(iam, sort, user, group, managed):
    who = {f"{KINDS[sort]}Name": {"user": user, "group": group}[sort]}
    attach, detach = getattr(iam, f"attach_{sort}_policy"), getattr(iam, f"detach_{sort}_policy")
    refusal = refused(attach, **who, PolicyArn="not-an-arn-but-long-enough")
    assert (refusal.status, refusal.code, refusal.message) == (400, "ValidationError", "Invalid ARN:  Could not be parsed!")
    refusal = refused(attach, **who, PolicyArn=f"arn:aws:iam::{OWNER}:policy/absent")
    assert refusal.message == f"Policy arn:aws:iam::{OWNER}:policy/absent does not exist or is not attachable."
    attach(**who, PolicyArn=managed)
    attach(**who, PolicyArn=managed)
    listed = getattr(iam, f"list_attached_{sort}_policies")(**who)["AttachedPolicies"]
    assert listed == [{"PolicyName": managed.rpartition("/")[2], "PolicyArn": managed}]
    assert iam.get_policy(PolicyArn=managed)["Policy"]["AttachmentCount"] == 1
    entities = iam.list_entities_for_policy(PolicyArn=managed)
    assert [one[f"{KINDS[sort]}Name"] for one in entities[f"Policy{KINDS[sort]}s"]] == list(who.values())
    assert refused(getattr(iam, f"delete_{sort}"), **who).message == "Cannot delete entity, must detach all policies first."
    detach(**who, PolicyArn=managed)
    refusal = refused(detach, **who, PolicyArn=managed)
    assert (refusal.code, refusal.message) == ("NoSuchEntity", f"Policy {managed} was not found.")


@pytest.mark.fact("C52")
def test_ten_policies_and_no_more(iam, user):
    arns = [iam.create_policy(PolicyName=unique(), PolicyDocument=DOCUMENT)["Policy"]["Arn"] for _ in range(11)]
    for policy_arn in arns[:10]:
        iam.attach_user_policy(UserName=user, PolicyArn=policy_arn)
    refusal = refused(iam.attach_user_policy, UserName=user, PolicyArn=arns[10])
    assert (refusal.code, refusal.message) == ("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")


@pytest.mark.fact("F22", "F23")
def test_groups_and_their_members(iam, user, group):
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.add_user_to_group(GroupName=group.upper(), UserName=user.upper())
    assert [one["UserName"] for one in iam.get_group(GroupName=group)["Users"]] == [user]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName=user)["Groups"]] == [group]
    for call, given in ((iam.delete_user, {"UserName": user}), (iam.delete_group, {"GroupName": group})):
        assert refused(call, **given).message == "Cannot delete entity, must remove users from group first."
    assert refused(iam.create_group, GroupName=group.upper()).message == f"Group with name {group.upper()} already exists."
    missing = refused(iam.add_user_to_group, GroupName=group, UserName="nobody-here")
    assert (missing.code, missing.message) == ("NoSuchEntity", "The user with name nobody-here cannot be found.")
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_group(GroupName=group)
    assert refused(iam.get_group, GroupName=group).message == f"The group with name {group} cannot be found."


def test_a_renamed_user_keeps_its_places(iam, user, group, managed):
    iam.add_user_to_group(GroupName=group, UserName=user)
    iam.attach_user_policy(UserName=user, PolicyArn=managed)
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=managed)
    other = unique("other")
    iam.create_user(UserName=other)
    assert refused(iam.update_user, UserName=user, NewUserName=other.upper()).code == "EntityAlreadyExists"
    iam.update_user(UserName=user, NewUserName=f"{user}-b")
    assert refused(iam.get_user, UserName=user).code == "NoSuchEntity"
    user = f"{user}-b"
    assert iam.get_user(UserName=user)["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == managed
    assert [one["UserName"] for one in iam.get_group(GroupName=group)["Users"]] == [user]
    assert [one["UserName"] for one in iam.list_entities_for_policy(PolicyArn=managed)["PolicyUsers"]] == [user]
    iam.detach_user_policy(UserName=user, PolicyArn=managed)
    assert refused(iam.delete_policy, PolicyArn=managed).code == "DeleteConflict"
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_user(UserName=user)
    iam.delete_policy(PolicyArn=managed)


def test_pages(iam):
    path = f"/{unique('pages')}/"
    names = sorted(unique("user") for _ in range(7))
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [one["UserName"] for page in pages for one in page["Users"]] == names
    for name in ("a", "b", "c"):
        iam.put_user_policy(UserName=names[0], PolicyName=name, PolicyDocument=DOCUMENT)
    pages = list(iam.get_paginator("list_user_policies").paginate(UserName=names[0], PaginationConfig={"PageSize": 2}))
    assert [page["PolicyNames"] for page in pages] == [["a", "b"], ["c"]]
    assert refused(iam.list_users, Marker="!").code == "ValidationError"
