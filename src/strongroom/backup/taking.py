"""Taking a backup beside a running server: the catalog first, then the record of key uses, then every blob that the catalog names.

The snapshot is published last, by one rename. Whatever breaks off before leaves blobs that the next run need not copy again. Never
copies the root key or the credentials file, and never opens anything.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

from strongroom.backup import copying
from strongroom.backup.layout import (
    CATALOG_FILE,
    MANIFEST_FILE,
    RECORDS,
    UNFINISHED_SUFFIX,
    Entry,
    Head,
    ManifestWriter,
    Target,
)
from strongroom.backup.pruning import keep_newest, prune
from strongroom.kms.key_use_files import FILE_NAME, HEAD_SUFFIX
from strongroom.kms.key_use_files import FOLDER as KEY_USE_FOLDER
from strongroom.s3 import backup_leases
from strongroom.s3.backup_leases import Lease, leased
from strongroom.startup import StartError, folder
from strongroom.startup.root_key import KIND, SCOPE
from strongroom.store.contract import Catalog
from strongroom.store.sqlite import FILE, SqliteCatalog

_ACCOUNTS: Final = 10  # named in the manifest
_TRIES: Final = 5  # a chain that lacks its head for longer was not begun just now: its server died
_AGAIN: Final = 0.02  # seconds


@dataclass(slots=True)
class Taken:
    snapshot: str = ""
    blobs: int = 0
    size: int = 0  # bytes of all blobs
    copied: int = 0
    copied_size: int = 0
    missing: list[str] = field(default_factory=list[str])  # in the data folder and in the backup
    lost: list[str] = field(default_factory=list[str])  # in the data folder, or of another length there; the backup has them
    snapshots_removed: int = 0
    blobs_removed: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """``keep``: so many snapshots stay. ``prune``: blobs that none of these names go. ``seen`` is told how many blobs of how many."""

    data: Path
    target: Path
    keep: int
    prune: bool
    clock: Callable[[], datetime]
    seen: Callable[[int, int], None] = lambda _done, _total: None


async def take(wanted: Wanted) -> Taken:
    """Raises StartError, StoreError, OSError."""
    folder.require_existing(wanted.data)
    require_apart(wanted.data, wanted.target)
    target = Target(wanted.target)
    catalog = SqliteCatalog.open(wanted.data)
    try:
        with target.locked():
            origin, accounts = await origin_of(catalog), await _accounts(catalog)
            await asyncio.to_thread(target.prepare, origin)
            name = _name(wanted.clock())
            async with leased(catalog, f"{name}/{os.getpid()}", lambda: int(wanted.clock().timestamp() * 1000)) as lease:
                taking = _Taking(wanted, target, Head(name, origin, accounts), lease)
                try:
                    await asyncio.to_thread(taking.run)
                finally:
                    taking.stopped.set()  # cancelled: the thread ends at its next megabyte
            done = taking.taken
            done.snapshots_removed = await asyncio.to_thread(keep_newest, target, wanted.keep, name)
            if wanted.prune:
                done.blobs_removed = await asyncio.to_thread(prune, target)
            return done
    finally:
        await catalog.close()


def require_apart(data: Path, target: Path) -> None:
    """Raises StartError when one is in the other."""
    inner, outer = target.resolve(), data.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise StartError(f"{target} and {data} lie one in the other: a backup belongs elsewhere, best on another disk")


async def origin_of(catalog: Catalog) -> str:
    """Which data this is: the hash of the record by which its root key is checked. It tells nothing of the key. Raises StartError."""
    document = await catalog.document(SCOPE, KIND)
    if document is None:
        raise StartError("the catalog holds nothing to check the root key by: start a server on this folder first")
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


async def _accounts(catalog: Catalog) -> tuple[str, ...]:
    return tuple(scope.rpartition("/")[2] for scope, _ in await catalog.documents("account", limit=_ACCOUNTS))


def _name(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.") + f"{now.microsecond // 1000:03d}Z"


def _listed(source: Path) -> tuple[list[Path], dict[str, bytes]]:
    """The files of the record and the heads of their chains; again, when a worker began a file or a chain meanwhile."""
    files, heads = _record_files(source), dict[str, bytes]()
    for _ in range(_TRIES):
        heads = {path.name: path.read_bytes() for path in sorted(source.glob(f"*{HEAD_SUFFIX}"))}
        before, files = files, _record_files(source)
        if files == before and all(f"{path.name.partition('-')[0]}{HEAD_SUFFIX}" in heads for path in files):
            break
        time.sleep(_AGAIN)
    return files, heads


def _record_files(source: Path) -> list[Path]:
    return sorted(path for path in source.iterdir() if FILE_NAME.fullmatch(path.name))


class _Taking:
    """Runs in a thread; the lease is renewed meanwhile."""

    def __init__(self, wanted: Wanted, target: Target, head: Head, lease: Lease) -> None:
        self._data = wanted.data
        self._seen = wanted.seen
        self._target = target
        self._head = head
        self._lease = lease
        self._unsynced = False  # an earlier run broke off: names that it made may not be on the disk
        self.stopped = threading.Event()
        self.taken = Taken(head.snapshot)

    def run(self) -> None:
        final = self._target.snapshots_folder / self._head.snapshot
        work = final.with_name(final.name + UNFINISHED_SUFFIX)
        if final.exists():
            raise StartError(f"{final} is there already: look at the clock")
        work.mkdir(mode=0o700)
        self._sweep(work)
        manifest = ManifestWriter(work / MANIFEST_FILE, self._head)
        with closing(manifest):
            manifest.add(self._catalog(work / CATALOG_FILE))
            for entry in self._records():
                manifest.add(entry)
            for entry in self._blobs(work / CATALOG_FILE):
                manifest.add(entry)
            manifest.end()
        self._going_on()
        folder.sync_folder(work)
        work.rename(final)
        folder.sync_folder(final.parent)

    def _going_on(self) -> None:
        if self.stopped.is_set():
            raise StartError("stopped; the next run copies what is still missing")
        if not self._lease.holds():
            raise StartError("the lease on the data folder has lapsed, so blobs may have gone meanwhile: run the backup again")

    def _sweep(self, own: Path) -> None:
        """What a run left that broke off. Ours is there already, so that a run that breaks off here leaves something, too."""
        for each in self._target.snapshots_folder.glob(f"*{UNFINISHED_SUFFIX}"):
            if each != own:
                shutil.rmtree(each)
                self._unsynced = True
        for each in self._target.unfinished.iterdir():
            each.unlink()

    # ---- the catalog

    def _catalog(self, path: Path) -> Entry:
        """One moment of it, by SQLite itself: it neither waits for writers nor holds them up."""
        path.touch(mode=0o600, exist_ok=False)
        try:
            with (
                closing(sqlite3.connect(f"{(self._data / FILE).resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
                closing(sqlite3.connect(path, isolation_level=None)) as copy,
            ):
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE").fetchall()  # one file
                copy.execute("DELETE FROM document WHERE kind = ?", (backup_leases.KIND,))  # ours means nothing elsewhere
                found = [str(row[0]) for row in copy.execute("PRAGMA quick_check(3)")]
        except sqlite3.Error as error:
            raise StartError(f"the catalog could not be copied: {error}") from error
        if found != ["ok"]:
            raise StartError(f"the catalog is damaged, nothing was backed up: {'; '.join(found)}")
        copying.sync(path)
        size, sha256 = copying.digest(path)
        return Entry("catalog", CATALOG_FILE, size, sha256)

    # ---- the record of key uses

    def _records(self) -> Iterator[Entry]:
        """Heads were read before any file is, and no file began meanwhile: no copy then tells of lines that another lacks."""
        source = self._data / KEY_USE_FOLDER
        if not source.is_dir():
            return
        files, heads = _listed(source)
        for name, data in heads.items():
            yield self._record(name, data)
        for path in files:
            data = path.read_bytes()  # of a bounded size
            yield self._record(path.name, data[: data.rfind(b"\n") + 1])  # a line may just be being written

    def _record(self, name: str, data: bytes) -> Entry:
        """Under its own hash: what has not changed is there already, and nothing replaces what another snapshot has."""
        self._going_on()
        size, sha256 = len(data), hashlib.sha256(data).hexdigest()
        path = self._target.folder / RECORDS / sha256
        if self._unsynced or not path.exists() or path.stat().st_size != size:
            new = self._target.unfinished / sha256
            copying.write(data, new)
            new.replace(path)
            folder.sync_folder(path.parent)
        return Entry("record", name, size, sha256)

    # ---- blobs

    def _blobs(self, catalog: Path) -> Iterator[Entry]:
        with closing(sqlite3.connect(f"{catalog.resolve().as_uri()}?mode=ro", uri=True)) as snapshot:
            total: int = snapshot.execute("SELECT count(*) FROM blob").fetchone()[0]
            named = (blob_id.hex() for (blob_id,) in snapshot.execute("SELECT blob_id FROM blob ORDER BY blob_id"))
            for _, blob_ids in groupby(named, key=lambda blob_id: blob_id[:4]):
                for entry in self._shard(list(blob_ids)):
                    self.taken.blobs += entry.kind == "blob"
                    self.taken.size += entry.size
                    self._seen(self.taken.blobs, total)
                    yield entry

    def _shard(self, blob_ids: list[str]) -> Iterator[Entry]:
        """The blobs of one folder, whose names are on the disk at the end."""
        shard = self._target.shard(blob_ids[0])
        there = {(entry.name, entry.size): entry for entry in self._target.stored_blobs(shard)}
        changed = self._unsynced
        for blob_id in blob_ids:
            self._going_on()
            source = self._data / "blobs" / blob_id[:2] / blob_id[2:4] / blob_id
            try:
                kept = there.get((blob_id, source.stat().st_size))
                if kept is None:
                    kept = self._sound(there.values(), blob_id)
                    if kept is not None:  # a blob never changes: it is the data folder's that is damaged
                        self.taken.lost.append(blob_id)
                if kept is None:
                    kept = self._copy(source, shard)
                    changed = True
            except FileNotFoundError:
                self._going_on()  # if the lease has lapsed, it may have been deleted in order
                kept = next((entry for entry in there.values() if entry.name == blob_id), None)
                (self.taken.missing if kept is None else self.taken.lost).append(blob_id)
            yield Entry("missing", blob_id) if kept is None else kept
        if changed:
            for each in (shard, shard.parent, shard.parent.parent):
                if each.exists():
                    folder.sync_folder(each)

    def _sound(self, there: Iterable[Entry], blob_id: str) -> Entry | None:
        """A copy of that blob that is what it was, whatever its size."""
        for entry in there:
            if entry.name == blob_id and copying.digest(self._target.path("", entry), self._going_on)[1] == entry.sha256:
                return entry
        return None

    def _copy(self, source: Path, shard: Path) -> Entry:
        new = self._target.unfinished / source.name
        size, sha256 = copying.copy(source, new, self._going_on)
        shard.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.replace(shard / f"{source.name}-{sha256}")
        self.taken.copied += 1
        self.taken.copied_size += size
        return Entry("blob", source.name, size, sha256)
