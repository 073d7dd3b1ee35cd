"""The key that signs for one credential scope, and a bounded memory of such keys.

Never knows what is signed. Sources: "Create a signed AWS API request" in the IAM user guide; RFC 2104 (HMAC).
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

_BLOCK: Final = 64  # bytes of a block of SHA-256
_INNER: Final = bytes(value ^ 0x36 for value in range(256))
_OUTER: Final = bytes(value ^ 0x5C for value in range(256))


class SigningKey:
    """HMAC-SHA256 under one key (at most 64 bytes, else ValueError) whose two padded blocks are hashed once and not at each use."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            raise ValueError("a signing key is at most 64 bytes")
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def sign(self, text: bytes) -> str:
        """64 hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()


class SigningKeys:
    """Signing keys by credential (access key id, date, region, service), kept while the secret stays the same."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._keys: dict[str, tuple[str, SigningKey]] = {}

    def find(self, credential: str, secret: str) -> SigningKey:
        """``credential``: ``<access key id>/<date>/<region>/<service>/aws4_request``."""
        kept = self._keys.get(credential)
        if kept is not None and kept[0] == secret:  # both are ours: nothing to time
            return kept[1]
        _, date, region, service, _ = credential.rsplit("/", 4)
        key = SigningKey(derive(secret, date, region, service))
        if len(self._keys) >= self._most:
            self._keys.clear()
        self._keys[credential] = (secret, key)
        return key

    def __len__(self) -> int:
        return len(self._keys)


def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """The 32 bytes that sign for a scope."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
