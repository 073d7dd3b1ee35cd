"""When a key gets new material, and what a record looks like after it did. Pure.

Never knows how material is made, or who asks. Old material stays in the record: it opens what it has sealed until the key is
destroyed. Times are milliseconds since the Unix epoch. Source: "Rotate AWS KMS keys" in the KMS Developer Guide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from strongroom.kms.records import EXTERNAL, SYMMETRIC, KeyRecord, Material, Rotated, Rotation

YEAR: Final = 365  # days: of a key whose owner names no period, and of each key that a service manages
DAY_MS: Final = 24 * 3600 * 1000


def first_rotation(now_ms: int, period_days: int = YEAR) -> Rotation:
    """Switched on now: the first rotation is one period away."""
    return Rotation(period_days, now_ms + period_days * DAY_MS)


def switched_on(record: KeyRecord, now_ms: int, period_days: int) -> KeyRecord:
    """Asking again for what is on already moves no date; another period counts from now on."""
    if record.rotation is not None and record.rotation.period_days == period_days:
        return record
    return replace(record, rotation=first_rotation(now_ms, period_days))


def switched_off(record: KeyRecord) -> KeyRecord:
    return replace(record, rotation=None)


def is_due(record: KeyRecord, now_ms: int) -> bool:
    """Whether its automatic rotation is to be done now: only enabled keys are rotated."""
    if record.replica:  # it gets what its primary key gets
        return False
    return record.state == "Enabled" and rotates(record) and record.rotation is not None and record.rotation.next_ms <= now_ms


def rotates(record: KeyRecord) -> bool:
    """Whether this kind of key has automatic rotation at all."""
    return record.spec == SYMMETRIC and record.origin != EXTERNAL


def rotated(record: KeyRecord, material: Material, how: Rotated, now_ms: int) -> KeyRecord:
    """With new material that seals from now on. A rotation on demand leaves the dates of the automatic one alone."""
    fresh = replace(material, rotated=how, created_ms=now_ms)
    changed = replace(record, current=fresh.material_id, materials=(*record.materials, fresh))
    if how == "ON_DEMAND" or record.rotation is None:
        return changed
    return replace(changed, rotation=_next(record.rotation, now_ms))


def rotated_to_pending(record: KeyRecord, material_id: str, now_ms: int) -> KeyRecord:
    """To imported material that has waited for it."""
    materials = tuple(
        replace(each, pending=False, rotated="ON_DEMAND", created_ms=now_ms) if each.material_id == material_id else each
        for each in record.materials
    )
    return replace(record, current=material_id, materials=materials)


def _next(rotation: Rotation, now_ms: int) -> Rotation:
    """One period behind its date; behind today for a key that was late by a day or more, since it was disabled then."""
    late = now_ms - rotation.next_ms >= DAY_MS
    since = now_ms if late else rotation.next_ms
    return replace(rotation, next_ms=since + rotation.period_days * DAY_MS)


def on_demand_count(record: KeyRecord) -> int:
    return sum(material.rotated == "ON_DEMAND" for material in record.materials)
