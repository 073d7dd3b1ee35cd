"""DSSE-KMS through every door: two layers on the disk, the same bytes for the client. Numbers are those of the facts, section 6."""

from __future__ import annotations

import base64
import os

import pytest

from strongroom.api import digests
from strongroom.s3.sealing import Sealing
from strongroom.s3.windows import LAYERED_WINDOW
from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.format import Envelope, Mode, decode_manifest
from strongroom.seal.layers import Layers
from strongroom.seal.segments import SEGMENT
from strongroom.seal.stream import FIRST_PLAIN, PLAIN
from tests.s3.test_multipart import FIRST, TAIL, Upload
from tests.seal import slow_reader

DSSE = {"ServerSideEncryption": "aws:kms:dsse"}
WINDOW = LAYERED_WINDOW * PLAIN
SIZES = (0, 1, 4096, FIRST_PLAIN - 1, FIRST_PLAIN, FIRST_PLAIN + 1, FIRST_PLAIN + PLAIN, FIRST_PLAIN + WINDOW + 1, 2_500_000)


async def opened_key(vault, object_key):
    """The open data keys and their KEKs, as a read gets them."""
    bucket, row = await vault.buckets.find("bucket"), await vault.row(object_key)
    envelope = Envelope.decode(row.seal)
    sealing, call = Sealing(vault.keys, os.urandom), vault.call("GetObject")
    return await sealing.open(call, bucket, object_key, row.version_id, row.seal, envelope, row.manifest)


@pytest.fixture
async def key(vault):
    await vault.make()
    return await vault.kms_key()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.fact("6.1", "6.2")
