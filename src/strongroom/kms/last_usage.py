"""When a key was last used, as the KMS API tells it.

Never knows how that is found out, nor what a key was used for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms.access import Use, find
from strongroom.kms.key_use_last import LastUse, LastUses, NotAuthentic
from strongroom.kms.key_use_trail import event_id
from strongroom.kms.records import moment

if TYPE_CHECKING:
    from strongroom.kms.ring import KeyRing

LAST_USAGE: Final = Use("GetKeyLastUsage", "kms:GetKeyLastUsage")


class LastUsage:
    def __init__(self, ring: KeyRing, last_uses: LastUses) -> None:
        self._ring = ring
        self._last_uses = last_uses

    @operation("kms", "GetKeyLastUsage", "kms:GetKeyLastUsage", on="run")
    async def get_key_last_usage(self, call: Call) -> Answer:
        record = await find(self._ring, call, LAST_USAGE)
        try:
            use = await self._last_uses.find(record.name)
        except NotAuthentic:
            raise ApiError("KMSInternalException", "What is kept of the key's last use is not authentic.") from None
        since_ms = await self._last_uses.since_ms()
        tracked = call.now if since_ms is None else moment(max(since_ms, record.created_ms))
        output: dict[str, Any] = {
            "KeyId": record.name.key_id,
            "KeyLastUsage": {} if use is None else _shown(use),
            "TrackingStartDate": tracked,
            "KeyCreationDate": moment(record.created_ms),
        }
        return Answer(output)


def _shown(use: LastUse) -> dict[str, Any]:
    return {
        "Operation": use.operation,
        "Timestamp": moment(use.at_ms),
        "CloudTrailEventId": event_id(use.chain_id, use.number, use.place),
        "KmsRequestId": use.request_id,
    }
