"""What Terraform's AWS provider asks for each resource, in its order, with boto3: create, read, read again without a difference, change, destroy.

The calls are those of the provider as its requests show them (``make terraform`` runs the provider itself).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.house import OWNER, refused, rule, unique

READ = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*"}
CLOSED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
BLUE, RED = [{"Key": "team", "Value": "blue"}], [{"Key": "team", "Value": "red"}]


def document(action="s3:GetObject", **more):
    return {"Version": "2012-10-17", "Statement": [{**READ, "Action": [action], **more}]}


@dataclass
class Resource:
    """``read`` gives what the provider keeps in its state; None when it takes the resource for gone."""

    create: Callable[[], Any]
    read: Callable[[], Any]
    wanted: Any
    change: Callable[[], Any]
    changed: Any
    destroy: Callable[[], Any]


def gone_by(*codes):
    """Reads whose errors of these codes mean that the thing is gone."""

    def wrap(read):
        def reading():
            try:
                return read()
            except ClientError as error:
                if error.response["Error"]["Code"] in codes:
                    return None
                raise

        return reading

    return wrap


@pytest.fixture
def name():
    return unique("tf")


@pytest.fixture
def managed(iam, name):
    made = iam.create_policy(PolicyName=f"{name}-managed", PolicyDocument=json.dumps(document()))["Policy"]["Arn"]
    yield made
    iam.delete_policy(PolicyArn=made)


def play(resource):
    assert resource.read() is None
    resource.create()
    assert resource.read() == resource.wanted
    assert resource.read() == resource.wanted  # a plan has no difference
    resource.change()
    assert resource.read() == resource.changed
    resource.destroy()
    assert resource.read() is None


@pytest.mark.fact("A91", "A92", "A93", "H9")
def test_kms_key(kms):
    kept: dict[str, str] = {}
    policy = document("kms:*", Principal={"AWS": f"arn:aws:iam::{OWNER}:root"})

    def create():
        given = {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "BypassPolicyLockoutSafetyCheck": False}
        tags = [{"TagKey": "team", "TagValue": "blue"}]
        made = kms.create_key(**given, Description="d", Policy=json.dumps(policy), Tags=tags, MultiRegion=False)
        kept["id"] = made["KeyMetadata"]["KeyId"]
        kms.enable_key_rotation(KeyId=kept["id"])

    def read():
        if not kept:
            return None
        metadata = kms.describe_key(KeyId=kept["id"])["KeyMetadata"]
        if metadata["KeyState"] == "PendingDeletion":
            return None
        return {
            "description": metadata["Description"],
            "enabled": metadata["Enabled"],
            "multi-region": metadata["MultiRegion"],
            "policy": json.loads(kms.get_key_policy(KeyId=kept["id"], PolicyName="default")["Policy"]),
            "rotates": kms.get_key_rotation_status(KeyId=kept["id"])["KeyRotationEnabled"],
            "tags": {one["TagKey"]: one["TagValue"] for one in kms.list_resource_tags(KeyId=kept["id"])["Tags"]},
        }

    def change():
        kms.update_key_description(KeyId=kept["id"], Description="e")
        kms.disable_key_rotation(KeyId=kept["id"])
        kms.tag_resource(KeyId=kept["id"], Tags=[{"TagKey": "team", "TagValue": "red"}])
        kms.disable_key(KeyId=kept["id"])

    wanted = {
        "description": "d",
        "enabled": True,
        "multi-region": False,
        "policy": policy,
        "rotates": True,
        "tags": {"team": "blue"},
    }
    changed = {**wanted, "description": "e", "enabled": False, "rotates": False, "tags": {"team": "red"}}
    play(
        Resource(
            create, read, wanted, change, changed, lambda: kms.schedule_key_deletion(KeyId=kept["id"], PendingWindowInDays=7)
        )
    )
    again = refused(kms.schedule_key_deletion, KeyId=kept["id"])
    assert again.code == "KMSInvalidStateException"
    assert "is pending deletion" in again.message  # by which the provider knows that it is done


@pytest.mark.fact("A94", "H9")
def test_kms_alias(kms, keys, name):
    first, second = (key["KeyId"] for key in keys[:2])
    alias = f"alias/{name}"

    def read():
        pages = kms.get_paginator("list_aliases").paginate()
        found = [one for page in pages for one in page["Aliases"] if one["AliasName"] == alias]
        return {"arn": found[0]["AliasArn"], "key": found[0]["TargetKeyId"]} if found else None

    wanted = {"arn": f"arn:aws:kms:us-east-1:{OWNER}:{alias}", "key": first}
    play(
        Resource(
            lambda: kms.create_alias(AliasName=alias, TargetKeyId=first),
            read,
            wanted,
            lambda: kms.update_alias(AliasName=alias, TargetKeyId=second),
            {**wanted, "key": second},
            lambda: kms.delete_alias(AliasName=alias),
        )
    )


@pytest.mark.fact("H9")
def test_s3_bucket(s3, name):
    """Reading a bucket, the provider asks for all its settings, and takes for unset what is not there or not built."""
    absent = {
        "get_bucket_policy": "NoSuchBucketPolicy",
        "get_bucket_cors": "NoSuchCORSConfiguration",
        "get_bucket_website": "NoSuchWebsiteConfiguration",
        "get_bucket_replication": "ReplicationConfigurationNotFoundError",
        "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    }

    read_tags = gone_by("NoSuchTagSet")(lambda: s3.get_bucket_tagging(Bucket=name)["TagSet"])

    @gone_by("404", "NoSuchBucket")
    def read():
        s3.head_bucket(Bucket=name)
        for call, code in absent.items():
            assert refused(getattr(s3, call), Bucket=name).code in {code, "NotImplemented"}
        assert s3.get_bucket_request_payment(Bucket=name)["Payer"] == "BucketOwner"
        assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=name)
        assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=name)
        grants = s3.get_bucket_acl(Bucket=name)["Grants"]
        (one,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        return {
            "grants": [one["Permission"] for one in grants],
            "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
            "encryption": one["ApplyServerSideEncryptionByDefault"],
            "tags": read_tags() or [],
        }

    def create():
        s3.create_bucket(Bucket=name)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": BLUE})

    wanted = {"grants": ["FULL_CONTROL"], "versioning": None, "encryption": {"SSEAlgorithm": "AES256"}, "tags": BLUE}
    play(
        Resource(
            create,
            read,
            wanted,
            lambda: s3.delete_bucket_tagging(Bucket=name),
            {**wanted, "tags": []},
            lambda: s3.delete_bucket(Bucket=name),
        )
    )


@pytest.mark.fact("H9")
def test_settings_of_a_bucket(s3, kms, bucket, key):
    """Each is a resource of its own: encryption, public access block, versioning, policy. Deleted, a bucket has what is everybody's."""
    encryption = rule("aws:kms", key["Arn"], BucketKeyEnabled=True)

    def read_encryption():
        (one,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        default = one["ApplyServerSideEncryptionByDefault"]
        return None if default == {"SSEAlgorithm": "AES256"} else (default, one["BucketKeyEnabled"])

    other = rule("aws:kms:dsse", key["Arn"], BucketKeyEnabled=False)
    play(
        Resource(
            lambda: s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption),
            read_encryption,
            ({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}, True),
            lambda: s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=other),
            ({"SSEAlgorithm": "aws:kms:dsse", "KMSMasterKeyID": key["Arn"]}, False),
            lambda: s3.delete_bucket_encryption(Bucket=bucket),
        )
    )
    s3.delete_public_access_block(Bucket=bucket)
    half = {**CLOSED, "BlockPublicAcls": False}
    play(
        Resource(
            lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=CLOSED),
            gone_by("NoSuchPublicAccessBlockConfiguration")(
                lambda: s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            ),
            CLOSED,
            lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=half),
            half,
            lambda: s3.delete_public_access_block(Bucket=bucket),
        )
    )
    first, second = (
        document(action, Principal={"AWS": f"arn:aws:iam::{OWNER}:root"}, Resource=f"arn:aws:s3:::{bucket}/*")
        for action in ("s3:GetObject", "s3:PutObject")
    )
    play(
        Resource(
            lambda: s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(first)),
            gone_by("NoSuchBucketPolicy")(lambda: json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])),
            first,
            lambda: s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(second)),
            second,
            lambda: s3.delete_bucket_policy(Bucket=bucket),
        )
    )
    for status in ("Enabled", "Suspended"):  # a destroyed versioning is a suspended one
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.fact("F18", "F19", "F21", "H9")
def test_iam_policy(iam, name):
    arn = f"arn:aws:iam::{OWNER}:policy/app/{name}"

    @gone_by("NoSuchEntity")
    def read():
        found = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=found["DefaultVersionId"])["PolicyVersion"]
        return {"path": found["Path"], "tags": found.get("Tags", []), "document": version["Document"]}

    def change():
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        assert len(versions) < 5
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document("s3:PutObject")), SetAsDefault=True)
        iam.tag_policy(PolicyArn=arn, Tags=RED)

    def destroy():
        for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not one["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=one["VersionId"])
        iam.delete_policy(PolicyArn=arn)

    wanted = {"path": "/app/", "tags": BLUE, "document": document()}
    play(
        Resource(
            lambda: iam.create_policy(PolicyName=name, Path="/app/", PolicyDocument=json.dumps(document()), Tags=BLUE),
            read,
            wanted,
            change,
            {**wanted, "tags": RED, "document": document("s3:PutObject")},
            destroy,
        )
    )


@pytest.mark.fact("F17", "F18", "H9")
def test_iam_role(iam, name, managed):
    """With an inline policy, an attachment and a boundary; before it is deleted, all that may hang on it is asked for."""
    first, second = (
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": one}, "Action": "sts:AssumeRole"}]}
        for one in (f"arn:aws:iam::{OWNER}:root", OWNER)
    )

    @gone_by("NoSuchEntity")
    def read():
        role = iam.get_role(RoleName=name)["Role"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        return {
            "trust": role["AssumeRolePolicyDocument"],
            "seconds": role["MaxSessionDuration"],
            "description": role.get("Description", ""),
            "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            "tags": role.get("Tags", []),
            "inline": {one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in inline},
            "attached": [one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]],
        }

    def create():
        iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(first), PermissionsBoundary=managed, Tags=BLUE, Path="/"
        )
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=json.dumps(document()))
        iam.attach_role_policy(RoleName=name, PolicyArn=managed)

    def change():
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(second))
        iam.update_role_description(RoleName=name, Description="d")
        iam.update_role(RoleName=name, MaxSessionDuration=7200, Description="d")
        iam.delete_role_permissions_boundary(RoleName=name)
        iam.untag_role(RoleName=name, TagKeys=["team"])

    def destroy():
        assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
        iam.detach_role_policy(RoleName=name, PolicyArn=managed)
        iam.delete_role_policy(RoleName=name, PolicyName="inline")
        iam.delete_role(RoleName=name)

    wanted = {
        "trust": first,
        "seconds": 3600,
        "description": "",
        "boundary": managed,
        "tags": BLUE,
        "inline": {"inline": document()},
        "attached": [managed],
    }
    changed = {**wanted, "trust": second, "seconds": 7200, "description": "d", "boundary": None, "tags": []}
    play(Resource(create, read, wanted, change, changed, destroy))


