"""The programs of the torture can be started: they share the tests' server, which changes."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("program", ["run", "power", "hostile"])
def test_a_program_explains_itself(program):
    command = [sys.executable, "-m", f"torture.{program}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: make " in done.stdout
