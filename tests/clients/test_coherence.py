"""What a worker keeps in memory, on two workers: a change that was answered by one holds for the next request on the other.

Each story asks both workers first, so that both remember, and then changes through one door and asks at both; changes alternate
between the doors. The table of what is kept is in docs/durability.md, "Several workers"; each row names its story here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.clients.doors import Door
from tests.clients.house import OWNER, STRANGER, Account, Server, rule, unique
from tests.clients.test_roles import acting
from tests.clients.test_user_rights import ALLOW_ALL, TRUST, new_user, policy


@dataclass
class Two:
    """A server of two workers, and for each its own clients."""

    server: Server
    doors: list[Door]
    stranger: Account
    turn: int = 0
    made: dict[tuple[str, int, str], Any] = field(default_factory=dict[tuple[str, int, str], Any])

    def client(self, service: str, door: int, account: Account | None = None) -> Any:
        where = service, door, "" if account is None else account.access_key_id
        if where not in self.made:
            self.made[where] = self.server.client(service, account, url=self.doors[door].url)
        return self.made[where]

    def change(self, service: str, method: str, account: Account | None = None, /, **given: Any) -> Any:
        """Through the one door, the next time through the other."""
        self.turn ^= 1
        return getattr(self.client(service, self.turn, account), method)(**given)

    def both(self, service: str, method: str, account: Account | None = None, /, **given: Any) -> list[Any]:
        """What each worker answers: the output, or the error's code."""
        return [_answer(getattr(self.client(service, door, account), method), given) for door in range(2)]

    def codes(self, service: str, method: str, account: Account | None = None, /, **given: Any) -> set[str]:
        """The error codes of both, "" for none."""
        return {answer if isinstance(answer, str) else "" for answer in self.both(service, method, account, **given)}

    def members(self, member: str, service: str, method: str, /, **given: Any) -> set[Any]:
        """One member of both outputs."""
        return {answer.get(member) for answer in self.both(service, method, **given)}


def _answer(call: Callable[..., Any], given: dict[str, Any]) -> Any:
    try:
        return call(**given)
    except ClientError as error:
        return error.response["Error"]["Code"]


@pytest.fixture(scope="module")
def two(two_workers, two_doors):
    return Two(two_workers, two_doors, two_workers.account(STRANGER, "stranger"))


@pytest.fixture
def bucket(two):
    name = unique()
    two.change("s3", "create_bucket", Bucket=name)
    two.change("s3", "put_object", Bucket=name, Key="key", Body=b"1")
    assert two.codes("s3", "get_object", Bucket=name, Key="key") == {""}
    return name


def test_the_doors_lead_to_different_workers(two):
    assert len({door.pid for door in two.doors}) == 2


# ------------------------------------------------------------------------------------------------------------------ buckets


def test_buckets_come_and_go(two):
    name = unique()
    for _ in range(2):
        assert two.codes("s3", "list_objects_v2", Bucket=name) == {"NoSuchBucket"}
        two.change("s3", "create_bucket", Bucket=name)
        assert two.codes("s3", "list_objects_v2", Bucket=name) == {""}
        two.change("s3", "delete_bucket", Bucket=name)


def test_objects(two, bucket):
    for body in (b"2", b"3", b"4"):
        two.change("s3", "put_object", Bucket=bucket, Key="key", Body=body)
        assert {each["Body"].read() for each in two.both("s3", "get_object", Bucket=bucket, Key="key")} == {body}
    two.change("s3", "delete_object", Bucket=bucket, Key="key")
    assert two.codes("s3", "get_object", Bucket=bucket, Key="key") == {"NoSuchKey"}
    assert two.members("KeyCount", "s3", "list_objects_v2", Bucket=bucket) == {0}


