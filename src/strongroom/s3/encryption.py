"""Which encryption a write gets, from what it sent and the bucket's rule: the one pure answer every write path asks for.

Also the value a bucket keeps as its default encryption. Never knows stores, HTTP, KMS or what a key name resolves to: a
``kms_key`` stays here the text that was given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from strongroom.api.errors import ApiError
from strongroom.seal.format import Mode

if TYPE_CHECKING:
    from strongroom.seal.format import Envelope

Algorithm = Literal["AES256", "aws:kms", "aws:kms:dsse"]
WriteMode = Literal["SSE-S3", "SSE-KMS", "DSSE-KMS", "SSE-C"]
NewBucketSseC = Literal["blocked", "allowed"]

SSE_HEADER: Final = "x-amz-server-side-encryption"
BUCKET_KEY_HEADER: Final = "x-amz-server-side-encryption-bucket-key-enabled"
CONTEXT_HEADER: Final = "x-amz-server-side-encryption-context"
CONTEXT_ARN: Final = "aws:s3:arn"  # the pair S3 itself adds to every encryption context

_MODES: Final[dict[str, WriteMode]] = {"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}
_ALGORITHMS: Final[dict[str, Algorithm]] = {"AES256": "AES256", "aws:kms": "aws:kms", "aws:kms:dsse": "aws:kms:dsse"}
_BLOCKED: Final[dict[str, tuple[str, ...]]] = {"blocked": ("SSE-C",), "allowed": ("NONE",)}
CUSTOMER_MEMBERS: Final = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
#: All members by which a write says anything of its encryption.
OF_ENCRYPTION: Final = frozenset(
    {"ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled", *CUSTOMER_MEMBERS}
)
_CUSTOMER_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class BucketEncryption:
    """A bucket's default encryption. ``kms_key`` is verbatim as put; ``explicit`` tells a put rule from the implied one.

    ``bucket_key`` is kept and echoed for every algorithm, also where it has no effect.
    """

    algorithm: Algorithm
    kms_key: str | None
    bucket_key: bool
    blocked: tuple[str, ...]  # ("SSE-C",) or ("NONE",)
    explicit: bool
    implied: Choice = field(init=False, repr=False, compare=False)  # what a write gets that says nothing of its encryption

    def __post_init__(self) -> None:
        """Made once: it is what most writes get."""
        mode = _MODES[self.algorithm]
        bucket_key = self.bucket_key and mode == "SSE-KMS"
        implied = Choice(mode) if mode == "SSE-S3" else Choice(mode, self.kms_key, bucket_key)
        object.__setattr__(self, "implied", implied)

    @property
    def blocks_sse_c(self) -> bool:
        return "SSE-C" in self.blocked

    @classmethod
    def new_bucket(cls, new_bucket_sse_c: str) -> BucketEncryption:
        """What a bucket has that nobody configured. Raises LookupError for a setting other than blocked or allowed."""
        return cls("AES256", None, bucket_key=False, blocked=_BLOCKED[new_bucket_sse_c], explicit=False)

    @classmethod
    def from_document(cls, value: Any | None, new_bucket_sse_c: str) -> BucketEncryption:
        """Read the kept document; None is a bucket without one. Raises LookupError or TypeError for anything else: a rule
        that cannot be read must never turn into a weaker one.
        """
        if value is None:
            return cls.new_bucket(new_bucket_sse_c)
        kms_key, bucket_key, explicit, blocked = value["kms_key"], value["bucket_key"], value["explicit"], tuple(value["blocked"])
        sound = isinstance(kms_key, str | None) and isinstance(bucket_key, bool) and isinstance(explicit, bool)
        if not sound or blocked not in _BLOCKED.values():
            raise TypeError("a bucket's encryption document has a member of the wrong type")
        return cls(_ALGORITHMS[value["algorithm"]], kms_key, bucket_key, blocked, explicit)

    def to_document(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "kms_key": self.kms_key,
            "bucket_key": self.bucket_key,
            "blocked": list(self.blocked),
            "explicit": self.explicit,
        }


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """The three SSE-C values, checked: 32 key bytes (any number in a read) and the base64 of their MD5 as sent."""

    algorithm: str
    key: bytes = field(repr=False)
    md5: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What a write gets.

    ``kms_key`` is as named, None means the account's ``aws/s3`` key. ``context`` holds the caller's own pairs, decoded, without
    the one S3 adds. ``bucket_key``: wrapped by way of one (header, else rule; SSE-KMS only). ``explicit_header``: the request itself named an
    encryption, which makes a copy of an object onto itself legal.
    """

    mode: WriteMode
    kms_key: str | None = None
    bucket_key: bool = False
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    customer: CustomerKey | None = None
    explicit_header: bool = False


