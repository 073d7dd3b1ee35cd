"""Where the operations find and change users, groups, roles and managed policies, and how their lists are paged.

Who wants to change something is judged before, on what is there; the change itself is one transaction that looks again. Never knows
what an operation means, nor HTTP.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from strongroom.iam import entities, refusals
from strongroom.iam.entities import KINDS, POLICY, UNIQUE_ID, Entity, ManagedPolicy, Sort

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.store.contract import Catalog, Transaction

T = TypeVar("T")

_POLICY_ARN: Final = re.compile(r"arn:aws:iam::([0-9]{12}|aws):policy/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,128})", re.ASCII)
_NAMES: Final[dict[Sort, str]] = {"user": "UserName", "group": "GroupName", "role": "RoleName"}
_PAGE: Final = 100
_MOST_TAGS: Final = 50


def moment(milliseconds: int) -> datetime:
    """As IAM shows times: whole seconds."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


class Directory:
    """``random`` gives the bytes of ids."""

    def __init__(self, catalog: Catalog, random: Callable[[int], bytes] = os.urandom) -> None:
        self.catalog = catalog
        self.random = random

    # ------------------------------------------------------------------------------------------------------ one at a time

    async def allowed(self, call: Call, sort: Sort) -> Entity:
        """The user, group or role that the input names, if the caller may do to it what it asks for.

        Raises ApiError AccessDenied, also for one that is not there; NoSuchEntity.
        """
        name = call.input[_NAMES[sort]]
        account_id = call.caller.account_id
        value = await self.catalog.document(entities.scope(account_id, sort, name), KINDS[sort])
        found = None if value is None else Entity.from_document(account_id, sort, value)
        await call.allow(action(call), entities.arn(account_id, sort, "/", name) if found is None else found.arn)
        if found is None:
            raise refusals.missing(sort, name)
        return found

    async def change(self, entity: Entity, work: Callable[[Transaction, Entity], Entity]) -> Entity:
        """Change what is there now. Raises ApiError NoSuchEntity when it is another or gone, and what ``work`` raises."""

        def within(transaction: Transaction) -> Entity:
            changed = work(transaction, current(transaction, entity))
            put(transaction, changed)
            return changed

        return await self.catalog.write(within)

    async def policy(self, policy_arn: str) -> ManagedPolicy | None:
        """The managed policy of exactly that ARN. Raises ApiError ValidationError when it is none."""
        account_id, name = read_policy_arn(policy_arn)
        value = await self.catalog.document(entities.scope(account_id, "policy", name), POLICY)
        return _policy_of(value, account_id, policy_arn)

    async def allowed_policy(self, call: Call) -> ManagedPolicy:
        """The managed policy of ``PolicyArn``. Raises ApiError AccessDenied, NoSuchEntity, ValidationError."""
        policy_arn = call.input["PolicyArn"]
        read_policy_arn(policy_arn)
        await call.allow(action(call), policy_arn)
        found = await self.policy(policy_arn)
        if found is None:
            raise refusals.missing_policy(policy_arn)
        return found

    async def change_policy(self, policy: ManagedPolicy, work: Callable[[ManagedPolicy], ManagedPolicy]) -> ManagedPolicy:
        """Change what is there now. Raises ApiError NoSuchEntity when it is another or gone, and what ``work`` raises."""

        def within(transaction: Transaction) -> ManagedPolicy:
            changed = work(current_policy(transaction, policy))
            put_policy(transaction, changed)
            return changed

        return await self.catalog.write(within)

    # -------------------------------------------------------------------------------------------------------------- lists

    async def entities(self, call: Call, sort: Sort) -> tuple[list[Entity], dict[str, Any]]:
        """A page of those below ``PathPrefix``, and how the answer tells of the next one."""
        account_id = call.caller.account_id
        prefix: str = call.input.get("PathPrefix") or "/"

        def read(value: Any) -> Entity | None:
            found = Entity.from_document(account_id, sort, value)
            return found if found.path.startswith(prefix) else None

        return await self._page(call, KINDS[sort], entities.folder(account_id, sort), read)

    async def policies(self, call: Call) -> tuple[list[ManagedPolicy], dict[str, Any]]:
        account_id = call.caller.account_id
        prefix: str = call.input.get("PathPrefix") or "/"

        def read(value: Any) -> ManagedPolicy | None:
            found = ManagedPolicy.from_document(account_id, value)
            used = bool(found.bounding if call.input.get("PolicyUsageFilter") == "PermissionsBoundary" else found.attached)
            return found if found.path.startswith(prefix) and (used or not call.input.get("OnlyAttached")) else None

        return await self._page(call, POLICY, entities.folder(account_id, "policy"), read)

    async def _page(self, call: Call, kind: str, prefix: str, read: Callable[[Any], T | None]) -> tuple[list[T], dict[str, Any]]:
        wanted = call.input.get("MaxItems") or _PAGE
        after = prefix + place if (place := read_marker(call)) else ""
        found: list[T] = []
        while True:
            batch = await self.catalog.documents(kind, prefix=prefix, after=after, limit=wanted + 1)
            for scope, value in batch:
                one = read(value)
                if one is None:
                    after = scope
                    continue
                if len(found) == wanted:
                    return found, {"IsTruncated": True, "Marker": marker(after.removeprefix(prefix))}
                found.append(one)
                after = scope
            if len(batch) <= wanted:
                return found, {"IsTruncated": False}


