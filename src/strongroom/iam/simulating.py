"""IAM's simulator: what policies that are attached, or only given, would allow, and which condition keys they speak of.

It asks the judge that also decides requests. Nothing is done, and no resource's policy is looked up: who wants one weighed gives it. Never
knows how policies add up. Source: the four operations in the IAM API reference.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, refusals
from strongroom.iam.entities import KINDS, Entity, Sort
from strongroom.iam.simulated import Actor, Simulation, Source
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.operators import read_date, read_network, read_number
from strongroom.policy.positions import statement_keys, unlike
from strongroom.policy.wildcards import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from strongroom.iam.directory import Directory

_ENTITY: Final = re.compile(r"arn:aws:iam::([0-9]{12}):(user|group|role)/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,128})", re.ASCII)
_OWNER: Final = re.compile(r"(?:arn:aws:iam::)?([0-9]{12})(?::root)?")
_ACTION: Final = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+")
_MOST_PAIRS: Final = 10_000  # of actions and resources, in one request


class Simulating:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy", on="run")
    async def simulate_principal_policy(self, call: Call) -> Answer:
        """Raises ApiError AccessDenied, InvalidInput, NoSuchEntity, NotImplemented."""
        given, source_arn = call.input, call.input["PolicySourceArn"]
        entity = await self._entity(call)
        excluded = _excluded(given.get("PolicyExclusionList") or [])
        sources = [one for one in await self._sources(entity) if not excluded(one)] + _given(given, "PolicyInputList")
        caller_arn = given.get("CallerArn") or source_arn
        if given.get("ResourcePolicy") and "CallerArn" not in given and entity.sort != "user":
            raise refusals.invalid_input(
                "CallerArn is required with a ResourcePolicy when PolicySourceArn is not that of a user."
            )
        boundary = _boundary(given)
        if boundary is None and entity.boundary and not excluded(_BOUNDARY):
            boundary = await self._managed(entity.boundary, Kind.BOUNDARY)
        own = entity.unique_id if caller_arn == source_arn else ""
        return _simulated(call, _actor(caller_arn, own), sources, boundary)

    @operation("iam", "SimulateCustomPolicy", "iam:SimulateCustomPolicy", on="service")
    async def simulate_custom_policy(self, call: Call) -> Answer:
        """Raises ApiError InvalidInput, NotImplemented."""
        given = call.input
        if given.get("OrderedOrganizationPolicyInputList"):
            raise ApiError("NotImplemented", "Service control policies are not implemented.")
        caller_arn = given.get("CallerArn")
        if caller_arn is None and given.get("ResourcePolicy"):
            raise refusals.invalid_input("CallerArn is required with a ResourcePolicy.")
        account_id = call.caller.account_id
        actor = Actor(account_id, f"arn:aws:iam::{account_id}:user/") if caller_arn is None else _actor(caller_arn, "")
        return _simulated(call, actor, _given(given, "PolicyInputList"), _boundary(given), known=caller_arn is not None)

    @operation("iam", "GetContextKeysForPrincipalPolicy", "iam:GetContextKeysForPrincipalPolicy", on="run")
    async def get_context_keys_for_principal_policy(self, call: Call) -> Answer:
        """Raises ApiError AccessDenied, InvalidInput, NoSuchEntity."""
        sources = await self._sources(await self._entity(call))
        return _context_keys([*sources, *_given(call.input, "PolicyInputList")])

    @operation("iam", "GetContextKeysForCustomPolicy", "iam:GetContextKeysForCustomPolicy", on="service")
    async def get_context_keys_for_custom_policy(self, call: Call) -> Answer:
        """Raises ApiError InvalidInput."""
        return _context_keys(_given(call.input, "PolicyInputList"))

    async def _entity(self, call: Call) -> Entity:
        """Whose policies are meant, if the caller may look at them."""
        source_arn = call.input["PolicySourceArn"]
        found = _ENTITY.fullmatch(source_arn)
        if found is None:
            raise _no_entity(source_arn)
        await call.allow(call.operation.need.action, source_arn)
        sort: Sort = "user" if found[2] == "user" else "group" if found[2] == "group" else "role"
        value = await self._shelf.catalog.document(entities.scope(found[1], sort, found[3]), KINDS[sort])
        entity = None if value is None else Entity.from_document(found[1], sort, value)
        if entity is None or entity.arn != source_arn:
            raise refusals.missing(sort, found[3])
        return entity

    async def _sources(self, entity: Entity) -> list[Source]:
        """The policies of an entity, and those of a user's groups."""
        found = await self._own(entity)
        for name in entity.groups:
            value = await self._shelf.catalog.document(entities.scope(entity.account_id, "group", name), KINDS["group"])
            if value is not None:
                found += await self._own(Entity.from_document(entity.account_id, "group", value))
        return found

    async def _own(self, entity: Entity) -> list[Source]:
        inline = [_source(f"{entity.sort}_{entity.name}_{name}", text) for name, text in entity.inline.items()]
        return inline + [await self._managed(policy_arn, Kind.IDENTITY) for policy_arn in entity.attached]

    async def _managed(self, policy_arn: str, kind: Kind) -> Source:
        policy = await self._shelf.policy(policy_arn)
        if policy is None:  # it was there a moment ago
            raise refusals.missing_policy(policy_arn)
        return Source(policy.name, policy.in_force.text, read_identity_policy(policy.in_force.text, policy_arn, kind))


