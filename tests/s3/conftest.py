from __future__ import annotations

import pytest

from strongroom.store.files import FileBlobs
from tests.s3.world import CountingCatalog, World


@pytest.fixture
async def world(tmp_path):
    catalog = CountingCatalog.open(tmp_path)
    blobs = FileBlobs(tmp_path / "blobs")
    world = World(catalog, blobs)
    await world.keys.open()
    yield world
    await blobs.close()
    await catalog.close()
