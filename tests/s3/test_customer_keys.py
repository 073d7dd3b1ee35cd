"""SSE-C through the rooms: every operation that takes a customer's key, and what becomes of a key that is missing or another.

Numbers are those of the facts about encryption (sections 4, 5 and 11).
"""

from __future__ import annotations

import base64
import hashlib
import os

import pytest

from strongroom.seal.format import Envelope, Mode
from tests.s3.test_multipart import FIRST, TAIL, Upload, digest

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SMALL, LARGE = b"a secret of mine", os.urandom(300_000)
MIXED = "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
CHANGED = "The provided encryption parameters did not match the ones used originally."
MISSING = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
WRONG = "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
NOT_APPLICABLE = "The encryption parameters are not applicable to this object."
MD5_DIFFERS = "The calculated MD5 hash of the key did not match the hash that was provided."
UNSAFE = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
READS = ("GetObject", "HeadObject")


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def trio(key: bytes = KEY, prefix: str = "", **changes: str | None) -> dict[str, str]:
    given = {"Algorithm": "AES256", "Key": b64(key), "KeyMD5": b64(hashlib.md5(key).digest())} | changes
    return {f"{prefix}SSECustomer{name}": value for name, value in given.items() if value is not None}


def source(key: bytes = KEY, **changes: str | None) -> dict[str, str]:
    return trio(key, "CopySource", **changes)


ECHO = {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": trio()["SSECustomerKeyMD5"]}


def encryption_of(answer):
    return {name: value for name, value in answer.items() if name.startswith(("ServerSide", "SSE", "BucketKey"))}


def told(error):
    return error.status, error.code, error.message


@pytest.fixture
async def bucket(vault):
    return await vault.make()


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=len)
@pytest.mark.fact("4.1.1", "4.1.2", "4.2.3", "4.2.6", "4.5.3", "4.8.5", "5.1.6", "5.4.13")
async def test_36_a_life_under_a_customers_key(vault, bucket, data):
    written = await vault.put("k", data, Metadata={"a": "b"}, **trio())
    assert encryption_of(written) == ECHO  # 4.1.1, 4.1.2, 5.1.6
    assert len(written["ETag"]) == 34
    assert written["ETag"].strip('"') != hashlib.md5(data).hexdigest()  # 4.5.3
    read, answer = await vault.get("k", **trio())
    assert read == data
    head = await vault.head("k", **trio())
    for output in (answer.output, head):
        assert encryption_of(output) == ECHO
        assert (output["ETag"], output["Metadata"], output["ContentLength"]) == (written["ETag"], {"a": "b"}, len(data))
    if data:
        read, answer = await vault.get("k", Range="bytes=3-9", **trio())
        assert (read, answer.status, encryption_of(answer.output)) == (data[3:10], 206, ECHO)  # 4.2.6
    await vault.run("DeleteObject", Bucket="bucket", Key="k")  # 5.4.13, 4.8.5
    assert vault.sql("SELECT count(*) FROM version") == [(0,)]


async def test_36_a_version_is_deleted_without_its_key(vault, bucket):
    await vault.put("k", SMALL, **trio())
    result = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k"}]})
    assert result["Deleted"] == [{"Key": "k"}]


@pytest.mark.fact("4.5.3", "11.C26")
async def test_4_5_3_etags_differ_for_the_same_body_and_key(vault, bucket):
    assert (await vault.put("k", SMALL, **trio()))["ETag"] != (await vault.put("k", SMALL, **trio()))["ETag"]


