"""From CreateGrant's input to the terms of a grant, or why there can be none. Pure.

Never knows which principals exist, nor who asks. Sources: the model's documentation of CreateGrant and GrantConstraints; texts
observed on AWS where there are such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.kms import refusals
from strongroom.kms.grant_records import Constraints, Terms
from strongroom.kms.records import ENCRYPT_DECRYPT, SYMMETRIC

if TYPE_CHECKING:
    from strongroom.api.operation import Input
    from strongroom.kms.records import KeyRecord

MAX_PAIRS: Final = 8
MAX_VALUE: Final = 384  # characters

_ON_EVERY_KEY: Final = frozenset({"CreateGrant", "RetireGrant", "DescribeKey"})
_CIPHER: Final = frozenset({"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo"})
_DATA_KEYS: Final = frozenset(
    {"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}
)
_BY_USAGE: Final = {
    ENCRYPT_DECRYPT: _CIPHER | {"GetPublicKey"},
    "SIGN_VERIFY": frozenset({"Sign", "Verify", "GetPublicKey"}),
    "GENERATE_VERIFY_MAC": frozenset({"GenerateMac", "VerifyMac"}),
    "KEY_AGREEMENT": frozenset({"DeriveSharedSecret", "GetPublicKey"}),
    "ENCAPSULATE_DECAPSULATE": frozenset({"Encapsulate", "Decapsulate", "GetPublicKey"}),
}


def terms(asked: Input, issuing_account: str) -> Terms:
    """Raises ApiError ValidationException, UnsupportedOperationException."""
    for member in ("GranteeServicePrincipal", "RetiringServicePrincipal"):
        if asked.get(member) is not None:
            raise refusals.unsupported(member)
    grantee: str | None = asked.get("GranteePrincipal")
    if grantee is None:
        raise refusals.invalid("You must specify either GranteePrincipal or GranteeServicePrincipal.")
    operations: tuple[str, ...] = tuple(asked["Operations"])
    if not operations:
        raise refusals.invalid("A grant must contain at least one operation.")
    if set(operations) == {"CreateGrant"}:
        raise refusals.invalid("Grants must not contain only the CreateGrant operation.")
    return Terms(
        issuing_account=issuing_account,
        grantee=grantee,
        operations=operations,
        retiring=asked.get("RetiringPrincipal"),
        constraints=_constraints(asked.get("Constraints") or {}),
        name=asked.get("Name") or "",
    )


def check_fits(terms: Terms, record: KeyRecord) -> None:
    """Whether a key of that kind can do what is granted. Raises ApiError ValidationException."""
    possible = _ON_EVERY_KEY | _BY_USAGE[record.usage]
    if record.spec == SYMMETRIC:
        possible = _ON_EVERY_KEY | _CIPHER | _DATA_KEYS
    unfit = sorted(set(terms.operations) - possible)
    if unfit:
        raise refusals.invalid(
            f"The operations {', '.join(unfit)} are not supported by a key of KeySpec {record.spec} and its usage."
        )
    constraints = terms.constraints
    if record.spec != SYMMETRIC and (constraints.equals is not None or constraints.subset is not None):
        raise refusals.invalid("Encryption context constraints are for symmetric encryption keys only.")


def _constraints(given: dict[str, Any]) -> Constraints:
    constraints = Constraints.read(given)
    if constraints.equals is not None and constraints.subset is not None:
        raise refusals.invalid("More than one constraint supplied")
    for context in (constraints.equals, constraints.subset):
        if context is None:
            continue
        if len(context) > MAX_PAIRS:
            raise refusals.invalid(f"A grant constraint can have at most {MAX_PAIRS} encryption context pairs.")
        if any(len(value) > MAX_VALUE for value in context.values()):
            raise refusals.invalid(f"An encryption context value of a grant constraint can have at most {MAX_VALUE} characters.")
    return constraints
