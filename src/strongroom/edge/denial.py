"""What a denied caller is told. Pure. Never knows how the decision was made.

S3 puts the resource in quotes, the other services do not; only callers of the owning account are told who was denied what.
Sources: "Troubleshoot access denied (403 Forbidden) errors" in the S3 user guide; answers of KMS and STS as recorded.
"""

from __future__ import annotations

from strongroom.api.errors import ApiError
from strongroom.policy.decide import Decision, Question


def denial(question: Question, decision: Decision) -> ApiError:
    """The AccessDenied that answers a question that was denied."""
    action = question.action
    service = action.partition(":")[0]
    told = f"User: {question.caller_arn} is not authorized to perform: {action} on"
    if service == "sts" and question.resource.startswith(
        "arn:aws:iam:"
    ):  # one text for a role that is not there and a forbidden one
        return ApiError("AccessDenied", f"{told} resource: {question.resource}")
    if decision.may_be_told:
        resource = f'"{question.resource}"' if service == "s3" else question.resource
        return ApiError("AccessDenied", f"{told} resource: {resource} {decision.ending(action)}")
    if service == "s3" or question.anonymous:
        return ApiError("AccessDenied")
    return ApiError(
        "AccessDenied",
        f"{told} this resource because the resource does not exist in this Region, no resource-based policies allow access, or a "
        "resource-based policy explicitly denies access",
    )