def _simulated(call: Call, actor: Actor, sources: Sequence[Source], boundary: Source | None, *, known: bool = True) -> Answer:
    """A page of results, one for each action. ``known``: the caller's own names are values of condition keys."""
    given = call.input
    if given.get("ResourceHandlingOption"):
        raise ApiError("NotImplemented", "ResourceHandlingOption is for resources of EC2, which are not implemented.")
    actions: list[str] = given["ActionNames"]
    resources: list[str] = given.get("ResourceArns") or ["*"]
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise refusals.invalid_input(f"Invalid Action Name: {action}")
    for resource in resources:
        if resource != "*" and resource.count(":") < 5:
            raise refusals.invalid_input(f"Invalid Resource Arn: {resource}")
    if len(actions) * len(resources) > _MOST_PAIRS:
        raise refusals.invalid_input(f"At most {_MOST_PAIRS} pairs of an action and a resource are simulated in one request.")
    values = {**(_names(actor) if known else {}), **_context(given.get("ContextEntries") or [])}
    owner = _owner(given.get("ResourceOwner"), actor.account_id)
    simulation = Simulation(actor, tuple(sources), boundary, given.get("ResourcePolicy"), owner, values)
    page, more = directory.page(call, list(enumerate(actions)), _place)
    return Answer({"EvaluationResults": [simulation.result(action, resources) for _, action in page], **more})


def _place(numbered: tuple[int, str]) -> str:
    return f"{numbered[0]:06d}"


def _context_keys(sources: Iterable[Source]) -> Answer:
    keys = [key for one in sources for keys in statement_keys(one.text, one.policy.kind) for key in keys]
    return Answer({"ContextKeyNames": unlike(keys)})


# --------------------------------------------------------------------------------------------------------- what was given


def _given(given: Mapping[str, Any], member: str, kind: Kind = Kind.IDENTITY) -> list[Source]:
    return [_source(f"{member}.{number}", text, kind) for number, text in enumerate(given.get(member) or [], 1)]


def _source(policy_id: str, text: str, kind: Kind = Kind.IDENTITY) -> Source:
    try:
        return Source(policy_id, text, read_identity_policy(text, policy_id, kind))
    except InvalidPolicy as error:
        raise refusals.invalid_input(f"{policy_id}: {error}") from None


def _boundary(given: Mapping[str, Any]) -> Source | None:
    found = _given(given, "PermissionsBoundaryPolicyInputList", Kind.BOUNDARY)
    if len(found) > 1:
        raise refusals.invalid_input("Only one permissions boundary policy can be given.")
    return found[0] if found else None


