"""A data key locked by a customer's key (SSE-C): a salt, a verifier of the customer's key, and the wrapped data key.

The customer's key itself is never kept. The verifier tells a wrong key from damaged bytes and commits to the one key that opens;
it and the key-encrypting key are derived apart, so neither says anything of the other. The whole lock is wrapped once more by whoever
keeps it. Never knows where keys come from or how requests carry them. ``docs/spec/at-rest.md`` section 6.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable
from typing import Final

from strongroom.seal import Forged, Truncated
from strongroom.seal.wrap import KEY, NONCE, TAG, derive, unwrap, wrap

SALT: Final = 32
VERIFIER: Final = 32
LOCK: Final = SALT + VERIFIER + NONCE + KEY + TAG  # 124 bytes

_KEK_LABEL: Final = "strongroom/seal/customer/kek/1"
_VERIFIER_LABEL: Final = "strongroom/seal/customer/verifier/1"
_BINDING_LABEL: Final = b"strongroom/seal/customer/data-key/1"
_U32: Final = struct.Struct(">I")


def lock(
    customer_key: bytes, data_key: bytes, bucket_id: str, object_key: str, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """The 124 bytes of a lock. Both keys have 32 bytes, else ValueError; ``random``: asked for the salt (32), then the nonce (12)."""
    if len(data_key) != KEY:
        raise ValueError("a data key is 32 bytes")
    salt = random(SALT)
    verifier = derive(customer_key, _VERIFIER_LABEL, salt=salt)
    wrapped = wrap(derive(customer_key, _KEK_LABEL, salt=salt), data_key, _binding(bucket_id, object_key), random)
    return salt + verifier + wrapped


def fits(customer_key: bytes, locked: bytes) -> bool:
    """Whether this is the key that locked it, told in constant time. A key of another length never is. Raises Truncated."""
    if len(locked) != LOCK:
        raise Truncated("a lock is 124 bytes")
    if len(customer_key) != KEY:
        return False
    return hmac.compare_digest(derive(customer_key, _VERIFIER_LABEL, salt=locked[:SALT]), locked[SALT : SALT + VERIFIER])


def unlock(customer_key: bytes, locked: bytes, bucket_id: str, object_key: str) -> bytes:
    """The data key. Raises Forged (also for a key that does not fit: ask ``fits`` first to tell them apart), Truncated."""
    if not fits(customer_key, locked):
        raise Forged("the customer's key does not fit this lock")
    kek = derive(customer_key, _KEK_LABEL, salt=locked[:SALT])
    return unwrap(kek, locked[SALT + VERIFIER :], _binding(bucket_id, object_key))


def _binding(bucket_id: str, object_key: str) -> bytes:
    """Not the version: an upload is completed without the customer's key. The wrapping around the lock is bound to all of it."""
    bucket, key = bucket_id.encode(), object_key.encode()
    return b"".join((_BINDING_LABEL, _U32.pack(len(bucket)), bucket, _U32.pack(len(key)), key))
