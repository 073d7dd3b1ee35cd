"""How temporary credentials come about: what is passed to a session is checked and packed, the session is made and sealed.

Never knows who may ask for one: the operations do (``assuming``, ``session_tokens``).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.iam import directory, refusals
from strongroom.iam.directory import milliseconds
from strongroom.iam.secrets import new_secret
from strongroom.iam.sessions import PREFIX, Passed, Session, SessionSeal
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import MOST_SESSION, read_identity_policy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.api.operation import Call, Input, Sort
    from strongroom.iam.directory import Directory

_MOST_ARNS: Final = 10
_MOST_TAGS: Final = 50
#: Of inputs of STS: what would change who may do what, and is not there.
_NOT_BUILT: Final = ("SerialNumber", "TokenCode", "ProvidedContexts", "MinimumSessionTokenSize")

Tags = tuple[tuple[str, str], ...]


def check_built(call: Call) -> None:
    """Raises ApiError NotImplemented."""
    for member in _NOT_BUILT:
        if call.input.get(member):
            raise ApiError("NotImplemented", f"The parameter {member} of {call.operation.name} is not implemented.")


class Issuing:
    """``iam_key`` is 32 bytes, derived from the root key."""

    def __init__(self, shelf: Directory, iam_key: bytes) -> None:
        self._shelf = shelf
        self._seal = SessionSeal(iam_key, shelf.random)

    async def passed(self, call: Call, account_id: str, handed_on: Tags = (), source_identity: str = "") -> Passed:
        """The policies and tags of an input. ``handed_on``: the tags that the caller's session gives to the next.

        Raises ApiError InvalidParameterValue, LimitExceeded, MalformedPolicyDocument, NoSuchEntity, PackedPolicyTooLarge, ValidationError.
        """
        given = call.input
        tags = _tags(given.get("Tags") or [], handed_on)
        passed = Passed(
            policy=_policy(given.get("Policy")),
            policy_arns=await self._arns(given.get("PolicyArns") or [], account_id),
            tags=tags,
            transitive=_transitive(given.get("TransitiveTagKeys") or [], tags, handed_on),
            source_identity=source_identity,
        )
        if passed.percent > 100:
            text = f"Packed policy consumes {passed.percent}% of allotted space, please use smaller policy."
            raise ApiError("PackedPolicyTooLarge", text)
        return passed

    def issue(
        self,
        call: Call,
        sort: Sort,
        account_id: str,
        holder_id: str,
        seconds: int,
        *,
        name: str = "",
        passed: Passed,
    ) -> dict[str, Any]:
        """The ``Credentials`` of an answer. Sessions of users and federated users end with the access key that asks for them."""
        issued_ms = milliseconds(call.now) // 1000 * 1000
        session = Session(
            access_key_id=f"{PREFIX}{base64.b32encode(self._shelf.random(10)).decode('ascii')}",
            secret_access_key=new_secret(self._shelf.random),
            account_id=account_id,
            sort=sort,
            holder_id=holder_id,
            name=name,
            issued_ms=issued_ms,
            expires_ms=issued_ms + seconds * 1000,
            parent="" if sort == "role" else call.caller.access_key_id,
            passed=passed,
        )
        return {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": self._seal.seal(session),
            "Expiration": directory.moment(session.expires_ms),
        }

    async def _arns(self, given: list[dict[str, str]], account_id: str) -> tuple[str, ...]:
        arns = tuple(one.get("arn", "") for one in given)
        if len(arns) > _MOST_ARNS:
            raise refusals.quota("SessionPolicies", _MOST_ARNS)
        for policy_arn in arns:
            policy = await self._shelf.policy(policy_arn)
            if policy is None or policy.account_id != account_id:
                raise refusals.not_attachable(policy_arn)
        return arns


def packed_size(given: Input, passed: Passed) -> dict[str, Any]:
    """Part of an answer, when there was anything to pack."""
    return {"PackedPolicySize": passed.percent} if given.keys() & {"Policy", "PolicyArns", "Tags"} else {}


def _policy(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        read_identity_policy(text, "session", Kind.SESSION)
    except InvalidPolicy as error:
        raise refusals.malformed_policy(error) from None
    if len(text) > MOST_SESSION:
        raise refusals.invalid(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal "
            f"to {MOST_SESSION}"
        )
    return text


def _tags(given: Iterable[dict[str, str]], handed_on: Tags) -> Tags:
    """Those of the session: its own and those of its caller's that are handed on, which no own one may replace."""
    own = tuple((one["Key"], one["Value"]) for one in given)
    keys = [key.lower() for key, _ in own]
    if len(set(keys)) != len(keys):
        raise _invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.startswith("aws:") for key in keys):
        raise _invalid("System tags cannot be added/updated by requester.")
    if not {key.lower() for key, _ in handed_on}.isdisjoint(keys):
        raise _conflict()
    if len(own) + len(handed_on) > _MOST_TAGS:
        raise refusals.quota("SessionTags", _MOST_TAGS)
    return (*own, *handed_on)


def _transitive(given: Iterable[str], tags: Tags, handed_on: Tags) -> tuple[str, ...]:
    already = tuple(key.lower() for key, _ in handed_on)
    asked = tuple(dict.fromkeys(key.lower() for key in given))
    if not set(already).isdisjoint(asked):
        raise _conflict()
    if not {key.lower() for key, _ in tags}.issuperset(asked):
        raise _invalid("The specified transitive tag key must be included in the requested tags.")
    return (*asked, *already)


def _invalid(text: str) -> ApiError:
    return ApiError("InvalidParameterValue", text)


def _conflict() -> ApiError:
    return _invalid(
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."
    )
