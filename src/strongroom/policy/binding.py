"""Principals of a policy bound to unique ids: a new user or role of an old name is not the one that the policy meant.

Documents name users and roles by ARN; whoever keeps a document notes with it the unique id each had at that time (``ids``, by ARN). What
was noted is matched by id alone; what was not (accounts, services, everyone) as it is written. Pure. Never knows who has an id now.
Source: "AWS JSON policy elements: Principal", IAM user and role principals, in the IAM user guide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from strongroom.policy.compiled import Policy, Statement
from strongroom.policy.principals import Principals

_ELEMENTS: Final = ("Principal", "NotPrincipal")


def arns_of(policy: Policy) -> tuple[str, ...]:
    """What a policy names of the sort "AWS": those that are users or roles are to be bound."""
    return tuple(value for sort, value in policy.named if sort == "AWS")


def bound(policy: Policy, ids: Mapping[str, str]) -> Policy:
    """The policy with its users and roles told by their unique ids."""
    if not ids:
        return policy
    return replace(policy, statements=tuple(_statement(one, ids) for one in policy.statements))


def _statement(statement: Statement, ids: Mapping[str, str]) -> Statement:
    found = statement.principals
    if found is None or found.arns.isdisjoint(ids):
        return statement
    return replace(statement, principals=_principals(found, ids))


def _principals(found: Principals, ids: Mapping[str, str]) -> Principals:
    own = frozenset(ids[one] for one in found.arns if one in ids)
    return replace(found, arns=found.arns - ids.keys(), unique_ids=found.unique_ids | own)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The document as it is shown: principals that are called otherwise now under these names. ``text`` was accepted once."""
    if not names:
        return text
    whole: dict[str, Any] = json.loads(text)
    for statement in _listed(whole["Statement"]):
        for element in _ELEMENTS:
            who: Any = statement.get(element, "*")
            if who != "*" and "AWS" in who:
                found: list[str] = [names.get(one, one) for one in _listed(who["AWS"])]
                who["AWS"] = found if isinstance(who["AWS"], list) else found[0]
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def _listed(value: Any) -> list[Any]:
    """One or several, as several."""
    if isinstance(value, list):
        return [*value]
    return [value]
