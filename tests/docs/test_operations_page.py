"""The page of operations is what the registered operations say: a new operation without its line fails here."""

from __future__ import annotations

from pathlib import Path

from strongroom import iam, kms, s3
from strongroom.api import coverage

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == coverage.page(coverage.declared([s3, kms, iam])), "run  make docs"
