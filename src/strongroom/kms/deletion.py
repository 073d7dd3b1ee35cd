"""The end of a key: its deletion is scheduled, can be cancelled, and is carried out when the window is over.

Never knows what was encrypted under it. From its deletion date on a key is gone by the clock; it is destroyed when upkeep asks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, change
from strongroom.kms.grant_records import GRANT_KIND, GrantRecord, grants_scope
from strongroom.kms.grant_records import remove as remove_grant
from strongroom.kms.key_use_last import LAST_KIND
from strongroom.kms.names import AliasName, KeyName
from strongroom.kms.records import ALIAS_KIND, KEY_KIND, TOMBSTONE_KIND, KeyRecord, milliseconds, moment
from strongroom.kms.relatives import awaits_replicas, leave

if TYPE_CHECKING:
    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

SCHEDULE: Final = Use("ScheduleKeyDeletion", "kms:ScheduleKeyDeletion")
CANCEL: Final = Use("CancelKeyDeletion", "kms:CancelKeyDeletion")
SHORTEST: Final = 7  # days
LONGEST: Final = 30
_BATCH: Final = 500


class Deletion:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @operation("kms", "ScheduleKeyDeletion", "kms:ScheduleKeyDeletion", on="run")
    async def schedule_key_deletion(self, call: Call) -> Answer:
        asked: int | None = call.input.get("PendingWindowInDays")
        days = LONGEST if asked is None else asked
        if days < SHORTEST:
            raise refusals.out_of_bounds(days, "pendingWindowInDays", f"greater than or equal to {SHORTEST}")
        if days > LONGEST:
            raise refusals.out_of_bounds(days, "pendingWindowInDays", f"less than or equal to {LONGEST}")
        deletion_ms = milliseconds(call.now + timedelta(days=days))
        record = await change(self._ring, call, SCHEDULE, lambda record: _scheduled(record, days, deletion_ms))
        output: dict[str, Any] = {"KeyId": record.name.arn, "KeyState": record.state, "PendingWindowInDays": days}
        if record.deletion_ms is not None:
            output["DeletionDate"] = moment(record.deletion_ms)
        return Answer(output)

    @operation("kms", "CancelKeyDeletion", "kms:CancelKeyDeletion", on="run")
    async def cancel_key_deletion(self, call: Call) -> Answer:
        record = await change(
            self._ring, call, CANCEL, lambda record: replace(record, state="Disabled", deletion_ms=None, waiting_days=None)
        )
        return Answer({"KeyId": record.name.arn})

    async def destroy_due(self) -> int:
        """Destroy the keys whose deletion date is past: material, aliases and grants go, a tombstone stays. How many there were."""
        now_ms = self._ring.now_ms()
        place, destroyed = "", 0
        while rows := await self._ring.catalog.documents(KEY_KIND, prefix="kms/", after=place, limit=_BATCH):
            place = rows[-1][0]
            for scope, value in rows:
                name = KeyName(*scope.split("/")[1:4])
                if KeyRecord.read(name, value).gone(now_ms):
                    destroyed += await self.destroy(name, now_ms)
        return destroyed

    async def destroy(self, name: KeyName, now_ms: int) -> int:
        """Destroy one key, if it exists and its deletion date is past. How many that were."""
        while await self._ring.catalog.write(partial(_remove_grants, name=name, now_ms=now_ms)):
            pass

        def work(transaction: Transaction) -> int:
            value = transaction.document(name.scope, KEY_KIND)
            if value is None:
                return 0
            record = KeyRecord.read(name, value)
            if not record.gone(now_ms):
                return 0
            for alias in record.aliases:
                _remove_alias(transaction, AliasName(name.account_id, name.region, alias), name)
            leave(transaction, record, now_ms)
            transaction.set_document(name.scope, KEY_KIND, None)
            transaction.note(name.scope, LAST_KIND, None)
            transaction.set_document(name.scope, TOMBSTONE_KIND, {"destroyed_ms": now_ms})
            return 1

        return await self._ring.catalog.write(work)


def _scheduled(record: KeyRecord, days: int, deletion_ms: int) -> KeyRecord:
    """The window begins now; that of a primary key with replicas when the last of them is destroyed."""
    if awaits_replicas(record):
        return replace(record, state="PendingReplicaDeletion", waiting_days=days)
    return replace(record, state="PendingDeletion", deletion_ms=deletion_ms)


def _remove_grants(transaction: Transaction, *, name: KeyName, now_ms: int) -> int:
    """Some of the grants on a key that is gone by the clock, so that no new ones come. How many."""
    value = transaction.document(name.scope, KEY_KIND)
    if value is None or not KeyRecord.read(name, value).gone(now_ms):
        return 0
    prefix = grants_scope(name)
    rows = transaction.documents(GRANT_KIND, prefix=prefix, limit=_BATCH)
    for scope, document in rows:
        remove_grant(transaction, GrantRecord.read(name, scope.removeprefix(prefix), document))
    return len(rows)


def _remove_alias(transaction: Transaction, alias: AliasName, name: KeyName) -> None:
    """Unless it was taken over by another key after this one was gone by the clock."""
    value = transaction.document(alias.scope, ALIAS_KIND)
    if value is not None and value["key_id"] == name.key_id:
        transaction.set_document(alias.scope, ALIAS_KIND, None)
