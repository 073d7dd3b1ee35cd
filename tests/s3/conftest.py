from __future__ import annotations

import pytest

from tests.s3 import vault as vaults
from tests.s3.world import opened


@pytest.fixture
async def world(tmp_path):
    async with opened(tmp_path) as world:
        yield world


@pytest.fixture
async def vault(tmp_path):
    async with vaults.opened(tmp_path) as vault:
        yield vault
