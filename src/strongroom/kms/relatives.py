"""The related keys of a multi-Region key: one record in each Region, with the same id, material and kind, changed together.

Never knows who asks. All Regions live in one catalog, so what is shared is shared in one transaction and never out of step.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from strongroom.kms.notices import announce
from strongroom.kms.records import KEY_KIND, KeyRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.store.contract import Transaction


def awaits_replicas(record: KeyRecord) -> bool:
    """A primary key outlives its replicas: its own deletion waits until the last of them is destroyed."""
    return record.primary == record.name.region and len(record.regions) > 1


def others(transaction: Transaction, record: KeyRecord) -> list[KeyRecord]:
    """The records of the other Regions; none for a key of one Region."""
    names = [record.name.within(region) for region in record.regions if region != record.name.region]
    found = [(name, transaction.document(name.scope, KEY_KIND)) for name in names]
    return [KeyRecord.read(name, value) for name, value in found if value is not None]


def share(transaction: Transaction, record: KeyRecord, change: Callable[[KeyRecord], KeyRecord]) -> None:
    """Make the same change to the records of all other Regions."""
    for other in others(transaction, record):
        transaction.set_document(other.name.scope, KEY_KIND, change(other).document())


def leave(transaction: Transaction, destroyed: KeyRecord, now_ms: int) -> None:
    """A record was destroyed: the others lose sight of it, and a primary key that waited for the last replica begins its window."""

    def without(record: KeyRecord) -> KeyRecord:
        regions = tuple(region for region in record.regions if region != destroyed.name.region)
        if record.waiting_days is None or len(regions) > 1:
            return replace(record, regions=regions)
        announce(transaction, record.name)
        deletion_ms = now_ms + timedelta(days=record.waiting_days) // timedelta(milliseconds=1)
        return replace(record, regions=regions, state="PendingDeletion", deletion_ms=deletion_ms, waiting_days=None)

    share(transaction, destroyed, without)
