from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.seal import NotOurs, SealError, Truncated, Unsupported
from strongroom.seal.format import (
    Envelope,
    Mode,
    Piece,
    binding,
    decode_manifest,
    encode_manifest,
    outer_associated_data,
    outer_binding,
    stream_associated_data,
    with_wrapped,
)
from tests.seal import slow_reader

KEY_ID = "0123456789abcdef" * 2
ARN = "arn:aws:kms:eu-central-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e"
BLOB_ID = "ab" * 16
DSSE = Envelope(Mode.DSSE_KMS, KEY_ID, ARN, bytes(50), {"a": "1"}, wrapped=bytes(60), outer_wrapped=bytes(60))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
contexts = st.dictionaries(texts, texts, max_size=5)


def envelope_of(**fields):
    """An envelope with those fields alone: what they do not name is as in no envelope of its mode, so nothing may be guessed for it."""
    return Envelope(**fields)


envelopes = (
    st.builds(
        envelope_of,
        mode=st.sampled_from([Mode.SSE_S3, Mode.SSE_C]),
        key_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
        wrapped=st.binary(max_size=160),
    )
    | st.builds(
        envelope_of,
        mode=st.just(Mode.SSE_KMS),
        key_arn=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        kms_wrapped=st.binary(min_size=1, max_size=40),
        context=contexts,
        bucket_key=st.booleans(),
        wrapped=st.binary(max_size=70),
    )
    | st.builds(
        envelope_of,
        mode=st.just(Mode.DSSE_KMS),
        key_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
        key_arn=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        kms_wrapped=st.binary(min_size=1, max_size=40),
        context=contexts,
        wrapped=st.binary(min_size=1, max_size=70),
        outer_wrapped=st.binary(min_size=1, max_size=70),
    )
)
pieces = st.builds(
    Piece,
    blob_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    part_number=st.integers(0, 2**16 - 1),
    size=st.integers(0, 2**64 - 1),
)


@given(envelopes)
def test_an_envelope_comes_back_and_is_read_alike(envelope):
    encoded = envelope.encode()
    assert Envelope.decode(encoded) == envelope
    read = slow_reader.read_envelope(encoded)
    assert read.pop("bare") == Envelope(**{**read, "mode": Mode(read["mode"]), "wrapped": b"", "outer_wrapped": b""}).encode()
    assert Envelope(**{**read, "mode": Mode(read["mode"])}) == envelope


@given(st.lists(pieces, max_size=5))
def test_a_manifest_comes_back_and_is_read_alike(manifest):
    encoded = encode_manifest(manifest)
    assert decode_manifest(encoded) == manifest
    assert slow_reader.read_manifest(encoded) == [(piece.blob_id, piece.part_number, piece.size) for piece in manifest]


def edits(encoded):
    """A change, a cut, a doubling or an insertion somewhere."""
    places = st.integers(0, len(encoded))
    return st.builds(
        lambda start, end, new: encoded[: min(start, end)] + new + encoded[max(start, end) :],
        places,
        places,
        st.binary(max_size=3),
    ) | st.builds(lambda at, value: encoded[:at] + bytes([value]) + encoded[at + 1 :], places, st.integers(0, 255))


@settings(max_examples=100)
@given(st.data())
def test_what_decodes_encodes_to_the_very_same_bytes(data):
    """No envelope or manifest has two encodings, and both readers agree on what is one."""
    envelope = data.draw(
        envelopes.map(Envelope.encode).flatmap(edits) | st.binary(max_size=30).map(lambda tail: b"SRE\x01" + tail)
    )
    manifest = data.draw(st.lists(pieces, max_size=3).map(encode_manifest).flatmap(edits))
    for encoded, decode, encode, slow in [
        (envelope, Envelope.decode, Envelope.encode, slow_reader.read_envelope),
        (manifest, decode_manifest, encode_manifest, slow_reader.read_manifest),
    ]:
        try:
            value = decode(encoded)
        except SealError as error:
            with pytest.raises(getattr(slow_reader, type(error).__name__)):
                slow(encoded)
        else:
            assert encode(value) == encoded
            slow(encoded)


