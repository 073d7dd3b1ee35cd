"""Data keys that serve many uses of one caller for a short time: what S3's bucket keys are made of.

A key is shared by the uses of one requester (principal and access key), one KMS key and one encryption context, and by no others.
Whether the caller may use the key, and whether it is in a state to be used, is judged before this module is asked, for each use anew;
``at_hand`` knows when that need not be. Never knows buckets, nor what is wrapped under these keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from strongroom.kms.records import milliseconds
from strongroom.seal.wrap import Kek

if TYPE_CHECKING:
    from collections.abc import Hashable

    from strongroom.api.operation import Call
    from strongroom.kms.key_use import Using
    from strongroom.kms.names import KeyName
    from strongroom.kms.records import KeyRecord
    from strongroom.policy.key_documents import Grant

MOST_USES: Final = 1 << 20  # new objects under one shared key; then another is made
_REMEMBERED: Final = 4096  # shared keys of each kind; beyond that the oldest goes


@dataclass(frozen=True, slots=True)
class KmsDataKey:
    plain: bytes = field(repr=False)  # 32 bytes
    wrapped: bytes  # a ciphertext blob
    key_arn: str
    ready: Kek | None = field(default=None, repr=False, compare=False)  # made ready once, where it serves many uses

    @property
    def kek(self) -> bytes | Kek:
        """What data keys are wrapped under."""
        return self.plain if self.ready is None else self.ready


class KeyState(NamedTuple):
    """A KMS key with its policy, and the grants on it that may be one requester's: what may change, and then ends a shared key's life."""

    record: KeyRecord
    grantees: tuple[str, ...]  # the names of the requester
    grants: tuple[Grant, ...]


@dataclass(slots=True)
class Kept:
    """An open key, and the state of the KMS key when it was opened."""

    key: KmsDataKey
    state: KeyState
    from_ms: int
    until_ms: int
    uses: int = 0

    def lives(self, now_ms: int) -> bool:
        """A clock that was set back must not lengthen a life."""
        return self.from_ms <= now_ms < self.until_ms

    def serves(self, state: KeyState, now_ms: int) -> bool:
        if not self.lives(now_ms):
            return False
        if self.state.record is not state.record or self.state.grants is not state.grants:
            if self.state != state:
                return False
            self.state = state
        return True


class SharedKeys:
    """One per worker. ``life_ms``: how long a key is used after KMS made or opened it."""

    def __init__(self, life_ms: int) -> None:
        self._life_ms = life_ms
        self._made: dict[Hashable, Kept] = {}
        self._opened: dict[Hashable, Kept] = {}
        self._waiting: dict[Hashable, asyncio.Lock] = {}

    async def made(
        self, call: Call, state: KeyState, context: Mapping[str, str], use: Using, make: Callable[[], Awaitable[KmsDataKey]]
    ) -> Kept:
        """The key to wrap with; ``make`` is awaited when there is none, once however many ask. Raises what ``make`` raises."""
        where = _where(call, state.record.name, context)
        now_ms = milliseconds(call.now)

        def found() -> Kept | None:
            kept = self._made.get(where)
            return kept if kept is not None and kept.serves(state, now_ms) and kept.uses < MOST_USES else None

        kept = found()
        if kept is None:
            async with _Turn(self._waiting, where):
                kept = found()
                if kept is None:
                    use.kms_called = True
                    kept = self._new(await make(), state, now_ms)
                    remember(self._made, where, kept, _REMEMBERED)
                    remember(self._opened, _where(call, kept.key.wrapped, context), kept, _REMEMBERED)
        kept.uses += 1
        return kept

    async def opened(
        self,
        call: Call,
        state: KeyState,
        wrapped: bytes,
        context: Mapping[str, str],
        use: Using,
        unwrap: Callable[[], Awaitable[bytes]],
    ) -> Kept:
        """What ``wrapped`` holds; ``unwrap`` is awaited when it is not known, once however many ask. Raises what that raises."""
        where = _where(call, wrapped, context)
        now_ms = milliseconds(call.now)
        kept = self._opened.get(where)
        if kept is None or not kept.serves(state, now_ms):
            async with _Turn(self._waiting, where):
                kept = self._opened.get(where)
                if kept is None or not kept.serves(state, now_ms):
                    use.kms_called = True
                    kept = self._new(KmsDataKey(await unwrap(), wrapped, state.record.name.arn), state, now_ms)
                    remember(self._opened, where, kept, _REMEMBERED)
        return kept

    def forget_old(self, now_ms: int) -> None:
        """Drop every key whose time is over."""
        for memory in (self._made, self._opened):
            for where in [where for where, kept in memory.items() if not kept.lives(now_ms)]:
                del memory[where]

    async def forget_changed(self, current: Callable[[KeyState], Awaitable[KeyState | None]]) -> None:
        """Drop every key whose KMS key is not as it was; ``current`` gives the state as it is now."""
        for memory in (self._made, self._opened):
            for where, kept in list(memory.items()):
                if await current(kept.state) != kept.state and memory.get(where) is kept:
                    del memory[where]

    def __len__(self) -> int:
        return len(self._made) + len(self._opened)

    def _new(self, key: KmsDataKey, state: KeyState, now_ms: int) -> Kept:
        return Kept(replace(key, ready=Kek(key.plain)), state, now_ms, now_ms + self._life_ms)


def _where(call: Call, what: KeyName | bytes, context: Mapping[str, str]) -> Hashable:
    """Where a key is kept: by its requester, the KMS key's name or the ciphertext, and the encryption context."""
    return (call.caller.arn, call.caller.access_key_id), what, tuple(sorted(context.items()))


class _Turn:
    """A lock for each name, kept only while somebody holds it or waits for it."""

    def __init__(self, waiting: dict[Hashable, asyncio.Lock], where: Hashable) -> None:
        self._waiting = waiting
        self._where = where
        self._lock = waiting.setdefault(where, asyncio.Lock())

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        if not self._lock.locked() and self._waiting.get(self._where) is self._lock:
            del self._waiting[self._where]


_K = TypeVar("_K")
_V = TypeVar("_V")


def remember(memory: dict[_K, _V], where: _K, fresh: _V, most: int) -> None:
    """``memory`` has ``most`` at most: the oldest goes."""
    memory.pop(where, None)  # what is kept anew is the youngest
    if len(memory) >= most:
        del memory[next(iter(memory))]
    memory[where] = fresh
