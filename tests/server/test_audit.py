"""The key-use record of a real server, and the commands that read it."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from strongroom.cli.main import app
from tests.server.process import ROOT, Serving
from tests.server.process import run as run_process
from tests.server.test_serving import client

ARN = f"arn:aws:iam::{ROOT['STRONGROOM_ACCOUNT_ID']}:root"
pytestmark = pytest.mark.timeout(180)


def run(*words) -> Result:
    """The command, in this process: starting one for each look would take most of the test's time."""
    return CliRunner().invoke(app, [str(word) for word in words])


def listed(folder, *words):
    done = run("audit", "list", "--json", "--data", folder, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def clean(folder):
    """The report of a record that must be whole."""
    done = run("audit", "verify", "--json", "--data", folder)
    report = json.loads(done.stdout)
    assert (done.exit_code, report["faults"]) == (0, [])
    return report


def until_listed(folder, count):
    deadline = time.monotonic() + 60
    while len(found := listed(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def put_some(serving, count=3):
    """A bucket with a bucket key, objects in it, and a use that is refused; the key's ARN."""
    s3, kms = client("s3", serving.url), client("kms", serving.url)
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="bucket")
    for number in range(count):
        sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn, "BucketKeyEnabled": True}
        s3.put_object(Bucket="bucket", Key=f"{number}", Body=b"x", **sealed)
    s3.put_object(Bucket="bucket", Key="plain", Body=b"x")
    s3.get_object(Bucket="bucket", Key="0")["Body"].read()
    kms.disable_key(KeyId=arn)
    with pytest.raises(ClientError):
        s3.get_object(Bucket="bucket", Key="0")
    with pytest.raises(ClientError):
        kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext={"a": "b"})
    s3.close()
    kms.close()
    return arn


def test_the_record_of_a_server_from_its_first_use_to_its_end(data):
    with Serving(data, environ=ROOT) as serving:
        arn = put_some(serving)
        found = until_listed(data, 6)
        report = clean(data)
        assert report["notices"] == [f"chain {found[0]['chain']} has no end: its server is running, or stopped without warning"]
        assert serving.stop() == 0
    report = clean(data)
    assert (report["uses"], report["chains"], report["notices"]) == (6, 1, [])
    assert listed(data) == found
    assert [(line["operation"], line["cause"], line["kms"], line["outcome"]) for line in found] == [
        ("GenerateDataKey", "bucket-key", True, "Success"),
        ("GenerateDataKey", "bucket-key", False, "Success"),
        ("GenerateDataKey", "bucket-key", False, "Success"),
        ("Decrypt", "bucket-key", False, "Success"),
        ("Decrypt", "bucket-key", False, "DisabledException"),
        ("GenerateDataKey", "api", True, "DisabledException"),
    ]
    for line in found:
        assert (line["key"], line["principal"], line["source_ip"]) == (arn, ARN, "127.0.0.1")
        assert line["access_key_id"] == ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"]
        assert line["request_id"]
    assert [line.get("resource") for line in found] == [*(f"arn:aws:s3:::bucket/{key}" for key in "01200"), None]
    assert found[3]["context"] == {"aws:s3:arn": "arn:aws:s3:::bucket"}
    assert len(found[3]["version"]) == 32
    assert found[4]["reason"] == f"{arn} is disabled."
    choose(data, arn, found)
    export(data, arn, found)
    tamper(data, found[4]["n"])


def choose(data, arn, found):
    assert listed(data, "--key", arn) == listed(data, "--key", arn[-36:]) == found
    assert listed(data, "--key", "other") == []
    assert listed(data, "--object", "bucket/0") == listed(data, "--object", "arn:aws:s3:::bucket/0") == [found[0], *found[3:5]]
    assert listed(data, "--object", "bucket") == found[:5]
    assert listed(data, "--object", "bucke") == []
    middle = found[2]["time"]
    assert listed(data, "--until", middle) == [line for line in found if line["time"] < middle]
    assert listed(data, "--since", middle) == [line for line in found if line["time"] >= middle]
    local = datetime.fromisoformat(middle).astimezone(UTC) + timedelta(hours=1)
    assert listed(data, "--since", f"{local:%Y-%m-%dT%H:%M:%S.%f}+01:00") == listed(data, "--since", middle)
    assert listed(data, "--since", "2h") == found
    assert listed(data, "--until", "1d") == []
    done = run("audit", "list", "--data", data, "--object", "bucket/1")
    assert len(done.stdout.splitlines()) == 2
    assert arn in done.stdout
    done = run("audit", "list", "--data", data, "--since", "yesterday")
    assert (done.exit_code, "yesterday is no time" in done.stderr) == (2, True)


