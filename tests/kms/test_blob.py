from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.kms.blob import MAX_BLOB, BlobError, ContextError, encode_context, open_blob, parse_blob, seal_blob
from strongroom.kms.names import KeyName
from tests.kms import slow_blob

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "kms_blob.json").read_text())["cases"]
KEY = KeyName("111122223333", "eu-central-1", "0d990263-018e-4e65-a703-eff731de951e")
MATERIAL_ID = "ab" * 32
MATERIAL = bytes(range(32))
TEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vector(case):
    blob, material = bytes.fromhex(case["blob"]), bytes.fromhex(case["material"])
    if case["expect"] == "does not parse":
        with pytest.raises(BlobError):
            parse_blob(blob)
    elif case["expect"] == "does not open":
        with pytest.raises(BlobError):
            open_blob(parse_blob(blob), material, case["context"])
    else:
        key = KeyName(case["account_id"], case["region"], case["key_id"])
        plain, random = bytes.fromhex(case["plain"]), bytes.fromhex(case["salt"] + case["iv"])
        assert seal_blob(key, case["material_id"], material, plain, case["context"], random) == blob
        parsed = parse_blob(blob)
        assert (parsed.key, parsed.material_id) == (key, case["material_id"])
        assert open_blob(parsed, material, case["context"]) == plain
        assert slow_blob.write(case) == blob


@settings(max_examples=60, deadline=None)
@given(plain=st.binary(min_size=1, max_size=4096), context=TEXTS, random=st.binary(min_size=28, max_size=28))
def test_a_reader_made_from_the_document_reads_what_is_written(plain, context, random):
    blob = seal_blob(KEY, MATERIAL_ID, MATERIAL, plain, context, random)
    assert slow_blob.read(blob, MATERIAL, context) == plain
    assert len(blob) == 137 + len(KEY.region) + len(plain)


@given(one=TEXTS, other=TEXTS)
@settings(max_examples=100, deadline=None)
def test_contexts_encode_alike_only_when_they_are_equal(one, other):
    assert (encode_context(one) == encode_context(other)) == (one == other)


def test_every_byte_counts():
    blob = seal_blob(KEY, MATERIAL_ID, MATERIAL, b"secret", {"a": "b"}, os.urandom(28))
    for place in range(len(blob)):
        for bit in (1, 0x80):
            changed = bytearray(blob)
            changed[place] ^= bit
            with pytest.raises(BlobError) as caught:
                open_blob(parse_blob(bytes(changed)), MATERIAL, {"a": "b"})
            assert not str(caught.value)


def test_no_prefix_of_a_blob_is_a_blob():
    blob = seal_blob(KEY, MATERIAL_ID, MATERIAL, b"secret", {}, os.urandom(28))
    for length in range(len(blob)):
        with pytest.raises(BlobError):
            parse_blob(blob[:length])


def test_limits():
    largest = seal_blob(KeyName(KEY.account_id, "r" * 64, KEY.key_id), MATERIAL_ID, MATERIAL, bytes(4096), {}, bytes(28))
    assert len(largest) <= MAX_BLOB
    for plain, key, random in (
        (b"", KEY, bytes(28)),
        (bytes(4097), KEY, bytes(28)),
        (b"x", KEY, bytes(27)),
        (b"x", KeyName(KEY.account_id, "r" * 65, KEY.key_id), bytes(28)),
        (b"x", KeyName("", KEY.region, KEY.key_id), bytes(28)),
        (b"x", KeyName(KEY.account_id, KEY.region, "alias/x"), bytes(28)),
    ):
        with pytest.raises(ValueError):
            seal_blob(key, MATERIAL_ID, MATERIAL, plain, {}, random)


def test_a_context_of_lone_surrogates_is_refused():
    with pytest.raises(ContextError):
        encode_context({"a": "\ud800"})
