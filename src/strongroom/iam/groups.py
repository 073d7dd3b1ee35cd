"""IAM's operations on groups: made, read, listed, deleted, and who is in them. Membership is noted on both sides, in one transaction.

Never knows what a group's policies say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, refusals
from strongroom.iam.boundaries import create, destroy
from strongroom.iam.directory import milliseconds, moment
from strongroom.iam.entities import KINDS, Entity
from strongroom.iam.users import shown as shown_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.iam.directory import Directory
    from strongroom.iam.entities import Sort
    from strongroom.store.contract import Transaction

MOST: Final = 10  # groups of one user


class Groups:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "CreateGroup", "iam:CreateGroup", on="run")
    async def create_group(self, call: Call) -> Answer:
        account_id, name, path = call.caller.account_id, call.input["GroupName"], call.input.get("Path") or "/"
        await call.allow("iam:CreateGroup", entities.arn(account_id, "group", path, name))
        unique_id = entities.new_id("group", self._shelf.random)
        group = Entity(account_id, "group", name, path, unique_id, milliseconds(call.now))
        await create(self._shelf, group)
        return Answer({"Group": _shown(group)})

    @operation("iam", "GetGroup", "iam:GetGroup", on="run")
    async def get_group(self, call: Call) -> Answer:
        group = await self._shelf.allowed(call, "group")
        names, more = directory.page(call, group.members, str)
        users = await self._these(group.account_id, "user", names)
        return Answer({"Group": _shown(group), "Users": [shown_user(one) for one in users], **more})

    @operation("iam", "ListGroups", "iam:ListGroups", on="run")
    async def list_groups(self, call: Call) -> Answer:
        await call.allow("iam:ListGroups", entities.arn(call.caller.account_id, "group", call.input.get("PathPrefix") or "/", ""))
        found, more = await self._shelf.entities(call, "group")
        return Answer({"Groups": [_shown(one) for one in found], **more})

    @operation("iam", "DeleteGroup", "iam:DeleteGroup", on="run")
    async def delete_group(self, call: Call) -> Answer:
        group = await self._shelf.allowed(call, "group")
        await destroy(
            self._shelf,
            group,
            lambda found: (
                (found.members, "remove users from group"),
                (found.attached, "detach all policies"),
                (found.inline, "delete policies"),
            ),
        )
        return Answer()

    @operation("iam", "AddUserToGroup", "iam:AddUserToGroup", on="run")
    async def add_user_to_group(self, call: Call) -> Answer:
        """Also of one who is in it already."""
        name = call.input["UserName"]

        def work(transaction: Transaction, group: Entity) -> Entity:
            user = _user(transaction, group, name)
            member, label = user.name.lower(), group.name.lower()
            if len({*user.groups, label}) > MOST:
                raise refusals.quota("GroupsPerUser", MOST)
            directory.put(transaction, replace(user, groups=(*directory.without(user.groups, label), label)))
            return replace(group, members=(*directory.without(group.members, member), member))

        await self._shelf.change(await self._shelf.allowed(call, "group"), work)
        return Answer()

    @operation("iam", "RemoveUserFromGroup", "iam:RemoveUserFromGroup", on="run")
    async def remove_user_from_group(self, call: Call) -> Answer:
        name = call.input["UserName"]

        def work(transaction: Transaction, group: Entity) -> Entity:
            user = _user(transaction, group, name)
            directory.put(transaction, replace(user, groups=directory.without(user.groups, group.name.lower())))
            return replace(group, members=directory.without(group.members, user.name.lower()))

        await self._shelf.change(await self._shelf.allowed(call, "group"), work)
        return Answer()

    @operation("iam", "ListGroupsForUser", "iam:ListGroupsForUser", on="run")
    async def list_groups_for_user(self, call: Call) -> Answer:
        user = await self._shelf.allowed(call, "user")
        names, more = directory.page(call, user.groups, str)
        return Answer({"Groups": [_shown(one) for one in await self._these(user.account_id, "group", names)], **more})

    async def _these(self, account_id: str, sort: Sort, names: Sequence[str]) -> list[Entity]:
        found = [await self._shelf.catalog.document(entities.scope(account_id, sort, name), KINDS[sort]) for name in names]
        return [Entity.from_document(account_id, sort, value) for value in found if value is not None]


def _user(transaction: Transaction, group: Entity, name: str) -> Entity:
    found = directory.find(transaction, group.account_id, "user", name)
    if found is None:
        raise refusals.missing("user", name)
    return found


def _shown(group: Entity) -> dict[str, Any]:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.unique_id,
        "Arn": group.arn,
        "CreateDate": moment(group.created_ms),
    }
