"""GetObjectAttributes: just what is asked for, the page of an upload's parts, and whose leave it takes."""

from __future__ import annotations

import hashlib

import pytest

from strongroom.s3.object_attributes import ATTRIBUTES
from strongroom.s3.reading import modified_at
from tests.s3.test_customer_keys import MISSING, NOT_APPLICABLE, OTHER, WRONG, told, trio
from tests.s3.test_multipart import FIRST, SECOND, TAIL, Upload, digest
from tests.s3.vault import A

ALL = sorted(ATTRIBUTES)
OBJECT = "arn:aws:s3:::bucket/k"


@pytest.fixture
async def bucket(vault):
    return await vault.make()


async def asked(vault, *names, **given):
    return await vault.run("GetObjectAttributes", Bucket="bucket", Key="k", ObjectAttributes=list(names), **given)


async def refused(vault, *names, **given):
    return told(
        await vault.refused("GetObjectAttributes", **{"Bucket": "bucket", "Key": "k", "ObjectAttributes": list(names)} | given)
    )


@pytest.mark.fact("4.8.6")
@pytest.mark.parametrize("data", [b"", TAIL], ids=len)
async def test_what_is_asked_for_and_nothing_else(vault, bucket, data):
    await vault.put("k", data, StorageClass="STANDARD_IA")
    modified = modified_at(await vault.row("k"))
    expected = {
        "ETag": hashlib.md5(data).hexdigest(),  # no quotes
        "Checksum": {"ChecksumCRC64NVME": digest("crc64nvme", data), "ChecksumType": "FULL_OBJECT"},
        "StorageClass": "STANDARD_IA",
        "ObjectSize": len(data),
    }
    assert await asked(vault, *ALL) == expected | {"LastModified": modified}  # no parts: it came in one piece
    for name in ALL:
        assert await asked(vault, name) == {k: v for k, v in expected.items() if k == name} | {"LastModified": modified}


async def test_of_a_version(vault, bucket):
    await vault.versioned()
    first = (await vault.put("k", b"one"))["VersionId"]
    second = (await vault.put("k", b"three"))["VersionId"]
    vault.asked.clear()
    answer = await asked(vault, "ObjectSize", VersionId=first)
    assert (answer["ObjectSize"], answer["VersionId"]) == (3, first)
    assert vault.asked == [("s3:GetObjectVersion", OBJECT)]
    answer = await asked(vault, "ObjectSize", "StorageClass")
    assert (answer["ObjectSize"], answer["VersionId"], answer["StorageClass"]) == (5, second, "STANDARD")
    assert (await refused(vault, "ETag", VersionId="0" * 32))[:2] == (404, "NoSuchVersion")
    assert (await refused(vault, "ETag", Key="none"))[:2] == (404, "NoSuchKey")


async def parted(vault, **given):
    upload = Upload(vault)
    await upload.create(**given)
    for number, data in enumerate((FIRST, SECOND, TAIL), 1):
        await upload.part(number * 2, data)  # numbers may have gaps, until they are one object
    return await upload.complete(**({"ChecksumType": "FULL_OBJECT"} if given else {}))


async def test_parts_without_checksums_of_their_own_are_counted(vault, bucket):
    done = await parted(vault)
    answer = await asked(vault, *ALL)
    assert answer["ObjectParts"] == {"TotalPartsCount": 3}
    assert answer["ETag"] == done["ETag"].strip('"')


