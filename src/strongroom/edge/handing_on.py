"""Streamed answers on their way out: handed on piece by piece, and given up. Never knows what they are counted for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
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
            piece = await self._next()
        except BaseException:
            self._end()
            raise
        self._sent += len(piece)
        return piece

    def _next(self) -> Awaitable[BodyPart]:
        return self._body.__anext__()

    async def aclose(self) -> None:
        self._end()
        await give_up(self._body)

    def _end(self) -> None:
        if self._told is not None:
            told, self._told = self._told, None
            told(self._sent)


async def give_up(body: object) -> None:
    """Nobody wants more of an answer's body, if it is one that can be told so."""
    close: Any = getattr(body, "aclose", None)
    if close is not None:
        await close()
