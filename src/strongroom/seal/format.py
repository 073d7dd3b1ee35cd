"""What stands beside a payload: the manifest of its pieces, the envelope of its data key, and what each is bound to.

Encodings are strict both ways: what decodes encodes to the very same bytes. Never knows keys, ciphers, or where these bytes
are kept. ``docs/spec/at-rest.md`` sections 4 to 6 are the specification.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from strongroom.seal import NotOurs, Truncated, Unsupported

MAGIC: Final = b"SRE"
ENVELOPE_VERSION: Final = 1
MANIFEST_VERSION: Final = 1

_STREAM_LABEL: Final = b"strongroom/seal/stream/1"
_OUTER_STREAM_LABEL: Final = b"strongroom/seal/outer-stream/1"
_VERSION_LABEL: Final = b"strongroom/seal/version/1"
_OUTER_VERSION_LABEL: Final = b"strongroom/seal/outer-version/1"
_HEAD: Final = struct.Struct(">3sBBB")  # magic, version, mode, flags
_MANIFEST_HEAD: Final = struct.Struct(">BI")  # version, count
_PIECE: Final = struct.Struct(">16sHQ")  # blob id, part number, size
_ONE_PIECE: Final = _MANIFEST_HEAD.size + _PIECE.size
_ONE_PIECE_HEAD: Final = _MANIFEST_HEAD.pack(MANIFEST_VERSION, 1)
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_FIELD_BYTES: Final = 0xFFFF
_BUCKET_KEY: Final = 0x01
_USUAL: Final = 60  # bytes of a wrapped data key
_USUAL_LENGTH: Final = _U16.pack(_USUAL)
_REMEMBERED: Final = 256
_SERVICE_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")


class Mode(IntEnum):
    """How a data key is wrapped."""

    SSE_S3 = 1
    SSE_KMS = 2
    DSSE_KMS = 3
    SSE_C = 4


_NO_CONTEXT: Final[Mapping[str, str]] = MappingProxyType({})
_MODES: Final = {mode.value: mode for mode in Mode}


class Piece(NamedTuple):
    """One stream of an object, in the order of the object's bytes."""

    blob_id: str  # 32 hex, lower case
    part_number: int  # 0: the stream is the row's body
    size: int  # plaintext bytes


def encode_manifest(pieces: Sequence[Piece]) -> bytes:
    """Raises ValueError for a piece that the format has no room for."""
    try:
        if len(pieces) == 1:
            return _ONE_PIECE_HEAD + _PIECE.pack(_blob_id(pieces[0].blob_id), pieces[0].part_number, pieces[0].size)
        packed = [_PIECE.pack(_blob_id(piece.blob_id), piece.part_number, piece.size) for piece in pieces]
        return _MANIFEST_HEAD.pack(MANIFEST_VERSION, len(packed)) + b"".join(packed)
    except struct.error:
        raise ValueError("a part number has 16 bits, a size 64") from None


def decode_manifest(data: bytes) -> list[Piece]:
    """Raises Unsupported, Truncated."""
    if len(data) == _ONE_PIECE and data.startswith(_ONE_PIECE_HEAD):  # nearly all of them
        blob_id, part_number, size = _PIECE.unpack_from(data, _MANIFEST_HEAD.size)
        return [Piece(blob_id.hex(), part_number, size)]
    if not data:
        raise Truncated("the manifest is empty")
    if data[0] != MANIFEST_VERSION:
        raise Unsupported(f"manifest version {data[0]}")
    if len(data) < _MANIFEST_HEAD.size or len(data) != _MANIFEST_HEAD.size + _MANIFEST_HEAD.unpack_from(data)[1] * _PIECE.size:
        raise Truncated("the manifest is not as long as it says")
    entries = _PIECE.iter_unpack(memoryview(data)[_MANIFEST_HEAD.size :])
    return [Piece(blob_id.hex(), part_number, size) for blob_id, part_number, size in entries]


def stream_associated_data(blob_id: str, part_number: int) -> bytes:
    """The associated data of the stream in that blob. Raises ValueError for what is not a blob id and part number."""
    return _STREAM_LABEL + _blob_place(blob_id, part_number)


def outer_associated_data(blob_id: str, part_number: int) -> bytes:
    """The same for the outer stream of DSSE-KMS, which lies around the other in the same blob."""
    return _OUTER_STREAM_LABEL + _blob_place(blob_id, part_number)


def binding(bucket_id: str, object_key: str, version_id: str, manifest: bytes) -> bytes:
    """What the wrapped data key of a version is bound to, but for the envelope's own fields, which the caller appends.

    Raises ValueError for text that is not Unicode (a lone surrogate).
    """
    return _VERSION_LABEL + place(bucket_id, object_key, version_id) + hashlib.sha256(manifest).digest()


