from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.seal import Forged, SealError, Truncated
from strongroom.seal.format import stream_associated_data
from strongroom.seal.stream import (
    FIRST_PLAIN,
    HEADER,
    MAX_PLAIN,
    MAX_SEGMENTS,
    PLAIN,
    SEGMENT,
    TAG,
    Opener,
    Sealer,
    open_whole,
    plain_size,
    seal,
    sealed_size,
    span,
)
from tests.seal import slow_reader

DATA_KEY = bytes(range(32))
ASSOCIATED_DATA = stream_associated_data("0123456789abcdef" * 2, 3)
BORDERS = [FIRST_PLAIN + n * PLAIN for n in range(3)]
SIZES = [0, 1, 15, 16, 17, 4096] + [border + by for border in BORDERS for by in (-1, 0, 1)]
_bytes = random.Random(1).randbytes
THREE = _bytes(BORDERS[1] + 1000)  # of three segments
LARGEST = BORDERS[2] + 1


def parts_of(data, cuts):
    return [data[start:end] for start, end in itertools.pairwise([0, *sorted(cuts), len(data)])]


# --- lengths


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_those_of_the_document(size):
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, bytes(size))
    assert len(sealed) == sealed_size(size) == slow_reader.sealed_length(size)
    assert plain_size(len(sealed)) == size


@given(st.integers(0, MAX_PLAIN))
def test_plain_size_undoes_sealed_size(plain):
    assert plain_size(sealed_size(plain)) == plain


@given(
    st.integers(-1, MAX_PLAIN + 2**40) | st.builds(lambda n, by: n * SEGMENT + by, st.integers(0, 2**20), st.integers(-40, 60))
)
def test_a_length_is_that_of_exactly_one_plaintext_or_refused(sealed):
    try:
        plain = plain_size(sealed)
    except Truncated:
        with pytest.raises(slow_reader.Truncated):
            slow_reader.plain_length(sealed)
    else:
        assert sealed_size(plain) == sealed


def test_the_longest_stream():
    assert sealed_size(MAX_PLAIN) == MAX_SEGMENTS * SEGMENT
    with pytest.raises(Truncated):
        plain_size(MAX_SEGMENTS * SEGMENT + TAG + 1)
    for size in (-1, MAX_PLAIN + 1):
        with pytest.raises(ValueError, match="256 TiB"):
            sealed_size(size)


# --- sealing and opening


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_opens(size):
    plain = _bytes(size)
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, plain)
    assert isinstance(sealed, bytes)
    assert open_whole(DATA_KEY, ASSOCIATED_DATA, sealed) == plain
    assert slow_reader.read_stream(DATA_KEY, ASSOCIATED_DATA, sealed) == plain


@pytest.mark.parametrize("size", [10, BORDERS[0] + 10])
def test_any_contiguous_buffer_will_do(size):
    plain = _bytes(size)
    expected = seal(DATA_KEY, ASSOCIATED_DATA, plain, bytes)
    for form in (bytearray, memoryview):
        assert seal(DATA_KEY, ASSOCIATED_DATA, form(plain), bytes) == expected
        opened = open_whole(DATA_KEY, ASSOCIATED_DATA, form(expected))
        assert isinstance(opened, bytes)
        assert opened == plain
    wide = memoryview(bytes(size * 4)).cast("I")  # its len() is not its bytes
    assert len(seal(DATA_KEY, ASSOCIATED_DATA, wide)) == sealed_size(size * 4)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SIZES), st.lists(st.integers(0, LARGEST), max_size=6))
def test_a_sealer_writes_the_same_however_it_is_fed(size, cuts):
    plain = _bytes(size)
    sealer = Sealer(DATA_KEY, ASSOCIATED_DATA, bytes)
    pieces = [sealer.update(part) for part in parts_of(plain, [min(cut, size) for cut in cuts])]
    sealed = b"".join([*pieces, sealer.finish()])
    assert sealed == seal(DATA_KEY, ASSOCIATED_DATA, plain, bytes)


