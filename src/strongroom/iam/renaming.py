"""IAM's UpdateUser and UpdateGroup: a new name or path. Whatever names the user or group by its name follows, in one transaction.

Its unique id stays, so what is bound to that (policies of buckets and roles, sessions) need not. Never knows what any of them says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, records

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.iam.entities import Entity, Sort
    from strongroom.store.contract import Transaction


class Renaming:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "UpdateUser", "iam:UpdateUser", on="run")
    async def update_user(self, call: Call) -> Answer:
        """Groups, policies and access keys follow."""
        await self._rename(call, "user", call.input.get("NewUserName"))
        return Answer()

    @operation("iam", "UpdateGroup", "iam:UpdateGroup", on="run")
    async def update_group(self, call: Call) -> Answer:
        """Members and policies follow."""
        await self._rename(call, "group", call.input.get("NewGroupName"))
        return Answer()

    async def _rename(self, call: Call, sort: Sort, new_name: str | None) -> None:
        """The right is needed on both ARNs. Raises ApiError AccessDenied, EntityAlreadyExists, NoSuchEntity."""
        entity = await self._shelf.allowed(call, sort)
        name, path = new_name or entity.name, call.input.get("NewPath") or entity.path
        await call.allow(directory.action(call), entities.arn(entity.account_id, sort, path, name))

        def within(transaction: Transaction) -> None:
            found = directory.current(transaction, entity)
            renamed = replace(found, name=name, path=path)
            if renamed.scope == found.scope:
                directory.put(transaction, renamed)
                return
            directory.remove(transaction, found)
            directory.insert(transaction, renamed)
            _follow(transaction, found, renamed)

        await self._shelf.catalog.write(within)


def _follow(transaction: Transaction, old: Entity, new: Entity) -> None:
    was, now = old.name.lower(), new.name.lower()
    for name in old.groups:
        group = directory.find(transaction, old.account_id, "group", name)
        if group is not None:
            directory.put(transaction, replace(group, members=_renamed(group.members, was, now)))
    for name in old.members:
        user = directory.find(transaction, old.account_id, "user", name)
        if user is not None:
            directory.put(transaction, replace(user, groups=_renamed(user.groups, was, now)))
    for policy_arn in sorted({*old.attached, old.boundary} - {""}):
        policy = directory.managed(transaction, policy_arn)
        if policy is not None:
            attached, bounding = (_renamed(labels, old.label, new.label) for labels in (policy.attached, policy.bounding))
            directory.put_policy(transaction, replace(policy, attached=attached, bounding=bounding))
    for access_key_id in old.access_keys:
        scope = records.access_key_scope(access_key_id)
        value: Any = transaction.document(scope, records.ACCESS_KEY)
        if value is not None:
            transaction.set_document(scope, records.ACCESS_KEY, {**value, "user": now})


def _renamed(names: tuple[str, ...], was: str, now: str) -> tuple[str, ...]:
    return tuple(now if one == was else one for one in names)
