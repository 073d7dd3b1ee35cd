"""The form of a browser upload (``PostObject``, which the model does not have) in the terms of PutObject, and its answer. Pure.

A field is a header by another name, so the fields are read by PutObject's own plan. Never knows who signed them. Source: "POST Object"
in the S3 API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from strongroom.api.errors import ApiError
from strongroom.api.model import members, operation_model
from strongroom.api.rest_xml_plans import DECLARATION, Answered, Asked, compile_answered, compile_asked
from strongroom.api.scalars import xml_text
from strongroom.api.xml_reader import node_for, read_xml

if TYPE_CHECKING:
    from strongroom.api.routing import Route

OPERATION: Final = "PostObject"
_SSE: Final = "x-amz-server-side-encryption"
_FILENAME: Final = "${filename}"
#: Fields that have another name than the header they stand for.
_RENAMED: Final = {"acl": "x-amz-acl", "redirect": "success_action_redirect"}
#: Of the request itself, or of its signature: not of the object.
_NOT_OF_OBJECT: Final = frozenset(
    {
        "bucket",
        "content-length",
        "key",
        "policy",
        "transfer-encoding",
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-signature",
    }
)
#: Headers of the request that say something of the client.
_OF_CLIENT: Final = ("host", "origin", "referer", "user-agent")
#: Members that only a form has.
_OWN: Final = {
    "success_action_redirect": "SuccessActionRedirect",
    "success_action_status": "SuccessActionStatus",
}
_TAGGING: Final = "tagging"  # a document, where PutObject has a header in the form of a query


class Form(NamedTuple):
    """A form in the terms of a request with headers."""

    route: Route
    fields: Mapping[str, str]  # by lower-case name; variables filled in
    headers: dict[str, str]

    def __repr__(self) -> str:
        """Without what it holds: a customer's key may be among it."""
        return f"Form({self.route!r})"


def read_fields(route: Route, fields: Mapping[str, str], filename: str, headers: Mapping[str, str]) -> Form:
    """``filename``: of the file, for ``${filename}``. ``headers``: of the request. Raises ApiError InvalidRequest, AccessDenied for
    an encryption that a header of the request names and the form does not: nothing signed it.
    """
    filled = {name: value.replace(_FILENAME, filename) if _has_variables(name) else value for name, value in fields.items()}
    _check_encryption(filled, headers)
    read: dict[str, str] = {}
    for name, value in filled.items():
        if name not in _NOT_OF_OBJECT:
            # as the bytes of a header arrive
            read.setdefault(_RENAMED.get(name, name), value.encode().decode("latin-1"))
    read |= {name: headers[name] for name in _OF_CLIENT if name in headers}
    return Form(route._replace(key=filled.get("key", "")), filled, read)


def _has_variables(name: str) -> bool:
    return name != "policy" and (not name.startswith("x-amz-") or name.startswith("x-amz-meta-"))


def _check_encryption(fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Facts 4.4.11. What the client asked for is never dropped unsaid."""
    for name, value in headers.items():
        if name.startswith(_SSE) and fields.get(name) != value:
            if name in fields:
                raise ApiError("InvalidRequest", f"The header '{name}' and the form field of that name have different values.")
            text = "There were headers present in the request which were not signed"
            raise ApiError("AccessDenied", text, HeadersNotSigned=name)


def asked_plan() -> Asked:
    plan = compile_asked(operation_model("s3", "PutObject"))
    plan.queries = {}
    for field, member in _OWN.items():
        plan.headers[field] = (member, None)
    shape = members(operation_model("s3", "PutObjectTagging").input_shape)["Tagging"]
    node = node_for(shape)
    plan.headers[_TAGGING] = ("TaggingDocument", lambda text: read_xml(text.encode("latin-1"), "Tagging", node))
    return plan


def answered_plan() -> Answered:
    plan = compile_answered(operation_model("s3", "PutObject"))
    plan.headers["Location"] = ("location", None)
    plan.kind = "post"
    plan.body_members = frozenset({"PostResponse"})
    return plan


def write_response(output: Mapping[str, Any], headers: list[tuple[str, str]]) -> bytes:
    """The document of a 201; nothing for other answers."""
    response: Mapping[str, str] | None = output.get("PostResponse")
    if response is None:
        return b""
    headers.append(("content-type", "application/xml"))
    inner = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in response.items())
    return f"{DECLARATION}<PostResponse>{inner}</PostResponse>".encode("utf-8", "xmlcharrefreplace")
