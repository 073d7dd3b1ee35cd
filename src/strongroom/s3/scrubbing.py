"""Scrubbing: everything a store holds is opened in the background, round after round, so that damage is known before it is asked for.

``Verifying`` looks and judges, as it does for ``strongroom verify``; here it is given a pace, and is taken up again where it was.
Changes nothing but its own records. Never knows who counts, and gives nobody what it opened.
"""

from __future__ import annotations

import asyncio
import time
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from strongroom.kms.key_use import KeyUse
from strongroom.s3.findings import Finding, Position, Tally
from strongroom.s3.owners import bucket_arn
from strongroom.s3.scrub_records import KEPT, Records, Round, read_state
from strongroom.s3.sealing import object_arn
from strongroom.s3.verifying import Verifying
from strongroom.s3.versions import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.kms.data_keys import DataKeys
    from strongroom.kms.records import KeyRecord
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms

TURN: Final = "scrub"  # of whose name a ``store.turn.Turn`` is held by who scrubs
RATE: Final = 8 << 20  # bytes a second, less than a tenth of one core
EVERY: Final = 30 * 86_400.0  # seconds from the begin of one round to that of the next
PRINCIPAL: Final = "strongroom:scrub"  # in the record of key uses
LOOK_EVERY: Final = 60.0  # seconds between looks for something to do
MARK_EVERY: Final = 60.0  # seconds of work that are done again, at most, when a process dies
_TOLD_EVERY: Final = 5.0  # seconds that a finding waits to be kept
_PAGE: Final = 50  # rows that are read in one go: half a millisecond, in which nobody else is served
_LEAST_SLEEP: Final = 0.005  # seconds: shorter ones are saved up

_log = structlog.get_logger("strongroom.scrub")


class Taking(Protocol):
    """Whose turn it is to scrub, among all processes on a data folder: ``store.turn.Turn``."""

    def try_take(self) -> bool: ...
    def give(self) -> None: ...


class Watcher(Protocol):
    """Who counts."""

    def looked(self, objects: int, size: int) -> None:
        """At so many more versions and parts, and bytes of their plaintext."""
        ...

    def found(self, kind: str) -> None: ...


class _Overtaken(Exception):
    """Another process has begun or ended a round meanwhile."""