def test_every_cut_of_an_envelope_is_an_error():
    for envelope in (
        Envelope(Mode.SSE_S3, key_id=KEY_ID, wrapped=bytes(60)),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=bytes(50), context={"a": "1", "b": "2"}, wrapped=bytes(60)),
        DSSE,
    ):
        encoded = envelope.encode()
        for length in range(len(encoded)):
            with pytest.raises(Truncated):
                Envelope.decode(encoded[:length])


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(Mode.SSE_S3),
        Envelope(Mode.SSE_S3, key_id=KEY_ID.upper()),
        Envelope(Mode.SSE_S3, key_id=KEY_ID + "\n"),
        Envelope(Mode.SSE_S3, key_id=KEY_ID, key_arn=ARN),
        Envelope(Mode.SSE_S3, key_id=KEY_ID, kms_wrapped=b"x"),
        Envelope(Mode.SSE_S3, key_id=KEY_ID, context={"a": "b"}),
        Envelope(Mode.SSE_S3, key_id=KEY_ID, bucket_key=True),
        Envelope(Mode.SSE_KMS, key_arn=ARN),
        Envelope(Mode.SSE_KMS, kms_wrapped=b"x"),
        Envelope(Mode.SSE_KMS, key_id=KEY_ID, key_arn=ARN, kms_wrapped=b"x"),
        Envelope(Mode.SSE_S3, key_id=KEY_ID, outer_wrapped=b"x"),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=b"x", wrapped=b"x", outer_wrapped=b"x"),
        Envelope(Mode.DSSE_KMS, key_arn=ARN, kms_wrapped=b"x"),
        Envelope(Mode.DSSE_KMS, key_id=KEY_ID, kms_wrapped=b"x"),
        Envelope(Mode.DSSE_KMS, key_id=KEY_ID, key_arn=ARN),
        Envelope(Mode.DSSE_KMS, key_id=KEY_ID, key_arn=ARN, kms_wrapped=b"x", bucket_key=True),
        Envelope(Mode.DSSE_KMS, key_id=KEY_ID, key_arn=ARN, kms_wrapped=b"x", wrapped=b"x"),
        Envelope(Mode.DSSE_KMS, key_id=KEY_ID, key_arn=ARN, kms_wrapped=b"x", outer_wrapped=b"x"),
        Envelope(Mode.SSE_C),
        Envelope(Mode.SSE_C, key_id=KEY_ID, bucket_key=True),
        Envelope(Mode.SSE_C, key_id=KEY_ID, kms_wrapped=b"x"),
        Envelope(Mode.SSE_C, key_id=KEY_ID, key_arn=ARN),
        Envelope(Mode.SSE_C, key_id=KEY_ID, context={"a": "b"}),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=bytes(65536)),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=b"x", context={"a": "b" * 65536}),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=b"x", context={"a": "b" * 65531}),
        Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=b"x", context={"\ud800": ""}),
    ],
)
def test_what_would_not_decode_is_not_encoded(envelope):
    with pytest.raises(ValueError):
        envelope.encode()


@pytest.mark.parametrize(
    "piece",
    [
        Piece(BLOB_ID.upper(), 1, 1),
        Piece(BLOB_ID[2:], 1, 1),
        Piece(BLOB_ID + "00", 1, 1),
        Piece(" " + BLOB_ID, 1, 1),
        Piece("zz" * 16, 1, 1),
        Piece(BLOB_ID, -1, 1),
        Piece(BLOB_ID, 65536, 1),
        Piece(BLOB_ID, 1, -1),
        Piece(BLOB_ID, 1, 2**64),
    ],
)
def test_a_piece_that_does_not_fit_is_not_encoded(piece):
    with pytest.raises(ValueError):
        encode_manifest([piece])
    if piece.size == 1:
        with pytest.raises(ValueError):
            stream_associated_data(piece.blob_id, piece.part_number)


def test_associated_data_is_that_of_the_document():
    assert stream_associated_data(BLOB_ID, 10_000) == slow_reader.stream_associated_data(BLOB_ID, 10_000)
    assert outer_associated_data(BLOB_ID, 10_000) == slow_reader.outer_associated_data(BLOB_ID, 10_000)


@given(st.tuples(texts, texts, texts), st.tuples(texts, texts, texts), st.binary(max_size=5), st.binary(max_size=5))
def test_a_binding_tells_every_two_places_apart(one, other, manifest, changed):
    assert binding(*one, manifest) == slow_reader.version_binding(*one, manifest, b"")
    assert outer_binding(binding(*one, manifest) + b"bare") == slow_reader.outer_version_binding(*one, manifest, b"bare")
    assert (binding(*one, manifest) == binding(*other, changed)) == ((one, manifest) == (other, changed))
    joined = "".join(one)
    splits = [
        (joined[:i], joined[i:j], joined[j:]) for i, j in itertools.combinations_with_replacement(range(len(joined) + 1), 2)
    ]
    assert len({binding(*split, manifest) for split in splits[:200]}) == len(splits[:200])


def test_text_that_is_not_unicode_is_bound_to_nothing():
    with pytest.raises(ValueError, match="surrogates"):
        binding(BLOB_ID, "\ud800", "v", b"")


def test_errors_tell_the_four_reasons_apart():
    encoded = Envelope(Mode.SSE_S3, key_id=KEY_ID).encode()
    for changed, error in [
        (b"PK\3\4" + encoded, NotOurs),
        (b"SRE\x02" + encoded[4:], Unsupported),
        (b"SRE\x01\x05" + encoded[5:], Unsupported),
        (encoded + b"\0", Truncated),
    ]:
        with pytest.raises(error) as caught:
            Envelope.decode(changed)
        assert isinstance(caught.value, SealError)


def test_no_wrapped_bytes_in_a_repr():
    shown = repr(Envelope(Mode.DSSE_KMS, KEY_ID, ARN, b"KMS-BYTES", wrapped=b"WRAPPED-BYTES", outer_wrapped=b"OUTER-BYTES"))
    assert ARN in shown
    assert "BYTES" not in shown


def test_an_envelope_seen_before_decodes_as_a_new_one() -> None:
    first = Envelope(Mode.SSE_S3, key_id="ab" * 16, wrapped=bytes(60))
    second = first._replace(wrapped=bytes(range(60)))
    assert Envelope.decode(first.encode()) == first
    assert Envelope.decode(second.encode()) == second
    assert with_wrapped(first._replace(wrapped=b"").encode(), second.wrapped) == second.encode()
    for spoilt in (second.encode()[:-1], second.encode() + b"\0", second.encode()[:-62] + b"\0\x3b" + second.wrapped):
        with pytest.raises(SealError):
            Envelope.decode(spoilt)
    assert Envelope.decode(first._replace(wrapped=bytes(59)).encode()).wrapped == bytes(59)


def test_a_wrapped_key_that_no_envelope_has_room_for() -> None:
    with pytest.raises(ValueError, match="65535"):
        with_wrapped(Envelope(Mode.SSE_S3, key_id="ab" * 16).encode(), bytes(65536))
