"""Who a statement speaks of, and how exactly it names a caller: that decides what else the caller needs.

Pure. Never knows whether a principal exists. Sources: "AWS JSON policy elements: Principal" and "NotPrincipal" in the IAM user guide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final, NamedTuple

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")
_USER_OR_ROLE: Final = re.compile(r"arn:aws:iam::[0-9]{12}:(?:user|role)/(?:[!-)+->@-~]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}")
_SESSION: Final = re.compile(
    r"arn:aws:sts::[0-9]{12}:(?:assumed-role/[A-Za-z0-9_+=,.@-]{1,64}/[A-Za-z0-9_+=,.@-]{2,64}|federated-user/[A-Za-z0-9_+=,.@-]{2,32})"
)
_UNIQUE_ID: Final = re.compile(r"A[A-Z0-9]{15,127}")
_CANONICAL: Final = re.compile(r"[0-9a-f]{64}")
_SERVICE: Final = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+){1,4}")
_FEDERATED: Final = re.compile(r"arn:aws:iam::[0-9]{12}:(?:saml|oidc)-provider/[!-)+->@-~]{1,255}|[a-z0-9-]+(?:\.[a-z0-9-]+)+")


class Who(NamedTuple):
    """A caller, as statements may name it. "" where it has no such name."""

    account_id: str
    arn: str  # of the user, the role's session, or the account's root
    role_arn: str = ""  # of the role behind a session, with its path
    unique_id: str = ""  # AIDA... of a user, AROA... of the role behind a session
    canonical_id: str = ""  # of the account
    service: str = ""  # s3.amazonaws.com
    anonymous: bool = False

    @property
    def is_root(self) -> bool:
        return not self.anonymous and bool(self.account_id) and self.arn == f"arn:aws:iam::{self.account_id}:root"


@unique
class Reach(IntEnum):
    """How an Allow of a resource policy names a caller, from the weakest to the strongest."""

    NONE = 0
    #: By its account: within that account, a delegation to its identity policies.
    ACCOUNT = 1
    #: By its role, or as one of all: boundaries and session policies still limit it.
    LIMITED = 2
    #: By its own ARN (or as one of all, narrowed by aws:PrincipalArn): what a boundary or session policy leaves out limits nothing.
    DIRECT = 3


class BadPrincipal(Exception):
    """``sort`` is the kind of principal ("AWS"), ``value`` what was written."""

    def __init__(self, sort: str, value: str) -> None:
        super().__init__(value)
        self.sort = sort
        self.value = value


@dataclass(frozen=True, slots=True)
class Principals:
    """The content of a Principal or NotPrincipal element."""

    everyone: bool = False
    accounts: frozenset[str] = frozenset()  # 12 digits; written as such or as the root's ARN
    arns: frozenset[str] = frozenset()  # of users, roles and sessions
    unique_ids: frozenset[str] = frozenset()
    canonical_ids: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    named: tuple[tuple[str, str], ...] = ()  # sort and value of those that may or may not exist, as written

    def reach(self, who: Who) -> Reach:
        """How this names a caller. Federated principals name nobody here: there is no federation."""
        if who.anonymous:
            return Reach.LIMITED if self.everyone else Reach.NONE
        if who.service and who.service in self.services:
            return Reach.DIRECT
        named = who.arn in self.arns or (bool(who.unique_id) and who.unique_id in self.unique_ids)
        if named and not (who.role_arn and who.arn not in self.arns):
            return Reach.DIRECT
        if self.everyone or named or (who.role_arn and who.role_arn in self.arns):
            return Reach.LIMITED
        return Reach.ACCOUNT if self._names_account(who) else Reach.NONE

    def spares(self, who: Who) -> bool:
        """Whether a NotPrincipal of these exempts a caller: it and its account must both be listed, else the account's form denies."""
        if self.everyone:
            return True
        if who.anonymous:
            return False
        if who.service and who.service in self.services:
            return True
        return self._names_account(who) and (who.is_root or self.reach(who) > Reach.ACCOUNT)

    def _names_account(self, who: Who) -> bool:
        return who.account_id in self.accounts or (bool(who.canonical_id) and who.canonical_id in self.canonical_ids)


#: ``"*"``, and ``{"AWS": "*"}``, which means the same.
EVERYONE: Final = Principals(everyone=True)


def read_principals(written: dict[str, list[str]]) -> Principals:
    """Of the principals by their sort. Raises BadPrincipal for the first that has not the form its sort has."""
    accounts: set[str] = set()
    arns: set[str] = set()
    unique_ids: set[str] = set()
    everyone = False
    for value in written.get("AWS", []):
        root = _ROOT.fullmatch(value)
        if value == "*":
            everyone = True
        elif root or _ACCOUNT.fullmatch(value):
            accounts.add(root.group(1) if root else value)
        elif _USER_OR_ROLE.fullmatch(value) or _SESSION.fullmatch(value):
            arns.add(value)
        elif _UNIQUE_ID.fullmatch(value):
            unique_ids.add(value)
        else:
            raise BadPrincipal("AWS", value)
    for sort, form in (("CanonicalUser", _CANONICAL), ("Service", _SERVICE), ("Federated", _FEDERATED)):
        for value in written.get(sort, []):
            if not form.fullmatch(value):
                raise BadPrincipal(sort, value)
    return Principals(
        everyone,
        frozenset(accounts),
        frozenset(arns),
        frozenset(unique_ids),
        frozenset(written.get("CanonicalUser", [])),
        frozenset(written.get("Service", [])),
        tuple((sort, value) for sort in ("AWS", "CanonicalUser") for value in written.get(sort, []) if value != "*"),
    )
