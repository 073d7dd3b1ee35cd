"""Key policies: which documents are taken, which are refused with what text, and that nobody locks himself out. Numbers are those
of the facts about KMS (A.9)."""

from __future__ import annotations

import json

import pytest

from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND
from tests.kms.world import REGION, A, B

ROOT, OTHER, ANN = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root", f"arn:aws:iam::{A}:user/ann"
DELEGATION = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}
LOCKED_OUT = "The new key policy will not allow you to update the key policy in the future."
INVALID_PRINCIPALS = "Policy contains a statement with one or more invalid principals."
SYNTAX = "Syntax errors in policy."


def policy(*statements: dict, **more) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def statement(**changes) -> dict:
    """A second statement beside the delegation: decrypting for everyone in the account, changed; None leaves an element out."""
    made = {"Effect": "Allow", "Principal": {"AWS": A}, "Action": "kms:Decrypt", "Resource": "*", **changes}
    return {element: value for element, value in made.items() if value is not None}


async def put(world, key_id: str, text: str, **given) -> None:
    assert await world.ask("PutKeyPolicy", KeyId=key_id, Policy=text, **given) == {}


async def read(world, key_id: str) -> str:
    return (await world.ask("GetKeyPolicy", KeyId=key_id))["Policy"]


async def kept(world, key_id: str) -> str:
    """The same, of a key that nobody may ask about."""
    return (await world.catalog.document(KeyName(A, REGION, key_id).scope, KEY_KIND))["policy"]


@pytest.mark.fact("A25", "A58")
async def test_a25_a58_the_default_policy_is_pretty_printed(world):
    key_id, arn = await world.key()
    answer = await world.ask("GetKeyPolicy", KeyId=key_id)
    assert answer["PolicyName"] == "default"
    assert "\n" in answer["Policy"]
    assert json.loads(answer["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{A}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    assert world.asked == [("kms:GetKeyPolicy", arn)]
    assert await world.refusal("GetKeyPolicy", KeyId=key_id, PolicyName="other") == ("NotFoundException", "No such policy exists")
    # A59
    assert await world.ask("ListKeyPolicies", KeyId=key_id) == {"PolicyNames": ["default"], "Truncated": False}


async def test_a_policy_comes_back_as_it_was_given(world):
    first = '{ "Version":"2012-10-17",\n\t"Statement":' + json.dumps([DELEGATION]) + "}"
    key_id, arn = await world.key(Policy=first)
    assert await read(world, key_id) == first
    second = policy(DELEGATION, statement(Sid="with spaces and \u00fc"), Id="x")
    world.asked.clear()
    await put(world, arn, second, PolicyName="default")
    assert world.asked[0] == ("kms:PutKeyPolicy", arn)
    assert await read(world, key_id) == second


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"Principal": "*"},
        {"Principal": {"AWS": [ROOT, OTHER, ANN, B, "*"]}},
        {"Principal": {"Service": "s3.amazonaws.com"}},
        {"Action": ["kms:Describe*", "kms:Get*"]},
        {"Action": None, "NotAction": "kms:ScheduleKeyDeletion"},
        {"Action": None},  # A62: kept, and without effect
        {"Resource": None},
        {"Effect": "Deny", "Action": "kms:ScheduleKeyDeletion"},
        {"Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}},
        {"Condition": {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}},
    ],
)
async def test_documents_that_are_taken(world, more):
    world.principals.add(ANN)
    text = policy(DELEGATION, statement(**more))
    key_id, _ = await world.key(Policy=text)
    await put(world, key_id, text)
    assert await read(world, key_id) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "This policy contains invalid Json"),
        ("nonsense", "This policy contains invalid Json"),
        ("{", "This policy contains invalid Json"),
        ('{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', "This policy contains invalid Json"),
        ("{}", SYNTAX),
        (policy(), SYNTAX),
        (policy(DELEGATION, Extra=1), SYNTAX),
        (policy(DELEGATION, Version="2020-01-01"), SYNTAX),
        (policy(DELEGATION, statement(Effect="Maybe")), SYNTAX),
        (policy(DELEGATION, statement(Effect=None)), SYNTAX),
        (policy(DELEGATION, statement(Principal=None)), SYNTAX),
        (policy(DELEGATION, statement(NotAction="kms:Encrypt")), SYNTAX),
        (policy(DELEGATION, statement(Condition={"StringIs": {"a": "b"}})), SYNTAX),
        (policy(DELEGATION, statement(Principal={"AWS": ANN})), INVALID_PRINCIPALS),  # A61: nobody of that name
        (policy(DELEGATION, statement(Principal={"AWS": "9" * 12})), INVALID_PRINCIPALS),
        (policy(DELEGATION, statement(Principal={"AWS": "arn:aws:iam::999999999999:root"})), INVALID_PRINCIPALS),
        (policy(DELEGATION, statement(Principal={"AWS": "AIDAABCDEFGHIJKLMNOP"})), INVALID_PRINCIPALS),
        (policy(DELEGATION, statement(Principal={"AWS": "ann"})), INVALID_PRINCIPALS),
        (policy(DELEGATION, statement(Principal={"CanonicalUser": "0" * 64})), INVALID_PRINCIPALS),
        (
            policy(DELEGATION, statement(Condition={"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": "a"}})),
            "Policy contains a statement with an over-permissive condition.",  # A63
        ),
        (
            policy(DELEGATION, statement(Condition={"ForAllValues:StringEquals": {"kms:EncryptionContext:a": "b"}})),
            "Policy contains a statement with an over-permissive condition.",
        ),
    ],
)
async def test_documents_that_are_refused(world, text, message):
    refused = ("MalformedPolicyDocumentException", message)
    assert await world.refusal("CreateKey", Policy=text) == refused
    assert await world.refusal("CreateKey", Policy=text, BypassPolicyLockoutSafetyCheck=True) == refused
    assert (await world.ask("ListKeys"))["Keys"] == []
    key_id, _ = await world.key()
    before = await read(world, key_id)
    assert await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=text) == refused
    assert await read(world, key_id) == before


