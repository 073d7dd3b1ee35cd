"""How requests of S3 are read and answers written: one plan for each operation, compiled from its shapes on first use.

Knows the roots and habits that S3 has and the model does not. Never knows a request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.encoded import BodyKind
from strongroom.api.errors import ApiError
from strongroom.api.model import members, required, trait
from strongroom.api.scalars import (
    header_text,
    http_date,
    iso_millis,
    parse_boolean,
    parse_integer,
    parse_timestamp,
    text_of_header,
    truth,
)
from strongroom.api.xml_reader import Node, node_for
from strongroom.api.xml_writer import Write, content_writer

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
CONTROL_NAMESPACE: Final = "http://awss3control.amazonaws.com/doc/2018-08-20/"
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

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
_OWN_TEXTS: Final = {
    "partNumber": "Part number must be an integer between 1 and 10000, inclusive",
    "x-amz-object-lock-retain-until-date": "The retain until date must be provided in ISO 8601 format",
}

Convert = Callable[[str], Any]


@dataclass(slots=True)
class Asked:
    """How the request of one operation is read."""

    body: BodyKind = "none"
    #: wire name -> member and how its text is read, None for text as it is
    headers: dict[str, tuple[str, Convert | None]] = field(default_factory=dict[str, "tuple[str, Convert | None]"])
    queries: dict[str, tuple[str, Convert | None]] = field(default_factory=dict[str, "tuple[str, Convert | None]"])
    prefix: str = ""  # of the header map, "" for none
    map_member: str = ""
    bucket: bool = False
    key: bool = False
    label: str = ""  # member of another variable part of the path, "" for none
    lists: dict[str, str] = field(default_factory=dict[str, str])  # wire name of a query that may be repeated -> member
    required: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])  # member, location, wire name
    root: str = ""  # of the XML body, "" for none
    node: Node | None = None
    payload: str = ""  # member the body goes to; "" when its content is the input itself
    payload_required: bool = False


@dataclass(slots=True)
class Answered:
    """How the answer of one operation is written."""

    status: int
    headers: dict[str, tuple[str, Callable[[Any], str] | None]]  # member -> wire name, and how it is written; None: as text
    map_member: str = ""
    prefix: str = ""
    kind: str = "none"  # none, stream, text, xml, location
    payload: str = ""
    opening: str = ""
    closing: str = ""
    write: Write | None = None
    body_members: frozenset[str] = frozenset()


def compile_asked(model: OperationModel) -> Asked:
    plan = Asked()
    shape = model.input_shape
    needed = frozenset(required(shape))
    inner = members(shape)
    for member, place in inner.items():
        location, wire = trait(place, "location"), str(trait(place, "name") or member)
        if location == "uri":
            plan.bucket, plan.key = plan.bucket or wire == "Bucket", plan.key or wire == "Key"
            plan.label = "" if wire in {"Bucket", "Key"} else member
        elif location == "querystring" and place.type_name == "list":
            plan.lists[wire] = member
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


def _compile_payload(plan: Asked, member: str, shape: Shape, *, required: bool) -> None:
    if shape.type_name == "blob":
        plan.body = "stream"
        return
    plan.body, plan.payload, plan.payload_required = "buffer", member, required
    if shape.type_name == "structure":
        plan.root, plan.node = str(trait(shape, "name") or member), node_for(shape)


def compile_answered(model: OperationModel, namespace: str = NAMESPACE) -> Answered:
    shape = model.output_shape
    plan = Answered(status=int(model.http.get("responseCode", 200)), headers={})
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
            _compile_root(plan, str(trait(place, "name") or payload), place, namespace)
    elif model.name == "GetBucketLocation":
        plan.kind = "location"
    elif plan.body_members:
        plan.kind = "xml"
        _compile_root(plan, _ROOTS.get(str(model.name), f"{model.name}Result"), shape, namespace)
    return plan


def _compile_root(plan: Answered, root: str, shape: Shape, namespace: str) -> None:
    plan.opening = f'{DECLARATION}<{root} xmlns="{namespace}">'
    plan.closing = f"</{root}>"
    plan.write = content_writer(shape)


def header_string(value: str) -> str:
    return value if value.isascii() and value.isprintable() else header_text(value)


def _header_writer(shape: Shape) -> Callable[[Any], str] | None:
    """None: a text, which ``header_string`` writes; most are, and whoever writes many looks for himself what is plain."""
    kind = str(shape.type_name)
    if kind == "boolean":
        return truth
    if kind in ("integer", "long"):
        return str
    if kind == "timestamp":
        return _safe_iso if trait(shape, "timestampFormat") == "iso8601" else _safe_date
    if kind == "list":
        return lambda value: header_string(",".join(value))
    return None


def _safe_date(value: Any) -> str:
    return header_string(value) if isinstance(value, str) else http_date(value)


def _safe_iso(value: Any) -> str:
    return header_string(iso_millis(value))


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
        return _refusing(parse_timestamp, wire, _OWN_TEXTS.get(wire, f"Invalid {wire}: not a timestamp"))
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
