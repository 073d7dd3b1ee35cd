from __future__ import annotations

from functools import partial

import pytest

from tests.s3 import vault as vaults
from tests.s3.filled import blob_file, fill
from tests.s3.world import opened


@pytest.fixture
async def world(tmp_path):
    async with opened(tmp_path) as world:
        yield world


@pytest.fixture
async def vault(tmp_path):
    async with vaults.opened(tmp_path) as vault:
        yield vault


@pytest.fixture
async def full(vault):
    return await fill(vault)


@pytest.fixture
def blob(full):
    return partial(blob_file, full)
