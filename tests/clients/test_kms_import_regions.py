"""Imported material and multi-Region keys through boto3, and what S3 says of such keys. Numbers are those of the facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key

from tests.clients.house import OWNER, refused
from tests.clients.rules import ELSEWHERE, REGION

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
MATERIAL = bytes(range(32))
FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def bring(kms, key_id, material=MATERIAL, **given):
    answer = kms.get_parameters_for_import(KeyId=key_id, WrappingAlgorithm="RSA_AES_KEY_WRAP_SHA_256", WrappingKeySpec="RSA_3072")
    data = load_der_public_key(answer["PublicKey"]).encrypt(bytes(32), OAEP) + aes_key_wrap_with_padding(bytes(32), material)
    token = answer["ImportToken"]
    return kms.import_key_material(KeyId=key_id, ImportToken=token, EncryptedKeyMaterial=data, **(given or FOREVER))


@pytest.fixture(scope="session")
def elsewhere(server):
    client = server.client("kms", region=ELSEWHERE)
    yield client
    client.close()


def test_a81_imported_material_and_s3(s3, kms, bucket):
    key = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    assert (key["KeyState"], key["Enabled"], key["Origin"]) == ("PendingImport", False, "EXTERNAL")
    named = {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["KeyId"]}
    pending = (400, "KMS.KMSInvalidStateException", f"{key['Arn']} is pending import.")  # 9.10
    refusal = refused(s3.put_object, **named, Body=b"x")
    assert (refusal.status, refusal.code, refusal.message) == pending
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    material_id = bring(kms, key["KeyId"], ValidTo=until)["KeyMaterialId"]
    shown = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert (shown["KeyState"], shown["ExpirationModel"], shown["ValidTo"]) == ("Enabled", "KEY_MATERIAL_EXPIRES", until)
    assert shown["CurrentKeyMaterialId"] == material_id
    s3.put_object(**named, Body=b"secret")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
    kms.delete_imported_key_material(KeyId=key["KeyId"])
    refusal = refused(s3.get_object, Bucket=bucket, Key="k")
    assert (refusal.status, refusal.code, refusal.message) == pending
    bring(kms, key["KeyId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"


def test_a82_an_expiration_needs_a_date(kms):
    key_id = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    refusal = refused(partial(bring, kms, key_id), ExpirationModel="KEY_MATERIAL_EXPIRES")
    text = "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
    assert (refusal.code, refusal.message) == ("ValidationException", text)


def test_an_imported_private_key_signs(kms):
    private = ec.generate_private_key(ec.SECP256R1())
    key_id = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    bring(kms, key_id, private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    signature = kms.sign(KeyId=key_id, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    private.public_key().verify(signature, b"m", ec.ECDSA(hashes.SHA256()))


def test_a6_keys_that_have_material_of_the_servers_own(kms, key):
    refusal = refused(kms.delete_imported_key_material, KeyId=key["KeyId"])
    text = f"{key['Arn']} origin is AWS_KMS which is not valid for this operation."
    assert (refusal.status, refusal.code, refusal.message) == (400, "UnsupportedOperationException", text)


def test_multi_region_keys(kms, elsewhere):
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    key_id = key["KeyId"]
    assert key_id.startswith("mrk-")
    replica = kms.replicate_key(KeyId=key_id, ReplicaRegion=ELSEWHERE)["ReplicaKeyMetadata"]
    assert (replica["KeyState"], replica["Arn"]) == ("Creating", f"arn:aws:kms:{ELSEWHERE}:{OWNER}:key/{key_id}")  # A83
    assert elsewhere.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert elsewhere.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"})["Plaintext"] == b"secret"
    refusal = refused(elsewhere.replicate_key, KeyId=key_id, ReplicaRegion="us-west-2")
    assert refusal.message == f"{replica['Arn']} is not a multi-region primary key."  # A83
    kms.update_primary_region(KeyId=key_id, PrimaryRegion=ELSEWHERE)
    shown = kms.describe_key(KeyId=key_id)["KeyMetadata"]["MultiRegionConfiguration"]
    assert shown == {
        "MultiRegionKeyType": "REPLICA",
        "PrimaryKey": {"Arn": replica["Arn"], "Region": ELSEWHERE},
        "ReplicaKeys": [{"Arn": key["Arn"], "Region": REGION}],
    }
    answer = elsewhere.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert (answer["KeyState"], "DeletionDate" in answer) == ("PendingReplicaDeletion", False)


def test_a84_s3_takes_a_multi_region_key_as_one_of_its_region(s3, kms, bucket):
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=ELSEWHERE)
    named = {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms", "Body": b"secret"}
    assert s3.put_object(**named, SSEKMSKeyId=key["KeyId"])["SSEKMSKeyId"] == key["Arn"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
    refusal = refused(s3.put_object, **named, SSEKMSKeyId=key["Arn"].replace(REGION, ELSEWHERE))
    assert (refusal.code, refusal.message) == ("KMS.NotFoundException", f"Invalid arn {ELSEWHERE}")  # 9.4, B14
