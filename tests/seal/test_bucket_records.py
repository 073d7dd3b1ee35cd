"""Records of a page are opened at once, and as each would be by itself. What each is bound to stands in ``tests/vectors``."""

from __future__ import annotations

import hashlib

import pytest

from strongroom.seal import Forged, SealError, Truncated, Unsupported
from strongroom.seal.bucket_records import BucketRecords
from strongroom.seal.wrap import Records, record_associated_data
from strongroom.store.contract import VersionRow

BUCKET = "ab" * 16
KEY = bytes(range(32))
RECORDS = BucketRecords(KEY, BUCKET)


def row(number: int, **changed) -> VersionRow:
    place = f"key/{number}", f"{number:032x}", number
    envelope, manifest = b"envelope %d" % number, b"manifest"
    record = RECORDS.seal_version(b"record %d" % number, *place, envelope, manifest)
    return VersionRow(BUCKET, *place[:2], False, False, number, 0, envelope, record, manifest)._replace(**changed)


def earlier(number: int) -> VersionRow:
    """As a program before version 2 wrote it."""
    one = row(number)
    beside = one.size.to_bytes(8, "big") + len(one.seal).to_bytes(4, "big") + one.seal + one.manifest
    place = record_associated_data(BUCKET, one.object_key, one.version_id) + hashlib.sha256(beside).digest()
    return one._replace(meta=Records(KEY).seal(b"record %d" % number, place))


def test_a_page_is_opened_in_its_order():
    assert RECORDS.open_page([row(number) for number in (3, 1, 2)]) == [b"record 3", b"record 1", b"record 2"]
    assert RECORDS.open_page([]) == []


def test_a_page_may_have_records_of_both_versions():
    page = [row(1), earlier(2), row(3), earlier(4)]
    assert RECORDS.open_page(page) == [b"record 1", b"record 2", b"record 3", b"record 4"]


@pytest.mark.parametrize("among", [row, earlier])
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"meta": row(2).meta}, Forged),
        ({"meta": row(1).meta[:-1]}, Forged),
        ({"meta": row(1).meta[:28]}, Truncated),
        ({"meta": row(1).meta[:1]}, Truncated),
        ({"meta": b""}, Truncated),
        ({"meta": b"\x03" + row(1).meta[1:]}, Unsupported),
        ({"meta": b"\x01" + row(1).meta[1:]}, Forged),
        ({"object_key": "key/2"}, Forged),
        ({"version_id": "1" * 32}, Forged),
        ({"size": 2}, Forged),
        ({"size": -1}, Forged),
        ({"size": 1 << 64}, Forged),
        ({"seal": b"envelope 2"}, Forged),
        ({"manifest": b"manifesto"}, Forged),
    ],
)
def test_one_row_that_is_not_as_it_was_written_fails_the_page(among, changed, error):
    with pytest.raises(error):
        RECORDS.open_page([among(0), row(1, **changed), among(2)])
    with pytest.raises(error):
        RECORDS.open_version(row(1, **changed))


@pytest.mark.parametrize("size", [-1, 1 << 64])
def test_a_size_that_no_version_has_is_forged_in_earlier_records_too(size):
    with pytest.raises(Forged):
        RECORDS.open_version(earlier(1)._replace(size=size))


@pytest.mark.parametrize("column", ["version_id", "size", "seal", "manifest", "meta"])
@pytest.mark.parametrize("value", ["text", b"bytes", 7, 1.5, None])
def test_a_value_of_another_type_is_no_authentic_one(column, value):
    """SQLite keeps what is put into a column."""
    for one in (row(1), earlier(1)):
        changed = one._replace(**{column: value})
        with pytest.raises(SealError):
            RECORDS.open_version(changed)
        with pytest.raises(SealError):
            RECORDS.open_page([row(0), changed])


def test_two_records_exchanged_fail_the_page():
    one, other = row(1), row(2)
    with pytest.raises(Forged):
        RECORDS.open_page([one._replace(meta=other.meta), other._replace(meta=one.meta)])


def test_another_key_opens_nothing():
    with pytest.raises(Forged):
        BucketRecords(bytes(32), BUCKET).open_page([row(1)])


def test_the_same_is_never_sealed_twice_alike():
    assert row(1).meta != row(1).meta
