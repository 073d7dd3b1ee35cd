"""The Caller behind an access key, cached until something in the catalog changes.

Never knows how a signature is checked or what a caller may do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.iam import forms, records
from strongroom.iam.secrets import SecretSeal

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog

_MOST: Final = 10_000  # credentials kept; beyond that the cache starts anew


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal, or nobody. Satisfies ``api.operation.Caller``."""

    account_id: str  # 12 digits; "" for nobody
    arn: str  # arn:aws:iam::<account>:root; "" for nobody
    user_id: str  # of a root: the account id
    canonical_id: str  # of the account
    display_name: str  # the account's name
    access_key_id: str
    anonymous: bool = False


#: Who sends an unsigned request. The canonical id is the one AWS gives to the anonymous user; no account can have it.
ANONYMOUS: Final = Caller("", "", "anonymous", "65a011a29cdf8ec533ec3d1ccaae921c", "anonymous", "", anonymous=True)


@dataclass(frozen=True, slots=True)
class Credential:
    caller: Caller
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


class Callers:
    """Finds credentials. ``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, catalog: Catalog, iam_key: bytes) -> None:
        self._catalog = catalog
        self._current = catalog.generation
        self._seal = SecretSeal(iam_key)
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
        generation = self._current()
        if generation != self._generation:
            self._credentials = {}
            self._generation = generation
        found = self._credentials.get(access_key_id)
        if found is not None:
            return found
        found = await self._load(access_key_id)
        # Kept only when nothing has changed meanwhile, else a key disabled while it was read would live on here.
        if found is not None and generation == self._current() == self._generation:
            if len(self._credentials) >= _MOST:
                self._credentials = {}
            self._credentials[access_key_id] = found
        return found

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
        secret = self._seal.open(records.sealed_secret(access_key_id, value), access_key_id, account.account_id)
        return Credential(_root(account, access_key_id), secret)


def _root(account: records.Account, access_key_id: str) -> Caller:
    return Caller(
        account_id=account.account_id,
        arn=f"arn:aws:iam::{account.account_id}:root",
        user_id=account.account_id,
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id=access_key_id,
    )
