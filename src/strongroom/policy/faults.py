"""What can be wrong with a policy document, and how each service words it.

Values only: the rooms above choose the error's code (``MalformedPolicy``, ``MalformedPolicyDocument``,
``MalformedPolicyDocumentException``). Never knows where a fault is looked for. Texts: answers of AWS as recorded; where none is on
record, the nearest one that is.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import Final


@unique
class Kind(Enum):
    """What a document is attached to. The value names it in answers: "because no <value> allows ..."."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"  # of a bucket
    KEY = "resource-based policy of a key"
    TRUST = "resource-based policy of a role"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    GRANT = "grant"
    ACL = "access control list"


@unique
class Fault(Enum):
    NOT_JSON = "not a JSON object"
    BROKEN_JSON = "broken JSON"
    SYNTAX = "wrong shape, type or element"
    VERSION = "unknown version"
    OLD_VERSION = "a version that may not be used here"
    NO_STATEMENT = "no Statement"
    EMPTY_STATEMENT = "an empty Statement"
    SID = "a Sid with characters it may not have"
    SAME_SID = "two statements with one Sid"
    NO_EFFECT = "no Effect"
    NO_PRINCIPAL = "no Principal"
    EMPTY_PRINCIPAL = "an empty Principal"
    PRINCIPAL_PROHIBITED = "a Principal where none may be"
    NO_ACTION = "no Action"
    EMPTY_ACTION = "an empty Action"
    NO_RESOURCE = "no Resource"
    EMPTY_RESOURCE = "an empty Resource"
    RESOURCE_PROHIBITED = "a Resource where none may be"
    NOT_PRINCIPAL_ALLOW = "NotPrincipal with Allow"
    ACTION = "an unknown action"
    RESOURCE = "a resource the policy cannot speak of"
    MISFIT = "an action that fits no resource"
    PRINCIPAL = "an unknown or malformed principal"
    OPERATOR = "an unknown condition operator"
    CONDITION_KEY = "an unknown condition key"
    CONDITION_MISFIT = "a condition key that an action does not have"
    IP_ADDRESS = "a malformed IP address"
    BINARY = "malformed base64"
    OVERPERMISSIVE = "a condition that an absent key would satisfy"
    TOO_LARGE = "too large"


class InvalidPolicy(Exception):
    """A document that cannot be a policy. ``str()`` is the message a client gets, ``detail`` the element beside it, if any."""

    def __init__(self, fault: Fault, text: str, detail: str | None = None) -> None:
        super().__init__(text)
        self.fault = fault
        self.detail = detail


_JSON: Final = "This policy contains invalid Json"
_S3: Final = {
    Fault.NOT_JSON: "Policies must be valid JSON and the first byte must be '{'",
    Fault.BROKEN_JSON: _JSON,
    Fault.SYNTAX: "Invalid policy syntax.",
    Fault.VERSION: "The policy must contain a valid version string",
    Fault.NO_STATEMENT: "Missing required field Statement",
    Fault.EMPTY_STATEMENT: "Could not parse the policy: Statement is empty!",
    Fault.NO_EFFECT: "Missing required field Effect",
    Fault.NO_PRINCIPAL: "Missing required field Principal",
    Fault.EMPTY_PRINCIPAL: "Missing required field Principal cannot be empty!",
    Fault.NO_ACTION: "Missing required field Action",
    Fault.EMPTY_ACTION: "Missing required field Action cannot be empty!",
    Fault.NO_RESOURCE: "Missing required field Resource",
    Fault.EMPTY_RESOURCE: "Missing required field Resource cannot be empty!",
    Fault.NOT_PRINCIPAL_ALLOW: "Allow with NotPrincipal is not allowed.",
    Fault.ACTION: "Policy has invalid action",
    Fault.RESOURCE: "Policy has invalid resource",
    Fault.MISFIT: "Action does not apply to any resource(s) in statement",
    Fault.PRINCIPAL: "Invalid principal in policy",
    Fault.OPERATOR: "Invalid Condition type : {}",
    Fault.CONDITION_KEY: "Policy has an invalid condition key",
    Fault.CONDITION_MISFIT: "Conditions do not apply to combination of actions and resources in statement",
    Fault.IP_ADDRESS: "Invalid IP address in Conditions",
    Fault.BINARY: "Invalid Base64 value for binary condition",
    Fault.TOO_LARGE: "Normalized policy document exceeds the maximum allowed size of {} bytes",
}
_IAM: Final = {
    Fault.NOT_JSON: _JSON,
    Fault.BROKEN_JSON: _JSON,
    Fault.OLD_VERSION: "Policy document must be version 2012-10-17 or greater.",
    Fault.SAME_SID: "Statement IDs (SID) in a single policy must be unique.",
    Fault.PRINCIPAL_PROHIBITED: "Policy document should not specify a principal.",
    Fault.NO_PRINCIPAL: "Missing required field Principal",
    Fault.EMPTY_PRINCIPAL: "Missing required field Principal cannot be empty!",
    Fault.NO_ACTION: "Policy statement must contain actions.",
    Fault.EMPTY_ACTION: "Policy statement must contain actions.",
    Fault.NO_RESOURCE: "Policy statement must contain resources.",
    Fault.EMPTY_RESOURCE: "Policy statement must contain resources.",
    Fault.RESOURCE_PROHIBITED: "Has prohibited field Resource",
    Fault.ACTION: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    Fault.CONDITION_KEY: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
    Fault.RESOURCE: 'Resource {} must be in ARN format or "*".',
    Fault.MISFIT: "AssumeRole policy may only specify STS AssumeRole actions.",
    Fault.PRINCIPAL: "Invalid principal in policy: {}",
}
_KEY: Final = {
    Fault.NOT_JSON: _JSON,
    Fault.BROKEN_JSON: _JSON,
    Fault.PRINCIPAL: "Policy contains a statement with one or more invalid principals.",
    Fault.OVERPERMISSIVE: "Policy contains a statement with an over-permissive condition.",
    Fault.TOO_LARGE: "The key policy is longer than {} bytes.",
}
_TEXTS: Final = {Kind.RESOURCE: _S3, Kind.KEY: _KEY}
_OTHERWISE: Final = {Kind.RESOURCE: "Invalid policy syntax."}


def invalid(kind: Kind, fault: Fault, subject: str = "", detail: str | None = None) -> InvalidPolicy:
    """The error for a fault. ``subject`` is the offending text, for messages that repeat it."""
    text = _TEXTS.get(kind, _IAM).get(fault, _OTHERWISE.get(kind, "Syntax errors in policy."))
    return InvalidPolicy(fault, text.replace("{}", subject), detail if kind is Kind.RESOURCE else None)


def invalid_principal(kind: Kind, value: str, sort: str = "AWS") -> InvalidPolicy:
    """For a principal that is malformed, or that the rooms above found not to exist."""
    if kind is Kind.RESOURCE:
        return invalid(kind, Fault.PRINCIPAL, detail=f'"{sort}" : "{value}"')
    return invalid(kind, Fault.PRINCIPAL, f'"{sort}":"{value}"')
