"""Archived objects and their restored copies: what may be read when, and what answers say of it. Pure.

An archive class is a label: the bytes are where they were, and it is this rule that keeps them back until a restore has been asked for.
A copy comes and goes by the time alone, so nothing has to be done when it does. Never knows HTTP, rows or who asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from strongroom.api.errors import ApiError
from strongroom.api.scalars import http_date
from strongroom.s3.lifecycle_rules import DAY_MS, LAST_DAY, due_day, moment_of
from strongroom.s3.storage_classes import ARCHIVES, INTELLIGENT_TIERING
from strongroom.s3.versions import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.s3.metadata import ObjectMeta

State = Literal["", "archived", "ongoing", "restored"]
EXPEDITED: Final = "Expedited"
_RESTORED: Final = "RestoreStatus"


def state_of(meta: ObjectMeta, now: datetime) -> State:
    """An empty text where the class is no archive's."""
    if meta.storage_class not in ARCHIVES:
        return ""
    if meta.restored:
        since, until = meta.restored
        now_ms = milliseconds(now)
        if now_ms < since:
            return "ongoing"
        if now_ms < until:
            return "restored"
    return "archived"


def check_readable(meta: ObjectMeta, now: datetime) -> None:
    """Raises ApiError InvalidObjectState."""
    if state_of(meta, now) in {"archived", "ongoing"}:
        raise ApiError("InvalidObjectState", StorageClass=meta.storage_class)


def check_copied(meta: ObjectMeta, now: datetime) -> None:
    """As the source of a copy. Raises ApiError InvalidObjectState."""
    if state_of(meta, now) in {"archived", "ongoing"}:
        text = "Operation is not valid for the source object's storage class"
        raise ApiError("InvalidObjectState", text, StorageClass=meta.storage_class)


def restore_output(meta: ObjectMeta, now: datetime) -> dict[str, str]:
    """The member Restore of GetObject and HeadObject; nothing of an object for which there is no copy."""
    state = state_of(meta, now)
    if state == "ongoing":
        return {"Restore": 'ongoing-request="true"'}
    if state == "restored":
        return {"Restore": f'ongoing-request="false", expiry-date="{http_date(_expiry(meta))}"'}
    return {}


def wants_status(given: Mapping[str, Any]) -> bool:
    """Whether a listing was asked for the state of restores."""
    return _RESTORED in (given.get("OptionalObjectAttributes") or ())


def listed_status(meta: ObjectMeta, now: datetime) -> dict[str, Any]:
    """The member RestoreStatus of an entry."""
    state = state_of(meta, now)
    if state == "ongoing":
        return {_RESTORED: {"IsRestoreInProgress": True}}
    if state == "restored":
        return {_RESTORED: {"IsRestoreInProgress": False, "RestoreExpiryDate": _expiry(meta)}}
    return {}


def restore(meta: ObjectMeta, days: int | None, tier: str | None, now: datetime, seconds: int) -> bool:
    """Have a copy ready in so many ``seconds``, for ``days`` from then on; of one that is ready, only its end changes. True for that.

    Raises ApiError InvalidObjectState, ObjectAlreadyInActiveTierError, RestoreAlreadyInProgress, MalformedXML, InvalidArgument.
    """
    state = state_of(meta, now)
    if meta.storage_class == INTELLIGENT_TIERING:  # its archive tiers do not exist here
        raise ApiError("ObjectAlreadyInActiveTierError")
    if not state:
        text = "Restore is not allowed for the object's current storage class"
        raise ApiError("InvalidObjectState", text, StorageClass=meta.storage_class)
    if days is None:
        raise ApiError("MalformedXML")
    if tier == EXPEDITED and meta.storage_class == "DEEP_ARCHIVE":
        text = "Retrieval option is not supported by this storage class"
        raise ApiError("InvalidArgument", text, ArgumentName="Tier", ArgumentValue=tier)
    if state == "ongoing":
        raise ApiError("RestoreAlreadyInProgress")
    now_ms = milliseconds(now)
    since = meta.restored[0] if state == "restored" else now_ms + seconds * 1000
    last = due_day(max(since, now_ms), days)
    if days < 1 or last > LAST_DAY:
        text = "'Days' of a restore must be a positive integer, and end within the calendar"
        raise ApiError("InvalidArgument", text, ArgumentName="Days", ArgumentValue=str(days))
    meta.restored = [since, last * DAY_MS]
    return state == "restored"


def _expiry(meta: ObjectMeta) -> datetime:
    return moment_of(meta.restored[1] // DAY_MS)
