"""Asymmetric and HMAC keys through boto3, each answer checked without the server; and S3, which will not use them.

Numbers are those of the facts about KMS; 9.x those of the facts about encryption.
"""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key, load_der_public_key

from tests.clients.house import refused
from tests.clients.rules import put_rule

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def made(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]


def public(kms, key):
    return load_der_public_key(kms.get_public_key(KeyId=key["KeyId"])["PublicKey"])


def test_rsa_signatures(kms):
    key = made(kms, "RSA_2048", "SIGN_VERIFY")
    given = {"KeyId": key["KeyId"], "Message": b"message", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    signature = kms.sign(**given)["Signature"]
    public(kms, key).verify(signature, b"message", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    assert kms.verify(**given, Signature=signature)["SignatureValid"] is True
    refusal = refused(kms.verify, **{**given, "Message": b"another"}, Signature=signature)
    assert (refusal.status, refusal.code, refusal.message) == (400, "KMSInvalidSignatureException", "")  # A7


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_SECG_P256K1"])
def test_ecdsa_signatures(kms, spec):
    key = made(kms, spec, "SIGN_VERIFY")
    signature = kms.sign(KeyId=key["KeyId"], Message=b"message", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    public(kms, key).verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public(kms, key).verify(signature, b"another", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(("spec", "algorithm"), [("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"), ("ML_DSA_65", "ML_DSA_SHAKE_256")])
def test_other_signatures(kms, spec, algorithm):
    key = made(kms, spec, "SIGN_VERIFY")
    signature = kms.sign(KeyId=key["KeyId"], Message=b"message", SigningAlgorithm=algorithm)["Signature"]
    public(kms, key).verify(signature, b"message")


def test_macs(kms):
    key = made(kms, "HMAC_256", "GENERATE_VERIFY_MAC")
    given = {"KeyId": key["KeyId"], "Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(**given)["Mac"]
    assert kms.verify_mac(**given, Mac=mac)["MacValid"] is True
    refusal = refused(kms.verify_mac, **given, Mac=bytes(32))
    assert (refusal.status, refusal.code, refusal.message) == (400, "KMSInvalidMacException", "")  # A7
    refusal = refused(kms.generate_mac, **{**given, "MacAlgorithm": "HMAC_SHA_512"})
    assert (refusal.code, refusal.message) == (
        "InvalidKeyUsageException",
        "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.",
    )  # A37


def test_rsa_encryption(kms):
    key = made(kms, "RSA_2048", "ENCRYPT_DECRYPT")
    given = {"KeyId": key["KeyId"], "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    outside = public(kms, key).encrypt(b"secret", OAEP)
    assert kms.decrypt(**given, CiphertextBlob=outside)["Plaintext"] == b"secret"
    inside = kms.encrypt(**given, Plaintext=b"secret")["CiphertextBlob"]
    assert kms.decrypt(**given, CiphertextBlob=inside)["Plaintext"] == b"secret"
    refusal = refused(kms.encrypt, **given, Plaintext=bytes(191))
    text = "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."
    assert (refusal.code, refusal.message) == ("ValidationException", text)  # A32


def test_shared_secrets(kms):
    key, peer = made(kms, "ECC_NIST_P384", "KEY_AGREEMENT"), ec.generate_private_key(ec.SECP384R1())
    der = peer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    answer = kms.derive_shared_secret(KeyId=key["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=der)
    assert answer["SharedSecret"] == peer.exchange(ec.ECDH(), public(kms, key))


def test_data_key_pairs(kms, key):
    answer = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256", EncryptionContext={"a": "b"})
    private = load_der_private_key(answer["PrivateKeyPlaintext"], None)
    assert private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == answer["PublicKey"]
    opened = kms.decrypt(CiphertextBlob=answer["PrivateKeyCiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == answer["PrivateKeyPlaintext"]
    without = kms.generate_data_key_pair_without_plaintext(KeyId=key["KeyId"], KeyPairSpec="RSA_2048")
    assert "PrivateKeyPlaintext" not in without
    assert kms.decrypt(CiphertextBlob=without["PrivateKeyCiphertextBlob"])["Plaintext"]


def test_custom_key_stores(kms):
    for call, given in (
        (kms.describe_custom_key_stores, {}),
        (kms.create_custom_key_store, {"CustomKeyStoreName": "x"}),
        (kms.connect_custom_key_store, {"CustomKeyStoreId": "x"}),
        (kms.disconnect_custom_key_store, {"CustomKeyStoreId": "x"}),
        (kms.update_custom_key_store, {"CustomKeyStoreId": "x"}),
        (kms.delete_custom_key_store, {"CustomKeyStoreId": "x"}),
        (kms.create_key, {"CustomKeyStoreId": "x", "Origin": "AWS_CLOUDHSM"}),
    ):
        refusal = refused(call, **given)
        assert (refusal.status, refusal.code) == (400, "UnsupportedOperationException")


UNFIT = [
    ("RSA_2048", "SIGN_VERIFY", "{arn} key usage is SIGN_VERIFY which is not valid for GenerateDataKey."),  # 9.11
    ("HMAC_256", "GENERATE_VERIFY_MAC", "{arn} key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKey."),
    ("ECC_NIST_P256", "KEY_AGREEMENT", "{arn} key usage is KEY_AGREEMENT which is not valid for GenerateDataKey."),
    ("RSA_2048", "ENCRYPT_DECRYPT", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."),  # 9.12
]


@pytest.mark.parametrize(("spec", "usage", "text"), UNFIT)
def test_s3_refuses_them(s3, kms, bucket, spec, usage, text):
    key = made(kms, spec, usage)
    answer = ("KMS.InvalidKeyUsageException", text.format(arn=key["Arn"]))
    s3.put_object(Bucket=bucket, Key="source", Body=b"old")
    named = {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["KeyId"]}

    def refusals(**given):
        yield refused(s3.put_object, Body=b"x", **given)
        yield refused(s3.create_multipart_upload, **given)
        yield refused(s3.copy_object, CopySource=f"{bucket}/source", **given)

    for refusal in refusals(**named):
        assert (refusal.status, refusal.code, refusal.message) == (400, *answer)
    put_rule(s3, bucket, "aws:kms", key["KeyId"])  # 2.3.1: taken, and of no use
    for refusal in refusals(Bucket=bucket, Key="k"):
        assert (refusal.status, refusal.code, refusal.message) == (400, *answer)  # 9.20
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["source"]  # 9.19
