"""The one judge: a question about a caller, an action and a resource becomes a decision with its reason.

Pure. Never knows where accounts or policies are kept, what an action does, or how an answer is worded on the wire.
Everything is denied that no rule here allows (AWS: default deny, "Policy evaluation logic" in the IAM user guide). How policies add
up: ``docs/decisions/0005-the-policy-engine.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from types import MappingProxyType
from typing import Final, NamedTuple

from strongroom.policy.acls import Acl
from strongroom.policy.compiled import Finding, Policy, Together
from strongroom.policy.faults import Kind
from strongroom.policy.key_documents import Grant
from strongroom.policy.principals import Reach, Who
from strongroom.policy.templates import Lookup, no_values


@unique
class Reason(Enum):
    """Why a decision fell as it did. ``Decision.ending`` words it; who may be told more than "denied" is ``may_be_told``."""

    #: Allowed: the caller is the root of the account that owns the resource.
    ROOT_OF_OWNER = "root of the owning account"
    IDENTITY_POLICY = "an identity-based policy allows"
    RESOURCE_POLICY = "a resource-based policy allows"
    GRANT = "a grant allows"
    #: Allowed to nobody in particular: a grant of the bucket's or the object's list is to everyone.
    ACL = "an access control list allows"
    #: Allowed across accounts: the resource's policy (a grant, a list) and the caller's own both do.
    BOTH_ACCOUNTS = "the policies of both accounts allow"

    #: Denied: nobody signed the request, and nothing is public. S3: ``Access Denied``.
    ANONYMOUS = "anonymous caller"
    #: Denied: the resource belongs to another account, which does not allow. S3: ``Access Denied``. KMS: ``... on this resource
    #: because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy
    #: explicitly denies access``.
    OTHER_ACCOUNT = "resource of another account"
    #: Denied: nothing allows. Of the policies that might have, the first of these is named.
    NO_IDENTITY_POLICY = "no identity-based policy allows"
    NO_RESOURCE_POLICY = "no resource-based policy allows"
    NO_BOUNDARY = "no permissions boundary allows"
    NO_SESSION_POLICY = "no session policy allows"
    #: Denied by a statement.
    DENIED_BY_RESOURCE = "an explicit deny in a resource-based policy"
    DENIED_BY_IDENTITY = "an explicit deny in an identity-based policy"
    DENIED_BY_BOUNDARY = "an explicit deny in a permissions boundary"
    DENIED_BY_SESSION = "an explicit deny in a session policy"
    #: Denied: the resource's policy is public and its owner restricts public buckets. Worded as an explicit deny.
    RESTRICTED = "an explicit deny in a resource-based policy (RestrictPublicBuckets)"


_EXPLICIT: Final = {
    Kind.RESOURCE: Reason.DENIED_BY_RESOURCE,
    Kind.KEY: Reason.DENIED_BY_RESOURCE,
    Kind.TRUST: Reason.DENIED_BY_RESOURCE,
    Kind.IDENTITY: Reason.DENIED_BY_IDENTITY,
    Kind.BOUNDARY: Reason.DENIED_BY_BOUNDARY,
    Kind.SESSION: Reason.DENIED_BY_SESSION,
}
_DENIALS: Final = frozenset(_EXPLICIT.values())
_MISSING: Final = frozenset({Reason.NO_IDENTITY_POLICY, Reason.NO_RESOURCE_POLICY, Reason.NO_BOUNDARY, Reason.NO_SESSION_POLICY})


@dataclass(frozen=True, slots=True)
class Authority:
    """What governs a resource: its owner, and the policies kept with it.

    ``policy_required``: the owner decides through the resource's own policy alone, which may delegate to the identity policies of an
    account by naming it (KMS keys, trust policies of roles). Else the owning account's identity policies count beside it (S3).
    ``restricted``: only the owning account and services get in, whatever the policies say (RestrictPublicBuckets).
    ``by_object``: lists count in this bucket, and objects in it may have other owners: about one that is there ``of_object`` decides.
    """

    account_id: str  # 12 digits
    policies: tuple[Policy, ...] = ()
    grants: tuple[Grant, ...] = ()
    policy_required: bool = False
    restricted: bool = False
    acl: Acl | None = None
    by_object: bool = False
    bucket_account_id: str = ""  # where the bucket's owner is another: who is not kept out when it is restricted

    def of_object(self, owner: str, acl: Acl | None) -> Authority:
        """What governs an object in this bucket that ``owner`` (an account id) has. A bucket policy speaks for the bucket's owner: what
        it allows reaches the objects of no other, what it denies reaches all ("Bucket policies" in the S3 user guide; facts C11).
        """
        if owner == self.account_id:
            return Authority(owner, self.policies, restricted=self.restricted, acl=acl)
        denials = tuple(one.denials() for one in self.policies)
        return Authority(owner, denials, restricted=self.restricted, acl=acl, bucket_account_id=self.account_id)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the caller's own account says of the caller, and its other names. The default is an account's root."""

    identity: tuple[Policy, ...] = ()  # its own, its groups', or its role's
    boundary: Policy | None = None
    session: tuple[Policy, ...] | None = None  # passed when the session was made; None when none were
    role_arn: str = ""  # of the role behind a session, with its path
    unique_id: str = ""  # AIDA... of a user, AROA... of the role behind a session
    canonical_id: str = ""
    service: str = ""  # the caller is a service
    together: Together = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "together", Together(self.identity))


