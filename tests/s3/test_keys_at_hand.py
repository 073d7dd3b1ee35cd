"""SSE-KMS without a bucket key, where the judge's answer holds for every encryption context: the question is not asked again, and all else is
as if it were. What bucket keys have at hand is in ``test_bucket_keys``; whether an answer holds so is the judge's, in
``tests/edge/test_judge``.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import Holds
from strongroom.kms import at_hand
from strongroom.seal.format import Envelope
from tests.kms.test_importing import wrapped
from tests.s3.test_multipart import TAIL, Upload
from tests.s3.vault import A, B
from tests.s3.world import SomeCaller

GENERATE, DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"
ANN, BEN = SomeCaller(A, access_key_id="1"), SomeCaller(A, access_key_id="1")  # alike, and not the same


@pytest.fixture(params=["aws:kms", "aws:kms:dsse"])
async def sealed(vault, request):
    """A bucket with a key of its own and no bucket key; the vault, and the key's id and ARN."""
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.rule(request.param, key_id)
    vault.uses.clear()
    vault.holds = Holds.ANY_CONTEXT
    return vault, key_id, arn


async def ask_as(vault, caller, name, object_key="k", bucket="bucket", **given):
    """The questions about keys that an operation asked."""
    call = vault.call(name, Bucket=bucket, Key=object_key, **given)
    call.caller = caller
    vault.asked.clear()
    await call.operation.run(call)
    return [action for action, _ in vault.asked if action.startswith("kms:")]


async def put(vault, caller=ANN, object_key="k", **given):
    return await ask_as(vault, caller, "PutObject", object_key, data=b"x", **given)


async def get(vault, caller=ANN, object_key="k", **given):
    return await ask_as(vault, caller, "GetObject", object_key, **given)


def packed(pairs):
    return base64.b64encode(json.dumps(pairs).encode()).decode()


async def test_what_holds_is_asked_once_by_each_caller_until_anything_changes(sealed):
    vault, _, arn = sealed
    assert [await put(vault, object_key=f"{number}") for number in range(3)] == [[GENERATE], [], []]
    assert [await get(vault, object_key=f"{number}") for number in range(3)] == [[DECRYPT], [], []]
    assert await put(vault, BEN) == [GENERATE]
    assert [await get(vault, BEN), await get(vault, BEN)] == [[DECRYPT], []]
    await vault.make("other")  # anything
    assert [await put(vault), await get(vault)] == [[GENERATE], [DECRYPT]]
    assert [await put(vault), await get(vault)] == [[], []]
    vault.denied = {(DECRYPT, arn)}
    assert await get(vault) == []  # the fake changed its mind, and not the catalog
    await vault.make("third")
    with pytest.raises(ApiError):
        await get(vault)


@pytest.mark.parametrize("holds", [Holds.THIS_REQUEST, Holds.SAME_CONTEXT])
async def test_what_hung_on_the_request_or_the_context_is_asked_each_time(sealed, holds):
    vault, _, _ = sealed
    vault.holds = holds
    for _ in range(2):
        assert [await put(vault), await get(vault)] == [[GENERATE], [DECRYPT]]
    vault.holds = Holds.ANY_CONTEXT
    for _ in range(2):  # with a context of the client's, too
        assert await put(vault, SSEKMSEncryptionContext=packed({"a": "b"})) == [GENERATE]
        assert await get(vault) == [DECRYPT]
    assert len(vault.keys.at_hand) == 0


async def test_every_use_is_an_operation_of_kms_and_is_told_as_one(sealed):
    vault, _, arn = sealed
    for number in range(2):
        await put(vault, object_key=f"{number}")
        await get(vault, object_key=f"{number}")
    versions = [(await vault.row(f"{number}")).version_id for number in range(2)]
    objects = [f"arn:aws:s3:::bucket/{number}" for number in range(2)]
    assert [(use.operation, use.resource, use.version) for use in vault.uses] == [
        told
        for resource, version in zip(objects, versions, strict=True)
        for told in (("GenerateDataKey", resource, ""), ("Decrypt", resource, version))
    ]
    assert all(use.context == {"aws:s3:arn": use.resource} for use in vault.uses)
    first, last = vault.uses[1], vault.uses[3]  # the long way and the short one tell the same
    assert first._replace(resource="", version="", context={}) == last._replace(resource="", version="", context={})
    assert (last.cause, last.kms_called, last.key_arn, last.code) == ("s3", True, arn, "")
    blobs = [Envelope.decode((await vault.row(f"{number}")).seal).kms_wrapped for number in range(2)]
    assert blobs[0] != blobs[1]
    for number in range(2):  # a server that has nothing at hand reads what was written so
        assert (await vault.get(f"{number}"))[0] == b"x"
    vault.uses.crowded = True
    for way in (put, get):
        with pytest.raises(ApiError) as caught:
            await way(vault, object_key="0")
        assert (caught.value.status, caught.value.code) == (503, "SlowDown")


