"""The main job, played by boto3: what a bucket says of its encryption is what the disk holds."""

from __future__ import annotations

import hashlib
import os
from array import array

from boto3.s3.transfer import TransferConfig

from tests.clients.house import refused, rule
from tests.clients.rules import encryption_of

MIB = 1 << 20
BLOCK = 8


def shared_blocks(folder, *plains):
    """Aligned blocks of the plaintexts that stand anywhere under the folder, at any offset: none, if no 15 bytes in a row do."""
    wanted = set()
    for plain in plains:
        wanted.update(array("Q", plain[: len(plain) // BLOCK * BLOCK]))
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for shift in range(BLOCK):
                there = data[shift : shift + (len(data) - shift) // BLOCK * BLOCK]
                found |= wanted.intersection(array("Q", there))
    return found


def test_the_main_job(own_server, tmp_path):
    server = own_server
    s3, kms = server.client("s3"), server.client("kms")
    s3.create_bucket(Bucket="main-job")

    # Encrypted from birth, by a rule that nobody put.
    answer = s3.get_bucket_encryption(Bucket="main-job")
    assert answer["ServerSideEncryptionConfiguration"] == rule(
        BucketKeyEnabled=False, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]}
    )

    # Another rule, with a key of one's own, and it is told back word for word.
    key = kms.create_key(Description="of the main job")["KeyMetadata"]
    s3.put_bucket_encryption(Bucket="main-job", ServerSideEncryptionConfiguration=rule("aws:kms", key["KeyId"]))
    answer = s3.get_bucket_encryption(Bucket="main-job")
    assert answer["ServerSideEncryptionConfiguration"] == rule(
        "aws:kms", key["KeyId"], BucketKeyEnabled=False, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]}
    )

    # Real files, large and small.
    large, small = os.urandom(7 * MIB + 11), os.urandom(3000)
    (tmp_path / "up").write_bytes(large)
    parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(tmp_path / "up"), "main-job", "large", Config=parts)
    written = s3.put_object(Bucket="main-job", Key="small", Body=small)
    assert encryption_of(written) == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["Arn"]}
    s3.download_file("main-job", "large", str(tmp_path / "down"), Config=parts)
    assert (tmp_path / "down").read_bytes() == large
    assert read(s3, "small") == small
    assert read(s3, "large", Range="bytes=5242870-5242889") == large[5242870:5242890]
    assert read(s3, "large", Range="bytes=-100") == large[-100:]
    (tmp_path / "up").unlink()
    (tmp_path / "down").unlink()

    # The disk holds nothing of them, nor a digest that would tell one from another.
    assert shared_blocks(own_server.data, large, small) == set()
    disk = b"".join(path.read_bytes() for path in server.data.rglob("*") if path.is_file())
    for plain in (large, small):
        assert hashlib.md5(plain).hexdigest().encode() not in disk
        assert hashlib.sha256(plain).digest() not in disk
    assert shared_blocks_finds_what_is_there(tmp_path, small)

    # The key is switched off: neither reading nor writing, but looking and deleting.
    kms.disable_key(KeyId=key["KeyId"])
    for name in ("large", "small"):
        refusal = refused(s3.get_object, Bucket="main-job", Key=name)
        assert (refusal.status, refusal.code) == (400, "KMS.DisabledException")
        assert refusal.message == f"{key['Arn']} is disabled."
        assert s3.head_object(Bucket="main-job", Key=name)["ContentLength"] in {len(large), len(small)}
    assert refused(s3.put_object, Bucket="main-job", Key="new", Body=b"x").code == "KMS.DisabledException"
    s3.delete_object(Bucket="main-job", Key="small")
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="main-job")["Contents"]] == ["large"]

    # And on again; also after the server was stopped and started.
    kms.enable_key(KeyId=key["KeyId"])
    assert read(s3, "large") == large
    server.stop()
    server.start()
    assert read(s3, "large") == large
    answer = s3.get_bucket_encryption(Bucket="main-job")
    assert answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key["KeyId"],
    }
    for client in (s3, kms):
        client.close()


def read(s3, name, **given):
    with s3.get_object(Bucket="main-job", Key=name, **given)["Body"] as body:
        return body.read()


def shared_blocks_finds_what_is_there(folder, plain):
    """The search itself works: 32 bytes of the plaintext, at odd offsets, are found."""
    place = folder / "leak"
    place.mkdir()
    (place / "file").write_bytes(b"x" * 13 + plain[1001 : 1001 + 32] + b"y" * 5)
    return bool(shared_blocks(place, plain))
