"""IAM's operations on users: made, read, listed, deleted.

A user is nobody to the judge before a policy says otherwise. Never knows how a decision is made, or what an access key signs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, records, refusals
from strongroom.iam.boundaries import create, destroy, shown_boundary
from strongroom.iam.directory import milliseconds, moment, shown_tags
from strongroom.iam.entities import Entity

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory


class Users:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "CreateUser", "iam:CreateUser", on="run")
    async def create_user(self, call: Call) -> Answer:
        given, account_id = call.input, call.caller.account_id
        name, path, boundary = given["UserName"], given.get("Path") or "/", given.get("PermissionsBoundary") or ""
        await call.allow(directory.action(call), entities.arn(account_id, "user", path, name))
        user = Entity(
            account_id,
            "user",
            name,
            path,
            unique_id=entities.new_id("user", self._shelf.random),
            created_ms=milliseconds(call.now),
            tags=directory.tagged((), given.get("Tags") or []),
            boundary=boundary,
        )
        await create(self._shelf, user)
        return Answer({"User": shown(user, whole=True)})

    @operation("iam", "GetUser", "iam:GetUser", on="run")
    async def get_user(self, call: Call) -> Answer:
        """Of the caller itself when no name is given; the account's root has no name."""
        if "UserName" not in call.input and call.caller.user_id == call.caller.account_id:
            await call.allow("iam:GetUser", call.caller.arn)
            return Answer({"User": await self._root(call)})
        return Answer({"User": shown(await self._shelf.allowed(named(call), "user"), whole=True)})

    @operation("iam", "ListUsers", "iam:ListUsers", on="run")
    async def list_users(self, call: Call) -> Answer:
        await call.allow("iam:ListUsers", entities.arn(call.caller.account_id, "user", call.input.get("PathPrefix") or "/", ""))
        found, more = await self._shelf.entities(call, "user")
        return Answer({"Users": [shown(one) for one in found], **more})

    @operation("iam", "DeleteUser", "iam:DeleteUser", on="run")
    async def delete_user(self, call: Call) -> Answer:
        user = await self._shelf.allowed(call, "user")
        await destroy(
            self._shelf,
            user,
            lambda found: (
                (found.access_keys, "delete access keys"),
                (found.attached, "detach all policies"),
                (found.inline, "delete policies"),
                (found.groups, "remove users from group"),
            ),
        )
        return Answer()

    async def _root(self, call: Call) -> dict[str, Any]:
        value = await self._shelf.catalog.document(records.account_scope(call.caller.account_id), records.ACCOUNT)
        account = records.Account.from_document(call.caller.account_id, value or {})
        return {"UserId": account.account_id, "Arn": call.caller.arn, "CreateDate": moment(account.created_ms)}


def named(call: Call) -> Call:
    """The call with the caller's own name where none is given. Raises ApiError ValidationError when the caller is no user."""
    if "UserName" in call.input:
        return call
    name = user_name(call.caller.arn)
    if not name:
        raise refusals.invalid("Must specify userName when calling with non-User credentials")
    return replace(call, input={**call.input, "UserName": name})


def user_name(caller_arn: str) -> str:
    """The name of a user; nothing for whoever is no user."""
    resource = caller_arn.split(":", 5)[-1]
    return resource.rpartition("/")[2] if resource.startswith("user/") else ""


def shown(user: Entity, *, whole: bool = False) -> Mapping[str, Any]:
    """As answers show it; lists leave its tags and boundary out."""
    answer: dict[str, Any] = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.unique_id,
        "Arn": user.arn,
        "CreateDate": moment(user.created_ms),
    }
    if whole and user.boundary:
        answer["PermissionsBoundary"] = shown_boundary(user.boundary)
    if whole and user.tags:
        answer["Tags"] = shown_tags(user.tags)
    return answer