async def test_pages_of_parts(vault, bucket):
    await parted(vault, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    listed = [
        {"PartNumber": number, "Size": len(data), "ChecksumCRC32": digest("crc32", data)}
        for number, data in enumerate((FIRST, SECOND, TAIL), 1)
    ]
    whole = {"TotalPartsCount": 3, "PartNumberMarker": 0, "NextPartNumberMarker": 3, "MaxParts": 1000, "IsTruncated": False}
    assert (await asked(vault, "ObjectParts"))["ObjectParts"] == whole | {"Parts": listed}
    page = {"TotalPartsCount": 3, "MaxParts": 2}
    first = (await asked(vault, "ObjectParts", MaxParts=2))["ObjectParts"]
    assert first == page | {"PartNumberMarker": 0, "NextPartNumberMarker": 2, "IsTruncated": True, "Parts": listed[:2]}
    second = (await asked(vault, "ObjectParts", MaxParts=2, PartNumberMarker=2))["ObjectParts"]
    assert second == page | {"PartNumberMarker": 2, "NextPartNumberMarker": 3, "IsTruncated": False, "Parts": listed[2:]}
    past = (await asked(vault, "ObjectParts", PartNumberMarker=7))["ObjectParts"]
    assert (past["Parts"], past["IsTruncated"], past["NextPartNumberMarker"]) == ([], False, 0)
    none = (await asked(vault, "ObjectParts", MaxParts=0))["ObjectParts"]
    assert (none["Parts"], none["IsTruncated"]) == ([], True)
    assert (await asked(vault, "ObjectParts", MaxParts=5000))["ObjectParts"]["MaxParts"] == 1000
    text = "Argument {} must be an integer between 0 and 2147483647"
    assert await refused(vault, "ETag", MaxParts=-1) == (400, "InvalidArgument", text.format("x-amz-max-parts"))
    assert await refused(vault, "ETag", PartNumberMarker=-1) == (400, "InvalidArgument", text.format("x-amz-part-number-marker"))


@pytest.mark.parametrize("names", [[], [""], [" "]])
async def test_attributes_must_be_named(vault, bucket, names):
    text = "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty"
    assert await refused(vault, *names) == (400, "InvalidRequest", text)


@pytest.mark.parametrize("name", ["Etag", "Owner", ""])
async def test_attributes_that_objects_do_not_have(vault, bucket, name):
    await vault.put("k", b"x")
    assert await refused(vault, "ETag", name) == (400, "InvalidArgument", "Invalid attribute name specified.")


async def test_the_right_to_read_is_needed_too(vault, bucket):
    await vault.put("k", b"x")
    vault.denied.add(("s3:GetObject", OBJECT))
    assert (await refused(vault, "ETag"))[:2] == (403, "AccessDenied")
    vault.denied = {("s3:ListBucket", "arn:aws:s3:::bucket")}
    assert (await refused(vault, "ETag", Key="none"))[:2] == (403, "AccessDenied")
    need = vault.register.find("s3", "GetObjectAttributes").need
    assert (need.action, need.with_version) == ("s3:GetObjectAttributes", "s3:GetObjectVersionAttributes")


@pytest.mark.fact("4.8.6", "5.4.6", "5.4.12", "11.D36")
async def test_36_a_customers_key(vault, bucket):
    await vault.put("k", TAIL, **trio())
    answer = await asked(vault, "ObjectSize", "Checksum", **trio())
    assert (answer["ObjectSize"], answer["Checksum"]["ChecksumCRC64NVME"]) == (len(TAIL), digest("crc64nvme", TAIL))
    assert not [name for name in answer if name.startswith("SSE")]
    assert await refused(vault, "ObjectSize") == (400, "InvalidRequest", MISSING)
    assert await refused(vault, "ObjectSize", **trio(OTHER)) == (403, "AccessDenied", WRONG)
    assert (await refused(vault, "ObjectSize", **trio(Algorithm="KMS")))[1] == "InvalidEncryptionAlgorithmError"
    await vault.put("k", TAIL)
    assert await refused(vault, "ObjectSize", **trio()) == (400, "InvalidRequest", NOT_APPLICABLE)


@pytest.mark.fact("4.8.6", "4.5.11")
async def test_kms_is_asked_for_checksums_only(vault, bucket):
    key_id, arn = await vault.kms_key()
    await vault.put("k", TAIL, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    vault.asked.clear()
    await asked(vault, "ETag", "ObjectSize", "ObjectParts", "StorageClass")
    assert vault.asked == [("s3:GetObject", OBJECT)]
    answer = await asked(vault, "Checksum")
    assert answer["Checksum"]["ChecksumCRC64NVME"] == digest("crc64nvme", TAIL)
    assert ("kms:Decrypt", arn) in vault.asked
    await vault.kms("DisableKey", KeyId=key_id)
    assert (await asked(vault, "ObjectSize"))["ObjectSize"] == len(TAIL)
    assert (await refused(vault, "Checksum"))[1] == "KMS.DisabledException"
    assert (await refused(vault, "Checksum", anonymous=True, account=A))[1] == "InvalidArgument"


async def test_encryption_headers_are_not_for_reads(vault, bucket):
    await vault.put("k", b"x")
    headers = {"x-amz-server-side-encryption": "AES256"}
    assert (await refused(vault, "ETag", headers=headers))[1] == "InvalidArgument"
