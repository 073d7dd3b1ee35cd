"""Work that never changes, to measure a machine by: as much and as many kinds of it as a request is, without any of Strongroom's code.

Most of it is the interpreter on its way through many different functions of the standard library, once each, as a request goes through
many of the server's: so it suffers alike when caches are small, cold or shared with others. The rest is what libraries do for a request:
digests, a sealed body opened, a row selected. Never knows what is measured beside it.
"""

from __future__ import annotations

import hmac
import sqlite3
import time
from collections import ChainMap
from datetime import datetime
from email.parser import HeaderParser
from email.utils import format_datetime, parsedate_to_datetime
from fractions import Fraction
from hashlib import sha256
from html import escape
from ipaddress import ip_network
from shlex import split
from statistics import fmean
from string import Template
from textwrap import wrap
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY: Final = bytes(range(32))
_NONCE: Final = bytes(12)
_HEAD: Final = "Date: Thu, 01 Jan 2026 00:00:00 +0000\nHost: example.org\nContent-Type: text/plain; charset=utf-8\nX-One: 1\n\n"
_URL: Final = "https://user@example.org:8443/one/two%20three?first=1&second=a%2Bb&third=%C3%BC#end"


class Reference:
    """``take`` runs the work a few times and remembers how long each took; ``us`` is the mean of the quickest tenth."""

    def __init__(self) -> None:
        self._sealed = AESGCM(_KEY).encrypt(_NONCE, bytes(4096), b"place")
        self._rows = sqlite3.connect(":memory:", isolation_level=None)
        self._rows.execute("CREATE TABLE rows (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID")
        self._rows.executemany("INSERT INTO rows VALUES (?, ?)", ((f"{number:05d}", self._sealed) for number in range(2_000)))
        self._turn = 0
        self._taken: list[int] = []

    def take(self, times: int = 4) -> None:
        clock, work = time.perf_counter_ns, self._work
        for _ in range(times):
            started = clock()
            work()
            self._taken.append(clock() - started)

    @property
    def us(self) -> float:
        return fmean(sorted(self._taken)[: max(1, len(self._taken) // 10)]) / 1e3

    def forget(self) -> None:
        self._taken.clear()

    def _work(self) -> None:
        self._turn += 1
        (sealed,) = self._rows.execute("SELECT body FROM rows WHERE name = ?", (f"{self._turn * 7 % 2_000:05d}",)).fetchone()
        AESGCM(_KEY).decrypt(_NONCE, sealed, b"place")
        key = sealed[:32]
        for part in ("20260101", "eu-central-1", "s3"):
            key = hmac.digest(key, part.encode(), "sha256")
        _words(sha256(key).hexdigest(), self._turn)


def _words(text: str, turn: int) -> None:
    head = HeaderParser().parsestr(_HEAD)
    at = parsedate_to_datetime(head["Date"])
    when = datetime.strptime("20260101T000000", "%Y%m%dT%H%M%S")  # noqa: DTZ007 - work, not a time
    url = urlsplit(_URL)
    pairs = dict(parse_qsl(url.query))
    known = ChainMap(pairs, {"when": when.isoformat(), "at": format_datetime(at)})
    asked = urlencode({name: known[name] for name in ("first", "at", "third")}, quote_via=quote)
    network = ip_network(f"10.{turn % 250}.0.0/16")
    part = Fraction(turn % 97, 128) + Fraction(3, 7)
    said = Template("$first of $all").substitute(first=escape(text[:16]), all=str(network.broadcast_address))
    lines = wrap(f"{said} and {part} and {UUID(hex=text[:32])} and {asked}", 60)
    if not split("one 'two three' four") or not lines:
        raise AssertionError
