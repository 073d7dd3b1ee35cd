"""Signatures by every algorithm of the KMS API that the library has: RSASSA-PSS and PKCS #1 v1.5 (RFC 8017), ECDSA, Ed25519, ML-DSA.

Pure. Never knows which key signs: a private key comes in, from wherever. Randomness is the library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from strongroom.kms import refusals

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from strongroom.kms.material import PrivateKey

RAW: Final = "RAW"
DIGEST: Final = "DIGEST"
EXTERNAL_MU: Final = "EXTERNAL_MU"
ML_DSA: Final = "ML_DSA_SHAKE_256"
MU_SIZE: Final = 64  # FIPS 204, 6.2
_DIGESTS: Final[dict[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def check_message(algorithm: str, message_type: str, size: int) -> None:
    """Raises ApiError for a kind of message the algorithm does not take, or a digest of another length."""
    prehashed = algorithm.startswith(("RSA", "ECDSA"))
    if message_type == DIGEST and prehashed:
        if size != _digest(algorithm).digest_size:
            raise refusals.invalid(f"Digest is invalid length for algorithm {algorithm}.")
    elif message_type == EXTERNAL_MU and algorithm == ML_DSA:
        if size != MU_SIZE:
            raise refusals.invalid(f"Digest is invalid length for algorithm {algorithm}.")
    elif message_type != RAW:
        raise refusals.invalid(f"MessageType {message_type} is not valid for algorithm {algorithm}.")


def sign(key: PrivateKey, algorithm: str, message_type: str, message: bytes) -> bytes:
    """The signature; of ECDSA as DER (ANSI X9.62), else as its standard has it. Slow for RSA: call it in a thread."""
    signer = cast("Any", key)
    if message_type == EXTERNAL_MU:
        return cast("bytes", signer.sign_mu(message))
    return cast("bytes", signer.sign(message, *_parameters(algorithm, message_type)))


def verify(key: PrivateKey, algorithm: str, message_type: str, message: bytes, signature: bytes) -> bool:
    """Whether the public half of ``key`` takes the signature."""
    verifier = cast("Any", key.public_key())
    try:
        if message_type == EXTERNAL_MU:
            verifier.verify_mu(signature, message)
        else:
            verifier.verify(signature, message, *_parameters(algorithm, message_type))
    except InvalidSignature:
        return False
    return True


def _parameters(algorithm: str, message_type: str) -> tuple[Any, ...]:
    if not algorithm.startswith(("RSA", "ECDSA")):
        return ()
    digest = _digest(algorithm)
    hashing = Prehashed(digest) if message_type == DIGEST else digest
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(hashing),)
    if algorithm.startswith("RSASSA_PSS"):  # the salt is as long as the digest (RFC 8017, 9.1)
        return padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), hashing
    return padding.PKCS1v15(), hashing


def _digest(algorithm: str) -> HashAlgorithm:
    return _DIGESTS[algorithm.rpartition("_")[2]]
