"""Checks a backup without any key: every file is what it was when it was copied, and each snapshot has all that it names.

Never changes anything, and never knows whether what was copied opens: that is for ``strongroom verify`` on a restored folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from strongroom.backup import copying
from strongroom.backup.layout import MANIFEST_FILE, RECORDS, Entry, Target, check_manifest, read_manifest
from strongroom.startup import StartError


@dataclass(slots=True)
class Checked:
    snapshots: int = 0
    blobs: int = 0
    size: int = 0
    findings: int = 0


class Checking:
    """One check, under the lock. ``seen`` is told how many blobs were read."""

    def __init__(self, target: Target, seen: Callable[[int], None] = lambda _done: None) -> None:
        self._target = target
        self._seen = seen
        self._damaged: set[Path] = set()  # told already
        self.tally = Checked()

    def findings(self) -> Iterator[str]:
        """One line for each thing that is wrong; the line tells the path of what is damaged."""
        for text in self._found():
            self.tally.findings += 1
            yield text

    def _found(self) -> Iterator[str]:
        yield from self._files()
        for name in self._target.snapshots():
            self.tally.snapshots += 1
            yield from self._snapshot(name)

    def _files(self) -> Iterator[str]:
        """Each file once, however many snapshots share it."""
        for entry in self._target.every_blob():
            self.tally.blobs += 1
            self.tally.size += entry.size
            self._seen(self.tally.blobs)
            yield from self._digest(self._target.path("", entry), entry.sha256)
        for sha256 in self._target.every_record():
            yield from self._digest(self._target.folder / RECORDS / sha256, sha256)

    def _digest(self, path: Path, sha256: str) -> Iterator[str]:
        try:
            same = copying.digest(path)[1] == sha256
        except OSError as error:
            same = False
            yield f"unreadable  {path}: {error.strerror}"
        else:
            if not same:
                yield f"damaged  {path}: it is not what was copied"
        if not same:
            self._damaged.add(path)

    def _snapshot(self, name: str) -> Iterator[str]:
        path = self._target.snapshots_folder / name / MANIFEST_FILE
        try:
            check_manifest(path)
        except StartError as error:
            yield f"damaged  {error}"
            return
        for entry in read_manifest(path):
            if entry.kind == "missing":
                yield f"missing  snapshot {name}: the data folder had lost blob {entry.name} before it was taken"
            elif entry.kind == "catalog":
                yield from self._catalog(self._target.path(name, entry), entry)
            else:
                yield from self._there(name, entry)

    def _there(self, snapshot: str, entry: Entry) -> Iterator[str]:
        path = self._target.path(snapshot, entry)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            yield f"missing  snapshot {snapshot}: {entry.kind} {entry.name}, {path}"
            return
        if size != entry.size and path not in self._damaged:
            yield f"damaged  {path}: it has {size} bytes, not {entry.size}"

    def _catalog(self, path: Path, entry: Entry) -> Iterator[str]:
        if not path.exists():
            yield f"missing  {path}"
            return
        found = list(self._digest(path, entry.sha256))
        yield from found
        if not found:
            try:
                with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
                    said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            except sqlite3.Error as error:
                said = [str(error)]
            if said != ["ok"]:
                yield f"damaged  {path}: {'; '.join(said)}"
