"""What the server tells about itself in numbers: what is counted of requests and of its own work.

Never knows what a request meant beyond what the gate says of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from strongroom.edge.gate import Seen
from strongroom.edge.head import Reply
from strongroom.edge.load import Load
from strongroom.edge.pages import Page
from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.logs import tell_errors
from strongroom.numbers import Numbers
from strongroom.readiness import Readiness
from strongroom.s3.findings import Tally
from strongroom.s3.scrub_records import read_state
from strongroom.s3.upkeep import FAILED, Upkeep
from strongroom.store.contract import Catalog, StoreError
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog


def count_errors(numbers: Numbers) -> None:
    """From now on what this process logs as a warning or an error is counted, by its event and by what it was."""
    add = numbers.counter("strongroom_errors", "Warnings and errors in the log", "level", "event", "kind").add
    tell_errors(lambda level, event, kind: add((level, event, kind)))


class Requests:
    """Counts the requests that the gate has answered."""

    def __init__(self, numbers: Numbers) -> None:
        self._answered = numbers.counter("strongroom_requests", "Answered requests", "service", "operation", "status", "code").add
        self._seconds = numbers.durations(
            "strongroom_request_seconds", "Time until the answer was ready to be sent", "service", "operation"
        ).add
        self._received = numbers.counter("strongroom_received_bytes", "Declared bytes of payload", "service", "operation").add
        self._sent = numbers.counter("strongroom_sent_bytes", "Bytes of answers, as promised", "service", "operation").add

    def observe(self, seen: Seen, _reply: Reply) -> None:
        which = (seen.service, seen.operation)
        self._answered((*which, str(seen.status), seen.code))
        self._seconds(which, seen.seconds)
        if seen.received:
            self._received(which, seen.received)
        if seen.sent:
            self._sent(which, seen.sent)


def show_load(numbers: Numbers, load: Load) -> None:
    """What a worker has in hand, and what it refused because that was too much."""
    refused = numbers.counter("strongroom_overload_refusals", "Requests refused because a ceiling was reached", "ceiling").add
    load.tell = lambda ceiling: refused((ceiling,))
    numbers.gauge("strongroom_requests_in_flight", "Requests that are being answered", lambda: load.requests)
    numbers.gauge(
        "strongroom_unproven_in_flight",
        "Requests being answered whose body is read before their signature is checked",
        lambda: load.unproven,
    )
    numbers.gauge("strongroom_callers_in_flight", "Callers that have requests in flight", lambda: load.callers)
    numbers.gauge("strongroom_body_bytes_in_flight", "Memory set aside for bodies under way", lambda: load.body_bytes)
    numbers.gauge("strongroom_long_bodies_waiting", "Uploads and downloads that wait for their turn", lambda: load.turns.waiting)


def show_store(numbers: Numbers, catalog: SqliteCatalog, blobs: FileBlobs, record: KeyUseRecord) -> None:
    """Commits, and what waits for the disk."""
    works = numbers.sizes("strongroom_commit_works", "Writes that became durable together, in one commit of the catalog").add
    seconds = numbers.durations("strongroom_commit_seconds", "Time until a commit of the catalog was durable").add

    def committed(count: int, took: float) -> None:
        works((), count)
        seconds((), took)

    catalog.watch_commits(committed)
    numbers.gauge("strongroom_commit_queue", "Writes that wait for their commit to begin", lambda: catalog.waiting)
    numbers.gauge("strongroom_blob_queue", "File calls that wait for a thread", lambda: blobs.waiting)
    numbers.gauge("strongroom_key_use_queue", "Uses of keys whose record is not on the disk yet", lambda: record.waiting)


class LoopDelay:
    """How long others keep the event loop from what is due. ``slept`` is told how long a sleep took, and how long it should have."""

    def __init__(self, numbers: Numbers) -> None:
        self._add = numbers.durations(
            "strongroom_loop_delay_seconds", "How much later than due a worker's event loop came, once a second"
        ).add

    def slept(self, seconds: float, wanted: float) -> None:
        self._add((), max(0.0, seconds - wanted))


class Upkeeps:
    """Counts what upkeep does, step by step."""

    def __init__(self, numbers: Numbers) -> None:
        self._runs = numbers.counter("strongroom_upkeep_runs", "Steps of upkeep that were done, or failed", "step", "outcome").add
        self._done = numbers.counter("strongroom_upkeep_done", "How many things a step dealt with", "step").add
        self._latest = numbers.latest("strongroom_upkeep_latest_seconds", "When a step was last done, in Unix time", "step").show

    def tell(self, step: str, result: object) -> None:
        self._runs((step, "failed" if result is FAILED else "done"))
        if result is FAILED:
            return
        self._latest((step,), time.time())
        if isinstance(result, int) and result:
            self._done((step,), result)


class KeyUses:
    """What the kms room tells of uses of keys: counted here, and handed on to the record and ``also``."""

    def __init__(self, numbers: Numbers, record: KeyUseRecord, also: Callable[[str, str], None] | None = None) -> None:
        """``also``: of which request a use was, and how the key was had ("called", "cached")."""
        self._also = also
        operations = numbers.counter(
            "strongroom_kms_operations", "Operations of KMS, refused ones included", "operation", "cause"
        )
        operations.values = record.calls
        self._operation = operations.add
        hits = numbers.counter(
            "strongroom_kms_bucket_key_hits", "Uses of a bucket key that needed no operation of KMS", "operation"
        )
        hits.values = record.hits
        self._hit = hits.add
        self._record = record.used
        self.served = record.served if also is None else self._served_too
        self._served = record.served
        self.full: Callable[[str], bool] = record.full

    def used(self, use: KeyUse) -> None:
        self._record(use)
        if self._also is not None:
            self._also(use.request_id, "called" if use.kms_called else "cached")
        if use.kms_called:
            self._operation((use.operation, use.cause))
        elif not use.code:
            self._hit((use.operation,))

    def _served_too(self, alike: Alike, at: datetime, resource: str, version: str, request_id: str, source_ip: str) -> bool:
        taken = self._served(alike, at, resource, version, request_id, source_ip)
        if taken and self._also is not None:
            self._also(request_id, "called" if alike.kms_called else "cached")
        return taken


class Lifecycles:
    """Counts what the lifecycles of buckets do."""

    def __init__(self, numbers: Numbers) -> None:
        self._actions = numbers.counter("strongroom_lifecycle_actions", "Actions of lifecycles by kind", "action").add
        self._versions = numbers.counter("strongroom_lifecycle_versions", "Versions that lifecycles went through").add
        self._latest = numbers.latest(
            "strongroom_lifecycle_latest_seconds", "When all that was due had last been done, in Unix time"
        ).show

    def tell(self, kind: str, count: int) -> None:
        if kind == "looked":
            self._latest((), time.time())
        elif kind == "judged":
            self._versions((), count)
        else:
            self._actions((kind,), count)


class Scrubs:
    """Counts what the scrub looks at and finds."""

    def __init__(self, numbers: Numbers) -> None:
        self._objects = numbers.counter(
            "strongroom_scrub_objects", "Versions and parts that were looked at in the background"
        ).add
        self._bytes = numbers.counter("strongroom_scrub_bytes", "Bytes of plaintext that were opened in the background").add
        self._findings = numbers.counter(
            "strongroom_scrub_findings", "What was found damaged in the background, by kind", "kind"
        ).add

    def looked(self, objects: int, size: int) -> None:
        self._objects((), objects)
        self._bytes((), size)

    def found(self, kind: str) -> None:
        self._findings((kind,))


class LastScrub:
    """Tells of the last whole round of the scrub, as the catalog keeps it; of nothing while there is none."""

    def __init__(self, numbers: Numbers, catalog: Catalog) -> None:
        self._catalog = catalog
        self._begin = numbers.state(
            "strongroom_scrub_last_begin_seconds", "When the last whole round of the scrub began, in Unix time"
        )
        self._end = numbers.state(
            "strongroom_scrub_last_end_seconds", "When the last whole round of the scrub ended, in Unix time"
        )
        self._findings = numbers.state("strongroom_scrub_last_findings", "How much the last whole round of the scrub found")
        self._objects = numbers.state(
            "strongroom_scrub_round_objects", "Versions and parts looked at in the round of the scrub that is under way"
        )

    async def look(self) -> None:
        state = await read_state(self._catalog)
        if state.last is not None and state.last.ended_ms is not None:
            self._begin.show(state.last.began_ms / 1000)
            self._end.show(state.last.ended_ms / 1000)
            self._findings.show(sum(state.last.tally.findings.values()))
        tally = Tally() if state.under_way is None else state.under_way.tally
        self._objects.show(tally.versions + tally.parts)


def show_blobs(numbers: Numbers, upkeep: Upkeep) -> None:
    """Only the worker that does upkeep has counted any."""
    numbers.gauge("strongroom_blobs", "Files of large bodies, as the last sweep of upkeep found them", lambda: upkeep.counted[0])
    numbers.gauge("strongroom_blob_bytes", "Bytes of the files of large bodies, as they were then", lambda: upkeep.counted[1])


class Spaces:
    """Shows what the catalog takes on the disk."""

    def __init__(self, numbers: Numbers, catalog: Catalog) -> None:
        self._catalog = catalog
        self._size = numbers.state("strongroom_catalog_bytes", "Bytes of the catalog's file, free ones included")
        self._free = numbers.state("strongroom_catalog_free_bytes", "Bytes within it that wait for the next writes")
        self._log = numbers.state(
            "strongroom_catalog_log_bytes", "Bytes of its log, which are taken whether they are in use or not"
        )

    async def look(self) -> None:
        with suppress(StoreError):
            space = await self._catalog.space()
            self._size.show(space.size)
            self._free.show(space.free)
            self._log.show(space.log)


def numbers_page(numbers: Numbers, readiness: Readiness, *looks: Callable[[], Awaitable[None]]) -> Page:
    """``/-/metrics``. ``looks``: what looks first at what is to be shown."""
    show = numbers.state("strongroom_store_writable", "Whether the store can write (1) or not (0)").show

    async def page() -> tuple[str, bytes]:
        show(float(await readiness.writable()))
        for look in looks:
            await look()
        return "text/plain; version=0.0.4; charset=utf-8", numbers.page()

    return page
