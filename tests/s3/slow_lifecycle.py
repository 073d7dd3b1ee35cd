"""The lifecycle judged a second time, slowly and literally, from the configuration as a client writes it and with real datetimes.

Shares no code with ``strongroom.s3.lifecycle_judging``. Written from the S3 user guide's pages on lifecycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

EXPENSIVE_FIRST = ["STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE"]
DOWN = {
    "STANDARD": {"STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "REDUCED_REDUNDANCY": {"STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "STANDARD_IA": {"INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "INTELLIGENT_TIERING": {"ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"},
    "ONEZONE_IA": {"GLACIER", "DEEP_ARCHIVE"},
    "GLACIER_IR": {"GLACIER", "DEEP_ARCHIVE"},
    "GLACIER": {"DEEP_ARCHIVE"},
    "DEEP_ARCHIVE": set(),
}


@dataclass
class Version:
    key: str
    size: int
    made: datetime
    marker: bool = False
    storage_class: str = "STANDARD"
    tags: Mapping[str, str] = field(default_factory=dict)


def at_midnight(moment: datetime, days: int) -> datetime:
    """So many days after a moment, rounded up to the next day's midnight."""
    later = moment + timedelta(days=days)
    return datetime(later.year, later.month, later.day, tzinfo=UTC) + timedelta(days=1)


def predicates(rule: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if "Prefix" in rule:
        return [("Prefix", rule["Prefix"])]
    found: list[tuple[str, Any]] = []
    for name, value in rule["Filter"].items():
        if name != "And":
            found.append((name, value))
            continue
        for inner, given in value.items():
            found += [("Tag", tag) for tag in given] if inner == "Tags" else [(inner, given)]
    return found


def is_for(rule: Mapping[str, Any], version: Version) -> bool:
    if rule["Status"] != "Enabled":
        return False
    for name, value in predicates(rule):
        if name == "Prefix" and not version.key.startswith(value):
            return False
        if name == "Tag" and (version.marker or version.tags.get(value["Key"]) != value["Value"]):
            return False
        if name == "ObjectSizeGreaterThan" and not version.size > value:
            return False
        if name == "ObjectSizeLessThan" and not version.size < value:
            return False
    return True


def expires_at(rule: Mapping[str, Any], version: Version) -> datetime | None:
    expiration = rule.get("Expiration", {})
    if "Days" in expiration:
        return at_midnight(version.made, expiration["Days"])
    return expiration.get("Date")


def slow_judge(
    rules: list[Mapping[str, Any]],
    newest_first: list[Version],
    place: int,
    now: datetime,
    *,
    versioned: bool,
    small_to_archives: bool = False,
) -> tuple[str, str, str] | None:
    """(kind, rule id, class) for one version of a key, of which all versions are given."""
    version = newest_first[place]
    mine = [rule for rule in rules if is_for(rule, version)]
    wishes: list[tuple[str, str]] = []
    if place == 0 and version.marker:
        if len(newest_first) > 1:
            return None
        for rule in mine:
            at = expires_at(rule, version)
            if rule.get("Expiration", {}).get("ExpiredObjectDeleteMarker") or (at is not None and at <= now):
                return "remove-marker", rule["ID"], ""
        return None
    kind, since = ("Transitions", version.made) if place == 0 else ("NoncurrentVersionTransitions", newest_first[place - 1].made)
    if place > 0:
        for rule in mine:
            expiration = rule.get("NoncurrentVersionExpiration")
            if expiration is None or at_midnight(since, expiration["NoncurrentDays"]) > now:
                continue
            if place - 1 >= expiration.get("NewerNoncurrentVersions", 0):
                return "remove", rule["ID"], ""
        if version.marker:
            return None
    expired = next((rule["ID"] for rule in mine if place == 0 and (expires_at(rule, version) or now + timedelta(1)) <= now), None)
    if expired is not None and not versioned:
        return "expire", expired, ""
    for rule in mine:
        due: list[tuple[datetime, int, str]] = []
        for move in rule.get(kind, []):
            at = move["Date"] if "Date" in move else at_midnight(since, move.get("Days", move.get("NoncurrentDays")))
            if at > now or (place > 0 and place - 1 < move.get("NewerNoncurrentVersions", 0)):
                continue
            own_sizes = any(name.startswith("ObjectSize") for name, _ in predicates(rule))
            archive = move["StorageClass"] in {"GLACIER", "DEEP_ARCHIVE"}
            if version.size < 131_072 and not own_sizes and not (small_to_archives and archive):
                continue
            due.append((at, EXPENSIVE_FIRST.index(move["StorageClass"]), move["StorageClass"]))
        if due:
            wishes.append((max(due)[2], rule["ID"]))
    wishes.sort(key=lambda wish: -EXPENSIVE_FIRST.index(wish[0]))
    for storage_class, rule_id in wishes:
        if storage_class == version.storage_class:
            break
        if storage_class in DOWN[version.storage_class]:
            return "move", rule_id, storage_class
    return None if expired is None else ("expire", expired, "")
