"""A Caller and what proves it: made of an account, and of the user, role or session behind an access key. Pure.

Never knows where any of them is kept, how a signature is checked, or what a caller may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strongroom.api.operation import Sort
from strongroom.iam.directory import moment
from strongroom.policy.decide import ROOT, Standing

if TYPE_CHECKING:
    from strongroom.iam.entities import Entity
    from strongroom.iam.records import Account
    from strongroom.iam.sessions import Session

#: What the credentials of users' own sessions and of federated users never open: without MFA AWS keeps both out of IAM.
_CLOSED: Final[Mapping[Sort, frozenset[str]]] = {
    "role": frozenset(),
    "user": frozenset({"iam"}),
    "federated": frozenset({"iam"}),
}


@dataclass(frozen=True, slots=True)
class Temporary:
    """Satisfies ``api.operation.Session``."""

    sort: Sort
    transitive: tuple[tuple[str, str], ...] = ()
    source_identity: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal, or nobody. Satisfies ``api.operation.Caller``."""

    account_id: str  # 12 digits; "" for nobody
    arn: str  # arn:aws:iam::<account>:root, arn:aws:iam::<account>:user/<path><name>; "" for nobody
    user_id: str  # of a root: the account id; of a user: AIDA...; of a role's session: AROA...:<name>
    canonical_id: str  # of the account
    display_name: str  # the account's name
    access_key_id: str
    anonymous: bool = False
    principal_arn: str = ""  # of a role's session: the role; "" for the others, who are their own
    session: Temporary | None = None
    values: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


#: Who sends an unsigned request. The canonical id is the one AWS gives to the anonymous user; no account can have it.
ANONYMOUS: Final = Caller("", "", "anonymous", "65a011a29cdf8ec533ec3d1ccaae921c", "anonymous", "", anonymous=True)


@dataclass(frozen=True, slots=True)
class Credential:
    caller: Caller
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    standing: Standing = field(default=ROOT, repr=False)
    expires_ms: int | None = None  # None: never
    closed: frozenset[str] = frozenset()  # services that do not know it


def root_arn(account_id: str) -> str:
    return f"arn:aws:iam::{account_id}:root"


def session_arn(role: Entity, name: str) -> str:
    return f"arn:aws:sts::{role.account_id}:assumed-role/{role.name}/{name}"


def federated_arn(account_id: str, name: str) -> str:
    return f"arn:aws:sts::{account_id}:federated-user/{name}"


def long_term(account: Account, user: Entity | None, access_key_id: str) -> Caller:
    """``user``: None for the account's root."""
    return Caller(
        account_id=account.account_id,
        arn=root_arn(account.account_id) if user is None else user.arn,
        user_id=account.account_id if user is None else user.unique_id,
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id=access_key_id,
        values=tag_values(() if user is None else user.tags),
    )


def role_session(account: Account, role: Entity, name: str) -> Caller:
    """A session of a role as such, without credentials and without tags of its own."""
    return Caller(
        account_id=account.account_id,
        arn=session_arn(role, name),
        user_id=f"{role.unique_id}:{name}",
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id="",
        principal_arn=role.arn,
        session=Temporary("role"),
        values={**tag_values(role.tags), "aws:multifactorauthpresent": "false"},
    )


def temporary(account: Account, holder: Entity | None, session: Session, standing: Standing, token: str) -> Credential:
    """The credential of a session. ``holder``: the role or user whose rights it has; None for the account's root."""
    passed, account_id = session.passed, account.account_id
    arn, user_id, principal_arn = _names(account_id, holder, session)
    values = {
        **tag_values(() if holder is None else holder.tags),
        **tag_values(passed.tags),
        "aws:tokenissuetime": moment(session.issued_ms).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:multifactorauthpresent": "false",
    }
    if passed.source_identity:
        values["aws:sourceidentity"] = passed.source_identity
    caller = Caller(
        account_id=account_id,
        arn=arn,
        user_id=user_id,
        canonical_id=account.canonical_id,
        display_name=account.name,
        access_key_id=session.access_key_id,
        principal_arn=principal_arn,
        session=Temporary(
            session.sort,
            tuple(pair for pair in passed.tags if pair[0].lower() in passed.transitive),
            passed.source_identity,
        ),
        values=values,
    )
    return Credential(caller, session.secret_access_key, token, standing, session.expires_ms, _CLOSED[session.sort])


def _names(account_id: str, holder: Entity | None, session: Session) -> tuple[str, str, str]:
    """The ARN, the user id, and the ARN of the role if it is a role's."""
    if session.sort == "federated":
        return federated_arn(account_id, session.name), f"{account_id}:{session.name}", ""
    if holder is None:
        return root_arn(account_id), account_id, ""
    if session.sort == "user":
        return holder.arn, holder.unique_id, ""
    return session_arn(holder, session.name), f"{holder.unique_id}:{session.name}", holder.arn


def tag_values(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What conditions see of a principal's tags; their keys ignore case."""
    return {f"aws:principaltag/{key.lower()}": value for key, value in tags}
