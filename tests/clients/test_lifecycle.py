"""Lifecycles through boto3: configurations put, got and refused, and the headers that tell of them."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.clients.house import COMMAND, PATIENCE, Server, refused, unique

RULE = {"ID": "r 1", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def put(s3, bucket, *rules, **more):
    return s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more)


def got(s3, bucket):
    return s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]


def test_a_configuration_of_every_element(s3, bucket):
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket).code == "NoSuchLifecycleConfiguration"
    full = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {
            "And": {"Prefix": "a/", "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9, "Tags": [{"Key": "k", "Value": "v"}]}
        },
        "Transitions": [{"Date": datetime(2027, 1, 1, tzinfo=UTC), "StorageClass": "GLACIER_IR"}],
        "Expiration": {"Date": datetime(2028, 1, 1, tzinfo=UTC)},
        "NoncurrentVersionTransitions": [{"NoncurrentDays": 30, "StorageClass": "STANDARD_IA", "NewerNoncurrentVersions": 2}],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 60, "NewerNoncurrentVersions": 3},
    }
    other = {
        "ID": "other",
        "Status": "Disabled",
        "Filter": {},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    minimum = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    assert put(s3, bucket, full, other, **minimum)["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert answer["Rules"] == [full, other]
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket).status == 404


def test_the_old_spelling(server, s3, bucket):
    """PutBucketLifecycle and GetBucketLifecycle look the same on the wire; their rules have a Prefix and no Filter."""
    rule = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle(Bucket=bucket)["Rules"] == [rule]
    assert got(s3, bucket) == [rule]


def document(inside: str, status: str = "<Status>Enabled</Status>", chosen: str = "<Filter/>") -> str:
    return f"<LifecycleConfiguration><Rule>{status}{chosen}{inside}</Rule></LifecycleConfiguration>"


DAY = "<Expiration><Days>1</Days></Expiration>"
DOCUMENTS = [
    "",
    "<no",
    "<Other/>",
    f"<LifecycleConfiguration {NAMESPACE}/>",
    document(DAY + "<More/>"),
    document(DAY, status="<Status>enabled</Status>"),
    document(DAY, status=""),
    document(DAY + DAY),
    document("<Expiration><Days>one</Days></Expiration>"),
    document("<Expiration><Date>soon</Date></Expiration>"),
    document("<Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>"),
    document(DAY, chosen="<Filter><Tag><Key>k</Key></Tag></Filter>"),
    "<!DOCTYPE x>" + document(DAY),
]


def test_a_document_that_is_none_changes_nothing(server, s3, bucket):
    put(s3, bucket, RULE)
    for body in DOCUMENTS:
        reply = server.ask("PUT", f"/{bucket}?lifecycle", body=body.encode())
        assert (reply.status, reply.error[1]) == (400, "MalformedXML"), body
    assert got(s3, bucket) == [RULE]
    assert server.ask("PUT", f"/{bucket}?lifecycle", body=document(DAY).encode()).status == 200


def test_a_document_that_the_rules_forbid_changes_nothing(s3, bucket):
    put(s3, bucket, RULE)
    for change, code in (
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Date": datetime(2027, 1, 1, 1, tzinfo=UTC)}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML"),
        ({"Transitions": [{"Days": 5, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument"),
        ({"Prefix": "both"}, "MalformedXML"),
    ):
        given = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": [RULE | change]}}
        assert refused(s3.put_bucket_lifecycle_configuration, **given).code == code, change
    assert got(s3, bucket) == [RULE]


def midnight(days):
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=days + 1)


def test_headers(server, s3, bucket):
    put(
        s3,
        bucket,
        RULE,
        {**RULE, "ID": "up", "Filter": {"Prefix": "m"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
    )
    expected = f'expiry-date="{format_datetime(midnight(3), usegmt=True)}", rule-id="r%201"'
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["Expiration"] == expected
    assert server.ask("HEAD", f"/{bucket}/k").headers["x-amz-expiration"] == expected
    assert s3.get_object(Bucket=bucket, Key="k")["Expiration"] == expected
    assert s3.copy_object(Bucket=bucket, Key="l", CopySource=f"{bucket}/k")["Expiration"] == expected
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")
    at = {"Bucket": bucket, "Key": "m", "UploadId": upload["UploadId"]}
    assert (upload["AbortDate"], upload["AbortRuleId"]) == (midnight(2), "up")
    assert s3.list_parts(**at)["AbortDate"] == midnight(2)
    part = s3.upload_part(**at, PartNumber=1, Body=b"x")["ETag"]
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert done["Expiration"] == expected
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert "x-amz-expiration" not in server.ask("HEAD", f"/{bucket}/k").headers


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """A server that looks every second whether something is due."""
    server = Server(tmp_path_factory.mktemp("eager"), {"STRONGROOM_LIFECYCLE_SECONDS": "1"})
    server.start()
    yield server
    server.close()


def until(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_happens_by_itself(eager):
    """By a date that is past already: an object, a version behind another, and a marker that then hides nothing."""
    s3, name = eager.client("s3"), unique()
    s3.create_bucket(Bucket=name)
    for key in ("gone/small", "gone/large", "stays"):
        s3.put_object(Bucket=name, Key=key, Body=b"x" * (100_000 if key.endswith("large") else 1))
    rule = {
        "ID": "r",
        "Status": "Enabled",
        "Filter": {"Prefix": "gone/"},
        "Expiration": {"Date": datetime(2020, 1, 1, tzinfo=UTC)},
    }
    put(s3, name, rule)
    until(lambda: [each["Key"] for each in s3.list_objects_v2(Bucket=name)["Contents"]] == ["stays"])
    assert "Versions" in s3.list_object_versions(Bucket=name)
    assert "DeleteMarkers" not in s3.list_object_versions(Bucket=name)
    lines = eager.send("GET", "/-/metrics", {}).body.decode().splitlines()
    assert 'strongroom_lifecycle_actions_total{action="expire"} 2.0' in lines
    assert any(line.startswith("strongroom_lifecycle_versions_total ") for line in lines)
    log = [json.loads(line) for line in eager.log.read_text().splitlines() if '"lifecycle"' in line]
    assert any(line["bucket"] == name and line.get("expire") == 2 for line in log)
    s3.close()


def lifecycle(server, *words):
    command = [*COMMAND, "lifecycle", "run", *words, "--data", str(server.data)]
    return subprocess.run(command, env=server.environ, capture_output=True, text=True, timeout=30, check=False)


def test_the_operator_does_it_by_any_date(own_server):
    s3, name = own_server.client("s3"), unique()
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    s3.create_multipart_upload(Bucket=name, Key="m")
    put(
        s3, name, {**RULE, "ID": "r", "Expiration": {"Days": 300}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 300}}
    )
    later = f"{datetime.now(UTC) + timedelta(days=302):%Y-%m-%d}"
    dry = lifecycle(own_server, "--now", later, "--dry-run")  # also while the server runs
    assert dry.returncode == 0, dry.stderr
    first, second, last = dry.stdout.splitlines()
    assert first.startswith(f"abort  {name}/m ")
    assert second.startswith(f"expire  {name}/k ")
    assert last == f"Went through 1 versions and 1 unfinished uploads as of {later} 00:00 UTC; due: 1 abort, 1 expire."
    busy = lifecycle(own_server, "--now", later)
    assert (busy.returncode, busy.stdout) == (1, "")
    assert "is running on" in busy.stderr
    assert s3.head_object(Bucket=name, Key="k")
    own_server.stop()
    done = lifecycle(own_server, "--now", later, "--bucket", name, "--json")
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "summary": {"versions": 1, "uploads": 1, "actions": {"abort": 1, "expire": 1}, "complete": True, "dry_run": False}
    }
    again = lifecycle(own_server, "--now", later)
    assert again.stdout.endswith("; done: nothing.\n")
    own_server.start()
    assert refused(s3.head_object, Bucket=name, Key="k").status == 404
    assert s3.list_object_versions(Bucket=name)["DeleteMarkers"][0]["IsLatest"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=name)
    s3.close()


@pytest.mark.parametrize("words", [["--now", "tomorrow"], ["--bucket", "none", "--dry-run"]])
def test_what_an_operator_asks_wrongly(eager, words):
    done = lifecycle(eager, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
