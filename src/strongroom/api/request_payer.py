"""``x-amz-request-payer``: who may ask of a bucket whose requesters pay. Nobody is charged here; the refusal is real.

Never knows buckets. Source: "Using Requester Pays general purpose buckets" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from strongroom.api.operation import Caller


def check_request_payer(caller: Caller, owner: str, headers: Mapping[str, str]) -> None:
    """Others than the owner's account say that they know they pay, and cannot do so namelessly. Raises ApiError AccessDenied."""
    if caller.anonymous or (caller.account_id != owner and headers.get("x-amz-request-payer") != "requester"):
        raise ApiError("AccessDenied", why="the bucket's requesters pay, and this one did not say so")