@pytest.mark.fact("4.5.8", "4.5.9", "11.C28")
async def test_4_5_9_checksums_are_of_the_plaintext(vault, bucket):
    """CRC64NVME by default, what the client asks for otherwise; equal to those of any other encryption (4.5.8)."""
    written = await vault.put("k", SMALL, **trio())
    assert written["ChecksumCRC64NVME"] == digest("crc64nvme", SMALL)
    for operation in READS:
        answer = await vault.run(operation, Bucket="bucket", Key="k", ChecksumMode="ENABLED", **trio())
        assert answer["ChecksumCRC64NVME"] == digest("crc64nvme", SMALL)
        assert "ChecksumCRC64NVME" not in await vault.run(operation, Bucket="bucket", Key="k", **trio())
    assert (await vault.put("k", SMALL))["ChecksumCRC64NVME"] == digest("crc64nvme", SMALL)


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (400, "InvalidRequest", MISSING)),
        (trio(OTHER), (403, "AccessDenied", WRONG)),
        (trio(base64.b64encode(KEY)), (403, "AccessDenied", WRONG)),
        (trio(b"0123456789"), (403, "AccessDenied", WRONG)),
        (trio(OTHER, KeyMD5=b64(hashlib.md5(KEY).digest())), (400, "InvalidArgument", MD5_DIFFERS)),
        (
            trio(Algorithm="KMS"),
            (
                400,
                "InvalidEncryptionAlgorithmError",
                "The Encryption request you specified is not valid. Supported value: AES256.",
            ),
        ),
        (trio() | {"secure": False}, (400, "InvalidArgument", UNSAFE)),
        ({"secure": False}, (400, "InvalidRequest", MISSING)),
        (trio(OTHER) | {"IfNoneMatch": "*"}, (403, "AccessDenied", WRONG)),
        (trio(OTHER) | {"Range": "bytes=900-"}, (403, "AccessDenied", WRONG)),
    ],
    ids=["5.4.1", "5.4.3", "5.4.5 44", "5.4.5 10", "5.4.8", "5.4.6", "5.1.4", "no key, unsafe", "304", "416"],
)
@pytest.mark.fact("5.1.4", "5.4.1", "5.4.2", "5.4.3", "5.4.4", "5.4.5", "5.4.6", "5.4.7", "5.4.8", "E36", "11.D38")
async def test_5_4_reads_that_are_refused(vault, bucket, operation, given, expected):
    await vault.put("k", SMALL, **trio())
    assert told(await vault.refused(operation, Bucket="bucket", Key="k", **given)) == expected


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize("encryption", [{}, {"ServerSideEncryption": "aws:kms"}], ids=["SSE-S3", "SSE-KMS"])
@pytest.mark.fact("4.8.2", "5.4.9", "11.D40")
async def test_4_8_2_a_key_for_an_object_that_has_none(vault, bucket, operation, encryption):
    await vault.put("k", SMALL, **encryption)
    error = await vault.refused(operation, Bucket="bucket", Key="k", **trio())
    assert told(error) == (400, "InvalidRequest", NOT_APPLICABLE)


@pytest.mark.fact("5.1.5", "11.D42")
async def test_42_each_version_has_its_own_key(vault, bucket):
    await vault.catalog.write(lambda tx: tx.set_document(f"bucket/{bucket.bucket_id}", "versioning", {"status": "Enabled"}))
    versions = [(await vault.put("k", SMALL + key, **trio(key)))["VersionId"] for key in (KEY, OTHER)]
    for version, key, other in zip(versions, (KEY, OTHER), (OTHER, KEY), strict=True):
        assert (await vault.get("k", VersionId=version, **trio(key)))[0] == SMALL + key
        error = await vault.refused("GetObject", Bucket="bucket", Key="k", VersionId=version, **trio(other))
        assert told(error) == (403, "AccessDenied", WRONG)


@pytest.mark.fact("4.3.1", "5.3.1")
async def test_5_3_1_no_kms_call_in_a_bucket_whose_default_is_kms(vault, bucket):
    key_id, _ = await vault.kms_key()
    await vault.rule("aws:kms", key_id)
    vault.asked.clear()
    assert encryption_of(await vault.put("k", SMALL, **trio())) == ECHO
    assert (await vault.get("k", **trio()))[0] == SMALL
    assert vault.asked == []
    assert Envelope.decode((await vault.row("k")).seal).mode == Mode.SSE_C


@pytest.mark.fact("5.1.3", "11.D45")
async def test_45_nothing_of_the_key_on_disk(vault, bucket):
    """Neither raw, nor in base64 or hex, nor its MD5; nor the plaintext, nor its MD5."""
    await vault.put("k", SMALL * 5000, **trio())
    await vault.put("k2", SMALL, **trio())
    upload = Upload(vault, "parts")
    await upload.create(**trio())
    await upload.part(1, SMALL, **trio())
    await vault.catalog.close()
    everything = b"".join(path.read_bytes() for path in vault.folder.rglob("*") if path.is_file())
    md5 = hashlib.md5(KEY).digest()
    for secret in (KEY, md5, SMALL, hashlib.md5(SMALL).digest(), hashlib.sha256(KEY).digest()):
        for form in (secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode()):
            assert form not in everything


@pytest.mark.fact("5.1.3")
async def test_nothing_of_the_key_in_a_representation(vault, bucket):
    call = vault.call(
        "GetObject", Bucket="bucket", Key="k", headers={"x-amz-server-side-encryption-customer-key": b64(KEY)}, **trio()
    )
    assert b64(KEY) not in repr(call)
    await vault.put("k", SMALL, **trio())
    error = await vault.refused("GetObject", Bucket="bucket", Key="k", **trio(OTHER))
    for text in (repr(error), str(error), repr(error.members)):
        assert b64(OTHER) not in text
        assert repr(OTHER) not in text


