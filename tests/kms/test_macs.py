from __future__ import annotations

import hashlib
import hmac

import pytest

from tests.kms.world import HIDDEN, B

SPECS = {"HMAC_224": 224, "HMAC_256": 256, "HMAC_384": 384, "HMAC_512": 512}
MESSAGE = b"to be authenticated"


async def secret(world, key_id: str) -> bytes:
    await world.ask("DescribeKey", KeyId=key_id)
    ring = world.data_keys.ring
    return await ring.material(next(record for name, record in ring._keys.items() if name.key_id == key_id))


@pytest.mark.parametrize("spec", SPECS)
async def test_macs(world, spec):
    algorithm = f"HMAC_SHA_{SPECS[spec]}"
    metadata = (await world.ask("CreateKey", KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC"))["KeyMetadata"]
    key_id, arn = metadata["KeyId"], metadata["Arn"]
    assert metadata["MacAlgorithms"] == [algorithm]  # A21
    assert not {"CurrentKeyMaterialId", "EncryptionAlgorithms"} & set(metadata)
    given = {"KeyId": key_id, "Message": MESSAGE, "MacAlgorithm": algorithm}
    mac = (await world.ask("GenerateMac", **given))["Mac"]
    material = await secret(world, key_id)
    assert len(material) * 8 == SPECS[spec]
    assert mac == hmac.new(material, MESSAGE, getattr(hashlib, f"sha{SPECS[spec]}")).digest()
    assert await world.ask("GenerateMac", **given) == {"KeyId": arn, "Mac": mac, "MacAlgorithm": algorithm}
    assert await world.ask("VerifyMac", **given, Mac=mac) == {"KeyId": arn, "MacValid": True, "MacAlgorithm": algorithm}
    for wrong in (mac[:-1], mac + b"\0", bytes(len(mac)), b"x"):
        assert await world.refusal("VerifyMac", **given, Mac=wrong) == ("KMSInvalidMacException", "")  # A7
    assert (await world.refusal("VerifyMac", **{**given, "Message": b"x"}, Mac=mac))[0] == "KMSInvalidMacException"
    assert (await world.refusal("GenerateMac", **given, DryRun=True))[0] == "DryRunOperationException"
    assert (await world.refusal("VerifyMac", **given, Mac=b"x", DryRun=True))[0] == "DryRunOperationException"


@pytest.mark.parametrize("spec", SPECS)
async def test_a37_algorithms_of_other_keys(world, spec):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC")
    for size in set(SPECS.values()) - {SPECS[spec]}:
        algorithm = f"HMAC_SHA_{size}"
        refused = ("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {spec}.")
        given = {"KeyId": key_id, "Message": MESSAGE, "MacAlgorithm": algorithm}
        assert await world.refusal("GenerateMac", **given) == refused
        assert await world.refusal("VerifyMac", **given, Mac=b"x") == refused


async def test_states_rights_and_names(world):
    key_id, arn = await world.key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    await world.ask("CreateAlias", AliasName="alias/mac", TargetKeyId=key_id)
    given = {"Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
    calls = {"GenerateMac": given, "VerifyMac": {**given, "Mac": (await world.ask("GenerateMac", KeyId=arn, **given))["Mac"]}}
    world.asked.clear()
    for operation, more in calls.items():
        await world.ask(operation, KeyId="alias/mac", **more)
        refused = ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
        assert await world.refusal(operation, KeyId=arn, account=B, **more) == refused
    assert world.asked[::2] == [("kms:GenerateMac", arn), ("kms:VerifyMac", arn)]
    await world.ask("DisableKey", KeyId=key_id)
    for operation, more in calls.items():
        assert await world.refusal(operation, KeyId=key_id, **more) == ("DisabledException", f"{arn} is disabled.")
    await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    for operation, more in calls.items():
        refused = ("KMSInvalidStateException", f"{arn} is pending deletion.")
        assert await world.refusal(operation, KeyId=key_id, **more) == refused
