"""The drill: a backup beside a server that is written to, restored elsewhere, with everything that was acknowledged before it began."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading

import pytest

from tests.server.process import ROOT, Serving, here, run
from tests.server.test_root_key import secret_file
from tests.server.test_serving import client

pytestmark = pytest.mark.timeout(180)
LARGE = os.urandom(200_000)
#: A blob outlives its last row by a second only: what else keeps it is the lease of the backup.
HASTY = ROOT | {"STRONGROOM_DISCARD_GRACE_SECONDS": "1"}


class Writer(threading.Thread):
    """Replaces and deletes its own large objects until it is told to stop."""

    def __init__(self, url):
        super().__init__()
        self.s3 = client("s3", url)
        self.stopping, self.count = threading.Event(), 0

    def run(self):
        while not self.stopping.is_set():
            self.count += 1
            self.s3.put_object(Bucket="house", Key=f"moving/{self.count % 7}", Body=os.urandom(100_000))
            if self.count % 3 == 0:
                self.s3.delete_object(Bucket="house", Key=f"moving/{self.count % 5}")
        self.s3.close()


def stored(s3, key):
    """Objects of each kind that a row may have; what was put, by key and version."""
    s3.create_bucket(Bucket="house")
    s3.put_bucket_versioning(Bucket="house", VersioningConfiguration={"Status": "Enabled"})
    modes = {
        "plain": {},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key},
        "dsse": {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": key},
        "bucket-key": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True},
    }
    found = {}
    for name, how in modes.items():
        for size in (10, 200_000, 200_001):
            body = os.urandom(size)
            put = s3.put_object(Bucket="house", Key=name, Body=body, **how)
            found[name, put["VersionId"]] = body
    upload = s3.create_multipart_upload(Bucket="house", Key="parts")
    where = {"Bucket": "house", "Key": "parts", "UploadId": upload["UploadId"]}
    bodies = [os.urandom(5 << 20), b"end"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    found["parts", done["VersionId"]] = b"".join(bodies)
    return found


@pytest.fixture(scope="module")
def drilled(tmp_path_factory):
    """A server that is written to, a first backup taken beside it, what had been acknowledged before, and a key backup."""
    place = tmp_path_factory.mktemp("drilled")
    data, target, keys = place / "data", place / "backup", place / "keys.backup"
    words = secret_file(place / "words", "correct horse battery staple\n")
    with Serving(data, environ=HASTY) as serving:
        kms, s3 = client("kms", serving.url), client("s3", serving.url)
        acknowledged = stored(s3, kms.create_key()["KeyMetadata"]["Arn"])
        s3.put_bucket_versioning(Bucket="house", VersioningConfiguration={"Status": "Suspended"})
        unfinished = s3.create_multipart_upload(Bucket="house", Key="unfinished")["UploadId"]
        s3.upload_part(Bucket="house", Key="unfinished", UploadId=unfinished, PartNumber=1, Body=LARGE)
        assert here("keys", "backup", keys, "--passphrase", f"file:{words}", "--data", data).returncode == 0
        writer = Writer(serving.url)
        writer.start()
        while writer.count < 10:
            assert writer.is_alive()
        first = run("backup", target, "--data", data)
        second = here("backup", target, "--data", data, "--json")
        writer.stopping.set()
        writer.join(30)
        assert here("audit", "verify", "--data", data).returncode == 0
        assert serving.stop() == 0
    assert first.returncode == 0, first.stderr
    return Drilled(data, target, keys, words, acknowledged, first, second)


class Drilled:
    def __init__(self, data, target, keys, words, acknowledged, first, second):
        self.data, self.target, self.keys, self.words = data, target, keys, words
        self.acknowledged, self.first, self.second = acknowledged, first, second


def test_what_the_command_says(drilled):
    assert re.fullmatch(
        rf"{drilled.target}: snapshot \d{{8}}T\d{{6}}\.\d{{3}}Z, \d+ blobs of \d+ bytes; copied \d+ of them anew\.\n",
        drilled.first.stdout,
    )
    assert "The root key is NOT in it" in drilled.first.stderr
    done = json.loads(drilled.second.stdout)
    assert drilled.second.returncode == 0
    assert done["missing"] == done["lost"] == []
    assert 0 < done["copied"] < done["blobs"]  # what had not changed was there
    listed = here("backup", "list", drilled.target)
    assert listed.stdout.splitlines()[1] == done["snapshot"]
    assert len(listed.stdout.splitlines()) == 2


def test_neither_the_root_key_nor_credentials_are_in_it(drilled):
    root_key = (drilled.data / "root.key").read_text().strip()
    secret = ROOT["STRONGROOM_ROOT_SECRET_ACCESS_KEY"]
    for path in drilled.target.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for found in (root_key.encode(), bytes.fromhex(root_key), secret.encode(), LARGE[:64]):
                assert found not in data, path


def test_the_drill(drilled, tmp_path):
    checked = here("backup", "verify", drilled.target)
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (0, "Clean.")
    new = tmp_path / "new"
    restored = run("restore", drilled.target, "--data", new)
    assert restored.returncode == 0, restored.stderr
    assert "accounts: 111122223333" in restored.stdout
    assert f"strongroom keys restore FILE --data {new}" in restored.stdout
    early = here("verify", "--data", new)
    assert early.returncode == 1  # the root key is not there
    assert "root.key is missing" in early.stderr
    back = here("keys", "restore", drilled.keys, "--passphrase", f"file:{drilled.words}", "--data", new)
    assert (back.returncode, back.stdout.splitlines()[0]) == (0, "root key: restored")
    verified = here("verify", "--data", new)
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "Clean.")
    assert here("audit", "verify", "--data", new).returncode == 0
    with Serving(new, environ=ROOT) as serving:
        s3 = client("s3", serving.url)
        for (key, version), body in drilled.acknowledged.items():
            assert s3.get_object(Bucket="house", Key=key, VersionId=version)["Body"].read() == body, key
        (upload,) = s3.list_multipart_uploads(Bucket="house")["Uploads"]
        (part,) = s3.list_parts(Bucket="house", Key="unfinished", UploadId=upload["UploadId"])["Parts"]
        assert part["Size"] == len(LARGE)
        s3.put_object(Bucket="house", Key="new", Body=LARGE)
        s3.close()
        assert serving.stop() == 0


def test_an_older_snapshot_is_restored_by_its_time(drilled, tmp_path):
    first = here("backup", "list", drilled.target).stdout.splitlines()[0]
    done = here("restore", drilled.target, "--snapshot", first, "--data", tmp_path / "new")
    assert done.returncode == 0
    assert f"snapshot {first}," in done.stdout
    shutil.copy(drilled.data / "root.key", tmp_path / "new" / "root.key")
    assert here("verify", "--data", tmp_path / "new").stdout.splitlines()[-1] == "Clean."


def test_a_blob_that_was_damaged_in_the_backup_is_found(drilled, tmp_path):
    target, new = tmp_path / "backup", tmp_path / "new"
    shutil.copytree(drilled.target, target)
    path = max((each for each in (target / "blobs").rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    checked = here("backup", "verify", target)
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == f"damaged  {path}: it is not what was copied"
    assert json.loads(here("backup", "verify", target, "--json").stdout)["summary"]["findings"] == 1
    restored = here("restore", target, "--data", new)
    assert restored.returncode == 1
    assert f"not restored: blob {path.name[:32]}: {path} is damaged" in restored.stderr
    shutil.copy(drilled.data / "root.key", new / "root.key")
    verified = here("verify", "--data", new)
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (1, "Found: 1 missing.")


def test_a_blob_that_the_data_folder_has_lost_is_told(drilled, tmp_path):
    data, target = tmp_path / "data", tmp_path / "backup"
    shutil.copytree(drilled.data, data)
    shutil.copytree(drilled.target, target)
    lost = max((each for each in (data / "blobs").rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    lost.unlink()
    done = here("backup", target, "--data", data)
    assert done.returncode == 1
    assert f"the data folder has lost blob {lost.name}, or part of it; the backup has it" in done.stderr
    done = here("backup", tmp_path / "other", "--data", data)
    assert done.returncode == 1
    assert f"the data folder has lost blob {lost.name}, and the backup has none" in done.stderr
    checked = here("backup", "verify", tmp_path / "other")
    assert (checked.returncode, checked.stdout.splitlines()[-1]) == (1, "Found: 1.")


def test_prune(drilled, tmp_path):
    target = tmp_path / "backup"
    shutil.copytree(drilled.target, target)
    done = here("backup", "--keep", "1", "--prune", target, "--data", drilled.data)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Removed 2 old snapshots and [1-9]\d* blobs that no other names\.$", done.stdout, re.MULTILINE)
    assert here("backup", "verify", target).stdout.splitlines()[-1] == "Clean."


def test_what_is_asked_wrongly(drilled, tmp_path):
    assert here("backup").returncode == 2
    assert here("backup", tmp_path / "x", "--keep", "0", "--data", drilled.data).returncode == 2
    for words in (("backup", "verify", tmp_path), ("backup", "list", tmp_path), ("restore", tmp_path, "--data", tmp_path / "x")):
        done = here(*words)
        assert done.returncode == 1
        assert done.stderr == f"strongroom: {tmp_path} holds no backup of Strongroom's\n"
    done = here("backup", tmp_path / "x", "--data", tmp_path / "nothing")
    assert (done.returncode, "holds no data of Strongroom's" in done.stderr) == (1, True)
    done = here("backup", "/proc/nothing/x", "--data", drilled.data)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "take" in here("backup", "--help").stdout