def outer_binding(bound: bytes) -> bytes:
    """The same for the outer data key of DSSE-KMS, from what ``binding`` gave (and, if it was appended, the bare envelope)."""
    return _OUTER_VERSION_LABEL + bound.removeprefix(_VERSION_LABEL)


def place(bucket_id: str, object_key: str, version_id: str) -> bytes:
    """Each with its length in front, so that no two places give the same bytes."""
    bucket, key, version = bucket_id.encode(), object_key.encode(), version_id.encode()
    pack = _U32.pack
    return pack(len(bucket)) + bucket + pack(len(key)) + key + pack(len(version)) + version


class Envelope(NamedTuple):
    """How one data key is wrapped, and that wrapped data key. Nothing in it is authentic before ``wrapped`` has opened."""

    mode: Mode
    key_id: str = ""  # all but SSE-KMS: id of the service key, 32 hex
    key_arn: str = ""  # SSE-KMS, DSSE-KMS: ARN of the KMS key
    kms_wrapped: bytes = b""  # SSE-KMS, DSSE-KMS: KMS's ciphertext blob of the wrapping key
    context: Mapping[str, str] = _NO_CONTEXT  # SSE-KMS, DSSE-KMS: the context the client sent
    bucket_key: bool = False
    wrapped: bytes = b""  # empty: the bare envelope, which the wrapped data key is bound to
    outer_wrapped: bytes = b""  # DSSE-KMS: the outer data key, wrapped under the service key

    def __repr__(self) -> str:
        """Without what is wrapped."""
        return f"Envelope({self.mode!r}, key_id={self.key_id!r}, key_arn={self.key_arn!r}, bucket_key={self.bucket_key!r})"

    def encode(self) -> bytes:
        """Raises ValueError for fields that are too long, not Unicode, or not those of the mode."""
        known = _bare.get(self.kms_wrapped or self.key_id)
        if known is not None and self == known[0]:
            return known[1]
        context = _encode_context(self.context)
        fields = [self.key_id.encode(), self.key_arn.encode(), self.kms_wrapped, context, *self.wrapped_keys]
        problem = _contradiction(self)
        if problem is None and max(map(len, fields)) > _FIELD_BYTES:
            problem = "a field of an envelope is at most 65535 bytes"
        if problem is not None:
            raise ValueError(problem)
        head = _HEAD.pack(MAGIC, ENVELOPE_VERSION, self.mode, _BUCKET_KEY if self.bucket_key else 0)
        encoded = head + b"".join([part for value in fields for part in (_U16.pack(len(value)), value)])
        if not self.wrapped and (
            self.bucket_key or self.mode == Mode.SSE_S3
        ):  # every new object under that key begins with this one
            if len(_bare) >= _REMEMBERED:
                _bare.clear()
            _bare[self.kms_wrapped or self.key_id] = self, encoded
        return encoded

    @property
    def wrapped_keys(self) -> list[bytes]:
        """The last fields, as many as the mode has."""
        return [self.wrapped, self.outer_wrapped] if self.mode == Mode.DSSE_KMS else [self.wrapped]

    @classmethod
    def decode(cls, data: bytes) -> Envelope:
        """Strict: what decodes encodes to the same bytes. Raises NotOurs, Unsupported, Truncated."""
        # Objects under one key differ in their last field alone, which is the wrapped data key, 60 bytes long.
        start = data[: -_USUAL - 2]
        alike = _decoded.get(start)
        if alike is not None and data[-_USUAL - 2 : -_USUAL] == _USUAL_LENGTH:
            return cls(
                alike.mode, alike.key_id, alike.key_arn, alike.kms_wrapped, alike.context, alike.bucket_key, data[-_USUAL:]
            )
        envelope = cls._decode(data)
        if len(envelope.wrapped) == _USUAL and (envelope.mode == Mode.SSE_S3 or envelope.bucket_key):
            if len(_decoded) >= _REMEMBERED:
                _decoded.clear()
            _decoded[start] = envelope._replace(wrapped=b"")
        return envelope

    @classmethod
    def _decode(cls, data: bytes) -> Envelope:
        if not MAGIC.startswith(data[:3]):
            raise NotOurs("not an envelope")
        if len(data) < _HEAD.size:
            raise Truncated("the envelope ends in its head")
        _, version, mode, flags = _HEAD.unpack_from(data)
        if version != ENVELOPE_VERSION:
            raise Unsupported(f"envelope version {version}")
        if mode not in _MODES or flags & ~_BUCKET_KEY:
            raise Unsupported(f"envelope mode {mode}, flags {flags:#04x}")
        fields = _fields(data, _HEAD.size)
        if len(fields) != (6 if mode == Mode.DSSE_KMS else 5):
            raise Truncated("the envelope does not end with its fields")
        key_id, key_arn, kms_wrapped, context, *keys = fields
        try:
            decoded = _decode_context(context) if context else {}
            envelope = cls(_MODES[mode], key_id.decode(), key_arn.decode(), kms_wrapped, decoded, bool(flags), *keys)
        except UnicodeDecodeError:
            raise NotOurs("a text of the envelope is not UTF-8") from None
        problem = _contradiction(envelope)
        if problem is not None:
            raise NotOurs(problem)
        return envelope


