"""What boto3 has beside its clients: resources, the transfer manager, waiters and paginators."""

from __future__ import annotations

import io
import threading

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import WaiterError

from tests.clients.house import unique
from tests.clients.setups import run_python

MIB = 1 << 20


@pytest.fixture
def resource(server):
    made = boto3.resource(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id=server.owner.access_key_id,
        aws_secret_access_key=server.owner.secret_access_key,
    )
    yield made
    made.meta.client.close()


def test_the_set_up(server, bucket, s3, tmp_path, monkeypatch):
    """As docs/clients.md has it: only the environment says where and who."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.owner.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.owner.secret_access_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "one.txt").write_bytes(b"the first")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would remember another environment
    names = run_python("boto3", server, bucket)
    names["s3"].close()
    with s3.get_object(Bucket=bucket, Key="one.txt")["Body"] as body:
        assert body.read() == b"the first"
    assert server.follow("GET", names["link"]).body == b"the first"


def test_resources(resource):
    bucket = resource.create_bucket(Bucket=unique())
    assert bucket in list(resource.buckets.all())
    thing = bucket.put_object(Key="deep er/ü", Body=b"body", Metadata={"note": "of two"})
    assert (thing.content_length, thing.metadata, thing.server_side_encryption) == (4, {"note": "of two"}, "AES256")
    copy = bucket.Object("copy")
    copy.copy_from(CopySource={"Bucket": bucket.name, "Key": thing.key})
    with copy.get(Range="bytes=1-2")["Body"] as body:
        assert body.read() == b"od"
    bucket.Versioning().enable()
    thing.put(Body=b"newer")
    assert [version.size for version in bucket.object_versions.filter(Prefix="deep er/")] == [5, 4]
    upload = bucket.Object("parts").initiate_multipart_upload()
    part = upload.Part(1).upload(Body=b"only")
    done = upload.complete(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert (done.key, done.content_length) == ("parts", 4)
    assert [each.key for each in bucket.objects.all()] == ["copy", "deep er/ü", "parts"]
    assert [each.key for each in bucket.objects.filter(Prefix="d").limit(1)] == ["deep er/ü"]
    bucket.objects.all().delete()
    assert list(bucket.objects.all()) == []
    bucket.object_versions.all().delete()
    bucket.delete()
    assert bucket.creation_date is None


def test_the_transfer_manager(s3, bucket):
    """Streams of unknown length in both directions; what it says of its progress."""
    data, moved, lock = bytes(range(256)) * (48 << 10), [], threading.Lock()  # 12 MiB

    def count(number):
        with lock:
            moved.append(number)

    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3)
    s3.upload_fileobj(io.BytesIO(data), bucket, "k", Config=config, Callback=count)
    assert sum(moved) == len(data)
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"].endswith('-3"')
    moved.clear()
    back = io.BytesIO()
    s3.download_fileobj(bucket, "k", back, Config=config, Callback=count)
    assert (back.getvalue() == data, sum(moved)) == (True, len(data))


def test_waiters(s3, bucket):
    there, gone = s3.get_waiter("object_exists"), s3.get_waiter("object_not_exists")
    where = {"Bucket": bucket, "Key": "k", "WaiterConfig": {"Delay": 0, "MaxAttempts": 2}}
    gone.wait(**where)
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        there.wait(**where)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    there.wait(**where)
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        gone.wait(**where)
    s3.get_waiter("bucket_exists").wait(Bucket=bucket)
    s3.get_waiter("bucket_not_exists").wait(Bucket=unique("none"))


def test_paginators(s3, bucket):
    """A page's place can be kept and gone on from, and a page be searched."""
    for number in range(7):
        s3.put_object(Bucket=bucket, Key=f"{number % 2}/{number}", Body=b"x" * number)
    listed = s3.get_paginator("list_objects_v2")
    first = listed.paginate(Bucket=bucket, PaginationConfig={"MaxItems": 3, "PageSize": 2}).build_full_result()
    rest = listed.paginate(Bucket=bucket, PaginationConfig={"StartingToken": first["NextToken"]}).build_full_result()
    assert [each["Key"] for each in first["Contents"] + rest["Contents"]] == sorted(f"{n % 2}/{n}" for n in range(7))
    found = listed.paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}).search("Contents[?Size > `4`].Key")
    assert sorted(found) == ["0/6", "1/5"]
    pages = listed.paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
    assert [each["Prefix"] for page in pages for each in page["CommonPrefixes"]] == ["0/", "1/"]
