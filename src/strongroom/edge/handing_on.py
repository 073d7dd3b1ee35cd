"""A streamed answer that is counted as it is handed on. Never knows what it is counted for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from strongroom.api.operation import BodyPart


class HandedOn:
    """An answer's body; ``told`` hears once, at its end, how many bytes were handed on."""

    __slots__ = ("_body", "_sent", "_told")

    def __init__(self, body: AsyncIterator[BodyPart], told: Callable[[int], None]) -> None:
        self._body = body
        self._told: Callable[[int], None] | None = told
        self._sent = 0

    def __aiter__(self) -> AsyncIterator[BodyPart]:
        return self

    async def __anext__(self) -> BodyPart:
        try:
            piece = await self._body.__anext__()
        except BaseException:
            self._end()
            raise
        self._sent += len(piece)
        return piece

    async def aclose(self) -> None:
        self._end()
        close: Any = getattr(self._body, "aclose", None)
        if close is not None:
            await close()

    def _end(self) -> None:
        if self._told is not None:
            told, self._told = self._told, None
            told(self._sent)
