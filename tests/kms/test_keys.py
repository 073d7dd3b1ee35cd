from __future__ import annotations

import re

import pytest

from tests.kms.world import REGION, START, A, B

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.fact("A20", "A21", "A22")
async def test_a_new_key_has_exactly_these_members(world):
    metadata = (await world.ask("CreateKey", Tags=[{"TagKey": "a", "TagValue": "b"}]))["KeyMetadata"]
    key_id, material_id = metadata["KeyId"], metadata["CurrentKeyMaterialId"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", key_id)
    assert re.fullmatch(r"[0-9a-f]{64}", material_id)
    assert metadata == {
        "AWSAccountId": A,
        "Arn": f"arn:aws:kms:{REGION}:{A}:key/{key_id}",
        "CreationDate": START,
        "CurrentKeyMaterialId": material_id,
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": "",
        "Enabled": True,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": key_id,
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": False,
        "Origin": "AWS_KMS",
    }
    assert world.asked == [("kms:TagResource", "*")]
    assert (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"] == metadata
    assert world.asked[-1] == ("kms:DescribeKey", metadata["Arn"])


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (
            {"KeySpec": "HMAC_256"},
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ),
        (
            {"CustomerMasterKeySpec": "RSA_2048"},
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ),
        (
            {"KeySpec": "RSA_2048", "KeyUsage": "KEY_AGREEMENT"},
            "ValidationException",
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048",
        ),
        (
            {"KeyUsage": "SIGN_VERIFY"},
            "ValidationException",
            "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
        ),
        (
            {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"},
            "UnsupportedOperationException",
            "KeySpec SM2 is not supported by this server.",
        ),
        (
            {"KeySpec": "ML_KEM_768", "KeyUsage": "ENCAPSULATE_DECAPSULATE"},
            "UnsupportedOperationException",
            "KeySpec ML_KEM_768 is not supported by this server.",
        ),
        ({"Origin": "AWS_CLOUDHSM"}, "UnsupportedOperationException", "Origin AWS_CLOUDHSM is not supported by this server."),
        (
            {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "x"},
            "UnsupportedOperationException",
            "Origin EXTERNAL_KEY_STORE is not supported by this server.",
        ),
        ({"CustomKeyStoreId": "x"}, "UnsupportedOperationException", "A custom key store is not supported by this server."),
    ],
)
async def test_create_key_refuses(world, given, code, message):
    assert await world.refusal("CreateKey", **given) == (code, message)
    assert (await world.ask("ListKeys"))["Keys"] == []


async def test_both_spec_members_are_refused_and_either_is_taken(world):
    code, _ = await world.refusal("CreateKey", KeySpec="SYMMETRIC_DEFAULT", CustomerMasterKeySpec="SYMMETRIC_DEFAULT")
    assert code == "ValidationException"
    for member in ("KeySpec", "CustomerMasterKeySpec"):
        await world.key(**{member: "SYMMETRIC_DEFAULT"})


@pytest.mark.fact("A26")
async def test_tags_need_their_own_right(world):
    world.denied = {"kms:TagResource"}
    assert (await world.refusal("CreateKey", Tags=[{"TagKey": "a", "TagValue": ""}]))[0] == "AccessDenied"
    await world.key()


@pytest.mark.fact("A.15")
async def test_every_unknown_name_has_its_text(world):
    key_id, arn = await world.key()
    for name, message in (
        (UNKNOWN, f"Key 'arn:aws:kms:{REGION}:{A}:key/{UNKNOWN}' does not exist"),
        (f"arn:aws:kms:{REGION}:{A}:key/{UNKNOWN}", f"Key 'arn:aws:kms:{REGION}:{A}:key/{UNKNOWN}' does not exist"),
        ("mrk-" + "0" * 32, f"Key 'arn:aws:kms:{REGION}:{A}:key/mrk-{'0' * 32}' does not exist"),
        ("fake-key-id", "Invalid keyId 'fake-key-id'"),
        (key_id.replace("-", ""), f"Invalid keyId '{key_id.replace('-', '')}'"),
        ("mrk-1", "Invalid keyId 'mrk-1'"),
        ("aws/s3", "Invalid keyId 'aws/s3'"),
        (f"arn:aws:kms:{REGION}:{A}:key/nope", "Invalid keyId 'nope'"),
        (f"arn:aws:kms:{REGION}:{A}:nope/{key_id}", f"Invalid keyId 'arn:aws:kms:{REGION}:{A}:nope/{key_id}'"),
        (f"arn:aws:kms:{REGION}:root:key/{key_id}", f"Invalid keyId 'arn:aws:kms:{REGION}:root:key/{key_id}'"),
        (f"arn:aws:s3:{REGION}:{A}:key/{key_id}", f"Invalid keyId 'arn:aws:s3:{REGION}:{A}:key/{key_id}'"),
        ("arn:aws:kms", "Invalid keyId 'arn:aws:kms'"),
        (arn.replace(REGION, "us-west-2"), "Invalid arn us-west-2"),
        ("alias/none", f"Alias arn:aws:kms:{REGION}:{A}:alias/none is not found."),
        (f"arn:aws:kms:{REGION}:{A}:alias/none", f"Alias arn:aws:kms:{REGION}:{A}:alias/none is not found."),
    ):
        assert await world.refusal("Encrypt", KeyId=name, Plaintext=b"x") == ("NotFoundException", message), name
    assert world.asked == []  # an unknown key is not asked about


async def test_a_key_lives_in_its_region_and_account_only(world):
    key_id, _ = await world.key()
    elsewhere = f"Key 'arn:aws:kms:us-east-1:{A}:key/{key_id}' does not exist"
    assert await world.refusal("DescribeKey", region="us-east-1", KeyId=key_id) == ("NotFoundException", elsewhere)
    not_theirs = f"Key 'arn:aws:kms:{REGION}:{B}:key/{key_id}' does not exist"
    assert await world.refusal("DescribeKey", account=B, KeyId=key_id) == ("NotFoundException", not_theirs)
    for away in ({"region": "us-east-1"}, {"account": B}):
        assert (await world.ask("ListKeys", **away))["Keys"] == []


@pytest.mark.fact("A16")
async def test_keys_are_listed_in_pages(world):
    made = sorted([(await world.key())[0] for _ in range(5)])
    listed, marker, pages = [], {}, 0
    while True:
        page = await world.ask("ListKeys", Limit=2, **marker)
        listed += [entry["KeyId"] for entry in page["Keys"]]
        pages += 1
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    assert (listed, pages) == (made, 3)
    assert "NextMarker" not in page
    whole = await world.ask("ListKeys")
    assert whole["Keys"][0] == {"KeyId": made[0], "KeyArn": f"arn:aws:kms:{REGION}:{A}:key/{made[0]}"}
    assert (await world.ask("ListKeys", Limit=5))["Truncated"] is False
    assert (await world.ask("ListKeys", ResourceOwners=["OTHER_ACCOUNTS_VIA_RAM"])) == {"Keys": [], "Truncated": False}


async def test_a_marker_is_good_for_its_own_list_only(world):
    for _ in range(3):
        await world.key()
    await world.ask("CreateAlias", AliasName="alias/a", TargetKeyId=(await world.key())[0])
    marker = (await world.ask("ListKeys", Limit=1))["NextMarker"]
    refused = ("InvalidMarkerException", "The marker is not valid.")
    for bad in ("", "x", "é", marker[:-4], marker + "AAAA", ("A" if marker[0] != "A" else "B") + marker[1:]):
        assert await world.refusal("ListKeys", Marker=bad) == refused, bad
    assert await world.refusal("ListAliases", Marker=marker) == refused
    assert await world.refusal("ListKeys", Marker=marker, account=B) == refused
    assert await world.refusal("ListKeys", Marker=marker, region="us-east-1") == refused


async def test_description_and_rotation_status(world):
    key_id, arn = await world.key(Description="old")
    assert await world.ask("UpdateKeyDescription", KeyId=key_id, Description="new") == {}
    assert (await world.ask("DescribeKey", KeyId=arn))["KeyMetadata"]["Description"] == "new"
    assert await world.ask("GetKeyRotationStatus", KeyId=key_id) == {"KeyId": arn, "KeyRotationEnabled": False}


class TestTags:
    async def test_equal_keys_change_in_place_and_new_ones_come_behind(self, world):
        key_id, _ = await world.key(Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "2"}])
        await world.ask("TagResource", KeyId=key_id, Tags=[{"TagKey": "c", "TagValue": "3"}, {"TagKey": "a", "TagValue": "4"}])
        listed = await world.ask("ListResourceTags", KeyId=key_id)
        assert listed == {"Tags": [{"TagKey": k, "TagValue": v} for k, v in ("a4", "b2", "c3")], "Truncated": False}
        await world.ask("UntagResource", KeyId=key_id, TagKeys=["b", "never"])
        assert [tag["TagKey"] for tag in (await world.ask("ListResourceTags", KeyId=key_id))["Tags"]] == ["a", "c"]

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            (["a", "a"], "Duplicate tag keys"),
            (["AWS:x"], "Tags beginning with aws: are reserved"),
            ([str(n) for n in range(51)], "Too many tags"),
        ],
    )
    async def test_bad_tags(self, world, keys, message):
        tags = [{"TagKey": key, "TagValue": ""} for key in keys]
        key_id, _ = await world.key()
        assert await world.refusal("CreateKey", Tags=tags) == ("TagException", message)
        assert await world.refusal("TagResource", KeyId=key_id, Tags=tags) == ("TagException", message)

    async def test_fifty_in_all_in_pages(self, world):
        key_id, _ = await world.key(Tags=[{"TagKey": f"{n:02}", "TagValue": ""} for n in range(50)])
        refused = ("TagException", "Too many tags")
        assert await world.refusal("TagResource", KeyId=key_id, Tags=[{"TagKey": "more", "TagValue": ""}]) == refused
        first = await world.ask("ListResourceTags", KeyId=key_id, Limit=49)
        rest = await world.ask("ListResourceTags", KeyId=key_id, Limit=49, Marker=first["NextMarker"])
        assert (first["Truncated"], len(first["Tags"]), rest["Tags"]) == (True, 49, [{"TagKey": "49", "TagValue": ""}])
        assert (await world.refusal("ListResourceTags", KeyId=key_id, Limit=51))[0] == "ValidationException"
