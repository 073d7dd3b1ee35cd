"""HTTP/1.1 as text: a request's head from the parts of it that were parsed, and an answer's head as bytes. Pure.

Never knows connections, or what a request means. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from strongroom.edge.head import Head, fold_headers

HEAD_MOST: Final = 256 << 10  # bytes of a head that are read; the gate refuses one far shorter, in S3's words
LINES_MOST: Final = 500  # header lines; user metadata has at most 2 KiB
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
BODILESS: Final = frozenset({204, 304})  # and 1xx, which no operation answers
_LENGTH_DIGITS: Final = 20  # of the longest that the parser can count
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)


class BadRequest(Exception):
    """What was sent is no request that can be told from another. ``status``, and why in words for the client."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


def too_large() -> BadRequest:
    return BadRequest(431, "RequestHeaderSectionTooLarge", "Your request header section exceeds the maximum allowed size.")


def not_implemented() -> BadRequest:
    return BadRequest(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")


def body_length(headers: dict[str, str], version: str) -> int | None:
    """The declared bytes of a request's body; 0: it has none, None: it comes in chunks. Of a head that the parser took, which refuses
    one with both, and a length that is no number. Raises BadRequest.
    """
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise not_implemented()
        if version != "1.1":  # RFC 9112, 6.1: whoever passed it on may not have known what chunks are
            raise BadRequest(400, "BadRequest", "Chunks need HTTP/1.1.")
        return None
    length = headers.get("content-length")
    if length is None:
        return 0
    if len(length) > _LENGTH_DIGITS:
        raise BadRequest(400, "BadRequest", "The Content-Length header is too long.")
    return int(length)


def head_of(method: str, target: bytes, lines: list[tuple[bytes, bytes]], scheme: str, client_ip: str) -> Head:
    """A request's head. Raises BadRequest for a header value that is not ASCII, and where its host could be another."""
    try:
        items = [(name.decode("ascii").lower(), value.decode("ascii").strip(" \t")) for name, value in lines]
    except UnicodeDecodeError:
        raise BadRequest(400, "BadRequest", "Header value cannot be represented in ASCII.") from None
    headers, repeated = fold_headers(items)
    if repeated and "host" in repeated:
        raise BadRequest(400, "BadRequest", "A request has one Host header.")
    if target[:1] != b"/":
        target, authority = _origin_form(target)
        if authority:
            headers["host"] = authority
    asked, _, query = target.decode("utf-8", "replace").partition("?")
    # A path with bytes that are not UTF-8 has no raw form: what was sent cannot be told from what they were replaced with.
    raw = None if "\ufffd" in asked else asked
    path = unquote(asked) if "%" in asked else asked
    return Head(method, path, raw, query, headers, scheme, client_ip, repeated)


def _origin_form(target: bytes) -> tuple[bytes, str]:
    """Path and query of the absolute form, and its authority, which stands in for the Host header (RFC 9112, 3.2.2); other forms stay
    as they are. Raises BadRequest for an authority without a host or with a user.
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target, ""
    authority, rest = absolute.groups()
    if not authority or b"@" in authority:
        raise BadRequest(400, "BadRequest", "The host that the request's target names is none.")
    return rest if rest[:1] == b"/" else b"/" + rest, authority.decode("latin-1")


def answer_head(status: int, headers: list[tuple[str, str]], date: str, length: int | None, connection: str) -> bytes:
    """The head of an answer, with what every answer has. ``length``: of the body, for one that does not say it; None: it needs not.
    ``connection``: "", ``close`` or ``keep-alive``. Raises ValueError for a header that would be two.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise ValueError("a header of an answer holds a line break")
    more = f"date: {date}\r\n"
    if length is not None and status not in BODILESS and not _has(text, "content-length"):
        more += f"content-length: {length}\r\n"
    if connection and not _has(text, "connection"):
        more += f"connection: {connection}\r\n"
    return f"{_STATUS[status]}{text}{more}\r\n".encode()


def _has(text: str, name: str) -> bool:
    return f"\r\n{name}: " in text or text.startswith(f"{name}: ") or f"\n{name}: " in f"\n{text.lower()}"


def refusal(error: BadRequest) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of the answer to what is no request, in S3's form."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{error.code}</Code><Message>{error.text}</Message></Error>'.encode()
    return [("server", "Strongroom"), ("content-type", "application/xml")], body
