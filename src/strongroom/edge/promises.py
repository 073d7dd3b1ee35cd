"""What a request's head promises about its body: length, coding, digests, trailers; each checked for its form. Pure.

``body`` holds the body to it. Never knows what an operation does with the body.
Sources: "Checking object integrity" in the S3 user guide; refusals as recorded from AWS.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Final

from strongroom.api.digests import DIGEST_BYTES
from strongroom.api.errors import ApiError
from strongroom.api.model import is_operation, members, operation_model, trait
from strongroom.api.operation import Service
from strongroom.edge.limits import check_upload, content_length
from strongroom.edge.sigv4 import STREAMING, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, UNSIGNED

_CHECKSUM: Final = "x-amz-checksum-"
_DECODED_LENGTH: Final = "x-amz-decoded-content-length"
#: Algorithms whose checksum a client may send by header or trailer, by the header's name.
HEADERS: Final = {f"{_CHECKSUM}{name}": name for name in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")}
_UNBUILT: Final = frozenset(f"{_CHECKSUM}{name}" for name in ("md5", "sha512", "xxhash64", "xxhash3", "xxhash128"))
#: Headers that speak of a body. A request without any of them has none.
_CHECKSUMS: Final = frozenset({"x-amz-sdk-checksum-algorithm", *HEADERS}) | _UNBUILT
_OF_BODY: Final = _CHECKSUMS | {"content-length", "transfer-encoding", "content-md5", "x-amz-trailer", _DECODED_LENGTH}
_OF_NOTHING: Final = frozenset({UNSIGNED, sha256(b"").hexdigest()})


@dataclass(slots=True)
class Promises:
    wire_length: int | None = 0  # bytes as sent; None when the transfer coding tells the end
    length: int | None = 0  # bytes of the payload
    sha256: str | None = None  # hex, signed
    md5: str | None = None  # base64 of 16 bytes
    checksum: tuple[str, str] | None = None  # algorithm (our name) and base64, by header
    trailer: str | None = None  # algorithm (our name) whose checksum follows the body
    streaming: str | None = None  # the aws-chunked form, or None
    trailers: frozenset[str] = frozenset()  # names announced

    @property
    def digests(self) -> set[str]:
        """The digests that must be computed to hold the body to its promises."""
        names: set[str] = set()
        if self.sha256 is not None:
            names.add("sha256")
        if self.md5 is not None:
            names.add("md5")
        if self.checksum is not None:
            names.add(self.checksum[0])
        if self.trailer is not None:
            names.add(self.trailer)
        return names


def has_no_body(headers: Mapping[str, str], payload: str) -> bool:
    """Whether the head promises nothing at all, so that there is nothing to read and nothing to check. ``payload`` as below."""
    return _OF_BODY.isdisjoint(headers) and payload in _OF_NOTHING


def read_promises(headers: Mapping[str, str], payload: str, *, checksummed: bool = True) -> Promises:
    """``payload``: the value of x-amz-content-sha256. ``checksummed``: the checksum headers speak of the body. Raises ApiError."""
    promises = Promises(wire_length=content_length(headers))
    promises.length = promises.wire_length
    if payload in STREAMING:
        _read_streaming(promises, headers, payload)
    elif _DECODED_LENGTH in headers:
        raise ApiError("InvalidRequest", f"The {_DECODED_LENGTH} header needs a streaming x-amz-content-sha256.")
    elif "x-amz-trailer" in headers:
        raise ApiError("MalformedTrailerError")
    elif payload != UNSIGNED:
        promises.sha256 = payload
    if promises.wire_length is None and "transfer-encoding" not in headers and promises.streaming is None:
        promises.wire_length = promises.length = 0
    if promises.length is not None:
        check_upload(promises.length)
    promises.md5 = _content_md5(headers.get("content-md5"))
    if checksummed:
        _read_checksums(promises, headers)
    return promises


@cache
def describes_body(service: Service, operation: str) -> bool:
    """Whether the operation's checksum headers speak of the body, not (as when an upload is completed) of something else."""
    if not is_operation(service, operation):
        return True
    model = operation_model(service, operation)
    if dict(model.http_checksum or {}).get("requestAlgorithmMember"):
        return True
    return all(trait(shape, "name") != f"{_CHECKSUM}crc32" for shape in members(model.input_shape).values())


