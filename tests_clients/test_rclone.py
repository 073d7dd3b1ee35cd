"""rclone: sync, check, copies and moves on the server, ranges, a stream of unknown length, a presigned link."""

from __future__ import annotations

import shutil

import pytest

from tests.clients.setups import run_shell
from tests_clients.house import LARGE, MIB, Program, fetch, write


@pytest.fixture
def rclone(find, server, bucket, files, environ):
    path = find("rclone", "apt-get install rclone")
    if bucket.kms_key is not None:  # or it takes ETags for MD5; see the page
        environ |= {"RCLONE_S3_SERVER_SIDE_ENCRYPTION": "aws:kms", "RCLONE_S3_SSE_KMS_KEY_ID": bucket.kms_key}
    parts = {"RCLONE_S3_UPLOAD_CUTOFF": "16M", "RCLONE_S3_CHUNK_SIZE": "5M", "RCLONE_S3_COPY_CUTOFF": "10M"}
    return Program(path, run_shell("rclone", server, environ | parts, bucket.name))


def test_sync_and_check(rclone, bucket, files, tmp_path):
    here, there = tmp_path / "files", f"strongroom:{bucket.name}"
    assert sorted(bucket.listed()) == sorted(files)
    for name, data in files.items():
        assert bucket.read(name) == data
    bucket.assert_sealed()
    assert bucket.head("deep er/large")["ETag"].endswith('-5"')
    rclone("check", "--download", here, there)
    rclone("sync", here, there, "--immutable")  # nothing has changed, or it would fail
    write(here / "one.txt", b"another")
    (here / "many" / "007").unlink()
    assert "2 differences found" in rclone.fails("check", here, there)
    rclone("sync", here, there)
    assert bucket.read("one.txt") == b"another"
    assert "many/007" not in bucket.listed()
    shutil.rmtree(here)
    rclone("sync", there, here)
    assert (here / "deep er" / "large").read_bytes() == files["deep er/large"]
    rclone("check", "--download", here, there)


def test_versions(rclone, versioned, files):
    there = f"strongroom:{versioned.name}"
    rclone("rcat", f"{there}/one.txt", given=b"newer")
    rclone("deletefile", f"{there}/empty")
    listed = rclone("lsf", "--s3-versions", there).splitlines()
    (old,) = [name for name in listed if name.startswith("one-v")]
    assert rclone("cat", "--s3-versions", f"{there}/{old}").encode() == files["one.txt"]
    assert sum(name.startswith("empty") for name in listed) == 1


def test_on_the_server(rclone, bucket, files):
    there = f"strongroom:{bucket.name}"
    rclone("copyto", f"{there}/deep er", f"{there}/coƥied to")  # by parts, where the cutoff says so
    rclone("moveto", f"{there}/one.txt", f"{there}/moved.txt")
    assert bucket.read("coƥied to/large") == files["deep er/large"]
    assert bucket.read("moved.txt") == files["one.txt"]
    assert "one.txt" not in bucket.listed()
    across = rclone.read("cat", f"{there}/coƥied to/large", "--offset", 5 * MIB - 3, "--count", 70_000)
    assert across == files["deep er/large"][5 * MIB - 3 :][:70_000]
    rclone("rcat", f"{there}/stream", given=files["deep er/large"])
    assert bucket.read("stream") == files["deep er/large"]
    assert f"({LARGE} Byte)" in rclone("size", f"{there}/stream")
    rclone("touch", f"{there}/many/001", "-t", "2020-02-02T02:02:02")
    assert "2020-02-02 02:02:02" in rclone("lsl", f"{there}/many/001")
    assert fetch(rclone("link", f"{there}/many/002").strip()) == b"2"
    bucket.assert_sealed()
    rclone("purge", there)
    assert bucket.name not in rclone("lsd", "strongroom:")