@pytest.mark.fact("F21", "F23", "H9")
def test_iam_user(iam, name, managed):
    """With an access key, an inline policy and an attachment; destroyed by force, as the provider does."""
    called = [name]

    @gone_by("NoSuchEntity")
    def read():
        user = iam.get_user(UserName=called[0])["User"]
        inline = iam.list_user_policies(UserName=called[0])["PolicyNames"]
        return {
            "name": user["UserName"],
            "path": user["Path"],
            "tags": user.get("Tags", []),
            "keys": [one["Status"] for one in iam.list_access_keys(UserName=called[0])["AccessKeyMetadata"]],
            "inline": {one: iam.get_user_policy(UserName=called[0], PolicyName=one)["PolicyDocument"] for one in inline},
            "attached": [one["PolicyArn"] for one in iam.list_attached_user_policies(UserName=called[0])["AttachedPolicies"]],
        }

    def create():
        iam.create_user(UserName=name, Path="/", Tags=BLUE)
        iam.create_access_key(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=json.dumps(document()))
        iam.attach_user_policy(UserName=name, PolicyArn=managed)

    def change():
        iam.update_user(UserName=name, NewUserName=f"{name}-new", NewPath="/dev/")
        called[0] = f"{name}-new"
        iam.tag_user(UserName=called[0], Tags=RED)
        (key,) = iam.list_access_keys(UserName=called[0])["AccessKeyMetadata"]
        iam.update_access_key(UserName=called[0], AccessKeyId=key["AccessKeyId"], Status="Inactive")

    def destroy():
        user = called[0]
        for one in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=user, AccessKeyId=one["AccessKeyId"])
        assert iam.list_ssh_public_keys(UserName=user)["SSHPublicKeys"] == []
        assert iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
        assert iam.list_mfa_devices(UserName=user)["MFADevices"] == []
        assert refused(iam.delete_login_profile, UserName=user).code == "NoSuchEntity"
        assert iam.list_signing_certificates(UserName=user)["Certificates"] == []
        assert iam.list_service_specific_credentials(UserName=user)["ServiceSpecificCredentials"] == []
        iam.delete_user_policy(UserName=user, PolicyName="inline")
        iam.detach_user_policy(UserName=user, PolicyArn=managed)
        assert iam.list_groups_for_user(UserName=user)["Groups"] == []
        iam.delete_user(UserName=user)

    wanted = {
        "name": name,
        "path": "/",
        "tags": BLUE,
        "keys": ["Active"],
        "inline": {"inline": document()},
        "attached": [managed],
    }
    changed = {**wanted, "name": f"{name}-new", "path": "/dev/", "tags": RED, "keys": ["Inactive"]}
    play(Resource(create, read, wanted, change, changed, destroy))


