"""What a real server left on the disk is read with nothing but the root key, by the reader written from the document alone."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from contextlib import closing

from tests.clients.house import unique
from tests.kms import slow_blob
from tests.seal import slow_reader as slow

SMALL, LARGE, PART = os.urandom(4096), os.urandom(1_000_000), os.urandom(5 << 20)


def service_keys(rows, root_key):
    """Section 2 of the document: S3's own keys by id."""
    kms_key = slow.derive(root_key, "strongroom/kms", b"")
    found = {}
    for scope, content in rows:
        if scope.startswith(b"service-key/s3/"):
            value = json.loads(content)
            texts = ("service-key", "s3", value["key_id"])
            binding = len(texts).to_bytes(4, "big") + b"".join(slow.lp(text.encode()) for text in texts)
            found[value["key_id"]] = slow.unwrap(kms_key, base64.b64decode(value["wrapped"]), binding)
    return found


def kms_material(rows, root_key):
    """Section 2 of the document: the material of KMS keys, by key ARN."""
    kms_key = slow.derive(root_key, "strongroom/kms", b"")
    found = {}
    for scope, content in rows:
        _, account_id, region, key_id = scope.decode().split("/")
        (kept,) = json.loads(content)["materials"]
        texts = ("kms-key", account_id, region, key_id, kept["id"])
        binding = len(texts).to_bytes(4, "big") + b"".join(slow.lp(text.encode()) for text in texts)
        found[f"arn:aws:kms:{region}:{account_id}:key/{key_id}"] = slow.unwrap(
            kms_key, base64.b64decode(kept["wrapped"]), binding
        )
    return found


def kek_of(envelope, bucket, object_key, service, material):
    """Section 2 of the document: the key-encrypting key of an object."""
    if envelope["mode"] == 1:
        return service[envelope["key_id"]]
    arn = f"arn:aws:s3:::{bucket}" if envelope["bucket_key"] else f"arn:aws:s3:::{bucket}/{object_key}"
    context = {**envelope["context"], "aws:s3:arn": arn}
    return slow_blob.read(envelope["kms_wrapped"], material[envelope["key_arn"]], context)


def test_a_data_folder_is_read_from_the_document_alone(own_server):
    s3 = own_server.client("s3")
    name = unique()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="small", Body=SMALL)
    s3.put_object(Bucket=name, Key="large", Body=LARGE)
    upload = s3.create_multipart_upload(Bucket=name, Key="parts")["UploadId"]
    etags = [
        s3.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=number, Body=body)["ETag"]
        for number, body in ((1, PART), (2, SMALL))
    ]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(Bucket=name, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": base64.b64encode(b'{"a":"b"}').decode()}
    s3.put_object(Bucket=name, Key="kms", Body=SMALL, **sealed)
    for object_key in ("shared", "as well"):
        s3.put_object(Bucket=name, Key=object_key, Body=SMALL, BucketKeyEnabled=True, **sealed)
    s3.close()
    own_server.stop()

    root_key = bytes.fromhex((own_server.data / "root.key").read_text().strip())
    with closing(sqlite3.connect(own_server.data / "catalog.sqlite")) as catalog:
        keys = service_keys(
            catalog.execute("SELECT scope, content FROM document WHERE kind = 'service-key'").fetchall(), root_key
        )
        material = kms_material(
            catalog.execute("SELECT scope, content FROM document WHERE kind = 'kms-key'").fetchall(), root_key
        )
        ((bucket_id,),) = catalog.execute("SELECT bucket_id FROM bucket WHERE name = ?", (name.encode(),)).fetchall()
        rows = catalog.execute("SELECT object_key, version_id, seal, manifest, body FROM version").fetchall()
    read = {}
    for object_key, version_id, seal, manifest, body in rows:
        streams = {}
        for blob_id, part_number, _ in slow.read_manifest(manifest):
            path = own_server.data / "blobs" / blob_id[:2] / blob_id[2:4] / blob_id
            streams[blob_id] = body if part_number == 0 else path.read_bytes()
        kek = kek_of(slow.read_envelope(seal), name, object_key.decode(), keys, material)
        read[object_key.decode()] = slow.read_object(kek, (bucket_id, object_key.decode(), version_id), seal, manifest, streams)
    assert read == {"small": SMALL, "large": LARGE, "parts": PART + SMALL, "kms": SMALL, "shared": SMALL, "as well": SMALL}
