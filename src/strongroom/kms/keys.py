"""Customer keys of the KMS API: create, describe, list, re-describe, enable, disable.

Never knows buckets or objects, how a request was signed, or how material is wrapped.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, change, check_region, failure, find
from strongroom.kms.contract import ProviderError
from strongroom.kms.key_policies import PUT
from strongroom.kms.material import MaterialError
from strongroom.kms.names import KeyName
from strongroom.kms.paging import Markers, limit
from strongroom.kms.questions import of_new_key
from strongroom.kms.records import EXTERNAL, KEY_KIND, SYMMETRIC, KeyRecord, milliseconds, moment
from strongroom.kms.rotation import rotate_if_due
from strongroom.kms.specs import algorithms, asked_kind
from strongroom.kms.tagging import given_tags

if TYPE_CHECKING:
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.key_policies import KeyPolicies
    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

DESCRIBE: Final = Use("DescribeKey", "kms:DescribeKey", aliases=True, foreign=True, makes_managed=True)
UPDATE_DESCRIPTION: Final = Use("UpdateKeyDescription", "kms:UpdateKeyDescription")
ENABLE: Final = Use("EnableKey", "kms:EnableKey")
DISABLE: Final = Use("DisableKey", "kms:DisableKey")
_UNKNOWN: Final = "new"  # stands for the id of a key that is not made yet: no policy could have named it


class Keys:
    def __init__(self, ring: KeyRing, markers: Markers, tokens: GrantTokens, policies: KeyPolicies) -> None:
        self._ring = ring
        self._markers = markers
        self._tokens = tokens
        self._policies = policies

    @operation("kms", "CreateKey", "kms:CreateKey", on="service", about=partial(of_new_key, "kms:CreateKey"))
    async def create_key(self, call: Call) -> Answer:
        kind = asked_kind(call.input)
        check_region(call.region)
        tags = given_tags(call.input.get("Tags") or ())
        name = KeyName(call.caller.account_id, call.region, _UNKNOWN)
        policy = await self._policies.of_new_key(call, name, of_new_key(PUT.action, call.caller, call.input))
        if tags:
            await call.allow("kms:TagResource", "*", about=of_new_key("kms:TagResource", call.caller, call.input))
        try:
            record = await self._ring.make(
                call.caller.account_id,
                call.region,
                now_ms=milliseconds(call.now),
                manager="CUSTOMER",
                description=call.input.get("Description") or "",
                policy=policy.text,
                tags=tags,
                kind=kind,
            )
            record = replace(record, policy_ids=policy.ids)
        except MaterialError:
            raise refusals.unsupported(f"KeySpec {kind.spec}") from None
        except ProviderError as error:
            raise failure(error) from error

        def work(transaction: Transaction) -> None:
            transaction.set_document(record.name.scope, KEY_KIND, record.document())

        await self._ring.catalog.write(work)
        return Answer({"KeyMetadata": key_metadata(record)})

    @operation("kms", "DescribeKey", "kms:DescribeKey", on="run")
    async def describe_key(self, call: Call) -> Answer:
        await self._tokens.check(call)
        record = await find(self._ring, call, DESCRIBE)
        return Answer({"KeyMetadata": key_metadata(record)})

    @operation("kms", "ListKeys", "kms:ListKeys", on="service")
    async def list_keys(self, call: Call) -> Answer:
        # Only keys of the caller's own account exist for it: nothing is shared through a resource manager here.
        if "SELF" not in (call.input.get("ResourceOwners") or ("SELF",)):
            return Answer({"Keys": [], "Truncated": False})
        size = limit(call, 100, 1000)
        after = self._markers.read(call)
        names: list[KeyName] = []
        prefix = KeyName(call.caller.account_id, call.region, "").scope
        place = prefix + after
        while len(names) <= size:
            rows = await self._ring.catalog.documents(KEY_KIND, prefix=prefix, after=place, limit=size + 1)
            found = [(KeyName(call.caller.account_id, call.region, scope.removeprefix(prefix)), value) for scope, value in rows]
            names += [name for name, value in found if not KeyRecord.read(name, value).gone(milliseconds(call.now))]
            if len(rows) <= size:
                break
            place = rows[-1][0]
        page = names[:size]
        output: dict[str, Any] = {
            "Keys": [{"KeyId": name.key_id, "KeyArn": name.arn} for name in page],
            "Truncated": len(names) > size,
        }
        if len(names) > size:
            output["NextMarker"] = self._markers.write(call, page[-1].key_id)
        return Answer(output)

    @operation("kms", "UpdateKeyDescription", "kms:UpdateKeyDescription", on="run")
    async def update_key_description(self, call: Call) -> Answer:
        description: str = call.input["Description"]
        await change(self._ring, call, UPDATE_DESCRIPTION, lambda record: replace(record, description=description))
        return Answer()

    @operation("kms", "EnableKey", "kms:EnableKey", on="run")
    async def enable_key(self, call: Call) -> Answer:
        record = await change(self._ring, call, ENABLE, lambda record: replace(record, state="Enabled"))
        with suppress(ProviderError):  # upkeep comes back to it
            await rotate_if_due(self._ring, record)
        return Answer()

    @operation("kms", "DisableKey", "kms:DisableKey", on="run")
    async def disable_key(self, call: Call) -> Answer:
        await change(self._ring, call, DISABLE, lambda record: replace(record, state="Disabled"))
        return Answer()


def key_metadata(record: KeyRecord) -> dict[str, Any]:
    """The model's KeyMetadata."""
    member, values = algorithms(record.spec, record.usage)
    metadata: dict[str, Any] = {
        "AWSAccountId": record.name.account_id,
        "KeyId": record.name.key_id,
        "Arn": record.name.arn,
        "CreationDate": moment(record.created_ms),
        "Enabled": record.state == "Enabled",
        "Description": record.description,
        "KeyUsage": record.usage,
        "KeyState": record.state,
        "Origin": record.origin,
        "KeyManager": record.manager,
        "CustomerMasterKeySpec": record.spec,
        "KeySpec": record.spec,
        member: list(values),
        "MultiRegion": record.primary is not None,
    }
    if record.spec == SYMMETRIC and record.current:
        metadata["CurrentKeyMaterialId"] = record.current
    if record.deletion_ms is not None:
        metadata["DeletionDate"] = moment(record.deletion_ms)
    if record.waiting_days is not None:
        metadata["PendingDeletionWindowInDays"] = record.waiting_days
    if record.primary is not None:
        metadata["MultiRegionConfiguration"] = _related(record, record.primary)
    return {**metadata, **_expiration(record)}


def _related(record: KeyRecord, primary: str) -> dict[str, Any]:
    keys = [{"Arn": record.name.within(region).arn, "Region": region} for region in record.regions]
    return {
        "MultiRegionKeyType": "REPLICA" if record.replica else "PRIMARY",
        "PrimaryKey": next(key for key in keys if key["Region"] == primary),
        "ReplicaKeys": [key for key in keys if key["Region"] != primary],
    }


def _expiration(record: KeyRecord) -> dict[str, Any]:
    """Of imported material that is there: when the first of it will be gone."""
    if record.origin != EXTERNAL or record.lacking:
        return {}
    times = [material.expires_ms for material in record.materials if material.expires_ms is not None]
    if not times:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": moment(min(times))}
