"""S3 Bucket Keys: what they save, whom they serve, how long, and that nothing they save is a right. Numbers: section 7 of the facts
about encryption (E), and of the facts about KMS.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import Holds
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use_audit import Audit
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.kms.names import KeyName
from strongroom.numbers import Numbers
from strongroom.observing import KeyUses
from strongroom.seal import SealError
from strongroom.seal.format import Envelope
from tests.kms.test_importing import wrapped as wrapped_material
from tests.s3.test_multipart import TAIL, Upload
from tests.s3.vault import A, B, Vault
from tests.s3.world import SomeCaller

BUCKET_ARN = "arn:aws:s3:::bucket"
MANY = 10_000


def b64(pairs):
    return base64.b64encode(json.dumps(pairs).encode()).decode()


@pytest.fixture
async def sealed(vault):
    """A bucket whose rule is a key of its own with bucket keys; the vault and the key's id and ARN."""
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.rule("aws:kms", arn, BucketKeyEnabled=True)
    vault.uses.clear()
    return vault, key_id, arn


def kms_calls(vault):
    return [(use.operation, use.cause) for use in vault.uses if use.kms_called]


async def envelope(vault, object_key, bucket="bucket"):
    return Envelope.decode((await vault.row(object_key, bucket)).seal)


async def put_as(vault, caller, object_key="k", **given):
    call = vault.call("PutObject", data=b"x", Bucket="bucket", Key=object_key, **given)
    call.caller = caller
    return (await call.operation.run(call)).output


async def get_as(vault, caller, object_key="k"):
    call = vault.call("GetObject", Bucket="bucket", Key=object_key)
    call.caller = caller
    return (await call.operation.run(call)).output


# ------------------------------------------------------------------------------------------------------------ what is saved


@pytest.mark.timeout(180)
@pytest.mark.fact("7.1", "7.2", "7.16", "11.F55")
async def test_7_2_7_16_kms_operations_do_not_grow_with_the_number_of_objects(sealed):
    """Ten thousand uploads and a thousand downloads, counted by the page of metrics and by the key-use record of a server."""
    vault, _, arn = sealed
    numbers = Numbers()
    record = KeyUseRecord(vault.folder, bytes(32), vault.keys.ring.now_ms)
    vault.keys.tell(KeyUses(numbers, record))
    try:
        for start in range(0, MANY, 50):
            await asyncio.gather(*(vault.put(f"{start + number}", b"small") for number in range(50)))
        for number in range(0, MANY, 10):
            read, answer = await vault.get(f"{number}")
            assert (read, answer.output["BucketKeyEnabled"]) == (b"small", True)
    finally:
        await asyncio.to_thread(record.close)
    page = numbers.page().decode()
    assert re.findall(r"^strongroom_kms_operations_total.*", page, re.MULTILINE) == [
        'strongroom_kms_operations_total{cause="bucket-key",operation="GenerateDataKey"} 1.0'
    ]
    assert f'strongroom_kms_bucket_key_hits_total{{operation="GenerateDataKey"}} {MANY - 1}.0' in page
    assert f'strongroom_kms_bucket_key_hits_total{{operation="Decrypt"}} {MANY // 10}.0' in page
    audit = Audit(vault.folder, bytes(32), {})
    entries = [line.entry for line in audit.lines()]
    assert not audit.report.faults
    assert len(entries) == MANY + MANY // 10  # each use has its line, whether KMS was called or not
    assert {(entry["key"], entry["outcome"]) for entry in entries} == {(arn, "Success")}
    assert [entry["operation"] for entry in entries if entry["kms"]] == ["GenerateDataKey"]
    assert len({entry["resource"] for entry in entries}) == MANY


@pytest.mark.fact("4.1.3", "7.2", "7.16", "11.F55")
async def test_7_16_without_a_bucket_key_each_object_costs_one(vault):
    await vault.make()
    key_id, _ = await vault.kms_key()
    await vault.rule("aws:kms", key_id)
    vault.uses.clear()
    for number in range(5):
        written = await vault.put(f"{number}", b"small")
        assert "BucketKeyEnabled" not in written  # 4.1.3
        await vault.get(f"{number}")
    assert kms_calls(vault) == [("GenerateDataKey", "s3"), ("Decrypt", "s3")] * 5


