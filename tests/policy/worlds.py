"""Random worlds for the judge: documents, callers, resources and requests that meet often enough to matter."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from strongroom.policy.acls import LOG_DELIVERY, PERMISSIONS, Acl, AclGrant
from strongroom.policy.decide import Authority, Decision, Question, Standing, decide
from strongroom.policy.faults import Kind
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.key_documents import grant, read_key_policy
from strongroom.policy.public import ALL_USERS, AUTHENTICATED_USERS
from strongroom.policy.templates import lookup_of
from tests.policy.slow_decide import Caller, Request, Resource

A, B = "111122223333", "444455556666"
ROOT_A, ROOT_B = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ANN, BOB = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{B}:user/x/bob"
ROLE = f"arn:aws:iam::{A}:role/ops/reader"
SESSION = f"arn:aws:sts::{A}:assumed-role/reader/monday"

actions = st.sampled_from(
    ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "kms:Decrypt", "s3:PutBucketPolicy", "s3:PutObjectAcl"]
)
action_patterns = st.sampled_from(
    ["s3:GetObject", "s3:Get*", "S3:getobject", "s3:*Object", "s3:???Object", "kms:*", "*", "s3:ListBucket"]
)
resources = st.sampled_from(["arn:aws:s3:::b", "arn:aws:s3:::b/k", "arn:aws:s3:::b/home/ann/k", "arn:aws:s3:::b/${x}"])
resource_patterns = st.sampled_from(
    [
        "*",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/?",
        "arn:aws:s3:::b/home/${aws:username}/*",
        "arn:aws:s3:::b/home/${aws:PrincipalTag/team, 'ann'}/*",
        "arn:aws:s3:::b/${$}{x}",
        "arn:aws:s3:::b/${x}",
        "arn:aws:s3:::*/k",
        "arn:aws:s3:::b/*o*e*k",
    ]
)
principals = st.sampled_from(
    [
        "*",
        {"AWS": "*"},
        {"AWS": A},
        {"AWS": ROOT_A},
        {"AWS": ROOT_B},
        {"AWS": ANN},
        {"AWS": BOB},
        {"AWS": ROLE},
        {"AWS": SESSION},
        {"AWS": [ANN, ROLE]},
        {"AWS": [ROOT_A, ANN]},
        {"AWS": [ROOT_A, ROLE]},
        {"AWS": [B, BOB]},
        {"Service": "s3.amazonaws.com"},
    ]
)
_text = st.sampled_from(["a", "A", "ab", "b", "*", "a*", "${aws:username}", "?", "", "${nobody}", "${nobody, 'ab'}"])
_families = {
    "String": (
        ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"],
        _text,
        st.sampled_from(["a", "A", "ab", "b", "ann", "*", ""]),
    ),
    "Number": (
        [f"Numeric{name}" for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")],
        st.sampled_from(["1", "2", 2, 1.5, "10", "many"]),
        st.sampled_from(["1", "2", "1.5", "9", "none"]),
    ),
    "Date": (
        [f"Date{name}" for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")],
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01", "2026", "1767225600", 1767225601, "soon"]),
        st.sampled_from(["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "1767225601"]),
    ),
    "Bool": (["Bool"], st.sampled_from([True, False, "true", "False", "maybe"]), st.sampled_from(["true", "false", "x"])),
    "Binary": (["BinaryEquals"], st.sampled_from(["YQ==", "YWI="]), st.sampled_from(["YQ==", "Yg=="])),
    "Ip": (
        ["IpAddress", "NotIpAddress"],
        st.sampled_from(["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0"]),
        st.sampled_from(["10.1.2.3", "11.0.0.1", "2001:db8::7", "nowhere"]),
    ),
    "Arn": (
        ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        st.sampled_from(
            [ANN, "arn:aws:iam::*:user/*", "arn:*:user/ann", "*", "arn:aws:iam::1111?2223333:user/a*n", "${aws:PrincipalArn}"]
        ),
        st.sampled_from([ANN, BOB, ROLE, "ann"]),
    ),
    "Null": (["Null"], st.sampled_from([True, False, "true", "false"]), st.sampled_from(["a", "10.1.2.3"])),
}
keys = st.sampled_from(
    ["aws:username", "aws:PrincipalArn", "k:One", "k:two", "aws:PrincipalTag/team", "k:many", "kms:ResourceAliases"]
)
#: The family of values that each key of a request has, so that operators and values meet.
_family_of = {
    "aws:username": "String",
    "aws:PrincipalArn": "Arn",
    "aws:PrincipalTag/team": "String",
    "k:many": "String",
    "kms:ResourceAliases": "String",
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 2))):
        key = draw(keys)
        family = draw(st.sampled_from([_family_of.get(key, ""), *_families]).filter(bool))
        names, operands, _ = _families[family]
        name = draw(st.sampled_from(names))
        if name != "Null":
            name = (
                draw(st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"]))
                + name
                + draw(st.sampled_from(["", "", "IfExists"]))
            )
        spelled = draw(st.sampled_from([key, key.lower(), key.upper()]))
        found.setdefault(name, {})[spelled] = draw(operands | st.lists(operands, max_size=3))
    return found


@st.composite
def statements(draw: st.DrawFn, *, principal: bool, effects: tuple[str, ...] = ("Allow", "Allow", "Deny")) -> dict[str, Any]:
    effect = draw(st.sampled_from(effects))
    found: dict[str, Any] = {"Effect": effect}
    found[draw(st.sampled_from(["Action", "Action", "Action", "NotAction"]))] = draw(
        action_patterns | st.lists(action_patterns, min_size=1, max_size=2)
    )
    found[draw(st.sampled_from(["Resource", "Resource", "Resource", "NotResource"]))] = draw(
        resource_patterns | st.lists(resource_patterns, min_size=1, max_size=2)
    )
    if principal:
        element = draw(st.sampled_from(["Principal", "Principal", "NotPrincipal"])) if effect == "Deny" else "Principal"
        found[element] = draw(principals)
    if draw(st.booleans()):
        found["Condition"] = draw(conditions())
    return found


def documents(*, principal: bool) -> st.SearchStrategy[dict[str, Any]]:
    version = st.sampled_from(["2012-10-17", "2012-10-17", "2008-10-17"])
    return st.fixed_dictionaries(
        {"Version": version, "Statement": st.lists(statements(principal=principal), min_size=1, max_size=3)}
    )


@st.composite
def callers(draw: st.DrawFn) -> Caller:
    base = draw(
        st.sampled_from(
            [
                Caller(A, ROOT_A, canonical="a"),
                Caller(A, ANN, canonical="a"),
                Caller(A, SESSION, ROLE, canonical="a"),
                Caller(B, ROOT_B, canonical="b"),
                Caller(B, BOB, canonical="b"),
                Caller(anonymous=True),
            ]
        )
    )
    identity = documents(principal=False)
    if base.anonymous or base.root:
        return base
    return replace(
        base,
        identity=draw(st.lists(identity, max_size=2)),
        boundary=draw(st.none() | identity),
        session=draw(st.none() | st.lists(identity, min_size=1, max_size=2)) if base.role_arn else None,
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    values: dict[str, Any] = {}
    for key in draw(st.sets(keys, max_size=4)):
        family = _family_of.get(key) or draw(st.sampled_from(sorted(set(_families) - {"Binary"})))
        one = _families[family][2]
        values[key.lower()] = draw(st.lists(one, min_size=1, max_size=3) if key == "k:many" else one)
    return Request(draw(actions), values, draw(st.sampled_from([{}, {"p": "1"}, {"p": "1", "q": "2"}])))


_grants = st.fixed_dictionaries(
    {"grantee": st.sampled_from([ANN, ROLE, SESSION, BOB, ROOT_A]), "operations": st.sampled_from([["Decrypt"], ["Encrypt"]])},
    optional={"equals": st.just({"p": "1"}), "subset": st.just({"q": "2"})},
)


GROUPS = {"all": ALL_USERS, "authenticated": AUTHENTICATED_USERS, "logs": LOG_DELIVERY}
_listed = st.tuples(st.sampled_from(["all", "authenticated", "logs", "a", "b"]), st.sampled_from(sorted(PERMISSIONS)))


def _acl(resource: Resource) -> Acl | None:
    if resource.acl is None:
        return None
    grants = tuple(
        AclGrant(permission, group=GROUPS[name]) if name in GROUPS else AclGrant(permission, name)
        for name, permission in resource.acl
    )
    return Acl(resource.arn, grants, of_bucket="/" not in resource.arn)


@st.composite
def governed(draw: st.DrawFn) -> Resource:
    return Resource(
        draw(st.sampled_from([A, A, A, B])),
        draw(resources),
        draw(st.lists(documents(principal=True), max_size=2)),
        required=draw(st.booleans()),
        restricted=draw(st.sampled_from([False, False, False, True])),
        grants=draw(st.lists(_grants, max_size=2)),
        acl=draw(st.none() | st.lists(_listed, max_size=3)),
        bucket_owner=draw(st.sampled_from(["", "", "", A, B])),
    )


def question(caller: Caller, resource: Resource, request: Request) -> Question:
    """The same world, compiled."""
    identity = tuple(read_identity_policy(json.dumps(one), f"identity-{at}") for at, one in enumerate(caller.identity))
    boundary = None if caller.boundary is None else read_identity_policy(json.dumps(caller.boundary), "boundary", Kind.BOUNDARY)
    session = None
    if caller.session is not None:
        session = tuple(read_identity_policy(json.dumps(one), "session", Kind.SESSION) for one in caller.session)
    grants = tuple(
        grant(
            f"grant-{at}",
            one["grantee"],
            frozenset(one["operations"]),
            context_equals=one.get("equals"),
            context_subset=one.get("subset"),
        )
        for at, one in enumerate(resource.grants)
    )
    policies = tuple(read_key_policy(json.dumps(one), "resource") for one in resource.policies)
    return Question(
        caller.account,
        caller.arn,
        caller.anonymous,
        request.action,
        resource.arn,
        Authority(
            resource.owner,
            policies,
            grants,
            policy_required=resource.required,
            restricted=resource.restricted,
            acl=_acl(resource),
            bucket_account_id=resource.bucket_owner,
        ),
        Standing(identity, boundary, session, role_arn=caller.role_arn, canonical_id=caller.canonical),
        lookup_of(request.values),
        request.context,
    )


def decided(caller: Caller, resource: Resource, request: Request) -> Decision:
    return decide(question(caller, resource, request))
