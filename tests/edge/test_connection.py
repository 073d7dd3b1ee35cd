"""Connections over real sockets, before handlers made for the case: limits, order, and how connections end."""

from __future__ import annotations

import asyncio
import socket
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from strongroom.edge.answering import WRITE_AHEAD
from strongroom.edge.arriving import READ_AHEAD
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.limits import DRAIN_MOST, LONG_DRAINS
from strongroom.startup import tls
from tests.edge.speaking import GET, Client, fine, serving

READ_AT_ONCE = 256_000  # bytes, by the loop


async def refuse(_head: Head, _raw: RawBody) -> Reply:
    return Reply(400, [], b"no")


# --------------------------------------------------------------------------------------------------------- what is no request


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nx-amz-meta-a: \xc3\xa9\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: -3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        b"PUT / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(sent: bytes) -> None:
    asked: list[bytes] = []

    async def taking(_head: Head, raw: RawBody) -> Reply:
        asked.append(await raw.whole())
        return Reply(200, [], b"")

    async with serving(taking) as (connect, _):
        client = await connect()
        await client.send(sent + GET)
        status, headers, body = await client.answer()
        assert (status, headers["connection"], headers["content-type"]) == (400, "close", "application/xml")
        assert b"<Code>BadRequest</Code>" in body
        assert await client.is_ended()
    assert asked == []


@pytest.mark.parametrize("coding", ["identity", "xchunked", "gzip"])
async def test_codings_that_are_not_known(coding: str) -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        await client.send(f"DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n".encode() + b"0\r\n\r\n" + GET)
        status, headers, body = await client.answer()
        assert (status, headers["connection"]) == (501, "close")
        assert b"<Code>NotImplemented</Code>" in body
        assert await client.is_ended()


