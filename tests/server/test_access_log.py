"""The access log of a real server: what its lines say, and what neither it nor the other log ever says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import os
import threading
import time
import urllib.parse

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from strongroom.access_log import AccessLog
from strongroom.edge.gate import Seen
from strongroom.edge.head import Head, Reply
from strongroom.iam.callers import ANONYMOUS
from tests.server.process import ROOT, Serving
from tests.server.test_serving import client

SECRET = ROOT["STRONGROOM_ROOT_SECRET_ACCESS_KEY"]
CUSTOMER_KEY = b"the customer's key of 32 bytes.."
FIELDS = {
    *("event", "time", "request_id", "remote", "caller", "access_key_id", "service", "operation", "method", "status", "code"),
    *("received", "sent", "whole", "total_us", "ready_us", "auth", "scheme", "key_use"),
}
OF_S3 = {"bucket", "key", "encryption", "kms_key", "version_id"}


class Asking:
    """A server and its two logs."""

    def __init__(self, serving: Serving, path):
        self.serving = serving
        self.path = path
        self.s3 = client("s3", serving.url)
        self.kms = client("kms", serving.url)

    def line(self, request_id: str) -> dict:
        """The one line about a request, which is there a moment later."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            lines = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []
            found = [line for line in lines if line["request_id"] == request_id]
            if found:
                (line,) = found
                return line
            time.sleep(0.02)
        raise AssertionError(f"no line about {request_id}")

    def of(self, answer: dict) -> dict:
        return self.line(answer["ResponseMetadata"]["RequestId"])

    def logs(self) -> str:
        return self.path.read_text() + self.serving.log.read_text()


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    environ = ROOT | {"STRONGROOM_ACCESS_LOG": str(folder / "access.log"), "STRONGROOM_NEW_BUCKET_SSE_C": "allowed"}
    with Serving(folder / "data", "--workers", "2", environ=environ) as serving:
        asking = Asking(serving, folder / "access.log")
        asking.s3.create_bucket(Bucket="letters")
        yield asking
        asking.s3.close()
        asking.kms.close()