async def test_6_1_6_2_bytes_come_back(vault, key, size):
    key_id, arn = key
    data = os.urandom(size)
    written = await vault.put("k", data, **DSSE, SSEKMSKeyId=key_id)
    shown = {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": arn}
    assert shown.items() <= written.items()
    assert written["ETag"] != '"d41d8cd98f00b204e9800998ecf8427e"'  # opaque
    read, answer = await vault.get("k")
    assert read == data
    for output in (dict(answer.output), await vault.head("k")):
        assert shown.items() <= output.items()
        assert "BucketKeyEnabled" not in output
    assert len(vault.files) == (size > FIRST_PLAIN)
    row = await vault.row("k")
    (piece,) = decode_manifest(row.manifest)
    on_disk = row.body if row.body is not None else vault.files[0].read_bytes()
    assert len(on_disk) == Layers(b"", b"").sealed_size(size) == CTR_HMAC.segments.sealed_size(Layers(b"").sealed_size(size))
    assert piece.size == size
    for first, last in ((0, 0), (size // 2, size // 2 + 70_000), (size - 1, size - 1), (FIRST_PLAIN - 1, FIRST_PLAIN)):
        if 0 <= first < size:
            part, answer = await vault.get("k", Range=f"bytes={first}-{last}")
            assert part == data[first : last + 1]
            assert answer.status == 206


async def test_ranges_around_every_border_of_windows(vault, key):
    data = os.urandom(FIRST_PLAIN + 2 * WINDOW + 10)
    await vault.put("k", data, **DSSE)
    points = sorted({at + by for at in (0, FIRST_PLAIN, FIRST_PLAIN + WINDOW, FIRST_PLAIN + 2 * WINDOW) for by in (-1, 0, 1, 40)})
    for first in [point for point in points if 0 <= point < len(data)]:
        for last in (first, first + PLAIN, first + WINDOW, len(data) - 1):
            assert (await vault.get("k", Range=f"bytes={first}-{last}"))[0] == data[first : last + 1], (first, last)


async def test_a_range_reads_only_the_segments_it_needs(vault, key, monkeypatch):
    await vault.put("k", os.urandom(3 << 20), **DSSE)
    reads = vault.recorded_reads(monkeypatch)
    await vault.get("k", Range="bytes=2000000-2000009")
    # The inner segment lies in two outer ones; the first one holds the inner header.
    assert reads == [(0, SEGMENT), (30 * SEGMENT, 2 * SEGMENT)]


@pytest.mark.fact("6.1")
async def test_two_data_keys_under_two_keys(vault, key):
    """6.1: one wrapped under KMS's data key, the other under S3's own; both only there and never the same."""
    await vault.put("k", b"x", **DSSE, SSEKMSKeyId=key[0])
    await vault.put("l", b"x", **DSSE, SSEKMSKeyId=key[0])
    seen = set()
    for object_key in ("k", "l"):
        envelope = Envelope.decode((await vault.row(object_key)).seal)
        assert (envelope.mode, envelope.key_arn, envelope.bucket_key) == (Mode.DSSE_KMS, key[1], False)
        assert envelope.key_id == vault.keys.service_key().key_id
        seen |= {envelope.wrapped, envelope.outer_wrapped}
        opened = await opened_key(vault, object_key)
        assert opened.layers.outer is not None
        seen |= {opened.layers.inner, opened.layers.outer, opened.kek, opened.outer_kek.key}
    assert len(seen) == 11  # the service key is the same for both


@pytest.mark.fact("6.3", "7.10", "12.3")
async def test_6_3_a_bucket_key_is_never_one(vault, key):
    await vault.rule("aws:kms:dsse", key[0], BucketKeyEnabled=True)
    for given in ({}, {"BucketKeyEnabled": True}, DSSE):
        output = await vault.put("k", b"x", **given)
        assert output["ServerSideEncryption"] == "aws:kms:dsse"
        assert "BucketKeyEnabled" not in output
        assert not Envelope.decode((await vault.row("k")).seal).bucket_key
    sent = base64.b64encode(b'{"a": "b"}').decode()
    assert (await vault.put("k", b"x", **DSSE, SSEKMSEncryptionContext=sent))["SSEKMSEncryptionContext"] == sent
    assert Envelope.decode((await vault.row("k")).seal).context == {"a": "b"}  # and the object's ARN, which is not kept
    assert (await vault.get("k"))[0] == b"x"


@pytest.mark.fact("6.4")
async def test_6_4_without_a_key_id_it_is_aws_s3(vault, key):
    dsse, kms = await vault.put("k", b"x", **DSSE), await vault.put("l", b"x", ServerSideEncryption="aws:kms")
    assert dsse["SSEKMSKeyId"] == kms["SSEKMSKeyId"] != key[1]


async def test_parts_are_two_layered_too(vault, key):
    upload = Upload(vault)
    created = await upload.create(**DSSE, SSEKMSKeyId=key[0])
    await vault.put("source", TAIL)
    answers = [created, await upload.part(1, FIRST)]
    copied = await vault.run("UploadPartCopy", **upload.at, PartNumber=2, CopySource="bucket/source")
    upload.etags[2] = copied["CopyPartResult"]["ETag"]
    answers += [copied, await upload.complete(), await vault.head("k")]
    for answer in answers:
        assert (answer["ServerSideEncryption"], answer["SSEKMSKeyId"]) == ("aws:kms:dsse", key[1])
    assert (await vault.get("k"))[0] == FIRST + TAIL
    sizes = [Layers(b"", b"").sealed_size(len(data)) for data in (FIRST, TAIL)]
    assert sorted(path.stat().st_size for path in vault.files) == sorted(sizes)
    for first, last in ((len(FIRST) - 10, len(FIRST) + 9), (len(FIRST), len(FIRST)), (3_000_000, 3_000_001)):
        assert (await vault.get("k", Range=f"bytes={first}-{last}"))[0] == (FIRST + TAIL)[first : last + 1]
    assert (await vault.get("k", PartNumber=2))[0] == TAIL


@pytest.mark.parametrize("size", [1000, 1_000_000])
@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms", "aws:kms:dsse"])
@pytest.mark.fact("6.10")
async def test_6_10_copies_in_and_out(vault, key, algorithm, size):
    data = os.urandom(size)
    await vault.put("k", data, ServerSideEncryption=algorithm)
    into = await vault.run("CopyObject", Bucket="bucket", Key="in", CopySource="bucket/k", **DSSE)
    out = await vault.run("CopyObject", Bucket="bucket", Key="out", CopySource="bucket/in", ServerSideEncryption=algorithm)
    itself = await vault.run("CopyObject", Bucket="bucket", Key="k", CopySource="bucket/k", **DSSE)
    assert [answer["ServerSideEncryption"] for answer in (into, out, itself)] == ["aws:kms:dsse", algorithm, "aws:kms:dsse"]
    for object_key in ("k", "in", "out"):
        assert (await vault.get(object_key))[0] == data


@pytest.mark.fact("6.12")
async def test_6_12_kms_failures_are_those_of_sse_kms(vault, key):
    key_id, arn = key
    await vault.put("k", b"x", **DSSE, SSEKMSKeyId=key_id)
    upload = Upload(vault, "u")
    await upload.create(**DSSE, SSEKMSKeyId=key_id)
    await vault.kms("DisableKey", KeyId=key_id)
    for operation, given in (
        ("PutObject", {"Key": "l", "data": b"x", **DSSE, "SSEKMSKeyId": key_id}),
        ("CreateMultipartUpload", {"Key": "l", **DSSE, "SSEKMSKeyId": key_id}),
        ("UploadPart", {**upload.at, "PartNumber": 1, "data": b"x"}),
        ("GetObject", {"Key": "k"}),
        ("CopyObject", {"Key": "l", "CopySource": "bucket/k"}),
        ("HeadObject", {"Key": "k", "ChecksumMode": "ENABLED"}),
    ):
        error = await vault.refused(operation, **{"Bucket": "bucket"} | given)
        assert (error.status, error.code, error.message) == (400, "KMS.DisabledException", f"{arn} is disabled."), operation
    assert (await vault.head("k"))["ContentLength"] == 1
    error = await vault.refused("PutObject", Bucket="bucket", Key="l", data=b"x", **DSSE, SSEKMSKeyId="none")
    assert (error.status, error.code, error.message) == (400, "KMS.NotFoundException", "Invalid keyId 'none'")
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]
    await vault.kms("EnableKey", KeyId=key_id)
    assert (await vault.get("k"))[0] == b"x"


@pytest.mark.fact("6.5")
async def test_6_5_the_same_permissions(vault, key):
    key_id, arn = key
    vault.asked.clear()
    await vault.put("k", b"x", **DSSE, SSEKMSKeyId=key_id)
    await vault.get("k")
    assert [action for action, resource in vault.asked if resource == arn] == ["kms:GenerateDataKey", "kms:Decrypt"]
    vault.denied.add(("kms:Decrypt", arn))
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k")).code == "AccessDenied"


@pytest.mark.parametrize("given", [{"secure": False}, {"signed_v4": False}, {"anonymous": True}], ids=str)
async def test_reads_need_what_reads_of_sse_kms_need(vault, key, given):
    await vault.put("k", b"x", **DSSE)
    assert (await vault.refused("GetObject", Bucket="bucket", Key="k", **given)).code in {"InvalidArgument", "AccessDenied"}


@pytest.mark.parametrize("size", [0, 5000, 1_000_000])
async def test_the_document_alone_reads_it(vault, key, size):
    data = os.urandom(size)
    await vault.put("k", data, **DSSE, SSEKMSKeyId=key[0])
    opened = await opened_key(vault, "k")
    bucket, row = await vault.buckets.find("bucket"), await vault.row("k")
    (piece,) = decode_manifest(row.manifest)
    streams = {piece.blob_id: row.body if row.body is not None else vault.files[0].read_bytes()}
    where = (bucket.bucket_id, "k", row.version_id)
    assert slow_reader.read_object(opened.kek, where, row.seal, row.manifest, streams, outer_kek=opened.outer_kek.key) == data
    outer = opened.outer_kek.key
    for keks in ((opened.kek, opened.kek), (outer, outer), (outer, opened.kek)):
        with pytest.raises(slow_reader.Forged):
            slow_reader.read_object(keks[0], where, row.seal, row.manifest, streams, outer_kek=keks[1])


@pytest.mark.parametrize("encryption", [{"ServerSideEncryption": "aws:kms"}, DSSE])
async def test_no_md5_is_computed_where_the_etag_is_none(vault, key, monkeypatch, encryption):
    """It is the slowest of all that is done to a body. A Content-MD5 that is sent is checked all the same (``test_body``)."""

    class Refusing:
        def update(self, _data):
            raise AssertionError("somebody computes MD5")

    monkeypatch.setitem(digests._NEW, "md5", Refusing)
    monkeypatch.setitem(digests._WHOLE, "md5", Refusing().update)
    for size in (100, FIRST_PLAIN + 1, 2_500_000):
        data = os.urandom(size)
        await vault.put("k", data, **encryption)
        await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k", **encryption)
        upload = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="parts", **encryption)
        given = {"Bucket": "bucket", "Key": "parts", "UploadId": upload["UploadId"]}
        await vault.run("UploadPart", data=data, PartNumber=1, **given)
        part = (await vault.run("UploadPartCopy", PartNumber=1, CopySource="bucket/k", **given))["CopyPartResult"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        await vault.run("CompleteMultipartUpload", MultipartUpload=parts, **given)
        for name in ("k", "copy", "parts"):
            assert (await vault.get(name))[0] == data
    with pytest.raises(AssertionError):
        await vault.put("k", b"x")
