"""Compiled policies: read once, evaluated often. Frozen; what policies say about an action is looked up, not searched.

Pure. Never knows how a document is written (``reading``) nor how several policies add up (``decide``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
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
    #: Of each resource, what a match begins with and what it holds behind that: most statements are told apart by it at once.
    places: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = (("", ""),) if self.not_resource else tuple((one.head, one.needle) for one in self.resources)
        object.__setattr__(self, "places", places)

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
        return not self.conditions or all(self._holds(condition, lookup) for condition in self.conditions)

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


#: An order, the policy, and its statement.
Entry = tuple[int, "Policy", Statement]


class Near:
    """Statements about one action, told apart by the literal texts in their resources, so that few have to be looked at closely.

    What is not near does not apply; what is near may. A statement of several resources is near when one of these is. What it holds are
    entries: an order, the policy, the statement.
    """

    __slots__ = ("_by_head", "_sizes", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        #: By what a resource begins with: the entries that are near then, and those that are if it holds a text besides.
        self._by_head: dict[str, tuple[list[Entry], list[tuple[str, Entry]]]] = {}
        for entry in entries:
            for head, needle in entry[2].places:
                plain, wild = self._by_head.setdefault(head, ([], []))
                if needle:
                    wild.append((needle, entry))
                else:
                    plain.append(entry)
        self._sizes = tuple({len(head) for head in self._by_head})

    def to(self, resource: str) -> list[Entry]:
        """In order."""
        found: list[Entry] = []
        by_head = self._by_head
        for size in self._sizes:
            here = by_head.get(resource[:size])
            if here is not None:
                found += here[0]
                for needle, entry in here[1]:
                    if needle in resource:
                        found.append(entry)
        if len(found) < 2:
            return found
        return sorted({entry[0]: entry for entry in found}.values(), key=_order)


_order: Final = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Policy:
    kind: Kind
    name: str  # an ARN or a name, for whoever asks why
    version: str
    statements: tuple[Statement, ...]
    public: bool = False  # see ``public``
    _by_action: dict[str, Near] = field(default_factory=dict[str, Near], init=False, repr=False, compare=False)

    def about(self, action: str) -> Near:
        """The statements that speak of an action: searched once, and remembered."""
        found = self._by_action.get(action)
        if found is None:
            lowered = action.lower()
            found = Near([(one.index, self, one) for one in self.statements if one.speaks_of(lowered)])
            if len(self._by_action) >= _MOST_ACTIONS:
                self._by_action.clear()
            self._by_action[action] = found
        return found

    def look(self, who: Who, action: str, resource: str, lookup: Lookup) -> Finding:
        """What this policy says. A Deny of it wins over its Allows, of these the one that names the caller most exactly."""
        near = self.about(action).to(resource)
        for _, _, one in near:
            if not one.allows and one.reach(who) and one.applies(resource, lookup):
                return Finding(self.kind, self.name, False, one.index, one.sid)
        best, strongest = None, Reach.NONE
        for _, _, one in near:
            reach = one.reach(who) if one.allows else Reach.NONE
            if reach > strongest and one.applies(resource, lookup):
                best, strongest = one, reach
                if reach is Reach.DIRECT:
                    break
        if best is None:
            return Finding(self.kind, self.name, None)
        return Finding(self.kind, self.name, True, best.index, best.sid, strongest)

    def matching(self, who: Who, action: str, resource: str, lookup: Lookup) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The places in the document of all (denying, allowing) statements that apply: for whoever asks why."""
        near = [one for _, _, one in self.about(action).to(resource) if one.reach(who) and one.applies(resource, lookup)]
        return tuple(one.index for one in near if not one.allows), tuple(one.index for one in near if one.allows)

    def denials(self) -> Policy:
        """The same policy without its Allows: what it says of a resource whose owner it does not speak for."""
        return Policy(self.kind, self.name, self.version, tuple(one for one in self.statements if not one.allows), self.public)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """The sort ("AWS", "CanonicalUser") and value of each principal named. Whether they exist is for the rooms above."""
        return tuple(name for one in self.statements if one.principals is not None for name in one.principals.named)


class Together:
    """Several policies of whoever they are attached to, asked at once: what the first one says that says anything, a Deny before all else.

    Only for policies without principals. Made anew when one of them is another; what they say of an action is remembered here as well.
    """

    __slots__ = ("_by_action", "_policies")

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = policies
        self._by_action: dict[str, Near] = {}

    def look(self, action: str, resource: str, lookup: Lookup) -> Finding | None:
        near = (self._by_action.get(action) or self._about(action)).to(resource)
        for allows in (False, True):
            for _, policy, one in near:
                if one.allows is allows and one.applies(resource, lookup):
                    return Finding(policy.kind, policy.name, allows, one.index, one.sid, Reach.DIRECT if allows else Reach.NONE)
        return None

    def _about(self, action: str) -> Near:
        every = (entry for policy in self._policies for entry in policy.about(action).entries)
        found = Near([(order, policy, one) for order, (_, policy, one) in enumerate(every)])
        if len(self._by_action) >= _MOST_ACTIONS:
            self._by_action.clear()
        self._by_action[action] = found
        return found
