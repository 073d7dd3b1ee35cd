"""Conditional reads (RFC 9110 section 13, as S3 applies it) and byte ranges. Pure.

Never knows rows, keys or HTTP: header values come as text or datetimes, the object as its ETag, time and size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from strongroom.api.errors import ApiError

#: The members of a read by which it is made conditional.
CONDITIONS: Final = frozenset({"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"})
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    first: int
    last: int  # inclusive

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def parse_range(value: str | None, size: int) -> ByteRange | None:
    """One range of an object of ``size`` bytes; None for no range, several ranges, or a form S3 does not know: the whole object.

    Raises ApiError InvalidRange when nothing of it lies inside the object.
    """
    if not value:
        return None
    match = _RANGE.match(value.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first_text, last_text = (digits[:20] for digits in match.groups())
    if first_text:
        first = int(first_text)
        last = min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            return None
    else:
        wanted = int(last_text)
        first, last = max(size - wanted, 0), size - 1
        if wanted == 0:
            first = size
    if first >= size:
        raise ApiError("InvalidRange", RangeRequested=value, ActualObjectSize=str(size))
    return ByteRange(first, last)


def _names(header: str, etag: str) -> bool:
    return any(one.strip().removeprefix("W/").strip('"') in {etag, "*"} for one in header.split(","))


def judge_read(given: Mapping[str, Any], etag: str, modified: datetime) -> None:
    """If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since of a read. Raises ApiError PreconditionFailed or NotModified."""
    modified = modified.replace(microsecond=0)
    if_match, unmodified_since = given.get("IfMatch"), given.get("IfUnmodifiedSince")
    if if_match is not None:
        if not _names(if_match, etag):
            raise ApiError("PreconditionFailed", Condition="If-Match")
    elif isinstance(unmodified_since, datetime) and modified > unmodified_since:
        raise ApiError("PreconditionFailed", Condition="If-Unmodified-Since")
    if_none_match, modified_since = given.get("IfNoneMatch"), given.get("IfModifiedSince")
    if if_none_match is not None:
        if _names(if_none_match, etag):
            raise ApiError("NotModified")
    elif isinstance(modified_since, datetime) and modified <= modified_since:
        raise ApiError("NotModified")


def judge_copy_source(given: Mapping[str, Any], etag: str, modified: datetime) -> None:
    """The x-amz-copy-source-if-* headers: every failure is PreconditionFailed."""
    renamed = {
        "IfMatch": given.get("CopySourceIfMatch"),
        "IfNoneMatch": given.get("CopySourceIfNoneMatch"),
        "IfModifiedSince": given.get("CopySourceIfModifiedSince"),
        "IfUnmodifiedSince": given.get("CopySourceIfUnmodifiedSince"),
    }
    try:
        judge_read(renamed, etag, modified)
    except ApiError as error:
        raise ApiError("PreconditionFailed", Condition=_copy_header(renamed, error)) from None


def _copy_header(given: Mapping[str, Any], error: ApiError) -> str:
    if error.code == "PreconditionFailed":
        return f"x-amz-copy-source-{error.members['Condition']}"
    return "x-amz-copy-source-If-None-Match" if given.get("IfNoneMatch") is not None else "x-amz-copy-source-If-Modified-Since"
