"""Principals by their ARNs, as they would come with a request: for questions about what somebody may, asked by somebody else.

Nobody is authenticated here, and no secret is read. Never knows what is asked about a principal.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from strongroom.iam import entities, records
from strongroom.iam.credentials import ANONYMOUS, Caller, long_term, role_session, session_arn
from strongroom.iam.entities import KINDS, Entity, Sort
from strongroom.iam.standings import Standings
from strongroom.policy.decide import ROOT, Standing

if TYPE_CHECKING:
    from strongroom.store.contract import Reader

_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root|([0-9]{12})")
_ENTITY: Final = re.compile(r"arn:aws:iam::([0-9]{12}):(user|role)/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII)
_SESSION: Final = re.compile(r"arn:aws:sts::([0-9]{12}):assumed-role/([\w+=,.@-]{1,64})/([\w+=,.@-]{2,64})", re.ASCII)
_NOBODY: Final = frozenset({"*", "anonymous"})
_ANY_SESSION: Final = "any-session"  # the name of a session where only its role is named
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Principal:
    caller: Caller
    standing: Standing

    @property
    def arn(self) -> str:
        """As one names it in a policy: of a session, the role."""
        return self.caller.principal_arn or self.caller.arn or "anonymous"


NOBODY: Final = Principal(ANONYMOUS, ROOT)


class Acting:
    def __init__(self, catalog: Reader) -> None:
        self._catalog = catalog
        self._standings = Standings(catalog)

    async def principal(self, text: str) -> Principal | None:
        """An account id or root's ARN, a user's, role's or session's ARN, or ``anonymous``; None for what is not there.

        A session is taken to have been made without session policies. Raises Damaged, and what the catalog raises.
        """
        if text in _NOBODY:
            return NOBODY
        if (root := _ROOT.fullmatch(text)) is not None:
            return await self._root(root[1] or root[2])
        if (session := _SESSION.fullmatch(text)) is not None:
            role = await self._entity(session[1], "role", session[2])
            return None if role is None or session_arn(role, session[3]) != text else await self.of(role, session[3])
        named = _ENTITY.fullmatch(text)
        if named is None:
            return None
        found = await self._entity(named[1], "role" if named[2] == "role" else "user", named[3])
        return None if found is None or found.arn != text else await self.of(found)

    async def of(self, entity: Entity, session: str = _ANY_SESSION) -> Principal | None:
        """A user, or a role's session."""
        account = await self._account(entity.account_id)
        if account is None:
            return None
        if entity.sort == "role":
            standing = await self._standings.of_role(entity, account.canonical_id)
            return Principal(role_session(account, entity, session), standing)
        return Principal(long_term(account, entity, ""), await self._standings.of(entity, account.canonical_id))

    async def everybody(self) -> AsyncIterator[Principal]:
        """Nobody in particular, then of each account its root, its users and its roles."""
        yield NOBODY
        async for scope, _ in self._documents(records.ACCOUNT, "account/"):
            account_id = scope.removeprefix("account/")
            root = await self._root(account_id)
            if root is not None:
                yield root
            sorts: tuple[Sort, ...] = ("user", "role")
            for sort in sorts:
                async for _, value in self._documents(KINDS[sort], entities.folder(account_id, sort)):
                    found = await self.of(Entity.from_document(account_id, sort, value))
                    if found is not None:
                        yield found

    async def _documents(self, kind: str, prefix: str) -> AsyncIterator[tuple[str, object]]:
        after = ""
        while page := await self._catalog.documents(kind, prefix=prefix, after=after, limit=_PAGE):
            after = page[-1][0]
            for each in page:
                yield each

    async def _root(self, account_id: str) -> Principal | None:
        account = await self._account(account_id)
        if account is None:
            return None
        return Principal(long_term(account, None, ""), Standing(canonical_id=account.canonical_id))

    async def _account(self, account_id: str) -> records.Account | None:
        value = await self._catalog.document(records.account_scope(account_id), records.ACCOUNT)
        return None if value is None else records.Account.from_document(account_id, value)

    async def _entity(self, account_id: str, sort: Sort, name: str) -> Entity | None:
        value = await self._catalog.document(entities.scope(account_id, sort, name), KINDS[sort])
        return None if value is None else Entity.from_document(account_id, sort, value)
