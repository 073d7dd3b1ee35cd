"""STS's AssumeRole, and who governs a role: its account, through its trust policy alone.

The judge weighs the trust policy and the caller's own; here is what AWS fixes beside them. Never knows how a signature is checked.
"""

from __future__ import annotations

import base64
import math
import re
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, refusals
from strongroom.iam.directory import milliseconds
from strongroom.iam.entities import KINDS, Entity
from strongroom.iam.errors import Damaged
from strongroom.iam.secrets import new_secret
from strongroom.iam.sessions import PREFIX, Session, SessionSeal
from strongroom.policy.decide import Authority
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import MOST_SESSION, read_identity_policy, read_trust_policy

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.store.contract import Reader

_ROLE: Final = re.compile(r"arn:aws:iam::([0-9]{12}):role/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII)
_SECONDS: Final = 3_600  # by default, and at most for a role's session that assumes another role
_MOST_ARNS: Final = 10
_NOT_BUILT: Final = ("Tags", "TransitiveTagKeys", "SourceIdentity", "SerialNumber", "TokenCode", "ProvidedContexts")


async def role_of(catalog: Reader, role_arn: str) -> Entity | None:
    """The role of exactly that ARN."""
    found = _ROLE.fullmatch(role_arn)
    value = None if found is None else await catalog.document(entities.scope(found[1], "role", found[2]), KINDS["role"])
    role = None if found is None or value is None else Entity.from_document(found[1], "role", value)
    return role if role is not None and role.arn == role_arn else None


async def trust_authority(catalog: Reader, role_arn: str) -> Authority:
    """Who decides who may assume a role. A role that is not there is nobody's, so nobody may. Raises Damaged."""
    role = await role_of(catalog, role_arn)
    if role is None:
        return Authority("")
    try:
        return Authority(role.account_id, (read_trust_policy(role.trust, role_arn),), policy_required=True)
    except InvalidPolicy as error:
        raise Damaged(f"the trust policy of {role_arn} cannot be read: {error}") from error


class Assuming:
    """``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, shelf: Directory, iam_key: bytes) -> None:
        self._shelf = shelf
        self._seal = SessionSeal(iam_key, shelf.random)

    @operation("sts", "AssumeRole", "sts:AssumeRole", on="run")
    async def assume_role(self, call: Call) -> Answer:
        """Raises ApiError AccessDenied, MalformedPolicyDocument, NotImplemented, ValidationError."""
        given, role_arn = call.input, call.input["RoleArn"]
        if _ROLE.fullmatch(role_arn) is None:
            raise refusals.invalid(f"{role_arn} is invalid")
        if call.caller.user_id == call.caller.account_id:
            raise ApiError("AccessDenied", "Roles may not be assumed by root accounts.")
        await call.allow("sts:AssumeRole", role_arn)
        for member in _NOT_BUILT:
            if given.get(member):
                raise ApiError("NotImplemented", f"The parameter {member} of AssumeRole is not implemented.")
        role = await role_of(self._shelf.catalog, role_arn)
        if role is None:  # deleted since it was asked for
            raise ApiError("AccessDenied")
        seconds = _seconds(call, role)
        policy, arns = await self._session_policies(call, role)
        session = Session(
            access_key_id=f"{PREFIX}{base64.b32encode(self._shelf.random(10)).decode('ascii')}",
            secret_access_key=new_secret(self._shelf.random),
            account_id=role.account_id,
            role=role.name.lower(),
            role_id=role.unique_id,
            name=given["RoleSessionName"],
            expires_ms=(milliseconds(call.now) // 1000 + seconds) * 1000,
            policy=policy,
            policy_arns=arns,
        )
        return Answer(self._answer(call, role, session))

    def _answer(self, call: Call, role: Entity, session: Session) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "Credentials": {
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "SessionToken": self._seal.seal(session),
                "Expiration": directory.moment(session.expires_ms),
            },
            "AssumedRoleUser": {"AssumedRoleId": f"{role.unique_id}:{session.name}", "Arn": session_arn(role, session.name)},
        }
        if "Policy" in call.input or "PolicyArns" in call.input:
            packed = len(session.policy or "") + sum(len(one) for one in session.policy_arns)
            answer["PackedPolicySize"] = math.ceil(packed * 100 / (MOST_SESSION + _MOST_ARNS * 2_048))
        return answer

    async def _session_policies(self, call: Call, role: Entity) -> tuple[str | None, tuple[str, ...]]:
        text: str | None = call.input.get("Policy")
        if text is not None:
            try:
                read_identity_policy(text, "session", Kind.SESSION)
            except InvalidPolicy as error:
                raise refusals.malformed_policy(error) from None
            if len(text) > MOST_SESSION:
                raise refusals.invalid(
                    "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or "
                    f"equal to {MOST_SESSION}"
                )
        given: list[dict[str, str]] = call.input.get("PolicyArns") or []
        arns = tuple(one.get("arn", "") for one in given)
        if len(arns) > _MOST_ARNS:
            raise refusals.quota("SessionPolicies", _MOST_ARNS)
        for policy_arn in arns:
            policy = await self._shelf.policy(policy_arn)
            if policy is None or policy.account_id != role.account_id:
                raise refusals.not_attachable(policy_arn)
        return text, arns


def session_arn(role: Entity, name: str) -> str:
    return f"arn:aws:sts::{role.account_id}:assumed-role/{role.name}/{name}"


def _seconds(call: Call, role: Entity) -> int:
    """How long the session lasts. Raises ApiError ValidationError."""
    asked = call.input.get("DurationSeconds")
    chained = call.caller.arn.startswith("arn:aws:sts:")
    if asked is None:
        return _SECONDS
    if chained and asked > _SECONDS:
        raise refusals.invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if asked > role.session_seconds:
        raise refusals.invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return int(asked)
