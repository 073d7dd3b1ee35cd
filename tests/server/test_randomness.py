"""Random bytes that are fetched some at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.startup.randomness import Randomness


def test_each_call_gives_as_many_bytes_as_it_is_asked_for_and_no_byte_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[bytes] = []

    def fetch(count: int) -> bytes:
        """Blocks that can be told apart, each with its number in front."""
        start = sum(map(len, fetched)) // 8
        fetched.append(b"".join(number.to_bytes(8, "big") for number in range(start, start + -(-count // 8)))[:count])
        return fetched[-1]

    monkeypatch.setattr(os, "urandom", fetch)
    random = Randomness()
    seen = [random(count) for count in [8, 12, 16, 24, 32, 39, 64] * 50]
    assert [len(one) for one in seen] == [8, 12, 16, 24, 32, 39, 64] * 50
    assert len({one[:8] for one in seen}) == len(seen)  # no two begin in one block
    assert len(fetched) < 10
    assert len(random(65)) == 65
    assert random(0) == b""


def test_threads_that_ask_at_once_are_given_different_bytes() -> None:
    random = Randomness()

    def take(_: int) -> list[bytes]:
        return [random(12) for _ in range(500)]

    with ThreadPoolExecutor(8) as threads:
        seen = [one for many in threads.map(take, range(16)) for one in many]
    assert len(set(seen)) == len(seen)
