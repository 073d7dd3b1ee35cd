"""Users, groups, roles and managed policies as documents: scopes, kinds, ARNs, and the way from a value to JSON and back.

Names are unique in an account whatever their case, so a scope holds the name in lower case. Reading is strict, as in ``records``.
Never knows who may change what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from strongroom.iam.errors import Damaged

Sort = Literal["user", "group", "role"]

KINDS: Final[dict[Sort, str]] = {"user": "iam-user", "group": "iam-group", "role": "iam-role"}
POLICY: Final = "iam-policy"
#: Whose a unique id is: written with the user, group or role, so that a renamed one is found again, and a gone one is not.
UNIQUE_ID: Final = "iam-id"
_PREFIXES: Final = {"user": "AIDA", "group": "AGPA", "role": "AROA", "policy": "ANPA"}
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def folder(account_id: str, sort: str) -> str:
    """What the scopes of all of a sort begin with."""
    return f"iam/{account_id}/{sort}/"


def scope(account_id: str, sort: str, name: str) -> str:
    return folder(account_id, sort) + name.lower()


def id_scope(unique_id: str) -> str:
    return f"iam-id/{unique_id}"


def arn(account_id: str, sort: str, path: str, name: str) -> str:
    return f"arn:aws:iam::{account_id}:{sort}{path}{name}"


def new_id(sort: str, random: Callable[[int], bytes]) -> str:
    """21 characters: a prefix that tells the sort, and 85 random bits. Never used again, whatever becomes of the name."""
    return _PREFIXES[sort] + "".join(_LETTERS[byte & 31] for byte in random(17))


@dataclass(frozen=True, slots=True)
class Entity:
    """A user, group or role: whoever policies are attached to. Others are named by their names in lower case, policies by ARN."""

    account_id: str
    sort: Sort
    name: str
    path: str  # begins and ends with /
    unique_id: str
    created_ms: int
    tags: tuple[tuple[str, str], ...] = ()
    inline: Mapping[str, str] = field(default_factory=dict[str, str])  # the documents by policy name, as they came
    attached: tuple[str, ...] = ()  # ARNs
    boundary: str = ""  # ARN, of users and roles
    groups: tuple[str, ...] = ()  # of users
    access_keys: tuple[str, ...] = ()  # of users
    members: tuple[str, ...] = ()  # of groups
    trust: str = ""  # of roles: the document that says who may assume it, as it came
    trust_ids: Mapping[str, str] = field(default_factory=dict[str, str])  # the unique ids of whom it names, by ARN of that time
    description: str = ""  # of roles
    session_seconds: int = 0  # of roles: the longest session

    @property
    def arn(self) -> str:
        return arn(self.account_id, self.sort, self.path, self.name)

    @property
    def scope(self) -> str:
        return scope(self.account_id, self.sort, self.name)

    @property
    def label(self) -> str:
        """How policies refer to it."""
        return f"{self.sort}/{self.name.lower()}"

    @property
    def place(self) -> dict[str, str]:
        """What is kept under its unique id."""
        return {"account_id": self.account_id, "sort": self.sort, "name": self.name.lower()}

    def to_document(self) -> dict[str, Any]:
        role = {
            "trust": self.trust,
            "trust_ids": dict(self.trust_ids),
            "description": self.description,
            "session_seconds": self.session_seconds,
        }
        return {
            **(role if self.sort == "role" else {}),
            "name": self.name,
            "path": self.path,
            "unique_id": self.unique_id,
            "created_ms": self.created_ms,
            "tags": [list(pair) for pair in self.tags],
            "inline": dict(self.inline),
            "attached": list(self.attached),
            "boundary": self.boundary,
            "groups": list(self.groups),
            "access_keys": list(self.access_keys),
            "members": list(self.members),
        }

    @classmethod
    def from_document(cls, account_id: str, sort: Sort, value: Any) -> Entity:
        read = _Reader(value, f"of a {sort} of {account_id}")
        return cls(
            account_id,
            sort,
            name=read.text("name"),
            path=read.text("path"),
            unique_id=read.text("unique_id"),
            created_ms=read.number("created_ms"),
            tags=read.pairs("tags"),
            inline=read.mapping("inline"),
            attached=read.texts("attached"),
            boundary=read.text("boundary"),
            groups=read.texts("groups"),
            access_keys=read.texts("access_keys"),
            members=read.texts("members"),
            trust=read.text("trust") if sort == "role" else "",
            trust_ids=read.mapping("trust_ids") if "trust_ids" in value else {},  # none before ids were noted
            description=read.text("description") if sort == "role" else "",
            session_seconds=read.number("session_seconds") if sort == "role" else 0,
        )


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    number: int  # v1 and on, never reused
    text: str
    created_ms: int

    @property
    def version_id(self) -> str:
        return f"v{self.number}"


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """``attached`` and ``bounding``: the labels of those it is attached to, and of those it is the boundary of."""

    account_id: str
    name: str
    path: str
    unique_id: str
    description: str
    created_ms: int
    updated_ms: int
    versions: tuple[PolicyVersion, ...]
    default: int
    latest: int  # the highest number given so far
    tags: tuple[tuple[str, str], ...] = ()
    attached: tuple[str, ...] = ()
    bounding: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        return arn(self.account_id, "policy", self.path, self.name)

    @property
    def scope(self) -> str:
        return scope(self.account_id, "policy", self.name)

    def version(self, version_id: str) -> PolicyVersion | None:
        return next((one for one in self.versions if one.version_id == version_id), None)

    @property
    def in_force(self) -> PolicyVersion:
        """Raises Damaged."""
        found = self.version(f"v{self.default}")
        if found is None:
            raise Damaged(f"the policy {self.arn} has no default version")
        return found

    def to_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": self.path,
            "unique_id": self.unique_id,
            "description": self.description,
            "created_ms": self.created_ms,
            "updated_ms": self.updated_ms,
            "versions": [{"number": one.number, "text": one.text, "created_ms": one.created_ms} for one in self.versions],
            "default": self.default,
            "latest": self.latest,
            "tags": [list(pair) for pair in self.tags],
            "attached": list(self.attached),
            "bounding": list(self.bounding),
        }

    @classmethod
    def from_document(cls, account_id: str, value: Any) -> ManagedPolicy:
        read = _Reader(value, f"of a policy of {account_id}")
        versions = [_Reader(one, read.where) for one in read.items("versions")]
        return cls(
            account_id,
            name=read.text("name"),
            path=read.text("path"),
            unique_id=read.text("unique_id"),
            description=read.text("description"),
            created_ms=read.number("created_ms"),
            updated_ms=read.number("updated_ms"),
            versions=tuple(PolicyVersion(one.number("number"), one.text("text"), one.number("created_ms")) for one in versions),
            default=read.number("default"),
            latest=read.number("latest"),
            tags=read.pairs("tags"),
            attached=read.texts("attached"),
            bounding=read.texts("bounding"),
        )


class _Reader:
    """Members of one stored value, of the type they must have. Raises Damaged."""

    def __init__(self, value: Any, where: str) -> None:
        self.where = where
        self._value: Any = value
        if not isinstance(value, dict):
            raise Damaged(f"the document {where} is no object")

    def text(self, name: str) -> str:
        return self._text(self._value.get(name), name)

    def number(self, name: str) -> int:
        found: Any = self._value.get(name)
        if not isinstance(found, int) or isinstance(found, bool):
            raise self._lacks(name)
        return found

    def items(self, name: str) -> list[Any]:
        found: Any = self._value.get(name)
        if not isinstance(found, list):
            raise self._lacks(name)
        return [*found]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._text(one, name) for one in self.items(name))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        try:
            return tuple((self._text(key, name), self._text(value, name)) for key, value in self.items(name))
        except (TypeError, ValueError):
            raise self._lacks(name) from None

    def mapping(self, name: str) -> dict[str, str]:
        found: Any = self._value.get(name)
        if not isinstance(found, dict):
            raise self._lacks(name)
        every: dict[Any, Any] = {**found}
        return {self._text(key, name): self._text(value, name) for key, value in every.items()}

    def _lacks(self, name: str) -> Damaged:
        return Damaged(f"the document {self.where} has no {name}")

    def _text(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise self._lacks(name)
        return value
