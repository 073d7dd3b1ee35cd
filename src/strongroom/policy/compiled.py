"""Compiled policies: read once, evaluated often. Frozen; what a policy says about an action is looked up, not searched.

Pure. Never knows how a document is written (``reading``) nor how several policies add up (``decide``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from strongroom.policy.conditions import Condition
from strongroom.policy.faults import Kind
from strongroom.policy.principals import Principals, Reach, Who
from strongroom.policy.templates import Lookup, Template, Untold
from strongroom.policy.wildcards import Pattern

_MOST_ACTIONS: Final = 1_024  # looked up so far, and remembered; beyond that a policy forgets and starts anew


class Actions:
    """The actions of an element, told apart by how fast they are looked up. Case is ignored."""

    __slots__ = ("_exact", "_patterns", "_prefixes", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        patterns = [Pattern.of(text.lower()) for text in texts]
        self._exact = frozenset(one.literal for one in patterns if one.literal is not None)
        self._prefixes = tuple(one.prefix for one in patterns if one.prefix is not None)
        self._patterns = tuple(one for one in patterns if one.literal is None and one.prefix is None)

    def __contains__(self, action: str) -> bool:
        """``action`` in lower case."""
        return action in self._exact or action.startswith(self._prefixes) or any(one.matches(action) for one in self._patterns)


@dataclass(frozen=True, slots=True)
class Statement:
    index: int  # place in the document, from 0
    sid: str  # "" for none
    allows: bool  # else it denies
    actions: Actions
    resources: tuple[Template, ...]
    conditions: tuple[Condition, ...]
    not_action: bool = False
    not_resource: bool = False
    principals: Principals | None = None  # None: whoever the policy is attached to
    not_principal: bool = False
    inert: bool = False  # without Action or Resource: kept, and without effect
    #: Texts of which a resource must begin with one: most statements are told apart by it at once.
    heads: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heads", ("",) if self.not_resource else tuple(one.head for one in self.resources))

    def speaks_of(self, action: str) -> bool:
        """``action`` in lower case."""
        return not self.inert and (action in self.actions) is not self.not_action

    def applies(self, resource: str, lookup: Lookup) -> bool:
        """To this resource and request, if it speaks of the action and the caller. What nobody can tell counts against the caller."""
        try:
            if not self._covers(resource, lookup):
                return False
        except Untold:
            return not self.allows
        return all(self._holds(condition, lookup) for condition in self.conditions)

    def _holds(self, condition: Condition, lookup: Lookup) -> bool:
        try:
            return condition.holds(lookup)
        except Untold:
            return not self.allows

    def _covers(self, resource: str, lookup: Lookup) -> bool:
        unresolved = False
        for one in self.resources:
            pattern = one.pattern or one.complete(lookup)
            if pattern is None:
                unresolved = True
            elif pattern.matches(resource):
                return not self.not_resource
        # An exception that cannot be read for want of a variable must not widen an Allow, nor narrow a Deny.
        return self.not_resource and not (unresolved and self.allows)

    def reach(self, who: Who) -> Reach:
        """How the statement names the caller."""
        if self.principals is None:
            return Reach.DIRECT
        if self.not_principal:
            return Reach.NONE if self.principals.spares(who) else Reach.LIMITED
        reach = self.principals.reach(who)
        if reach is Reach.LIMITED and self.principals.everyone and not who.anonymous and self._narrows_to_arn():
            return Reach.DIRECT
        return reach

    def _narrows_to_arn(self) -> bool:
        return any(
            one.key == "aws:principalarn" and not one.negated and not one.if_exists and one.operator != "Null"
            for one in self.conditions
        )


class Finding(NamedTuple):
    """What one policy says to one question; of an Allow or Deny, by which statement."""

    kind: Kind
    policy: str  # its name or ARN
    verdict: bool | None  # True: allows, False: denies, None: says nothing
    statement: int = -1  # its place in the document, from 0
    sid: str = ""
    reach: Reach = Reach.NONE  # of an Allow


@dataclass(frozen=True, slots=True)
class Policy:
    kind: Kind
    name: str  # an ARN or a name, for whoever asks why
    version: str
    statements: tuple[Statement, ...]
    public: bool = False  # see ``public``
    _by_action: dict[str, tuple[tuple[Statement, ...], tuple[Statement, ...]]] = field(
        default_factory=dict[str, tuple[tuple[Statement, ...], tuple[Statement, ...]]], init=False, repr=False, compare=False
    )

    def speaking_of(self, action: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The (denying, allowing) statements that speak of an action."""
        found = self._by_action.get(action)
        if found is None:
            lowered = action.lower()
            speaking = [statement for statement in self.statements if statement.speaks_of(lowered)]
            found = (tuple(one for one in speaking if not one.allows), tuple(one for one in speaking if one.allows))
            if len(self._by_action) >= _MOST_ACTIONS:
                self._by_action.clear()
            self._by_action[action] = found
        return found

    def look(self, who: Who, action: str, resource: str, lookup: Lookup) -> Finding:
        """What this policy says. A Deny of it wins over its Allows, of these the one that names the caller most exactly."""
        denying, allowing = self.speaking_of(action)
        for one in denying:
            if resource.startswith(one.heads) and one.reach(who) and one.applies(resource, lookup):
                return Finding(self.kind, self.name, False, one.index, one.sid)
        best, strongest = None, Reach.NONE
        for one in allowing:
            if not resource.startswith(one.heads):
                continue
            reach = one.reach(who)
            if reach > strongest and one.applies(resource, lookup):
                best, strongest = one, reach
                if reach is Reach.DIRECT:
                    break
        if best is None:
            return Finding(self.kind, self.name, None)
        return Finding(self.kind, self.name, True, best.index, best.sid, strongest)

    def matching(self, who: Who, action: str, resource: str, lookup: Lookup) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The places in the document of all (denying, allowing) statements that apply: for whoever asks why."""
        denying, allowing = (
            tuple(
                one.index for one in some if resource.startswith(one.heads) and one.reach(who) and one.applies(resource, lookup)
            )
            for some in self.speaking_of(action)
        )
        return denying, allowing

    def denials(self) -> Policy:
        """The same policy without its Allows: what it says of a resource whose owner it does not speak for."""
        return Policy(self.kind, self.name, self.version, tuple(one for one in self.statements if not one.allows), self.public)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The sort ("AWS", "CanonicalUser") and value of each principal named. Whether they exist is for the rooms above."""
        return tuple(name for one in self.statements if one.principals is not None for name in one.principals.named)
