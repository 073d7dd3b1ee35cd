"""Bucket policies: what S3 asks of a document before it keeps it, in the order S3 asks.

Pure. Never knows whether a principal exists (``Policy.named``), nor what is done with a policy. Texts are in ``faults``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from strongroom.policy.compiled import Actions, Policy, Statement
from strongroom.policy.conditions import Condition
from strongroom.policy.faults import Fault, Kind, invalid
from strongroom.policy.public import is_public
from strongroom.policy.reading import (
    Document,
    read_actions,
    read_conditions,
    read_document,
    read_effect,
    read_resources,
    read_who,
    resource_templates,
)
from strongroom.policy.s3_actions import CONDITION_KEYS, actions_of, condition_key, on_objects

MOST_BYTES: Final = 20_480
_KIND: Final = Kind.RESOURCE
_ARN: Final = "arn:aws:s3:::"


def read_bucket_policy(text: str, bucket: str) -> Policy:
    """The policy of ``bucket``. Raises InvalidPolicy."""
    document = read_document(text, _KIND)
    statements = tuple(_statement(document, index, one, bucket) for index, one in enumerate(document.statements))
    if len(document.normalized.encode()) > MOST_BYTES:
        raise invalid(_KIND, Fault.TOO_LARGE, str(MOST_BYTES))
    return Policy(_KIND, f"{_ARN}{bucket}", document.version, statements, is_public(statements))


def _statement(document: Document, index: int, written: Mapping[str, Any], bucket: str) -> Statement:
    allows = read_effect(written, _KIND)
    principals, not_principal = read_who(written, _KIND, canonical=True)
    actions, not_action = read_actions(written, _KIND)
    resources, not_resource = read_resources(written, _KIND)
    meant = _meant(actions)
    for resource in resources:
        _check_resource(resource, bucket)
    sid = written.get("Sid", "")
    if not not_action and not not_resource:
        _check_fit(actions, meant, resources, sid or f"NO_ID-{index}", bucket)
    conditions = read_conditions(written, document)
    _check_keys(conditions, {} if not_action else meant)
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


def _meant(actions: Sequence[str]) -> dict[str, frozenset[str]]:
    """Each action as written, and the actions it means."""
    meant = {action: actions_of(action) for action in actions}
    for action, means in meant.items():
        if not means:
            raise invalid(_KIND, Fault.ACTION, detail=action)
    return meant


def _check_resource(resource: str, bucket: str) -> None:
    """Of this bucket: itself, objects in it, or its name with a star behind it."""
    own = _ARN + bucket
    if not resource.startswith(own) or (len(resource) > len(own) and resource[len(own)] not in "/*"):
        raise invalid(_KIND, Fault.RESOURCE, detail=resource)


def _check_fit(
    written: Sequence[str], meant: Mapping[str, frozenset[str]], resources: Sequence[str], statement: str, bucket: str
) -> None:
    """Some action must be one on some resource."""
    own = _ARN + bucket
    objects = any(len(resource) > len(own) for resource in resources)
    itself = any(resource.rstrip("*") == own for resource in resources)
    if not any(objects if on_objects(action) else itself for means in meant.values() for action in means):
        raise invalid(_KIND, Fault.MISFIT, detail=f'Action "{written[0]}" in Statement "{statement}"')


def _check_keys(conditions: Iterable[Condition], meant: Mapping[str, frozenset[str]]) -> None:
    """Each key must be known, and each action must have it; of a wildcard's actions one suffices."""
    for condition in conditions:
        if condition.key.startswith("aws:"):
            continue
        entry = condition_key(condition.key)
        if entry is None:
            raise invalid(_KIND, Fault.CONDITION_KEY)
        having = CONDITION_KEYS[entry]
        if having is not None and any(having.isdisjoint(means) for means in meant.values()):
            raise invalid(_KIND, Fault.CONDITION_MISFIT)