# ---------------------------------------------------------------------------------------------------------------- copies


async def copy(vault, object_key="copy", bucket="bucket", **given):
    return await vault.run("CopyObject", Bucket=bucket, Key=object_key, **{"CopySource": "bucket/k"} | given)


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=len)
@pytest.mark.fact("4.5.5", "5.3.2", "5.3.3", "11.D44")
async def test_44_copies_from_and_to_customers_keys(vault, bucket, data):
    await vault.put("k", data, **trio())
    copied = await copy(vault, **source())  # 5.3.2, 4.5.5
    assert encryption_of(copied) == {"ServerSideEncryption": "AES256"}
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert (await vault.get("copy"))[0] == data
    for key in (KEY, OTHER):  # 5.3.3
        copied = await copy(vault, **source(), **trio(key))
        assert copied["SSECustomerKeyMD5"] == trio(key)["SSECustomerKeyMD5"]
        assert (await vault.get("copy", **trio(key)))[0] == data
    copied = await copy(vault, **source(), ServerSideEncryption="aws:kms")
    assert encryption_of(copied)["ServerSideEncryption"] == "aws:kms"
    assert (await vault.get("copy"))[0] == data


@pytest.mark.fact("4.6.4", "5.3.3", "11.D44")
async def test_44_a_key_is_rotated_by_a_copy_onto_itself(vault, bucket):
    await vault.put("k", SMALL, **trio())
    await copy(vault, "k", **source(), **trio(OTHER))  # 4.6.4
    assert (await vault.get("k", **trio(OTHER)))[0] == SMALL
    assert told(await vault.refused("GetObject", Bucket="bucket", Key="k", **trio())) == (403, "AccessDenied", WRONG)
    await copy(vault, "k", **source(OTHER))  # to SSE-S3
    assert (await vault.get("k"))[0] == SMALL
    await copy(vault, "k", **trio())  # and in place to a customer's key again
    assert (await vault.get("k", **trio()))[0] == SMALL


@pytest.mark.parametrize("operation", ["CopyObject", "UploadPartCopy"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (400, "InvalidRequest", MISSING)),
        (trio(), (400, "InvalidRequest", MISSING)),
        (source(OTHER), (403, "AccessDenied", WRONG)),
        (source(b"short"), (403, "AccessDenied", WRONG)),
        (source(KeyMD5=b64(bytes(16))), (400, "InvalidArgument", MD5_DIFFERS)),
        (
            source(Algorithm="KMS"),
            (
                400,
                "InvalidEncryptionAlgorithmError",
                "The Encryption request you specified is not valid. Supported value: AES256.",
            ),
        ),
        (source() | {"secure": False}, (400, "InvalidArgument", UNSAFE)),
        (source() | {"CopySource": "bucket/plain"}, (400, "InvalidRequest", NOT_APPLICABLE)),
    ],
    ids=["4.6.6", "5.4.10", "5.4.11", "5.4.11 short", "5.2.6", "5.2.2", "5.1.4", "4.8.2"],
)
@pytest.mark.fact("4.6.6", "4.8.2", "5.1.4", "5.2.2", "5.2.6", "5.4.10", "5.4.11", "12.12", "11.D44")
async def test_44_sources_that_are_refused(vault, bucket, operation, given, expected):
    await vault.put("k", SMALL, **trio())
    await vault.put("plain", SMALL)
    if operation == "UploadPartCopy":
        upload = Upload(vault, "copy")
        await upload.create(**({} if "SSECustomerKey" not in given else trio()))
        given = {"PartNumber": 1, "UploadId": upload.at["UploadId"]} | given
    error = await vault.refused(operation, **{"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/k"} | given)
    assert told(error) == expected
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="copy")).code == "NoSuchKey"


# --------------------------------------------------------------------------------------------------------------- uploads


@pytest.fixture
async def upload(vault, bucket):
    upload = Upload(vault)
    assert encryption_of(await upload.create(**trio())) == ECHO  # 4.7.4
    return upload


