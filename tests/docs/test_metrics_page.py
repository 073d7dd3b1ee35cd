"""The page of metrics is what a worker counts, and what a real server shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.server import metrics_page
from tests.server.process import ROOT, Serving, here
from tests.server.test_numbers_page import families

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (\w*) \| (.+) \|$", re.MULTILINE)


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == metrics_page.page(), "run  make docs"


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    environ = ROOT | {"STRONGROOM_ACCESS_LOG": str(folder / "access.log")}
    with Serving(folder / "data", environ=environ) as serving:
        yield serving


def test_a_server_shows_what_is_on_the_page_and_nothing_else(serving):
    told = {name: (kind, about) for name, kind, _, _, about in ROW.findall(PAGE.read_text("utf-8"))}
    assert len(told) > 30
    assert set(told) - set(families(serving.url)) == {
        f"strongroom_scrub_last_{what}" for what in ("begin_seconds", "end_seconds", "findings")
    }
    assert here("scrub", "run", "--now", "--data", serving.folder).returncode == 0
    shown = families(serving.url)
    assert {name: (family.type, family.documentation) for name, family in shown.items()} == told


def test_each_row_has_the_labels_that_samples_have(serving):
    labels = {name: set(re.findall(r"`(\w+)`", text)) for name, _, text, _, _ in ROW.findall(PAGE.read_text("utf-8"))}
    for name, family in families(serving.url).items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels[name]


def test_units_are_in_names():
    for name, _, _, unit, _ in ROW.findall(PAGE.read_text("utf-8")):
        assert name.removesuffix("_total").endswith(f"_{unit}") if unit else True
