"""Every vector has the outcome it names, for the room and for the reader written from the document alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from strongroom import seal
from strongroom.seal import customer, stream, wrap
from strongroom.seal.bucket_records import BucketRecords
from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.format import Envelope, Mode, Piece, binding, decode_manifest, encode_manifest, outer_binding
from strongroom.store.contract import VersionRow
from tests.seal import slow_reader

VECTORS = Path(__file__).parent.parent / "vectors"


def cases(name):
    found = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in found]


def unhex(case, *names):
    return [bytes.fromhex(case[name]) for name in names]


def outcome(case, errors, run, *arguments):
    """What ``run`` gives, if the vector says ok; else it must raise the error that the vector names, and exactly that one."""
    if case["expect"] == "ok":
        return run(*arguments)
    with pytest.raises(getattr(errors, case["expect"])):
        run(*arguments)
    return None


def edited(sealed, edits):
    sealed = bytearray(sealed)
    for edit in edits:
        ((what, how),) = edit.items()
        if what == "cut":
            del sealed[how:]
        elif what == "append":
            sealed += bytes.fromhex(how)
        elif what == "xor":
            sealed[how[0]] ^= how[1]
        elif what == "drop":
            del sealed[how * stream.SEGMENT : (how + 1) * stream.SEGMENT]
        elif what == "swap":
            segments = [sealed[at : at + stream.SEGMENT] for at in range(0, len(sealed), stream.SEGMENT)]
            segments[how[0]], segments[how[1]] = segments[how[1]], segments[how[0]]
            sealed = bytearray().join(segments)
        else:
            raise LookupError(what)
    return bytes(sealed)


@pytest.mark.parametrize("case", cases("stream"))
def test_stream(case):
    check_stream(case, stream.GCM_HKDF, slow_reader.read_stream)


@pytest.mark.parametrize("case", cases("outer_stream"))
def test_outer_stream(case):
    check_stream(case, CTR_HMAC, slow_reader.read_outer_stream)


def check_stream(case, construction, slow):
    data_key, associated_data, salt, prefix = unhex(case, "data_key", "associated_data", "salt", "nonce_prefix")
    plain = bytes(i % 251 for i in range(case["plain_size"]))
    sealing_key = bytes.fromhex(case.get("sealed_under", case["data_key"]))
    sealed_for = bytes.fromhex(case.get("sealed_for", case["associated_data"]))
    sealed = edited(stream.seal(sealing_key, sealed_for, plain, lambda _: salt + prefix, construction), case["edits"])
    assert (len(sealed), hashlib.sha256(sealed).hexdigest()) == (case["sealed_size"], case["sealed_sha256"])
    if "sealed" in case:
        assert sealed.hex() == case["sealed"]

    def in_runs(data_key, associated_data, sealed):
        opener = stream.Opener(data_key, associated_data, sealed[: stream.HEADER], len(sealed), construction)
        segments = range(0, len(sealed), stream.SEGMENT)
        return b"".join(opener.open(at // stream.SEGMENT, sealed[at : at + stream.SEGMENT]) for at in segments)

    expected = plain if case["expect"] == "ok" else None
    assert outcome(case, seal, stream.open_whole, data_key, associated_data, sealed, construction) == expected
    assert outcome(case, seal, in_runs, data_key, associated_data, sealed) == expected
    assert outcome(case, slow_reader, slow, data_key, associated_data, sealed) == expected


@pytest.mark.parametrize("case", cases("envelope"))
def test_envelope(case):
    (encoded,) = unhex(case, "encoded")
    envelope = outcome(case, seal, Envelope.decode, encoded)
    read = outcome(case, slow_reader, slow_reader.read_envelope, encoded)
    if envelope is None:
        return
    fields = case["fields"]
    fields |= {"mode": Mode(fields["mode"]), "wrapped": bytes.fromhex(fields["wrapped"])}
    fields |= {
        "kms_wrapped": bytes.fromhex(fields["kms_wrapped"]),
        "outer_wrapped": bytes.fromhex(fields.get("outer_wrapped", "")),
    }
    assert envelope == Envelope(**fields)
    assert envelope.encode() == encoded
    assert {name: read[name] for name in fields} == fields


@pytest.mark.parametrize("case", cases("manifest"))
def test_manifest(case):
    (encoded,) = unhex(case, "encoded")
    pieces = outcome(case, seal, decode_manifest, encoded)
    read = outcome(case, slow_reader, slow_reader.read_manifest, encoded)
    if pieces is not None:
        assert pieces == [Piece(*piece) for piece in case["pieces"]]
        assert read == [tuple(piece) for piece in case["pieces"]]
        assert encode_manifest(pieces) == encoded


@pytest.mark.parametrize("case", cases("version"))
def test_version(case):
    kek, manifest, bare, wrapped = unhex(case, "kek", "manifest", "bare_envelope", "wrapped")
    where = case["bucket_id"], case["object_key"], case["version_id"]
    bound = binding(*where, manifest) + bare
    slow = slow_reader.version_binding
    if case.get("outer"):
        bound, slow = outer_binding(bound), slow_reader.outer_version_binding
    assert slow(*where, manifest, bare) == bound
    opened = outcome(case, seal, wrap.unwrap, kek, wrapped, bound)
    assert outcome(case, slow_reader, slow_reader.unwrap, kek, wrapped, bound) == opened
    if opened is not None:
        assert (opened.hex(), bound.hex()) == (case["data_key"], case["binding"])
        assert wrap.wrap(kek, opened, bound, lambda _: bytes.fromhex(case["nonce"])) == wrapped


@pytest.mark.parametrize("case", cases("customer"))
def test_customer(case):
    customer_key, lock = unhex(case, "customer_key", "lock")
    where = case["bucket_id"], case["object_key"]
    if case["expect"] == "AnotherKey":
        assert not customer.fits(customer_key, lock)
        with pytest.raises(slow_reader.AnotherKey):
            slow_reader.open_lock(customer_key, lock, *where)
        return
    opened = outcome(case, seal, customer.unlock, customer_key, lock, *where)
    assert outcome(case, slow_reader, slow_reader.open_lock, customer_key, lock, *where) == opened
    if opened is not None:
        assert opened.hex() == case["data_key"]
        randoms = iter(unhex(case, "salt", "nonce"))
        assert customer.lock(customer_key, opened, *where, lambda _: next(randoms)) == lock


@pytest.mark.parametrize("case", cases("record"))
def test_record(case):
    key, place, record = unhex(case, "key", "place", "record")
    records = wrap.Records(key, lambda _: bytes.fromhex(case["nonce"]))
    opened = outcome(case, seal, records.open, record, place)
    assert outcome(case, slow_reader, slow_reader.open_record, key, record, place) == opened
    if opened is not None:
        assert opened.hex() == case["plain"]
        assert records.seal(opened, place) == record


@pytest.mark.parametrize("case", cases("version_record"))
def test_version_record(case):
    key, record, envelope, manifest = unhex(case, "key", "record", "seal", "manifest")
    place = case["object_key"], case["version_id"], case["size"], envelope, manifest
    row = VersionRow(case["bucket_id"], *place[:2], False, False, case["size"], 0, envelope, record, manifest)
    records = BucketRecords(key, case["bucket_id"], lambda _: bytes.fromhex(case["nonce"]))
    opened = outcome(case, seal, records.open_version, row)
    assert outcome(case, slow_reader, slow_reader.open_version_record, key, record, case["bucket_id"], *place) == opened
    page = outcome(case, seal, records.open_page, [row, row])
    if opened is not None:
        assert opened.hex() == case["plain"]
        assert page == [opened, opened]
        assert records.seal_version(opened, *place) == record or record[0] == 1


def test_the_place_of_a_record():
    place = json.loads((VECTORS / "record.json").read_text())["place"]
    assert wrap.record_associated_data(place["bucket_id"], place["object_key"], place["version_id"]).hex() == place["encoded"]


@pytest.mark.parametrize("case", cases("derive"))
def test_derive(case):
    key, context = unhex(case, "key", "context")
    assert wrap.derive(key, case["label"], context).hex() == case["derived"]
    assert slow_reader.derive(key, case["label"], context).hex() == case["derived"]
