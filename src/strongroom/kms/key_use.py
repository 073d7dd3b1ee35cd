"""One use of a key: what is told of it to whoever keeps count and record, and how a use is followed to its end.

Every use is told once: when it was done, refused, failed or given up, and also when no KMS operation was needed for it. Never
knows what the observer does with it, nor what a subject means: it is a label that the caller of the door passes on.
"""

from __future__ import annotations

import functools
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, Self

from strongroom.api.errors import ApiError
from strongroom.kms.blob import BlobError, parse_blob
from strongroom.kms.identifiers import parse
from strongroom.kms.names import AliasName, KeyName
from strongroom.kms.records import milliseconds
from strongroom.store.contract import StoreError

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from strongroom.api.operation import Answer, Call, Caller
    from strongroom.kms.ring import KeyRing

#: api: asked of the KMS API. s3: asked by S3 for one object. bucket-key: by S3 for a key that many objects share. scrub: by the
#: server itself, that looks whether objects are whole.
Cause = Literal["api", "s3", "bucket-key", "scrub"]
_LONGEST_NAME: Final = 2048  # characters that are kept of what a request named


class Subject(NamedTuple):
    """What a key is used for, in the words of whoever asks."""

    resource: str = ""  # an ARN
    version: str = ""


NO_SUBJECT: Final = Subject()


class KeyUse(NamedTuple):
    at_ms: int
    operation: str  # KMS's name for it
    cause: Cause
    kms_called: bool  # False: a shared key served it from memory, or it was refused before KMS had to do anything
    key_arn: str  # what the request named, when no key came of it
    principal: str  # ARN; "" for an anonymous caller
    account_id: str
    user_id: str
    access_key_id: str
    resource: str
    version: str
    context: Mapping[str, str]
    code: str  # "" when it was done, else the error's
    reason: str
    request_id: str
    source_ip: str


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """What uses of one caller have in common that needed no question: all were done, and either all called KMS or none."""

    operation: str
    cause: Cause
    kms_called: bool
    key_arn: str
    principal: str
    account_id: str
    user_id: str
    access_key_id: str
    context: Mapping[str, str] | str  # the same for all; or by which name, as its only one, the context tells the resource
    labels: tuple[str, ...] = field(init=False, repr=False)  # under which they are counted

    def __post_init__(self) -> None:
        labels = (self.operation, self.cause) if self.kms_called else (self.operation,)
        object.__setattr__(self, "labels", labels)

    @classmethod
    def shared(cls, caller: Caller, operation: str, key_arn: str, context: Mapping[str, str]) -> Alike:
        """A shared key serves them from memory."""
        return cls(operation, "bucket-key", False, key_arn, *_who(caller), context)

    @classmethod
    def called(cls, caller: Caller, operation: str, key_arn: str, context_by: str) -> Alike:
        """Each is an operation of KMS of its own."""
        return cls(operation, "s3", True, key_arn, *_who(caller), context_by)

    def context_of(self, resource: str) -> Mapping[str, str]:
        return {self.context: resource} if isinstance(self.context, str) else self.context

    def use(self, at: datetime, resource: str, version: str, request_id: str, source_ip: str) -> KeyUse:
        """One of them, whole."""
        who = self.principal, self.account_id, self.user_id, self.access_key_id
        what = milliseconds(at), self.operation, self.cause, self.kms_called, self.key_arn
        return KeyUse(*what, *who, resource, version, self.context_of(resource), "", "", request_id, source_ip)


def _who(caller: Caller) -> tuple[str, str, str, str]:
    return caller.arn, caller.account_id, caller.user_id, caller.access_key_id


class Observer(Protocol):
    """Whoever is told of uses. No method may wait or raise."""

    def used(self, use: KeyUse) -> None: ...

    def served(self, alike: Alike, at: datetime, resource: str, version: str, request_id: str, source_ip: str, /) -> bool:
        """As ``full`` and then ``used``, in one and without making the use whole; False: it is full, and nothing was told."""
        ...

    def full(self, operation: str, /) -> bool:
        """No more uses can be taken in at the moment, or none by that operation of KMS, so no key may be used for it."""
        ...


class Nobody:
    """An ``Observer`` for rooms without a server around them."""

    def used(self, use: KeyUse) -> None:
        pass

    def served(self, *_: object) -> bool:
        return True

    def full(self, _operation: str, /) -> bool:
        return False


