"""``strongroom verify`` on a real data folder, beside a running server and without one: what it prints and its exit codes."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.server.process import ROOT, Serving, here, run
from tests.server.test_serving import client

BODY = b"b" * 100_000


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with a few objects, on which no server runs."""
    path = tmp_path_factory.mktemp("stored") / "data"
    with Serving(path, environ=ROOT) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="first")
        s3.create_bucket(Bucket="second")
        s3.put_object(Bucket="first", Key="large", Body=BODY)
        s3.put_object(Bucket="first", Key="kms", Body=b"1", ServerSideEncryption="aws:kms")
        s3.put_object(Bucket="second", Key="small", Body=b"2")
        s3.close()
        live = here("verify", "--data", path)
        assert (live.returncode, live.stdout.splitlines()[-1]) == (0, "Clean.")
        assert serving.stop() == 0
    return path


@pytest.fixture
def copy(stored, tmp_path):
    path = tmp_path / "data"
    shutil.copytree(stored, path)
    path.chmod(0o700)
    return path


def blob_of(path):
    (found,) = [file for file in (path / "blobs").rglob("*") if file.is_file()]
    return found


def test_a_clean_store(copy):
    done = run("verify", "--data", copy)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Looked at 2 buckets, 3 versions, 0 unfinished uploads, 0 parts, 1 blobs; opened 100002 bytes.",
        "Clean.",
    ]
    assert done.stderr == ""


def test_what_is_wrong_is_named_and_the_exit_code_is_1(copy):
    file = blob_of(copy)
    sealed = bytearray(file.read_bytes())
    sealed[70_000] ^= 1
    file.write_bytes(sealed)
    done = here("verify", "--data", copy)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("corrupt  first/large version ")
    assert lines[0].endswith(f": blob {file.name}: segment 1 is not authentic")
    assert lines[-1] == "Found: 1 corrupt."
    assert here("verify", "--quick", "--data", copy).returncode == 0
    assert here("verify", "--bucket", "second", "--data", copy).returncode == 0
    assert here("verify", "--bucket", "first", "--prefix", "k", "--data", copy).returncode == 0
    finding, summary = map(json.loads, here("verify", "--json", "--data", copy).stdout.splitlines())
    assert (finding["kind"], finding["bucket"], finding["object_key"], finding["blob_id"]) == (
        "corrupt",
        "first",
        "large",
        file.name,
    )
    assert summary["summary"]["findings"] == {"corrupt": 1}


def test_a_damaged_service_key_is_named_and_none_is_made(copy):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(copy / "catalog.sqlite")) as connection, connection:
        where = "WHERE kind = 'service-key' AND CAST(scope AS TEXT) LIKE 'service-key/s3/%'"
        ((scope, content),) = connection.execute(f"SELECT scope, content FROM document {where}").fetchall()  # noqa: S608
        connection.execute(f"UPDATE document SET content = ? {where}", (content.replace('"wrapped":"', '"wrapped":"AAAA'),))  # noqa: S608
    done = here("verify", "--data", copy)
    assert done.returncode == 1
    key_id = scope.decode().rpartition("/")[2]
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"corrupt  service key {key_id}: ")
    assert [line.split()[1] for line in lines if line.startswith("missing")] == ["first/large", "second/small"]
    assert here("keys", "dependents", "alias/aws/s3", "--data", copy).returncode == 1
    with closing(sqlite3.connect(copy / "catalog.sqlite")) as connection, connection:
        connection.execute(f"DELETE FROM document {where}")  # noqa: S608
    done = here("verify", "--data", copy)
    assert done.stdout.splitlines()[0] == "missing  service key: there is none: no object of SSE-S3 can be opened"
    with closing(sqlite3.connect(copy / "catalog.sqlite")) as connection:
        assert connection.execute(f"SELECT count(*) FROM document {where}").fetchall() == [(0,)]  # noqa: S608


@pytest.mark.parametrize("words", [["--bucket", "none"], ["--prefix", "x"], ["--no-such"]])
def test_what_was_asked_wrongly(copy, words):
    done = here("verify", *words, "--data", copy)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_wrong_root_key_is_told(copy):
    (copy / "root.key").write_text("00" * 32)
    done = here("verify", "--data", copy)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "root.key is not the key" in done.stderr