def _actor(caller_arn: str, unique_id: str) -> Actor:
    found = _ENTITY.fullmatch(caller_arn)
    if found is None:
        raise _no_entity(caller_arn)
    if found[2] != "role":
        return Actor(found[1], caller_arn, unique_id=unique_id)
    return Actor(found[1], f"arn:aws:sts::{found[1]}:assumed-role/{found[3]}/simulated", caller_arn, unique_id)


def _no_entity(arn: str) -> ApiError:
    return refusals.invalid_input(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")


def _owner(given: str | None, account_id: str) -> str:
    if given is None:
        return account_id
    found = _OWNER.fullmatch(given)
    if found is None:
        raise refusals.invalid_input(f"Invalid Resource Owner: {given}")
    return found[1]


def _names(actor: Actor) -> dict[str, str]:
    """What every request of that caller has."""
    names = {
        "aws:principalaccount": actor.account_id,
        "aws:principalarn": actor.role_arn or actor.arn,
        "aws:principaltype": "AssumedRole" if actor.role_arn else "User",
    }
    if not actor.role_arn:
        names["aws:username"] = actor.arn.rpartition("/")[2]
    if actor.unique_id:
        names["aws:userid"] = f"{actor.unique_id}:simulated" if actor.role_arn else actor.unique_id
    return names


def _is_binary(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_TYPES: Final[dict[str, Callable[[str], bool]]] = {
    "string": lambda _: True,
    "numeric": lambda text: read_number(text) is not None,
    "boolean": lambda text: text.lower() in {"true", "false"},
    "ip": lambda text: read_network(text) is not None,
    "binary": _is_binary,
    "date": lambda text: read_date(text) is not None,
}


def _context(entries: Iterable[Mapping[str, Any]]) -> dict[str, str | tuple[str, ...]]:
    """Context values by key in lower case; a list stays one, however many values it has. Raises ApiError InvalidInput."""
    found: dict[str, str | tuple[str, ...]] = {}
    for entry in entries:
        name, sort = entry.get("ContextKeyName") or "", entry.get("ContextKeyType") or "string"
        texts: list[str] = entry.get("ContextKeyValues") or []
        several = sort.endswith("List")
        if ":" not in name:
            raise refusals.invalid_input(f"Invalid context key name: {name}")
        if name.lower() in found:
            raise refusals.invalid_input(f"The context key {name} is given twice.")
        if not texts or (len(texts) > 1 and not several):
            raise refusals.invalid_input(f"The context key {name} of type {sort} must have one value.")
        if not all(map(_TYPES[sort.removesuffix("List")], texts)):
            raise refusals.invalid_input(f"A value of the context key {name} is not of type {sort}.")
        found[name.lower()] = tuple(texts) if several else texts[0]
    return found


_BOUNDARY: Final = "permission-boundary"


def _excluded(entries: Sequence[Mapping[str, Any]]) -> Callable[[Source | str], bool]:
    """Whether a policy is left out: by its type, its ARN, or the name and bearer of an inline one. Raises ApiError InvalidInput.

    In the bearer's name the reference takes wildcards, and the model's pattern none: so none are taken.
    """
    types: set[str] = set()
    patterns: list[Pattern] = []
    inline: set[str] = set()
    for entry in entries:
        if len(entry) != 1:
            raise refusals.invalid_input("Each entry of PolicyExclusionList identifies policies in one way.")
        if "PolicyType" in entry:
            types.add(entry["PolicyType"])
        elif "PolicyArn" in entry:
            patterns.append(Pattern.of(_one_star(entry["PolicyArn"])))
        else:
            named = entry["InlinePolicyIdentifier"]
            inline.add(f"{named['AttachmentType']}_{named['AttachmentName']}_{named['PolicyName']}")

    def out(one: Source | str) -> bool:
        if isinstance(one, str):
            return one in types
        name = one.policy.name
        if name.startswith("arn:"):
            return "user-managed" in types or any(pattern.matches(name) for pattern in patterns)
        return "inline" in types or one.policy_id in inline

    return out


def _one_star(text: str) -> str:
    if text.count("*") > 1:
        raise refusals.invalid_input(f"At most one * may stand in {text}.")
    return text
