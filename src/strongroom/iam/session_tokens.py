"""STS's GetSessionToken and GetFederationToken: temporary credentials for oneself, and for somebody whom AWS does not know.

Only long-term credentials may ask. Never knows how a signature is checked, or what the holder of a session may do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam.assuming import refuse_session
from strongroom.iam.credentials import federated_arn
from strongroom.iam.issuing import check_built
from strongroom.iam.sessions import NOTHING

if TYPE_CHECKING:
    from strongroom.iam.issuing import Issuing

_SECONDS: Final = 43_200
_ROOT_SECONDS: Final = 3_600  # at most, whatever a root asks for


class SessionTokens:
    def __init__(self, issuing: Issuing) -> None:
        self._issuing = issuing

    @operation("sts", "GetSessionToken", "sts:GetSessionToken", on="nobody")
    async def get_session_token(self, call: Call) -> Answer:
        """No right is needed (AWS STS API reference): the session may no more than its holder.

        Raises ApiError AccessDenied for a session, NotImplemented for MFA.
        """
        refuse_session(call, "role", "user", "federated")
        check_built(call)
        caller = call.caller
        credentials = self._issuing.issue(call, "user", caller.account_id, caller.user_id, _seconds(call), passed=NOTHING)
        return Answer({"Credentials": credentials})

    @operation("sts", "GetFederationToken", "sts:GetFederationToken", on="run")
    async def get_federation_token(self, call: Call) -> Answer:
        """Raises ApiError AccessDenied, and what ``Issuing.passed`` raises."""
        refuse_session(call, "role", "user", "federated")
        caller, name = call.caller, call.input["Name"]
        named = federated_arn(caller.account_id, name)
        await call.allow("sts:GetFederationToken", named)
        if call.input.get("Tags"):
            await call.allow("sts:TagSession", named)
        passed = await self._issuing.passed(call, caller.account_id)
        credentials = self._issuing.issue(
            call, "federated", caller.account_id, caller.user_id, _seconds(call), name=name, passed=passed
        )
        user = {"FederatedUserId": f"{caller.account_id}:{name}", "Arn": named}
        packed = passed.percent if passed != NOTHING else 0
        return Answer({"Credentials": credentials, "FederatedUser": user, "PackedPolicySize": packed})


def _seconds(call: Call) -> int:
    asked = int(call.input.get("DurationSeconds") or _SECONDS)
    return min(asked, _ROOT_SECONDS) if call.caller.user_id == call.caller.account_id else asked
