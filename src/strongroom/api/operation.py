"""What an operation is: its need, its call, its answer, and the register that refuses one without a need.

Never knows sockets, storage, keys or users: a Caller here is only the shape that every authenticated principal has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, Protocol

Service = Literal["s3", "s3control", "kms", "iam", "sts"]
Input = Mapping[str, Any]
#: Condition key, spelled in any case → its value, or values of a key that has several.
Told = Mapping[str, str | tuple[str, ...]]


Sort = Literal["role", "user", "federated"]


class Session(Protocol):
    """What is known of a caller with temporary credentials."""

    @property
    def sort(self) -> Sort: ...  # of a role; of a user or root, with its own rights; of a federated user
    @property
    def transitive(self) -> tuple[tuple[str, str], ...]: ...  # the tags that the roles it assumes are given too
    @property
    def source_identity(self) -> str: ...  # "" for none


class Caller(Protocol):
    """An authenticated principal (made by ``iam.callers``)."""

    @property
    def account_id(self) -> str: ...  # 12 digits
    @property
    def arn(self) -> str: ...  # arn:aws:iam::<account>:root
    @property
    def user_id(self) -> str: ...
    @property
    def canonical_id(self) -> str: ...  # 64 hex, of the account
    @property
    def display_name(self) -> str: ...
    @property
    def access_key_id(self) -> str: ...
    @property
    def anonymous(self) -> bool: ...
    @property
    def principal_arn(self) -> str: ...  # of a role's session: the role; "" for the others
    @property
    def session(self) -> Session | None: ...  # None: long-term credentials
    @property
    def values(self) -> Mapping[str, str]: ...  # of condition keys that are the caller's own, by lower-case key


BodyPart = bytes | bytearray | memoryview


class Body(Protocol):
    """A request body that is readable only through its verifier (``edge.body``).

    Signatures of chunks, the signed digest, Content-MD5, checksum headers and trailers are all checked as it is read; the
    last check happens before the iterator ends, so whoever saw the end saw a verified body. Raises ApiError.
    """

    @property
    def length(self) -> int | None:
        """Payload bytes (after aws-chunked decoding) as declared, or None."""
        ...

    def want(self, *algorithms: str) -> None:
        """Ask, before reading, that these digests be computed: md5, sha1, sha256, crc32, crc32c, crc64nvme."""
        ...

    def __aiter__(self) -> AsyncIterator[BodyPart]:
        """The payload in the parts it arrives in: of any size but 0, and never changed afterwards."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole payload; ApiError EntityTooLarge when it exceeds ``limit`` bytes."""
        ...

    def digest(self, algorithm: str) -> bytes:
        """Raw digest of the payload, big-endian for CRCs; only after the end, only if wanted or claimed."""
        ...

    @property
    def claimed_checksum(self) -> tuple[str, str] | None:
        """(algorithm in upper case as S3 spells it, base64) that the client sent by header or trailer, verified. After the end."""
        ...


class About(Protocol):
    """What a room knows of a question that it asks: the resource's own properties, and how the request uses it."""

    @property
    def context(self) -> Mapping[str, str]:
        """The encryption context, which grants are bound to."""
        ...

    def value(self, key: str, /) -> str | tuple[str, ...] | None:
        """Of a condition key (lower case) that only this room can tell; None when the question has no such key. Raises
        ``policy.templates.Untold``.
        """
        ...


class Holds(IntEnum):
    """Of which other requests of the same caller an answer holds too, as long as nothing in the catalog changes. The lesser of two holds
    of both.
    """

    THIS_REQUEST = 0  # something of the request was asked for that ``about`` does not say
    SAME_CONTEXT = 1  # the answer hung on nothing but the caller, the resource and the encryption context
    ANY_CONTEXT = 2  # nor on that