#: Envelopes that were decoded lately, without their wrapped data key, by the bytes before it. Nothing in them is secret.
_decoded: dict[bytes, Envelope] = {}
#: Bare envelopes that many objects share and their encodings, by KMS's ciphertext blob or the id of the service key.
_bare: dict[bytes | str, tuple[Envelope, bytes]] = {}


def with_wrapped(bare_envelope: bytes, *wrapped: bytes) -> bytes:
    """The encoding of an envelope, from that without its wrapped keys (its last fields). Raises ValueError for one that is too long."""
    if len(wrapped) == 1 and len(wrapped[0]) == _USUAL:
        return bare_envelope[:-2] + _USUAL_LENGTH + wrapped[0]
    if max(map(len, wrapped)) > _FIELD_BYTES:
        raise ValueError("a field of an envelope is at most 65535 bytes")
    return bare_envelope[: -2 * len(wrapped)] + b"".join([part for key in wrapped for part in (_U16.pack(len(key)), key)])


def bare(encoded: bytes, envelope: Envelope) -> bytes:
    """The encoded envelope without its wrapped keys, which are its last fields: what these are bound to."""
    if envelope.mode != Mode.DSSE_KMS:
        return encoded[: len(encoded) - len(envelope.wrapped) - 2] + b"\0\0"
    keys = envelope.wrapped_keys
    return encoded[: len(encoded) - sum(map(len, keys)) - 2 * len(keys)] + b"\0\0" * len(keys)


def _contradiction(envelope: Envelope) -> str | None:
    """Which fields a mode has is part of the format: an envelope that could be read in two ways does not exist."""
    if envelope.outer_wrapped and envelope.mode != Mode.DSSE_KMS:
        return "only an envelope of DSSE-KMS has an outer key"
    if envelope.mode in {Mode.SSE_S3, Mode.SSE_C}:
        if envelope.key_arn or envelope.kms_wrapped or envelope.context or envelope.bucket_key:
            return "an envelope of SSE-S3 or SSE-C has no fields of KMS"
        return None if _SERVICE_KEY_ID.fullmatch(envelope.key_id) else "the id of a service key is 32 hex digits"
    if envelope.mode == Mode.SSE_KMS:
        if envelope.key_id or not envelope.key_arn or not envelope.kms_wrapped:
            return "an envelope of SSE-KMS names its KMS key and KMS's ciphertext, and no service key"
        return None
    if not envelope.key_arn or not envelope.kms_wrapped or not _SERVICE_KEY_ID.fullmatch(envelope.key_id):
        return "an envelope of DSSE-KMS names its KMS key, KMS's ciphertext and a service key"
    if envelope.bucket_key or bool(envelope.wrapped) != bool(envelope.outer_wrapped):
        return "an envelope of DSSE-KMS has two wrapped keys and no bucket key"
    return None


def _encode_context(context: Mapping[str, str]) -> bytes:
    """Keys and values with their lengths, in the order of the keys' UTF-8 bytes, to the end of the field."""
    if not context:
        return b""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    texts = [text for pair in pairs for text in pair]
    if max(map(len, texts)) > _FIELD_BYTES:
        raise ValueError("a text of an encryption context is at most 65535 bytes")
    return b"".join([part for text in texts for part in (_U16.pack(len(text)), text)])


def _decode_context(data: bytes) -> dict[str, str]:
    texts = _fields(data, 0)
    keys = texts[::2]
    if len(texts) % 2:
        raise Truncated("the encryption context ends within a pair")
    if any(before >= after for before, after in itertools.pairwise(keys)):
        raise NotOurs("the encryption context is not in order")
    return {key.decode(): value.decode() for key, value in zip(keys, texts[1::2], strict=True)}


def _fields(data: bytes, at: int) -> list[bytes]:
    """The length-prefixed fields from ``at`` to the very end. Raises Truncated."""
    found: list[bytes] = []
    size = len(data)
    while at < size:
        start = at + 2
        at = start + (_U16.unpack_from(data, at)[0] if start <= size else 0)
        if at > size:
            raise Truncated("a field is cut short")
        found.append(data[start:at])
    return found


def _blob_place(blob_id: str, part_number: int) -> bytes:
    if not 0 <= part_number <= _FIELD_BYTES:
        raise ValueError("a part number has 16 bits")
    return _blob_id(blob_id) + _U16.pack(part_number)


def _blob_id(blob_id: str) -> bytes:
    raw = bytes.fromhex(blob_id)
    if len(raw) != 16 or raw.hex() != blob_id:
        raise ValueError("a blob id is 32 hex digits in lower case")
    return raw
