"""STS's AssumeRole: a session of a role, for whoever its trust policy (``trust``) and the caller's own policies let in.

Here is what AWS fixes beside them. Never knows how a signature is checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import refusals
from strongroom.iam.credentials import session_arn
from strongroom.iam.issuing import check_built, packed_size

if TYPE_CHECKING:
    from strongroom.iam.entities import Entity
    from strongroom.iam.issuing import Issuing
    from strongroom.iam.principals import Principals

_ROLE: Final = re.compile(r"arn:aws:iam::([0-9]{12}):role/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII)
_SECONDS: Final = 3_600  # by default, and at most for a role's session that assumes another role


class Assuming:
    def __init__(self, principals: Principals, issuing: Issuing) -> None:
        self._principals = principals
        self._issuing = issuing

    @operation("sts", "AssumeRole", "sts:AssumeRole", on="run")
    async def assume_role(self, call: Call) -> Answer:
        """Tags and a source identity need a right of their own, also those that the caller's session hands on.

        Raises ApiError AccessDenied, NotImplemented, ValidationError, and what ``Issuing.passed`` raises.
        """
        given, role_arn, session = call.input, call.input["RoleArn"], call.caller.session
        if _ROLE.fullmatch(role_arn) is None:
            raise refusals.invalid(f"{role_arn} is invalid")
        if call.caller.user_id == call.caller.account_id:
            raise ApiError("AccessDenied", "Roles may not be assumed by root accounts.")
        refuse_session(call, "federated")
        handed_on = () if session is None else session.transitive
        source_identity = _source_identity(call)
        await call.allow("sts:AssumeRole", role_arn)
        if given.get("Tags") or handed_on:
            await call.allow("sts:TagSession", role_arn)
        if source_identity:
            await call.allow("sts:SetSourceIdentity", role_arn)
        check_built(call)
        role = await self._principals.entity(role_arn)
        if role is None:  # deleted since it was asked for
            raise ApiError("AccessDenied")
        seconds, name = _seconds(call, role), given["RoleSessionName"]
        passed = await self._issuing.passed(call, role.account_id, handed_on, source_identity)
        answer: dict[str, Any] = {
            "Credentials": self._issuing.issue(call, "role", role.account_id, role.unique_id, seconds, name=name, passed=passed),
            "AssumedRoleUser": {"AssumedRoleId": f"{role.unique_id}:{name}", "Arn": session_arn(role, name)},
            **packed_size(given, passed),
        }
        return Answer({**answer, "SourceIdentity": source_identity} if source_identity else answer)


def refuse_session(call: Call, *sorts: str) -> None:
    """Raises ApiError AccessDenied for temporary credentials of these sorts."""
    session = call.caller.session
    if session is not None and session.sort in sorts:
        raise ApiError("AccessDenied", f"Cannot call {call.operation.name} with session credentials")


def _source_identity(call: Call) -> str:
    """The one of the caller's session cannot be changed. Raises ApiError AccessDenied."""
    asked = call.input.get("SourceIdentity") or ""
    own = "" if call.caller.session is None else call.caller.session.source_identity
    if own and asked and own != asked:
        raise ApiError("AccessDenied", "The source identity of a session cannot be changed by role chaining.")
    return own or asked


def _seconds(call: Call, role: Entity) -> int:
    """How long the session lasts. Raises ApiError ValidationError."""
    asked = call.input.get("DurationSeconds")
    chained = call.caller.session is not None and call.caller.session.sort == "role"
    if asked is None:
        return _SECONDS
    if chained and asked > _SECONDS:
        raise refusals.invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    if asked > role.session_seconds:
        raise refusals.invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return int(asked)