async def test_a_server_that_is_started_again_reads_all_by_one_decrypt(sealed):
    vault, _, _ = sealed
    for number in range(20):
        await vault.put(f"{number}", b"small")
    again = Vault(vault.folder, vault.catalog, vault.blobs)
    await again.keys.open()
    assert [(await again.get(f"{number}"))[0] for number in range(20)] == [b"small"] * 20
    assert kms_calls(again) == [("Decrypt", "bucket-key")]
    assert len(again.uses) == 20


async def test_many_at_once_make_one_key_also_when_kms_is_slow(sealed, monkeypatch):
    vault, _, _ = sealed
    seal = vault.keys.ring.seal

    async def slow(*given):
        await asyncio.sleep(0.01)
        return await seal(*given)

    monkeypatch.setattr(vault.keys.ring, "seal", slow)
    await asyncio.gather(*(vault.put(f"{number}") for number in range(20)))
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")]
    assert not vault.keys._shared._waiting


async def test_a_failure_is_not_kept(sealed, monkeypatch):
    vault, _, _ = sealed
    with monkeypatch.context() as patched:

        async def broken(*_):
            raise OSError

        patched.setattr(vault.keys.ring, "seal", broken)
        with pytest.raises(OSError):
            await vault.put("k")
    await vault.put("k")
    assert [(use.code, use.reason, use.kms_called) for use in vault.uses] == [("InternalError", "OSError", True), ("", "", True)]
    assert not vault.keys._shared._waiting


# ----------------------------------------------------------------------------------------------------- what is said and bound


