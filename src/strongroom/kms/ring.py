"""The key ring: finds keys and aliases, makes and changes them, and uses their material. The only holder of plain material.

Never knows who asks or whether they may (``access``), nor how the KMS API words anything. What it remembers is dropped
whenever ``catalog.generation()`` changes, so a key disabled on one worker is disabled for the next request on every worker.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from strongroom.kms.blob import RANDOM_SIZE, Blob, BlobError, open_blob, seal_blob
from strongroom.kms.contract import Provider, Unavailable
from strongroom.kms.key_use import Nobody, Observer
from strongroom.kms.material import fresh
from strongroom.kms.names import S3_ALIAS, AliasName, KeyName
from strongroom.kms.notices import announce
from strongroom.kms.records import (
    ALIAS_KIND,
    EXTERNAL,
    KEY_KIND,
    SYMMETRIC,
    TOMBSTONE_KIND,
    AliasRecord,
    KeyRecord,
    Manager,
    Material,
    key_binding,
    milliseconds,
    s3_managed_policy,
)
from strongroom.kms.rotations import first_rotation
from strongroom.kms.specs import SYMMETRIC_KIND, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from strongroom.store.contract import Catalog, Transaction

T = TypeVar("T")
S3_DESCRIPTION: Final = "Default key that protects my S3 objects when no other key is defined"
_REMEMBERED: Final = 1024  # of each kind


class KeyRing:
    """One per worker. ``clock`` gives aware UTC times, ``random`` n random bytes."""

    def __init__(
        self, catalog: Catalog, provider: Provider, clock: Callable[[], datetime], random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.catalog = catalog
        self.provider = provider
        self.random = random
        self.observer: Observer = Nobody()  # is told of every use of a key
        self._clock = clock
        self._generation: int | None = None
        self._keys: dict[KeyName, KeyRecord] = {}
        self._aliases: dict[AliasName, AliasRecord] = {}
        self._materials: dict[tuple[KeyName, str], _Open] = {}

    def now_ms(self) -> int:
        return milliseconds(self._clock())

    # --- finding

    async def key(self, name: KeyName, now_ms: int) -> KeyRecord | None:
        """None for a key that does not exist, or whose deletion date is past."""
        generation = self._fresh()
        record = self._keys.get(name)
        if record is None:
            value = await self.catalog.document(name.scope, KEY_KIND)
            if value is None:
                return None
            record = KeyRecord.read(name, value)
            self._remember(self._keys, name, record, generation)
        return None if record.gone(now_ms) else record.at(now_ms)

    async def alias(self, name: AliasName, now_ms: int) -> tuple[AliasRecord, KeyRecord] | None:
        """The alias and its key; None when either does not exist (any more)."""
        generation = self._fresh()
        alias = self._aliases.get(name)
        if alias is None:
            value = await self.catalog.document(name.scope, ALIAS_KIND)
            if value is None:
                return None
            alias = AliasRecord.read(name, value)
            self._remember(self._aliases, name, alias, generation)
        key = await self.key(alias.key, now_ms)
        return None if key is None else (alias, key)

    async def existed(self, name: KeyName) -> bool:
        """Whether there is or was a key of that name: destroyed ones leave a tombstone."""
        if await self.catalog.document(name.scope, KEY_KIND) is not None:
            return True
        return await self.catalog.document(name.scope, TOMBSTONE_KIND) is not None

    # --- making and changing

    async def make(
        self,
        account_id: str,
        region: str,
        *,
        now_ms: int,
        manager: Manager,
        description: str,
        policy: str,
        tags: tuple[tuple[str, str], ...] = (),
        kind: Kind = SYMMETRIC_KIND,
    ) -> KeyRecord:
        """A new record, enabled with fresh material or waiting for its import. It is not stored yet.

        Raises ProviderError, MaterialError for a spec that the library at hand does not have.
        """
        key_id = f"mrk-{self.random(16).hex()}" if kind.multi_region else str(uuid.UUID(bytes=self.random(16), version=4))
        name = KeyName(account_id, region, key_id)
        material = None if kind.origin == EXTERNAL else await self.new_material(name, now_ms, kind.spec)
        return KeyRecord(
            name,
            now_ms,
            manager,
            description,
            policy,
            "" if material is None else material.material_id,
            () if material is None else (material,),
            state="PendingImport" if material is None else "Enabled",
            tags=tags,
            spec=kind.spec,
            usage=kind.usage,
            origin=kind.origin,
            primary=region if kind.multi_region else None,
            regions=(region,) if kind.multi_region else (),
        )

    async def new_material(self, name: KeyName, now_ms: int, spec: str = SYMMETRIC) -> Material:
        """Fresh material for that key and no other, to be put into its record. Raises ProviderError, MaterialError."""
        material_id = self.random(32).hex()
        return await self.wrap(name, material_id, await asyncio.to_thread(fresh, spec, self.random), now_ms)

    async def new_materials(self, record: KeyRecord, now_ms: int) -> dict[str, Material]:
        """Fresh symmetric material for a key in each of its Regions. Raises ProviderError."""
        material_id, plain = self.random(32).hex(), fresh(SYMMETRIC, self.random)
        regions = record.regions or (record.name.region,)
        return {region: await self.wrap(record.name.within(region), material_id, plain, now_ms) for region in regions}

    async def wrap(self, name: KeyName, material_id: str, plain: bytes, now_ms: int) -> Material:
        """``plain`` as material of that key, to be put into its record. Raises ProviderError."""
        wrapped = await self.provider.wrap(plain, key_binding(name, material_id))
        return Material(material_id, now_ms, self.provider.name, wrapped)

    async def moved(self, record: KeyRecord, material: Material, region: str) -> Material:
        """The same material, wrapped for the related key of another Region. Raises ProviderError."""
        plain = await self.material(record, material.material_id)
        wrapped = await self.wrap(record.name.within(region), material.material_id, plain, material.created_ms)
        return replace(material, provider=wrapped.provider, wrapped=wrapped.wrapped)

    async def managed_by_s3(self, account_id: str, region: str, now_ms: int) -> KeyRecord:
        """The key aws/s3 of an account in a Region, made on first use; two workers that try at once get the same one."""
        alias = AliasName(account_id, region, S3_ALIAS)
        found = await self.alias(alias, now_ms)
        if found is not None:
            return found[1]
        policy = s3_managed_policy(account_id, region)
        made = await self.make(account_id, region, now_ms=now_ms, manager="AWS", description=S3_DESCRIPTION, policy=policy)
        made = replace(made, aliases=(S3_ALIAS,), rotation=first_rotation(now_ms))

        def work(transaction: Transaction) -> KeyRecord:
            value = transaction.document(alias.scope, ALIAS_KIND)
            if value is not None:
                name = AliasRecord.read(alias, value).key
                return KeyRecord.read(name, transaction.document(name.scope, KEY_KIND))
            transaction.set_document(made.name.scope, KEY_KIND, made.document())
            transaction.set_document(alias.scope, ALIAS_KIND, AliasRecord(alias, made.name.key_id, now_ms, now_ms).document())
            return made

        return await self.catalog.write(work)

    async def change(self, name: KeyName, now_ms: int, work: Callable[[Transaction, KeyRecord], KeyRecord]) -> KeyRecord | None:
        """Replace the record by what ``work`` makes of it, in one transaction. None when the key is gone; ``work`` may raise.

        A deletion that is scheduled by it is put on the queue of ``notices``.
        """

        def within(transaction: Transaction) -> KeyRecord | None:
            record = read_key(transaction, name, now_ms)
            if record is None:
                return None
            changed = work(transaction, record)
            if changed != record:
                transaction.set_document(name.scope, KEY_KIND, changed.document())
                if changed.deletion_ms not in {None, record.deletion_ms}:
                    announce(transaction, name)
            return changed

        return await self.catalog.write(within)

    # --- using

    async def seal(self, record: KeyRecord, plain: bytes, context: Mapping[str, str]) -> bytes:
        """A ciphertext blob under the current material. Raises ContextError, ProviderError."""
        material = await self.material(record)
        return seal_blob(record.name, record.current, material, plain, context, self.random(RANDOM_SIZE))

    async def open(self, record: KeyRecord, blob: Blob, context: Mapping[str, str]) -> bytes:
        """Raises BlobError (also for a material this key never had), ContextError, ProviderError."""
        if record.spec != SYMMETRIC or not record.name.related(blob.key) or record.material(blob.material_id) is None:
            raise BlobError
        return open_blob(blob, await self.material(record, blob.material_id), context)

    async def check_material(self, record: KeyRecord, material_id: str) -> None:
        """Whether that material opens, asked anew and kept by nobody. Raises ProviderError."""
        await self.provider.unwrap(self._wrapped(record, material_id), key_binding(record.name, material_id))

    async def material(self, record: KeyRecord, material_id: str | None = None) -> bytes:
        """The plain material, None: the current one. Raises ProviderError, Unavailable also for what was deleted or expired.

        Of a key that nobody may use now nothing stays in memory: the server looks by itself whether what it sealed is whole.
        """
        material_id = material_id or record.current
        where = (record.name, material_id)
        generation, wrapped = self._fresh(), self._wrapped(record, material_id)
        known = self._materials.get(where)
        if known is not None:
            return known.plain
        plain = await self.provider.unwrap(wrapped, key_binding(record.name, material_id))
        if record.state == "Enabled":
            self._remember(self._materials, where, _Open(plain, record.until_ms), generation)
        return plain

    def _wrapped(self, record: KeyRecord, material_id: str) -> bytes:
        """Raises Unavailable."""
        material = record.material(material_id)
        if material is None or not material.wrapped or material.provider != self.provider.name:
            raise Unavailable(f"no provider for the material of {record.name.arn}")
        return material.wrapped

    def known_material(self, name: KeyName, material_id: str) -> bytes | None:
        """The plain material, if it was opened before and nothing in the catalog has changed since; None: ask ``material``."""
        known = self._materials.get((name, material_id)) if self.catalog.generation() == self._generation else None
        return None if known is None else known.plain

    def forget_old(self, now_ms: int) -> None:
        """Plain material leaves memory when anything has changed in the catalog or its key has, by itself; also while nobody asks."""
        self._fresh()
        for where in [
            where for where, known in self._materials.items() if known.until_ms is not None and known.until_ms <= now_ms
        ]:
            del self._materials[where]

    # --- remembering

    def _fresh(self) -> int:
        generation = self.catalog.generation()
        if generation != self._generation:
            self._keys.clear()
            self._aliases.clear()
            self._materials.clear()
            self._generation = generation
        return generation

    def _remember(self, memory: dict[_K, _V], name: _K, value: _V, generation: int) -> None:
        """What was read while the generation changed may be old already: it serves this request and is not kept."""
        if generation == self._generation:
            if len(memory) >= _REMEMBERED:
                del memory[next(iter(memory))]
            memory[name] = value


class _Open(NamedTuple):
    plain: bytes
    until_ms: int | None  # when the key changes by itself: its deletion, or the end of imported material

    def __repr__(self) -> str:
        """Without what it holds."""
        return f"_Open(until_ms={self.until_ms})"


_K = TypeVar("_K")
_V = TypeVar("_V")


def read_key(transaction: Transaction, name: KeyName, now_ms: int) -> KeyRecord | None:
    """As ``KeyRing.key``, within a transaction."""
    value = transaction.document(name.scope, KEY_KIND)
    if value is None:
        return None
    record = KeyRecord.read(name, value)
    return None if record.gone(now_ms) else record.at(now_ms)


def read_alias(transaction: Transaction, name: AliasName, now_ms: int) -> AliasRecord | None:
    """As ``KeyRing.alias``: an alias whose key is gone is gone as well."""
    value = transaction.document(name.scope, ALIAS_KIND)
    if value is None:
        return None
    alias = AliasRecord.read(name, value)
    return None if read_key(transaction, alias.key, now_ms) is None else alias
