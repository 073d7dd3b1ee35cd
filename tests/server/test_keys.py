"""``strongroom keys`` beside a running server: what it lists, what depends on a key, how one is deleted, and what the log says then."""

from __future__ import annotations

import json

import pytest

from tests.server.process import here
from tests.server.test_serving import client, until


@pytest.fixture(scope="module")
def house(shared):
    """Two objects under one key, one under another; the keys' ids and ARNs."""
    kms, s3 = client("kms", shared.url), client("s3", shared.url)
    used, unused = (kms.create_key(Description=text)["KeyMetadata"] for text in ("used", "unused"))
    kms.create_alias(AliasName="alias/used", TargetKeyId=used["KeyId"])
    s3.create_bucket(Bucket="depends")
    for name, size in (("one", 5), ("two\nlines", 70_000)):
        s3.put_object(Bucket="depends", Key=name, Body=b"b" * size, ServerSideEncryption="aws:kms", SSEKMSKeyId=used["KeyId"])
    s3.put_object(Bucket="depends", Key="other", Body=b"")
    kms.close()
    s3.close()
    return used, unused


def test_every_key_is_listed(shared, house):
    rows = {row["arn"]: row for row in json.loads(here("keys", "list", "--json", "--data", shared.folder).stdout)}
    used = rows[house[0]["Arn"]]
    assert (used["state"], used["aliases"], used["description"], used["deletion_date"]) == (
        "Enabled",
        ["alias/used"],
        "used",
        None,
    )
    table = here("keys", "list", "--data", shared.folder).stdout
    assert house[0]["Arn"] in table
    assert "alias/used" in table


def test_what_depends_on_a_key(shared, house):
    done = here("keys", "dependents", "alias/used", "--json", "--list", "--data", shared.folder)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    expected = {"versions": 2, "bytes": 70_005, "uploads": 0}
    assert found == {
        "key": house[0]["Arn"],
        **expected,
        "buckets": {"depends": {**expected, "default": False}},
        "dependents": [
            {"bucket": "depends", "object_key": "one", "version_id": "null", "upload_id": "", "size": 5},
            {"bucket": "depends", "object_key": "two\nlines", "version_id": "null", "upload_id": "", "size": 70_000},
        ],
    }
    lines = here("keys", "dependents", house[0]["KeyId"], "--list", "--data", shared.folder).stdout.splitlines()
    assert lines[0] == "depends/one  version null  5 bytes"
    assert lines[1] == "depends/two\\nlines  version null  70000 bytes"
    assert lines[-1].split() == ["all", "2", "70005", "0"]


def test_a_key_on_which_nothing_depends(shared, house):
    done = here("keys", "dependents", house[1]["Arn"], "--data", shared.folder)
    assert done.stdout == f"Nothing depends on {house[1]['Arn']}.\n"


@pytest.mark.parametrize("name", ["alias/none", "nonsense", "arn:aws:s3:::x"])
def test_a_key_that_is_not_there_is_asked_wrongly(shared, name):
    done = here("keys", "dependents", name, "--data", shared.folder)
    assert done.returncode == 2
    assert done.stderr.startswith("strongroom: ")
    assert done.stderr.count("\n") == 1


def delete(shared, key, *words, answer=""):
    return here("keys", "delete", key, "--data", shared.folder, *words, answer=answer)


def told(shared, key):
    """The lines of the server's log about the scheduled deletion of that key."""
    lines = [json.loads(line) for line in shared.log.read_text().splitlines() if "key deletion scheduled" in line]
    return [line for line in lines if line["key"] == key["Arn"]]


def test_deleting_a_key_shows_what_depends_on_it_and_asks_first(shared, house):
    kms = client("kms", shared.url)

    def state():
        return kms.describe_key(KeyId=house[0]["KeyId"])["KeyMetadata"]["KeyState"]

    for words, answer, status in ((["--dry-run"], "", 0), ([], "n\n", 130), ([], "", 130)):
        done = delete(shared, "alias/used", *words, answer=answer)
        assert done.returncode == status
        assert "70005" in done.stdout
        assert state() == "Enabled"
    assert delete(shared, "alias/used", "--window-days", "6").returncode == 2
    done = delete(shared, "alias/used", "--window-days", "7", answer="y\n")
    assert done.returncode == 0, done.stderr
    assert "make all this unreadable?" in done.stderr
    assert state() == "PendingDeletion"
    until(lambda: told(shared, house[0]))
    (line,) = told(shared, house[0])
    assert (line["versions"], line["bytes"], line["buckets"]) == (2, 70_005, ["depends"])
    assert delete(shared, "alias/used", "--yes").returncode == 2
    kms.cancel_key_deletion(KeyId=house[0]["KeyId"])
    kms.enable_key(KeyId=house[0]["KeyId"])
    kms.close()


def test_a_deletion_may_go_without_a_question(shared, house):
    done = delete(shared, house[1]["KeyId"], "--yes")
    assert done.returncode == 0
    assert "Nothing depends on" in done.stdout
