"""An answer about a key holds of every request that it is said to hold of: random policies of every kind, grants and callers, the real judge and
the real values, and other requests that differ in whatever a request has. What is at hand is used on the strength of that.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import About, Holds
from strongroom.edge.claims import Claim
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.head import Head
from strongroom.edge.judge import Judge
from strongroom.iam.credentials import Caller
from strongroom.kms.names import KeyName
from strongroom.kms.questions import KeyQuestion
from strongroom.kms.records import KeyRecord
from strongroom.policy.compiled import Policy
from strongroom.policy.decide import Authority, Standing
from strongroom.policy.faults import InvalidPolicy, Kind
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.key_documents import grant, read_key_policy

A, B, REGION = "111122223333", "444455556666", "eu-central-1"
NAME = KeyName(A, REGION, "6d0b7ee4-0000-4000-8000-000000000001")
ROOT_A, ROOT_B, ANN, BOB = (f"arn:aws:iam::{one}" for one in (f"{A}:root", f"{B}:root", f"{A}:user/ann", f"{B}:user/bob"))
ROLE, SESSION = f"arn:aws:iam::{A}:role/reader", f"arn:aws:sts::{A}:assumed-role/reader/monday"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD = KeyRecord(NAME, 0, "CUSTOMER", "", "", "", (), tags=(("team", "blue"),), aliases=("alias/a",))
VIA, OBJECT = f"s3.{REGION}.amazonaws.com", "arn:aws:s3:::bucket/"


class World(NamedTuple):
    caller: Caller
    standing: Standing
    authority: Authority


class Request(NamedTuple):
    ip: str
    at: datetime
    secure: bool
    agent: str
    presigned: bool
    named: str
    context: Mapping[str, str]


#: What conditions may ask for, and with what it is compared: the values that requests have, and some that they have not.
ASKED = {
    "kms:ViaService": [VIA, "s3.us-east-1.amazonaws.com"],
    "kms:CallerAccount": [A, B],
    "aws:PrincipalAccount": [A, B],
    "aws:PrincipalArn": [ANN, ROLE, "arn:aws:iam::*:user/*"],
    "aws:ViaAWSService": ["true", "false"],
    "aws:SourceIp": ["10.0.0.0/8", "192.0.2.1"],
    "aws:CurrentTime": ["2026-03-01T12:00:30Z"],
    "aws:EpochTime": ["1772366430"],
    "aws:UserAgent": ["a", "b"],
    "aws:SecureTransport": ["true", "false"],
    "aws:username": ["ann", "bob"],
    "aws:PrincipalTag/team": ["blue", "red"],
    "aws:MultiFactorAuthPresent": ["false"],
    "aws:ResourceTag/team": ["blue", "red"],
    "aws:ResourceAccount": [A, B],
    "kms:EncryptionContext:aws:s3:arn": [f"{OBJECT}a", f"{OBJECT}*"],
    "kms:EncryptionContext:more": ["yes", "${aws:UserAgent}"],
    "kms:EncryptionContextKeys": ["aws:s3:arn", "more"],
    "kms:RequestAlias": ["alias/a"],
    "kms:KeySpec": ["SYMMETRIC_DEFAULT"],
    "kms:GrantOperations": ["Decrypt"],
    "s3:authType": ["REST-HEADER"],
    "nobody:knows": ["${aws:PrincipalArn}"],
}
_KEYS = sorted(ASKED) + [key for key in ASKED if "Context" in key]
_OPERATORS = ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "Null"]
_OF = {
    "aws:SourceIp": ["IpAddress", "NotIpAddress"],
    "aws:CurrentTime": ["DateLessThan", "DateGreaterThan"],
    "aws:EpochTime": ["DateLessThan", "NumericGreaterThan"],
    "aws:SecureTransport": ["Bool"],
    "aws:PrincipalArn": ["ArnLike", "ArnNotLike"],
}


def conditions(draw: Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw.randint(1, 2)):
        key = draw.choice(_KEYS)
        operator = draw.choice([*_OF.get(key, []), *_OPERATORS])
        if operator == "Null":
            operands: Any = draw.choice(["true", "false"])
        else:
            operator = draw.choice(["", "", "ForAnyValue:"]) + operator + draw.choice(["", "", "IfExists"])
            operands = draw.choices(ASKED[key], k=draw.randint(1, 2))
        found.setdefault(operator, {})[key] = operands
    return found


_PLACES = [
    "*",
    "*",
    NAME.arn,
    f"arn:aws:kms:*:{A}:key/*",
    f"{NAME.arn[:-3]}${{aws:UserAgent}}??",
    f"{NAME.arn[:-3]}${{aws:username, '001'}}",
]
_WHO = ["*", {"AWS": ROOT_A}, {"AWS": [ANN, SESSION]}, {"AWS": ROLE}, {"AWS": [ROOT_B, BOB]}]


def document(draw: Random, *, key: bool = False) -> str:
    statements: list[dict[str, Any]] = []
    for _ in range(draw.randint(0, 2)):
        one: dict[str, Any] = {"Effect": draw.choice(["Allow", "Allow", "Deny"])}
        one[draw.choice(["Action", "Action", "NotAction"])] = draw.choice(["kms:Decrypt", "kms:*", "kms:Enc*"])
        one[draw.choice(["Resource", "Resource", "NotResource"])] = draw.choice(_PLACES)
        if key:
            one["NotPrincipal" if one["Effect"] == "Deny" and draw.getrandbits(1) else "Principal"] = draw.choice(_WHO)
        if draw.randrange(4):
            one["Condition"] = conditions(draw)
        statements.append(one)
    if not statements or draw.randrange(3):  # so that many worlds allow, unless something else denies
        statements.append({"Effect": "Allow", "Action": "*", "Resource": "*"} | ({"Principal": draw.choice(_WHO)} if key else {}))
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def policies(draw: Random, count: int, kind: Kind = Kind.KEY) -> tuple[Policy, ...]:
    found: list[Policy] = []
    while len(found) < count:
        text = document(draw, key=kind is Kind.KEY)
        with suppress(InvalidPolicy):  # an element that this kind has not
            found.append(read_key_policy(text, NAME.arn) if kind is Kind.KEY else read_identity_policy(text, kind.name, kind))
    return tuple(found)


_BOUNDS: list[dict[str, Any]] = [
    {},
    {"context_equals": {"aws:s3:arn": f"{OBJECT}a"}},
    {"context_subset": {"more": "yes"}},
]


def world(draw: Random) -> World:
    arn = draw.choice([ROOT_A, ANN, ANN, SESSION, SESSION, BOB])
    account, role, root = arn.split(":")[4], ROLE if arn == SESSION else "", arn == ROOT_A
    values = {"aws:principaltag/team": "blue", "aws:multifactorauthpresent": "false"} if role else {}
    caller = Caller(account, arn, "AIDA", "0" * 64, "", "AKIA", principal_arn=role, values=values)
    standing = Standing(
        () if root else policies(draw, draw.randint(0, 2), Kind.IDENTITY),
        None if root or draw.randrange(3) else policies(draw, 1, Kind.BOUNDARY)[0],
        policies(draw, draw.randint(1, 2), Kind.SESSION) if role and draw.getrandbits(1) else None,
        role_arn=role,
    )
    grants = tuple(
        grant(f"{number}", draw.choice([arn, role or arn, BOB]), frozenset({"Decrypt"}), **draw.choice(_BOUNDS))
        for number in range(max(0, draw.randint(-2, 2)))
    )
    return World(caller, standing, Authority(A, policies(draw, 1), grants, policy_required=True))


_CONTEXTS = [{"aws:s3:arn": f"{OBJECT}{name}"} for name in "ab"] + [{"aws:s3:arn": f"{OBJECT}a", "more": "yes"}]


def request(draw: Random) -> Request:
    return Request(
        draw.choice(["10.1.2.3", "192.0.2.1", "2001:db8::7"]),
        draw.choice([NOON, NOON + timedelta(minutes=1)]),
        bool(draw.getrandbits(1)),
        draw.choice(["a", "b", "0"]),
        bool(draw.getrandbits(1)),
        draw.choice(["", "alias/a", NAME.arn]),
        draw.choice(_CONTEXTS),
    )


async def answer(asked: World, request: Request) -> Holds | None:
    """None: denied."""
    caller, standing, authority = asked
    head = Head("GET", "/bucket/a", None, "", {"user-agent": request.agent}, "https" if request.secure else "http", request.ip)
    claim = Claim("AKIA", "", "", REGION, "s3", [], "", "", request.at, "", presigned=request.presigned)
    values = RequestValues(caller, head, head.headers, claim, {}, "a", REGION, request.at, {})

    async def governs(_action: str, _resource: str, _about: About | None) -> Authority:
        return authority

    async def nothing(_resource: str, _version_id: str | None) -> Any:
        raise AssertionError("nothing about a key is an object's")

    judge = Judge(caller, standing, governs, lambda: values, nothing, [], nothing)
    about = KeyQuestion("kms:Decrypt", caller, record=RECORD, named=request.named, context=request.context, via=VIA)
    try:
        return await judge("kms:Decrypt", NAME.arn, about=about)
    except ApiError:
        return None


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_allowed_for_more_than_one_request_is_allowed_for_each(seed: int) -> None:
    draw, seen = Random(seed), Counter[Holds | None]()
    for _ in range(250):
        asked, those = world(draw), [request(draw) for _ in range(8)]
        answers = [await answer(asked, one) for one in those]
        seen.update(answers)
        for one, holds in zip(those, answers, strict=True):
            for other, found in zip(those, answers, strict=True):
                if holds is Holds.ANY_CONTEXT or (holds is Holds.SAME_CONTEXT and one.context == other.context):
                    assert found == holds, (asked, one, other)
    assert min(seen[each] for each in (None, *Holds)) > 100
