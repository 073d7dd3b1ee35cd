"""The tamper matrix: what whoever has the disk can do to a stored object, and what is found out. Attacks, and the page about them.

``test_tamper_matrix.py`` carries out each attack on each encryption and holds this table to what it saw;
``python -m tests.s3.tamper_matrix`` writes the page ``docs/tamper-matrix.md`` from it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strongroom.seal.format import Envelope, Mode, Piece, decode_manifest, encode_manifest

if TYPE_CHECKING:
    from tests.s3.test_tamper_matrix import Stored

SEGMENT = 65536
ROW, BLOB, PARTS = "in its row", "one blob", "two parts"
SHAPES = (ROW, BLOB, PARTS)


@dataclass(frozen=True)
class Encryption:
    name: str
    write: dict[str, Any]
    read: dict[str, Any] = field(default_factory=dict)  # what a request sends that reads, or brings a part
    kms: bool = True  # KMS has a say when it is opened
    shared: bool = False  # and opens the same ciphertext for many objects

    @property
    def source(self) -> dict[str, Any]:
        """The same of the source of a copy."""
        return {f"CopySource{name}": value for name, value in self.read.items()}


_KEY = bytes(range(32))
_TRIO = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(_KEY).decode(),
    "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(_KEY).digest()).decode(),
}
ENCRYPTIONS = (
    Encryption("SSE-S3", {"ServerSideEncryption": "AES256"}, kms=False),
    Encryption("SSE-KMS", {"ServerSideEncryption": "aws:kms"}),
    Encryption("SSE-KMS, bucket key", {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}, shared=True),
    Encryption("DSSE-KMS", {"ServerSideEncryption": "aws:kms:dsse"}),
    Encryption("SSE-C", _TRIO, _TRIO, kms=False),
)

#: One change on the disk: its name, and whether it also needs the bucket's metadata key (the record is made to fit the change).
Variant = tuple[str, bool]


@dataclass(frozen=True)
class Attack:
    name: str
    what: str
    run: Callable[[Stored], Iterator[Variant]]
    shapes: tuple[str, ...]
    found: frozenset[str]  # the errors by which it is found out, over all its variants
    by: str  # what finds it out
    kms: frozenset[str] = frozenset()  # and these, where KMS has a say
    alone: frozenset[str] = frozenset()  # and these, where KMS's ciphertext is of one object alone
    others: frozenset[str] = frozenset()  # and these, where it has none

    def errors(self, encryption: Encryption) -> frozenset[str]:
        if not encryption.kms:
            return self.found | self.others
        return self.found | self.kms | (frozenset() if encryption.shared else self.alone)


def _streams(stored: Stored, change: Callable[[bytes], Iterator[tuple[str, bytes]]]) -> Iterator[Variant]:
    """Each change to each of the object's streams alone."""
    good = stored.streams("new")
    for index, stream in enumerate(good):
        for label, bad in change(stream):
            stored.set_streams("new", [*good[:index], bad, *good[index + 1 :]])
            yield f"{label}, stream {index}", False


def _segments(stream: bytes) -> list[bytes]:
    return [stream[at : at + SEGMENT] for at in range(0, len(stream), SEGMENT)]


