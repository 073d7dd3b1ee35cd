"""Who may do what, and why: the server's one judge is asked, with the policies, the row, the rule and the keys of a data folder.

What a request would bring is taken from ``--context``; what the principal and the resource bring themselves is added as the server adds
it. Nothing is opened or changed, and nobody is authenticated. Never knows how an answer is shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import About
from strongroom.cli.explaining_keys import Read, Wrapping, of_read, of_write
from strongroom.edge.condition_values import Existing, RequestValues
from strongroom.edge.head import Head
from strongroom.iam.acting import Acting, Principal
from strongroom.policy import s3_actions
from strongroom.policy.acls import OF_OBJECT_OWNER
from strongroom.policy.decide import NO_CONTEXT, Authority, Decision, Question, explain
from strongroom.policy.templates import Untold, Value
from strongroom.s3.condition_values import resource_values
from strongroom.s3.object_owners import governed
from strongroom.startup import now
from strongroom.startup.opening import LowerRooms

_ARN: Final = "arn:aws:s3:::"
_KMS: Final = "arn:aws:kms:"
_READS: Final = frozenset({"s3:GetObject", "s3:GetObjectVersion"})
_WRITES: Final = "s3:PutObject"


class BadQuestion(Exception):
    """A question that cannot be asked: one line for whoever asks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """``context``: values of condition keys, by key in lower case. ``version_id``: of the object, None for the newest."""

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str | tuple[str, ...]])
    version_id: str | None = None

    def __post_init__(self) -> None:
        """Raises BadQuestion."""
        service, colon, name = self.action.partition(":")
        if not colon or not service or not name or "*" in self.action:
            raise BadQuestion(f"{self.action} is no action; one is written s3:GetObject")
        if service.lower() == "s3":
            (spelt,) = s3_actions.actions_of(self.action) or (f"s3:{name}",)
            object.__setattr__(self, "action", spelt)
        if self.resource != "*" and self.resource.count(":") < 5:
            raise BadQuestion(
                f"{self.resource} is no ARN; one of an object is arn:aws:s3:::BUCKET/KEY, and * is no resource in particular"
            )
        if self.on_object and not self.object_key:
            raise BadQuestion(f"{self.action} is asked for an object, arn:aws:s3:::BUCKET/KEY")

    @property
    def on_object(self) -> bool:
        return self.action.startswith("s3:") and s3_actions.on_objects(self.action)

    @property
    def place(self) -> tuple[str, str]:
        """The bucket and the object key."""
        bucket, _, object_key = self.resource.removeprefix(_ARN).partition("/")
        return bucket, object_key

    @property
    def object_key(self) -> str:
        return self.place[1] if self.resource.startswith(_ARN) else ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One question and its decision. ``absent``: condition keys that policies asked for and that had no value."""

    action: str
    resource: str
    decision: Decision
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """``judged``: the action itself, then what is asked of the KMS key. ``wrapping``: None where no object's bytes are touched."""

    principal: Principal
    judged: tuple[Judged, ...]
    wrapping: Wrapping | None = None
    notes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        usable = self.wrapping is None or self.wrapping.usable
        return usable and all(one.decision.allowed for one in self.judged)


