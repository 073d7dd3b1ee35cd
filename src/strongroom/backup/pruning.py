"""What a backup does not need any more: old snapshots, and then the files that none of the others names.

Never removes anything when a manifest cannot be read: what it names is not known then. Under the lock on the backup.
"""

from __future__ import annotations

import shutil
from itertools import islice
from typing import Final

from strongroom.backup.layout import MANIFEST_FILE, RECORDS, UNFINISHED_SUFFIX, Entry, Target, check_manifest, read_manifest
from strongroom.startup.folder import sync_folder
from strongroom.store.blob_set import BlobSet

_BATCH: Final = 5000


def keep_newest(target: Target, keep: int, own: str) -> int:
    """Remove all snapshots but the ``keep`` newest and ``own``; how many."""
    old = [name for name in target.snapshots()[:-keep] if name != own]
    for name in old:
        gone = target.snapshots_folder / f"{name}{UNFINISHED_SUFFIX}"  # whole or not there, also when this breaks off
        (target.snapshots_folder / name).rename(gone)
        sync_folder(target.snapshots_folder)
        shutil.rmtree(gone)
    return len(old)


def _file(entry: Entry) -> str:
    """What tells its file from all others."""
    return f"{entry.name}{entry.sha256}" if entry.kind == "blob" else entry.sha256


def prune(target: Target) -> int:
    """Remove blobs and records of key uses that no snapshot names; how many blobs. Raises StartError, before anything is removed."""
    manifests = [target.snapshots_folder / name / MANIFEST_FILE for name in target.snapshots()]
    for path in manifests:
        check_manifest(path)
    with BlobSet() as named:
        for path in manifests:
            entries = read_manifest(path)
            while batch := list(islice(entries, _BATCH)):
                named.add(_file(entry) for entry in batch if entry.kind in {"blob", "record"})
        count = 0
        for entry in target.every_blob():
            if named.without([_file(entry)]):
                target.path("", entry).unlink()
                count += 1
        for sha256 in named.without(list(target.every_record())):
            (target.folder / RECORDS / sha256).unlink()
        return count
