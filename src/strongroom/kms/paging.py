"""Pages of a list and the markers between them: opaque to clients, authenticated, and good only for the list they came from.

Never knows what is listed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.kms import refusals
from strongroom.kms.records import binding
from strongroom.seal.wrap import derive

if TYPE_CHECKING:
    from strongroom.api.operation import Call

_MAC_SIZE: Final = 16


class Markers:
    """HMAC-SHA256, cut to 128 bits, over list, account, Region, filter and place, under a key of its own."""

    def __init__(self, kms_key: bytes) -> None:
        self._key = derive(kms_key, "strongroom/kms/markers")

    def write(self, call: Call, place: str, *, within: str = "") -> str:
        """The marker behind ``place`` in the list of this call; ``within`` is what the list is narrowed to."""
        return base64.urlsafe_b64encode(self._mac(call, place, within) + place.encode()).decode()

    def read(self, call: Call, *, within: str = "") -> str:
        """The place to go on from, "" for the start. Raises ApiError InvalidMarkerException."""
        marker = call.input.get("Marker")
        if marker is None:
            return ""
        try:
            data = base64.b64decode(marker.encode(), altchars=b"-_", validate=True)
            place = data[_MAC_SIZE:].decode()
        except (binascii.Error, UnicodeError):
            raise ApiError("InvalidMarkerException", "The marker is not valid.") from None
        if not hmac.compare_digest(data[:_MAC_SIZE], self._mac(call, place, within)):
            raise ApiError("InvalidMarkerException", "The marker is not valid.")
        return place

    def _mac(self, call: Call, place: str, within: str) -> bytes:
        message = binding(call.operation.name, call.caller.account_id, call.region, within, place)
        return hmac.digest(self._key, message, "sha256")[:_MAC_SIZE]


def limit(call: Call, default: int, most: int) -> int:
    """The page length asked for. Raises ApiError ValidationException above ``most``."""
    asked: int | None = call.input.get("Limit")
    if asked is None:
        return default
    if asked > most:
        raise refusals.out_of_bounds(asked, "limit", f"less than or equal to {most}")
    return asked