async def test_a_policy_has_at_most_32768_bytes(world):
    def of(size: int) -> str:
        text = policy(DELEGATION)
        return text + " " * (size - len(text))

    key_id, _ = await world.key(Policy=of(32_768))
    refused = ("LimitExceededException", "The key policy is longer than 32768 bytes.")
    assert await world.refusal("CreateKey", Policy=of(32_769)) == refused
    assert await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=of(32_769)) == refused
    umlauts = policy(DELEGATION, statement(Sid="\u00fc" * 16_384))
    wide = json.dumps(json.loads(umlauts), ensure_ascii=False)
    assert len(wide) < 32_768
    assert await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=wide) == refused  # bytes, not characters


@pytest.mark.parametrize(
    "statements",
    [
        [statement()],
        [statement(Action="kms:*", Principal={"AWS": OTHER})],
        [statement(Action="kms:*", Principal={"Service": "s3.amazonaws.com"})],
        [statement(Action="kms:*", Resource=f"arn:aws:kms:{REGION}:{B}:key/*")],
        [statement(Action="kms:*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})],
        [statement(Action="kms:*", Condition={"StringEquals": {"kms:CallerAccount": B}})],
        [statement(Action=None, NotAction="kms:Put*")],
        [statement(Action="kms:*", Resource=None)],
        [DELEGATION, statement(Effect="Deny", Action="kms:PutKeyPolicy", Principal="*")],
        [DELEGATION, statement(Effect="Deny", Action="kms:*", Principal={"AWS": ROOT})],
    ],
)
async def test_a60_nobody_locks_himself_out_unless_he_insists(world, statements):
    text = policy(*statements)
    refused = ("MalformedPolicyDocumentException", LOCKED_OUT)
    assert await world.refusal("CreateKey", Policy=text) == refused
    key_id, _ = await world.key()
    assert await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=text) == refused
    assert await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=text, BypassPolicyLockoutSafetyCheck=False) == refused
    await put(world, key_id, text, BypassPolicyLockoutSafetyCheck=True)
    assert await kept(world, key_id) == text
    assert (await world.refusal("PutKeyPolicy", KeyId=key_id, Policy=policy(DELEGATION)))[0] == "AccessDenied"  # and it is true
    await world.key(Policy=text, BypassPolicyLockoutSafetyCheck=True)


@pytest.mark.parametrize(
    "one",
    [
        {"Principal": {"AWS": A}},
        {"Principal": "*"},
        {"Action": "kms:Put*"},
        {"Action": ["kms:Decrypt", "KMS:putkeypolicy"]},
        {"Action": None, "NotAction": "kms:Decrypt"},
        {"Condition": {"StringEquals": {"kms:CallerAccount": A, "aws:PrincipalArn": ROOT}}},
    ],
)
async def test_a60_ways_to_keep_the_right(world, one):
    text = policy(statement(**{"Action": "kms:*", **one}))
    key_id, arn = await world.key(Policy=text)
    await put(world, key_id, text)
    await put(world, key_id, policy(statement(Action="kms:*", Resource=arn)))  # of this key


async def test_names_of_policies(world):
    key_id, _ = await world.key()
    given = {"KeyId": key_id, "Policy": policy(DELEGATION)}
    assert await world.refusal("PutKeyPolicy", **given, PolicyName="mine") == ("NotFoundException", "No such policy exists")
    refused = ("ValidationException", "The AWS_RAM policy can only be managed by the RAM service.")
    assert await world.refusal("PutKeyPolicy", **given, PolicyName="AWS_RAM") == refused


async def test_whose_policy(world):
    managed = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]["KeyId"]
    assert (await world.refusal("PutKeyPolicy", KeyId=managed, Policy=policy(DELEGATION)))[0] == "AccessDenied"  # A89
    _, arn = await world.key()
    world.shared.add(B)
    for operation, given in (("PutKeyPolicy", {"Policy": policy(DELEGATION)}), ("GetKeyPolicy", {}), ("ListKeyPolicies", {})):
        assert (await world.refusal(operation, KeyId=arn, account=B, **given))[0] == "AccessDenied"  # B6
    assert (await world.refusal("PutKeyPolicy", KeyId="alias/aws/s3", Policy="{}"))[0] == "NotFoundException"
    world.denied = {"kms:PutKeyPolicy"}
    assert (await world.refusal("PutKeyPolicy", KeyId=arn, Policy="{}"))[0] == "AccessDenied"  # before the document is looked at
