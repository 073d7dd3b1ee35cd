"""The last use of each key: what the key-use record tells of it, kept in the catalog, one row for each key.

The record's thread tells of uses once their lines are on the disk; the newest of each key is written to the catalog a second later, by
the loop, and only where it is newer. Never reads the record's files, nor knows who asks. ``docs/spec/key-use.md`` is the specification.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import structlog

from strongroom.kms.key_use import KeyUse
from strongroom.kms.names import named
from strongroom.kms.records import KEY_KIND
from strongroom.seal.wrap import derive
from strongroom.store.contract import Claim, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strongroom.kms.key_use_lines import Last
    from strongroom.kms.names import KeyName
    from strongroom.store.contract import Catalog, Transaction

LAST_KIND: Final = "key-last-use"  # in the scope of the key
SINCE_KIND: Final = "key-last-use-since"
_SINCE_SCOPE: Final = "key-use"
WRITE_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0  # after the catalog could not be written
_TOGETHER: Final = 200  # rows of one transaction: others wait for it
_LABEL: Final = "strongroom/key-use/last"
_FORMAT: Final = 1
#: What the server does by itself is no sign that anybody needs the key.
_OWN: Final = "scrub"
_LOG: Final = structlog.get_logger("strongroom.kms")


class LastUse(NamedTuple):
    """``chain_id``, ``number`` and ``place``: its line in the record, and where it is in that."""

    at_ms: int
    operation: str
    request_id: str
    chain_id: str
    number: int
    place: int = 0


class NotAuthentic(Exception):
    """A row that this server did not write for that key."""


class LastUses:
    """One per worker; made on its loop. ``key_use_key``: 32 bytes the server derived from its root key."""

    def __init__(self, catalog: Catalog, key_use_key: bytes) -> None:
        self._catalog = catalog
        self._key = derive(key_use_key, _LABEL)
        self._lock = threading.Lock()
        self._fresh: dict[str, LastUse] = {}  # by key ARN: on the disk in the record, and not in the catalog yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._since_ms: int | None = None

    async def begin(self, now_ms: int) -> None:
        """Uses are followed from now on, if they were not before. Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        if await self._catalog.document(_SINCE_SCOPE, SINCE_KIND) is None:

            def work(transaction: Transaction) -> None:
                if transaction.document(_SINCE_SCOPE, SINCE_KIND) is None:
                    transaction.note(_SINCE_SCOPE, SINCE_KIND, {"since_ms": now_ms})

            await self._catalog.write(work, Claim.DELETE)  # a server must start on a full disk too

    async def since_ms(self) -> int | None:
        """Since when uses have been followed on this folder; None: they are not. Raises StoreError."""
        if self._since_ms is None:
            value = await self._catalog.document(_SINCE_SCOPE, SINCE_KIND)
            self._since_ms = None if value is None else value["since_ms"]
        return self._since_ms

    # --- in the record's thread

    def written(self, lasts: Sequence[Last], chain_id: str) -> None:
        """These are lines of that chain now. Never waits for the catalog, nor raises."""
        newest: dict[str, LastUse] = {}
        for told, number, place in lasts:
            whole = told if isinstance(told, KeyUse) else told[0].use(*told[1:])
            if whole.code or whole.cause == _OWN:
                continue
            before = newest.get(whole.key_arn)
            if before is None or before.at_ms <= whole.at_ms:  # lines are in the order of their first uses
                newest[whole.key_arn] = LastUse(whole.at_ms, whole.operation, whole.request_id, chain_id, number, place)
        if not newest:
            return
        with self._lock:
            idle = not self._fresh
            for key_arn, use in newest.items():
                before = self._fresh.get(key_arn)
                if before is None or before.at_ms <= use.at_ms:  # a request that took long tells later of what was before
                    self._fresh[key_arn] = use
        if idle and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: ``close`` has written what was there
                self._loop.call_soon_threadsafe(self._wait, WRITE_SECONDS)

    # --- on the loop

    async def find(self, name: KeyName) -> LastUse | None:
        """The last use of a key, as far as it is known here. Raises StoreError, NotAuthentic."""
        try:
            value = await self._catalog.document(name.scope, LAST_KIND)
        except ValueError:
            raise NotAuthentic from None
        kept = None if value is None else self._read(name, value)
        with self._lock:
            fresh = self._fresh.get(name.arn)
        return kept if fresh is None or (kept is not None and kept.at_ms > fresh.at_ms) else fresh

    async def write(self) -> None:
        """Have in the catalog what is known now. Raises StoreError; then it is still known."""
        while True:
            with self._lock:
                some = dict(list(self._fresh.items())[:_TOGETHER])
            if not some:
                return
            await self._catalog.write(partial(self._put, uses=some))
            with self._lock:
                for key_arn, use in some.items():
                    if self._fresh[key_arn] is use:
                        del self._fresh[key_arn]

    async def close(self) -> None:
        """After the record has been closed: what is known is in the catalog, if that can be written."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        await self._write_quietly()

    def _wait(self, seconds: float) -> None:
        loop = self._loop
        if loop is not None and (self._timer is None or self._timer.when() <= loop.time()):
            self._timer = loop.call_later(seconds, self._start)

    def _start(self) -> None:
        loop = self._loop
        if loop is not None and (self._writing is None or self._writing.done()):
            self._writing = loop.create_task(self._write_quietly())

    async def _write_quietly(self) -> None:
        try:
            await self.write()
        except Exception as error:  # noqa: BLE001 - it is tried again, and nothing else may hang on it
            reason = str(error) if isinstance(error, StoreError) else type(error).__name__
            _LOG.warning("the last uses of keys could not be written yet", reason=reason)
        if self._fresh:  # some came meanwhile, or all are left
            self._wait(_PATIENCE_SECONDS)

    def _put(self, transaction: Transaction, uses: Mapping[str, LastUse]) -> None:
        for key_arn, use in uses.items():
            name = named(key_arn)
            if name is None or _document(transaction, name, KEY_KIND) is None:
                continue  # destroyed meanwhile
            before = _document(transaction, name, LAST_KIND)
            with suppress(NotAuthentic):
                if before is not None and self._read(name, before).at_ms > use.at_ms:
                    continue
            transaction.note(name.scope, LAST_KIND, self._row(name, use))

    # --- a row

    def _row(self, name: KeyName, use: LastUse) -> dict[str, Any]:
        row = {"format": _FORMAT, **use._asdict()}
        if not use.place:
            del row["place"]
        return {**row, "mac": self._mac(name, row)}

    def _read(self, name: KeyName, value: Any) -> LastUse:
        """Raises NotAuthentic."""
        try:
            members = LastUse._fields if "place" in value else LastUse._fields[:-1]
            row = {member: value[member] for member in ("format", *members)}
            if row["format"] == _FORMAT and hmac.compare_digest(self._mac(name, row), value["mac"]):
                return LastUse(*(row[member] for member in members))
        except (KeyError, TypeError):
            pass
        raise NotAuthentic

    def _mac(self, name: KeyName, row: Mapping[str, Any]) -> str:
        return hmac.digest(self._key, orjson.dumps([name.arn, *row.values()]), "sha256").hex()


def _document(transaction: Transaction, name: KeyName, kind: str) -> Any | None:
    """None also for one that is damaged: what is known now takes its place."""
    try:
        return transaction.document(name.scope, kind)
    except ValueError:
        return None
