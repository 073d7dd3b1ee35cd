"""``strongroom rewrap`` beside a running server that goes on writing: nothing is lost, and in the end nothing needs the old key."""

from __future__ import annotations

import json
import signal
import subprocess
import threading

import pytest

from tests.server.process import COMMAND, ROOT, Serving, here
from tests.server.test_serving import client


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with Serving(tmp_path_factory.mktemp("rewrap") / "data", "--workers", "2", environ=ROOT) as serving:
        yield serving


@pytest.fixture
def house(serving, request):
    """A bucket, two keys, and what is stored under the first; new writes go to the second."""
    s3, kms = client("s3", serving.url), client("kms", serving.url)
    name = f"b{abs(hash(request.node.name))}"
    old, new = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    s3.create_bucket(Bucket=name)
    bodies = {f"k{number:02}": bytes([number]) * (70_000 if number % 9 == 0 else 100) for number in range(30)}
    for key, body in bodies.items():
        s3.put_object(Bucket=name, Key=key, Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=old)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": new}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    yield s3, kms, name, old, new, bodies
    s3.close()
    kms.close()


def test_under_writes(serving, house):
    s3, kms, name, old, new, bodies = house
    stop = threading.Event()
    failures = []

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            key = f"k{number % 10 + 30 * (number % 3 == 0):02}"  # the others are left to the move
            body = bytes([number % 256]) * (90_000 if number % 5 == 0 else 50)
            try:
                s3.put_object(Bucket=name, Key=key, Body=body)
                assert s3.get_object(Bucket=name, Key=key)["Body"].read() == body
            except Exception as error:  # noqa: BLE001 - told below
                failures.append(error)
                return
            bodies[key] = body

    words = ("rewrap", "--bucket", name, "--from-key", old, "--to-key", new, "--json", "--data", serving.folder)
    assert json.loads(here(*words, "--dry-run").stdout)["summary"]["moved"] == len(bodies)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = here(*words)
        live = here("verify", "--bucket", name, "--data", serving.folder)
    finally:
        stop.set()
        writer.join()
    assert failures == []
    summary = json.loads(done.stdout)["summary"]
    assert done.returncode == (1 if summary["changed"] else 0)
    assert summary["moved"] > 0
    assert (live.returncode, live.stdout.splitlines()[-1]) == (0, "Clean.")
    assert here(*words).returncode == 0
    kms.schedule_key_deletion(KeyId=old, PendingWindowInDays=7)
    assert {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in bodies} == bodies
    assert here("verify", "--bucket", name, "--data", serving.folder).returncode == 0


def test_etag_and_time_stay_and_it_may_be_interrupted(serving, house):
    s3, _, name, old, new, bodies = house
    before = {each["Key"]: (each["ETag"], each["LastModified"]) for each in s3.list_objects_v2(Bucket=name)["Contents"]}
    words = ["rewrap", "--bucket", name, "--from-key", old, "--to-key", new, "--data", str(serving.folder)]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
        assert process.returncode in {0, 130, -signal.SIGINT}
    done = here(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Moved ")
    after = {each["Key"]: (each["ETag"], each["LastModified"]) for each in s3.list_objects_v2(Bucket=name)["Contents"]}
    assert after == before
    assert s3.head_object(Bucket=name, Key="k00")["SSEKMSKeyId"].endswith(new)
    assert here(*words).stdout == f"Moved 0 of {len(bodies)} versions; {len(bodies)} were right already, 0 are not meant.\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--bucket", "none", "--newest-material"],
        ["--all-buckets"],
        ["--all-buckets", "--bucket", "b", "--newest-material"],
        ["--all-buckets", "--prefix", "p", "--newest-material"],
        ["--all-buckets", "--to-key", "alias/none"],
        ["--all-buckets", "--to-key", "alias/none", "--newest-material"],
    ],
)
def test_what_was_asked_wrongly(serving, words):
    done = here("rewrap", *words, "--data", serving.folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
