"""IAM's and STS's protocol: a form in, XML out. Never knows what the members mean or who may ask."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from strongroom.api.constraints import Check, checker, violations
from strongroom.api.encoded import BodyKind, Encoded
from strongroom.api.errors import ERRORS, ApiError
from strongroom.api.form import read_form
from strongroom.api.model import is_operation, members, operation_model, service_model, trait
from strongroom.api.scalars import header_text, parse_boolean, parse_integer, parse_timestamp, xml_text
from strongroom.api.xml_writer import Write, content_writer

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape

    from strongroom.api.operation import Answer, Service
    from strongroom.api.routing import Route

CONTENT_TYPE: Final = "text/xml"
_DEPTH: Final = 16
_UNSAYABLE: Final = re.compile("[^\\t\\n\\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, "Char"
_SIGNATURE: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)
#: What the codes of S3's front end are called here: code, status, default text.
_TRANSLATED: Final = {
    "AuthorizationHeaderMalformed": ("IncompleteSignature", 400, ERRORS["IncompleteSignature"][1]),
    "AuthorizationQueryParametersError": ("IncompleteSignature", 400, ERRORS["IncompleteSignature"][1]),
    "EntityTooLarge": ("RequestEntityTooLarge", 413, ERRORS["RequestEntityTooLarge"][1]),
    "ExpiredToken": ("ExpiredToken", 403, ERRORS["ExpiredTokenException"][1]),
    "InternalError": ("InternalFailure", 500, ERRORS["InternalFailure"][1]),
    "InvalidAccessKeyId": ("InvalidClientTokenId", 403, ERRORS["InvalidClientTokenId"][1]),
    "InvalidToken": ("InvalidClientTokenId", 403, ERRORS["InvalidClientTokenId"][1]),
    "MissingSecurityHeader": ("MissingAuthenticationToken", 403, ERRORS["MissingAuthenticationToken"][1]),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", 403, "Signature expired."),
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403, _SIGNATURE),
    "SlowDown": ("Throttling", 400, ERRORS["Throttling"][1]),
    "XAmzContentSHA256Mismatch": ("SignatureDoesNotMatch", 403, _SIGNATURE),
}


@dataclass(slots=True)
class _Field:
    """A form field: its value and the fields below it (``Tags.member.1.Key``)."""

    value: str | None
    below: dict[str, _Field]


Read = Callable[[_Field], Any]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one operation is read, checked and written; None where it has no shape."""

    read: Read | None
    check: Check | None
    write: Write | None
    wrapper: str  # the element around the output


