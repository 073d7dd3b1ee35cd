"""Short ways to write documents and to ask the judge about them."""

from __future__ import annotations

import json
from typing import Any

from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Policy
from strongroom.policy.decide import Authority, Decision, Question, Standing, decide
from strongroom.policy.faults import Kind
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.key_documents import read_key_policy
from strongroom.policy.templates import lookup_of

A, B = "111122223333", "444455556666"
ROOT, FOREIGN_ROOT = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
USER = f"arn:aws:iam::{A}:user/ann"
ROLE = f"arn:aws:iam::{A}:role/ops/reader"
SESSION = f"arn:aws:sts::{A}:assumed-role/reader/monday"
FOREIGN = f"arn:aws:iam::{B}:user/bob"
KEY = f"arn:aws:kms:eu-west-1:{A}:key/6d0b7ee4-0000-4000-8000-000000000001"
OBJECT = "arn:aws:s3:::bucket/key"


def text(*statements: dict[str, Any], version: str | None = "2012-10-17") -> str:
    return json.dumps({**({} if version is None else {"Version": version}), "Statement": list(statements)})


def says(
    effect: str = "Allow", action: Any = "s3:GetObject", resource: Any = "arn:aws:s3:::bucket/*", **more: Any
) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def identity(*statements: dict[str, Any], version: str | None = "2012-10-17") -> Policy:
    return read_identity_policy(text(*statements, version=version), "identity")


def boundary(*statements: dict[str, Any]) -> Policy:
    return read_identity_policy(text(*statements), "boundary", Kind.BOUNDARY)


def session(*statements: dict[str, Any]) -> Policy:
    return read_identity_policy(text(*statements), "session", Kind.SESSION)


def bucket(*statements: dict[str, Any], version: str | None = "2012-10-17") -> Policy:
    return read_bucket_policy(text(*statements, version=version), "bucket")


def key(*statements: dict[str, Any]) -> Policy:
    return read_key_policy(text(*statements), KEY)


def ask(
    arn: str,
    *own: Policy,
    resource_policy: Policy | None = None,
    action: str = "s3:GetObject",
    resource: str = OBJECT,
    limits: Policy | None = None,
    passed: tuple[Policy, ...] | None = None,
    values: dict[str, Any] | None = None,
    authority: Authority | None = None,
    role_arn: str = "",
    context: dict[str, str] | None = None,
    **standing: Any,
) -> Decision:
    """One question of the principal ``arn`` ("" for nobody) about a resource of account A."""
    policies = () if resource_policy is None else (resource_policy,)
    return decide(
        Question(
            arn.split(":")[4] if arn else "",
            arn,
            not arn,
            action,
            resource,
            authority or Authority(A, policies),
            Standing(own, limits, passed, role_arn or (ROLE if arn == SESSION else ""), **standing),
            lookup_of(values or {}),
            context or {},
        )
    )