class Allow(Protocol):
    """``await call.allow(action, resource)``: returns, or raises ApiError AccessDenied. One judge, one trail.

    ``version_id``: the version that is meant, where the input's VersionId does not say it (the source of a copy, one of many keys).
    ``told``: values of condition keys that the input does not say either (tags that a copy takes along), instead of those it says.
    ``about``: what the asking room knows of the question; without it the policies' conditions on that count against the caller.
    ``new``: what is asked about is the bucket or the object that the caller is about to make, not one that may be there.
    ``optional``: the request is answered without it, only less is told, so a denial is not written down.
    """

    def __call__(
        self,
        action: str,
        resource: str,
        /,
        *,
        version_id: str | None = None,
        told: Told | None = None,
        about: About | None = None,
        new: bool = False,
        optional: bool = False,
    ) -> Awaitable[Holds]: ...

    def judged(self, resource: str) -> str | None:
        """The id of the version whose owner and list the last question about an object (an ARN) was decided by; "" where none was
        there, None where nothing was asked that is theirs to decide.
        """
        ...


@dataclass(slots=True)
class Call:
    """Operation + typed input + Caller + allow + body, and what the run may know of the request."""

    operation: Operation
    input: Input = field(repr=False)  # may hold a customer's key
    caller: Caller
    allow: Allow
    body: Body
    region: str  # the region of the signature's scope
    now: datetime  # aware, UTC; the server's clock, taken once a request
    request_id: str
    base_url: str  # scheme://host[:port] the client used, for Location elements
    virtual_host: bool  # bucket came from the Host header
    secure: bool  # TLS
    source_ip: str
    headers: Mapping[str, str] = field(repr=False)  # lower-case names; for the few rules about headers the model does not have
    signed_v4: bool = True


@dataclass(slots=True)
class Answer:
    """What a run returns. ``output`` has the model's member names; ``body`` is the streaming payload, if the operation has one."""

    output: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)  # may hold a key in plain, or the body may
    status: int | None = None  # None: the model's
    body: bytes | AsyncIterator[BodyPart] | None = field(default=None, repr=False)
    length: int | None = None  # of ``body`` in bytes; Content-Length


Run = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Need:
    """The right an operation requires. ``on`` says what ARN it is asked for:

    service: ``*`` · bucket: ``arn:aws:s3:::B`` · object: ``arn:aws:s3:::B/K`` · run: the run asks by ``call.allow`` itself
    (per key, per source, per KMS key) · nobody: every authenticated caller may (sts:GetCallerIdentity).

    ``about``: of a caller and the input, what the room knows of the question that is asked of the service.
    """

    action: str
    on: Literal["service", "bucket", "object", "run", "nobody"]
    with_version: str | None = None  # the action instead, when the input has a VersionId
    about: Callable[[Caller, Input], About] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    service: Service
    name: str  # the model's
    need: Need
    run: Run


def operation(
    service: Service,
    name: str,
    action: str,
    on: Literal["service", "bucket", "object", "run", "nobody"],
    with_version: str | None = None,
    about: Callable[[Caller, Input], About] | None = None,
) -> Callable[[Callable[[Any, Call], Awaitable[Answer]]], Callable[[Any, Call], Awaitable[Answer]]]:
    """Mark a method ``async def run(self, call) -> Answer`` as the run of one operation, with its need."""

    def mark(run: Callable[[Any, Call], Awaitable[Answer]]) -> Callable[[Any, Call], Awaitable[Answer]]:
        marks: list[tuple[Service, str, Need]] = getattr(run, "__operations__", [])
        run.__operations__ = [*marks, (service, name, Need(action, on, with_version, about))]  # type: ignore[attr-defined]
        return run

    return mark


class Register:
    """All built operations. ``find`` gives None for the unbuilt ones: the gate answers 501."""

    def __init__(self, rooms: Iterable[object]) -> None:
        self._operations: dict[tuple[str, str], Operation] = {}
        for room in rooms:
            for attribute in dir(type(room)):
                for service, name, need in getattr(getattr(type(room), attribute, None), "__operations__", []):
                    self.add(Operation(service, name, need, getattr(room, attribute)))

    def add(self, operation: Operation) -> None:
        """Raises ValueError for a second run of the same operation or a need without an action."""
        where = (operation.service, operation.name)
        if where in self._operations:
            raise ValueError(f"{where} has two runs")
        if not operation.need.action:
            raise ValueError(f"{where} declares no need")
        self._operations[where] = operation

    def find(self, service: str, name: str) -> Operation | None:
        return self._operations.get((service, name))

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())
