"""Byte ranges and conditional reads: pure rules, each row by hand and ranges against a slow model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.s3.conditions import ByteRange, judge_copy_source, judge_read, parse_range
from strongroom.s3.versions import Condition

ETAG = "9b2cf535f27731c974343645a3985328"
MODIFIED = datetime(2026, 5, 4, 3, 2, 1, 999000, UTC)
BEFORE, AT, AFTER = (MODIFIED.replace(microsecond=0) + timedelta(seconds=offset) for offset in (-1, 0, 1))


@pytest.mark.parametrize(
    ("value", "size", "expected"),
    [
        (None, 10, None),
        ("", 10, None),
        ("bytes=0-0", 10, (0, 0)),
        ("bytes=0-", 10, (0, 9)),
        ("bytes=3-5", 10, (3, 5)),
        ("bytes=9-9", 10, (9, 9)),
        ("bytes=3-99999999999999999999999999", 10, (3, 9)),
        ("bytes=-4", 10, (6, 9)),
        ("bytes=-10", 10, (0, 9)),
        ("bytes=-11", 10, (0, 9)),
        (" bytes=1-2 ", 10, (1, 2)),
        # What is no single byte range is no range at all: the whole object.
        ("bytes=5-3", 10, None),
        ("bytes=-", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1--2", 10, None),
        ("bytes= 1-2", 10, None),
        ("items=0-1", 10, None),
        ("BYTES=0-1", 10, None),
        ("bytes=\u0661-\u0662", 10, None),
    ],
)
def test_ranges(value, size, expected):
    assert parse_range(value, size) == (None if expected is None else ByteRange(*expected))


@pytest.mark.parametrize(
    ("value", "size"), [("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-5", 0)]
)
def test_ranges_outside(value, size):
    with pytest.raises(ApiError) as caught:
        parse_range(value, size)
    assert (caught.value.status, caught.value.code) == (416, "InvalidRange")
    assert caught.value.members == {"RangeRequested": value, "ActualObjectSize": str(size)}


@given(st.integers(0, 40), st.none() | st.integers(0, 50), st.none() | st.integers(0, 50))
def test_a_range_is_what_slicing_says(size, first, last):
    data = bytes(range(size))
    value = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        expected = data if last is None else data[size - min(last, size) :]
        whole = last is None
    else:
        expected = data[first:] if last is None else data[first : last + 1]
        whole = last is not None and last < first
    try:
        found = parse_range(value, size)
    except ApiError:
        assert not expected
        assert not whole
        return
    assert (found is None) == whole
    if found is not None:
        assert data[found.first : found.last + 1] == expected
        assert found.length == len(expected)


def outcome(**given):
    try:
        judge_read(given, ETAG, MODIFIED)
    except ApiError as error:
        return error.status, error.members.get("Condition")
    return 200


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, 200),
        ({"IfMatch": ETAG}, 200),
        ({"IfMatch": f'"{ETAG}"'}, 200),
        ({"IfMatch": f'"x", "{ETAG}"'}, 200),
        ({"IfMatch": "*"}, 200),
        ({"IfMatch": '"x"'}, (412, "If-Match")),
        ({"IfMatch": ""}, (412, "If-Match")),
        ({"IfNoneMatch": '"x"'}, 200),
        ({"IfNoneMatch": f'"{ETAG}"'}, (304, None)),
        ({"IfNoneMatch": f'W/"{ETAG}"'}, (304, None)),
        ({"IfNoneMatch": "*"}, (304, None)),
        ({"IfUnmodifiedSince": BEFORE}, (412, "If-Unmodified-Since")),
        ({"IfUnmodifiedSince": AT}, 200),  # times of HTTP have no fraction
        ({"IfModifiedSince": BEFORE}, 200),
        ({"IfModifiedSince": AT}, (304, None)),
        ({"IfModifiedSince": AFTER}, (304, None)),
        # An ETag is the stronger word: the date beside it is not looked at.
        ({"IfMatch": ETAG, "IfUnmodifiedSince": BEFORE}, 200),
        ({"IfNoneMatch": '"x"', "IfModifiedSince": AFTER}, 200),
        ({"IfNoneMatch": ETAG, "IfModifiedSince": BEFORE}, (304, None)),
        ({"IfMatch": '"x"', "IfNoneMatch": ETAG}, (412, "If-Match")),
        ({"IfMatch": ETAG, "IfNoneMatch": ETAG}, (304, None)),
    ],
)
def test_conditional_reads(conditions, expected):
    assert outcome(**conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        ({"CopySourceIfMatch": '"x"'}, "x-amz-copy-source-If-Match"),
        ({"CopySourceIfNoneMatch": ETAG}, "x-amz-copy-source-If-None-Match"),
        ({"CopySourceIfUnmodifiedSince": BEFORE}, "x-amz-copy-source-If-Unmodified-Since"),
        ({"CopySourceIfModifiedSince": AFTER}, "x-amz-copy-source-If-Modified-Since"),
    ],
)
def test_a_copy_knows_no_304(conditions, failed):
    with pytest.raises(ApiError) as caught:
        judge_copy_source(conditions, ETAG, MODIFIED)
    assert (caught.value.status, caught.value.code, caught.value.members) == (412, "PreconditionFailed", {"Condition": failed})


def test_a_copy_whose_conditions_hold():
    judge_copy_source({"CopySourceIfMatch": ETAG, "CopySourceIfUnmodifiedSince": BEFORE}, ETAG, MODIFIED)
    judge_copy_source({"IfMatch": '"of the destination"'}, ETAG, MODIFIED)


@pytest.mark.parametrize(
    "conditions", [{"IfNoneMatch": ETAG}, {"IfNoneMatch": ""}, {"IfNoneMatch": "*", "IfMatch": ETAG}], ids=repr
)
def test_forms_of_conditional_writes_that_s3_refuses(conditions):
    with pytest.raises(ApiError) as caught:
        Condition.of(conditions)
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")
