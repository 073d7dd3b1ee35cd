"""s3cmd: sync with deletes, by parts and back, copies and moves on the server, metadata, ranges."""

from __future__ import annotations

import shutil

import pytest

from tests.clients.setups import run_shell
from tests_clients.house import Program, fetch, write


@pytest.fixture
def s3cmd(find, server, bucket, files, environ):
    path = find("s3cmd", "apt-get install s3cmd", version="--version")
    return Program(path, run_shell("s3cmd", server, environ, bucket.name))


def test_sync(s3cmd, bucket, files, tmp_path):
    here, there = f"{tmp_path}/files/", f"s3://{bucket.name}"
    assert sorted(bucket.listed()) == sorted(files)
    for name, data in files.items():
        assert bucket.read(name) == data
    bucket.assert_sealed()
    assert bucket.head("deep er/large")["ETag"].endswith('-2"')  # 15 MiB each
    calm = () if bucket.kms_key is None else ("--no-check-md5",)  # or it takes each ETag for an MD5; see the page
    assert "upload" not in s3cmd("sync", *calm, here, f"{there}/")  # nothing has changed
    write(tmp_path / "files" / "one.txt", b"another one")
    (tmp_path / "files" / "many" / "007").unlink()
    printed = s3cmd("sync", *calm, "--delete-removed", here, f"{there}/")
    assert (printed.count("upload:"), printed.count("delete:")) == (1, 1)
    assert bucket.read("one.txt") == b"another one"
    shutil.rmtree(here)
    s3cmd("sync", *calm, "--quiet", f"{there}/", here)
    assert (tmp_path / "files" / "deep er" / "large").read_bytes() == files["deep er/large"]
    assert {path.relative_to(here).as_posix() for path in (tmp_path / "files").rglob("*") if path.is_file()} == set(
        bucket.listed()
    )


def test_settings(s3cmd, server, bucket, tmp_path):
    there = f"s3://{bucket.name}"
    s3cmd("settagging", f"{there}/one.txt", "team=letters&of=two")
    assert {line.strip() for line in s3cmd("gettagging", f"{there}/one.txt").splitlines()[1:]} == {"of:\ttwo", "team:\tletters"}
    (tmp_path / "life.xml").write_text(
        "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix>old/</Prefix></Filter><Status>Enabled</Status>"
        "<Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>"
    )
    s3cmd("setlifecycle", tmp_path / "life.xml", there)
    assert "<Days>3</Days>" in s3cmd("getlifecycle", there)
    assert "objects with key prefix 'old/' will expire in '3' day(s)" in s3cmd("info", there)
    s3cmd("dellifecycle", there)
    assert "AccessControlListNotSupported" in s3cmd.fails("setacl", "--acl-public", f"{there}/one.txt")
    s3cmd("setownership", there, "BucketOwnerPreferred")
    s3cmd("setblockpublicaccess", there, "BlockPublicPolicy")  # that one alone
    s3cmd("setacl", "--acl-public", f"{there}/one.txt")
    assert "*anon*: READ" in s3cmd("info", f"{there}/one.txt")
    if bucket.kms_key is None:  # nobody's caller may use no key
        assert fetch(f"{server.url}/{bucket.name}/one.txt") == b"the first\n"
    s3cmd("setversioning", there, "enable")
    assert bucket.s3.get_bucket_versioning(Bucket=bucket.name)["Status"] == "Enabled"


def test_on_the_server(s3cmd, bucket, files, tmp_path):
    there = f"s3://{bucket.name}"
    s3cmd("cp", "--recursive", f"{there}/deep er/", f"{there}/coƥied to/")
    s3cmd("mv", f"{there}/one.txt", f"{there}/moved.txt")
    assert bucket.read("coƥied to/large") == files["deep er/large"]
    assert bucket.read("moved.txt") == files["one.txt"]
    s3cmd("modify", "--add-header", "x-amz-meta-note:of two", f"{there}/moved.txt")
    assert bucket.head("moved.txt")["Metadata"]["note"] == "of two"
    assert "of two" in s3cmd("info", f"{there}/moved.txt")
    s3cmd("put", "-", f"{there}/stream", given=files["deep er/large"])
    assert bucket.read("stream") == files["deep er/large"]
    (tmp_path / "part").write_bytes(files["deep er/large"][:1_000_000])
    s3cmd("get", "--continue", f"{there}/stream", tmp_path / "part")  # the rest, as a range
    assert (tmp_path / "part").read_bytes() == files["deep er/large"]
    bucket.assert_sealed()
    s3cmd("del", "--recursive", "--force", there)
    s3cmd("rb", there)
    assert there not in s3cmd("ls")
