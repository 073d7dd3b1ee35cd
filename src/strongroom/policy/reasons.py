"""How a decision is told to people who may know everything: which statement of which policy decided, or which Allow was missing.

Pure. For the operator's log and the operator's commands, never for an answer: it names policies of whatever account. Statements are counted
from 1, as people count them.
"""

from __future__ import annotations

from typing import Final

from strongroom.policy.compiled import Finding
from strongroom.policy.decide import Decision, Reason
from strongroom.policy.faults import Kind

_SAYS: Final = {True: "allows", False: "denies", None: "says nothing"}
_WHAT: Final = {
    Kind.RESOURCE: "the bucket policy of",
    Kind.KEY: "the key policy of",
    Kind.TRUST: "the trust policy of",
    Kind.IDENTITY: "the identity-based policy",
    Kind.BOUNDARY: "the permissions boundary",
    Kind.SESSION: "the session policy",
    Kind.GRANT: "the grant",
    Kind.ACL: "the access control list of",
}
_WITHOUT_STATEMENT: Final = {
    Reason.ROOT_OF_OWNER: "the caller is the root of the owning account, and nothing denies",
    Reason.ANONYMOUS: "nobody signed the request, and no resource-based policy lets everybody in",
    Reason.OTHER_ACCOUNT: "the resource is another account's, which does not allow it",
    Reason.RESTRICTED: "the bucket's policy is public, and RestrictPublicBuckets keeps everybody out but its own account",
}


def place(finding: Finding) -> str:
    """``statement 2 ("ReadOnly") of the identity-based policy arn:...``, or the policy alone where no statement decided. Of a list it is
    ``grant 2 ("READ to http://...")``.
    """
    policy = f"{_WHAT[finding.kind]} {finding.policy}"
    if finding.kind is Kind.GRANT or finding.verdict is None:
        return policy
    sid = f' ("{finding.sid}")' if finding.sid else ""
    if finding.kind is Kind.ACL:
        return f"grant {finding.statement + 1}{sid} of {policy}"
    return f"statement {finding.statement + 1}{sid} of {policy}"


def verdict(finding: Finding) -> str:
    return _SAYS[finding.verdict]


def sentence(decision: Decision, action: str) -> str:
    """Why a decision fell as it did, in one line."""
    if decision.decided_by is not None:
        return f"{place(decision.decided_by)} {verdict(decision.decided_by)} {action}"
    text = _WITHOUT_STATEMENT.get(decision.reason)
    return text if text is not None else f"{decision.reason.value} {action}"


def fields(finding: Finding) -> dict[str, str | int]:
    """The statement that decided, or a policy that was looked at, for programs to read."""
    found: dict[str, str | int] = {"policy": finding.policy, "policy_type": finding.kind.value}
    if finding.verdict is not None and finding.kind is not Kind.GRANT:
        number, name = ("grant", "gives") if finding.kind is Kind.ACL else ("statement", "sid")
        found[number] = finding.statement + 1
        if finding.sid:
            found[name] = finding.sid
    return found
