"""Ranges, lengths and pieces through one layer and through two: always the same bytes, and never more than is needed."""

from __future__ import annotations

import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.seal import Forged, SealError, Truncated
from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.format import Piece
from strongroom.seal.layers import LayeredOpener, Layers, Plan
from strongroom.seal.segments import SEGMENT
from strongroom.seal.stream import FIRST_PLAIN, PLAIN
from tests.seal import slow_reader

BLOB_ID = "0123456789abcdef" * 2
ONE, TWO = Layers(bytes(range(32))), Layers(bytes(range(32)), bytes(range(32, 64)))
OUTER, OUTER_FIRST = CTR_HMAC.segments.plain, CTR_HMAC.segments.first_plain
BORDERS = [FIRST_PLAIN, FIRST_PLAIN + PLAIN, FIRST_PLAIN + 2 * PLAIN]
# Where the outer layer's borders fall among the plaintext's bytes: inner byte n is plaintext byte n - 40 - 16 for each segment before.
OUTER_BORDERS = [border - 40 - 16 * (border // SEGMENT) for border in (OUTER_FIRST, OUTER_FIRST + OUTER, OUTER_FIRST + 2 * OUTER)]
LENGTH = BORDERS[2] + 5000
PLAINTEXT = random.Random(3).randbytes(LENGTH)
layered = pytest.mark.parametrize("layers", [ONE, TWO], ids=["one layer", "two layers"])


def read_all(opener: LayeredOpener, plan: Plan, sealed: bytes) -> bytes:
    return bytes(opener.open(plan, sealed))


def opened(layers, sealed, piece, first, last):
    plan = layers.plan(piece.size, first, last)
    opener = layers.opener(piece, sealed[: layers.head_size(piece.size)])
    needed = sealed[plan.offset : plan.offset + plan.length]
    (read,) = {bytes(each.open(plan, memoryview(needed))) for each in (opener, opener.twin(), opener)}
    return read


@layered
@pytest.mark.parametrize("size", [0, 1, 4096, *(border + by for border in BORDERS + OUTER_BORDERS for by in (-1, 0, 1))])
def test_a_piece_comes_back_and_is_as_long_as_planned(layers, size):
    sealed, piece = layers.seal(BLOB_ID, 1, PLAINTEXT[:size]), Piece(BLOB_ID, 1, size)
    inner = slow_reader.sealed_length(size)
    assert len(sealed) == layers.sealed_size(size) == (inner if layers is ONE else slow_reader.outer_length(inner))
    assert layers.open_whole(piece, sealed) == PLAINTEXT[:size]
    assert opened(layers, sealed, piece, 0, size - 1) == PLAINTEXT[:size]


@layered
def test_ranges_around_every_border_of_either_layer(layers):
    sealed, piece = layers.seal(BLOB_ID, 1, PLAINTEXT), Piece(BLOB_ID, 1, LENGTH)
    points = sorted({0, 1, LENGTH - 1, *(border + by for border in BORDERS + OUTER_BORDERS for by in (-33, -1, 0, 1, 40))})
    for first, last in itertools.combinations_with_replacement([point for point in points if point < LENGTH], 2):
        assert opened(layers, sealed, piece, first, last) == PLAINTEXT[first : last + 1], (first, last)


@settings(deadline=None)
@given(st.data())
def test_a_range_through_two_layers_is_planned_for_what_it_needs(data):
    """The fewest outer segments that hold the fewest inner ones."""
    size = data.draw(st.integers(1, 2**40))
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, min(size - 1, first + 300_000)))
    plan = TWO.plan(size, first, last)
    start, end = slow_reader.range_plan(size, first, last)
    assert plan.offset == (start + 40) // OUTER * SEGMENT
    assert plan.offset + plan.length == min(((end - 1 + 40) // OUTER + 1) * SEGMENT, TWO.sealed_size(size))
    assert TWO.head_size(size) == min(SEGMENT, TWO.sealed_size(size))


@layered
def test_a_sealer_writes_the_same_however_it_is_fed(layers):
    for size in (0, 1, FIRST_PLAIN, LENGTH):
        for step in (1 << 20, 70_001):
            sealer = layers.sealer(BLOB_ID, 1, bytes)
            pieces = [bytes(sealer.update(PLAINTEXT[at : min(at + step, size)])) for at in range(0, size, step)]
            assert b"".join([*pieces, sealer.finish()]) == layers.seal(BLOB_ID, 1, PLAINTEXT[:size], bytes)


@layered
@settings(deadline=None, max_examples=50)
@given(st.data())
def test_what_is_taken_is_the_same_however_it_is_fed_and_whatever_the_room(layers, data):
    size = data.draw(st.sampled_from((0, 1, FIRST_PLAIN, FIRST_PLAIN + 1, *BORDERS, LENGTH)))
    cuts = data.draw(st.lists(st.integers(0, size), max_size=8).map(sorted))
    sealer, sealed = layers.sealer(BLOB_ID, 1, bytes), b""
    for start, end in itertools.pairwise([0, *cuts, size]):
        sealer.feed(memoryview(PLAINTEXT)[start:end])
        if data.draw(st.booleans()):  # else it is fed more before anything is taken
            sealed += taken(sealer, data.draw(st.integers(SEGMENT, 3 * SEGMENT)))
    sealed += taken(sealer, SEGMENT)
    assert sealed + sealer.finish() == layers.seal(BLOB_ID, 1, PLAINTEXT[:size], bytes)


def taken(sealer, size):
    out, room = b"", bytearray(size)
    while count := sealer.take(memoryview(room)):
        out += room[:count]
    return out


@layered
@pytest.mark.parametrize("size", [10, FIRST_PLAIN, LENGTH])
def test_no_cut_and_no_addition_opens(layers, size):
    sealed, piece = layers.seal(BLOB_ID, 1, PLAINTEXT[:size]), Piece(BLOB_ID, 1, size)
    for bad in (sealed[:-1], sealed[:-32], sealed[: (len(sealed) - 1) // SEGMENT * SEGMENT], sealed[:40], b"", sealed + b"\0"):
        with pytest.raises(SealError):
            layers.open_whole(piece, bad)
        with pytest.raises(SealError):
            read_all(layers.opener(piece, bad[: layers.head_size(size)]), layers.plan(size, 0, size - 1), bad)


@layered
def test_twins_open_at_the_same_time(layers):
    """One for each thread: the ciphers of the outer layer keep a state."""
    sealed, piece = layers.seal(BLOB_ID, 1, PLAINTEXT), Piece(BLOB_ID, 1, LENGTH)
    opener = layers.opener(piece, sealed[: layers.head_size(LENGTH)])
    ranges = [(first, min(first + 70_000, LENGTH - 1)) for first in range(0, LENGTH, 3001)]

    def read(twin, first, last):
        plan = layers.plan(LENGTH, first, last)
        return twin.open(plan, sealed[plan.offset : plan.offset + plan.length])

    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda each: read(opener.twin(), *each), ranges * 3))
    assert all(part == PLAINTEXT[first : last + 1] for part, (first, last) in zip(opened, ranges * 3, strict=True))


def test_each_layer_alone_opens_nothing():
    sealed, piece = TWO.seal(BLOB_ID, 1, PLAINTEXT[:100]), Piece(BLOB_ID, 1, 100)
    for wrong in (
        Layers(TWO.inner, os.urandom(32)),
        Layers(os.urandom(32), TWO.outer or b""),
        Layers(TWO.outer or b"", TWO.inner),
    ):
        with pytest.raises(Forged):
            wrong.open_whole(piece, sealed)
        with pytest.raises(Forged):
            read_all(wrong.opener(piece, sealed), wrong.plan(100, 0, 99), sealed)
    for one in (Layers(TWO.inner), Layers(TWO.outer or b"")):
        with pytest.raises(Truncated):
            one.open_whole(piece, sealed)


@pytest.mark.parametrize("layers", [ONE, TWO])
@pytest.mark.parametrize("other", [Piece(BLOB_ID, 2, 100), Piece("ab" * 16, 1, 100)])
def test_a_piece_opens_in_its_own_place_only(layers, other):
    sealed = layers.seal(BLOB_ID, 1, PLAINTEXT[:100])
    with pytest.raises(Forged):
        layers.open_whole(other, sealed)


def test_the_outer_layer_is_bound_to_its_place_by_itself():
    """Also if the inner one were not there."""
    from strongroom.seal.format import outer_associated_data
    from strongroom.seal.stream import open_whole

    sealed = TWO.seal(BLOB_ID, 1, b"x")
    assert open_whole(TWO.outer or b"", outer_associated_data(BLOB_ID, 1), sealed, CTR_HMAC)
    with pytest.raises(Forged):
        open_whole(TWO.outer or b"", outer_associated_data(BLOB_ID, 2), sealed, CTR_HMAC)
