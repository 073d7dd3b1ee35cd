"""Ceilings of a worker: who is refused, in which words, and that nothing stays counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from strongroom.edge.gate import EdgeSettings
from strongroom.edge.head import Reply
from strongroom.edge.limits import INLINE_MOST, SEND_HELD, STREAM_HELD
from strongroom.edge.load import Ceilings, Load, Overloaded, until_sent
from strongroom.edge.turns import MOVING, Mover
from tests.edge.tiny import FOREIGN_KEY, Asked, signed, tiny_gate


class Slow:
    """A body that arrives when ``come`` is set."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked = asyncio.Event()
        self.come = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield await self.whole()

    async def whole(self) -> bytes:
        self.asked.set()
        await self.come.wait()
        return self.data


class Worker:
    def __init__(self, **ceilings: int) -> None:
        self.gate, self.room = tiny_gate(settings=EdgeSettings(ceilings=Ceilings(**ceilings)))
        self.refused: list[str] = []
        self.gate.load.tell = self.refused.append
        self._under_way: list[tuple[asyncio.Task[Reply], Slow]] = []

    async def begin(self, asked: Asked, client: str = "127.0.0.1") -> None:
        """Send a request whose body does not come yet."""
        body = Slow(asked.body)
        task = asyncio.create_task(self.gate.handle(replace(asked.head(), client_ip=client), body))
        await body.asked.wait()
        self._under_way.append((task, body))

    async def end(self) -> list[int]:
        for _, body in self._under_way:
            body.come.set()
        replies = [await task for task, _ in self._under_way]
        self._under_way.clear()
        return [reply.status for reply in replies]

    async def ask(self, asked: Asked, client: str = "127.0.0.1") -> tuple[int, bytes]:
        body = Slow(asked.body)
        body.come.set()
        reply = await self.gate.handle(replace(asked.head(), client_ip=client), body)
        assert isinstance(reply.body, bytes)
        return reply.status, reply.body

    @property
    def in_hand(self) -> tuple[int, int, int, int]:
        load = self.gate.load
        return load.requests, load.callers, load.unproven, load.body_bytes


def put(key: str, size: int = 3, **more: Any) -> Asked:
    return signed("PUT", f"/bucket/{key}", body=b"x" * size, **more)


def identity(**more: Any) -> Asked:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return signed("POST", "/", form, b"Action=GetCallerIdentity&Version=2011-06-15", service="sts", **more)


def key_call() -> Asked:
    headers = {"x-amz-target": "TrentService.DescribeKey", "content-type": "application/x-amz-json-1.1"}
    return signed("POST", "/", headers, b'{"KeyId":"abc"}', service="kms")


async def test_a_full_worker_refuses_before_it_looks_who_asks() -> None:
    worker = Worker(requests=1)
    await worker.begin(put("first"))
    for asked, status, code in (
        (put("second"), 503, b"<Code>SlowDown</Code>"),
        (put("second", secret="wrong"), 503, b"<Code>SlowDown</Code>"),
        (key_call(), 400, b'"ThrottlingException"'),
        (identity(), 400, b"<Code>Throttling</Code>"),
    ):
        got, body = await worker.ask(asked)
        assert got == status
        assert code in body
    assert worker.refused == ["worker"] * 4
    assert await worker.end() == [200]
    assert list(worker.room.objects) == ["first"]
    assert (await worker.ask(put("second")))[0] == 200
    assert worker.in_hand == (0, 0, 0, 0)


async def test_one_caller_has_its_share_and_another_goes_on() -> None:
    worker = Worker(requests=10, caller_requests=2)
    await worker.begin(put("first"))
    await worker.begin(put("second"))
    status, body = await worker.ask(put("third"))
    assert status == 503
    assert b"Please reduce your request rate." in body
    assert (await worker.ask(signed("GET", "/other/none", access_key=FOREIGN_KEY)))[0] == 404
    assert worker.refused == ["caller"]
    assert await worker.end() == [200, 200]
    assert "third" not in worker.room.objects
    assert worker.in_hand == (0, 0, 0, 0)


async def test_whose_signature_is_wrong_takes_nobody_elses_share() -> None:
    worker = Worker(caller_requests=1)
    await worker.begin(put("first"))
    status, body = await worker.ask(put("second", secret="wrong"))
    assert status == 403
    assert b"SignatureDoesNotMatch" in body
    assert await worker.end() == [200]
    assert (await worker.ask(put("second")))[0] == 200


async def test_bodies_read_before_their_signature_count_by_address() -> None:
    worker = Worker(requests=8, caller_requests=2)
    for _ in range(2):
        await worker.begin(identity(secret="wrong"), "192.0.2.1")
    assert (await worker.ask(identity(), "192.0.2.1"))[0] == 400
    assert (await worker.ask(identity(), "192.0.2.2"))[0] == 200
    assert (await worker.ask(put("object"), "192.0.2.1"))[0] == 200  # S3 looks at the signature first: another share
    assert worker.refused == ["caller"]
    assert await worker.end() == [403, 403]
    assert worker.in_hand == (0, 0, 0, 0)


