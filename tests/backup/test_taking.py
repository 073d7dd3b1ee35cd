"""Backups: what is in them, what the next one copies, and what is left when one breaks off."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta

import pytest

from strongroom.backup import copying, taking
from strongroom.backup.layout import MANIFEST_FILE, check_manifest, read_manifest
from strongroom.s3.backup_leases import KIND
from strongroom.startup import StartError
from strongroom.startup.root_key import KIND as CHECK
from strongroom.startup.root_key import SCOPE
from strongroom.store.sqlite import PAGE_SIZE

RECORD = f"{'0' * 20}-000001.jsonl"


def entries(house, snapshot):
    return list(read_manifest(house.target.snapshots_folder / snapshot / MANIFEST_FILE))


async def test_everything_that_the_catalog_names_is_copied_and_nothing_else(house, mode, blobs_of):
    kept, dropped = await house.put(os.urandom(3_000_000)), await house.put(b"dropped")
    await house.drop(dropped)
    stray = await house.blobs.create()
    await stray.write(b"no row names it")
    await stray.commit()
    for name in ("root.key", "root-credentials", "server.lock"):
        (house.data / name).write_bytes(b"not to be copied")
    done = await house.take()
    assert (done.blobs, done.copied, done.size) == (1, 1, 3_000_000)
    (copy,) = house.copies(kept)
    assert copy.read_bytes() == house.file(kept).read_bytes()
    files = {path.name for path in house.path.rglob("*") if path.is_file()}
    assert files == {"backup.json", "backup.lock", "catalog.sqlite", "manifest.jsonl", copy.name}
    assert blobs_of(house.path / "snapshots" / done.snapshot / "catalog.sqlite") == {kept}
    assert {mode(path) for path in house.path.rglob("*")} == {0o600, 0o700}
    assert [(entry.kind, entry.name) for entry in entries(house, done.snapshot)] == [
        ("catalog", "catalog.sqlite"),
        ("blob", kept),
    ]


async def test_the_snapshot_has_no_lease(house):
    done = await house.take()
    with closing(sqlite3.connect(house.target.snapshots_folder / done.snapshot / "catalog.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM document WHERE kind = ?", (KIND,)).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM document WHERE kind = ?", (CHECK,)).fetchone() == (1,)


async def test_the_next_one_copies_what_is_new(house):
    first = await house.put(b"1" * 100)
    await house.take()
    second = await house.put(b"2" * 100)
    was = house.copies(first)[0].stat()
    done = await house.take()
    assert (done.blobs, done.copied, done.copied_size) == (2, 1, 100)
    assert house.copies(first)[0].stat().st_ino == was.st_ino
    assert len(house.copies(second)) == 1
    assert len(house.target.snapshots()) == 2


async def test_a_copy_is_no_hard_link(house):
    blob_id = await house.put(b"1")
    await house.take()
    assert house.copies(blob_id)[0].stat().st_ino != house.file(blob_id).stat().st_ino


async def test_a_copy_of_another_length_is_made_again(house):
    blob_id = await house.put(b"1" * 100)
    await house.take()
    (copy,) = house.copies(blob_id)
    copy.write_bytes(b"1" * 99)
    done = await house.take()
    assert done.copied == 1
    assert copy.read_bytes() == b"1" * 100


async def test_a_blob_that_upkeep_wants_to_delete_meanwhile_is_copied(house, monkeypatch):
    blob_ids = sorted([await house.put(bytes([number])) for number in range(8)])
    loop = asyncio.get_running_loop()
    real = copying.copy

    async def drop():
        await house.drop(*blob_ids)
        return await house.upkeep.delete_discarded()

    def copy(source, new, going_on):
        if source.name == blob_ids[0]:
            assert asyncio.run_coroutine_threadsafe(drop(), loop).result(10) == 0
        return real(source, new, going_on)

    monkeypatch.setattr(copying, "copy", copy)
    done = await house.take()
    assert (done.blobs, done.missing) == (8, [])
    assert await house.upkeep.delete_discarded() == 8


async def test_a_backup_whose_lease_has_lapsed_is_not_published(house, monkeypatch):
    await house.put(b"1")
    real = copying.copy

    def copy(source, new, going_on):
        house.now += timedelta(hours=1)  # the machine slept
        return real(source, new, going_on)

    with monkeypatch.context() as patched:
        patched.setattr(copying, "copy", copy)
        with pytest.raises(StartError, match="has lapsed"):
            await house.take()
    assert house.target.snapshots() == []
    assert (await house.take()).blobs == 1


KILLED = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from strongroom.backup import copying, taking
real, count = copying.copy, 0
def copy(*given):
    global count
    count += 1
    done = real(*given)
    if count == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
copying.copy = copy
asyncio.run(taking.take(taking.Wanted(Path(sys.argv[1]), Path(sys.argv[2]), 14, False, lambda: datetime.now(UTC))))
"""


