"""Multipart uploads through boto3: its transfer manager, parts by hand, copies of parts, pages of what is under way."""

from __future__ import annotations

import hashlib
import os

import pytest
from boto3.s3.transfer import TransferConfig

from tests.clients.house import refused

MIB = 1 << 20
FIRST, TAIL = os.urandom(5 * MIB), os.urandom(1000)


@pytest.mark.timeout(120)
def test_a_large_file_up_and_down(s3, bucket, tmp_path):
    data = os.urandom(30 * MIB + 17)
    (tmp_path / "up").write_bytes(data)
    s3.upload_file(str(tmp_path / "up"), bucket, "k", ExtraArgs={"Metadata": {"a": "b"}, "ServerSideEncryption": "aws:kms"})
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["Metadata"], head["ServerSideEncryption"]) == (len(data), {"a": "b"}, "aws:kms")
    assert head["ETag"].endswith('-4"')
    s3.download_file(bucket, "k", str(tmp_path / "down"))  # ranges, in parallel
    assert (tmp_path / "down").read_bytes() == data
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as body:
        assert body.read() == data
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=TransferConfig(multipart_threshold=8 * MIB))  # by parts
    copied = s3.head_object(Bucket=bucket, Key="copy")
    assert (copied["ContentLength"], copied["ServerSideEncryption"]) == (len(data), "AES256")
    with s3.get_object(Bucket=bucket, Key="copy")["Body"] as body:
        assert hashlib.sha256(body.read()).digest() == hashlib.sha256(data).digest()


def create(s3, bucket, **given):
    return {"Bucket": bucket, "Key": "k", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="k", **given)["UploadId"]}


def finish(s3, where, parts):
    return s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


def test_parts_by_hand(s3, bucket):
    where = create(s3, bucket, ContentType="text/plain")
    parts = []
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = s3.upload_part(**where, PartNumber=number, Body=data)
        assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    refusal = refused(s3.head_object, Bucket=bucket, Key="k")
    assert refusal.status == 404
    done = finish(s3, where, parts)
    assert done["Location"].endswith(f"/{bucket}/k")
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert (answer["PartsCount"], answer["ContentLength"]) == (2, len(data))
        assert answer["Body"].read() == data
    assert refused(finish, s3=s3, where=where, parts=parts).code == "NoSuchUpload"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_checksums_of_parts(s3, bucket, algorithm):
    where = create(s3, bucket, ChecksumAlgorithm=algorithm)
    member = f"Checksum{algorithm}"
    parts = []
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = s3.upload_part(**where, PartNumber=number, Body=data, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], member: answer[member]})
    listed = s3.list_parts(**where)
    assert listed["ChecksumAlgorithm"] == algorithm
    assert [each[member] for each in listed["Parts"]] == [each[member] for each in parts]
    done = finish(s3, where, parts)
    kind = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
    assert done["ChecksumType"] == kind
    assert done[member].endswith("-2") == (kind == "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[member] == done[member]
    for part in parts:  # a part is answered with its own, which boto3 compares
        answer = s3.get_object(Bucket=bucket, Key="k", PartNumber=part["PartNumber"], ChecksumMode="ENABLED")
        assert answer[member] == part[member]
        assert answer["Body"].read() in {FIRST, TAIL}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [], "MalformedXML"),
        (lambda parts: [{**parts[0], "ETag": '"0123"'}, parts[1]], "InvalidPart"),
        (lambda parts: [{**parts[1], "PartNumber": 9}], "InvalidPart"),
        (lambda parts: [parts[1], {**parts[0], "PartNumber": 3}], "EntityTooSmall"),
    ],
    ids=["order", "none", "etag", "number", "small"],
)
def test_completions_that_are_refused(s3, bucket, change, code):
    where = create(s3, bucket)
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=TAIL)["ETag"]} for number in (1, 2, 3)
    ]
    refusal = refused(finish, s3=s3, where=where, parts=change(parts[:2]))
    assert (refusal.status, refusal.code) == (400, code)
    finish(s3, where, parts[:1])


def test_copies_of_parts(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source +ü", Body=FIRST + TAIL, ServerSideEncryption="aws:kms")
    where = create(s3, bucket)
    source = {"Bucket": bucket, "Key": "source +ü"}
    parts = []
    for number, span in ((1, f"bytes=0-{5 * MIB - 1}"), (2, f"bytes={5 * MIB + 10}-{5 * MIB + 19}")):
        answer = s3.upload_part_copy(**where, PartNumber=number, CopySource=source, CopySourceRange=span)
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    finish(s3, where, parts)
    with s3.get_object(Bucket=bucket, Key="k")["Body"] as body:
        assert body.read() == FIRST + TAIL[10:20]
    where = create(s3, bucket)
    refusal = refused(s3.upload_part_copy, **where, PartNumber=1, CopySource=source, CopySourceRange="bytes=0-99999999")
    assert (refusal.status, refusal.code) == (400, "InvalidArgument")


def test_pages_of_parts(s3, bucket):
    where = create(s3, bucket)
    for number in (1, 2, 3, 10_000):
        s3.upload_part(**where, PartNumber=number, Body=bytes(number % 100))
    found = []
    for page in s3.get_paginator("list_parts").paginate(**where, PaginationConfig={"PageSize": 3}):
        found += [(each["PartNumber"], each["Size"]) for each in page["Parts"]]
    assert found == [(1, 1), (2, 2), (3, 3), (10_000, 0)]
    refusal = refused(s3.upload_part, **where, PartNumber=10_001, Body=b"")
    assert (refusal.status, refusal.code) == (400, "InvalidArgument")
    assert refusal.message == "Part number must be an integer between 1 and 10000, inclusive"
    s3.abort_multipart_upload(**where)
    assert refused(s3.list_parts, **where).code == "NoSuchUpload"


def test_pages_of_uploads(s3, bucket):
    keys = ["a", "a", "b/1", "b/2", "ü+ "]
    ids = [s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"] for key in keys]
    found = []
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}):
        found += [(each["Key"], each["UploadId"]) for each in page.get("Uploads", [])]
    assert [key for key, _ in found] == keys
    assert sorted(upload for _, upload in found) == sorted(ids)
    answer = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", Prefix="b")
    assert (answer["CommonPrefixes"], "Uploads" in answer) == ([{"Prefix": "b/"}], False)
    for key, upload in found:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


def test_attributes_of_what_came_in_parts(s3, bucket):
    parts = []
    where = create(s3, bucket, ChecksumAlgorithm="SHA256")
    for number, data in ((1, FIRST), (2, TAIL)):
        answer = s3.upload_part(**where, PartNumber=number, Body=data, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    done = finish(s3, where, parts)
    names = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    told = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=names, MaxParts=1)
    assert (told["ETag"], told["ObjectSize"], told["StorageClass"]) == (done["ETag"].strip('"'), len(FIRST + TAIL), "STANDARD")
    assert told["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"], "ChecksumType": "COMPOSITE"}
    page = told["ObjectParts"]
    assert (page["TotalPartsCount"], page["IsTruncated"], page["NextPartNumberMarker"]) == (2, True, 1)
    assert page["Parts"] == [{"PartNumber": 1, "Size": len(FIRST), "ChecksumSHA256": parts[0]["ChecksumSHA256"]}]
    refusal = refused(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=["Colour"])
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidArgument", "Invalid attribute name specified.")
