"""Rights to keys as clients meet them: the stories of the facts about KMS (H) in which key policies, grants and two accounts have a say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.house import OWNER, STRANGER, Account, refused, rule, unique
from tests.clients.test_roles import acting

ROOT, OTHER = f"arn:aws:iam::{OWNER}:root", f"arn:aws:iam::{STRANGER}:root"
HIDDEN = (
    "User: {} is not authorized to perform: {} on this resource because the resource does not exist in this Region, no resource-based "
    "policies allow access, or a resource-based policy explicitly denies access"
)
CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to "
    "access."
)
ALL_OF_S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
USE = ["kms:GenerateDataKey", "kms:Decrypt"]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def lets(principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
    named = "*" if principal == "*" else {"AWS": principal}
    return {"Effect": "Allow", "Principal": named, "Action": list(actions) or "kms:*", "Resource": "*", **more}


KEEPER = lets(ROOT, "kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:CreateGrant", "kms:DescribeKey")


@dataclass
class User:
    name: str
    account: Account
    s3: Any
    kms: Any
    iam: Any  # of its account's root

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account.account_id}:user/{self.name}"

    def may(self, *statements: dict[str, Any]) -> None:
        self.iam.put_user_policy(UserName=self.name, PolicyName="rights", PolicyDocument=document(*statements))


def user_of(server, root: Account) -> User:
    iam, name = server.client("iam", root), unique("user")
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    account = Account(root.account_id, made["AccessKeyId"], made["SecretAccessKey"])
    return User(name, account, server.client("s3", account), server.client("kms", account), iam)


@pytest.fixture(scope="module")
def users(server, stranger):
    """One of each account."""
    pair = user_of(server, server.owner), user_of(server, stranger)
    yield pair
    for user in pair:
        for client in (user.s3, user.kms, user.iam):
            client.close()


@pytest.fixture
def ann(users):
    users[0].may(ALL_OF_S3)
    return users[0]


@pytest.fixture
def bob(users):
    users[1].may(ALL_OF_S3)
    return users[1]


@pytest.fixture(scope="module")
def theirs(server, stranger):
    clients = server.client("s3", stranger), server.client("kms", stranger)
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def shared(s3, bucket):
    """A bucket of the owner's that the other account may read and write."""
    statement = {"Effect": "Allow", "Principal": {"AWS": STRANGER}, "Action": ["s3:PutObject", "s3:GetObject"]}
    s3.put_bucket_policy(Bucket=bucket, Policy=document({**statement, "Resource": f"arn:aws:s3:::{bucket}/*"}))
    return bucket


def read(client: Any, bucket: str, object_key: str = "k") -> bytes:
    return client.get_object(Bucket=bucket, Key=object_key)["Body"].read()


def default(s3: Any, bucket: str, *kms_key: str) -> None:
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms", *kms_key))


