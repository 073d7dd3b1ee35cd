"""Accounts and access keys as documents: scopes, kinds, and the way from a value to JSON and back.

Reading is strict: a document that is not of the expected form raises Damaged, it is never guessed at. Only ``active`` as
JSON ``true`` makes an access key active. Never knows how a secret is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from strongroom.iam.errors import Damaged

ACCOUNT: Final = "account"
ACCESS_KEY: Final = "access-key"
#: Which account has a name or a canonical id: written with the account, so that both stay unique without a search.
ACCOUNT_NAME: Final = "account-name"
CANONICAL_ID: Final = "canonical-id"

_Document = Mapping[str, Any]


def account_scope(account_id: str) -> str:
    return f"account/{account_id}"


def access_key_scope(access_key_id: str) -> str:
    return f"access-key/{access_key_id}"


def account_name_scope(name: str) -> str:
    return f"account-name/{name}"


def canonical_id_scope(canonical_id: str) -> str:
    return f"canonical-id/{canonical_id}"


@dataclass(frozen=True, slots=True)
class Account:
    account_id: str  # 12 digits
    name: str
    email: str  # "" when none was given
    canonical_id: str  # 64 hex
    created_ms: int

    def to_document(self) -> dict[str, Any]:
        return {"name": self.name, "email": self.email, "canonical_id": self.canonical_id, "created_ms": self.created_ms}

    @classmethod
    def from_document(cls, account_id: str, value: _Document) -> Account:
        where = account_scope(account_id)
        return cls(
            account_id,
            _text(value, "name", where),
            _text(value, "email", where),
            _text(value, "canonical_id", where),
            _time(value, where),
        )


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key without its secret."""

    access_key_id: str
    account_id: str
    active: bool
    created_ms: int
    user: str = ""  # its name in lower case; "" for the account's root
    user_id: str = ""  # AIDA...

    @property
    def owner(self) -> str:
        """Whom the secret is sealed for: a record that is given to another user, or to the root, does not open."""
        return f"{self.account_id}/{self.user_id}" if self.user_id else self.account_id

    def to_document(self, sealed_secret: str) -> dict[str, Any]:
        value: dict[str, Any] = {
            "account_id": self.account_id,
            "active": self.active,
            "created_ms": self.created_ms,
            "sealed_secret": sealed_secret,
        }
        return {**value, "user": self.user, "user_id": self.user_id} if self.user_id else value

    @classmethod
    def from_document(cls, access_key_id: str, value: _Document) -> AccessKey:
        where = access_key_scope(access_key_id)
        owned = "user" in value or "user_id" in value
        return cls(
            access_key_id,
            _text(value, "account_id", where),
            value.get("active") is True,
            _time(value, where),
            _text(value, "user", where) if owned else "",
            _text(value, "user_id", where) if owned else "",
        )


def sealed_secret(access_key_id: str, value: _Document) -> str:
    return _text(value, "sealed_secret", access_key_scope(access_key_id))


def _text(value: _Document, name: str, where: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise Damaged(f"the document {where} has no {name}")
    return found


def _time(value: _Document, where: str) -> int:
    found = value.get("created_ms")
    if not isinstance(found, int):
        raise Damaged(f"the document {where} has no created_ms")
    return found
