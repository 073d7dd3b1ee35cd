"""The page of facts is what the marks of the tests say; a mark is the number of a statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import facts

PAGE = Path(__file__).parents[2] / "docs" / "facts.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == facts.page(facts.collect()), "run  make docs"


@pytest.mark.parametrize("number", ["4", "4.x", "11.A16", "11.D35", "11.Z1", "13.1", "0.1", "A", "A100", "", "4.2.5.1.1", "11.3"])
def test_a_mark_that_is_no_number(tmp_path, number):
    (tmp_path / "test_x.py").write_text(f'@pytest.mark.fact("{number}")\ndef test_y(): pass\n')
    with pytest.raises((ValueError, KeyError)):
        facts.collect(tmp_path)


def test_marks_of_functions_classes_and_modules(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "test_x.py").write_text(
        'pytestmark = [pytest.mark.fact("1.1")]\n'
        '@pytest.mark.slow\n@pytest.mark.fact("4.2.5", "11.F52")\nasync def test_a(): pass\n'
        'def test_b(): pass\ndef helper(): pass\n'
        '@pytest.mark.fact("A33")\nclass TestC:\n    def test_d(self): pass\n'
    )  # fmt: skip
    a, b, d = (f"tests/sub/test_x.py::{name}" for name in ("test_a", "test_b", "TestC::test_d"))
    found = facts.collect(tmp_path)
    assert found == {"1.1": [a, b], "4.2.5": [a], "11.F52": [a], "A33": [d]}
    page = facts.page(found)
    assert f"| F52, KMS | `{a}` |" in page
    assert "| F53, KMS | not shown yet |" in page
    assert f"| 1.1 | `{a}`<br>`{b}` |" in page
    assert f"## A. KMS: API\n\n| statement | shown by |\n|---|---|\n| A33 | `{d}` |" in page
    assert "## B." not in page
