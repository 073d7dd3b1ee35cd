"""A catalog of documents in memory, for tests of the kms room: copies in and out, all or nothing, a generation for each change."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class MemoryCatalog:
    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], str] = {}
        self._generation = 0
        self.reads = 0

    def generation(self) -> int:
        return self._generation

    async def document(self, scope: str, kind: str) -> Any | None:
        self.reads += 1
        return _Transaction(self._documents).document(scope, kind)

    async def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        return _Transaction(self._documents).documents(kind, prefix=prefix, after=after, limit=limit)

    async def write(self, work: Callable[[Any], T]) -> T:
        transaction = _Transaction(dict(self._documents))
        result = work(transaction)
        if transaction.rows != self._documents:
            self._documents = transaction.rows
            self._generation += 1
        return result

    async def close(self) -> None:
        pass


class _Transaction:
    def __init__(self, rows: dict[tuple[str, str], str]) -> None:
        self.rows = rows

    def document(self, scope: str, kind: str) -> Any | None:
        text = self.rows.get((kind, scope))
        return None if text is None else json.loads(text)

    def set_document(self, scope: str, kind: str, value: Any | None) -> None:
        if value is None:
            self.rows.pop((kind, scope), None)
        else:
            self.rows[kind, scope] = json.dumps(value)

    def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        scopes = sorted(scope for of, scope in self.rows if of == kind and scope.startswith(prefix))
        start = bisect.bisect_right(scopes, after)
        return [(scope, json.loads(self.rows[kind, scope])) for scope in scopes[start : start + limit]]