def sort_of(call: Call) -> Sort:
    """Whom the input names."""
    return "group" if "GroupName" in call.input else "role" if "RoleName" in call.input else "user"


def action(call: Call) -> str:
    return call.operation.need.action


def page(call: Call, items: Sequence[T], place_of: Callable[[T], str]) -> tuple[list[T], dict[str, Any]]:
    """A page of what one document holds, in the order of its places."""
    wanted = call.input.get("MaxItems") or _PAGE
    place = read_marker(call)
    ahead = [one for one in sorted(items, key=place_of) if place_of(one) > place]
    if len(ahead) <= wanted:
        return ahead, {"IsTruncated": False}
    return ahead[:wanted], {"IsTruncated": True, "Marker": marker(place_of(ahead[wanted - 1]))}


def marker(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


def read_marker(call: Call) -> str:
    """Where the page begins: behind that place. It is a place in the caller's own list, so there is nothing in it to keep secret."""
    given = call.input.get("Marker")
    if given is None:
        return ""
    try:
        return base64.b64decode(given.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise refusals.invalid("Invalid Marker.") from None


def read_policy_arn(policy_arn: str) -> tuple[str, str]:
    """The account ("aws" for AWS's own policies) and the name. Raises ApiError ValidationError."""
    found = _POLICY_ARN.fullmatch(policy_arn)
    if found is None:
        raise refusals.invalid_arn()
    return found[1], found[2]


def _policy_of(value: Any, account_id: str, policy_arn: str) -> ManagedPolicy | None:
    found = None if value is None else ManagedPolicy.from_document(account_id, value)
    return found if found is not None and found.arn == policy_arn else None


# ------------------------------------------------------------------------------------------------- inside a transaction


def find(transaction: Transaction, account_id: str, sort: Sort, name: str) -> Entity | None:
    value = transaction.document(entities.scope(account_id, sort, name), KINDS[sort])
    return None if value is None else Entity.from_document(account_id, sort, value)


def current(transaction: Transaction, entity: Entity) -> Entity:
    """What ``entity`` is now. Raises ApiError NoSuchEntity when it is gone, or another has its name."""
    found = find(transaction, entity.account_id, entity.sort, entity.name)
    if found is None or found.unique_id != entity.unique_id:
        raise refusals.missing(entity.sort, entity.name)
    return found


def put(transaction: Transaction, entity: Entity) -> None:
    transaction.set_document(entity.scope, KINDS[entity.sort], entity.to_document())


def insert(transaction: Transaction, entity: Entity) -> None:
    """A new one, or one that has a new name. Raises ApiError EntityAlreadyExists."""
    if find(transaction, entity.account_id, entity.sort, entity.name) is not None:
        raise refusals.exists(entity.sort, entity.name)
    put(transaction, entity)
    transaction.set_document(entities.id_scope(entity.unique_id), UNIQUE_ID, entity.place)


def remove(transaction: Transaction, entity: Entity) -> None:
    transaction.set_document(entity.scope, KINDS[entity.sort], None)
    transaction.set_document(entities.id_scope(entity.unique_id), UNIQUE_ID, None)


def managed(transaction: Transaction, policy_arn: str) -> ManagedPolicy | None:
    account_id, name = read_policy_arn(policy_arn)
    return _policy_of(transaction.document(entities.scope(account_id, "policy", name), POLICY), account_id, policy_arn)


def current_policy(transaction: Transaction, policy: ManagedPolicy) -> ManagedPolicy:
    """What ``policy`` is now. Raises ApiError NoSuchEntity when it is gone, or another has its ARN."""
    found = managed(transaction, policy.arn)
    if found is None or found.unique_id != policy.unique_id:
        raise refusals.missing_policy(policy.arn)
    return found


def put_policy(transaction: Transaction, policy: ManagedPolicy) -> None:
    transaction.set_document(policy.scope, POLICY, policy.to_document())


def without(items: Sequence[str], *gone: str) -> tuple[str, ...]:
    return tuple(one for one in items if one not in gone)


# ------------------------------------------------------------------------------------------------------------------ tags


def shown_tags(tags: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]


def tagged(tags: Sequence[tuple[str, str]], given: Sequence[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    """Keys are told apart whatever their case. Raises ApiError."""
    keys = [one["Key"].lower() for one in given]
    if len(set(keys)) != len(keys):
        raise refusals.bad_tags("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.startswith("aws:") for key in keys):
        raise refusals.bad_tags("System tags cannot be added/updated by requester.")
    kept = [pair for pair in tags if pair[0].lower() not in keys]
    together = (*kept, *((one["Key"], one["Value"]) for one in given))
    if len(together) > _MOST_TAGS:
        raise refusals.quota("TagsPerResource", _MOST_TAGS)
    return together


def untagged(tags: Sequence[tuple[str, str]], keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    gone = {key.lower() for key in keys}
    return tuple(pair for pair in tags if pair[0].lower() not in gone)
