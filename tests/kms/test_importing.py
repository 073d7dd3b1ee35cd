"""Imported material: what customers wrap outside comes in, goes, expires by the clock and comes back."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from tests.kms import slow_blob
from tests.kms.world import REGION, START, A

OAEP = {
    "SHA_1": padding.OAEP(padding.MGF1(SHA1()), SHA1(), None),  # noqa: S303 - AWS has it
    "SHA_256": padding.OAEP(padding.MGF1(SHA256()), SHA256(), None),
}
ALGORITHMS = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"]
FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
INCORRECT = (
    "IncorrectKeyMaterialException",
    "The key material is invalid, or is not what was imported into this KMS key before.",
)
NEW, EXISTING = {"ImportType": "NEW_KEY_MATERIAL"}, {"ImportType": "EXISTING_KEY_MATERIAL"}
MATERIAL = bytes(range(100, 132))


def wrapped(public_der: bytes, algorithm: str, material: bytes) -> bytes:
    """As a customer does it."""
    public = load_der_public_key(public_der)
    scheme = OAEP["SHA_1" if algorithm.endswith("SHA_1") else "SHA_256"]
    if algorithm.startswith("RSAES"):
        return public.encrypt(material, scheme)
    key = secrets.token_bytes(32)
    return public.encrypt(key, scheme) + aes_key_wrap_with_padding(key, material)


def pkcs8(key) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


async def parameters(world, key_id: str, algorithm: str = "RSAES_OAEP_SHA_256", spec: str = "RSA_2048", **more) -> dict:
    return await world.ask("GetParametersForImport", KeyId=key_id, WrappingAlgorithm=algorithm, WrappingKeySpec=spec, **more)


async def transported(world, key_id: str, material: bytes, algorithm: str = "RSA_AES_KEY_WRAP_SHA_256", **more) -> dict:
    """What ImportKeyMaterial wants."""
    answer = await parameters(world, key_id, algorithm, **more)
    return {
        "KeyId": key_id,
        "ImportToken": answer["ImportToken"],
        "EncryptedKeyMaterial": wrapped(answer["PublicKey"], algorithm, material),
        **more,
    }


async def bring(world, key_id: str, material: bytes = MATERIAL, **given) -> dict:
    region = {"region": given.pop("region")} if "region" in given else {}
    return await world.ask("ImportKeyMaterial", **await transported(world, key_id, material, **region), **(given or FOREVER))


async def metadata(world, key_id: str, **more) -> dict:
    return (await world.ask("DescribeKey", KeyId=key_id, **more))["KeyMetadata"]


@pytest.fixture
async def key(world) -> tuple[str, str]:
    return await world.key(Origin="EXTERNAL")


async def test_a81_the_life_of_imported_material(world, key):
    key_id, arn = key
    before = await metadata(world, key_id)
    assert (before["KeyState"], before["Enabled"], before["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert not {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} & set(before)
    answer = await bring(world, key_id)
    material_id = answer["KeyMaterialId"]
    assert answer == {"KeyId": arn, "KeyMaterialId": material_id}
    after = await metadata(world, key_id)
    assert after == before | {
        "KeyState": "Enabled",
        "Enabled": True,
        "CurrentKeyMaterialId": material_id,
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret"))["CiphertextBlob"]
    assert await world.ask("DeleteImportedKeyMaterial", KeyId=key_id) == {"KeyId": arn, "KeyMaterialId": material_id}
    assert await metadata(world, key_id) == before | {"CurrentKeyMaterialId": material_id}
    refused = ("KMSInvalidStateException", f"{arn} is pending import.")
    assert await world.refusal("Decrypt", CiphertextBlob=blob) == refused
    assert await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x") == refused
    await world.ask("DeleteImportedKeyMaterial", KeyId=key_id)  # no effect
    assert (await bring(world, key_id))["KeyMaterialId"] == material_id
    assert (await world.ask("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"secret"


async def test_the_material_is_the_customers(world, key, tmp_path):
    """A blob that Strongroom made opens with the customer's own 32 bytes and the published format."""
    await bring(world, key[0])
    blob = (await world.ask("Encrypt", KeyId=key[0], Plaintext=b"secret"))["CiphertextBlob"]
    assert slow_blob.read(blob, MATERIAL, {}) == b"secret"
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert MATERIAL not in path.read_bytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
async def test_wrappings(world, key, algorithm, spec):
    answer = await parameters(world, key[0], algorithm, spec)
    assert (answer["KeyId"], answer["ParametersValidTo"]) == (key[1], START + timedelta(hours=24))
    public = load_der_public_key(answer["PublicKey"])
    assert isinstance(public, rsa.RSAPublicKey)
    assert public.key_size == int(spec[4:])
    assert len(answer["ImportToken"]) <= 6144
    data = wrapped(answer["PublicKey"], algorithm, MATERIAL)
    given = {"KeyId": key[0], "ImportToken": answer["ImportToken"], **FOREVER}
    for wrong in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), data + b"\0", b"x", bytes([data[0] ^ 1]) + data[1:]):
        refused = await world.refusal("ImportKeyMaterial", **given, EncryptedKeyMaterial=wrong)
        assert refused == ("InvalidCiphertextException", "")
    await world.ask("ImportKeyMaterial", **given, EncryptedKeyMaterial=data)
    assert (await metadata(world, key[0]))["KeyState"] == "Enabled"


