"""Ciphertext blobs: what Encrypt and GenerateDataKey hand out and Decrypt takes back (``docs/spec/kms-blob.md``). Pure.

Never knows keys' states, who asks, or where material is kept: material is 32 bytes that the caller has opened.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.kms.names import KEY_ID, KeyName
from strongroom.seal.mac import hmac_sha256

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
_ACCOUNT_SIZE: Final = 12
_KEY_ID_SIZE: Final = 36
_NAMES_SIZE: Final = len(_START) + 3 + _ACCOUNT_SIZE + _KEY_ID_SIZE  # of all before the material's id, but for the Region
_SMALLEST: Final = _NAMES_SIZE + MATERIAL_ID_SIZE + RANDOM_SIZE + _LENGTH.size + 1 + TAG_SIZE
_FIRST: Final = _LENGTH.pack(1)  # what the one block of the one-time key is made with
_BITS: Final = _LENGTH.pack(256)


class BlobError(Exception):
    """Not a blob of ours, or not under this material and context. Says nothing more, on purpose."""


class ContextError(ValueError):
    """An encryption context that is not made of Unicode strings (a lone surrogate)."""


class Blob(NamedTuple):
    """A parsed blob. Nothing in it is authentic before ``open_blob`` has returned."""

    key: KeyName
    material_id: str  # 64 hex
    salt: bytes
    iv: bytes
    header: bytes  # every byte before the ciphertext
    sealed: bytes  # ciphertext and tag

    def __repr__(self) -> str:
        """Without what it holds."""
        return f"Blob({self.key!r}, {self.material_id!r})"


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
    """32 bytes by KBKDF in counter mode with HMAC-SHA256 (NIST SP 800-108r1, 4.1): 32-bit counter first, 32-bit length last. That is one
    block of the function, and so one HMAC.
    """
    return hmac_sha256(material, _FIRST + LABEL + b"\0" + salt + key_id.encode("ascii") + material_id + _BITS)


def seal_blob(key: KeyName, material_id: str, material: bytes, plain: bytes, context: Mapping[str, str], random: bytes) -> bytes:
    """A blob over 1 to 4096 bytes of ``plain``; ``random`` is 28 fresh random bytes (salt, IV), never used before.

    Raises ContextError, and ValueError for sizes or names that the format has no room for.
    """
    if not 1 <= len(plain) <= MAX_PLAIN or len(random) != RANDOM_SIZE:
        raise ValueError("this cannot be put into a blob")
    salt, iv, raw_id = random[:SALT_SIZE], random[SALT_SIZE:], bytes.fromhex(material_id)
    header = _start(key) + raw_id + random + _LENGTH.pack(len(plain))
    cipher = AESGCM(one_time_key(material, salt, key.key_id, raw_id))
    blob = header + cipher.encrypt(iv, plain, header + encode_context(context))
    if len(blob) > MAX_BLOB:
        raise ValueError("the blob is longer than 6144 bytes")
    return blob


def parse_blob(data: bytes) -> Blob:
    """Strict: known version and suite, well-formed names, exact total length. Raises BlobError."""
    if len(data) > MAX_BLOB or not data.startswith(_START) or len(data) < _SMALLEST:
        raise BlobError
    at = data[len(_START)] + _NAMES_SIZE
    end = at + MATERIAL_ID_SIZE + SALT_SIZE + IV_SIZE + _LENGTH.size
    if len(data) < end:
        raise BlobError
    key = _key_of(data[:at])
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


@lru_cache(1024)
def _start(key: KeyName) -> bytes:
    """How blobs under a key begin: its names, with a byte of length in front of each. Raises ValueError for others than KMS's."""
    if not (REGION.fullmatch(key.region) and _ACCOUNT.fullmatch(key.account_id) and KEY_ID.fullmatch(key.key_id)):
        raise ValueError("this is not the name of a key")
    names = [text.encode("ascii") for text in (key.region, key.account_id, key.key_id)]
    return _START + b"".join([bytes([len(name)]) + name for name in names])


@lru_cache(1024)
def _key_of(start: bytes) -> KeyName:
    """The key of blobs that begin so. Raises BlobError."""
    region_at = len(_START) + 1
    account_at = region_at + start[len(_START)] + 1
    id_at = account_at + _ACCOUNT_SIZE + 1
    try:
        names = start[account_at : id_at - 1], start[region_at : account_at - 1], start[id_at:]
        key = KeyName(*[name.decode("ascii") for name in names])
        if _start(key) == start:
            return key
    except ValueError:  # UnicodeDecodeError among them
        pass
    raise BlobError
