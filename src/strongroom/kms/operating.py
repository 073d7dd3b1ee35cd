"""Keys as the operator uses them: with the authority of the root key. Asks no policy, and is nobody's use of a key.

Whoever has the root key can do all this anyhow; the operator's tools do it through here. Never knows buckets or objects.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from strongroom.kms.blob import BlobError, parse_blob
from strongroom.kms.contract import ProviderError
from strongroom.kms.names import ALIAS_PREFIX, AliasName, KeyName
from strongroom.kms.records import ALIAS_KIND, ENCRYPT_DECRYPT, KEY_KIND, SYMMETRIC, AliasRecord, KeyRecord, milliseconds, moment
from strongroom.kms.relatives import awaits_replicas
from strongroom.kms.service_keys import KeyFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

_PAGE: Final = 100


class KeyProblem(Exception):
    """Why the operator cannot have that key: one line."""


class Operating:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    # ---- finding

    async def find(self, text: str) -> KeyRecord:
        """The key of a key id, key ARN, alias or alias ARN, of any account and Region. Raises KeyProblem."""
        names = await self._names(text)
        if len(names) > 1:
            raise KeyProblem(f"{text} names several keys, say which: {', '.join(sorted(name.arn for name in names))}")
        record = await self._ring.key(names[0], self._ring.now_ms()) if names else None
        if record is None:
            raise KeyProblem(f"there is no KMS key {text}")
        return record

    async def _names(self, text: str) -> list[KeyName]:
        if text.startswith("arn:"):
            parts = text.split(":", 5)
            if len(parts) != 6 or parts[:3] != ["arn", "aws", "kms"]:
                raise KeyProblem(f"{text} is not the ARN of a KMS key or alias")
            _, _, _, region, account_id, resource = parts
            if resource.startswith(ALIAS_PREFIX):
                return await self._aliased([AliasName(account_id, region, resource).scope])
            return [KeyName(account_id, region, resource.removeprefix("key/"))]
        if text.startswith(ALIAS_PREFIX):
            return await self._aliased([scope async for scope in self._scopes(ALIAS_KIND) if scope.split("/", 3)[3] == text])
        return [KeyName(*scope.split("/")[1:4]) async for scope in self._scopes(KEY_KIND) if scope.rpartition("/")[2] == text]

    async def _aliased(self, scopes: list[str]) -> list[KeyName]:
        names: list[KeyName] = []
        for scope in scopes:
            _, account_id, region, alias = scope.split("/", 3)
            value = await self._ring.catalog.document(scope, ALIAS_KIND)
            if value is not None:
                names.append(AliasRecord.read(AliasName(account_id, region, alias), value).key)
        return names

    async def _scopes(self, kind: str) -> AsyncIterator[str]:
        place = ""
        while rows := await self._ring.catalog.documents(kind, prefix="kms/", after=place, limit=_PAGE):
            place = rows[-1][0]
            for scope, _ in rows:
                yield scope

    async def every_key(self) -> AsyncIterator[tuple[KeyName, KeyRecord | None]]:
        """All keys that are there, by account and Region; None for one whose document cannot be read."""
        place = ""
        while rows := await self._ring.catalog.documents(KEY_KIND, prefix="kms/", after=place, limit=_PAGE):
            place = rows[-1][0]
            for scope, value in rows:
                name = KeyName(*scope.split("/")[1:4])
                try:
                    yield name, KeyRecord.read(name, value)
                except (ValueError, KeyError, TypeError):
                    yield name, None

    async def faults(self) -> AsyncIterator[KeyFault]:
        """Every material that does not open, of every key."""
        async for name, record in self.every_key():
            await asyncio.sleep(0)  # there may be many, and a server may be asking
            if record is None:
                yield KeyFault(f"KMS key {name.arn}", "its document is damaged")
                continue
            for material in record.materials:
                if not material.wrapped:  # imported, and deleted or expired since: that is a state and no fault
                    continue
                try:
                    await self._ring.check_material(record, material.material_id)
                except ProviderError as error:
                    what = f"key material {material.material_id} of {name.arn}"
                    yield KeyFault(what, str(error) or f"the provider of its key answers {type(error).__name__}")

    # ---- using

    async def key(self, arn: str) -> KeyRecord | None:
        """The key of an ARN, whatever its state; None when it is gone. Raises KeyProblem when its document is damaged."""
        parts = arn.split(":", 5)
        if len(parts) != 6 or not parts[5].startswith("key/"):
            return None
        try:
            return await self._ring.key(KeyName(parts[4], parts[3], parts[5].removeprefix("key/")), self._ring.now_ms())
        except (ValueError, KeyError, TypeError) as error:
            raise KeyProblem(f"the document of {arn} is damaged") from error

    async def unwrap(self, record: KeyRecord, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """The data key of a ciphertext blob, whatever the key's state. Raises BlobError, ProviderError."""
        blob = parse_blob(wrapped)
        if blob.key != record.name:
            raise BlobError
        return await self._ring.open(record, blob, context)

    def material_of(self, wrapped: bytes) -> str:
        """The id of the key material that a ciphertext blob says it is under. Raises BlobError."""
        return parse_blob(wrapped).material_id

    async def wrap(self, record: KeyRecord, plain: bytes, context: Mapping[str, str]) -> bytes:
        """A ciphertext blob under the key's newest material. Raises KeyProblem."""
        check_encrypts(record)
        try:
            return await self._ring.seal(record, plain, context)
        except ProviderError as error:
            raise KeyProblem(f"the material of {record.name.arn} does not open") from error

    # ---- ending

    async def schedule_deletion(self, name: KeyName, days: int) -> datetime:
        """As ScheduleKeyDeletion; the date. Raises KeyProblem."""
        now = moment(self._ring.now_ms())
        deletion_ms = milliseconds(now + timedelta(days=days))

        def work(_: Transaction, record: KeyRecord) -> KeyRecord:
            check_deletable(record)
            return replace(record, state="PendingDeletion", deletion_ms=deletion_ms)

        if await self._ring.change(name, milliseconds(now), work) is None:
            raise KeyProblem(f"there is no KMS key {name.arn}")
        return moment(deletion_ms)


def check_encrypts(record: KeyRecord) -> None:
    """Raises KeyProblem unless objects may be moved to that key."""
    if record.state != "Enabled":
        raise KeyProblem(f"{record.name.arn} is {record.state}")
    if record.spec != SYMMETRIC or record.usage != ENCRYPT_DECRYPT:
        raise KeyProblem(f"{record.name.arn} is no symmetric encryption key")


def check_deletable(record: KeyRecord) -> None:
    """Raises KeyProblem."""
    if record.manager != "CUSTOMER":
        raise KeyProblem(f"{record.name.arn} is managed by S3 and cannot be deleted")
    if record.doomed:
        raise KeyProblem(f"{record.name.arn} is pending deletion already")
    if awaits_replicas(record):
        raise KeyProblem(f"{record.name.arn} has replicas in other Regions: delete them first")
