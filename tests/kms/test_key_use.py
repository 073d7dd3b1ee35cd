"""Every use of a key that the KMS API carries out or refuses is told, once for each key, with what is known of it."""

from __future__ import annotations

import asyncio

import pytest

from strongroom.kms.key_use import RECORDED
from tests.kms.world import REGION, A, B, World

CONTEXT = {"a": "b"}
#: Operations of KMS that use the material of a key.
USING = {
    "Encrypt",
    "Decrypt",
    "ReEncrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "Sign",
    "Verify",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
}


class Uses(list):
    used = list.append

    def full(self, _operation):
        return False


@pytest.fixture
def uses(world: World):
    world.data_keys.ring.observer = told = Uses()
    return told


def test_no_operation_that_uses_a_key_is_forgotten(world):
    built = {each.name: each.run for each in world.register if each.name in USING}
    assert built
    assert [name for name, run in built.items() if not getattr(run, RECORDED, False)] == []


async def test_what_is_told_of_a_use(world, uses):
    key_id, arn = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x", EncryptionContext=CONTEXT))["CiphertextBlob"]
    (use,) = uses
    assert use._asdict() == {
        "at_ms": int(world.clock().timestamp() * 1000),
        "operation": "Encrypt",
        "cause": "api",
        "kms_called": True,
        "key_arn": arn,
        "principal": f"arn:aws:iam::{A}:root",
        "account_id": A,
        "user_id": "",
        "access_key_id": "",
        "resource": "",
        "version": "",
        "context": CONTEXT,
        "code": "",
        "reason": "",
        "request_id": "0",
        "source_ip": "127.0.0.1",
    }
    await world.ask("Decrypt", CiphertextBlob=blob, EncryptionContext=CONTEXT)
    await world.ask("GenerateDataKey", KeyId=arn, KeySpec="AES_256")
    await world.ask("GenerateDataKeyWithoutPlaintext", KeyId=arn, KeySpec="AES_256", EncryptionContext=CONTEXT)
    told = [(use.operation, use.key_arn, dict(use.context), use.code) for use in uses[1:]]
    names = ("Decrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
    assert told == [(name, arn, {} if name == "GenerateDataKey" else CONTEXT, "") for name in names]
    await world.ask("DescribeKey", KeyId=arn)
    await world.ask("GenerateRandom", NumberOfBytes=8)
    assert len(uses) == 4  # neither uses a key


async def test_re_encrypt_uses_two_keys(world, uses):
    (_, source), (_, target) = await world.key(), await world.key()
    blob = (await world.ask("Encrypt", KeyId=source, Plaintext=b"x", EncryptionContext=CONTEXT))["CiphertextBlob"]
    given = {"CiphertextBlob": blob, "SourceEncryptionContext": CONTEXT, "DestinationEncryptionContext": {"c": "d"}}
    await world.ask("ReEncrypt", DestinationKeyId=target, **given)
    assert [(use.operation, use.key_arn, use.context) for use in uses[1:]] == [
        ("ReEncrypt", source, CONTEXT),
        ("ReEncrypt", target, {"c": "d"}),
    ]
    await world.refusal("ReEncrypt", DestinationKeyId="nobody", **given)
    assert [(use.key_arn, use.code) for use in uses[3:]] == [(source, "NotFoundException"), ("nobody", "NotFoundException")]


async def test_refusals_and_failures_are_told_with_their_reason(world, uses):
    key_id, arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    del uses[:]
    world.denied = {"kms:Encrypt"}
    for name in (key_id, arn, "alias/a", f"arn:aws:kms:{REGION}:{A}:alias/a"):
        await world.refusal("Encrypt", KeyId=name, Plaintext=b"x")
    await world.refusal("Decrypt", CiphertextBlob=blob, EncryptionContext=CONTEXT)
    await world.refusal("Decrypt", CiphertextBlob=b"nonsense")
    await world.refusal("Decrypt", CiphertextBlob=blob, account=B)
    await world.ask("DisableKey", KeyId=key_id)
    await world.refusal("GenerateDataKey", KeyId="alias/a", KeySpec="AES_128")
    await world.refusal("GenerateDataKey", KeyId="alias/none", KeySpec="AES_128")
    told = [(use.key_arn, use.code, use.principal.split(":")[4]) for use in uses]
    assert told == [
        *[(arn, "AccessDenied", A)] * 4,
        (arn, "InvalidCiphertextException", A),
        ("", "InvalidCiphertextException", A),
        (arn, "AccessDenied", B),
        (arn, "DisabledException", A),
        (f"arn:aws:kms:{REGION}:{A}:alias/none", "NotFoundException", A),
    ]
    assert uses[0].reason == f"kms:Encrypt on {arn}"
    assert uses[7].reason == f"{arn} is disabled."


async def test_what_is_given_up_or_breaks_is_told_too(world, uses, monkeypatch):
    key_id, arn = await world.key()

    async def slow(*_):
        await asyncio.sleep(10)

    async def broken(*_):
        raise MemoryError("with a secret in its text")

    for how in (slow, broken):
        monkeypatch.setattr(world.data_keys.ring, "seal", how)
        asking = asyncio.ensure_future(world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if how is slow:
            asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled() or isinstance(asking.exception(), MemoryError)
    assert [(use.key_arn, use.code, use.reason) for use in uses] == [
        (arn, "Cancelled", ""),
        (arn, "InternalError", "MemoryError"),
    ]


@pytest.mark.parametrize("ends", ["given up", "broken"])
async def test_a_refusal_is_told_also_when_what_was_meant_cannot_be_looked_up(world, uses, monkeypatch, ends):
    """Nobody tries keys unseen by hanging up in time, or by an alias that is damaged."""
    key_id, arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    del uses[:]
    looking, ring = asyncio.Event(), world.data_keys.ring
    alias, none = ring.alias, f"arn:aws:kms:{REGION}:{A}:alias/none"

    async def looked_up(name, now_ms):
        found = await alias(name, now_ms)
        if found is None and not looking.is_set():  # the answer is certain: this is the first look
            looking.set()
        elif ends == "broken":
            raise KeyError("key_id")
        else:
            await asyncio.sleep(10)
        return found

    monkeypatch.setattr(ring, "alias", looked_up)
    asking = asyncio.ensure_future(world.ask("ReEncrypt", CiphertextBlob=blob, DestinationKeyId="alias/none"))
    await looking.wait()
    if ends == "given up":
        for _ in range(20):
            await asyncio.sleep(0.001)
        asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled() or isinstance(asking.exception(), KeyError)
    assert [(use.key_arn, use.code) for use in uses] == [(arn, "NotFoundException"), (none, "NotFoundException")]


async def test_asymmetric_and_hmac_keys_too(world, uses):
    _, signing = await world.key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    _, mac = await world.key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    signed = await world.ask("Sign", KeyId=signing, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
    await world.ask("Verify", KeyId=signing, Message=b"x", Signature=signed["Signature"], SigningAlgorithm="ECDSA_SHA_256")
    code = (await world.ask("GenerateMac", KeyId=mac, Message=b"x", MacAlgorithm="HMAC_SHA_256"))["Mac"]
    await world.refusal("VerifyMac", KeyId=mac, Message=b"y", Mac=code, MacAlgorithm="HMAC_SHA_256")
    assert [(use.operation, use.key_arn, use.code) for use in uses] == [
        ("Sign", signing, ""),
        ("Verify", signing, ""),
        ("GenerateMac", mac, ""),
        ("VerifyMac", mac, "KMSInvalidMacException"),
    ]
