"""What the material of a key is, by its spec: how it is made, how imported material is checked, and how it is read. Pure.

Symmetric and HMAC material is random bytes; that of an asymmetric key is its private key as PKCS #8 in DER (RFC 5958), from which
the public key is derived whenever it is asked for, so that no public key on disk can be put in the place of another.
Never knows which key it is for, nor how it is wrapped.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from strongroom.kms.records import SYMMETRIC, binding

if TYPE_CHECKING:
    from collections.abc import Callable

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)

#: Bytes of secret. An HMAC key is as long as its digest (AWS KMS Developer Guide, "HMAC keys").
SIZES: Final = {SYMMETRIC: 32, "HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
_RSA_BITS: Final = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
_CURVES: Final[dict[str, ec.EllipticCurve]] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
_ML_DSA: Final[dict[str, type[mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey]]] = {
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
}
_EXPONENT: Final = 65537


class MaterialError(Exception):
    """Bytes that are not the material of such a key. Says nothing of them."""


def fresh(spec: str, random: Callable[[int], bytes]) -> bytes:
    """New material. Slow for RSA: call it in a thread. Private keys come from the library's generator, the rest from ``random``.

    Raises MaterialError for a spec that the library at hand does not have.
    """
    if spec in SIZES:
        return random(SIZES[spec])
    try:
        return encoded(_generated(spec))
    except UnsupportedAlgorithm:
        raise MaterialError(f"the library has no {spec}") from None


def _generated(spec: str) -> PrivateKey:
    if spec in _RSA_BITS:
        return rsa.generate_private_key(_EXPONENT, _RSA_BITS[spec])
    if spec in _CURVES:
        return ec.generate_private_key(_CURVES[spec])
    if spec in _ML_DSA:
        return _ML_DSA[spec].generate()
    return ed25519.Ed25519PrivateKey.generate()


def imported(spec: str, data: bytes) -> bytes:
    """The material in the form in which it is kept, whatever valid form it came in. Raises MaterialError."""
    if spec in SIZES:
        if len(data) != SIZES[spec]:
            raise MaterialError("the material has another length")
        return data
    try:
        key = load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):  # the last for keys of impossible lengths
        raise MaterialError("not a private key in DER") from None
    if not _fits(spec, key):
        raise MaterialError("a private key of another kind")
    return encoded(key)  # type: ignore[arg-type]


def _fits(spec: str, key: object) -> bool:
    if spec in _RSA_BITS:
        return isinstance(key, rsa.RSAPrivateKey) and key.key_size == _RSA_BITS[spec]
    if spec in _CURVES:
        return isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _CURVES[spec].name
    if spec in _ML_DSA:
        return isinstance(key, _ML_DSA[spec])
    return isinstance(key, ed25519.Ed25519PrivateKey)


def fingerprint(key_id: str, material: bytes) -> str:
    """64 hex that tell imported material apart, and equal only for equal material of one key: HMAC-SHA256 under the material."""
    return hmac.digest(material, binding("strongroom/kms/material-id/1", key_id), "sha256").hex()


def private_key(material: bytes) -> PrivateKey:
    """Of an asymmetric key. The material was checked when it was made or imported, and is authentic since it was unwrapped."""
    return load_der_private_key(material, None, unsafe_skip_rsa_key_validation=True)  # type: ignore[return-value]


def public_der(material: bytes) -> bytes:
    """The public key as SubjectPublicKeyInfo in DER (RFC 5280)."""
    return private_key(material).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def encoded(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
