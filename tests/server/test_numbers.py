"""What is counted by several workers is shown as one page."""

from __future__ import annotations

import os

from strongroom.numbers import Numbers


def worker(folder, monkeypatch, pid, events, seconds):
    monkeypatch.setattr(os, "getpid", lambda: pid)
    numbers = Numbers(folder)
    counter = numbers.counter("things", "Things that happened", "kind")
    durations = numbers.durations("thing_seconds", "How long", "kind")
    for kind in events:
        counter.add((kind,))
    for each in seconds:
        durations.add(("slow",), each)
    return numbers


def test_a_page_adds_up_the_workers(tmp_path, monkeypatch):
    worker(tmp_path, monkeypatch, 1, ["a", "a", 'q"\n'], [0.0009, 0.3]).flush()
    page = worker(tmp_path, monkeypatch, 2, ["a", "b"], [99.0]).page().decode()
    assert 'things_total{kind="a"} 3.0' in page
    assert 'things_total{kind="b"} 1.0' in page
    assert 'things_total{kind="q\\"\\n"} 1.0' in page
    assert 'thing_seconds_bucket{kind="slow",le="0.001"} 1.0' in page
    assert 'thing_seconds_bucket{kind="slow",le="0.25"} 1.0' in page
    assert 'thing_seconds_bucket{kind="slow",le="0.5"} 2.0' in page
    assert 'thing_seconds_bucket{kind="slow",le="30.0"} 2.0' in page
    assert 'thing_seconds_bucket{kind="slow",le="+Inf"} 3.0' in page
    assert 'thing_seconds_count{kind="slow"} 3.0' in page
    assert 'thing_seconds_sum{kind="slow"} 99.3009' in page


def test_a_bound_belongs_to_its_own_class(tmp_path, monkeypatch):
    page = worker(tmp_path, monkeypatch, 1, [], [0.001]).page().decode()
    assert 'thing_seconds_bucket{kind="slow",le="0.001"} 1.0' in page


def test_a_process_that_is_alone_needs_no_folder(monkeypatch):
    page = worker(None, monkeypatch, 1, ["a"], []).page().decode()
    assert 'things_total{kind="a"} 1.0' in page


def test_a_worker_that_died_goes_on_to_count(tmp_path, monkeypatch):
    worker(tmp_path, monkeypatch, 1, ["a"], []).flush()
    assert 'things_total{kind="a"} 2.0' in worker(tmp_path, monkeypatch, 2, ["a"], []).page().decode()


def test_a_gauge_adds_up_the_workers_that_live(tmp_path, monkeypatch):
    alive, dead = os.getpid(), 2**22 + 1  # beyond the greatest process id there is
    in_hand = {alive: 3, dead: 4, 1: 5}  # 1 lives, as somebody else's
    for pid, number in in_hand.items():
        numbers = worker(tmp_path, monkeypatch, pid, ["a"], [])
        numbers.gauge("in_hand", "What there is now", lambda number=number: number)
        numbers.flush()
    page = numbers.page().decode()
    assert "\nin_hand 8.0\n" in page
    assert 'things_total{kind="a"} 3.0' in page
