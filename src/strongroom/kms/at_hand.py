"""Shared keys that a caller may use without asking again: all was judged, and the answer could be no other.

That holds for one caller, one way of naming the key, one Region and one encryption context, at one generation of the catalog (which any
change of a right, a grant, a user or a key raises on every worker), and until the moment when the shared key's life ends or the KMS key
changes by itself. Every use is told to the observer, or does not happen. Never judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.kms import shared_keys
from strongroom.kms.key_use import no_room

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from strongroom.api.operation import Call, Caller
    from strongroom.kms.key_use import Alike
    from strongroom.kms.ring import KeyRing
    from strongroom.kms.shared_keys import Kept, KmsDataKey
    from strongroom.seal.wrap import Kek

_REMEMBERED: Final = 8192  # beyond that the oldest goes


@dataclass(slots=True, eq=False)
class AtHand:
    """``alike``: what all its uses are recorded with."""

    kept: Kept = field(repr=False)
    kek: bytes | Kek = field(repr=False)  # of ``kept``
    caller: Caller  # this very one: another that is the same to the eye may have other rights
    region: str
    context: Mapping[str, str]
    generation: int
    since: datetime
    until: datetime
    alike: Alike


class KeysAtHand:
    """One per worker. Contexts are told apart by identity where new keys are made: whoever makes one anew for each use is not served."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring  # whose observer is told
        self._generation = ring.catalog.generation
        self._found: dict[tuple[str, int, int] | tuple[bytes, int], AtHand] = {}

    def make(self, call: Call, named: str, region: str, context: Mapping[str, str], resource: str) -> KmsDataKey | None:
        """What new data keys are made with, for ``resource``; None: not at hand. ``named``: how the request names the KMS key.

        Raises ApiError ThrottlingException.
        """
        found = self._found.get((named, id(context), id(call.caller)))
        if found is None or found.kept.uses >= shared_keys.MOST_USES or not self._serves(found, call, region, context):
            return None
        found.kept.uses += 1
        if not self._ring.observer.served(found.alike, call.now, resource, "", call.request_id, call.source_ip):
            raise no_room()
        return found.kept.key

    def open(
        self, call: Call, wrapped: bytes, region: str, context: Mapping[str, str], resource: str, version: str
    ) -> bytes | Kek | None:
        """What opens what was made with ``wrapped``, in the same way."""
        found = self._found.get((wrapped, id(call.caller)))
        if found is None or not self._serves(found, call, region, context):
            return None
        if not self._ring.observer.served(found.alike, call.now, resource, version, call.request_id, call.source_ip):
            raise no_room()
        return found.kek

    def _serves(self, found: AtHand, call: Call, region: str, context: Mapping[str, str]) -> bool:
        return (
            found.generation == self._generation()
            and found.caller is call.caller
            and (found.context is context or found.context == context)
            and found.region == region
            and found.since <= call.now < found.until  # a clock that was set back does not lengthen a life
        )

    def remember_to_make(self, named: str, fresh: AtHand) -> None:
        self._remember((named, id(fresh.context), id(fresh.caller)), fresh)  # both live as long as it does

    def remember_to_open(self, wrapped: bytes, fresh: AtHand) -> None:
        self._remember((wrapped, id(fresh.caller)), fresh)

    def _remember(self, where: tuple[str, int, int] | tuple[bytes, int], fresh: AtHand) -> None:
        self._found.pop(where, None)  # what is remembered anew is the youngest
        if len(self._found) >= _REMEMBERED:
            del self._found[next(iter(self._found))]
        self._found[where] = fresh

    def forget_old(self, now_ms: int) -> None:
        """Drop whatever will not serve again, and the keys with it."""
        generation = self._generation()
        for where, found in list(self._found.items()):
            if found.generation != generation or not found.kept.lives(now_ms):
                del self._found[where]

    def __len__(self) -> int:
        return len(self._found)
