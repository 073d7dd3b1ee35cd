"""Multi-Region keys: one key in several Regions of this server, with the same material."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.kms.names import KeyName
from strongroom.kms.notices import next_notice, told
from strongroom.kms.operating import KeyProblem, Operating
from strongroom.kms.records import KeyRecord, default_policy
from tests.kms.test_importing import EXISTING, FOREVER, MATERIAL, NEW, bring, metadata, transported
from tests.kms.world import CIPHERTEXT, REGION, START, A, B

THERE, FAR = "eu-west-3", "us-east-1"


def arn(key_id: str, region: str = REGION) -> str:
    return f"arn:aws:kms:{region}:{A}:key/{key_id}"


def entry(key_id: str, region: str) -> dict:
    return {"Arn": arn(key_id, region), "Region": region}


def not_primary(key_arn: str) -> tuple[str, str]:
    return "UnsupportedOperationException", f"{key_arn} is not a multi-region primary key."


@pytest.fixture
async def primary(world) -> str:
    return (await world.key(MultiRegion=True))[0]


async def replicate(world, key_id: str, *regions: str, **given) -> None:
    for region in regions:
        await world.ask("ReplicateKey", KeyId=key_id, ReplicaRegion=region, **given)


async def test_a22_a_primary_key(world, primary):
    assert re.fullmatch(r"mrk-[0-9a-f]{32}", primary)
    shown = await metadata(world, primary)
    assert shown["MultiRegion"] is True
    assert shown["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": entry(primary, REGION),
        "ReplicaKeys": [],
    }
    plain = (await world.ask("CreateKey", MultiRegion=False))["KeyMetadata"]
    assert (plain["MultiRegion"], "MultiRegionConfiguration" in plain) == (False, False)


async def test_a83_a_replica(world, primary):
    policy = default_policy(A).replace("key-default-1", "of the replica")
    tags = [{"TagKey": "a", "TagValue": "b"}]
    world.asked.clear()
    answer = await world.ask("ReplicateKey", KeyId=primary, ReplicaRegion=THERE, Description="there", Policy=policy, Tags=tags)
    assert world.asked == [
        ("kms:ReplicateKey", arn(primary)),
        ("kms:PutKeyPolicy", arn(primary, THERE)),  # A60: could the caller put the replica's next policy?
        ("kms:CreateKey", "*"),
        ("kms:TagResource", "*"),
    ]
    assert (answer["ReplicaPolicy"], answer["ReplicaTags"]) == (policy, tags)
    shown = answer["ReplicaKeyMetadata"]
    assert (shown["KeyState"], shown["Enabled"], shown["Arn"]) == ("Creating", False, arn(primary, THERE))
    related = {"PrimaryKey": entry(primary, REGION), "ReplicaKeys": [entry(primary, THERE)]}
    assert shown["MultiRegionConfiguration"] == {"MultiRegionKeyType": "REPLICA", **related}
    here, there = await metadata(world, primary), await metadata(world, primary, region=THERE)
    assert there == shown | {"KeyState": "Enabled", "Enabled": True}
    assert here["MultiRegionConfiguration"] == {"MultiRegionKeyType": "PRIMARY", **related}
    assert there["CurrentKeyMaterialId"] == here["CurrentKeyMaterialId"]
    assert (there["Description"], here["Description"]) == ("there", "")
    assert (await world.ask("ListResourceTags", KeyId=primary, region=THERE))["Tags"] == tags
    assert (await world.ask("ListResourceTags", KeyId=primary))["Tags"] == []
    assert (await world.ask("GetKeyPolicy", KeyId=primary, region=THERE))["Policy"] == policy


async def test_what_one_seals_the_other_opens(world, primary):
    await replicate(world, primary, THERE)
    context = {"EncryptionContext": {"a": "b"}}
    for here, there in ((REGION, THERE), (THERE, REGION)):
        blob = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"secret", region=here, **context))["CiphertextBlob"]
        for named in ({}, {"KeyId": primary}, {"KeyId": arn(primary, there)}):
            opened = await world.ask("Decrypt", CiphertextBlob=blob, region=there, **named, **context)
            assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", arn(primary, there))
        refused = await world.refusal("Decrypt", CiphertextBlob=blob, region=there)
        assert refused == ("InvalidCiphertextException", "")
    # not where there is no replica, and not for another account
    assert await world.refusal("Decrypt", CiphertextBlob=blob, region=FAR, **context) == ("AccessDenied", CIPHERTEXT)
    assert await world.refusal("Decrypt", CiphertextBlob=blob, account=B, **context) == ("AccessDenied", CIPHERTEXT)


async def test_keys_of_one_region_stay_there(world):
    key_id, key_arn = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    assert await world.refusal("Decrypt", CiphertextBlob=blob, region=THERE) == ("AccessDenied", CIPHERTEXT)
    given = {"KeyId": key_id, "ReplicaRegion": THERE}
    assert await world.refusal("ReplicateKey", **given) == not_primary(key_arn)
    assert await world.refusal("UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=THERE) == not_primary(key_arn)


async def test_asymmetric_and_hmac_keys_too(world):
    signer, _ = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", MultiRegion=True)
    mac, _ = await world.key(KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC", MultiRegion=True)
    await replicate(world, signer, THERE)
    await replicate(world, mac, THERE)
    given = {"KeyId": signer, "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = (await world.ask("Sign", **given, region=THERE))["Signature"]
    public = load_der_public_key((await world.ask("GetPublicKey", KeyId=signer))["PublicKey"])
    public.verify(signature, b"m", ec.ECDSA(SHA256()))
    given = {"KeyId": mac, "Message": b"m", "MacAlgorithm": "HMAC_SHA_384"}
    assert (await world.ask("GenerateMac", **given))["Mac"] == (await world.ask("GenerateMac", **given, region=THERE))["Mac"]


async def test_material_is_wrapped_for_its_region(world, primary):
    """The record of one Region, put into another, does not open: each is bound to where it belongs."""
    await replicate(world, primary, THERE)
    scopes = [KeyName(A, region, primary).scope for region in (REGION, THERE)]
    mine, theirs = [await world.catalog.document(scope, "kms-key") for scope in scopes]
    assert mine["materials"][0]["id"] == theirs["materials"][0]["id"]
    assert mine["materials"][0]["wrapped"] != theirs["materials"][0]["wrapped"]
    await world.catalog.write(
        lambda transaction: transaction.set_document(scopes[1], "kms-key", theirs | {"materials": mine["materials"]})
    )
    refused = await world.refusal("Encrypt", KeyId=primary, Plaintext=b"x", region=THERE)
    assert refused == ("KMSInternalException", "The key material could not be opened.")


async def test_where_a_key_cannot_be_replicated(world, primary):
    await replicate(world, primary, THERE)
    for region in (THERE, REGION):
        refused = ("AlreadyExistsException", f"Key '{arn(primary, region)}' already exists")
        assert await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=region) == refused
    # A83: only from the primary
    refused = await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=FAR, region=THERE)
    assert refused == not_primary(arn(primary, THERE))
    shut_out = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}})
    code, message = await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=THERE, Policy=shut_out)
    assert (code, "update the key policy in the future" in message) == ("MalformedPolicyDocumentException", True)  # A60
    policy = {"Policy": "["}
    code, _ = await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=FAR, **policy)
    assert code == "MalformedPolicyDocumentException"
    for denied in ("kms:ReplicateKey", "kms:CreateKey"):
        world.denied = {denied}
        assert (await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=FAR))[0] == "AccessDenied"
    world.denied = {"kms:TagResource"}
    tags = [{"TagKey": "a", "TagValue": ""}]
    assert (await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=FAR, Tags=tags))[0] == "AccessDenied"
    assert (await world.refusal("DescribeKey", KeyId=primary, region=FAR))[0] == "NotFoundException"


@pytest.mark.parametrize("operation", ["ReplicateKey", "UpdatePrimaryRegion"])
async def test_states_of_the_primary_key(world, primary, operation):
    await replicate(world, primary, THERE)
    given = {"ReplicateKey": {"ReplicaRegion": FAR}, "UpdatePrimaryRegion": {"PrimaryRegion": THERE}}[operation]
    await world.ask("DisableKey", KeyId=primary)
    refused = ("DisabledException", f"{arn(primary)} is disabled.")
    assert await world.refusal(operation, KeyId=primary, **given) == refused
    await world.ask("ScheduleKeyDeletion", KeyId=primary)
    refused = ("KMSInvalidStateException", f"{arn(primary)} is pending replica deletion.")
    assert await world.refusal(operation, KeyId=primary, **given) == refused
    waiting, waiting_arn = await world.key(MultiRegion=True, Origin="EXTERNAL")
    refused = ("KMSInvalidStateException", f"{waiting_arn} is pending import.")
    assert await world.refusal(operation, KeyId=waiting, **given) == refused


class TestPrimaryRegion:
    async def test_moves(self, world, primary):
        await replicate(world, primary, THERE, FAR)
        world.asked.clear()
        assert await world.ask("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=THERE) == {}
        assert world.asked == [("kms:UpdatePrimaryRegion", arn(primary)), ("kms:UpdatePrimaryRegion", arn(primary, THERE))]
        for region in (REGION, THERE, FAR):
            assert (await metadata(world, primary, region=region))["MultiRegionConfiguration"] == {
                "MultiRegionKeyType": "PRIMARY" if region == THERE else "REPLICA",
                "PrimaryKey": entry(primary, THERE),
                "ReplicaKeys": [entry(primary, REGION), entry(primary, FAR)],
            }
        refused = await world.refusal("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=FAR)
        assert refused == not_primary(arn(primary))
        await world.ask("ReplicateKey", KeyId=primary, ReplicaRegion="us-west-2", region=THERE)
        assert len((await metadata(world, primary))["MultiRegionConfiguration"]["ReplicaKeys"]) == 3

    async def test_only_to_a_usable_replica(self, world, primary):
        await replicate(world, primary, THERE)
        refused = ("NotFoundException", f"Key '{arn(primary, FAR)}' does not exist")
        assert await world.refusal("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=FAR) == refused
        code, _ = await world.refusal("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=REGION)
        assert code == "UnsupportedOperationException"
        await world.ask("DisableKey", KeyId=primary, region=THERE)
        refused = ("DisabledException", f"{arn(primary, THERE)} is disabled.")
        assert await world.refusal("UpdatePrimaryRegion", KeyId=primary, PrimaryRegion=THERE) == refused
        assert (await metadata(world, primary))["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


class TestDeletion:
    async def test_a_primary_key_waits_for_its_replicas(self, world, primary):
        await replicate(world, primary, THERE, FAR)
        answer = await world.ask("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=10)
        assert answer == {"KeyId": arn(primary), "KeyState": "PendingReplicaDeletion", "PendingWindowInDays": 10}
        shown = await metadata(world, primary)
        assert (shown["KeyState"], shown["Enabled"], shown["PendingDeletionWindowInDays"]) == (
            "PendingReplicaDeletion",
            False,
            10,
        )
        assert "DeletionDate" not in shown
        refused = ("KMSInvalidStateException", f"{arn(primary)} is pending replica deletion.")
        for operation, given in (
            ("Encrypt", {"Plaintext": b"x"}),
            ("EnableKey", {}),
            ("ScheduleKeyDeletion", {}),
            ("TagResource", {"Tags": [{"TagKey": "a", "TagValue": ""}]}),
            ("CreateAlias", {"AliasName": "alias/x"}),
        ):
            name = "TargetKeyId" if operation == "CreateAlias" else "KeyId"
            assert await world.refusal(operation, **{name: primary}, **given) == refused
        world.clock.days(100)
        assert await world.rooms.deletion.destroy_due() == 0
        for region in (THERE, FAR):
            await world.ask("Encrypt", KeyId=primary, Plaintext=b"x", region=region)  # a replica goes on by itself
            await world.ask("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region=region)
            await told(world.catalog, KeyName(A, region, primary))
        assert await next_notice(world.catalog) is None
        world.clock.days(7)
        assert await world.rooms.deletion.destroy_due() == 2
        shown = await metadata(world, primary)
        assert (shown["KeyState"], shown["DeletionDate"]) == ("PendingDeletion", START + timedelta(days=117))
        assert "PendingDeletionWindowInDays" not in shown
        assert shown["MultiRegionConfiguration"]["ReplicaKeys"] == []
        assert await next_notice(world.catalog) == KeyName(A, REGION, primary)  # for the log of what becomes unreadable
        world.clock.days(9.99)
        assert await world.rooms.deletion.destroy_due() == 0
        world.clock.days(0.01)
        assert await world.rooms.deletion.destroy_due() == 1
        missing = ("NotFoundException", f"Key '{arn(primary)}' does not exist")
        assert await world.refusal("DescribeKey", KeyId=primary) == missing

    async def test_the_operator_deletes_replicas_first_as_well(self, world, primary):
        await replicate(world, primary, THERE)
        operating = Operating(world.data_keys.ring)
        with pytest.raises(KeyProblem, match="replicas in other Regions"):
            await operating.schedule_deletion(KeyName(A, REGION, primary), 7)
        await operating.schedule_deletion(KeyName(A, THERE, primary), 7)
        await world.ask("ScheduleKeyDeletion", KeyId=primary)
        with pytest.raises(KeyProblem, match="pending deletion already"):
            await operating.schedule_deletion(KeyName(A, REGION, primary), 7)

    async def test_the_wait_can_be_cancelled(self, world, primary):
        await replicate(world, primary, THERE)
        await world.ask("ScheduleKeyDeletion", KeyId=primary)
        await world.ask("CancelKeyDeletion", KeyId=primary)
        shown = await metadata(world, primary)
        assert (shown["KeyState"], "PendingDeletionWindowInDays" in shown) == ("Disabled", False)
        await world.ask("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region=THERE)
        world.clock.days(7)
        assert await world.rooms.deletion.destroy_due() == 1
        assert (await metadata(world, primary))["KeyState"] == "Disabled"

    async def test_a_replica_goes_at_once_and_comes_back(self, world, primary):
        await replicate(world, primary, THERE, FAR)
        await world.ask("CreateAlias", AliasName="alias/there", TargetKeyId=primary, region=THERE)
        blob = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"secret", region=THERE))["CiphertextBlob"]
        answer = await world.ask("ScheduleKeyDeletion", KeyId=primary, PendingWindowInDays=7, region=THERE)
        assert (answer["KeyState"], answer["DeletionDate"]) == ("PendingDeletion", START + timedelta(days=7))
        refused = ("AlreadyExistsException", f"Key '{arn(primary, THERE)}' already exists")
        assert await world.refusal("ReplicateKey", KeyId=primary, ReplicaRegion=THERE) == refused
        world.clock.days(7)
        missing = ("NotFoundException", f"Key '{arn(primary, THERE)}' does not exist")
        assert await world.refusal("Decrypt", CiphertextBlob=blob, region=THERE) == missing
        assert (await world.ask("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"secret"  # any related key does
        await replicate(world, primary, THERE)  # though upkeep has not been here
        assert (await world.ask("Decrypt", CiphertextBlob=blob, region=THERE))["Plaintext"] == b"secret"
        assert (await world.refusal("DescribeKey", KeyId="alias/there", region=THERE))[0] == "NotFoundException"
        assert await world.rooms.deletion.destroy_due() == 0
        keys = (await metadata(world, primary))["MultiRegionConfiguration"]["ReplicaKeys"]
        assert [key["Region"] for key in keys] == [FAR, THERE]


class TestRotation:
    async def test_all_regions_rotate_together(self, world, primary):
        await replicate(world, primary, THERE)
        old = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"old", region=THERE))["CiphertextBlob"]
        await world.ask("RotateKeyOnDemand", KeyId=primary)
        here, there = await metadata(world, primary), await metadata(world, primary, region=THERE)
        assert here["CurrentKeyMaterialId"] == there["CurrentKeyMaterialId"]
        new = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"new"))["CiphertextBlob"]
        assert (await world.ask("Decrypt", CiphertextBlob=new, region=THERE))["Plaintext"] == b"new"
        assert (await world.ask("Decrypt", CiphertextBlob=old))["Plaintext"] == b"old"
        await replicate(world, primary, FAR)  # a later replica gets the old material too
        for blob in (old, new):
            await world.ask("Decrypt", CiphertextBlob=blob, region=FAR)

    async def test_on_its_date_too(self, world, primary):
        await replicate(world, primary, THERE)
        await world.ask("EnableKeyRotation", KeyId=primary, RotationPeriodInDays=90)
        await replicate(world, primary, FAR)
        for region in (REGION, THERE, FAR):
            status = await world.ask("GetKeyRotationStatus", KeyId=primary, region=region)
            assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
        before = (await metadata(world, primary))["CurrentKeyMaterialId"]
        world.clock.days(90)
        assert await world.rooms.rotation.rotate_due() == 1
        after = {(await metadata(world, primary, region=region))["CurrentKeyMaterialId"] for region in (REGION, THERE, FAR)}
        assert len(after) == 1
        assert before not in after
        dates = {
            (await world.ask("GetKeyRotationStatus", KeyId=primary, region=region))["NextRotationDate"]
            for region in (REGION, THERE, FAR)
        }
        assert dates == {START + timedelta(days=180)}

    @pytest.mark.parametrize("operation", ["EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"])
    async def test_a_replica_follows(self, world, primary, operation):
        await replicate(world, primary, THERE)
        assert await world.refusal(operation, KeyId=primary, region=THERE) == not_primary(arn(primary, THERE))

    async def test_a_region_that_comes_while_material_is_made(self, world, primary):
        ring = world.data_keys.ring
        real, once = ring.new_materials, []

        async def slow(record: KeyRecord, now_ms: int):
            materials = await real(record, now_ms)
            if not once:
                once.append(True)
                await replicate(world, primary, THERE)
            return materials

        ring.new_materials = slow
        await world.ask("RotateKeyOnDemand", KeyId=primary)
        blob = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"new"))["CiphertextBlob"]
        assert (await world.ask("Decrypt", CiphertextBlob=blob, region=THERE))["Plaintext"] == b"new"

    async def test_a_rotation_while_a_replica_is_made(self, world, primary):
        ring = world.data_keys.ring
        real, once = ring.moved, []

        async def slow(record, material, region):
            moved = await real(record, material, region)
            if not once:
                once.append(True)
                await world.ask("RotateKeyOnDemand", KeyId=primary)
            return moved

        ring.moved = slow
        await replicate(world, primary, THERE)
        blob = (await world.ask("Encrypt", KeyId=primary, Plaintext=b"new"))["CiphertextBlob"]
        assert (await world.ask("Decrypt", CiphertextBlob=blob, region=THERE))["Plaintext"] == b"new"


class TestImported:
    async def test_each_region_needs_its_import_of_the_same_material(self, world):
        key_id, _ = await world.key(MultiRegion=True, Origin="EXTERNAL")
        material_id = (await bring(world, key_id))["KeyMaterialId"]
        await replicate(world, key_id, THERE)
        there = await metadata(world, key_id, region=THERE)
        assert (there["KeyState"], there["Origin"]) == ("PendingImport", "EXTERNAL")
        given = {**await transported(world, key_id, bytes(32), region=THERE), **FOREVER}
        assert (await world.refusal("ImportKeyMaterial", **given))[0] == "IncorrectKeyMaterialException"
        refused = await world.refusal("ImportKeyMaterial", **given, **NEW)
        assert refused == not_primary(arn(key_id, THERE))
        answer = await bring(world, key_id, MATERIAL, region=THERE, **EXISTING, **FOREVER)
        assert answer == {"KeyId": arn(key_id, THERE), "KeyMaterialId": material_id}
        blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret"))["CiphertextBlob"]
        assert (await world.ask("Decrypt", CiphertextBlob=blob, region=THERE))["Plaintext"] == b"secret"
        await world.ask("DeleteImportedKeyMaterial", KeyId=key_id, region=THERE)
        assert (await metadata(world, key_id))["KeyState"] == "Enabled"
        assert (await metadata(world, key_id, region=THERE))["KeyState"] == "PendingImport"

    async def test_new_material_must_be_everywhere_before_the_rotation(self, world):
        key_id, _ = await world.key(MultiRegion=True, Origin="EXTERNAL")
        await bring(world, key_id)
        await replicate(world, key_id, THERE)
        await bring(world, key_id, region=THERE)
        second = (await bring(world, key_id, bytes(32), **NEW, **FOREVER))["KeyMaterialId"]
        text = f"No available key material pending rotation for the key: {arn(key_id)}."
        assert await world.refusal("RotateKeyOnDemand", KeyId=key_id) == ("KMSInvalidStateException", text)
        assert (await metadata(world, key_id, region=THERE))["KeyState"] == "Enabled"  # it is not in use yet
        assert await self.waiting(world, key_id) == "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
        await bring(world, key_id, bytes(32), region=THERE, ValidTo=START + timedelta(days=1))
        assert await self.waiting(world, key_id) == "PENDING_ROTATION"
        world.clock.days(1)  # what has expired there does not count
        assert await world.refusal("RotateKeyOnDemand", KeyId=key_id) == ("KMSInvalidStateException", text)
        await bring(world, key_id, bytes(32), region=THERE)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        for region in (REGION, THERE):
            assert (await metadata(world, key_id, region=region))["CurrentKeyMaterialId"] == second

    async def waiting(self, world, key_id: str) -> str:
        listed = await world.ask("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        return listed["Rotations"][-1]["KeyMaterialState"]

    async def test_what_waits_is_taken_back_everywhere(self, world):
        key_id, _ = await world.key(MultiRegion=True, Origin="EXTERNAL")
        await bring(world, key_id)
        await replicate(world, key_id, THERE)
        await bring(world, key_id, region=THERE)
        second = (await bring(world, key_id, bytes(32), **NEW, **FOREVER))["KeyMaterialId"]
        await bring(world, key_id, bytes(32), region=THERE)
        await world.ask("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=second)
        for region in (REGION, THERE):
            given = {"KeyId": key_id, "IncludeKeyMaterial": "ALL_KEY_MATERIAL", "region": region}
            assert len((await world.ask("ListKeyRotations", **given))["Rotations"]) == 1
