"""Carries out the lifecycles of all buckets: bit by bit beside the requests, each action judged once more in the transaction that does it.

Whatever is due falls due at a midnight, so a bucket is gone through once a day, and when its rules have changed. A mark in the catalog
says how far that is, so that a walk that broke off goes on. Deletions go through ``deleting``, which refuses what is locked. Never knows
when it is called, or who counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from strongroom.api.errors import ApiError
from strongroom.s3.bucket_cache import LIFECYCLE, VERSIONING, bare_bucket, bucket_scope, stored_judge
from strongroom.s3.deleting import Deletion
from strongroom.s3.lifecycle_judging import today_of
from strongroom.s3.lifecycle_walking import ask, judged_versions
from strongroom.s3.record_changes import change_in
from strongroom.s3.uploads import remove_upload
from strongroom.s3.versions import has_lock, milliseconds, new_version_id, shown_id, versioning_at
from strongroom.s3.walking import every_bucket, every_upload
from strongroom.seal import SealError
from strongroom.store.contract import Claim, Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.lifecycle_judging import Action, Judge
    from strongroom.s3.lifecycle_walking import Candidate
    from strongroom.s3.metadata import ObjectMeta
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import BucketRow, Transaction, UploadRow

MARK: Final = "lifecycle-mark"  # kind of the document that says how far a bucket has been gone through
MARK_EVERY: Final = 20_000  # versions
BATCH: Final = 20  # actions of one commit: one millisecond or two
EVERY: Final = 900.0  # seconds between looks for something to do
RATE: Final = 4_000  # versions a second, less than a tenth of one core

_log = structlog.get_logger("strongroom.lifecycle")


@dataclass(frozen=True, slots=True)
class Done:
    """One action, done or (in a dry run) due. ``place``: a version id as clients see it, or an upload id."""

    bucket: str
    object_key: str
    place: str
    kind: str
    rule_id: str
    storage_class: str = ""


@dataclass(slots=True)
class Tally:
    versions: int = 0
    uploads: int = 0
    #: By kind of action; ``kept``: refused by a lock; ``changed``: no longer due when it was to be done.
    actions: Counter[str] = field(default_factory=Counter[str])
    complete: bool = False


class _RulesChanged(Exception):
    """Or their bucket is gone: what was judged no longer holds."""


@dataclass(slots=True)
class _Walk:
    """One bucket, its rules, and the day they are judged by."""

    bucket: Bucket
    document: dict[str, Any]
    judge: Judge
    now_ms: int
    tally: Tally
    removed: set[str] = field(default_factory=set[str])  # version ids of the key in whose midst the walk is
    removed_of: str = ""

    @property
    def today(self) -> int:
        return today_of(self.now_ms)


class LifecycleWork:
    """``tell`` is told of actions by kind, as they are done. ``rate``: versions a second; 0: as fast as it goes."""

    def __init__(
        self,
        rooms: Rooms,
        *,
        rate: int = RATE,
        every: float = EVERY,
        tell: Callable[[str, int], None] = lambda _kind, _count: None,
        seen: Callable[[Done], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        self._rooms = rooms
        self._catalog = rooms.catalog
        self._rate = rate
        self._every = every
        self._tell = tell
        self._seen = seen
        self._dry_run = dry_run

    async def run(self) -> None:
        """Until cancelled. What fails is logged and tried again at its next turn."""
        while True:
            try:
                await self.run_due()
                self._tell("looked", 1)
            except Exception as error:  # noqa: BLE001 - must outlive any one failure
                _log.warning("lifecycle failed", error=type(error).__name__)
            await asyncio.sleep(self._every)

    async def run_due(self) -> None:
        """Each bucket that has rules and was not gone through today by these rules, or not to its end."""
        async for row in every_bucket(self._catalog):
            document: dict[str, Any] | None = await self._catalog.document(bucket_scope(row.bucket_id), LIFECYCLE)
            if document is None:
                continue
            today, digest = today_of(milliseconds(self._rooms.clock())), _digest(document)
            mark: dict[str, Any] = await self._catalog.document(bucket_scope(row.bucket_id), MARK) or {}
            until: str | None = mark.get("until")
            mine = mark.get("rules") == digest
            if mine and until is None and mark["day"] >= today:
                continue
            day, start = (mark["day"], until) if mine and until is not None else (today, "")
            try:
                await self._run_marked(row, document, day, start)
            except _RulesChanged:
                continue  # the next look goes by the new ones
            except Exception as error:  # noqa: BLE001 - one bucket must not stop the others
                _log.warning("lifecycle failed", bucket=row.name, error=type(error).__name__)

    async def _run_marked(self, row: BucketRow, document: dict[str, Any], day: int, start: str) -> None:
        """``day``: when the walk began. What it passed before is as of that day, so it counts for no later one."""
        digest, since_mark = _digest(document), 0

        async def passed(versions: int, until: str | None) -> None:
            nonlocal since_mark
            since_mark += versions
            if until is None or since_mark >= MARK_EVERY:
                since_mark = 0
                await self._mark(row, {"day": day, "rules": digest, "until": until})

        tally = Tally()
        await self._go_through(row, document, milliseconds(self._rooms.clock()), tally, start=start, passed=passed)
        _log.info("lifecycle", bucket=row.name, versions=tally.versions, uploads=tally.uploads, **_words(tally))

    async def _mark(self, row: BucketRow, mark: dict[str, Any]) -> None:
        def work(tx: Transaction) -> None:
            if tx.bucket_exists(row.bucket_id):
                tx.note(bucket_scope(row.bucket_id), MARK, mark)

        await self._catalog.write(work, Claim.DELETE)

    async def run_at(self, now_ms: int, name: str | None = None, stop: Callable[[], bool] = lambda: False) -> Tally:
        """Every bucket (or one) as if it were that moment, whatever was done before, and without a mark. For the operator."""
        tally = Tally()

        async def passed(_versions: int, _until: str | None) -> None:
            if stop():
                raise _Stopped

        async for row in every_bucket(self._catalog, name):
            document: dict[str, Any] | None = await self._catalog.document(bucket_scope(row.bucket_id), LIFECYCLE)
            if document is not None:
                try:
                    await self._go_through(row, document, now_ms, tally, passed=passed)
                except _Stopped:
                    return tally
        tally.complete = True
        return tally

    # ---- one bucket

    async def _go_through(
        self, row: BucketRow, document: dict[str, Any], now_ms: int, tally: Tally, *, passed: Any, start: str = ""
    ) -> None:
        """``passed`` is called behind each page whose actions are committed. Raises _RulesChanged."""
        judge = stored_judge(document)
        assert judge is not None
        walk = _Walk(bare_bucket(row, self._rooms.keys), document, judge, now_ms, tally)
        began, versions = time.monotonic(), 0
        if judge.aborts and not start:
            await self._abort_uploads(walk)
        if not judge.looks_at_versions:
            await passed(0, None)
            return
        state = await self._catalog.document(bucket_scope(row.bucket_id), VERSIONING)
        pages = judged_versions(self._catalog, walk.bucket, judge, walk.today, versioned=bool(state), start=start)
        async for page in pages:
            for first in range(0, len(page.candidates), BATCH):
                await self._commit(walk, page.candidates[first : first + BATCH], versioned=bool(state))
            versions += page.versions
            tally.versions += page.versions
            self._tell("judged", page.versions)
            await passed(page.versions, page.until)
            await asyncio.sleep(max(0.0, began + versions / self._rate - time.monotonic()) if self._rate else 0)

    async def _abort_uploads(self, walk: _Walk) -> None:
        async for upload in every_upload(self._catalog, walk.bucket.bucket_id):
            walk.tally.uploads += 1
            due = walk.judge.abort(upload.object_key, upload.initiated_ms)
            if due is None or due[0] > walk.today:
                continue
            if not self._dry_run and not await self._abort(walk, upload):
                continue
            self._count(walk, Done(walk.bucket.name, upload.object_key, upload.upload_id, "abort", due[1]))

    async def _abort(self, walk: _Walk, upload: UploadRow) -> bool:
        def work(tx: Transaction) -> None:
            _check_rules(tx, walk)
            remove_upload(tx, upload)

        try:
            await self._catalog.write(work, Claim.FREE)
        except Gone:  # completed or aborted meanwhile
            return False
        return True

    async def _commit(self, walk: _Walk, batch: list[Candidate], *, versioned: bool) -> None:
        if self._dry_run:
            for each in batch:
                self._count(walk, _done(walk, each))
            return
        # What expires beneath a marker is a row more, and what moves has a longer record; all else gives space back.
        adds = any(each.action.kind == "move" or (each.action.kind == "expire" and versioned) for each in batch)
        claim = Claim.DELETE if adds else Claim.FREE
        outcomes = await self._catalog.write(lambda tx: self._carry_out_all(tx, walk, batch), claim)
        for each, outcome in outcomes:
            if outcome:
                walk.tally.actions[outcome] += 1
                self._tell(outcome, 1)
            else:
                self._count(walk, _done(walk, each))
        removed = [each.row for each, outcome in outcomes if not outcome and each.action.kind == "remove"]
        last = batch[-1].row.object_key
        if last != walk.removed_of:
            walk.removed_of, walk.removed = last, set()
        walk.removed.update(row.version_id for row in removed if row.object_key == last)

    def _count(self, walk: _Walk, done: Done) -> None:
        walk.tally.actions[done.kind] += 1
        if not self._dry_run:
            self._tell(done.kind, 1)
        if self._seen is not None:
            self._seen(done)

    # ---- in the transaction

    def _carry_out_all(self, tx: Transaction, walk: _Walk, batch: list[Candidate]) -> list[tuple[Candidate, str]]:
        """Each with "" if it was done, or why not. Older versions first, so that each still finds its successor."""
        _check_rules(tx, walk)
        versioning = versioning_at(tx, walk.bucket)
        now_ms = milliseconds(self._rooms.clock())
        fresh = partial(new_version_id, self._rooms.random)
        deletion = Deletion(tx, walk.bucket, versioning, now_ms, fresh, locks=has_lock(tx, walk.bucket))
        outcomes = [(each, _carry_out(tx, walk, deletion, each)) for each in reversed(batch)]
        return outcomes[::-1]


class _Stopped(Exception):
    """The operator has asked for an end."""


def _check_rules(tx: Transaction, walk: _Walk) -> None:
    if tx.document(bucket_scope(walk.bucket.bucket_id), LIFECYCLE) != walk.document:
        raise _RulesChanged


def _carry_out(tx: Transaction, walk: _Walk, deletion: Deletion, each: Candidate) -> str:
    try:
        if _judge_again(tx, walk, each, versioned=bool(deletion.versioning)) != each.action:
            return "changed"
        row, kind = each.row, each.action.kind
        if kind == "expire":
            deletion.delete({"Key": row.object_key})
        elif kind == "move":
            change_in(tx, walk.bucket, row, _moved_to(each.action.storage_class))
        else:
            deletion.delete({"Key": row.object_key, "VersionId": shown_id(row)})
    except ApiError:  # raised before its first change: it is locked
        return "kept"
    except (Gone, SealError):
        return "changed"
    return ""


def _moved_to(storage_class: str) -> Callable[[ObjectMeta], None]:
    def change(meta: ObjectMeta) -> None:
        meta.storage_class = storage_class

    return change


def _judge_again(tx: Transaction, walk: _Walk, each: Candidate, *, versioned: bool) -> Action | None:
    """What is due for a version as things stand now; None, too, when it is not where it was. Raises SealError."""
    bucket_id, object_key, facts = walk.bucket.bucket_id, each.row.object_key, each.facts
    row, newest = tx.version(bucket_id, object_key, each.row.version_id), tx.latest(bucket_id, object_key)
    if row is None or newest is None or (newest.version_id == row.version_id) is not (facts.since_ms is None):
        return None
    if facts.since_ms is None:
        if row.delete_marker:
            facts = facts._replace(only=len(_newest_of(tx, bucket_id, object_key, 2)) == 1)
    else:
        removed = walk.removed if walk.removed_of == object_key else set[str]()
        assert each.successor is not None
        if each.successor not in removed and tx.version(bucket_id, object_key, each.successor) is None:
            return None
        if walk.judge.counts:
            newer = [one.version_id for one in _newest_of(tx, bucket_id, object_key, walk.judge.counts + 2)]
            facts = facts._replace(newer=newer.index(row.version_id) - 1 if row.version_id in newer else walk.judge.counts + 1)
    return walk.judge.judge(facts, walk.today, lambda: ask(walk.bucket, row), versioned=versioned)


def _newest_of(tx: Transaction, bucket_id: str, object_key: str, most: int) -> list[Any]:
    rows, _ = tx.versions(bucket_id, prefix=object_key, start=object_key, limit=most)
    return [row for row in rows if row.object_key == object_key]


def _done(walk: _Walk, each: Candidate) -> Done:
    action = each.action
    return Done(walk.bucket.name, each.row.object_key, shown_id(each.row), action.kind, action.rule_id, action.storage_class)


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def _words(tally: Tally) -> dict[str, int]:
    return {kind.replace("-", "_"): count for kind, count in sorted(tally.actions.items())}
