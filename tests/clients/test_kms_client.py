"""The KMS API through boto3: keys, aliases, cryptography, and its errors word for word. Numbers are those of the facts about KMS."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.clients.house import OWNER, refused, unique

REGION = "us-east-1"
MISSING = "0d1e9b1c-3a5e-4f0e-9a52-7a6d2c1b0f11"
ARN = f"arn:aws:kms:{REGION}:{OWNER}:"


@pytest.fixture
def alias(kms, key):
    name = f"alias/{unique('of')}"
    kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    return name


# ------------------------------------------------------------------------------------------------------------------ keys


@pytest.mark.fact("A20", "A21")
def test_a20_a_new_key(kms):
    metadata = kms.create_key()["KeyMetadata"]
    created = metadata.pop("CreationDate")
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=1)
    assert len(metadata.pop("CurrentKeyMaterialId")) == 64
    key_id = metadata["KeyId"]
    assert metadata == {
        "AWSAccountId": OWNER,
        "KeyId": key_id,
        "Arn": f"{ARN}key/{key_id}",
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


@pytest.mark.fact("A25", "A58", "A59")
def test_a25_a_keys_policy(kms, key):
    answer = kms.get_key_policy(KeyId=key["KeyId"])
    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]  # A59
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False  # A46


def test_descriptions_and_tags(kms):
    name = kms.create_key(Description="first", Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]["KeyId"]
    kms.update_key_description(KeyId=name, Description="second ü")
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["Description"] == "second ü"
    kms.tag_resource(KeyId=name, Tags=[{"TagKey": "b", "TagValue": ""}, {"TagKey": "a", "TagValue": "2"}])
    assert kms.list_resource_tags(KeyId=name)["Tags"] == [
        {"TagKey": "a", "TagValue": "2"},
        {"TagKey": "b", "TagValue": ""},
    ]
    kms.untag_resource(KeyId=name, TagKeys=["a", "none"])
    assert [each["TagKey"] for each in kms.list_resource_tags(KeyId=name)["Tags"]] == ["b"]
    refusal = refused(kms.tag_resource, KeyId=name, Tags=[{"TagKey": "AWS:x", "TagValue": ""}])
    assert (refusal.code, refusal.message) == ("TagException", "Tags beginning with aws: are reserved")  # A79


def test_pages_of_keys(kms):
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(4)}
    found = [
        each["KeyId"]
        for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
        for each in page["Keys"]
    ]
    assert made <= set(found)
    assert len(found) == len(set(found))
    assert refused(kms.list_keys, Marker="made up").code == "InvalidMarkerException"  # A16


# --------------------------------------------------------------------------------------------------------------- aliases


def test_the_life_of_an_alias(kms, key, alias):
    other = kms.create_key()["KeyMetadata"]
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == key["Arn"]
    assert kms.describe_key(KeyId=ARN + alias)["KeyMetadata"]["Arn"] == key["Arn"]
    (only,) = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert (only["AliasName"], only["AliasArn"], only["TargetKeyId"]) == (alias, ARN + alias, key["KeyId"])
    refusal = refused(kms.create_alias, AliasName=alias, TargetKeyId=other["KeyId"])
    assert refusal.code == "AlreadyExistsException"
    assert refusal.message == f"An alias with the name {ARN}{alias} already exists"  # A65
    kms.update_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == []
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == other["Arn"]
    kms.delete_alias(AliasName=alias)
    refusal = refused(kms.delete_alias, AliasName=alias)
    assert (refusal.code, refusal.message) == ("NotFoundException", f"Alias {ARN}{alias} is not found.")  # A66
    names = [each["AliasName"] for page in kms.get_paginator("list_aliases").paginate() for each in page["Aliases"]]
    assert alias not in names
    assert "alias/aws/s3" in names  # A69


def test_names_that_no_alias_has(kms, key):
    refusal = refused(kms.create_alias, AliasName="plain", TargetKeyId=key["KeyId"])
    assert (refusal.code, 'Alias must start with the prefix "alias/"' in refusal.message) == ("ValidationException", True)  # A64
    refusal = refused(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
    assert (refusal.status, refusal.code) == (400, "NotAuthorizedException")  # A67


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (MISSING, f"Key '{ARN}key/{MISSING}' does not exist"),
        (f"{ARN}key/{MISSING}", f"Key '{ARN}key/{MISSING}' does not exist"),
        ("nonsense", "Invalid keyId 'nonsense'"),
        ("aws/s3", "Invalid keyId 'aws/s3'"),
        (MISSING.replace("-", ""), f"Invalid keyId '{MISSING.replace('-', '')}'"),
        (f"arn:aws:kms:eu-west-3:{OWNER}:key/{MISSING}", "Invalid arn eu-west-3"),
        ("alias/none", f"Alias {ARN}alias/none is not found."),
    ],
)
@pytest.mark.fact("A.15")
def test_a15_names_of_no_key(kms, name, message):
    for call, given in (
        (kms.describe_key, {}),
        (kms.encrypt, {"Plaintext": b"x"}),
        (kms.generate_data_key, {"KeySpec": "AES_256"}),
    ):
        refusal = refused(call, KeyId=name, **given)
        assert (refusal.status, refusal.code, refusal.message) == (400, "NotFoundException", message)


# ---------------------------------------------------------------------------------------------------------- cryptography


@pytest.mark.fact("A28", "A29")
def test_encrypt_and_decrypt(kms, key, alias):
    for name in (key["KeyId"], key["Arn"], alias, ARN + alias):
        sealed = kms.encrypt(KeyId=name, Plaintext=b"secret", EncryptionContext={"a": "b"})
        assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (key["Arn"], "SYMMETRIC_DEFAULT")  # A28
        opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "b"})
        assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key["Arn"])
        assert opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]  # A29
    assert (
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "b"}, KeyId=alias)["Plaintext"] == b"secret"
    )
    assert b"secret" not in sealed["CiphertextBlob"]


@pytest.mark.fact("A7", "A33")
def test_a33_one_answer_for_whatever_is_wrong_with_a_ciphertext(kms, key):
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
    flipped = blob[:-1] + bytes([blob[-1] ^ 1])
    for data, context in (
        (blob, {}),
        (blob, {"a": "B"}),
        (blob, {"A": "b"}),
        (blob, {"a": "b", "c": "d"}),
        (blob[:-1], {"a": "b"}),
        (blob + b"\0", {"a": "b"}),
        (flipped, {"a": "b"}),
        (b"nonsense", {"a": "b"}),
    ):
        refusal = refused(kms.decrypt, CiphertextBlob=data, EncryptionContext=context)
        assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidCiphertextException", "")


@pytest.mark.fact("A34")
def test_a34_another_key_than_the_ciphertexts(kms, key):
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    message = "The key ID in the request does not identify a CMK that can perform this operation."
    refusal = refused(kms.decrypt, CiphertextBlob=blob, KeyId=other)
    assert (refusal.code, refusal.message) == ("IncorrectKeyException", message)
    refusal = refused(kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=other, DestinationKeyId=other)
    assert (refusal.code, refusal.message) == ("IncorrectKeyException", message)


@pytest.mark.parametrize(("size", "word"), [(0, "greater than or equal to 1"), (4097, "less than or equal to 4096")])
@pytest.mark.fact("A31")
def test_a31_how_much_is_encrypted(kms, key, size, word):
    assert kms.encrypt(KeyId=key["KeyId"], Plaintext=bytes(4096))["CiphertextBlob"]
    if size:  # boto3 itself refuses an empty one
        refusal = refused(kms.encrypt, KeyId=key["KeyId"], Plaintext=bytes(size))
        message = (
            f"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length {word}"
        )
        assert (refusal.code, refusal.message) == ("ValidationException", message)


@pytest.mark.fact("A29", "A39")
def test_data_keys(kms, key):
    made = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256", EncryptionContext={"a": "b"})
    assert len(made["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})["Plaintext"] == made["Plaintext"]
    assert len(kms.generate_data_key(KeyId=key["KeyId"], NumberOfBytes=100)["Plaintext"]) == 100
    assert len(kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_128")["Plaintext"]) == 16
    wrapped = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], KeySpec="AES_256")
    assert "Plaintext" not in wrapped
    assert len(kms.decrypt(CiphertextBlob=wrapped["CiphertextBlob"])["Plaintext"]) == 32
    for given in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        refusal = refused(kms.generate_data_key, KeyId=key["KeyId"], **given)
        assert (refusal.code, refusal.message) == ("ValidationException", "Please specify either number of bytes or key spec.")
    assert len(kms.generate_random(NumberOfBytes=17)["Plaintext"]) == 17


@pytest.mark.fact("A30")
def test_re_encrypt(kms, key):
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"c": "d"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key["Arn"], other["Arn"])
    kms.disable_key(KeyId=key["KeyId"])
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"c": "d"})["Plaintext"] == b"secret"


@pytest.mark.fact("A40")
def test_a40_a_dry_run(kms, key):
    refusal = refused(kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)
    assert refusal.code == "DryRunOperationException"
    assert refusal.message == "The request would have succeeded, but the DryRun option is set."
    kms.disable_key(KeyId=key["KeyId"])
    assert refused(kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x", DryRun=True).code == "DisabledException"


# ---------------------------------------------------------------------------------------------------------------- states


@pytest.mark.fact("A.6")
def test_a6_states(kms, key):
    name, arn = key["KeyId"], key["Arn"]
    blob = kms.encrypt(KeyId=name, Plaintext=b"x")["CiphertextBlob"]

    def outcomes():
        for call, given in (
            (kms.encrypt, {"KeyId": name, "Plaintext": b"x"}),
            (kms.decrypt, {"CiphertextBlob": blob}),
            (kms.generate_data_key, {"KeyId": name, "KeySpec": "AES_256"}),
            (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": name}),
        ):
            refusal = refused(call, **given)
            yield refusal.code, refusal.message

    kms.disable_key(KeyId=name)
    assert set(outcomes()) == {("DisabledException", f"{arn} is disabled.")}
    metadata = kms.describe_key(KeyId=name)["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Disabled", False)

    answer = kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=7)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (arn, "PendingDeletion", 7)  # A54
    pending = ("KMSInvalidStateException", f"{arn} is pending deletion.")
    assert set(outcomes()) == {pending}  # A43
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["DeletionDate"] == answer["DeletionDate"]  # A27
    for call in (kms.enable_key, kms.disable_key, kms.schedule_key_deletion):
        refusal = refused(call, KeyId=name)
        assert (refusal.code, refusal.message) == pending

    assert kms.cancel_key_deletion(KeyId=name)["KeyId"] == arn
    metadata = kms.describe_key(KeyId=name)["KeyMetadata"]
    assert (metadata["KeyState"], "DeletionDate" in metadata) == ("Disabled", False)  # A55
    refusal = refused(kms.cancel_key_deletion, KeyId=name)
    assert (refusal.code, refusal.message) == ("KMSInvalidStateException", f"{arn} is not pending deletion.")
    kms.enable_key(KeyId=name)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert refused(kms.schedule_key_deletion, KeyId=name, PendingWindowInDays=6).code == "ValidationException"  # A57


# -------------------------------------------------------------------------------------------------------- the front end


def test_regions_have_keys_of_their_own(server, key):
    there = server.client("kms", region="eu-west-3")
    assert refused(there.describe_key, KeyId=key["KeyId"]).message == (
        f"Key 'arn:aws:kms:eu-west-3:{OWNER}:key/{key['KeyId']}' does not exist"
    )
    assert there.create_key()["KeyMetadata"]["Arn"].startswith(f"arn:aws:kms:eu-west-3:{OWNER}:key/")
    there.close()


def test_kinds_of_keys_that_are_not_made(kms):
    refusal = refused(kms.create_key, KeySpec="RSA_2048")
    assert refusal.message == "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."  # A23
    refusal = refused(kms.create_key, KeySpec="RSA_2048", KeyUsage="KEY_AGREEMENT")
    assert refusal.message == "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048"  # A24
    assert refused(kms.create_key, KeySpec="SM2", KeyUsage="SIGN_VERIFY").code == "UnsupportedOperationException"


def test_a_modelled_operation_that_is_not_built(kms, key):
    refusal = refused(kms.encapsulate, KeyId=key["KeyId"], EncapsulationAlgorithm="ML_KEM_768")
    assert refusal.status == 501


KMS_HEADERS = {"Content-Type": "application/x-amz-json-1.1"}


@pytest.mark.parametrize(
    ("target", "body", "status", "code"),
    [
        ("TrentService.ListKeys", b"{", 400, "SerializationException"),
        ("TrentService.ListKeys", b"[]", 400, "SerializationException"),
        ("TrentService.ListKeys", b'{"Limit":"many"}', 400, "SerializationException"),
        ("TrentService.ListKeys", b'{"Limit":0}', 400, "ValidationException"),
        ("TrentService.DescribeKey", b"{}", 400, "ValidationException"),
        ("TrentService.NoSuchThing", b"{}", 400, "UnknownOperationException"),
    ],
)
@pytest.mark.fact("A5", "A11")
def test_a11_bad_requests(server, target, body, status, code):
    reply = server.ask("POST", "/", {**KMS_HEADERS, "X-Amz-Target": target}, body, service="kms")
    answer = json.loads(reply.body)
    assert (reply.status, answer["__type"].rpartition("#")[2]) == (status, code)
    assert len(reply.headers["x-amzn-requestid"]) == 36  # A10


def test_without_a_signature(server):
    reply = server.ask("POST", "/", {**KMS_HEADERS, "X-Amz-Target": "TrentService.ListKeys"}, b"{}", anonymous=True)
    assert (reply.status, json.loads(reply.body)["__type"]) == (400, "MissingAuthenticationTokenException")


@pytest.mark.fact("A4")
def test_a4_operations_without_an_answer(server, kms, key):
    body = json.dumps({"KeyId": key["KeyId"]}).encode()
    reply = server.ask("POST", "/", {**KMS_HEADERS, "X-Amz-Target": "TrentService.DisableKey"}, body, service="kms")
    assert (reply.status, reply.body) == (200, b"")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled"
