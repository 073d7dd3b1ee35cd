"""The records of a bucket's object versions, each bound to what stands beside it in its row; those of a page are opened at once.

A listing opens a thousand of them, so what a record is bound to goes to the cipher as it is. Records of version 1 were bound to a
digest of it, and are opened still. Never knows what a record says. ``docs/spec/at-rest.md`` section 7.
"""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidTag

from strongroom.seal import Forged
from strongroom.seal.wrap import NONCE, Records, record_associated_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERSION: Final = 2
_LABEL: Final = b"strongroom/seal/record/2"
_START: Final = bytes([VERSION])
_BEHIND: Final = 1 + NONCE  # where the ciphertext begins
_U32: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">QIII")  # size; lengths of object key, version id and envelope. The manifest is the rest
#: What becomes of a value that no version has: a size beyond all, or one of another type than the store writes.
_NO_VALUE: Final = (struct.error, OverflowError, TypeError, AttributeError)


class Row(Protocol):
    """A version with its record and what that is bound to, its bucket apart."""

    @property
    def object_key(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def size(self) -> int: ...  # plaintext bytes
    @property
    def seal(self) -> bytes: ...  # the envelope
    @property
    def manifest(self) -> bytes: ...
    @property
    def meta(self) -> bytes: ...  # the record


class BucketRecords(Records):
    """Under a bucket's metadata key (32 bytes, else ValueError). Records of other things than versions are ``Records``' own."""

    __slots__ = ("_bucket_id",)

    def __init__(self, metadata_key: bytes, bucket_id: str, random: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(metadata_key, random)
        self._bucket_id = bucket_id

    def seal_version(self, plaintext: bytes, object_key: str, version_id: str, size: int, seal: bytes, manifest: bytes) -> bytes:
        """Record version (2), nonce (12), ciphertext, tag (16)."""
        nonce = self._random(NONCE)
        bound = self._bound(object_key, version_id, size, seal, manifest)
        return _START + nonce + self._cipher.encrypt(nonce, plaintext, bound)

    def open_version(self, row: Row) -> bytes:
        """Raises Forged, Truncated, Unsupported."""
        record = row.meta
        try:
            if record[:1] == _START:
                return self._opened(record, self._bound(row.object_key, row.version_id, row.size, row.seal, row.manifest))
            return self.open(record, self._digested(row))
        except _NO_VALUE:
            raise Forged("the record is not authentic here") from None

    def open_page(self, rows: Sequence[Row]) -> list[bytes]:
        """``open_version`` of each, in that order; raises for the first that does not open."""
        records, pack, join = [row.meta for row in rows], _HEAD.pack, b"".join
        with suppress(InvalidTag, ValueError, IndexError, *_NO_VALUE):
            if {record[0] for record in records} == {VERSION}:
                bound: list[bytes] = []  # as ``_bound`` has it, without a call for each
                for row in rows:
                    key, version, seal = row.object_key.encode(), row.version_id.encode(), row.seal
                    head = pack(row.size, len(key), len(version), len(seal))
                    bound.append(join((_LABEL, head, key, version, seal, row.manifest)))
                nonces, sealed = [record[1:_BEHIND] for record in records], [record[_BEHIND:] for record in records]
                return list(map(self._cipher.decrypt, nonces, sealed, bound))
        # Some are of version 1, or not as they were written: it is found out one by one.
        return [self.open_version(row) for row in rows]

    def _bound(self, object_key: str, version_id: str, size: int, seal: bytes, manifest: bytes) -> bytes:
        key, version = object_key.encode(), version_id.encode()
        return b"".join((_LABEL, _HEAD.pack(size, len(key), len(version), len(seal)), key, version, seal, manifest))

    def _digested(self, row: Row) -> bytes:
        """What a record of version 1 is bound to."""
        beside = hashlib.sha256(row.size.to_bytes(8, "big") + _U32.pack(len(row.seal)) + row.seal + row.manifest).digest()
        return record_associated_data(self._bucket_id, row.object_key, row.version_id) + beside
