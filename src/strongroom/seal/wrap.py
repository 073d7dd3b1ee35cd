"""Wrapping of data keys, sealed records, and derivation of subkeys: AES-256-GCM-SIV (RFC 8452), HKDF-SHA256 (RFC 5869).

GCM-SIV, since these keys live long and their nonces are random: a nonce that repeats tells at most that two messages are the
same. Never knows what is wrapped, why, or where keys come from. ``docs/spec/at-rest.md`` sections 2, 6 and 7.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from strongroom.seal import Forged, Truncated, Unsupported
from strongroom.seal.format import place
from strongroom.seal.mac import hkdf_sha256

KEY: Final = 32
NONCE: Final = 12
TAG: Final = 16
RECORD_VERSION: Final = 1

# One label for each purpose, none the beginning of another: what was sealed for one never opens for the other.
_WRAP_LABEL: Final = b"strongroom/seal/wrap/1"
_RECORD_LABEL: Final = b"strongroom/seal/record/1"
_RECORD_START: Final = bytes([RECORD_VERSION])
_U32: Final = struct.Struct(">I")


class Kek:
    """A key-encrypting key that lives long, and is made ready once. 32 bytes, else ValueError."""

    __slots__ = ("cipher", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.cipher = _cipher(key)


def wrap(kek: bytes | Kek, data_key: bytes, binding: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Nonce, ciphertext, tag: 28 bytes more than ``data_key``. ``kek``: 32 bytes, else ValueError; ``random(12)``: the nonce."""
    nonce = random(NONCE)
    return nonce + _ready(kek).encrypt(nonce, data_key, _WRAP_LABEL + binding)


def unwrap(kek: bytes | Kek, wrapped: bytes, binding: bytes) -> bytes:
    """Raises Forged when it is not what was wrapped under this key for this binding, Truncated, ValueError for the key's length."""
    if len(wrapped) < NONCE + TAG:
        raise Truncated("a wrapped key is at least 28 bytes")
    try:
        return _ready(kek).decrypt(wrapped[:NONCE], wrapped[NONCE:], _WRAP_LABEL + binding)
    except InvalidTag:
        raise Forged("the wrapped key is not authentic here") from None


class Records:
    """Seals and opens small records under one metadata key (32 bytes, else ValueError). Safe to share between threads."""

    __slots__ = ("_cipher", "_random")

    def __init__(self, metadata_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = _cipher(metadata_key)
        self._random = random

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Record version (1), nonce (12), ciphertext, tag (16)."""
        nonce = self._random(NONCE)
        return _RECORD_START + nonce + self._cipher.encrypt(nonce, plaintext, _RECORD_LABEL + associated_data)

    def open(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Raises Forged, Truncated, Unsupported."""
        if not sealed:
            raise Truncated("the record is empty")
        if sealed[0] != RECORD_VERSION:
            raise Unsupported(f"record version {sealed[0]}")
        return self._opened(sealed, _RECORD_LABEL + associated_data)

    def _opened(self, sealed: bytes, associated: bytes) -> bytes:
        """Of a record of any version. Raises Forged, Truncated."""
        if len(sealed) < 1 + NONCE + TAG:
            raise Truncated("a record is at least 29 bytes")
        try:
            return self._cipher.decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], associated)
        except InvalidTag:
            raise Forged("the record is not authentic here") from None


def record_associated_data(bucket_id: str, object_key: str, version_id: str) -> bytes:
    """The place of a version's record, unambiguous also when more is appended. Raises ValueError for text that is not Unicode."""
    return place(bucket_id, object_key, version_id)


def derive(key: bytes, label: str, context: bytes = b"", salt: bytes | None = None) -> bytes:
    """A 32-byte subkey of a 32-byte key (else ValueError), one for each label, context and salt."""
    if len(key) != KEY:
        raise ValueError("a key to derive from is 32 bytes")
    name = label.encode()
    info = b"".join((_U32.pack(len(name)), name, _U32.pack(len(context)), context))
    return hkdf_sha256(key, KEY, salt or b"", info)


def _ready(kek: bytes | Kek) -> AESGCMSIV:
    return _cipher(kek) if isinstance(kek, bytes) else kek.cipher


def _cipher(key: bytes) -> AESGCMSIV:
    if len(key) != KEY:  # the cipher itself would also take 16 and 24
        raise ValueError("the key must be 32 bytes")
    return AESGCMSIV(key)
