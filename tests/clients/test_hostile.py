"""Slow, idle and greedy clients on a real server with low ceilings; what they meet is S3's SlowDown, and others go on."""

from __future__ import annotations

import http.client
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.house import STRANGER, Server

MIB = 1 << 20
HEADER_SECONDS = 1.0
CONNECTIONS = 12
SETTINGS = {
    "STRONGROOM_HEADER_SECONDS": str(HEADER_SECONDS),
    "STRONGROOM_CONNECTIONS": str(CONNECTIONS),
    "STRONGROOM_REQUESTS": "8",
    "STRONGROOM_CALLER_REQUESTS": "3",
    "STRONGROOM_BODY_MEMORY_MIB": "16",
    "STRONGROOM_REFUSALS_IN_A_ROW": "4",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("hostile"), SETTINGS)
    server.start()
    server.client("s3").create_bucket(Bucket="bucket")
    yield server
    server.close()


@pytest.fixture
def s3(house):
    client = house.client("s3", signature_version="s3v4")
    yield client
    client.close()


@pytest.fixture(scope="module")
def stranger(house):
    return house.account(STRANGER, "stranger")


def line(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10)


def begin_put(server: Server, s3, key: str, size: int, path: str = "bucket") -> socket.socket:
    """An upload whose head has arrived, and nothing of its body."""
    url = s3.generate_presigned_url("put_object", {"Bucket": path, "Key": key})
    target = url.removeprefix(server.url)
    sent = line(server)
    sent.sendall(f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {size}\r\n\r\n".encode())
    return sent


def gauge(server: Server, name: str) -> float:
    page = server.send("GET", "/-/metrics", {}).body.decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE))


def wait_for(server: Server, name: str, value: float) -> None:
    deadline = time.monotonic() + 10
    while gauge(server, name) != value:
        assert time.monotonic() < deadline, f"{name} is {gauge(server, name)}"
        time.sleep(0.02)


def is_cut(sent: socket.socket) -> bool:
    try:
        return sent.recv(1) == b""
    except ConnectionResetError:
        return True


def test_heads_that_do_not_come_and_idle_connections_are_cut(house):
    idle, half, used = line(house), line(house), line(house)
    half.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
    used.sendall(b"GET /-/live HTTP/1.1\r\nHost: h\r\n\r\n")
    assert used.recv(1 << 16).endswith(b"live\n")
    for each in (idle, half, used):
        assert is_cut(each)
        each.close()


def test_a_head_that_comes_in_drops_is_cut_though_it_never_rests(house):
    with line(house) as dripping:
        dripping.settimeout(0.05)
        dripping.sendall(b"GET / HTTP/1.1\r\n")
        deadline = time.monotonic() + 10 * HEADER_SECONDS
        try:
            while time.monotonic() < deadline:
                dripping.sendall(b"a: b\r\n")
                try:
                    if dripping.recv(1) == b"":
                        return
                except TimeoutError:
                    pass
        except OSError:
            return
    raise AssertionError("it goes on for ever")


def test_who_waits_behind_idle_connections_is_served_when_they_are_cut(house):
    with ExitStack() as held:
        for _ in range(2 * CONNECTIONS):
            held.enter_context(line(house))
        assert house.send("GET", "/-/live", {}).body == b"live\n"


def test_a_head_without_end_is_refused(house):
    with line(house) as sent:
        sent.sendall(b"GET / HTTP/1.1\r\n" + b"a: %s\r\n" % (b"x" * (256 << 10)) + b"\r\n")
        # By the server of connections where it is more than that reads ahead, else by the gate.
        assert sent.recv(64).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_a_callers_requests_beyond_its_share_are_told_to_slow_down(house, s3, stranger):
    before = gauge(house, "strongroom_overload_refusals_total")
    with ExitStack() as held:
        uploads = [held.enter_context(begin_put(house, s3, f"held-{number}", 3)) for number in range(3)]
        wait_for(house, "strongroom_requests_in_flight", 3)
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket="bucket", Key="more", Body=b"more")
        assert refused.value.response["Error"] == {"Code": "SlowDown", "Message": "Please reduce your request rate."}
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        with pytest.raises(ClientError, match="ThrottlingException"):
            house.client("kms").list_keys()
        with pytest.raises(ClientError, match=r"\(Throttling\)"):
            house.client("sts").get_caller_identity()
        assert house.client("s3", stranger).list_buckets()["Buckets"] == []
        assert gauge(house, "strongroom_overload_refusals_total") == before + 3
        for upload in uploads:
            upload.sendall(b"abc")
            assert upload.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    s3.put_object(Bucket="bucket", Key="more", Body=b"more")
    assert s3.get_object(Bucket="bucket", Key="held-2")["Body"].read() == b"abc"