def test_bucket_policies(two, bucket):
    asked = ("s3", "get_object", two.stranger)
    allowed = {
        "Effect": "Allow",
        "Principal": {"AWS": STRANGER},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    for statement, expected in ((allowed, ""), ({**allowed, "Effect": "Deny"}, "AccessDenied"), (allowed, "")):
        two.change("s3", "put_bucket_policy", Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
        assert two.codes(*asked, Bucket=bucket, Key="key") == {expected}
    two.change("s3", "delete_bucket_policy", Bucket=bucket)
    assert two.codes(*asked, Bucket=bucket, Key="key") == {"AccessDenied"}


@pytest.mark.usefixtures("resolving")
def test_public_access_of_buckets_and_accounts(two, bucket):
    two.change("s3", "delete_public_access_block", Bucket=bucket)
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    two.change("s3", "put_bucket_policy", Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": everybody}))
    asked = ("s3", "get_object", two.stranger)
    blocks = {"RestrictPublicBuckets": True}
    assert two.codes(*asked, Bucket=bucket, Key="key") == {""}
    for on in (True, False):
        two.change(
            "s3",
            "put_public_access_block",
            Bucket=bucket,
            PublicAccessBlockConfiguration={"RestrictPublicBuckets": on},
        )
        assert two.codes(*asked, Bucket=bucket, Key="key") == {"AccessDenied" if on else ""}
    control = [two.server.client("s3control", url=door.url.replace("127.0.0.1", "localhost")) for door in two.doors]
    try:
        control[0].put_public_access_block(AccountId=OWNER, PublicAccessBlockConfiguration=blocks)
        assert two.codes(*asked, Bucket=bucket, Key="key") == {"AccessDenied"}
    finally:
        control[1].delete_public_access_block(AccountId=OWNER)
    assert two.codes(*asked, Bucket=bucket, Key="key") == {""}


def test_lists_and_ownership(two, bucket):
    two.change("s3", "delete_public_access_block", Bucket=bucket)
    asked = ("s3", "list_objects_v2", two.stranger)
    owned = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    two.change("s3", "put_bucket_ownership_controls", Bucket=bucket, OwnershipControls=owned)
    for acl, expected in (("public-read", ""), ("private", "AccessDenied"), ("public-read", "")):
        two.change("s3", "put_bucket_acl", Bucket=bucket, ACL=acl)
        assert two.codes(*asked, Bucket=bucket) == {expected}
    two.change("s3", "put_bucket_acl", Bucket=bucket, ACL="private")
    two.change("s3", "put_object_acl", Bucket=bucket, Key="key", ACL="public-read")
    assert two.codes("s3", "get_object", two.stranger, Bucket=bucket, Key="key") == {""}
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    two.change("s3", "put_bucket_ownership_controls", Bucket=bucket, OwnershipControls=enforced)
    assert two.codes("s3", "get_object", two.stranger, Bucket=bucket, Key="key") == {"AccessDenied"}


def test_versioning(two, bucket):
    put = {"Bucket": bucket, "Key": "other", "Body": b""}
    assert two.members("VersionId", "s3", "put_object", **put) == {None}
    two.change("s3", "put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert len(two.members("VersionId", "s3", "put_object", **put) - {None, "null"}) == 2
    two.change("s3", "put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert two.members("VersionId", "s3", "put_object", **put) == {"null"}


def test_bucket_encryption(two, bucket):
    put = {"Bucket": bucket, "Key": "other", "Body": b""}
    for algorithm in ("aws:kms", "AES256", "aws:kms:dsse", "aws:kms"):
        two.change("s3", "put_bucket_encryption", Bucket=bucket, ServerSideEncryptionConfiguration=rule(algorithm))
        assert two.members("ServerSideEncryption", "s3", "put_object", **put) == {algorithm}
    two.change("s3", "delete_bucket_encryption", Bucket=bucket)
    assert two.members("ServerSideEncryption", "s3", "put_object", **put) == {"AES256"}


def test_lifecycles(two, bucket):
    put = {"Bucket": bucket, "Key": "other", "Body": b""}
    for days in (5, 50):
        rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": days}}]}
        two.change("s3", "put_bucket_lifecycle_configuration", Bucket=bucket, LifecycleConfiguration=rules)
        (told,) = two.members("Expiration", "s3", "put_object", **put)
        date = datetime.strptime(told.split('"')[1], "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
        assert days <= (date - datetime.now(UTC)).days + 1 <= days + 2
    two.change("s3", "delete_bucket_lifecycle", Bucket=bucket)
    assert two.members("Expiration", "s3", "put_object", **put) == {None}


def test_cross_origin_rules(two, bucket):
    def allowed() -> set[str | None]:
        headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        found: set[str | None] = set()
        for door in two.doors:
            at = Server(two.server.folder, port=door.port)
            found.add(at.send("OPTIONS", f"/{bucket}/key", headers).headers.get("access-control-allow-origin"))
        return found

    assert allowed() == {None}
    cors = {"CORSRules": [{"AllowedOrigins": ["https://a.example"], "AllowedMethods": ["GET"]}]}
    for _ in range(2):
        two.change("s3", "put_bucket_cors", Bucket=bucket, CORSConfiguration=cors)
        assert allowed() == {"https://a.example"}
        two.change("s3", "delete_bucket_cors", Bucket=bucket)
        assert allowed() == {None}


def test_requester_pays(two, bucket):
    open_to = {"Effect": "Allow", "Principal": {"AWS": STRANGER}, "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    two.change("s3", "put_bucket_policy", Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": open_to}))
    for payer, expected in (("Requester", "AccessDenied"), ("BucketOwner", ""), ("Requester", "AccessDenied")):
        two.change("s3", "put_bucket_request_payment", Bucket=bucket, RequestPaymentConfiguration={"Payer": payer})
        assert two.codes("s3", "get_object", two.stranger, Bucket=bucket, Key="key") == {expected}


@pytest.mark.usefixtures("resolving")
def test_tags_of_buckets_as_conditions_see_them(two, bucket):
    name, who = new_user(two.server, two.client("iam", 0))
    statement = {**ALLOW_ALL, "Condition": {"StringEquals": {"aws:ResourceTag/room": "red"}}}
    two.change("iam", "put_user_policy", UserName=name, PolicyName="p", PolicyDocument=policy(statement))
    two.change("s3", "put_bucket_abac", Bucket=bucket, AbacStatus={"Status": "Enabled"})
    control = [two.server.client("s3control", url=door.url.replace("127.0.0.1", "localhost")) for door in two.doors]
    for turn, (value, expected) in enumerate((("blue", "AccessDenied"), ("red", ""), ("blue", "AccessDenied"))):
        control[turn % 2].tag_resource(
            AccountId=OWNER, ResourceArn=f"arn:aws:s3:::{bucket}", Tags=[{"Key": "room", "Value": value}]
        )
        assert two.codes("s3", "list_objects_v2", who, Bucket=bucket) == {expected}


def test_object_lock_defaults(two):
    name = unique()
    two.change("s3", "create_bucket", Bucket=name, ObjectLockEnabledForBucket=True)
    two.change("s3", "put_object", Bucket=name, Key="key", Body=b"")
    retained = {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    for lock, mode in ((retained, "GOVERNANCE"), ({}, None), (retained, "GOVERNANCE")):
        two.change(
            "s3",
            "put_object_lock_configuration",
            Bucket=name,
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", **lock},
        )
        for door in range(2):
            two.client("s3", door).put_object(Bucket=name, Key="key", Body=b"")
            assert two.client("s3", door).head_object(Bucket=name, Key="key").get("ObjectLockMode") == mode


# --------------------------------------------------------------------------------------------------------------- identities


def test_an_access_key_that_was_nobodys_is_somebodys(two):
    made = Account("777788889999")
    assert two.codes("s3", "list_buckets", made) == {"InvalidAccessKeyId"}
    words = ("account", "create", "late", "--id", made.account_id, "--access-key-id", made.access_key_id)
    two.server.run(*words, "--secret-access-key", made.secret_access_key, "--data", str(two.server.data))
    assert two.codes("s3", "list_buckets", made) == {""}


def test_access_keys(two):
    name, who = new_user(two.server, two.client("iam", 0), ALLOW_ALL)
    given = {"UserName": name, "AccessKeyId": who.access_key_id}
    assert two.codes("s3", "list_buckets", who) == {""}
    for status, expected in (
        ("Inactive", "InvalidAccessKeyId"),
        ("Active", ""),
        ("Inactive", "InvalidAccessKeyId"),
        ("Active", ""),
    ):
        two.change("iam", "update_access_key", **given, Status=status)
        assert two.codes("s3", "list_buckets", who) == {expected}
    two.change("iam", "delete_access_key", **given)
    assert two.codes("s3", "list_buckets", who) == {"InvalidAccessKeyId"}


def test_policies_of_users_groups_and_boundaries(two):
    name, who = new_user(two.server, two.client("iam", 0))
    group = unique("group")
    asked = ("s3", "list_buckets", who)
    assert two.codes(*asked) == {"AccessDenied"}
    managed = two.change("iam", "create_policy", PolicyName=unique("p"), PolicyDocument=policy(ALLOW_ALL))["Policy"]["Arn"]
    nothing = policy({**ALLOW_ALL, "Action": "sqs:*"})
    deny = policy({**ALLOW_ALL, "Effect": "Deny"})
    two.change("iam", "create_group", GroupName=group)
    two.change("iam", "attach_group_policy", GroupName=group, PolicyArn=managed)
    steps = [
        ("add_user_to_group", {"GroupName": group, "UserName": name}, ""),
        ("put_user_policy", {"UserName": name, "PolicyName": "no", "PolicyDocument": deny}, "AccessDenied"),
        ("delete_user_policy", {"UserName": name, "PolicyName": "no"}, ""),
        ("create_policy_version", {"PolicyArn": managed, "PolicyDocument": nothing, "SetAsDefault": True}, "AccessDenied"),
        ("set_default_policy_version", {"PolicyArn": managed, "VersionId": "v1"}, ""),
        ("remove_user_from_group", {"GroupName": group, "UserName": name}, "AccessDenied"),
        ("attach_user_policy", {"UserName": name, "PolicyArn": managed}, ""),
        ("detach_user_policy", {"UserName": name, "PolicyArn": managed}, "AccessDenied"),
    ]
    for method, given, expected in steps:
        two.change("iam", method, **given)
        assert two.codes(*asked) == {expected}, method


# --------------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("bucket_key", [False, True])
def test_states_of_keys_and_open_bucket_keys(two, bucket, bucket_key):
    key = two.change("kms", "create_key")["KeyMetadata"]["KeyId"]
    encrypted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": bucket_key}
    put = {"Bucket": bucket, "Key": "kms", "Body": b"", **encrypted}
    get = {"Bucket": bucket, "Key": "kms"}
    for method, given, refusal in (
        ("disable_key", {}, "KMS.DisabledException"),
        ("enable_key", {}, ""),
        ("schedule_key_deletion", {"PendingWindowInDays": 7}, "KMS.KMSInvalidStateException"),
        ("cancel_key_deletion", {}, "KMS.DisabledException"),
        ("enable_key", {}, ""),
    ):
        two.change("kms", method, KeyId=key, **given)
        if not refusal:
            assert two.codes("s3", "put_object", **put) == {""}
            assert two.codes("s3", "get_object", **get) == {""}
        else:
            assert two.codes("s3", "put_object", **put) == {refusal}


def test_policies_of_keys_and_grants(two, bucket):
    metadata = two.change("kms", "create_key")["KeyMetadata"]
    key, arn = metadata["KeyId"], metadata["Arn"]
    name, who = new_user(two.server, two.client("iam", 0))
    s3_only = {**ALLOW_ALL, "Action": "s3:*"}
    two.change("iam", "put_user_policy", UserName=name, PolicyName="p", PolicyDocument=policy(s3_only))
    user = two.client("iam", 0).get_user(UserName=name)["User"]["Arn"]
    put = {
        "Bucket": bucket,
        "Key": "kms",
        "Body": b"",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": arn,
        "BucketKeyEnabled": True,
    }
    asked = ("s3", "put_object", who)
    assert two.codes(*asked, **put) == {"AccessDenied"}
    grant = two.change("kms", "create_grant", KeyId=key, GranteePrincipal=user, Operations=["GenerateDataKey", "Decrypt"])[
        "GrantId"
    ]
    assert two.codes(*asked, **put) == {""}
    two.change("kms", "revoke_grant", KeyId=key, GrantId=grant)
    assert two.codes(*asked, **put) == {"AccessDenied"}
    own = {"Sid": "own", "Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*", "Resource": "*"}
    users = {"Sid": "user", "Effect": "Allow", "Principal": {"AWS": user}, "Action": "kms:*", "Resource": "*"}
    for statements, expected in (([own, users], ""), ([own], "AccessDenied"), ([own, users], "")):
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        two.change("kms", "put_key_policy", KeyId=key, Policy=document)
        assert two.codes(*asked, **put) == {expected}


@pytest.mark.parametrize("bucket_key", [False, True])
@pytest.mark.parametrize("sort", ["user", "role"])
def test_rights_to_keys_that_are_at_hand(two, bucket, sort, bucket_key):
    """Each worker has asked whether the caller may, and so need not ask again, until whatever the answer hung on has changed."""
    key = two.change("kms", "create_key")["KeyMetadata"]["Arn"]
    put = {"Bucket": bucket, "Key": "kms", "Body": b"", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    put |= {"BucketKeyEnabled": bucket_key}
    name, who = new_user(two.server, two.client("iam", 0), ALLOW_ALL)
    mine = f"arn:aws:iam::{OWNER}:{sort}/{name}"
    clients = [two.client("s3", door, who) for door in range(2)]
    if sort == "role":
        two.change("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=TRUST)
        credentials = two.client("sts", 0, who).assume_role(RoleArn=mine, RoleSessionName="session")["Credentials"]
        clients = [acting(two.server, "s3", credentials, url=door.url) for door in two.doors]
    named = {f"{sort.title()}Name": name}
    inline = {**named, "PolicyName": "rights"}
    may, s3_only = policy(ALLOW_ALL), policy({**ALLOW_ALL, "Action": "s3:*"})
    managed, bounded = (
        two.change("iam", "create_policy", PolicyName=unique("p"), PolicyDocument=text)["Policy"]["Arn"]
        for text in (may, s3_only)
    )
    own = {"Sid": "own", "Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*", "Resource": "*"}
    deny = {"Sid": "no", "Effect": "Deny", "Principal": {"AWS": mine}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"]}
    deny["Resource"] = "*"
    elsewhere = {**deny, "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
    here = {**deny, "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}
    other = {**deny, "Condition": {"StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::other*"}}}
    this = {**deny, "Condition": {"StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}*"}}}

    def answers():
        asked = [(method, given) for one in clients for method, given in ((one.put_object, put), (one.get_object, get))]
        return {answer if isinstance(answer, str) else "" for answer in (_answer(*each) for each in asked)}

    get = {"Bucket": bucket, "Key": "kms"}
    steps = [
        ("iam", f"put_{sort}_policy", {**inline, "PolicyDocument": may}, ""),
        ("iam", f"put_{sort}_policy", {**inline, "PolicyDocument": s3_only}, "AccessDenied"),
        ("iam", f"attach_{sort}_policy", {**named, "PolicyArn": managed}, ""),
        ("iam", f"put_{sort}_permissions_boundary", {**named, "PermissionsBoundary": bounded}, "AccessDenied"),
        ("iam", f"delete_{sort}_permissions_boundary", named, ""),
        *[
            (
                "kms",
                "put_key_policy",
                {"KeyId": key, "Policy": json.dumps({"Version": "2012-10-17", "Statement": [own, *more]})},
                end,
            )
            for more, end in (
                ([deny], "AccessDenied"),
                ([elsewhere], ""),
                ([here], "AccessDenied"),
                ([other], ""),
                ([this], "AccessDenied"),
                ([], ""),
            )
        ],
        ("kms", "disable_key", {"KeyId": key}, "KMS.DisabledException"),
        ("kms", "enable_key", {"KeyId": key}, ""),
        ("iam", f"detach_{sort}_policy", {**named, "PolicyArn": managed}, "AccessDenied"),
    ]
    for service, method, given, expected in steps:
        two.change(service, method, **given)
        for _ in range(2):
            assert answers() == {expected}, (method, given)


def test_aliases_and_rotation(two, bucket):
    keys = [two.change("kms", "create_key")["KeyMetadata"]["Arn"] for _ in range(2)]
    alias = f"alias/{unique('a')}"
    put = {"Bucket": bucket, "Key": "kms", "Body": b"", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": alias}
    assert two.codes("s3", "put_object", **put) == {"KMS.NotFoundException"}
    two.change("kms", "create_alias", AliasName=alias, TargetKeyId=keys[0])
    assert two.members("SSEKMSKeyId", "s3", "put_object", **put) == {keys[0]}
    two.change("kms", "update_alias", AliasName=alias, TargetKeyId=keys[1])
    assert two.members("SSEKMSKeyId", "s3", "put_object", **put) == {keys[1]}
    sealed = two.change("kms", "encrypt", KeyId=keys[1], Plaintext=b"before")["CiphertextBlob"]
    two.change("kms", "rotate_key_on_demand", KeyId=keys[1])
    after = [each["CiphertextBlob"] for each in two.both("kms", "encrypt", KeyId=keys[1], Plaintext=b"after")]
    for blob, text in ((sealed, b"before"), (after[0], b"after"), (after[1], b"after")):
        assert two.members("Plaintext", "kms", "decrypt", CiphertextBlob=blob) == {text}
    two.change("kms", "delete_alias", AliasName=alias)
    assert two.codes("s3", "put_object", **put) == {"KMS.NotFoundException"}
