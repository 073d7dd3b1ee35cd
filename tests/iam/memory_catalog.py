"""Documents in memory, with the catalog's rules that iam relies on: one work at a time, all or nothing, a generation."""

from __future__ import annotations

import copy
from typing import Any


class MemoryCatalog:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.changes = 0
        self.reads = 0

    def generation(self) -> int:
        return self.changes

    async def document(self, scope: str, kind: str) -> Any | None:
        self.reads += 1
        return copy.deepcopy(self.values.get((scope, kind)))

    async def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        return _Transaction(self.values).documents(kind, prefix=prefix, after=after, limit=limit)

    async def write(self, work: Any) -> Any:
        transaction = _Transaction(dict(self.values))
        result = work(transaction)
        if transaction.touched:
            self.values = transaction.values
            self.changes += 1
        return result

    async def close(self) -> None: ...


class _Transaction:
    def __init__(self, values: dict[tuple[str, str], Any]) -> None:
        self.values = values
        self.touched = False

    def document(self, scope: str, kind: str) -> Any | None:
        return copy.deepcopy(self.values.get((scope, kind)))

    def set_document(self, scope: str, kind: str, value: Any | None) -> None:
        self.touched = True
        if value is None:
            self.values.pop((scope, kind), None)
        else:
            self.values[scope, kind] = copy.deepcopy(value)

    def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        found = sorted((s, v) for (s, k), v in self.values.items() if k == kind and s.startswith(prefix) and s > after)
        return copy.deepcopy(found[:limit])