ROOT: Final = Standing()
NO_CONTEXT: Final[Mapping[str, str]] = MappingProxyType({})


class Question(NamedTuple):
    """May this caller do ``action`` (``s3:GetObject``) to ``resource`` (an ARN, or ``*``), which ``authority`` governs?

    ``values`` gives the condition keys' values of the request, asked for in lower case and only when a policy asks.
    """

    caller_account: str
    caller_arn: str
    anonymous: bool
    action: str
    resource: str
    authority: Authority
    standing: Standing = ROOT
    values: Lookup = no_values
    encryption_context: Mapping[str, str] = NO_CONTEXT  # for the constraints of grants


class Decision(NamedTuple):
    allowed: bool
    reason: Reason
    #: Whether the caller may be told who was denied what and why: only callers of the owning account may.
    may_be_told: bool = False
    #: The policy and statement that decided; None when it was that there is none, or that root needs none.
    decided_by: Finding | None = None
    #: What each policy said, as far as they were looked at.
    looked_at: tuple[Finding, ...] = ()

    @property
    def explicit(self) -> bool:
        """Whether a statement denies."""
        return self.reason in _DENIALS

    @property
    def by_list(self) -> bool:
        """Whether an access control list is what allows on the resource's side."""
        return self.allowed and self.decided_by is not None and self.decided_by.kind is Kind.ACL

    def ending(self, action: str) -> str:
        """How a denial ends, or "" where there is nothing to tell.

        ``because no identity-based policy allows the s3:GetObject action``, ``with an explicit deny in a resource-based policy``.
        """
        if self.reason in _MISSING:
            return f"because {self.reason.value} the {action} action"
        if self.reason in _DENIALS:
            return f"with {self.reason.value}"
        return f"with {Reason.DENIED_BY_RESOURCE.value}" if self.reason is Reason.RESTRICTED else ""


_ROOT_MAY: Final = Decision(True, Reason.ROOT_OF_OWNER, may_be_told=True)
_ANONYMOUS: Final = Decision(False, Reason.ANONYMOUS)
_OTHER_ACCOUNT: Final = Decision(False, Reason.OTHER_ACCOUNT)
#: What the root of the owner may do against its own bucket policy, so that nobody locks himself out.
_NEVER_LOCKED_OUT: Final = frozenset({"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"})


def decide(question: Question) -> Decision:
    """The decision; policies are looked at until one denies. Never raises.

    An owner that is not an account id (12 digits) owns nothing: such a question is denied whoever asks.
    """
    account, arn, anonymous, _, _, authority, standing, _, _ = question
    owner = authority.account_id
    if not (len(owner) == 12 and owner.isascii() and owner.isdigit()):
        return _ANONYMOUS if anonymous else _OTHER_ACCOUNT
    if (  # the common case, and nothing to look at: see the benchmark before adding to it
        account == owner
        and not authority.policies
        and arn == f"arn:aws:iam::{owner}:root"
        and not anonymous
        and standing.session is None
        and not authority.policy_required
    ):
        return _ROOT_MAY
    return _Hearing(question).decision(thorough=False)


def explain(question: Question) -> Decision:
    """As ``decide``, but every policy is looked at and told of in ``looked_at``."""
    owner = question.authority.account_id
    if not (len(owner) == 12 and owner.isascii() and owner.isdigit()):
        return decide(question)
    return _Hearing(question).decision(thorough=True)


