"""The embedded provider: wrapping under the 32 bytes the server derived from its root key, AES-256-GCM-SIV (RFC 8452).

Never knows where those bytes come from, nor what it wraps.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from strongroom.kms.contract import Forged
from strongroom.seal import SealError, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_SIZE: Final = 32


class LocalProvider:
    """A ``Provider`` without a network. ``kms_key``: 32 bytes; raises ValueError for any other length."""

    def __init__(self, kms_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        if len(kms_key) != KEY_SIZE:
            raise ValueError(f"kms_key must be {KEY_SIZE} bytes")
        self._kms_key = kms_key
        self._random = random

    @property
    def name(self) -> str:
        return "local"

    async def wrap(self, material: bytes, binding: bytes) -> bytes:
        return wrap.wrap(self._kms_key, material, binding, self._random)

    async def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        try:
            return wrap.unwrap(self._kms_key, wrapped, binding)
        except SealError:
            raise Forged("the wrapped bytes do not open under this root key and binding") from None