class Using:
    """A use under way, as a context; what is known of it only later is set on it."""

    __slots__ = ("_call", "_cause", "_context", "_observer", "_operation", "_subject", "key_arn", "kms_called")

    def __init__(
        self, observer: Observer, call: Call, operation: str, cause: Cause, context: Mapping[str, str], subject: Subject
    ) -> None:
        self._observer = observer
        self._call = call
        self._operation = operation
        self._cause: Cause = cause
        self._context = context
        self._subject = subject
        self.key_arn = ""
        self.kms_called = cause != "bucket-key"

    def __enter__(self) -> Self:
        """Raises ApiError ThrottlingException when no more uses can be told."""
        require_room(self._observer, self._operation)
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        code, reason = ("", "") if error is None else outcome(error)
        self.told(code, reason)

    def told(self, code: str, reason: str) -> None:
        call = self._call
        caller = call.caller
        self._observer.used(
            KeyUse(
                milliseconds(call.now),
                self._operation,
                self._cause,
                self.kms_called,
                self.key_arn,
                caller.arn,
                caller.account_id,
                caller.user_id,
                caller.access_key_id,
                self._subject[0],
                self._subject[1],
                self._context,
                code,
                reason,
                call.request_id,
                call.source_ip,
            )
        )


def require_room(observer: Observer, operation: str) -> None:
    """Raises ApiError ThrottlingException: a use that could not be recorded does not happen."""
    if observer.full(operation):
        raise no_room()


def no_room() -> ApiError:
    return ApiError("ThrottlingException", "The record of key uses cannot be written fast enough.")


def outcome(error: BaseException) -> tuple[str, str]:
    """Code and reason. What is no refusal is told by its kind alone, as the client is told."""
    if isinstance(error, ApiError):
        return error.code, error.message
    return ("Cancelled", "") if isinstance(error, CancelledError) else ("InternalError", type(error).__name__)


# --------------------------------------------------------------------------------------------------------- of the KMS API


class Named(NamedTuple):
    """Where an operation of the KMS API names a key it uses: the members of its input and output."""

    key: str = "KeyId"
    context: str = "EncryptionContext"
    answered: str = "KeyId"
    blob: str = "CiphertextBlob"  # names the key, when ``key`` is not given


_Run = Callable[[Any, "Call"], Awaitable["Answer"]]


def recorded(*keys: Named) -> Callable[[_Run], _Run]:
    """Below ``@operation``: the run uses these keys (none given: that of ``KeyId``), so each use is told. Its class has a ``_ring``."""

    def decorate(run: _Run) -> _Run:
        @functools.wraps(run)
        async def told(self: Any, call: Call) -> Answer:
            ring: KeyRing = self._ring
            require_room(ring.observer, call.operation.name)
            uses = [
                Using(ring.observer, call, call.operation.name, "api", call.input.get(each.context) or {}, NO_SUBJECT)
                for each in keys or (Named(),)
            ]
            try:
                answer = await run(self, call)
            except BaseException as error:
                await _refused(ring, call, list(zip(uses, keys or (Named(),), strict=True)), error)
                raise
            for use, each in zip(uses, keys or (Named(),), strict=True):
                use.key_arn = str(answer.output[each.answered])
                use.told("", "")
            return answer

        setattr(told, RECORDED, True)
        return told

    return decorate


RECORDED: Final = "__key_use_recorded__"


async def _refused(ring: KeyRing, call: Call, uses: Sequence[tuple[Using, Named]], error: BaseException) -> None:
    """Tell of uses that came to nothing, also if this is cancelled, or fails, while the keys that aliases stand for are looked up."""
    claimed = [_claimed(call, each) for _, each in uses]
    try:
        for place, name in enumerate(claimed):
            if isinstance(name, AliasName) and isinstance(error, Exception):
                with suppress(StoreError):
                    found = await ring.alias(name, milliseconds(call.now))
                    claimed[place] = name if found is None else found[1].name
    finally:
        code, reason = outcome(error)
        for (use, _), name in zip(uses, claimed, strict=True):
            use.key_arn = name if isinstance(name, str) else name.arn
            use.told(code, reason)


def _claimed(call: Call, named: Named) -> KeyName | AliasName | str:
    """The key that a refused request meant, as far as it can be told."""
    identifier: str | None = call.input.get(named.key)
    if identifier is None:
        try:
            return parse_blob(call.input.get(named.blob) or b"").key
        except BlobError:
            return ""
    try:
        return parse(identifier, call.caller.account_id, call.region)
    except ApiError:
        return identifier[:_LONGEST_NAME]
