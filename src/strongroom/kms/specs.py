"""Which kinds of keys there are, which usages go together with them, and which of them this server makes. Pure.

Never knows keys. Source: AWS KMS API reference, CreateKey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.kms import refusals
from strongroom.kms.records import ENCRYPT_DECRYPT, SYMMETRIC

if TYPE_CHECKING:
    from strongroom.api.operation import Input

_RSA: Final = frozenset({ENCRYPT_DECRYPT, "SIGN_VERIFY"})
_CURVE: Final = frozenset({"SIGN_VERIFY", "KEY_AGREEMENT"})
_SIGN: Final = frozenset({"SIGN_VERIFY"})
_MAC: Final = frozenset({"GENERATE_VERIFY_MAC"})
_ENCAPSULATE: Final = frozenset({"ENCAPSULATE_DECAPSULATE"})

USAGES: Final[dict[str, frozenset[str]]] = {
    SYMMETRIC: frozenset({ENCRYPT_DECRYPT}),
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), _RSA),
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"), _CURVE),
    **dict.fromkeys(("ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), _SIGN),
    **dict.fromkeys(("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), _MAC),
    **dict.fromkeys(("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), _ENCAPSULATE),
    "SM2": _RSA | _CURVE,
}


def check_kind(asked: Input) -> None:
    """Of CreateKey's input: returns for a symmetric key with material of our own.

    Raises ApiError for every other kind: ValidationException when the request contradicts itself, else
    UnsupportedOperationException.
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
    if spec != SYMMETRIC:
        raise refusals.unsupported(f"KeySpec {spec}")
    origin = asked.get("Origin") or "AWS_KMS"
    if origin != "AWS_KMS":
        raise refusals.unsupported(f"Origin {origin}")
    if asked.get("CustomKeyStoreId") is not None or asked.get("XksKeyId") is not None:
        raise refusals.unsupported("A custom key store")
    if asked.get("MultiRegion"):
        raise refusals.unsupported("MultiRegion")
