"""PyPI tink opens what we write, and we open what tink wrote: both layers are its published formats and not our own."""

from __future__ import annotations

import io
import os

import pytest
import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_ctr_hmac_streaming_pb2, aes_gcm_hkdf_streaming_pb2, common_pb2, hmac_pb2, tink_pb2

from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.format import Piece, outer_associated_data, stream_associated_data
from strongroom.seal.layers import Layers
from strongroom.seal.segments import SEGMENT
from strongroom.seal.stream import GCM_HKDF, open_whole, seal

BLOB_ID = "c0ffee" * 5 + "00"
ASSOCIATED_DATA = stream_associated_data(BLOB_ID, 7)
OUTER_DATA = outer_associated_data(BLOB_ID, 7)


def sizes(construction):
    plain, first = construction.segments.plain, construction.segments.first_plain
    return [0, 1, 4096] + [border + by for border in (first, first + plain, first + 2 * plain) for by in (-1, 0, 1)]


CASES = [(construction, size) for construction in (GCM_HKDF, CTR_HMAC) for size in sizes(construction)]
cases = pytest.mark.parametrize(("construction", "size"), CASES, ids=[f"{type_.cipher.__name__}-{size}" for type_, size in CASES])


class _Kept(io.BytesIO):
    """tink closes what it writes to."""

    def close(self):
        pass


def tink_key(construction, data_key):
    common = {"ciphertext_segment_size": SEGMENT, "derived_key_size": 32, "hkdf_hash_type": common_pb2.SHA256}
    if construction is GCM_HKDF:
        params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(**common)
        return aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, params=params, key_value=data_key)
    mac = hmac_pb2.HmacParams(hash=common_pb2.SHA256, tag_size=32)
    params = aes_ctr_hmac_streaming_pb2.AesCtrHmacStreamingParams(**common, hmac_params=mac)
    return aes_ctr_hmac_streaming_pb2.AesCtrHmacStreamingKey(version=0, params=params, key_value=data_key)


def foreign(construction, data_key):
    """tink's primitive over the raw data key."""
    streaming_aead.register()
    key = tink_key(construction, data_key)
    key_data = tink_pb2.KeyData(
        type_url=f"type.googleapis.com/{key.DESCRIPTOR.full_name}",
        value=key.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    entry = tink_pb2.Keyset.Key(key_data=key_data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[entry])
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def tink_seals(construction, data_key, associated_data, plain):
    target = _Kept()
    with foreign(construction, data_key).new_encrypting_stream(target, associated_data) as writer:
        writer.write(plain)
    return target.getvalue()


def tink_opens(construction, data_key, associated_data, sealed):
    with foreign(construction, data_key).new_decrypting_stream(io.BytesIO(sealed), associated_data) as reader:
        return reader.read()


@cases
def test_tink_opens_what_we_write(construction, size):
    data_key, plain = os.urandom(32), os.urandom(size)
    sealed = seal(data_key, ASSOCIATED_DATA, plain, os.urandom, construction)
    assert tink_opens(construction, data_key, ASSOCIATED_DATA, sealed) == plain


@cases
def test_we_open_what_tink_writes(construction, size):
    data_key, plain = os.urandom(32), os.urandom(size)
    sealed = tink_seals(construction, data_key, ASSOCIATED_DATA, plain)
    assert len(sealed) == construction.segments.sealed_size(size)
    assert open_whole(data_key, ASSOCIATED_DATA, sealed, construction) == plain


@pytest.mark.parametrize("size", [0, 5000, 65_480, 65_481, 200_000])
def test_two_layers_are_two_of_tinks_streams_one_in_the_other(size):
    inner, outer, plain = os.urandom(32), os.urandom(32), os.urandom(size)
    sealed = Layers(inner, outer).seal(BLOB_ID, 7, plain)
    stripped = tink_opens(CTR_HMAC, outer, OUTER_DATA, sealed)
    assert tink_opens(GCM_HKDF, inner, ASSOCIATED_DATA, stripped) == plain
    foreign_sealed = tink_seals(CTR_HMAC, outer, OUTER_DATA, tink_seals(GCM_HKDF, inner, ASSOCIATED_DATA, plain))
    assert Layers(inner, outer).open_whole(Piece(BLOB_ID, 7, size), foreign_sealed) == plain
