"""The chain of the key-use record: lines that each vouch for all lines before them, and heads that say how far a chain had come.

``docs/spec/key-use.md`` is the specification. Pure: never knows files, times or what a line tells.
"""

from __future__ import annotations

import hmac
from binascii import hexlify
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from strongroom.kms.key_use_lines import encoded
from strongroom.seal.mac import MacKey
from strongroom.seal.wrap import derive

FIRST: Final = bytes(32)  # what stands for the hash before the first line
_LINE_LABEL: Final = "strongroom/key-use/line"
_HEAD_LABEL: Final = "strongroom/key-use/head"
_BEFORE: Final = b',"hash":"'
_AFTER: Final = b'"}'
_END: Final = _AFTER + b"\n"
_TAIL: Final = len(_BEFORE) + 64 + len(_AFTER)


class ChainError(Exception):
    """A line or a head that this server did not write where it stands. The text says what is wrong, in a few words."""


@dataclass(slots=True)
class Chain:
    """How far a chain has come. ``key_use_key``: 32 bytes the server derived from its root key."""

    chain_id: str
    mac: MacKey = field(repr=False)  # of the chain
    count: int = 0  # lines
    head: bytes = FIRST  # hash of the last line

    @classmethod
    def begin(cls, key_use_key: bytes, chain_id: str) -> Chain:
        return cls(chain_id, MacKey(derive(key_use_key, _LINE_LABEL, chain_id.encode())))

    def copy(self) -> Chain:
        return Chain(self.chain_id, self.mac, self.count, self.head)

    def seal(self, entry: dict[str, Any]) -> bytes:
        """The next line, newline included."""
        return self.add([encoded({"n": self.count + 1, **entry})[:-1]])

    def add(self, bodies: list[bytes]) -> bytes:
        """As ``seal``, of entries that are JSON but for their closing brace, and begin with their number in the chain."""
        head, digest = self.head, self.mac.digest
        lines: list[bytes] = []
        for body in bodies:
            head = digest(head + body)
            lines += (body, _BEFORE, hexlify(head), _END)
        self.head = head
        self.count += len(bodies)
        return b"".join(lines)

    def follow(self, line: bytes) -> dict[str, Any]:
        """What the next line (without its newline) tells, if it is just that. Raises ChainError; the chain stays where it was."""
        body, tail = line[:-_TAIL], line[-_TAIL:]
        digest = self.mac.digest(self.head + body)
        expected = b"".join((_BEFORE, digest.hex().encode(), _AFTER))
        if not hmac.compare_digest(tail, expected):
            raise ChainError("is not what was written here: changed, moved, or a line before it is missing")
        self.count += 1
        self.head = digest
        entry: dict[str, Any] = orjson.loads(line)
        return entry


@dataclass(frozen=True, slots=True)
class Head:
    """A chain's length and last hash at some moment: whoever keeps it can tell when lines are missing at the end."""

    chain_id: str
    count: int
    hash: str  # 64 hex

    def seal(self, key_use_key: bytes) -> bytes:
        """One line of JSON, newline included."""
        body = orjson.dumps({"chain": self.chain_id, "count": self.count, "hash": self.hash})[:-1]
        return b"".join((body, b',"mac":"', _mac(key_use_key, self.chain_id, body).encode(), _AFTER, b"\n"))

    @classmethod
    def open(cls, key_use_key: bytes, chain_id: str, sealed: bytes) -> Head:
        """Raises ChainError unless this server wrote it for that chain."""
        body, mark, mac = sealed.partition(b',"mac":"')
        expected = b"".join((_mac(key_use_key, chain_id, body).encode(), _AFTER, b"\n"))
        if not mark or not hmac.compare_digest(mac, expected):
            raise ChainError("was not written by this server for this chain")
        value = orjson.loads(body + b"}")
        return cls(value["chain"], value["count"], value["hash"])


def _mac(key_use_key: bytes, chain_id: str, body: bytes) -> str:
    return hmac.digest(derive(key_use_key, _HEAD_LABEL, chain_id.encode()), body, "sha256").hex()