@pytest.mark.fact("F23", "H9")
def test_iam_group(iam, name, managed):
    called = [name]
    iam.create_user(UserName=f"{name}-member")

    @gone_by("NoSuchEntity")
    def read():
        answer = iam.get_group(GroupName=called[0])
        inline = iam.list_group_policies(GroupName=called[0])["PolicyNames"]
        return {
            "name": answer["Group"]["GroupName"],
            "path": answer["Group"]["Path"],
            "members": [one["UserName"] for one in answer["Users"]],
            "inline": {one: iam.get_group_policy(GroupName=called[0], PolicyName=one)["PolicyDocument"] for one in inline},
            "attached": [one["PolicyArn"] for one in iam.list_attached_group_policies(GroupName=called[0])["AttachedPolicies"]],
        }

    def create():
        iam.create_group(GroupName=name, Path="/")
        iam.add_user_to_group(GroupName=name, UserName=f"{name}-member")
        iam.put_group_policy(GroupName=name, PolicyName="inline", PolicyDocument=json.dumps(document()))
        iam.attach_group_policy(GroupName=name, PolicyArn=managed)

    def change():
        iam.update_group(GroupName=name, NewGroupName=f"{name}-new", NewPath="/dev/")
        called[0] = f"{name}-new"

    def destroy():
        iam.detach_group_policy(GroupName=called[0], PolicyArn=managed)
        iam.delete_group_policy(GroupName=called[0], PolicyName="inline")
        iam.remove_user_from_group(GroupName=called[0], UserName=f"{name}-member")
        iam.delete_group(GroupName=called[0])

    wanted = {"name": name, "path": "/", "members": [f"{name}-member"], "inline": {"inline": document()}, "attached": [managed]}
    play(Resource(create, read, wanted, change, {**wanted, "name": f"{name}-new", "path": "/dev/"}, destroy))
    iam.delete_user(UserName=f"{name}-member")
