"""A listener and its connections, as clients see them: what only a real connection shows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest

from tests.edge.tiny import Asked, signed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.edge.served", str(number)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", number), 1).close()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield number
    finally:
        server.terminate()
        server.wait(20)


class Line:
    """One connection, spoken to in bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        data = self.socket.recv(1 << 16)
        self._rest += data
        return bool(data)

    def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer; its body is short when the connection ends before it does."""
        while b"\r\n\r\n" not in self._rest:
            assert self._more(), f"no answer: {self._rest!r}"
        text, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = text.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split()[1])
        length = 0 if head or status == 100 else int(headers.get("content-length", "0"))
        while len(self._rest) < length and self._more():
            pass
        body, self._rest = self._rest[:length], self._rest[length:]
        return status, headers, body

    def is_closed(self) -> bool:
        try:
            return not self._rest and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


def wire(asked: Asked, *, body: bytes | None = None, **extra: str) -> bytes:
    lines = [f"{asked.method} {asked.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**asked.headers, **extra}.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (asked.body if body is None else body)


def lives(line: Line) -> None:
    """The connection still answers the request that is asked now."""
    line.send(b"GET /-/live HTTP/1.1\r\nHost: h\r\n\r\n")
    assert line.answer()[2] == b"live\n"


def test_put_get_head_on_one_connection(port: int) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/whole", body=data)))
        status, headers, _ = line.answer()
        assert (status, headers["server"]) == (200, "Strongroom")
        assert "date" in headers
        line.send(wire(signed("GET", "/bucket/whole", presigned=True)))
        assert line.answer()[2] == data
        line.send(wire(signed("HEAD", "/bucket/whole")))
        status, headers, _ = line.answer(head=True)
        assert (status, headers["content-length"]) == (200, str(len(data)))
        line.send(wire(signed("GET", "/bucket/stream")))
        assert line.answer()[2] == b"s" * 100_000
        lives(line)


@pytest.mark.parametrize("size", [100, 2_000_000])
def test_a_body_cut_short_is_never_stored(port: int, size: int) -> None:
    asked = signed("PUT", f"/bucket/cut-{size}", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x" * size)
    with Line(port) as line:
        line.send(wire(asked, body=asked.body[:-1]))
        line.socket.shutdown(socket.SHUT_WR)
        assert line.socket.recv(100)[:12] in {b"HTTP/1.1 400", b""}
    with Line(port) as line:
        line.send(wire(signed("GET", f"/bucket/cut-{size}")))
        assert line.answer()[0] == 404


def test_a_content_length_that_lies(port: int) -> None:
    asked = signed("PUT", "/bucket/lie", body=b"123GET nonsense\r\n\r\n")
    asked.headers["Content-Length"] = "3"  # what follows is another request, and not a good one
    with Line(port) as line:
        line.send(wire(asked))
        status, _, body = line.answer()
        assert status == 400
        assert b"XAmzContentSHA256Mismatch" in body
        assert line.answer()[0] == 400
        assert line.is_closed()
    asked.headers["Content-Length"] = "99999999999999999999"
    with Line(port) as line:
        line.send(wire(asked))
        assert line.answer()[0] == 400


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_refused_body_does_not_become_a_request(port: int, size: int) -> None:
    """Denied before the body is read; the rest is taken, and the next request on the connection is answered."""
    smuggled = (b"GET /-/nothing HTTP/1.1\r\nHost: h\r\n\r\n" * (size // 30 + 1))[:size]
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/key", body=smuggled, secret="wrong")))
        status, _, body = line.answer()
        assert status == 403
        assert b"SignatureDoesNotMatch" in body
        lives(line)


def test_a_refused_body_that_comes_late(port: int) -> None:
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/refused", body=b"0123456789"), body=b"01"))
        assert line.answer()[0] == 400
        time.sleep(0.1)
        line.send(b"23456789")
        lives(line)


@pytest.mark.parametrize(("size", "sent"), [(100, 2), (2_000_000, 5), (2_000_000, 900_000)])
def test_a_refused_body_that_never_comes(port: int, size: int, sent: int) -> None:
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/refused", body=b"x" * size), body=b"x" * sent))
        assert line.answer()[0] == 400
        assert line.is_closed()


def test_a_large_refused_body_closes_the_connection(port: int) -> None:
    asked = signed("PUT", "/bucket/refused", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x" * 8_000_000)
    with Line(port) as line:
        with suppress(OSError, AssertionError):  # a client that is still sending may not see the answer
            line.send(wire(asked))
            assert line.answer()[0] == 400
        with pytest.raises((OSError, AssertionError)):
            lives(line)


def test_a_denial_comes_before_100_continue(port: int) -> None:
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/key", body=b"12345", secret="wrong"), body=b"", Expect="100-continue"))
        assert line.answer()[0] == 403
    with Line(port) as line:
        line.send(wire(signed("PUT", "/bucket/key", body=b"12345"), body=b"", Expect="100-continue"))
        assert line.answer()[0] == 100
        line.send(b"12345")
        assert line.answer()[0] == 200
        lives(line)


@pytest.mark.parametrize("size", [100, 2_000_000])
def test_a_stalled_upload_times_out(port: int, size: int) -> None:
    asked = signed("PUT", "/bucket/stalled", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"x" * size)
    with Line(port) as line:
        started = time.monotonic()
        line.send(wire(asked, body=b"xxxxx"))
        status, _, body = line.answer()
        assert 0.9 < time.monotonic() - started < 5
        assert status == 400
        assert b"<Code>RequestTimeout</Code>" in body
        assert line.is_closed()


@pytest.mark.parametrize("key", ["stream-fails", "stream-short"])
def test_an_answer_that_fails_in_its_middle_is_cut_off(port: int, key: str) -> None:
    with Line(port) as line:
        line.send(wire(signed("GET", f"/bucket/{key}")))
        status, headers, body = line.answer()
        assert status == 200
        assert len(body) < int(headers["content-length"])
        assert line.is_closed()


@pytest.mark.parametrize(
    "key", ["a b", "a/b", "../up", "a//b", "a%2Fb", "€", "a+b", "%", "a\x00b", "a\r\nb", "?x=y", "a#b", "~a", "%zz"]
)
def test_keys_and_percent_encoding(port: int, key: str) -> None:
    target = "/bucket/" + quote(key, safe="/~")
    with Line(port) as line:
        line.send(wire(signed("PUT", target, body=key.encode())))
        assert line.answer()[0] == 200
        line.send(wire(signed("GET", target, presigned=True)))
        assert line.answer()[2] == key.encode()
        asked = signed("GET", target)
        asked.target = target.replace("/", "%2F").replace("%2Fbucket%2F", "/bucket/", 1)  # S3 takes an encoded slash for a slash
        line.send(wire(asked))
        assert line.answer()[2] == key.encode()


def test_a_path_that_is_not_utf_8_is_refused(port: int) -> None:
    with Line(port) as line:
        line.send(wire(signed("GET", "/bucket/%FF")))
        status, _, body = line.answer()
        assert (status, b"InvalidURI" in body) == (400, True)
        lives(line)


def test_large_and_odd_heads(port: int) -> None:
    with Line(port) as line:
        line.send(b"GET /bucket/key HTTP/1.1\r\nHost: h\r\nx-amz-meta-a: " + b"a" * 100_000 + b"\r\n\r\n")
        status, _, body = line.answer()
        assert (status, b"RequestHeaderSectionTooLarge" in body) == (400, True)
        line.send(b"GET /bucket/key HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n")
        assert line.answer()[0] == 501
        lives(line)
    with Line(port) as line:
        line.send(b"".join(wire(signed("GET", f"/bucket/none-{number}")) for number in range(5)))
        assert [line.answer()[0] for _ in range(5)] == [404] * 5


def test_a_chunked_transfer_without_a_length_is_refused(port: int) -> None:
    asked = signed("PUT", "/bucket/key", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, b"")
    del asked.headers["Content-Length"]
    with Line(port) as line:
        line.send(wire(asked, body=b"3\r\nabc\r\n0\r\n\r\n", **{"Transfer-Encoding": "chunked"}))
        assert line.answer()[0] == 411
        lives(line)
