"""The vector of bucket keys: made again by the rooms, and read by the readers that were written from the documents alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from strongroom.kms.blob import BlobError, open_blob, parse_blob, seal_blob
from strongroom.kms.names import KeyName
from strongroom.s3.sealing import kms_context
from strongroom.seal.format import Envelope, bare, binding
from strongroom.seal.wrap import unwrap, wrap
from tests.kms import slow_blob
from tests.seal import slow_reader

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "bucket_key.json").read_text())
MATERIAL, BUCKET_KEY, BLOB = (bytes.fromhex(VECTOR[name]) for name in ("material", "bucket_key", "kms_ciphertext"))


def unhex(case, *names):
    return [bytes.fromhex(case[name]) for name in names]


def test_the_bucket_key_is_a_data_key_of_kms_for_the_bucket():
    key = KeyName(VECTOR["account_id"], VECTOR["region"], VECTOR["key_id"])
    context = kms_context(VECTOR["bucket"], "any", VECTOR["client_context"], bucket_key=True)
    assert context == VECTOR["kms_context"]
    assert seal_blob(key, VECTOR["material_id"], MATERIAL, BUCKET_KEY, context, bytes.fromhex(VECTOR["random"])) == BLOB
    assert slow_blob.read(BLOB, MATERIAL, context) == BUCKET_KEY
    of_an_object = kms_context(VECTOR["bucket"], "any", VECTOR["client_context"], bucket_key=False)
    for other in (of_an_object, {**context, "aws:s3:arn": "arn:aws:s3:::photo"}, {"aws:s3:arn": context["aws:s3:arn"]}):
        with pytest.raises(BlobError):
            open_blob(parse_blob(BLOB), MATERIAL, other)
        with pytest.raises(InvalidTag):
            slow_blob.read(BLOB, MATERIAL, other)


@pytest.mark.parametrize("case", VECTOR["objects"], ids=lambda case: case["object_key"])
def test_it_wraps_the_data_key_of_each_object(case):
    seal, manifest, data_key, nonce = unhex(case, "seal", "manifest", "data_key", "nonce")
    where = VECTOR["bucket_id"], case["object_key"], case["version_id"]
    envelope = Envelope.decode(seal)
    assert (envelope.bucket_key, envelope.kms_wrapped, envelope.context) == (True, BLOB, VECTOR["client_context"])
    bound = binding(*where, manifest) + bare(seal, envelope)
    assert unwrap(BUCKET_KEY, envelope.wrapped, bound) == data_key
    assert envelope._replace(wrapped=wrap(BUCKET_KEY, data_key, bound, lambda _: nonce)).encode() == seal
    read = slow_reader.read_envelope(seal)
    assert read["bucket_key"] is True
    kek = slow_blob.read(read["kms_wrapped"], MATERIAL, {**read["context"], "aws:s3:arn": f"arn:aws:s3:::{VECTOR['bucket']}"})
    assert slow_reader.unwrap(kek, read["wrapped"], slow_reader.version_binding(*where, manifest, read["bare"])) == data_key