def _read_streaming(promises: Promises, headers: Mapping[str, str], payload: str) -> None:
    length = content_length(headers, _DECODED_LENGTH)
    if length is None:
        raise ApiError("MissingContentLength", f"You must provide the {_DECODED_LENGTH} HTTP header.")
    promises.streaming = payload
    promises.length = length
    announced = frozenset(name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")) - {""}
    if announced and payload == STREAMING_SIGNED:
        raise ApiError(
            "InvalidRequest",
            f"x-amz-trailer is only allowed with {STREAMING_SIGNED_TRAILER} or STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        )
    if not announced.issubset(HEADERS):
        raise ApiError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    promises.trailers = announced
    if len(announced) > 1:
        raise ApiError("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    for name in announced:
        promises.trailer = HEADERS[name]


def without_chunked(headers: dict[str, str]) -> dict[str, str]:
    """The headers without the coding that the edge takes off: an object's Content-Encoding never names aws-chunked."""
    coding = headers.get("content-encoding")
    if coding is None or "aws-chunked" not in coding:
        return headers
    kept = [name for name in (part.strip() for part in coding.split(",")) if name and name.lower() != "aws-chunked"]
    rest = {name: value for name, value in headers.items() if name != "content-encoding"}
    return {**rest, "content-encoding": ",".join(kept)} if kept else rest


def _content_md5(text: str | None) -> str | None:
    if text is not None and not is_digest(text, "md5"):
        raise ApiError("InvalidDigest", fields={"Content-MD5": text})
    return text


def is_digest(text: str, algorithm: str) -> bool:
    """Whether the text is strict base64 of as many bytes as the algorithm gives."""
    try:
        return len(base64.b64decode(text.encode("ascii"), validate=True)) == DIGEST_BYTES[algorithm]
    except (binascii.Error, UnicodeEncodeError):
        return False


def _read_checksums(promises: Promises, headers: Mapping[str, str]) -> None:
    if _CHECKSUMS.isdisjoint(headers):
        return
    given = [name for name in headers if name.startswith(_CHECKSUM) and (name in HEADERS or name in _UNBUILT)]
    chosen = headers.get("x-amz-sdk-checksum-algorithm")
    if not given and chosen is None:
        return
    if len(given) + (promises.trailer is not None) > 1:
        raise ApiError("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    if given:
        name = given[0]
        if name in _UNBUILT:
            raise ApiError("NotImplemented", Header=name)
        value = headers[name]
        if not is_digest(value, HEADERS[name]):
            raise ApiError("InvalidRequest", f"Value for {name} header is invalid.")
        promises.checksum = (HEADERS[name], value)
    if chosen is not None:
        _check_chosen(promises, chosen)


def _check_chosen(promises: Promises, chosen: str) -> None:
    """``x-amz-sdk-checksum-algorithm`` names the algorithm of the checksum that is sent."""
    name = f"{_CHECKSUM}{chosen.lower()}"
    if name in _UNBUILT:
        raise ApiError("NotImplemented", Header=name)
    if name not in HEADERS:
        kinds = ", ".join(sorted(kind.upper() for kind in HEADERS.values()))
        text = f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{kinds}]"
        raise ApiError("InvalidRequest", text)
    algorithm = promises.checksum[0] if promises.checksum else promises.trailer
    if algorithm is None:
        text = (
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        )
        raise ApiError("InvalidRequest", text)
    if algorithm != chosen.lower():
        raise ApiError("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
