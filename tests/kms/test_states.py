"""The table of key states: which operation answers what on a key in which state. Numbers are those of the facts about KMS."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms.names import KeyName
from strongroom.kms.records import default_policy
from strongroom.kms.states import check_state
from tests.kms.world import REGION, START, A

CRYPTO = {
    "Encrypt": {"Plaintext": b"x"},
    "GenerateDataKey": {"KeySpec": "AES_256"},
    "GenerateDataKeyWithoutPlaintext": {"KeySpec": "AES_256"},
    "Decrypt": {},
    "ReEncrypt": {},
}


async def crypto(world, operation: str, key_id: str, blob: bytes) -> dict:
    given = dict(CRYPTO[operation])
    if operation in {"Decrypt", "ReEncrypt"}:
        given["CiphertextBlob"] = blob
    if operation == "ReEncrypt":
        given["DestinationKeyId"] = key_id
    elif operation != "Decrypt":
        given["KeyId"] = key_id
    return given


@pytest.mark.parametrize("operation", CRYPTO)
async def test_crypto(world, operation):
    key_id, arn = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    given = await crypto(world, operation, key_id, blob)
    await world.ask(operation, **given)
    await world.ask("DisableKey", KeyId=key_id)
    assert await world.refusal(operation, **given) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    assert await world.refusal(operation, **given) == ("KMSInvalidStateException", f"{arn} is pending deletion.")
    await world.ask("CancelKeyDeletion", KeyId=key_id)
    assert await world.refusal(operation, **given) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("EnableKey", KeyId=key_id)
    await world.ask(operation, **given)


async def test_re_encrypt_looks_at_both_keys(world):
    (one, _), (two, two_arn) = await world.key(), await world.key()
    blob = (await world.ask("Encrypt", KeyId=one, Plaintext=b"x"))["CiphertextBlob"]
    await world.ask("DisableKey", KeyId=two)
    refused = await world.refusal("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=two)
    assert refused == ("DisabledException", f"{two_arn} is disabled.")


OK = None
A_, B_, C_, D_ = (
    ("DisabledException", "{} is disabled."),
    ("KMSInvalidStateException", "{} is pending deletion."),
    ("KMSInvalidStateException", "{} is pending import."),
    ("KMSInvalidStateException", "{} is not pending deletion."),
)
E_ = ("UnsupportedOperationException", "{} origin is EXTERNAL which is not valid for this operation.")
STATES = ("Enabled", "Disabled", "PendingDeletion", "PendingImport")
TABLE = {
    "Encrypt": (OK, A_, B_, C_),
    "GenerateDataKey": (OK, A_, B_, C_),
    "GenerateDataKeyWithoutPlaintext": (OK, A_, B_, C_),
    "DescribeKey": (OK, OK, OK, OK),
    "GetKeyPolicy": (OK, OK, OK, OK),
    "PutKeyPolicy": (OK, OK, OK, OK),
    "ListKeyPolicies": (OK, OK, OK, OK),
    "ListResourceTags": (OK, OK, OK, OK),
    "ListAliases": (OK, OK, OK, OK),
    "ListKeyRotations": (OK, OK, OK, OK),
    "CreateAlias": (OK, OK, B_, OK),
    "TagResource": (OK, OK, B_, OK),
    "UntagResource": (OK, OK, B_, OK),
    "UpdateKeyDescription": (OK, OK, B_, OK),
    "EnableKey": (OK, OK, B_, C_),
    "DisableKey": (OK, OK, B_, C_),
    "ScheduleKeyDeletion": (OK, OK, B_, OK),
    "CancelKeyDeletion": (D_, D_, OK, D_),
    "EnableKeyRotation": (OK, A_, B_, E_),
    "DisableKeyRotation": (OK, A_, B_, E_),
    "GetKeyRotationStatus": (OK, OK, OK, E_),
    "RotateKeyOnDemand": (OK, A_, B_, C_),
    "CreateGrant": (OK, A_, B_, C_),
    "ListGrants": (OK, OK, OK, OK),
    "RetireGrant": (OK, OK, OK, OK),
    "RevokeGrant": (OK, OK, OK, OK),
}
GIVEN = {
    **CRYPTO,
    "CreateAlias": {"AliasName": "alias/new"},
    "PutKeyPolicy": {"Policy": default_policy(A)},
    "TagResource": {"Tags": [{"TagKey": "a", "TagValue": "b"}]},
    "UntagResource": {"TagKeys": ["a"]},
    "UpdateKeyDescription": {"Description": "x"},
    "CreateGrant": {"GranteePrincipal": f"arn:aws:iam::{A}:root", "Operations": ["Decrypt"]},
}


@pytest.mark.parametrize(
    ("operation", "state", "expected"),
    [(operation, state, cell) for operation, row in TABLE.items() for state, cell in zip(STATES, row, strict=True)],
)
@pytest.mark.fact("A.6")
async def test_a6_every_operation_in_every_state(world, operation, state, expected):
    key_id, arn = await world.key()
    given = dict(GIVEN.get(operation, {}))
    if operation in {"RetireGrant", "RevokeGrant"}:
        given["GrantId"] = (await world.ask("CreateGrant", KeyId=key_id, **GIVEN["CreateGrant"]))["GrantId"]
    if state == "PendingDeletion":
        await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    elif state != "Enabled":
        await world.remake(key_id, state=state, origin="EXTERNAL" if state == "PendingImport" else "AWS_KMS")
    given["TargetKeyId" if operation == "CreateAlias" else "KeyId"] = key_id
    if expected is OK:
        await world.ask(operation, **given)
    else:
        assert await world.refusal(operation, **given) == (expected[0], expected[1].format(arn))


@pytest.mark.parametrize("state", STATES)
async def test_a6_aliases_move_away_and_go_in_every_state_and_come_to_no_doomed_key(world, state):
    (key_id, arn), (other, _) = await world.key(), await world.key()
    for name in ("alias/moved", "alias/gone"):
        await world.ask("CreateAlias", AliasName=name, TargetKeyId=key_id)
    await world.remake(key_id, state=state)
    await world.ask("DeleteAlias", AliasName="alias/gone")
    await world.ask("UpdateAlias", AliasName="alias/moved", TargetKeyId=other)
    back = {"AliasName": "alias/moved", "TargetKeyId": key_id}
    if state == "PendingDeletion":
        assert await world.refusal("UpdateAlias", **back) == (B_[0], B_[1].format(arn))
    else:
        await world.ask("UpdateAlias", **back)


@pytest.mark.parametrize("operation", ["GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"])
@pytest.mark.parametrize("state", STATES)
async def test_a6_operations_on_imported_material(world, operation, state):
    key_id, arn = await world.key()
    record = replace(await world.rooms.keys._ring.key(KeyName(A, REGION, key_id), 0), state=state)
    with pytest.raises(ApiError) as caught:
        check_state(record, operation)
    expected = f"{arn} origin is AWS_KMS which is not valid for this operation."
    assert (caught.value.code, caught.value.message) == ("UnsupportedOperationException", expected)
    imported = replace(record, origin="EXTERNAL")
    if state == "PendingDeletion" and operation != "DeleteImportedKeyMaterial":
        with pytest.raises(ApiError, match="is pending deletion"):
            check_state(imported, operation)
    else:
        check_state(imported, operation)


@pytest.mark.parametrize("operation", ["Encrypt", "TagResource", "EnableKey", "ScheduleKeyDeletion", "EnableKeyRotation"])
async def test_a_primary_key_that_waits_for_its_replicas_to_go(world, operation):
    key_id, arn = await world.key()
    await world.remake(key_id, state="PendingReplicaDeletion")
    code, message = await world.refusal(operation, KeyId=key_id, **GIVEN.get(operation, {}))
    assert (code, message) == ("KMSInvalidStateException", f"{arn} is pending replica deletion.")
    await world.ask("CancelKeyDeletion", KeyId=key_id)


async def test_an_operation_without_a_row_is_an_error(world):
    record = await world.rooms.keys._ring.key(KeyName(A, REGION, (await world.key())[0]), 0)
    with pytest.raises(KeyError):
        check_state(record, "Dance")


@pytest.mark.fact("A54", "A55")
async def test_schedule_and_cancel(world):
    key_id, arn = await world.key()
    refused = ("KMSInvalidStateException", f"{arn} is not pending deletion.")
    assert await world.refusal("CancelKeyDeletion", KeyId=key_id) == refused
    due = START + timedelta(days=7)
    assert await world.ask("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7) == {
        "KeyId": arn,
        "DeletionDate": due,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": 7,
    }
    metadata = (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"], metadata["DeletionDate"]) == ("PendingDeletion", False, due)
    assert await world.ask("CancelKeyDeletion", KeyId=key_id) == {"KeyId": arn}
    metadata = (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"], "DeletionDate" in metadata) == ("Disabled", False, False)
    assert await world.refusal("CancelKeyDeletion", KeyId=key_id) == refused
    assert (await world.ask("ScheduleKeyDeletion", KeyId=key_id))["PendingWindowInDays"] == 30


@pytest.mark.parametrize("days", [1, 6, 31, 365])
@pytest.mark.fact("A57")
async def test_the_window_is_7_to_30_days(world, days):
    key_id, _ = await world.key()
    code, message = await world.refusal("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=days)
    assert code == "ValidationException"
    assert f"Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint" in message


class TestGone:
    async def test_by_the_clock_at_once_and_for_good(self, world):
        key_id, arn = await world.key()
        blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
        await world.ask("CreateAlias", AliasName="alias/doomed", TargetKeyId=key_id)
        await world.ask("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
        world.clock.days(6.99)
        assert await world.rooms.deletion.destroy_due() == 0
        await world.ask("DescribeKey", KeyId="alias/doomed")
        world.clock.days(0.01)
        for _ in range(2):
            missing = ("NotFoundException", f"Key '{arn}' does not exist")
            for operation in ("DescribeKey", "CancelKeyDeletion", "ListResourceTags"):
                assert await world.refusal(operation, KeyId=key_id) == missing
            assert await world.refusal("Decrypt", CiphertextBlob=blob) == missing
            assert (await world.ask("ListKeys"))["Keys"] == []
            assert [alias["AliasName"] for alias in (await world.ask("ListAliases"))["Aliases"]] == ["alias/aws/s3"]
            code, message = await world.refusal("DescribeKey", KeyId="alias/doomed")
            assert (code, message.split()[0]) == ("NotFoundException", "Alias")
            assert (await world.refusal("DeleteAlias", AliasName="alias/doomed"))[0] == "NotFoundException"
            await world.rooms.deletion.destroy_due()
        assert await world.rooms.deletion.destroy_due() == 0

    async def test_destroying_leaves_a_tombstone_and_no_material(self, world):
        doomed, _ = await world.key()
        kept, _ = await world.key()
        await world.ask("CreateAlias", AliasName="alias/doomed", TargetKeyId=doomed)
        await world.ask("ScheduleKeyDeletion", KeyId=doomed)
        await world.ask("ScheduleKeyDeletion", KeyId=kept)
        world.clock.days(29)
        await world.ask("CancelKeyDeletion", KeyId=kept)
        world.clock.days(2)
        assert await world.rooms.deletion.destroy_due() == 1
        scope = f"kms/{A}/eu-central-1"
        assert await world.catalog.document(f"{scope}/{doomed}", "kms-key") is None
        assert await world.catalog.document(f"{scope}/{doomed}", "kms-tombstone") is not None
        assert await world.catalog.document(f"{scope}/alias/doomed", "kms-alias") is None
        await world.ask("DescribeKey", KeyId=kept)

    async def test_its_alias_is_free_before_upkeep_comes_and_stays_with_the_new_key(self, world):
        doomed, _ = await world.key()
        heir, _ = await world.key()
        await world.ask("CreateAlias", AliasName="alias/name", TargetKeyId=doomed)
        await world.ask("ScheduleKeyDeletion", KeyId=doomed)
        world.clock.days(31)
        await world.ask("CreateAlias", AliasName="alias/name", TargetKeyId=heir)
        assert await world.rooms.deletion.destroy_due() == 1
        assert (await world.ask("DescribeKey", KeyId="alias/name"))["KeyMetadata"]["KeyId"] == heir


async def test_another_worker_sees_a_change_with_its_next_request(world, other_worker):
    key_id, arn = await world.key()
    blob = (await other_worker.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    await other_worker.ask("Decrypt", CiphertextBlob=blob)
    await world.ask("DisableKey", KeyId=key_id)
    assert await other_worker.refusal("Decrypt", CiphertextBlob=blob) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("EnableKey", KeyId=key_id)
    await other_worker.ask("Decrypt", CiphertextBlob=blob)
