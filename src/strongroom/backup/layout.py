"""Where things lie in a backup, and the manifest that says what belongs to a snapshot.

Never knows how files get there, nor what is in them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from strongroom.backup import copying
from strongroom.startup import StartError
from strongroom.startup.folder import sync_folder

FORMAT: Final = 1
ABOUT_FILE: Final = "backup.json"
SNAPSHOTS: Final = "snapshots"
BLOBS: Final = "blobs"
RECORDS: Final = "key-use"
UNFINISHED: Final = "tmp"
CATALOG_FILE: Final = "catalog.sqlite"
MANIFEST_FILE: Final = "manifest.jsonl"
UNFINISHED_SUFFIX: Final = ".new"  # of a snapshot that is not published
_LOCK_FILE: Final = "backup.lock"
_SNAPSHOT: Final = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAMES: Final = {
    "catalog": re.compile(re.escape(CATALOG_FILE)),
    "record": re.compile(r"[0-9a-f]{20}(-[0-9]{6}\.jsonl|\.head)"),
    "blob": re.compile(r"[0-9a-f]{32}"),
    "missing": re.compile(r"[0-9a-f]{32}"),
}
_BLOB_FILE: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})")

Kind = Literal["catalog", "record", "blob", "missing"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the data folder. ``missing``: a blob that a row names and that neither the folder nor the backup had."""

    kind: Kind
    name: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a manifest. ``origin``: which data, as ``origin_of`` has it; ``accounts``: their ids, the first few."""

    snapshot: str
    origin: str
    accounts: tuple[str, ...]


class Target:
    """A folder that holds backups of one data folder: paths, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots_folder = folder / SNAPSHOTS
        self.unfinished = folder / UNFINISHED

    def require_existing(self) -> None:
        """Raises StartError."""
        if self._about() is None:
            raise StartError(f"{self.folder} holds no backup of Strongroom's")

    def prepare(self, origin: str) -> None:
        """Make the folder, or make sure that it holds backups of this data. Under the lock. Raises StartError, OSError."""
        about = self._about()
        if about is None:
            if {each.name for each in self.folder.iterdir()} - {_LOCK_FILE, UNFINISHED, "lost+found"}:
                raise StartError(f"{self.folder} is not empty and holds no backup of Strongroom's: choose another")
            self.unfinished.mkdir(mode=0o700, exist_ok=True)
            new = self.unfinished / ABOUT_FILE
            new.write_text(json.dumps({"format": FORMAT, "origin": origin}) + "\n", encoding="utf-8")
            publish(new, self.folder / ABOUT_FILE)
        elif about["origin"] != origin:
            raise StartError(f"{self.folder} holds backups of other data: choose another")
        for name in (SNAPSHOTS, BLOBS, RECORDS, UNFINISHED):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        sync_folder(self.folder)

    def _about(self) -> dict[str, Any] | None:
        path = self.folder / ABOUT_FILE
        try:
            found = json.loads(path.read_bytes())
            if found["format"] != FORMAT:
                raise StartError(f"{self.folder} has format {found['format']}: a newer Strongroom is needed")
            return {"origin": str(found["origin"])}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{path} is damaged") from None

    @contextmanager
    def locked(self) -> Generator[None]:
        """One command at a time changes a backup, or reads it while it must not change. Makes the folder. Raises StartError, OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StartError(f"another command is working on {self.folder}") from None
            yield
        finally:
            os.close(descriptor)

    def snapshots(self) -> list[str]:
        """Those that were published, the oldest first."""
        try:
            return sorted(each.name for each in self.snapshots_folder.iterdir() if _SNAPSHOT.fullmatch(each.name))
        except FileNotFoundError:
            return []

    def chosen(self, time: str | None) -> str:
        """The newest snapshot, or the one whose name begins with ``time``. Raises StartError."""
        every = self.snapshots()
        if not every:
            raise StartError(f"{self.folder} holds no finished snapshot")
        found = every[-1:] if time is None else [name for name in every if name.startswith(time)]
        if len(found) != 1:
            raise StartError(f"{len(found)} snapshots begin with {time}: see  strongroom backup list {self.folder}")
        return found[0]

    def path(self, snapshot: str, entry: Entry) -> Path:
        """Where the file of an entry lies."""
        if entry.kind == "catalog":
            return self.snapshots_folder / snapshot / CATALOG_FILE
        if entry.kind == "record":
            return self.folder / RECORDS / entry.sha256
        return self.shard(entry.name) / f"{entry.name}-{entry.sha256}"

    def shard(self, blob_id: str) -> Path:
        return self.folder / BLOBS / blob_id[:2] / blob_id[2:4]

    def stored_blobs(self, shard: Path) -> Iterator[Entry]:
        """What is in the folder of one shard, in no order."""
        try:
            with os.scandir(shard) as entries:
                for each in entries:
                    found = _BLOB_FILE.fullmatch(each.name)
                    if found is not None:
                        yield Entry("blob", found[1], each.stat(follow_symlinks=False).st_size, found[2])
        except FileNotFoundError:
            return

    def every_blob(self) -> Iterator[Entry]:
        for first in sorted((self.folder / BLOBS).iterdir()):
            for second in sorted(first.iterdir()):
                yield from self.stored_blobs(second)

    def every_record(self) -> Iterator[str]:
        """SHA-256 of each."""
        return (each.name for each in (self.folder / RECORDS).iterdir() if _SHA256.fullmatch(each.name))


# ---------------------------------------------------------------------------------------------------------------- manifests


class ManifestWriter:
    """Lines of JSON; the last holds the SHA-256 of all before it."""

    def __init__(self, path: Path, head: Head) -> None:
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self._line({"format": FORMAT, **asdict(head)})

    def add(self, entry: Entry) -> None:
        self._line({name: value for name, value in asdict(entry).items() if entry.kind != "missing" or name in {"kind", "name"}})

    def end(self) -> None:
        """On the disk when this returns, but for its name."""
        self._file.write(_end(self._digest.hexdigest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        self._file.close()

    def _line(self, value: dict[str, Any]) -> None:
        line = json.dumps(value).encode() + b"\n"
        self._digest.update(line)
        self._file.write(line)


def _end(sha256: str) -> bytes:
    return json.dumps({"kind": "end", "sha256": sha256}).encode() + b"\n"


def read_head(path: Path) -> Head:
    """Raises StartError."""
    try:
        with path.open("rb") as file:
            return _head(path, file.readline())
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None


def check_manifest(path: Path) -> Head:
    """The head of a manifest that was found to be whole. Raises StartError."""
    for _ in read_manifest(path):
        pass
    return read_head(path)


def read_manifest(path: Path) -> Iterator[Entry]:
    """What a snapshot is made of. Raises StartError at the end, if not before, when it is not what was written: check it first."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            line = file.readline()
            _head(path, line)
            digest.update(line)
            for line in file:
                value = json.loads(line)
                if value.get("kind") == "end":
                    if line != _end(digest.hexdigest()) or file.read(1):
                        raise _damaged(path)
                    return
                digest.update(line)
                yield _entry(path, value)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except (ValueError, AttributeError):
        raise _damaged(path) from None
    raise _damaged(path)  # it has no end


def _head(path: Path, line: bytes) -> Head:
    try:
        value = json.loads(line)
        if value["format"] != FORMAT:
            raise StartError(f"{path} has format {value['format']}: a newer Strongroom is needed")
        return Head(str(value["snapshot"]), str(value["origin"]), tuple(map(str, value["accounts"])))
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None


def _entry(path: Path, value: dict[str, Any]) -> Entry:
    """Names become paths, so nothing but what the server would have made is let through."""
    kind, name = value.get("kind"), value.get("name")
    if not isinstance(name, str) or kind not in _NAMES or not _NAMES[kind].fullmatch(name):
        raise _damaged(path)
    if kind == "missing":
        return Entry("missing", name)
    size, sha256 = value.get("size"), value.get("sha256")
    if not isinstance(size, int) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _damaged(path)
    return Entry(kind, name, size, sha256)


def _damaged(path: Path) -> StartError:
    return StartError(f"{path} is damaged")


# --------------------------------------------------------------------------------------------------------------- small files


def publish(new: Path, path: Path) -> None:
    """A finished file gets its name; both are on the disk when this returns."""
    copying.sync(new)
    new.replace(path)
    sync_folder(path.parent)