async def test_a_key_that_was_switched_off_is_refused_at_once(sealed):
    vault, key_id, _ = sealed
    for way in (put, get, put, get):
        await way(vault)
    await vault.kms("DisableKey", KeyId=key_id)
    for way in (put, get):
        with pytest.raises(ApiError) as caught:
            await way(vault)
        assert caught.value.code == "KMS.DisabledException"
    assert {use.code for use in vault.uses[-2:]} == {"DisabledException"}


async def test_a_name_that_came_to_mean_another_key_means_that_one(sealed):
    vault, key_id, _ = sealed
    _, other = await vault.kms_key()
    await vault.kms("CreateAlias", AliasName="alias/mine", TargetKeyId=key_id)
    named = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/mine"}
    assert [await put(vault, **named), await put(vault, **named)] == [[GENERATE], []]
    await vault.kms("UpdateAlias", AliasName="alias/mine", TargetKeyId=other)
    assert await put(vault, **named) == [GENERATE]
    assert Envelope.decode((await vault.row("k")).seal).key_arn == other


async def test_a_name_of_another_account_is_another_key(sealed):
    """Each caller's ``aws/s3`` is that of its own account, however they come one after the other."""
    vault, _, _ = sealed
    stranger = SomeCaller(B)
    for caller in (ANN, stranger, ANN, stranger):
        await put(vault, caller, ServerSideEncryption="aws:kms")
        assert f":{caller.account_id}:" in Envelope.decode((await vault.row("k")).seal).key_arn


async def test_material_that_was_imported_serves_until_its_end_and_a_clock_gives_it_no_more(vault):
    await vault.make()
    key_id, arn = await vault.kms_key(Origin="EXTERNAL")
    way = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    transport = await vault.kms("GetParametersForImport", KeyId=key_id, **way)
    await vault.kms(
        "ImportKeyMaterial",
        KeyId=key_id,
        ImportToken=transport["ImportToken"],
        EncryptedKeyMaterial=wrapped(transport["PublicKey"], "RSAES_OAEP_SHA_256", bytes(range(32))),
        ExpirationModel="KEY_MATERIAL_EXPIRES",
        ValidTo=vault.now + timedelta(hours=1),
    )
    await vault.rule("aws:kms", key_id)
    vault.holds, start = Holds.ANY_CONTEXT, vault.now
    assert [await put(vault), await get(vault), await put(vault), await get(vault)] == [[GENERATE], [DECRYPT], [], []]
    vault.now = start - timedelta(seconds=1)
    assert await get(vault) == [DECRYPT]  # before it was judged
    vault.now = start + timedelta(minutes=59)
    assert await get(vault) == []
    vault.now = start + timedelta(hours=1)
    for way in (put, get):
        with pytest.raises(ApiError) as caught:
            await way(vault)
        assert (caught.value.code, caught.value.message) == ("KMS.KMSInvalidStateException", f"{arn} is pending import.")


async def test_uploads_in_parts_have_it_at_hand_too(sealed):
    vault, _, _ = sealed
    await put(vault)
    await get(vault)
    upload = Upload(vault)
    made = await ask_as(vault, ANN, "CreateMultipartUpload")
    assert made == []
    await upload.create()
    await upload.part(1, TAIL)
    await upload.complete(1)
    assert (await vault.get("k"))[0] == TAIL


async def test_what_is_at_hand_is_forgotten_when_it_will_not_serve_again(sealed, monkeypatch):
    vault, _, _ = sealed
    monkeypatch.setattr(at_hand, "_REMEMBERED", 2)
    callers = [SomeCaller(A) for _ in range(4)]
    for caller in callers:
        await put(vault, caller)
    assert len(vault.keys.at_hand) == 2
    assert [await put(vault, caller) for caller in (callers[3], callers[0])] == [[], [GENERATE]]
    await vault.keys.forget_shared()
    assert len(vault.keys.at_hand) == 2
    await vault.make("other")
    await vault.keys.forget_shared()
    assert len(vault.keys.at_hand) == 0
