"""Permissions boundaries of users and roles: set, changed, taken away. A boundary is noted on both sides, in one transaction.

Never knows what a boundary says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, refusals
from strongroom.iam.directory import sort_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from strongroom.iam.directory import Directory
    from strongroom.iam.entities import Entity
    from strongroom.store.contract import Transaction


class Boundaries:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "PutUserPermissionsBoundary", "iam:PutUserPermissionsBoundary", on="run")
    @operation("iam", "PutRolePermissionsBoundary", "iam:PutRolePermissionsBoundary", on="run")
    async def put(self, call: Call) -> Answer:
        boundary = call.input["PermissionsBoundary"]

        def work(transaction: Transaction, found: Entity) -> Entity:
            unbind(transaction, found)
            bind(transaction, found, boundary)
            return replace(found, boundary=boundary)

        await self._shelf.change(await self._shelf.allowed(call, sort_of(call)), work)
        return Answer()

    @operation("iam", "DeleteUserPermissionsBoundary", "iam:DeleteUserPermissionsBoundary", on="run")
    @operation("iam", "DeleteRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", on="run")
    async def delete(self, call: Call) -> Answer:
        def work(transaction: Transaction, found: Entity) -> Entity:
            unbind(transaction, found)
            return replace(found, boundary="")

        await self._shelf.change(await self._shelf.allowed(call, sort_of(call)), work)
        return Answer()


async def create(shelf: Directory, entity: Entity) -> None:
    """Keep a new user, group or role, under the boundary it names, if any.

    Raises ApiError EntityAlreadyExists, NoSuchEntity, ValidationError.
    """

    def within(transaction: Transaction) -> None:
        directory.insert(transaction, entity)
        if entity.boundary:
            bind(transaction, entity, entity.boundary)

    await shelf.catalog.write(within)


async def destroy(shelf: Directory, entity: Entity, obstacles: Callable[[Entity], Iterable[tuple[Collection[str], str]]]) -> None:
    """Take a user, group or role away, and its boundary's note of it. ``obstacles``: what must be empty before, and what to do about it.

    Raises ApiError NoSuchEntity, DeleteConflict for the first obstacle.
    """

    def within(transaction: Transaction) -> None:
        found = directory.current(transaction, entity)
        for left, what in obstacles(found):
            if left:
                raise refusals.conflict(what)
        unbind(transaction, found)
        directory.remove(transaction, found)

    await shelf.catalog.write(within)


def shown_boundary(policy_arn: str) -> dict[str, str]:
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": policy_arn}


def bind(transaction: Transaction, entity: Entity, policy_arn: str) -> None:
    """Raises ApiError NoSuchEntity, ValidationError."""
    policy = directory.managed(transaction, policy_arn)
    if policy is None or policy.account_id != entity.account_id:
        raise refusals.not_attachable(policy_arn)
    others = directory.without(policy.bounding, entity.label)
    directory.put_policy(transaction, replace(policy, bounding=(*others, entity.label)))


def unbind(transaction: Transaction, entity: Entity) -> None:
    policy = directory.managed(transaction, entity.boundary) if entity.boundary else None
    if policy is not None:
        directory.put_policy(transaction, replace(policy, bounding=directory.without(policy.bounding, entity.label)))