async def test_all_who_have_proved_nothing_have_half_a_worker() -> None:
    worker = Worker(requests=4)
    for address in ("192.0.2.1", "192.0.2.2"):
        await worker.begin(identity(secret="wrong"), address)
    assert (await worker.ask(identity(), "192.0.2.3"))[0] == 400
    assert (await worker.ask(put("object"), "192.0.2.3"))[0] == 200
    assert worker.refused == ["unproven"]
    assert await worker.end() == [403, 403]
    assert worker.in_hand == (0, 0, 0, 0)


async def test_a_caller_takes_half_the_memory_for_bodies_and_all_take_no_more_than_there_is() -> None:
    worker = Worker(body_bytes=2 * STREAM_HELD)
    size = STREAM_HELD + 1
    await worker.begin(put("first", size))
    assert worker.in_hand[3] == STREAM_HELD
    assert (await worker.ask(put("second", INLINE_MOST + 1)))[0] == 503
    assert (await worker.ask(put("short", INLINE_MOST)))[0] == 200
    assert worker.refused == ["caller-bodies"]
    form = signed("PUT", "/other/object", body=b"x" * size, access_key=FOREIGN_KEY)
    await worker.begin(form)
    assert (await worker.ask(put("third", INLINE_MOST + 1)))[0] == 503
    assert worker.refused[1:] == ["bodies"]
    assert await worker.end() == [200, 200]
    assert set(worker.room.objects) == {"first", "short", "object"}
    assert worker.in_hand == (0, 0, 0, 0)


async def test_streamed_answers_take_of_the_memory_for_bodies_until_they_were_sent() -> None:
    worker = Worker(body_bytes=2 * SEND_HELD + 20)
    worker.room.objects |= {"stream": b"s" * 10, "stream-long": bytes(SEND_HELD + 1)}
    long, short = signed("GET", "/bucket/stream-long"), signed("GET", "/bucket/stream")
    sending = await worker.gate.handle(long.head(), Slow(b""))
    assert worker.in_hand[3] == SEND_HELD
    status, body = await worker.ask(long)
    assert status == 503
    assert b"SlowDown" in body
    assert worker.refused == ["caller-bodies"]
    other = await worker.gate.handle(short.head(), Slow(b""))
    assert worker.in_hand[3] == SEND_HELD + 10  # no more than it is long
    assert not isinstance(sending.body, bytes)
    assert len(b"".join([piece async for piece in sending.body])) == SEND_HELD + 1
    assert worker.in_hand == (1, 1, 0, 10)
    del other
    assert worker.in_hand == (0, 0, 0, 0)


async def test_a_streamed_answer_is_in_hand_until_it_was_sent() -> None:
    worker = Worker(caller_requests=1)
    worker.room.objects |= {"stream": b"s" * 10, "stream-fails": b"f" * 10}
    get = signed("GET", "/bucket/stream").head()
    reply = await worker.gate.handle(get, Slow(b""))
    assert (await worker.ask(signed("GET", "/bucket/stream")))[0] == 503
    assert not isinstance(reply.body, bytes)
    assert b"".join([piece async for piece in reply.body]) == b"s" * 10
    assert worker.in_hand == (0, 0, 0, 0)
    failing = await worker.gate.handle(signed("GET", "/bucket/stream-fails").head(), Slow(b""))
    assert not isinstance(failing.body, bytes)
    with pytest.raises(OSError, match="disk"):
        _ = [piece async for piece in failing.body]
    assert worker.in_hand == (0, 0, 0, 0)


async def test_an_answer_that_nobody_takes_and_a_cancelled_request_leave_nothing_behind() -> None:
    worker = Worker()
    worker.room.objects["stream"] = b"s" * 10
    reply = await worker.gate.handle(signed("GET", "/bucket/stream").head(), Slow(b""))
    assert worker.in_hand[0] == 1
    del reply
    assert worker.in_hand == (0, 0, 0, 0)
    body = Slow(b"")
    task = asyncio.create_task(worker.gate.handle(put("never").head(), body))
    await body.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    assert worker.in_hand == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # one subscriber's network
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "no address: a socket of the machine", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, *, same: bool) -> None:
    load = Load(Ceilings())
    tickets = [load.enter(), load.enter()]
    tickets[0].proven("", one)
    tickets[1].proven("", other)
    assert load.callers == (1 if same else 2)


def test_an_address_is_never_an_access_key() -> None:
    load = Load(Ceilings(caller_requests=1))
    first, second = load.enter(), load.enter()
    first.proven("192.0.2.1", "")
    second.proven("", "192.0.2.1")
    third = load.enter()
    with pytest.raises(Overloaded, match="caller"):
        third.proven("192.0.2.1", "")


