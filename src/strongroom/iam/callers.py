"""The Caller behind an access key, cached until something in the catalog changes.

Never knows how a signature is checked or what a caller may do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from strongroom.iam import credentials, entities, forms, records
from strongroom.iam.credentials import ANONYMOUS, Caller, Credential
from strongroom.iam.entities import KINDS, Entity
from strongroom.iam.errors import BadToken, Damaged
from strongroom.iam.principals import Principals
from strongroom.iam.secrets import SecretSeal
from strongroom.iam.sessions import Session, SessionSeal
from strongroom.iam.standings import Standings
from strongroom.policy.decide import Standing

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog

__all__ = ["ANONYMOUS", "Caller", "Callers", "Credential"]

_TRIES: Final = 3  # to read a credential and its policies while nothing changes
_UNKNOWN_MOST: Final = 1000  # and so with names that are nobody's
_MOST: Final = 10_000  # credentials kept; beyond that the cache starts anew


class Callers:
    """Finds credentials. ``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, catalog: Catalog, iam_key: bytes) -> None:
        self._catalog = catalog
        self._current = catalog.generation
        self._seal = SecretSeal(iam_key)
        self._standings = Standings(catalog)
        self._principals = Principals(catalog)
        self._sessions = SessionSeal(iam_key)
        self._generation = -1
        self._credentials: dict[str, Credential] = {}  # by access key id, of sessions by token
        self._unknown: set[str] = set()  # what names no credential, looked up and found to be none

    def cached(self, access_key_id: str) -> Credential | None:
        """The credential, if it is known and nothing has changed since; never waits. None says nothing: ask ``credential``."""
        if self._current() != self._generation:
            return None
        return self._credentials.get(access_key_id)

    async def credential(self, access_key_id: str) -> Credential | None:
        """The credential of an active access key, else None. Raises Damaged, and what the catalog raises."""
        if not forms.is_access_key_id(access_key_id):
            return None
        return await self._settled(access_key_id, lambda: self._load(access_key_id))

    async def session(self, access_key_id: str, token: str) -> Credential | None:
        """The credential of a session, expired or not; None when its holder, its parent or a policy that was passed is gone.

        Its rights are those its holder has now. Raises BadToken, Damaged, and what the catalog raises.
        """
        found = self.cached(token)
        if found is not None and found.caller.access_key_id == access_key_id:
            return found
        session = self._sessions.open(token, access_key_id)
        if session is None:
            raise BadToken("not a token for that access key")
        return await self._settled(token, lambda: self._load_session(session, token))

    async def _settled(self, place: str, load: Callable[[], Awaitable[Credential | None]]) -> Credential | None:
        """What ``load`` gives while nothing changes, and kept as ``place``: what is read during a change may be a mix of two states."""
        for _ in range(_TRIES):
            generation = self._current()
            if generation != self._generation:
                self._credentials = {}
                self._unknown = set()
                self._generation = generation
            found = self._credentials.get(place)
            if found is not None or place in self._unknown:
                return found
            try:
                found = await load()
            except Damaged:
                if generation == self._current():
                    raise
                continue
            # Kept only when nothing has changed meanwhile, else a key disabled while it was read would live on here.
            if generation == self._current() == self._generation:
                self._keep(place, found)
                return found
        return await load()

    def _keep(self, place: str, found: Credential | None) -> None:
        if found is None:
            if len(self._unknown) >= _UNKNOWN_MOST:
                self._unknown = set()
            self._unknown.add(place)
        else:
            if len(self._credentials) >= _MOST:
                self._credentials = {}
            self._credentials[place] = found

    async def _load_session(self, session: Session, token: str) -> Credential | None:
        account = await self._account(session.account_id)
        if account is None or (session.parent and not await self._is_active(session.parent, session)):
            return None
        holder = None if session.holder_id == session.account_id else await self._principals.of_id(session.holder_id)
        if holder is None and session.holder_id != session.account_id:
            return None
        for policy_arn in session.passed.policy_arns:
            if not await self._standings.has(policy_arn):
                return None
        standing = await self._standings.of_session(holder, session, account.canonical_id)
        return credentials.temporary(account, holder, session, standing, token)

    async def _is_active(self, access_key_id: str, session: Session) -> bool:
        """Whether the access key that asked for a session is still active, and its holder's."""
        value = await self._catalog.document(records.access_key_scope(access_key_id), records.ACCESS_KEY)
        found = None if value is None else records.AccessKey.from_document(access_key_id, value)
        owner = "" if found is None else found.user_id or found.account_id
        return found is not None and found.active and owner == session.holder_id

    async def _load(self, access_key_id: str) -> Credential | None:
        value = await self._catalog.document(records.access_key_scope(access_key_id), records.ACCESS_KEY)
        access_key = None if value is None else records.AccessKey.from_document(access_key_id, value)
        if value is None or access_key is None or not access_key.active:
            return None
        account = await self._account(access_key.account_id)
        if account is None:
            return None
        secret = self._seal.open(records.sealed_secret(access_key_id, value), access_key_id, access_key.owner)
        if not access_key.user_id:
            root = credentials.long_term(account, None, access_key_id)
            return Credential(root, secret, standing=Standing(canonical_id=account.canonical_id))
        user = await self._user(access_key)
        if user is None:
            return None
        standing = await self._standings.of(user, account.canonical_id)
        return Credential(credentials.long_term(account, user, access_key_id), secret, standing=standing)

    async def _user(self, access_key: records.AccessKey) -> Entity | None:
        """The user whose access key it is: both must say so."""
        value = await self._catalog.document(entities.scope(access_key.account_id, "user", access_key.user), KINDS["user"])
        found = None if value is None else Entity.from_document(access_key.account_id, "user", value)
        if found is None or found.unique_id != access_key.user_id or access_key.access_key_id not in found.access_keys:
            return None
        return found

    async def _account(self, account_id: str) -> records.Account | None:
        value = await self._catalog.document(records.account_scope(account_id), records.ACCOUNT)
        return None if value is None else records.Account.from_document(account_id, value)
