"""UpdateObjectEncryption: another wrapping around the same bytes. Numbers are those of the facts, section 8."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os

import pytest

from strongroom.api.errors import ApiError
from strongroom.seal.format import Envelope, Mode
from tests.s3.test_multipart import FIRST, TAIL, Upload
from tests.s3.vault import B

ABSENT = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"
KMS = {"ServerSideEncryption": "aws:kms"}
TRIO = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(bytes(32)).decode(),
    "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(bytes(32)).digest()).decode(),
}


@pytest.fixture
async def keys(vault):
    await vault.make()
    return [await vault.kms_key() for _ in range(2)]


def wanted(arn, **more):
    return {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": arn, **more}}}


async def update(vault, arn, object_key="k", /, *, shared=False, **given):
    document = wanted(arn, BucketKeyEnabled=shared)
    answer = await vault.ask("UpdateObjectEncryption", Bucket="bucket", Key=object_key, **document, **given)
    assert (answer.body, dict(answer.output)) == (None, {})  # 8.4
    return answer


async def refused(vault, **given):
    return await vault.refused("UpdateObjectEncryption", **{"Bucket": "bucket", "Key": "k", **given})


@pytest.mark.parametrize("size", [0, 10, 200_000])
@pytest.mark.parametrize("before", [{}, KMS], ids=["from SSE-S3", "from SSE-KMS"])
@pytest.mark.fact("4.5.6", "8.6", "8.7", "11.H61")
async def test_8_6_8_7_only_the_wrapping_changes(vault, keys, before, size, monkeypatch):
    data = os.urandom(size)
    await vault.put("k", data, Metadata={"a": "b"}, ContentType="text/plain", StorageClass="STANDARD_IA", **before)
    old_row, old_head = await vault.row("k"), await vault.head("k", ChecksumMode="ENABLED")
    contents = [path.read_bytes() for path in vault.files]
    reads = vault.recorded_reads(monkeypatch)
    await update(vault, keys[0][1])
    monkeypatch.undo()
    row, head = await vault.row("k"), await vault.head("k", ChecksumMode="ENABLED")
    shown = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": keys[0][1]}
    assert head == {**old_head, **shown}  # ETag, Last-Modified, checksums and all else
    assert (row.version_id, row.modified_ms, row.size, row.manifest, row.body) == (
        old_row.version_id,
        old_row.modified_ms,
        old_row.size,
        old_row.manifest,
        old_row.body,
    )
    assert row.seal != old_row.seal
    assert reads == []
    assert [path.read_bytes() for path in vault.files] == contents
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]  # no new version
    assert (await vault.get("k"))[0] == data
    assert (await vault.run("ListObjectsV2", Bucket="bucket"))["Contents"][0]["ETag"] == head["ETag"]


@pytest.mark.fact("8.6", "11.H62")
async def test_62_to_another_key_and_the_old_one_is_needed_no_more(vault, keys):
    (first, first_arn), (second, second_arn) = keys
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=first)
    await update(vault, second_arn)
    await vault.kms("DisableKey", KeyId=first)
    assert (await vault.get("k"))[0] == b"x"
    await vault.kms("DisableKey", KeyId=second)
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k")).message == f"{second_arn} is disabled."
    await vault.kms("EnableKey", KeyId=first)
    error = await refused(vault, **wanted(first_arn))  # and what cannot be opened cannot be wrapped anew
    assert (error.status, error.code, error.message) == (400, "KMS.DisabledException", f"{second_arn} is disabled.")


async def test_to_the_same_key_it_is_wrapped_anew(vault, keys):
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=keys[0][0])
    before = Envelope.decode((await vault.row("k")).seal)
    await update(vault, keys[0][1])
    after = Envelope.decode((await vault.row("k")).seal)
    assert after.key_arn == before.key_arn
    assert not {after.kms_wrapped, after.wrapped} & {before.kms_wrapped, before.wrapped}


async def test_the_encryption_context_of_the_object_stays(vault, keys):
    await vault.put("k", b"x", **KMS, SSEKMSEncryptionContext="eyJhIjogImIifQ==")  # {"a": "b"}
    await update(vault, keys[0][1])
    assert Envelope.decode((await vault.row("k")).seal).context == {"a": "b"}
    assert (await vault.get("k"))[0] == b"x"


async def test_an_object_of_parts(vault, keys):
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, FIRST)
    await upload.part(2, TAIL)
    etag = (await upload.complete())["ETag"]
    await update(vault, keys[0][1])
    assert (await vault.get("k"))[0] == FIRST + TAIL
    assert (await vault.get("k", PartNumber=2))[0] == TAIL
    head = await vault.head("k", PartNumber=1)
    assert (head["ETag"], head["PartsCount"], head["SSEKMSKeyId"]) == (etag, 2, keys[0][1])


@pytest.mark.fact("8.7")
async def test_8_7_the_version_that_is_named_or_the_current_one(vault, keys):
    await vault.versioned()
    ids = [(await vault.put("k", data))["VersionId"] for data in (b"old", b"new")]
    await update(vault, keys[0][1], VersionId=ids[0])
    await update(vault, keys[1][1])
    for version_id, data, arn in ((ids[0], b"old", keys[0][1]), (ids[1], b"new", keys[1][1])):
        got, answer = await vault.get("k", VersionId=version_id)
        assert (got, answer.output["SSEKMSKeyId"], answer.output["VersionId"]) == (data, arn, version_id)
    assert (await refused(vault, **wanted(keys[0][1]), VersionId="A" * 32)).code == "NoSuchVersion"
    marker = (await vault.run("DeleteObject", Bucket="bucket", Key="k"))["VersionId"]
    assert (await refused(vault, **wanted(keys[0][1]))).code == "NoSuchKey"  # 8.13
    error = await refused(vault, **wanted(keys[0][1]), VersionId=marker)
    assert (error.status, error.code, error.members["Method"]) == (405, "MethodNotAllowed", "PUT")


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.fact("8.2")
async def test_8_2_a_bucket_key_only_if_one_is_asked_for(vault, keys, flag):
    """The bucket's own flag does not count."""
    await vault.rule("aws:kms", keys[0][0], BucketKeyEnabled=not flag)
    await vault.put("k", b"x", ServerSideEncryption="AES256")
    await vault.run("UpdateObjectEncryption", Bucket="bucket", Key="k", **wanted(keys[1][1], BucketKeyEnabled=flag))
    assert Envelope.decode((await vault.row("k")).seal).bucket_key == flag
    assert (await vault.head("k")).get("BucketKeyEnabled", False) == flag
    assert (await vault.get("k"))[0] == b"x"
    await update(vault, keys[1][1], shared=not flag)  # 8.6: the same key, and the flag the other way
    assert (await vault.head("k")).get("BucketKeyEnabled", False) == (not flag)
    assert (await vault.get("k"))[0] == b"x"


