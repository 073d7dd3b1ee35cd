from __future__ import annotations

import pytest

from tests.s3.world import opened


@pytest.fixture
async def world(tmp_path):
    async with opened(tmp_path) as world:
        yield world
