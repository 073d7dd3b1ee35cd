"""The words of the lines of the key-use record: uses as JSON, and back. ``docs/spec/key-use.md`` is the specification.

What uses of one key by one caller have in common is written once for all of them that are written together. Pure: never knows files,
nor how lines are chained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

import orjson

from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.records import moment

FORMAT: Final = 3  # of files; 1 has no "uses", 2 no "context_by"
_REMEMBERED: Final = 1024
_SECOND: Final = timedelta(seconds=1)
_MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))

#: A use that needed no question: what it has in common with others, when, resource, version, request id, address of the client.
Served = tuple[Alike, datetime, str, str, str, str]
_Row = tuple[str, ...]
_OF_ROW: Final = ("time", "resource", "version", "request_id", "source_ip")


class Last(NamedTuple):
    """The last use of a line."""

    use: KeyUse | Served
    number: int  # of the line in its chain
    place: int  # in the line, from 0


class Lines:
    """Of one chain's writer."""

    def __init__(self) -> None:
        self._from = self._until = datetime.fromtimestamp(0, UTC)  # the second that was told last
        self._second = ""
        self._shared: dict[Alike, bytes] = {}

    def of(self, first: int, uses: Iterable[KeyUse | Served]) -> tuple[list[bytes], list[Last]]:
        """The lines of these uses, each without its closing brace, and the last use of each.

        ``first``: the number in the chain of the first of them.
        """
        lasts: list[KeyUse | Served] = []  # of lines, in the order of their first uses
        alikes: dict[Alike, tuple[int, list[_Row]]] = {}
        for use in uses:
            if isinstance(use, KeyUse):
                lasts.append(use)
                continue
            alike, at, *row = use
            line = alikes.get(alike)
            if line is None:
                line = alikes[alike] = len(lasts), []
                lasts.append(use)
            else:
                lasts[line[0]] = use
            second = self._second if self._from <= at < self._until else self._begin(at)
            line[1].append((second + _MILLISECONDS[at.microsecond // 1000], *row))
        bodies: list[bytes] = []
        told: list[Last] = []
        for number, use in enumerate(lasts, first):
            rows = () if isinstance(use, KeyUse) else alikes[use[0]][1]
            bodies.append(self._of_use(number, use) if isinstance(use, KeyUse) else self._of_alike(number, use[0], rows))
            told.append(Last(use, number, max(0, len(rows) - 1)))
        return bodies, told

    def _of_alike(self, number: int, alike: Alike, rows: Sequence[_Row]) -> bytes:
        shared = self._shared.get(alike) or self._remember(alike)
        return b'{"n":%d,"kind":"uses",%b,"uses":%b' % (number, shared, encoded(rows))

    def _of_use(self, number: int, use: KeyUse) -> bytes:
        line: dict[str, Any] = {
            "n": number,
            "kind": "use",
            "time": self.time(moment(use.at_ms)),
            "operation": use.operation,
            "cause": use.cause,
            "kms": use.kms_called,
            "key": use.key_arn,
            "principal": use.principal,
            "account": use.account_id,
            "user_id": use.user_id,
            "access_key_id": use.access_key_id,
            "source_ip": use.source_ip,
            "request_id": use.request_id,
            "outcome": use.code or "Success",
        }
        if use.reason:
            line["reason"] = use.reason
        if use.resource:
            line["resource"] = use.resource
        if use.version:
            line["version"] = use.version
        if use.context:
            line["context"] = dict(use.context)
        return encoded(line)[:-1]

    def time(self, at: datetime) -> str:
        """In UTC, to the millisecond."""
        return (self._second if self._from <= at < self._until else self._begin(at)) + _MILLISECONDS[at.microsecond // 1000]

    def _begin(self, at: datetime) -> str:
        """The second of a time, which is most likely that of the next."""
        self._from = at.replace(microsecond=0)
        self._until = self._from + _SECOND
        self._second = self._from.strftime("%Y-%m-%dT%H:%M:%S")
        return self._second

    def _remember(self, alike: Alike) -> bytes:
        line: dict[str, Any] = {
            "operation": alike.operation,
            "cause": alike.cause,
            "kms": alike.kms_called,
            "key": alike.key_arn,
            "principal": alike.principal,
            "account": alike.account_id,
            "user_id": alike.user_id,
            "access_key_id": alike.access_key_id,
            "outcome": "Success",
        }
        if isinstance(alike.context, str):
            line["context_by"] = alike.context
        else:
            line["context"] = dict(alike.context)
        if len(self._shared) >= _REMEMBERED:
            self._shared.clear()
        shared = self._shared[alike] = encoded(line)[1:-1]
        return shared


def uses_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The uses that a line tells, each as if it had a line of its own; none of one that tells of none."""
    if entry["kind"] == "use":
        return [entry]
    if entry["kind"] != "uses":
        return []
    common = {name: value for name, value in entry.items() if name not in {"n", "kind", "context_by", "uses", "hash"}}
    context_by = entry.get("context_by")
    uses: list[dict[str, Any]] = []
    for row in entry["uses"]:
        use = {"n": entry["n"], "kind": "use", **common, **dict(zip(_OF_ROW, row, strict=True))}
        if not use["version"]:
            del use["version"]
        if context_by is not None:
            use["context"] = {context_by: use["resource"]}
        uses.append({**use, "hash": entry["hash"]})
    return uses


def encoded(entry: dict[str, Any] | Sequence[_Row]) -> bytes:
    try:
        return orjson.dumps(entry)
    except TypeError:  # text that is not Unicode (a lone surrogate), of a request that was refused for it
        return orjson.dumps(_mended(entry))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_mended(name): _mended(member) for name, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_mended(member) for member in cast("list[Any]", value)]
    return value
