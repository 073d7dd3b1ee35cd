"""What IAM keeps: identity policies, session policies, permissions boundaries, and the trust policies of roles.

Pure. Never knows whose document it is, nor whether a principal exists. Texts are in ``faults``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from strongroom.policy.compiled import Actions, Policy, Statement
from strongroom.policy.faults import Fault, Kind, invalid
from strongroom.policy.reading import (
    OLD_VERSION,
    Document,
    read_actions,
    read_conditions,
    read_document,
    read_effect,
    read_resources,
    read_who,
    resource_templates,
)
from strongroom.policy.templates import template

#: Characters that a document may have, white space not counted.
MOST_USER_INLINE: Final = 2_048  # all inline policies of one user together
MOST_GROUP_INLINE: Final = 5_120
MOST_ROLE_INLINE: Final = 10_240
MOST_MANAGED: Final = 6_144
MOST_TRUST: Final = 2_048
MOST_SESSION: Final = 2_048

_SID: Final = re.compile(r"[0-9A-Za-z]*")
_ACTION: Final = re.compile(r"(?:\*|[A-Za-z0-9-]+):[A-Za-z0-9*?]+")
_ARN: Final = re.compile(r"arn(?::[^:]*){5}", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z0-9-]+:\S.*")
_ASSUME: Final = "sts:assumerole"
_BESIDE_ASSUME: Final = frozenset({"sts:tagsession", "sts:setsourceidentity", "sts:setcontext"})
_ANYTHING: Final = template("*", variables=False)


def counted_size(text: str) -> int:
    """Characters that count towards a quota: all but white space."""
    return sum(not character.isspace() for character in text)


def read_identity_policy(text: str, name: str, kind: Kind = Kind.IDENTITY, *, managed: bool = False) -> Policy:
    """An identity policy, or with that kind a session policy or a permissions boundary. Raises InvalidPolicy.

    ``managed``: one that has an ARN of its own, and must be of the newer version.
    """
    document = read_document(text, kind)
    if managed and document.version == OLD_VERSION:
        raise invalid(kind, Fault.OLD_VERSION)
    return Policy(kind, name, document.version, _statements(document))


def read_trust_policy(text: str, role: str) -> Policy:
    """The policy that says who may assume ``role`` (an ARN or a name). Raises InvalidPolicy."""
    document = read_document(text, Kind.TRUST)
    return Policy(Kind.TRUST, role, document.version, _statements(document))


def _statements(document: Document) -> tuple[Statement, ...]:
    read = _trust_statement if document.kind is Kind.TRUST else _statement
    statements = tuple(read(document, index, one) for index, one in enumerate(document.statements))
    sids = [one.sid for one in statements if one.sid]
    if len(set(sids)) != len(sids):
        raise invalid(document.kind, Fault.SAME_SID)
    return statements


def _sid(written: Mapping[str, Any], kind: Kind) -> str:
    sid: str = written.get("Sid", "")
    if not _SID.fullmatch(sid):
        raise invalid(kind, Fault.SID)
    return sid


def _actions(written: Mapping[str, Any], kind: Kind) -> tuple[list[str], bool]:
    actions, negated = read_actions(written, kind)
    for action in actions:
        if action != "*" and not _ACTION.fullmatch(action):
            raise invalid(kind, Fault.ACTION)
    return actions, negated


def _check_keys(written: Mapping[str, Any], kind: Kind) -> None:
    for keys in written.get("Condition", {}).values():
        for key in keys:
            if not _KEY.fullmatch(key):
                raise invalid(kind, Fault.CONDITION_KEY)


def _statement(document: Document, index: int, written: Mapping[str, Any]) -> Statement:
    kind = document.kind
    sid = _sid(written, kind)
    allows = read_effect(written, kind)
    if "Principal" in written or "NotPrincipal" in written:
        raise invalid(kind, Fault.PRINCIPAL_PROHIBITED)
    actions, not_action = _actions(written, kind)
    resources, not_resource = read_resources(written, kind)
    for resource in resources:
        if resource != "*" and not _ARN.match(resource):
            raise invalid(kind, Fault.RESOURCE, resource)
    _check_keys(written, kind)
    conditions = read_conditions(written, document)
    templates = resource_templates(resources, document)
    return Statement(index, sid, allows, Actions(actions), templates, conditions, not_action, not_resource)


def _trust_statement(document: Document, index: int, written: Mapping[str, Any]) -> Statement:
    kind = document.kind
    sid = _sid(written, kind)
    allows = read_effect(written, kind)
    principals, not_principal = read_who(written, kind)
    if "Resource" in written or "NotResource" in written:
        raise invalid(kind, Fault.RESOURCE_PROHIBITED)
    actions, not_action = _actions(written, kind)
    for action in map(str.lower, actions):
        if not action.startswith(_ASSUME) and action not in _BESIDE_ASSUME:
            raise invalid(kind, Fault.MISFIT)
    _check_keys(written, kind)
    conditions = read_conditions(written, document)
    patterns = Actions(actions)
    return Statement(
        index, sid, allows, patterns, (_ANYTHING,), conditions, not_action, principals=principals, not_principal=not_principal
    )
