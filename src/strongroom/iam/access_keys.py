"""IAM's operations on the access keys of users. A secret is sealed for its access key, account and user, and shown once.

Never knows what a signature is. The access keys of an account's root are the operator's (``identities``).
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, records, refusals
from strongroom.iam.directory import milliseconds, moment
from strongroom.iam.entities import KINDS, Entity
from strongroom.iam.records import AccessKey
from strongroom.iam.secrets import SecretSeal, new_secret
from strongroom.iam.users import named

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.store.contract import Transaction

MOST: Final = 2
_STATUS: Final = {True: "Active", False: "Inactive"}


class AccessKeys:
    """``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, shelf: Directory, iam_key: bytes) -> None:
        self._shelf = shelf
        self._seal = SecretSeal(iam_key, shelf.random)

    @operation("iam", "CreateAccessKey", "iam:CreateAccessKey", on="run")
    async def create_access_key(self, call: Call) -> Answer:
        user = await self._shelf.allowed(named(call), "user")
        access_key_id = f"AKIA{base64.b32encode(self._shelf.random(10)).decode('ascii')}"
        secret = new_secret(self._shelf.random)
        made = AccessKey(
            access_key_id, user.account_id, active=True, created_ms=milliseconds(call.now), user_id=user.unique_id, user=""
        )

        def work(transaction: Transaction, found: Entity) -> Entity:
            if len(found.access_keys) >= MOST:
                raise refusals.quota("AccessKeysPerUser", MOST)
            scope = records.access_key_scope(access_key_id)
            if transaction.document(scope, records.ACCESS_KEY) is not None:
                raise ApiError("EntityAlreadyExists")
            owned = replace(made, user=found.name.lower())
            transaction.set_document(
                scope, records.ACCESS_KEY, owned.to_document(self._seal.seal(secret, access_key_id, owned.owner))
            )
            return replace(found, access_keys=(*found.access_keys, access_key_id))

        user = await self._shelf.change(user, work)
        answer = {**_shown(user, made), "SecretAccessKey": secret}
        return Answer({"AccessKey": answer})

    @operation("iam", "ListAccessKeys", "iam:ListAccessKeys", on="run")
    async def list_access_keys(self, call: Call) -> Answer:
        user = await self._shelf.allowed(named(call), "user")
        ids, more = directory.page(call, user.access_keys, str)
        found = [(one, await self._shelf.catalog.document(records.access_key_scope(one), records.ACCESS_KEY)) for one in ids]
        shown = [_shown(user, AccessKey.from_document(one, value)) for one, value in found if value is not None]
        return Answer({"AccessKeyMetadata": shown, **more})

    @operation("iam", "UpdateAccessKey", "iam:UpdateAccessKey", on="run")
    async def update_access_key(self, call: Call) -> Answer:
        user = await self._shelf.allowed(named(call), "user")
        access_key_id, active = call.input["AccessKeyId"], call.input["Status"] == "Active"
        if call.input["Status"] not in _STATUS.values():
            raise refusals.invalid("The status of an access key is Active or Inactive.")

        def work(transaction: Transaction, found: Entity) -> Entity:
            scope, value = _own(transaction, found, access_key_id)
            transaction.set_document(scope, records.ACCESS_KEY, {**value, "active": active})
            return found

        await self._shelf.change(user, work)
        return Answer()

    @operation("iam", "DeleteAccessKey", "iam:DeleteAccessKey", on="run")
    async def delete_access_key(self, call: Call) -> Answer:
        user = await self._shelf.allowed(named(call), "user")
        access_key_id = call.input["AccessKeyId"]

        def work(transaction: Transaction, found: Entity) -> Entity:
            scope, _ = _own(transaction, found, access_key_id)
            transaction.set_document(scope, records.ACCESS_KEY, None)
            return replace(found, access_keys=directory.without(found.access_keys, access_key_id))

        await self._shelf.change(user, work)
        return Answer()

    @operation("iam", "GetAccessKeyLastUsed", "iam:GetAccessKeyLastUsed", on="run")
    async def get_access_key_last_used(self, call: Call) -> Answer:
        """Whose it is. When it was used is not kept: that would be a write for every request."""
        user = await self._owner(call)
        await call.allow(
            "iam:GetAccessKeyLastUsed", f"arn:aws:iam::{call.caller.account_id}:user/*" if user is None else user.arn
        )
        if user is None:  # unknown, another account's, or the root's: which of these is not told
            raise ApiError("AccessDenied")
        return Answer({"UserName": user.name, "AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}})

    async def _owner(self, call: Call) -> Entity | None:
        """The user of the caller's account whose access key the input names."""
        access_key_id, account_id = call.input["AccessKeyId"], call.caller.account_id
        value: Any = await self._shelf.catalog.document(records.access_key_scope(access_key_id), records.ACCESS_KEY)
        found = None if value is None else AccessKey.from_document(access_key_id, value)
        if found is None or found.account_id != account_id or not found.user:
            return None
        user = await self._shelf.catalog.document(entities.scope(account_id, "user", found.user), KINDS["user"])
        return None if user is None else Entity.from_document(account_id, "user", user)


def _own(transaction: Transaction, user: Entity, access_key_id: str) -> tuple[str, dict[str, Any]]:
    scope = records.access_key_scope(access_key_id)
    value: Any = transaction.document(scope, records.ACCESS_KEY) if access_key_id in user.access_keys else None
    if value is None:
        raise ApiError("NoSuchEntity", f"The Access Key with id {access_key_id} cannot be found.")
    return scope, value


def _shown(user: Entity, access_key: AccessKey) -> dict[str, Any]:
    return {
        "UserName": user.name,
        "AccessKeyId": access_key.access_key_id,
        "Status": _STATUS[access_key.active],
        "CreateDate": moment(access_key.created_ms),
    }
