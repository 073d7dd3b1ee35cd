"""Which action a bucket's lifecycle has in store for a version, an upload, and when. Pure: (rules, facts, today) -> action.

Class and tags of an object are sealed and dear to know, so they are asked for only where the answer hangs on them. Never knows rows,
clocks, or how an action is carried out. Sources: "Lifecycle configuration elements" and "How Amazon S3 handles conflicts in lifecycle
configurations" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from strongroom.s3.lifecycle_rules import ALL_128K, DAY_MS, LEAST_MOVED, Move, Rule, due_day
from strongroom.s3.storage_classes import ARCHIVES, PREFERENCE, may_move

Kind = Literal["expire", "remove", "remove-marker", "move"]


class Facts(NamedTuple):
    """What a rule looks at in a version, as far as it stands in clear."""

    object_key: str
    size: int
    modified_ms: int
    delete_marker: bool = False
    since_ms: int | None = None  # when a newer version took its place; None: it is the current one
    newer: int = 0  # noncurrent versions that are newer
    only: bool = False  # its key has no other version


@dataclass(frozen=True, slots=True)
class Told:
    """What is sealed."""

    storage_class: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Action:
    """expire: the current version goes, behind a delete marker where there is versioning · remove: a noncurrent version goes for good ·
    remove-marker: a delete marker that hides nothing goes · move: to another class.
    """

    kind: Kind
    rule_id: str
    storage_class: str = ""


Ask = Callable[[], Told]


class Judge:
    """The rules of one bucket, made ready. ``minimum``: what holds for small objects where a rule says nothing of sizes."""

    def __init__(self, rules: Iterable[Rule], minimum: str = ALL_128K) -> None:
        self._minimum = minimum
        self._by_prefix: dict[str, list[tuple[int, Rule]]] = {}
        for place, rule in enumerate(rules):
            self._by_prefix.setdefault(rule.prefix, []).append((place, rule))
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})
        every = [rule for found in self._by_prefix.values() for _, rule in found]
        self.aborts = any(rule.abort_days is not None for rule in every)
        self.looks_at_versions = any(_about_versions(rule) for rule in every)
        #: How many newer noncurrent versions any rule counts.
        self.counts = max((max(rule.past_kept, *(move.kept for move in rule.past_moves), 0) for rule in every), default=0)
        self._last: tuple[str, list[Rule]] = ("", [])
        self._last_known = False

    def rules_of(self, object_key: str) -> list[Rule]:
        """Those whose prefix the key has, in the order of the configuration. Remembered for one key: versions come in runs."""
        if self._last_known and self._last[0] == object_key:
            return self._last[1]
        found = [entry for length in self._lengths for entry in self._by_prefix.get(object_key[:length], ())]
        if len(self._lengths) > 1:
            found.sort(key=_place)
        rules = [rule for _, rule in found]
        self._last, self._last_known = (object_key, rules), True
        return rules

    def judge(self, facts: Facts, today: int, ask: Ask, *, versioned: bool) -> Action | None:
        """What is to be done with a version today, a number of days since the epoch: at most one thing.

        A deletion for good comes before a transition, and that before a delete marker. ``versioned``: versioning was ever set.
        """
        if facts.since_ms is not None:
            return self._judge_noncurrent(facts, facts.since_ms, today, ask)
        if facts.delete_marker:
            return self._judge_marker(facts, today)
        expired: Action | None = None
        moves: list[tuple[Rule, Move]] | None = None
        for rule in self.rules_of(facts.object_key):
            if not rule.above < facts.size < rule.below:
                continue
            if expired is None and _expires(rule, facts.modified_ms, today) and _has_tags(rule, ask):
                expired = Action("expire", rule.rule_id)
                if not versioned:
                    return expired
            for move in rule.moves:
                if _is_due(move, facts.modified_ms, today):
                    moves = [*(moves or ()), (rule, move)]
        return (self._move(facts, facts.modified_ms, moves, ask) if moves else None) or expired

    def _judge_noncurrent(self, facts: Facts, since_ms: int, today: int, ask: Ask) -> Action | None:
        moves: list[tuple[Rule, Move]] | None = None
        for rule in self.rules_of(facts.object_key):
            if not rule.above < facts.size < rule.below:
                continue
            days = rule.past_days
            if (
                days is not None
                and today >= due_day(since_ms, days)
                and facts.newer >= rule.past_kept
                and _object_has_tags(rule, facts, ask)
            ):
                return Action("remove", rule.rule_id)
            if not facts.delete_marker:
                for move in rule.past_moves:
                    if _is_due(move, since_ms, today) and facts.newer >= move.kept:
                        moves = [*(moves or ()), (rule, move)]
        return self._move(facts, since_ms, moves, ask) if moves else None

    def _judge_marker(self, facts: Facts, today: int) -> Action | None:
        """One that hides nothing any more goes at once by ExpiredObjectDeleteMarker, and at its age by an expiration."""
        if not facts.only:
            return None
        for rule in self.rules_of(facts.object_key):
            if rule.markers:
                return Action("remove-marker", rule.rule_id)
            if rule.above < 0 < rule.below and not rule.tags and _expires(rule, facts.modified_ms, today):
                return Action("remove-marker", rule.rule_id)
        return None

    def _move(self, facts: Facts, from_ms: int, due: list[tuple[Rule, Move]], ask: Ask) -> Action | None:
        """Of each rule the last transition that is due; of these the class that is preferred, if the object may go there."""
        wishes: dict[str, tuple[int, Rule, Move]] = {}
        for rule, move in due:
            if facts.size < LEAST_MOVED and not self._moves_small(rule, move):
                continue
            if not _has_tags(rule, ask):
                continue
            when = _day_of(move, from_ms)
            before = wishes.get(rule.rule_id)
            if before is None or (when, PREFERENCE[move.storage_class]) > (before[0], PREFERENCE[before[2].storage_class]):
                wishes[rule.rule_id] = (when, rule, move)
        if not wishes:
            return None
        held = ask().storage_class
        for _, rule, move in sorted(wishes.values(), key=lambda wish: -PREFERENCE[wish[2].storage_class]):
            if move.storage_class == held:
                return None
            if may_move(held, move.storage_class):
                return Action("move", rule.rule_id, move.storage_class)
        return None

    def _moves_small(self, rule: Rule, move: Move) -> bool:
        return rule.sized or (self._minimum != ALL_128K and move.storage_class in ARCHIVES)

    def expiry(self, object_key: str, size: int, modified_ms: int, ask: Ask) -> tuple[int, str] | None:
        """(day, rule id) of the first expiration of a current version; of several on one day, the first rule's."""
        found: tuple[int, str] | None = None
        for rule in self.rules_of(object_key):
            if not rule.above < size < rule.below:
                continue
            day = due_day(modified_ms, rule.expire_days) if rule.expire_days is not None else rule.expire_day
            if day is not None and (found is None or day < found[0]) and _has_tags(rule, ask):
                found = day, rule.rule_id
        return found

    def abort(self, object_key: str, initiated_ms: int) -> tuple[int, str] | None:
        """(day, rule id) on which an unfinished upload is aborted."""
        found: tuple[int, str] | None = None
        for rule in self.rules_of(object_key):
            if rule.abort_days is not None:
                day = due_day(initiated_ms, rule.abort_days)
                if found is None or day < found[0]:
                    found = day, rule.rule_id
        return found


