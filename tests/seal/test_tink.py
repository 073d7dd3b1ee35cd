"""PyPI tink opens what we write, and we open what tink wrote: the payload is its published format and not our own."""

from __future__ import annotations

import io
import os

import pytest
import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from strongroom.seal.format import blob_associated_data
from strongroom.seal.stream import FIRST_PLAIN, PLAIN, SEGMENT, open_whole, seal, sealed_size

ASSOCIATED_DATA = blob_associated_data("c0ffee" * 5 + "00", 7)
SIZES = [0, 1, 4096] + [
    border + by for border in (FIRST_PLAIN, FIRST_PLAIN + PLAIN, FIRST_PLAIN + 2 * PLAIN) for by in (-1, 0, 1)
]


class _Kept(io.BytesIO):
    """tink closes what it writes to."""

    def close(self):
        pass


def foreign(data_key):
    """tink's primitive over the raw data key."""
    streaming_aead.register()
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=SEGMENT, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
    )
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(version=0, params=params, key_value=data_key)
    key_data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=key.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    entry = tink_pb2.Keyset.Key(key_data=key_data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[entry])
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_write(size):
    data_key, plain = os.urandom(32), os.urandom(size)
    sealed = seal(data_key, ASSOCIATED_DATA, plain)
    with foreign(data_key).new_decrypting_stream(io.BytesIO(sealed), ASSOCIATED_DATA) as reader:
        assert reader.read() == plain


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_tink_writes(size):
    data_key, plain, target = os.urandom(32), os.urandom(size), _Kept()
    with foreign(data_key).new_encrypting_stream(target, ASSOCIATED_DATA) as writer:
        writer.write(plain)
    sealed = target.getvalue()
    assert len(sealed) == sealed_size(size)
    assert open_whole(data_key, ASSOCIATED_DATA, sealed) == plain