def kept(envelope: Envelope) -> Choice:
    """The encryption that a stored object has under a KMS key of its own, for another wrapping around the same data key."""
    mode: WriteMode = "DSSE-KMS" if envelope.mode == Mode.DSSE_KMS else "SSE-KMS"
    return Choice(mode, kms_key=envelope.key_arn, bucket_key=envelope.bucket_key, context=envelope.context)


def choose(
    input: Mapping[str, Any],  # noqa: A002 - the word of the contract
    rule: BucketEncryption,
    *,
    secure: bool,
    principal_arn: str,
    object_arn: str,
    action: str = "s3:PutObject",
    signed_v4: bool = True,
) -> Choice:
    """Decide the encryption of one write (PutObject, POST form, CreateMultipartUpload, the destination of a copy …).

    ``input`` has the model's member names; absent and None are the same, an empty string is a header that was sent empty.
    ``secure``: the connection may carry requests that name KMS or customer keys. ``principal_arn``, ``object_arn`` and ``action``
    fill the text of a refused SSE-C write. Raises ApiError and nothing else.
    """
    if OF_ENCRYPTION.isdisjoint(input):  # what most writes are
        if rule.algorithm != "AES256":
            _check_kms_call(secure=secure, signed_v4=signed_v4)
        return rule.implied
    sse: str | None = input.get("ServerSideEncryption")
    kms_key: str | None = input.get("SSEKMSKeyId") or None
    has_context = input.get("SSEKMSEncryptionContext") is not None
    with_customer_key = sends_customer_key(input)

    # A block is a matter of permission, so it is judged before any value is looked at.
    if with_customer_key and rule.blocks_sse_c:
        refuse_blocked(principal_arn, object_arn, action)
    if with_customer_key and sse is not None:
        _invalid("Server Side Encryption with Customer provided key is incompatible with the encryption method specified", sse)
    if sse is not None and sse not in _MODES:
        _invalid("The encryption method specified is not supported", sse)
    asked_bucket_key = _flag(input.get("BucketKeyEnabled"))

    mode: WriteMode = "SSE-C" if with_customer_key else _MODES[rule.algorithm if sse is None else sse]
    kms = mode in {"SSE-KMS", "DSSE-KMS"}
    # A named key needs the header beside it even where the rule is KMS. A context may join the rule's KMS, but is never dropped.
    if (kms_key is not None and (sse is None or not kms)) or (has_context and not kms):
        raise ApiError(
            "InvalidArgument",
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        )
    if with_customer_key:
        return Choice(mode, customer=_customer_key_of(input, secure=secure), explicit_header=True)
    if not kms:
        return Choice(mode, explicit_header=sse is not None)  # a bucket key asked for beside AES256 has no effect

    _check_kms_call(secure=secure, signed_v4=signed_v4)
    bucket_key = mode == "SSE-KMS" and (rule.bucket_key if asked_bucket_key is None else asked_bucket_key)  # DSSE never has one
    return Choice(
        mode,
        # The rule's key is for writes that name no encryption: "aws:kms" alone is aws/s3 even in a bucket with its own key.
        kms_key=rule.kms_key if sse is None else kms_key,
        bucket_key=bucket_key,
        # What S3 adds itself names all that the KMS key is asked for: the object, or with a bucket key its bucket.
        context=decode_context(input.get("SSEKMSEncryptionContext"), object_arn.partition("/")[0] if bucket_key else object_arn),
        explicit_header=sse is not None,
    )


def continued(
    input: Mapping[str, Any],  # noqa: A002 - as in choose
    rule: BucketEncryption,
    *,
    customer: bool,
    needed: bool,
    secure: bool,
    principal_arn: str,
    object_arn: str,
) -> CustomerKey | None:
    """Judge a write into an upload whose encryption ``choose`` decided when it began: UploadPart, UploadPartCopy, completion.

    ``customer``: the upload is SSE-C. ``needed``: this write cannot go on without the customer's key. A block of the bucket counts
    for uploads that began before it (facts 5.6.7). Raises ApiError AccessDenied, InvalidRequest (4.7.6), and as ``customer_key``.
    """
    sent = sends_customer_key(input)
    if (sent or customer) and rule.blocks_sse_c:
        refuse_blocked(principal_arn, object_arn, "s3:PutObject")
    if sent != customer and (sent or needed):
        raise ApiError(
            "InvalidRequest",
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption "
            "parameters.",
        )
    return _customer_key_of(input, secure=secure) if sent else None


def sends_customer_key(input: Mapping[str, Any], members: tuple[str, ...] = CUSTOMER_MEMBERS) -> bool:  # noqa: A002 - as in choose
    """Whether any of the three was sent."""
    return not input.keys().isdisjoint(members) and any(input.get(member) is not None for member in members)


def refuse_blocked(principal_arn: str, object_arn: str, action: str) -> NoReturn:
    """The answer to an SSE-C write into a bucket that blocks them. Raises ApiError AccessDenied."""
    raise ApiError(
        "AccessDenied",
        f'User: {principal_arn} is not authorized to perform: {action} on resource: "{object_arn}" because this bucket has '
        "blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C). Please specify a "
        "different server-side encryption type",
    )


