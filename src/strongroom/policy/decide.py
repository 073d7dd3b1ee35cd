"""The one judge: a question about a caller, an action and a resource becomes a decision with its reason.

Pure. Never knows where accounts or policies are kept, what an action does, or how an answer is worded on the wire.
Everything is denied that no rule here allows (AWS: default deny, "Policy evaluation logic" in the IAM user guide).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, NamedTuple


@unique
class Reason(Enum):
    """Why a decision fell as it did. The edge words it; who may be told more than "denied" is ``Decision.may_be_told``."""

    #: Allowed: the caller is the root of the account that owns the resource.
    ROOT_OF_OWNER = "root of the owning account"
    #: Denied: nobody signed the request, and nothing is public. S3: ``Access Denied``.
    ANONYMOUS = "anonymous caller"
    #: Denied: the resource belongs to another account. S3: ``Access Denied``. KMS: ``... on this resource because the resource
    #: does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies
    #: access``.
    OTHER_ACCOUNT = "resource of another account"
    #: Denied: a caller of the owning account who is not its root. S3 and KMS: ``... because no identity-based policy allows the
    #: <action> action``.
    NO_IDENTITY_POLICY = "no identity-based policy allows"


@dataclass(frozen=True, slots=True)
class Authority:
    """What governs a resource. Today that is its owner alone."""

    account_id: str  # 12 digits


class Question(NamedTuple):
    """May this caller do ``action`` (``s3:GetObject``) to ``resource`` (an ARN, or ``*``), which ``authority`` governs?"""

    caller_account: str
    caller_arn: str
    anonymous: bool
    action: str
    resource: str
    authority: Authority


@dataclass(frozen=True, slots=True)
class Decision:
    allowed: bool
    reason: Reason

    @property
    def may_be_told(self) -> bool:
        """Whether the caller may be told who was denied what and why: only callers of the owning account may."""
        return self.reason in _TOLD


_TOLD = frozenset({Reason.ROOT_OF_OWNER, Reason.NO_IDENTITY_POLICY})
_DIGITS = frozenset("0123456789")
_ROOT_OF_OWNER: Final = Decision(True, Reason.ROOT_OF_OWNER)


def decide(question: Question) -> Decision:
    """The root of the owning account may; anyone else may not. Never raises.

    An owner that is not an account id (12 digits) owns nothing: such a question is denied whoever asks.
    """
    if question.anonymous:
        return Decision(False, Reason.ANONYMOUS)
    owner = question.authority.account_id
    if question.caller_account != owner or len(owner) != 12 or not _DIGITS.issuperset(owner):
        return Decision(False, Reason.OTHER_ACCOUNT)
    if question.caller_arn != f"arn:aws:iam::{owner}:root":
        return Decision(False, Reason.NO_IDENTITY_POLICY)
    return _ROOT_OF_OWNER
