"""A store with one of each in it, for whoever goes through everything that there is, and what damage is done to."""

from __future__ import annotations

import os
from pathlib import Path

from tests.s3.vault import Vault

SMALL, LARGE = os.urandom(3000), os.urandom(300_000)
KMS, DSSE = {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms:dsse"}


async def fill(vault: Vault) -> Vault:
    """Small and large objects of three modes, old versions, a delete marker, an unfinished upload of two parts."""
    await vault.make()
    await vault.versioned()
    vault.key_id, vault.key_arn = await vault.kms_key()
    for key in ("small", "large"):
        await vault.put(f"s3/{key}", SMALL if key == "small" else LARGE)
        await vault.put(f"kms/{key}", SMALL if key == "small" else LARGE, SSEKMSKeyId=vault.key_id, **KMS)
        await vault.put(f"dsse/{key}", SMALL if key == "small" else LARGE, SSEKMSKeyId=vault.key_id, **DSSE)
    await vault.put("s3/small", b"newer")
    await vault.put("shared", SMALL, SSEKMSKeyId=vault.key_id, BucketKeyEnabled=True, **KMS)
    await vault.put("empty", b"")
    await vault.put("gone", LARGE)
    await vault.delete_marker("gone")
    created = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="upload", SSEKMSKeyId=vault.key_id, **KMS)
    vault.upload_id = created["UploadId"]
    for number in (1, 2):
        await vault.run("UploadPart", data=LARGE, PartNumber=number, Bucket="bucket", Key="upload", UploadId=vault.upload_id)
    return vault


def blob_file(vault: Vault, object_key: str) -> Path:
    """The file of a blob that a row names, by the key of its object (or ``upload``)."""
    if object_key == "upload":
        ((manifest,),) = vault.sql("SELECT manifest FROM part WHERE part_number = 2")
    else:
        ((manifest,),) = vault.sql("SELECT manifest FROM version WHERE object_key = ? AND current = 1", object_key.encode())
    (path,) = [path for path in vault.files if path.name == manifest[5:21].hex()]
    return path
