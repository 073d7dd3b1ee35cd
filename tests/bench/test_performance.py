"""docs/performance.md says what the kept run says."""

from __future__ import annotations

import json

import performance
import pytest


@pytest.fixture(scope="module")
def kept() -> dict:
    return json.loads(performance.KEPT.read_text("utf-8"))


def test_the_page_is_that_of_the_kept_run(kept: dict) -> None:
    assert performance.PAGE.read_text("utf-8") == performance.page(kept), "make docs"


def test_every_drawing_of_the_page_is_there(kept: dict) -> None:
    drawings = {part.partition(")")[0] for part in performance.page(kept).split("](")[1:] if ".svg" in part.partition(")")[0]}
    assert drawings
    assert all((performance.DOCS / drawing).is_file() for drawing in drawings)


def test_the_kept_run_names_no_place_and_no_secret(kept: dict) -> None:
    assert "folder" not in kept["options"]
    text = json.dumps(kept)
    assert "AKIA" not in text
    assert "http://" not in text


def test_a_missed_target_is_said(kept: dict) -> None:
    name = next(iter(kept["measures"]))
    missed = json.loads(json.dumps(kept))
    missed["measures"][name] |= {"met": False, "ratio": 9.87}
    row = next(
        line for line in performance.page(missed).splitlines() if line.startswith(f"| {missed['measures'][name]['title']}")
    )
    assert "9.87" in row
    assert "**missed**" in row


def test_a_step_that_was_not_taken_is_left_out(kept: dict) -> None:
    assert "row" in {step for step, _, _ in performance.steps_of(kept, "get")}
    assert "row" not in {step for step, _, _ in performance.steps_of(kept, "put")}
