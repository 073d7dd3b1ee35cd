"""Data folders of any size, made fast: sealed bodies and records, as a writer makes them, put into the catalog many at a time.

Each row is what PutObject would have left (SSE-S3, a body in the row), under a data key of its own, so everything can be read,
listed and verified. What differs: rows come in the order of their keys, and nothing is synced before the end. Never knows what is measured.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

from awscrt import checksums
from inprocess import Rooms

from strongroom.s3.bucket_cache import Bucket, BucketCache
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.sealing import DATA_KEY, ObjectKey
from strongroom.s3.versions import new_version_id
from strongroom.s3.writing import seal_in_row
from strongroom.seal.format import Envelope, Mode
from strongroom.seal.layers import Layers
from strongroom.store.sqlite import FILE
from strongroom.store.sqlite_texts import STATEMENTS

FLAT: Final = "flat"  # the bucket with one version of each of many keys
DEEP: Final = "deep"  # the bucket with many versions of one key
ONE: Final = "one"  # that key
BODY: Final = 150  # bytes
_ENABLED: Final = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
)
_AT_ONCE: Final = 20_000  # rows of one transaction
_MADE_MS: Final = 1_700_000_000_000

Row = tuple[Any, ...]


def key_of(number: int) -> str:
    return f"{number // 1000:05d}/{number % 1000:03d}"


async def fill(rooms: Rooms, objects: int, versions: int, say: Callable[[str], None]) -> None:
    """Make the buckets ``FLAT`` and ``DEEP`` in an empty folder, and so many rows. The rooms are open and do nothing meanwhile."""
    for name in (FLAT, DEEP):
        await rooms.request(rooms.head("PUT", name))
    await rooms.request(rooms.head("PUT", DEEP, size=len(_ENABLED), versioning=""), _ENABLED)
    house = rooms.house
    buckets = BucketCache(house.catalog, house.keys, "blocked")
    maker = _Maker(rooms)
    flat, deep = await buckets.find(FLAT), await buckets.find(DEEP)
    path = rooms.folder / FILE
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("synchronous=OFF", "wal_autocheckpoint=20000", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        rows = maker.rows(connection, flat, ((key_of(number), 1, True, True) for number in range(objects)))
        _write(connection, rows, objects, f"{FLAT}: objects", say)
        rows = maker.rows(connection, deep, ((ONE, number + 1, number + 1 == versions, False) for number in range(versions)))
        _write(connection, rows, versions, f"{DEEP}: versions of one key", say)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(connection: sqlite3.Connection, rows: Iterator[Row], count: int, what: str, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    for first in range(0, count, _AT_ONCE):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(STATEMENTS.insert_version, (next(rows) for _ in range(min(_AT_ONCE, count - first))))
        connection.execute("COMMIT")
        done = min(first + _AT_ONCE, count)
        say(f"{what}: {done:,} of {count:,}, {done / (time.monotonic() - started):,.0f} a second")


class _Maker:
    def __init__(self, rooms: Rooms) -> None:
        self._keys = rooms.house.keys

    def rows(
        self, connection: sqlite3.Connection, bucket: Bucket, places: Iterator[tuple[str, int, bool, bool]]
    ) -> Iterator[Row]:
        """``places``: key, number of the version in its key, whether it is the newest, whether it is a null version."""
        (number,) = connection.execute(STATEMENTS.bucket_number, (bucket.bucket_id,)).fetchone()
        service = self._keys.service_key()
        pool = _Random()
        for object_key, seq, current, null in places:
            body = b"%016d" % seq + pool(BODY - 16)
            key = ObjectKey(Layers(pool(DATA_KEY)), service.key, Envelope(Mode.SSE_S3, key_id=service.key_id))
            stored = seal_in_row(pool, key.layers, body)
            version_id = new_version_id(pool)
            envelope = key.bound(bucket.bucket_id, object_key, version_id, stored.manifest, pool)
            crc = b64encode(checksums.crc64nvme(body).to_bytes(8, "big")).decode()
            meta = ObjectMeta(
                hashlib.md5(body, usedforsecurity=False).hexdigest(), checksums={"CRC64NVME": crc}, checksum_type="FULL_OBJECT"
            )
            record = meta.seal(bucket, object_key, version_id, size=BODY, seal=envelope, manifest=stored.manifest)
            flags = (int(current), version_id, int(null), 0)
            yield number, object_key.encode(), seq, *flags, BODY, _MADE_MS, envelope, record, stored.manifest, stored.in_row


class _Random:
    """The system's randomness, fetched many bytes at a time."""

    def __init__(self) -> None:
        self._bytes, self._next = b"", 0
        self.random = self  # what ``seal_in_row`` looks for in rooms

    def __call__(self, size: int) -> bytes:
        if self._next + size > len(self._bytes):
            self._bytes, self._next = os.urandom(1 << 20), 0
        self._next += size
        return self._bytes[self._next - size : self._next]
