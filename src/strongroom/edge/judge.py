"""``call.allow``: every question goes through here to the one judge, and a denial comes back in the service's words.

Never knows what an operation does, nor who governs a resource: it asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from strongroom.api.errors import ApiError
from strongroom.api.expected_owner import check_expected_owner
from strongroom.edge.condition_values import Existing, RequestValues
from strongroom.edge.denial import denial
from strongroom.policy.decide import NO_CONTEXT, Authority, Decision, Question, Standing, decide
from strongroom.policy.templates import Lazy

if TYPE_CHECKING:
    from strongroom.api.operation import About, Caller, Need, Told
    from strongroom.api.routing import Route
    from strongroom.edge.denial_log import Denied
    from strongroom.policy.cross_origin import CorsRule


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


class Judge:
    """Asks on behalf of one caller; made for one request."""

    __slots__ = ("_authority", "_caller", "_denied", "_existing", "_standing", "_values", "asked")

    def __init__(
        self,
        caller: Caller,
        standing: Standing,
        authority: Callable[[str, str, About | None], Awaitable[Authority]],
        values: Callable[[], RequestValues],
        existing: Callable[[str, str | None], Awaitable[Told]],
        denied: list[Denied],
    ) -> None:
        """``authority`` of an action and a resource, and what is known of the question. ``values`` is called only when there is a policy
        that may ask for them; ``existing``, with a resource and a version's id, only when one has asked for the values of the resource.

        What is denied is added to ``denied``.
        """
        self._caller = caller
        self._standing = standing
        self._authority = authority
        self._values = values
        self._existing = existing
        self._denied = denied
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
    ) -> None:
        """Returns, or raises ApiError AccessDenied, or what ``authority`` raises for a resource that does not exist."""
        authority = Authority(self._caller.account_id) if resource == "*" else await self._authority(action, resource, about)
        await self._ask(action, resource, authority, version_id, told, about)

    async def decide(self, need: Need, route: Route, place: Place | None, *, with_version: bool) -> None:
        """The question an operation's need asks before the run; none when the run asks itself or nobody has to.

        ``place``: of the route's bucket; its authority is at hand, so nothing is waited for but what a policy asks of the resource.
        Raises ApiError AccessDenied, NoSuchBucket.
        """
        action = need.with_version if with_version and need.with_version is not None else need.action
        if need.on == "service":
            about = None if need.about is None else need.about(self._caller, self._values().given)
            await self._ask(action, "*", Authority(self._caller.account_id), about=about)
        elif need.on in _ON_BUCKETS:
            if place is None:
                raise ApiError("NoSuchBucket", BucketName=route.bucket)
            resource = f"arn:aws:s3:::{route.bucket}/{route.key}" if need.on == "object" else f"arn:aws:s3:::{route.bucket}"
            await self._ask(action, resource, place.authority)

    async def _ask(
        self,
        action: str,
        resource: str,
        authority: Authority,
        version_id: str | None = None,
        told: Told | None = None,
        about: About | None = None,
    ) -> None:
        self.asked = True
        caller, standing = self._caller, self._standing
        question = Question(caller.account_id, caller.arn, caller.anonymous, action, resource, authority, standing)
        if authority.policies or authority.grants or has_policies(standing):
            decision = await self._weigh(question, version_id, told, about)
        else:
            decision = decide(question)
        if not decision.allowed:
            self._denied.append((question, decision))
            raise denial(question, decision)

    async def _weigh(self, question: Question, version_id: str | None, told: Told | None, about: About | None) -> Decision:
        """Decide; and if some policy asked for what has to be fetched from the resource, fetch it and decide anew."""
        values, existing = self._values(), Existing()
        lookup = values.of(question.action, question.authority.account_id, version_id, existing, told, about)
        context = NO_CONTEXT if about is None else about.context
        decision = decide(question._replace(values=Lazy(lookup), encryption_context=context))
        if existing.asked:
            existing.told = await self._existing(question.resource, version_id or values.given.get("VersionId"))
            decision = decide(question._replace(values=Lazy(lookup), encryption_context=context))
        return decision


def has_policies(standing: Standing) -> bool:
    return bool(standing.identity) or standing.boundary is not None or bool(standing.session)


def check_owner(expected: str, bucket: str, place: Place | None) -> None:
    """``x-amz-expected-bucket-owner``. Raises ApiError NoSuchBucket, InvalidBucketOwnerAWSAccountID, AccessDenied."""
    if place is None:
        raise ApiError("NoSuchBucket", BucketName=bucket)
    check_expected_owner(expected, place.account_id)
