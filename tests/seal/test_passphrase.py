from __future__ import annotations

import json
from pathlib import Path

import pytest

from strongroom import seal as room
from strongroom.seal.passphrase import HEADER, STANDARD, TAG, Work, check, seal, unseal
from tests.seal import slow_passphrase

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "passphrase.json").read_text())["cases"]
LEAST = Work(14)


@pytest.mark.parametrize("reader", [(unseal, room), (slow_passphrase.unseal, slow_passphrase)], ids=["ours", "the page's"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors(case, reader):
    read, errors = reader
    given = case["magic"].encode(), case["passphrase"].encode(), bytes.fromhex(case["sealed"])
    if case["outcome"] == "opens":
        assert read(*given).hex() == case["plain"]
    else:
        with pytest.raises(getattr(errors, case["outcome"])):
            read(*given)


def test_what_is_written_is_what_the_vectors_hold():
    case = CASES[0]
    sealed = seal(b"SRRK", case["passphrase"].encode(), bytes.fromhex(case["plain"]), LEAST, lambda size: bytes(range(size)))
    assert sealed.hex() == case["sealed"]
    assert len(sealed) == HEADER + 32 + TAG


def test_another_passphrase():
    sealed = seal(b"SRRK", b"one", bytes(32), LEAST)
    with pytest.raises(room.Forged, match="the passphrase is wrong, or the bytes were changed"):
        unseal(b"SRRK", b"two", sealed)


def test_every_changed_bit_is_found():
    """Of the header all bits; those of the parameters are found before any work is done."""
    sealed = seal(b"SRRK", b"pass", b"plain", LEAST)
    for place in (0, 4, 5, 6, 7, 8, 9, 40, 41, 52, 53, 56, 57, 61, 62, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(room.SealError):
            unseal(b"SRRK", b"pass", bytes(changed))


def test_every_length_that_is_too_short():
    sealed = seal(b"SRRK", b"pass", b"plain", LEAST)
    for length in range(len(sealed)):
        with pytest.raises((room.Truncated, room.NotOurs)):
            check(b"SRRK", sealed[:length])
    check(b"SRRK", sealed)


def test_two_are_never_equal():
    assert seal(b"SRRK", b"pass", b"plain", LEAST) != seal(b"SRRK", b"pass", b"plain", LEAST)


@pytest.mark.parametrize("work", [Work(13), Work(21), Work(17, 9), Work(17, 8, 0), Work(17, 8, 5)])
def test_no_writer_goes_beyond_what_readers_take(work):
    with pytest.raises(ValueError, match="bounded"):
        seal(b"SRRK", b"pass", b"plain", work)
    assert STANDARD.bounded
