"""``strongroom scrub`` on a real data folder, beside a running server and without one."""

from __future__ import annotations

import json

import pytest

from tests.server.process import ROOT, Serving, here
from tests.server.test_numbers_page import metrics
from tests.server.test_serving import client

BODY = b"b" * 100_000


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with Serving(tmp_path_factory.mktemp("scrubbed") / "data", environ=ROOT) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="first")
        s3.create_bucket(Bucket="second")
        s3.put_object(Bucket="first", Key="large", Body=BODY)
        s3.put_object(Bucket="second", Key="kms", Body=b"1", ServerSideEncryption="aws:kms")
        s3.close()
        yield serving


def test_the_story_of_a_round(serving):
    data = serving.folder
    done = here("scrub", "status", "--data", data)
    assert (done.returncode, done.stdout) == (0, "No round has come to its end.\n")
    assert here("scrub", "status", "--json", "--data", data).stdout == ""
    assert "strongroom_scrub_last_end_seconds" not in metrics(serving.url)
    done = here("scrub", "run", "--data", data)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["Looked at 2 buckets, 2 versions, 0 unfinished uploads, 0 parts, 1 blobs; opened 100001 bytes.", "Clean."],
    )
    done = here("scrub", "run", "--data", data)
    assert (done.returncode, done.stdout) == (0, "No round is due; --now does one all the same.\n")
    values = metrics(serving.url)
    assert values["strongroom_scrub_last_end_seconds"] > values["strongroom_scrub_last_begin_seconds"] > 1.7e9
    assert values["strongroom_scrub_last_findings"] == 0.0

    (file,) = [path for path in (data / "blobs").rglob("*") if path.is_file()]
    sealed = bytearray(file.read_bytes())
    sealed[70_000] ^= 1
    file.write_bytes(sealed)
    assert here("scrub", "run", "--now", "--bucket", "second", "--data", data).returncode == 0
    done = here("scrub", "run", "--now", "--data", data)
    assert done.returncode == 1
    finding, *_, summary = done.stdout.splitlines()
    assert finding.startswith("corrupt  first/large version ")
    assert finding.endswith(f": blob {file.name}: segment 1 is not authentic")
    assert summary == "Found: 1 corrupt."
    done = here("scrub", "status", "--data", data)
    assert done.returncode == 1
    begin, *_, found, kept = done.stdout.splitlines()
    assert begin.startswith("Last round, ")
    assert (found, kept) == ("Found: 1 corrupt.", finding)
    last, one = map(json.loads, here("scrub", "status", "--json", "--data", data).stdout.splitlines())
    assert (last["round"], last["tally"]["findings"], last["kept"]) == ("last", {"corrupt": 1}, 1)
    assert (one["kind"], one["object_key"], one["blob_id"]) == ("corrupt", "large", file.name)
    one, summary = map(
        json.loads, here("scrub", "run", "--now", "--bucket", "first", "--json", "--data", data).stdout.splitlines()
    )
    assert (one["kind"], summary["summary"]["findings"]) == ("corrupt", {"corrupt": 1})
    assert metrics(serving.url)["strongroom_scrub_last_findings"] == 1.0
    sealed[70_000] ^= 1
    file.write_bytes(sealed)
    assert here("verify", "--data", data).returncode == 0


@pytest.mark.parametrize("words", [["run", "--bucket", "none"], ["run", "--no-such"], ["status", "x"]])
def test_what_was_asked_wrongly(serving, words):
    done = here("scrub", *words, "--data", serving.folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
