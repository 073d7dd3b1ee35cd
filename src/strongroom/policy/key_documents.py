"""Key policies, and grants: the two things that say who may use a KMS key. Pure. Never knows keys, nor whether a principal exists.

A statement of a key policy without Action or Resource is kept and has no effect. Source: "Key policies in AWS KMS" and "Grants in
AWS KMS" in the KMS developer guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from strongroom.policy.compiled import Actions, Finding, Policy, Statement
from strongroom.policy.conditions import Condition, Quantifier
from strongroom.policy.faults import Fault, Kind, invalid
from strongroom.policy.principals import Principals, Who, read_principals
from strongroom.policy.reading import (
    Document,
    inert_statement,
    read_actions,
    read_conditions,
    read_document,
    read_effect,
    read_resources,
    read_who,
    resource_templates,
)

MOST_BYTES: Final = 32_768
_KIND: Final = Kind.KEY
_CONTEXT: Final = "kms:encryptioncontext"
_IDENTITY_ONLY: Final = "kms:resourcealiases"  # for identity policies alone: in a key policy every request is without it
_ABSENT: Final = ""  # the condition key of no request
#: Constraints on the encryption context do not bind these.
_UNCONSTRAINED: Final = frozenset({"DescribeKey", "RetireGrant"})


def read_key_policy(text: str, key: str) -> Policy:
    """The policy of ``key`` (its ARN). Raises InvalidPolicy."""
    document = read_document(text, _KIND)
    if len(text.encode()) > MOST_BYTES:
        raise invalid(_KIND, Fault.TOO_LARGE, str(MOST_BYTES))
    statements = tuple(_statement(document, index, one) for index, one in enumerate(document.statements))
    return Policy(_KIND, key, document.version, statements)


def _statement(document: Document, index: int, written: Mapping[str, Any]) -> Statement:
    sid: str = written.get("Sid", "")
    allows = read_effect(written, _KIND)
    principals, not_principal = read_who(written, _KIND)
    conditions = read_conditions(written, document)
    for condition in conditions:
        _check_condition(condition)
    conditions = tuple(replace(one, key=_ABSENT) if one.key == _IDENTITY_ONLY else one for one in conditions)
    if not {"Action", "NotAction"} & written.keys() or not {"Resource", "NotResource"} & written.keys():
        return inert_statement(index, sid, allows=allows)
    actions, not_action = read_actions(written, _KIND)
    resources, not_resource = read_resources(written, _KIND)
    return Statement(
        index,
        sid,
        allows,
        Actions(actions),
        resource_templates(resources, document),
        conditions,
        not_action,
        not_resource,
        principals,
        not_principal,
    )


def _check_condition(condition: Condition) -> None:
    """ForAllValues holds for a request without any encryption context, so it protects nothing."""
    if condition.quantifier is Quantifier.ALL and condition.key.startswith(_CONTEXT):
        raise invalid(_KIND, Fault.OVERPERMISSIVE)


@dataclass(frozen=True, slots=True)
class Grant:
    """An allowance for one principal and some operations, beside the key policy. ``grantee`` is compiled: see ``grant``."""

    grant_id: str
    grantee: Principals
    operations: frozenset[str]  # the operations of KMS it names: "Decrypt"
    context_equals: Mapping[str, str] | None = None
    context_subset: Mapping[str, str] | None = None

    @property
    def constrained(self) -> bool:
        """Whether what it allows hangs on the encryption context."""
        return self.context_equals is not None or self.context_subset is not None

    def look(self, who: Who, action: str, context: Mapping[str, str]) -> Finding:
        """``context`` is the encryption context of the request, which constraints compare with case."""
        reach = self.grantee.reach(who)
        name = action.partition(":")[2]
        service = action[:4].lower() == "kms:"
        if not reach or not service or name not in self.operations or not self._within(name, context):
            return Finding(Kind.GRANT, self.grant_id, None)
        return Finding(Kind.GRANT, self.grant_id, True, 0, "", reach)

    def _within(self, operation: str, context: Mapping[str, str]) -> bool:
        if operation in _UNCONSTRAINED:
            return True
        if self.context_equals is not None and dict(context) != dict(self.context_equals):
            return False
        return self.context_subset is None or self.context_subset.items() <= context.items()


def grant(
    grant_id: str,
    grantee: str,
    operations: frozenset[str],
    *,
    context_equals: Mapping[str, str] | None = None,
    context_subset: Mapping[str, str] | None = None,
) -> Grant:
    """``grantee`` is an ARN, a unique id, or the name of a service. Raises BadPrincipal."""
    sort = "AWS" if grantee.startswith("arn:") or grantee.isalnum() else "Service"
    principals = read_principals({sort: [grantee]})
    return Grant(grant_id, principals, operations, context_equals, context_subset)
