"""SSE-KMS to the letter: who asks KMS for what and when, with which context, and how its failures are told.

Numbers are those of the facts about encryption (sections 4, 9 and 11).
"""

from __future__ import annotations

import base64
import json

import pytest

from strongroom.api.errors import ApiError
from strongroom.s3.sealing import as_s3
from strongroom.seal.format import Envelope
from tests.s3.test_multipart import TAIL, Upload
from tests.s3.vault import B

SMALL = b"for your eyes only"
OBJECT = "arn:aws:s3:::bucket/k"
GENERATE, DECRYPT = "kms:GenerateDataKey", "kms:Decrypt"


def packed(pairs):
    return base64.b64encode(json.dumps(pairs).encode()).decode()


@pytest.fixture
async def key(vault):
    """A bucket and a key that encrypts what is put into it: the ARN."""
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.rule("aws:kms", key_id)
    return arn


@pytest.fixture
def contexts(vault, monkeypatch):
    """The contexts that KMS is given, by the name of its door."""
    seen = []

    def watched(door):
        real = getattr(vault.keys, door)

        async def pass_on(*args, **kwargs):
            seen.append((door, dict(next(each for each in (*args, *kwargs.values()) if isinstance(each, dict)))))
            return await real(*args, **kwargs)

        return pass_on

    for door in ("generate", "unwrap"):
        monkeypatch.setattr(vault.keys, door, watched(door))
    return seen


def of_kms(vault):
    asked = [(action, resource) for action, resource in vault.asked if action.startswith("kms:")]
    vault.asked.clear()
    return asked


@pytest.mark.fact("4.8.3", "4.8.4", "4.8.5", "4.10", "7.2", "7.16", "11.F55")
async def test_55_one_call_for_each_write_and_read_and_none_for_anything_else(vault, key):
    vault.asked.clear()
    for _ in range(3):
        await vault.put("k", SMALL)
        assert of_kms(vault) == [(GENERATE, key)]
        await vault.get("k")
        assert of_kms(vault) == [(DECRYPT, key)]
    await vault.get("k", Range="bytes=1-2")
    assert of_kms(vault) == [(DECRYPT, key)]
    await vault.head("k", ChecksumMode="ENABLED")
    assert of_kms(vault) == [(DECRYPT, key)]
    await vault.head("k")
    await vault.run("ListObjectsV2", Bucket="bucket")
    await vault.run("GetBucketEncryption", Bucket="bucket")
    await vault.rule("aws:kms", key)
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k", IfMatch='"x"')).code == "PreconditionFailed"
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    assert of_kms(vault) == []


@pytest.mark.fact("4.7.10", "4.10", "4.7.11", "4.7.9")
async def test_4_7_10_an_upload_asks_for_a_key_once_and_then_to_decrypt_it(vault, key):
    await vault.put("source", TAIL, ServerSideEncryption="AES256")
    upload = Upload(vault)
    vault.asked.clear()
    await upload.create()
    assert of_kms(vault) == [(GENERATE, key)]
    await upload.part(1, TAIL)
    assert of_kms(vault) == [(DECRYPT, key)]
    await vault.run("UploadPartCopy", PartNumber=2, CopySource="bucket/source", **upload.at)
    assert of_kms(vault) == [(DECRYPT, key)]
    await vault.run("ListParts", **upload.at)
    await vault.run("ListMultipartUploads", Bucket="bucket")
    assert of_kms(vault) == []
    await upload.complete(1)
    assert of_kms(vault) == [(DECRYPT, key)]
    another = Upload(vault)
    await another.create()
    vault.asked.clear()
    await vault.run("AbortMultipartUpload", **another.at)
    assert of_kms(vault) == []


@pytest.mark.fact("4.10", "4.7.10", "11.F54")
async def test_54_without_the_right_to_decrypt_one_writes_and_does_not_read(vault, key):
    vault.denied.add((DECRYPT, key))
    await vault.put("k", SMALL)
    error = await vault.refused("GetObject", Bucket="bucket", Key="k")
    assert (error.status, error.code) == (403, "AccessDenied")
    await vault.head("k")
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="k", ChecksumMode="ENABLED")).status == 403
    assert (await vault.refused("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")).status == 403
    upload = Upload(vault)
    await upload.create()
    error = await upload.refused("UploadPart", PartNumber=1, data=TAIL)
    assert (error.status, error.code) == (403, "AccessDenied")
    assert vault.sql("SELECT count(*) FROM part") == [(0,)]


@pytest.mark.fact("4.10", "9.14", "9.19")
async def test_9_14_without_the_right_to_a_data_key_nothing_is_written(vault, key):
    vault.denied.add((GENERATE, key))
    for operation, given in (("PutObject", {"data": SMALL}), ("CreateMultipartUpload", {})):
        error = await vault.refused(operation, Bucket="bucket", Key="k", **given)
        assert (error.status, error.code) == (403, "AccessDenied")
    assert vault.sql("SELECT (SELECT count(*) FROM version) + (SELECT count(*) FROM upload)") == [(0,)]
    assert not vault.files


