"""Clients that mean harm, or are merely odd: what they send or do not take costs a bounded part of a worker, and is never misread."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from strongroom.edge import listener as listening
from strongroom.edge.arriving import READ_AHEAD
from strongroom.edge.head import Head, RawBody, Reply
from strongroom.edge.http1 import HEAD_MOST
from strongroom.edge.limits import DRAIN_MOST
from tests.edge.speaking import GET, Client, fine, serving

CHUNKED = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


class Pieces:
    """A streamed answer: so many pieces of 64 KiB, each when it may."""

    def __init__(self, count: int, may: asyncio.Event | None = None) -> None:
        self.left = count
        self.may = may
        self.ended = asyncio.Event()

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self.may is not None:
            await self.may.wait()
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return bytes(1 << 16)

    async def aclose(self) -> None:
        self.ended.set()

    def reply(self) -> Reply:
        length = self.left << 16
        return Reply(200, [("content-length", str(length))], self, length)


async def echo(_head: Head, raw: RawBody) -> Reply:
    return Reply(200, [], await raw.whole())


def takes_nothing(client: Client) -> None:
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]


def takes_all(client: Client) -> None:
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- who asks, and takes nothing


async def test_no_more_is_asked_for_than_is_taken() -> None:
    """Short answers, too, wait for their client: else many of them would fill the memory."""
    asked = 0

    async def large(_head: Head, _raw: RawBody) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(200, [], bytes(1 << 20))

    async with serving(large) as (connect, _):
        client = await connect()
        takes_nothing(client)
        for _ in range(4):
            await client.send(GET * 10)
            await asyncio.sleep(0.1)  # enough for all of them
        assert 0 < asked < 24  # 40 would be, beyond what the system keeps on the way
        takes_all(client)
        for _ in range(40):
            assert len((await client.answer())[2]) == 1 << 20


@pytest.mark.parametrize("streamed", [True, False])
async def test_who_takes_nothing_for_long_is_cut_off(monkeypatch: pytest.MonkeyPatch, streamed: bool) -> None:
    monkeypatch.setattr(listening, "TAKING_MOST", 0.3)
    pieces = Pieces(1 << 10)

    async def sending(_head: Head, _raw: RawBody) -> Reply:
        return pieces.reply() if streamed else Reply(200, [], bytes(64 << 20))

    async with serving(sending, rest=0.5) as (connect, _):
        client = await connect()
        takes_nothing(client)
        await client.send(GET)
        await asyncio.sleep(0.8)
        takes_all(client)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.answer()
        if streamed:
            await asyncio.wait_for(pieces.ended.wait(), 10)


async def test_who_takes_a_little_again_and_again_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "TAKING_MOST", 0.5)

    async def sending(_head: Head, _raw: RawBody) -> Reply:
        return Pieces(1 << 8).reply()

    async with serving(sending, rest=0.5) as (connect, _):
        client = await connect()
        await client.send(GET)
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(8):  # longer in all than one may take nothing
            takes_nothing(client)
            await asyncio.sleep(0.12)
            takes_all(client)
            await client.reader.readexactly(1 << 20)
        await client.reader.readexactly((1 << 24) - (8 << 20))


# ---------------------------------------------------------------------------------------------------------- what comes in chunks


@pytest.mark.parametrize("sent", [b"0\r\nX-Trailer: ", b"5;extension="], ids=["trailer", "extension"])
async def test_words_without_end_among_chunks(sent: bytes) -> None:
    over = asyncio.Event()

    async def taking(_head: Head, raw: RawBody) -> Reply:
        assert await raw.whole() == b""
        over.set()
        return Reply(200, [], b"")

    async with serving(taking) as (connect, _):
        client = await connect()
        with suppress(ConnectionError):
            await client.send(CHUNKED + sent)
            for _ in range(4):
                await client.send(b"x" * HEAD_MOST)
        await asyncio.wait_for(over.wait(), 10)
        with suppress(ConnectionError):
            status, headers, _ = await client.answer()
            assert (status, headers["connection"]) == (200, "close")  # whoever reads must count: see ``RawBody``
        assert await client.is_ended()


async def test_many_words_among_many_chunks_are_read() -> None:
    async with serving(echo) as (connect, _):
        client = await connect()
        await client.send(CHUNKED)
        for _ in range(6):
            await client.send(b"1;extension=" + b"x" * (HEAD_MOST // 2) + b"\r\na\r\n")
        await client.send(b"0\r\n\r\n" + GET)
        assert [(await client.answer())[2] for _ in range(2)] == [b"aaaaaa", b""]


async def test_tiny_chunks_count_for_what_they_take() -> None:
    seen: list[RawBody] = []
    go = asyncio.Event()

    async def waiting(_head: Head, raw: RawBody) -> Reply:
        seen.append(raw)
        await go.wait()
        return Reply(200, [], str(len(await raw.whole())).encode())

    async with serving(waiting) as (connect, _):
        client = await connect()
        count = 1 << 17
        sending = asyncio.create_task(client.send(CHUNKED + b"2\r\nab\r\n" * count + b"0\r\n\r\n"))
        await asyncio.sleep(0.2)  # enough for most of them
        assert seen[0].received < READ_AHEAD // 2  # type: ignore[attr-defined]
        go.set()
        await sending
        assert (await client.answer())[2] == b"%d" % (2 * count)


# ------------------------------------------------------------------------------------------------- what could be read in two ways


@pytest.mark.parametrize(
    "sent",
    [
        b"PUT / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"0" * 5000 + b"3\r\n\r\nabc",
        b"GET http://user@h/k HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http:///k HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
    ids=["chunks in 1.0", "two hosts", "a host twice", "a length of zeros", "a user in the target", "no host in the target"],
)
async def test_what_is_read_differently_by_others_is_refused(sent: bytes) -> None:
    async with serving(echo) as (connect, _):
        client = await connect()
        await client.send(sent + GET)
        status, headers, body = await client.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert b"<Code>BadRequest</Code>" in body
        assert await client.is_ended()


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://bucket.h:9000/k?x", "/k", "x", "bucket.h:9000"),
        ("http://h?prefix=/bucket/k", "/", "prefix=/bucket/k", "h"),
        ("HTTPS://h", "/", "", "h"),
        ("/k?http://x/y", "/k", "http://x/y", "other"),
    ],
)
async def test_a_target_that_names_its_host(target: str, path: str, query: str, host: str) -> None:
    """RFC 9112, 3.2.2: what the target names stands in for what the header says."""
    found: list[Head] = []

    async def looking(head: Head, _raw: RawBody) -> Reply:
        found.append(head)
        return Reply(200, [], b"")

    async with serving(looking) as (connect, _):
        client = await connect()
        await client.send(f"GET {target} HTTP/1.1\r\nHost: other\r\n\r\n".encode())
        assert (await client.answer())[0] == 200
    assert [(head.path, head.query, head.headers["host"]) for head in found] == [(path, query, host)]


@pytest.mark.parametrize("size", [5, 70_000])
async def test_a_body_whose_request_offers_another_protocol_is_read(size: int) -> None:
    """As some clients offer with each request over plain HTTP."""
    async with serving(echo) as (connect, _):
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
        for first in (0, 3, size):
            client = await connect()
            await client.send(GET + head + b"Content-Length: %d\r\n\r\n" % size + b"x" * first)
            assert (await client.answer())[2] == b""
            await client.send(b"x" * (size - first) + GET)
            status, headers, body = await client.answer()
            assert (status, headers["connection"], body) == (200, "close", b"x" * size)
            assert await client.is_ended()
        client = await connect()
        await client.send(head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert (await client.answer())[0] == 501
        assert await client.is_ended()


# -------------------------------------------------------------------------------------------------------------- how things end


async def test_who_says_in_the_midst_of_an_answer_that_it_asks_no_more_is_let_go() -> None:
    may = asyncio.Event()

    async def sending(_head: Head, _raw: RawBody) -> Reply:
        return Pieces(2, may).reply()

    async with serving(sending, rest=60.0) as (connect, _):
        client = await connect()
        await client.send(GET)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write_eof()
        await asyncio.sleep(0.05)
        may.set()
        await client.reader.readexactly(2 << 16)
        assert await client.is_ended()


async def test_a_client_that_goes_is_no_error_of_the_answer() -> None:
    with socket.socket() as client:

        async def pieces() -> AsyncIterator[bytes]:
            yield b"1"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()  # at once, with a reset
            yield b"2"
            yield b"3"
            over.set()

        async def sending(_head: Head, _raw: RawBody) -> Reply:
            return Reply(200, [("content-length", "9")], pieces(), 9)

        with capture_logs() as logs:
            over = asyncio.Event()
            async with serving(sending) as (_, listener):
                client.connect(listener._listening.getsockname())
                client.send(GET)
                await asyncio.sleep(0.05)
        assert not over.is_set()
        assert logs == []


async def test_a_streamed_answer_whose_head_cannot_be_sent_is_given_up() -> None:
    pieces = Pieces(1)

    async def breaking(_head: Head, _raw: RawBody) -> Reply:
        reply = pieces.reply()
        reply.headers.append(("x-value", "a\r\nb: c"))
        return reply

    async with serving(breaking) as (connect, _):
        client = await connect()
        await client.send(GET)
        assert (await client.answer())[0] == 500
        assert await client.is_ended()
    assert pieces.ended.is_set()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("streamed", [True, False])
async def test_where_no_body_may_be_none_is_sent(method: str, status: int, streamed: bool) -> None:
    """Else it would be read as the answer to the next request."""
    made: list[Pieces] = []

    async def talkative(head: Head, _raw: RawBody) -> Reply:
        if head.path != "/":
            return Reply(200, [], b"next")
        made.append(Pieces(1))
        reply = made[0].reply() if streamed else Reply(200, [], b"body")
        reply.status = status
        return reply

    async with serving(talkative) as (connect, _):
        client = await connect()
        await client.send(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert (await client.answer())[2] == b"next"
    assert made[0].ended.is_set() or not streamed


async def test_what_breaks_while_a_request_is_taken_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Head:
        raise RuntimeError("broken")

    monkeypatch.setattr("strongroom.edge.connection.head_of", broken)
    with capture_logs() as logs:
        async with serving(fine) as (connect, _):
            client = await connect()
            await client.send(GET)
            assert (await client.answer())[0] == 400
            await client.send(b"nonsense")
            assert await client.is_ended()
    assert [str(entry["exc_info"]) for entry in logs] == ["broken"]


async def test_a_short_body_is_always_heard_out_whatever_its_length_looks_like() -> None:
    async def refuse(_head: Head, _raw: RawBody) -> Reply:
        return Reply(400, [], b"no")

    async with serving(refuse) as (connect, _):
        client = await connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: %020d\r\n\r\n" % DRAIN_MOST)
        assert (await client.answer())[0] == 400
        await client.send(bytes(DRAIN_MOST) + GET)
        assert (await client.answer())[0] == 400
