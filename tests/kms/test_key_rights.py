"""Who may use a key: its policy, the policies of the caller's account, and both accounts together. Numbers are those of the facts about
KMS (A.14, C.2)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND
from strongroom.policy.decide import Standing
from strongroom.policy.faults import Kind
from strongroom.policy.identity_documents import read_identity_policy
from tests.kms.world import CIPHERTEXT, HIDDEN, REGION, A, B

ROOT, OTHER = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ANN, BOB = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{B}:user/bob"
ROLE, SESSION = f"arn:aws:iam::{A}:role/reader", f"arn:aws:sts::{A}:assumed-role/reader/monday"
S3_CONTEXT = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}


def document(*statements: dict) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def says(effect: str, action, resource="*", **more) -> dict:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def lets(principal, action="kms:*", **more) -> dict:
    """A statement of a key policy."""
    return says("Allow", action, Principal="*" if principal == "*" else {"AWS": principal}, **more)


def identity(*statements: dict, kind: Kind = Kind.IDENTITY):
    return read_identity_policy(document(*statements), "p", kind)


#: What keeps the key manageable, so that the rest of a policy can be tried out.
KEEPER = lets(ROOT, ["kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:CreateGrant"])


async def made(world, *statements: dict) -> tuple[str, bytes]:
    """A key with that policy, and a blob that it sealed under the default policy."""
    world.principals |= {ANN, BOB, ROLE}
    key_id, arn = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret"))["CiphertextBlob"]
    await world.ask("PutKeyPolicy", KeyId=key_id, Policy=document(KEEPER, *statements))
    return arn, blob


def standing(world, arn: str, *statements: dict, **more) -> None:
    world.standings[arn] = Standing((identity(*statements),) if statements else (), **more)


async def ends(world, blob: bytes, arn: str, **who) -> str:
    """How the refusal of a Decrypt ends; "" when it is none."""
    try:
        assert (await world.ask("Decrypt", CiphertextBlob=blob, KeyId=arn, **who))["Plaintext"] == b"secret"
    except ApiError as error:
        return error.code if error.code != "AccessDenied" else error.message.partition(f"on resource: {arn} ")[2] or error.message
    return ""


NO_IDENTITY = "because no identity-based policy allows the kms:Decrypt action"
NO_RESOURCE = "because no resource-based policy allows the kms:Decrypt action"
BY_RESOURCE = "with an explicit deny in a resource-based policy"
BY_IDENTITY = "with an explicit deny in an identity-based policy"
MAY, MAY_NOT = says("Allow", "kms:*"), says("Deny", "kms:Decrypt")
USER = {"who": "user/ann"}


@pytest.mark.fact("C16", "C17", "C18", "C21")
@pytest.mark.parametrize(
    ("statement", "own", "who", "ending"),
    [
        (None, [MAY], {}, NO_RESOURCE),  # C16: not even the root
        (None, [MAY], USER, NO_RESOURCE),  # C17: no delegation, so identity policies do nothing
        (lets(ROOT), [], {}, ""),
        (lets(ROOT), [], USER, NO_IDENTITY),
        (lets(ROOT), [MAY], USER, ""),
        (lets(A), [MAY], USER, ""),
        (lets(ROOT, "kms:Encrypt"), [MAY], USER, NO_RESOURCE),  # C17: those actions only
        (lets(ROOT), [MAY, MAY_NOT], USER, BY_IDENTITY),
        (lets(ANN), [], USER, ""),  # C18
        (lets(ANN), [MAY_NOT], USER, BY_IDENTITY),  # C17: Denies still count
        (lets(ANN), [], {}, NO_RESOURCE),
        (lets("*"), [], USER, ""),  # C21
        (lets("*"), [], {}, ""),
        ({**lets(ANN), "Effect": "Deny"}, [MAY], USER, BY_RESOURCE),
        ({**lets(ANN), "Resource": f"arn:aws:kms:{REGION}:{A}:key/other"}, [], USER, NO_RESOURCE),
    ],
)
async def test_c16_c21_the_keys_policy_comes_first(world, statement, own, who, ending):
    arn, blob = await made(world, *([] if statement is None else [statement]))
    standing(world, ANN, *own)
    assert await ends(world, blob, arn, **who) == ending


@pytest.mark.fact("C19", "C21", "B5")
@pytest.mark.parametrize(
    ("statement", "own", "allowed"),
    [
        (lets(BOB), [MAY], True),
        (lets(OTHER), [MAY], True),
        (lets(B), [MAY], True),
        (lets("*"), [MAY], True),
        (lets(BOB), [], False),  # C19: either half alone is nothing
        (lets(OTHER), [says("Allow", "kms:Decrypt", f"arn:aws:kms:{REGION}:{A}:key/other")], False),
        (lets(OTHER), [MAY, MAY_NOT], False),
        (lets(ROOT), [MAY], False),
        ({**lets(BOB), "Effect": "Deny"}, [MAY], False),
    ],
)
async def test_c19_another_accounts_caller_needs_both_sides(world, statement, own, allowed):
    arn, blob = await made(world, statement)
    standing(world, BOB, *own)
    hidden = HIDDEN.replace(":root", ":user/bob").format(B, "kms:Decrypt")
    assert await ends(world, blob, arn, account=B, who="user/bob") == ("" if allowed else hidden)
    by_blob = {"CiphertextBlob": blob, "account": B, "who": "user/bob"}
    if allowed:
        assert (await world.ask("Decrypt", **by_blob))["KeyId"] == arn
    else:
        assert await world.refusal("Decrypt", **by_blob) == ("AccessDenied", CIPHERTEXT)


@pytest.mark.fact("C19", "B6")
async def test_b6_the_root_of_another_account_and_what_no_policy_gives_it(world):
    arn, blob = await made(world, lets(OTHER))
    assert await ends(world, blob, arn, account=B) == ""
    hidden = ("AccessDenied", HIDDEN.format(B, "kms:DisableKey"))
    assert await world.refusal("DisableKey", KeyId=arn, account=B) == hidden


@pytest.mark.fact("C5")
@pytest.mark.parametrize(("principal", "limited"), [(ROOT, True), (ROLE, True), ("*", True), (SESSION, False)])
async def test_c5_a_session_policy_limits_all_but_a_right_of_the_session_itself(world, principal, limited):
    world.principals.add(SESSION)
    arn, blob = await made(world, lets(principal))
    passed = (identity(says("Allow", "s3:*"), kind=Kind.SESSION),)
    standing(world, SESSION, MAY, session=passed, role_arn=ROLE)
    ending = await ends(world, blob, arn, who=SESSION, role=ROLE)
    assert ending == ("because no session policy allows the kms:Decrypt action" if limited else "")
    world.standings[SESSION] = replace(world.standings[SESSION], session=None)
    assert await ends(world, blob, arn, who=SESSION, role=ROLE) == ""


async def test_a_changed_policy_holds_from_the_next_request_on_every_worker(world, other_worker):
    arn, blob = await made(world, lets(ANN))
    for each in (world, other_worker):
        standing(each, ANN)
        assert await ends(each, blob, arn, **USER) == ""
    await other_worker.ask("PutKeyPolicy", KeyId=arn, Policy=document(KEEPER))
    for each in (world, other_worker):
        assert await ends(each, blob, arn, **USER) == NO_RESOURCE


async def test_a_policy_costs_no_reads_once_it_is_known(world):
    arn, blob = await made(world, lets(ANN))
    standing(world, ANN)
    await ends(world, blob, arn, **USER)
    before = world.catalog.reads
    await ends(world, blob, arn, **USER)
    assert world.catalog.reads == before


@pytest.mark.parametrize("text", ["", "nonsense", '{"Statement":{"Effect":"Allow"}}'])
async def test_a_policy_that_is_no_longer_understood_shuts_the_key(world, text):
    arn, blob = await made(world, lets("*"))
    await world.ask("CreateGrant", KeyId=arn, GranteePrincipal=ANN, Operations=["Decrypt"])
    standing(world, ANN, MAY)
    assert await ends(world, blob, arn, **USER) == ""
    await world.remake(arn.rpartition("/")[2], policy=text)
    for who in ({}, USER):
        assert await ends(world, blob, arn, **who) == NO_RESOURCE
    assert (await world.refusal("PutKeyPolicy", KeyId=arn, Policy=document(KEEPER)))[0] == "AccessDenied"


@pytest.mark.fact("C8")
async def test_c8_a_policy_and_a_grant_mean_whom_they_named_then(world):
    """A new user of the old name is another; what is shown says so."""
    first, second = "AIDAANN00000000000001", "AIDAANN00000000000002"
    world.unique_ids[ANN] = first
    arn, blob = await made(world, lets(ANN, "kms:Decrypt"))
    given = {"KeyId": arn, "GranteePrincipal": ANN, "RetiringPrincipal": ANN, "Operations": ["Encrypt"]}
    granted = (await world.ask("CreateGrant", **given))["GrantId"]
    for unique_id, ending in ((first, ""), (second, NO_RESOURCE)):
        standing(world, ANN, unique_id=unique_id)
        assert await ends(world, blob, arn, **USER) == ending
        if ending:
            assert (await world.refusal("Encrypt", KeyId=arn, Plaintext=b"x", **USER))[0] == "AccessDenied"
        else:
            await world.ask("Encrypt", KeyId=arn, Plaintext=b"x", **USER)
    retire = {"KeyId": arn, "GrantId": granted, **USER}
    assert (await world.refusal("RetireGrant", user_id=second, **retire))[0] == "AccessDenied"
    await world.ask("RetireGrant", user_id=first, **retire)
    world.unique_ids[ANN] = second
    shown = json.loads((await world.ask("GetKeyPolicy", KeyId=arn))["Policy"])
    assert shown["Statement"][1]["Principal"] == {"AWS": first}


# ------------------------------------------------------------------------------------------------------------------ aws/s3


async def through_s3(world, arn: str | None = None, **who) -> str:
    """A data key made and opened through S3: how it was refused, "" when it was not."""
    call = world.call("ListKeys", **who)  # the input of an S3 operation says nothing to KMS
    try:
        key = await world.data_keys.generate(call, arn, REGION, S3_CONTEXT)
        assert await world.data_keys.unwrap(call, key.wrapped, REGION, S3_CONTEXT) == key.plain
    except ApiError as error:
        return error.message if error.code == "AccessDenied" else error.code
    return ""


@pytest.mark.fact("A87", "A88", "D20")
async def test_a88_whoever_may_use_s3_may_use_its_key_through_s3_and_nobody_directly(world):
    standing(world, ANN)
    assert await through_s3(world, **USER) == ""
    assert await through_s3(world) == ""
    arn = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]["Arn"]
    for who in ({}, USER):
        for operation, given in (("Encrypt", {"Plaintext": b"x"}), ("GenerateDataKey", {"KeySpec": "AES_256"})):
            code, message = await world.refusal(operation, KeyId=arn, **given, **who)
            assert (code, message.endswith(f"no resource-based policy allows the kms:{operation} action")) == (
                "AccessDenied",
                True,
            )
    standing(world, ANN, MAY)  # directly not by any identity policy either
    assert (await world.refusal("Encrypt", KeyId=arn, Plaintext=b"x", **USER))[0] == "AccessDenied"
    assert (await world.ask("DescribeKey", KeyId=arn, **USER))["KeyMetadata"]["Arn"] == arn  # delegated: metadata alone
    standing(world, ANN)
    assert (await world.refusal("DescribeKey", KeyId=arn, **USER))[0] == "AccessDenied"


@pytest.mark.fact("A88")
async def test_a88_denies_and_session_policies_count_and_other_accounts_never_do(world):
    standing(world, ANN, says("Deny", "kms:GenerateDataKey"))
    assert (await through_s3(world, **USER)).endswith("with an explicit deny in an identity-based policy")
    passed = (identity(says("Allow", ["s3:*", "kms:GenerateDataKey"]), kind=Kind.SESSION),)
    standing(world, SESSION, session=passed, role_arn=ROLE)
    refusal = await through_s3(world, who=SESSION, role=ROLE)  # H3: it may write, and not read
    assert refusal.endswith("because no session policy allows the kms:Decrypt action")
    arn = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]["Arn"]
    assert await through_s3(world, arn, account=B) == HIDDEN.format(B, "kms:GenerateDataKey")


@pytest.mark.fact("A89")
async def test_a89_nobody_changes_the_managed_key(world):
    arn = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]["Arn"]
    for operation, given in (
        ("DisableKey", {}),
        ("ScheduleKeyDeletion", {}),
        ("PutKeyPolicy", {"Policy": document(lets(ROOT))}),
        ("TagResource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        ("UpdateKeyDescription", {"Description": "x"}),
        ("EnableKeyRotation", {}),
        ("RotateKeyOnDemand", {}),
        ("CreateGrant", {"GranteePrincipal": OTHER, "Operations": ["Decrypt"]}),
    ):
        code, message = await world.refusal(operation, KeyId=arn, **given)
        assert (code, "no resource-based policy allows the kms:" in message) == ("AccessDenied", True), operation


@pytest.mark.fact("D20")
async def test_d20_allowed_through_s3_and_denied_directly(world):
    via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com", "kms:CallerAccount": A}}
    arn, blob = await made(world, lets(ANN, Condition=via))
    standing(world, ANN)
    assert await through_s3(world, arn, **USER) == ""
    assert await ends(world, blob, arn, **USER) == NO_RESOURCE


@pytest.mark.fact("D21", "9.17")
async def test_d21_a_key_that_is_for_one_bucket(world):
    of_bucket = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::bucket/*"}}
    arn, _ = await made(world, lets(ANN, Condition=of_bucket))
    standing(world, ANN)
    assert await through_s3(world, arn, **USER) == ""
    call = world.call("ListKeys", **USER)
    for place in ("arn:aws:s3:::other/key", "arn:aws:s3:::bucket"):  # the latter is what a bucket key has
        with pytest.raises(ApiError, match="no resource-based policy allows the kms:GenerateDataKey action"):
            await world.data_keys.generate(call, arn, REGION, {"aws:s3:arn": place})


# ----------------------------------------------------------------------------------------------------------------- lock-out


@pytest.mark.fact("A60")
@pytest.mark.parametrize(
    ("own", "statement", "kept"),
    [
        ([MAY], lets(ROOT), True),  # through the account, by the caller's identity policy
        ([says("Allow", ["kms:CreateKey", "kms:PutKeyPolicy"])], lets(ROOT), True),
        ([says("Allow", "kms:CreateKey")], lets(ROOT), False),
        ([MAY], lets(ROOT, "kms:Decrypt"), False),
        ([MAY], lets(BOB), False),
        ([says("Deny", "kms:PutKeyPolicy"), MAY], lets(ANN), False),
        ([], lets(ANN), True),
        ([], lets(ANN, Condition={"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}), True),
        ([], lets(ANN, Condition={"StringEquals": {"kms:KeySpec": "RSA_2048"}}), False),
        ([], lets(ANN, Condition={"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "false"}}), True),
    ],
)
async def test_a60_the_check_looks_at_all_that_lets_the_caller_in(world, own, statement, kept):
    world.principals |= {ANN, BOB}
    standing(world, ANN, *own)
    given = {"Policy": document(statement), **USER}
    if kept:
        key_id, _ = await world.key(**given)
        assert (await world.catalog.document(KeyName(A, REGION, key_id).scope, KEY_KIND))["policy"] == given["Policy"]
    else:
        refusal = await world.refusal("CreateKey", **given)
        assert refusal[0] == "MalformedPolicyDocumentException"
        assert refusal[1] == "The new key policy will not allow you to update the key policy in the future."
        await world.key(**given, BypassPolicyLockoutSafetyCheck=True)
