"""minio-py: parts and streams, ranges, copies and compositions, encryption of requests and buckets, versions, links and forms."""

from __future__ import annotations

import datetime as dt
import io
import json

import pytest
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Filter, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig
from minio.lifecycleconfig import Rule as LifecycleRule
from minio.sse import SseKMS, SseS3
from minio.sseconfig import Rule, SSEConfig
from minio.versioningconfig import VersioningConfig

from tests.clients.setups import run_python
from tests_clients.house import MIB, fetch

NAME = "deep er/ü + ñ & 50%"


@pytest.fixture
def client(server, bucket, files, at_home):
    return run_python("minio-py", server, bucket.name)["client"]


def read(client, *where, **given):
    answer = client.get_object(*where, **given)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def test_objects(client, bucket, files):
    data = files["deep er/large"]
    assert bucket.read("one.txt") == files["one.txt"]
    client.put_object(bucket.name, NAME, io.BytesIO(data), len(data), content_type="text/plain", metadata={"note": "of two"})
    client.put_object(bucket.name, "stream", io.BytesIO(data), -1, part_size=10 * MIB)
    assert bucket.read("stream") == data
    told = client.stat_object(bucket.name, NAME)
    assert (told.size, told.content_type, told.metadata["x-amz-meta-note"]) == (len(data), "text/plain", "of two")
    assert read(client, bucket.name, NAME) == data
    assert read(client, bucket.name, NAME, offset=5 * MIB - 3, length=100_000) == data[5 * MIB - 3 :][:100_000]
    client.copy_object(bucket.name, "copy ü", CopySource(bucket.name, NAME))
    client.compose_object(bucket.name, "composed", [ComposeSource(bucket.name, NAME), ComposeSource(bucket.name, "copy ü")])
    assert bucket.read("composed") == data + data
    listed = {each.object_name: each.is_dir for each in client.list_objects(bucket.name)}
    assert listed == {"composed": False, "copy ü": False, "one.txt": False, "stream": False, "deep er/": True}
    assert fetch(client.presigned_get_object(bucket.name, NAME)) == data
    upload = client.presigned_put_object(bucket.name, "put ü", expires=dt.timedelta(minutes=1))
    fetch(upload, "PUT", b"by a link")
    assert bucket.read("put ü") == b"by a link"
    bucket.assert_sealed()
    with pytest.raises(S3Error, match="NoSuchKey"):
        client.get_object(bucket.name, "none")


def test_many(client, bucket, many):
    assert [each.object_name for each in client.list_objects(many.name, "m ü/")] == [f"m ü/{name}" for name in many.names]
    for number in range(20):
        client.put_object(bucket.name, f"m ü/{number}", io.BytesIO(b"x"), 1)
    found = [DeleteObject(each.object_name) for each in client.list_objects(bucket.name, "m ü/")]
    assert len(found) == 20
    assert list(client.remove_objects(bucket.name, found)) == []
    assert bucket.listed() == ["one.txt"]


def test_encryption(client, bucket, kms_key):
    """Of one request, and the bucket's own."""
    client.put_object(bucket.name, "of mine", io.BytesIO(b"x"), 1, sse=SseKMS(kms_key, {"for": "me"}))
    assert bucket.head("of mine")["SSEKMSKeyId"] == kms_key
    client.put_object(bucket.name, "of the service", io.BytesIO(b"x"), 1, sse=SseS3())
    assert bucket.head("of the service")["ServerSideEncryption"] == "AES256"
    kept = client.get_bucket_encryption(bucket.name).rule
    assert (kept.sse_algorithm, kept.kms_master_key_id) == (("AES256", None) if bucket.kms_key is None else ("aws:kms", kms_key))
    client.set_bucket_encryption(bucket.name, SSEConfig(Rule.new_sse_kms_rule(kms_key)))
    client.put_object(bucket.name, "by default", io.BytesIO(b"x"), 1)
    assert bucket.head("by default")["SSEKMSKeyId"] == kms_key


def test_settings(client, bucket):
    tags = Tags.new_object_tags()
    tags["team"] = "letters + möre"
    client.put_object(bucket.name, NAME, io.BytesIO(b"x"), 1, tags=tags)
    assert client.get_object_tags(bucket.name, NAME) == tags
    client.delete_object_tags(bucket.name, NAME)
    assert client.get_object_tags(bucket.name, NAME) is None
    old = LifecycleRule(status=ENABLED, rule_id="old", rule_filter=Filter(prefix="old/"), expiration=Expiration(days=3))
    client.set_bucket_lifecycle(bucket.name, LifecycleConfig([old]))
    (only,) = client.get_bucket_lifecycle(bucket.name).rules
    assert (only.rule_id, only.rule_filter.prefix, only.expiration.days) == ("old", "old/", 3)
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket.name}/*",
    }
    client.set_bucket_policy(bucket.name, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert json.loads(client.get_bucket_policy(bucket.name))["Statement"] == [statement]
    with pytest.raises(S3Error, match="AccessDenied"):
        client.remove_object(bucket.name, NAME)


def test_versions(client, bucket):
    client.set_bucket_versioning(bucket.name, VersioningConfig(ENABLED))
    old, new = (client.put_object(bucket.name, NAME, io.BytesIO(data), 3).version_id for data in (b"old", b"new"))
    assert read(client, bucket.name, NAME) == b"new"
    assert read(client, bucket.name, NAME, version_id=old) == b"old"
    client.remove_object(bucket.name, NAME)
    found = list(client.list_objects(bucket.name, "deep er/", include_version=True))
    assert [each.version_id for each in found if not each.is_delete_marker] == [new, old]
    assert sum(each.is_delete_marker for each in found) == 1
    client.remove_object(bucket.name, NAME, version_id=next(each.version_id for each in found if each.is_delete_marker))
    assert read(client, bucket.name, NAME) == b"new"
    every = client.list_objects(bucket.name, recursive=True, include_version=True)
    assert list(client.remove_objects(bucket.name, [DeleteObject(each.object_name, each.version_id) for each in every])) == []
    client.remove_bucket(bucket.name)
    assert not client.bucket_exists(bucket.name)
