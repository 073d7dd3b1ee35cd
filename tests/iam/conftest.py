from __future__ import annotations

from datetime import UTC, datetime

import pytest

from strongroom.iam.identities import Identities
from strongroom.store.sqlite import SqliteCatalog

IAM_KEY = bytes(range(32))
NOW = datetime(2026, 5, 4, 3, 2, 1, 678000, UTC)


@pytest.fixture
async def catalog(tmp_path):
    catalog = SqliteCatalog.open(tmp_path)
    yield catalog
    await catalog.close()


@pytest.fixture
async def other_worker(tmp_path, catalog):
    """The same folder, opened a second time, as another process does."""
    other = SqliteCatalog.open(tmp_path)
    yield other
    await other.close()


@pytest.fixture
def iam_key() -> bytes:
    return IAM_KEY


@pytest.fixture
def identities(catalog, iam_key) -> Identities:
    return Identities(catalog, iam_key, clock=lambda: NOW)
