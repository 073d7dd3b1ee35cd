"""The log's lines about what a request was denied: who wanted what, and which statement or missing Allow stood in the way.

For the operator alone: nothing of it is in an answer but what ``denial`` says. No text of a policy, no header and no secret is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import structlog

from strongroom.policy.decide import Decision, Question
from strongroom.policy.reasons import fields, sentence

_LOG = structlog.get_logger("strongroom.edge")
_MOST: Final = 20  # lines about one request: DeleteObjects asks a thousand times
Denied = tuple[Question, Decision]


def tell(denied: Sequence[Denied], why: str, request_id: str, operation: str, principal: str) -> None:
    """``denied`` is what the judge denied; ``why`` the request was refused, which may be for a reason that no policy had a part in."""
    about = {"request_id": request_id, "operation": operation, "principal": principal or "anonymous"}
    for question, decision in denied[:_MOST]:
        by: dict[str, Any] = {} if decision.decided_by is None else fields(decision.decided_by)
        reason = sentence(decision, question.action)
        _LOG.info("denied", **about, action=question.action, resource=question.resource, reason=reason, **by)
    if len(denied) > _MOST:
        _LOG.info("denied", **about, reason=f"and {len(denied) - _MOST} more of the same request")
    if not denied:
        _LOG.info("denied", **about, reason=why)
