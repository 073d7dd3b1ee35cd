"""``call.allow``: every question goes through here to the one judge, and a denial comes back in the service's words.

Never knows what an operation does, nor who governs a resource: it asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from strongroom.api.errors import ApiError
from strongroom.api.expected_owner import check_expected_owner
from strongroom.api.operation import Holds
from strongroom.edge.condition_values import Existing, RequestValues
from strongroom.edge.denial import denial
from strongroom.policy.acls import OF_OBJECT_OWNER, OF_WRITER, WRITES
from strongroom.policy.decide import NO_CONTEXT, Authority, Decision, Question, Reason, Standing, decide
from strongroom.policy.templates import Lazy

if TYPE_CHECKING:
    from strongroom.api.operation import About, Caller, Need, Told
    from strongroom.api.routing import Route
    from strongroom.edge.denial_log import Denied
    from strongroom.policy.cross_origin import CorsRule


#: Where lists count, the object that is there has a say in these.
_LOOKED_AT: Final = OF_OBJECT_OWNER | WRITES
#: What a caller is, and the service that asks for it: the same in all its requests about a key.
_OF_CALLER: Final = frozenset(
    {"kms:viaservice", "kms:calleraccount", "aws:principalaccount", "aws:principalarn", "aws:viaawsservice"}
)
_OF_CONTEXT: Final = ("kms:encryptioncontext:", "kms:encryptioncontextkeys")
_ON_BUCKETS: Final = frozenset({"object", "bucket"})


class Place(Protocol):
    """Where a bucket is, whose it is, and what governs it."""

    @property
    def account_id(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def authority(self) -> Authority: ...
    @property
    def cors(self) -> Sequence[CorsRule]: ...
    @property
    def requester_pays(self) -> bool: ...


class Governed(Protocol):
    """An object that is there, in a bucket where lists count."""

    @property
    def owner(self) -> str: ...  # an account id
    @property
    def authority(self) -> Authority: ...
    @property
    def version_id(self) -> str: ...  # of the row that was looked at


class Judge:
    """Asks on behalf of one caller; made for one request."""

    __slots__ = (
        "_authority",
        "_caller",
        "_denied",
        "_existing",
        "_judged",
        "_of_object",
        "_standing",
        "_values",
        "_version_id",
        "asked",
    )

    def __init__(
        self,
        caller: Caller,
        standing: Standing,
        authority: Callable[[str, str, About | None], Awaitable[Authority]],
        values: Callable[[], RequestValues],
        existing: Callable[[str, str | None], Awaitable[Told]],
        denied: list[Denied],
        of_object: Callable[[str, str | None], Awaitable[Governed | None]],
        version_id: str | None = None,
    ) -> None:
        """``authority`` of an action and a resource, and what is known of the question. ``values`` is called only when there is a policy
        that may ask for them; ``existing``, with a resource and a version's id, only when one has asked for the values of the resource.
        ``of_object``, with an object's ARN and a version as the client named it, only where lists count; None is that there is none.

        What is denied is added to ``denied``. ``version_id``: of the input.
        """
        self._caller = caller
        self._standing = standing
        self._authority = authority
        self._of_object = of_object
        self._values = values
        self._existing = existing
        self._denied = denied
        self._version_id = version_id
        self._judged: dict[str, str] = {}
        self.asked = False

    async def __call__(
        self,
        action: str,
        resource: str,
        /,
        *,
        version_id: str | None = None,
        told: Told | None = None,
        about: About | None = None,
        new: bool = False,
        optional: bool = False,
    ) -> Holds:
        """Returns, or raises ApiError AccessDenied, or what ``authority`` raises for a resource that does not exist."""
        before = len(self._denied)
        try:
            return await self._answer(action, resource, version_id, told, about, new=new)
        except ApiError:
            if optional:
                del self._denied[before:]
            raise

    async def _answer(
        self, action: str, resource: str, version_id: str | None, told: Told | None, about: About | None, *, new: bool
    ) -> Holds:
        if resource == "*" or (new and "/" not in resource):
            authority = Authority(self._caller.account_id)
        else:
            authority = await self._authority(action, resource, about)
            if authority.by_object and not new:
                await self._hear(action, resource, authority, version_id, told)
                return Holds.THIS_REQUEST
            if authority.by_object and action in OF_WRITER and not self._caller.anonymous:
                authority = authority.of_object(self._caller.account_id, None)
        question = await self._ask(action, resource, authority, version_id, told, about)
        return Holds.THIS_REQUEST if about is None else _holds(question)

    def judged(self, resource: str) -> str | None:
        return self._judged.get(resource)

    def decide_at_once(self, need: Need, route: Route, place: Place | None, *, with_version: bool) -> bool:
        """As ``decide``, of a bucket that has neither policies nor lists, for a caller who has no policies: nothing is waited for.

        False: that is not so, and nothing was decided. Raises ApiError AccessDenied.
        """
        standing = self._standing
        if place is None or need.on not in _ON_BUCKETS or has_policies(standing):
            return False
        authority = place.authority
        if authority.policies or authority.grants or authority.by_object:
            return False
        self.asked = True
        caller = self._caller
        action, resource = _named(need, route, with_version=with_version)
        question = Question(caller.account_id, caller.arn, caller.anonymous, action, resource, authority, standing)
        self._settle(question, decide(question))
        return True

    async def decide(self, need: Need, route: Route, place: Place | None, *, with_version: bool) -> None:
        """The question an operation's need asks before the run; none when the run asks itself or nobody has to.

        ``place``: of the route's bucket; its authority is at hand, so nothing is waited for but what a policy asks of the resource, or
        what an object there has to say. Raises ApiError AccessDenied, NoSuchBucket, NoSuchKey, NoSuchVersion.
        """
        action, resource = _named(need, route, with_version=with_version)
        if need.on == "service":
            about = None if need.about is None else need.about(self._caller, self._values().given)
            # A bucket that is to be made is its maker's, and can be named by the maker's policies.
            await self._ask(action, resource, Authority(self._caller.account_id), about=about)
        elif need.on in _ON_BUCKETS:
            if place is None:
                raise ApiError("NoSuchBucket", BucketName=route.bucket)
            if place.authority.by_object:
                await self._hear(action, resource, place.authority)
            else:
                await self._ask(action, resource, place.authority)

    async def _hear(
        self, action: str, resource: str, authority: Authority, version_id: str | None = None, told: Told | None = None
    ) -> None:
        """As ``_ask``; of an object in a bucket where lists count, its owner and its list are looked at, too."""
        if not authority.by_object or action not in _LOOKED_AT:
            await self._ask(action, resource, authority, version_id, told)
            return
        wanted = self._version_id if version_id is None else version_id
        if action in WRITES:
            question, decision = await self._decision(action, resource, authority, version_id, told)
            if decision.by_list:
                there = await self._of_object(resource, None)
                if there is not None and there.owner != self._caller.account_id:
                    # The list of a bucket lets write what is new, and what is one's own.
                    decision = Decision(False, Reason.OTHER_ACCOUNT, looked_at=decision.looked_at)
            self._settle(question, decision)
            return
        there = await self._of_object(resource, wanted or None)
        self._judged[resource] = "" if there is None else there.version_id
        if there is not None:
            await self._ask(action, resource, there.authority, version_id, told)
            return
        question, decision = await self._decision(action, resource, authority, version_id, told)
        if decision.allowed:
            return
        # Nothing is there that a list could open. Whoever may list the bucket is told so.
        bucket, _, object_key = resource.partition("/")
        if decision.explicit or not (await self._decision("s3:ListBucket", bucket, authority))[1].allowed:
            self._settle(question, decision)
        raise ApiError("NoSuchVersion" if wanted else "NoSuchKey", Key=object_key)

    async def _ask(
        self,
        action: str,
        resource: str,
        authority: Authority,
        version_id: str | None = None,
        told: Told | None = None,
        about: About | None = None,
    ) -> Question:
        question, decision = await self._decision(action, resource, authority, version_id, told, about)
        self._settle(question, decision)
        return question

    def _settle(self, question: Question, decision: Decision) -> None:
        if not decision.allowed:
            self._denied.append((question, decision))
            raise denial(question, decision)

    async def _decision(
        self,
        action: str,
        resource: str,
        authority: Authority,
        version_id: str | None = None,
        told: Told | None = None,
        about: About | None = None,
    ) -> tuple[Question, Decision]:
        self.asked = True
        caller, standing = self._caller, self._standing
        who = caller.account_id, caller.arn, caller.anonymous
        if not (authority.policies or authority.grants or has_policies(standing)):
            question = Question(*who, action, resource, authority, standing)
            return question, decide(question)
        values, existing = self._values(), Existing()
        lookup = values.of(action, authority.account_id, version_id, existing, told, about)
        context = NO_CONTEXT if about is None else about.context
        question = Question(*who, action, resource, authority, standing, Lazy(lookup), context)
        decision = decide(question)
        if existing.asked:  # some policy asked for what has to be fetched from the resource: it is, and is decided anew
            existing.told = await self._existing(resource, version_id or values.given.get("VersionId"))
            question = question._replace(values=Lazy(lookup))
            decision = decide(question)
        return question, decision


def _named(need: Need, route: Route, *, with_version: bool) -> tuple[str, str]:
    """The action that an operation needs, and what it needs it for."""
    action = need.with_version if with_version and need.with_version is not None else need.action
    if need.on == "object":
        return action, f"arn:aws:s3:::{route.bucket}/{route.key}"
    return action, f"arn:aws:s3:::{route.bucket}" if route.bucket else "*"


def _holds(question: Question) -> Holds:
    """What a question that has an ``about`` and was allowed hung on: what the policies asked for, and what grants are bound to."""
    values = question.values
    of_context = any(one.constrained for one in question.authority.grants)
    if isinstance(values, Lazy):
        asked = set(values.asked) - _OF_CALLER
        if values.untold or not all(key.startswith(_OF_CONTEXT) for key in asked):
            return Holds.THIS_REQUEST
        of_context = of_context or bool(asked)
    return Holds.SAME_CONTEXT if of_context else Holds.ANY_CONTEXT


def has_policies(standing: Standing) -> bool:
    return bool(standing.identity) or standing.boundary is not None or bool(standing.session)


def check_owner(expected: str, bucket: str, place: Place | None) -> None:
    """``x-amz-expected-bucket-owner``. Raises ApiError NoSuchBucket, InvalidBucketOwnerAWSAccountID, AccessDenied."""
    if place is None:
        raise ApiError("NoSuchBucket", BucketName=bucket)
    check_expected_owner(expected, place.account_id)
