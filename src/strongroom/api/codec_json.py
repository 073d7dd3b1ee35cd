"""KMS's protocol: AWS JSON 1.1. Never knows what the members mean or who may ask.

Blobs travel as base64, timestamps as epoch seconds. Wrong types are SerializationException, broken constraints one
ValidationException for all of them. Members that the model does not have are ignored, as AWS ignores them.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from strongroom.api.constraints import Check, checker, violations
from strongroom.api.encoded import BodyKind, Encoded
from strongroom.api.errors import ERRORS, ApiError
from strongroom.api.model import is_operation, members, operation_model
from strongroom.api.scalars import epoch_seconds, from_seconds, header_text, parse_timestamp

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape

    from strongroom.api.operation import Answer
    from strongroom.api.routing import Route

CONTENT_TYPE: Final = "application/x-amz-json-1.1"
#: What the codes of S3's front end are called here.
_TRANSLATED: Final = {
    "AccessDenied": "AccessDeniedException",
    "AuthorizationHeaderMalformed": "IncompleteSignatureException",
    "AuthorizationQueryParametersError": "IncompleteSignatureException",
    "BadDigest": "InvalidSignatureException",
    "EntityTooLarge": "RequestEntityTooLargeException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteBody": "SerializationException",
    "InternalError": "KMSInternalException",
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "InvalidRequest": "ValidationException",
    "InvalidToken": "UnrecognizedClientException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "MissingSecurityHeader": "MissingAuthenticationTokenException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "ServiceUnavailable": "DependencyTimeoutException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "SlowDown": "ThrottlingException",
    "XAmzContentSHA256Mismatch": "InvalidSignatureException",
}

Read = Callable[[Any], Any]
_NAMES: Final[dict[type, str]] = {
    str: "STRING_VALUE",
    bool: "BOOLEAN_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    list: "LIST_VALUE",
    dict: "MAP_VALUE",
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one operation is read, checked and written; None where it has no shape."""

    read: Read | None
    check: Check | None
    write: Callable[[Any], Any] | None


class JsonCodec:
    def __init__(self) -> None:
        self._plans: dict[str, _Plan] = {}

    def body_kind(self, operation: str) -> BodyKind:
        self._plan(operation)
        return "buffer"

    def decode(self, route: Route, query: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:  # noqa: ARG002
        """See ``Codec.decode``. Raises ApiError SerializationException, ValidationException."""
        try:
            given: object = orjson.loads(body) if body else dict[str, object]()
        except ValueError as error:
            raise ApiError("SerializationException") from error
        plan = self._plan(route.operation)
        if plan.read is None:
            return {}
        value: dict[str, Any] = plan.read(given)
        problem = violations(plan.check, value)
        if problem:
            raise ApiError("ValidationException", problem)
        return value

    def encode(self, operation: str, answer: Answer, request_id: str, host_id: str) -> Encoded:  # noqa: ARG002
        write = self._plan(operation).write
        body = b"" if write is None else orjson.dumps(write(answer.output))
        return Encoded(answer.status or 200, _headers(request_id, body), body)

    def encode_error(self, error: ApiError, request_id: str, host_id: str, *, head: bool, resource: str) -> Encoded:  # noqa: ARG002
        code, status, message = error.code.removeprefix("KMS."), error.status, error.message
        translated = _TRANSLATED.get(code)
        if translated is not None:
            status, default = ERRORS[translated]
            if message == ERRORS[code][1]:
                message = default
            code = translated
        fields = {"__type": code, "message": message} if message else {"__type": code}
        body = b"" if head else orjson.dumps(fields)
        headers = _headers(request_id, body)
        headers.extend((name.lower(), header_text(value)) for name, value in error.headers.items())
        return Encoded(status, headers, body)

    def not_built(self, operation: str) -> ApiError:
        if is_operation("kms", operation):
            return ApiError("NotImplemented", f"The operation {operation} is not implemented.")
        return ApiError("UnknownOperationException")

    def _plan(self, operation: str) -> _Plan:
        plan = self._plans.get(operation)
        if plan is None:
            model = operation_model("kms", operation)
            asked, answered = model.input_shape, model.output_shape
            plan = self._plans[operation] = _Plan(
                read=reader(asked) if asked is not None else None,
                check=checker(asked) if asked is not None else None,
                write=writer(answered) if answered is not None else None,
            )
        return plan


def _headers(request_id: str, body: bytes) -> list[tuple[str, str]]:
    return [("x-amzn-requestid", request_id), ("content-type", CONTENT_TYPE), ("content-length", str(len(body)))]


def _wrong(value: object, wanted: str) -> ApiError:
    return ApiError("SerializationException", f"{_NAMES.get(type(value), 'VALUE')} can not be converted to {wanted}")


@cache
def reader(shape: Shape) -> Read:
    """Turns a JSON value into the Python value of a shape (compiled once); raises ApiError SerializationException."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure_reader(shape)
    if kind == "list":
        return _list_reader(reader(cast("ListShape", shape).member))
    if kind == "map":
        return _map_reader(reader(cast("MapShape", shape).value))
    return {
        "string": _string,
        "integer": _integer,
        "long": _integer,
        "boolean": _boolean,
        "blob": _blob,
        "timestamp": _timestamp,
    }[kind]


def _structure_reader(shape: Shape) -> Read:
    readers = {member: reader(inner) for member, inner in members(shape).items()}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(value, "a structure")
        given = cast("dict[str, Any]", value)
        return {member: readers[member](inner) for member, inner in given.items() if inner is not None and member in readers}

    return read


def _list_reader(one: Read) -> Read:
    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(value, "a List")
        return [one(item) for item in cast("Sequence[Any]", value)]

    return read


def _map_reader(one: Read) -> Read:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(value, "a Map")
        return {key: one(item) for key, item in cast("dict[str, Any]", value).items()}

    return read


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "String")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "Integer")
    if not -(2**31) <= value < 2**31:
        raise ApiError("SerializationException")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "Boolean")
    return value


def _blob(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong(value, "Blob")
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError("SerializationException") from error


def _timestamp(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            return parse_timestamp(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return from_seconds(value)
    except ValueError as error:
        raise ApiError("SerializationException") from error
    raise _wrong(value, "Timestamp")


@cache
def writer(shape: Shape) -> Callable[[Any], Any]:
    """Turns the Python value of a shape into a JSON value (compiled once)."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure_writer(shape)
    if kind == "list":
        one = writer(cast("ListShape", shape).member)
        return lambda value: [one(item) for item in value]
    if kind == "map":
        inner = writer(cast("MapShape", shape).value)
        return lambda value: {key: inner(item) for key, item in value.items()}
    if kind == "blob":
        return lambda value: b64encode(value).decode()
    if kind == "timestamp":
        return lambda value: epoch_seconds(value) if isinstance(value, datetime) else value
    return lambda value: value


def _structure_writer(shape: Shape) -> Callable[[Any], Any]:
    writers = {member: writer(inner) for member, inner in members(shape).items()}

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        return {member: writers[member](inner) for member, inner in value.items() if inner is not None}

    return write