async def test_killed_in_the_middle_and_run_again(house):
    blob_ids = [await house.put(os.urandom(100)) for _ in range(10)]
    command = [sys.executable, "-c", KILLED, str(house.data), str(house.path)]
    killed = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert house.target.snapshots() == []
    assert len(list(house.target.snapshots_folder.iterdir())) == 1
    assert sum(len(house.copies(blob_id)) for blob_id in blob_ids) == 3
    done = await house.take()
    assert (done.blobs, done.copied) == (10, 7)
    assert [path.name for path in house.target.snapshots_folder.iterdir()] == [done.snapshot]
    assert list(house.target.unfinished.iterdir()) == []


async def test_cancelled_it_stops_and_leaves_no_snapshot(house, monkeypatch):
    await house.put(b"1")
    await house.put(b"2")
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    real = taking._Taking._going_on

    def going_on(self):
        loop.call_soon_threadsafe(begun.set)
        self.stopped.wait(10)
        real(self)

    monkeypatch.setattr(taking._Taking, "_going_on", going_on)
    task = asyncio.create_task(house.take())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.target.snapshots() == []


async def test_what_the_data_folder_has_lost_is_told(house):
    first, second = await house.put(b"1"), await house.put(b"2")
    await house.take()
    third = await house.put(b"3")
    house.file(first).unlink()
    house.file(third).unlink()
    done = await house.take()
    assert (done.lost, done.missing, done.blobs) == ([first], [third], 2)
    kinds = {entry.name: entry.kind for entry in entries(house, done.snapshot)}
    assert (kinds[first], kinds[second], kinds[third]) == ("blob", "blob", "missing")


async def test_a_sound_copy_is_not_given_up_for_a_blob_that_was_cut_on_the_server(house):
    blob_id = await house.put(b"1" * 100)
    await house.take()
    house.file(blob_id).write_bytes(b"1" * 50)
    done = await house.take(keep=1, prune=True)
    assert (done.lost, done.copied, done.size, done.blobs_removed) == ([blob_id], 0, 100, 0)
    (copy,) = house.copies(blob_id)
    assert copy.read_bytes() == b"1" * 100


# ---------------------------------------------------------------------------------------------------------- the key-use record


async def test_the_record_of_key_uses_is_in_it(house):
    folder = house.data / "key-use"
    folder.mkdir()
    (folder / RECORD).write_bytes(b"one\ntwo\nhalf a li")
    (folder / f"{'0' * 20}.head").write_bytes(b"head")
    (folder / "stranger").write_bytes(b"x")
    done = await house.take()
    found = {
        entry.name: house.target.path("", entry).read_bytes() for entry in entries(house, done.snapshot) if entry.kind == "record"
    }
    assert found == {RECORD: b"one\ntwo\n", f"{'0' * 20}.head": b"head"}
    (folder / RECORD).write_bytes(b"one\nforged\n")
    await house.take()
    first = [entry for entry in entries(house, done.snapshot) if entry.name == RECORD]
    assert house.target.path("", first[0]).read_bytes() == b"one\ntwo\n"  # nothing replaces what an earlier snapshot has


async def test_a_chain_that_begins_meanwhile_is_whole_or_absent(house, monkeypatch):
    folder = house.data / "key-use"
    folder.mkdir()
    (folder / RECORD).write_bytes(b"one\n")
    (folder / f"{'0' * 20}.head").write_bytes(b"head")
    later = [folder / f"{'1' * 20}-000001.jsonl", folder / f"{'1' * 20}.head", folder / f"{'0' * 20}-000002.jsonl"]
    real = taking._record_files

    def files(source):
        found = real(source)
        if later:
            path = later.pop(0)
            path.write_bytes(path.name.encode() + b"\n")
        return found

    monkeypatch.setattr(taking, "_record_files", files)
    done = await house.take()
    names = [entry.name for entry in entries(house, done.snapshot) if entry.kind == "record"]
    # What began after the last look is absent, and nothing that was copied tells of it.
    assert names == [f"{'0' * 20}.head", f"{'1' * 20}.head", RECORD, f"{'1' * 20}-000001.jsonl"]
    assert len(list(folder.iterdir())) == 5


async def test_a_chain_whose_head_is_lost_holds_nothing_up(house):
    (house.data / "key-use").mkdir()
    (house.data / "key-use" / RECORD).write_bytes(b"one\n")
    done = await house.take()
    assert [entry.name for entry in entries(house, done.snapshot) if entry.kind == "record"] == [RECORD]


# -------------------------------------------------------------------------------------------------------------- many snapshots


