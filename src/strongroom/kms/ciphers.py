"""Encryption under a key by the algorithm that is asked for: blobs of our own under symmetric keys, raw RSA-OAEP under RSA keys.

An RSA ciphertext is what RFC 8017 says and nothing more, so that whoever has the public key can make one without asking us.
Never knows who asks; the caller has been authorized and the state of the key checked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from strongroom.kms import refusals
from strongroom.kms.access import material, seal, unseal
from strongroom.kms.material import private_key
from strongroom.kms.records import SYMMETRIC
from strongroom.kms.specs import algorithms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from strongroom.kms.blob import Blob
    from strongroom.kms.records import KeyRecord
    from strongroom.kms.ring import KeyRing

#: SHA-1 is safe in OAEP, which does not lean on collisions; AWS offers it.
_OAEP: Final[dict[str, HashAlgorithm]] = {"RSAES_OAEP_SHA_1": SHA1(), "RSAES_OAEP_SHA_256": SHA256()}  # noqa: S303


def oaep(algorithm: str) -> padding.OAEP:
    """RSAES-OAEP with one hash for label and mask, and an empty label (RFC 8017, 7.1)."""
    digest = _OAEP[algorithm]
    return padding.OAEP(padding.MGF1(digest), digest, None)


def check_algorithm(record: KeyRecord, algorithm: str, context: Mapping[str, str]) -> None:
    """Raises ApiError for an algorithm the key does not have, and for a context that RSA could not bind."""
    if algorithm not in algorithms(record.spec, record.usage)[1]:
        raise refusals.wrong_algorithm(algorithm, record.spec)
    if context and algorithm != SYMMETRIC:
        raise refusals.invalid("An encryption context is supported only with symmetric encryption KMS keys.")


def check_size(record: KeyRecord, algorithm: str, size: int) -> None:
    """Raises ApiError for more bytes than RSA takes: the modulus less two digests and two bytes."""
    if algorithm == SYMMETRIC:
        return
    most = int(record.spec.removeprefix("RSA_")) // 8 - 2 * _OAEP[algorithm].digest_size - 2
    if size > most:
        raise refusals.invalid(f"Algorithm {algorithm} and key spec {record.spec} cannot encrypt data larger than {most} bytes.")


async def encrypt(ring: KeyRing, record: KeyRecord, algorithm: str, plain: bytes, context: Mapping[str, str]) -> bytes:
    """Raises ApiError."""
    if algorithm == SYMMETRIC:
        return await seal(ring, record, plain, context)
    secret = await material(ring, record)
    return await asyncio.to_thread(lambda: _rsa(secret).public_key().encrypt(plain, oaep(algorithm)))


async def decrypt(
    ring: KeyRing, record: KeyRecord, algorithm: str, ciphertext: Blob | bytes, context: Mapping[str, str]
) -> bytes:
    """Raises ApiError, InvalidCiphertextException for whatever is wrong with the ciphertext."""
    if not isinstance(ciphertext, bytes):
        return await unseal(ring, record, ciphertext, context)
    secret = await material(ring, record)
    try:
        return await asyncio.to_thread(lambda: _rsa(secret).decrypt(ciphertext, oaep(algorithm)))
    except ValueError:
        raise refusals.invalid_ciphertext() from None


def _rsa(secret: bytes) -> rsa.RSAPrivateKey:
    return cast("rsa.RSAPrivateKey", private_key(secret))