class Pace:
    """So many bytes a second, in the long run; None: as fast as it goes, with a turn of the loop for others in between."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._due = 0.0

    async def wait(self, count: int) -> None:
        now = time.monotonic()
        self._due = max(self._due, now) + (count / self._rate if self._rate else 0.0)
        await asyncio.sleep(self._due - now if self._due - now >= _LEAST_SLEEP else 0)


class Scrub:
    """``fresh_keys`` makes a room of keys that remembers nothing, so that what is on the disk is judged. ``rate``: bytes a second;
    0: ``run`` does nothing. ``served``: a server may be writing.
    """

    def __init__(
        self,
        rooms: Rooms,
        fresh_keys: Callable[[], DataKeys],
        *,
        rate: int = RATE,
        every: float = EVERY,
        turn: Taking | None = None,
        watcher: Watcher | None = None,
        seen: Callable[[Tally, str], None] = lambda _tally, _where: None,
        tell: Callable[[Finding], None] | None = None,
        served: bool = True,
    ) -> None:
        self._rooms = rooms
        self._fresh_keys = fresh_keys
        self._rate = rate
        self._every_ms = int(every * 1000)
        self._turn = turn
        self._watcher = watcher
        self._seen = seen
        self._tell = tell or _tell_log
        self._served = served
        self._records = Records(rooms.catalog)

    async def run(self) -> None:
        """Until cancelled. What fails is logged and tried again at its next turn, where it was."""
        while self._rate:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.run_due()
            except Exception as error:  # noqa: BLE001 - must outlive any one failure
                _log.warning("scrub failed", error=type(error).__name__, exc_info=error)

    async def run_due(self) -> Round | None:
        """Go on with the round under way, or begin one if its time has come; the round, if it was brought to its end."""
        if self._turn is not None and not self._turn.try_take():
            return None
        try:
            state = await read_state(self._rooms.catalog)
            at, now_ms = state.under_way, milliseconds(self._rooms.clock())
            if at is None and state.last is not None and 0 <= now_ms - state.last.began_ms < self._every_ms:
                return None
            ended = await self._run(at or await self._begin(), Pace(self._rate or None))
        except _Overtaken:
            return None
        else:
            _tell_end(ended)
            return ended
        finally:
            if self._turn is not None:
                self._turn.give()

    async def run_now(self) -> Round:
        """A whole round, as fast as it goes, whatever was done before. Who calls has the turn."""
        return await self._run(await self._begin(), Pace(None))

    async def _begin(self) -> Round:
        began = Round(self._rooms.random(8).hex(), milliseconds(self._rooms.clock()))
        await self._records.begin(began)
        return began

    async def _run(self, at: Round, pace: Pace) -> Round:
        walk = _Walk(self, at, pace)
        keys = self._fresh_keys()
        faults = await keys.open_what_opens()
        verifying = walk.verifying = Verifying(
            replace(self._rooms, keys=keys),
            served=self._served,
            faults=faults,
            seen=self._seen,
            passed=walk.passed,
            pace=walk.wait,
            used=walk.used,
            page=_PAGE,
        )
        verifying.tally = deepcopy(at.tally)
        async for finding in verifying.findings(start=at.position):
            walk.found(finding)
        return await walk.end()

    # ---- for the walk

    async def mark(self, at: Round, found: list[Finding]) -> Round:
        """Raises _Overtaken."""
        marked = await self._records.mark(at, found)
        if marked is None:
            raise _Overtaken
        return marked

    async def end(self, at: Round) -> Round:
        ended = replace(at, ended_ms=milliseconds(self._rooms.clock()), position=Position())
        await self._records.end(ended)
        return ended

    async def give_way(self) -> bool:
        """Let another process have the turn, if it waits for it; whether one did."""
        if self._turn is None:
            return False
        self._turn.give()
        if self._turn.try_take():
            return False
        while not self._turn.try_take():  # noqa: ASYNC110 - another process has it, and no event tells of that
            await asyncio.sleep(1.0)
        return True

    def told(self, objects: int, size: int) -> None:
        if self._watcher is not None and (objects or size):
            self._watcher.looked(objects, size)

    def tell_finding(self, finding: Finding, *, listed: bool) -> None:
        if listed:  # what is beyond that is counted
            self._tell(finding)
        if self._watcher is not None:
            self._watcher.found(finding.kind)

    def is_full(self) -> bool:
        return self._rooms.keys.ring.observer.full("Decrypt")

    def tell_use(self, round_id: str, bucket: Bucket, record: KeyRecord) -> None:
        """One line for all objects of a bucket under one key, in one round: nobody is given what is opened."""
        at_ms, arn = milliseconds(self._rooms.clock()), record.name.arn
        where, name = bucket_arn(bucket.name), f"scrub-{round_id}"
        use = KeyUse(at_ms, "Decrypt", "scrub", True, arn, PRINCIPAL, bucket.account_id, "", "", where, "", {}, "", "", name, "")
        self._rooms.keys.ring.observer.used(use)


class _Walk:
    """One round, or what was left of it when this process took it up."""

    verifying: Verifying

    def __init__(self, scrub: Scrub, at: Round, pace: Pace) -> None:
        self._scrub = scrub
        self._at = at
        self._pace = pace
        self._found: list[Finding] = []  # since the last mark
        self._listed = at.kept
        self._marked = time.monotonic()
        self._objects = at.tally.versions + at.tally.parts  # that were told to who counts
        self._size = at.tally.size
        self._uses: set[tuple[str, str]] = set()

    async def wait(self, count: int) -> None:
        await self._pace.wait(count)
        while self._scrub.is_full():  # noqa: ASYNC110 - a use that could not be recorded does not happen; no event tells of it
            await asyncio.sleep(1.0)

    def used(self, bucket: Bucket, record: KeyRecord) -> None:
        use = (record.name.arn, bucket.bucket_id)
        if use not in self._uses:
            self._uses.add(use)
            self._scrub.tell_use(self._at.round_id, bucket, record)

    def found(self, finding: Finding) -> None:
        self._listed += 1
        listed = self._listed <= KEPT
        self._scrub.tell_finding(finding, listed=listed)
        if listed:
            self._found.append(finding)

    async def passed(self, position: Position) -> None:
        """Raises _Overtaken."""
        self._at = replace(self._at, position=position, tally=deepcopy(self.verifying.tally))
        self._count()
        since = time.monotonic() - self._marked
        if since >= (_TOLD_EVERY if self._found else MARK_EVERY):
            await self._mark()
        if await self._scrub.give_way():
            await self._mark()

    def _count(self) -> None:
        tally = self.verifying.tally
        objects = tally.versions + tally.parts
        self._scrub.told(objects - self._objects, tally.size - self._size)
        self._objects, self._size = objects, tally.size

    async def _mark(self) -> None:
        self._at = await self._scrub.mark(self._at, self._found)
        self._found = []
        self._marked = time.monotonic()

    async def end(self) -> Round:
        self._at = replace(self._at, tally=deepcopy(self.verifying.tally))
        self._count()
        await self._mark()
        return await self._scrub.end(self._at)


def _tell_end(ended: Round) -> None:
    tally = ended.tally
    counts = {kind.replace("-", "_"): count for kind, count in sorted(tally.findings.items())}
    _log.info("scrub", versions=tally.versions, parts=tally.parts, blobs=tally.blobs, bytes=tally.size, **counts)


def _tell_log(finding: Finding) -> None:
    arn = object_arn(finding.bucket, finding.object_key) if finding.object_key else finding.bucket and bucket_arn(finding.bucket)
    about = {
        "arn": arn,
        "version_id": finding.version_id,
        "upload_id": finding.upload_id,
        "part_number": finding.part_number,
        "blob_id": finding.blob_id,
        "key": finding.key,
    }
    _log.error("scrub found", kind=finding.kind, why=finding.why, **{name: value for name, value in about.items() if value})
