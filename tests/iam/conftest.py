from __future__ import annotations

from datetime import UTC, datetime

import pytest

from strongroom.iam.identities import Identities
from tests.iam.memory_catalog import MemoryCatalog

IAM_KEY = bytes(range(32))
NOW = datetime(2026, 5, 4, 3, 2, 1, 678000, UTC)


@pytest.fixture
def catalog():
    return MemoryCatalog()


@pytest.fixture
def iam_key() -> bytes:
    return IAM_KEY


@pytest.fixture
def identities(catalog, iam_key) -> Identities:
    return Identities(catalog, iam_key, clock=lambda: NOW)