class QueryCodec:
    def __init__(self, service: Service) -> None:
        self._service: Final[Service] = service
        self._plans: dict[str, _Plan] = {}
        self._namespace = str(service_model(service).metadata["xmlNamespace"])

    def body_kind(self, operation: str) -> BodyKind:
        self._plan(operation)
        return "buffer"

    def decode(self, route: Route, query: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:  # noqa: ARG002
        try:
            form = {**read_form(query), **read_form((body or b"").decode())}
        except UnicodeDecodeError as error:
            raise ApiError("MalformedQueryString") from error
        plan = self._plan(route.operation)
        if plan.read is None:
            return {}
        value: dict[str, Any] = plan.read(_tree(form))
        problem = violations(plan.check, value)
        if problem:
            raise ApiError("ValidationError", problem)
        return value

    def encode(self, operation: str, answer: Answer, request_id: str, host_id: str) -> Encoded:  # noqa: ARG002
        plan = self._plan(operation)
        parts = [f'<{operation}Response xmlns="{self._namespace}">']
        if plan.write is not None:
            parts.append(f"<{plan.wrapper}>")
            plan.write(parts, answer.output)
            parts.append(f"</{plan.wrapper}>")
        parts.append(f"<ResponseMetadata><RequestId>{xml_text(request_id)}</RequestId></ResponseMetadata></{operation}Response>")
        body = "".join(parts).encode("utf-8", "xmlcharrefreplace")
        return Encoded(answer.status or 200, _headers(request_id, body), body)

    def encode_error(self, error: ApiError, request_id: str, host_id: str, *, head: bool, resource: str) -> Encoded:  # noqa: ARG002
        code, status, message = error.code, error.status, error.message
        if code in _TRANSLATED:
            default = ERRORS[code][1]
            code, status, text = _TRANSLATED[code]
            message = text if message == default else message
        kind = "Receiver" if status >= 500 else "Sender"
        shown = xml_text(_UNSAYABLE.sub("\ufffd", message))  # it may repeat what came, which XML cannot always carry
        inner = f"<Type>{kind}</Type><Code>{xml_text(code)}</Code><Message>{shown}</Message>"
        text = f'<ErrorResponse xmlns="{self._namespace}"><Error>{inner}</Error><RequestId>{xml_text(request_id)}</RequestId></ErrorResponse>'
        body = b"" if head else text.encode("utf-8", "xmlcharrefreplace")
        headers = _headers(request_id, body)
        headers.extend((name.lower(), header_text(value)) for name, value in error.headers.items())
        return Encoded(status, headers, body)

    def not_built(self, operation: str) -> ApiError:
        if is_operation(self._service, operation):
            return ApiError("NotImplemented", f"The operation {operation} is not implemented.")
        if not operation:
            return ApiError("MissingAction")
        version = service_model(self._service).metadata["apiVersion"]
        return ApiError("InvalidAction", f"Could not find operation {operation} for version {version}")

    def _plan(self, operation: str) -> _Plan:
        plan = self._plans.get(operation)
        if plan is None:
            model = operation_model(self._service, operation)
            asked, answered = model.input_shape, model.output_shape
            plan = self._plans[operation] = _Plan(
                read=reader(asked) if asked is not None else None,
                check=checker(asked) if asked is not None else None,
                write=content_writer(answered, seconds=True) if answered is not None else None,
                wrapper=str((trait(answered, "resultWrapper") if answered is not None else None) or f"{operation}Result"),
            )
        return plan


def _headers(request_id: str, body: bytes) -> list[tuple[str, str]]:
    return [("x-amzn-requestid", request_id), ("content-type", CONTENT_TYPE), ("content-length", str(len(body)))]


def _tree(form: Mapping[str, str]) -> _Field:
    root = _Field(None, {})
    for name, value in form.items():
        steps = name.split(".", _DEPTH)
        if len(steps) > _DEPTH:
            continue  # deeper than any member
        field = root
        for step in steps:
            field = field.below.setdefault(step, _Field(None, {}))
        field.value = value
    return root


@cache
def reader(shape: Shape) -> Read:
    """Turns a form field into the Python value of a shape (compiled once); raises ApiError MalformedInput."""
    kind = str(shape.type_name)
    if kind == "structure":
        return _structure_reader(shape)
    if kind == "list":
        item = cast("ListShape", shape).member
        one, word = reader(item), str(trait(item, "name") or "member")
        return lambda field: [one(below) for below in _numbered(field, word)]
    if kind == "map":
        return _map_reader(cast("MapShape", shape))
    return _scalar_reader(_READERS[kind])


def _structure_reader(shape: Shape) -> Read:
    readers = [(member, str(trait(inner, "name") or member), reader(inner)) for member, inner in members(shape).items()]

    def read(field: _Field) -> dict[str, Any]:
        return {member: one(field.below[word]) for member, word, one in readers if word in field.below}

    return read


def _map_reader(shape: MapShape) -> Read:
    key_of, value_of = reader(shape.key), reader(shape.value)

    def read(field: _Field) -> dict[str, Any]:
        pairs = [below.below for below in _numbered(field, "entry")]
        return {key_of(pair["key"]): value_of(pair["value"]) for pair in pairs if "key" in pair and "value" in pair}

    return read


def _scalar_reader(read: Callable[[str], Any]) -> Read:
    def reading(field: _Field) -> Any:
        try:
            return read(field.value or "")
        except ValueError as error:
            raise ApiError("MalformedInput") from error

    return reading


def _numbered(field: _Field, word: str) -> list[_Field]:
    """The items of a list, ``member.1`` and on, by number."""
    below = field.below.get(word)
    if below is None:
        return []
    places = sorted(
        (int(place), item) for place, item in below.below.items() if place.isascii() and place.isdigit() and len(place) < 9
    )
    return [item for _, item in places]


def _blob(text: str) -> bytes:
    return b64decode(text, validate=True)


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "integer": parse_integer,
    "long": parse_integer,
    "boolean": parse_boolean,
    "timestamp": parse_timestamp,
    "blob": _blob,
    "string": str,
}