def flip(stored: Stored) -> Iterator[Variant]:
    def change(stream: bytes) -> Iterator[tuple[str, bytes]]:
        places = {0, 1, 33, 39, 40, len(stream) // 2, len(stream) - 33, len(stream) - 17, len(stream) - 1}
        places |= {at + by for at in range(SEGMENT, len(stream), SEGMENT) for by in (-33, -17, -1, 0)}
        for place in sorted(places):
            yield f"byte {place}", stream[:place] + bytes([stream[place] ^ 0x10]) + stream[place + 1 :]

    return _streams(stored, change)


def truncate_at_a_border(stored: Stored) -> Iterator[Variant]:
    return _streams(stored, lambda stream: ((f"at {at}", stream[:at]) for at in range(0, len(stream), SEGMENT)))


def truncate_elsewhere(stored: Stored) -> Iterator[Variant]:
    def change(stream: bytes) -> Iterator[tuple[str, bytes]]:
        for at in (len(stream) - 1, len(stream) - 16, len(stream) - 33, len(stream) // 2 + 7, 41, 40, 39, 1):
            yield f"at {at}", stream[:at]

    return _streams(stored, change)


def extend(stored: Stored) -> Iterator[Variant]:
    def change(stream: bytes) -> Iterator[tuple[str, bytes]]:
        last = _segments(stream)[-1]
        for label, tail in (("a byte", b"\0"), ("a segment of zeros", bytes(SEGMENT)), ("its last segment again", last)):
            yield label, stream + tail

    return _streams(stored, change)


def swap_segments(stored: Stored) -> Iterator[Variant]:
    def change(stream: bytes) -> Iterator[tuple[str, bytes]]:
        cuts = _segments(stream)
        for one, other in itertools.combinations(range(len(cuts)), 2):
            order = list(range(len(cuts)))
            order[one], order[other] = other, one
            yield f"{one} and {other}", b"".join(cuts[index] for index in order)
            order = [one if index == other else index for index in range(len(cuts))]
            yield f"{one} in place of {other}", b"".join(cuts[index] for index in order)

    return _streams(stored, change)


def swap_parts(stored: Stored) -> Iterator[Variant]:
    streams = stored.streams("new")
    stored.set_streams("new", streams[::-1])
    yield "the blobs of two parts", False
    stored.set_streams("new", [streams[0], streams[0]])
    yield "one part twice", False
    pieces = decode_manifest(stored.column("new", "manifest"))
    for label, changed in (
        ("the manifest's order", pieces[::-1]),
        ("a part left out", pieces[:1]),
        ("a part named twice", [pieces[0], pieces[0]]),
        ("part numbers", [pieces[0]._replace(part_number=2), pieces[1]._replace(part_number=1)]),
    ):
        yield from _rewritten(stored, label, manifest=encode_manifest(changed), size=sum(piece.size for piece in changed))


def _rewritten(stored: Stored, label: str, **columns: Any) -> Iterator[Variant]:
    """A row with other columns: as the disk allows, and with a record that fits them."""
    if all(stored.column("new", name) == value for name, value in columns.items()):
        return  # two objects may share what is exchanged
    stored.set_columns("new", **columns)
    yield label, False
    stored.set_columns("new", **columns)
    stored.make_record_fit("new")
    yield f"{label}, with a record to fit", True


def _exchanges(stored: Stored, other: str) -> Iterator[Variant]:
    mine, others = stored.streams("new"), stored.streams(other)
    stored.set_streams("new", others)
    stored.set_streams(other, mine)
    yield "bodies", False
    for index, (own, foreign) in enumerate(zip(mine, others, strict=True)):
        cuts, theirs = _segments(own), _segments(foreign)
        for place in range(len(cuts)):
            spliced = b"".join([*cuts[:place], theirs[place], *cuts[place + 1 :]])
            stored.set_streams("new", [*mine[:index], spliced, *mine[index + 1 :]])
            yield f"segment {place} of stream {index}", False
    for columns in (
        ("meta",),
        ("seal",),
        ("manifest", "body"),
        ("seal", "manifest", "body"),
        ("seal", "manifest", "body", "meta", "size"),
        ("version_id", "seal", "manifest", "body", "meta", "size") if other == "other" else ("version_id",),
    ):
        stored.exchange("new", other, columns)
        yield f"{' + '.join(columns)}", False
        if columns[0] not in {"version_id", "meta"}:
            stored.exchange("new", other, columns)
            stored.make_record_fit("new")
            yield f"{' + '.join(columns)}, with a record to fit", True


def swap_objects(stored: Stored) -> Iterator[Variant]:
    return _exchanges(stored, "other")


def swap_versions(stored: Stored) -> Iterator[Variant]:
    return _exchanges(stored, "old")


def replay(stored: Stored) -> Iterator[Variant]:
    stored.set_streams("new", stored.streams("old"))
    yield "the older body in place of the new one", False
    for columns in (("manifest", "body"), ("manifest", "body", "size"), ("seal", "manifest", "body", "size", "meta")):
        yield from _rewritten(stored, " + ".join(columns), **{name: stored.column("old", name) for name in columns})


def swap_wrapped_keys(stored: Stored) -> Iterator[Variant]:
    mine = Envelope.decode(stored.column("new", "seal"))
    for who in ("old", "other"):
        theirs = Envelope.decode(stored.column(who, "seal"))
        changes = {
            "the wrapped key": {"wrapped": theirs.wrapped},
            "KMS's ciphertext": {"kms_wrapped": theirs.kms_wrapped},
            "both": {"wrapped": theirs.wrapped, "kms_wrapped": theirs.kms_wrapped},
            "the outer wrapped key": {"outer_wrapped": theirs.outer_wrapped},
            "all of them": {
                "wrapped": theirs.wrapped,
                "kms_wrapped": theirs.kms_wrapped,
                "outer_wrapped": theirs.outer_wrapped,
            },
        }
        for label, changed in changes.items():
            yield from _rewritten(stored, f"{label} of {who}", seal=mine._replace(**changed).encode())
    if mine.mode == Mode.DSSE_KMS:
        exchanged = mine._replace(wrapped=mine.outer_wrapped, outer_wrapped=mine.wrapped)
        yield from _rewritten(stored, "inner and outer wrapped key", seal=exchanged.encode())


def edit_sizes(stored: Stored) -> Iterator[Variant]:
    size, pieces = stored.column("new", "size"), decode_manifest(stored.column("new", "manifest"))
    for changed in (0, size - 1, size + 1, 1 << 40):
        yield from _rewritten(stored, f"row says {changed}", size=changed)
    for index, piece in enumerate(pieces):
        for by in (-1, 1, SEGMENT - 16):
            edited = [*pieces[:index], piece._replace(size=piece.size + by), *pieces[index + 1 :]]
            yield from _rewritten(
                stored, f"row and manifest {by:+}", manifest=encode_manifest(edited), size=sum(one.size for one in edited)
            )
    if len(pieces) > 1:
        moved = [pieces[0]._replace(size=pieces[0].size + 1), pieces[1]._replace(size=pieces[1].size - 1)]
        yield from _rewritten(stored, "a byte of one part given to the next", manifest=encode_manifest(moved))


def delete_a_blob(stored: Stored) -> Iterator[Variant]:
    good = stored.streams("new")
    for index in range(len(good)):
        stored.set_streams("new", [*good[:index], None, *good[index + 1 :]])
        yield f"stream {index}", False


def name_another_blob(stored: Stored) -> Iterator[Variant]:
    """A manifest that names blobs of another object, with and without the key that opens them."""
    pieces = decode_manifest(stored.column("new", "manifest"))
    others = decode_manifest(stored.column("other", "manifest"))
    named = [Piece(other.blob_id, piece.part_number, piece.size) for piece, other in zip(pieces, others, strict=True)]
    body = stored.column("other", "body")
    yield from _rewritten(stored, "another's blobs", manifest=encode_manifest(named), body=body)


def edit_the_envelope(stored: Stored) -> Iterator[Variant]:
    """Say that it is encrypted in another way, or under another key."""
    good = stored.column("new", "seal")
    envelope = Envelope.decode(good)
    for mode in (1, 2, 3, 4, 5):
        yield from _rewritten(stored, f"mode {mode}", seal=good[:4] + bytes([mode]) + good[5:])
    yield from _rewritten(stored, "flags", seal=good[:5] + bytes([good[5] ^ 1]) + good[6:])
    if envelope.key_arn:
        other = envelope.key_arn[:-1] + ("0" if envelope.key_arn[-1] != "0" else "1")
        yield from _rewritten(stored, "key ARN", seal=envelope._replace(key_arn=other).encode())
        yield from _rewritten(stored, "context", seal=envelope._replace(context={"a": "b"}).encode())
    if envelope.key_id:
        yield from _rewritten(stored, "service key", seal=envelope._replace(key_id="ab" * 16).encode())
    for label, changed in (("cut", good[:-1]), ("longer", good + b"\0"), ("empty", b"")):
        yield from _rewritten(stored, label, seal=changed)


FORGED, TRUNCATED = frozenset({"Forged"}), frozenset({"Truncated"})
KMS = frozenset({"KMS.InvalidCiphertextException"})
STRICT = frozenset({"NotOurs", "Unsupported"})
SEGMENTED = (BLOB, PARTS)
ATTACKS = (
    Attack("flip", "flip a bit of a header, a ciphertext, a tag", flip, SHAPES, FORGED, "tag of the segment"),
    Attack(
        "truncate at a border",
        "cut a body where a segment ends",
        truncate_at_a_border,
        SHAPES,
        TRUNCATED,
        "length, by the manifest",
    ),
    Attack("truncate elsewhere", "cut a body anywhere else", truncate_elsewhere, SHAPES, TRUNCATED, "length, by the manifest"),
    Attack("extend", "put bytes behind a body", extend, SHAPES, TRUNCATED, "length, by the manifest"),
    Attack(
        "swap segments",
        "exchange or repeat segments of a body",
        swap_segments,
        SEGMENTED,
        FORGED | TRUNCATED,
        "nonce of the segment; length",
    ),
    Attack("swap parts", "exchange, repeat, renumber or leave out parts", swap_parts, (PARTS,), FORGED, "part number; manifest"),
    Attack(
        "swap objects",
        "exchange bodies, single segments or columns of two objects",
        swap_objects,
        SHAPES,
        FORGED,
        "data key; place; encryption context",
        alone=KMS,
    ),
    Attack("swap versions", "the same with two versions of a key", swap_versions, SHAPES, FORGED, "data key; place"),
    Attack(
        "replay an older version",
        "put an older version's body and columns into the row of a newer one",
        replay,
        SHAPES,
        FORGED,
        "data key; place",
    ),
    Attack(
        "swap wrapped keys",
        "exchange wrapped keys and KMS's ciphertexts, also inner and outer",
        swap_wrapped_keys,
        SHAPES,
        FORGED,
        "binding; encryption context",
        alone=KMS,
    ),
    Attack("edit sizes", "change the sizes in a row and its manifest", edit_sizes, SHAPES, FORGED, "record; binding"),
    Attack(
        "name another blob", "have a manifest name another object's blobs", name_another_blob, SHAPES, FORGED, "record; binding"
    ),
    Attack(
        "edit the envelope",
        "claim another mode, key or context; cut it",
        edit_the_envelope,
        SHAPES,
        FORGED | TRUNCATED | STRICT,
        "record; binding; strict decoding",
        kms=KMS,
        others=frozenset({"InvalidRequest"}),  # a customer's key that is missing, or one too many
    ),
    Attack("delete a blob", "take a body away", delete_a_blob, SHAPES, frozenset({"Gone", "Truncated"}), "the blob is not there"),
)


def page() -> str:
    """The page about the matrix."""
    columns = " | ".join(encryption.name for encryption in ENCRYPTIONS)
    lines = [_OPENING, f"| what is done | shapes | {columns} | found out by |", f"|---|---|{'---|' * len(ENCRYPTIONS)}---|"]
    for attack in ATTACKS:
        cells = " | ".join(", ".join(f"`{name}`" for name in sorted(attack.errors(one))) for one in ENCRYPTIONS)
        lines.append(f"| **{attack.name}**: {attack.what} | {', '.join(attack.shapes)} | {cells} | {attack.by} |")
    return "\n".join([*lines, _CLOSING])


_OPENING = """# Tamper matrix

What whoever has the disk, and not the root key, can do to a stored object, and what comes of it. This page is generated: `make docs` writes it
from `tests/s3/tamper_matrix.py`, and `tests/s3/test_tamper_matrix.py` carries out each attack, in many variants, on real files under a real
catalog: on each encryption, and on each shape that an object has: a small body in its row, one blob, the blobs of two parts.

A cell says the errors (`spec/at-rest.md`, section 11) that reading the object ends in, one of them for each variant. No read of it, of a range, of
a part, by HeadObject, by a listing or as the source of a copy, ever gives a wrong byte or size: it is an error, or, where it does not touch what
was changed, the truth. Of a body that is read from its start, right bytes may be sent before the damage is reached; then the connection breaks
off. A client sees 500 `InternalError`, or what KMS answers, and the log says more.

Whatever changes a row is done twice: as the disk allows it, which the record beside it finds out, and once more with a record made to fit, as
somebody could who has the bucket's metadata key too. Then the binding of the wrapped data key still finds it out.
"""
_CLOSING = """
**Not found out**, in any encryption: a whole row put back as it was at an earlier time, together with its blobs; a row taken away; which of a key's
versions is the newest; times; documents in clear. See `threat-model.md`.
"""


if __name__ == "__main__":
    print(page(), end="")