@pytest.mark.parametrize("with_key", [False, True], ids=["without", "with"])
@pytest.mark.fact("4.5.4", "4.5.10", "4.7.4", "4.7.8", "11.C33")
async def test_33_an_upload_is_completed_with_or_without_the_key(vault, upload, with_key):
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = await upload.part(number, data, **trio())
        assert encryption_of(answer) == ECHO
        assert answer["ETag"].strip('"') != hashlib.md5(data).hexdigest()
    done = await upload.complete(**(trio() if with_key else {}))
    assert encryption_of(done) == {}  # 4.7.4
    joined = hashlib.md5(b"".join(bytes.fromhex(etag.strip('"')) for etag in upload.etags.values())).hexdigest()
    assert done["ETag"] == f'"{joined}-2"'  # 4.5.4
    read, answer = await vault.get("k", ChecksumMode="ENABLED", **trio())
    assert read == FIRST + TAIL
    for output in (done, answer.output):  # 4.5.10
        assert output.get("ChecksumCRC64NVME") == (digest("crc64nvme", FIRST + TAIL) if with_key else None)
    assert (await vault.get("k", PartNumber=2, **trio()))[0] == TAIL
    assert told(await vault.refused("GetObject", Bucket="bucket", Key="k")) == (400, "InvalidRequest", MISSING)
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k", **trio(OTHER))).status == 403


@pytest.mark.fact("4.5.3")
async def test_4_5_3_the_etags_of_identical_parts_differ(upload):
    assert (await upload.part(1, TAIL, **trio()))["ETag"] != (await upload.part(2, TAIL, **trio()))["ETag"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (400, "InvalidRequest", MIXED)),
        (trio(OTHER), (400, "InvalidRequest", CHANGED)),
        (trio(KeyMD5=b64(bytes(16))), (400, "InvalidArgument", MD5_DIFFERS)),
        (trio(b"short"), (400, "InvalidArgument", "The secret key was invalid for the specified algorithm.")),
        (trio() | {"secure": False}, (400, "InvalidArgument", UNSAFE)),
    ],
    ids=["4.7.6", "4.7.7", "5.2.6", "5.2.5", "5.1.4"],
)
@pytest.mark.parametrize("operation", ["UploadPart", "UploadPartCopy"])
@pytest.mark.fact("4.7.6", "4.7.7", "11.D41")
async def test_41_parts_that_are_refused(vault, upload, operation, given, expected):
    await vault.put("source", TAIL)
    more = {"data": TAIL} if operation == "UploadPart" else {"CopySource": "bucket/source"}
    assert told(await upload.refused(operation, PartNumber=1, **more, **given)) == expected
    assert vault.sql("SELECT count(*) FROM part") == [(0,)]
    assert not vault.files


@pytest.mark.parametrize("operation", ["UploadPart", "UploadPartCopy", "CompleteMultipartUpload", "ListParts"])
@pytest.mark.fact("4.7.6")
async def test_4_7_6_a_customers_key_in_an_upload_of_another_kind(vault, bucket, operation):
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, TAIL)
    await vault.put("source", TAIL)
    given = {
        "UploadPart": {"PartNumber": 2, "data": TAIL},
        "UploadPartCopy": {"PartNumber": 2, "CopySource": "bucket/source"},
        "CompleteMultipartUpload": {"MultipartUpload": upload.named()},
        "ListParts": {},
    }[operation]
    error = await upload.refused(operation, **given, **trio())
    assert told(error) == (400, "InvalidRequest", NOT_APPLICABLE if operation == "ListParts" else MIXED)


