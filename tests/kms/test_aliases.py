from __future__ import annotations

import pytest

from tests.kms.world import HIDDEN, REGION, START, A, B

PREFIX = (
    'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'
)


def arn(alias: str, account: str = A) -> str:
    return f"arn:aws:kms:{REGION}:{account}:{alias}"


async def names(world, **given) -> list[str]:
    return [entry["AliasName"] for entry in (await world.ask("ListAliases", **given))["Aliases"]]


async def test_an_alias_stands_for_its_key_until_it_is_moved(world):
    (one, one_arn), (two, two_arn) = await world.key(), await world.key()
    assert await world.ask("CreateAlias", AliasName="alias/x/y_Z-1", TargetKeyId=one) == {}
    assert world.asked == [("kms:CreateAlias", arn("alias/x/y_Z-1")), ("kms:CreateAlias", one_arn)]
    for name in ("alias/x/y_Z-1", arn("alias/x/y_Z-1")):
        assert (await world.ask("Encrypt", KeyId=name, Plaintext=b"x"))["KeyId"] == one_arn
        assert world.asked[-1] == ("kms:Encrypt", one_arn)
    world.asked.clear()
    world.clock.days(1)
    assert await world.ask("UpdateAlias", AliasName="alias/x/y_Z-1", TargetKeyId=two_arn) == {}
    assert world.asked == [("kms:UpdateAlias", resource) for resource in (arn("alias/x/y_Z-1"), one_arn, two_arn)]
    assert (await world.ask("DescribeKey", KeyId="alias/x/y_Z-1"))["KeyMetadata"]["KeyId"] == two
    assert (await world.ask("ListAliases", KeyId=two))["Aliases"] == [
        {
            "AliasName": "alias/x/y_Z-1",
            "AliasArn": arn("alias/x/y_Z-1"),
            "TargetKeyId": two,
            "CreationDate": START,
            "LastUpdatedDate": world.clock(),
        }
    ]
    assert await names(world, KeyId=one) == []
    world.asked.clear()
    assert await world.ask("DeleteAlias", AliasName="alias/x/y_Z-1") == {}
    assert world.asked == [("kms:DeleteAlias", arn("alias/x/y_Z-1")), ("kms:DeleteAlias", two_arn)]
    assert await names(world, KeyId=two) == []
    await world.ask("CreateAlias", AliasName="alias/x/y_Z-1", TargetKeyId=one)


@pytest.mark.fact("A64", "A65", "A66", "A67")
async def test_refusals(world):
    key_id, _ = await world.key()
    await world.ask("CreateAlias", AliasName="alias/taken", TargetKeyId=key_id)
    refused = await world.refusal("CreateAlias", AliasName="alias/taken", TargetKeyId=key_id)
    assert refused == ("AlreadyExistsException", f"An alias with the name {arn('alias/taken')} already exists")
    await world.ask("CreateAlias", AliasName="alias/Taken", TargetKeyId=key_id)  # case counts
    await world.ask("CreateAlias", AliasName="alias/taken", TargetKeyId=(await world.key(account=B))[0], account=B)
    for operation, target in (("CreateAlias", key_id), ("UpdateAlias", key_id), ("DeleteAlias", None)):
        given = {} if target is None else {"TargetKeyId": target}
        assert await world.refusal(operation, AliasName="none", **given) == ("ValidationException", PREFIX)
        for reserved in ("alias/aws/s3", "alias/aws/x"):
            assert (await world.refusal(operation, AliasName=reserved, **given))[0] == "NotAuthorizedException"
        if operation != "CreateAlias":
            refused = await world.refusal(operation, AliasName="alias/none", **given)
            assert refused == ("NotFoundException", f"Alias {arn('alias/none')} is not found.")
    assert (await world.refusal("CreateAlias", AliasName="alias/", TargetKeyId=key_id))[0] == "InvalidAliasNameException"


@pytest.mark.parametrize("operation", ["CreateAlias", "UpdateAlias", "DeleteAlias"])
async def test_both_the_alias_and_its_key_are_asked_for(world, operation):
    key_id, _ = await world.key()
    await world.ask("CreateAlias", AliasName="alias/x", TargetKeyId=key_id)
    world.denied = {f"kms:{operation}"}
    given = {} if operation == "DeleteAlias" else {"TargetKeyId": key_id}
    name = "alias/new" if operation == "CreateAlias" else "alias/x"
    assert (await world.refusal(operation, AliasName=name, **given))[0] == "AccessDenied"
    assert await names(world) == ["alias/aws/s3", "alias/x"]


