"""Grants as they are kept: one document each, and the small documents by which they are found. Pure but for the transaction it is given.

A grant allows and never denies: its operations, to its grantee, on its key, within its constraints. Never knows who may make or end
one. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.kms.names import KeyName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strongroom.store.contract import Reader, Transaction

GRANT_KIND: Final = "kms-grant"
NAME_KIND: Final = "kms-grant-name"  # which grant of a key has this name and these parameters
GRANTEE_KIND: Final = "kms-grantee"  # the grants of a key by grantee, each as it is: grants never change
RETIRING_KIND: Final = "kms-retirable"  # the grants of a Region by retiring principal
COUNT_KIND: Final = "kms-grant-count"  # how many grants a key has
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Constraints:
    """None: does not bind. Encryption contexts bind no operation without one (DescribeKey, RetireGrant, …)."""

    equals: Mapping[str, str] | None = None
    subset: Mapping[str, str] | None = None
    source_arn: str | None = None

    @property
    def context(self) -> Mapping[str, str]:
        """The pairs of an encryption context that are spoken of."""
        return self.equals or self.subset or {}

    def output(self) -> dict[str, Any]:
        """The model's GrantConstraints."""
        members = {
            "EncryptionContextEquals": self.equals,
            "EncryptionContextSubset": self.subset,
            "SourceArn": self.source_arn,
        }
        return {name: value for name, value in members.items() if value is not None}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Constraints:
        """Of the model's GrantConstraints, which is also how they are kept."""
        return cls(value.get("EncryptionContextEquals"), value.get("EncryptionContextSubset"), value.get("SourceArn"))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a grant says."""

    issuing_account: str  # 12 digits
    grantee: str  # ARN of a principal
    operations: tuple[str, ...]  # the model's GrantOperation, as given
    retiring: str | None = None  # ARN of a principal
    constraints: Constraints = Constraints()
    name: str = ""

    def document(self) -> dict[str, Any]:
        return {
            "issuing_account": self.issuing_account,
            "grantee": self.grantee,
            "operations": list(self.operations),
            "retiring": self.retiring,
            "constraints": self.constraints.output(),
            "name": self.name,
        }

    def digest(self) -> str:
        """64 hex, equal for equal terms; operations are a set."""
        same = self.document() | {"operations": sorted(set(self.operations))}
        return _digest(json.dumps(same, sort_keys=True))


@dataclass(frozen=True, slots=True)
class GrantRecord:
    key: KeyName
    grant_id: str  # 64 hex, random
    created_ms: int
    terms: Terms
    ids: Mapping[str, str]  # unique ids of its principals that are users or roles, by ARN of that time

    def document(self) -> dict[str, Any]:
        return {"format": _FORMAT, "created_ms": self.created_ms, **self.terms.document(), "ids": dict(self.ids)}

    @classmethod
    def read(cls, key: KeyName, grant_id: str, value: Any) -> GrantRecord:
        """Raises ValueError or KeyError for a document that no version wrote."""
        if value["format"] != _FORMAT:
            raise ValueError(f"a grant on {key.arn} has an unknown format")
        terms = Terms(
            issuing_account=value["issuing_account"],
            grantee=value["grantee"],
            operations=tuple(value["operations"]),
            retiring=value["retiring"],
            constraints=Constraints.read(value["constraints"]),
            name=value["name"],
        )
        return cls(key, grant_id, value["created_ms"], terms, value.get("ids", {}))  # earlier versions bound nobody


def grants_scope(key: KeyName) -> str:
    """What the scopes of all grants of a key begin with; a grant's own adds its id."""
    return f"{key.scope}/grant/"


def grantee_scope(key: KeyName, grantee: str) -> str:
    """As ``grants_scope``, of one grantee. Names stand there as digests, so that none is the beginning of another."""
    return f"{key.scope}/grantee/{_digest(grantee)}/"


def retirable_scope(region: str, retiring: str) -> str:
    """As ``grants_scope``, of all keys of a Region; a grant's own adds account, key id and its id."""
    return f"kms-retirable/{region}/{_digest(retiring)}/"


def count(transaction: Transaction, key: KeyName) -> int:
    value = transaction.document(key.scope, COUNT_KIND)
    return 0 if value is None else int(value["count"])


def named(transaction: Transaction, key: KeyName, terms: Terms) -> str | None:
    """The id of the grant that has this very name and these parameters."""
    value = transaction.document(_name_scope(key, terms), NAME_KIND) if terms.name else None
    return None if value is None else str(value["grant_id"])


def read_grant(transaction: Transaction, key: KeyName, grant_id: str) -> GrantRecord | None:
    value = transaction.document(grants_scope(key) + grant_id, GRANT_KIND)
    return None if value is None else GrantRecord.read(key, grant_id, value)


async def read_rows(catalog: Reader, key: KeyName, prefix: str, rows: Sequence[tuple[str, Any]]) -> list[GrantRecord]:
    """The grants of a key that stand below ``prefix``. By grantee, earlier versions kept only their ids: then each is read where it is whole."""
    found: list[GrantRecord] = []
    for scope, value in rows:
        grant_id = scope.removeprefix(prefix)
        whole = value if "format" in value else await catalog.document(grants_scope(key) + grant_id, GRANT_KIND)
        if whole is not None:
            found.append(GrantRecord.read(key, grant_id, whole))
    return found


def add(transaction: Transaction, grant: GrantRecord) -> None:
    transaction.set_document(grants_scope(grant.key) + grant.grant_id, GRANT_KIND, grant.document())
    _set_references(transaction, grant, {"grant_id": grant.grant_id}, grant.document())
    _set_count(transaction, grant.key, 1)


def remove(transaction: Transaction, grant: GrantRecord) -> None:
    """A grant that was read in this transaction."""
    transaction.set_document(grants_scope(grant.key) + grant.grant_id, GRANT_KIND, None)
    _set_references(transaction, grant, None, None)
    _set_count(transaction, grant.key, -1)


def _set_references(
    transaction: Transaction, grant: GrantRecord, value: dict[str, str] | None, whole: dict[str, Any] | None
) -> None:
    key, terms = grant.key, grant.terms
    transaction.set_document(grantee_scope(key, terms.grantee) + grant.grant_id, GRANTEE_KIND, whole)
    if terms.retiring is not None:
        place = f"{key.account_id}/{key.key_id}/{grant.grant_id}"
        transaction.set_document(retirable_scope(key.region, terms.retiring) + place, RETIRING_KIND, value)
    if terms.name:
        transaction.set_document(_name_scope(key, terms), NAME_KIND, value)


def _set_count(transaction: Transaction, key: KeyName, more: int) -> None:
    left = count(transaction, key) + more
    transaction.set_document(key.scope, COUNT_KIND, {"count": left} if left else None)


def _name_scope(key: KeyName, terms: Terms) -> str:
    return f"{key.scope}/grant-name/{terms.digest()}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