def refuse_on(headers: Mapping[str, str]) -> None:
    """For operations that take no encryption header (reads, parts, lists). ``headers`` has lower-case names. Raises ApiError."""
    value = headers.get(SSE_HEADER)
    if value is not None:
        _invalid("x-amz-server-side-encryption header is not supported for this operation.", value)


def customer_key(algorithm: str | None, key: str | None, md5: str | None, *, secure: bool, of_write: bool = True) -> CustomerKey:
    """Check the SSE-C trio as sent (``key`` and ``md5`` base64; None: not sent). Raises ApiError, in AWS's order.

    A read (not ``of_write``) may bring a key of any length: whether it is the right one is asked first (facts 5.4.5).
    """
    requests = "Requests specifying Server Side Encryption with Customer provided keys must"
    if not secure:
        _invalid(f"{requests} be made over a secure connection.")
    if not algorithm:
        _invalid(f"{requests} provide a valid encryption algorithm.")
    if algorithm != "AES256":
        raise ApiError(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
            ArgumentName=SSE_HEADER,
            ArgumentValue=algorithm,
        )
    if not key:
        _invalid(f"{requests} provide an appropriate secret key.")
    if not md5:
        _invalid(f"{requests} provide the client calculated MD5 of the secret key.")
    plain = _base64(key)
    digest = None if plain is None else hashlib.md5(plain, usedforsecurity=False).digest()
    if plain is None or digest is None or not hmac.compare_digest(digest, _base64(md5) or b""):
        _invalid("The calculated MD5 hash of the key did not match the hash that was provided.")
    if of_write and len(plain) != _CUSTOMER_KEY_BYTES:
        _invalid("The secret key was invalid for the specified algorithm.")
    return CustomerKey(algorithm, plain, md5)


def decode_context(value: str | None, own_arn: str) -> dict[str, str]:
    """The caller's encryption context: base64 of a flat JSON object of strings. Without S3's own pair, which may be sent only
    with the value S3 would use, ``own_arn``. Raises ApiError InvalidArgument, or KMS.ValidationException for an empty name or value.
    """
    if value is None:
        return {}
    text = _base64(value)
    try:
        pairs = None if text is None else json.loads(text.decode(), object_pairs_hook=_flat)
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, _Flat) or pairs.get(CONTEXT_ARN, own_arn) != own_arn:
        raise ApiError(
            "InvalidArgument",
            f"The header '{CONTEXT_HEADER}' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string "
            "map",
            ArgumentName=CONTEXT_HEADER,
        )
    for name, member in pairs.items():
        if not name or not member:
            raise ApiError(
                "KMS.ValidationException",
                "1 validation error detected: Value at 'encryptionContext' failed to satisfy constraint: Map "
                f"{'value' if name else 'keys'} must satisfy constraint: [Member must have length greater than or equal to 1]",
            )
    return {name: member for name, member in pairs.items() if name != CONTEXT_ARN}


class _Flat(dict[str, str]):
    """A JSON object that holds only strings, none of them named twice: tells it from a list or a bare value."""


def _flat(pairs: list[tuple[str, Any]]) -> _Flat:
    flat = _Flat(pairs)
    if len(flat) != len(pairs) or not all(isinstance(member, str) for _, member in pairs):
        raise ValueError("not a flat map of strings")
    for name, member in pairs:
        f"{name}{member}".encode()  # a lone surrogate is no text: UnicodeEncodeError is a ValueError
    return flat


def _base64(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _flag(value: bool | str | None) -> bool | None:
    """The bucket-key header: None when not sent."""
    if value is None or isinstance(value, bool):
        return value
    if value not in {"true", "false"}:
        raise ApiError(
            "InvalidArgument",
            f"The header '{BUCKET_KEY_HEADER}' shall be either 'true' or 'false'",
            ArgumentName=BUCKET_KEY_HEADER,
            ArgumentValue=value,
        )
    return value == "true"


def _customer_key_of(input: Mapping[str, Any], *, secure: bool) -> CustomerKey:  # noqa: A002 - as in choose
    algorithm, key, md5 = (input.get(member) for member in CUSTOMER_MEMBERS)
    return customer_key(algorithm, key, md5, secure=secure)


def _check_kms_call(*, secure: bool, signed_v4: bool) -> None:
    if not signed_v4:
        raise ApiError(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
            ArgumentName="Authorization",
            ArgumentValue="null",
        )
    if not secure:
        raise ApiError(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection.",
        )


def _invalid(message: str, value: str | None = None) -> NoReturn:
    """AWS names this header even where a customer-key header is at fault."""
    fields = {"ArgumentName": SSE_HEADER} if value is None else {"ArgumentName": SSE_HEADER, "ArgumentValue": value}
    raise ApiError("InvalidArgument", message, fields=fields)
