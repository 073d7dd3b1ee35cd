"""The operations of STS that are built: who am I, and whose access key is this. Never knows HTTP or how a decision is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam.assuming import refuse_session

if TYPE_CHECKING:
    from strongroom.iam.identities import Identities


class Sts:
    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    @operation("sts", "GetCallerIdentity", "sts:GetCallerIdentity", on="nobody")
    async def get_caller_identity(self, call: Call) -> Answer:
        """Every authenticated caller may, even against an explicit deny (AWS STS API reference, GetCallerIdentity).

        Raises ApiError MissingAuthenticationToken for nobody.
        """
        caller = call.caller
        if caller.anonymous:  # the gate refuses it before; a missing need must not become an open door
            raise ApiError("MissingAuthenticationToken")
        return Answer({"UserId": caller.user_id, "Account": caller.account_id, "Arn": caller.arn})

    @operation("sts", "GetAccessKeyInfo", "sts:GetAccessKeyInfo", on="service")
    async def get_access_key_info(self, call: Call) -> Answer:
        """The account of any access key, active or not, also another account's: it is meant for keys found in logs.

        Raises ApiError InvalidClientTokenId for an unknown one and for a session's, AccessDenied for a session that may not ask.
        """
        refuse_session(call, "user", "federated")
        access_key = await self._identities.access_key(call.input["AccessKeyId"])
        if access_key is None:
            raise ApiError("InvalidClientTokenId")
        return Answer({"Account": access_key.account_id})
