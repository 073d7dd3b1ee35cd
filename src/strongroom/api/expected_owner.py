"""``x-amz-expected-bucket-owner`` and its twin for copy sources: the one check of both. Never knows buckets."""

from __future__ import annotations

import re
from typing import Final

from strongroom.api.errors import ApiError

_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def check_expected_owner(expected: str, account_id: str) -> None:
    """Raises ApiError InvalidBucketOwnerAWSAccountID for what is no account id, AccessDenied for another one than the owner's."""
    if not _ACCOUNT.fullmatch(expected):
        text = f"The value of the expected bucket owner parameter must be an AWS Account ID... [{expected}]"
        raise ApiError("InvalidBucketOwnerAWSAccountID", text)
    if expected != account_id:
        raise ApiError("AccessDenied", why=f"the bucket belongs to account {account_id}, and {expected} was expected")
