"""Import tokens, and what customers wrap their material in (``docs/spec/kms-blob.md``).

A token carries the private half of its wrapping key, wrapped by the provider and bound to the KMS key, the algorithm and its last
moment; nothing is kept of it here. Never knows what becomes of the material.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding

from strongroom.api.errors import ApiError
from strongroom.kms import refusals
from strongroom.kms.access import failure
from strongroom.kms.contract import Forged, ProviderError, Unknown
from strongroom.kms.material import fresh, private_key, public_der
from strongroom.kms.records import binding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from strongroom.kms.names import KeyName
    from strongroom.kms.ring import KeyRing

MAGIC: Final = b"SRIT"
VERSION: Final = 1
LIFE_MS: Final = 24 * 3600 * 1000
_HEAD: Final = struct.Struct(">4sBBQ")  # magic, version, algorithm, the last moment in milliseconds
_NUMBERS: Final = {
    "RSAES_OAEP_SHA_1": 1,
    "RSAES_OAEP_SHA_256": 2,
    "RSA_AES_KEY_WRAP_SHA_1": 3,
    "RSA_AES_KEY_WRAP_SHA_256": 4,
}
ALGORITHMS: Final = frozenset(_NUMBERS)
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}


class TransportError(Exception):
    """Material that was not wrapped under that key and algorithm. Says nothing more."""


@dataclass(frozen=True, slots=True)
class Issued:
    token: bytes
    public_key: bytes  # SubjectPublicKeyInfo in DER
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Transport:
    """An opened token: what takes the customer's wrapping off."""

    algorithm: str
    secret: bytes = field(repr=False)

    def unwrap(self, data: bytes) -> bytes:
        """The material. Slow: call it in a thread. Raises TransportError."""
        key = cast("rsa.RSAPrivateKey", private_key(self.secret))
        digest: HashAlgorithm = SHA1() if self.algorithm.endswith("SHA_1") else SHA256()  # noqa: S303 - AWS offers it, in OAEP
        scheme = padding.OAEP(padding.MGF1(digest), digest, None)
        try:
            if self.algorithm.startswith("RSAES"):
                return key.decrypt(data, scheme)
            size = key.key_size // 8  # in front the AES key, behind it the material as RFC 5649 wraps it
            return aes_key_unwrap_with_padding(key.decrypt(data[:size], scheme), data[size:])
        except (ValueError, InvalidUnwrap):
            raise TransportError from None


async def issue(ring: KeyRing, name: KeyName, algorithm: str, spec: str, now_ms: int) -> Issued:
    """A fresh wrapping key of that RSA spec for material of one KMS key, and its token. Raises ApiError."""
    secret = await asyncio.to_thread(fresh, spec, ring.random)
    expires_ms = now_ms + LIFE_MS
    head = _HEAD.pack(MAGIC, VERSION, _NUMBERS[algorithm], expires_ms)
    try:
        wrapped = await ring.provider.wrap(secret, _binding(name, head))
    except ProviderError as error:
        raise failure(error) from error
    return Issued(head + wrapped, public_der(secret), expires_ms)


async def opened(ring: KeyRing, name: KeyName, token: bytes, now_ms: int) -> Transport:
    """Raises ApiError InvalidImportTokenException, ExpiredImportTokenException."""
    head = token[: _HEAD.size]
    if len(head) < _HEAD.size:
        raise _invalid()
    magic, version, number, expires_ms = _HEAD.unpack(head)
    if magic != MAGIC or version != VERSION or number not in _NAMES:
        raise _invalid()
    try:
        secret = await ring.provider.unwrap(token[_HEAD.size :], _binding(name, head))
    except (Forged, Unknown):
        raise _invalid() from None
    except ProviderError as error:
        raise failure(error) from error
    if expires_ms <= now_ms:
        raise ApiError("ExpiredImportTokenException", "The import token has expired.")
    return Transport(_NAMES[number], secret)


def check_parameters(spec: str, algorithm: str, wrapping_spec: str) -> None:
    """Raises ApiError for a wrapping that is not offered, or that has no room for material of that key spec."""
    if algorithm not in ALGORITHMS:
        raise refusals.unsupported(f"WrappingAlgorithm {algorithm}")
    if wrapping_spec not in {"RSA_2048", "RSA_3072", "RSA_4096"}:
        raise refusals.unsupported(f"WrappingKeySpec {wrapping_spec}")
    too_long = spec.startswith("RSA_") or (spec == "ECC_NIST_P521" and wrapping_spec == "RSA_2048")
    if algorithm.startswith("RSAES") and too_long:
        raise refusals.invalid(f"Key material of {spec} does not fit {algorithm} with {wrapping_spec}; use RSA_AES_KEY_WRAP.")


def _binding(name: KeyName, head: bytes) -> bytes:
    return binding("kms-import", name.account_id, name.region, name.key_id, head.hex())


def _invalid() -> ApiError:
    return ApiError("InvalidImportTokenException", "The import token is invalid, or belongs to another KMS key.")