def test_a_connection_that_does_nothing_but_be_refused_is_ended(house, s3):
    good = s3.generate_presigned_url("list_objects_v2", {"Bucket": "bucket"}).removeprefix(house.url)
    bad = good[:-8] + "00000000"
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=10)

    def ask(target: str) -> tuple[int, bool]:
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.will_close

    asked = [bad, bad, bad, good, bad, bad, bad, bad, bad]  # after the last but one the connection is a new one
    assert [ask(each) for each in asked] == [(403, False)] * 3 + [(200, False)] + [(403, False)] * 3 + [(403, True), (403, False)]
    connection.close()


def test_many_long_uploads_and_downloads_of_two_callers_beside_small_requests(house, s3, stranger):
    theirs = house.client("s3", stranger, signature_version="s3v4")
    theirs.create_bucket(Bucket="another")
    bodies = {number: bytes([number]) * (1 * MIB + number) for number in range(4)}

    def move(number: int) -> bool:
        client, bucket = ((s3, "bucket"), (theirs, "another"))[number % 2]
        client.put_object(Bucket=bucket, Key=f"long-{number}", Body=bodies[number])
        return client.get_object(Bucket=bucket, Key=f"long-{number}")["Body"].read() == bodies[number]

    with ThreadPoolExecutor(4) as threads:
        moving = [threads.submit(move, number) for number in bodies]
        while not all(each.done() for each in moving):
            assert house.client("s3").list_buckets()["Buckets"]
        assert all(each.result() for each in moving)
    assert gauge(house, "strongroom_long_bodies_waiting") == 0
    theirs.delete_objects(Bucket="another", Delete={"Objects": [{"Key": f"long-{number}"} for number in (1, 3)]})
    theirs.delete_bucket(Bucket="another")
    theirs.close()


def test_large_uploads_beyond_the_memory_for_them_are_told_to_slow_down_and_leave_nothing(house, s3):
    with begin_put(house, s3, "large", 100 * MIB):
        wait_for(house, "strongroom_body_bytes_in_flight", 6 * MIB)
        with pytest.raises(ClientError, match="SlowDown"):
            s3.put_object(Bucket="bucket", Key="second", Body=bytes(10 * MIB))
        s3.put_object(Bucket="bucket", Key="small", Body=b"small")
    wait_for(house, "strongroom_requests_in_flight", 0)
    assert gauge(house, "strongroom_body_bytes_in_flight") == 0
    kept = [each["Key"] for each in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]
    assert "large" not in kept
    assert "second" not in kept
    s3.put_object(Bucket="bucket", Key="second", Body=bytes(10 * MIB))


def test_a_client_that_retries_comes_through(house, s3):
    patient = boto3.client(
        "s3",
        endpoint_url=house.url,
        region_name="us-east-1",
        aws_access_key_id=house.owner.access_key_id,
        aws_secret_access_key=house.owner.secret_access_key,
        config=Config(retries={"total_max_attempts": 10, "mode": "standard"}, s3={"addressing_style": "path"}),
    )
    tried: list[int] = []
    with ExitStack() as held:
        for number in range(3):
            held.enter_context(begin_put(house, s3, f"patient-{number}", 3))
        wait_for(house, "strongroom_requests_in_flight", 3)

        def give_way(**_: object) -> None:
            tried.append(1)
            if len(tried) == 2:  # the first was refused
                held.close()
                wait_for(house, "strongroom_requests_in_flight", 0)

        patient.meta.events.register("before-send.s3.PutObject", give_way)
        patient.put_object(Bucket="bucket", Key="patient", Body=b"came through")
    patient.close()
    assert len(tried) == 2
    assert s3.get_object(Bucket="bucket", Key="patient")["Body"].read() == b"came through"
