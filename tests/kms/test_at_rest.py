"""What is kept of asymmetric, HMAC and multi-Region keys, and import tokens: opened from the documents alone, with the root's KMS key."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from tests.kms.test_importing import MATERIAL, bring, parameters
from tests.kms.world import KMS_KEY, REGION, START, A
from tests.seal import slow_reader as slow

THERE = "eu-west-3"


def binding(*texts: str) -> bytes:
    return len(texts).to_bytes(4, "big") + b"".join(slow.lp(text.encode()) for text in texts)


async def materials(world, key_id: str, region: str = REGION) -> list[bytes]:
    """Of the key's document."""
    document = await world.catalog.document(f"kms/{A}/{region}/{key_id}", "kms-key")
    return [
        slow.unwrap(KMS_KEY, base64.b64decode(each["wrapped"]), binding("kms-key", A, region, key_id, each["id"]))
        for each in document["materials"]
    ]


@pytest.mark.parametrize("spec", ["RSA_4096", "ECC_NIST_P521", "ECC_NIST_EDWARDS25519", "ML_DSA_87"])
async def test_a_private_key(world, spec):
    key_id, _ = await world.key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    (material,) = await materials(world, key_id)
    public = load_der_private_key(material, None).public_key()
    expected = (await world.ask("GetPublicKey", KeyId=key_id))["PublicKey"]
    assert public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == expected


async def test_a_key_of_two_regions_and_two_materials(world):
    key_id, _ = await world.key(MultiRegion=True)
    await world.ask("ReplicateKey", KeyId=key_id, ReplicaRegion=THERE)
    await world.ask("RotateKeyOnDemand", KeyId=key_id)
    here, there = await materials(world, key_id), await materials(world, key_id, THERE)
    assert here == there
    assert [len(material) for material in here] == [32, 32]


async def test_imported_material(world):
    key_id, _ = await world.key(Origin="EXTERNAL")
    await bring(world, key_id)
    assert await materials(world, key_id) == [MATERIAL]


async def test_an_import_token(world):
    key_id, _ = await world.key(Origin="EXTERNAL")
    answer = await parameters(world, key_id, "RSA_AES_KEY_WRAP_SHA_1", "RSA_4096")
    head, wrapped = answer["ImportToken"][:14], answer["ImportToken"][14:]
    last = round((START.timestamp() + 24 * 3600) * 1000)
    assert head == b"SRIT\x01\x03" + last.to_bytes(8, "big")
    private = load_der_private_key(slow.unwrap(KMS_KEY, wrapped, binding("kms-import", A, REGION, key_id, head.hex())), None)
    assert private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == answer["PublicKey"]


def members(value) -> set[str]:
    return set(value) | {f"materials.{name}" for each in value["materials"] for name in each}


async def test_a_keys_document_has_the_members_that_are_documented(world):
    key_id, _ = await world.key(MultiRegion=True)
    document = await world.catalog.document(f"kms/{A}/{REGION}/{key_id}", "kms-key")
    page = (Path(__file__).parents[2] / "docs" / "spec" / "kms-blob.md").read_text("utf-8")
    for name in members(document):
        assert f"| `{name}` |" in page, name
