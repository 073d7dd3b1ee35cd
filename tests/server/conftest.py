from __future__ import annotations

import stat

import pytest

from tests.server.process import ROOT, Serving


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One server for the tests that only look at it, with two workers."""
    with Serving(tmp_path_factory.mktemp("shared") / "data", "--workers", "2", environ=ROOT) as serving:
        yield serving


@pytest.fixture
def mode():
    return lambda path: stat.S_IMODE(path.stat().st_mode)