@pytest.mark.fact("H1", "A88", "D27")
def test_h1_rights_to_s3_alone(s3, bucket, key, ann):
    default(s3, bucket, key["Arn"])
    refusal = refused(ann.s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert (refusal.status, refusal.code) == (403, "AccessDenied")
    assert f"kms:GenerateDataKey on resource: {key['Arn']} because" in refusal.message
    default(s3, bucket)
    for more in ({}, {"BucketKeyEnabled": True}):  # of aws/s3, which lets in whoever may use S3
        ann.s3.put_object(Bucket=bucket, Key="k", Body=b"x", **more)
        assert read(ann.s3, bucket) == b"x"
    managed = ann.s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"]
    assert refused(ann.kms.generate_data_key, KeyId=managed, KeySpec="AES_256").code == "AccessDeniedException"


@pytest.mark.fact("H2", "A88", "B11", "D28")
def test_h2_another_account_writes_under_its_own_managed_key(s3, shared, bob):
    default(s3, shared)
    bob.s3.put_object(Bucket=shared, Key="k", Body=b"x")
    assert s3.head_object(Bucket=shared, Key="k")["SSEKMSKeyId"].split(":")[4] == STRANGER
    refusal = refused(s3.get_object, Bucket=shared, Key="k")
    assert (refusal.status, refusal.code, refusal.message) == (403, "AccessDenied", CIPHERTEXT)
    assert read(bob.s3, shared) == b"x"


@pytest.mark.fact("H2", "C19", "D28", "9.15")
@pytest.mark.parametrize("bucket_key", [True, False])
def test_h2_a_key_that_is_shared_by_both_accounts(s3, kms, shared, key, bob, bucket_key):
    arn = key["Arn"]
    s3.put_bucket_encryption(Bucket=shared, ServerSideEncryptionConfiguration=rule("aws:kms", arn, BucketKeyEnabled=bucket_key))
    lent, kept = document(lets(ROOT), lets(STRANGER, *USE)), document(lets(ROOT))
    right = {"Effect": "Allow", "Action": USE, "Resource": arn}
    for policy, statements, works in ((lent, [right], True), (kept, [right], False), (lent, [], False), (lent, [right], True)):
        kms.put_key_policy(KeyId=arn, Policy=policy)
        bob.may(ALL_OF_S3, *statements)
        if works:
            bob.s3.put_object(Bucket=shared, Key="k", Body=b"x")
            assert read(bob.s3, shared) == read(s3, shared) == b"x"
        else:
            refusal = refused(bob.s3.put_object, Bucket=shared, Key="k", Body=b"x")
            assert (refusal.status, refusal.message) == (403, HIDDEN.format(bob.arn, "kms:GenerateDataKey"))
            refusal = refused(bob.s3.get_object, Bucket=shared, Key="k")
            assert (refusal.status, refusal.message) == (403, CIPHERTEXT)


@pytest.mark.fact("B5", "B10", "B11", "B13", "C19")
def test_b11_a_key_of_another_account_as_bucket_default_by_the_arn_of_its_alias(s3, bucket, theirs, ann):
    """The other direction: the bucket is the owner's, the key the stranger's."""
    _, their_kms = theirs
    arn, alias = their_kms.create_key()["KeyMetadata"]["Arn"], f"alias/{unique('lent')}"
    their_kms.create_alias(AliasName=alias, TargetKeyId=arn)
    default(s3, bucket, arn.rpartition("key/")[0] + alias)
    ann.may(ALL_OF_S3, {"Effect": "Allow", "Action": USE, "Resource": arn})
    refusal = refused(ann.s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert refusal.message == HIDDEN.format(ann.arn, "kms:GenerateDataKey")
    their_kms.put_key_policy(KeyId=arn, Policy=document(lets(OTHER), lets(ROOT, *USE)))
    assert ann.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["SSEKMSKeyId"] == arn
    assert read(ann.s3, bucket) == read(s3, bucket) == b"x"
    wanted = {"SSEKMS": {"KMSKeyArn": arn}}  # 8.10: not for this operation, shared or not
    refusal = refused(s3.update_object_encryption, Bucket=bucket, Key="k", ObjectEncryption=wanted)
    assert (refusal.status, "owned by the same account as the bucket" in refusal.message) == (403, True)
    default(s3, bucket, alias)  # B11: a bare alias is one of the requester's account
    assert refused(ann.s3.put_object, Bucket=bucket, Key="k", Body=b"x").code == "KMS.NotFoundException"


def test_an_object_under_anothers_key_moves_to_ones_own(s3, bucket, theirs, key):
    """UpdateObjectEncryption asks for the key that the object leaves, whosever it is."""
    _, their_kms = theirs
    arn = their_kms.create_key(Policy=document(lets(OTHER), lets(ROOT, *USE)))["KeyMetadata"]["Arn"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=arn)
    asked = {"Bucket": bucket, "Key": "k", "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": key["Arn"]}}}
    assert refused(s3.update_object_encryption, **asked).message == HIDDEN.format(ROOT, "kms:ReEncryptFrom")
    their_kms.put_key_policy(KeyId=arn, Policy=document(lets(OTHER), lets(ROOT, *USE, "kms:ReEncrypt*")))
    s3.update_object_encryption(**asked)
    assert s3.head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == key["Arn"]
    assert read(s3, bucket) == b"x"


