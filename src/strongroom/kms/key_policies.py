"""Key policies of the KMS API: given with a new key, put, read. A document is read as the policy engine reads it, and kept as it came,
with the unique ids of those it names.

Never knows how a policy is weighed: the judge also answers the one question asked here, whether the caller could put the next one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, change, find
from strongroom.kms.paging import Markers, limit
from strongroom.kms.principals import root_of
from strongroom.kms.questions import of_key
from strongroom.kms.records import default_policy
from strongroom.policy.binding import arns_of, renamed
from strongroom.policy.faults import InvalidPolicy, Kind, invalid_principal
from strongroom.policy.key_documents import MOST_BYTES, read_key_policy

if TYPE_CHECKING:
    from strongroom.kms.names import KeyName
    from strongroom.kms.principals import Principals
    from strongroom.kms.questions import KeyQuestion
    from strongroom.kms.ring import KeyRing
    from strongroom.policy.compiled import Policy

POLICY_NAME: Final = "default"
SHARING_NAME: Final = "AWS_RAM"  # of keys that are shared through another service
GET: Final = Use("GetKeyPolicy", "kms:GetKeyPolicy")
PUT: Final = Use("PutKeyPolicy", "kms:PutKeyPolicy")
LIST: Final = Use("ListKeyPolicies", "kms:ListKeyPolicies")


class GivenPolicy(NamedTuple):
    """``ids``: see ``KeyRecord.policy_ids``."""

    text: str
    ids: tuple[tuple[str, str], ...]


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
        record = await find(self._ring, call, PUT)
        policy = await self._checked(call, call.input["Policy"], record.name, of_key(call, PUT.action, record))
        await change(self._ring, call, PUT, lambda record: replace(record, policy=policy.text, policy_ids=policy.ids))
        return Answer()

    @operation("kms", "GetKeyPolicy", "kms:GetKeyPolicy", on="run")
    async def get_key_policy(self, call: Call) -> Answer:
        record = await find(self._ring, call, GET)
        _check_name(call)
        names = await self._principals.names_of(dict(record.policy_ids))
        return Answer({"Policy": renamed(record.policy, names), "PolicyName": POLICY_NAME})

    @operation("kms", "ListKeyPolicies", "kms:ListKeyPolicies", on="run")
    async def list_key_policies(self, call: Call) -> Answer:
        await find(self._ring, call, LIST)
        limit(call, 100, 1000)
        names = [] if self._markers.read(call) else [POLICY_NAME]
        return Answer({"PolicyNames": names, "Truncated": False})

    async def of_new_key(self, call: Call, key: KeyName, question: KeyQuestion) -> GivenPolicy:
        """The ``Policy`` a new key is given, else the default one. ``question``: that of putting its next policy.

        Raises ApiError MalformedPolicyDocumentException, LimitExceededException.
        """
        given: str | None = call.input.get("Policy")
        if given is None:
            return GivenPolicy(default_policy(call.caller.account_id), ())
        return await self._checked(call, given, key, question)

    async def _checked(self, call: Call, text: str, key: KeyName, question: KeyQuestion) -> GivenPolicy:
        """``text``, if it can be that key's policy and does not shut the caller out (which the caller may insist on)."""
        if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
            raise ApiError("LimitExceededException", f"The key policy is longer than {MOST_BYTES} bytes.")
        try:
            policy = read_key_policy(text, key.arn)
            await self._check_principals(policy)
        except InvalidPolicy as error:
            raise ApiError("MalformedPolicyDocumentException", str(error)) from None
        if not call.input.get("BypassPolicyLockoutSafetyCheck"):
            await _check_lockout(call, key, replace(question, policy=text))
        return GivenPolicy(text, tuple(sorted((await self._principals.ids_of(arns_of(policy))).items())))

    async def _check_principals(self, policy: Policy) -> None:
        """Raises InvalidPolicy unless all of them exist."""
        for _, name in policy.named:
            arn = root_of(name) if name.isdigit() else name
            if not await self._principals.exists(arn):
                raise invalid_principal(Kind.KEY, name)


async def _check_lockout(call: Call, key: KeyName, question: KeyQuestion) -> None:
    """Raises ApiError unless under that policy, and with what else lets the caller in, the caller could put the next one."""
    try:
        await call.allow(PUT.action, key.arn, about=question)
    except ApiError as error:
        if error.code != "AccessDenied":
            raise
        raise ApiError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future.",
        ) from None


def _check_name(call: Call) -> None:
    if (call.input.get("PolicyName") or POLICY_NAME) != POLICY_NAME:
        raise ApiError("NotFoundException", "No such policy exists")
