"""The judge of lifecycles: examples of AWS's guide, borders of days, conflicts; and against a second judge that shares no code with it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.s3.lifecycle_judging import Facts, Judge, Told, today_of
from strongroom.s3.lifecycle_reading import read_configuration
from strongroom.s3.lifecycle_rules import enabled_rules, moment_of
from strongroom.s3.storage_classes import CLASSES, WATERFALL, may_move
from tests.s3.slow_lifecycle import DOWN, Version, slow_judge

NOON = datetime(2014, 1, 15, 10, 30, tzinfo=UTC)
KIB = 1024
TAGS = {"k": "v"}


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def judge_of(*rules: dict[str, Any], minimum: str | None = None) -> Judge:
    document = read_configuration({"Rules": list(rules)}, minimum, os.urandom)
    return Judge(enabled_rules(document), document["minimum"])


def rule(rule_id: str = "r", chosen: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"ID": rule_id, "Status": "Enabled", "Filter": chosen or {}, **more}


def judged(judge: Judge, facts: Facts, now: datetime, told: Told | None = None, *, versioned: bool = True) -> Any:
    found = judge.judge(facts, today_of(ms(now)), lambda: told or Told("STANDARD", {}), versioned=versioned)
    return None if found is None else (found.kind, found.rule_id, found.storage_class)


def facts(size: int = 1 << 20, made: datetime = NOON, **more: Any) -> Facts:
    return Facts("logs/1", size, ms(made), **more)


def move(days: int, name: str) -> dict[str, Any]:
    return {"Days": days, "StorageClass": name}


def test_an_object_of_10_30_with_three_days_goes_at_the_fourth_midnight():
    judge = judge_of(rule(Expiration={"Days": 3}))
    midnight = datetime(2014, 1, 19, tzinfo=UTC)
    assert judged(judge, facts(), midnight - timedelta(milliseconds=1)) is None
    assert judged(judge, facts(), midnight) == ("expire", "r", "")
    day, rule_id = judge.expiry("logs/1", 1, ms(NOON), lambda: Told("STANDARD", {}))
    assert (moment_of(day), rule_id) == (midnight, "r")


def test_a_version_is_noncurrent_since_its_successor_came():
    judge = judge_of(rule(NoncurrentVersionExpiration={"NoncurrentDays": 3}))
    old = facts(made=datetime(2014, 1, 1, 10, 30, tzinfo=UTC), since_ms=ms(NOON))
    assert judged(judge, old, datetime(2014, 1, 18, 23, 59, 59, tzinfo=UTC)) is None
    assert judged(judge, old, datetime(2014, 1, 19, tzinfo=UTC)) == ("remove", "r", "")


def test_a_date_goes_on_for_what_is_made_after_it():
    judge = judge_of(rule(Expiration={"Date": datetime(2014, 1, 1, tzinfo=UTC)}))
    assert judged(judge, facts(made=datetime(2013, 1, 1, tzinfo=UTC)), datetime(2013, 12, 31, 23, tzinfo=UTC)) is None
    assert judged(judge, facts(), NOON) == ("expire", "r", "")


def test_newer_noncurrent_versions_are_kept():
    judge = judge_of(rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}))
    late = NOON + timedelta(days=5)
    assert [judged(judge, facts(since_ms=ms(NOON), newer=newer), late) is None for newer in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert judge.counts == 2


def test_conflicts():
    """A deletion for good before a transition, that before a delete marker; the cheaper class; Intelligent-Tiering before what is no archive."""
    late = NOON + timedelta(days=400)
    expire, glacier = rule("e", Expiration={"Days": 365}), rule("g", Transitions=[move(365, "GLACIER")])
    assert judged(judge_of(expire, glacier), facts(), late, versioned=False) == ("expire", "e", "")
    assert judged(judge_of(expire, glacier), facts(), late) == ("move", "g", "GLACIER")
    assert judged(judge_of(expire, glacier), facts(), late, Told("GLACIER", {})) == ("expire", "e", "")
    infrequent = rule("i", Transitions=[move(365, "STANDARD_IA")])
    assert judged(judge_of(infrequent, glacier), facts(), late) == ("move", "g", "GLACIER")
    tiering, instant = rule("t", Transitions=[move(1, "INTELLIGENT_TIERING")]), rule("n", Transitions=[move(1, "GLACIER_IR")])
    assert judged(judge_of(tiering, instant), facts(), late) == ("move", "t", "INTELLIGENT_TIERING")
    assert judged(judge_of(tiering, instant), facts(), late, Told("INTELLIGENT_TIERING", {})) is None
    both = judge_of(rule("long", Expiration={"Days": 10}), rule("short", Expiration={"Days": 5}))
    assert both.expiry("k", 1, ms(NOON), lambda: Told("STANDARD", {}))[1] == "short"
    past = (
        rule("p", NoncurrentVersionExpiration={"NoncurrentDays": 1}),
        rule("q", NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}]),
    )
    assert judged(judge_of(*past), facts(since_ms=ms(NOON)), late) == ("remove", "p", "")


def test_one_rule_moves_step_by_step_and_never_up():
    judge = judge_of(rule(Transitions=[move(30, "STANDARD_IA"), move(60, "GLACIER"), move(150, "DEEP_ARCHIVE")]))
    for days, held, goes in (
        (40, "STANDARD", "STANDARD_IA"),
        (40, "STANDARD_IA", None),
        (40, "GLACIER_IR", None),
        (70, "STANDARD_IA", "GLACIER"),
        (70, "DEEP_ARCHIVE", None),
        (200, "STANDARD", "DEEP_ARCHIVE"),
    ):
        found = judged(judge, facts(), NOON + timedelta(days=days), Told(held, {}))
        assert found == (None if goes is None else ("move", "r", goes)), (days, held)


@pytest.mark.parametrize(
    ("minimum", "chosen", "name", "moves"),
    [
        (None, {}, "GLACIER", False),
        (None, {}, "STANDARD_IA", False),
        ("varies_by_storage_class", {}, "GLACIER", True),
        ("varies_by_storage_class", {}, "DEEP_ARCHIVE", True),
        ("varies_by_storage_class", {}, "STANDARD_IA", False),
        (None, {"ObjectSizeGreaterThan": 100}, "STANDARD_IA", True),
        (None, {"ObjectSizeLessThan": 500 * KIB}, "GLACIER", True),
    ],
)
def test_small_objects_stay_where_no_rule_says_otherwise(minimum, chosen, name, moves):
    judge = judge_of(rule(chosen=chosen, Transitions=[move(30, name)]), minimum=minimum)
    late = NOON + timedelta(days=31)
    assert (judged(judge, facts(128 * KIB - 1), late) is not None) is moves
    assert judged(judge, facts(128 * KIB), late) == ("move", "r", name)


def test_sizes_are_open_borders():
    judge = judge_of(rule(chosen={"And": {"ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 13}}, Expiration={"Days": 1}))
    found = [size for size in range(20) if judged(judge, facts(size), NOON + timedelta(days=9))]
    assert found == [11, 12]


def test_a_delete_marker_that_hides_nothing():
    now = NOON + timedelta(days=4)
    marker = {"delete_marker": True}
    at_once, aged = judge_of(rule(Expiration={"ExpiredObjectDeleteMarker": True})), judge_of(rule(Expiration={"Days": 3}))
    for judge in (at_once, aged):
        assert judged(judge, facts(0, only=True, **marker), now) == ("remove-marker", "r", "")
        assert judged(judge, facts(0, **marker), now) is None
    assert judged(at_once, facts(0, only=True, **marker), NOON) is not None
    assert judged(aged, facts(0, only=True, **marker), NOON) is None
    tagged = judge_of(rule(chosen={"Tag": {"Key": "k", "Value": "v"}}, Expiration={"Days": 3}))
    assert judged(tagged, facts(0, only=True, **marker), now) is None
    off = judge_of(rule(Expiration={"ExpiredObjectDeleteMarker": False}))
    assert judged(off, facts(0, only=True, **marker), now) is None


def test_tags_are_asked_for_only_where_the_answer_hangs_on_them():
    tag = {"Tag": {"Key": "k", "Value": "v"}}
    judge = judge_of(rule(chosen=tag, Expiration={"Days": 3}), rule("x", {"Prefix": "x"}, Expiration={"Days": 1}))

    def never() -> Told:
        raise AssertionError("asked")

    assert judge.judge(facts(), today_of(ms(NOON)), never, versioned=True) is None
    late = NOON + timedelta(days=9)
    assert judged(judge, facts(), late) is None
    assert judged(judge, facts(), late, Told("STANDARD", {"k": "V"})) is None
    assert judged(judge, facts(), late, Told("STANDARD", {"k": "v", "l": "w"})) == ("expire", "r", "")


def test_uploads():
    judge = judge_of(
        rule("a", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
        rule("b", {"Prefix": "m/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
    )
    assert judge.aborts
    assert not judge.looks_at_versions
    day, rule_id = judge.abort("m/1", ms(NOON))
    assert (moment_of(day), rule_id) == (datetime(2014, 1, 17, tzinfo=UTC), "b")
    assert judge.abort("n", ms(NOON))[1] == "a"


def test_disabled_rules_do_nothing():
    judge = judge_of(rule(Expiration={"Days": 1}) | {"Status": "Disabled"})
    assert judged(judge, facts(), NOON + timedelta(days=99)) is None
    assert not judge.looks_at_versions


def test_the_waterfall():
    assert {(before, after) for before in CLASSES for after in WATERFALL if may_move(before, after)} == {
        (before, after) for before, classes in DOWN.items() for after in classes
    }


# ---- against the slow judge

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ["", "a", "a/", "a/b", "b"]
few = st.integers(min_value=1, max_value=4)
dates = st.integers(min_value=0, max_value=10).map(lambda number: START + number * DAY)
tags = st.sampled_from([{"Key": key, "Value": value} for key in "kl" for value in "vw"])
sizes = st.sampled_from([1 << 20, 128 * KIB, 128 * KIB - 1, 100, 1, 0])


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if draw(st.booleans()):
        parts["Prefix"] = draw(st.sampled_from(KEYS))
    if draw(st.integers(0, 5)) == 5:
        parts["Tags"] = draw(st.lists(tags, min_size=1, max_size=2, unique_by=lambda tag: tag["Key"]))
    if draw(st.integers(0, 5)) == 5:
        parts["ObjectSizeGreaterThan"] = draw(sizes)
    if draw(st.integers(0, 5)) == 5:
        parts["ObjectSizeLessThan"] = draw(sizes) + 1
    if len(parts) + len(parts.get("Tags", [])) - ("Tags" in parts) > 1:
        return {"And": parts}
    return {"Tag": parts["Tags"][0]} if "Tags" in parts else parts


@st.composite
def moves(draw: st.DrawFn, *, past: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    by_date, days = not past and draw(st.booleans()), 0
    for name in draw(
        st.lists(st.sampled_from(WATERFALL), min_size=1, max_size=3, unique=True).map(
            lambda given: sorted(given, key=WATERFALL.index)
        )
    ):
        if by_date:
            days += draw(few)
            found.append({"Date": START + days * DAY, "StorageClass": name})
            continue
        days += draw(st.sampled_from([30, 0, 90] if not found else [90, 1]))
        found.append({"NoncurrentDays" if past else "Days": days, "StorageClass": name})
        if past and draw(st.booleans()):
            found[-1]["NewerNoncurrentVersions"] = draw(few)
    return found


ACTIONS: dict[str, st.SearchStrategy[Any]] = {
    "Expiration": st.one_of(
        few.map(lambda days: {"Days": days * 40}),
        few.map(lambda days: {"Days": days}),
        dates.map(lambda date: {"Date": date + 9 * DAY}),
        st.booleans().map(lambda on: {"ExpiredObjectDeleteMarker": on}),
    ),
    "NoncurrentVersionExpiration": st.builds(
        lambda days, kept: {"NoncurrentDays": days} | ({} if kept is None else {"NewerNoncurrentVersions": kept}),
        st.sampled_from([1, 2, 3, 50, 300]),
        st.none() | few,
    ),
    "Transitions": moves(past=False),
    "NoncurrentVersionTransitions": moves(past=True),
}


@st.composite
def configurations(draw: st.DrawFn) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 5))):
        status = "Disabled" if draw(st.integers(0, 9)) == 9 else "Enabled"
        one: dict[str, Any] = {"ID": str(number), "Status": status, "Filter": draw(filters())}
        for action in draw(st.lists(st.sampled_from(sorted(ACTIONS)), min_size=1, max_size=3, unique=True)):
            one[action] = draw(ACTIONS[action])
        rules.append(one)
    return rules


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """The versions of one key, the newest first."""
    gaps = draw(st.lists(st.integers(0, 40 * 3600), min_size=1, max_size=6))
    key = draw(st.sampled_from(["a/b", "a/b", "a", "b"]))
    made = [START + timedelta(seconds=seconds) for seconds in accumulate(gaps)]
    found: list[Version] = []
    for moment in reversed(made):
        marker = draw(st.integers(0, 3)) == 3
        given_tags = {} if marker else {tag["Key"]: tag["Value"] for tag in draw(st.lists(tags, max_size=2))}
        found.append(
            Version(key, 0 if marker else draw(sizes), moment, marker, draw(st.sampled_from(sorted(CLASSES))), given_tags)
        )
    return found


def may_be_put(one: dict[str, Any]) -> bool:
    try:
        judge_of(one)
    except ApiError:
        return False
    return True


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(configurations(), histories(), st.sampled_from([400, 200, 130, 60, 31, 9, 5, 3, 2, 1, 0]), st.booleans(), st.booleans())
def test_the_two_judges_agree(rules, history, days, versioned, small):
    rules = [one for one in rules if may_be_put(one)]
    judge = Judge([])
    if rules:
        judge = judge_of(*rules, minimum="varies_by_storage_class" if small else None)
    now = history[0].made + days * DAY
    for place, version in enumerate(history):
        since = None if place == 0 else ms(history[place - 1].made)
        seen = Facts(version.key, version.size, ms(version.made), version.marker, since, max(place - 1, 0), len(history) == 1)
        told = Told(version.storage_class, version.tags)
        expected = slow_judge(rules, history, place, now, versioned=versioned, small_to_archives=small)
        assert judged(judge, seen, now, told, versioned=versioned) == expected
