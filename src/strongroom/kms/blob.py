"""Ciphertext blobs: what Encrypt and GenerateDataKey hand out and Decrypt takes back (``docs/spec/kms-blob.md``). Pure.

Never knows keys' states, who asks, or where material is kept: material is 32 bytes that the caller has opened.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from strongroom.kms.names import KEY_ID, KeyName

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC: Final = b"SRKB"
VERSION: Final = 1
SUITE: Final = 1  # KBKDF-HMAC-SHA256, AES-256-GCM
LABEL: Final = b"strongroom/kms/blob/1/1/ciphertext"  # product, room, thing / version / suite / purpose
MATERIAL_ID_SIZE: Final = 32
SALT_SIZE: Final = 16
IV_SIZE: Final = 12
TAG_SIZE: Final = 16
RANDOM_SIZE: Final = SALT_SIZE + IV_SIZE
MAX_PLAIN: Final = 4096
MAX_BLOB: Final = 6144

_START: Final = MAGIC + bytes([VERSION, SUITE])
_LENGTH: Final = struct.Struct(">I")
REGION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


class BlobError(Exception):
    """Not a blob of ours, or not under this material and context. Says nothing more, on purpose."""


class ContextError(ValueError):
    """An encryption context that is not made of Unicode strings (a lone surrogate)."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A parsed blob. Nothing in it is authentic before ``open_blob`` has returned."""

    key: KeyName
    material_id: str  # 64 hex
    salt: bytes
    iv: bytes
    header: bytes = field(repr=False)  # every byte before the ciphertext
    sealed: bytes = field(repr=False)  # ciphertext and tag


def encode_context(context: Mapping[str, str]) -> bytes:
    """Count, then key and value with their lengths, sorted by the UTF-8 bytes of the keys. Raises ContextError."""
    try:
        pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    except UnicodeEncodeError:
        raise ContextError("the encryption context is not valid Unicode") from None
    parts = [_LENGTH.pack(len(pairs))]
    for key, value in pairs:
        parts += (_LENGTH.pack(len(key)), key, _LENGTH.pack(len(value)), value)
    return b"".join(parts)


def one_time_key(material: bytes, salt: bytes, key_id: str, material_id: bytes) -> bytes:
    """32 bytes by KBKDF in counter mode with HMAC-SHA256 (NIST SP 800-108r1, 4.1): 32-bit counter first, 32-bit length last."""
    context = salt + key_id.encode("ascii") + material_id
    return KBKDFHMAC(SHA256(), Mode.CounterMode, 32, 4, 4, CounterLocation.BeforeFixed, LABEL, context, None).derive(material)


def seal_blob(key: KeyName, material_id: str, material: bytes, plain: bytes, context: Mapping[str, str], random: bytes) -> bytes:
    """A blob over 1 to 4096 bytes of ``plain``; ``random`` is 28 fresh random bytes (salt, IV), never used before.

    Raises ContextError, and ValueError for sizes or names that the format has no room for.
    """
    if not 1 <= len(plain) <= MAX_PLAIN or len(random) != RANDOM_SIZE or not _named(key):
        raise ValueError("this cannot be put into a blob")
    salt, iv, raw_id = random[:SALT_SIZE], random[SALT_SIZE:], bytes.fromhex(material_id)
    header = b"".join((_START, *_prefixed(key), raw_id, salt, iv, _LENGTH.pack(len(plain))))
    cipher = AESGCM(one_time_key(material, salt, key.key_id, raw_id))
    blob = header + cipher.encrypt(iv, plain, header + encode_context(context))
    if len(blob) > MAX_BLOB:
        raise ValueError("the blob is longer than 6144 bytes")
    return blob


@lru_cache(1024)
def parse_blob(data: bytes) -> Blob:
    """Strict: known version and suite, well-formed names, exact total length. Raises BlobError.

    Remembered, since the objects of one bucket key have one blob; nothing in it is secret.
    """
    if len(data) > MAX_BLOB or not data.startswith(_START):
        raise BlobError
    region, at = _taken(data, len(_START))
    account_id, at = _taken(data, at)
    key_id, at = _taken(data, at)
    key = KeyName(account_id, region, key_id)
    end = at + MATERIAL_ID_SIZE + SALT_SIZE + IV_SIZE + _LENGTH.size
    if not _named(key) or len(data) < end:
        raise BlobError
    (length,) = _LENGTH.unpack_from(data, end - _LENGTH.size)
    if not 1 <= length <= MAX_PLAIN or len(data) != end + length + TAG_SIZE:
        raise BlobError
    salt_at = at + MATERIAL_ID_SIZE
    iv_at = salt_at + SALT_SIZE
    return Blob(key, data[at:salt_at].hex(), data[salt_at:iv_at], data[iv_at : iv_at + IV_SIZE], data[:end], data[end:])


def open_blob(blob: Blob, material: bytes, context: Mapping[str, str]) -> bytes:
    """The plaintext. Raises BlobError when header, ciphertext, material or context is not what sealed it; ContextError."""
    cipher = AESGCM(one_time_key(material, blob.salt, blob.key.key_id, bytes.fromhex(blob.material_id)))
    try:
        return cipher.decrypt(blob.iv, blob.sealed, blob.header + encode_context(context))
    except InvalidTag:
        raise BlobError from None


def _named(key: KeyName) -> bool:
    return bool(REGION.fullmatch(key.region) and _ACCOUNT.fullmatch(key.account_id) and KEY_ID.fullmatch(key.key_id))


def _prefixed(key: KeyName) -> list[bytes]:
    return [bytes([len(text)]) + text.encode("ascii") for text in (key.region, key.account_id, key.key_id)]


def _taken(data: bytes, at: int) -> tuple[str, int]:
    """A text with one byte of length in front, and where it ends. Slicing past the end gives too few bytes, never an error."""
    length = data[at] if at < len(data) else 0
    end = at + 1 + length
    try:
        return data[at + 1 : end].decode("ascii"), end
    except UnicodeDecodeError:
        raise BlobError from None