@pytest.mark.parametrize("size", [1, 16, 31, 33])
async def test_material_of_another_size(world, key, size):
    given = await transported(world, key[0], bytes(size))
    refused = ("IncorrectKeyMaterialException", "The key material is not valid for key spec SYMMETRIC_DEFAULT.")
    assert await world.refusal("ImportKeyMaterial", **given, **FOREVER) == refused


async def test_wrappings_that_are_not_offered(world, key):
    for algorithm, spec, text in (
        ("RSAES_PKCS1_V1_5", "RSA_2048", "WrappingAlgorithm RSAES_PKCS1_V1_5 is not supported by this server."),
        ("SM2PKE", "SM2", "WrappingAlgorithm SM2PKE is not supported by this server."),
        ("RSAES_OAEP_SHA_256", "SM2", "WrappingKeySpec SM2 is not supported by this server."),
    ):
        given = {"KeyId": key[0], "WrappingAlgorithm": algorithm, "WrappingKeySpec": spec}
        assert await world.refusal("GetParametersForImport", **given) == ("UnsupportedOperationException", text)
    for spec, usage in (("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P521", "SIGN_VERIFY")):
        key_id, _ = await world.key(KeySpec=spec, KeyUsage=usage, Origin="EXTERNAL")
        given = {"KeyId": key_id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
        code, text = await world.refusal("GetParametersForImport", **given)
        assert (code, text.split(" does ")[0]) == ("ValidationException", f"Key material of {spec}")


async def test_import_tokens_are_for_one_key_and_a_day(world, key):
    other, _ = await world.key(Origin="EXTERNAL")
    given = {**await transported(world, key[0], MATERIAL), **FOREVER}
    token = given["ImportToken"]
    invalid = ("InvalidImportTokenException", "The import token is invalid, or belongs to another KMS key.")
    assert await world.refusal("ImportKeyMaterial", **{**given, "KeyId": other}) == invalid
    for place in (0, 4, 5, 6, 13, 14, len(token) - 1):
        changed = token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        assert await world.refusal("ImportKeyMaterial", **{**given, "ImportToken": changed}) == invalid
    for changed in (token[:-1], token + b"\0", token[:13], b"x"):
        assert await world.refusal("ImportKeyMaterial", **{**given, "ImportToken": changed}) == invalid
    # another token of the same key does not open what was wrapped for this one
    another = (await parameters(world, key[0], "RSA_AES_KEY_WRAP_SHA_256"))["ImportToken"]
    refused = await world.refusal("ImportKeyMaterial", **{**given, "ImportToken": another})
    assert refused == ("InvalidCiphertextException", "")
    world.clock.days(0.9999)
    await world.ask("ImportKeyMaterial", **given)
    world.clock.days(0.0001)
    assert (await world.refusal("ImportKeyMaterial", **given))[0] == "ExpiredImportTokenException"


async def test_a82_expirations_that_contradict_themselves(world, key):
    given = await transported(world, key[0], MATERIAL)
    text = "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    for more in ({}, {"ExpirationModel": "KEY_MATERIAL_EXPIRES"}):
        assert await world.refusal("ImportKeyMaterial", **given, **more) == ("ValidationException", text)
    text = "A validTo date can be set only if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    more = {**FOREVER, "ValidTo": START + timedelta(days=1)}
    assert await world.refusal("ImportKeyMaterial", **given, **more) == ("ValidationException", text)
    text = "The validTo date must be in the future, and within 365 days."
    for valid_to in (START, START - timedelta(days=1), START + timedelta(days=365, seconds=1)):
        assert await world.refusal("ImportKeyMaterial", **given, ValidTo=valid_to) == ("ValidationException", text)
    await world.ask("ImportKeyMaterial", **given, ValidTo=START + timedelta(days=365))


class TestExpiry:
    async def test_by_the_clock_at_once(self, world, key):
        key_id, arn = key
        await bring(world, key_id, ValidTo=START + timedelta(days=10))
        shown = await metadata(world, key_id)
        assert (shown["ExpirationModel"], shown["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", START + timedelta(days=10))
        blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret"))["CiphertextBlob"]
        world.clock.days(9.999)
        await world.ask("Decrypt", CiphertextBlob=blob)
        world.clock.days(0.001)
        assert await world.refusal("Decrypt", CiphertextBlob=blob) == (
            "KMSInvalidStateException",
            f"{arn} is pending import.",
        )
        shown = await metadata(world, key_id)
        assert (shown["KeyState"], "ValidTo" in shown, "ExpirationModel" in shown) == ("PendingImport", False, False)
        await bring(world, key_id)
        assert (await world.ask("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"secret"

    async def test_upkeep_removes_the_bytes(self, world, key):
        key_id, _ = key
        await bring(world, key_id, ValidTo=START + timedelta(days=10))
        scope = f"kms/{A}/{REGION}/{key_id}"
        assert await world.rooms.importing.remove_expired() == 0
        world.clock.days(10)
        assert (await world.catalog.document(scope, "kms-key"))["materials"][0]["wrapped"] != ""
        assert await world.rooms.importing.remove_expired() == 1
        document = await world.catalog.document(scope, "kms-key")
        assert (document["materials"][0]["wrapped"], document["state"]) == ("", "PendingImport")
        assert await world.rooms.importing.remove_expired() == 0

    async def test_of_a_disabled_and_of_a_doomed_key(self, world, key):
        key_id, arn = key
        await bring(world, key_id, ValidTo=START + timedelta(days=1))
        await world.ask("DisableKey", KeyId=key_id)
        await world.ask("ScheduleKeyDeletion", KeyId=key_id)
        world.clock.days(2)
        assert (await metadata(world, key_id))["KeyState"] == "PendingDeletion"
        await world.ask("CancelKeyDeletion", KeyId=key_id)
        assert (await metadata(world, key_id))["KeyState"] == "PendingImport"  # never enabled without its material
        refused = ("KMSInvalidStateException", f"{arn} is pending import.")
        assert await world.refusal("EnableKey", KeyId=key_id) == refused

    async def test_a_new_import_sets_another_date(self, world, key):
        await bring(world, key[0], ValidTo=START + timedelta(days=1))
        await bring(world, key[0], ValidTo=START + timedelta(days=3))
        assert (await metadata(world, key[0]))["ValidTo"] == START + timedelta(days=3)
        await bring(world, key[0])
        shown = await metadata(world, key[0])
        assert (shown["ExpirationModel"], "ValidTo" in shown) == ("KEY_MATERIAL_DOES_NOT_EXPIRE", False)


async def test_only_the_same_material_comes_back(world, key):
    key_id, _ = key
    material_id = (await bring(world, key_id))["KeyMaterialId"]
    await world.ask("DeleteImportedKeyMaterial", KeyId=key_id)
    given = {**await transported(world, key_id, bytes(32)), **FOREVER}
    assert await world.refusal("ImportKeyMaterial", **given) == INCORRECT
    assert await world.refusal("ImportKeyMaterial", **given, **EXISTING) == INCORRECT
    given = {**await transported(world, key_id, MATERIAL), **FOREVER}
    assert await world.refusal("ImportKeyMaterial", **given, KeyMaterialId="0" * 64) == INCORRECT
    assert await world.refusal("ImportKeyMaterial", **given, **NEW) == INCORRECT
    text = "KeyMaterialId cannot be given with ImportType NEW_KEY_MATERIAL."
    refused = await world.refusal("ImportKeyMaterial", **given, **NEW, KeyMaterialId=material_id)
    assert refused == ("ValidationException", text)
    await world.ask("ImportKeyMaterial", **given, KeyMaterialId=material_id)


async def test_a_fingerprint_is_of_the_key_too(world, key):
    """Two keys with the same material do not show it; the same key does, so that it can be told what comes back."""
    other, _ = await world.key(Origin="EXTERNAL")
    ours, theirs = [(await bring(world, key_id))["KeyMaterialId"] for key_id in (key[0], other)]
    assert ours != theirs
    label, key_id = b"strongroom/kms/material-id/1", key[0].encode()
    message = (2).to_bytes(4, "big") + b"".join(len(text).to_bytes(4, "big") + text for text in (label, key_id))
    assert ours == hmac.new(MATERIAL, message, "sha256").hexdigest()


class TestRotation:
    async def test_a50_to_new_material_on_demand(self, world, key):
        key_id, arn = key
        text = f"No available key material pending rotation for the key: {arn}."
        first = (await bring(world, key_id))["KeyMaterialId"]
        blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"old"))["CiphertextBlob"]
        assert await world.refusal("RotateKeyOnDemand", KeyId=key_id) == ("KMSInvalidStateException", text)
        second = (await bring(world, key_id, bytes(32), **NEW, **FOREVER, KeyMaterialDescription="the second"))["KeyMaterialId"]
        assert (await metadata(world, key_id))["CurrentKeyMaterialId"] == first
        given = {**await transported(world, key_id, bytes([1]) * 32), **FOREVER}
        assert (await world.refusal("ImportKeyMaterial", **given, **NEW))[0] == "KMSInvalidStateException"
        assert await self.listed(world, key_id) == [
            (first, "CURRENT", "IMPORTED", None),
            (second, "PENDING_ROTATION", "IMPORTED", "the second"),
        ]
        world.clock.days(1)
        await world.ask("RotateKeyOnDemand", KeyId=key_id)
        assert (await metadata(world, key_id))["CurrentKeyMaterialId"] == second
        assert (await world.ask("Decrypt", CiphertextBlob=blob))["KeyMaterialId"] == first  # A42
        assert await world.refusal("RotateKeyOnDemand", KeyId=key_id) == ("KMSInvalidStateException", text)
        rotations = (await world.ask("ListKeyRotations", KeyId=key_id))["Rotations"]
        assert [(each["KeyMaterialId"], each["RotationType"], each["RotationDate"]) for each in rotations] == [
            (second, "ON_DEMAND", START + timedelta(days=1))
        ]
        # without any one of them the key is of no use
        await world.ask("DeleteImportedKeyMaterial", KeyId=key_id, KeyMaterialId=first)
        assert (await metadata(world, key_id))["KeyState"] == "PendingImport"
        assert [each[2] for each in await self.listed(world, key_id)] == ["PENDING_IMPORT", "IMPORTED"]
        await bring(world, key_id)
        assert (await world.ask("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"old"
        assert (await metadata(world, key_id))["CurrentKeyMaterialId"] == second

    async def test_what_waits_for_its_rotation_can_be_taken_back(self, world, key):
        await bring(world, key[0])
        second = (await bring(world, key[0], bytes(32), **NEW, **FOREVER))["KeyMaterialId"]
        await world.ask("DeleteImportedKeyMaterial", KeyId=key[0], KeyMaterialId=second)
        assert (await metadata(world, key[0]))["KeyState"] == "Enabled"
        assert len(await self.listed(world, key[0])) == 1
        refused = await world.refusal("DeleteImportedKeyMaterial", KeyId=key[0], KeyMaterialId=second)
        assert refused == ("NotFoundException", f"Key material '{second}' does not exist")

    async def listed(self, world, key_id: str) -> list:
        rotations = (await world.ask("ListKeyRotations", KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL"))["Rotations"]
        return [
            (each["KeyMaterialId"], each["KeyMaterialState"], each["ImportState"], each.get("KeyMaterialDescription"))
            for each in rotations
        ]


async def test_automatic_rotation_is_not_for_imported_material(world, key):
    key_id, arn = key
    refused = ("UnsupportedOperationException", f"{arn} origin is EXTERNAL which is not valid for this operation.")
    for operation in ("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus"):
        assert await world.refusal(operation, KeyId=key_id) == refused  # A.6, e
    await bring(world, key_id)
    for operation in ("EnableKeyRotation", "DisableKeyRotation"):
        assert await world.refusal(operation, KeyId=key_id) == refused
    assert (await world.ask("GetKeyRotationStatus", KeyId=key_id))["KeyRotationEnabled"] is False


async def test_keys_with_material_of_our_own(world):
    key_id, arn = await world.key()
    refused = ("UnsupportedOperationException", f"{arn} origin is AWS_KMS which is not valid for this operation.")
    calls = {
        "GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
        "ImportKeyMaterial": {"ImportToken": b"x", "EncryptedKeyMaterial": b"x", **FOREVER},
        "DeleteImportedKeyMaterial": {},
    }
    for change in ("EnableKey", "DisableKey", "ScheduleKeyDeletion"):
        await world.ask(change, KeyId=key_id)
        for operation, given in calls.items():
            assert await world.refusal(operation, KeyId=key_id, **given) == refused  # A.6, f


async def test_states(world, key):
    key_id, arn = key
    pending = ("KMSInvalidStateException", f"{arn} is pending import.")
    for operation in ("EnableKey", "DisableKey"):
        assert await world.refusal(operation, KeyId=key_id) == pending
    await world.ask("TagResource", KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": ""}])
    await world.ask("UpdateKeyDescription", KeyId=key_id, Description="x")
    await world.ask("CreateAlias", AliasName="alias/imported", TargetKeyId=key_id)
    await bring(world, key_id)
    await world.ask("DisableKey", KeyId=key_id)
    await bring(world, key_id)
    assert (await metadata(world, key_id))["KeyState"] == "Disabled"  # nothing was missing, so nothing is switched on
    given = {**await transported(world, key_id, MATERIAL), **FOREVER}
    await world.ask("ScheduleKeyDeletion", KeyId=key_id)
    doomed = ("KMSInvalidStateException", f"{arn} is pending deletion.")
    assert await world.refusal("ImportKeyMaterial", **given) == doomed
    more = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    assert await world.refusal("GetParametersForImport", KeyId=key_id, **more) == doomed
    await world.ask("DeleteImportedKeyMaterial", KeyId=key_id)
    assert (await metadata(world, key_id))["KeyState"] == "PendingDeletion"


RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE = {
    ("RSA_2048", "SIGN_VERIFY"): RSA_KEY,
    ("RSA_2048", "ENCRYPT_DECRYPT"): RSA_KEY,
    ("ECC_NIST_P256", "SIGN_VERIFY"): ec.generate_private_key(ec.SECP256R1()),
    ("ECC_NIST_P521", "KEY_AGREEMENT"): ec.generate_private_key(ec.SECP521R1()),
    ("ECC_SECG_P256K1", "SIGN_VERIFY"): ec.generate_private_key(ec.SECP256K1()),
    ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"): ed25519.Ed25519PrivateKey.generate(),
    ("ML_DSA_65", "SIGN_VERIFY"): mldsa.MLDSA65PrivateKey.generate(),
}


@pytest.mark.parametrize(("spec", "usage"), PRIVATE)
async def test_private_keys(world, spec, usage):
    private = PRIVATE[spec, usage]
    key_id, arn = await world.key(KeySpec=spec, KeyUsage=usage, Origin="EXTERNAL")
    pending = ("KMSInvalidStateException", f"{arn} is pending import.")
    assert await world.refusal("GetPublicKey", KeyId=key_id) == pending
    assert await bring(world, key_id, pkcs8(private)) == {"KeyId": arn}
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert (await world.ask("GetPublicKey", KeyId=key_id))["PublicKey"] == public
    shown = await metadata(world, key_id)
    assert (shown["KeyState"], "CurrentKeyMaterialId" in shown) == ("Enabled", False)
    assert await world.ask("DeleteImportedKeyMaterial", KeyId=key_id) == {"KeyId": arn}
    assert await world.refusal("GetPublicKey", KeyId=key_id) == pending
    another = ed25519.Ed25519PrivateKey.generate() if spec.endswith("25519") else None
    wrong = [b"x", pkcs8(ec.generate_private_key(ec.SECP384R1())), *([] if another is None else [pkcs8(another)])]
    for data in wrong:
        given = {**await transported(world, key_id, data), **FOREVER}
        assert (await world.refusal("ImportKeyMaterial", **given))[0] == "IncorrectKeyMaterialException"
    given = {**await transported(world, key_id, pkcs8(private)), **FOREVER}
    assert (await world.refusal("ImportKeyMaterial", **given, **EXISTING))[0] == "ValidationException"
    await world.ask("ImportKeyMaterial", **given)
    assert (await world.ask("GetPublicKey", KeyId=key_id))["PublicKey"] == public


@pytest.mark.parametrize("size", [0, 31, 33])
async def test_a_private_key_of_an_impossible_length(world, size):
    key_id, _ = await world.key(KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")
    octets = b"\x04" + bytes([size + 2, 4, size]) + bytes(size)
    inner = bytes.fromhex("020100300506032b6570") + octets
    given = {**await transported(world, key_id, b"\x30" + bytes([len(inner)]) + inner), **FOREVER}
    assert (await world.refusal("ImportKeyMaterial", **given))[0] == "IncorrectKeyMaterialException"


@pytest.mark.parametrize(("spec", "size"), [("HMAC_224", 28), ("HMAC_256", 32), ("HMAC_384", 48), ("HMAC_512", 64)])
async def test_hmac_secrets(world, spec, size):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="GENERATE_VERIFY_MAC", Origin="EXTERNAL")
    for wrong in (size - 1, size + 1):
        given = {**await transported(world, key_id, bytes(wrong)), **FOREVER}
        assert (await world.refusal("ImportKeyMaterial", **given))[0] == "IncorrectKeyMaterialException"
    secret = secrets.token_bytes(size)
    await bring(world, key_id, secret)
    bits = spec.removeprefix("HMAC_")
    answer = await world.ask("GenerateMac", KeyId=key_id, Message=b"m", MacAlgorithm=f"HMAC_SHA_{bits}")
    assert answer["Mac"] == hmac.new(secret, b"m", f"sha{bits}").digest()


async def test_rights(world, key):
    world.asked.clear()
    await bring(world, key[0])
    await world.ask("DeleteImportedKeyMaterial", KeyId=key[0])
    actions = ["kms:GetParametersForImport", "kms:ImportKeyMaterial", "kms:DeleteImportedKeyMaterial"]
    assert world.asked == [(action, key[1]) for action in actions]
    for action in actions:
        world.denied = {action}
        given = {
            "kms:GetParametersForImport": {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
            "kms:ImportKeyMaterial": {"ImportToken": b"x", "EncryptedKeyMaterial": b"x", **FOREVER},
            "kms:DeleteImportedKeyMaterial": {},
        }[action]
        assert (await world.refusal(action.removeprefix("kms:"), KeyId=key[0], **given))[0] == "AccessDenied"


async def test_another_worker_loses_the_material_with_its_next_request(world, other_worker, key):
    key_id, arn = key
    await bring(world, key_id)
    blob = (await other_worker.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    await world.ask("DeleteImportedKeyMaterial", KeyId=key_id)
    pending = ("KMSInvalidStateException", f"{arn} is pending import.")
    assert await other_worker.refusal("Decrypt", CiphertextBlob=blob) == pending
