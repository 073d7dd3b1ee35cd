"""Imported key material in the KMS API: its parameters, its import, its deletion, and its end by the server's clock.

Never knows where customers keep their copy. What a record looks like afterwards is for ``imports``, tokens for ``import_tokens``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import import_tokens, refusals
from strongroom.kms.access import Use, failure, find
from strongroom.kms.contract import ProviderError
from strongroom.kms.imports import Wish, check_import, with_import, with_knowledge, without, without_bytes
from strongroom.kms.material import MaterialError, fingerprint, imported
from strongroom.kms.names import KeyName
from strongroom.kms.records import KEY_KIND, SYMMETRIC, KeyRecord, milliseconds, moment
from strongroom.kms.relatives import share
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from datetime import datetime

    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

PARAMETERS: Final = Use("GetParametersForImport", "kms:GetParametersForImport")
IMPORT: Final = Use("ImportKeyMaterial", "kms:ImportKeyMaterial")
DELETE: Final = Use("DeleteImportedKeyMaterial", "kms:DeleteImportedKeyMaterial")
LONGEST: Final = timedelta(days=365)
_EXPIRES: Final = "KEY_MATERIAL_EXPIRES"
_BATCH: Final = 500


class Importing:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @operation("kms", "GetParametersForImport", "kms:GetParametersForImport", on="run")
    async def get_parameters_for_import(self, call: Call) -> Answer:
        record = await find(self._ring, call, PARAMETERS)
        check_state(record, PARAMETERS.operation)
        algorithm: str = call.input["WrappingAlgorithm"]
        spec: str = call.input["WrappingKeySpec"]
        import_tokens.check_parameters(record.spec, algorithm, spec)
        issued = await import_tokens.issue(self._ring, record.name, algorithm, spec, milliseconds(call.now))
        return Answer(
            {
                "KeyId": record.name.arn,
                "ImportToken": issued.token,
                "PublicKey": issued.public_key,
                "ParametersValidTo": moment(issued.expires_ms),
            }
        )

    @operation("kms", "ImportKeyMaterial", "kms:ImportKeyMaterial", on="run")
    async def import_key_material(self, call: Call) -> Answer:
        wish = _wish(call)
        found = await find(self._ring, call, IMPORT)
        check_state(found, IMPORT.operation)
        name, now_ms = found.name, milliseconds(call.now)
        plain = await self._received(call, found, now_ms)
        material_id = fingerprint(name.key_id, plain)
        check_import(found, material_id, wish)
        try:
            material = await self._ring.wrap(name, material_id, plain, now_ms)
        except ProviderError as error:
            raise failure(error) from error

        def work(transaction: Transaction, record: KeyRecord) -> KeyRecord:
            check_state(record, IMPORT.operation)
            check_import(record, material_id, wish)
            changed = with_import(record, material, wish)
            taken = changed.material(material_id)
            if taken is not None and not record.replica:
                share(transaction, record, lambda other: with_knowledge(other, taken))
            return changed

        return await self._changed(name, now_ms, work, material_id)

    @operation("kms", "DeleteImportedKeyMaterial", "kms:DeleteImportedKeyMaterial", on="run")
    async def delete_imported_key_material(self, call: Call) -> Answer:
        found = await find(self._ring, call, DELETE)
        check_state(found, DELETE.operation)
        asked: str | None = call.input.get("KeyMaterialId")
        if asked is not None and found.spec != SYMMETRIC:
            raise refusals.invalid("KeyMaterialId is for symmetric encryption keys only.")
        material_id = asked or found.current

        def work(transaction: Transaction, record: KeyRecord) -> KeyRecord:
            material = record.material(material_id)
            if material is None:
                if asked is not None:
                    raise ApiError("NotFoundException", f"Key material '{asked}' does not exist")
                return record
            if material.pending and not record.replica:
                share(transaction, record, lambda other: without(other, material_id))
            return without_bytes(record, material)

        return await self._changed(found.name, milliseconds(call.now), work, material_id)

    async def remove_expired(self) -> int:
        """Upkeep: material that has expired is out of use by the clock already; now its bytes go. Of how many keys."""
        place, count, now_ms = "", 0, self._ring.now_ms()
        while rows := await self._ring.catalog.documents(KEY_KIND, prefix="kms/", after=place, limit=_BATCH):
            place = rows[-1][0]
            for scope, value in rows:
                record = KeyRecord.read(KeyName(*scope.split("/")[1:4]), value)
                if record.at(now_ms) != record:
                    count += await self._remove_expired(record.name, now_ms)
        return count

    async def _remove_expired(self, name: KeyName, now_ms: int) -> int:
        def work(transaction: Transaction) -> int:
            value = transaction.document(name.scope, KEY_KIND)
            if value is None:
                return 0
            settled = KeyRecord.read(name, value).at(now_ms).document()
            transaction.set_document(name.scope, KEY_KIND, settled)
            return int(settled != value)

        return await self._ring.catalog.write(work)

    async def _received(self, call: Call, record: KeyRecord, now_ms: int) -> bytes:
        """The material out of its wrapping, checked and in the form in which it is kept. Raises ApiError."""
        transport = await import_tokens.opened(self._ring, record.name, call.input["ImportToken"], now_ms)
        data: bytes = call.input["EncryptedKeyMaterial"]
        try:
            plain = await asyncio.to_thread(transport.unwrap, data)
        except import_tokens.TransportError:
            raise refusals.invalid_ciphertext() from None
        try:
            return await asyncio.to_thread(imported, record.spec, plain)
        except MaterialError:
            text = f"The key material is not valid for key spec {record.spec}."
            raise ApiError("IncorrectKeyMaterialException", text) from None

    async def _changed(self, name: KeyName, now_ms: int, work: Any, material_id: str) -> Answer:
        record = await self._ring.change(name, now_ms, work)
        if record is None:
            raise refusals.missing_key(name.arn)
        shown = {"KeyMaterialId": material_id} if record.spec == SYMMETRIC and material_id else {}
        return Answer({"KeyId": name.arn, **shown})


def _wish(call: Call) -> Wish:
    """Raises ApiError for an expiration that contradicts itself or lies too far."""
    expires = (call.input.get("ExpirationModel") or _EXPIRES) == _EXPIRES
    valid_to: datetime | None = call.input.get("ValidTo")
    if expires and valid_to is None:
        raise refusals.invalid(f"A validTo date must be set if the ExpirationModel is {_EXPIRES}")
    if not expires and valid_to is not None:
        raise refusals.invalid(f"A validTo date can be set only if the ExpirationModel is {_EXPIRES}")
    if valid_to is not None and not call.now < valid_to <= call.now + LONGEST:
        raise refusals.invalid("The validTo date must be in the future, and within 365 days.")
    return Wish(
        import_type=call.input.get("ImportType"),
        material_id=call.input.get("KeyMaterialId"),
        description=call.input.get("KeyMaterialDescription"),
        expires_ms=None if valid_to is None else milliseconds(valid_to),
    )