@pytest.mark.fact("4.9.1", "4.9.2", "11.F56")
async def test_56_the_context_is_the_objects_arn_and_what_the_client_adds(vault, key, contexts):
    await vault.put("k", SMALL)
    await vault.get("k")
    await vault.put("k", SMALL, SSEKMSEncryptionContext=packed({"a": "b", "ü": "C"}))
    await vault.get("k")
    await vault.put("k", SMALL, SSEKMSEncryptionContext=packed({"aws:s3:arn": OBJECT}))
    plain, with_pairs = {"aws:s3:arn": OBJECT}, {"aws:s3:arn": OBJECT, "a": "b", "ü": "C"}
    assert contexts == [
        ("generate", plain),
        ("unwrap", plain),
        ("generate", with_pairs),
        ("unwrap", with_pairs),
        ("generate", plain),
    ]


@pytest.mark.fact("4.6.8", "4.6.1")
async def test_4_6_8_a_copy_gets_a_context_of_its_own(vault, key, contexts):
    await vault.put("k", SMALL, SSEKMSEncryptionContext=packed({"a": "b"}))
    contexts.clear()
    copied = await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")
    assert "SSEKMSEncryptionContext" not in copied
    assert contexts == [("unwrap", {"aws:s3:arn": OBJECT, "a": "b"}), ("generate", {"aws:s3:arn": "arn:aws:s3:::bucket/copy"})]
    assert Envelope.decode((await vault.row("copy")).seal).context == {}
    sent = packed({"c": "d"})
    copied = await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k", SSEKMSEncryptionContext=sent)
    assert copied["SSEKMSEncryptionContext"] == sent
    assert Envelope.decode((await vault.row("copy")).seal).context == {"c": "d"}


@pytest.mark.fact("4.1.5")
async def test_4_1_5_the_context_is_answered_to_whom_sent_it_and_nobody_else(vault, key):
    sent = packed({"a": "b"})
    upload = Upload(vault)
    assert (await upload.create(SSEKMSEncryptionContext=sent))["SSEKMSEncryptionContext"] == sent
    answers = [await upload.part(1, TAIL), await vault.run("ListParts", **upload.at), await upload.complete()]
    answers += [await vault.head("k"), (await vault.get("k"))[1].output]
    assert not any("SSEKMSEncryptionContext" in answer for answer in answers)


@pytest.mark.fact("4.9.3", "11.F57")
async def test_57_the_context_is_bound_by_kms_itself(vault, key):
    """Before any binding of ours: KMS does not open what it wrapped for another object."""
    await vault.put("k", SMALL)
    wrapped = Envelope.decode((await vault.row("k")).seal).kms_wrapped
    opened = await vault.kms("Decrypt", CiphertextBlob=wrapped, EncryptionContext={"aws:s3:arn": OBJECT})
    assert len(opened["Plaintext"]) == 32
    for context in (
        {"aws:s3:arn": "arn:aws:s3:::bucket/l"},
        {"aws:s3:arn": "arn:aws:s3:::other/k"},
        {"aws:s3:arn": OBJECT.upper()},
        {"aws:s3:arn": OBJECT, "more": "x"},
        {},
    ):
        error = await vault.refused("Decrypt", service="kms", CiphertextBlob=wrapped, EncryptionContext=context)
        assert error.code == "InvalidCiphertextException"


@pytest.mark.fact("2.3.4", "4.3.17")
async def test_2_3_4_a_key_is_looked_for_in_the_account_of_whom_writes(vault, key):
    """A writer of another account that names no key gets its own account's aws/s3; a bare id is one of its own account's."""
    own = await vault.put("k", SMALL, ServerSideEncryption="aws:kms")
    foreign = await vault.put("k", SMALL, account=B, ServerSideEncryption="aws:kms")
    assert own["SSEKMSKeyId"].split(":")[4] != foreign["SSEKMSKeyId"].split(":")[4] == B
    error = await vault.refused("PutObject", data=SMALL, Bucket="bucket", Key="k", account=B)
    bare = key.rpartition("/")[2]
    assert (error.status, error.code) == (400, "KMS.NotFoundException")
    assert error.message == f"Key 'arn:aws:kms:us-east-1:{B}:key/{bare}' does not exist"


@pytest.mark.fact("4.5.12")
@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
async def test_4_5_12_content_md5_is_of_the_plaintext_in_every_mode(vault, key, encryption):
    from tests.s3.vault import body_of

    md5 = base64.b64encode(bytes(16)).decode()
    given = {"Bucket": "bucket", "Key": "k", "ServerSideEncryption": encryption}
    assert (await vault.refused("PutObject", data=body_of(SMALL, md5=md5), **given)).code == "BadDigest"
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="k")).code == "NoSuchKey"


@pytest.mark.fact("4.6.9")
async def test_4_6_9_a_copy_decrypts_its_source_and_generates_for_its_destination(vault, key):
    other_id, other = await vault.kms_key()
    await vault.put("k", SMALL)
    vault.asked.clear()
    await vault.run(
        "CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k", ServerSideEncryption="aws:kms", SSEKMSKeyId=other_id
    )
    assert of_kms(vault) == [(DECRYPT, key), (GENERATE, other)]


