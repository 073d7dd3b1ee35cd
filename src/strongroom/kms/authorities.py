"""Who governs a KMS key: its key policy, read and compiled, and the grants on it that may be the caller's.

What is remembered is dropped when ``catalog.generation()`` changes, so a policy or a grant that any worker changes holds from the next
request on. Never judges, and never knows what is asked beyond the terms of a grant that is to be passed on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from strongroom.kms.grant_records import COUNT_KIND, GRANT_KIND, GRANTEE_KIND, GrantRecord, grantee_scope, grants_scope, read_rows
from strongroom.kms.names import ALIAS_PREFIX, KeyName
from strongroom.kms.principals import root_of
from strongroom.policy.binding import bound
from strongroom.policy.decide import Authority
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.key_documents import Grant, grant, read_key_policy
from strongroom.policy.principals import BadPrincipal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strongroom.api.operation import Caller
    from strongroom.kms.grant_records import Constraints, Terms
    from strongroom.kms.questions import KeyQuestion
    from strongroom.kms.ring import KeyRing
    from strongroom.policy.compiled import Policy
    from strongroom.store.contract import Reader

RETIRE: Final = "kms:RetireGrant"
GRANTING: Final = "kms:CreateGrant"  # what a grant lets its grantee do only with less than it has
_APART: Final = frozenset({RETIRE, GRANTING})
_PAGE: Final = 500
_REMEMBERED: Final = 4_096  # pairs of a key and a caller
_ARN_PARTS: Final = 6


@lru_cache(maxsize=1_024)
def compiled(text: str, key_arn: str, ids: tuple[tuple[str, str], ...] = ()) -> tuple[Policy, ...]:
    """A key policy that was accepted once, bound to the unique ids of whom it named then. One that is no longer understood lets nobody in."""
    try:
        return (bound(read_key_policy(text, key_arn), dict(ids)),)
    except InvalidPolicy:
        return ()


def grantee_names(caller: Caller) -> tuple[str, ...]:
    """The ARNs by which a grant may mean a caller: itself, its role, its account."""
    return _names(caller.arn, caller.principal_arn, caller.account_id)


@lru_cache(maxsize=1_024)
def _names(arn: str, principal_arn: str, account_id: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((arn, principal_arn or arn, root_of(account_id))))


class KeyAuthorities:
    """One per worker."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._generation: int | None = None
        self._known: dict[tuple[KeyName, tuple[str, ...] | None], Authority] = {}

    async def of_arn(self, arn: str, asked: KeyQuestion | None = None) -> Authority:
        """Of the ARN of a key or an alias. An alias has no policy: its account's identities decide.

        ``asked``: by whom and for what; None: with every grant there is. Raises ValueError for any other ARN.
        """
        if asked is not None and asked.policy is None and asked.action not in _APART and asked.record is not None:
            name = asked.record.name
            if name.arn == arn:  # the common case
                return await self.of(name, grantee_names(asked.caller))
        parts = arn.split(":", _ARN_PARTS - 1)
        if len(parts) != _ARN_PARTS or parts[:3] != ["arn", "aws", "kms"]:
            raise ValueError("not the ARN of a KMS key or alias")
        _, _, _, region, account_id, resource = parts
        if asked is not None and asked.policy is not None:
            return Authority(account_id, compiled(asked.policy, arn), policy_required=True)
        if resource.startswith(ALIAS_PREFIX):
            return Authority(account_id)
        name = KeyName(account_id, region, resource.removeprefix("key/"))
        if asked is None:
            return await self.of(name, None)
        if asked.action == RETIRE:
            return Authority(asked.caller.account_id)  # key policies have no say in it, and the account that issued the grant has
        authority = await self.of(name, grantee_names(asked.caller))
        return authority if asked.action != GRANTING or not authority.grants else _passing_on(authority, asked.passing_on)

    async def of(self, name: KeyName, grantees: tuple[str, ...] | None) -> Authority:
        """With the grants to these principals; None: with all. A key that is not there lets nobody in."""
        generation = self._ring.catalog.generation()
        if generation != self._generation:
            self._known.clear()
            self._generation = generation
        known = self._known.get((name, grantees))
        if known is None:
            record = await self._ring.key(name, self._ring.now_ms())
            policies = () if record is None else compiled(record.policy, name.arn, record.policy_ids)
            grants = await grants_on(self._ring.catalog, name, grantees) if policies else ()
            known = Authority(name.account_id, policies, grants, policy_required=True)
            if record is not None and generation == self._ring.catalog.generation() == self._generation:
                if len(self._known) >= _REMEMBERED:
                    del self._known[next(iter(self._known))]
                self._known[name, grantees] = known
        return known


async def grants_on(catalog: Reader, name: KeyName, grantees: tuple[str, ...] | None) -> tuple[Grant, ...]:
    """Those that allow anything; one read when the key has none."""
    if await catalog.document(name.scope, COUNT_KIND) is None:
        return ()
    found: list[Grant] = []
    for kind, prefix in [(GRANT_KIND, grants_scope(name))] if grantees is None else _places(name, grantees):
        async for record in _records(catalog, name, kind, prefix):
            one = _compiled(record)
            if one is not None:
                found.append(one)
    return tuple(found)


def _places(name: KeyName, grantees: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(GRANTEE_KIND, grantee_scope(name, grantee)) for grantee in grantees]


async def _records(catalog: Reader, name: KeyName, kind: str, prefix: str) -> AsyncIterator[GrantRecord]:
    after = prefix
    while rows := await catalog.documents(kind, prefix=prefix, after=after, limit=_PAGE):
        for record in await read_rows(catalog, name, prefix, rows):
            yield record
        after = rows[-1][0]


def _compiled(record: GrantRecord) -> Grant | None:
    """None for a grant that allows nothing here: for a service's resource, or to a principal of a form that nobody has."""
    terms = record.terms
    if terms.constraints.source_arn is not None:
        return None
    try:
        return grant(
            record.grant_id,
            record.ids.get(terms.grantee, terms.grantee),
            frozenset(terms.operations),
            context_equals=terms.constraints.equals,
            context_subset=terms.constraints.subset,
        )
    except BadPrincipal:
        return None


def _passing_on(authority: Authority, terms: Terms | None) -> Authority:
    """Without the grants that hold less than what is to be passed on."""
    grants = () if terms is None else tuple(one for one in authority.grants if _narrower(terms, one))
    return Authority(authority.account_id, authority.policies, grants, policy_required=True)


def _narrower(terms: Terms, than: Grant) -> bool:
    return frozenset(terms.operations) <= than.operations and _stricter(terms.constraints, than)


def _stricter(constraints: Constraints, than: Grant) -> bool:
    """Whether whatever context satisfies the constraints would satisfy those of the grant as well."""
    if than.context_equals is not None:
        return constraints.equals is not None and dict(constraints.equals) == dict(than.context_equals)
    if than.context_subset is None:
        return True
    bound = constraints.equals if constraints.equals is not None else constraints.subset
    return bound is not None and than.context_subset.items() <= bound.items()
