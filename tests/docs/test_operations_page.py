"""The page of operations is what the registered operations say: a new operation without its line fails here."""

from __future__ import annotations

from pathlib import Path

from strongroom.api import coverage

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == coverage.page(coverage.declared(["strongroom.s3", "strongroom.kms", "strongroom.iam"])), (
        "run  make docs"
    )
