"""The codec of every service: what the gate calls between the route and the run, and after it. Never knows who is calling.

``Codec`` picks the protocol of the service: rest-xml for S3 and S3 Control, JSON 1.1 for KMS, the query protocol for IAM and STS.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.api import post_form
from strongroom.api.codec_json import JsonCodec
from strongroom.api.codec_query import QueryCodec
from strongroom.api.codec_rest_xml import RestXmlCodec
from strongroom.api.encoded import BodyKind, Encoded
from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Service
from strongroom.api.routing import Route

__all__ = ["BodyKind", "Codec", "Encoded"]


class Codec:
    """Built once. Plans of operations are compiled on first use and kept."""

    def __init__(self) -> None:
        self._s3: Final = RestXmlCodec()
        self._rooms: Final[dict[Service, RestXmlCodec | JsonCodec | QueryCodec]] = {
            "s3": self._s3,
            "s3control": RestXmlCodec("s3control"),
            "kms": JsonCodec(),
            "iam": QueryCodec("iam"),
            "sts": QueryCodec("sts"),
        }

    def body_kind(self, service: Service, operation: str) -> BodyKind:
        """What becomes of the request body: ``none`` (there is none to read), ``buffer`` (read it whole, up to a cap of the
        caller's, and give it to ``decode``), ``stream`` (leave it to the run). Raises LookupError for an unknown operation.
        """
        return self._rooms[service].body_kind(operation)

    def takes_form(self, route: Route) -> bool:
        """Whether the request is a form whose last field is the payload: ``read_fields`` first, then ``decode`` with its headers."""
        return route.service == "s3" and route.operation == post_form.OPERATION

    def decode(self, route: Route, query: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
        """The typed input, by the model's member names; absent members are absent. ``headers`` by lower-case names, ``query`` raw,
        ``body`` whole for operations whose body is buffered, else None. Raises ApiError (400) for what does not fit the model.
        """
        return self._rooms[route.service].decode(route, query, headers, body)

    def encode(self, service: Service, operation: str, answer: Answer, request_id: str, host_id: str = "") -> Encoded:
        """Status, headers (lower-case names, with the request ids) and body of an answer. Raises LookupError for an output
        member that the model does not have: our mistake, an InternalError to the client.
        """
        return self._rooms[service].encode(operation, answer, request_id, host_id)

    def encode_error(
        self, service: Service, error: ApiError, request_id: str, host_id: str = "", *, head: bool = False, resource: str = ""
    ) -> Encoded:
        """An error as the service writes it. ``head``: the request was HEAD, so there is no body. S3's codes of signature and
        credential errors become those of KMS, IAM and STS. ``resource``: S3's element Resource, "" for none.
        """
        return self._rooms[service].encode_error(error, request_id, host_id, head=head, resource=resource)

    def not_built(self, service: Service, operation: str) -> ApiError:
        """The answer to an operation that is not registered: 501, or the service's way to say that there is no such operation."""
        return self._rooms[service].not_built(operation)
