"""Each denial in the log: under its request id, with the statement or the missing Allow, and nothing that is secret."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call
from strongroom.edge import denial_log
from strongroom.edge.denial_log import ANONYMOUS_MOST, PRINCIPAL_MOST, DenialLog
from strongroom.policy.decide import Authority, Standing
from tests.edge.test_gate import Front, anonymous
from tests.edge.tiny import ACCOUNT, FOREIGN_KEY, OTHER, PLACES, SECRET, USER_KEY, Asked, TinyPlace, signed
from tests.policy.asking import bucket, identity, says

USER, ROOT, FOREIGN = f"arn:aws:iam::{ACCOUNT}:user/ann", f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{OTHER}:root"
OBJECT = "arn:aws:s3:::bucket/key"


class Governed(TinyPlace):
    """A bucket with a policy."""

    statements: tuple[dict[str, Any], ...] = ()

    @property
    def authority(self) -> Authority:
        return Authority(self.account_id, (bucket(*self.statements),))


@pytest.fixture
def front() -> Front:
    return Front()


def give(front: Front, *policies: Any) -> None:
    found = front.gate._callers._credentials
    found[USER_KEY] = replace(found[USER_KEY], standing=Standing(policies))


def govern(monkeypatch: pytest.MonkeyPatch, *statements: dict[str, Any]) -> None:
    place = Governed(ACCOUNT, "eu-west-1")
    monkeypatch.setattr(Governed, "statements", statements)
    monkeypatch.setitem(PLACES, "bucket", place)


async def told(front: Front, asked: Asked, status: int = 403) -> list[dict[str, Any]]:
    """The log's lines about one refused request, all under its request id."""
    with capture_logs() as logs:
        got = await front.ask(asked)
    assert got.status == status
    lines = [{name: value for name, value in line.items() if name != "log_level"} for line in logs]
    assert {line.pop("event") for line in lines} == {"denied"}
    assert {line.pop("request_id") for line in lines} == {got.headers["x-amz-request-id"]}
    assert SECRET not in str(lines)
    return lines


@pytest.mark.fact("E4")
async def test_the_missing_allow(front: Front) -> None:
    (line,) = await told(front, signed("GET", "/bucket/key", access_key=USER_KEY))
    assert line == {
        "operation": "GetObject",
        "principal": USER,
        "action": "s3:GetObject",
        "resource": OBJECT,
        "reason": "no identity-based policy allows s3:GetObject",
    }


async def test_the_statement_of_an_identity_policy(front: Front) -> None:
    give(front, identity(says(resource="*")), identity(says("Allow", resource="*"), says("Deny", resource="*", Sid="Never")))
    (line,) = await told(front, signed("GET", "/bucket/key", access_key=USER_KEY))
    assert line["reason"] == 'statement 2 ("Never") of the identity-based policy identity denies s3:GetObject'
    by = {name: line[name] for name in ("policy", "policy_type", "statement", "sid")}
    assert by == {"policy": "identity", "policy_type": "identity-based policy", "statement": 2, "sid": "Never"}


async def test_the_statement_of_a_bucket_policy_is_for_the_log_alone(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    govern(monkeypatch, says("Deny", Principal="*", Sid="HiddenFromStrangers"))
    asked = signed("GET", "/bucket/key", access_key=FOREIGN_KEY)
    with capture_logs():
        got = await front.ask(asked)
    assert got.message == "Access Denied"
    assert b"Hidden" not in got.body
    (line,) = await told(front, signed("GET", "/bucket/key", access_key=FOREIGN_KEY))
    assert line["principal"] == FOREIGN
    assert line["reason"] == (
        'statement 1 ("HiddenFromStrangers") of the bucket policy of arn:aws:s3:::bucket denies s3:GetObject'
    )
    (line,) = await told(front, signed("GET", "/bucket/key"))
    assert (line["principal"], line["statement"]) == (ROOT, 1)


async def test_strangers_and_nobody(front: Front) -> None:
    (line,) = await told(front, signed("GET", "/bucket/key", access_key=FOREIGN_KEY))
    assert (line["principal"], line["reason"]) == (FOREIGN, "the resource is another account's, which does not allow it")
    (line,) = await told(front, anonymous("GET", "/bucket/key"))
    assert line["principal"] == "anonymous"
    assert line["reason"] == "nobody signed the request, and no resource-based policy lets everybody in"


async def test_what_no_policy_had_a_part_in(front: Front) -> None:
    headers = {"x-amz-expected-bucket-owner": OTHER}
    (line,) = await told(front, signed("GET", "/bucket/key", headers))
    assert line == {
        "operation": "GetObject",
        "principal": ROOT,
        "reason": f"the bucket belongs to account {ACCOUNT}, and {OTHER} was expected",
    }


async def test_one_request_cannot_fill_the_log(front: Front) -> None:
    give(front, identity(says("Deny", "s3:DeleteObject", "*")))
    body = b"<Delete>" + b"<Object><Key>k</Key></Object>" * 50 + b"</Delete>"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    seen = 0

    async def each(call: Call) -> Answer:
        nonlocal seen
        for one in call.input["Delete"]["Objects"]:
            with pytest.raises(ApiError):
                await call.allow("s3:DeleteObject", f"arn:aws:s3:::bucket/{one['Key']}")
            seen += 1
        return Answer({})

    found = front.gate._register.find("s3", "DeleteObjects")
    assert found is not None
    front.gate._register._operations["s3", "DeleteObjects"] = replace(found, run=each)
    lines = await told(front, signed("POST", "/bucket?delete=", {"Content-MD5": md5}, body, access_key=USER_KEY), 200)
    assert (seen, len(lines), lines[-1]["reason"]) == (50, 21, "and 30 more of the same request")
    assert {line["statement"] for line in lines[:-1]} == {1}


async def test_what_succeeds_leaves_no_line(front: Front) -> None:
    with capture_logs() as logs:
        assert (await front.ask(signed("PUT", "/bucket/key", body=b"x"))).status == 200
        assert (await front.ask(signed("GET", "/bucket/nothing"))).status == 404
    assert logs == []


def flood(log: DenialLog, principal: str, count: int) -> list[str]:
    """The ids of those requests that leave a line."""
    with capture_logs() as logs:
        for number in range(count):
            log.tell([], "no", str(number), "GetObject", principal)
    return [line["request_id"] for line in logs]


async def test_a_flood_leaves_so_many_lines_a_second_and_hides_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial_log, "_SECOND", 0.05)
    log = DenialLog()
    assert flood(log, "", 50) == [str(number) for number in range(ANONYMOUS_MOST)]
    assert flood(log, USER, 103) == [str(number) for number in range(PRINCIPAL_MOST)]
    assert flood(log, FOREIGN, 1) == ["0"]
    with capture_logs() as logs:
        await asyncio.sleep(0.08)
    summed = {line["principal"]: line["requests"] for line in logs}
    assert summed == {"anonymous": 50 - ANONYMOUS_MOST, USER: 3}
    assert {line["event"] for line in logs} == {"denied"}
    assert flood(log, "", 1) == ["0"]  # another second


async def test_a_flood_in_many_names_is_summed_up_in_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denial_log, "_SECOND", 0.05)
    monkeypatch.setattr(denial_log, "_PRINCIPALS_MOST", 30)
    monkeypatch.setattr(denial_log, "PRINCIPAL_MOST", 1)
    log = DenialLog()
    for _ in range(2):
        for number in range(40):
            flood(log, f"arn:{number}", 1)
    with capture_logs() as logs:
        await asyncio.sleep(0.08)
    assert len(logs) == 21
    assert sum(line["requests"] for line in logs) == 80 - 31
