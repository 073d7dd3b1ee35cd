"""Restores one snapshot into an empty folder, each file held to its SHA-256; the catalog comes last.

A folder whose restoring broke off has no catalog, and no server starts on it. Never writes a root key: that comes from a key backup.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom.backup import copying
from strongroom.backup.layout import MANIFEST_FILE, Entry, Head, Target, check_manifest, publish, read_manifest
from strongroom.backup.taking import require_apart
from strongroom.kms.key_use_files import FOLDER as KEY_USE_FOLDER
from strongroom.startup import StartError, folder
from strongroom.store.sqlite import FILE

_MAY_BE_THERE: Final = frozenset({"lost+found"})
_UNFINISHED: Final = ".new"


@dataclass(slots=True)
class Restored:
    head: Head
    blobs: int = 0
    size: int = 0
    records: int = 0
    left_out: list[str] = field(default_factory=list[str])  # why, one line each: missing or damaged in the backup


def restore(target: Target, data: Path, snapshot: str | None, seen: Callable[[int], None] = lambda _done: None) -> Restored:
    """Under the lock on the backup. Raises StartError, OSError: the folder then has no catalog.

    What is damaged in the backup is left out and told; all else is restored. A damaged manifest or catalog is refused.
    """
    require_apart(data, target.folder)
    name = target.chosen(snapshot)
    manifest = target.snapshots_folder / name / MANIFEST_FILE
    done = Restored(check_manifest(manifest))
    catalog = next((entry for entry in read_manifest(manifest) if entry.kind == "catalog"), None)
    if catalog is None:
        raise StartError(f"{manifest} names no catalog")
    if copying.digest(target.path(name, catalog)) != (catalog.size, catalog.sha256):
        raise StartError(f"{target.path(name, catalog)} is damaged: choose another snapshot")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if {each.name for each in data.iterdir()} - _MAY_BE_THERE:
        raise StartError(f"{data} is not empty: a backup is restored into an empty folder")
    data.chmod(0o700)
    with folder.locked(data):
        _files(target, name, data, done, seen)
        new = data / f"{FILE}{_UNFINISHED}"
        if copying.copy(target.path(name, catalog), new) != (catalog.size, catalog.sha256):
            raise StartError(f"{target.path(name, catalog)} is damaged: choose another snapshot")
        publish(new, data / FILE)
    return done


def _files(target: Target, snapshot: str, data: Path, done: Restored, seen: Callable[[int], None]) -> None:
    made: set[Path] = {data}  # folders; at most 65,536 and their parents
    for entry in read_manifest(target.snapshots_folder / snapshot / MANIFEST_FILE):
        if entry.kind == "catalog":
            continue
        if entry.kind == "missing":
            done.left_out.append(f"blob {entry.name}: the data folder had lost it before the backup was taken")
            continue
        path = _place(data, entry)
        for each in (path.parent.parent.parent, path.parent.parent, path.parent):
            if each not in made and data in each.parents:
                each.mkdir(mode=0o700, exist_ok=True)
                made.add(each)
        if not _copied(target.path(snapshot, entry), path, entry, done):
            continue
        if entry.kind == "blob":
            done.blobs += 1
            done.size += entry.size
            seen(done.blobs)
        else:
            done.records += 1
    for each in made:
        folder.sync_folder(each)


def _copied(source: Path, path: Path, entry: Entry, done: Restored) -> bool:
    try:
        found = copying.copy(source, path)
    except FileNotFoundError:
        done.left_out.append(f"{entry.kind} {entry.name}: {source} is not there")
        return False
    if found != (entry.size, entry.sha256):
        path.unlink()
        done.left_out.append(f"{entry.kind} {entry.name}: {source} is damaged")
        return False
    return True


def _place(data: Path, entry: Entry) -> Path:
    if entry.kind == "record":
        return data / KEY_USE_FOLDER / entry.name
    return data / "blobs" / entry.name[:2] / entry.name[2:4] / entry.name
