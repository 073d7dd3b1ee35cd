"""Key policies of the KMS API: given with a new key, put, read. A document is read as the policy engine reads it, and kept as it came.

Never knows how a policy is weighed: the engine also answers the one question asked here, whether the caller could put the next one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, change, find
from strongroom.kms.names import KeyName
from strongroom.kms.paging import Markers, limit
from strongroom.kms.principals import root_of
from strongroom.kms.records import default_policy
from strongroom.policy.decide import Authority, Question, decide
from strongroom.policy.faults import InvalidPolicy, Kind, invalid_principal
from strongroom.policy.key_documents import MOST_BYTES, read_key_policy
from strongroom.policy.templates import lookup_of

if TYPE_CHECKING:
    from strongroom.kms.principals import Principals
    from strongroom.kms.ring import KeyRing
    from strongroom.policy.compiled import Policy

POLICY_NAME: Final = "default"
SHARING_NAME: Final = "AWS_RAM"  # of keys that are shared through another service
GET: Final = Use("GetKeyPolicy", "kms:GetKeyPolicy")
PUT: Final = Use("PutKeyPolicy", "kms:PutKeyPolicy")
LIST: Final = Use("ListKeyPolicies", "kms:ListKeyPolicies")


class KeyPolicies:
    def __init__(self, ring: KeyRing, markers: Markers, principals: Principals) -> None:
        self._ring = ring
        self._markers = markers
        self._principals = principals

    @operation("kms", "PutKeyPolicy", "kms:PutKeyPolicy", on="run")
    async def put_key_policy(self, call: Call) -> Answer:
        if call.input.get("PolicyName") == SHARING_NAME:
            raise refusals.invalid(f"The {SHARING_NAME} policy can only be managed by the RAM service.")
        _check_name(call)
        name = (await find(self._ring, call, PUT)).name
        policy = await self.checked(call, call.input["Policy"], name)
        await change(self._ring, call, PUT, lambda record: replace(record, policy=policy))
        return Answer()

    @operation("kms", "GetKeyPolicy", "kms:GetKeyPolicy", on="run")
    async def get_key_policy(self, call: Call) -> Answer:
        record = await find(self._ring, call, GET)
        _check_name(call)
        return Answer({"Policy": record.policy, "PolicyName": POLICY_NAME})

    @operation("kms", "ListKeyPolicies", "kms:ListKeyPolicies", on="run")
    async def list_key_policies(self, call: Call) -> Answer:
        await find(self._ring, call, LIST)
        limit(call, 100, 1000)
        names = [] if self._markers.read(call) else [POLICY_NAME]
        return Answer({"PolicyNames": names, "Truncated": False})

    async def of_new_key(self, call: Call, key: KeyName | None = None) -> str:
        """The ``Policy`` a new key is given, else the default one. Raises ApiError as ``checked``.

        None: its id is not known yet, and a policy that names it could not have been written.
        """
        given: str | None = call.input.get("Policy")
        if given is None:
            return default_policy(call.caller.account_id)
        return await self.checked(call, given, key or KeyName(call.caller.account_id, call.region, "new"))

    async def checked(self, call: Call, text: str, key: KeyName) -> str:
        """``text``, if it can be that key's policy and does not shut the caller out (which the caller may insist on).

        Raises ApiError MalformedPolicyDocumentException, LimitExceededException.
        """
        if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            raise ApiError("LimitExceededException", f"The key policy is longer than {MOST_BYTES} bytes.")
        try:
            policy = read_key_policy(text, key.arn)
            await self._check_principals(policy)
        except InvalidPolicy as error:
            raise ApiError("MalformedPolicyDocumentException", str(error)) from None
        if not call.input.get("BypassPolicyLockoutSafetyCheck") and not _may_put_again(call, policy, key):
            raise ApiError(
                "MalformedPolicyDocumentException",
                "The new key policy will not allow you to update the key policy in the future.",
            )
        return text

    async def _check_principals(self, policy: Policy) -> None:
        """Raises InvalidPolicy unless all of them exist."""
        for _, name in policy.named:
            arn = root_of(name) if name.isdigit() else name
            if not await self._principals.exists(arn):
                raise invalid_principal(Kind.KEY, name)


def _may_put_again(call: Call, policy: Policy, key: KeyName) -> bool:
    """Under that policy alone. What a caller's identity policies say is not known here: who depends on them is refused."""
    caller = call.caller
    values = {
        "aws:PrincipalAccount": caller.account_id,
        "aws:PrincipalArn": caller.arn,
        "kms:BypassPolicyLockoutSafetyCheck": "false",
        "kms:CallerAccount": caller.account_id,
        "kms:PolicyName": POLICY_NAME,
    }
    authority = Authority(key.account_id, (policy,), policy_required=True)
    question = Question(caller.account_id, caller.arn, caller.anonymous, PUT.action, key.arn, authority, values=lookup_of(values))
    return decide(question).allowed


def _check_name(call: Call) -> None:
    if (call.input.get("PolicyName") or POLICY_NAME) != POLICY_NAME:
        raise ApiError("NotFoundException", "No such policy exists")
