"""Accounts and their access keys: made, listed, switched off. What an operator does, and what the first start does.

Every change is one transaction, so two that race cannot both win. Never knows S3, KMS, HTTP or who may call it.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from strongroom.iam import forms, records
from strongroom.iam.errors import Damaged, IdentityError, Malformed, Taken, Unknown
from strongroom.iam.records import AccessKey, Account
from strongroom.iam.secrets import SecretSeal, new_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from strongroom.store.contract import Catalog, Transaction

__all__ = [
    "AccessKey",
    "Account",
    "Damaged",
    "Identities",
    "IdentityError",
    "Malformed",
    "NewAccessKey",
    "NewAccount",
    "Taken",
    "Unknown",
    "ensure_root",
]

ROOT_NAME: Final = "root"
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class NewAccessKey(AccessKey):
    """An access key with its secret, which is shown once and can never be asked for again."""

    secret_access_key: str = field(repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class NewAccount(Account):
    """An account with its first access key; the secret is shown once."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A new account as asked for, checked; None is filled in at random."""

    name: str
    account_id: str | None
    canonical_id: str | None
    email: str
    access_key_id: str | None
    secret_access_key: str | None = field(repr=False)


def _now() -> datetime:
    return datetime.now(UTC)


class Identities:
    """``iam_key`` is 32 bytes, derived from the root key; ``clock`` gives aware times."""

    def __init__(
        self,
        catalog: Catalog,
        iam_key: bytes,
        clock: Callable[[], datetime] = _now,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._catalog = catalog
        self._seal = SecretSeal(iam_key, random)
        self._clock = clock
        self._random = random

    async def create_account(
        self,
        name: str,
        *,
        account_id: str | None = None,
        canonical_id: str | None = None,
        email: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> NewAccount:
        """A new account with one access key of its root; what is not given is random. Raises Malformed, Taken."""
        wanted = _wanted(name, account_id, canonical_id, email, access_key_id, secret_access_key)
        return await self._catalog.write(lambda transaction: self._insert(transaction, wanted))

    async def create_first_account(
        self,
        name: str,
        *,
        account_id: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> NewAccount | None:
        """As ``create_account``, but only when there is no account yet, else None. Raises Malformed."""
        wanted = _wanted(name, account_id, None, None, access_key_id, secret_access_key)

        def work(transaction: Transaction) -> NewAccount | None:
            if transaction.documents(records.ACCOUNT, limit=1):
                return None
            return self._insert(transaction, wanted)

        if await self._catalog.documents(records.ACCOUNT, limit=1):  # every start but the first: nothing to write
            return None
        return await self._catalog.write(work)

    async def accounts(self) -> list[Account]:
        """All, by account id."""
        found: list[Account] = []
        after = ""
        while True:
            page = await self._catalog.documents(records.ACCOUNT, after=after, limit=_PAGE)
            found += [Account.from_document(scope.removeprefix(records.account_scope("")), value) for scope, value in page]
            if len(page) < _PAGE:
                return found
            after = page[-1][0]

    async def account(self, account_id: str) -> Account | None:
        value = await self._catalog.document(records.account_scope(account_id), records.ACCOUNT)
        return None if value is None else Account.from_document(account_id, value)

    async def create_access_key(
        self, account_id: str, *, access_key_id: str | None = None, secret_access_key: str | None = None
    ) -> NewAccessKey:
        """One more access key of the account's root. Raises Malformed, Taken, Unknown."""
        chosen = None if access_key_id is None else forms.access_key_id(access_key_id)
        secret = new_secret(self._random) if secret_access_key is None else forms.secret_access_key(secret_access_key)

        def work(transaction: Transaction) -> NewAccessKey:
            if transaction.document(records.account_scope(account_id), records.ACCOUNT) is None:
                raise Unknown("there is no such account")
            return self._insert_access_key(transaction, account_id, chosen, secret)

        return await self._catalog.write(work)

    async def access_keys(self, account_id: str) -> list[AccessKey]:
        """The account's, by access key id, without secrets. Reads every access key there is: for operators, not for requests."""
        found: list[AccessKey] = []
        after = ""
        while True:
            page = await self._catalog.documents(records.ACCESS_KEY, after=after, limit=_PAGE)
            found += [AccessKey.from_document(scope.removeprefix(records.access_key_scope("")), value) for scope, value in page]
            if len(page) < _PAGE:
                return [access_key for access_key in found if access_key.account_id == account_id]
            after = page[-1][0]

    async def access_key(self, access_key_id: str) -> AccessKey | None:
        """Whose it is and whether it is active; without the secret."""
        if not forms.is_access_key_id(access_key_id):
            return None
        value = await self._catalog.document(records.access_key_scope(access_key_id), records.ACCESS_KEY)
        return None if value is None else AccessKey.from_document(access_key_id, value)

    async def set_access_key_active(self, access_key_id: str, *, active: bool) -> AccessKey:
        """An inactive access key is as good as unknown, from the next request on. Raises Malformed, Unknown."""
        scope = records.access_key_scope(forms.access_key_id(access_key_id))

        def work(transaction: Transaction) -> AccessKey:
            value: dict[str, Any] | None = transaction.document(scope, records.ACCESS_KEY)
            if value is None:
                raise Unknown("there is no such access key")
            changed = {**value, "active": active}
            transaction.set_document(scope, records.ACCESS_KEY, changed)
            return AccessKey.from_document(access_key_id, changed)

        return await self._catalog.write(work)

    def _insert(self, transaction: Transaction, wanted: _Wanted) -> NewAccount:
        account = Account(
            account_id=wanted.account_id or self._free_account_id(transaction),
            name=wanted.name,
            email=wanted.email,
            canonical_id=wanted.canonical_id or self._random(32).hex(),
            created_ms=self._now_ms(),
        )
        scope = records.account_scope(account.account_id)
        name_scope, canonical_scope = records.account_name_scope(account.name), records.canonical_id_scope(account.canonical_id)
        for taken, kind, what in (
            (scope, records.ACCOUNT, "account id"),
            (name_scope, records.ACCOUNT_NAME, "account name"),
            (canonical_scope, records.CANONICAL_ID, "canonical id"),
        ):
            if transaction.document(taken, kind) is not None:
                raise Taken(f"another account has that {what} already")
        owner = {"account_id": account.account_id}
        transaction.set_document(scope, records.ACCOUNT, account.to_document())
        transaction.set_document(name_scope, records.ACCOUNT_NAME, owner)
        transaction.set_document(canonical_scope, records.CANONICAL_ID, owner)
        secret = wanted.secret_access_key or new_secret(self._random)
        access_key = self._insert_access_key(transaction, account.account_id, wanted.access_key_id, secret)
        return NewAccount(
            account_id=account.account_id,
            name=account.name,
            email=account.email,
            canonical_id=account.canonical_id,
            created_ms=account.created_ms,
            access_key_id=access_key.access_key_id,
            secret_access_key=secret,
        )

    def _insert_access_key(
        self, transaction: Transaction, account_id: str, access_key_id: str | None, secret: str
    ) -> NewAccessKey:
        chosen = access_key_id or f"AKIA{base64.b32encode(self._random(10)).decode('ascii')}"
        scope = records.access_key_scope(chosen)
        if transaction.document(scope, records.ACCESS_KEY) is not None:
            raise Taken("another access key has that id already")
        made = NewAccessKey(chosen, account_id, active=True, created_ms=self._now_ms(), secret_access_key=secret)
        transaction.set_document(scope, records.ACCESS_KEY, made.to_document(self._seal.seal(secret, chosen, account_id)))
        return made

    def _free_account_id(self, transaction: Transaction) -> str:
        return next(
            candidate
            for candidate in self._account_ids()
            if transaction.document(records.account_scope(candidate), records.ACCOUNT) is None
        )

    def _account_ids(self) -> Iterator[str]:
        """Twelve digits that do not begin with 0: some clients read an account id as a number."""
        while True:
            yield str(100_000_000_000 + int.from_bytes(self._random(16)) % 900_000_000_000)

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _wanted(
    name: str,
    account_id: str | None,
    canonical_id: str | None,
    email: str | None,
    access_key_id: str | None,
    secret_access_key: str | None,
) -> _Wanted:
    return _Wanted(
        name=forms.account_name(name),
        account_id=None if account_id is None else forms.account_id(account_id),
        canonical_id=None if canonical_id is None else forms.canonical_id(canonical_id),
        email="" if email is None else forms.email(email),
        access_key_id=None if access_key_id is None else forms.access_key_id(access_key_id),
        secret_access_key=None if secret_access_key is None else forms.secret_access_key(secret_access_key),
    )


async def ensure_root(
    identities: Identities,
    *,
    account_id: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
) -> NewAccount | None:
    """At start-up: the account "root", if there is no account at all yet; its secret is for showing once. None: there is one.

    What is given (the environment's) counts on the first start only; what is not given is random. Any number of processes
    may ask at once: one of them gets the account. Raises Malformed, also when there is an account already.
    """
    return await identities.create_first_account(
        ROOT_NAME, account_id=account_id, access_key_id=access_key_id, secret_access_key=secret_access_key
    )