@pytest.mark.fact("4.9.1", "7.7", "7.8", "11.F56")
async def test_7_7_every_answer_says_so_and_7_8_the_context_is_the_bucket(sealed):
    vault, _, arn = sealed
    said = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn, "BucketKeyEnabled": True}
    upload = Upload(vault)
    answers = [await upload.create(), await upload.part(1, TAIL), await upload.complete()]
    await vault.put("source", b"x")
    answers += [await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/source"), await vault.head("k")]
    answers += [dict((await vault.get(name))[1].output) for name in ("k", "copy", "source")]
    for answer in answers:
        assert {name: answer.get(name) for name in said} == said
    assert {tuple(use.context.items()) for use in vault.uses} == {(("aws:s3:arn", BUCKET_ARN),)}
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")]


@pytest.mark.fact("7.4")
async def test_7_4_a_bucket_key_belongs_to_a_bucket_and_a_kms_key(sealed):
    vault, _, _ = sealed
    other_id, _ = await vault.kms_key()
    await vault.make("other")
    await vault.put("k")
    await vault.put("l", ServerSideEncryption="aws:kms", SSEKMSKeyId=other_id)
    await vault.put("m", bucket="other", ServerSideEncryption="aws:kms", SSEKMSKeyId=other_id, BucketKeyEnabled=True)
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")] * 3
    found = [await envelope(vault, "k"), await envelope(vault, "l"), await envelope(vault, "m", "other")]
    assert len({each.kms_wrapped for each in found}) == 3
    await vault.put("n", ServerSideEncryption="aws:kms", BucketKeyEnabled=True)  # 7.11: aws/s3 as well
    await vault.put("o", ServerSideEncryption="aws:kms", BucketKeyEnabled=True)
    assert len(kms_calls(vault)) == 4


@pytest.mark.fact("7.5", "7.6")
async def test_7_6_the_header_overrides_the_bucket_both_ways_and_7_5_old_objects_stay(sealed):
    vault, key_id, _ = sealed
    await vault.put("on")
    assert "BucketKeyEnabled" not in await vault.put("off", ServerSideEncryption="aws:kms", BucketKeyEnabled=False)
    await vault.rule("aws:kms", key_id)
    assert "BucketKeyEnabled" not in await vault.put("plain")
    assert (await vault.put("asked", ServerSideEncryption="aws:kms", BucketKeyEnabled=True))["BucketKeyEnabled"] is True
    assert [(await envelope(vault, name)).bucket_key for name in ("on", "off", "plain", "asked")] == [True, False, False, True]


@pytest.mark.fact("7.10")
async def test_7_10_never_beside_aes256(sealed):
    vault, _, _ = sealed
    written = await vault.put("k", ServerSideEncryption="AES256", BucketKeyEnabled=True)
    assert "BucketKeyEnabled" not in written
    assert not vault.uses


@pytest.mark.fact("4.9.2", "11.F56")
async def test_4_9_2_the_clients_context_joins_the_buckets_arn(sealed):
    vault, _, _ = sealed
    for pairs in ({"a": "b"}, {"a": "b", "aws:s3:arn": BUCKET_ARN}):
        await vault.put("k", b"x", SSEKMSEncryptionContext=b64(pairs))
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")]
    assert {tuple(sorted(use.context.items())) for use in vault.uses} == {(("a", "b"), ("aws:s3:arn", BUCKET_ARN))}
    await vault.put("l", b"x", SSEKMSEncryptionContext=b64({"a": "c"}))
    assert len(kms_calls(vault)) == 2  # another context is another key
    assert [(await vault.get(name))[0] for name in ("k", "l")] == [b"x", b"x"]
    error = await vault.refused(
        "PutObject", Bucket="bucket", Key="k", SSEKMSEncryptionContext=b64({"aws:s3:arn": f"{BUCKET_ARN}/k"})
    )
    assert error.code == "InvalidArgument"  # not what S3 would use here


async def test_whoever_has_the_disk_cannot_move_what_a_bucket_key_wraps(sealed):
    vault, _, _ = sealed
    await vault.put("k", b"mine")
    await vault.put("l", b"yours")
    row, other = await vault.row("k"), await vault.row("l")
    good = Envelope.decode(row.seal)
    assert good.kms_wrapped == Envelope.decode(other.seal).kms_wrapped  # one bucket key
    assert good.wrapped != Envelope.decode(other.seal).wrapped
    unflagged = row.seal[:5] + b"\0" + row.seal[6:]
    for seal in (other.seal, unflagged):
        vault.sql("UPDATE version SET seal = ? WHERE object_key = x'6b'", seal)
        with pytest.raises(SealError):
            await vault.get("k")
    vault.sql("UPDATE version SET seal = ? WHERE object_key = x'6b'", row.seal)
    assert (await vault.get("k"))[0] == b"mine"


@pytest.mark.fact("7.11")
async def test_11_only_a_symmetric_key(sealed):
    vault, _, _ = sealed
    vault.sql("UPDATE document SET content = replace(content, 'ENCRYPT_DECRYPT', 'SIGN_VERIFY') WHERE kind = 'kms-key'")
    again = Vault(vault.folder, vault.catalog, vault.blobs)
    await again.keys.open()
    error = await again.refused("PutObject", Bucket="bucket", Key="k")
    assert error.code == "KMS.InvalidKeyUsageException"
    assert again.uses[-1].code == "InvalidKeyUsageException"
    assert not again.uses[-1].kms_called


# -------------------------------------------------------------------------------------------------- whom it serves, how long


@pytest.mark.fact("7.3", "11.F55")
async def test_7_3_each_requester_has_a_key_of_its_own(sealed):
    vault, _, _ = sealed
    session, other_session, other = (SomeCaller(a, access_key_id=k) for a, k in ((A, "1"), (A, "2"), (B, "1")))
    for caller in (session, other_session, other, session, other_session, other):
        await put_as(vault, caller)
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")] * 3
    for caller in (session, other):  # the last to write was ``other``: the first has to open it
        await get_as(vault, caller)
    assert kms_calls(vault)[3:] == [("Decrypt", "bucket-key")]


@pytest.mark.parametrize("seconds", [-1, 300])
async def test_a_key_lives_five_minutes_and_no_clock_makes_it_older(sealed, seconds):
    vault, _, _ = sealed
    await vault.put("k")
    start = vault.now
    vault.now = start + timedelta(seconds=299.9)
    await vault.put("k")
    await vault.get("k")
    assert len(kms_calls(vault)) == 1
    vault.now = start + timedelta(seconds=seconds)
    await vault.get("k")
    assert kms_calls(vault)[1:] == [("Decrypt", "bucket-key")]
    await vault.put("k")
    assert kms_calls(vault)[2:] == [("GenerateDataKey", "bucket-key")]


async def test_the_setting_and_the_number_of_uses(sealed, monkeypatch):
    vault, _, _ = sealed
    vault.keys = DataKeys(vault.catalog, bytes(range(32)), lambda: vault.now, shared_seconds=10)
    vault.keys.tell(vault.uses)
    await vault.keys.open()
    vault.use(vault.rooms.settings)
    await vault.put("k")
    vault.now += timedelta(seconds=10)
    await vault.put("k")
    assert len(kms_calls(vault)) == 2
    monkeypatch.setattr("strongroom.kms.shared_keys.MOST_USES", 3)
    for _ in range(2):
        await vault.put("k")
    assert len(kms_calls(vault)) == 2
    await vault.put("k")
    assert len(kms_calls(vault)) == 3


async def test_memory_holds_a_bounded_number_and_forgets_when_their_time_is_over(sealed, monkeypatch):
    vault, _, _ = sealed
    monkeypatch.setattr("strongroom.kms.shared_keys._REMEMBERED", 3)
    for number in range(5):
        await put_as(vault, SomeCaller(A, access_key_id=f"{number}"))
    assert len(vault.keys._shared) == 6
    await vault.keys.forget_shared()
    assert len(vault.keys._shared) == 6
    vault.now += timedelta(seconds=300)
    await vault.keys.forget_shared()
    assert len(vault.keys._shared) == 0


# ------------------------------------------------------------------------------------------------------------ what it is not

CHANGES = [
    ("DisableKey", {}, "KMS.DisabledException"),
    ("ScheduleKeyDeletion", {"PendingWindowInDays": 7}, "KMS.KMSInvalidStateException"),
]


@pytest.mark.parametrize(("change", "more", "code"), CHANGES)
async def test_g22_a_key_that_is_switched_off_serves_no_request_more_on_any_worker(sealed, tmp_path, change, more, code):
    vault, key_id, arn = sealed
    other = Vault(vault.folder, vault.catalog, vault.blobs)
    await other.keys.open()
    upload = Upload(vault)
    await upload.create()
    for worker in (vault, other):
        await worker.put("k", b"secret")
        await worker.get("k")
        worker.uses.clear()
    await vault.kms(change, KeyId=key_id, **more)
    for worker in (vault, other):
        for operation in ("PutObject", "GetObject", "CreateMultipartUpload"):
            error = await worker.refused(operation, Bucket="bucket", Key="k")
            assert (error.status, error.code) == (400, code)
        error = await worker.refused("CopyObject", Bucket="bucket", Key="l", CopySource="bucket/k", ServerSideEncryption="AES256")
        assert error.code == code
        error = await worker.refused("UploadPart", **upload.at, PartNumber=1, data=b"x")
        assert error.code == code
        refused = [use for use in worker.uses if use.cause == "bucket-key"]
        assert [(use.code, use.kms_called, use.key_arn) for use in refused] == [(code.removeprefix("KMS."), False, arn)] * 5
        assert (await worker.head("k"))["BucketKeyEnabled"] is True  # D26: no KMS
        await worker.keys.forget_shared()
        assert len(worker.keys._shared) == 0  # and not even in memory


async def test_a_key_whose_policy_changes_is_asked_anew(sealed):
    vault, key_id, arn = sealed
    await vault.put("k", b"x")
    _, _, _, region, account_id, _ = arn.split(":")
    await vault.keys.ring.change(KeyName(account_id, region, key_id), 0, lambda _, record: replace(record, policy="{}"))
    await vault.put("k", b"x")
    assert kms_calls(vault) == [("GenerateDataKey", "bucket-key")] * 2
    await vault.make("other")  # what is not about the key
    await vault.put("k", b"x")
    await vault.get("k")
    assert len(kms_calls(vault)) == 2


async def test_the_right_is_asked_for_each_use(sealed):
    vault, _, arn = sealed
    await vault.put("k", b"x")
    await vault.get("k")
    for action, operation in (
        ("kms:GenerateDataKey", "PutObject"),
        ("kms:Decrypt", "PutObject"),  # 7.9
        ("kms:Decrypt", "GetObject"),
    ):
        vault.denied = {(action, arn)}
        error = await vault.refused(operation, Bucket="bucket", Key="k")
        assert (error.code, error.status) == ("AccessDenied", 403)
        use = vault.uses[-1]
        assert (use.code, use.kms_called, use.key_arn, use.resource) == ("AccessDenied", False, arn, f"{BUCKET_ARN}/k")
    vault.denied = set()
    assert len(kms_calls(vault)) == 1


async def test_an_answer_that_lasts_is_not_asked_for_again_until_anything_changes(sealed):
    vault, _, arn = sealed
    vault.holds = Holds.SAME_CONTEXT
    ann, ben = SomeCaller(A, access_key_id="1"), SomeCaller(A, access_key_id="1")

    async def asked(way, caller):
        vault.asked.clear()
        await way(vault, caller)
        return [action for action, resource in vault.asked if resource == arn]

    both = ["kms:GenerateDataKey", "kms:Decrypt"]
    assert await asked(put_as, ann) == both
    assert [await asked(put_as, ann) for _ in range(2)] == [[], []]
    assert await asked(get_as, ann) == ["kms:Decrypt"]
    assert [await asked(way, ann) for way in (get_as, put_as, get_as)] == [[], [], []]
    assert await asked(get_as, ben) == ["kms:Decrypt"]  # alike, but not the same: nobody is taken for another
    await vault.make("other")  # anything
    assert await asked(put_as, ann) == both
    assert await asked(get_as, ann) == ["kms:Decrypt"]
    vault.denied = {("kms:Decrypt", arn)}
    assert await asked(get_as, ann) == []  # the fake changed its mind, and not the catalog
    await vault.make("third")
    with pytest.raises(ApiError):
        await asked(get_as, ann)
    vault.denied, vault.holds = set(), Holds.THIS_REQUEST
    assert await asked(get_as, ann) == await asked(get_as, ann) == ["kms:Decrypt"]


async def test_open_keys_under_a_damaged_key_are_forgotten(sealed):
    vault, _, _ = sealed
    await vault.put("1", b"x")
    assert len(vault.keys._shared) > 0
    vault.sql("UPDATE document SET content = '{\"format\": 9}' WHERE kind = 'kms-key'")
    await vault.make("other")  # whatever raises the generation
    await vault.keys.forget_shared()
    assert len(vault.keys._shared) == 0


async def test_with_a_context_of_the_clients_nothing_is_had_at_hand(sealed):
    """Each such request asks, so whatever was kept for it would only take the place of what others need."""
    vault, _, _ = sealed
    vault.holds, caller = Holds.SAME_CONTEXT, SomeCaller(A)
    context = base64.b64encode(json.dumps({"a": "b"}).encode()).decode()
    call = vault.call("PutObject", Bucket="bucket", Key="own", data=b"x", SSEKMSEncryptionContext=context)
    call.caller = caller
    await call.operation.run(call)
    await get_as(vault, caller, "own")
    assert len(vault.keys.at_hand) == 0


async def test_an_answer_lasts_no_longer_than_the_key_lives(sealed):
    vault, _, arn = sealed
    vault.holds, caller = Holds.SAME_CONTEXT, SomeCaller(A)
    await put_as(vault, caller)
    await get_as(vault, caller)
    vault.asked.clear()
    vault.now += timedelta(seconds=300)
    await get_as(vault, caller)
    assert ("kms:Decrypt", arn) in vault.asked


async def test_what_is_at_hand_is_for_one_bucket_and_each_use_is_told(sealed):
    vault, key_id, arn = sealed
    await vault.make("other")
    await vault.rule("aws:kms", key_id, bucket="other", BucketKeyEnabled=True)
    vault.holds, ann = Holds.SAME_CONTEXT, SomeCaller(A, access_key_id="1")
    await put_as(vault, ann)
    await get_as(vault, ann)
    vault.asked.clear()
    vault.uses.clear()
    for number in range(3):
        await put_as(vault, ann, f"{number}")
        await get_as(vault, ann, f"{number}")
    assert not [resource for _, resource in vault.asked if resource == arn]
    versions = [(await vault.row(f"{number}")).version_id for number in range(3)]
    assert [(use.operation, use.resource, use.version) for use in vault.uses] == [
        told
        for number, version in enumerate(versions)
        for told in (("GenerateDataKey", f"{BUCKET_ARN}/{number}", ""), ("Decrypt", f"{BUCKET_ARN}/{number}", version))
    ]
    assert {(use.cause, use.kms_called, use.key_arn, use.code, use.principal, use.access_key_id) for use in vault.uses} == {
        ("bucket-key", False, arn, "", ann.arn, "1")
    }
    assert {tuple(use.context.items()) for use in vault.uses} == {(("aws:s3:arn", BUCKET_ARN),)}
    call = vault.call("PutObject", data=b"x", Bucket="other", Key="k")
    call.caller = ann
    await call.operation.run(call)
    assert vault.uses[-1].context == {"aws:s3:arn": "arn:aws:s3:::other"}
    assert vault.uses[-1].kms_called
    wrapped = [Envelope.decode((await vault.row("k", bucket)).seal).kms_wrapped for bucket in ("bucket", "other")]
    assert wrapped[0] != wrapped[1]
    vault.uses.crowded = True
    for way in (put_as, get_as):
        with pytest.raises(ApiError) as caught:
            await way(vault, ann)
        assert (caught.value.status, caught.value.code) == (503, "SlowDown")
    vault.uses.crowded = False
    await get_as(vault, ann)


async def test_what_is_at_hand_is_forgotten_when_the_catalog_or_the_time_has_changed(sealed):
    vault, _, _ = sealed
    vault.holds, ann = Holds.SAME_CONTEXT, SomeCaller(A)
    await put_as(vault, ann)
    await get_as(vault, ann)
    assert len(vault.keys.at_hand) == 2
    await vault.keys.forget_shared()
    assert len(vault.keys.at_hand) == 2
    await vault.make("other")
    await vault.keys.forget_shared()
    assert len(vault.keys.at_hand) == 0
    await put_as(vault, ann)
    vault.now += timedelta(seconds=300)
    await vault.keys.forget_shared()
    assert len(vault.keys.at_hand) == 0


async def test_what_is_at_hand_is_bounded_and_ends_with_the_number_of_uses(sealed, monkeypatch):
    vault, _, _ = sealed
    vault.holds = Holds.SAME_CONTEXT
    monkeypatch.setattr("strongroom.kms.at_hand._REMEMBERED", 3)
    callers = [SomeCaller(A, access_key_id=f"{number}") for number in range(5)]
    for caller in callers:
        await put_as(vault, caller)
    assert len(vault.keys.at_hand) == 3
    monkeypatch.setattr("strongroom.kms.shared_keys.MOST_USES", 3)
    vault.uses.clear()
    for _ in range(4):
        await put_as(vault, callers[-1])
    assert [use.kms_called for use in vault.uses] == [False, False, True, False]


async def test_imported_material_that_expires_ends_what_is_at_hand(vault):
    """Nothing in the catalog changes then: it is the clock alone."""
    await vault.make()
    key_id, arn = await vault.kms_key(Origin="EXTERNAL")
    given = await vault.kms(
        "GetParametersForImport", KeyId=key_id, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
    )
    sent = wrapped_material(given["PublicKey"], "RSAES_OAEP_SHA_256", bytes(range(32)))
    expires = vault.now + timedelta(seconds=100)
    await vault.kms(
        "ImportKeyMaterial", KeyId=key_id, ImportToken=given["ImportToken"], EncryptedKeyMaterial=sent, ValidTo=expires
    )
    await vault.rule("aws:kms", arn, BucketKeyEnabled=True)
    vault.holds, ann = Holds.SAME_CONTEXT, SomeCaller(A)
    for _ in range(2):
        await put_as(vault, ann)
        await get_as(vault, ann)
    generation = vault.catalog.generation()
    vault.now = expires - timedelta(milliseconds=1)
    for way in (put_as, get_as):
        await way(vault, ann)
    vault.now = expires
    for way in (put_as, get_as):
        with pytest.raises(ApiError) as caught:
            await way(vault, ann)
        assert caught.value.code == "KMS.KMSInvalidStateException"
    assert generation == vault.catalog.generation()


async def test_d26_looking_needs_no_key_and_a_version_is_named_when_it_is_read(sealed):
    vault, _, _ = sealed
    await vault.put("k", b"x")
    version_id = (await vault.row("k")).version_id
    vault.uses.clear()
    await vault.head("k")
    assert not vault.uses
    await vault.get("k")
    assert [(use.resource, use.version, use.operation) for use in vault.uses] == [(f"{BUCKET_ARN}/k", version_id, "Decrypt")]


async def test_what_cannot_be_recorded_does_not_happen(sealed):
    vault, key_id, _ = sealed
    await vault.put("k", b"x")
    count = len(vault.uses)
    vault.uses.crowded = True
    for operation in ("PutObject", "GetObject"):
        error = await vault.refused(operation, Bucket="bucket", Key="k")
        assert (error.status, error.code) == (503, "SlowDown")
    error = await vault.refused("GenerateDataKey", service="kms", KeyId=key_id, KeySpec="AES_256")
    assert error.code == "ThrottlingException"
    vault.uses.crowded = False
    assert len(vault.uses) == count
    assert (await vault.get("k"))[0] == b"x"
