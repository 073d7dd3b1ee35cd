"""The targets of ``make fuzz`` hold over the vectors, over what is near them, and over random bytes."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_PATH = Path(__file__).resolve().parents[2] / "fuzz" / "targets.py"
_SPEC = importlib.util.spec_from_file_location("fuzz_targets", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
targets = importlib.util.module_from_spec(_SPEC)
sys.modules["fuzz_targets"] = targets
_SPEC.loader.exec_module(targets)

NAMES = sorted(targets.TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_the_seeds_and_what_is_near_them(name: str) -> None:
    target, source = targets.TARGETS[name], random.Random(name)
    seeds = list(targets.seeds(name))
    assert seeds
    for seed in seeds[:200]:
        target(seed)
        spoilt = bytearray(seed or b"\0")
        for _ in range(3):
            spoilt[source.randrange(len(spoilt))] = source.randrange(256)
            target(bytes(spoilt))
        target(seed[: source.randrange(len(seed) + 1)])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_random_bytes(name: str, data: bytes) -> None:
    targets.TARGETS[name](data)


def test_a_target_that_does_not_hold_is_found() -> None:
    """A sealed stream that opens under the fuzzer's key is what the target calls a forgery."""
    with pytest.raises(AssertionError, match="forged"):
        targets.stream(targets.seal(bytes(range(32)), b"fuzz", b"plain"))
