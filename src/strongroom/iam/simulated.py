"""One simulation: policies, a caller, resources and context values that are given, and what the judge says of each action.

Pure but for the judge. Never knows where the policies came from, nor that anything exists. Source: "SimulateCustomPolicy" in the IAM API
reference, and answers of AWS as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.iam import refusals
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Policy
from strongroom.policy.decide import Authority, Decision, Question, Reason, Standing, explain
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import read_trust_policy
from strongroom.policy.key_documents import read_key_policy
from strongroom.policy.positions import statement_keys, statement_positions, unlike
from strongroom.policy.principals import Who
from strongroom.policy.s3_actions import actions_of, on_objects
from strongroom.policy.templates import Lookup, lookup_of

IAM_POLICY, RESOURCE_POLICY, BOUNDARY_POLICY = "IAM Policy", "Resource Policy", "Permissions Boundary Policy"
_EXPLICIT: Final = frozenset(
    {
        Reason.DENIED_BY_RESOURCE,
        Reason.DENIED_BY_IDENTITY,
        Reason.DENIED_BY_BOUNDARY,
        Reason.DENIED_BY_SESSION,
        Reason.RESTRICTED,
    }
)
_STRICTEST: Final = ("explicitDeny", "implicitDeny", "allowed")
_LOUDEST: Final = ("explicitDeny", "allowed", "implicitDeny")
_S3: Final = "arn:aws:s3:::"


@dataclass(frozen=True, slots=True)
class Source:
    """A policy and where it is from. ``policy_id`` and ``sort`` are how an answer names it."""

    policy_id: str
    text: str = field(repr=False)
    policy: Policy
    sort: str = IAM_POLICY


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is simulated. ``role_arn``: of a role, whose session it is then."""

    account_id: str
    arn: str
    role_arn: str = ""
    unique_id: str = ""


@dataclass(frozen=True, slots=True)
class Simulation:
    """``values``: context values by key in lower case. ``owner``: account of the resources whose ARNs do not tell it."""

    actor: Actor
    identity: tuple[Source, ...]
    boundary: Source | None
    resource_policy: str | None
    owner: str
    values: Mapping[str, str | tuple[str, ...]]

    def result(self, action: str, resources: Sequence[str]) -> dict[str, Any]:
        """One member of EvaluationResults; resources are told apart when there are any but ``*``. Raises ApiError InvalidInput."""
        every = [self._one(action, resource) for resource in resources]
        strictest = _strictest(one["EvalResourceDecision"] for one in every)
        result: dict[str, Any] = {
            "EvalActionName": action,
            "EvalResourceName": resources[0] if len(resources) == 1 else _form(action),
            "EvalDecision": strictest,
            "MatchedStatements": _each_once(every, "MatchedStatements"),
            "MissingContextValues": _each_once(every, "MissingContextValues"),
        }
        boundaries = [one["PermissionsBoundaryDecisionDetail"] for one in every if "PermissionsBoundaryDecisionDetail" in one]
        if boundaries:
            allowed = all(one["AllowedByPermissionsBoundary"] for one in boundaries)
            result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allowed}
        if list(resources) != ["*"]:
            result["ResourceSpecificResults"] = every
            details = [one.get("EvalDecisionDetails", {}) for one in every]
            sorts = unlike([sort for one in details for sort in one])
            result["EvalDecisionDetails"] = {sort: _strictest(one[sort] for one in details if sort in one) for sort in sorts}
        return result

    def _one(self, action: str, resource: str) -> dict[str, Any]:
        """One member of ResourceSpecificResults."""
        actor, governing = self.actor, self._governing(resource)
        owner = self._owner(resource)
        authority = Authority(
            owner, tuple(one.policy for one in governing), policy_required=bool(governing) and _decides_alone(resource)
        )
        boundary = None if self.boundary is None else self.boundary.policy
        standing = Standing(
            tuple(one.policy for one in self.identity), boundary, role_arn=actor.role_arn, unique_id=actor.unique_id
        )
        values = {"aws:resourceaccount": owner, **self.values}
        lookup = lookup_of(values)
        decision = explain(Question(actor.account_id, actor.arn, False, action, resource, authority, standing, lookup))
        found = "allowed" if decision.allowed else "explicitDeny" if decision.reason in _EXPLICIT else "implicitDeny"
        sources = (*governing, *self.identity)
        result: dict[str, Any] = {
            "EvalResourceName": resource,
            "EvalResourceDecision": found,
            "MatchedStatements": []
            if found == "implicitDeny"
            else self._matched(action, resource, sources, lookup, denied=found != "allowed"),
            "MissingContextValues": _missing(action, resource, sources, values),
        }
        if owner != actor.account_id:
            result["EvalDecisionDetails"] = _details(decision)
        if self.boundary is not None:
            allows = any(one.verdict for one in decision.looked_at if one.kind is Kind.BOUNDARY)
            result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": allows}
        return result

    def _owner(self, resource: str) -> str:
        parts = resource.split(":", 5)
        return parts[4] if len(parts) == 6 and parts[4] else self.owner

    def _governing(self, resource: str) -> tuple[Source, ...]:
        """The resource's policy, read as one of that resource's kind. Raises ApiError InvalidInput."""
        text = self.resource_policy
        if text is None:
            return ()
        try:
            if resource.startswith(_S3):
                policy = read_bucket_policy(text, resource.removeprefix(_S3).partition("/")[0])
            elif resource.startswith("arn:aws:kms:"):
                policy = read_key_policy(text, resource)
            elif resource.startswith("arn:aws:iam:") and ":role/" in resource:
                policy = read_trust_policy(text, resource)
            else:
                raise refusals.invalid_input(f"ResourcePolicy is for buckets, objects, KMS keys and roles, not for {resource}")
        except InvalidPolicy as error:
            raise refusals.invalid_input(f"ResourcePolicy: {error}") from None
        return (Source("ResourcePolicy", text, policy, RESOURCE_POLICY),)

    def _matched(
        self, action: str, resource: str, sources: Iterable[Source], lookup: Lookup, *, denied: bool
    ) -> list[dict[str, Any]]:
        actor = self.actor
        who = Who(actor.account_id, actor.arn, actor.role_arn, actor.unique_id)
        found: list[dict[str, Any]] = []
        for source in sources:
            denying, allowing = source.policy.matching(who, action, resource, lookup)
            positions = statement_positions(source.text)
            for index in denying if denied else allowing:
                (line, column), (end_line, end_column) = positions[index]
                found.append(
                    {
                        "SourcePolicyId": source.policy_id,
                        "SourcePolicyType": source.sort,
                        "StartPosition": {"Line": line, "Column": column},
                        "EndPosition": {"Line": end_line, "Column": end_column},
                    }
                )
        return found


