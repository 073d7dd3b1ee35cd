"""What IAM says when it refuses: one function for each text that more than one operation needs. Texts: answers of AWS as recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from strongroom.iam.entities import Sort

_TITLES: Final[dict[Sort, str]] = {"user": "User", "group": "Group", "role": "Role"}


def missing(sort: Sort, name: str) -> ApiError:
    return ApiError("NoSuchEntity", f"The {sort} with name {name} cannot be found.")


def exists(sort: Sort, name: str) -> ApiError:
    return ApiError("EntityAlreadyExists", f"{_TITLES[sort]} with name {name} already exists.")


def missing_policy(policy_arn: str) -> ApiError:
    return ApiError("NoSuchEntity", f"Policy {policy_arn} was not found.")


def missing_version(policy_arn: str, version_id: str) -> ApiError:
    return ApiError("NoSuchEntity", f"Policy {policy_arn} version {version_id} does not exist or is not attachable.")


def not_attachable(policy_arn: str) -> ApiError:
    return ApiError("NoSuchEntity", f"Policy {policy_arn} does not exist or is not attachable.")


def conflict(what: str) -> ApiError:
    return ApiError("DeleteConflict", f"Cannot delete entity, must {what} first.")


def quota(name: str, most: int) -> ApiError:
    return ApiError("LimitExceeded", f"Cannot exceed quota for {name}: {most}")


def invalid(text: str) -> ApiError:
    return ApiError("ValidationError", text)


def invalid_arn() -> ApiError:
    return invalid("Invalid ARN:  Could not be parsed!")


def malformed_policy(error: Exception) -> ApiError:
    return ApiError("MalformedPolicyDocument", str(error))


def invalid_input(text: str) -> ApiError:
    return ApiError("InvalidInput", text)


def bad_tags(text: str) -> ApiError:
    return ApiError("InvalidInput", text)
