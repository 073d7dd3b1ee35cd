"""The refusals of the KMS API, each text in one place. Pure.

Never knows why a rule holds, only how AWS words it. Texts: recordings of AWS; ARNs are never quoted in denials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from strongroom.api.operation import Caller


def missing_key(key_arn: str) -> ApiError:
    return ApiError("NotFoundException", f"Key '{key_arn}' does not exist")


def invalid_key_id(identifier: str) -> ApiError:
    return ApiError("NotFoundException", f"Invalid keyId '{identifier}'")


def invalid_arn(region: str) -> ApiError:
    return ApiError("NotFoundException", f"Invalid arn {region}")


def missing_alias(alias_arn: str) -> ApiError:
    return ApiError("NotFoundException", f"Alias {alias_arn} is not found.")


def hidden(caller: Caller, action: str) -> ApiError:
    """A key of another account that is missing, or not shared: the two must look alike."""
    return ApiError(
        "AccessDenied",
        f"User: {caller.arn} is not authorized to perform: {action} on this resource because the resource does not exist "
        "in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
    )


def hidden_ciphertext() -> ApiError:
    return ApiError(
        "AccessDenied",
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
        "or you are not allowed to access.",
    )


def invalid_ciphertext() -> ApiError:
    """One answer for every cause, without a message."""
    return ApiError("InvalidCiphertextException", "")


def incorrect_key() -> ApiError:
    return ApiError("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")


def disabled(key_arn: str) -> ApiError:
    return ApiError("DisabledException", f"{key_arn} is disabled.")


def pending_deletion(key_arn: str) -> ApiError:
    return ApiError("KMSInvalidStateException", f"{key_arn} is pending deletion.")


def pending_replica_deletion(key_arn: str) -> ApiError:
    return ApiError("KMSInvalidStateException", f"{key_arn} is pending replica deletion.")


def pending_import(key_arn: str) -> ApiError:
    return ApiError("KMSInvalidStateException", f"{key_arn} is pending import.")


def wrong_origin(key_arn: str, origin: str) -> ApiError:
    return ApiError("UnsupportedOperationException", f"{key_arn} origin is {origin} which is not valid for this operation.")


def not_primary(key_arn: str) -> ApiError:
    return ApiError("UnsupportedOperationException", f"{key_arn} is not a multi-region primary key.")


def asymmetric_data_key() -> ApiError:
    return ApiError("InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK")


def not_pending_deletion(key_arn: str) -> ApiError:
    return ApiError("KMSInvalidStateException", f"{key_arn} is not pending deletion.")


def wrong_usage(key_arn: str, usage: str, operation: str) -> ApiError:
    return ApiError("InvalidKeyUsageException", f"{key_arn} key usage is {usage} which is not valid for {operation}.")


def wrong_algorithm(algorithm: str, spec: str) -> ApiError:
    return ApiError("InvalidKeyUsageException", f"Algorithm {algorithm} is incompatible with key spec {spec}.")


def never_rotated() -> ApiError:
    """An asymmetric or HMAC key: it has one material for good. Without a message."""
    return ApiError("UnsupportedOperationException", "")


def dry_run() -> ApiError:
    return ApiError("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


def invalid(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def out_of_bounds(value: int, member: str, bound: str) -> ApiError:
    """``bound``: "less than or equal to 100"."""
    return invalid(
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must have value {bound}"
    )


def missing_member(member: str) -> ApiError:
    return invalid(f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null")


def unsupported(what: str) -> ApiError:
    return ApiError("UnsupportedOperationException", f"{what} is not supported by this server.")


def reserved_alias() -> ApiError:
    return ApiError("NotAuthorizedException", "The alias prefix alias/aws/ is reserved for keys that services manage.")
