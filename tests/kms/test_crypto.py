from __future__ import annotations

import re

import pytest

from strongroom.kms.blob import parse_blob
from strongroom.kms.names import KeyName
from tests.kms.world import CIPHERTEXT, HIDDEN, REGION, A, B

INVALID = ("InvalidCiphertextException", "")
INCORRECT = ("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
DRY = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


@pytest.fixture
async def blob(world):
    """A blob over b"secret" with a context, under a key of account A that has the alias alias/one."""
    key_id, _ = await world.key()
    await world.ask("CreateAlias", AliasName="alias/one", TargetKeyId=key_id)
    answer = await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret", EncryptionContext={"a": "1", "b": "2"})
    world.asked.clear()
    return answer["CiphertextBlob"]


async def test_round_trip(world):
    key_id, arn = await world.key()
    sealed = await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret", EncryptionContext={"a": "1", "b": "2"})
    assert sealed["KeyId"] == arn
    assert sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    opened = await world.ask("Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"b": "2", "a": "1"})
    material_id = (await world.ask("DescribeKey", KeyId=key_id))["KeyMetadata"]["CurrentKeyMaterialId"]
    assert opened == {
        "KeyId": arn,
        "Plaintext": b"secret",
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": material_id,
    }
    assert world.asked[:2] == [("kms:Encrypt", arn), ("kms:Decrypt", arn)]
    again = await world.ask("Encrypt", KeyId=key_id, Plaintext=b"secret", EncryptionContext={"a": "1", "b": "2"})
    assert again["CiphertextBlob"] != sealed["CiphertextBlob"]


async def test_no_context_is_an_empty_one(world):
    key_id, _ = await world.key()
    sealed = (await world.ask("Encrypt", KeyId=key_id, Plaintext=bytes(4096)))["CiphertextBlob"]
    assert len(sealed) <= 6144
    assert (await world.ask("Decrypt", CiphertextBlob=sealed, EncryptionContext={}))["Plaintext"] == bytes(4096)


@pytest.mark.parametrize(
    "context", [None, {}, {"a": "1"}, {"a": "1", "b": "2", "c": ""}, {"A": "1", "b": "2"}, {"a": "2", "b": "1"}]
)
@pytest.mark.fact("A33", "A41", "4.9.3")
async def test_another_context_is_one_and_the_same_failure(world, blob, context):
    assert await world.refusal("Decrypt", CiphertextBlob=blob, EncryptionContext=context) == INVALID


@pytest.mark.fact("A33")
async def test_every_changed_byte_is_refused(world, blob):
    named = blob.index(parse_blob(blob).key.key_id.encode())
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 0x01
        given = {"CiphertextBlob": bytes(changed), "EncryptionContext": {"a": "1", "b": "2"}}
        refused = await world.refusal("Decrypt", **given)
        # A name that is well-formed still names another key, which does not exist; whatever else is changed gives A33.
        assert refused in {INVALID, ("AccessDenied", CIPHERTEXT)}
        assert refused == INVALID or place < named + 36
        assert await world.refusal("Decrypt", KeyId="alias/one", **given) in {INVALID, INCORRECT}
    for changed in (blob[:-1], blob + b"\0", b"x", b"A" * 6144):
        assert await world.refusal("Decrypt", CiphertextBlob=changed, EncryptionContext={"a": "1", "b": "2"}) == INVALID


@pytest.mark.fact("A34")
async def test_a_named_key_must_be_the_one(world, blob):
    other, _ = await world.key()
    given = {"CiphertextBlob": blob, "EncryptionContext": {"a": "1", "b": "2"}}
    assert await world.refusal("Decrypt", KeyId=other, **given) == INCORRECT
    for name in ("alias/one", f"arn:aws:kms:{REGION}:{A}:alias/one", parse_blob(blob).key.key_id, parse_blob(blob).key.arn):
        assert (await world.ask("Decrypt", KeyId=name, **given))["Plaintext"] == b"secret"
    given = {"CiphertextBlob": blob, "SourceEncryptionContext": {"a": "1", "b": "2"}, "DestinationKeyId": other}
    assert await world.refusal("ReEncrypt", SourceKeyId=other, **given) == INCORRECT
    assert (await world.ask("ReEncrypt", SourceKeyId="alias/one", **given))["KeyId"].endswith(other)


def renamed(blob: bytes, **change: str) -> bytes:
    """The blob, saying that it is under another key."""
    key = parse_blob(blob).key
    for name, value in change.items():
        blob = blob.replace(getattr(key, name).encode(), value.encode())
    return blob


async def test_a_blob_moved_to_another_key_account_or_region_does_not_open(world, blob):
    context = {"EncryptionContext": {"a": "1", "b": "2"}}
    sibling, _ = await world.key()
    foreign, _ = await world.key(account=B)
    abroad, _ = await world.key(region="eu-central-2")
    assert await world.refusal("Decrypt", CiphertextBlob=renamed(blob, key_id=sibling), **context) == INVALID
    moved = renamed(blob, key_id=foreign, account_id=B)
    assert await world.refusal("Decrypt", CiphertextBlob=moved, account=B, **context) == INVALID
    assert await world.refusal("Decrypt", CiphertextBlob=moved, **context) == ("AccessDenied", CIPHERTEXT)
    moved = renamed(blob, key_id=abroad, region="eu-central-2")
    assert await world.refusal("Decrypt", CiphertextBlob=moved, region="eu-central-2", **context) == INVALID
    assert await world.refusal("Decrypt", CiphertextBlob=moved, **context) == ("AccessDenied", CIPHERTEXT)


async def test_records_cannot_be_swapped_behind_our_back(world, blob):
    """The wrapped material of one key, written into the record of another, does not unwrap."""
    victim = parse_blob(blob).key
    thief = KeyName(A, REGION, (await world.key())[0])

    def swap(transaction) -> None:
        mine, theirs = (transaction.document(name.scope, "kms-key") for name in (victim, thief))
        theirs["materials"], theirs["current"] = mine["materials"], mine["current"]
        transaction.set_document(thief.scope, "kms-key", theirs)

    await world.catalog.write(swap)
    refused = await world.refusal("Encrypt", KeyId=thief.key_id, Plaintext=b"x")
    assert refused == ("KMSInternalException", "The key material could not be opened.")


async def test_foreign_keys_look_alike_whether_or_not_they_exist(world, blob):
    there = parse_blob(blob).key.arn
    nowhere = there[:-36] + "00000000-0000-4000-8000-000000000000"
    alias = f"arn:aws:kms:{REGION}:{A}:alias/"
    for name in (there, nowhere, alias + "one", alias + "none", alias + "aws/s3"):
        for operation, given in (
            ("Encrypt", {"Plaintext": b"x"}),
            ("GenerateDataKey", {"KeySpec": "AES_128"}),
            ("DescribeKey", {}),
            ("Decrypt", {"CiphertextBlob": blob}),
        ):
            refused = await world.refusal(operation, KeyId=name, account=B, **given)
            assert refused == ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
    for name in (there, nowhere):
        for operation in (
            "DisableKey",
            "ScheduleKeyDeletion",
            "GetKeyPolicy",
            "ListResourceTags",
            "GetKeyRotationStatus",
            "ListAliases",
        ):
            refused = await world.refusal(operation, KeyId=name, account=B)
            assert refused == ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
    assert await world.refusal("Decrypt", CiphertextBlob=blob, account=B) == ("AccessDenied", CIPHERTEXT)
    unknown = renamed(blob, key_id="00000000-0000-4000-8000-000000000000")
    for account in (A, B):
        assert await world.refusal("Decrypt", CiphertextBlob=unknown, account=account) == ("AccessDenied", CIPHERTEXT)


async def test_a_shared_key_can_be_used_but_not_managed(world, blob):
    there = parse_blob(blob).key
    world.shared = {B}
    opened = await world.ask("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "1", "b": "2"}, account=B)
    assert opened["Plaintext"] == b"secret"
    await world.ask("Encrypt", KeyId=f"arn:aws:kms:{REGION}:{A}:alias/one", Plaintext=b"x", account=B)
    await world.ask("DescribeKey", KeyId=there.arn, account=B)
    await world.ask("GetKeyRotationStatus", KeyId=there.arn, account=B)
    for operation in ("DisableKey", "EnableKey", "ScheduleKeyDeletion", "GetKeyPolicy", "ListKeyPolicies", "ListResourceTags"):
        refused = await world.refusal(operation, KeyId=there.arn, account=B)
        assert refused == ("AccessDenied", HIDDEN.format(B, f"kms:{operation}"))
    nowhere = there.arn[:-36] + "00000000-0000-4000-8000-000000000000"
    assert await world.refusal("DescribeKey", KeyId=nowhere, account=B) == ("AccessDenied", HIDDEN.format(B, "kms:DescribeKey"))


async def test_denied_is_said_before_the_state(world, blob):
    arn = parse_blob(blob).key.arn
    await world.ask("DisableKey", KeyId=arn)
    world.denied = {"kms:Decrypt", "kms:Encrypt"}
    assert await world.refusal("Decrypt", CiphertextBlob=blob) == ("AccessDenied", f"kms:Decrypt on {arn}")
    assert await world.refusal("Encrypt", KeyId=arn, Plaintext=b"x") == ("AccessDenied", f"kms:Encrypt on {arn}")


@pytest.mark.fact("A30")
async def test_re_encrypt(world, blob):
    source = parse_blob(blob)
    target, target_arn = await world.key()
    given = {
        "CiphertextBlob": blob,
        "SourceEncryptionContext": {"a": "1", "b": "2"},
        "DestinationKeyId": target,
        "DestinationEncryptionContext": {"new": "one"},
    }
    answer = await world.ask("ReEncrypt", **given)
    assert world.asked == [("kms:ReEncryptFrom", source.key.arn), ("kms:ReEncryptTo", target_arn)]
    moved = answer.pop("CiphertextBlob")
    assert answer == {
        "SourceKeyId": source.key.arn,
        "KeyId": target_arn,
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": source.material_id,
        "DestinationKeyMaterialId": parse_blob(moved).material_id,
    }
    opened = await world.ask("Decrypt", CiphertextBlob=moved, EncryptionContext={"new": "one"})
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", target_arn)
    for action in ("kms:ReEncryptFrom", "kms:ReEncryptTo"):
        world.denied = {action}
        assert (await world.refusal("ReEncrypt", **given))[0] == "AccessDenied"
    world.denied = set()
    assert await world.refusal("ReEncrypt", **{**given, "SourceEncryptionContext": {}}) == INVALID


@pytest.mark.parametrize(
    ("given", "size"), [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)]
)
async def test_data_keys(world, given, size):
    key_id, arn = await world.key()
    answer = await world.ask("GenerateDataKey", KeyId=key_id, EncryptionContext={"a": "b"}, **given)
    assert sorted(answer) == ["CiphertextBlob", "KeyId", "KeyMaterialId", "Plaintext"]
    assert (answer["KeyId"], len(answer["Plaintext"])) == (arn, size)
    opened = await world.ask("Decrypt", CiphertextBlob=answer["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == answer["Plaintext"]
    bare = await world.ask("GenerateDataKeyWithoutPlaintext", KeyId=key_id, **given)
    assert sorted(bare) == ["CiphertextBlob", "KeyId", "KeyMaterialId"]
    assert len((await world.ask("Decrypt", CiphertextBlob=bare["CiphertextBlob"]))["Plaintext"]) == size
    assert {action for action, _ in world.asked} == {"kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:Decrypt"}


@pytest.mark.parametrize("operation", ["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"])
@pytest.mark.parametrize("given", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}])
async def test_a_data_key_has_one_size(world, operation, given):
    key_id, _ = await world.key()
    refused = await world.refusal(operation, KeyId=key_id, **given)
    assert refused == ("ValidationException", "Please specify either number of bytes or key spec.")


@pytest.mark.fact("A40")
async def test_dry_run_comes_last(world, blob):
    key_id = parse_blob(blob).key.key_id
    runs = {
        "Encrypt": {"KeyId": key_id, "Plaintext": b"x"},
        "Decrypt": {"CiphertextBlob": blob},
        "ReEncrypt": {"CiphertextBlob": blob, "DestinationKeyId": key_id},
        "GenerateDataKey": {"KeyId": key_id, "KeySpec": "AES_256"},
        "GenerateDataKeyWithoutPlaintext": {"KeyId": key_id, "KeySpec": "AES_256"},
    }
    for operation, given in runs.items():
        assert await world.refusal(operation, DryRun=True, **given) == DRY
    await world.ask("DisableKey", KeyId=key_id)
    for operation, given in runs.items():
        assert (await world.refusal(operation, DryRun=True, **given))[0] == "DisabledException"
    world.denied = {"kms:Encrypt"}
    assert (await world.refusal("Encrypt", DryRun=True, **runs["Encrypt"]))[0] == "AccessDenied"


async def test_algorithms_of_other_keys(world, blob):
    key_id = parse_blob(blob).key.key_id
    wrong = ("InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT.")
    rsa = "RSAES_OAEP_SHA_256"
    assert await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=rsa) == wrong
    assert await world.refusal("Decrypt", CiphertextBlob=blob, EncryptionAlgorithm=rsa) == wrong
    for member in ("SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm"):
        assert await world.refusal("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=key_id, **{member: rsa}) == wrong


@pytest.mark.fact("A35")
async def test_a_key_of_another_usage(world, blob):
    name = parse_blob(blob).key

    def make_it_sign(transaction) -> None:
        transaction.set_document(name.scope, "kms-key", transaction.document(name.scope, "kms-key") | {"usage": "SIGN_VERIFY"})

    await world.catalog.write(make_it_sign)
    refused = await world.refusal("Encrypt", KeyId=name.key_id, Plaintext=b"x")
    assert refused == ("InvalidKeyUsageException", f"{name.arn} key usage is SIGN_VERIFY which is not valid for Encrypt.")
    assert await world.refusal("Decrypt", KeyId=name.key_id, CiphertextBlob=blob) == INCORRECT


async def test_what_is_not_built_is_not_passed_over(world, blob):
    key_id = parse_blob(blob).key.key_id
    for member in ("Recipient", "DryRunModifiers"):
        refused = await world.refusal("Decrypt", CiphertextBlob=blob, **{member: {"x": "y"}})
        assert refused == ("UnsupportedOperationException", f"{member} is not supported by this server.")
    assert (await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x", GrantTokens=["t"]))[0] == "InvalidGrantTokenException"
    null = "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"
    assert await world.refusal("Decrypt", KeyId=key_id) == ("ValidationException", null)


async def test_a_context_that_is_not_unicode(world):
    key_id, _ = await world.key()
    refused = await world.refusal("Encrypt", KeyId=key_id, Plaintext=b"x", EncryptionContext={"a": "\ud800"})
    assert refused[0] == "ValidationException"


async def test_random_bytes(world):
    assert await world.refusal("GenerateRandom") == ("ValidationException", "NumberOfBytes is required.")
    assert len((await world.ask("GenerateRandom", NumberOfBytes=1024))["Plaintext"]) == 1024
    one, two = [(await world.ask("GenerateRandom", NumberOfBytes=32))["Plaintext"] for _ in range(2)]
    assert one != two


async def test_nothing_secret_shows(world, blob):
    ring = world.data_keys.ring
    name = parse_blob(blob).key
    record = await ring.key(name, 0)
    assert "wrapped" not in repr(record)
    assert "sealed" not in repr(parse_blob(blob))
    plain = await ring.material(record)
    assert not re.search(re.escape(repr(plain)[2:-1]), repr((record, world.data_keys, ring)))