def test_a_line_has_what_s3s_own_has_and_how_the_object_is_encrypted(asking):
    put = asking.s3.put_object(Bucket="letters", Key="a/é 1", Body=b"x" * 5000)
    line = asking.of(put)
    assert set(line) == FIELDS | OF_S3
    assert (line["event"], line["service"], line["operation"], line["method"]) == ("request", "s3", "PutObject", "PUT")
    assert (line["bucket"], line["key"], line["status"], line["code"]) == ("letters", "a/é 1", 200, "")
    assert (line["received"], line["sent"], line["whole"]) == (5000, 0, True)
    assert (line["caller"], line["access_key_id"]) == ("arn:aws:iam::111122223333:root", ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"])
    assert (line["remote"], line["auth"], line["scheme"], line["encryption"]) == ("127.0.0.1", "header", "http", "AES256")
    assert 0 < line["ready_us"] <= line["total_us"] < 20_000_000
    got = asking.s3.get_object(Bucket="letters", Key="a/é 1")
    assert len(got["Body"].read()) == 5000
    assert (asking.of(got)["operation"], asking.of(got)["sent"], asking.of(got)["key_use"]) == ("GetObject", 5000, "")


def test_how_the_kms_key_was_had(asking):
    given = {"Bucket": "letters", "ServerSideEncryption": "aws:kms", "Body": b"1"}
    line = asking.of(asking.s3.put_object(Key="kms", **given))
    assert (line["encryption"], line["key_use"]) == ("aws:kms", "called")
    assert line["kms_key"].startswith("arn:aws:kms:")
    seen = {asking.of(asking.s3.put_object(Key="shared", BucketKeyEnabled=True, **given))["key_use"] for _ in range(6)}
    assert seen == {"called", "cached"}


def test_a_streamed_answer_is_told_when_it_was_sent(asking):
    asking.s3.put_object(Bucket="letters", Key="large", Body=b"x" * 3_000_000)
    got = asking.s3.get_object(Bucket="letters", Key="large")
    assert len(got["Body"].read()) == 3_000_000
    line = asking.of(got)
    assert (line["sent"], line["whole"]) == (3_000_000, True)


def test_refusals_and_other_services(asking):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        asking.s3.get_object(Bucket="letters", Key="none")
    line = asking.of(caught.value.response)
    assert (line["status"], line["code"], line["key"]) == (404, "NoSuchKey", "none")
    line = asking.of(asking.kms.create_key())
    assert set(line) == FIELDS
    assert (line["service"], line["operation"], line["status"]) == ("kms", "CreateKey", 200)


def test_no_secret_is_in_either_log(asking):
    """Presigned queries, signatures, keys of customers, tokens, plaintext: asked rightly, wrongly, and where the server fails."""
    s3, secrets = asking.s3, {SECRET}
    key, digest = CUSTOMER_KEY, base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode()
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    secrets |= {key.decode(), base64.b64encode(key).decode(), digest}
    line = asking.of(s3.put_object(Bucket="letters", Key="mine", Body=b"plain secret text", **customer))
    assert line["encryption"] == "SSE-C"
    s3.get_object(Bucket="letters", Key="mine", **customer)["Body"].read()
    secrets.add("plain secret text")
    plain = base64.b64encode(b"secret of kms").decode()
    key_id = asking.kms.create_key()["KeyMetadata"]["KeyId"]
    asking.kms.encrypt(KeyId=key_id, Plaintext=b"secret of kms")
    secrets |= {"secret of kms", plain}
    sts = client("sts", asking.serving.url)
    session = sts.get_session_token()["Credentials"]
    sts.close()
    secrets |= {session["SecretAccessKey"], session["SessionToken"]}
    signing = boto3.client(
        "s3",
        endpoint_url=asking.serving.url,
        region_name="us-east-1",
        aws_access_key_id=ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"],
        aws_secret_access_key=SECRET,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    presigned = signing.generate_presigned_url("get_object", Params={"Bucket": "letters", "Key": "mine"})
    signing.close()
    signature = urllib.parse.parse_qs(urllib.parse.urlsplit(presigned).query)["X-Amz-Signature"][0]
    secrets |= {signature}
    host = asking.serving.url.removeprefix("http://")
    answers = []
    for tail, headers in (
        ("", {}),  # SSE-C without its key: refused
        (
            "&x-amz-server-side-encryption-customer-key=" + urllib.parse.quote(base64.b64encode(key)),
            {},
        ),  # hoisted, signature broken
        (
            "",
            {
                "authorization": "AWS4-HMAC-SHA256 Credential=AKIAROOTROOTROOTROOT/20260101/us-east-1/s3/aws4_request, Signature=feed5ec7e7"
            },
        ),
        ("", {"x-amz-security-token": session["SessionToken"]}),
    ):
        connection = http.client.HTTPConnection(host, timeout=10)
        connection.request("GET", presigned.removeprefix(asking.serving.url) + tail, headers=headers)
        answer = connection.getresponse()
        answers.append((answer.status, answer.getheader("x-amz-request-id")))
        answer.read()
        connection.close()
    secrets |= {"feed5ec7e7", "X-Amz-Credential", "customer-key="}
    assert [status for status, _ in answers] == [400, 403, 400, 403]
    lines = [asking.line(request_id) for _, request_id in answers]
    assert [line["auth"] for line in lines] == ["query", "query", "header", "query"]
    logs = asking.logs()
    assert all(line["request_id"] in logs for line in lines)
    for secret in secrets:
        assert secret not in logs
        assert urllib.parse.quote(secret, safe="") not in logs


def test_an_error_of_the_servers_own_has_its_traceback_in_the_error_log_alone(asking):
    """A blob that is gone: the read fails after it began, and is told with its request id."""
    asking.s3.put_object(Bucket="letters", Key="lost", Body=os.urandom(2_000_000))
    before = {path for path in (asking.serving.folder / "blobs").rglob("*") if path.is_file()}
    newest = max(before, key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        asking.s3.get_object(Bucket="letters", Key="lost")
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    line = asking.of(response)
    assert line["code"] == response["Error"]["Code"]
    errors = [json.loads(text) for text in asking.serving.log.read_text().splitlines() if text.startswith("{")]
    found = [error for error in errors if error.get("request_id") == line["request_id"]]
    assert found
    assert all("Traceback" in error["exception"] for error in found)
    assert "Traceback" not in asking.path.read_text()
    assert "Traceback" not in str(response)


def test_an_answer_that_is_cut_off_is_told_as_that_in_both_logs(asking):
    """Its first bytes are sound and out before the damage is met."""
    asking.s3.put_object(Bucket="letters", Key="damaged", Body=os.urandom(9_000_000))
    (newest,) = sorted((asking.serving.folder / "blobs").rglob("*/*/*"), key=lambda path: path.stat().st_mtime_ns)[-1:]
    with newest.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"other")
    got = asking.s3.get_object(Bucket="letters", Key="damaged")
    with pytest.raises((botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError)):
        got["Body"].read()
    line = asking.of(got)
    assert (line["status"], line["whole"]) == (200, False)
    assert line["sent"] < 9_000_000
    errors = [json.loads(text) for text in asking.serving.log.read_text().splitlines() if "answer cut off" in text]
    (error,) = [error for error in errors if error["request_id"] == line["request_id"]]
    assert "Traceback" in error["exception"]


def test_a_log_that_was_moved_away_is_begun_anew(asking):
    asking.of(asking.s3.list_buckets())
    moved = asking.path.with_suffix(".1")
    asking.path.rename(moved)
    line = asking.of(asking.s3.list_buckets())
    assert line["operation"] == "ListBuckets"
    assert line["request_id"] not in moved.read_text()
    assert asking.path.stat().st_mode & 0o777 == 0o600
    asking.path.write_text(moved.read_text() + asking.path.read_text())


# ---- without a server


def seen_of(head, status=200, headers=()):
    return Seen("R", "s3", "GetObject", status, "", 0.001, 0, 5, ANONYMOUS, head, list(headers))


def head_of(path="/bucket/key", query="", **headers):
    return Head("GET", path, None, query, {"host": "localhost", **headers}, "http", "10.0.0.1")


def logged(log, head, body=b"12345", length=None):
    reply = Reply(200, [], body, length)
    log.observe(seen_of(head), reply)
    return reply


@pytest.fixture
def place(tmp_path):
    return tmp_path / "access.log"


async def test_an_answer_that_breaks_off_is_not_whole(place):
    log = AccessLog(str(place))

    async def body():
        yield b"123"
        raise OSError("the disk")

    reply = logged(log, head_of(), body(), 5)
    with pytest.raises(OSError, match="the disk"):
        async for _ in reply.body:
            pass
    await reply.body.aclose()
    await log.close()
    (line,) = map(json.loads, place.read_text().splitlines())
    assert (line["sent"], line["whole"]) == (3, False)


@pytest.mark.parametrize(
    ("path", "host", "expected"),
    [
        ("/bucket/a/b", "localhost", ["bucket", "a/b"]),
        ("/a/b", "bucket.s3.example.com:9000", ["bucket", "a/b"]),
        ("/", "localhost", ["", ""]),
        ("/b/\udcff", "localhost", ["b", "\\udcff"]),
    ],
)
async def test_an_address_is_taken_apart_as_requests_are(place, path, host, expected):
    log = AccessLog(str(place), ("s3.example.com", "localhost"))
    logged(log, head_of(path, host=host))
    await log.close()
    line = json.loads(place.read_text())
    assert [line["bucket"], line["key"]] == expected


async def test_what_cannot_be_written_is_counted(tmp_path, monkeypatch):
    lost = []
    log = AccessLog(str(tmp_path / "none" / "access.log"), lost=lost.append)
    logged(log, head_of())
    await log.flush()
    monkeypatch.setattr("strongroom.access_log.MOST_WAITING", 2)
    for _ in range(4):
        logged(log, head_of())
    assert lost == [1, 1, 1]
    (tmp_path / "none").mkdir()
    await log.close()
    assert len((tmp_path / "none" / "access.log").read_text().splitlines()) == 2


async def test_lines_may_go_to_standard_error(capsysbinary):
    log = AccessLog("stderr")
    for _ in range(3):
        logged(log, head_of())
    await log.close()
    lines = capsysbinary.readouterr().err.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["key"] * 3


async def test_a_flush_that_is_given_up_loses_nothing(place, monkeypatch):
    """The server is told to stop while a thread writes."""
    log, began, go_on = AccessLog(str(place)), threading.Event(), threading.Event()
    write = log._write

    def slow(lines):
        began.set()
        go_on.wait(20)
        write(lines)

    monkeypatch.setattr(log, "_write", slow)
    logged(log, head_of("/bucket/first"))
    flushing = asyncio.create_task(log.flush())
    await asyncio.to_thread(began.wait, 20)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    logged(log, head_of("/bucket/second"))
    closing = asyncio.create_task(log.close())
    await asyncio.sleep(0.02)
    go_on.set()
    await closing
    assert [json.loads(line)["key"] for line in place.read_text().splitlines()] == ["first", "second"]
    assert log._descriptor == -1
