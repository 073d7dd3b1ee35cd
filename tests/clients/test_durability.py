"""What was acknowledged survives SIGKILL at any moment, byte for byte; what was not leaves nothing that can be seen."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.clients.house import Server, refused, rule

MIB = 1 << 20
PATIENCE = 15.0


def until(holds, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def blob_files(server):
    return [path for folder in ("blobs", "tmp") for path in (server.data / folder).rglob("*") if path.is_file()]


def body_of(s3, key):
    with s3.get_object(Bucket="bucket", Key=key)["Body"] as body:
        return body.read()


class Writer(threading.Thread):
    """Writes until it is told to stop or the server is gone; remembers what was acknowledged and what it had just sent."""

    def __init__(self, server, number, size):
        super().__init__()
        self.client = server.client("s3")
        self.number, self.size = number, size
        self.acknowledged = {}  # key: body, or None for a deletion
        self.sent = {}  # key: all bodies that were on their way when the server died
        self.stopping = threading.Event()
        self.random = random.Random(number)

    def run(self):
        count = 0
        while not self.stopping.is_set():
            count += 1
            key = f"{self.number}/{self.random.randrange(6)}" if self.random.random() < 0.5 else f"{self.number}/new-{count}"
            delete = self.random.random() < 0.1
            data = None if delete else os.urandom(self.size)
            self.sent[key] = data
            try:
                if delete:
                    self.client.delete_object(Bucket="bucket", Key=key)
                else:
                    self.client.put_object(Bucket="bucket", Key=key, Body=data)
            except (BotoCoreError, ClientError):
                break
            self.acknowledged[key] = data
            del self.sent[key]
        self.client.close()


def seen(s3, key):
    try:
        return body_of(s3, key)
    except s3.exceptions.NoSuchKey:
        return None


@pytest.mark.timeout(120)
def test_acknowledged_writes_survive_a_kill(own_server):
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_encryption(Bucket="bucket", ServerSideEncryptionConfiguration=rule("aws:kms"))
    expected, uncertain = {}, {}
    for turn in range(3):
        writers = [Writer(own_server, 10 * turn + number, size) for number, size in enumerate((200, 3000, 3000, MIB))]
        for writer in writers:
            writer.start()
        until(lambda: all(len(writer.acknowledged) >= 3 for writer in writers))  # noqa: B023 - used within the turn
        time.sleep(0.1 + 0.15 * turn)
        own_server.kill()
        for writer in writers:
            writer.stopping.set()
            writer.join(PATIENCE)
            assert not writer.is_alive()
            expected |= writer.acknowledged
            uncertain |= writer.sent
        own_server.start()
        for key, data in expected.items():
            found = seen(s3, key)
            assert found == data or (key in uncertain and found == uncertain[key]), key
        for key, data in uncertain.items():
            assert seen(s3, key) in (data, expected.get(key)), key
        expected |= {key: seen(s3, key) for key in uncertain}
        uncertain = {}
    listed = {
        each["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bucket") for each in page.get("Contents", [])
    }
    assert listed == {key for key, data in expected.items() if data is not None}
    until(lambda: not list((own_server.data / "tmp").iterdir()))  # what the killed ones had begun is swept
    s3.close()


def test_settings_and_keys_survive_a_kill(own_server):
    s3, kms = own_server.client("s3"), own_server.client("kms")
    s3.create_bucket(Bucket="bucket")
    key = kms.create_key()["KeyMetadata"]
    s3.put_bucket_encryption(Bucket="bucket", ServerSideEncryptionConfiguration=rule("aws:kms", key["KeyId"]))
    s3.put_object(Bucket="bucket", Key="k", Body=b"secret")
    created = s3.create_multipart_upload(Bucket="bucket", Key="m")
    where = {"Bucket": "bucket", "Key": "m", "UploadId": created["UploadId"]}
    part = s3.upload_part(**where, PartNumber=1, Body=b"part")
    kms.disable_key(KeyId=key["KeyId"])
    own_server.kill()
    own_server.start()
    assert refused(s3.get_object, Bucket="bucket", Key="k").code == "KMS.DisabledException"
    kms.enable_key(KeyId=key["KeyId"])
    own_server.kill()
    own_server.start()
    assert body_of(s3, "k") == b"secret"
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert body_of(s3, "m") == b"part"
    for client in (s3, kms):
        client.close()


def half_a_put(server, key, size):
    """A connection on which half of a body has been sent."""
    client = server.client("s3", signature_version="s3v4")
    url = client.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": key})
    client.close()
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"PUT {url.removeprefix(server.url)} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode() + bytes(size // 2))
    return connection


@pytest.mark.parametrize("end", ["close", "reset", "kill"])
def test_an_upload_that_breaks_off_leaves_nothing(own_server, end):
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"before")
    with contextlib.closing(half_a_put(own_server, "k", 8 * MIB)) as connection:
        until(lambda: any(path.stat().st_size for path in blob_files(own_server)))  # it is being written
        if end == "kill":
            own_server.kill()
            own_server.start()
        elif end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: not blob_files(own_server))
    assert body_of(s3, "k") == b"before"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["k"]
    s3.close()


def test_what_is_deleted_leaves_the_disk(tmp_path):
    server = Server(tmp_path, {"STRONGROOM_DISCARD_GRACE_SECONDS": "1"})
    server.start()
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="bucket")
        for key in ("a", "b", "c"):
            s3.put_object(Bucket="bucket", Key=key, Body=os.urandom(MIB))
        upload = s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"]
        s3.upload_part(Bucket="bucket", Key="m", UploadId=upload, PartNumber=1, Body=os.urandom(MIB))
        assert len(blob_files(server)) == 4
        s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a"}]})
        s3.put_object(Bucket="bucket", Key="b", Body=b"small")
        s3.abort_multipart_upload(Bucket="bucket", Key="m", UploadId=upload)
        until(lambda: len(blob_files(server)) == 1)
        s3.delete_object(Bucket="bucket", Key="c")
        server.kill()  # before upkeep had its turn
        server.start()
        until(lambda: not blob_files(server))
        s3.close()
    finally:
        server.close()


def test_a_server_that_is_stopped_finishes_what_it_has_begun(own_server):
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="bucket")
    size = 4 * MIB
    with contextlib.closing(half_a_put(own_server, "k", size)) as connection:
        until(lambda: blob_files(own_server))
        stopping = threading.Thread(target=own_server.stop)
        stopping.start()
        time.sleep(0.3)
        connection.sendall(bytes(size - size // 2))
        connection.settimeout(PATIENCE)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    own_server.start()
    assert body_of(s3, "k") == bytes(size)
    s3.close()
