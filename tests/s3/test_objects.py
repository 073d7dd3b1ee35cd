"""PutObject, GetObject, HeadObject, DeleteObject(s) through the real catalog and blobs: every byte and every word comes back."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.api.digests import Digests
from strongroom.api.errors import ApiError
from strongroom.seal.stream import FIRST_PLAIN, PLAIN
from tests.s3.vault import A, body_of, whole

WINDOW = 16 * PLAIN  # about 1 MiB: what is read from disk at once
SIZES = (
    0,
    1,
    4096,
    FIRST_PLAIN - 1,
    FIRST_PLAIN,
    FIRST_PLAIN + 1,
    FIRST_PLAIN + PLAIN,
    1 << 20,
    FIRST_PLAIN + WINDOW + 1,
    2_500_000,
)


def digest(algorithm: str, data: bytes) -> str:
    digests = Digests(algorithm)
    digests.update(data)
    return base64.b64encode(digests.digest(algorithm)).decode()


def md5(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


@pytest.mark.parametrize("size", SIZES)
async def test_bytes_come_back(vault, size):
    await vault.make()
    data = os.urandom(size)
    written = await vault.put("k", data)
    assert written == {
        "ETag": md5(data),
        "ChecksumCRC64NVME": digest("crc64nvme", data),
        "ChecksumType": "FULL_OBJECT",
        "ServerSideEncryption": "AES256",
    }
    read, answer = await vault.get("k", ChecksumMode="ENABLED")
    assert read == data
    assert answer.status == 200
    head = await vault.head("k", ChecksumMode="ENABLED")
    assert dict(answer.output) == head
    assert head["ContentLength"] == size
    assert head["LastModified"] == vault.now.replace(microsecond=0)  # a header tells no more
    assert {name: head[name] for name in written} == written
    assert len(vault.files) == (size > FIRST_PLAIN)  # a small body lives in its row
    for first, last in ((0, 0), (size // 2, size // 2 + 70_000), (size - 1, size - 1), (FIRST_PLAIN - 1, FIRST_PLAIN)):
        if 0 <= first < size:
            part, answer = await vault.get("k", Range=f"bytes={first}-{last}")
            assert part == data[first : last + 1]
            assert answer.status == 206
            assert answer.output["ContentRange"] == f"bytes {first}-{min(last, size - 1)}/{size}"
            assert "ChecksumCRC64NVME" not in answer.output


async def test_ranges_around_every_border_of_segments_and_windows(vault):
    await vault.make()
    borders = [FIRST_PLAIN, FIRST_PLAIN + PLAIN, FIRST_PLAIN + 15 * PLAIN, FIRST_PLAIN + WINDOW, FIRST_PLAIN + 2 * WINDOW]
    data = os.urandom(FIRST_PLAIN + 2 * WINDOW + 10)
    await vault.put("k", data)
    points = sorted({at + offset for at in (0, *borders) for offset in (-1, 0, 1) if at + offset >= 0})
    for first in points:
        for last in (first, first + PLAIN, first + WINDOW, len(data) - 1):
            part, _ = await vault.get("k", Range=f"bytes={first}-{last}")
            assert part == data[first : last + 1], (first, last)
    part, _ = await vault.get("k", Range="bytes=-5")
    assert part == data[-5:]


async def test_a_range_reads_only_the_segments_it_needs(vault, monkeypatch):
    await vault.make()
    await vault.put("k", os.urandom(3 << 20))
    reads = vault.recorded_reads(monkeypatch)
    await vault.get("k", Range="bytes=2000000-2000009")
    assert sum(length for _, length in reads) == 65536 + 40  # one segment, and the header


async def test_a_reader_that_stops_early_leaves_nothing_running(vault):
    await vault.make()
    await vault.put("k", os.urandom(5 << 20))
    answer = await vault.ask("GetObject", Bucket="bucket", Key="k")
    async for piece in answer.body:
        assert piece
        break
    await answer.body.aclose()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_an_answer_that_is_given_up_before_it_began_leaves_nothing_running_and_nothing_open(vault):
    await vault.make()
    await vault.put("k", os.urandom(5 << 20))
    answer = await vault.ask("GetObject", Bucket="bucket", Key="k")
    await answer.body.aclose()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    assert [piece async for piece in answer.body] == []


async def test_headers_and_metadata_come_back(vault):
    await vault.make()
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentLanguage": "de",
        "Metadata": {"name": "Wert", "other": "=?UTF-8?B?w7w=?="},
        "WebsiteRedirectLocation": "/elsewhere",
        "StorageClass": "STANDARD_IA",
    }
    await vault.put("k", b"x", ContentEncoding="aws-chunked, gzip", Expires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), **said)
    head = await vault.head("k")
    assert {name: head[name] for name in said} == said
    assert head["ContentEncoding"] == "gzip"
    assert head["Expires"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    await vault.put("k", b"x", ContentEncoding="aws-chunked")
    head = await vault.head("k")
    assert head["ContentType"] == "binary/octet-stream"
    assert head.keys().isdisjoint({"ContentEncoding", "Metadata", "StorageClass", "CacheControl", "VersionId"})


async def test_what_the_caller_wants_answered_instead(vault):
    await vault.make()
    await vault.put("k", b"x", ContentType="text/plain", CacheControl="a")
    wanted = {
        "ResponseContentType": "image/png",
        "ResponseCacheControl": "b",
        "ResponseContentDisposition": "inline",
        "ResponseContentEncoding": "br",
        "ResponseContentLanguage": "fr",
        "ResponseExpires": datetime(2030, 1, 2, tzinfo=UTC),
    }
    for output in ((await vault.get("k", **wanted))[1].output, await vault.head("k", **wanted)):
        assert {f"Response{name}": output[name] for name in (n.removeprefix("Response") for n in wanted)} == wanted
    error = await vault.refused("GetObject", Bucket="bucket", Key="k", ResponseCacheControl="b", anonymous=True)
    assert error.code == "InvalidRequest"


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
async def test_a_checksum_that_the_client_brought_is_the_one_that_is_kept(vault, algorithm):
    await vault.make()
    data = os.urandom(100_000)
    value = digest(algorithm, data)
    member = f"Checksum{algorithm.upper()}"
    written = await vault.put("k", body_of(data, checksum=(algorithm, value)), **{member: value})
    assert written[member] == value
    head = await vault.head("k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (value, "FULL_OBJECT")
    assert [name for name in head if name.startswith("Checksum")] == [member, "ChecksumType"]
    assert member not in await vault.head("k")


@pytest.mark.parametrize("size", [1000, 100_000])
@pytest.mark.parametrize(
    ("promised", "code"),
    [
        ({"checksum": ("crc32", "AAAAAA==")}, "BadDigest"),
        ({"md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"wire_length": 100_001, "length": 100_001}, "IncompleteBody"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_body_that_breaks_its_promise_stores_nothing(vault, size, promised, code):
    await vault.make()
    await vault.put("k", b"before")
    error = await vault.refused("PutObject", data=body_of(os.urandom(size), **promised), Bucket="bucket", Key="k")
    assert error.code == code
    assert (await vault.get("k"))[0] == b"before"
    assert not vault.files
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]


async def test_a_cancelled_upload_leaves_nothing(vault):
    await vault.make()
    held = asyncio.Event()

    class Stuck:
        async def whole(self):
            raise AssertionError

        async def __aiter__(self):
            yield bytes(1 << 20)
            held.set()
            await asyncio.Event().wait()

    body = body_of(b"", wire_length=5 << 20, length=5 << 20)
    body._raw = Stuck()
    task = asyncio.create_task(vault.ask("PutObject", data=body, Bucket="bucket", Key="k"))
    await held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not vault.files
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="k")).code == "NoSuchKey"


async def test_a_row_that_cannot_be_committed_takes_its_blob_along(vault):
    await vault.make()
    await vault.put("k", b"1")
    error = await vault.refused("PutObject", data=os.urandom(100_000), Bucket="bucket", Key="k", IfNoneMatch="*")
    assert (error.status, error.code, error.members) == (412, "PreconditionFailed", {"Condition": "If-None-Match"})
    assert not vault.files
    assert (await vault.get("k"))[0] == b"1"


@pytest.mark.fact("4.5.7")
async def test_conditional_writes(vault):
    await vault.make()
    assert (await vault.refused("PutObject", data=b"0", Bucket="bucket", Key="k", IfMatch='"x"')).code == "NoSuchKey"
    first = await vault.put("k", b"1", IfNoneMatch="*")
    assert (await vault.refused("PutObject", data=b"0", Bucket="bucket", Key="k", IfMatch='"x"')).code == "PreconditionFailed"
    await vault.put("k", b"2", IfMatch=first["ETag"])
    await vault.put("k", b"3", IfMatch="*")
    assert (await vault.get("k"))[0] == b"3"


async def test_of_many_who_would_be_first_one_is(vault):
    await vault.make()
    asking = [vault.ask("PutObject", data=bytes([n]), Bucket="bucket", Key="k", IfNoneMatch="*") for n in range(10)]
    results = await asyncio.gather(*asking, return_exceptions=True)
    (winner,) = [n for n, result in enumerate(results) if not isinstance(result, ApiError)]
    assert {result.code for result in results if isinstance(result, ApiError)} == {"PreconditionFailed"}
    assert (await vault.get("k"))[0] == bytes([winner])


async def test_conditional_reads_and_what_a_304_says(vault):
    await vault.make()
    written = await vault.put("k", b"x")
    for operation in ("GetObject", "HeadObject"):
        error = await vault.refused(operation, Bucket="bucket", Key="k", IfNoneMatch=written["ETag"])
        assert error.status == 304
        assert error.headers["ETag"] == written["ETag"]
        assert "Last-Modified" in error.headers
        error = await vault.refused(operation, Bucket="bucket", Key="k", IfUnmodifiedSince=vault.now - timedelta(days=1))
        assert (error.status, error.members) == (412, {"Condition": "If-Unmodified-Since"})
    assert (await vault.get("k", IfMatch=written["ETag"]))[0] == b"x"


async def test_overwriting_leaves_one_version_and_gives_the_blob_to_upkeep(vault):
    await vault.make()
    await vault.put("k", os.urandom(100_000))
    (old,) = vault.files
    answer = await vault.ask("GetObject", Bucket="bucket", Key="k", Range="bytes=0-99999")
    assert len(await whole(answer)) == 100_000
    data = os.urandom(100_000)
    await vault.put("k", data)
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]
    assert old.exists()
    assert await vault.upkeep.delete_discarded() == 1
    assert not old.exists()
    assert (await vault.get("k"))[0] == data


async def test_deleting(vault):
    await vault.make()
    await vault.put("k", os.urandom(100_000))
    for _ in range(2):  # what is not there is no error
        assert await vault.run("DeleteObject", Bucket="bucket", Key="k") == {}
    error = await vault.refused("GetObject", Bucket="bucket", Key="k")
    assert (error.status, error.code, error.members) == (404, "NoSuchKey", {"Key": "k"})
    await vault.upkeep.delete_discarded()
    assert not vault.files


async def test_deleting_by_version_and_by_condition(vault):
    await vault.make()
    written = await vault.put("k", b"x")
    error = await vault.refused("DeleteObject", Bucket="bucket", Key="k", VersionId="short")
    assert (error.code, error.members["ArgumentName"]) == ("InvalidArgument", "versionId")
    await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId="A" * 32)  # of no version
    assert (await vault.refused("DeleteObject", Bucket="bucket", Key="k", IfMatch='"x"')).code == "PreconditionFailed"
    assert (await vault.refused("DeleteObject", Bucket="bucket", Key="none", IfMatch="*")).code == "NoSuchKey"
    assert (await vault.get("k", VersionId="null"))[0] == b"x"
    await vault.run("DeleteObject", Bucket="bucket", Key="k", IfMatch=written["ETag"])
    error = await vault.refused("GetObject", Bucket="bucket", Key="k", VersionId="A" * 32)
    assert (error.status, error.code) == (404, "NoSuchVersion")
    await vault.put("k", b"y")
    await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId="null")
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="k")).code == "NoSuchKey"


async def test_deleting_many_asks_for_each_key(vault):
    await vault.make()
    for name in ("a", "b", "c"):
        await vault.put(name, b"x")
    vault.denied.add(("s3:DeleteObject", "arn:aws:s3:::bucket/b"))
    wanted = [{"Key": "a"}, {"Key": "b"}, {"Key": "none"}, {"Key": "x" * 1025}, {"Key": "c", "ETag": '"x"'}]
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": wanted})
    assert answer["Deleted"] == [{"Key": "a"}, {"Key": "none"}]
    assert [(error["Key"][:4], error["Code"]) for error in answer["Errors"]] == [
        ("b", "AccessDenied"),
        ("xxxx", "KeyTooLongError"),
        ("c", "PreconditionFailed"),
    ]
    assert ("s3:DeleteObject", "arn:aws:s3:::bucket/none") in vault.asked
    assert sorted(key for (key,) in vault.sql("SELECT object_key FROM version")) == [b"b", b"c"]
    quiet = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "c"}, {"Key": "b"}], "Quiet": True})
    assert (quiet["Deleted"], [error["Key"] for error in quiet["Errors"]]) == ([], ["b"])
    await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "c", "VersionId": "null"}]})
    assert ("s3:DeleteObjectVersion", "arn:aws:s3:::bucket/c") in vault.asked


@pytest.mark.parametrize("count", [0, 1001])
async def test_how_many_may_be_deleted_at_once(vault, count):
    await vault.make()
    objects = [{"Key": str(number)} for number in range(count)]
    assert (await vault.refused("DeleteObjects", Bucket="bucket", Delete={"Objects": objects})).code == "MalformedXML"


@pytest.mark.parametrize(
    ("given", "status", "code", "members"),
    [
        ({"Key": "k" * 1025}, 400, "KeyTooLongError", {"Size": "1025", "MaxSizeAllowed": "1024"}),
        ({"Key": "ü" * 513}, 400, "KeyTooLongError", {"Size": "1026", "MaxSizeAllowed": "1024"}),
        ({"Metadata": {"a": "x" * 2048}}, 400, "MetadataTooLarge", {"MaxSizeAllowed": "2048"}),
        ({"StorageClass": "COLD"}, 400, "InvalidStorageClass", {"StorageClassRequested": "COLD"}),
        ({"StorageClass": "SNOW"}, 400, "InvalidStorageClass", {"StorageClassRequested": "SNOW"}),
        ({"Tagging": "="}, 400, "InvalidArgument", {"ArgumentName": "x-amz-tagging", "ArgumentValue": "="}),
        ({"ObjectLockLegalHoldStatus": "ON"}, 400, "InvalidRequest", {}),
        ({"ACL": "public-read"}, 400, "AccessControlListNotSupported", {}),
        ({"ACL": "mine"}, 400, "InvalidArgument", {"ArgumentName": "x-amz-acl", "ArgumentValue": "mine"}),
        ({"GrantRead": "id=1"}, 400, "AccessControlListNotSupported", {}),
        ({"Bucket": "nobodys"}, 404, "NoSuchBucket", {"BucketName": "nobodys"}),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_writes_that_are_refused(vault, given, status, code, members):
    await vault.make()
    error = await vault.refused("PutObject", data=b"x", **{"Bucket": "bucket", "Key": "k"} | given)
    assert (error.status, error.code, error.members) == (status, code, members)
    assert vault.sql("SELECT count(*) FROM version") == [(0,)]


async def test_the_largest_that_is_taken(vault):
    await vault.make()
    for object_key in ("k" * 1024, "ü" * 512, "a/../b", "//", ".", "\x01"):
        await vault.put(object_key, object_key.encode())
        assert (await vault.get(object_key))[0] == object_key.encode()
    await vault.put("m", b"", Metadata={"n": "x" * 2047}, ACL="bucket-owner-full-control")
    error = await vault.refused("PutObject", data=body_of(b"", length=(5 << 30) + 1), Bucket="bucket", Key="k")
    assert error.code == "EntityTooLarge"
    assert (await vault.refused("PutObject", data=body_of(b"", length=None), Bucket="bucket", Key="k")).status == 411


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"Bucket": "nobodys"}, 404, "NoSuchBucket"),
        ({"Key": "none"}, 404, "NoSuchKey"),
        ({"Range": "bytes=1-"}, 416, "InvalidRange"),
        ({"PartNumber": 0}, 400, "InvalidArgument"),
        ({"PartNumber": 10_001}, 400, "InvalidArgument"),
        ({"PartNumber": 2}, 416, "InvalidPartNumber"),
        ({"PartNumber": 1, "Range": "bytes=0-0"}, 400, "InvalidRequest"),
        ({"SSECustomerAlgorithm": "AES256"}, 400, "InvalidArgument"),
        ({"headers": {"x-amz-server-side-encryption": "AES256"}}, 400, "InvalidArgument"),
        ({"VersionId": ""}, 400, "InvalidArgument"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_reads_that_are_refused(vault, operation, given, status, code):
    await vault.make()
    await vault.put("k", b"x")
    error = await vault.refused(operation, **{"Bucket": "bucket", "Key": "k"} | given)
    assert (error.status, error.code) == (status, code)


async def test_an_object_that_came_whole_has_one_part(vault):
    await vault.make()
    await vault.put("k", b"xyz")
    read, answer = await vault.get("k", PartNumber=1)
    assert (read, answer.status, answer.output["ContentRange"]) == (b"xyz", 206, "bytes 0-2/3")
    assert "PartsCount" not in answer.output
    await vault.put("empty", b"")
    read, answer = await vault.get("empty", PartNumber=1)
    assert (read, answer.status) == (b"", 200)


async def test_an_object_under_a_kms_key(vault):
    await vault.make()
    key_id, arn = await vault.kms_key()
    for size in (10, 100_000):
        data = os.urandom(size)
        context = base64.b64encode(b'{"a":"b"}').decode()
        written = await vault.put(
            "k", data, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id, SSEKMSEncryptionContext=context, BucketKeyEnabled=True
        )
        assert (written["ServerSideEncryption"], written["SSEKMSKeyId"]) == ("aws:kms", arn)
        assert written["SSEKMSEncryptionContext"] == context
        assert written["BucketKeyEnabled"] is True
        assert written["ETag"] != md5(data)
        read, answer = await vault.get("k")
        assert read == data
        assert (answer.output["ServerSideEncryption"], answer.output["SSEKMSKeyId"]) == ("aws:kms", arn)
        assert "SSEKMSEncryptionContext" not in answer.output
    assert vault.asked[-6:] == [("kms:GenerateDataKey", arn), ("kms:Decrypt", arn), ("kms:Decrypt", arn)] * 2  # 7.9


@pytest.mark.fact("4.8.3", "4.8.4", "4.8.5", "9.8")
async def test_a_disabled_key_stops_reading_and_writing_but_not_looking_and_deleting(vault):
    await vault.make()
    key_id, arn = await vault.kms_key()
    await vault.rule("aws:kms", key_id)
    await vault.put("k", b"secret")
    await vault.kms("DisableKey", KeyId=key_id)
    for operation, more in (("GetObject", {}), ("PutObject", {"data": b"x"}), ("HeadObject", {"ChecksumMode": "ENABLED"})):
        error = await vault.refused(operation, Bucket="bucket", Key="k", **more)
        assert (error.status, error.code, error.message) == (400, "KMS.DisabledException", f"{arn} is disabled.")
        assert not error.members
    assert (await vault.head("k"))["ContentLength"] == 6
    await vault.kms("EnableKey", KeyId=key_id)
    assert (await vault.get("k"))[0] == b"secret"
    await vault.kms("DisableKey", KeyId=key_id)
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    assert (await vault.refused("HeadObject", Bucket="bucket", Key="k")).code == "NoSuchKey"


@pytest.mark.fact("4.4.9", "4.4.10", "4.8.7", "E34", "E35")
async def test_kms_objects_want_a_signature_and_a_safe_way(vault):
    await vault.make()
    await vault.put("k", b"x", ServerSideEncryption="aws:kms")
    unsafe = "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection."
    unsigned = "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
    for given, message in (({"secure": False}, unsafe), ({"signed_v4": False}, unsigned), ({"anonymous": True}, unsigned)):
        error = await vault.refused("GetObject", Bucket="bucket", Key="k", **given)
        assert (error.status, error.code, error.message) == (400, "InvalidArgument", message)


async def test_no_plaintext_and_no_digest_of_it_on_disk(vault):
    await vault.make()
    small, large = os.urandom(3000), os.urandom(200_000)
    await vault.put("small", small, Metadata={"secret": "a-very-secret-word"}, ContentType="text/very-secret")
    await vault.put("large", large, ServerSideEncryption="aws:kms")
    await vault.put("more", small)
    disk = b"".join(path.read_bytes() for path in vault.folder.rglob("*") if path.is_file())
    for data in (small, large):
        for start in range(0, len(data) - 32, 32):
            assert data[start : start + 32] not in disk
        assert hashlib.md5(data).digest() not in disk
        assert hashlib.md5(data).hexdigest().encode() not in disk
        assert digest("crc64nvme", data).encode() not in disk
    assert b"very-secret" not in disk


async def test_another_room_over_the_same_folder_reads_it(vault, tmp_path):
    """Nothing that is needed to read lives in the memory of the one who wrote."""
    from tests.s3.vault import opened

    await vault.make()
    await vault.put("k", b"secret", ServerSideEncryption="aws:kms")
    async with opened(tmp_path) as other:
        assert (await other.get("k"))[0] == b"secret"
        await other.put("k", b"later", account=A)
    assert (await vault.get("k"))[0] == b"later"
