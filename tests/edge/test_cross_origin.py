"""CORS headers on actual answers: wherever the answer came from, and only for a request with an Origin."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from strongroom.edge.gate import EdgeSettings
from strongroom.policy.cross_origin import VARY, CorsRule
from strongroom.store.contract import Unavailable
from tests.edge import tiny
from tests.edge.test_gate import Front, anonymous
from tests.edge.tiny import ACCOUNT, TinyPlace, signed

PAGE = "https://www.example.com"
RULES = (CorsRule((PAGE,), ("GET", "PUT", "POST"), (), ("ETag",), 5),)
TOLD = {
    "access-control-allow-origin": PAGE,
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, PUT, POST",
    "access-control-expose-headers": "ETag",
    "access-control-max-age": "5",
    VARY[0]: VARY[1],
}


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Front:
    monkeypatch.setitem(tiny.PLACES, "shared", TinyPlace(ACCOUNT, "eu-west-1", RULES))
    front = Front(settings=EdgeSettings(domains=("s3.test",)))
    front.room.objects |= {"key": b"x", "stream": b"0123456789"}
    return front


def told(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-") or name == "vary"}


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/shared/key", 200), ("GET", "/shared/stream", 200), ("GET", "/shared/none", 404), ("PUT", "/shared/new", 200)],
)
async def test_an_answer_says_who_may_see_it(front: Front, method: str, target: str, status: int) -> None:
    got = await front.ask(signed(method, target, {"Origin": PAGE}))
    assert (got.status, told(got.headers)) == (status, TOLD)
    assert told((await front.ask(signed(method, target))).headers) == {}
    other = await front.ask(signed(method, target, {"Origin": "https://elsewhere.test"}))
    assert (other.status, told(other.headers)) == (status, {VARY[0]: VARY[1]})  # nothing is refused: a browser decides


async def test_refusals_from_every_step_say_it_too(front: Front) -> None:
    asked = [
        (400, anonymous("GET", "/shared/key", Origin=PAGE, Authorization="AWS4-HMAC-SHA256 nonsense")),
        (403, signed("GET", "/shared/key", {"Origin": PAGE}, secret="wrong")),
        (403, anonymous("GET", "/shared/key", Origin=PAGE)),
        (400, anonymous("GET", "/shared/%zz", Origin=PAGE)),
        (412, anonymous("POST", "/shared", b"x", Origin=PAGE)),  # a form that is none
        (501, signed("GET", "/shared?website=", {"Origin": PAGE})),
        (500, signed("GET", "/shared/boom", {"Origin": PAGE})),
    ]
    for status, each in asked:
        with capture_logs():
            got = await front.ask(each)
        assert (got.status, told(got.headers)) == (status, TOLD), each


async def test_a_bucket_that_the_host_names(front: Front) -> None:
    got = await front.ask(anonymous("GET", "/key", Host="shared.s3.test:9000", Origin=PAGE))
    assert (got.status, told(got.headers)) == (403, TOLD)


async def test_nothing_is_said_where_there_is_no_cors(front: Front) -> None:
    head = {"Origin": PAGE}
    for asked in (signed("GET", "/bucket/key", head), signed("GET", "/none/key", head), signed("GET", "/", head)):
        assert told((await front.ask(asked)).headers) == {}
    got = await front.ask(signed("POST", "/", {**head, "X-Amz-Target": "TrentService.DescribeKey"}, b"{}", service="kms"))
    assert told(got.headers) == {}
    assert told((await front.ask(signed("HEAD", "/shared/key", head))).headers) == {VARY[0]: VARY[1]}  # HEAD is not GET


async def test_a_store_that_cannot_be_read_gives_its_own_answer(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(name: str) -> Any:
        raise Unavailable("locked")

    monkeypatch.setattr(front.gate, "_place", gone)
    with capture_logs():
        got = await front.ask(signed("GET", "/shared/key", {"Origin": PAGE}))
    assert (got.status, told(got.headers)) == (503, {})
