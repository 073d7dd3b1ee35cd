"""The rules of object lock: what protects a version, until when, and who may change that. Pure: the clock is an argument.

Never knows rows, buckets or rights: whether a caller may bypass governance is asked elsewhere. Sources: "Locking objects with Object Lock"
in the S3 user guide, the reference pages of its operations, facts E11; texts as AWS answers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from strongroom.api.errors import ApiError

GOVERNANCE: Final = "GOVERNANCE"
COMPLIANCE: Final = "COMPLIANCE"
MODES: Final = frozenset({GOVERNANCE, COMPLIANCE})
ON: Final = "ON"
HOLDS: Final = frozenset({ON, "OFF"})
MOST_DAYS: Final = 36_500
MOST_YEARS: Final = 100
_DAY: Final = timedelta(days=1)
_MODE: Final = "x-amz-object-lock-mode"
_UNTIL: Final = "x-amz-object-lock-retain-until-date"
_HOLD: Final = "x-amz-object-lock-legal-hold"
_EVENT_HOLDS: Final = {
    "ObjectLockEventHold": "x-amz-object-lock-event-hold",
    "ObjectLockEventHoldDurationDays": "x-amz-object-lock-event-hold-duration-days",
    "ObjectLockEventHoldDurationYears": "x-amz-object-lock-event-hold-duration-years",
}
#: The members by which a write asks for a lock.
OF_LOCKS: Final = frozenset({"ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus", *_EVENT_HOLDS})


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """What is written beside a version. A retention that has ended is kept and shown, and protects no more."""

    mode: str = ""  # of the retention; "" for none
    until_ms: int = 0
    hold: str = ""  # "" when there never was a legal hold

    def retained(self, now_ms: int) -> bool:
        return bool(self.mode) and now_ms < self.until_ms

    def protects(self, now_ms: int) -> bool:
        """From every change, for whoever bypasses nothing."""
        return self.hold == ON or self.retained(now_ms)

    def check_removal(self, now_ms: int, *, bypass: bool) -> None:
        """Raises ApiError AccessDenied. ``bypass``: of governance, by somebody who may; it opens neither compliance nor a legal hold."""
        if self.hold == ON or (self.retained(now_ms) and not (bypass and self.mode == GOVERNANCE)):
            raise protected()

    def retained_anew(self, mode: str, until_ms: int, now_ms: int, *, bypass: bool) -> ObjectLock:
        """With another retention, "" and 0 for none. What is retained may be retained for longer; anything else takes a bypass, and
        compliance has none. Raises ApiError AccessDenied.
        """
        longer = mode == self.mode and until_ms >= self.until_ms
        if self.retained(now_ms) and not longer and not (bypass and self.mode == GOVERNANCE):
            raise protected()
        return replace(self, mode=mode, until_ms=until_ms)

    def held(self, hold: str) -> ObjectLock:
        """With a legal hold "ON" or "OFF", which is no retention and knows no bypass."""
        return replace(self, hold=hold)

    def pack(self) -> list[str | int]:
        return [self.mode, self.until_ms, self.hold]


UNLOCKED: Final = ObjectLock()


@dataclass(frozen=True, slots=True)
class LockRule:
    """That a bucket has object lock, and what its new versions get unless their write says otherwise."""

    mode: str = ""  # "" for no default
    days: int = 0  # either these
    years: int = 0  # or these

    def apply(self, lock: ObjectLock, now_ms: int) -> ObjectLock:
        if lock.mode or not self.mode:
            return lock
        return replace(lock, mode=self.mode, until_ms=self._until(now_ms))

    def _until(self, now_ms: int) -> int:
        if self.days:
            return now_ms + self.days * _DAY // timedelta(milliseconds=1)
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        day = 28 if (now.month, now.day) == (2, 29) and not _is_leap(now.year + self.years) else now.day
        years = now.replace(year=now.year + self.years, day=day) - now
        return now_ms + years // timedelta(milliseconds=1)

    def to_document(self) -> dict[str, Any]:
        return {"mode": self.mode, "days": self.days, "years": self.years}

    def shown(self) -> dict[str, Any]:
        """An ObjectLockConfiguration."""
        configuration: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
        if self.mode:
            period = {"Days": self.days} if self.days else {"Years": self.years}
            configuration["Rule"] = {"DefaultRetention": {"Mode": self.mode, **period}}
        return configuration


def stored_rule(document: Mapping[str, Any] | None) -> LockRule | None:
    return None if document is None else LockRule(**document)


def protected() -> ApiError:
    return ApiError("AccessDenied", "Access Denied because object protected by object lock.")


def read_rule(configuration: Mapping[str, Any]) -> LockRule:
    """Raises ApiError MalformedXML, InvalidArgument, NotImplemented."""
    if configuration.get("ObjectLockEnabled") != "Enabled":
        raise ApiError("MalformedXML")
    rule: Mapping[str, Any] | None = configuration.get("Rule")
    if rule is None:
        return LockRule()
    default: Mapping[str, Any] = rule.get("DefaultRetention") or {}
    if default.get("DefaultEventHold") is not None:
        raise _no_event_holds("DefaultEventHold")
    mode: str | None = default.get("Mode")
    days: int | None = default.get("Days")
    years: int | None = default.get("Years")
    name, given, most = ("Days", days, MOST_DAYS) if years is None else ("Years", years, MOST_YEARS)
    if mode is None or mode not in MODES or given is None or (days is None) is (years is None):
        raise ApiError("MalformedXML")
    if given < 1:
        raise ApiError("InvalidArgument", "Default retention period must be a positive integer value.", ArgumentName=name)
    if given > most:
        raise ApiError("InvalidArgument", "Default retention period too large.", ArgumentName=name)
    return LockRule(mode, days or 0, years or 0)


def requested_lock(given: Mapping[str, Any], headers: Mapping[str, str], now_ms: int) -> ObjectLock:
    """What the headers of a write ask for. Raises ApiError InvalidArgument, NotImplemented."""
    for member, header in _EVENT_HOLDS.items():
        if given.get(member) is not None:
            raise ApiError("NotImplemented", Header=header)
    mode: str | None = given.get("ObjectLockMode")
    until: datetime | None = given.get("ObjectLockRetainUntilDate")
    hold: str | None = given.get("ObjectLockLegalHoldStatus")
    if mode is not None and mode not in MODES:
        raise ApiError("InvalidArgument", "Unknown wormMode directive.", ArgumentName=_MODE, ArgumentValue=mode)
    if hold is not None and hold not in HOLDS:
        text = "Legal Hold must be either of 'ON' or 'OFF'"
        raise ApiError("InvalidArgument", text, ArgumentName=_HOLD, ArgumentValue=hold)
    if (mode is None) is not (until is None):
        missing = _MODE if mode is None else _UNTIL
        raise ApiError("InvalidArgument", f"{_UNTIL} and {_MODE} must both be supplied", ArgumentName=missing)
    if mode is None or until is None:
        return ObjectLock(hold=hold or "")
    return ObjectLock(mode, _future(until, now_ms, headers.get(_UNTIL)), hold or "")


def read_retention(retention: Mapping[str, Any] | None, now_ms: int) -> tuple[str, int]:
    """Mode and end of a Retention, "" and 0 of an empty one. Raises ApiError MalformedXML, InvalidArgument, NotImplemented."""
    if retention is None:
        raise ApiError("MalformedXML")
    for member in ("EventHold", "EventHoldDuration"):
        if retention.get(member) is not None:
            raise _no_event_holds(member)
    mode: str | None = retention.get("Mode")
    until: datetime | None = retention.get("RetainUntilDate")
    if mode is None and until is None:
        return "", 0
    if mode is None or until is None or mode not in MODES:
        raise ApiError("MalformedXML")
    return mode, _future(until, now_ms)


def shown_until(lock: ObjectLock) -> datetime:
    return datetime.fromtimestamp(lock.until_ms / 1000, UTC)


def _future(until: datetime, now_ms: int, written: str | None = None) -> int:
    until_ms = (until - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if until_ms <= now_ms:
        value = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if written is None else written
        text = "The retain until date must be in the future!"
        raise ApiError("InvalidArgument", text, ArgumentName=_UNTIL, ArgumentValue=value)
    return until_ms


def _no_event_holds(element: str) -> ApiError:
    return ApiError("NotImplemented", f"Event holds are not implemented: {element}.")


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