def test_a_sealer_takes_into_whole_segments_of_room_alone_and_ends_when_all_was_taken():
    sealer = Sealer(DATA_KEY, ASSOCIATED_DATA, bytes)
    sealer.feed(memoryview(THREE))
    room = memoryview(bytearray(2 * SEGMENT - 1))
    assert (sealer.ready, sealer.take(room[: SEGMENT - 1]), sealer.take(room)) == (2 * SEGMENT, 0, SEGMENT)
    with pytest.raises(ValueError, match="not taken"):
        sealer.finish()
    first = bytes(room[:SEGMENT])
    assert (sealer.take(room), sealer.ready, sealer.take(room)) == (SEGMENT, 0, 0)
    assert first + room[:SEGMENT] + sealer.finish() == seal(DATA_KEY, ASSOCIATED_DATA, THREE, bytes)
    with pytest.raises(ValueError, match="finished"):
        sealer.feed(b"x")


def test_a_sealer_holds_back_what_may_be_the_last_segment():
    sealer = Sealer(DATA_KEY, ASSOCIATED_DATA)
    assert sealer.update(bytes(FIRST_PLAIN)) == b""
    assert len(sealer.update(b"x")) == SEGMENT
    assert sealer.update(bytes(PLAIN - 1)) == b""
    assert len(sealer.update(bytes(PLAIN))) == SEGMENT
    assert len(sealer.finish()) == SEGMENT


def test_a_finished_sealer_seals_no_more():
    sealer = Sealer(DATA_KEY, ASSOCIATED_DATA)
    sealer.finish()
    with pytest.raises(ValueError, match="finished"):
        sealer.update(b"")
    with pytest.raises(ValueError, match="finished"):
        sealer.finish()


def test_a_segment_number_is_never_given_twice():
    sealer = Sealer(DATA_KEY, ASSOCIATED_DATA)
    sealer._index = MAX_SEGMENTS - 2
    assert len(sealer.update(bytes(PLAIN + 1))) == SEGMENT
    with pytest.raises(ValueError, match="256 TiB"):
        sealer.update(bytes(PLAIN))
    assert len(sealer.finish()) == 1 + TAG  # the last index may still be used, and is


def test_each_stream_is_fresh():
    assert len({seal(DATA_KEY, ASSOCIATED_DATA, b"the same") for _ in range(50)}) == 50


@pytest.mark.parametrize("size", [1, BORDERS[0] + 1])
def test_keys_and_randomness_of_a_wrong_length_are_refused(size):
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, bytes(size))
    for data_key in (b"", DATA_KEY[:16], DATA_KEY + b"\0"):
        for use in (
            lambda key=data_key: seal(key, ASSOCIATED_DATA, bytes(size)),
            lambda key=data_key: open_whole(key, ASSOCIATED_DATA, sealed),
            lambda key=data_key: Sealer(key, ASSOCIATED_DATA),
            lambda key=data_key: Opener(key, ASSOCIATED_DATA, sealed[:HEADER], len(sealed)),
        ):
            with pytest.raises(ValueError, match="32 bytes"):
                use()
    for random_bytes in (lambda n: bytes(n - 1), lambda n: bytes(n + 1)):
        with pytest.raises(ValueError, match="39 random"):
            seal(DATA_KEY, ASSOCIATED_DATA, bytes(size), random_bytes)
        with pytest.raises(ValueError, match="39 random"):
            Sealer(DATA_KEY, ASSOCIATED_DATA, random_bytes)


def test_no_key_in_a_repr():
    opener = Opener(DATA_KEY, ASSOCIATED_DATA, seal(DATA_KEY, ASSOCIATED_DATA, b"")[:HEADER], 56)
    for thing in (Sealer(DATA_KEY, ASSOCIATED_DATA), opener):
        assert repr(DATA_KEY)[2:20] not in repr(thing)
        assert not hasattr(thing, "__dict__")


