"""Data keys opened with the operator's authority, mode by mode: whoever has the root key can, and no principal's right is used.

Also says which key an object waits for, and whether that key still serves. Never knows who asks, and never opens a body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strongroom.kms.blob import BlobError
from strongroom.kms.contract import ProviderError, Unavailable
from strongroom.kms.operating import KeyProblem, Operating
from strongroom.s3.sealing import DATA_KEY, ObjectKey, kms_context
from strongroom.seal import Forged, Truncated
from strongroom.seal.customer import LOCK
from strongroom.seal.format import Envelope, Mode, bare, binding, outer_binding
from strongroom.seal.layers import Layers
from strongroom.seal.wrap import unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.kms.data_keys import DataKeys
    from strongroom.kms.records import KeyRecord
    from strongroom.s3.bucket_cache import Bucket


class MissingKey(Exception):
    """The key that an object is wrapped under is gone, or its material is: which one."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind  # of a finding


@dataclass(frozen=True, slots=True)
class OpenKeys:
    """What could be opened of an envelope. ``key`` is None where only the client can open it (SSE-C)."""

    envelope: Envelope
    key: ObjectKey | None = field(repr=False)
    record: KeyRecord | None = None  # of the KMS key


def lengths(sealed: bytes) -> Layers:
    """Layers that tell lengths and open nothing, for an envelope whose keys cannot be had. Raises SealError."""
    outer = bytes(DATA_KEY) if Envelope.decode(sealed).mode == Mode.DSSE_KMS else None
    return Layers(bytes(DATA_KEY), outer)


class OperatorKeys:
    """``used`` is told of each opening by a KMS key: of the bucket, and of the key's record."""

    def __init__(self, keys: DataKeys, used: Callable[[Bucket, KeyRecord], None] | None = None) -> None:
        self._keys = keys
        self._used = used
        self.operating = Operating(keys.ring)

    async def open(
        self, bucket: Bucket, object_key: str, place: str, sealed: bytes, manifest: bytes, envelope: Envelope | None = None
    ) -> OpenKeys:
        """``place``: the version id, or what stands for it while there is none. ``envelope``: ``sealed``, if it is decoded already.

        Raises SealError for what is not authentic, MissingKey, ProviderError.
        """
        envelope = envelope or Envelope.decode(sealed)
        bound = binding(bucket.bucket_id, object_key, place, manifest) + bare(sealed, envelope)
        stripped = envelope._replace(wrapped=b"", outer_wrapped=b"")
        if envelope.mode in {Mode.SSE_S3, Mode.SSE_C}:
            service_key = self._service_key(envelope.key_id)
            opened = unwrap(service_key, envelope.wrapped, bound)
            if envelope.mode == Mode.SSE_S3:
                return OpenKeys(envelope, ObjectKey(Layers(opened), service_key, stripped))
            if len(opened) != LOCK:
                raise Truncated("the lock of the data key has a wrong length")
            return OpenKeys(envelope, None)
        record, kek = await self._kek(bucket, object_key, envelope)
        inner = unwrap(kek, envelope.wrapped, bound)
        if envelope.mode == Mode.SSE_KMS:
            return OpenKeys(envelope, ObjectKey(Layers(inner), kek, stripped), record)
        if envelope.mode == Mode.DSSE_KMS:
            service_key = self._service_key(envelope.key_id)
            outer = unwrap(service_key, envelope.outer_wrapped, outer_binding(bound))
            return OpenKeys(envelope, ObjectKey(Layers(inner, outer), kek, stripped, service_key), record)
        raise Forged(f"mode {envelope.mode} is unknown here")

    def _service_key(self, key_id: str) -> bytes:
        try:
            return self._keys.service_key(key_id).key
        except LookupError:
            raise MissingKey("missing", f"service key {key_id} is not there or does not open") from None

    async def _kek(self, bucket: Bucket, object_key: str, envelope: Envelope) -> tuple[KeyRecord, bytes]:
        try:
            record = await self.operating.key(envelope.key_arn)
        except KeyProblem as error:
            raise MissingKey("corrupt", str(error)) from error
        if record is None:
            raise MissingKey("key-gone", f"the KMS key {envelope.key_arn} is gone")
        if self._used is not None:
            self._used(bucket, record)
        try:
            return record, await self.operating.unwrap(record, envelope.kms_wrapped, self.context(bucket, object_key, envelope))
        except BlobError:
            raise Forged("KMS's ciphertext of its wrapping key is not authentic here") from None
        except Unavailable as error:
            raise MissingKey("key-unavailable", f"{record.name.arn}: {error}") from error
        except ProviderError as error:
            raise MissingKey("corrupt", f"the material of {record.name.arn} does not open") from error

    @staticmethod
    def context(bucket: Bucket, object_key: str, envelope: Envelope) -> dict[str, str]:
        return kms_context(bucket.name, object_key, envelope.context, bucket_key=envelope.bucket_key)
