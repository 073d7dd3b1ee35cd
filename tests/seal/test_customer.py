"""The lock of a customer's key: the right key opens it, any other is told apart from damage, and nothing of the key is in it."""

from __future__ import annotations

import itertools
import os

import pytest

from strongroom.seal import Forged, Truncated
from strongroom.seal.customer import LOCK, fits, lock, unlock
from strongroom.seal.wrap import derive
from tests.seal import slow_reader

KEY = bytes(range(32))
DATA_KEY = bytes(range(100, 132))
PLACE = ("cd" * 16, "photos/ä 🔑/1.jpg")


def test_the_right_key_in_the_right_place_opens_it():
    locked = lock(KEY, DATA_KEY, *PLACE)
    assert len(locked) == LOCK == 124
    assert fits(KEY, locked)
    assert unlock(KEY, locked, *PLACE) == DATA_KEY == slow_reader.open_lock(KEY, locked, *PLACE)
    for place in (("ce" * 16, PLACE[1]), (PLACE[0], PLACE[1] + "x"), (PLACE[0] + PLACE[1], ""), ("", "".join(PLACE))):
        with pytest.raises(Forged):
            unlock(KEY, locked, *place)


def test_another_key_does_not_fit_and_does_not_open():
    locked = lock(KEY, DATA_KEY, *PLACE)
    for other in (DATA_KEY, bytes(32), KEY[:-1] + b"\0", KEY[:31], KEY + b"\0", b"", KEY[:10]):
        assert not fits(other, locked)
        with pytest.raises(Forged):
            unlock(other, locked, *PLACE)


def test_damage_behind_the_verifier_is_no_wrong_key():
    """A changed salt or verifier cannot be told from a wrong key here: whoever keeps the lock wraps it, and finds that first."""
    locked = lock(KEY, DATA_KEY, *PLACE)
    for at, change in itertools.product(range(len(locked)), (1, 0x80)):
        changed = locked[:at] + bytes([locked[at] ^ change]) + locked[at + 1 :]
        assert fits(KEY, changed) == (at >= 64)
        with pytest.raises(Forged):
            unlock(KEY, changed, *PLACE)
    for length in (*range(124), 125):
        with pytest.raises(Truncated):
            fits(KEY, (locked + b"\0")[:length])


def test_each_lock_has_its_own_salt_and_neither_key_is_in_it():
    one, other = lock(KEY, DATA_KEY, *PLACE), lock(KEY, DATA_KEY, *PLACE)
    assert not {one[at : at + 4] for at in range(121)} & {other[at : at + 4] for at in range(121)}
    for secret in (KEY, DATA_KEY):
        assert not any(secret[at : at + 4] in one for at in range(29))


def test_the_key_that_wraps_is_not_the_verifier():
    locked = lock(KEY, DATA_KEY, *PLACE)
    kek = derive(KEY, "strongroom/seal/customer/kek/1", salt=locked[:32])
    assert kek != locked[32:64]
    assert derive(KEY, "strongroom/seal/customer/kek/1", salt=os.urandom(32)) != kek


@pytest.mark.parametrize(("customer_key", "data_key"), [(KEY[:31], DATA_KEY), (KEY + b"x", DATA_KEY), (KEY, DATA_KEY[:16])])
def test_keys_of_another_length_are_not_taken(customer_key, data_key):
    with pytest.raises(ValueError, match="32 bytes"):
        lock(customer_key, data_key, *PLACE)