def today_of(now_ms: int) -> int:
    return now_ms // DAY_MS


def _place(entry: tuple[int, Rule]) -> int:
    return entry[0]


def _about_versions(rule: Rule) -> bool:
    expires = rule.expire_days is not None or rule.expire_day is not None or rule.markers
    return expires or rule.past_days is not None or bool(rule.moves or rule.past_moves)


def _expires(rule: Rule, modified_ms: int, today: int) -> bool:
    if rule.expire_days is not None:
        return today >= due_day(modified_ms, rule.expire_days)
    return rule.expire_day is not None and today >= rule.expire_day


def _day_of(move: Move, from_ms: int) -> int:
    if move.days is not None:
        return due_day(from_ms, move.days)
    assert move.day is not None
    return move.day


def _is_due(move: Move, from_ms: int, today: int) -> bool:
    return today >= _day_of(move, from_ms)


def _has_tags(rule: Rule, ask: Ask) -> bool:
    if not rule.tags:
        return True
    tags = ask().tags
    return all(tags.get(key) == value for key, value in rule.tags)


def _object_has_tags(rule: Rule, facts: Facts, ask: Ask) -> bool:
    """A delete marker has no tags, so no rule about tags is for it."""
    return not rule.tags if facts.delete_marker else _has_tags(rule, ask)
