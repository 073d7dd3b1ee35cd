"""Encrypt, Decrypt and ReEncrypt with RSA keys, checked against whoever has the public key."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

OAEP = {
    "RSAES_OAEP_SHA_1": padding.OAEP(padding.MGF1(SHA1()), SHA1(), None),  # noqa: S303 - AWS has it
    "RSAES_OAEP_SHA_256": padding.OAEP(padding.MGF1(SHA256()), SHA256(), None),
}
LIMITS = {
    ("RSA_2048", "RSAES_OAEP_SHA_1"): 214,
    ("RSA_2048", "RSAES_OAEP_SHA_256"): 190,
    ("RSA_3072", "RSAES_OAEP_SHA_1"): 342,
    ("RSA_3072", "RSAES_OAEP_SHA_256"): 318,
    ("RSA_4096", "RSAES_OAEP_SHA_1"): 470,
    ("RSA_4096", "RSAES_OAEP_SHA_256"): 446,
}
INVALID = ("InvalidCiphertextException", "")
INCORRECT = ("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")


async def rsa_key(world, spec: str = "RSA_2048") -> tuple[str, str]:
    return await world.key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
async def test_an_encryption_key(world, spec):
    metadata = (await world.ask("CreateKey", KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT"))["KeyMetadata"]
    assert metadata["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]  # A21
    assert not {"CurrentKeyMaterialId", "SigningAlgorithms"} & set(metadata)
    key_id, arn = metadata["KeyId"], metadata["Arn"]
    answer = await world.ask("GetPublicKey", KeyId=key_id)
    assert answer["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
    public = load_der_public_key(answer["PublicKey"])
    for algorithm, scheme in OAEP.items():
        most = LIMITS[spec, algorithm]
        given = {"KeyId": key_id, "EncryptionAlgorithm": algorithm}
        answer = await world.ask("Encrypt", **given, Plaintext=bytes(most))
        assert len(answer["CiphertextBlob"]) == int(spec[4:]) // 8  # raw, as on AWS
        assert (answer["KeyId"], answer["EncryptionAlgorithm"]) == (arn, algorithm)
        opened = await world.ask("Decrypt", **given, CiphertextBlob=answer["CiphertextBlob"])
        assert opened == {"KeyId": arn, "Plaintext": bytes(most), "EncryptionAlgorithm": algorithm}
        outside = public.encrypt(b"from outside", scheme)
        assert (await world.ask("Decrypt", **given, CiphertextBlob=outside))["Plaintext"] == b"from outside"
        too_much = f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."
        for dry in ({}, {"DryRun": True}):
            refused = await world.refusal("Encrypt", **given, Plaintext=bytes(most + 1), **dry)
            assert refused == ("ValidationException", too_much)  # A32


async def test_one_answer_to_every_wrong_ciphertext(world):
    key_id, _ = await rsa_key(world)
    other, _ = await rsa_key(world)
    given = {"KeyId": key_id, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    good = (await world.ask("Encrypt", **given, Plaintext=b"x"))["CiphertextBlob"]
    for wrong in (good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]), bytes(256), b"\xff" * 256, b"x"):
        assert await world.refusal("Decrypt", **given, CiphertextBlob=wrong) == INVALID  # A33
    assert await world.refusal("Decrypt", **{**given, "KeyId": other}, CiphertextBlob=good) == INVALID
    crossed = {**given, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    assert await world.refusal("Decrypt", **crossed, CiphertextBlob=good) == INVALID
    # without a name nothing says whose it is
    assert await world.refusal("Decrypt", EncryptionAlgorithm="RSAES_OAEP_SHA_256", CiphertextBlob=good) == INVALID


async def test_keys_and_algorithms_must_fit(world):
    rsa, _ = await rsa_key(world)
    aes, _ = await world.key()
    blob = (await world.ask("Encrypt", KeyId=aes, Plaintext=b"x"))["CiphertextBlob"]
    raw = (await world.ask("Encrypt", KeyId=rsa, Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_1"))["CiphertextBlob"]
    no_aes = ("InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.")
    no_rsa = ("InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.")
    oaep = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}
    assert await world.refusal("Encrypt", KeyId=rsa, Plaintext=b"x") == no_aes
    assert await world.refusal("Encrypt", KeyId=aes, Plaintext=b"x", **oaep) == no_rsa
    assert await world.refusal("Decrypt", KeyId=aes, CiphertextBlob=raw, **oaep) == no_rsa
    assert await world.refusal("Decrypt", KeyId=rsa, CiphertextBlob=blob) == INCORRECT  # A34
    signer, _ = await world.key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    assert await world.refusal("Decrypt", KeyId=signer, CiphertextBlob=raw, **oaep) == INCORRECT
    assert await world.refusal("Decrypt", KeyId=signer, CiphertextBlob=blob) == INCORRECT


async def test_no_context_that_rsa_would_not_bind(world):
    rsa, _ = await rsa_key(world)
    given = {"KeyId": rsa, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    refused = ("ValidationException", "An encryption context is supported only with symmetric encryption KMS keys.")
    blob = (await world.ask("Encrypt", **given, Plaintext=b"x", EncryptionContext={}))["CiphertextBlob"]
    assert await world.refusal("Encrypt", **given, Plaintext=b"x", EncryptionContext={"a": "b"}) == refused
    assert await world.refusal("Decrypt", **given, CiphertextBlob=blob, EncryptionContext={"a": "b"}) == refused


async def test_re_encrypt_between_rsa_and_aes(world):
    (rsa, rsa_arn), (aes, aes_arn) = await rsa_key(world), await world.key()
    material_id = (await world.ask("DescribeKey", KeyId=aes))["KeyMetadata"]["CurrentKeyMaterialId"]
    public = load_der_public_key((await world.ask("GetPublicKey", KeyId=rsa))["PublicKey"])
    outside = public.encrypt(b"secret", OAEP["RSAES_OAEP_SHA_256"])
    source = {"SourceKeyId": rsa, "SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    answer = await world.ask(
        "ReEncrypt", CiphertextBlob=outside, **source, DestinationKeyId=aes, DestinationEncryptionContext={"a": "b"}
    )
    blob = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": rsa_arn,
        "KeyId": aes_arn,
        "SourceEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationKeyMaterialId": material_id,
    }
    assert (await world.ask("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "b"}))["Plaintext"] == b"secret"
    back = {"CiphertextBlob": blob, "SourceEncryptionContext": {"a": "b"}, "DestinationKeyId": rsa}
    answer = await world.ask("ReEncrypt", **back, DestinationEncryptionAlgorithm="RSAES_OAEP_SHA_1")
    assert (answer["SourceKeyMaterialId"], "DestinationKeyMaterialId" in answer) == (material_id, False)
    given = {"KeyId": rsa, "EncryptionAlgorithm": "RSAES_OAEP_SHA_1", "CiphertextBlob": answer["CiphertextBlob"]}
    assert (await world.ask("Decrypt", **given))["Plaintext"] == b"secret"


async def test_re_encrypt_of_more_than_rsa_takes(world):
    (rsa, _), (aes, _) = await rsa_key(world), await world.key()
    blob = (await world.ask("Encrypt", KeyId=aes, Plaintext=bytes(191)))["CiphertextBlob"]
    given = {"CiphertextBlob": blob, "DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    text = "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."
    assert await world.refusal("ReEncrypt", **given) == ("ValidationException", text)
