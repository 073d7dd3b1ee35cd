"""What a denied caller is told. Pure. Never knows how the decision was made.

S3 puts the resource in quotes, the other services do not; only callers of the owning account are told who was denied what.
Sources: "Troubleshoot access denied (403 Forbidden) errors" in the S3 user guide; answers of KMS as recorded.
"""

from __future__ import annotations

from strongroom.api.errors import ApiError
from strongroom.policy.decide import Decision, Question, Reason


def denial(question: Question, decision: Decision) -> ApiError:
    """The AccessDenied that answers a question that was denied."""
    action = question.action
    service = action.partition(":")[0]
    if decision.reason is Reason.NO_IDENTITY_POLICY:
        resource = f'"{question.resource}"' if service == "s3" else question.resource
        told = f"User: {question.caller_arn} is not authorized to perform: {action} on resource: {resource}"
        return ApiError("AccessDenied", f"{told} because no identity-based policy allows the {action} action")
    if decision.reason is Reason.OTHER_ACCOUNT and service != "s3":
        return ApiError(
            "AccessDenied",
            f"User: {question.caller_arn} is not authorized to perform: {action} on this resource because the resource does not exist in "
            "this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access",
        )
    return ApiError("AccessDenied")