@pytest.mark.fact("4.1.6", "4.7.9", "11.D41")
async def test_41_4_7_9_parts_are_listed_without_the_key(vault, upload):
    part = await upload.part(1, TAIL, **trio())
    for given in ({}, trio()):
        listed = await vault.run("ListParts", **upload.at, **given)
        assert [(each["ETag"], each["Size"]) for each in listed["Parts"]] == [(part["ETag"], len(TAIL))]
        assert encryption_of(listed) == {}
    assert told(await upload.refused("ListParts", **trio(OTHER))) == (400, "InvalidRequest", CHANGED)
    assert told(await upload.refused("ListParts", secure=False, **trio())) == (400, "InvalidArgument", UNSAFE)
    assert "ServerSideEncryption" not in (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"][0]


@pytest.mark.fact("4.7.8", "12.11")
async def test_4_7_8_an_upload_with_a_checksum_is_completed_with_its_key_only(vault, bucket):
    upload = Upload(vault)
    await upload.create(ChecksumAlgorithm="CRC32", **trio())
    await upload.part(1, TAIL, **trio())
    named = {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": upload.etags[1], "ChecksumCRC32": digest("crc32", TAIL)}]}}
    assert told(await upload.refused("CompleteMultipartUpload", **named)) == (400, "InvalidRequest", MIXED)
    error = await upload.refused("CompleteMultipartUpload", **named, **trio(OTHER))
    assert told(error) == (400, "InvalidRequest", CHANGED)  # 12.11
    done = await vault.run("CompleteMultipartUpload", **upload.at, **named, **trio())
    assert done["ChecksumCRC32"].endswith("-1")


async def test_a_completion_that_names_a_checksum_needs_the_key_to_have_it_checked(vault, upload):
    await upload.part(1, TAIL, **trio())
    given = {"MultipartUpload": upload.named(), "ChecksumCRC64NVME": digest("crc64nvme", b"other")}
    assert told(await upload.refused("CompleteMultipartUpload", **given)) == (400, "InvalidRequest", MIXED)
    assert (await upload.refused("CompleteMultipartUpload", **given, **trio())).code == "BadDigest"
    assert told(await upload.refused("CompleteMultipartUpload", **given, **trio(OTHER)))[0] == 400


@pytest.mark.fact("11.C35")
async def test_35_a_part_from_a_source_under_a_customers_key(vault, bucket):
    await vault.put("source", FIRST, **trio(OTHER))
    for encryption in ({"ServerSideEncryption": "aws:kms"}, {}, trio()):
        upload = Upload(vault)
        await upload.create(**encryption)
        mine = trio() if "SSECustomerKey" in encryption else {}
        answer = await vault.run("UploadPartCopy", PartNumber=1, CopySource="bucket/source", **upload.at, **mine, **source(OTHER))
        assert encryption_of(answer).get("SSECustomerKeyMD5") == mine.get("SSECustomerKeyMD5")
        upload.etags[1] = answer["CopyPartResult"]["ETag"]
        await upload.complete()
        assert (await vault.get("k", **mine))[0] == FIRST


# ---------------------------------------------------------------------------------------------------------------- blocks


def blocked(object_key="k"):
    text = (
        "User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutObject on resource: "
        f'"arn:aws:s3:::bucket/{object_key}" because this bucket has blocked upload requests that specify Server Side Encryption with '
        "Customer provided keys (SSE-C). Please specify a different server-side encryption type"
    )
    return 403, "AccessDenied", text


async def block(vault, kind="SSE-C"):
    await vault.rule("AES256", BlockedEncryptionTypes={"EncryptionType": [kind]})


@pytest.mark.fact("5.6.4", "5.6.5", "5.6.6", "5.6.8", "11.E49")
async def test_49_what_was_written_before_a_block_is_read(vault, bucket):
    await vault.put("k", SMALL, **trio())
    await block(vault)
    assert (await vault.get("k", **trio()))[0] == SMALL
    assert (await vault.head("k", **trio()))["ContentLength"] == len(SMALL)
    await copy(vault, **source())  # 5.6.6
    assert (await vault.get("copy"))[0] == SMALL
    for operation, given in (
        ("PutObject", {"data": b"x"}),
        ("CopyObject", {"CopySource": "bucket/copy"}),
        ("CreateMultipartUpload", {}),
    ):
        for sent in (trio(), trio(KeyMD5=b64(bytes(16))), trio() | {"secure": False}, trio(Key=None)):  # 5.6.4
            assert told(await vault.refused(operation, Bucket="bucket", Key="k", **given, **sent)) == blocked()
    await block(vault, "NONE")
    await vault.put("k", b"again", **trio())  # 5.6.8
    await vault.run("DeleteObject", Bucket="bucket", Key="k")


@pytest.mark.fact("4.7.11", "5.6.5", "5.6.7", "11.E50")
async def test_50_an_upload_that_began_before_a_block(vault, upload):
    part = await upload.part(1, TAIL, **trio())
    await vault.put("source", TAIL)
    await block(vault)
    for operation, given in (
        ("UploadPart", {"PartNumber": 2, "data": TAIL}),
        ("UploadPartCopy", {"PartNumber": 2, "CopySource": "bucket/source"}),
        ("CompleteMultipartUpload", {"MultipartUpload": upload.named()}),
    ):
        for sent in ({}, trio(), trio(OTHER)):
            assert told(await upload.refused(operation, **given, **sent)) == blocked(), operation
    listed = await vault.run("ListParts", **upload.at)
    assert [each["ETag"] for each in listed["Parts"]] == [part["ETag"]]
    await vault.run("AbortMultipartUpload", **upload.at)  # 4.7.11, 5.6.7
    assert vault.sql("SELECT count(*) FROM upload") == [(0,)]


@pytest.mark.fact("5.6.5")
async def test_5_6_5_a_part_that_brings_a_key_is_blocked_in_any_upload(vault, bucket):
    upload = Upload(vault)
    await upload.create()
    await block(vault)
    error = await upload.refused("UploadPart", PartNumber=1, data=TAIL, **trio())
    assert told(error) == blocked()
    await upload.part(1, TAIL)
    await upload.complete()
    assert (await vault.get("k"))[0] == TAIL
