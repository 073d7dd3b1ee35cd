"""Whoever has the disk can break an object, never change it: an altered row or blob is an error and no wrong byte comes out."""
# ruff: noqa: S608 - column names come from these tests

from __future__ import annotations

import base64
import hashlib
import os

import pytest

from strongroom.api.errors import ApiError
from strongroom.kms.contract import ProviderError
from strongroom.s3.windows import WINDOW
from strongroom.seal import Forged, SealError
from strongroom.seal.stream import FIRST_PLAIN, PLAIN
from strongroom.store.contract import Gone
from tests.s3.test_multipart import FIRST, TAIL, Upload

SMALL = b"a secret"
LARGE = os.urandom(FIRST_PLAIN + 20 * PLAIN + 77)  # more than one window of segments
ERRORS = (SealError, Gone, ApiError, ProviderError)
CUSTOMER = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(bytes(32)).decode(),
    "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(bytes(32)).digest()).decode(),
}
MODES = ({"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}, CUSTOMER)
NAMES = ("SSE-S3", "SSE-KMS", "SSE-C")
READS = (("GetObject", {}), ("GetObject", {"Range": "bytes=1-2"}), ("HeadObject", {}))


def key_in(encryption):
    """What a read must bring: the customer's key, where there is one."""
    return encryption if encryption == CUSTOMER else {}


def with_key(encryption, *operations):
    return tuple((operation, given | key_in(encryption)) for operation, given in operations)


async def reading(vault, operation, **given):
    """What came out before the error: the bytes, and the error (or None)."""
    data = bytearray()
    try:
        answer = await vault.ask(operation, **given)
        if isinstance(answer.body, bytes | bytearray):
            data += answer.body
        elif answer.body is not None:
            async for piece in answer.body:
                data += piece
    except ERRORS as error:
        return bytes(data), error
    return bytes(data), None


async def broken(vault, object_key="k", *, bucket="bucket", operations=READS, listed=True):
    """Every read is an error, and nothing comes out."""
    for operation, given in operations:
        data, error = await reading(vault, operation, Bucket=bucket, Key=object_key, **given)
        assert error is not None, operation
        assert data == b"", operation
    if listed:
        for operation in ("ListObjects", "ListObjectsV2"):
            _, error = await reading(vault, operation, Bucket=bucket)
            assert isinstance(error, SealError), operation


def alter(vault, column, value, object_key="k"):
    (count,) = vault.sql("SELECT count(*) FROM version WHERE object_key = ?", object_key.encode())
    assert count == (1,)
    vault.sql(f"UPDATE version SET {column} = ? WHERE object_key = ?", value, object_key.encode())


def flips(data, step=1):
    for index in range(0, len(data), step):
        yield data[:index] + bytes([data[index] ^ (1 << index % 8)]) + data[index + 1 :]


@pytest.mark.parametrize("encryption", MODES, ids=NAMES)
@pytest.mark.parametrize("column", ["seal", "meta", "manifest"])
async def test_any_byte_of_what_stands_beside_the_body(vault, column, encryption):
    await vault.make()
    await vault.put("k", SMALL, **encryption, Metadata={"a": "b"})
    row = await vault.row("k")
    good = getattr(row, column)
    for bad in (*flips(good, 3 if len(good) > 200 else 1), good[:-1], good + b"\0", b""):
        alter(vault, column, bad)
        await broken(vault, operations=with_key(encryption, READS[0], READS[2]))
    alter(vault, column, good)
    assert (await vault.get("k", **key_in(encryption)))[0] == SMALL


async def test_any_byte_of_a_body_in_its_row(vault):
    await vault.make()
    await vault.put("k", SMALL)
    good = (await vault.row("k")).body
    for bad in (*flips(good), good[:-1], good + b"\0", good[:40], b"", None):
        alter(vault, "body", bad)
        await broken(vault, operations=READS[:2], listed=False)
    alter(vault, "body", good)
    assert (await vault.get("k"))[0] == SMALL


@pytest.mark.parametrize("size", [0, 7, 9, 1 << 40])
async def test_another_size(vault, size):
    await vault.make()
    await vault.put("k", SMALL)
    alter(vault, "size", size)
    await broken(vault, operations=(READS[0], READS[2]))


@pytest.mark.parametrize("encryption", MODES, ids=NAMES)
@pytest.mark.parametrize(
    "columns",
    [
        ("seal", "meta", "manifest", "body", "size"),
        ("version_id", "seal", "meta", "manifest", "body", "size"),
        ("seal", "manifest", "body"),
        ("manifest", "body"),
        ("seal",),
        ("meta",),
        ("version_id",),
    ],
    ids="+".join,
)
async def test_rows_that_change_places(vault, columns, encryption):
    """Under another key of the bucket, or under the same key of another bucket: nothing opens where it was not written."""
    await vault.make()
    await vault.make("other")
    for bucket, object_key in (("bucket", "k"), ("bucket", "l"), ("other", "k")):
        await vault.put(object_key, SMALL, bucket=bucket, **encryption)
    mine, others = "bucket = 1 AND object_key = x'6b'", ("bucket = 1 AND object_key = x'6c'", "bucket = 2 AND object_key = x'6b'")
    names = ", ".join(columns)
    (saved,) = vault.sql(f"SELECT {names} FROM version WHERE {mine}")
    for other in others:
        vault.sql(f"UPDATE version SET ({names}) = (SELECT {names} FROM version WHERE {other}) WHERE {mine}")
        await broken(vault, operations=with_key(encryption, READS[0], READS[2]))
        vault.sql(f"UPDATE version SET ({names}) = ({', '.join('?' * len(columns))}) WHERE {mine}", *saved)
    assert (await vault.get("k", **key_in(encryption)))[0] == SMALL


async def test_the_bodies_of_two_rows_exchanged(vault):
    await vault.make()
    for object_key in ("k", "l"):
        await vault.put(object_key, SMALL)
    bodies = [(await vault.row(object_key)).body for object_key in ("k", "l")]
    alter(vault, "body", bodies[1])
    alter(vault, "body", bodies[0], "l")
    await broken(vault, "k", operations=READS[:2], listed=False)
    await broken(vault, "l", operations=READS[:2], listed=False)


async def test_a_row_under_another_name(vault):
    await vault.make()
    await vault.make("other")
    await vault.put("k", SMALL, ServerSideEncryption="aws:kms")
    vault.sql("UPDATE version SET object_key = x'6c'")
    await broken(vault, "l", operations=(READS[0], READS[2]))
    vault.sql("UPDATE version SET object_key = x'6b', bucket = 2")
    await broken(vault, bucket="other", operations=(READS[0], READS[2]), listed=False)


async def test_a_row_is_only_as_good_as_its_wrapped_key_even_with_the_right_metadata_key(vault):
    """The second wall: whoever could forge records still has to get the wrapped data key to open in its new place."""
    await vault.make()
    bucket = await vault.buckets.find("bucket")
    for object_key in ("k", "l"):
        await vault.put(object_key, SMALL)
    stolen, row = await vault.row("l"), await vault.row("k")
    from strongroom.s3.metadata import ObjectMeta

    forged = ObjectMeta.open(bucket, stolen).seal(
        bucket, "k", row.version_id, size=stolen.size, seal=stolen.seal, manifest=stolen.manifest
    )
    for column, value in (("seal", stolen.seal), ("manifest", stolen.manifest), ("body", stolen.body), ("meta", forged)):
        alter(vault, column, value)
    assert (await vault.head("k"))["ContentLength"] == len(SMALL)
    _, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
    assert isinstance(error, Forged)


@pytest.fixture
async def blob(vault):
    await vault.make()
    await vault.put("k", LARGE)
    (path,) = vault.files
    return path


def places(size):
    """Header, and around every segment's beginning, middle and tag."""
    yield from (0, 1, 33, 39, 40)
    for start in range(0, size, 65536):
        yield from (at for at in (start + 41, start + 30_000, start + 65_519, start + 65_535) if at < size)
    yield size - 17
    yield size - 1


async def test_a_flipped_byte_of_a_blob(vault, blob):
    good = blob.read_bytes()
    for at in places(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x40
        blob.write_bytes(bad)
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
        assert isinstance(error, SealError), at
        assert LARGE.startswith(data)  # what was sent before is right, and the stream breaks off
        assert at >= WINDOW * 65536 or data == b""
        segment = at // 65536
        first = max(segment * PLAIN - 40, 0)
        _, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", Range=f"bytes={first}-{first + 5}")
        assert isinstance(error, SealError), at
        if segment > 0:  # other segments are as good as before
            data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", Range="bytes=10-20")
            assert (data, error) == (LARGE[10:21], None)


async def test_a_blob_of_another_length(vault, blob):
    good = blob.read_bytes()
    for bad in (good[:-1], good[: 10 * 65536], good[:65536], good[:40], good[:10], b"", good[65536:]):
        blob.write_bytes(bad)
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
        assert isinstance(error, SealError), len(bad)
        assert LARGE.startswith(data)
        assert len(data) < len(LARGE)
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", Range="bytes=-5")
        assert isinstance(error, SealError), len(bad)
        assert data == b""
    blob.write_bytes(good + b"more")
    for given in ({}, {"Range": "bytes=-5"}):
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", **given)
        assert isinstance(error, SealError)
        assert data == b"" or (not given and LARGE.startswith(data))


async def test_segments_that_change_places(vault, blob):
    good = blob.read_bytes()
    cuts = [good[start : start + 65536] for start in range(0, len(good), 65536)]
    for order in ([0, 2, 1], [1, 0, 2], [0, 1, 1]):
        blob.write_bytes(b"".join([*(cuts[index] for index in order), *cuts[3:]]))
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
        assert isinstance(error, SealError)
        assert data == b""


async def test_a_blob_that_is_gone(vault, blob):
    blob.unlink()
    for given in ({}, {"Range": "bytes=5-6"}):
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", **given)
        assert (data, type(error)) == (b"", Gone)
    assert (await vault.head("k"))["ContentLength"] == len(LARGE)  # a row that is whole, of bytes that are not looked at
    await vault.run("DeleteObject", Bucket="bucket", Key="k")


async def test_blobs_exchanged(vault, blob):
    await vault.put("l", LARGE)
    (other,) = [path for path in vault.files if path != blob]
    mine, others = blob.read_bytes(), other.read_bytes()
    blob.write_bytes(others)
    other.write_bytes(mine)
    for object_key in ("k", "l"):
        data, error = await reading(vault, "GetObject", Bucket="bucket", Key=object_key)
        assert (data, type(error)) == (b"", Forged)


async def test_a_damaged_object_can_still_be_deleted_and_overwritten(vault, blob):
    alter(vault, "meta", b"nonsense")
    await vault.put("k", SMALL)
    assert (await vault.get("k"))[0] == SMALL
    alter(vault, "seal", b"nonsense")
    await vault.run("DeleteObject", Bucket="bucket", Key="k")
    await vault.upkeep.delete_discarded()
    assert not vault.files


# ---- uploads


@pytest.fixture
async def upload(vault):
    await vault.make()
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, FIRST)
    await upload.part(2, TAIL)
    return upload


async def upload_broken(upload, *operations):
    given = {"MultipartUpload": upload.named()}
    everything = {
        "CompleteMultipartUpload": given,
        "ListParts": {},
        "UploadPart": {"PartNumber": 3, "data": TAIL},
        "UploadPartCopy": {"PartNumber": 3, "CopySource": "bucket/source"},
    }
    for operation in operations:
        with pytest.raises(SealError):
            await upload.vault.ask(operation, **upload.at, **everything[operation])


@pytest.mark.parametrize("column", ["seal", "meta"])
async def test_a_changed_upload(vault, upload, column):
    ((good,),) = vault.sql(f"SELECT {column} FROM upload")
    for bad in (*flips(good, 17), good[:-1], b""):
        vault.sql(f"UPDATE upload SET {column} = ?", bad)
        await upload_broken(upload, "CompleteMultipartUpload", "ListParts", "UploadPart", "UploadPartCopy")
        with pytest.raises(SealError):
            await vault.ask("ListMultipartUploads", Bucket="bucket")
    await vault.run("AbortMultipartUpload", **upload.at)
    await vault.upkeep.delete_discarded()
    assert not vault.files


@pytest.mark.parametrize("column", ["meta", "manifest"])
async def test_a_changed_part(vault, upload, column):
    ((good,),) = vault.sql(f"SELECT {column} FROM part WHERE part_number = 1")
    for bad in (*flips(good, 7), good[:-1], b""):
        vault.sql(f"UPDATE part SET {column} = ? WHERE part_number = 1", bad)
        await upload_broken(upload, "CompleteMultipartUpload", "ListParts")
    vault.sql(f"UPDATE part SET {column} = ? WHERE part_number = 1", good)
    await upload.complete()
    assert (await vault.get("k"))[0] == FIRST + TAIL


async def test_parts_of_another_size_or_number(vault, upload):
    vault.sql("UPDATE part SET size = size + 1 WHERE part_number = 1")
    await upload_broken(upload, "CompleteMultipartUpload", "ListParts")
    vault.sql("UPDATE part SET size = size - 1 WHERE part_number = 1")
    vault.sql("UPDATE part SET part_number = 3 WHERE part_number = 1")
    await upload_broken(upload, "ListParts")


async def test_parts_that_change_places(vault, upload):
    columns = "size, meta, manifest"
    rows = vault.sql(f"SELECT {columns} FROM part ORDER BY part_number")
    for number, row in ((1, rows[1]), (2, rows[0])):
        vault.sql(f"UPDATE part SET ({columns}) = (?, ?, ?) WHERE part_number = ?", *row, number)
    await upload_broken(upload, "CompleteMultipartUpload", "ListParts")


async def test_a_part_of_another_upload(vault, upload):
    another = Upload(vault)
    await another.create()
    await another.part(1, FIRST)
    ids = [number for (number,) in vault.sql("SELECT id FROM upload ORDER BY id")]
    columns = "size, meta, manifest"
    (stolen,) = vault.sql(f"SELECT {columns} FROM part WHERE upload = ?", ids[1])
    vault.sql(f"UPDATE part SET ({columns}) = (?, ?, ?) WHERE upload = ? AND part_number = 1", *stolen, ids[0])
    await upload_broken(upload, "CompleteMultipartUpload", "ListParts")


async def test_the_blobs_of_parts(vault, upload):
    """What a part's blob holds is looked at when it is read."""
    await upload.complete()
    large, small = sorted(vault.files, key=lambda path: -path.stat().st_size)
    good = small.read_bytes()
    small.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
    assert (data, type(error)) == (FIRST, Forged)
    data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", PartNumber=2)
    assert (data, type(error)) == (b"", Forged)
    data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k", PartNumber=1)
    assert (data, error) == (FIRST, None)
    large.unlink()
    data, error = await reading(vault, "GetObject", Bucket="bucket", Key="k")
    assert (data, type(error)) == (b"", Gone)
