from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from tests.kms.world import HIDDEN, B

SPECS = (
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "ECC_NIST_EDWARDS25519",
)


def der(public) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("spec", SPECS)
async def test_pairs(world, spec):
    key_id, arn = await world.key()
    material_id = (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]["CurrentKeyMaterialId"]
    context = {"EncryptionContext": {"for": "a test"}}
    answer = await world.ask("GenerateDataKeyPair", KeyId=key_id, KeyPairSpec=spec, **context)
    blob, plain, public = (answer.pop(name) for name in ("PrivateKeyCiphertextBlob", "PrivateKeyPlaintext", "PublicKey"))
    assert answer == {"KeyId": arn, "KeyPairSpec": spec, "KeyMaterialId": material_id}
    private = load_der_private_key(plain, None)
    assert der(private.public_key()) == public
    if spec.startswith("RSA"):
        assert isinstance(private, rsa.RSAPrivateKey)
        assert private.key_size == int(spec[4:])
    assert (await world.ask("Decrypt", CiphertextBlob=blob, **context))["Plaintext"] == plain
    assert (await world.refusal("Decrypt", CiphertextBlob=blob))[0] == "InvalidCiphertextException"

    answer = await world.ask("GenerateDataKeyPairWithoutPlaintext", KeyId=key_id, KeyPairSpec=spec)
    assert "PrivateKeyPlaintext" not in answer
    plain = (await world.ask("Decrypt", CiphertextBlob=answer["PrivateKeyCiphertextBlob"]))["Plaintext"]
    assert der(load_der_private_key(plain, None).public_key()) == answer["PublicKey"] != public


async def test_a_pair_works_outside(world):
    key_id, _ = await world.key()
    answer = await world.ask("GenerateDataKeyPair", KeyId=key_id, KeyPairSpec="ECC_NIST_P384")
    private, public = load_der_private_key(answer["PrivateKeyPlaintext"], None), load_der_public_key(answer["PublicKey"])
    other = ec.generate_private_key(ec.SECP384R1())
    assert private.exchange(ec.ECDH(), other.public_key()) == other.exchange(ec.ECDH(), public)


@pytest.mark.parametrize("operation", ["GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"])
async def test_refusals(world, operation):
    key_id, arn = await world.key()
    for spec in ("SM2", "ML_KEM_768"):
        refused = ("UnsupportedOperationException", f"KeyPairSpec {spec} is not supported by this server.")
        assert await world.refusal(operation, KeyId=key_id, KeyPairSpec=spec) == refused
    given = {"KeyId": arn, "KeyPairSpec": "ECC_NIST_P256"}
    assert (await world.refusal(operation, **given, DryRun=True))[0] == "DryRunOperationException"
    assert await world.refusal(operation, **given, account=B) == ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
    await world.ask("DisableKey", KeyId=key_id)
    assert await world.refusal(operation, **given) == ("DisabledException", f"{arn} is disabled.")