@pytest.mark.fact("H3")
def test_h3_a_session_that_may_write_and_not_read(server, users, s3, bucket, key):
    iam, name = users[0].iam, unique("role")
    trust = document({"Effect": "Allow", "Principal": {"AWS": users[0].arn}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    everything = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(everything))
    sts = server.client("sts", users[0].account)
    passed = document({**everything, "Action": ["s3:*", "kms:GenerateDataKey"]})
    given = sts.assume_role(RoleArn=role, RoleSessionName="monday", Policy=passed)["Credentials"]
    session = acting(server, "s3", given)
    default(s3, bucket, key["Arn"])
    session.put_object(Bucket=bucket, Key="k", Body=b"x")
    refusal = refused(session.get_object, Bucket=bucket, Key="k")
    assert (refusal.status, refusal.message.rpartition(key["Arn"])[2]) == (
        403,
        " because no session policy allows the kms:Decrypt action",
    )
    for client in (sts, session):
        client.close()


@pytest.mark.fact("H8", "C16", "C17")
def test_h8_a_key_policy_without_delegation(s3, kms, bucket, key, ann):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(KEEPER))
    ann.may(ALL_OF_S3, {"Effect": "Allow", "Action": "kms:*", "Resource": "*"})
    for who, arn in ((s3, ROOT), (ann.s3, ann.arn)):
        refusal = refused(who.get_object, Bucket=bucket, Key="k")
        assert (refusal.status, refusal.message) == (
            403,
            (
                f"User: {arn} is not authorized to perform: kms:Decrypt on resource: {key['Arn']} because no resource-based policy "
                "allows the kms:Decrypt action"
            ),
        )
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1  # D26
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(KEEPER, lets(ann.arn, "kms:Decrypt")))  # from the next request on
    ann.may(ALL_OF_S3)
    assert read(ann.s3, bucket) == b"x"
    assert refused(s3.get_object, Bucket=bucket, Key="k").status == 403
    locked = document(lets(ann.arn, "kms:Decrypt"))
    assert refused(kms.put_key_policy, KeyId=key["KeyId"], Policy=locked).code == "MalformedPolicyDocumentException"
    kms.put_key_policy(KeyId=key["KeyId"], Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert refused(kms.put_key_policy, KeyId=key["KeyId"], Policy=document(KEEPER)).code == "AccessDeniedException"
    assert read(ann.s3, bucket) == b"x"


@pytest.mark.fact("D20", "D21", "9.17", "4.9.5")
def test_d20_d21_a_key_for_one_bucket_and_through_s3_alone(s3, kms, bucket, key, ann):
    through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    of_objects = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/*"}}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(KEEPER, lets(ann.arn, *USE, Condition={**through, **of_objects})))
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    ann.s3.put_object(Bucket=bucket, Key="k", Body=b"x", **sealed)
    assert read(ann.s3, bucket) == b"x"
    assert refused(ann.kms.generate_data_key, KeyId=key["Arn"], KeySpec="AES_256").code == "AccessDeniedException"
    other = unique()
    s3.create_bucket(Bucket=other)
    assert refused(ann.s3.put_object, Bucket=other, Key="k", Body=b"x", **sealed).status == 403
    shared = {**sealed, "BucketKeyEnabled": True}
    assert (
        refused(ann.s3.put_object, Bucket=bucket, Key="k", Body=b"x", **shared).status == 403
    )  # the context is the bucket's ARN
    of_both = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": [f"arn:aws:s3:::{bucket}/*", f"arn:aws:s3:::{bucket}"]}}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(KEEPER, lets(ann.arn, *USE, Condition={**through, **of_both})))
    ann.s3.put_object(Bucket=bucket, Key="k", Body=b"y", **shared)
    assert read(ann.s3, bucket) == b"y"


@pytest.mark.fact("A71", "A73", "C20", "D22")
def test_a_grant_opens_one_bucket_to_a_user_and_its_end_closes_it(s3, kms, bucket, key, ann):
    default(s3, bucket, key["Arn"])
    kms.put_key_policy(KeyId=key["KeyId"], Policy=document(KEEPER, lets(ROOT)))
    constraint = {"EncryptionContextSubset": {"aws:s3:arn": f"arn:aws:s3:::{bucket}/k"}}
    given = {"KeyId": key["KeyId"], "GranteePrincipal": ann.arn, "Operations": ["GenerateDataKey", "Decrypt"]}
    granted = kms.create_grant(**given, Constraints=constraint)
    ann.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert read(ann.s3, bucket) == b"x"
    assert refused(ann.s3.put_object, Bucket=bucket, Key="other", Body=b"x").status == 403
    kms.retire_grant(GrantToken=granted["GrantToken"])
    assert refused(ann.s3.get_object, Bucket=bucket, Key="k").status == 403


@pytest.mark.fact("C8")
def test_c8_a_successor_of_the_same_name_is_another(server, kms, key):
    former = user_of(server, server.owner)
    policy = document(lets(ROOT), lets(former.arn, "kms:Encrypt"))
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy)
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=former.arn, Operations=["DescribeKey"])
    former.kms.encrypt(KeyId=key["Arn"], Plaintext=b"x")
    former.kms.describe_key(KeyId=key["Arn"])
    assert json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"]) == json.loads(policy)
    former.iam.delete_access_key(UserName=former.name, AccessKeyId=former.account.access_key_id)
    unique_id = former.iam.get_user(UserName=former.name)["User"]["UserId"]
    former.iam.delete_user(UserName=former.name)
    former.iam.create_user(UserName=former.name)
    made = former.iam.create_access_key(UserName=former.name)["AccessKey"]
    successor = server.client("kms", Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"]))
    assert refused(successor.encrypt, KeyId=key["Arn"], Plaintext=b"x").code == "AccessDeniedException"
    assert refused(successor.describe_key, KeyId=key["Arn"]).code == "AccessDeniedException"
    shown = json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"])
    assert shown["Statement"][1]["Principal"] == {"AWS": unique_id}
    successor.close()


@pytest.mark.fact("B8", "B10")
def test_b8_aliases_are_judged_twice_and_keys_by_their_arn(kms, key, ann):
    alias = f"alias/{unique('mine')}"
    alias_arn = key["Arn"].rpartition("key/")[0] + alias
    create = {"AliasName": alias, "TargetKeyId": key["KeyId"]}
    for resources, works in (([alias_arn], False), ([key["Arn"]], False), ([alias_arn, key["Arn"]], True)):
        ann.may({"Effect": "Allow", "Action": "kms:CreateAlias", "Resource": resources})
        if works:
            ann.kms.create_alias(**create)
        else:
            assert refused(ann.kms.create_alias, **create).code == "AccessDeniedException"
    ann.may({"Effect": "Allow", "Action": "kms:Encrypt", "Resource": alias_arn})  # D3: which does not match
    assert refused(ann.kms.encrypt, KeyId=alias, Plaintext=b"x").code == "AccessDeniedException"
    ann.may({"Effect": "Allow", "Action": "kms:Encrypt", "Resource": key["Arn"]})
    assert ann.kms.encrypt(KeyId=alias, Plaintext=b"x")["KeyId"] == key["Arn"]
