"""The access log: one JSON object a line for each request that was answered, what S3's own server access log has and what was encrypted how.

A request costs its worker an append; a thread makes the lines a few times a second and writes them together. Off, it is not there at all.
Never tells a query, a header of the request, or anything of a body: that is where signatures, tokens and keys are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog

from strongroom.api.routing import Router
from strongroom.edge.gate import Seen
from strongroom.edge.handing_on import HandedOn
from strongroom.edge.head import Reply
from strongroom.store.descriptors import write_whole

STDERR: Final = "stderr"
FLUSH_SECONDS: Final = 0.25
MOST_WAITING: Final = 20_000  # lines; what comes while they cannot be written is counted and lost
_AHEAD: Final = 1000  # lines that are made at a time, so that nothing waits long for the thread
_ENCRYPTION: Final = "x-amz-server-side-encryption"
_KEY: Final = "x-amz-server-side-encryption-aws-kms-key-id"
_CUSTOMER: Final = "x-amz-server-side-encryption-customer-algorithm"
_VERSION: Final = "x-amz-version-id"
_REMEMBERED: Final = 2048  # hosts, and fragments of lines
_WHO: Final[tuple[str, ...]] = ("remote", "caller", "access_key_id")
_WHAT: Final[tuple[str, ...]] = ("service", "operation", "method", "status", "code", "auth", "scheme", "whole", "key_use")
_WHERE: Final[tuple[str, ...]] = ("bucket", "encryption", "kms_key")
_BEFORE: Final[dict[tuple[str, ...], str]] = {_WHO: '"'}  # what ends the text before a fragment
_BEHIND: Final[dict[tuple[str, ...], str]] = {
    _WHAT: ',"received":',
    _WHERE: ',"version_id":"',
}  # and what begins the value behind it
_log = structlog.get_logger("strongroom.server")


#: An answered request; Unix time when its answer was handed on; seconds that this took; bytes of the answer; whether that is all
#: of it; "called" or "cached", as the KMS key was had, "" where none was.
_Entry = tuple[Seen, float, float, int, bool, str]


class AccessLog:
    """Of one worker. ``target``: ``stderr``, or the path of a file, which is opened anew when it was moved away.

    ``lost`` is told how many lines could not be written.
    """

    def __init__(self, target: str, domains: tuple[str, ...] = (), lost: Callable[[int], None] = lambda _count: None) -> None:
        self._target = target
        self._router = Router(domains)
        self._lost = lost
        self._keys: dict[str, str] = {}  # by request id
        self._waiting: list[_Entry] = []
        self._writing = threading.Lock()  # a flush that is given up goes on in its thread
        self._descriptor = -1
        self._failing = False
        self._millisecond = (0, "")
        self._hosts: dict[str, str] = {}  # the bucket that a host names
        self._kept: dict[tuple[Any, ...], str] = {}

    # ---- told by the rooms

    def observe(self, seen: Seen, reply: Reply) -> None:
        """A streamed answer is told of when it has been handed on."""
        body = reply.body
        if isinstance(body, bytes):
            self._add(seen, 0.0, len(body), whole=True)
            return
        began = time.perf_counter()
        reply.body = HandedOn(body, lambda sent: self._add(seen, time.perf_counter() - began, sent, whole=sent == reply.length))

    def used(self, request_id: str, how: str) -> None:
        if len(self._keys) > MOST_WAITING:  # of requests that came to no answer
            self._keys.clear()
        self._keys[request_id] = how

    def _add(self, seen: Seen, sending: float, sent: int, *, whole: bool) -> None:
        key = self._keys.pop(seen.request_id, "") if self._keys else ""
        if len(self._waiting) >= MOST_WAITING:
            self._lost(1)
            return
        self._waiting.append((seen, time.time(), sending, sent, whole, key))

    # ---- writing

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        entries, self._waiting = self._waiting, []
        if entries:
            await asyncio.to_thread(self._write_all, entries)

    async def close(self) -> None:
        """Everything that was told is written when it returns, if it can be."""
        await self.flush()
        await asyncio.to_thread(self._close)

    # ---- in the thread

    def _close(self) -> None:
        with self._writing:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _write_all(self, entries: list[_Entry]) -> None:
        with self._writing:
            self._write_in_order(entries)

    def _write_in_order(self, entries: list[_Entry]) -> None:
        for first in range(0, len(entries), _AHEAD):
            some = entries[first : first + _AHEAD]
            try:
                self._write("".join([self._line(*entry) for entry in some]).encode())
            except OSError as error:
                self._lost(len(some))
                if not self._failing:
                    _log.error("the access log cannot be written: lines are lost", error=error.strerror)
                self._failing = True
            else:
                self._failing = False

    def _write(self, lines: bytes) -> None:
        if self._target == STDERR:
            structlog.BytesLogger(sys.stderr.buffer).msg(lines[:-1])  # whose lock keeps lines of the other log whole
            return
        write_whole(self._opened(), lines)

    def _opened(self) -> int:
        """For appending, by several processes."""
        if self._descriptor >= 0:
            try:
                there = os.stat(self._target)  # noqa: PTH116 - a Path costs more than the call
            except FileNotFoundError:
                there = None
            mine = os.fstat(self._descriptor)
            if there is not None and (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev):
                return self._descriptor
            os.close(self._descriptor)
            self._descriptor = -1
        self._descriptor = os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return self._descriptor

    def _line(self, seen: Seen, at: float, sending: float, sent: int, whole: bool, key_use: str) -> str:
        """Put together by hand, of fragments that come again and again: a dictionary costs four times as much.

        Whatever others may have chosen goes through ``_quoted``.
        """
        request_id, service, operation, status, code, ready, received, _, caller, head, answered = seen
        millisecond = int(at * 1000)
        if millisecond != self._millisecond[0]:
            second, rest = divmod(millisecond, 1000)
            shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._millisecond = (millisecond, f'{{"event":"request","time":"{shown}.{rest:03d}Z","request_id":"')
        headers, kept = head.headers, self._kept
        auth = "header" if "authorization" in headers else "query" if "X-Amz-Signature=" in head.query else ""
        who = (head.client_ip, caller.arn, caller.access_key_id)
        what = (service, operation, head.method, status, code, auth, head.scheme, whole, key_use)
        ready_us = int(ready * 1e6)
        line = (
            f"{self._millisecond[1]}{request_id}"
            f"{kept.get(who) or self._keep(who, _WHO)}{kept.get(what) or self._keep(what, _WHAT)}"
            f'{"null" if received is None else received},"sent":{sent},'
            f'"total_us":{ready_us + int(sending * 1e6) if sending else ready_us},"ready_us":{ready_us}'
        )
        if service != "s3":
            return line + "}\n"
        told = dict(answered)
        host = headers.get("host", "")
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._bucket_of(host)
        key = head.path[1:]
        if not bucket:
            bucket, _, key = key.partition("/")
        where = (bucket, "SSE-C" if _CUSTOMER in told else told.get(_ENCRYPTION, ""), told.get(_KEY, ""))
        version_id = told.get(_VERSION, "")
        return f'{line}{kept.get(where) or self._keep(where, _WHERE)}{version_id}","key":{_quoted(key)}}}\n'

    def _bucket_of(self, host: str) -> str:
        if len(self._hosts) >= _REMEMBERED:
            self._hosts.clear()
        bucket = self._hosts[host] = self._router.bucket("/", host)
        return bucket

    def _keep(self, values: tuple[Any, ...], names: tuple[str, ...]) -> str:
        """The fragment of a line that tells these."""
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        told = "".join(f',"{name}":{_quoted(value)}' for name, value in zip(names, values, strict=True))
        fragment = self._kept[values] = f"{_BEFORE.get(names, '')}{told}{_BEHIND.get(names, '')}"
        return fragment


def _quoted(value: str | int) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a refused request may hold what is no Unicode
        return orjson.dumps(str(value).encode("utf-8", "backslashreplace").decode()).decode()