# --- runs and ranges


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_span_reads_exactly_its_range(data):
    size = data.draw(st.sampled_from([s for s in SIZES if s]))
    near = st.integers(0, size - 1) | st.sampled_from(
        [at for at in (0, *BORDERS, size) for at in (at - 1, at, at + 1) if 0 <= at < size]
    )
    first, last = sorted((data.draw(near), data.draw(near)))
    plain = _bytes(size)
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, plain)
    plan = span(size, first, last)
    assert (plan.offset, plan.offset + plan.length) == slow_reader.range_plan(size, first, last)
    run = sealed[plan.offset : plan.offset + plan.length]
    assert len(run) == plan.length
    opened = Opener(DATA_KEY, ASSOCIATED_DATA, sealed[:HEADER], len(sealed)).open(plan.first_segment, run)
    assert opened[plan.skip : plan.skip + plan.take] == plain[first : last + 1]
    assert plan.take == last - first + 1
    # Not a segment more than is needed.
    assert plan.skip < PLAIN
    assert len(opened) - plan.skip - plan.take < PLAIN


@given(st.integers(1, MAX_PLAIN), st.data())
def test_spans_of_neighbouring_ranges_join(plain, data):
    cut = data.draw(st.integers(1, plain - 1)) if plain > 1 else 1
    left = span(plain, 0, cut - 1)
    assert (left.offset, left.first_segment, left.skip, left.take) == (0, 0, 0, cut)
    if plain > 1:
        right = span(plain, cut, plain - 1)
        assert right.offset + right.length == sealed_size(plain)
        assert right.offset == right.first_segment * SEGMENT
        assert left.offset + left.length in {right.offset, right.offset + SEGMENT, sealed_size(plain)}
        assert left.take + right.take == plain


def test_spans_of_nothing():
    plan = span(0, 0, -1)
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, b"")
    assert (plan.offset, plan.length, plan.skip, plan.take) == (0, len(sealed), 0, 0)
    assert Opener(DATA_KEY, ASSOCIATED_DATA, sealed[:HEADER], len(sealed)).open(plan.first_segment, sealed) == b""
    for plain, first, last in [(0, 0, 0), (10, 0, 10), (10, 5, 4), (10, -1, 3), (10, 0, -1), (-1, 0, 0)]:
        with pytest.raises(ValueError, match="no bytes"):
            span(plain, first, last)


def test_runs_open_in_any_order_and_only_as_whole_segments():
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, THREE)
    opener = Opener(DATA_KEY, ASSOCIATED_DATA, sealed[:HEADER], len(sealed))
    assert opener.open(1, sealed[SEGMENT:]) == THREE[FIRST_PLAIN:]
    assert opener.open(0, sealed[: 2 * SEGMENT]) == THREE[: FIRST_PLAIN + PLAIN]
    assert opener.open(2, memoryview(sealed)[2 * SEGMENT :]) == THREE[FIRST_PLAIN + PLAIN :]
    buffer = opener.open_buffer(1, sealed[SEGMENT : 2 * SEGMENT])
    assert isinstance(buffer, bytearray)
    assert buffer == THREE[FIRST_PLAIN : FIRST_PLAIN + PLAIN]
    for first_segment, run in [
        (0, b""),
        (0, sealed[:SEGMENT][:-1]),
        (0, sealed[HEADER:SEGMENT]),
        (0, sealed + b"\0"),
        (1, sealed[SEGMENT : SEGMENT + 100]),
        (2, sealed[2 * SEGMENT : -1]),
        (3, sealed[:SEGMENT]),
        (-1, sealed[:SEGMENT]),
    ]:
        with pytest.raises(Truncated):
            opener.open(first_segment, run)
    for first_segment, run in [(0, sealed[SEGMENT : 2 * SEGMENT]), (1, sealed[:SEGMENT])]:
        with pytest.raises(Forged):
            opener.open(first_segment, run)


