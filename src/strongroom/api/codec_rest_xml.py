"""S3's protocol: members in headers, query, address and XML body. Never knows what the members mean or who may ask.

Plans are compiled from the shapes; a request's own headers and query are walked, never the model's (most members are
absent). Sources: Smithy's restXml, and S3's own habits where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.encoded import BodyKind, Encoded
from strongroom.api.errors import ApiError
from strongroom.api.form import read_form
from strongroom.api.model import members, operation_model, required, trait
from strongroom.api.scalars import (
    header_text,
    http_date,
    iso_millis,
    parse_boolean,
    parse_integer,
    parse_timestamp,
    text_of_header,
    truth,
    xml_text,
)
from strongroom.api.xml_reader import Node, node_for, read_xml
from strongroom.api.xml_writer import Write, content_writer

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

    from strongroom.api.operation import Answer
    from strongroom.api.routing import Route

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
KEY_BYTES: Final = 1024
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)

#: Root elements of answers, which the model does not know. (S3 API reference.) Others: the operation's name + Result.
_ROOTS: Final = {
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycle": "LifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotification": "NotificationConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
    "ListBucketIntelligentTieringConfigurations": "ListBucketIntelligentTieringConfigurationsOutput",
    "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
}
#: Kept as the client wrote them: S3 stores and echoes any text here, dates or not.
_VERBATIM: Final = frozenset({"Expires", "ResponseExpires"})
#: An HTTP date that is none is to be ignored here (RFC 9110 §13.1.3, §13.1.4).
_IGNORED_WHEN_BAD: Final = frozenset(
    {"if-modified-since", "if-unmodified-since", "x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-unmodified-since"}
)
_OWN_TEXTS: Final = {"partNumber": "Part number must be an integer between 1 and 10000, inclusive"}

Convert = Callable[[str], Any]


@dataclass(slots=True)
class _Asked:
    """How the request of one operation is read."""

    body: BodyKind = "none"
    #: wire name -> member and how its text is read, None for text as it is
    headers: dict[str, tuple[str, Convert | None]] = field(default_factory=dict[str, "tuple[str, Convert | None]"])
    queries: dict[str, tuple[str, Convert | None]] = field(default_factory=dict[str, "tuple[str, Convert | None]"])
    prefix: str = ""  # of the header map, "" for none
    map_member: str = ""
    bucket: bool = False
    key: bool = False
    required: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])  # member, location, wire name
    root: str = ""  # of the XML body, "" for none
    node: Node | None = None
    payload: str = ""  # member the body goes to; "" when its content is the input itself
    payload_required: bool = False


@dataclass(slots=True)
class _Answered:
    """How the answer of one operation is written."""

    status: int
    headers: dict[str, tuple[str, Callable[[Any], str]]]  # member -> wire name
    map_member: str = ""
    prefix: str = ""
    kind: str = "none"  # none, stream, text, xml, location
    payload: str = ""
    opening: str = ""
    closing: str = ""
    write: Write | None = None
    body_members: frozenset[str] = frozenset()


class RestXmlCodec:
    def __init__(self) -> None:
        self._asked: dict[str, _Asked] = {}
        self._answered: dict[str, _Answered] = {}

    def body_kind(self, operation: str) -> BodyKind:
        return self._asking(operation).body

    def decode(self, route: Route, query: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
        plan = self._asked.get(route.operation) or self._asking(route.operation)
        given: dict[str, Any] = {}
        if plan.bucket:
            given["Bucket"] = route.bucket
        if plan.key:
            key = given["Key"] = route.key
            if len(key) > KEY_BYTES // 4 and len(key.encode("utf-8", "replace")) > KEY_BYTES:
                raise ApiError("KeyTooLongError", Size=str(len(key.encode("utf-8", "replace"))), MaxSizeAllowed=str(KEY_BYTES))
        table, prefix = plan.headers, plan.prefix
        for name, value in headers.items():
            entry = table.get(name)
            if entry is not None:
                member, convert = entry
                given[member] = (value if value.isascii() else text_of_header(value)) if convert is None else convert(value)
            elif prefix and name.startswith(prefix):
                given.setdefault(plan.map_member, {})[name[len(prefix) :]] = text_of_header(value)
        if query:
            _read_query(plan, query, given)
        for member, location, wire in plan.required:
            if given.get(member) is None:
                raise _missing(location, wire)
        if plan.body == "buffer":
            _read_body(plan, body or b"", given)
        return given

    def encode(self, operation: str, answer: Answer, request_id: str, host_id: str) -> Encoded:
        plan = self._answered.get(operation) or self._answering(operation)
        headers = [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)]
        table = plan.headers
        sized = False
        for member, value in answer.output.items():
            if value is None:
                continue
            entry = table.get(member)
            if entry is not None:
                wire, convert = entry
                headers.append((wire, convert(value)))
                if wire == "content-length":
                    sized = True
            elif member == plan.map_member:
                _write_map(headers, plan.prefix, value, counted="MissingMeta" in answer.output)
            elif member not in plan.body_members:
                raise LookupError(f"{operation} has no output {member}")
        body = answer.body
        if body is None and plan.kind != "none":
            body = _write_body(plan, answer.output, headers)
        status = answer.status or plan.status
        if body is None:
            body = b""
        if not sized and status != 204:
            length = answer.length if answer.length is not None else len(body) if isinstance(body, bytes) else None
            if length is not None:
                headers.append(("content-length", str(length)))
        return Encoded(status, headers, body)

    def encode_error(self, error: ApiError, request_id: str, host_id: str, *, head: bool, resource: str) -> Encoded:
        headers = [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)]
        headers.extend((name.lower(), header_text(value)) for name, value in error.headers.items())
        if error.status in (204, 304):
            return Encoded(error.status, headers, b"")
        headers.append(("content-type", "application/xml"))
        if head:
            return Encoded(error.status, headers, b"")
        parts = [DECLARATION, "<Error>", _element("Code", error.code), _element("Message", error.message)]
        parts.extend(_element(name, value) for name, value in error.members.items())
        if resource and "Resource" not in error.members:
            parts.append(_element("Resource", resource))
        parts.extend((_element("RequestId", request_id), _element("HostId", host_id), "</Error>"))
        body = "".join(parts).encode()
        headers.append(("content-length", str(len(body))))
        return Encoded(error.status, headers, body)

    def not_built(self, operation: str) -> ApiError:
        return ApiError("NotImplemented", f"The operation {operation} is not implemented." if operation else None)

    def _asking(self, operation: str) -> _Asked:
        plan = self._asked.get(operation)
        if plan is None:
            plan = self._asked[operation] = _compile_asked(operation_model("s3", operation))
        return plan

    def _answering(self, operation: str) -> _Answered:
        plan = self._answered[operation] = _compile_answered(operation_model("s3", operation))
        return plan


def _element(name: str, value: str) -> str:
    return f"<{name}>{xml_text(value)}</{name}>"


def _missing(location: str, wire: str) -> ApiError:
    if location == "header":
        return ApiError("InvalidRequest", f"Missing required header for this request: {wire}")
    return ApiError("InvalidArgument", f"Missing required parameter for this request: '{wire}'", ArgumentName=wire, ArgumentValue="")


def _read_query(plan: _Asked, query: str, given: dict[str, Any]) -> None:
    """Query members; and ``x-amz-`` headers that a presigning client has moved into the query (the header wins if both are there)."""
    queries, headers, prefix = plan.queries, plan.headers, plan.prefix
    for name, value in read_form(query, code="InvalidURI").items():
        entry = queries.get(name)
        if entry is not None:
            member, convert = entry
            if convert is None:
                given[member] = value
            elif value:
                given[member] = convert(value)
            continue
        lowered = name.lower()
        if not lowered.startswith("x-amz-"):
            continue
        moved = headers.get(lowered)
        if moved is not None:
            member, convert = moved
            if member not in given:
                given[member] = value if convert is None else convert(value)
        elif prefix and lowered.startswith(prefix):
            given.setdefault(plan.map_member, {}).setdefault(lowered[len(prefix) :], value)


def _read_body(plan: _Asked, body: bytes, given: dict[str, Any]) -> None:
    if plan.node is None:
        try:
            given[plan.payload] = body.decode()
        except UnicodeDecodeError as error:
            raise ApiError("MalformedPolicy" if plan.payload == "Policy" else "InvalidRequest") from error
        return
    if not body:
        if plan.payload_required:
            raise ApiError("MissingRequestBodyError")
        return
    value = read_xml(body, plan.root, plan.node)
    if plan.payload:
        given[plan.payload] = value
    else:
        given.update(value)


def _write_map(headers: list[tuple[str, str]], prefix: str, value: Mapping[str, str], *, counted: bool) -> None:
    """User metadata. A name that no header can have is left out and counted, as S3 does."""
    missing = 0
    for name, text in value.items():
        if _TOKEN.fullmatch(name):
            headers.append((prefix + name.lower(), _header_string(text)))
        else:
            missing += 1
    if missing and not counted:
        headers.append(("x-amz-missing-meta", str(missing)))


def _write_body(plan: _Answered, output: Mapping[str, Any], headers: list[tuple[str, str]]) -> bytes:
    if plan.kind == "xml" and plan.write is not None:
        parts = [plan.opening]
        if plan.payload:
            plan.write(parts, output.get(plan.payload) or {})
        else:
            plan.write(parts, {member: value for member, value in output.items() if member in plan.body_members})
        parts.append(plan.closing)
        headers.append(("content-type", "application/xml"))
        return "".join(parts).encode("utf-8", "xmlcharrefreplace")
    if plan.kind == "location":
        region = output.get("LocationConstraint") or ""
        root = f'<LocationConstraint xmlns="{NAMESPACE}"'
        headers.append(("content-type", "application/xml"))
        return (DECLARATION + (f"{root}>{xml_text(region)}</LocationConstraint>" if region else f"{root}/>")).encode()
    if plan.kind == "text":
        headers.append(("content-type", "application/json"))
        return str(output.get(plan.payload) or "").encode()
    return b""


def _header_string(value: str) -> str:
    return value if value.isascii() and value.isprintable() else header_text(value)


def _header_writer(shape: Shape) -> Callable[[Any], str]:
    kind = str(shape.type_name)
    if kind == "boolean":
        return truth
    if kind in ("integer", "long"):
        return str
    if kind == "timestamp":
        return _safe_iso if trait(shape, "timestampFormat") == "iso8601" else _safe_date
    if kind == "list":
        return lambda value: _header_string(",".join(value))
    return _header_string


def _safe_date(value: Any) -> str:
    return _header_string(http_date(value))


def _safe_iso(value: Any) -> str:
    return _header_string(iso_millis(value))


def _header_reader(shape: Shape, member: str, wire: str) -> Convert | None:
    kind = str(shape.type_name)
    if kind == "list":
        return _split
    if kind in ("integer", "long"):
        return _refusing(parse_integer, wire, _OWN_TEXTS.get(wire, f"Provided {wire} not an integer or within integer range"))
    if kind == "boolean":
        return _refusing(parse_boolean, wire, f"Invalid {wire}")
    if kind == "timestamp" and member not in _VERBATIM:
        if wire.lower() in _IGNORED_WHEN_BAD:
            return _timestamp_or_none
        return _refusing(parse_timestamp, wire, f"Invalid {wire}: not a timestamp")
    return None


def _timestamp_or_none(text: str) -> Any:
    try:
        return parse_timestamp(text)
    except ValueError:
        return None


def _split(text: str) -> list[str]:
    return [item.strip().strip('"') for item in text_of_header(text).split(",") if item.strip()]


def _refusing(read: Convert, wire: str, message: str) -> Convert:
    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise ApiError("InvalidArgument", message, ArgumentName=wire, ArgumentValue=text) from error

    return convert


def _compile_asked(model: OperationModel) -> _Asked:
    plan = _Asked()
    shape = model.input_shape
    needed = frozenset(required(shape))
    inner = members(shape)
    for member, place in inner.items():
        location, wire = trait(place, "location"), str(trait(place, "name") or member)
        if location == "uri":
            plan.bucket, plan.key = plan.bucket or wire == "Bucket", plan.key or wire == "Key"
        elif location == "querystring":
            plan.queries[wire] = (member, _header_reader(place, member, wire))
        elif location == "header":
            plan.headers[wire.lower()] = (member, _header_reader(place, member, wire))
        elif location == "headers":
            plan.prefix, plan.map_member = wire.lower(), member
        if member in needed and location in ("querystring", "header"):
            plan.required.append((member, str(location), wire))
    payload = trait(shape, "payload") if shape is not None else None
    if payload is not None:
        _compile_payload(plan, str(payload), inner[str(payload)], required=str(payload) in needed)
    elif shape is not None and any(not trait(place, "location") for place in inner.values()):
        plan.body, plan.root, plan.node = "buffer", str(trait(shape, "name") or shape.name), node_for(shape)
        plan.payload_required = True
    return plan


def _compile_payload(plan: _Asked, member: str, shape: Shape, *, required: bool) -> None:
    if shape.type_name == "blob":
        plan.body = "stream"
        return
    plan.body, plan.payload, plan.payload_required = "buffer", member, required
    if shape.type_name == "structure":
        plan.root, plan.node = str(trait(shape, "name") or member), node_for(shape)


def _compile_answered(model: OperationModel) -> _Answered:
    shape = model.output_shape
    plan = _Answered(status=int(model.http.get("responseCode", 200)), headers={})
    inner = members(shape)
    for member, place in inner.items():
        location, wire = trait(place, "location"), str(trait(place, "name") or member).lower()
        if location == "header":
            plan.headers[member] = (wire, _header_writer(place))
        elif location == "headers":
            plan.map_member, plan.prefix = member, wire
    if shape is None:
        return plan
    payload = trait(shape, "payload")
    plan.body_members = frozenset(member for member, place in inner.items() if not trait(place, "location"))
    if payload is not None:
        place = inner[str(payload)]
        plan.payload = str(payload)
        plan.kind = {"blob": "stream", "string": "text", "structure": "xml"}[str(place.type_name)]
        if trait(place, "eventstream") or place.serialization.get("eventstream"):
            plan.kind = "stream"
        elif plan.kind == "xml":
            _compile_root(plan, str(trait(place, "name") or payload), place)
    elif model.name == "GetBucketLocation":
        plan.kind = "location"
    elif plan.body_members:
        plan.kind = "xml"
        _compile_root(plan, _ROOTS.get(str(model.name), f"{model.name}Result"), shape)
    return plan


def _compile_root(plan: _Answered, root: str, shape: Shape) -> None:
    plan.opening = f'{DECLARATION}<{root} xmlns="{NAMESPACE}">'
    plan.closing = f"</{root}>"
    plan.write = content_writer(shape)
