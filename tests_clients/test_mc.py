"""MinIO's mc: mirror with deletes, copies, pipes, attributes, links, versions and their undoing."""

from __future__ import annotations

import json

import pytest

from tests.clients.setups import run_shell
from tests_clients.house import Program, fetch, write


@pytest.fixture
def mc(find, server, bucket, files, environ):
    path = find("mc", "make .venv-clients/bin/mc (needs Go)", marks="MinIO", version="--version")  # not Midnight Commander
    return Program(path, run_shell("mc", server, environ, bucket.name))


def test_mirror(mc, bucket, files, tmp_path):
    here, there = tmp_path / "files", f"strongroom/{bucket.name}"
    assert sorted(bucket.listed()) == sorted(files)
    for name, data in files.items():
        assert bucket.read(name) == data
    bucket.assert_sealed()
    assert bucket.head("deep er/large")["ETag"].endswith('-2"')  # 16 MiB each
    write(here / "one.txt", b"another")
    (here / "many" / "007").unlink()
    assert {line.rpartition("/")[2] for line in mc("diff", here, there).splitlines()} == {"one.txt", "007"}
    mc("mirror", "--remove", "--overwrite", here, there)
    assert mc("diff", here, there) == ""
    assert bucket.read("one.txt") == b"another"
    mc("mirror", there, tmp_path / "back")
    assert (tmp_path / "back" / "deep er" / "large").read_bytes() == files["deep er/large"]


def test_on_the_server(mc, bucket, files):
    there = f"strongroom/{bucket.name}"
    mc("cp", "--recursive", f"{there}/deep er/", f"{there}/coƥied to/")
    mc("mv", f"{there}/one.txt", f"{there}/moved.txt")
    assert bucket.read("coƥied to/large") == files["deep er/large"]
    assert bucket.read("moved.txt") == files["one.txt"]
    mc("pipe", "--attr", "note=of two", f"{there}/stream", given=files["deep er/large"])
    assert mc.read("cat", f"{there}/stream") == files["deep er/large"]
    assert mc.read("cat", "--offset", 20_000_000, f"{there}/stream") == files["deep er/large"][20_000_000:]
    told = json.loads(mc("stat", "--json", f"{there}/stream"))
    assert (told["size"], told["metadata"]["X-Amz-Meta-Note"]) == (len(files["deep er/large"]), "of two")
    shared = json.loads(mc("share", "download", "--json", f"{there}/deep er/ü + ñ & 50%.bin"))
    assert fetch(shared["share"]) == files["deep er/ü + ñ & 50%.bin"]
    bucket.assert_sealed()
    mc("rb", "--force", there)
    assert bucket.name not in mc("ls", "strongroom")


def test_versions(mc, versioned, files):
    there = f"strongroom/{versioned.name}"
    assert "enabled" in mc("version", "info", there)
    mc("pipe", f"{there}/one.txt", given=b"new")
    mc("rm", f"{there}/one.txt")
    kinds = [json.loads(line) for line in mc("ls", "--versions", "--json", f"{there}/one.txt").splitlines()]
    assert [each.get("isDeleteMarker", False) for each in kinds] == [True, False, False]
    mc("undo", f"{there}/one.txt")
    assert versioned.read("one.txt") == b"new"
    mc("undo", f"{there}/one.txt")
    assert versioned.read("one.txt") == files["one.txt"]
    mc("rm", "--recursive", "--versions", "--force", there)
    mc("rb", there)


def test_settings(mc, bucket, tmp_path):
    there = f"strongroom/{bucket.name}"
    mc("tag", "set", f"{there}/one.txt", "team=letters&of=two")
    told = bucket.s3.get_object_tagging(Bucket=bucket.name, Key="one.txt")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in told) == [("of", "two"), ("team", "letters")]
    assert json.loads(mc("tag", "list", "--json", f"{there}/one.txt"))["tagset"] == {"of": "two", "team": "letters"}
    mc("ilm", "rule", "add", "--prefix", "old/", "--expire-days", "30", there)
    (only,) = json.loads(mc("ilm", "rule", "ls", "--json", there))["config"]["Rules"]
    assert (only["Expiration"]["Days"], only["Filter"]["Prefix"]) == (30, "old/")
    (tmp_path / "cors.xml").write_text(
        "<CORSConfiguration><CORSRule><AllowedOrigin>https://a.example</AllowedOrigin>"
        "<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
    )
    mc("cors", "set", there, tmp_path / "cors.xml")
    assert "https://a.example" in mc("cors", "get", there)
    assert "BlockPublicPolicy" in mc.fails("anonymous", "set", "download", there)  # until public access is unblocked


def test_the_encryption_of_a_bucket(mc, bucket):
    there = f"strongroom/{bucket.name}"
    assert ("sse-s3" if bucket.kms_key is None else bucket.kms_key) in mc("encrypt", "info", there)
    mc("encrypt", "set", "sse-s3", there)
    assert "sse-s3" in mc("encrypt", "info", there)
