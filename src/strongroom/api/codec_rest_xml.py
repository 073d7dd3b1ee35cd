"""S3's protocol: members in headers, query, address and XML body. Never knows what the members mean or who may ask.

A request's own headers and query are walked, never the model's (most members are absent). Sources: Smithy's restXml, and
S3's own habits where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from strongroom.api import post_form, preflight
from strongroom.api.encoded import BodyKind, Encoded
from strongroom.api.errors import ApiError
from strongroom.api.form import read_form
from strongroom.api.model import operation_model
from strongroom.api.rest_xml_plans import (
    CONTROL_NAMESPACE,
    DECLARATION,
    NAMESPACE,
    Answered,
    Asked,
    compile_answered,
    compile_asked,
    header_string,
)
from strongroom.api.scalars import header_text, text_of_header, xml_text
from strongroom.api.xml_reader import read_xml

if TYPE_CHECKING:
    from strongroom.api.operation import Answer, Service
    from strongroom.api.routing import Route

_NAMESPACES: Final = {"s3": NAMESPACE, "s3control": CONTROL_NAMESPACE}
KEY_BYTES: Final = 1024
#: Operations that S3 has and its model does not.
_UNMODELLED: Final = {module.OPERATION: module for module in (post_form, preflight)}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


class RestXmlCodec:
    def __init__(self, service: Service = "s3") -> None:
        """``service``: whose model it is; S3 Control speaks as S3 does."""
        self._service: Final[Service] = service
        self._asked: dict[str, Asked] = {}
        self._answered: dict[str, Answered] = {}

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
        if plan.label:
            given[plan.label] = route.key
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
            if plan.lists:
                _read_lists(plan.lists, query, given)
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
                text = value if convert is None else convert(value)
                if convert is None and not (text.isascii() and text.isprintable()):
                    text = header_text(text)
                headers.append((wire, text))
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
        wrapped = self._service == "s3control"  # whose errors stand in an envelope; some clients look for it
        opening, closing = ("<ErrorResponse><Error>", "</Error>") if wrapped else ("<Error>", "")
        parts = [DECLARATION, opening, _element("Code", error.code), _element("Message", error.message)]
        parts.extend(_element(name, value) for name, value in error.members.items())
        if resource and "Resource" not in error.members:
            parts.append(_element("Resource", resource))
        parts.append(closing)
        parts.extend(
            (_element("RequestId", request_id), _element("HostId", host_id), "</ErrorResponse>" if wrapped else "</Error>")
        )
        body = "".join(parts).encode()
        headers.append(("content-length", str(len(body))))
        return Encoded(error.status, headers, body)

    def not_built(self, operation: str) -> ApiError:
        return ApiError("NotImplemented", f"The operation {operation} is not implemented." if operation else None)

    def _asking(self, operation: str) -> Asked:
        plan = self._asked.get(operation)
        if plan is None:
            own = _UNMODELLED.get(operation)
            plan = compile_asked(operation_model(self._service, operation)) if own is None else own.asked_plan()
            self._asked[operation] = plan
        return plan

    def _answering(self, operation: str) -> Answered:
        own = _UNMODELLED.get(operation)
        namespace = _NAMESPACES[self._service]
        plan = compile_answered(operation_model(self._service, operation), namespace) if own is None else own.answered_plan()
        self._answered[operation] = plan
        return plan


def _element(name: str, value: str) -> str:
    return f"<{name}>{xml_text(value)}</{name}>"


def _missing(location: str, wire: str) -> ApiError:
    if location == "header":
        return ApiError("InvalidRequest", f"Missing required header for this request: {wire}")
    return ApiError(
        "InvalidArgument", f"Missing required parameter for this request: '{wire}'", ArgumentName=wire, ArgumentValue=""
    )


def _read_query(plan: Asked, query: str, given: dict[str, Any]) -> None:
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


def _read_lists(lists: Mapping[str, str], query: str, given: dict[str, Any]) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in lists:
            given.setdefault(lists[name], []).append(value)


def _read_body(plan: Asked, body: bytes, given: dict[str, Any]) -> None:
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
    try:
        value = read_xml(body, plan.root, plan.node)
    except ApiError as error:
        if plan.root != "AccessControlPolicy":
            raise
        raise ApiError("MalformedACLError") from error
    if plan.payload:
        given[plan.payload] = value
    else:
        given.update(value)


def _write_map(headers: list[tuple[str, str]], prefix: str, value: Mapping[str, str], *, counted: bool) -> None:
    """User metadata. A name that no header can have is left out and counted, as S3 does."""
    missing = 0
    for name, text in value.items():
        if _TOKEN.fullmatch(name):
            headers.append((prefix + name.lower(), header_string(text)))
        else:
            missing += 1
    if missing and not counted:
        headers.append(("x-amz-missing-meta", str(missing)))


def _write_body(plan: Answered, output: Mapping[str, Any], headers: list[tuple[str, str]]) -> bytes:
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
    if plan.kind == "post":
        return post_form.write_response(output, headers)
    if plan.kind == "text":
        headers.append(("content-type", "application/json"))
        return str(output.get(plan.payload) or "").encode()
    return b""
