"""The Caller behind an access key, cached until something in the catalog changes.

Never knows how a signature is checked or what a caller may do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.iam import entities, forms, records
from strongroom.iam.assuming import session_arn
from strongroom.iam.entities import KINDS, Entity
from strongroom.iam.errors import BadToken, Damaged
from strongroom.iam.secrets import SecretSeal
from strongroom.iam.sessions import Session, SessionSeal
from strongroom.iam.standings import Standings
from strongroom.policy.decide import ROOT, Standing

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog

_TRIES: Final = 3  # to read a credential and its policies while nothing changes
_MOST: Final = 10_000  # credentials kept; beyond that the cache starts anew


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal, or nobody. Satisfies ``api.operation.Caller``."""

    account_id: str  # 12 digits; "" for nobody
    arn: str  # arn:aws:iam::<account>:root, arn:aws:iam::<account>:user/<path><name>; "" for nobody
    user_id: str  # of a root: the account id; of a user: AIDA...
    canonical_id: str  # of the account
    display_name: str  # the account's name
    access_key_id: str
    anonymous: bool = False
    principal_arn: str = ""  # of a role's session: the role; "" for the others, who are their own


#: Who sends an unsigned request. The canonical id is the one AWS gives to the anonymous user; no account can have it.
ANONYMOUS: Final = Caller("", "", "anonymous", "65a011a29cdf8ec533ec3d1ccaae921c", "anonymous", "", anonymous=True)


@dataclass(frozen=True, slots=True)
class Credential:
    caller: Caller
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    standing: Standing = field(default=ROOT, repr=False)
    expires_ms: int | None = None  # None: never


class Callers:
    """Finds credentials. ``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, catalog: Catalog, iam_key: bytes) -> None:
        self._catalog = catalog
        self._current = catalog.generation
        self._seal = SecretSeal(iam_key)
        self._standings = Standings(catalog)
        self._sessions = SessionSeal(iam_key)
        self._generation = -1
        self._credentials: dict[str, Credential] = {}

    def cached(self, access_key_id: str) -> Credential | None:
        """The credential, if it is known and nothing has changed since; never waits. None says nothing: ask ``credential``."""
        if self._current() != self._generation:
            return None
        return self._credentials.get(access_key_id)

    async def credential(self, access_key_id: str) -> Credential | None:
        """The credential of an active access key, else None. Raises Damaged, and what the catalog raises."""
        if not forms.is_access_key_id(access_key_id):
            return None
        for _ in range(_TRIES):
            generation = self._current()
            if generation != self._generation:
                self._credentials = {}
                self._generation = generation
            found = self._credentials.get(access_key_id)
            if found is not None:
                return found
            try:
                found = await self._load(access_key_id)
            except Damaged:
                if generation == self._current():
                    raise
                continue  # it was read while it was being changed
            # Kept only when nothing has changed meanwhile, else a key disabled while it was read would live on here.
            if generation == self._current() == self._generation:
                self._keep(access_key_id, found)
                return found
        return await self._load(access_key_id)

    def _keep(self, access_key_id: str, found: Credential | None) -> None:
        if found is not None:
            if len(self._credentials) >= _MOST:
                self._credentials = {}
            self._credentials[access_key_id] = found

    async def session(self, access_key_id: str, token: str) -> Credential | None:
        """The credential of a role's session, expired or not; None when its role, or a policy that was passed, is gone. Raises BadToken, Damaged.

        The rights are those of the role now. A session is as cheap to open as to look up, but for its role's policies.
        """
        for _ in range(_TRIES):
            generation = self._current()
            if generation != self._generation:
                self._credentials = {}
                self._generation = generation
            found = self._credentials.get(token)
            if found is not None and found.caller.access_key_id == access_key_id:
                return found
            session = self._sessions.open(token, access_key_id)
            if session is None:
                raise BadToken("not a token for that access key")
            try:
                found = await self._load_session(session, token)
            except Damaged:
                if generation == self._current():
                    raise
                continue
            if generation == self._current() == self._generation:
                self._keep(token, found)
                return found
        return None

    async def _load_session(self, session: Session, token: str) -> Credential | None:
        scope = entities.scope(session.account_id, "role", session.role)
        value = await self._catalog.document(scope, KINDS["role"])
        owner = await self._catalog.document(records.account_scope(session.account_id), records.ACCOUNT)
        role = None if value is None else Entity.from_document(session.account_id, "role", value)
        if role is None or owner is None or role.unique_id != session.role_id:
            return None
        for policy_arn in session.policy_arns:
            if not await self._standings.has(policy_arn):
                return None
        account = records.Account.from_document(session.account_id, owner)
        caller = Caller(
            account_id=account.account_id,
            arn=session_arn(role, session.name),
            user_id=f"{role.unique_id}:{session.name}",
            canonical_id=account.canonical_id,
            display_name=account.name,
            access_key_id=session.access_key_id,
            principal_arn=role.arn,
        )
        standing = await self._standings.of_session(role, session, account.canonical_id)
        return Credential(caller, session.secret_access_key, token, standing, session.expires_ms)

    async def _load(self, access_key_id: str) -> Credential | None:
        value = await self._catalog.document(records.access_key_scope(access_key_id), records.ACCESS_KEY)
        if value is None:
            return None
        access_key = records.AccessKey.from_document(access_key_id, value)
        if not access_key.active:
            return None
        owner = await self._catalog.document(records.account_scope(access_key.account_id), records.ACCOUNT)
        if owner is None:
            return None
        account = records.Account.from_document(access_key.account_id, owner)
        secret = self._seal.open(records.sealed_secret(access_key_id, value), access_key_id, access_key.owner)
        if not access_key.user_id:
            return Credential(_root(account, access_key_id), secret, standing=Standing(canonical_id=account.canonical_id))
        user = await self._user(access_key)
        if user is None:
            return None
        standing = await self._standings.of(user, account.canonical_id)
        return Credential(_user(account, user, access_key_id), secret, standing=standing)

    async def _user(self, access_key: records.AccessKey) -> Entity | None:
        """The user whose access key it is: both must say so."""
        scope = entities.scope(access_key.account_id, "user", access_key.user)
        value = await self._catalog.document(scope, KINDS["user"])
        found = None if value is None else Entity.from_document(access_key.account_id, "user", value)
        if found is None or found.unique_id != access_key.user_id or access_key.access_key_id not in found.access_keys:
            return None
        return found


def _root(account: records.Account, access_key_id: str) -> Caller:
    return Caller(
        account_id=account.account_id,
        arn=f"arn:aws:iam::{account.account_id}:root",
        user_id=account.account_id,
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id=access_key_id,
    )


def _user(account: records.Account, user: Entity, access_key_id: str) -> Caller:
    return Caller(
        account_id=account.account_id,
        arn=user.arn,
        user_id=user.unique_id,
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id=access_key_id,
    )
