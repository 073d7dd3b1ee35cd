"""Rotation: on a date, on demand, and what old and new material do. Numbers are those of the facts about KMS (A.7)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND, KeyRecord
from tests.kms.world import REGION, START, A, B


async def current(world, key_id: str) -> str:
    return (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]["CurrentKeyMaterialId"]


async def status(world, key_id: str) -> dict:
    answer = await world.ask("GetKeyRotationStatus", KeyId=key_id)
    del answer["KeyId"]
    return answer


async def rotations(world, key_id: str, **given) -> list[dict]:
    return (await world.ask("ListKeyRotations", KeyId=key_id, **given))["Rotations"]


class TestAutomatic:
    async def test_a46_status(self, world):
        key_id, arn = await world.key()
        assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {"KeyId": arn, "KeyRotationEnabled": False}
        assert await world.ask("EnableKeyRotation", KeyId=key_id) == {}
        assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {
            "KeyId": arn,
            "KeyRotationEnabled": True,
            "NextRotationDate": START + timedelta(days=365),
            "RotationPeriodInDays": 365,
        }
        assert await world.ask("DisableKeyRotation", KeyId=key_id) == {}
        assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {"KeyId": arn, "KeyRotationEnabled": False}
        await world.ask("DisableKeyRotation", KeyId=key_id)

    async def test_a_period_is_kept_and_asking_again_moves_nothing(self, world):
        key_id, _ = await world.key()
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        world.clock.days(10)
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        assert (await status(world, key_id))["NextRotationDate"] == START + timedelta(days=90)
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=2560)
        assert await status(world, key_id) == {
            "KeyRotationEnabled": True,
            "NextRotationDate": START + timedelta(days=2570),
            "RotationPeriodInDays": 2560,
        }

    async def test_it_happens_by_the_servers_clock(self, world):
        key_id, _ = await world.key()
        idle, _ = await world.key()
        first = await current(world, key_id)
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        world.clock.days(89.99)
        assert await world.rooms.rotation.rotate_due() == 0
        world.clock.days(0.02)
        assert await world.rooms.rotation.rotate_due() == 1
        assert await world.rooms.rotation.rotate_due() == 0
        second = await current(world, key_id)
        assert second != first
        assert (await status(world, key_id))["NextRotationDate"] == START + timedelta(days=180)  # no drift
        assert await rotations(world, key_id) == [
            {
                "KeyId": (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]["Arn"],
                "KeyMaterialId": second,
                "KeyMaterialState": "CURRENT",
                "RotationDate": START + timedelta(days=90.01),
                "RotationType": "AUTOMATIC",
            }
        ]
        assert await rotations(world, idle) == []

    async def test_two_workers_rotate_a_key_once(self, world, other_worker):
        key_id, _ = await world.key()
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        world.clock.days(91)
        counts = await asyncio.gather(world.rooms.rotation.rotate_due(), other_worker.rooms.rotation.rotate_due())
        assert sum(counts) == 1
        assert len(await rotations(world, key_id)) == 1

    async def test_a52_a_disabled_key_waits_and_is_rotated_when_it_is_enabled(self, world):
        key_id, _ = await world.key()
        first = await current(world, key_id)
        await world.ask("EnableKeyRotation", KeyId=key_id)
        await world.ask("DisableKey", KeyId=key_id)
        assert (await status(world, key_id))["KeyRotationEnabled"] is True
        world.clock.days(400)
        assert await world.rooms.rotation.rotate_due() == 0
        assert await current(world, key_id) == first
        await world.ask("EnableKey", KeyId=key_id)
        assert await current(world, key_id) != first
        assert (await status(world, key_id))["NextRotationDate"] == START + timedelta(days=765)  # a year from that on
        assert await world.rooms.rotation.rotate_due() == 0

    async def test_enabling_before_the_date_rotates_nothing(self, world):
        key_id, _ = await world.key()
        await world.ask("EnableKeyRotation", KeyId=key_id)
        await world.ask("DisableKey", KeyId=key_id)
        world.clock.days(364)
        await world.ask("EnableKey", KeyId=key_id)
        assert await rotations(world, key_id) == []
        assert (await status(world, key_id))["NextRotationDate"] == START + timedelta(days=365)

    async def test_a52_pending_deletion_reads_false_and_does_not_rotate(self, world):
        key_id, _ = await world.key()
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        world.clock.days(80)
        await world.ask("ScheduleKeyDeletion", KeyId=key_id)
        assert await status(world, key_id) == {"KeyRotationEnabled": False}
        world.clock.days(20)
        assert await world.rooms.rotation.rotate_due() == 0
        await world.ask("CancelKeyDeletion", KeyId=key_id)
        assert (await status(world, key_id))["KeyRotationEnabled"] is True
        await world.ask("EnableKey", KeyId=key_id)
        assert len(await rotations(world, key_id)) == 1

    async def test_a89_the_managed_key_rotates_every_year(self, world):
        managed = (await world.ask("DescribeKey", KeyId="alias/aws/s3"))["KeyMetadata"]
        assert await status(world, managed["KeyId"]) == {
            "KeyRotationEnabled": True,
            "NextRotationDate": START + timedelta(days=365),
            "RotationPeriodInDays": 365,
        }
        for operation in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"):
            code, message = await world.refusal(operation, KeyId=managed["KeyId"])
            assert (code, f"kms:{operation} on resource: {managed['Arn']}" in message) == ("AccessDenied", True)
        world.clock.days(365)
        assert await world.rooms.rotation.rotate_due() == 1
        assert await current(world, "alias/aws/s3") != managed["CurrentKeyMaterialId"]
        assert [entry["RotationType"] for entry in await rotations(world, managed["KeyId"])] == ["AUTOMATIC"]


class TestMaterial:
    async def test_a42_old_ciphertext_opens_and_tells_its_material(self, world, other_worker):
        key_id, arn = await world.key()
        blobs = {}
        for _ in range(3):
            sealed = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "b"}))["CiphertextBlob"]
            blobs[await current(world, key_id)] = sealed
            assert await world.ask("RotateKeyOnDemand", KeyId=key_id) == {"KeyId": arn}  # A47
        assert len(blobs) == 3
        for worker in (world, other_worker):
            for material_id, blob in blobs.items():
                opened = await worker.ask("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "b"})
                assert (opened["KeyMaterialId"], opened["Plaintext"]) == (material_id, b"x")

    async def test_new_material_seals_everywhere_at_once(self, world, other_worker):
        key_id, _ = await world.key()
        before = await other_worker.ask("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        after = await other_worker.ask("GenerateDataKey", KeyId=key_id, KeySpec="AES_256")
        assert before["KeyMaterialId"] != after["KeyMaterialId"] == await current(world, key_id)
        moved = await world.ask("ReEncrypt", CiphertextBlob=before["CiphertextBlob"], DestinationKeyId=key_id)
        assert (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]) == (
            before["KeyMaterialId"],
            after["KeyMaterialId"],
        )

    async def test_a53_rotation_changes_no_other_document(self, world):
        key_id, _ = await world.key(Tags=[{"TagKey": "a", "TagValue": "b"}])
        await world.ask("CreateAlias", AliasName="alias/kept", TargetKeyId=key_id)
        old = await world.catalog.document(f"kms/{A}/{REGION}/{key_id}", KEY_KIND)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        new = await world.catalog.document(f"kms/{A}/{REGION}/{key_id}", KEY_KIND)
        assert new["materials"][:1] == old["materials"]
        changed = {member for member in new if new[member] != old[member]}
        assert changed == {"materials", "current"}


class TestOnDemand:
    async def test_a47_dates_of_the_automatic_rotation_stay(self, world):
        key_id, _ = await world.key()
        await world.ask("RotateKeyOnDemand", KeyId=key_id)  # also while it is off
        await world.ask("EnableKeyRotation", KeyId=key_id)
        before = await status(world, key_id)
        world.clock.days(10)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        assert await status(world, key_id) == before

    async def test_a48_quota(self, world):
        key_id, arn = await world.key()
        for _ in range(25):
            await world.ask("RotateKeyOnDemand", KeyId=key_id)
        code, message = await world.refusal("RotateKeyOnDemand", KeyId=key_id)
        assert code == "LimitExceededException"
        assert message == (
            "The on-demand rotations limit has been reached for the given keyId. "
            f"No more on-demand rotations can be performed for this key: {arn}"
        )
        await world.ask("EnableKeyRotation", KeyId=key_id)
        world.clock.days(365)
        assert await world.rooms.rotation.rotate_due() == 1  # which is not of that count
        assert len(await rotations(world, key_id)) == 26

    async def test_not_within_20_minutes_of_an_automatic_one(self, world):
        key_id, _ = await world.key()
        await world.ask("EnableKeyRotation", KeyId=key_id, RotationPeriodInDays=90)
        world.clock.days(90 - 21 / 1440)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        world.clock.days(2 / 1440)
        assert (await world.refusal("RotateKeyOnDemand", KeyId=key_id))[0] == "ConflictException"
        world.clock.days(1)
        assert (await world.refusal("RotateKeyOnDemand", KeyId=key_id))[0] == "ConflictException"
        await world.rooms.rotation.rotate_due()
        await world.ask("RotateKeyOnDemand", KeyId=key_id)


class TestKinds:
    @pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P256", "HMAC_256"])
    async def test_a49_a14_keys_that_never_rotate(self, world, spec):
        key_id, arn = await world.key()
        await world.remake(key_id, spec=spec, usage="SIGN_VERIFY")
        for operation in ("RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation", "ListKeyRotations"):
            assert await world.refusal(operation, KeyId=key_id) == ("UnsupportedOperationException", ""), operation
        assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {"KeyId": arn, "KeyRotationEnabled": False}
        await world.ask("DisableKey", KeyId=key_id)
        for operation in ("RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"):  # A44
            assert await world.refusal(operation, KeyId=key_id) == ("DisabledException", f"{arn} is disabled.")

    async def test_a50_imported_material(self, world):
        key_id, arn = await world.key()
        await world.remake(key_id, origin="EXTERNAL")
        wrong_origin = ("UnsupportedOperationException", f"{arn} origin is EXTERNAL which is not valid for this operation.")
        for operation in ("EnableKeyRotation", "DisableKeyRotation"):
            assert await world.refusal(operation, KeyId=key_id) == wrong_origin
        assert await world.refusal("RotateKeyOnDemand", KeyId=key_id) == (
            "KMSInvalidStateException",
            f"No available key material pending rotation for the key: {arn}.",
        )
        assert await status(world, key_id) == {"KeyRotationEnabled": False}

    async def test_only_the_status_reaches_into_another_account(self, world):
        _, arn = await world.key()
        world.shared.add(B)
        assert (await world.ask("GetKeyRotationStatus", KeyId=arn, account=B))["KeyRotationEnabled"] is False  # B6
        for operation in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand", "ListKeyRotations"):
            assert (await world.refusal(operation, KeyId=arn, account=B))[0] == "AccessDenied", operation


class TestList:
    async def test_a51_entries(self, world):
        key_id, arn = await world.key()
        first = await current(world, key_id)
        world.clock.days(1)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        second = await current(world, key_id)
        new = {
            "KeyId": arn,
            "KeyMaterialId": second,
            "KeyMaterialState": "CURRENT",
            "RotationDate": START + timedelta(days=1),
            "RotationType": "ON_DEMAND",
        }
        assert await rotations(world, key_id) == [new]
        assert await rotations(world, key_id, IncludeKeyMaterial="ROTATIONS_ONLY") == [new]
        old = {"KeyId": arn, "KeyMaterialId": first, "KeyMaterialState": "NON_CURRENT"}
        assert await rotations(world, key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL") == [old, new]

    async def test_pages(self, world):
        key_id, _ = await world.key()
        for _ in range(4):
            await world.ask("RotateKeyOnDemand", KeyId=key_id)
        whole = await rotations(world, key_id)
        first = await world.ask("ListKeyRotations", KeyId=key_id, Limit=3)
        assert (first["Truncated"], first["Rotations"]) == (True, whole[:3])
        rest = await world.ask("ListKeyRotations", KeyId=key_id, Limit=3, Marker=first["NextMarker"])
        assert rest == {"Rotations": whole[3:], "Truncated": False}
        other, _ = await world.key()
        for wrong in ({"KeyId": other}, {"KeyId": key_id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"}):
            assert (await world.refusal("ListKeyRotations", Marker=first["NextMarker"], **wrong))[0] == "InvalidMarkerException"
        assert (await world.refusal("ListKeyRotations", KeyId=key_id, Limit=1001))[0] == "ValidationException"


async def test_a_document_of_another_version_is_refused_not_guessed(world):
    key_id, _ = await world.key()
    name = KeyName(A, REGION, key_id)
    document = await world.catalog.document(name.scope, KEY_KIND)
    KeyRecord.read(name, document)
    for wrong in ({"format": 2}, {"state": "Sleeping"}, {"materials": [document["materials"][0] | {"rotated": "SOMEHOW"}]}):
        with pytest.raises(ValueError, match="unknown"):
            KeyRecord.read(name, document | wrong)
