from __future__ import annotations

import pytest

from strongroom.store.sqlite import SqliteCatalog
from tests.kms.world import World


class CountingCatalog(SqliteCatalog):
    """The real thing, counting how often a single document is read."""

    reads = 0

    async def document(self, scope, kind):
        self.reads += 1
        return await super().document(scope, kind)


@pytest.fixture
async def catalog(tmp_path):
    catalog = CountingCatalog.open(tmp_path)
    yield catalog
    await catalog.close()


@pytest.fixture
def world(catalog) -> World:
    return World(catalog)


@pytest.fixture
async def other_worker(tmp_path, world):
    """Another process on the same folder, as far as the catalog can tell."""
    catalog = SqliteCatalog.open(tmp_path)
    yield World(catalog, world.clock)
    await catalog.close()