@pytest.mark.fact("A68")
async def test_targets_are_keys_of_the_same_account_named_as_keys(world):
    key_id, key_arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/x", TargetKeyId=key_id)
    for name in ("alias/x", arn("alias/x")):
        refused = await world.refusal("CreateAlias", AliasName="alias/y", TargetKeyId=name)
        assert refused == ("NotFoundException", "Invalid keyId 'alias/x'")
    world.shared = {B}  # even where every policy allows it
    refused = await world.refusal("CreateAlias", AliasName="alias/y", TargetKeyId=key_arn, account=B)
    assert refused == ("AccessDenied", HIDDEN.format(B, "kms:CreateAlias"))


async def test_pending_deletion(world):
    (doomed, doomed_arn), (other, _) = await world.key(), await world.key()
    for name in ("alias/a", "alias/b"):
        await world.ask("CreateAlias", AliasName=name, TargetKeyId=doomed)
    await world.ask("ScheduleKeyDeletion", KeyId=doomed)
    pending = ("KMSInvalidStateException", f"{doomed_arn} is pending deletion.")
    assert await world.refusal("CreateAlias", AliasName="alias/c", TargetKeyId=doomed) == pending
    assert await world.refusal("UpdateAlias", AliasName="alias/a", TargetKeyId=doomed) == pending
    await world.ask("UpdateAlias", AliasName="alias/a", TargetKeyId=other)
    assert await world.refusal("UpdateAlias", AliasName="alias/a", TargetKeyId=doomed) == pending
    await world.ask("DeleteAlias", AliasName="alias/b")


MANAGEMENT = """
    GetKeyPolicy ListKeyPolicies ListResourceTags EnableKey DisableKey ScheduleKeyDeletion GetKeyRotationStatus CancelKeyDeletion
    TagResource UntagResource UpdateKeyDescription ListAliases
"""


@pytest.mark.parametrize("operation", MANAGEMENT.split())
async def test_management_does_not_take_aliases(world, operation):
    key_id, _ = await world.key()
    await world.ask("CreateAlias", AliasName="alias/x", TargetKeyId=key_id)
    more = {"Tags": [], "TagKeys": [], "Description": ""}
    assert await world.refusal(operation, KeyId="alias/x", **more) == ("NotFoundException", "Invalid keyId 'alias/x'")


async def test_fifty_aliases_per_key(world):
    key_id, _ = await world.key()
    for number in range(50):
        await world.ask("CreateAlias", AliasName=f"alias/{number:02}", TargetKeyId=key_id)
    assert (await world.refusal("CreateAlias", AliasName="alias/more", TargetKeyId=key_id))[0] == "LimitExceededException"
    assert len(await names(world, KeyId=key_id)) == 50
    await world.ask("UpdateAlias", AliasName="alias/00", TargetKeyId=key_id)


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.fact("A69")
async def test_pages_hold_every_alias_once_and_the_managed_one_always(world, made, size):
    key_id, _ = await world.key()
    mine = ["alias/a", "alias/b", "alias/aws", "alias/awt", "alias/zz"]
    for name in mine:
        await world.ask("CreateAlias", AliasName=name, TargetKeyId=key_id)
    if made:
        await world.ask("DescribeKey", KeyId="alias/aws/s3")
    listed, marker = [], {}
    while True:
        page = await world.ask("ListAliases", Limit=size, **marker)
        assert len(page["Aliases"]) <= size
        listed += page["Aliases"]
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    assert [entry["AliasName"] for entry in listed] == sorted([*mine, "alias/aws/s3"])
    managed = next(entry for entry in listed if entry["AliasName"] == "alias/aws/s3")
    assert ("TargetKeyId" in managed, "CreationDate" in managed) == (made, made)


async def test_pages_of_one_key(world):
    (one, _), (two, _) = await world.key(), await world.key()
    for name, target in (("alias/a", one), ("alias/b", two), ("alias/c", one)):
        await world.ask("CreateAlias", AliasName=name, TargetKeyId=target)
    first = await world.ask("ListAliases", KeyId=one, Limit=1)
    assert first["Truncated"]
    assert await names(world, KeyId=one, Marker=first["NextMarker"]) == ["alias/c"]
    assert (await world.refusal("ListAliases", KeyId=two, Marker=first["NextMarker"]))[0] == "InvalidMarkerException"
    assert (await world.refusal("ListAliases", Limit=101))[0] == "ValidationException"


async def test_a68_an_alias_stays_with_one_type_and_usage_of_key(world):
    kinds = {
        "symmetric": {},
        "signing": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
        "agreeing": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"},
        "authenticating": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    }
    keys = {name: (await world.key(**given))[0] for name, given in kinds.items()}
    for name, key_id in keys.items():
        await world.ask("CreateAlias", AliasName=f"alias/{name}", TargetKeyId=key_id)
        for other in keys.keys() - {name}:
            refused = await world.refusal("UpdateAlias", AliasName=f"alias/{name}", TargetKeyId=keys[other])
            assert refused == ("ValidationException", "An alias can be moved only to a KMS key of the same type and usage.")
    rsa, _ = await world.key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    await world.ask("UpdateAlias", AliasName="alias/signing", TargetKeyId=rsa)
