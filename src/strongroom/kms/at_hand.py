"""What a caller may use without asking again: all was judged, and the answer could be no other.

That holds for one caller, one way of naming the key and one Region, at one generation of the catalog (which any change of a right, a
grant, a user or a key raises on every worker), and until the KMS key changes by itself. Shared keys are at hand so, for one encryption
context and until their life ends; and KMS keys themselves, if the answer hung on no encryption context: each of their uses is an
operation of KMS all the same. Every use is told to the observer, or does not happen. Never judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from strongroom.api.operation import Holds
from strongroom.kms import shared_keys
from strongroom.kms.blob import RANDOM_SIZE, Blob, BlobError, ContextError, open_blob, parse_blob, seal_blob
from strongroom.kms.key_use import Alike, no_room
from strongroom.kms.names import S3_ALIAS
from strongroom.kms.records import milliseconds, moment
from strongroom.kms.shared_keys import Kept, KmsDataKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call, Caller
    from strongroom.kms.names import KeyName
    from strongroom.kms.records import KeyRecord
    from strongroom.kms.ring import KeyRing
    from strongroom.seal.wrap import Kek

_REMEMBERED: Final = 8192  # of each kind; beyond that the oldest goes
DATA_KEY_SIZE: Final = 32
_NEVER: Final = datetime.max.replace(tzinfo=UTC)  # nothing ends it but a change in the catalog


class Allowed(NamedTuple):
    """A question about a KMS key that was just asked. ``record``: the key as it was judged, at that generation of the catalog."""

    call: Call
    record: KeyRecord
    region: str
    context: Mapping[str, str]
    generation: int
    holds: Holds


@dataclass(slots=True, eq=False)
class Judged:
    """What holds for all that is at hand."""

    caller: Caller  # this very one: another that is the same to the eye may have other rights
    region: str
    context: Mapping[str, str] | str  # as in ``alike``
    generation: int
    since: datetime
    until: datetime
    alike: Alike  # what all its uses are recorded with

    def serves(self, call: Call, region: str, context: Mapping[str, str] | str, generation: int) -> bool:
        return (
            self.caller is call.caller
            and self.region == region
            and (self.context is context or self.context == context)
            and self.generation == generation
            and self.since <= call.now < self.until  # a clock that was set back does not lengthen a life
        )


@dataclass(slots=True, eq=False)
class SharedAtHand(Judged):
    kept: Kept = field(repr=False)
    kek: bytes | Kek = field(repr=False)  # of ``kept``


@dataclass(slots=True, eq=False)
class KeyAtHand(Judged):
    """One material of a KMS key: that which opens a blob, or the current one."""

    name: KeyName
    material_id: str


class KeysAtHand:
    """One per worker. Contexts are told apart by identity where new keys are made under shared ones: whoever makes one anew for each use
    is not served.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring  # whose observer is told
        self._generation = ring.catalog.generation
        # By how it is named or what it opens, and by the caller: these objects live as long as what is remembered for them does, so
        # that no others have their ids.
        self._shared: _Memory[tuple[str, int, int] | tuple[bytes, int], SharedAtHand] = _Memory()
        self._keys: _Memory[tuple[str, int] | tuple[KeyName, str, int], KeyAtHand] = _Memory()

    # --- under a shared key

    def make_shared(
        self, call: Call, named: str | None, region: str, context: Mapping[str, str], resource: str
    ) -> KmsDataKey | None:
        """What new data keys are made with, for ``resource``; None: not at hand. ``named``: how the request names the KMS key, None:
        aws/s3. Raises ApiError ThrottlingException.
        """
        found = self._shared.get((named or S3_ALIAS, id(context), id(call.caller)))
        if (
            found is None
            or not found.serves(call, region, context, self._generation())
            or found.kept.uses >= shared_keys.MOST_USES
        ):
            return None
        found.kept.uses += 1
        self._tell(found, call, resource, "")
        return found.kept.key

    def open_shared(
        self, call: Call, wrapped: bytes, region: str, context: Mapping[str, str], resource: str, version: str
    ) -> bytes | Kek | None:
        """What opens what was made with ``wrapped``, in the same way."""
        found = self._shared.get((wrapped, id(call.caller)))
        if found is None or not found.serves(call, region, context, self._generation()):
            return None
        self._tell(found, call, resource, version)
        return found.kek

    def remember_shared(self, allowed: Allowed, kept: Kept, *, named: str = "") -> None:
        """If the answer holds so far. ``named``: data keys may be made so; "": what it wraps may be opened."""
        call, record, region, context, generation, holds = allowed
        if holds < Holds.SAME_CONTEXT or len(context) != 1:  # with pairs of the client's, nothing is looked for at hand
            return
        until_ms = kept.until_ms if record.until_ms is None else min(kept.until_ms, record.until_ms)
        alike = Alike.shared(call.caller, "GenerateDataKey" if named else "Decrypt", record.name.arn, context)
        held = call.caller, region, context, generation, moment(kept.from_ms), moment(until_ms), alike
        fresh = SharedAtHand(*held, kept, kept.key.kek)
        where = (named, id(context), id(call.caller)) if named else (kept.key.wrapped, id(call.caller))
        self._shared.remember(where, fresh)

    # --- under a KMS key

    def make(self, call: Call, named: str | None, region: str, context_by: str, resource: str) -> KmsDataKey | None:
        """A fresh data key for ``resource``, whose ARN is in the encryption context by the name ``context_by``, and nothing else is; None:
        not at hand. Raises ApiError ThrottlingException.
        """
        found = self._keys.get((named or S3_ALIAS, id(call.caller)))
        material = None if found is None else self._material(found, call, region, context_by)
        if found is None or material is None:
            return None
        plain, random = self._ring.random(DATA_KEY_SIZE), self._ring.random(RANDOM_SIZE)
        try:
            wrapped = seal_blob(found.name, found.material_id, material, plain, {context_by: resource}, random)
        except ContextError:
            return None
        self._tell(found, call, resource, "")
        return KmsDataKey(plain, wrapped, found.alike.key_arn)

    def open(self, call: Call, wrapped: bytes, region: str, context_by: str, resource: str, version: str) -> bytes | None:
        """What is in a ciphertext blob, in the same way; None also for what does not open: that is for the long way to tell."""
        try:
            blob = parse_blob(wrapped)
            found = self._keys.get((blob.key, blob.material_id, id(call.caller)))
            material = None if found is None else self._material(found, call, region, context_by)
            if found is None or material is None:
                return None
            plain = open_blob(blob, material, {context_by: resource})
        except (BlobError, ContextError):
            return None
        self._tell(found, call, resource, version)
        return plain

    def _material(self, found: KeyAtHand, call: Call, region: str, context_by: str) -> bytes | None:
        if not found.serves(call, region, context_by, self._generation()):
            return None
        return self._ring.known_material(found.name, found.material_id)

    def remember(self, allowed: Allowed, resource: str, what: str | Blob) -> None:
        """If the answer holds so far, and the context is no more than the resource. ``what``: how a request names the key under which it
        makes data keys, or a blob that was opened.
        """
        call, record, region, context, generation, holds = allowed
        if holds < Holds.ANY_CONTEXT or list(context.values()) != [resource]:
            return
        context_by = next(iter(context))
        where: tuple[str, int] | tuple[KeyName, str, int]
        if isinstance(what, str):
            operation, material_id, where = "GenerateDataKey", record.current, (what, id(call.caller))
        else:
            operation, material_id, where = "Decrypt", what.material_id, (what.key, what.material_id, id(call.caller))
        until = _NEVER if record.until_ms is None else moment(record.until_ms)
        alike = Alike.called(call.caller, operation, record.name.arn, context_by)
        held = call.caller, region, context_by, generation, moment(milliseconds(call.now)), until, alike
        self._keys.remember(where, KeyAtHand(*held, record.name, material_id))

    # --- both

    def _tell(self, found: Judged, call: Call, resource: str, version: str) -> None:
        """Raises ApiError ThrottlingException."""
        if not self._ring.observer.served(found.alike, call.now, resource, version, call.request_id, call.source_ip):
            raise no_room()

    def forget_old(self, now_ms: int) -> None:
        """Drop whatever will not serve again, and the keys with it."""
        for memory in (self._shared, self._keys):
            memory.forget_old(moment(now_ms), self._generation())

    def __len__(self) -> int:
        return len(self._shared) + len(self._keys)


_K = TypeVar("_K")
_V = TypeVar("_V", bound=Judged)


class _Memory(dict[_K, _V]):
    def remember(self, where: _K, fresh: _V) -> None:
        shared_keys.remember(self, where, fresh, _REMEMBERED)

    def forget_old(self, now: datetime, generation: int) -> None:
        for where, found in list(self.items()):
            if found.generation != generation or not found.since <= now < found.until:
                del self[where]