class _Hearing:
    """One question being decided. ``root``: the caller is the root of its account, which has everything there."""

    __slots__ = ("found", "own", "question", "root", "who")

    def __init__(self, question: Question) -> None:
        account_id, arn, anonymous, _, _, authority, standing, _, _ = question
        self.question = question
        self.who = Who(account_id, arn, standing.role_arn, standing.unique_id, standing.canonical_id, standing.service, anonymous)
        self.root = self.who.is_root
        self.own = not anonymous and account_id == authority.account_id
        self.found: list[Finding] = []

    def decision(self, *, thorough: bool) -> Decision:
        question = self.question
        _, _, anonymous, action, _, authority, standing, _, encryption_context = question
        resource = self._look(authority.policies) if authority.policies else []
        if self.root and self.own and action in _NEVER_LOCKED_OUT:
            resource = [one._replace(verdict=None) if one.verdict is False else one for one in resource]
        denial = self._denial(resource)
        if denial is not None and not thorough:
            return denial
        if denial is None and authority.restricted and not self._inside():
            denial = self._done(False, Reason.RESTRICTED)
        identity = [] if anonymous else self._look(standing.identity) if thorough else self._glance(standing.together)
        boundary = [] if anonymous or standing.boundary is None else self._look((standing.boundary,))
        session = [] if anonymous or standing.session is None else self._look(standing.session)
        for group in (identity, boundary, session):
            if group and denial is None:
                denial = self._denial(group)
        if denial is not None:
            return self._done(False, denial.reason, denial.decided_by)
        if authority.grants or authority.acl is not None:
            beside = [one.look(self.who, action, encryption_context) for one in authority.grants]
            if authority.acl is not None:
                beside.append(authority.acl.look(self.who, action))
            self.found += beside
            resource += beside
        return self._weigh(_strongest(resource), _first(identity), self._limit(boundary, session))

    def _inside(self) -> bool:
        """Whether a restricted bucket lets the caller in."""
        question = self.question
        inside = question.authority.bucket_account_id or question.authority.account_id
        return bool(self.who.service) or (not question.anonymous and question.caller_account == inside)

    def _look(self, policies: Iterable[Policy]) -> list[Finding]:
        question = self.question
        found = [one.look(self.who, question.action, question.resource, question.values) for one in policies]
        self.found += found
        return found

    def _glance(self, policies: Together) -> list[Finding]:
        """What decides of what the caller's own policies say, without what each of them says."""
        question = self.question
        found = policies.look(question.action, question.resource, question.values)
        if found is None:
            return []
        self.found.append(found)
        return [found]

    def _denial(self, found: Iterable[Finding]) -> Decision | None:
        for one in found:
            if one.verdict is False:
                return self._done(False, _EXPLICIT[one.kind], one)
        return None

    def _limit(self, boundary: list[Finding], session: list[Finding]) -> Reason | None:
        """What keeps an Allow of an identity policy from having effect: a boundary or session policy that does not allow, too."""
        standing = self.question.standing
        if standing.boundary is not None and _first(boundary) is None:
            return Reason.NO_BOUNDARY
        return Reason.NO_SESSION_POLICY if standing.session is not None and _first(session) is None else None

    def _weigh(self, resource: Finding | None, identity: Finding | None, limit: Reason | None) -> Decision:
        """Nothing denies. ``resource``: the strongest Allow on the resource's side; ``identity``: one on the caller's."""
        if self.question.anonymous:
            return self._done(resource is not None, Reason.ANONYMOUS if resource is None else _by(resource), resource)
        if self.who.service:
            return self._done(resource is not None, Reason.NO_RESOURCE_POLICY if resource is None else _by(resource), resource)
        if not self.own:
            return self._across(resource, identity, limit)
        reach = Reach.NONE if resource is None else resource.reach
        if resource is not None and reach is Reach.DIRECT:
            return self._done(True, _by(resource), resource)
        required = self.question.authority.policy_required
        if required and resource is None:
            return self._done(False, Reason.NO_RESOURCE_POLICY)
        if resource is not None and reach is Reach.LIMITED and not self.root:
            return self._done(True, _by(resource), resource) if limit is None else self._done(False, limit)
        if not self.root and identity is None:
            return self._done(False, Reason.NO_IDENTITY_POLICY)
        if limit is not None:
            return self._done(False, limit)
        if self.root:
            return self._done(True, Reason.RESOURCE_POLICY if required else Reason.ROOT_OF_OWNER, resource)
        return self._done(True, Reason.IDENTITY_POLICY, identity)

    def _across(self, resource: Finding | None, identity: Finding | None, limit: Reason | None) -> Decision:
        """Another account's caller needs the resource's side and its own."""
        if resource is None:
            return self._done(False, Reason.OTHER_ACCOUNT)
        if not self.root and identity is None:
            return self._done(False, Reason.NO_IDENTITY_POLICY)
        return self._done(True, Reason.BOTH_ACCOUNTS, resource) if limit is None else self._done(False, limit)

    def _done(self, allowed: bool, reason: Reason, by: Finding | None = None) -> Decision:
        return Decision(allowed, reason, self.own, by, tuple(self.found))


_BY: Final = {Kind.GRANT: Reason.GRANT, Kind.ACL: Reason.ACL}


def _by(finding: Finding) -> Reason:
    return _BY.get(finding.kind, Reason.RESOURCE_POLICY)


def _first(found: Iterable[Finding]) -> Finding | None:
    for one in found:
        if one.verdict:
            return one
    return None


def _strongest(found: Iterable[Finding]) -> Finding | None:
    """The first of those that allow and name the caller most exactly."""
    best: Finding | None = None
    for one in found:
        if one.verdict and (best is None or one.reach > best.reach):
            best = one
    return best
