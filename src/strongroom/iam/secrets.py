"""Secret access keys: how they are made, and how they are sealed in the catalog.

A secret must be readable again (a signature is checked with it), so it is sealed and not hashed. Never knows accounts beyond
the names a secret is bound to, nor where the record is kept.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from strongroom.iam.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL: Final = b"strongroom/iam/secret-access-key"
_VERSION: Final = b"\x01"
_NONCE: Final = 12
_TAG: Final = 16


def new_secret(random: Callable[[int], bytes] = os.urandom) -> str:
    """40 characters of base64: 240 random bits."""
    return base64.b64encode(random(30)).decode("ascii")


class SecretSeal:
    """AES-256-GCM-SIV (RFC 8452) with random 96-bit nonces; ``iam_key`` is 32 bytes. Raises ValueError for another length.

    A sealed secret is base64 of: format version 1 (1 byte), nonce (12), ciphertext, tag (16). It is bound to its access key id
    and account id, so a record moved to another access key or account does not open.
    """

    def __init__(self, iam_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(iam_key) != 32:
            raise ValueError("the iam key must be 32 bytes")
        self._cipher = AESGCMSIV(iam_key)
        self._random = random

    def seal(self, secret_access_key: str, access_key_id: str, account_id: str) -> str:
        nonce = self._random(_NONCE)
        sealed = self._cipher.encrypt(nonce, secret_access_key.encode("ascii"), _binding(access_key_id, account_id))
        return base64.b64encode(_VERSION + nonce + sealed).decode("ascii")

    def open(self, sealed: str, access_key_id: str, account_id: str) -> str:
        """Raises Damaged when it was not sealed under this key for this access key of this account."""
        try:
            record = base64.b64decode(sealed, validate=True)
            if len(record) < 1 + _NONCE + _TAG or record[:1] != _VERSION:
                raise Damaged(_damaged(access_key_id))
            nonce, body = record[1 : 1 + _NONCE], record[1 + _NONCE :]
            return self._cipher.decrypt(nonce, body, _binding(access_key_id, account_id)).decode("ascii")
        except (binascii.Error, ValueError, InvalidTag) as error:
            raise Damaged(_damaged(access_key_id)) from error


def _binding(access_key_id: str, account_id: str) -> bytes:
    """Length-prefixed, so that no two pairs of names give the same bytes."""
    parts = (_LABEL, access_key_id.encode("ascii"), account_id.encode("ascii"))
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _damaged(access_key_id: str) -> str:
    return f"the record of access key {access_key_id} does not open: it was changed, or the root key is another one"