async def test_objects_that_share_a_bucket_key_cost_kms_little(vault, keys):
    names = [f"k{number}" for number in range(20)]
    for name in names:
        await vault.put(name, b"x")
    made = set()
    for name in names:
        await update(vault, keys[0][1], name, shared=True)
        made.add(Envelope.decode((await vault.row(name)).seal).kms_wrapped)
    assert len(made) == 1
    for name in names:
        assert (await vault.get(name))[0] == b"x"


# ------------------------------------------------------------------------------------------------------------------- 8.14


DSSE_SOURCE = "doesn't support source objects with the encryption type DSSE-KMS or SSE-C"


@pytest.mark.fact("6.8", "8.6", "8.14")
@pytest.mark.parametrize("write", [{"ServerSideEncryption": "aws:kms:dsse"}, TRIO], ids=["DSSE-KMS", "SSE-C"])
async def test_8_14_b_sources_that_stay_what_they_are(vault, keys, write):
    await vault.put("k", b"x", **write)
    seal = (await vault.row("k")).seal
    error = await refused(vault, **wanted(keys[0][1]))
    assert (error.status, error.code) == (400, "InvalidRequest")
    assert DSSE_SOURCE in error.message
    assert (await vault.row("k")).seal == seal


@pytest.mark.parametrize(
    ("row", "given", "code", "text"),
    [
        ("d", {"signed_v4": False}, "InvalidRequest", "require AWS Signature Version 4"),
        ("e", {"ObjectEncryption": {}}, "InvalidRequest", "require a valid new encryption type. Valid values are SSEKMS."),
        ("f", {"ObjectEncryption": {"SSEKMS": {}}}, "InvalidRequest", "require an AWS KMS key Amazon Resource Name (ARN)."),
        ("f", wanted(""), "InvalidRequest", "require an AWS KMS key Amazon Resource Name (ARN)."),
        ("g", wanted("11111111-2222-3333-4444-555555555555"), "InvalidRequest", "require a valid AWS KMS key Amazon"),
        ("g", wanted("alias/a-name-that-is-long"), "InvalidRequest", "require a valid AWS KMS key Amazon"),
        ("g", wanted("arn:aws:kms:us-east-1:111122223333:alias/name"), "InvalidRequest", "require a valid AWS KMS key Amazon"),
        ("g", wanted(ABSENT + "\n"), "InvalidRequest", "require a valid AWS KMS key Amazon"),
        ("g", wanted(ABSENT + "x" * 2048), "InvalidRequest", "require a valid AWS KMS key Amazon"),
        ("i", wanted(ABSENT.replace("111122223333", B)), "AccessDenied", "must be owned by the same account as the bucket"),
        ("8.16", wanted(ABSENT), "KMS.NotFoundException", f"Key '{ABSENT}' does not exist"),
        ("9.4", wanted(ABSENT.replace("us-east-1", "eu-west-3")), "KMS.NotFoundException", "Invalid arn eu-west-3"),
        ("4.4.10", {"secure": False}, "InvalidArgument", "must be made over a secure connection"),
        ("no key", {"Key": "none"}, "NoSuchKey", "The specified key does not exist."),
        ("no bucket", {"Bucket": "nobodys"}, "NoSuchBucket", "The specified bucket does not exist"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 8 else "",
)
@pytest.mark.fact("8.5", "8.14", "8.15", "11.H63")
async def test_8_14_8_15_what_is_refused_changes_nothing(vault, keys, row, given, code, text):
    await vault.put("k", b"x")
    seal = (await vault.row("k")).seal
    error = await refused(vault, **wanted(keys[0][1]) | given)
    assert error.code == code
    assert text in error.message
    assert error.status == {"AccessDenied": 403, "NoSuchKey": 404, "NoSuchBucket": 404}.get(code, 400)
    assert (await vault.row("k")).seal == seal
    assert (await vault.get("k"))[0] == b"x"


@pytest.mark.fact("8.16")
async def test_8_16_keys_that_cannot_wrap(vault, keys):
    await vault.put("k", b"x")
    key_id, arn = keys[0]
    await vault.kms("DisableKey", KeyId=key_id)
    assert (await refused(vault, **wanted(arn))).code == "KMS.DisabledException"
    await vault.kms("ScheduleKeyDeletion", KeyId=keys[1][0])
    assert (await refused(vault, **wanted(keys[1][1]))).code == "KMS.KMSInvalidStateException"
    rsa = (await vault.kms("CreateKey", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT"))["KeyMetadata"]["Arn"]
    assert (await refused(vault, **wanted(rsa))).code == "KMS.InvalidKeyUsageException"
    assert (await vault.get("k"))[0] == b"x"


@pytest.mark.fact("8.11")
async def test_8_11_the_rights_it_takes(vault, keys):
    await vault.put("k", b"x", **KMS, SSEKMSKeyId=keys[0][0])
    old, new = keys[0][1], keys[1][1]
    target = "arn:aws:s3:::bucket/k"
    needed = [
        ("s3:PutObject", target),
        ("kms:Decrypt", old),
        ("kms:GenerateDataKey", new),
        ("kms:Encrypt", new),
        ("kms:ReEncryptFrom", old),
        ("kms:ReEncryptTo", new),
    ]
    seal = (await vault.row("k")).seal
    for right in needed:
        vault.denied = {right}
        error = await refused(vault, **wanted(new))
        assert (error.status, error.code) == (403, "AccessDenied"), right
        assert (await vault.row("k")).seal == seal
    vault.denied = set()
    vault.asked.clear()
    await update(vault, new)
    assert vault.asked == needed
    assert vault.register.find("s3", "UpdateObjectEncryption").need.action == "s3:UpdateObjectEncryption"


# ------------------------------------------------------------------------------------------------------------------ races


def at_the_commit(vault, monkeypatch, happening, times=1):
    """``happening`` comes just before the update's own commit, ``times`` times."""
    real = vault.catalog.write
    left = [times]

    async def write(work, *claim):
        if left[0] and work.__qualname__.startswith("ObjectEncryption."):
            left[0] -= 1
            await happening()
        return await real(work, *claim)

    monkeypatch.setattr(vault.catalog, "write", write)


async def test_an_object_that_is_replaced_meanwhile_is_the_one_that_changes(vault, keys, monkeypatch):
    await vault.put("k", b"old")
    at_the_commit(vault, monkeypatch, lambda: vault.put("k", b"new"))
    await update(vault, keys[0][1])
    data, answer = await vault.get("k")
    assert (data, answer.output["SSEKMSKeyId"]) == (b"new", keys[0][1])


async def test_an_object_that_is_deleted_meanwhile_is_missed(vault, keys, monkeypatch):
    await vault.put("k", b"old")
    at_the_commit(vault, monkeypatch, lambda: vault.run("DeleteObject", Bucket="bucket", Key="k"))
    assert (await refused(vault, **wanted(keys[0][1]))).code == "NoSuchKey"
    assert vault.sql("SELECT count(*) FROM version") == [(0,)]


async def test_one_that_never_holds_still(vault, keys, monkeypatch):
    await vault.put("k", b"old")
    at_the_commit(vault, monkeypatch, lambda: vault.put("k", b"new"), times=100)
    error = await refused(vault, **wanted(keys[0][1]))
    assert (error.status, error.code) == (409, "OperationAborted")
    assert (await vault.get("k"))[0] == b"new"


async def test_updates_overwrites_and_reads_at_once(vault, keys):
    await vault.put("k", b"0")
    codes = set()

    async def one(number):
        try:
            if number % 3 == 0:
                await vault.put("k", b"%d" % number)
            elif number % 3 == 1:
                await update(vault, keys[number % 2][1])
            else:
                data, _ = await vault.get("k")
                assert data.isdigit()
        except ApiError as error:
            codes.add(error.code)

    await asyncio.gather(*(one(number) for number in range(30)))
    assert codes <= {"OperationAborted"}
    data, answer = await vault.get("k")
    assert data.isdigit()
    assert dict(answer.output) == await vault.head("k")
    assert Envelope.decode((await vault.row("k")).seal).mode in {Mode.SSE_S3, Mode.SSE_KMS}


async def test_a_read_that_began_before_goes_on(vault, keys):
    data = os.urandom(5_000_000)
    await vault.put("k", data)
    answer = await vault.ask("GetObject", Bucket="bucket", Key="k")
    pieces = [bytes(await anext(answer.body))]
    await update(vault, keys[0][1])
    pieces += [bytes(piece) async for piece in answer.body]
    assert b"".join(pieces) == data