def export(data, arn, found):
    done = run("audit", "export", "--data", data)
    assert done.exit_code == 0
    records = json.loads(done.stdout)["Records"]
    assert json.loads(run("audit", "export", "--data", data, "--key", "none").stdout) == {"Records": []}
    assert [record["requestID"] for record in records] == [line["request_id"] for line in found]
    assert len({record["eventID"] for record in records}) == 6
    assert records == json.loads(run("audit", "export", "--data", data).stdout)["Records"]
    account_id, line = ROOT["STRONGROOM_ACCOUNT_ID"], found[4]
    event = dict(records[4])
    assert len(event.pop("eventID")) == 36
    assert event == {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "Root",
            "principalId": account_id,
            "arn": ARN,
            "accountId": account_id,
            "accessKeyId": ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"],
            "invokedBy": "s3.amazonaws.com",
        },
        "eventTime": f"{line['time'][:19]}Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": "Decrypt",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "errorCode": "DisabledException",
        "errorMessage": f"{arn} is disabled.",
        "requestParameters": {"keyId": arn, "encryptionContext": {"aws:s3:arn": "arn:aws:s3:::bucket"}},
        "responseElements": None,
        "additionalEventData": {
            "cause": "bucket-key",
            "kmsCalled": False,
            "resource": "arn:aws:s3:::bucket/0",
            "version": line["version"],
        },
        "requestID": line["request_id"],
        "readOnly": True,
        "resources": [{"accountId": account_id, "type": "AWS::KMS::Key", "ARN": arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account_id,
        "eventCategory": "Management",
    }
    assert "errorCode" not in records[0]
    assert "invokedBy" not in records[5]["userIdentity"]


def tamper(data, number):
    """Exit code 1 from each of the commands, and what is wrong in words. ``number``: of the line of the first refusal."""
    (path,) = (data / "key-use").glob("*.jsonl")
    good = path.read_bytes()
    path.write_bytes(good.replace(b"DisabledException", b"Success", 1))
    done = run("audit", "verify", "--data", data)
    assert done.exit_code == 1
    assert f"{path.name}, line {number}: is not what was written here" in done.stdout
    for command in ("list", "export"):
        done = run("audit", command, "--data", data)
        assert (done.exit_code, "the record is not whole (1 faults)" in done.stderr) == (1, True)
    path.unlink()
    done = run_process("audit", "verify", "--data", data)
    assert (done.returncode, "is missing, of which" in done.stdout, "the catalog's head" in done.stdout) == (1, True, True)
    path.write_bytes(good)
    clean(data)


def test_nothing_is_lost_when_two_workers_are_told_to_stop(data):
    with Serving(data, "--workers", "2", environ=ROOT) as serving:
        put_some(serving, 40)
        assert serving.stop() == 0
    report = clean(data)
    assert (report["uses"], report["chains"], report["notices"]) == (43, 2, [])
    lines = listed(data)
    assert sum(line["kms"] for line in lines if line["cause"] == "bucket-key") <= 3  # one for each worker, and a Decrypt


def test_a_kill_loses_the_last_second_at_most_and_the_next_start_goes_on(data):
    with Serving(data, environ=ROOT) as serving:
        put_some(serving)
        until_listed(data, 6)
        for pid in (*serving.workers(), serving.process.pid):
            os.kill(pid, signal.SIGKILL)
        serving.process.wait(20)
    with Serving(data) as serving:
        kms = client("kms", serving.url)
        with pytest.raises(ClientError):
            kms.generate_data_key(KeyId=listed(data)[0]["key"], KeySpec="AES_256")
        kms.close()
        assert serving.stop() == 0
    report = clean(data)
    assert (report["uses"], report["chains"], len(report["notices"])) == (7, 2, 1)


def test_a_folder_that_is_none(tmp_path):
    done = run_process("audit", "verify", "--data", tmp_path / "none")
    assert (done.returncode, "holds no data of Strongroom's" in done.stderr) == (1, True)
