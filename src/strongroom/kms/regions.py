"""Multi-Region keys in the KMS API: a primary key is replicated into other Regions, and the primary role moves between them.

All Regions are in this one server, so a replica is complete when it is answered. Never knows what is sealed under a key, nor
where a Region is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, authorize, check_region, failure, find
from strongroom.kms.contract import ProviderError
from strongroom.kms.key_policies import PUT
from strongroom.kms.keys import key_metadata
from strongroom.kms.questions import of_key
from strongroom.kms.records import EXTERNAL, KEY_KIND, TOMBSTONE_KIND, KeyRecord, Material, milliseconds
from strongroom.kms.relatives import share
from strongroom.kms.ring import KeyRing, read_key
from strongroom.kms.states import check_state
from strongroom.kms.tagging import given_tags

if TYPE_CHECKING:
    from strongroom.kms.deletion import Deletion
    from strongroom.kms.key_policies import GivenPolicy, KeyPolicies
    from strongroom.kms.names import KeyName
    from strongroom.kms.tagging import Tags
    from strongroom.store.contract import Transaction

REPLICATE: Final = Use("ReplicateKey", "kms:ReplicateKey")
UPDATE: Final = Use("UpdatePrimaryRegion", "kms:UpdatePrimaryRegion")


class Regions:
    def __init__(self, ring: KeyRing, deletion: Deletion, policies: KeyPolicies) -> None:
        self._ring = ring
        self._deletion = deletion
        self._policies = policies

    @operation("kms", "ReplicateKey", "kms:ReplicateKey", on="run")
    async def replicate_key(self, call: Call) -> Answer:
        region: str = call.input["ReplicaRegion"]
        check_region(region)
        tags = given_tags(call.input.get("Tags") or ())
        primary = await find(self._ring, call, REPLICATE)
        alike = replace(primary, tags=(), aliases=())  # what of the primary key its replica will have
        policy = await self._policies.of_new_key(call, primary.name.within(region), of_key(call, PUT.action, alike))
        for action in ("kms:CreateKey", *(("kms:TagResource",) if tags else ())):
            await call.allow(action, "*", about=of_key(call, action, alike))
        _check_primary(primary, REPLICATE)
        now_ms = milliseconds(call.now)
        await self._deletion.destroy(primary.name.within(region), now_ms)  # one that is gone by the clock makes room
        replica: KeyRecord | None = None
        while replica is None:  # again, when the key was rotated meanwhile
            current = await self._ring.key(primary.name, now_ms)
            if current is None:
                raise refusals.missing_key(primary.name.arn)
            given = _replica(current, region, now_ms, call.input.get("Description") or "", policy, tags)
            replica = await self._store(replace(given, materials=await self._materials(current, region)), primary.name, now_ms)
        # As on AWS the answer says that it is being made, though it is there and enabled.
        metadata = {**key_metadata(replica), "KeyState": "Creating", "Enabled": False}
        output: dict[str, Any] = {"ReplicaKeyMetadata": metadata, "ReplicaPolicy": policy.text}
        return Answer(output | {"ReplicaTags": [{"TagKey": key, "TagValue": value} for key, value in tags]})

    @operation("kms", "UpdatePrimaryRegion", "kms:UpdatePrimaryRegion", on="run")
    async def update_primary_region(self, call: Call) -> Answer:
        """Done when it answers: AWS does it a little later."""
        region: str = call.input["PrimaryRegion"]
        primary = await find(self._ring, call, UPDATE)
        now_ms = milliseconds(call.now)
        _check_primary(primary, UPDATE)
        replica = await self._ring.key(primary.name.within(region), now_ms)
        if replica is None:
            raise refusals.missing_key(primary.name.within(region).arn)
        if replica.name == primary.name:
            raise ApiError("UnsupportedOperationException", f"{primary.name.arn} is the multi-region primary key already.")
        await authorize(call, replica, UPDATE)

        def work(transaction: Transaction, record: KeyRecord) -> KeyRecord:
            _check_primary(record, UPDATE)
            heir = read_key(transaction, replica.name, now_ms)
            if heir is None:
                raise refusals.missing_key(replica.name.arn)
            check_state(heir, UPDATE.operation)
            share(transaction, record, lambda other: replace(other, primary=region))
            return replace(record, primary=region)

        if await self._ring.change(primary.name, now_ms, work) is None:
            raise refusals.missing_key(primary.name.arn)
        return Answer()

    async def _materials(self, record: KeyRecord, region: str) -> tuple[Material, ...]:
        """The same material for the same key in another Region; imported material the customer has to import there too."""
        if record.origin == EXTERNAL:
            return tuple(replace(material, wrapped=b"", expires_ms=None) for material in record.materials)
        try:
            return tuple([await self._ring.moved(record, material, region) for material in record.materials])
        except ProviderError as error:
            raise failure(error) from error

    async def _store(self, replica: KeyRecord, name: KeyName, now_ms: int) -> KeyRecord | None:
        """The replica as it is stored; None when its primary key has other material by now. Raises ApiError."""

        def work(transaction: Transaction) -> KeyRecord | None:
            primary = read_key(transaction, name, now_ms)
            if primary is None:
                raise refusals.missing_key(name.arn)
            _check_primary(primary, REPLICATE)
            if read_key(transaction, replica.name, now_ms) is not None:
                raise ApiError("AlreadyExistsException", f"Key '{replica.name.arn}' already exists")
            if [each.material_id for each in primary.materials] != [each.material_id for each in replica.materials]:
                return None
            regions = (*primary.regions, replica.name.region)
            share(transaction, primary, lambda other: replace(other, regions=regions))
            stored = replace(replica, regions=regions, current=primary.current, rotation=primary.rotation)
            transaction.set_document(name.scope, KEY_KIND, replace(primary, regions=regions).document())
            transaction.set_document(stored.name.scope, KEY_KIND, stored.document())
            transaction.set_document(stored.name.scope, TOMBSTONE_KIND, None)
            return stored

        return await self._ring.catalog.write(work)


def _replica(primary: KeyRecord, region: str, now_ms: int, description: str, policy: GivenPolicy, tags: Tags) -> KeyRecord:
    """What the keys share, and what each has of its own. Still without material."""
    return KeyRecord(
        name=primary.name.within(region),
        created_ms=now_ms,
        manager=primary.manager,
        description=description,
        policy=policy.text,
        policy_ids=policy.ids,
        current=primary.current,
        materials=(),
        state="PendingImport" if primary.origin == EXTERNAL else "Enabled",
        tags=tags,
        spec=primary.spec,
        usage=primary.usage,
        origin=primary.origin,
        primary=primary.primary,
        regions=primary.regions,
    )


def _check_primary(record: KeyRecord, use: Use) -> None:
    """State first. Raises ApiError for a key of one Region, and for a replica."""
    check_state(record, use.operation)
    if record.primary != record.name.region:
        raise refusals.not_primary(record.name.arn)
