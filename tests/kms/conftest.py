from __future__ import annotations

import pytest

from tests.kms.memory_catalog import MemoryCatalog
from tests.kms.world import World


@pytest.fixture
async def world():
    catalog = MemoryCatalog()
    yield World(catalog)
    await catalog.close()
