"""The rules of a bucket's lifecycle as they are kept and judged by. Pure: what a client may ask for is ``lifecycle_reading``'s.

Days are counted from the Unix epoch, in UTC: whatever is due falls due at a midnight. Never knows objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_MS: Final = 86_400_000
ENABLED: Final = "Enabled"
ALL_128K: Final = "all_storage_classes_128K"
VARIES: Final = "varies_by_storage_class"
LAST_DAY: Final = 2_932_896  # 31 December 9999: no date lies behind it
LEAST_MOVED: Final = 128 * 1024  # bytes of the smallest object that is moved where no rule says otherwise
_BEYOND: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Move:
    """A transition: to which class, and when. Exactly one of ``days`` and ``day`` is given."""

    storage_class: str
    days: int | None  # after the object was made, or became noncurrent
    day: int | None = None
    kept: int = 0  # newer noncurrent versions that stay where they are


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that is enabled."""

    rule_id: str
    prefix: str = ""
    above: int = -1  # sizes it is for are greater than this
    below: int = _BEYOND  # and less than this
    tags: tuple[tuple[str, str], ...] = ()
    expire_days: int | None = None
    expire_day: int | None = None
    markers: bool = False  # ExpiredObjectDeleteMarker
    moves: tuple[Move, ...] = ()
    past_days: int | None = None  # NoncurrentVersionExpiration
    past_kept: int = 0
    past_moves: tuple[Move, ...] = ()
    abort_days: int | None = None

    @property
    def sized(self) -> bool:
        """Says itself which sizes it is for, so that the least size of a transition does not hold."""
        return self.above >= 0 or self.below < _BEYOND


def due_day(from_ms: int, days: int) -> int:
    """The midnight behind the day that comes so many days after a moment."""
    return from_ms // DAY_MS + days + 1


def day_of(text: str) -> int:
    """Of a date as it is kept."""
    return int(datetime.fromisoformat(text).timestamp()) // 86_400


def moment_of(day: int) -> datetime:
    return datetime.fromtimestamp(day * 86_400, UTC)


def enabled_rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The enabled rules of a document that ``lifecycle_reading`` has made."""
    return tuple(_rule(given) for given in document["rules"] if given["Status"] == ENABLED)


def _rule(given: Mapping[str, Any]) -> Rule:
    chosen: Mapping[str, Any] = given.get("Filter") or {}
    chosen = chosen.get("And") or chosen
    tags: list[Mapping[str, str]] = chosen.get("Tags") or ([chosen["Tag"]] if chosen.get("Tag") else [])
    expiration: Mapping[str, Any] = given.get("Expiration") or {}
    past: Mapping[str, Any] = given.get("NoncurrentVersionExpiration") or {}
    abort: Mapping[str, Any] = given.get("AbortIncompleteMultipartUpload") or {}
    date = expiration.get("Date")
    return Rule(
        given["ID"],
        given.get("Prefix") or chosen.get("Prefix") or "",
        chosen.get("ObjectSizeGreaterThan", -1),
        chosen.get("ObjectSizeLessThan", _BEYOND),
        tuple((tag["Key"], tag["Value"]) for tag in tags),
        expiration.get("Days"),
        None if date is None else day_of(date),
        expiration.get("ExpiredObjectDeleteMarker", False),
        tuple(_move(each) for each in given.get("Transitions") or ()),
        past.get("NoncurrentDays"),
        past.get("NewerNoncurrentVersions") or 0,
        tuple(_move(each) for each in given.get("NoncurrentVersionTransitions") or ()),
        abort.get("DaysAfterInitiation"),
    )


def _move(given: Mapping[str, Any]) -> Move:
    date = given.get("Date")
    return Move(
        given["StorageClass"],
        given.get("Days", given.get("NoncurrentDays")),
        None if date is None else day_of(date),
        given.get("NewerNoncurrentVersions") or 0,
    )
