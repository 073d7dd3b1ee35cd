"""The table of key states: what each operation answers on a key that is not simply enabled. Pure.

Never knows a caller, or what kind of key it is: state is looked at after authorization and before the kind. Source: "Key states of
AWS KMS keys" in the KMS Developer Guide, corrected where recordings of AWS say otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.kms import refusals
from strongroom.kms.records import EXTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.api.errors import ApiError
    from strongroom.kms.records import KeyRecord, State

    Row = Mapping[State, Callable[[str], ApiError]]

_ANY: Final[Row] = {}
_NOT_DOOMED: Final[Row] = {
    "PendingDeletion": refusals.pending_deletion,
    "PendingReplicaDeletion": refusals.pending_replica_deletion,
}
_WITH_MATERIAL: Final[Row] = {**_NOT_DOOMED, "PendingImport": refusals.pending_import}
_IN_USE: Final[Row] = {**_WITH_MATERIAL, "Disabled": refusals.disabled}
_OWN_MATERIAL: Final[Row] = {
    **_NOT_DOOMED,
    "Disabled": refusals.disabled,
    "PendingImport": lambda key_arn: refusals.wrong_origin(key_arn, EXTERNAL),
}
_DOOMED: Final[Row] = dict.fromkeys(("Enabled", "Disabled", "PendingImport"), refusals.not_pending_deletion)

#: A state that is not in a row is fine.
TABLE: Final[Mapping[str, Row]] = {
    **dict.fromkeys(
        (
            "Encrypt",
            "Decrypt",
            "ReEncrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateDataKeyPair",
            "GenerateDataKeyPairWithoutPlaintext",
            "GenerateMac",
            "VerifyMac",
            "Sign",
            "Verify",
            "GetPublicKey",
            "DeriveSharedSecret",
            "Encapsulate",
            "Decapsulate",
            "CreateGrant",
            "RotateKeyOnDemand",
            "ReplicateKey",
            "UpdatePrimaryRegion",
        ),
        _IN_USE,
    ),
    **dict.fromkeys(
        (
            "DescribeKey",
            "GetKeyLastUsage",
            "GetKeyPolicy",
            "PutKeyPolicy",
            "ListGrants",
            "ListKeyPolicies",
            "ListKeyRotations",
            "ListResourceTags",
            "ListAliases",
            "DeleteAlias",
            "RetireGrant",
            "RevokeGrant",
            "DeleteImportedKeyMaterial",
        ),
        _ANY,
    ),
    **dict.fromkeys(
        (
            "CreateAlias",
            "UpdateAlias",
            "TagResource",
            "UntagResource",
            "UpdateKeyDescription",
            "ScheduleKeyDeletion",
            "GetParametersForImport",
            "ImportKeyMaterial",
        ),
        _NOT_DOOMED,
    ),
    **dict.fromkeys(("EnableKey", "DisableKey"), _WITH_MATERIAL),
    **dict.fromkeys(("EnableKeyRotation", "DisableKeyRotation"), _OWN_MATERIAL),
    "GetKeyRotationStatus": {"PendingImport": _OWN_MATERIAL["PendingImport"]},
    "CancelKeyDeletion": _DOOMED,
}


#: Operations on imported material, refused for any other in every state; and operations on other material, looked at after the state.
_IMPORTED_ONLY: Final = frozenset({"GetParametersForImport", "ImportKeyMaterial", "DeleteImportedKeyMaterial"})
_NEVER_IMPORTED: Final = frozenset({"EnableKeyRotation", "DisableKeyRotation"})


def check_state(record: KeyRecord, operation: str) -> None:
    """Raises ApiError when the operation is not for a key in that state; KeyError for an operation that is not in the table."""
    if operation in _IMPORTED_ONLY and record.origin != EXTERNAL:
        raise refusals.wrong_origin(record.name.arn, record.origin)
    refusal = TABLE[operation].get(record.state)
    if refusal is not None:
        raise refusal(record.name.arn)
    if operation in _NEVER_IMPORTED and record.origin == EXTERNAL:
        raise refusals.wrong_origin(record.name.arn, record.origin)
