"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) of short messages, on hashlib's SHA-256. Pure; never knows what is keyed for what.

The one-call functions of hmac and cryptography look the algorithm up anew each time and touch much code for it: amid a request they take
three times as long as this, and ``hmac.digest`` also lets the interpreter's lock go, which another thread may take meanwhile.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

_BLOCK: Final = 64  # bytes of a block of SHA-256
_SIZE: Final = 32  # of its digests
_INNER: Final = bytes(value ^ 0x36 for value in range(256))
_OUTER: Final = bytes(value ^ 0x5C for value in range(256))


class MacKey:
    """A key of HMAC-SHA256 (at most 64 bytes, else ValueError) whose two padded blocks are hashed once and not at each use."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = _padded(key)
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        """32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """32 bytes, under a key that serves once. ``key``: at most 64 bytes, else ValueError."""
    padded = _padded(key)
    return sha256(padded.translate(_OUTER) + sha256(padded.translate(_INNER) + message).digest()).digest()


def hkdf_sha256(key: bytes, size: int, salt: bytes, info: bytes) -> bytes:
    """``size`` bytes (at most 8160, else ValueError), derived from ``key``. ``salt``: at most 64 bytes, else ValueError."""
    if not 0 < size <= 255 * _SIZE:
        raise ValueError("HKDF-SHA256 gives 1 to 8160 bytes")
    secret = hmac_sha256(salt, key)
    block = derived = hmac_sha256(secret, info + b"\x01")
    for number in range(2, -(-size // _SIZE) + 1):
        block = hmac_sha256(secret, block + info + bytes([number]))
        derived += block
    return derived[:size]


def _padded(key: bytes) -> bytes:
    if len(key) > _BLOCK:
        raise ValueError("a key of HMAC is at most 64 bytes here")
    return key.ljust(_BLOCK, b"\0")