@pytest.mark.parametrize("chunk", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n", b"-1\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\nabc"])
async def test_broken_chunks_cut_the_body_short(chunk: bytes) -> None:
    got: list[bytes] = []

    async def taking(_head: Head, raw: RawBody) -> Reply:
        got.extend([part async for part in raw])
        return Reply(200, [], b"taken")

    async with serving(taking) as (connect, _):
        client = await connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n" + GET)
        status, headers, _ = await client.answer()  # whoever reads must count: see ``RawBody``
        assert (status, headers["connection"]) == (200, "close")
        assert await client.is_ended()
    assert len(b"".join(got)) <= 3


async def test_chunks_and_their_trailers_are_read() -> None:
    async def taking(_head: Head, raw: RawBody) -> Reply:
        return Reply(200, [], await raw.whole())

    async with serving(taking) as (connect, _):
        client = await connect()
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n" + head + b"1\r\nf\r\n0\r\n\r\n")
        assert [(await client.answer())[2] for _ in range(2)] == [b"abcde", b"f"]


async def test_heads_without_measure_are_refused() -> None:
    async with serving(fine) as (connect, _):
        for lines in (b"a: b\r\n" * 501, b"a: %s\r\n" % (b"x" * 600_000)):
            client = await connect()
            await client.send(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
            status, _, body = await client.answer()
            assert status == 431
            assert b"<Code>RequestHeaderSectionTooLarge</Code>" in body
            assert await client.is_ended()
        client = await connect()
        await client.send(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n")
        assert (await client.answer())[0] == 200


async def test_more_requests_than_may_wait() -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        await client.send(GET * 80)
        assert [(await client.answer())[0] for _ in range(66)] == [200] * 65 + [400]
        assert await client.is_ended()


# ------------------------------------------------------------------------------------------------------- versions and forms


async def test_whether_a_connection_lives_on_is_told() -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        await client.send(GET)
        assert "connection" not in (await client.answer())[1]
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "keep-alive"
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_ended()
        client = await connect()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_ended()


async def test_no_other_protocol_is_spoken() -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        await client.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + upgrade + b"\r\n" + GET)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.is_ended()
        client = await connect()
        await client.send(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_ended()


async def test_targets() -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        for target, path, query in (
            ("/a/b?c=d%20e", "/a/b", "c=d%20e"),
            ("http://bucket.localhost:9000/k?x", "/k", "x"),
            ("HTTP://h", "/", ""),
            ("/%E2%82%AC//../x", None, ""),
        ):
            await client.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            status, headers, _ = await client.answer()
            if path is None:  # the header of this handler's answer cannot say it in ASCII, and is sent as it is
                assert headers["x-path"].encode("utf-8") == "/€//../x".encode()
            else:
                assert (status, headers["x-path"], headers["x-query"]) == (200, path, query)


async def test_a_half_closed_connection_is_answered() -> None:
    async with serving(fine) as (connect, _):
        client = await connect()
        client.writer.write(GET + GET)
        client.writer.write_eof()
        assert [(await client.answer())[2] for _ in range(2)] == [b"fine", b"fine"]
        assert await client.is_ended()


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nx: y", "a\rb", "a\0b"])
async def test_an_answer_with_a_line_break_in_a_header_is_an_error(value: str) -> None:
    async def breaking(_head: Head, _raw: RawBody) -> Reply:
        return Reply(200, [("x-value", value)], b"secret")

    async with serving(breaking) as (connect, _):
        client = await connect()
        await client.send(GET)
        status, headers, body = await client.answer()
        assert (status, headers.get("x"), headers["connection"]) == (500, None, "close")
        assert b"<Code>InternalError</Code>" in body
        assert b"secret" not in body


async def test_lengths_that_an_answer_does_not_say() -> None:
    async def short(head: Head, _raw: RawBody) -> Reply:
        status = int(head.path[1:])
        return Reply(status, [], b"" if head.method == "HEAD" or status in {204, 304} else b"body")

    async with serving(short) as (connect, _):
        client = await connect()
        for method, status, length in (("GET", 200, "4"), ("HEAD", 200, None), ("GET", 204, None), ("GET", 304, None)):
            await client.send(f"{method} /{status} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            answered, headers, _ = await client.answer()
            assert (answered, headers.get("content-length")) == (status, length)


# -------------------------------------------------------------------------------------------------------------- long bodies


@pytest.mark.parametrize("size", [65_536, 65_537, 200_000, 3_000_000])
async def test_what_follows_a_long_body_is_the_next_request(size: int) -> None:
    async def taking(_head: Head, raw: RawBody) -> Reply:
        return Reply(200, [], str(sum([len(part) async for part in raw])).encode())

    async with serving(taking) as (connect, _):
        client = await connect()
        asked = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + GET[:1] * size
        await client.send(asked + GET + asked + asked + GET)
        found = [int((await client.answer())[2]) for _ in range(5)]
        assert found == [size, 0, size, size, 0]


async def test_a_body_that_nobody_reads_holds_its_client_up() -> None:
    begun, go, seen = asyncio.Event(), asyncio.Event(), list[Any]()

    async def waiting(_head: Head, raw: RawBody) -> Reply:
        seen.append(raw)
        begun.set()
        await go.wait()
        return Reply(200, [], str(sum([len(part) async for part in raw])).encode())

    async with serving(waiting) as (connect, _):
        client = await connect()
        size = 40 << 20  # more than the system keeps on the way
        sending = asyncio.create_task(
            client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        )
        await asyncio.wait_for(begun.wait(), 10)
        await asyncio.sleep(0.3)  # enough for far more
        assert seen[0].received > READ_AHEAD
        assert seen[0].received <= READ_AHEAD + 2 * READ_AT_ONCE
        go.set()
        assert (await client.answer())[2] == b"%d" % size
        await sending


class Answer:
    """Pieces without end, of an answer whose length is so many of them."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.made = 0
        self.ended = asyncio.Event()

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        self.made += 1
        return bytes(1 << 20)

    async def aclose(self) -> None:
        self.ended.set()


async def test_an_answer_that_nobody_takes_is_not_made() -> None:
    answer = Answer(64)

    async def sending(_head: Head, _raw: RawBody) -> Reply:
        return Reply(200, [("content-length", str(64 << 20))], answer, 64 << 20)

    async with serving(sending) as (connect, _):
        client = await connect()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await asyncio.sleep(0.3)  # enough for all of it
        # What the system keeps on the way, and what waits here.
        assert 0 < answer.made < 24 + (WRITE_AHEAD >> 20)
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.answer())[2]) == 64 << 20
        assert answer.ended.is_set()


async def test_an_answer_whose_client_has_gone_is_given_up() -> None:
    answer = Answer(1 << 20)

    async def sending(_head: Head, _raw: RawBody) -> Reply:
        return Reply(200, [("content-length", str(1 << 40))], answer, 1 << 40)

    async with serving(sending) as (connect, _):
        client = await connect()
        await client.send(GET)
        await client.reader.readexactly(1 << 20)
        client.writer.transport.abort()
        await asyncio.wait_for(answer.ended.wait(), 10)


# ------------------------------------------------------------------------------------------------------- refused, and how often


async def hears_out(client: Client, size: int) -> bool:
    """Whether the rest of a refused body is received: then the connection goes on."""
    try:
        await client.send(bytes(size))
        await client.send(GET)
        return (await client.answer())[0] == 400
    except (OSError, asyncio.IncompleteReadError):
        return False


async def test_few_long_refused_bodies_are_received_at_a_time_and_all_are_answered() -> None:
    async with serving(refuse) as (connect, _):
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nx" % (DRAIN_MOST + 1)
        clients = [await connect() for _ in range(LONG_DRAINS + 3)]
        for client in clients:
            await client.send(head.replace(b"PUT /", b"PUT /"))
            assert (await client.answer())[0] == 400
        for client in clients[LONG_DRAINS:]:
            assert await client.is_ended()
        for client in clients[:LONG_DRAINS]:
            assert await hears_out(client, DRAIN_MOST)


async def test_short_refused_bodies_are_always_received_so_that_their_connections_live() -> None:
    async with serving(refuse) as (connect, _):
        clients = [await connect() for _ in range(LONG_DRAINS + 3)]
        for client in clients:
            await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % DRAIN_MOST)
            assert (await client.answer())[0] == 400
        for client in clients:
            assert await hears_out(client, DRAIN_MOST)


class Answers:
    """Answers of a gate: refused, or not."""

    def __init__(self) -> None:
        self.refused = True

    async def handle(self, _head: Head, _raw: RawBody) -> Reply:
        return Reply(403, [], b"no", refused=True) if self.refused else Reply(403, [], b"no rights")


async def closes(client: Client) -> bool:
    await client.send(GET)
    return (await client.answer())[1].get("connection") == "close"


async def test_so_many_refusals_in_a_row_end_a_connection() -> None:
    answers = Answers()
    async with serving(answers.handle, refusals=3) as (connect, _):
        one, two = await connect(), await connect()
        assert [await closes(one) for _ in range(3)] == [False, False, True]
        assert await one.is_ended()
        assert not await closes(two)
        answers.refused = False
        assert not await closes(two)  # who it is was proved: the row is over
        answers.refused = True
        assert [await closes(two) for _ in range(3)] == [False, False, True]


async def test_no_number_of_refusals_ends_a_connection_where_none_is_set() -> None:
    async with serving(Answers().handle, refusals=0) as (connect, _):
        client = await connect()
        assert not any([await closes(client) for _ in range(100)])


# --------------------------------------------------------------------------------------------------- how many, and how long


async def test_beyond_the_connections_that_may_be_open_others_wait() -> None:
    async with serving(fine, connections=3, rest=60.0) as (connect, _):
        first = [await connect() for _ in range(3)]
        for client in first:
            await client.send(GET)
            assert (await client.answer())[0] == 200
        late = await connect()  # taken by the system alone
        await late.send(GET)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await late.answer()
        first[0].writer.close()
        assert (await late.answer())[2] == b"fine"


async def test_a_connection_that_rests_is_ended_and_one_that_waits_for_its_answer_is_not() -> None:
    async def slow(_head: Head, _raw: RawBody) -> Reply:
        await asyncio.sleep(1.2)
        return Reply(200, [], b"late")

    async with serving(slow, rest=0.5) as (connect, _):
        idle, half, asking = await connect(), await connect(), await connect()
        await half.send(GET[:-2])
        await asking.send(GET)
        assert await idle.is_ended()
        assert await half.is_ended()
        assert (await asking.answer())[2] == b"late"


async def test_a_handshake_that_does_not_come_is_ended(tmp_path: Path) -> None:
    certificate, _ = tls.self_signed(tmp_path, "127.0.0.1", (), datetime.now(UTC))
    async with serving(fine, certificate.context(), rest=0.5) as (connect, _):
        assert await (await connect()).is_ended()


async def test_a_stop_waits_for_what_was_asked_by_who_has_gone() -> None:
    """Else the rooms would be closed while somebody works in them."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_head: Head, _raw: RawBody) -> Reply:
        begun.set()
        await go.wait()
        return Reply(200, [], b"late")

    async with serving(slow) as (connect, listener):
        client = await connect()
        await client.send(GET)
        await begun.wait()
        reset = struct.pack("ii", 1, 0)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.writer.transport.abort()
        async with asyncio.timeout(10):
            await listener._gone.wait()
        stopping = asyncio.create_task(listener.stop())
        await asyncio.wait({stopping}, timeout=0.05)
        assert not stopping.done()
        go.set()
        await asyncio.wait_for(stopping, 10)


async def test_a_stop_ends_what_rests_and_waits_for_what_is_asked() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_head: Head, raw: RawBody) -> Reply:
        begun.set()
        await go.wait()
        return Reply(200, [], await raw.whole())

    async with serving(slow) as (connect, listener):
        idle, asking = await connect(), await connect()
        await asking.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
        await begun.wait()
        stopping = asyncio.create_task(listener.stop())
        assert await idle.is_ended()
        assert not stopping.done()
        await asking.send(b"cd")
        go.set()
        status, headers, body = await asking.answer()
        assert (status, headers["connection"], body) == (200, "close", b"abcd")
        await asyncio.wait_for(stopping, 10)
