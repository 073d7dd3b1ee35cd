"""IAM's operations on the policies that are part of a user, group or role: put, got, listed, deleted; documents are kept as they came.

Never knows how a policy is weighed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, refusals
from strongroom.iam.directory import sort_of
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.identity_documents import (
    MOST_GROUP_INLINE,
    MOST_ROLE_INLINE,
    MOST_USER_INLINE,
    counted_size,
    read_identity_policy,
)

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.iam.entities import Entity, Sort
    from strongroom.store.contract import Transaction

_MOST: Final[dict[Sort, int]] = {"user": MOST_USER_INLINE, "group": MOST_GROUP_INLINE, "role": MOST_ROLE_INLINE}


class InlinePolicies:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "PutUserPolicy", "iam:PutUserPolicy", on="run")
    @operation("iam", "PutGroupPolicy", "iam:PutGroupPolicy", on="run")
    @operation("iam", "PutRolePolicy", "iam:PutRolePolicy", on="run")
    async def put(self, call: Call) -> Answer:
        name, text = call.input["PolicyName"], call.input["PolicyDocument"]
        entity = await self._shelf.allowed(call, sort_of(call))
        try:
            read_identity_policy(text, name)
        except InvalidPolicy as error:
            raise refusals.malformed_policy(error) from None
        await self._shelf.change(entity, lambda _, found: _with(found, name, text))
        return Answer()

    @operation("iam", "GetUserPolicy", "iam:GetUserPolicy", on="run")
    @operation("iam", "GetGroupPolicy", "iam:GetGroupPolicy", on="run")
    @operation("iam", "GetRolePolicy", "iam:GetRolePolicy", on="run")
    async def get(self, call: Call) -> Answer:
        name = call.input["PolicyName"]
        entity = await self._shelf.allowed(call, sort_of(call))
        if name not in entity.inline:
            raise _missing(entity, name)
        owner: dict[str, Any] = {f"{entity.sort.title()}Name": entity.name}
        return Answer({**owner, "PolicyName": name, "PolicyDocument": shown_document(entity.inline[name])})

    @operation("iam", "ListUserPolicies", "iam:ListUserPolicies", on="run")
    @operation("iam", "ListGroupPolicies", "iam:ListGroupPolicies", on="run")
    @operation("iam", "ListRolePolicies", "iam:ListRolePolicies", on="run")
    async def list(self, call: Call) -> Answer:
        entity = await self._shelf.allowed(call, sort_of(call))
        names, more = directory.page(call, tuple(entity.inline), str)
        return Answer({"PolicyNames": names, **more})

    @operation("iam", "DeleteUserPolicy", "iam:DeleteUserPolicy", on="run")
    @operation("iam", "DeleteGroupPolicy", "iam:DeleteGroupPolicy", on="run")
    @operation("iam", "DeleteRolePolicy", "iam:DeleteRolePolicy", on="run")
    async def delete(self, call: Call) -> Answer:
        name = call.input["PolicyName"]

        def work(_: Transaction, found: Entity) -> Entity:
            if name not in found.inline:
                raise _missing(found, name)
            return replace(found, inline={one: text for one, text in found.inline.items() if one != name})

        await self._shelf.change(await self._shelf.allowed(call, sort_of(call)), work)
        return Answer()


def shown_document(text: str) -> str:
    """As answers carry it: URL-encoded (RFC 3986); clients decode it once."""
    return quote(text, safe="")


def _with(entity: Entity, name: str, text: str) -> Entity:
    inline = {**entity.inline, name: text}
    most = _MOST[entity.sort]
    if sum(counted_size(one) for one in inline.values()) > most:
        raise ApiError("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for {entity.sort} {entity.name}")
    return replace(entity, inline=inline)


def _missing(entity: Entity, name: str) -> ApiError:
    return ApiError("NoSuchEntity", f"The {entity.sort} policy with name {name} cannot be found.")
