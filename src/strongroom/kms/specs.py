"""Which kinds of keys there are, which usages and algorithms go together with them, and which of them this server makes. Pure.

Never knows keys. Source: AWS KMS API reference, CreateKey; AWS KMS Developer Guide, "Key spec reference".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from strongroom.kms import refusals
from strongroom.kms.records import AWS_KMS, ENCRYPT_DECRYPT, EXTERNAL, SYMMETRIC

if TYPE_CHECKING:
    from strongroom.api.operation import Input

SIGN_VERIFY: Final = "SIGN_VERIFY"
KEY_AGREEMENT: Final = "KEY_AGREEMENT"
GENERATE_VERIFY_MAC: Final = "GENERATE_VERIFY_MAC"

RSA_SPECS: Final = ("RSA_2048", "RSA_3072", "RSA_4096")
CURVE_SPECS: Final = ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521")
ML_DSA_SPECS: Final = ("ML_DSA_44", "ML_DSA_65", "ML_DSA_87")
HMAC_SPECS: Final = ("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512")

_RSA: Final = frozenset({ENCRYPT_DECRYPT, SIGN_VERIFY})
_CURVE: Final = frozenset({SIGN_VERIFY, KEY_AGREEMENT})
_SIGN: Final = frozenset({SIGN_VERIFY})
_MAC: Final = frozenset({GENERATE_VERIFY_MAC})
_ENCAPSULATE: Final = frozenset({"ENCAPSULATE_DECAPSULATE"})
#: Specs that AWS has and this server does not make: the library has no SM2, and encapsulation is not built.
UNMADE: Final = frozenset({"SM2", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"})

USAGES: Final[dict[str, frozenset[str]]] = {
    SYMMETRIC: frozenset({ENCRYPT_DECRYPT}),
    **dict.fromkeys(RSA_SPECS, _RSA),
    **dict.fromkeys(CURVE_SPECS, _CURVE),
    **dict.fromkeys(("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", *ML_DSA_SPECS), _SIGN),
    **dict.fromkeys(HMAC_SPECS, _MAC),
    **dict.fromkeys(("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), _ENCAPSULATE),
    "SM2": _RSA | _CURVE,
}

_RSA_ENCRYPTION: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_RSA_SIGNING: Final = tuple(f"{scheme}_SHA_{bits}" for scheme in ("RSASSA_PKCS1_V1_5", "RSASSA_PSS") for bits in (256, 384, 512))
_SIGNING: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(RSA_SPECS, _RSA_SIGNING),
    "ECC_NIST_P256": ("ECDSA_SHA_256",),
    "ECC_NIST_P384": ("ECDSA_SHA_384",),
    "ECC_NIST_P521": ("ECDSA_SHA_512",),
    "ECC_SECG_P256K1": ("ECDSA_SHA_256",),
    "ECC_NIST_EDWARDS25519": ("ED25519_SHA_512",),  # the library has no Ed25519ph
    **dict.fromkeys(ML_DSA_SPECS, ("ML_DSA_SHAKE_256",)),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What CreateKey fixes for the whole life of a key."""

    spec: str = SYMMETRIC
    usage: str = ENCRYPT_DECRYPT
    origin: str = AWS_KMS
    multi_region: bool = False


SYMMETRIC_KIND: Final = Kind()


def algorithms(spec: str, usage: str) -> tuple[str, tuple[str, ...]]:
    """The member of KeyMetadata that says what a key can do, and its values."""
    if usage == GENERATE_VERIFY_MAC:
        return "MacAlgorithms", (spec.replace("HMAC_", "HMAC_SHA_"),)
    if usage == KEY_AGREEMENT:
        return "KeyAgreementAlgorithms", ("ECDH",)
    if usage == SIGN_VERIFY:
        return "SigningAlgorithms", _SIGNING[spec]
    return "EncryptionAlgorithms", (SYMMETRIC,) if spec == SYMMETRIC else _RSA_ENCRYPTION


def asymmetric(spec: str) -> bool:
    return spec != SYMMETRIC and spec not in HMAC_SPECS


def family(spec: str) -> str:
    """Keys of one family can take each other's place behind an alias, if their usage is the same."""
    return "asymmetric" if asymmetric(spec) else "HMAC" if spec in HMAC_SPECS else "symmetric"


def asked_kind(asked: Input) -> Kind:
    """Of CreateKey's input: the kind of key to make.

    Raises ApiError: ValidationException when the request contradicts itself, UnsupportedOperationException for what this
    server does not make.
    """
    spec: str | None = asked.get("KeySpec")
    old_spec: str | None = asked.get("CustomerMasterKeySpec")
    usage: str | None = asked.get("KeyUsage")
    if spec and old_spec:
        raise refusals.invalid(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."
        )
    spec = spec or old_spec or SYMMETRIC
    if usage is None and spec != SYMMETRIC:
        raise refusals.invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
    if usage is not None and usage not in USAGES.get(spec, frozenset()):
        raise refusals.invalid(f"KeyUsage {usage} is not compatible with KeySpec {spec}")
    if spec in UNMADE:
        raise refusals.unsupported(f"KeySpec {spec}")
    origin = asked.get("Origin") or AWS_KMS
    if origin not in {AWS_KMS, EXTERNAL}:
        raise refusals.unsupported(f"Origin {origin}")
    if asked.get("CustomKeyStoreId") is not None or asked.get("XksKeyId") is not None:
        raise refusals.unsupported("A custom key store")
    return Kind(spec, usage or ENCRYPT_DECRYPT, origin, bool(asked.get("MultiRegion")))