def test_the_sealed_length_says_which_segment_is_the_last():
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, THREE)
    as_if_cut = Opener(DATA_KEY, ASSOCIATED_DATA, sealed[:HEADER], 2 * SEGMENT)
    with pytest.raises(Forged):
        as_if_cut.open(1, sealed[SEGMENT : 2 * SEGMENT])
    full = seal(DATA_KEY, ASSOCIATED_DATA, THREE[: BORDERS[1]])  # ends with a full segment
    as_if_longer = Opener(DATA_KEY, ASSOCIATED_DATA, full[:HEADER], len(full) + SEGMENT)
    with pytest.raises(Forged):
        as_if_longer.open(1, full[SEGMENT:])


# --- tampering


@pytest.mark.parametrize("size", [0, 1, 40])
def test_no_byte_of_a_small_stream_can_be_changed(size):
    plain = _bytes(size)
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, plain)
    for at, change in itertools.product(range(len(sealed)), (1, 0x80, 0xFF)):
        changed = sealed[:at] + bytes([sealed[at] ^ change]) + sealed[at + 1 :]
        with pytest.raises(Forged):
            open_whole(DATA_KEY, ASSOCIATED_DATA, changed)


def test_no_byte_of_a_long_stream_can_be_changed():
    sealed = bytearray(seal(DATA_KEY, ASSOCIATED_DATA, THREE))
    borders = [at + by for at in (0, HEADER, SEGMENT, 2 * SEGMENT, len(sealed)) for by in (-17, -16, -1, 0, 1)]
    places = {at for at in borders if 0 <= at < len(sealed)} | set(random.Random(2).sample(range(len(sealed)), 100))
    for at in places:
        sealed[at] ^= 0x10
        with pytest.raises(Forged):
            open_whole(DATA_KEY, ASSOCIATED_DATA, sealed)
        sealed[at] ^= 0x10
    assert open_whole(DATA_KEY, ASSOCIATED_DATA, sealed) == THREE


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0, 1, 40, FIRST_PLAIN, BORDERS[1] + 1000]), st.data())
def test_a_stream_that_is_cut_or_extended_never_opens(size, data):
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, THREE[:size])
    near = [at + by for at in (HEADER, SEGMENT, 2 * SEGMENT, len(sealed)) for by in (-17, -16, -1, 0, 1, 15, 16, 17)]
    length = data.draw(st.sampled_from(near) | st.integers(0, len(sealed) + 2 * SEGMENT))
    if length == len(sealed):
        return
    with pytest.raises(SealError):
        open_whole(DATA_KEY, ASSOCIATED_DATA, (sealed + bytes(3 * SEGMENT))[:length])


@pytest.mark.parametrize(
    "order", [order for n in (1, 2, 3, 4) for order in itertools.product(range(3), repeat=n) if order != (0, 1, 2)]
)
def test_no_other_sequence_of_segments_opens(order):
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, THREE[: BORDERS[1] + 1])
    segments = [sealed[at : at + SEGMENT] for at in range(0, len(sealed), SEGMENT)]
    with pytest.raises(SealError):
        open_whole(DATA_KEY, ASSOCIATED_DATA, b"".join(segments[n] for n in order))


def test_segments_of_two_streams_do_not_mix():
    one, other = (seal(DATA_KEY, ASSOCIATED_DATA, THREE) for _ in range(2))
    for mixed in (one[:HEADER] + other[HEADER:], one[:SEGMENT] + other[SEGMENT:], one[: 2 * SEGMENT] + other[2 * SEGMENT :]):
        with pytest.raises(Forged):
            open_whole(DATA_KEY, ASSOCIATED_DATA, mixed)


@pytest.mark.parametrize("size", [0, 40, BORDERS[0] + 1])
def test_a_stream_opens_only_for_its_key_and_place(size):
    sealed = seal(DATA_KEY, ASSOCIATED_DATA, bytes(size))
    for data_key, associated_data in [
        (bytes(32), ASSOCIATED_DATA),
        (DATA_KEY, b""),
        (DATA_KEY, stream_associated_data("0123456789abcdef" * 2, 4)),
        (DATA_KEY, stream_associated_data("1123456789abcdef" + "0123456789abcdef", 3)),
    ]:
        with pytest.raises(Forged):
            open_whole(data_key, associated_data, sealed)
