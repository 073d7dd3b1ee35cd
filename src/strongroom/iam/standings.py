"""What an account says of one of its users or sessions: the policies of whoever it is, and the boundary, read for the judge.

A document is parsed once and found again by its text, so a change of something else costs a look-up only. A stored document that cannot
be read, or a policy that is not there, is Damaged: it never counts as no policy. Never knows how policies add up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from strongroom.iam import directory, entities
from strongroom.iam.entities import KINDS, POLICY, Entity, ManagedPolicy
from strongroom.iam.errors import Damaged
from strongroom.policy.decide import Standing
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import read_identity_policy

if TYPE_CHECKING:
    from strongroom.iam.sessions import Session
    from strongroom.policy.compiled import Policy
    from strongroom.store.contract import Reader

_EVERYTHING: Final = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
_MOST: Final = 4_096  # documents kept; beyond that they are read anew


class Standings:
    def __init__(self, catalog: Reader) -> None:
        self._catalog = catalog
        self._read: dict[tuple[str, str, Kind], Policy] = {}

    async def of(self, user: Entity, canonical_id: str) -> Standing:
        """Of a user, or of a role as such. Raises Damaged, and what the catalog raises."""
        policies = await self._policies(user)
        for name in user.groups:
            value = await self._catalog.document(entities.scope(user.account_id, "group", name), KINDS["group"])
            if value is None:
                raise Damaged(f"{user.arn} is in a group that is not there")
            policies += await self._policies(Entity.from_document(user.account_id, "group", value))
        return Standing(
            identity=tuple(policies),
            boundary=await self._managed(user.boundary, Kind.BOUNDARY) if user.boundary else None,
            unique_id=user.unique_id,
            canonical_id=canonical_id,
        )

    async def of_session(self, holder: Entity | None, session: Session, canonical_id: str) -> Standing:
        """What the holder (None: the account's root) may now, narrowed by what was passed when the session was asked for.

        A federated user to whom no policy was passed may nothing but what a policy says that names it. Raises Damaged, and what the
        catalog raises.
        """
        own = Standing(canonical_id=canonical_id) if holder is None else await self.of(holder, canonical_id)
        if session.sort == "user":
            return own
        if holder is None:  # of a federated user of the root, who is not the root
            own = replace(own, identity=(self._parsed(_EVERYTHING, "root", Kind.IDENTITY),))
        passed = [] if session.passed.policy is None else [self._parsed(session.passed.policy, "session", Kind.SESSION)]
        passed += [await self._managed(policy_arn, Kind.SESSION) for policy_arn in session.passed.policy_arns]
        limits = tuple(passed) if passed or session.sort == "federated" else None
        return replace(own, session=limits, role_arn="" if holder is None else holder.arn)

    async def of_role(self, role: Entity, canonical_id: str) -> Standing:
        """Of a session that was made without session policies. Raises Damaged, and what the catalog raises."""
        return replace(await self.of(role, canonical_id), role_arn=role.arn)

    async def _policies(self, entity: Entity) -> list[Policy]:
        """Inline policies first."""
        inline = [self._parsed(text, name, Kind.IDENTITY) for name, text in entity.inline.items()]
        return inline + [await self._managed(policy_arn, Kind.IDENTITY) for policy_arn in entity.attached]

    async def has(self, policy_arn: str) -> bool:
        account_id, name = directory.read_policy_arn(policy_arn)
        return await self._catalog.document(entities.scope(account_id, "policy", name), POLICY) is not None

    async def _managed(self, policy_arn: str, kind: Kind) -> Policy:
        account_id, name = directory.read_policy_arn(policy_arn)
        value = await self._catalog.document(entities.scope(account_id, "policy", name), POLICY)
        if value is None:
            raise Damaged(f"{policy_arn} is attached and not there")
        return self._parsed(ManagedPolicy.from_document(account_id, value).in_force.text, policy_arn, kind)

    def _parsed(self, text: str, name: str, kind: Kind) -> Policy:
        found = self._read.get((text, name, kind))
        if found is None:
            try:
                found = read_identity_policy(text, name, kind)
            except InvalidPolicy as error:
                raise Damaged(f"the policy {name} cannot be read: {error}") from error
            if len(self._read) >= _MOST:
                self._read.clear()
            self._read[text, name, kind] = found
        return found
