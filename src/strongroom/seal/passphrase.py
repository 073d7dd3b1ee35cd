"""Bytes sealed under a passphrase: scrypt (RFC 7914) makes a key of it, AES-256-GCM-SIV (RFC 8452) seals.

Everything in front of the ciphertext is bound: purpose, format, parameters, salt. The parameters stand in the bytes and are bounded on
reading, so that a file somebody made cannot ask for all memory. Never knows what is sealed, nor where a passphrase comes from.
``docs/spec/root-key.md`` section 2.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from strongroom.seal import Forged, NotOurs, Truncated, Unsupported

MAGIC: Final = 4
VERSION: Final = 1
SALT: Final = 32
NONCE: Final = 12
TAG: Final = 16
_SCRYPT: Final = 1
_LABEL: Final = b"strongroom/seal/passphrase/1"
#: magic, format version, key derivation, log2 N, r, p, salt, nonce, length of the plaintext
_HEADER: Final = struct.Struct(f">{MAGIC}sBBBBB{SALT}s{NONCE}sI")
HEADER: Final = _HEADER.size


@dataclass(frozen=True, slots=True)
class Work:
    """What one guess costs: 2^log_n x r x 128 bytes of memory, p times."""

    log_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def bounded(self) -> bool:
        """At most 1 GiB, and no less than what anybody would write."""
        return 14 <= self.log_n <= 20 and self.r == 8 and 1 <= self.p <= 4


STANDARD: Final = Work()


def seal(
    magic: bytes, passphrase: bytes, plain: bytes, work: Work = STANDARD, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """``magic``: 4 bytes, one for each purpose. Raises ValueError for parameters that no reader would take."""
    if len(magic) != MAGIC or not work.bounded:
        raise ValueError("the magic is 4 bytes, and the work is bounded")
    salt, nonce = random(SALT), random(NONCE)
    header = _HEADER.pack(magic, VERSION, _SCRYPT, work.log_n, work.r, work.p, salt, nonce, len(plain))
    return header + AESGCMSIV(_key(passphrase, salt, work)).encrypt(nonce, plain, _LABEL + header)


def unseal(magic: bytes, passphrase: bytes, sealed: bytes) -> bytes:
    """Raises NotOurs (another magic), Unsupported (a newer format), Truncated (not all there, or more), Forged (a wrong
    passphrase, or changed bytes: nobody can tell which).
    """
    work, salt, nonce = _read(magic, sealed)
    try:
        return AESGCMSIV(_key(passphrase, salt, work)).decrypt(nonce, sealed[HEADER:], _LABEL + sealed[:HEADER])
    except InvalidTag:
        raise Forged("the passphrase is wrong, or the bytes were changed") from None


def check(magic: bytes, sealed: bytes) -> None:
    """As ``unseal``, without a passphrase: whether one need be asked for. Raises NotOurs, Unsupported, Truncated."""
    _read(magic, sealed)


def _read(magic: bytes, sealed: bytes) -> tuple[Work, bytes, bytes]:
    if sealed[:MAGIC] != magic:
        raise NotOurs("another kind of file")
    if len(sealed) > MAGIC and sealed[MAGIC] != VERSION:
        raise Unsupported(f"format version {sealed[MAGIC]}")
    if len(sealed) < HEADER:
        raise Truncated("cut short")
    _, _, derivation, log_n, r, p, salt, nonce, length = _HEADER.unpack_from(sealed)
    work = Work(log_n, r, p)
    if derivation != _SCRYPT or not work.bounded:
        raise Unsupported("parameters out of bounds")
    if len(sealed) != HEADER + length + TAG:
        raise Truncated("cut short, or longer than it says")
    return work, salt, nonce


def _key(passphrase: bytes, salt: bytes, work: Work) -> bytes:
    return Scrypt(salt, 32, 1 << work.log_n, work.r, work.p).derive(passphrase)