class Explaining:
    def __init__(self, lower: LowerRooms) -> None:
        self._lower = lower
        self._acting = Acting(lower.catalog)

    async def one(self, principal: str, asked: Asked) -> Explained:
        """Raises BadQuestion, Damaged."""
        found = await self._acting.principal(principal)
        if found is None:
            raise BadQuestion(
                f"there is no principal {principal}: an account's id, an ARN of its root, a user, a role or a session, or anonymous"
            )
        return await self._explained(found, asked)

    async def everybody(self, asked: Asked) -> AsyncIterator[Explained]:
        """Of each principal there is. Raises BadQuestion, Damaged."""
        async for principal in self._acting.everybody():
            yield await self._explained(principal, asked)

    async def _explained(self, principal: Principal, asked: Asked) -> Explained:
        about = await self._about_key(principal, asked)
        authority = await self._authority(principal, asked, about)
        existing = Existing()
        existing.told = await resource_values(self._lower.rooms, asked.resource, asked.version_id) if asked.on_object else {}
        first = self._judged(principal, asked, asked.action, asked.resource, authority, about, existing)
        if asked.action not in _READS and asked.action != _WRITES:
            return Explained(principal, (first,))
        bucket_name, object_key = asked.place
        bucket = await self._lower.buckets.find(bucket_name)
        try:
            if asked.action == _WRITES:
                wrapping = await of_write(self._lower, bucket, object_key, principal.caller, asked.context)
            else:
                wrapping = await of_read(self._lower, Read(bucket, object_key, asked.version_id), principal.caller)
        except ApiError as error:
            raise BadQuestion(f"{error.code}: {error.message}") from error
        asks = [await self._asked_of_key(principal, asked, wrapping, action) for action in wrapping.actions]
        return Explained(principal, (first, *asks), wrapping, wrapping.notes)

    async def _about_key(self, principal: Principal, asked: Asked) -> About | None:
        """What is known of a question about a KMS key that is not asked through S3."""
        if not asked.resource.startswith(_KMS):
            return None
        try:
            return await self._lower.keys.question(principal.caller, asked.action, asked.resource, NO_CONTEXT, through_s3=False)
        except ApiError as error:
            raise BadQuestion(f"{asked.resource}: {error.message}") from error

    async def _asked_of_key(self, principal: Principal, asked: Asked, wrapping: Wrapping, action: str) -> Judged:
        arn = wrapping.key_arn
        about = await self._lower.keys.question(principal.caller, action, arn, wrapping.context, through_s3=True)
        return self._judged(principal, asked, action, arn, await self._lower.authority(action, arn, about), about)

    def _judged(
        self,
        principal: Principal,
        asked: Asked,
        action: str,
        resource: str,
        authority: Authority,
        about: About | None,
        existing: Existing | None = None,
    ) -> Judged:
        values = _Values(principal, asked, action, authority.account_id, existing, about)
        encryption_context = NO_CONTEXT if about is None else about.context
        caller = principal.caller
        question = Question(caller.account_id, caller.arn, caller.anonymous, action, resource, authority, principal.standing)
        decision = explain(question._replace(values=values, encryption_context=encryption_context))
        return Judged(action, resource, decision, tuple(sorted(values.absent)))

    async def _authority(self, principal: Principal, asked: Asked, about: About | None) -> Authority:
        action, resource = asked.action, asked.resource
        if resource == "*":
            return Authority(principal.caller.account_id)
        try:
            authority = await self._lower.authority(action, resource, about)
        except ApiError as error:
            raise BadQuestion(f"{resource}: {error.message}") from error
        except ValueError as error:
            raise BadQuestion(f"{resource}: {error}") from error
        if not authority.by_object or action not in OF_OBJECT_OWNER:
            return authority
        there = await governed(self._lower.rooms, resource, asked.version_id)
        return authority if there is None else there.authority


class _Values:
    """What was given, and beneath it what the server would know without a request: as over TLS, from nowhere, at this moment."""

    def __init__(
        self, principal: Principal, asked: Asked, action: str, owner: str, existing: Existing | None, about: About | None
    ) -> None:
        self.absent: set[str] = set()
        self._given = asked.context
        head = Head("GET", "/", None, "", {}, "https", "")
        region = str(asked.context.get("aws:requestedregion", ""))
        bare = RequestValues(principal.caller, head, {}, None, {}, asked.object_key, region, now(), {})
        self._derived = bare.of(action, owner, asked.version_id, existing, about=about)

    def __call__(self, key: str, /) -> Value:
        if key in self._given:
            return self._given[key]
        try:
            value = self._derived(key)
        except Untold:
            self.absent.add(key)
            raise
        if not value:
            self.absent.add(key)
            return None
        return value


def with_version(asked: Asked) -> Asked:
    """A named version is asked for by its own action, as the server does."""
    if asked.version_id is not None and asked.action == "s3:GetObject":
        return replace(asked, action="s3:GetObjectVersion")
    return asked
