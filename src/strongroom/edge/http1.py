"""HTTP/1.1 as text: a request's head from the parts of it that were parsed, and an answer's head as bytes. Pure.

Never knows connections, or what a request means. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from strongroom.edge.head import Head, fold_headers

HEAD_MOST: Final = 256 << 10  # bytes of a head that are read; the gate refuses one far shorter, in S3's words
LINES_MOST: Final = 500  # header lines; user metadata has at most 2 KiB
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})  # and 1xx, which no operation answers


class BadRequest(Exception):
    """What was sent is no request that can be told from another. ``status``, and why in words for the client."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


def too_large() -> BadRequest:
    return BadRequest(431, "RequestHeaderSectionTooLarge", "Your request header section exceeds the maximum allowed size.")


def head_of(method: str, target: bytes, lines: list[tuple[bytes, bytes]], scheme: str, client_ip: str) -> Head:
    """A request's head. Raises BadRequest for a header value that is not ASCII."""
    try:
        items = [(name.decode("ascii").lower(), value.decode("ascii").strip(" \t")) for name, value in lines]
    except UnicodeDecodeError:
        raise BadRequest(400, "BadRequest", "Header value cannot be represented in ASCII.") from None
    headers, repeated = fold_headers(items)
    if target[:1] != b"/":
        target, authority = _origin_form(target)
        if authority:
            headers.setdefault("host", authority)
    asked, _, query = target.decode("utf-8", "replace").partition("?")
    # A path with bytes that are not UTF-8 has no raw form: what was sent cannot be told from what they were replaced with.
    raw = None if "\ufffd" in asked else asked
    path = unquote(asked) if "%" in asked else asked
    return Head(method, path, raw, query, headers, scheme, client_ip, repeated)


def _origin_form(target: bytes) -> tuple[bytes, str]:
    """Path and query of the absolute form (RFC 9112, 3.2.2), and its authority; other forms stay as they are."""
    for scheme in (b"http://", b"https://"):
        if target[: len(scheme)].lower() == scheme:
            authority, slash, rest = target[len(scheme) :].partition(b"/")
            return slash + rest or b"/", authority.decode("latin-1")
    return target, ""


def answer_head(status: int, headers: list[tuple[str, str]], date: str, length: int | None, connection: str) -> bytes:
    """The head of an answer, with what every answer has. ``length``: of the body, for one that does not say it; None: it needs not.
    ``connection``: "", ``close`` or ``keep-alive``. Raises ValueError for a header that would be two.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers) or "\0" in text:
        raise ValueError("a header of an answer holds a line break")
    more = f"date: {date}\r\n"
    if length is not None and status not in _BODILESS and not _has(text, "content-length"):
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