@pytest.mark.fact("9.16", "9.18")
@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("ThrottlingException", 503, "SlowDown"),  # 9.16
        ("KeyUnavailableException", 503, "ServiceUnavailable"),  # 9.18
        ("DependencyTimeoutException", 503, "ServiceUnavailable"),
        ("KMSInternalException", 500, "InternalError"),
        ("DisabledException", 400, "KMS.DisabledException"),
        ("KMSInvalidStateException", 400, "KMS.KMSInvalidStateException"),
        ("InvalidKeyUsageException", 400, "KMS.InvalidKeyUsageException"),
        ("AccessDenied", 403, "AccessDenied"),
    ],
)
def test_9_a_failure_of_kms_as_s3_tells_it(code, status, told):
    error = as_s3(ApiError(code, "a text"))
    assert (error.status, error.code) == (status, told)
    if told.startswith("KMS."):
        assert (error.message, error.members) == ("a text", {})
    elif code == "ThrottlingException":
        assert error.message == "Please reduce your request rate for operations involving AWS KMS."


@pytest.mark.fact("9.18", "9.19")
async def test_9_18_a_provider_that_is_away_is_no_fault_of_the_client(vault, key, monkeypatch):
    from strongroom.kms import contract

    await vault.put("k", SMALL)
    before = vault.sql("SELECT version_id FROM version")
    for failing, expected in ((contract.Unavailable, (503, "ServiceUnavailable")), (contract.Forged, (500, "InternalError"))):

        async def fail(*_args, failing=failing, **_kwargs):
            raise failing("not for the client's eyes")

        for door in ("seal", "open"):
            monkeypatch.setattr(type(vault.keys.ring), door, fail)
        for operation, given in (("PutObject", {"data": SMALL}), ("CreateMultipartUpload", {}), ("GetObject", {})):
            error = await vault.refused(operation, Bucket="bucket", Key="k", **given)
            assert (error.status, error.code) == expected
            assert "eyes" not in error.message
    assert vault.sql("SELECT version_id FROM version") == before


# ------------------------------------------------------------------------------------------ 9: keys that are not fit for objects


@pytest.mark.fact("9.10", "9.11", "9.12", "9.19", "2.3.1", "7.11", "A84")
@pytest.mark.parametrize("default", [False, True], ids=["header", "default"])
@pytest.mark.parametrize(
    ("number", "kind", "code", "text"),
    [
        (
            "9.11",
            {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
            "KMS.InvalidKeyUsageException",
            "{} key usage is SIGN_VERIFY which is not valid for GenerateDataKey.",
        ),
        (
            "9.11 mac",
            {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
            "KMS.InvalidKeyUsageException",
            "{} key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKey.",
        ),
        (
            "9.12",
            {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
            "KMS.InvalidKeyUsageException",
            "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.",
        ),
        ("9.10", {"Origin": "EXTERNAL"}, "KMS.KMSInvalidStateException", "{} is pending import."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("9.") else "",
)
async def test_9_10_to_9_12_keys_that_seal_no_object(vault, number, kind, code, text, default):
    await vault.make()
    await vault.put("source", SMALL)
    arn = (await vault.kms("CreateKey", **kind))["KeyMetadata"]["Arn"]
    given = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn}
    if default:
        await vault.rule("aws:kms", arn)  # 2.3.1: taken as it is
        given = {}
    for operation, more in (
        ("PutObject", {"data": SMALL}),
        ("CreateMultipartUpload", {}),
        ("CopyObject", {"CopySource": "bucket/source"}),
    ):
        error = await vault.refused(operation, Bucket="bucket", Key="k", **more, **given)
        assert (error.status, error.code, error.message, error.members) == (400, code, text.format(arn), {})
    assert vault.sql("SELECT (SELECT count(*) FROM version) + (SELECT count(*) FROM upload)") == [(1,)]


@pytest.mark.fact("4.8.5", "9.9", "9.13", "9.19", "A56", "11.F53")
async def test_53_an_object_whose_key_is_really_gone(vault, key):
    from datetime import timedelta

    from strongroom.kms.deletion import Deletion

    await vault.put("k", SMALL)
    await vault.kms("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    for operation, given in (("GetObject", {}), ("PutObject", {"data": SMALL})):
        error = await vault.refused(operation, Bucket="bucket", Key="k", **given)
        assert (error.status, error.code) == (400, "KMS.KMSInvalidStateException")
        assert error.message == f"{key} is pending deletion."
    vault.now += timedelta(days=7, seconds=1)
    assert await Deletion(vault.keys.ring).destroy_due() == 1
    for operation, given in (("GetObject", {}), ("PutObject", {"data": SMALL})):
        error = await vault.refused(operation, Bucket="bucket", Key="k", **given)
        assert (error.status, error.code, error.message) == (400, "KMS.NotFoundException", f"Key '{key}' does not exist")
    assert (await vault.head("k"))["SSEKMSKeyId"] == key
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
