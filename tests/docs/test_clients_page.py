"""The page of clients: each of its set-ups is run by a test, so none can be there that was never tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients import setups

ROOT = Path(__file__).parents[2]
RUNS = re.compile(r"\brun_(?:shell|python)\(\s*\"([^\"]+)\"")


def test_each_set_up_is_run():
    files = [*(ROOT / "tests" / "clients").glob("*.py"), *(ROOT / "tests_clients").glob("*.py")]
    run = {name for file in files for name in RUNS.findall(file.read_text("utf-8"))}
    assert run == set(setups.read_page())


@pytest.mark.parametrize("section", ["Nothing to run.", "```sh\na\n```\n\n```sh\nb\n```", "```toml\na = 1\n```"])
def test_a_section_has_one_block(monkeypatch, tmp_path, section):
    (tmp_path / "clients.md").write_text(f"# Clients\n\n## x\n\n{section}\n")
    monkeypatch.setattr(setups, "PAGE", tmp_path / "clients.md")
    with pytest.raises(ValueError, match="values to unpack"):
        setups.read_page()
