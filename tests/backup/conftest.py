"""A data folder with a real catalog and real blob files, whose rows are made by hand: a backup opens nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from strongroom.backup.layout import Target
from strongroom.backup.taking import Wanted, take
from strongroom.s3.upkeep import Upkeep
from strongroom.startup.root_key import KIND, SCOPE
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog


class House:
    def __init__(self, place):
        self.data, self.path, self.now = place / "data", place / "backup", datetime(2026, 3, 1, 12, 0, 0, 5000, tzinfo=UTC)
        self.catalog, self.blobs = SqliteCatalog.open(self.data), FileBlobs(self.data)
        rooms = SimpleNamespace(catalog=self.catalog, blobs=self.blobs, clock=self.clock)
        self.upkeep = Upkeep(rooms, grace=0.0)
        self.target = Target(self.path)

    def clock(self):
        return self.now

    async def put(self, data):
        writer = await self.blobs.create()
        await writer.write(data)
        await writer.commit()
        await self.catalog.write(lambda tx: tx.keep([writer.blob_id]))
        return writer.blob_id

    async def drop(self, *blob_ids):
        await self.catalog.write(lambda tx: tx.discard(blob_ids))

    async def take(self, *, keep=14, prune=False, data=None, path=None):
        self.now += timedelta(minutes=1)
        return await take(Wanted(data or self.data, path or self.path, keep, prune, self.clock))

    def file(self, blob_id, folder=None):
        return (folder or self.data) / "blobs" / blob_id[:2] / blob_id[2:4] / blob_id

    def copies(self, blob_id):
        return list(self.target.shard(blob_id).glob(f"{blob_id}-*"))


@pytest.fixture
async def house(tmp_path):
    mask = os.umask(0o077)
    house = House(tmp_path)
    await house.catalog.write(lambda tx: tx.set_document(SCOPE, KIND, {"format": 1, "sealed": os.urandom(9).hex()}))
    yield house
    await house.blobs.close()
    await house.catalog.close()
    os.umask(mask)


@pytest.fixture
def blobs_of():
    def read(path):
        with closing(sqlite3.connect(path)) as connection:
            return {blob_id.hex() for (blob_id,) in connection.execute("SELECT blob_id FROM blob")}

    return read


@pytest.fixture
def mode():
    return lambda path: stat.S_IMODE(path.stat().st_mode)
