"""The load: wrk for many small requests, and one socket a transfer for large bodies. Never knows what a measurement means.

Large bodies move by ``sendfile`` and ``recv_into`` of 1 MiB, so that the interpreter runs a few hundred steps for 256 MiB and is not
what is measured. Anything but a whole answer of status 200 raises BenchError.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 32
SCRIPT: Final = Path(__file__).with_name("replay.lua")
SECURE: Final = "https://"
TIMEOUT: Final = 60.0  # seconds without a byte


class BenchError(Exception):
    """Why there is no result: one line or two."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One run of wrk."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    generator_cores: float  # processor time that wrk itself took, a second


@dataclass(frozen=True, slots=True)
class Targets:
    """Request targets in a file, as replay.lua reads them."""

    path: Path
    count: int

    @classmethod
    def write(cls, path: Path, targets: list[str]) -> Targets:
        path.write_text("\n".join(targets) + "\n", "ascii")
        return cls(path, len(targets))


class NoWrk(BenchError):
    """wrk is missing."""


def require_wrk(*, install: bool = True) -> None:
    """Make sure that wrk is there: from Debian's packages when this is root on such a machine. Raises NoWrk."""
    if shutil.which("wrk"):
        return
    if install and shutil.which("apt-get") and os.geteuid() == 0:
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "wrk"]):
            subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=False)
    if not shutil.which("wrk"):
        raise NoWrk("wrk is missing: run  apt-get install wrk")


def wrk(host: str, targets: Targets, seconds: int, *, method: str = "GET", first: int = 0, size: int = 0) -> Rate:
    """Requests a second on ``host`` over 32 connections. Raises BenchError if a single one failed."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT), f"{url(host)}/"]
    command += ["--", str(targets.path), method, str(first), str(size)]
    if not shutil.which("wrk"):
        raise NoWrk("wrk is missing")
    used, started = _children_seconds(), time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    used = (_children_seconds() - used) / (time.perf_counter() - started)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        raise BenchError(f"wrk failed: {(ran.stderr or ran.stdout).strip()[:300]}")
    seen = json.loads(lines[-1])
    bad = {name: seen[name] for name in ("bad_status", "connect", "read", "write", "timeout") if seen[name]}
    if bad:
        raise BenchError(f"{method} {host}: of {seen['requests']} requests failed: {bad}")
    if not seen["requests"]:
        raise BenchError(f"{method} {host}: no request was answered")
    per_second = seen["requests"] * 1e6 / seen["microseconds"]
    return Rate(per_second, seen["p50_us"] / 1e3, seen["p99_us"] / 1e3, seen["requests"], used)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fill(host: str, targets: Targets, size: int) -> None:
    """PUT every target at least once, as fast as the server takes them. Raises BenchError.

    A run of wrk cuts off what is under way at its end, so the next one begins a little earlier, and the last one goes round.
    """
    slack, sent, seconds = 2 * CONNECTIONS, 0, 1
    while sent < targets.count + slack:
        rate = wrk(host, targets, seconds, method="PUT", first=sent, size=size)
        if rate.requests <= slack:
            raise BenchError(f"PUT {host}: only {rate.requests} requests in {seconds} s")
        sent += rate.requests - slack
        seconds = min(20, max(1, round((targets.count - sent) / rate.per_second + 0.5)))


# -------------------------------------------------------------------------------------------------------- large bodies
def get(host: str, target: str, *, keep: bool = False) -> tuple[float, int, bytearray]:
    """Seconds from connecting to the last byte, bytes of the body, and the body itself if it is to be kept. Raises BenchError."""
    kept = bytearray()
    started = time.perf_counter()
    with _connect(host) as connection:
        connection.sendall(_head("GET", host, target))
        headers, rest = _answer(connection, target)
        length = int(headers.get("content-length", "0"))
        received, buffer = len(rest), memoryview(bytearray(1 << 20))
        if keep:
            kept += rest
        while received < length:
            count = connection.recv_into(buffer)
            if not count:
                raise BenchError(f"GET {_shown(target)} ended after {received} of {length} bytes")
            received += count
            if keep:
                kept += buffer[:count]
    return time.perf_counter() - started, received, kept


def put(host: str, target: str, file: Path) -> float:
    """Seconds from connecting to the whole answer. Raises BenchError."""
    started = time.perf_counter()
    upload(host, target, file, [(0, file.stat().st_size)])
    return time.perf_counter() - started


def upload(host: str, target: str, file: Path, runs: list[tuple[int, int]]) -> str:
    """PUT a body made of runs (first byte, bytes) of a file; the ETag as it was answered. Raises BenchError."""
    with file.open("rb") as body, _connect(host) as connection:
        connection.sendall(_head("PUT", host, target, sum(count for _, count in runs)))
        broken: OSError | None = None
        try:
            for first, count in runs:
                connection.sendfile(body, first, count)
        except (BrokenPipeError, ConnectionResetError) as error:  # refused while it was sent: the answer says why
            broken = error
        try:
            headers, rest = _answer(connection, target)
            while len(rest) < int(headers.get("content-length", "0")):
                rest += connection.recv(65536) or _cut(target)
        except OSError as error:
            raise BenchError(f"PUT {_shown(target)}: {broken or error}") from None
        return headers.get("etag", "")


def url(host: str) -> str:
    """The URL of a host as it is named everywhere here: HOST:PORT, or https://HOST:PORT for TLS."""
    return host if host.startswith(SECURE) else f"http://{host}"


def _connect(host: str) -> socket.socket:
    name, _, port = host.removeprefix(SECURE).rpartition(":")
    connection = socket.create_connection((name.strip("[]"), int(port)), timeout=TIMEOUT)
    if not host.startswith(SECURE):
        return connection
    return ssl.create_default_context().wrap_socket(connection, server_hostname=name.strip("[]"))


def _head(method: str, host: str, target: str, size: int | None = None) -> bytes:
    length = "" if size is None else f"Content-Length: {size}\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host.removeprefix(SECURE)}\r\nConnection: close\r\n{length}\r\n".encode("ascii")


def _answer(connection: socket.socket, target: str) -> tuple[dict[str, str], bytes]:
    """The headers, and what came of the body with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or _cut(target)
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if status.split(" ")[1] != "200":
        raise BenchError(
            f"{_shown(target)} was answered {status}: {(rest or connection.recv(4096))[:400].decode('utf-8', 'replace')}"
        )
    if "content-length" not in headers and headers.get("transfer-encoding"):
        raise BenchError(f"{_shown(target)}: the answer has no Content-Length")
    return headers, rest


def _cut(target: str) -> bytes:
    raise BenchError(f"{_shown(target)}: the connection was closed before the answer was whole")


def _shown(target: str) -> str:
    return target.partition("?")[0]
