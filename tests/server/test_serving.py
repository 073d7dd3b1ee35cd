from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from strongroom.numbers import FLUSH_SECONDS
from tests.server.process import ROOT, Serving, run

KEYS = (ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"], ROOT["STRONGROOM_ROOT_SECRET_ACCESS_KEY"])


def client(service, url, keys=KEYS):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        return answer.status, answer.read()


def until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not _holds(true):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _holds(true):
    try:
        return true()
    except OSError:  # a worker that is still starting
        return False


def upload_half(serving, name, body):
    """A PutObject of which half has been sent; the connection."""
    s3 = client("s3", serving.url)
    s3.create_bucket(Bucket=name)
    s3.close()
    request = AWSRequest("PUT", f"{serving.url}/{name}/slow", data=body)
    S3SigV4Auth(Credentials(*KEYS), "s3", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
    connection.putrequest("PUT", f"/{name}/slow")
    for header, value in {**dict(request.headers.items()), "Content-Length": str(len(body))}.items():
        connection.putheader(header, value)
    connection.endheaders(body[: len(body) // 2])
    time.sleep(0.3)  # it has reached the worker
    return connection


def test_the_first_start_tells_the_credentials_once_and_then_that_it_is_ready(data, mode):
    with Serving(data) as serving:
        told = "\n".join(serving.printed)
        keys = [re.search(rf"{name}=(\S+)", told)[1] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        assert re.fullmatch(r"ready http://127\.0\.0\.1:\d+", serving.printed[-1])
        assert get(f"{serving.url}/-/ready")[0] == 200
        assert client("sts", serving.url, keys).get_caller_identity()["Arn"].endswith(":root")
        assert mode(data) == 0o700
        assert {mode(path) for path in data.iterdir()} == {0o600, 0o700}
        assert serving.stop() == 0
    with Serving(data) as serving:
        assert [line.partition(" ")[0] for line in serving.printed] == ["ready"]
        assert client("sts", serving.url, keys).get_caller_identity()["Arn"].endswith(":root")
        log = serving.log.read_text()
        assert keys[1] not in log
        assert serving.stop(signal.SIGINT) == 0


def test_a_running_upload_is_finished_before_the_end(data):
    body = os.urandom(300_000)
    with Serving(data, environ=ROOT) as serving:
        connection = upload_half(serving, "finished", body)
        serving.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert serving.process.poll() is None
        connection.send(body[len(body) // 2 :])
        assert connection.getresponse().status == 200
        connection.close()
        assert serving.process.wait(20) == 0
    with Serving(data) as serving:
        s3 = client("s3", serving.url)
        assert s3.get_object(Bucket="finished", Key="slow")["Body"].read() == body


def test_an_upload_that_does_not_go_on_is_given_up_at_the_end(data):
    with Serving(data, environ={**ROOT, "STRONGROOM_STOP_SECONDS": "1"}) as serving:
        connection = upload_half(serving, "given-up", bytes(300_000))
        started = time.monotonic()
        assert serving.stop() == 0
        assert time.monotonic() - started < 10
        connection.close()


@pytest.mark.parametrize("after", [0.0, 1.0], ids=["one worker starting", "all serving"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "service manager"])
def test_a_signal_to_all_processes_is_a_good_end(data, number, after):
    """The workers are then told twice, the second time by their parent."""
    with Serving(data, "--workers", "2") as serving:
        time.sleep(after)
        os.killpg(serving.process.pid, number)
        assert serving.process.wait(20) == 0
    assert "has no end" not in run("audit", "verify", "--data", data).stdout  # also of a worker that had not yet served


def test_a_second_server_on_the_folder_is_refused_in_one_line(shared):
    second = run("serve", shared.folder, "--listen", "127.0.0.1:0")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"strongroom: another server (process {shared.process.pid}) is running on {shared.folder}\n"


def test_a_port_in_use_is_refused_in_one_line(shared, data):
    second = run("serve", data, "--listen", f"127.0.0.1:{shared.port}")
    assert second.returncode == 1
    assert second.stderr == f"strongroom: cannot listen on http://127.0.0.1:{shared.port}: Address already in use\n"


def test_a_worker_that_dies_is_replaced(data):
    with Serving(data, "--workers", "2") as serving:
        before = serving.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(serving.workers()) == 2 and before[0] not in serving.workers())
        until(lambda: get(f"{serving.url}/-/ready")[0] == 200)
        assert serving.stop() == 0


def test_workers_do_not_outlive_their_parent(data):
    with Serving(data, "--workers", "2") as serving:
        workers = serving.workers()
        serving.process.kill()
        serving.process.wait(20)
        until(lambda: not any(Path(f"/proc/{each}").exists() for each in workers))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", serving.port))
    with Serving(data) as serving:
        assert serving.stop() == 0


def test_an_account_made_beside_a_running_server_may_sign_in_at_once(shared):
    import json

    for number in range(3):
        made = json.loads(run("account", "create", f"beside-{number}", "--json", "--data", shared.folder).stdout)
        for _ in range(4):  # both workers
            told = client("sts", shared.url, (made["access_key_id"], made["secret_access_key"])).get_caller_identity()
            assert told["Account"] == made["account_id"]


def test_numbers_are_those_of_all_workers(shared):
    asked = 'strongroom_requests_total{code="",operation="GetCallerIdentity",service="sts",status="200"} '

    def count():
        return float(get(f"{shared.url}/-/metrics")[1].decode().partition(asked)[2].partition("\n")[0] or 0)

    time.sleep(2 * FLUSH_SECONDS)  # whatever was counted before is on the page
    before = count()
    for _ in range(10):
        sts = client("sts", shared.url)  # a new connection, perhaps to the other worker
        sts.get_caller_identity()
        sts.close()
    until(lambda: count() == before + 10)
    assert {count() for _ in range(6)} == {before + 10}  # whichever worker answers
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{shared.url}/-/nothing")


def test_ipv6(data):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Serving(data, environ=ROOT, listen="[::1]:0") as serving:
        assert serving.url.startswith("http://[::1]:")
        assert client("sts", serving.url).get_caller_identity()["Account"] == ROOT["STRONGROOM_ACCOUNT_ID"]
        assert serving.stop() == 0
