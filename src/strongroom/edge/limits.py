"""How much a client may send, all in one place, and the refusals for more. Pure. Never knows an operation by name.

Numbers are S3's where S3 has one ("Amazon S3 multipart upload limits", "Working with object metadata"), else ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from strongroom.api.errors import ApiError
from strongroom.edge.canonical import has_bad_escape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.edge.head import Head

HEADERS_MOST: Final = 16 << 10  # bytes of all header names and values
METADATA_MOST: Final = 2048  # bytes of user metadata: names without their prefix, and values
PATH_MOST: Final = 8 << 10  # characters; an object key has at most 1,024 bytes
QUERY_MOST: Final = 16 << 10  # characters; a presigned query may hold a session token
UPLOAD_MOST: Final = 5 << 30  # bytes of one PutObject or UploadPart
DOCUMENT_MOST: Final = 1 << 20  # bytes of an XML, JSON or form body
LIST_DOCUMENT_MOST: Final = 8 << 20  # bytes of a body that lists up to 10,000 parts or 1,000 keys
INLINE_MOST: Final = 64 << 10  # bytes of a body that is received at once and digested without a thread
PIECE: Final = 1 << 20  # bytes of a longer body that are digested at a time, at least
SMALL_PART: Final = 32 << 10  # bytes; parts of a longer body that are smaller are put together
STREAM_HELD: Final = 6 * PIECE  # bytes of memory that a long body takes on its way: what is being digested, sealed, written
SEND_HELD: Final = 5 * PIECE  # and a long answer: what is read ahead, and what is on its way to the client
DRAIN_MOST: Final = 1 << 20  # bytes of a refused body that are still received, so that the client can read the answer
LONG_DRAINS: Final = 4  # refused bodies longer than that of which a worker receives so much at a time
_METADATA: Final = "x-amz-meta-"


def check_head(head: Head) -> None:
    """Raises ApiError RequestHeaderSectionTooLarge, MetadataTooLarge, InvalidURI."""
    headers = head.headers
    if sum(map(len, headers)) + sum(map(len, headers.values())) > HEADERS_MOST or len(head.query) > QUERY_MOST:
        raise ApiError("RequestHeaderSectionTooLarge", MaxSizeAllowed=str(HEADERS_MOST))
    if len(head.path) > PATH_MOST or not head.path.startswith("/"):
        raise ApiError("InvalidURI")
    if head.raw_path is None:
        if "\ufffd" in head.path:  # the server has put it where bytes were not UTF-8: what was sent cannot be told any more
            raise ApiError("InvalidURI")
    elif head.raw_path != head.path or "%" in head.path:
        _check_raw_path(head.raw_path, head.path)


def _check_raw_path(raw: str, path: str) -> None:
    try:
        decoded = unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        raise ApiError("InvalidURI") from error
    if decoded != path or has_bad_escape(raw):
        raise ApiError("InvalidURI")


def check_metadata(headers: Mapping[str, str]) -> None:
    size = 0
    for name, value in headers.items():
        if name.startswith(_METADATA):
            size += len(name) - len(_METADATA) + len(value.encode("utf-8", "surrogateescape"))
    if size > METADATA_MOST:
        raise ApiError("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(METADATA_MOST))


def content_length(headers: Mapping[str, str], name: str = "content-length") -> int | None:
    """The declared length in bytes, or None. Raises ApiError InvalidArgument, EntityTooLarge."""
    text = headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ApiError(
            "InvalidArgument", f"The value of the {name} header is not a number of bytes.", ArgumentName=name, ArgumentValue=text
        )
    return int(text)


def check_upload(length: int) -> None:
    if length > UPLOAD_MOST:
        raise ApiError("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(UPLOAD_MOST))
