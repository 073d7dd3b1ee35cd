"""The words of a line of the key-use record: uses as JSON. ``docs/spec/key-use.md`` is the specification.

What many uses have in common is written once and kept. Never knows files, nor how lines are chained.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import orjson

from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.records import moment

_REMEMBERED: Final = 1024
_SECOND: Final = timedelta(seconds=1)
_MILLISECONDS: Final = tuple(f".{number:03d}Z" for number in range(1000))

#: A use that a shared key served: what it has in common with others, when, resource, version, request id, address of the client.
Served = tuple[Alike, datetime, str, str, str, str]


class Lines:
    """Of one chain's writer."""

    def __init__(self) -> None:
        self._from = self._until = datetime.fromtimestamp(0, UTC)  # the second that was told last
        self._second = ""
        self._rests: dict[Alike, bytes] = {}

    def bodies(self, first: int, uses: Iterable[KeyUse | Served]) -> list[bytes]:
        """One for each use, without the closing brace; ``first``: the number in the chain of the first of them."""
        bodies: list[bytes] = []
        rests = self._rests
        for number, use in enumerate(uses, first):
            if isinstance(use, KeyUse):
                bodies.append(self._of_use(number, use))
                continue
            alike, at, resource, version, request_id, source_ip = use
            time = self._second + _MILLISECONDS[at.microsecond // 1000] if self._from <= at < self._until else self.time(at)
            line = {
                "n": number,
                "kind": "use",
                "time": time,
                "source_ip": source_ip,
                "request_id": request_id,
                "resource": resource,
            }
            if version:
                line["version"] = version
            bodies.append(encoded(line)[:-1] + (rests.get(alike) or self._rest(alike)))
        return bodies

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
        if not self._from <= at < self._until:
            self._from = at.replace(microsecond=0)
            self._until = self._from + _SECOND
            self._second = self._from.strftime("%Y-%m-%dT%H:%M:%S")
        return self._second + _MILLISECONDS[at.microsecond // 1000]

    def _rest(self, alike: Alike) -> bytes:
        line = {
            "operation": alike.operation,
            "cause": alike.cause,
            "kms": False,
            "key": alike.key_arn,
            "principal": alike.principal,
            "account": alike.account_id,
            "user_id": alike.user_id,
            "access_key_id": alike.access_key_id,
            "outcome": "Success",
            "context": dict(alike.context),
        }
        if len(self._rests) >= _REMEMBERED:
            self._rests.clear()
        rest = self._rests[alike] = b"," + encoded(line)[1:-1]
        return rest


def encoded(entry: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(entry)
    except TypeError:  # text that is not Unicode (a lone surrogate), of a request that was refused for it
        return orjson.dumps(_mended(entry))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_mended(name): _mended(member) for name, member in cast("dict[str, Any]", value).items()}
    return value
