"""Multipart uploads: create, parts, copies of parts, complete, abort, and what is listed in between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from datetime import timedelta

import pytest

from strongroom.api.digests import Digests
from strongroom.api.errors import ApiError
from tests.s3.vault import PART, body_of

FIRST, SECOND, TAIL = os.urandom(PART), os.urandom(PART + 7), os.urandom(1000)


def raw_digest(algorithm: str, data: bytes) -> bytes:
    digests = Digests(algorithm)
    digests.update(data)
    return digests.digest(algorithm)


def digest(algorithm: str, data: bytes) -> str:
    return base64.b64encode(raw_digest(algorithm, data)).decode()


class Upload:
    """One upload of key ``k`` in ``bucket``."""

    def __init__(self, vault, object_key="k"):
        self.vault = vault
        self.at = {"Bucket": "bucket", "Key": object_key}
        self.etags = {}

    async def create(self, **given):
        created = await self.vault.run("CreateMultipartUpload", **self.at, **given)
        self.at["UploadId"] = created["UploadId"]
        return created

    async def part(self, number, data, **given):
        answer = await self.vault.run("UploadPart", data=data, PartNumber=number, **self.at, **given)
        self.etags[number] = answer["ETag"]
        return answer

    def named(self, *numbers, **more):
        return {"Parts": [{"PartNumber": number, "ETag": self.etags[number], **more} for number in numbers or sorted(self.etags)]}

    async def complete(self, *numbers, **given):
        return await self.vault.run("CompleteMultipartUpload", MultipartUpload=self.named(*numbers), **self.at, **given)

    async def refused(self, operation, **given):
        return await self.vault.refused(operation, **self.at | given)


@pytest.fixture
async def upload(vault):
    await vault.make()
    upload = Upload(vault)
    await upload.create(Metadata={"a": "b"}, ContentType="text/plain")
    return upload


async def test_parts_become_an_object(vault, upload):
    for number, data in ((3, TAIL), (1, FIRST), (2, SECOND)):  # in any order
        answer = await upload.part(number, data)
        assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert answer["ServerSideEncryption"] == "AES256"
    assert (await upload.refused("GetObject")).code == "NoSuchKey"
    done = await upload.complete()
    whole = FIRST + SECOND + TAIL
    joined = b"".join(hashlib.md5(data).digest() for data in (FIRST, SECOND, TAIL))
    assert done == {
        "Location": "http://s3.example:9000/bucket/k",
        "Bucket": "bucket",
        "Key": "k",
        "ETag": f'"{hashlib.md5(joined).hexdigest()}-3"',
        "ChecksumCRC64NVME": digest("crc64nvme", whole),
        "ChecksumType": "FULL_OBJECT",
        "ServerSideEncryption": "AES256",
    }
    read, answer = await vault.get("k", ChecksumMode="ENABLED")
    assert read == whole
    assert answer.output["ChecksumCRC64NVME"] == done["ChecksumCRC64NVME"]
    assert (answer.output["Metadata"], answer.output["ContentType"]) == ({"a": "b"}, "text/plain")
    for first, last in (
        (0, 0),
        (PART - 1, PART),
        (PART - 70_000, PART + 70_000),
        (2 * PART, 2 * PART + 7 + 999),
        (5, len(whole) - 1),
    ):
        part, _ = await vault.get("k", Range=f"bytes={first}-{last}")
        assert part == whole[first : last + 1]
    for number, data in enumerate((FIRST, SECOND, TAIL), 1):
        part, answer = await vault.get("k", PartNumber=number)
        assert (part == data, answer.status, answer.output["PartsCount"]) == (True, 206, 3)
        assert (await vault.head("k", PartNumber=number))["ContentLength"] == len(data)
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k", PartNumber=4)).code == "InvalidPartNumber"


async def test_an_upload_ends_once(vault, upload):
    await upload.part(1, TAIL)
    await upload.complete()
    assert (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"] == []
    for operation, more in (
        ("CompleteMultipartUpload", {"MultipartUpload": upload.named()}),
        ("UploadPart", {"PartNumber": 1, "data": b"x"}),
        ("ListParts", {}),
        ("AbortMultipartUpload", {}),
    ):
        error = await upload.refused(operation, **more)
        assert (error.status, error.code) == (404, "NoSuchUpload")
    assert (await vault.get("k"))[0] == TAIL


async def test_completions_that_race(vault, upload):
    await upload.part(1, TAIL)
    results = await asyncio.gather(*(upload.complete() for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ApiError)]
    assert len(refused) == 4
    assert {error.code for error in refused} == {"NoSuchUpload"}
    assert (await vault.get("k"))[0] == TAIL


async def test_an_upload_belongs_to_its_key_and_bucket(vault, upload):
    await vault.make("other")
    for place in ({"Key": "other"}, {"Bucket": "other"}, {"UploadId": "none"}):
        error = await upload.refused("UploadPart", data=b"x", PartNumber=1, **place)
        assert (error.status, error.code) == (404, "NoSuchUpload")
    assert not vault.files


async def test_a_part_sent_again_replaces_the_first(vault, upload):
    await upload.part(1, FIRST)
    await upload.part(1, SECOND)
    await upload.part(2, FIRST)  # the same bytes, and yet another blob under another salt
    await vault.upkeep.delete_discarded()
    assert len(vault.files) == 2
    await upload.complete()
    assert (await vault.get("k"))[0] == SECOND + FIRST


async def test_parts_that_are_not_named_go(vault, upload):
    for number in (1, 2, 7):
        await upload.part(number, FIRST)
    await upload.complete(2, 7)
    await vault.upkeep.delete_discarded()
    assert len(vault.files) == 2
    assert (await vault.get("k"))[0] == FIRST + FIRST
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    await vault.upkeep.delete_discarded()
    assert not vault.files


async def test_a_part_that_is_replaced_while_the_upload_completes(vault, upload, monkeypatch):
    """What is answered is what is stored: a part that slips in between is noticed in the commit."""
    await upload.part(1, TAIL)
    real = vault.rooms.catalog.parts

    async def parts(*args, **kwargs):
        found = await real(*args, **kwargs)
        monkeypatch.undo()
        await vault.run("UploadPart", data=TAIL, PartNumber=1, **upload.at)
        return found

    monkeypatch.setattr(vault.catalog, "parts", parts)
    error = await upload.refused("CompleteMultipartUpload", MultipartUpload=upload.named())
    assert error.code == "InvalidPart"
    await upload.complete()
    assert (await vault.get("k"))[0] == TAIL


async def test_aborting(vault, upload):
    await upload.part(1, FIRST)
    assert await vault.run("AbortMultipartUpload", **upload.at) == {}
    await vault.upkeep.delete_discarded()
    assert not vault.files
    assert (await upload.refused("AbortMultipartUpload")).code == "NoSuchUpload"
    assert (await upload.refused("HeadObject")).code == "NoSuchKey"


@pytest.mark.fact("4.7.11")
async def test_an_upload_under_a_dead_key_can_be_cleaned_up(vault):
    await vault.make()
    key_id, arn = await vault.kms_key()
    upload = Upload(vault)
    await upload.create(ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    await upload.part(1, TAIL)
    await vault.kms("DisableKey", KeyId=key_id)
    for operation, more in (
        ("UploadPart", {"PartNumber": 2, "data": b"x"}),
        ("CompleteMultipartUpload", {"MultipartUpload": upload.named()}),
    ):
        error = await upload.refused(operation, **more)
        assert (error.status, error.code, error.message) == (400, "KMS.DisabledException", f"{arn} is disabled.")
    assert len((await vault.run("ListParts", **upload.at))["Parts"]) == 1
    await vault.run("AbortMultipartUpload", **upload.at)
    error = await vault.refused(
        "CreateMultipartUpload", Bucket="bucket", Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id
    )
    assert error.code == "KMS.DisabledException"
    assert (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"] == []


@pytest.mark.fact("4.7.1", "4.7.2")
async def test_the_encryption_is_that_of_the_creation(vault):
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.rule("aws:kms", key_id)
    upload = Upload(vault)
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn}
    created = await upload.create()
    await vault.rule("AES256")
    part = await upload.part(1, TAIL)
    done = await upload.complete()
    for answer in (created, part, done, await vault.head("k")):
        assert {name: answer[name] for name in sealed} == sealed
        assert "BucketKeyEnabled" not in answer
    assert part["ETag"].strip('"') != hashlib.md5(TAIL).hexdigest()
    assert done["ETag"].strip('"') == hashlib.md5(bytes.fromhex(part["ETag"].strip('"'))).hexdigest() + "-1"
    assert (await vault.get("k"))[0] == TAIL
    assert [action for action, _ in vault.asked[-4:]] == ["kms:GenerateDataKey", "kms:Decrypt", "kms:Decrypt", "kms:Decrypt"]


@pytest.mark.fact("4.5.2")
async def test_the_same_part_twice_under_kms_tells_nothing(vault):
    await vault.make()
    upload = Upload(vault)
    await upload.create(ServerSideEncryption="aws:kms")
    assert (await upload.part(1, TAIL))["ETag"] != (await upload.part(2, TAIL))["ETag"]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "MalformedXML"),
        ([{"PartNumber": 1}], "MalformedXML"),
        ([{"ETag": "x"}], "MalformedXML"),
        ([{"PartNumber": 2, "ETag": "second"}, {"PartNumber": 1, "ETag": "first"}], "InvalidPartOrder"),
        ([{"PartNumber": 1, "ETag": "first"}, {"PartNumber": 1, "ETag": "first"}], "InvalidPartOrder"),
        ([{"PartNumber": 1, "ETag": "second"}], "InvalidPart"),
        ([{"PartNumber": 3, "ETag": "first"}], "InvalidPart"),
        ([{"PartNumber": 1, "ETag": "first"}, {"PartNumber": 2, "ETag": "second"}], "EntityTooSmall"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_completions_that_are_refused_leave_the_upload_as_it_was(vault, upload, parts, code):
    tags = {"first": (await upload.part(1, TAIL))["ETag"], "second": (await upload.part(2, FIRST))["ETag"]}
    named = [part | ({"ETag": tags.get(part["ETag"], part["ETag"])} if "ETag" in part else {}) for part in parts]
    error = await upload.refused("CompleteMultipartUpload", MultipartUpload={"Parts": named})
    assert (error.status, error.code) == (400, code)
    if code == "EntityTooSmall":
        assert error.members == {
            "ProposedSize": "1000",
            "MinSizeAllowed": "5242880",
            "PartNumber": "1",
            "ETag": tags["first"].strip('"'),
        }
    await upload.complete(1)  # small parts may be last
    assert (await vault.get("k"))[0] == TAIL


async def test_conditions_and_sizes_of_a_completion(vault, upload):
    await upload.part(1, TAIL)
    await vault.put("k", b"there")
    for given, code in (
        ({"IfNoneMatch": "*"}, "PreconditionFailed"),
        ({"IfMatch": '"x"'}, "PreconditionFailed"),
        ({"MpuObjectSize": 999}, "InvalidRequest"),
        ({"ChecksumCRC64NVME": digest("crc64nvme", b"other")}, "BadDigest"),
        ({"ChecksumType": "COMPOSITE"}, "InvalidRequest"),
        ({"SSECustomerKey": "x"}, "InvalidRequest"),
        ({"headers": {"x-amz-server-side-encryption": "AES256"}}, "InvalidArgument"),
    ):
        error = await upload.refused("CompleteMultipartUpload", MultipartUpload=upload.named(), **given)
        assert error.code == code, given
    assert (await vault.get("k"))[0] == b"there"
    await upload.complete(MpuObjectSize=1000, ChecksumCRC64NVME=digest("crc64nvme", TAIL), IfMatch="*")
    assert (await vault.get("k"))[0] == TAIL


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT", None])
async def test_checksums_of_uploads(vault, algorithm, kind):
    await vault.make()
    upload = Upload(vault)
    impossible = (kind == "FULL_OBJECT" and algorithm.startswith("SHA")) or (kind == "COMPOSITE" and algorithm == "CRC64NVME")
    given = {"ChecksumAlgorithm": algorithm} | ({} if kind is None else {"ChecksumType": kind})
    if impossible:
        error = await vault.refused("CreateMultipartUpload", Bucket="bucket", Key="k", **given)
        assert error.code == "InvalidRequest"
        return
    created = await upload.create(**given)
    kind = kind or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == (algorithm, kind)
    member, name = f"Checksum{algorithm}", algorithm.lower()
    sums = {}
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = await upload.part(number, body_of(data, checksum=(name, digest(name, data))), **{member: digest(name, data)})
        sums[number] = answer[member]
        assert answer[member] == digest(name, data)
    listed = await vault.run("ListParts", **upload.at)
    assert [part[member] for part in listed["Parts"]] == list(sums.values())
    if kind == "COMPOSITE":
        error = await upload.refused("CompleteMultipartUpload", MultipartUpload=upload.named())
        assert (error.code, "It was missing for part 1" in error.message) == ("InvalidRequest", True)
    wrong = [{"PartNumber": number, "ETag": upload.etags[number], member: sums[1]} for number in (1, 2)]
    error = await upload.refused("CompleteMultipartUpload", MultipartUpload={"Parts": wrong})
    assert error.code == "InvalidPart"
    right = [{"PartNumber": number, "ETag": upload.etags[number], member: sums[number]} for number in (1, 2)]
    done = await vault.run("CompleteMultipartUpload", MultipartUpload={"Parts": right}, **upload.at)
    expected = digest(name, FIRST + TAIL)
    if kind == "COMPOSITE":
        expected = digest(name, raw_digest(name, FIRST) + raw_digest(name, TAIL)) + "-2"
    assert (done[member], done["ChecksumType"]) == (expected, kind)
    head = await vault.head("k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (expected, kind)


async def test_a_part_with_another_checksum_than_the_uploads(vault):
    await vault.make()
    upload = Upload(vault)
    await upload.create(ChecksumAlgorithm="SHA256")
    error = await upload.refused("UploadPart", PartNumber=1, data=body_of(TAIL, checksum=("crc32", digest("crc32", TAIL))))
    assert error.code == "InvalidRequest"
    assert error.message == "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32"
    assert not vault.files


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ChecksumType": "FULL_OBJECT"}, "InvalidRequest"),
        ({"ChecksumAlgorithm": "MD4"}, "InvalidRequest"),
        ({"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF"}, "InvalidRequest"),
        ({"Key": "k" * 1025}, "KeyTooLongError"),
        ({"StorageClass": "EXPRESS_ONEZONE"}, "InvalidStorageClass"),
        ({"Tagging": "="}, "InvalidArgument"),
        ({"SSEKMSKeyId": "k"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "no"}, "KMS.NotFoundException"),
    ],
    ids=str,
)
async def test_creations_that_are_refused(vault, given, code):
    await vault.make()
    assert (await vault.refused("CreateMultipartUpload", **{"Bucket": "bucket", "Key": "k"} | given)).code == code
    assert vault.sql("SELECT count(*) FROM upload") == [(0,)]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"PartNumber": 0}, "InvalidArgument"),
        ({"PartNumber": 10_001}, "InvalidArgument"),
        ({"headers": {"x-amz-server-side-encryption": "AES256"}}, "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES256"}, "InvalidRequest"),
        ({"data": body_of(b"", length=None)}, "MissingContentLength"),
        ({"data": body_of(b"", length=(5 << 30) + 1)}, "EntityTooLarge"),
        ({"data": body_of(b"x", md5=base64.b64encode(bytes(16)).decode())}, "BadDigest"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_parts_that_are_refused(vault, upload, given, code):
    error = await upload.refused("UploadPart", **{"PartNumber": 1, "data": b"x"} | given)
    assert error.code == code
    assert not vault.files
    assert vault.sql("SELECT count(*) FROM part") == [(0,)]


async def test_parts_copied_from_objects(vault, upload):
    key_id, arn = await vault.kms_key()
    source = await vault.put("source ü", FIRST + TAIL, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    place = "bucket/source%20%C3%BC"
    for number, span, data in ((1, None, FIRST + TAIL), (2, "bytes=10-1009", (FIRST + TAIL)[10:1010])):
        given = {} if span is None else {"CopySourceRange": span}
        answer = await vault.run("UploadPartCopy", PartNumber=number, CopySource=place, **upload.at, **given)
        result = answer["CopyPartResult"]
        assert result["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        assert answer["ServerSideEncryption"] == "AES256"
        upload.etags[number] = result["ETag"]
    assert ("s3:GetObject", "arn:aws:s3:::bucket/source ü") in vault.asked
    assert ("kms:Decrypt", arn) in vault.asked
    await upload.complete()
    assert (await vault.get("k"))[0] == FIRST + TAIL + (FIRST + TAIL)[10:1010]
    for given, code in (
        ({"CopySourceRange": "bytes=0-"}, "InvalidArgument"),
        ({"CopySourceRange": "bytes=5-4"}, "InvalidArgument"),
        ({"CopySourceRange": f"bytes=0-{len(FIRST + TAIL)}"}, "InvalidArgument"),
        ({"CopySource": "bucket"}, "InvalidArgument"),
        ({"CopySource": "bucket/none"}, "NoSuchKey"),
        ({"CopySource": "none/none"}, "NoSuchBucket"),
        ({"CopySourceIfMatch": '"x"'}, "PreconditionFailed"),
        ({"CopySourceIfNoneMatch": source["ETag"]}, "PreconditionFailed"),
        ({"CopySourceSSECustomerKey": "x"}, "InvalidArgument"),
    ):
        another = Upload(vault)
        await another.create()
        error = await another.refused("UploadPartCopy", **{"PartNumber": 1, "CopySource": place} | given)
        assert error.code == code, given
    vault.denied.add(("s3:GetObject", "arn:aws:s3:::bucket/source ü"))
    assert (await another.refused("UploadPartCopy", PartNumber=1, CopySource=place)).code == "AccessDenied"


async def test_an_empty_object_as_a_part(vault, upload):
    await vault.put("empty", b"")
    answer = await vault.run("UploadPartCopy", PartNumber=1, CopySource="bucket/empty", **upload.at)
    upload.etags[1] = answer["CopyPartResult"]["ETag"]
    await upload.complete()
    read, answer = await vault.get("k")
    assert (read, answer.output["ContentLength"]) == (b"", 0)


async def test_pages_of_parts(vault, upload):
    for number in (1, 2, 5, 9):
        await upload.part(number, bytes([number]))
    listed = await vault.run("ListParts", **upload.at)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 1), (2, 1), (5, 1), (9, 1)]
    assert [part["ETag"] for part in listed["Parts"]] == [upload.etags[number] for number in (1, 2, 5, 9)]
    assert (listed["IsTruncated"], listed["NextPartNumberMarker"], listed["StorageClass"]) == (False, 9, "STANDARD")
    page = await vault.run("ListParts", MaxParts=2, **upload.at)
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 2, 2)
    page = await vault.run("ListParts", MaxParts=2, PartNumberMarker="2", **upload.at)
    assert [part["PartNumber"] for part in page["Parts"]] == [5, 9]
    assert not page["IsTruncated"]
    assert (await vault.run("ListParts", MaxParts=0, **upload.at))["Parts"] == []
    for given in ({"MaxParts": -1}, {"PartNumberMarker": "x"}):
        assert (await upload.refused("ListParts", **given)).code == "InvalidArgument"


async def test_pages_of_uploads(vault):
    await vault.make()
    keys = ("a", "a", "b/1", "b/2", "c")
    for object_key in keys:
        await vault.run("CreateMultipartUpload", Bucket="bucket", Key=object_key)
        vault.now += timedelta(milliseconds=2)  # ids are in the order of creation
    listed = await vault.run("ListMultipartUploads", Bucket="bucket")
    everything = [(upload["Key"], upload["UploadId"]) for upload in listed["Uploads"]]
    assert [key for key, _ in everything] == list(keys)
    assert everything == sorted(everything)
    found, marker = [], {}
    while True:
        page = await vault.run("ListMultipartUploads", Bucket="bucket", MaxUploads=2, **marker)
        found += [(upload["Key"], upload["UploadId"]) for upload in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert found == everything
    grouped = await vault.run("ListMultipartUploads", Bucket="bucket", Delimiter="/")
    assert ([upload["Key"] for upload in grouped["Uploads"]], grouped["CommonPrefixes"]) == (["a", "a", "c"], [{"Prefix": "b/"}])
    page = await vault.run("ListMultipartUploads", Bucket="bucket", Delimiter="/", MaxUploads=3)
    assert (page["IsTruncated"], page["NextKeyMarker"]) == (True, "b/")
    page = await vault.run("ListMultipartUploads", Bucket="bucket", Delimiter="/", KeyMarker="b/")
    assert [upload["Key"] for upload in page["Uploads"]] == ["c"]
    page = await vault.run("ListMultipartUploads", Bucket="bucket", KeyMarker="a")  # without an id: past all of that key
    assert [upload["Key"] for upload in page["Uploads"]] == ["b/1", "b/2", "c"]
    page = await vault.run("ListMultipartUploads", Bucket="bucket", Prefix="b/")
    assert [upload["Key"] for upload in page["Uploads"]] == ["b/1", "b/2"]
