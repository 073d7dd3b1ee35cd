"""A request and an answer as every face of the server gives and takes them. Never knows what either means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart


class RawBody(Protocol):
    """The bytes of a request as they arrive, before anything is checked.

    A connection that ends early may end the iterator without an error: whoever reads must count. Iterating again goes on
    where the last iterator stopped.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def whole(self) -> bytes:
        """All that has not been read yet; only for bodies whose length is known to be small."""
        ...


@dataclass(slots=True)
class Head:
    """Everything of a request but its body."""

    method: str
    path: str  # percent-decoded
    raw_path: str | None  # as sent, when the server gives it
    query: str = field(repr=False)  # as sent, without the question mark; may hold secrets, as the headers
    headers: dict[str, str] = field(repr=False)  # lower-case names; values of one name joined by commas
    scheme: str  # http or https
    client_ip: str
    repeated: frozenset[str] = frozenset()  # names that arrived more than once


@dataclass(slots=True)
class Reply:
    """An answer. A streamed body is exactly ``length`` bytes; one that ends or fails before must abort the connection."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    body: bytes | AsyncIterator[BodyPart] = field(default=b"", repr=False)
    length: int | None = None  # of a streamed body
    refused: bool = False  # before anybody proved to be a caller, or because it was too much


def fold_headers(items: Sequence[tuple[str, str]]) -> tuple[dict[str, str], frozenset[str]]:
    """Header lines (lower-case names) as one mapping, and the names that came more than once (RFC 9110, 5.3)."""
    headers: dict[str, str] = dict(items)
    if len(headers) == len(items):
        return headers, frozenset()
    headers = {}
    repeated: set[str] = set()
    for name, value in items:
        if name in headers:
            repeated.add(name)
            headers[name] = f"{headers[name]},{value}"
        else:
            headers[name] = value
    return headers, frozenset(repeated)
