"""The log's lines about what a request was denied: who wanted what, and which statement or missing Allow stood in the way.

For the operator alone: nothing of it is in an answer but what ``denial`` says. No text of a policy, no header and no secret is in it.
So many requests of one principal leave lines in a second; of the others it is told how many they were, so that a flood fills no disk
and hides nobody else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import structlog

from strongroom.policy.decide import Decision, Question
from strongroom.policy.reasons import fields, sentence

_LOG = structlog.get_logger("strongroom.edge")
_MOST: Final = 20  # lines about one request: DeleteObjects asks a thousand times
_SECOND: Final = 1.0
ANONYMOUS_MOST: Final = 20  # requests that nobody signed, in a second, of which lines are told
PRINCIPAL_MOST: Final = 100  # those of one principal
_PRINCIPALS_MOST: Final = 1000  # that are told apart in a second; the others count as one
Denied = tuple[Question, Decision]


class DenialLog:
    """One a worker; used within its loop."""

    __slots__ = ("_begun", "_left_out", "_told")

    def __init__(self) -> None:
        self._begun = float("-inf")  # the second that is counted
        self._told: Counter[str] = Counter()  # requests in it, by principal
        self._left_out: Counter[str] = Counter()

    def tell(self, denied: Sequence[Denied], why: str, request_id: str, operation: str, principal: str) -> None:
        """``denied`` is what the judge denied; ``why`` the request was refused, which may be for a reason that no policy had a part in."""
        if self._has_room(principal):
            _tell(denied, why, request_id, operation, principal)

    def _has_room(self, principal: str) -> bool:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._begun + _SECOND:
            self._begun = now
            self._told.clear()
        if principal not in self._told and len(self._told) >= _PRINCIPALS_MOST:
            principal = "others"
        if self._told[principal] < (PRINCIPAL_MOST if principal else ANONYMOUS_MOST):
            self._told[principal] += 1
            return True
        if not self._left_out:
            loop.call_later(_SECOND, self._sum_up)
        self._left_out[principal] += 1
        return False

    def _sum_up(self) -> None:
        left_out, self._left_out = self._left_out, Counter()
        for principal, count in left_out.most_common(_MOST):
            _LOG.info(
                "denied", principal=principal or "anonymous", requests=count, reason="so many more requests within a second"
            )
        rest = left_out.total() - sum(count for _, count in left_out.most_common(_MOST))
        if rest:
            _LOG.info("denied", requests=rest, reason="so many more requests of other principals within a second")


def _tell(denied: Sequence[Denied], why: str, request_id: str, operation: str, principal: str) -> None:
    about = {"request_id": request_id, "operation": operation, "principal": principal or "anonymous"}
    for question, decision in denied[:_MOST]:
        by: dict[str, Any] = {} if decision.decided_by is None else fields(decision.decided_by)
        reason = sentence(decision, question.action)
        _LOG.info("denied", **about, action=question.action, resource=question.resource, reason=reason, **by)
    if len(denied) > _MOST:
        _LOG.info("denied", **about, reason=f"and {len(denied) - _MOST} more of the same request")
    if not denied:
        _LOG.info("denied", **about, reason=why)
