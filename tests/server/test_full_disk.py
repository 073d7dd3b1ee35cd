"""A server on a disk that is full, to the last page: what goes on, what is refused, and that it comes back by itself."""

from __future__ import annotations

import time
from http.client import HTTPConnection

import pytest
from botocore.exceptions import ClientError

from tests.clients.house import Server
from tests.store.small_disk import fill, in_namespace, mounted

SMALL, LARGE = b"s" * 2000, b"l" * 300_000


def test_here_or_in_a_namespace():
    in_namespace(__file__)


@pytest.fixture
def server(tmp_path):
    with mounted(tmp_path / "data", 80):
        settings = {"STRONGROOM_RESERVE_MIB": "12", "STRONGROOM_DISCARD_GRACE_SECONDS": "1", "STRONGROOM_BUCKET_KEY_SECONDS": "1"}
        server = Server(tmp_path, settings, workers=2)
        server.start()
        yield server
        server.close()


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def status(server, path):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def statuses(server, path):
    """Of both workers: new connections are spread over them."""
    return {status(server, path) for _ in range(24)}


def writable(server):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/-/metrics")
        return "\nstrongroom_store_writable 1.0\n" in connection.getresponse().read().decode()
    finally:
        connection.close()


def refused(call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def body(s3, bucket, key, **more):
    with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as stream:
        return stream.read()


def furnish(s3, kms):
    for bucket in ("plain", "versioned", "empty", "under-kms"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    key = kms.create_key()["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    s3.put_bucket_encryption(
        Bucket="under-kms", ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    )
    for number in range(120):
        s3.put_object(Bucket="plain", Key=f"small {number}", Body=SMALL)
        s3.put_object(Bucket="versioned", Key=f"small {number}", Body=SMALL)
    for number in range(10):
        s3.put_object(Bucket="plain", Key=f"large {number}", Body=LARGE)
    s3.put_object(Bucket="under-kms", Key="small", Body=SMALL)
    s3.put_object(Bucket="under-kms", Key="large", Body=LARGE)
    return key


def given(server):
    return [name for name in ("deletes", "frees", "key-uses") if (server.data / "reserve" / name).stat().st_size == 0]


@pytest.mark.timeout(180)  # two starts of a server with two workers
def test_a_full_disk(server):
    """One after the other, since starting a server and filling a disk is what takes the time."""
    s3, kms = server.client("s3"), server.client("kms")
    key = furnish(s3, kms)
    _reads_and_deletes_go_on(server, s3, kms, key)
    _deletes_alone_make_room(server, s3)
    _it_starts(server, s3)


def _reads_and_deletes_go_on(server, s3, kms, key):
    upload = s3.create_multipart_upload(Bucket="plain", Key="upload")["UploadId"]
    s3.upload_part(Bucket="plain", Key="upload", UploadId=upload, PartNumber=1, Body=LARGE)
    blob = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    filler = fill(server.data)
    assert refused(s3.put_object, Bucket="plain", Key="new", Body=LARGE) == (503, "ServiceUnavailable")
    until(lambda: statuses(server, "/-/ready") == {503})  # a worker that has just written finds out within a second
    assert not any(writable(server) for _ in range(8))
    assert status(server, "/-/live") == 200

    # Uses of keys are recorded in the room that is kept for them. Reading goes on.
    until(lambda: body(s3, "under-kms", "small") == SMALL and "key-uses" in given(server))
    for _ in range(3):
        assert body(s3, "under-kms", "large") == LARGE
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
        time.sleep(0.6)  # over more than one write of the record
    server.run("audit", "verify", "--data", str(server.data))
    assert refused(s3.put_object, Bucket="under-kms", Key="new", Body=SMALL)[0] == 503
    assert refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256") == (400, "ThrottlingException")

    # Deletes go on, each in a commit of its own, as many as there are objects.
    for number in range(60):
        s3.delete_object(Bucket="plain", Key=f"small {number}")
        assert s3.delete_object(Bucket="versioned", Key=f"small {number}")["DeleteMarker"]
    assert "frees" not in given(server)
    gone = s3.delete_objects(Bucket="plain", Delete={"Objects": [{"Key": f"small {number}"} for number in range(60, 110)]})
    assert len(gone["Deleted"]) == 50
    s3.abort_multipart_upload(Bucket="plain", Key="upload", UploadId=upload)
    s3.delete_bucket(Bucket="empty")
    assert refused(s3.get_object, Bucket="plain", Key="small 0") == (404, "NoSuchKey")
    assert body(s3, "plain", "small 110") == SMALL
    assert body(s3, "plain", "large 0") == LARGE
    assert refused(s3.put_object, Bucket="plain", Key="new", Body=SMALL) == (503, "ServiceUnavailable")

    filler.unlink()
    until(lambda: given(server) == [])
    until(lambda: statuses(server, "/-/ready") == {200})
    assert writable(server)
    for sent in (SMALL, LARGE):
        s3.put_object(Bucket="plain", Key="new", Body=sent)
        s3.put_object(Bucket="under-kms", Key="new", Body=sent)
        assert body(s3, "under-kms", "new") == sent
    server.run("verify", "--data", str(server.data))
    server.run("audit", "verify", "--data", str(server.data))


def _deletes_alone_make_room(server, s3):
    for number in range(60):
        s3.put_object(Bucket="plain", Key=f"huge {number}", Body=LARGE * 2)
    filler = fill(server.data)
    assert refused(s3.put_object, Bucket="plain", Key="new", Body=LARGE)[0] == 503
    for number in range(60):
        s3.delete_object(Bucket="plain", Key=f"huge {number}")

    def taken():
        try:
            s3.put_object(Bucket="plain", Key="new", Body=LARGE)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                raise
            return False
        return True

    until(taken)
    until(lambda: given(server) == [])
    filler.unlink()


def _it_starts(server, s3):
    """What is on the disk can be read and deleted, though it is not ready; and it is, once there is room."""
    s3.put_object(Bucket="plain", Key="last", Body=SMALL)
    fill(server.data)
    server.stop()
    filler = fill(server.data)
    server.launch()
    until(lambda: _lives(server), 60)
    assert status(server, "/-/ready") == 503
    assert body(s3, "plain", "last") == SMALL
    assert body(s3, "under-kms", "large") == LARGE
    s3.delete_object(Bucket="plain", Key="last")
    assert refused(s3.get_object, Bucket="plain", Key="last")[0] == 404
    assert refused(s3.put_object, Bucket="plain", Key="last", Body=SMALL)[0] == 503
    filler.unlink()
    server.await_ready()
    s3.put_object(Bucket="plain", Key="last", Body=SMALL)
    server.run("verify", "--data", str(server.data))
    server.run("audit", "verify", "--data", str(server.data))


def _lives(server):
    try:
        return status(server, "/-/live") == 200
    except OSError:
        return False
