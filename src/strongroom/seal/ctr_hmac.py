"""The outer layer of DSSE-KMS: Tink Streaming AEAD, AES256-CTR-HMAC-SHA256. Only what differs from ``stream``: the segment's cipher.

Never knows what it wraps: an inner stream is bytes to it. ``docs/spec/at-rest.md`` section 3.1 is the specification.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.constant_time import bytes_eq

from strongroom.seal.segments import Segments
from strongroom.seal.stream import Construction, Data

TAG: Final = 32
_KEY: Final = 32  # bytes of AES's key; HMAC's has as many
_COUNTER: Final = bytes(4)  # what follows the nonce in the first counter block of a segment


class _CtrHmac:
    """Encrypt, then authenticate counter block and ciphertext. One for one stream; not for several threads."""

    __slots__ = ("_ctr", "_mac")

    def __init__(self, keys: bytes) -> None:
        # A counter stream is its own inverse: one context serves both ways, and is set to another nonce for each segment.
        self._ctr = Cipher(AES(keys[:_KEY]), CTR(bytes(16))).encryptor()
        self._mac = hmac.new(
            keys[_KEY:], digestmod="sha256"
        )  # lets other threads run meanwhile, which the other library's does not

    def encrypt(self, nonce: bytes, data: Data, associated_data: None, /) -> bytes:
        out = bytearray(len(data) + TAG)
        self.encrypt_into(nonce, data, associated_data, out)
        return bytes(out)

    def encrypt_into(self, nonce: bytes, data: Data, _associated_data: None, buf: Data, /) -> int:
        size = len(data)
        with memoryview(buf) as target, target[:size] as ciphertext:
            self._ctr.reset_nonce(nonce + _COUNTER)
            self._ctr.update_into(data, ciphertext)
            target[size:] = self._tag(nonce, ciphertext)
        return size + TAG

    def decrypt(self, nonce: bytes, data: Data, associated_data: None, /) -> bytes:
        out = bytearray(max(len(data) - TAG, 0))
        self.decrypt_into(nonce, data, associated_data, out)
        return bytes(out)

    def decrypt_into(self, nonce: bytes, data: Data, _associated_data: None, buf: Data, /) -> int:
        size = len(data) - TAG
        if size < 0:
            raise InvalidTag
        with memoryview(data) as sealed, sealed[:size] as ciphertext:
            if not bytes_eq(self._tag(nonce, ciphertext), bytes(sealed[size:])):
                raise InvalidTag
            self._ctr.reset_nonce(nonce + _COUNTER)
            return self._ctr.update_into(ciphertext, buf)

    def _tag(self, nonce: bytes, ciphertext: Data) -> bytes:
        mac = self._mac.copy()
        mac.update(nonce + _COUNTER)
        mac.update(ciphertext)
        return mac.digest()


CTR_HMAC: Final = Construction(Segments(TAG), 2 * _KEY, _CtrHmac)
