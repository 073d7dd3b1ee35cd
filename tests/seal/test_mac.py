"""The libraries say what is right; two vectors of the RFCs say so without them."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from strongroom.seal.mac import MacKey, hkdf_sha256, hmac_sha256

KEYS = st.binary(max_size=64)
TEXTS = st.binary(max_size=300)


def test_vectors_of_rfc_4231_and_rfc_5869():
    case_2 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hmac_sha256(b"Jefe", b"what do ya want for nothing?").hex() == case_2
    assert MacKey(b"Jefe").digest(b"what do ya want for nothing?").hex() == case_2
    case_3 = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf_sha256(b"\x0b" * 22, 42, b"", b"").hex() == case_3


@given(key=KEYS, first=TEXTS, second=TEXTS)
def test_hmac_is_that_of_the_library_and_a_key_is_not_used_up(key, first, second):
    ready = MacKey(key)
    for text in (first, second, first):
        assert ready.digest(text) == hmac_sha256(key, text) == hmac.digest(key, text, "sha256")


@given(key=st.binary(min_size=1, max_size=100), size=st.integers(1, 200), salt=KEYS, info=TEXTS)
def test_hkdf_is_that_of_the_library(key, size, salt, info):
    assert hkdf_sha256(key, size, salt, info) == HKDF(SHA256(), size, salt, info).derive(key)


def test_the_longest_and_what_is_longer():
    assert hkdf_sha256(b"k", 8160, b"", b"") == HKDF(SHA256(), 8160, b"", b"").derive(b"k")
    for size in (0, 8161):
        with pytest.raises(ValueError, match="8160"):
            hkdf_sha256(b"k", size, b"", b"")
    for refuse in (lambda: MacKey(bytes(65)), lambda: hmac_sha256(bytes(65), b""), lambda: hkdf_sha256(b"k", 32, bytes(65), b"")):
        with pytest.raises(ValueError, match="64 bytes"):
            refuse()
