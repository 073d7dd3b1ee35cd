"""Who a principal is: whether one that somebody names exists, and what name and what unique id belong together now.

A name can be given to another one day, a unique id never is: so policies are bound to ids when they are kept (``ids_of``), and
tell their readers names (``names_of``). Never knows who asks, or what the principal is named for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from strongroom.iam import entities, records
from strongroom.iam.entities import KINDS, UNIQUE_ID, Entity, Sort
from strongroom.iam.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Collection

    from strongroom.store.contract import Reader

_PAGE: Final = 1000
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")
_ENTITY: Final = re.compile(r"arn:aws:iam::([0-9]{12}):(user|role)/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII)


class Principals:
    def __init__(self, catalog: Reader) -> None:
        self._catalog = catalog

    async def is_named(self, sort: str, value: str) -> bool:
        """Whether a policy's principal exists: of the sort "AWS" an account id or an ARN, of "CanonicalUser" a canonical id."""
        if sort == "CanonicalUser":
            return await self._catalog.document(records.canonical_id_scope(value), records.CANONICAL_ID) is not None
        return sort == "AWS" and await self.exists(f"arn:aws:iam::{value}:root" if _ACCOUNT.fullmatch(value) else value)

    async def canonical_ids_of_emails(self, emails: Collection[str]) -> dict[str, list[str]]:
        """Of each address, in lower case, the canonical ids of the accounts that have it. One walk over all accounts, however many are asked."""
        found: dict[str, list[str]] = {email.lower(): [] for email in emails}
        after = ""
        while found:
            page = await self._catalog.documents(records.ACCOUNT, after=after, limit=_PAGE)
            for scope, value in page:
                account = records.Account.from_document(scope.removeprefix(records.account_scope("")), value)
                if account.email and account.email.lower() in found:
                    found[account.email.lower()].append(account.canonical_id)
            if len(page) < _PAGE:
                break
            after = page[-1][0]
        return found

    async def exists(self, principal_arn: str) -> bool:
        if _ENTITY.fullmatch(principal_arn):
            return await self.entity(principal_arn) is not None
        found = _ROOT.fullmatch(principal_arn)
        if found is None:
            return False
        return await self._catalog.document(records.account_scope(found[1]), records.ACCOUNT) is not None

    async def entity(self, principal_arn: str) -> Entity | None:
        """The user or role of exactly that ARN."""
        named = _ENTITY.fullmatch(principal_arn)
        if named is None:
            return None
        sort: Sort = "role" if named[2] == "role" else "user"
        value = await self._catalog.document(entities.scope(named[1], sort, named[3]), KINDS[sort])
        found = None if value is None else Entity.from_document(named[1], sort, value)
        return found if found is not None and found.arn == principal_arn else None

    async def of_id(self, unique_id: str) -> Entity | None:
        """The user, group or role that has a unique id, whatever its name is now. Raises Damaged."""
        place: Any = await self._catalog.document(entities.id_scope(unique_id), UNIQUE_ID)
        if place is None:
            return None
        sort: Sort = place["sort"]
        value = await self._catalog.document(entities.scope(place["account_id"], sort, place["name"]), KINDS[sort])
        found = None if value is None else Entity.from_document(place["account_id"], sort, value)
        if found is None or found.unique_id != unique_id:
            raise Damaged(f"the {sort} {unique_id} is not where it is said to be")
        return found

    async def ids_of(self, principal_arns: Iterable[str]) -> dict[str, str]:
        """The unique ids of those that are ARNs of users and roles which are there."""
        found = [(one, await self.entity(one)) for one in dict.fromkeys(principal_arns)]
        return {principal_arn: entity.unique_id for principal_arn, entity in found if entity is not None}

    async def names_of(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Of ARNs as they were when their ids were noted: what to show instead where they have changed, the id of one that is gone."""
        shown: dict[str, str] = {}
        for principal_arn, unique_id in ids.items():
            entity = await self.of_id(unique_id)
            now = unique_id if entity is None else entity.arn
            if now != principal_arn:
                shown[principal_arn] = now
        return shown
