"""An answer that is ready for the wire, and what the codecs share about bodies. Never knows a protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart

BodyKind = Literal["none", "buffer", "stream"]


class Encoded(NamedTuple):
    """``headers`` have lower-case names and values that are safe ASCII; ``content-length`` is there when the length is known."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | AsyncIterator[BodyPart]

    def __repr__(self) -> str:
        """Without what it holds."""
        return f"Encoded({self.status!r})"
