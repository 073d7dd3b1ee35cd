"""A set of blob ids on disk, for walks over more blobs than memory should hold. Lives as long as its block, and leaves nothing.

Never knows what the blobs are. The ids are random and say nothing, so the file is in the system's folder for such things.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class BlobSet:
    """A context."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="strongroom-")
        self._connection = sqlite3.connect(Path(self._folder.name) / "blobs", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-16384"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute("CREATE TABLE blob (blob_id BLOB PRIMARY KEY) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._connection.close()
        self._folder.cleanup()

    def add(self, blob_ids: Iterable[str]) -> None:
        rows = [(bytes.fromhex(blob_id),) for blob_id in blob_ids]
        if rows:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR IGNORE INTO blob VALUES (?)", rows)
            self._connection.execute("COMMIT")

    def without(self, blob_ids: Sequence[str]) -> list[str]:
        """Those of the given ids that are not in the set."""
        asked = "SELECT 1 FROM blob WHERE blob_id = ?"
        return [blob_id for blob_id in blob_ids if self._connection.execute(asked, (bytes.fromhex(blob_id),)).fetchone() is None]
