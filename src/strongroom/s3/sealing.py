"""From a choice of encryption to a data key that is wrapped and bound, and back. The one place where s3 touches keys.

Every object has a random data key of its own. It is wrapped by AES-256-GCM-SIV under a key-encrypting key (KEK), bound to
bucket id, object key, version id, manifest and to the envelope's own fields. The KEK is S3's service key (SSE-S3) or a data key
that KMS made under the caller's rights: for this one object (SSE-KMS), or for the caller's objects of this bucket during a few
minutes (a bucket key). DSSE-KMS has two: a data key as with SSE-KMS, and one for the outer layer as with SSE-S3. With SSE-C, S3's
service key wraps a lock around the data key, and the customer's key opens the lock. Never knows
providers, formats of bytes, or HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.kms.data_keys import Subject
from strongroom.s3.customer_keys import another_key, check_needed, wrong_key
from strongroom.s3.encryption import CONTEXT_ARN
from strongroom.s3.owners import bucket_arn
from strongroom.seal import Forged
from strongroom.seal.customer import fits, lock, unlock
from strongroom.seal.format import Envelope, Mode, bare, binding, outer_binding, with_wrapped
from strongroom.seal.layers import Layers
from strongroom.seal.wrap import Kek, unwrap, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.api.operation import Call
    from strongroom.kms.data_keys import DataKeys, KmsDataKey
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.encryption import Choice, CustomerKey

DATA_KEY = 32  # bytes
_REMEMBERED: Final = 1024  # buckets, and bucket keys
OF_SERVICE: Final = frozenset({Mode.SSE_S3, Mode.SSE_C})  # wrapped under a key of S3's own


def object_arn(bucket_name: str, object_key: str) -> str:
    return f"arn:aws:s3:::{bucket_name}/{object_key}"


def kms_context(bucket_name: str, object_key: str, context: Mapping[str, str], *, bucket_key: bool) -> dict[str, str]:
    """The encryption context of the KMS operation: the client's pairs and S3's own, which names all that the key is for."""
    return {**context, CONTEXT_ARN: bucket_arn(bucket_name) if bucket_key else object_arn(bucket_name, object_key)}


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """The open data keys of an object, with what it takes to wrap them for a row. Lives for one request."""

    layers: Layers
    kek: bytes | Kek = field(repr=False)
    envelope: Envelope  # its wrapped keys, if it has any, are those of the row it was read from
    outer_kek: bytes | Kek = field(default=b"", repr=False)  # where there is an outer data key
    lock: bytes = field(default=b"", repr=False)  # SSE-C: what is wrapped in place of the data key

    @property
    def mode(self) -> Mode:
        return self.envelope.mode

    def bound(self, bucket_id: str, object_key: str, version_id: str, manifest: bytes, random: Callable[[int], bytes]) -> bytes:
        """The encoded envelope for the row of that version."""
        envelope = self.envelope._replace(wrapped=b"", outer_wrapped=b"") if self.envelope.wrapped else self.envelope
        bare_envelope = envelope.encode()
        place = binding(bucket_id, object_key, version_id, manifest) + bare_envelope
        wrapped = wrap(self.kek, self.lock or self.layers.inner, place, random)
        if self.layers.outer is None:
            return with_wrapped(bare_envelope, wrapped)
        return with_wrapped(bare_envelope, wrapped, wrap(self.outer_kek, self.layers.outer, outer_binding(place), random))


def encryption_output(envelope: Envelope) -> dict[str, Any]:
    """The members by which a response says how the object is encrypted (facts 4.2), to be copied from: others get the same dictionary.

    Of SSE-C, only the request's own echo says it.
    """
    return (
        _OUTPUTS[envelope.mode]
        if envelope.mode in OF_SERVICE
        else _kms_output(envelope.mode, envelope.key_arn, envelope.bucket_key)
    )


_OUTPUTS: Final[dict[Mode, dict[str, Any]]] = {Mode.SSE_C: {}, Mode.SSE_S3: {"ServerSideEncryption": "AES256"}}


@lru_cache(maxsize=_REMEMBERED)
def _kms_output(mode: Mode, key_arn: str, bucket_key: bool) -> dict[str, Any]:
    output: dict[str, Any] = {
        "ServerSideEncryption": "aws:kms:dsse" if mode == Mode.DSSE_KMS else "aws:kms",
        "SSEKMSKeyId": key_arn,
    }
    if bucket_key:
        output["BucketKeyEnabled"] = True
    return output


class Sealing:
    def __init__(self, keys: DataKeys, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._at_hand = keys.at_hand
        self._random = random
        self._contexts: dict[str, Mapping[str, str]] = {}
        self._bucket_keyed: dict[bytes, Envelope] = {}

    async def new(self, call: Call, bucket: Bucket, object_key: str, choice: Choice) -> ObjectKey:
        """A data key for a new object. Raises ApiError ``KMS.…``, AccessDenied."""
        if choice.mode == "SSE-S3":
            service = self._keys.service_key()
            return ObjectKey(Layers(self._random(DATA_KEY)), service.kek, Envelope(Mode.SSE_S3, key_id=service.key_id))
        if choice.customer is not None:
            service, data_key = self._keys.service_key(), self._random(DATA_KEY)
            locked = lock(choice.customer.key, data_key, bucket.bucket_id, object_key, self._random)
            return ObjectKey(Layers(data_key), service.kek, Envelope(Mode.SSE_C, key_id=service.key_id), lock=locked)
        made = None if choice.context else self._made_at_once(call, bucket, object_key, choice)
        if made is None:
            context = self._context(bucket, object_key, choice.context, bucket_key=choice.bucket_key)
            subject = Subject(object_arn(bucket.name, object_key))
            try:
                made = await self._keys.generate(
                    call, choice.kms_key, bucket.region, context, subject=subject, shared=choice.bucket_key
                )
            except ApiError as error:
                raise as_s3(error) from error
        elif choice.bucket_key:
            return ObjectKey(Layers(self._random(DATA_KEY)), made.kek, self._bucket_key_envelope(made))
        envelope = Envelope(
            Mode.SSE_KMS,
            key_arn=made.key_arn,
            kms_wrapped=made.wrapped,
            context=dict(choice.context),
            bucket_key=choice.bucket_key,
        )
        if choice.mode == "SSE-KMS":
            return ObjectKey(Layers(self._random(DATA_KEY)), made.kek, envelope)
        service = self._keys.service_key()
        envelope = envelope._replace(mode=Mode.DSSE_KMS, key_id=service.key_id)
        return ObjectKey(Layers(self._random(DATA_KEY), self._random(DATA_KEY)), made.plain, envelope, service.kek)

    async def open(
        self,
        call: Call,
        bucket: Bucket,
        object_key: str,
        version_id: str,
        sealed: bytes,
        envelope: Envelope,
        manifest: bytes,
        customer: CustomerKey | None = None,
        wrong: Callable[[], ApiError] = wrong_key,
    ) -> ObjectKey:
        """The data keys of a row whose ``sealed`` decodes to ``envelope``, with what it takes to wrap them anew.

        Raises ApiError ``KMS.…`` and AccessDenied, SealError; ``wrong`` for a customer's key that is not the row's.
        """
        kek: bytes | Kek | None = None
        if envelope.mode in OF_SERVICE:
            kek = self._service_key(envelope)
        elif not envelope.context:  # what needs no question; here, since most reads under a bucket key take this way
            resource, wrapped, region = object_arn(bucket.name, object_key), envelope.kms_wrapped, bucket.region
            try:
                if envelope.bucket_key:
                    context = self._bucket_context(bucket.name)
                    kek = self._at_hand.open_shared(call, wrapped, region, context, resource, version_id)
                else:
                    kek = self._at_hand.open(call, wrapped, region, CONTEXT_ARN, resource, version_id)
            except ApiError as error:
                raise as_s3(error) from error
        if kek is None:
            kek = await self._kek(call, bucket, object_key, version_id, envelope)
        place = binding(bucket.bucket_id, object_key, version_id, manifest) + bare(sealed, envelope)
        inner = unwrap(kek, envelope.wrapped, place)
        if envelope.mode == Mode.SSE_C:
            check_needed(envelope.mode, customer)
            if customer is None or not fits(customer.key, inner):
                raise wrong()
            return ObjectKey(Layers(unlock(customer.key, inner, bucket.bucket_id, object_key)), kek, envelope, lock=inner)
        if envelope.mode != Mode.DSSE_KMS:
            return ObjectKey(Layers(inner), kek, envelope)
        outer_kek = self._service_key(envelope)
        outer = unwrap(outer_kek, envelope.outer_wrapped, outer_binding(place))
        return ObjectKey(Layers(inner, outer), kek, envelope, outer_kek)

    async def rebind(
        self,
        call: Call,
        bucket: Bucket,
        object_key: str,
        upload: str,
        sealed: bytes,
        version_id: str,
        manifest: bytes,
        customer: CustomerKey | None,
    ) -> bytes:
        """The encoded envelope of an upload (``upload``: its place) made one of a version. A customer's key need not be there, since
        its lock stays as it is; one that is must be the upload's. Raises as ``open``, InvalidRequest.
        """
        envelope = Envelope.decode(sealed)
        if envelope.mode != Mode.SSE_C:
            key = await self.open(call, bucket, object_key, upload, sealed, envelope, b"")
            return key.bound(bucket.bucket_id, object_key, version_id, manifest, self._random)
        kek = await self._kek(call, bucket, object_key, upload, envelope)
        locked = unwrap(kek, envelope.wrapped, binding(bucket.bucket_id, object_key, upload, b"") + bare(sealed, envelope))
        if customer is not None and not fits(customer.key, locked):
            raise another_key()
        bare_envelope = bare(sealed, envelope)
        place = binding(bucket.bucket_id, object_key, version_id, manifest) + bare_envelope
        return with_wrapped(bare_envelope, wrap(kek, locked, place, self._random))

    async def allow_rewrapping(self, call: Call, bucket: Bucket, object_key: str, before: Envelope, after: Envelope) -> None:
        """The rights on the keys beside those that ``open`` and ``new`` asked for (facts 8.11). Raises ApiError ``KMS.…``, AccessDenied."""

        def use_of(envelope: Envelope) -> tuple[str, dict[str, str]]:
            context = kms_context(bucket.name, object_key, envelope.context, bucket_key=envelope.bucket_key)
            return envelope.key_arn, context

        try:
            await self._keys.allow_rewrapping(
                call, bucket.region, use_of(before) if before.mode == Mode.SSE_KMS else None, use_of(after)
            )
        except ApiError as error:
            raise as_s3(error) from error

    async def _kek(self, call: Call, bucket: Bucket, object_key: str, version_id: str, envelope: Envelope) -> bytes | Kek:
        if envelope.mode in OF_SERVICE:
            return self._service_key(envelope)
        context = self._context(bucket, object_key, envelope.context, bucket_key=envelope.bucket_key)
        subject = Subject(object_arn(bucket.name, object_key), version_id)
        try:
            return await self._keys.unwrap(
                call, envelope.kms_wrapped, bucket.region, context, subject=subject, shared=envelope.bucket_key
            )
        except ApiError as error:
            raise as_s3(error) from error

    # --- of objects to which the client gave no context of its own

    def _made_at_once(self, call: Call, bucket: Bucket, object_key: str, choice: Choice) -> KmsDataKey | None:
        """By a key that needs no question."""
        resource, kms_key = object_arn(bucket.name, object_key), choice.kms_key
        try:
            if not choice.bucket_key:
                return self._at_hand.make(call, kms_key, bucket.region, CONTEXT_ARN, resource)
            return self._at_hand.make_shared(call, kms_key, bucket.region, self._bucket_context(bucket.name), resource)
        except ApiError as error:
            raise as_s3(error) from error

    def _context(self, bucket: Bucket, object_key: str, context: Mapping[str, str], *, bucket_key: bool) -> Mapping[str, str]:
        if bucket_key and not context:
            return self._bucket_context(bucket.name)
        return kms_context(bucket.name, object_key, context, bucket_key=bucket_key)

    def _bucket_context(self, bucket_name: str) -> Mapping[str, str]:
        """That of a bucket key where the client sent none: the same object each time, by which keys at hand are found."""
        context = self._contexts.get(bucket_name)
        if context is None:
            if len(self._contexts) >= _REMEMBERED:
                self._contexts.clear()
            context = self._contexts[bucket_name] = MappingProxyType(kms_context(bucket_name, "", {}, bucket_key=True))
        return context

    def _bucket_key_envelope(self, made: KmsDataKey) -> Envelope:
        """Of a write without a context of the client's; all that are made with the same key begin with the same bytes."""
        envelope = self._bucket_keyed.get(made.wrapped)
        if envelope is None:
            if len(self._bucket_keyed) >= _REMEMBERED:
                self._bucket_keyed.clear()
            envelope = Envelope(Mode.SSE_KMS, key_arn=made.key_arn, kms_wrapped=made.wrapped, bucket_key=True)
            self._bucket_keyed[made.wrapped] = envelope
        return envelope

    def _service_key(self, envelope: Envelope) -> Kek:
        """The key of S3's own that an envelope names. Raises Forged: all that ever were are there."""
        try:
            return self._keys.service_key(envelope.key_id).kek
        except LookupError as error:
            raise Forged("the envelope names a service key that there is not") from error


#: Failures of KMS itself, which a client may try again: S3's own codes and statuses tell every SDK so (facts 9.16, 9.18).
_TRANSIENT: Final = {
    "KeyUnavailableException": "ServiceUnavailable",
    "DependencyTimeoutException": "ServiceUnavailable",
    "KMSInternalException": "InternalError",
}


def as_s3(error: ApiError) -> ApiError:
    """A KMS failure as S3 tells it (facts 9): the code prefixed, the text kept; a refusal stays AccessDenied.

    What is no fault of the client is said as S3 says its own (9.18), so that clients send the request again.
    """
    if error.code in {"AccessDenied", "InternalError", "ServiceUnavailable", "SlowDown"}:
        return error
    if error.code in _TRANSIENT:
        return ApiError(_TRANSIENT[error.code])
    if error.code == "ThrottlingException":
        return ApiError("SlowDown", "Please reduce your request rate for operations involving AWS KMS.")
    return ApiError(f"KMS.{error.code}", error.message, status=400)