def test_a_ticket_is_given_back_once() -> None:
    load = Load(Ceilings())
    ticket = load.enter()
    until_sent(Reply(200), ticket)
    ticket.release()
    ticket.proven("AKIA", "")
    assert (load.requests, load.callers) == (0, 0)


async def test_only_who_proved_nothing_or_asked_too_much_counts_as_refused() -> None:
    worker = Worker(caller_requests=1)

    async def refused(asked: Asked) -> tuple[int, bool]:
        reply = await worker.gate.handle(asked.head(), Slow(b""))
        return reply.status, reply.refused

    assert await refused(put("wrong", 0, secret="wrong")) == (403, True)
    assert await refused(Asked("GET", "/bucket/key", {"host": "127.0.0.1:9000"}, b"")) == (403, True)
    assert await refused(signed("GET", "/bucket/key", access_key=FOREIGN_KEY)) == (403, False)
    assert await refused(signed("GET", "/bucket/none")) == (404, False)
    await worker.begin(put("held"))
    assert await refused(signed("GET", "/bucket/none")) == (503, True)
    await worker.end()


async def test_requests_without_a_long_body_count_as_company_of_those_that_have_one() -> None:
    worker = Worker()
    turns = worker.gate.load.turns
    worker.room.objects["stream"] = b"s" * 10
    assert (await worker.ask(put("long", INLINE_MOST + 1)))[0] == 200
    reply = await worker.gate.handle(signed("GET", "/bucket/stream").head(), Slow(b""))
    assert not isinstance(reply.body, bytes)
    assert [piece async for piece in reply.body] == [b"sssss"] * 2
    assert (await worker.ask(put("wrong", secret="wrong")))[0] == 403
    assert turns.short == 0
    assert (await worker.ask(put("short")))[0] == 200
    assert (await worker.ask(signed("GET", "/bucket/short")))[0] == 200
    assert (turns.short, turns.moving, turns.waiting) == (2, 0, 0)


async def test_uploads_and_downloads_wait_for_their_turn() -> None:
    worker = Worker()
    turns, other = worker.gate.load.turns, Mover("other")
    worker.room.objects["stream"] = b"s" * 10
    began = [await turns.take(other) for _ in range(MOVING)]
    upload = asyncio.create_task(worker.ask(put("long", INLINE_MOST + 1)))
    reply = await worker.gate.handle(signed("GET", "/bucket/stream").head(), Slow(b""))
    assert not isinstance(reply.body, bytes)
    download = asyncio.ensure_future(anext(aiter(reply.body)))
    await asyncio.sleep(0.01)
    assert turns.waiting == 2
    assert (await worker.ask(put("short")))[0] == 200  # it needs none
    assert not upload.done()
    assert not download.done()
    for each in began:
        turns.give(other, each, 0)
    assert (await upload)[0] == 200
    assert await download == b"sssss"


def refuse(load: Load, address: str, now: float, *, key: str = "", overloaded: bool = False) -> float:
    ticket = load.enter()
    ticket.proven(key, address)
    ticket.release()
    return load.held_back(ticket, address, now, overloaded=overloaded)


def test_a_flood_of_refusals_is_told_evenly_and_another_address_at_once() -> None:
    load = Load(Ceilings(refusals=10))
    waits = [refuse(load, "192.0.2.1", 100.0) for _ in range(70)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:13] == pytest.approx([0.1, 0.2, 0.3])
    assert waits[-1] == 5.0  # never longer
    assert refuse(load, "192.0.2.2", 100.0) == 0.0
    assert 5.0 < load.held_back(None, "192.0.2.1", 100.0, overloaded=True) <= 20.0
    assert refuse(load, "192.0.2.1", 110.0) == 0.0  # it has been quiet


def test_a_callers_own_errors_are_told_at_once_but_not_what_was_too_much() -> None:
    load = Load(Ceilings(refusals=1))
    assert [refuse(load, "192.0.2.1", 100.0, key="AKIA") for _ in range(5)] == [0.0] * 5
    assert [refuse(load, "192.0.2.1", 100.0, key="AKIA", overloaded=True) for _ in range(7)] == [0, 4, 8, 12, 16, 20, 20]
    assert refuse(load, "192.0.2.1", 100.0) == 0.0  # its address has done nothing


def test_no_rate_of_refusals_holds_nothing_back() -> None:
    load = Load(Ceilings(refusals=0))
    assert [refuse(load, "192.0.2.1", 100.0) for _ in range(500)] == [0.0] * 500


async def test_a_wrong_signature_in_a_flood_waits_and_holds_nothing_meanwhile() -> None:
    worker = Worker(refusals=10)
    for _ in range(10):
        assert (await worker.ask(put("object", secret="wrong")))[0] == 403
    late = asyncio.create_task(worker.ask(put("object", secret="wrong")))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert not late.done()
    assert worker.in_hand == (0, 0, 0, 0)
    assert (await worker.ask(put("object")))[0] == 200
    assert (await late)[0] == 403
