"""What conditions of policies may ask about a key and its use: every condition key of KMS, as the real judge sees it. Numbers are those
of the facts about KMS (C.4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.policy.decide import Standing
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.templates import Untold
from tests.kms.world import REGION, START, A

ROOT, ANN = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{A}:user/ann"
CONTEXT = {"EncryptionContext": {"Team": "red", "aws:s3:arn": "arn:aws:s3:::b/k"}}
PLAIN = {"Plaintext": b"x"}
GRANT = {
    "GranteePrincipal": ANN,
    "RetiringPrincipal": ROOT,
    "Operations": ["Encrypt", "Decrypt"],
    "Constraints": {"EncryptionContextSubset": {"a": "b"}},
}
SIGN = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
MESSAGE = {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
MAC = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
AGREE = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}
ON_NO_BUCKET: Any = SimpleNamespace(bucket="", key="")  # all that the judge looks at of a route
EXTERNAL = {"Origin": "EXTERNAL"}
TAGS = {"Tags": [{"TagKey": "Team", "TagValue": "red"}]}

#: The kind of key, the operation and its input, the condition key, and its value there (None: there is none).
CASES = [
    ({}, "Encrypt", PLAIN, "kms:CallerAccount", A),
    ({}, "Encrypt", PLAIN, "kms:ViaService", None),
    ({}, "Encrypt", PLAIN, "kms:KeySpec", "SYMMETRIC_DEFAULT"),
    ({}, "Encrypt", PLAIN, "kms:CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"),
    ({}, "Encrypt", PLAIN, "kms:KeyUsage", "ENCRYPT_DECRYPT"),
    ({}, "Encrypt", PLAIN, "kms:CustomerMasterKeyUsage", "ENCRYPT_DECRYPT"),
    ({}, "Encrypt", PLAIN, "kms:KeyOrigin", "AWS_KMS"),
    ({}, "Encrypt", PLAIN, "kms:MultiRegion", "false"),
    ({}, "Encrypt", PLAIN, "kms:MultiRegionKeyType", None),
    ({"MultiRegion": True}, "Encrypt", PLAIN, "kms:MultiRegion", "true"),
    ({"MultiRegion": True}, "Encrypt", PLAIN, "kms:MultiRegionKeyType", "PRIMARY"),
    (SIGN, "DescribeKey", {}, "kms:KeySpec", "ECC_NIST_P256"),
    (SIGN, "DescribeKey", {}, "kms:KeyUsage", "SIGN_VERIFY"),
    (EXTERNAL, "DescribeKey", {}, "kms:KeyOrigin", "EXTERNAL"),
    ({}, "Encrypt", PLAIN, "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
    ({}, "Encrypt", {**PLAIN, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}, "kms:EncryptionAlgorithm", "RSAES_OAEP_SHA_1"),
    ({}, "GenerateDataKey", {"KeySpec": "AES_256"}, "kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
    ({}, "GenerateDataKey", {"KeySpec": "AES_256"}, "kms:KeySpec", "SYMMETRIC_DEFAULT"),  # of the key, not of the data key
    ({}, "DescribeKey", {}, "kms:EncryptionAlgorithm", None),
    ({}, "Encrypt", {**PLAIN, **CONTEXT}, "kms:EncryptionContext:team", "red"),
    ({}, "Encrypt", {**PLAIN, **CONTEXT}, "kms:EncryptionContext:aws:s3:arn", "arn:aws:s3:::b/k"),
    ({}, "Encrypt", {**PLAIN, **CONTEXT}, "kms:EncryptionContextKeys", ("Team", "aws:s3:arn")),
    ({}, "Encrypt", PLAIN, "kms:EncryptionContext:team", None),
    ({}, "Encrypt", PLAIN, "kms:EncryptionContextKeys", None),
    ({}, "GenerateDataKey", {"KeySpec": "AES_256", **CONTEXT}, "kms:EncryptionContext:team", "red"),
    ({}, "GenerateDataKeyPair", {"KeyPairSpec": "ECC_NIST_P256", **CONTEXT}, "kms:EncryptionContext:team", "red"),
    ({}, "GenerateDataKeyPair", {"KeyPairSpec": "ECC_NIST_P256"}, "kms:DataKeyPairSpec", "ECC_NIST_P256"),
    ({}, "GenerateDataKeyPairWithoutPlaintext", {"KeyPairSpec": "RSA_2048"}, "kms:DataKeyPairSpec", "RSA_2048"),
    ({}, "CreateGrant", GRANT, "kms:GranteePrincipal", ANN),
    ({}, "CreateGrant", GRANT, "kms:RetiringPrincipal", ROOT),
    ({}, "CreateGrant", GRANT, "kms:GrantOperations", ("Encrypt", "Decrypt")),
    ({}, "CreateGrant", GRANT, "kms:GrantConstraintType", ("EncryptionContextSubset",)),
    ({}, "CreateGrant", GRANT, "kms:GrantIsForAWSResource", "false"),
    ({}, "CreateGrant", GRANT, "kms:EncryptionContext:a", "b"),
    (
        {},
        "CreateGrant",
        {**GRANT, "Constraints": {"SourceArn": "arn:aws:s3:::b"}},
        "kms:GrantConstraintSourceArn",
        "arn:aws:s3:::b",
    ),
    ({}, "CreateGrant", {**GRANT, "Constraints": {}}, "kms:GrantConstraintType", None),
    ({}, "ListGrants", {}, "kms:GrantIsForAWSResource", "false"),
    ({}, "ListGrants", {"GranteePrincipal": ANN}, "kms:GranteePrincipal", None),
    ({}, "DescribeKey", {}, "kms:GrantOperations", None),
    ({}, "PutKeyPolicy", {"Policy": "{}"}, "kms:BypassPolicyLockoutSafetyCheck", "false"),
    ({}, "PutKeyPolicy", {"Policy": "{}", "BypassPolicyLockoutSafetyCheck": True}, "kms:BypassPolicyLockoutSafetyCheck", "true"),
    ({}, "GetKeyPolicy", {}, "kms:BypassPolicyLockoutSafetyCheck", None),
    ({}, "ScheduleKeyDeletion", {}, "kms:ScheduleKeyDeletionPendingWindowInDays", "30"),  # C22: the default, too
    ({}, "ScheduleKeyDeletion", {"PendingWindowInDays": 7}, "kms:ScheduleKeyDeletionPendingWindowInDays", "7"),
    ({}, "EnableKeyRotation", {}, "kms:RotationPeriodInDays", "365"),
    ({}, "EnableKeyRotation", {"RotationPeriodInDays": 90}, "kms:RotationPeriodInDays", "90"),
    (SIGN, "Sign", MESSAGE, "kms:SigningAlgorithm", "ECDSA_SHA_256"),
    (SIGN, "Sign", MESSAGE, "kms:MessageType", "RAW"),
    (SIGN, "Verify", {**MESSAGE, "MessageType": "DIGEST", "Signature": b"s"}, "kms:MessageType", "DIGEST"),
    (MAC, "GenerateMac", {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}, "kms:MacAlgorithm", "HMAC_SHA_256"),
    (MAC, "VerifyMac", {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256", "Mac": b"x"}, "kms:MacAlgorithm", "HMAC_SHA_256"),
    (AGREE, "DeriveSharedSecret", {"KeyAgreementAlgorithm": "ECDH", "PublicKey": b"x"}, "kms:KeyAgreementAlgorithm", "ECDH"),
    (
        EXTERNAL,
        "GetParametersForImport",
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "kms:WrappingAlgorithm",
        "RSAES_OAEP_SHA_256",
    ),
    (
        EXTERNAL,
        "GetParametersForImport",
        {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "kms:WrappingKeySpec",
        "RSA_2048",
    ),
    ({"MultiRegion": True}, "ReplicateKey", {"ReplicaRegion": "eu-west-3"}, "kms:ReplicaRegion", "eu-west-3"),
    ({"MultiRegion": True}, "UpdatePrimaryRegion", {"PrimaryRegion": "eu-west-3"}, "kms:PrimaryRegion", "eu-west-3"),
    (TAGS, "DescribeKey", {}, "aws:ResourceTag/team", "red"),
    ({}, "DescribeKey", {}, "aws:ResourceTag/team", None),
    ({}, "TagResource", TAGS, "aws:RequestTag/Team", "red"),
    ({}, "TagResource", TAGS, "aws:TagKeys", ("Team",)),
    ({}, "UntagResource", {"TagKeys": ["a", "b"]}, "aws:TagKeys", ("a", "b")),
    ({}, "DescribeKey", {}, "aws:TagKeys", None),
    ({}, "DescribeKey", {}, "kms:RequestAlias", None),
    ({}, "DescribeKey", {}, "kms:ResourceAliases", None),
    ({}, "DescribeKey", {}, "aws:ViaAWSService", "false"),
    ({}, "Decrypt", {"CiphertextBlob": b"x"}, "kms:RecipientAttestation:PCR0", None),
]


def condition(key: str, value) -> dict:
    """One that holds for just that value."""
    if value is None:
        return {"Null": {key: "true"}}
    if isinstance(value, tuple):
        return {"ForAllValues:StringEquals": {key: list(value)}, "ForAnyValue:StringEquals": {key: value[-1]}}
    return {"StringEquals": {key: value}}


def another(key: str, value) -> dict:
    if value is None:
        return {"Null": {key: "false"}}
    if isinstance(value, tuple):
        return {"ForAnyValue:StringEquals": {key: "another"}}
    return {"StringNotEquals": {key: value}}


def may_if(world, *conditions: dict) -> None:
    """Ann may do everything, under each of these conditions."""
    statements = [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": one} for one in conditions]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    world.standings[ANN] = Standing((read_identity_policy(text, "p"),))


async def is_denied(world, operation: str, given: dict) -> bool:
    """Whether ann is refused for want of that right; whatever else may be wrong is found after that."""
    try:
        await world.ask(operation, who="user/ann", **given)
    except ApiError as error:
        return error.code == "AccessDenied" and f"is not authorized to perform: kms:{operation}" in error.message
    return False


@pytest.mark.fact("C22", "C33", "C34")
@pytest.mark.parametrize(("kind", "operation", "given", "key", "value"), CASES)
async def test_c34_a_condition_sees_the_value_and_no_other(world, kind, operation, given, key, value):
    world.principals.add(ANN)
    key_id, _ = await world.key(**kind)
    if operation == "Decrypt":
        given = {"CiphertextBlob": (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]}
    asked = {"KeyId": key_id, **given}
    may_if(world, another(key, value))
    assert await is_denied(world, operation, asked)
    may_if(world, condition(key, value))
    assert not await is_denied(world, operation, asked)


@pytest.mark.fact("C34")
async def test_c34_material_that_is_imported(world):
    key_id, _ = await world.key(**EXTERNAL)
    given = {"KeyId": key_id, "ImportToken": b"x", "EncryptedKeyMaterial": b"x", "ValidTo": START + timedelta(days=30)}
    soon = {"DateLessThan": {"kms:ValidTo": (START + timedelta(days=31)).isoformat().replace("+00:00", "Z")}}
    for conditions, denied in (
        ([soon], False),
        ([{"DateGreaterThan": soon["DateLessThan"]}], True),
        ([{"StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"}}], False),
        ([{"StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}}], True),
    ):
        may_if(world, *conditions)
        assert await is_denied(world, "ImportKeyMaterial", given) is denied


@pytest.mark.fact("C34", "B9")
async def test_c34_both_sides_of_re_encrypt(world):
    (one, _), (other, _) = await world.key(), await world.key()
    blob = (await world.ask("Encrypt", KeyId=one, Plaintext=b"x", EncryptionContext={"side": "from"}))["CiphertextBlob"]
    given = {"CiphertextBlob": blob, "SourceEncryptionContext": {"side": "from"}, "DestinationEncryptionContext": {"side": "to"}}
    for target, same in ((one, "true"), (other, "false")):
        for value, denied in ((same, False), ({"true": "false", "false": "true"}[same], True)):
            may_if(world, {"Bool": {"kms:ReEncryptOnSameKey": value}})
            assert await is_denied(world, "ReEncrypt", {**given, "DestinationKeyId": target}) is denied
    may_if(world, {"StringEquals": {"kms:EncryptionContext:side": ["from", "to"]}})
    assert not await is_denied(world, "ReEncrypt", {**given, "DestinationKeyId": other})
    for side in ("from", "to"):
        may_if(world, {"StringEquals": {"kms:EncryptionContext:side": side}})
        assert await is_denied(world, "ReEncrypt", {**given, "DestinationKeyId": other})


@pytest.mark.fact("B10", "C34")
async def test_b10_aliases(world):
    """The key's ARN is what is judged; the alias that was used, and those that there are, only conditions see."""
    world.principals.add(ANN)
    key_id, arn = await world.key()
    for alias in ("alias/one", "alias/two"):
        await world.ask("CreateAlias", AliasName=alias, TargetKeyId=key_id)
    may_if(world, {"StringLike": {"kms:RequestAlias": "alias/o*"}})
    for named in ("alias/one", f"arn:aws:kms:{REGION}:{A}:alias/one"):
        assert not await is_denied(world, "Encrypt", {"KeyId": named, **PLAIN})
    for named in ("alias/two", key_id, arn):
        assert await is_denied(world, "Encrypt", {"KeyId": named, **PLAIN})
    may_if(world, {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/two"}})
    assert not await is_denied(world, "Encrypt", {"KeyId": key_id, **PLAIN})
    # In a key policy the key is absent: an Allow never holds by it, a negated condition does.
    keeper = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:PutKeyPolicy", "Resource": "*"}
    for held, denied in (
        ({"StringEquals": {"kms:ResourceAliases": "alias/two"}}, True),
        ({"Null": {"kms:ResourceAliases": "true"}}, False),
    ):
        lets = {"Effect": "Allow", "Principal": {"AWS": ANN}, "Action": "kms:Encrypt", "Resource": "*", "Condition": held}
        await world.ask("PutKeyPolicy", KeyId=key_id, Policy=json.dumps({"Statement": [keeper, lets]}))
        world.standings[ANN] = Standing()
        assert await is_denied(world, "Encrypt", {"KeyId": key_id, **PLAIN}) is denied


@pytest.mark.fact("C22", "C34")
@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ({}, "kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ({}, "kms:KeyUsage", "ENCRYPT_DECRYPT"),
        ({}, "kms:KeyOrigin", "AWS_KMS"),
        ({}, "kms:MultiRegion", "false"),
        ({}, "kms:BypassPolicyLockoutSafetyCheck", "false"),
        ({}, "kms:CallerAccount", A),
        ({}, "kms:ViaService", None),
        ({}, "aws:TagKeys", None),
        (SIGN, "kms:KeySpec", "ECC_NIST_P256"),
        ({"CustomerMasterKeySpec": "RSA_2048"}, "kms:KeySpec", "RSA_2048"),
        ({"MultiRegion": True}, "kms:MultiRegionKeyType", "PRIMARY"),
        (EXTERNAL, "kms:KeyOrigin", "EXTERNAL"),
        (TAGS, "aws:RequestTag/team", "red"),
        (TAGS, "aws:TagKeys", ("Team",)),
    ],
)
async def test_c22_a_key_that_is_to_be_made(world, given, key, value):
    """Asked by the gate before the run, from the operation's need."""
    call = world.call("CreateKey", who="user/ann", **given)
    for held, denied in ((condition(key, value), False), (another(key, value), True)):
        may_if(world, held)
        judge = world.judge(call.caller, REGION, given)
        if denied:
            with pytest.raises(ApiError, match="no identity-based policy allows the kms:CreateKey action"):
                await judge.decide(call.operation.need, ON_NO_BUCKET, None, with_version=False)
        else:
            await judge.decide(call.operation.need, ON_NO_BUCKET, None, with_version=False)


async def test_tags_of_a_new_key_are_a_right_of_their_own(world):
    may_if(world, {"StringEquals": {"aws:RequestTag/Team": "red"}})
    await world.ask("CreateKey", who="user/ann", **TAGS)
    assert (await world.refusal("CreateKey", who="user/ann", Tags=[{"TagKey": "Team", "TagValue": "blue"}]))[0] == "AccessDenied"


@pytest.mark.parametrize("key", ["kms:SomethingNew", "kms:CustomKeyStoreId"])
async def test_what_cannot_be_told_counts_against_the_caller(world, key):
    key_id, _ = await world.key()
    for held in ({"Null": {key: "true"}}, {"StringNotEquals": {key: "x"}}, {"StringEqualsIfExists": {key: "x"}}):
        may_if(world, held)
        assert await is_denied(world, "Encrypt", {"KeyId": key_id, **PLAIN})


@pytest.mark.fact("C33")
async def test_names_that_differ_by_case_alone_cannot_be_told_apart(world):
    key_id, _ = await world.key(Tags=[{"TagKey": "Team", "TagValue": "red"}, {"TagKey": "team", "TagValue": "blue"}])
    for key in ("kms:EncryptionContext:Team", "aws:ResourceTag/Team"):
        may_if(world, {"StringEquals": {key: ["red", "blue"]}})
        given = {"KeyId": key_id, **PLAIN, "EncryptionContext": {"Team": "red", "tEAM": "blue"}}
        assert await is_denied(world, "Encrypt", given)


async def test_nothing_is_told_where_the_asking_room_says_nothing(world):
    """A question without a word about it: closed, whatever a condition says."""
    _, arn = await world.key()
    may_if(world, {"Null": {"kms:ViaService": "true"}})
    caller = world.call("ListKeys", who="user/ann").caller
    with pytest.raises(ApiError):
        await world.judge(caller, REGION, {})("kms:Encrypt", arn)
    lookup = world.values(caller, REGION, {}).of("kms:Encrypt", A)
    for key in ("kms:viaservice", "aws:resourcetag/team", "aws:tagkeys", "aws:viaawsservice"):
        with pytest.raises(Untold):
            lookup(key)
    assert lookup("aws:currenttime") == datetime(2026, 3, 1, 12, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.fact("B15", "D20")
async def test_b15_what_s3_asks_names_s3(world):
    _, arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/x", TargetKeyId=arn)

    async def generate() -> str:
        return (await world.data_keys.generate(world.call("ListKeys", who="user/ann"), "alias/x", REGION, context)).key_arn

    context = {"aws:s3:arn": "arn:aws:s3:::b/k"}
    for key, value in (
        ("kms:ViaService", f"s3.{REGION}.amazonaws.com"),
        ("kms:CallerAccount", A),
        ("aws:ViaAWSService", "true"),
        ("kms:EncryptionContext:aws:s3:arn", "arn:aws:s3:::b/k"),
        ("kms:RequestAlias", "alias/x"),
        ("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
    ):
        may_if(world, {"StringEquals": {key: value}})
        assert await generate() == arn
        may_if(world, {"StringNotEquals": {key: value}})
        with pytest.raises(ApiError, match="kms:GenerateDataKey"):
            await generate()
