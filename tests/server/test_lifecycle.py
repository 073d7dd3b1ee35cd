"""Lifecycles carried out by a running server, and by the operator as of any date."""

from __future__ import annotations

import http.client
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.server.process import ROOT, Serving, here
from tests.server.test_serving import client

RULE = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "gone/"}}


@pytest.fixture
def bucket_of(request):
    """A bucket with some objects, on a running server."""

    def make(serving, *, versioned=False):
        s3 = client("s3", serving.url)
        request.addfinalizer(s3.close)
        s3.create_bucket(Bucket="bucket")
        if versioned:
            s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        for key, size in (("gone/small", 1), ("gone/large", 100_000), ("stays", 1)):
            s3.put_object(Bucket="bucket", Key=key, Body=b"x" * size)
        return s3

    return make


def put_rule(s3, **more):
    s3.put_bucket_lifecycle_configuration(Bucket="bucket", LifecycleConfiguration={"Rules": [RULE | more]})


def test_it_happens_by_itself_in_one_of_two_workers(tmp_path, bucket_of):
    environ = ROOT | {"STRONGROOM_LIFECYCLE_SECONDS": "1"}
    with Serving(tmp_path / "data", "--workers", "2", environ=environ) as serving:
        s3 = bucket_of(serving)
        put_rule(s3, Expiration={"Date": datetime(2020, 1, 1, tzinfo=UTC)})
        deadline = time.monotonic() + 30
        while [each["Key"] for each in s3.list_objects_v2(Bucket="bucket")["Contents"]] != ["stays"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1.1)  # until the other worker's numbers are on the page
        host = serving.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=20)
        connection.request("GET", "/-/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        assert 'strongroom_lifecycle_actions_total{action="expire"} 2.0' in lines
        assert "strongroom_lifecycle_versions_total 3.0" in lines


def test_the_operator_does_it_by_any_date(tmp_path, bucket_of):
    data = tmp_path / "data"
    later = f"{datetime.now(UTC) + timedelta(days=302):%Y-%m-%d}"
    words = ("lifecycle", "run", "--data", data, "--now", later)
    with Serving(data, environ=ROOT) as serving:
        s3 = bucket_of(serving, versioned=True)
        s3.create_multipart_upload(Bucket="bucket", Key="gone/upload")
        put_rule(s3, Expiration={"Days": 300}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 300})
        dry = here(*words, "--dry-run")  # also while the server runs
        assert (dry.returncode, dry.stderr) == (0, "")
        first, second, third, last = dry.stdout.splitlines()
        assert first.startswith("abort  bucket/gone/upload ")
        assert second.startswith("expire  bucket/gone/large ")
        assert third.startswith("expire  bucket/gone/small ")
        assert last == f"Went through 3 versions and 1 unfinished uploads as of {later} 00:00 UTC; due: 1 abort, 2 expire."
        busy = here(*words)
        assert (busy.returncode, busy.stdout) == (1, "")
        assert "is running on" in busy.stderr
        assert len(s3.list_objects_v2(Bucket="bucket")["Contents"]) == 3
        assert here("lifecycle", "run", "--data", data, "--dry-run", "--now", "tomorrow").returncode == 2
        assert here("lifecycle", "run", "--data", data, "--dry-run", "--bucket", "none").returncode == 2
        serving.stop()
    done = here(*words, "--bucket", "bucket", "--json")
    actions = [json.loads(line) for line in done.stdout.splitlines()]
    assert actions.pop() == {
        "summary": {"versions": 3, "uploads": 1, "actions": {"abort": 1, "expire": 2}, "complete": True, "dry_run": False}
    }
    assert [(each["kind"], each["object_key"], each["rule_id"]) for each in actions[1:]] == [
        ("expire", "gone/large", "r"),
        ("expire", "gone/small", "r"),
    ]
    again = here(*words)
    assert again.stdout == f"Went through 5 versions and 0 unfinished uploads as of {later} 00:00 UTC; done: nothing.\n"
    assert here("verify", "--data", data).returncode == 0
