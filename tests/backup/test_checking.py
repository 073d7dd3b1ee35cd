"""A backup is checked without keys, and restored file by file against its hashes."""

from __future__ import annotations

import pytest

from strongroom.backup.checking import Checking
from strongroom.backup.layout import MANIFEST_FILE, Target
from strongroom.backup.restoring import restore
from strongroom.startup import StartError
from tests.backup.test_taking import RECORD


def findings(house):
    return list(Checking(house.target).findings())


@pytest.fixture
async def full(house):
    """With a snapshot of three blobs and a record."""
    house.blob_ids = [await house.put(bytes([number]) * 100) for number in range(3)]
    (house.data / "key-use").mkdir()
    (house.data / "key-use" / RECORD).write_bytes(b"line\n")
    house.snapshot = (await house.take()).snapshot
    return house


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def test_a_sound_backup(full):
    await full.take()
    checking = Checking(full.target)
    assert list(checking.findings()) == []
    assert (checking.tally.snapshots, checking.tally.blobs, checking.tally.size) == (2, 3, 300)


async def test_a_blob_that_was_damaged_is_found_and_the_next_backup_mends_it(full):
    (path,) = full.copies(full.blob_ids[1])
    flip(path)
    assert findings(full) == [f"damaged  {path}: it is not what was copied"]
    path.unlink()  # as the page says
    assert findings(full) == [f"missing  snapshot {full.snapshot}: blob {full.blob_ids[1]}, {path}"]
    assert (await full.take()).copied == 1
    assert findings(full) == []


async def test_each_other_file_that_was_damaged_is_found(full):
    folder = full.target.snapshots_folder / full.snapshot
    (record,) = (full.path / "key-use").iterdir()
    for path in (folder / "catalog.sqlite", folder / MANIFEST_FILE, record):
        was = path.read_bytes()
        flip(path)
        assert len(findings(full)) == 1, path
        path.unlink()
        assert len(findings(full)) == 1, path
        path.write_bytes(was)
    assert findings(full) == []


async def test_what_was_lost_before_the_backup_is_told(full):
    lost = await full.put(b"x")
    full.file(lost).unlink()
    done = await full.take()
    assert findings(full) == [f"missing  snapshot {done.snapshot}: the data folder had lost blob {lost} before it was taken"]


# ------------------------------------------------------------------------------------------------------------------ restoring


async def test_all_of_it_comes_back(full, tmp_path, mode, blobs_of):
    new = tmp_path / "new"
    done = restore(full.target, new, None)
    assert (done.blobs, done.size, done.records, done.left_out) == (3, 300, 1, [])
    for number, blob_id in enumerate(full.blob_ids):
        assert full.file(blob_id, new).read_bytes() == bytes([number]) * 100
    assert (new / "key-use" / RECORD).read_bytes() == b"line\n"
    assert blobs_of(new / "catalog.sqlite") == set(full.blob_ids)
    assert {path.name for path in new.iterdir()} == {"blobs", "key-use", "catalog.sqlite", "server.lock"}
    assert {mode(path) for path in (new, *new.rglob("*"))} == {0o600, 0o700}


async def test_an_older_snapshot(full, tmp_path, blobs_of):
    await full.put(b"later")
    await full.take()
    restore(full.target, tmp_path / "new", full.snapshot[:-2])
    assert blobs_of(tmp_path / "new" / "catalog.sqlite") == set(full.blob_ids)
    for name in ("2", "1999"):
        with pytest.raises(StartError, match="snapshots begin with"):
            restore(full.target, tmp_path / "other", name)


async def test_only_into_an_empty_folder(full, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    (new / "letter").write_text("x")
    with pytest.raises(StartError, match="is not empty"):
        restore(full.target, new, None)
    assert [path.name for path in new.iterdir()] == ["letter"]
    with pytest.raises(StartError, match="one in the other"):
        restore(full.target, full.path / "new", None)


async def test_what_is_damaged_is_left_out_and_told(full, tmp_path):
    new = tmp_path / "new"
    damaged, gone, good = full.blob_ids
    flip(full.copies(damaged)[0])
    full.copies(gone)[0].unlink()
    done = restore(full.target, new, None)
    assert sorted(text.partition(":")[0] for text in done.left_out) == sorted([f"blob {damaged}", f"blob {gone}"])
    assert [full.file(blob_id, new).exists() for blob_id in (damaged, gone, good)] == [False, False, True]


@pytest.mark.parametrize("name", ["catalog.sqlite", MANIFEST_FILE])
async def test_a_damaged_snapshot_is_refused(full, tmp_path, name):
    flip(full.target.snapshots_folder / full.snapshot / name)
    with pytest.raises(StartError, match="damaged"):
        restore(full.target, tmp_path / "new", None)
    assert not (tmp_path / "new").exists()


async def test_a_restoring_that_breaks_off_leaves_no_catalog(full, tmp_path, monkeypatch):
    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(full.target, tmp_path / "new", None, stop)
    assert not (tmp_path / "new" / "catalog.sqlite").exists()


def test_no_backup(tmp_path):
    with pytest.raises(StartError, match="holds no backup"):
        Target(tmp_path).require_existing()
