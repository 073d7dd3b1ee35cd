"""What policies cost: a user with 10 attached policies of 20 statements, in a bucket whose policy has 50, beside the root of the account.

Once over the wire, under load, and once in this process, where processor time is counted; and a decision by policies that have been read and
never asked. Never knows how results are shown.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import load
import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from inprocess import HOST, Rooms, processor_us
from measures import OBJECTS, SMALL, Measure, Run, Sample
from measures_encryption import client
from signing import REGION, Signer

from strongroom.edge.head import Head
from strongroom.policy.decide import Authority, Question, Standing, decide
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.templates import lookup_of

ACCOUNT: Final = "111122223333"
USER: Final = f"arn:aws:iam::{ACCOUNT}:user/ann"
POLICIES, STATEMENTS, IN_BUCKET = 10, 20, 50
LIMIT_MS: Final = 2.0
_COLD: Final = 1_000  # statements
_REQUESTS: Final = 50  # of each in turn


def statement(at: int, bucket: str, **more: Any) -> dict[str, Any]:
    """One of the sorts that real policies are made of. Those at even places are all about reading objects."""
    arn = f"arn:aws:s3:::{bucket}"
    sorts: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": f"{arn}/team-{at}/*"},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{arn}/team-{at}/*"}
        | {"Condition": {"StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}},
        {"Effect": "Deny", "Action": "s3:Get*", "Resource": f"{arn}/*/private-{at}/*"}
        | {"Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}}},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": arn,
            "Condition": {"StringLike": {"s3:prefix": f"team-{at}/*"}},
        },
        {"Effect": "Allow", "Action": "s3:Get*", "Resource": f"{arn}/home-{at}/${{aws:username}}/*"},
        {"Effect": "Deny", "Action": "s3:Delete*", "Resource": f"{arn}/*"}
        | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Effect": "Deny", "Action": "s3:*", "Resource": f"{arn}/kept-{at}/*"},
    ]
    return {**sorts[at % len(sorts)], **more}


def document(first: int, count: int, bucket: str, *last: dict[str, Any], **more: Any) -> str:
    statements = [statement(first + at, bucket, **more) for at in range(count - len(last))]
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements, *last]})


def attached(bucket: str) -> list[str]:
    """The ten documents. The last statement of the last one is what allows."""
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    last = POLICIES - 1
    return [document(at * STATEMENTS, STATEMENTS, bucket, *([allow] if at == last else [])) for at in range(POLICIES)]


def of_bucket(bucket: str, user_arn: str) -> str:
    return document(0, IN_BUCKET, bucket, Principal={"AWS": user_arn})


# ------------------------------------------------------------------------------------------------------------ over the wire


def _under_load(run: Run) -> Callable[[], Sample]:
    bucket, name = "bench-policies", "bench-user"
    iam, s3 = client(run, "iam"), client(run, "s3")
    user_arn = iam.create_user(UserName=name)["User"]["Arn"]
    for at, text in enumerate(attached(bucket)):
        arn = iam.create_policy(PolicyName=f"bench-{at}", PolicyDocument=text)["Policy"]["Arn"]
        iam.attach_user_policy(UserName=name, PolicyArn=arn)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    run.create_bucket(bucket)
    run.create_bucket(f"{bucket}-root")
    s3.put_bucket_policy(Bucket=bucket, Policy=of_bucket(bucket, user_arn))
    keys = [f"get/{number:05d}" for number in range(OBJECTS)]
    for each in (bucket, f"{bucket}-root"):
        load.fill(run.ours, run.targets(f"fill-{each}", "PUT", each, keys), SMALL)
    user = Signer(run.ours, made["AccessKeyId"], made["SecretAccessKey"])
    theirs = load.Targets.write(run.folder / "policies.targets", user.presigned("GET", bucket, keys))
    roots = run.targets("policies-root", "GET", f"{bucket}-root", keys)

    def sample() -> Sample:
        yardstick = load.wrk(run.ours, roots, run.seconds)
        ours = load.wrk(run.ours, theirs, run.seconds)
        return Sample(ours.per_second, yardstick.per_second, {"p50_ms": ours.p50_ms, "p99_ms": ours.p99_ms})

    load.wrk(run.ours, theirs, 1)
    return sample


# ----------------------------------------------------------------------------------------------------------- in this process


def _iam(rooms: Rooms, action: str, **members: str) -> tuple[Head, bytes]:
    body = urlencode({"Action": action, "Version": "2010-05-08", **members}).encode()
    request = AWSRequest("POST", f"http://{HOST}/", headers={"Content-Type": "application/x-www-form-urlencoded"}, data=body)
    who = Credentials(rooms.account.access_key_id, rooms.account.secret_access_key)
    SigV4Auth(who, "iam", REGION).add_auth(request)
    headers = {key.lower(): value for key, value in request.headers.items()}
    return Head("POST", "/", None, "", {**headers, "host": HOST, "content-length": str(len(body))}, "http", "127.0.0.1"), body


def _text(answer: bytes, name: str) -> str:
    return next(found.text or "" for found in ET.fromstring(answer).iter() if found.tag.rpartition("}")[2] == name)  # noqa: S314


async def _user(rooms: Rooms, bucket: str) -> Signer:
    """A user with the ten policies."""
    await rooms.request(*_iam(rooms, "CreateUser", UserName="ann"))
    for at, text in enumerate(attached(bucket)):
        answer = await rooms.request(*_iam(rooms, "CreatePolicy", PolicyName=f"p{at}", PolicyDocument=text))
        await rooms.request(*_iam(rooms, "AttachUserPolicy", UserName="ann", PolicyArn=_text(answer, "Arn")))
    made = await rooms.request(*_iam(rooms, "CreateAccessKey", UserName="ann"))
    return Signer(HOST, _text(made, "AccessKeyId"), _text(made, "SecretAccessKey"))


def _in_process(run: Run) -> Callable[[], Sample]:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    rooms = Rooms(run.folder / "policies")
    runner.run(rooms.__aenter__())
    governed, plain = "bench-governed", "bench-plain"

    async def prepare() -> Head:
        for bucket in (governed, plain):
            await rooms.request(rooms.head("PUT", bucket))
            await rooms.request(rooms.head("PUT", bucket, "key", SMALL), bytes(SMALL))
        user = await _user(rooms, governed)
        text = of_bucket(governed, USER).encode()
        await rooms.request(rooms.head("PUT", governed, size=len(text), policy=""), text)
        path, _, asked = user.presigned("GET", governed, ["key"])[0].partition("?")
        return Head("GET", path, None, asked, {"host": HOST}, "http", "127.0.0.1")

    theirs, roots = runner.run(prepare()), rooms.head("GET", plain, "key")

    def sample() -> Sample:
        pairs = [
            (
                runner.run(processor_us(lambda: rooms.request(theirs), _REQUESTS)),
                runner.run(processor_us(lambda: rooms.request(roots), _REQUESTS)),
            )
            for _ in range(20)
        ]
        return Sample(median(ours for ours, _ in pairs), median(root for _, root in pairs))

    sample()
    return sample


def _cold(_run: Run) -> Callable[[], Sample]:
    """Documents that were read, and policies that remember nothing: as after the first request, or a change."""
    bucket = "bucket"
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    count = _COLD // POLICIES
    texts = [document(at * count, count, bucket, *([allow] if at == POLICIES - 1 else [])) for at in range(POLICIES)]
    read = [read_identity_policy(text, f"p{at}") for at, text in enumerate(texts)]
    values = lookup_of({"aws:SourceIp": "127.0.0.1", "aws:username": "ann"})
    asked = Question(ACCOUNT, USER, False, "s3:GetObject", f"arn:aws:s3:::{bucket}/key", Authority(ACCOUNT), values=values)

    def sample() -> Sample:
        spent: list[float] = []
        for _ in range(20):
            question = asked._replace(standing=Standing(tuple(replace(one) for one in read)))
            started = time.process_time()
            decision = decide(question)
            spent.append((time.process_time() - started) * 1e3)
            if not decision.allowed:
                raise load.BenchError("the last of 1,000 statements does not allow")
        return Sample(median(spent), LIMIT_MS)

    return sample


_TITLE: Final = "GET 4 KiB under 250 statements"
MEASURES: Final = (
    Measure("policies", _TITLE, "req/s", "the root's GET", 0.85, _under_load),
    Measure("policies-cpu", f"{_TITLE}, processor time", "µs", "the root's GET", 1 / 0.85, _in_process, at_most=True),
    Measure("decision", "cold decision over 1,000 statements", "ms", "2 ms", 1.0, _cold, at_most=True),
)