def _missing(action: str, resource: str, sources: Iterable[Source], values: Mapping[str, object]) -> list[str]:
    """The keys that statements about this action and resource speak of, and that have no value."""
    found: list[str] = []
    for source in sources:
        keys = statement_keys(source.text, source.policy.kind)
        for _, _, statement in source.policy.about(action).to(resource):
            found += [key for key in keys[statement.index] if key.lower() not in values]
    return unlike(found)


def _details(decision: Decision) -> dict[str, str]:
    """What each sort of policy says, for a caller and a resource of different accounts."""
    sorts = {IAM_POLICY: Kind.IDENTITY, BOUNDARY_POLICY: Kind.BOUNDARY}
    found = {IAM_POLICY: "implicitDeny", RESOURCE_POLICY: "implicitDeny"}
    for one in decision.looked_at:
        sort = next((name for name, kind in sorts.items() if kind is one.kind), RESOURCE_POLICY)
        said = "explicitDeny" if one.verdict is False else "allowed" if one.verdict else "implicitDeny"
        found[sort] = min(said, found.get(sort, "implicitDeny"), key=_LOUDEST.index)
    return found


def _strictest(decisions: Iterable[str]) -> str:
    return min(decisions, key=_STRICTEST.index)


def _each_once(every: Iterable[Mapping[str, Any]], member: str) -> list[Any]:
    found: list[Any] = []
    for one in every:
        found += [each for each in one[member] if each not in found]
    return found


def _form(action: str) -> str:
    """How ARNs of an action's resources look, where it was simulated for several."""
    if actions_of(action):
        return "arn:aws:s3:::${BucketName}" + ("/${KeyName}" if any(map(on_objects, actions_of(action))) else "")
    return "arn:aws:kms:${Region}:${Account}:key/${KeyId}" if action.lower().startswith("kms:") else "*"


def _decides_alone(resource: str) -> bool:
    """Whether the owner decides through the resource's own policy alone."""
    return not resource.startswith(_S3)
