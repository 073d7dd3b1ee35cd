"""Rotation in the KMS API, and the upkeep that carries out the automatic one by the server's clock.

Never knows what was sealed under a key: nothing is sealed anew, old material goes on opening. When a rotation is due is for
``rotations``; ``KeyRing`` makes the material.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, failure, find
from strongroom.kms.contract import ProviderError
from strongroom.kms.names import KeyName
from strongroom.kms.paging import Markers, limit
from strongroom.kms.records import EXTERNAL, KEY_KIND, SYMMETRIC, KeyRecord, Material, milliseconds, moment
from strongroom.kms.relatives import others, share
from strongroom.kms.rotations import (
    YEAR,
    is_due,
    on_demand_count,
    rotated,
    rotated_to_pending,
    rotates,
    switched_off,
    switched_on,
)
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.kms.records import Rotated
    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

ENABLE: Final = Use("EnableKeyRotation", "kms:EnableKeyRotation")
DISABLE: Final = Use("DisableKeyRotation", "kms:DisableKeyRotation")
STATUS: Final = Use("GetKeyRotationStatus", "kms:GetKeyRotationStatus", foreign=True)
ON_DEMAND: Final = Use("RotateKeyOnDemand", "kms:RotateKeyOnDemand")
LIST: Final = Use("ListKeyRotations", "kms:ListKeyRotations")
MAX_ON_DEMAND: Final = 25  # in the life of a key
SOON_MS: Final = 20 * 60 * 1000  # an automatic rotation that is so near is not overtaken
_BATCH: Final = 500


class KeyRotation:
    def __init__(self, ring: KeyRing, markers: Markers) -> None:
        self._ring = ring
        self._markers = markers

    @operation("kms", "EnableKeyRotation", "kms:EnableKeyRotation", on="run")
    async def enable_key_rotation(self, call: Call) -> Answer:
        asked: int | None = call.input.get("RotationPeriodInDays")
        period_days = YEAR if asked is None else asked
        now_ms = milliseconds(call.now)
        await self._switch(call, ENABLE, lambda record: switched_on(record, now_ms, period_days))
        return Answer()

    @operation("kms", "DisableKeyRotation", "kms:DisableKeyRotation", on="run")
    async def disable_key_rotation(self, call: Call) -> Answer:
        await self._switch(call, DISABLE, switched_off)
        return Answer()

    async def _switch(self, call: Call, use: Use, work: Callable[[KeyRecord], KeyRecord]) -> None:
        """On a primary key, for all Regions of it."""
        name, now_ms = (await find(self._ring, call, use)).name, milliseconds(call.now)

        def within(transaction: Transaction, record: KeyRecord) -> KeyRecord:
            check_state(record, use.operation)
            changed = work(_primary(_symmetric(record)))
            share(transaction, record, lambda other: replace(other, rotation=changed.rotation))
            return changed

        if await self._ring.change(name, now_ms, within) is None:
            raise refusals.missing_key(name.arn)

    @operation("kms", "GetKeyRotationStatus", "kms:GetKeyRotationStatus", on="run")
    async def get_key_rotation_status(self, call: Call) -> Answer:
        """A plain false for kinds of keys that never rotate: Terraform asks for every key."""
        record = await find(self._ring, call, STATUS)
        check_state(record, STATUS.operation)
        output: dict[str, Any] = {"KeyId": record.name.arn, "KeyRotationEnabled": False}
        if record.rotation is not None and rotates(record) and not record.doomed:
            output |= {
                "KeyRotationEnabled": True,
                "NextRotationDate": moment(record.rotation.next_ms),
                "RotationPeriodInDays": record.rotation.period_days,
            }
        return Answer(output)

    @operation("kms", "RotateKeyOnDemand", "kms:RotateKeyOnDemand", on="run")
    async def rotate_key_on_demand(self, call: Call) -> Answer:
        """Done when it answers: AWS does it a little later."""
        record = await find(self._ring, call, ON_DEMAND)
        now_ms = milliseconds(call.now)
        _check_on_demand(record, now_ms)
        if record.origin == EXTERNAL:
            gone = await self._ring.change(record.name, now_ms, partial(_to_pending, now_ms=now_ms)) is None
        else:
            try:
                done = await _rotate(self._ring, record, "ON_DEMAND", now_ms, lambda current: _on_demand(current, now_ms))
                gone = done is None
            except ProviderError as error:
                raise failure(error) from error
        if gone:
            raise refusals.missing_key(record.name.arn)
        return Answer({"KeyId": record.name.arn})

    @operation("kms", "ListKeyRotations", "kms:ListKeyRotations", on="run")
    async def list_key_rotations(self, call: Call) -> Answer:
        size = limit(call, 100, 1000)
        record = await find(self._ring, call, LIST)
        which: str = call.input.get("IncludeKeyMaterial") or "ROTATIONS_ONLY"
        within = f"{record.name.key_id} {which}"
        start = int(self._markers.read(call, within=within) or 0)
        materials = _symmetric(record).materials
        if which == "ROTATIONS_ONLY":
            materials = tuple(material for material in materials if material.rotated is not None)
        page = materials[start : start + size]
        more = len(materials) > start + size
        behind = await self._behind(record, milliseconds(call.now))
        output: dict[str, Any] = {"Rotations": [_entry(record, material, behind) for material in page], "Truncated": more}
        if more:
            output["NextMarker"] = self._markers.write(call, str(start + size), within=within)
        return Answer(output)

    async def _behind(self, record: KeyRecord, now_ms: int) -> frozenset[str]:
        """The imported materials of a primary key that a replica still lacks."""
        if record.origin != EXTERNAL or record.replica:
            return frozenset()
        found = [await self._ring.key(record.name.within(region), now_ms) for region in record.regions]
        replicas = [replica for replica in found if replica is not None]
        ids = {material.material_id for material in record.materials}
        return frozenset(material_id for material_id in ids if not all(_has(replica, material_id) for replica in replicas))

    async def rotate_due(self) -> int:
        """Upkeep: rotate the keys whose date has come. How many there were. Raises ProviderError; the rest waits for the next turn."""
        place, count = "", 0
        while rows := await self._ring.catalog.documents(KEY_KIND, prefix="kms/", after=place, limit=_BATCH):
            place = rows[-1][0]
            for scope, value in rows:
                record = KeyRecord.read(KeyName(*scope.split("/")[1:4]), value)
                count += await rotate_if_due(self._ring, record)
        return count


async def rotate_if_due(ring: KeyRing, record: KeyRecord) -> bool:
    """Whether it was. Two that try at once rotate it once. Raises ProviderError."""
    now_ms = ring.now_ms()
    if record.gone(now_ms) or not is_due(record, now_ms):
        return False
    return bool(await _rotate(ring, record, "AUTOMATIC", now_ms, lambda current: is_due(current, now_ms)))


async def _rotate(
    ring: KeyRing, record: KeyRecord, how: Rotated, now_ms: int, wanted: Callable[[KeyRecord], bool]
) -> bool | None:
    """Rotate a key, in all its Regions, if ``wanted`` still says so, and say whether it was done. None: the key is gone."""
    while True:
        materials = await ring.new_materials(record, now_ms)
        work = partial(_take, materials=materials, how=how, now_ms=now_ms, wanted=wanted)
        try:
            changed = await ring.change(record.name, now_ms, work)
        except _OtherRegions as other:
            record = other.record
            continue
        return None if changed is None else changed.current == materials[record.name.region].material_id


class _OtherRegions(Exception):
    """A Region came or went since the material was made: once more."""

    def __init__(self, record: KeyRecord) -> None:
        super().__init__(record.name.arn)
        self.record = record


def _take(
    transaction: Transaction,
    record: KeyRecord,
    *,
    materials: Mapping[str, Material],
    how: Rotated,
    now_ms: int,
    wanted: Callable[[KeyRecord], bool],
) -> KeyRecord:
    if not wanted(record):
        return record
    if set(record.regions or (record.name.region,)) != set(materials):
        raise _OtherRegions(record)
    share(transaction, record, lambda other: rotated(other, materials[other.name.region], how, now_ms))
    return rotated(record, materials[record.name.region], how, now_ms)


def _on_demand(record: KeyRecord, now_ms: int) -> bool:
    """Raises ApiError."""
    _check_on_demand(record, now_ms)
    return True


def _to_pending(transaction: Transaction, record: KeyRecord, now_ms: int) -> KeyRecord:
    """Imported material takes over in all Regions at once, when all of them have it. Raises ApiError."""
    _check_on_demand(record, now_ms)
    material = _pending(record)
    regions = others(transaction, record)
    if material is None or any(not _has(other.at(now_ms), material.material_id) for other in regions):
        raise _nothing_pending(record)
    share(transaction, record, lambda other: rotated_to_pending(other, material.material_id, now_ms))
    return rotated_to_pending(record, material.material_id, now_ms)


def _has(record: KeyRecord, material_id: str) -> bool:
    material = record.material(material_id)
    return material is not None and bool(material.wrapped)


def _pending(record: KeyRecord) -> Material | None:
    return next((material for material in record.materials if material.pending and material.wrapped), None)


def _nothing_pending(record: KeyRecord) -> ApiError:
    text = f"No available key material pending rotation for the key: {record.name.arn}."
    return ApiError("KMSInvalidStateException", text)


def _symmetric(record: KeyRecord) -> KeyRecord:
    """Raises ApiError for a kind of key that has one material for good."""
    if record.spec != SYMMETRIC:
        raise refusals.never_rotated()
    return record


def _primary(record: KeyRecord) -> KeyRecord:
    """Raises ApiError for a replica: it follows its primary key."""
    if record.replica:
        raise refusals.not_primary(record.name.arn)
    return record


def _check_on_demand(record: KeyRecord, now_ms: int) -> None:
    """Raises ApiError."""
    check_state(record, ON_DEMAND.operation)
    arn = _primary(_symmetric(record)).name.arn
    if record.origin == EXTERNAL and _pending(record) is None:
        raise _nothing_pending(record)
    if on_demand_count(record) >= MAX_ON_DEMAND:
        raise ApiError(
            "LimitExceededException",
            "The on-demand rotations limit has been reached for the given keyId. "
            f"No more on-demand rotations can be performed for this key: {arn}",
        )
    if record.rotation is not None and record.rotation.next_ms - now_ms <= SOON_MS:
        raise ApiError("ConflictException", f"An automatic rotation of {arn} is in progress or begins within 20 minutes.")


def _entry(record: KeyRecord, material: Material, behind: frozenset[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "KeyId": record.name.arn,
        "KeyMaterialId": material.material_id,
        "KeyMaterialState": _material_state(record, material, behind),
    }
    if record.origin == EXTERNAL:
        entry |= _import_state(material)
    if material.rotated is not None:
        entry |= {"RotationDate": moment(material.created_ms), "RotationType": material.rotated}
    return entry


def _material_state(record: KeyRecord, material: Material, behind: frozenset[str]) -> str:
    if material.pending:
        return "PENDING_MULTI_REGION_IMPORT_AND_ROTATION" if material.material_id in behind else "PENDING_ROTATION"
    return "CURRENT" if material.material_id == record.current else "NON_CURRENT"


def _import_state(material: Material) -> dict[str, Any]:
    entry: dict[str, Any] = {"ImportState": "IMPORTED" if material.wrapped else "PENDING_IMPORT"}
    if material.description:
        entry["KeyMaterialDescription"] = material.description
    if not material.wrapped:
        return entry
    if material.expires_ms is None:
        return {**entry, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {**entry, "ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": moment(material.expires_ms)}