async def test_the_newest_snapshots_stay_and_prune_removes_what_only_the_others_named(house):
    first = await house.put(b"1")
    await house.take()
    await house.drop(first)
    await house.upkeep.delete_discarded()
    second = await house.put(b"2")
    done = await house.take(keep=2)
    assert (done.snapshots_removed, done.blobs_removed) == (0, 0)
    done = await house.take(keep=2)
    assert (done.snapshots_removed, done.blobs_removed) == (1, 0)
    assert house.copies(first)
    done = await house.take(keep=1, prune=True)
    assert (done.snapshots_removed, done.blobs_removed) == (2, 1)
    assert not house.copies(first)
    assert house.copies(second)
    assert house.target.snapshots() == [done.snapshot]


async def test_what_any_snapshot_names_is_not_pruned(house):
    blob_id = await house.put(b"1")
    await house.take()
    await house.drop(blob_id)
    assert (await house.take(prune=True)).blobs_removed == 0
    assert house.copies(blob_id)


async def test_nothing_is_pruned_when_a_manifest_is_damaged(house):
    blob_id = await house.put(b"1")
    done = await house.take()
    path = house.target.snapshots_folder / done.snapshot / MANIFEST_FILE
    path.write_bytes(path.read_bytes().replace(blob_id.encode(), b"0" * 32))
    await house.drop(blob_id)
    with pytest.raises(StartError, match="damaged"):
        await house.take(prune=True)
    assert house.copies(blob_id)


async def test_a_clock_that_was_put_back_costs_no_new_snapshot(house):
    await house.take()
    house.now -= timedelta(days=1)
    done = await house.take(keep=1)
    assert done.snapshot in house.target.snapshots()


# ------------------------------------------------------------------------------------------------------------------- refusals


async def test_other_data_is_refused(house):
    await house.take()
    await house.catalog.write(lambda tx: tx.set_document(SCOPE, CHECK, {"format": 1, "sealed": "other"}))
    with pytest.raises(StartError, match="other data"):
        await house.take()


async def test_a_folder_of_somebody_elses_is_refused(house):
    house.path.mkdir()
    (house.path / "letter").write_text("x")
    with pytest.raises(StartError, match="not empty"):
        await house.take()
    assert {path.name for path in house.path.iterdir()} <= {"letter", "backup.lock"}


async def test_another_format_is_refused(house):
    await house.take()
    (house.path / "backup.json").write_text(json.dumps({"format": 2, "origin": "x"}))
    with pytest.raises(StartError, match="a newer Strongroom"):
        await house.take()


@pytest.mark.parametrize("inner", ["data", "data/backup", "."])
async def test_one_folder_in_the_other_is_refused(house, tmp_path, inner):
    with pytest.raises(StartError, match="one in the other"):
        await house.take(path=tmp_path / inner)


async def test_no_data_is_refused(house, tmp_path):
    with pytest.raises(StartError, match="holds no data"):
        await house.take(data=tmp_path / "nothing")


async def test_two_at_once_are_refused(house):
    with house.target.locked(), pytest.raises(StartError, match="another command"):
        await house.take()


async def test_a_damaged_catalog_is_not_backed_up(house):
    """By SQLite's own check of the copy."""
    await house.catalog.write(lambda tx: [tx.set_document(f"s/{number}", "kind", "x" * 500) for number in range(300)])
    await house.catalog.close()
    path = house.data / "catalog.sqlite"
    with path.open("rb+") as file:
        file.seek(path.stat().st_size // PAGE_SIZE // 2 * PAGE_SIZE)
        file.write(bytes(PAGE_SIZE))
    with pytest.raises(StartError, match=r"the catalog (is damaged|could not be copied)"):
        await house.take()
    assert house.target.snapshots() == []


async def test_a_manifest_names_no_paths(house):
    """Names become paths: only what a server would have made is taken, whatever else is right."""
    done = await house.take()
    path = house.target.snapshots_folder / done.snapshot / MANIFEST_FILE
    first = path.read_bytes().splitlines(keepends=True)[0]
    for kind, name in (
        ("blob", "../../../../etc/passwd"),
        ("record", "../x.jsonl"),
        ("catalog", "/x"),
        ("other", "x"),
        ("blob", 7),
    ):
        line = json.dumps({"kind": kind, "name": name, "size": 1, "sha256": "0" * 64}).encode() + b"\n"
        end = json.dumps({"kind": "end", "sha256": hashlib.sha256(first + line).hexdigest()}).encode() + b"\n"
        path.write_bytes(first + line + end)
        with pytest.raises(StartError, match="damaged"):
            check_manifest(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"",
        lambda data: data[:40],
        lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
    ],
)
async def test_a_manifest_that_was_cut_or_extended_is_found(house, change):
    await house.put(b"1")
    done = await house.take()
    path = house.target.snapshots_folder / done.snapshot / MANIFEST_FILE
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StartError, match="damaged"):
        check_manifest(path)
