from __future__ import annotations

import itertools
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.seal import Forged, SealError, Truncated, Unsupported
from strongroom.seal.format import Envelope, Mode, Piece, binding, encode_manifest, stream_associated_data
from strongroom.seal.stream import Sealer, seal
from strongroom.seal.wrap import Records, derive, record_associated_data, unwrap, wrap
from tests.seal import slow_reader

KEK = bytes(range(32))
DATA_KEY = bytes(range(100, 132))
PLACE = ("cd" * 16, "photos/ä 🔑/1.jpg", "v" * 32)
ARN = "arn:aws:kms:eu-central-1:111122223333:key/0d990263-018e-4e65-a703-eff731de951e"


def flips(data):
    for at, change in itertools.product(range(len(data)), (1, 0x80)):
        yield data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


def test_a_wrapped_key_opens_only_where_it_belongs_and_unchanged():
    wrapped = wrap(KEK, DATA_KEY, b"here")
    assert len(wrapped) == 60
    assert unwrap(KEK, wrapped, b"here") == DATA_KEY
    assert wrap(KEK, DATA_KEY, b"here") != wrapped
    for changed in flips(wrapped):
        with pytest.raises(Forged):
            unwrap(KEK, changed, b"here")
    for kek, place in [(DATA_KEY, b"here"), (KEK, b"there"), (KEK, b""), (KEK, b"here\0")]:
        with pytest.raises(Forged):
            unwrap(kek, wrapped, place)
    for length in range(60):
        with pytest.raises(Truncated if length < 28 else Forged):
            unwrap(KEK, wrapped[:length], b"here")


def test_a_record_opens_only_where_it_belongs_and_unchanged():
    records = Records(KEK)
    record = records.seal(b'{"e":"etag"}', b"here")
    assert records.open(record, b"here") == b'{"e":"etag"}'
    assert records.seal(b'{"e":"etag"}', b"here") != record
    for changed in flips(record):
        with pytest.raises(Unsupported if changed[0] != 1 else Forged):
            records.open(changed, b"here")
    with pytest.raises(Forged):
        records.open(record, b"there")
    with pytest.raises(Forged):
        Records(DATA_KEY).open(record, b"here")
    for length in range(len(record)):
        with pytest.raises(Truncated if length < 29 else Forged):
            records.open(record[:length], b"here")


def test_a_purpose_is_no_other_purpose():
    with pytest.raises(Forged):
        Records(KEK).open(b"\x01" + wrap(KEK, DATA_KEY, b"here"), b"here")
    with pytest.raises(Forged):
        unwrap(KEK, Records(KEK).seal(DATA_KEY, b"here")[1:], b"here")


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(24), bytes(31), bytes(33)])
def test_only_keys_of_256_bits(key):
    for use in (
        lambda: wrap(key, DATA_KEY, b""),
        lambda: unwrap(key, bytes(60), b""),
        lambda: Records(key),
        lambda: derive(key, "label"),
    ):
        with pytest.raises(ValueError, match="32 bytes"):
            use()


def test_a_random_source_that_gives_too_little_is_refused():
    with pytest.raises(ValueError, match=r"(?i)nonce"):
        wrap(KEK, DATA_KEY, b"", lambda n: bytes(n - 1))
    with pytest.raises(ValueError, match=r"(?i)nonce"):
        Records(KEK, lambda n: bytes(n - 1)).seal(b"", b"")


def test_no_key_in_a_repr():
    records = Records(KEK)
    assert repr(KEK)[2:20] not in repr(records)
    assert not hasattr(records, "__dict__")


def test_records_are_shared_between_threads():
    records, failed = Records(KEK), []

    def work(name):
        for n in range(200):
            plain = f"{name}-{n}".encode()
            if records.open(records.seal(plain, name), name) != plain:
                failed.append(plain)

    threads = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.tuples(names, st.binary(max_size=6)), st.tuples(names, st.binary(max_size=6)))
def test_a_subkey_for_each_label_and_context(one, other):
    derived = derive(KEK, *one)
    assert derived == slow_reader.derive(KEK, *one)
    assert len(derived) == 32
    assert (derived == derive(KEK, *other)) == (one == other)
    assert derived != derive(DATA_KEY, *one)


@settings(max_examples=50)
@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_a_place_for_each_row(one, other):
    assert (record_associated_data(*one) == record_associated_data(*other)) == (one == other)


# --- a whole object, as a row and its blobs hold it


def stored(envelope, sizes):
    """What is on disk for an object of several pieces: envelope, manifest, streams by blob id; and its plaintext."""
    data_key, streams, manifest, plaintext = os.urandom(32), {}, [], b""
    for number, size in enumerate(sizes, 0 if len(sizes) == 1 else 1):
        piece, plain = Piece(os.urandom(16).hex(), number, size), os.urandom(size)
        associated_data = stream_associated_data(piece.blob_id, number)
        if number == 0:
            streams[piece.blob_id] = seal(data_key, associated_data, plain)
        else:
            sealer = Sealer(data_key, associated_data)
            streams[piece.blob_id] = bytes(sealer.update(plain)) + sealer.finish()
        manifest.append(piece)
        plaintext += plain
    encoded = encode_manifest(manifest)
    wrapped = wrap(KEK, data_key, binding(*PLACE, encoded) + envelope.encode())
    return envelope._replace(wrapped=wrapped).encode(), encoded, streams, plaintext


SSE_S3 = Envelope(Mode.SSE_S3, key_id="0123456789abcdef" * 2)
SSE_KMS = Envelope(Mode.SSE_KMS, key_arn=ARN, kms_wrapped=b"as KMS made it", context={"team": "blue", "app": "é"})


@pytest.mark.parametrize("envelope", [SSE_S3, SSE_KMS, SSE_KMS._replace(bucket_key=True)])
@pytest.mark.parametrize("sizes", [[0], [4096], [65480], [65481, 0, 200_000]])
def test_the_slow_reader_opens_all_that_is_written(envelope, sizes):
    sealed, manifest, streams, plaintext = stored(envelope, sizes)
    assert slow_reader.read_object(KEK, PLACE, sealed, manifest, streams) == plaintext


@pytest.mark.parametrize("envelope", [SSE_S3, SSE_KMS])
def test_no_byte_of_an_envelope_or_manifest_can_be_changed(envelope):
    sealed, manifest, _, _ = stored(envelope, [5, 5])

    def reopen(sealed, manifest):
        decoded = Envelope.decode(sealed)
        return unwrap(KEK, decoded.wrapped, binding(*PLACE, manifest) + decoded._replace(wrapped=b"").encode())

    assert len(reopen(sealed, manifest)) == 32
    for changed in flips(sealed):
        with pytest.raises(SealError):
            reopen(changed, manifest)
    for changed in flips(manifest):
        with pytest.raises(Forged):
            reopen(sealed, changed)
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            reopen(sealed[:length], manifest)
