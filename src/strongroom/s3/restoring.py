"""RestoreObject: a copy of an archived object is made readable for some days. Nothing but the version's record changes.

Never knows HTTP, nor what keeps archived bytes back: that is ``archives``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.archives import restore
from strongroom.s3.record_changes import change_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.metadata import ObjectMeta
    from strongroom.s3.rooms import Rooms

#: Members of requests that select from an archive instead of restoring it.
_SELECTING: Final = ("Type", "SelectParameters", "OutputLocation")


class Restoring:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "RestoreObject", "s3:RestoreObject", on="object")
    async def restore_object(self, call: Call) -> Answer:
        """202 when a copy has been asked for, 200 when there is one and it stays for other days than before."""
        request: Mapping[str, Any] = call.input.get("RestoreRequest") or {}
        if any(request.get(name) is not None for name in _SELECTING):
            raise ApiError("NotImplemented", "Selecting from archived objects is not implemented.")
        parameters: Mapping[str, str] = request.get("GlacierJobParameters") or {}
        tier: str | None = parameters.get("Tier") or request.get("Tier")
        bucket = await self._rooms.buckets.find(call.input["Bucket"])
        renewed = False

        def change(meta: ObjectMeta) -> None:
            nonlocal renewed
            renewed = restore(meta, request.get("Days"), tier, call.now, self._rooms.settings.restore_seconds)

        await change_record(call, self._rooms, bucket, change, "POST")
        return Answer(status=200 if renewed else 202)
