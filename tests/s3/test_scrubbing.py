"""The scrub finds what a verification finds, bit by bit, goes on where it was, and leaves its findings in the catalog."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from structlog.testing import capture_logs

from strongroom.kms.data_keys import DataKeys
from strongroom.s3 import scrub_records, scrubbing
from strongroom.s3.findings import Finding, Position, Tally
from strongroom.s3.scrub_records import Records, Round, findings_of, read_state
from strongroom.s3.scrubbing import PRINCIPAL, TURN, Pace, Scrub
from strongroom.s3.verifying import Verifying
from strongroom.seal.layers import LayeredOpener
from strongroom.store.contract import Unavailable
from strongroom.store.turn import Turn
from tests.s3.filled import LARGE, SMALL
from tests.s3.vault import KMS_KEY

MONTH = timedelta(days=30)


class Counting:
    def __init__(self):
        self.objects = self.size = 0
        self.kinds = []

    def looked(self, objects, size):
        self.objects += objects
        self.size += size

    def found(self, kind):
        self.kinds.append(kind)


@pytest.fixture
def scrub(vault, monkeypatch):
    """Makes one; ``rate`` 0 here is as fast as it goes, since ``run_due`` is called by hand."""
    monkeypatch.setattr(scrubbing, "MARK_EVERY", 0.0)
    monkeypatch.setattr(scrubbing, "_TOLD_EVERY", 0.0)

    def make(**how):
        return Scrub(vault.rooms, partial(DataKeys, vault.catalog, KMS_KEY, lambda: vault.now), **{"rate": 0, **how})

    return make


def by_text(findings):
    return sorted(findings, key=str)


async def verified(vault):
    """As ``strongroom verify`` does, with what it learns of the server's own keys."""
    keys = DataKeys(vault.catalog, KMS_KEY, lambda: vault.now)
    faults = await keys.open_what_opens()
    verifying = Verifying(replace(vault.rooms, keys=keys), served=True, faults=faults)
    return [found async for found in verifying.findings()], verifying.tally


def flip(path, offset):
    sealed = bytearray(path.read_bytes())
    sealed[offset] ^= 1
    path.write_bytes(sealed)


async def damage(full, blob):
    """One of each, in different objects."""
    flip(blob("s3/large"), 70_000)  # a body
    flip(blob("upload"), -1)
    blob("dsse/large").unlink()
    ((body,),) = full.sql("SELECT body FROM version WHERE object_key = ?", b"kms/small")
    full.sql("UPDATE version SET body = ? WHERE object_key = ?", body[:-1] + bytes([body[-1] ^ 1]), b"kms/small")
    full.sql("UPDATE version SET meta = substr(meta, 1, length(meta) - 1) WHERE object_key = ?", b"dsse/small")  # a record
    ((seal,),) = full.sql("SELECT seal FROM version WHERE object_key = ?", b"shared")  # a wrapped key
    full.sql("UPDATE version SET seal = ? WHERE object_key = ?", seal[:-1] + bytes([seal[-1] ^ 1]), b"shared")
    full.sql("UPDATE version SET size = size + 1 WHERE object_key = ?", b"empty")
    full.sql("UPDATE part SET size = size - 1 WHERE part_number = 1")
    path = blob("kms/large")
    path.write_bytes(path.read_bytes()[:-5])
    writer = await full.blobs.create()  # an orphan that is old enough
    await writer.write(b"sealed")
    await writer.commit()
    full.now += timedelta(hours=2)
    full.sql("UPDATE document SET content = '{}' WHERE kind = 'encryption'")


async def test_it_finds_what_a_verification_finds(full, blob, scrub):
    await damage(full, blob)
    expected, tally = await verified(full)
    told = []
    watcher = Counting()
    ended = await scrub(tell=told.append, watcher=watcher).run_due()
    assert len(expected) >= 9
    assert {one.kind for one in expected} == {"corrupt", "missing", "orphaned"}
    assert by_text(told) == by_text(expected)
    assert by_text(await findings_of(full.catalog, ended)) == by_text(expected)
    assert (ended.tally, ended.kept) == (tally, len(expected))
    assert (watcher.objects, watcher.size) == (tally.versions + tally.parts, tally.size)
    assert sorted(watcher.kinds) == sorted(one.kind for one in expected)


async def test_a_damaged_key_of_the_server_is_found_though_it_is_in_memory(full, scrub):
    full.sql("UPDATE document SET content = replace(content, '\"wrapped\":\"', '\"wrapped\":\"AAAA') WHERE kind = 'service-key'")
    expected, _ = await verified(full)
    told = []
    await scrub(tell=told.append).run_due()
    assert {"service key", "metadata root"} <= {" ".join(one.key.split()[:2]) for one in told if one.key}
    assert by_text(told) == by_text(expected)


@pytest.mark.parametrize(("state", "kind"), [("Disabled", "key-disabled"), ("PendingDeletion", "key-pending-deletion")])
async def test_what_is_under_a_key_that_does_not_serve_is_told_from_what_is_corrupt(full, blob, scrub, state, kind):
    if state == "Disabled":
        await full.kms("DisableKey", KeyId=full.key_id)
    else:
        await full.kms("ScheduleKeyDeletion", KeyId=full.key_id, PendingWindowInDays=7)
    flip(blob("kms/large"), 70_000)
    told = []
    await scrub(tell=told.append).run_due()
    assert {one.object_key for one in told if one.kind == kind} >= {"kms/small", "kms/large", "dsse/small", "shared", "upload"}
    assert [(one.kind, one.object_key) for one in told if one.kind != kind] == [("corrupt", "kms/large")]


async def test_a_whole_store_is_clean_and_once_a_period_is_enough(full, scrub):
    assert (await read_state(full.catalog)).last is None
    generation = full.catalog.generation()
    ended = await scrub().run_due()
    assert full.catalog.generation() == generation  # nobody has to forget what it remembers
    assert ended.tally.findings == {}
    assert (ended.tally.versions, ended.tally.parts, ended.tally.blobs) == (11, 2, 6)
    assert ended.tally.size == 4 * len(SMALL) + 6 * len(LARGE) + len(b"newer")
    state = await read_state(full.catalog)
    assert (state.under_way, state.last) == (None, ended)
    full.now += MONTH - timedelta(seconds=1)
    assert await scrub().run_due() is None
    full.now += timedelta(seconds=2)
    again = await scrub().run_due()
    assert again.round_id != ended.round_id
    assert await scrub(every=0.0).run_due() is not None


async def test_it_goes_on_where_it_was_and_tells_each_finding_once(full, blob, scrub, monkeypatch):
    """The process dies behind each page, until the round is done."""
    monkeypatch.setattr(scrubbing, "_PAGE", 3)
    await damage(full, blob)
    expected, tally = await verified(full)
    looked_at = []
    look = Verifying._look_at_version

    async def counted(self, bucket, row):
        looked_at.append(row.version_id)
        return await look(self, bucket, row)

    monkeypatch.setattr(Verifying, "_look_at_version", counted)
    mark, positions = Records.mark, []

    async def marked_and_dead(self, at, found):
        await mark(self, at, found)
        positions.append(at.position)
        raise Unavailable("the process is dead")

    monkeypatch.setattr(Records, "mark", marked_and_dead)
    told = []
    for _ in range(20):
        with pytest.raises(Unavailable):
            await scrub(tell=told.append).run_due()
        if positions[-1].rows_done:
            break
    monkeypatch.setattr(Records, "mark", mark)
    ended = await scrub(tell=told.append).run_due()
    assert len(set(positions)) == len(positions) >= 5
    assert len(set(looked_at)) == 10
    # A damaged row is looked at until it is known that nobody changed it; no row is looked at by two processes.
    assert looked_at == sorted(looked_at, key=looked_at.index)
    assert by_text(told) == by_text(expected)
    assert by_text(await findings_of(full.catalog, ended)) == by_text(expected)
    assert ended.tally == tally


async def test_what_was_done_since_the_last_mark_is_done_again_and_kept_once(full, blob, scrub, monkeypatch):
    flip(blob("s3/large"), 70_000)
    records = Records(full.catalog)
    began = Round("a" * 16, 0)
    finding = (await verified(full))[0][0]
    await records.begin(began)
    assert (await records.mark(began, [finding, finding])).kept == 1
    assert (await records.mark(began, [finding])).kept == 1
    ended = await scrub().run_due()
    assert (ended.round_id, ended.kept) == ("a" * 16, 1)


async def test_findings_are_kept_up_to_a_number_and_those_of_earlier_rounds_go(full, blob, scrub, monkeypatch):
    for key in ("s3/large", "kms/large", "dsse/large"):
        blob(key).unlink()
    for module in (scrub_records, scrubbing):
        monkeypatch.setattr(module, "KEPT", 2)
    told, watcher = [], Counting()
    first = await scrub(tell=told.append, watcher=watcher).run_due()
    assert (len(told), first.kept, first.tally.findings, len(watcher.kinds)) == (2, 2, {"missing": 3}, 3)
    full.sql("DELETE FROM version WHERE object_key IN (?, ?)", b"kms/large", b"dsse/large")
    full.now += MONTH
    second = await scrub().run_due()
    assert len(await findings_of(full.catalog, second)) == 1
    assert await findings_of(full.catalog, first) == []


async def test_a_finding_is_one_line_in_the_log_with_arn_and_version(full, blob, scrub):
    flip(blob("s3/large"), 70_000)
    blob("upload").unlink()
    row = await full.row("s3/large")
    with capture_logs() as logs:
        await scrub().run_due()
    found = {line["arn"]: line for line in logs if line["event"] == "scrub found"}
    line = found["arn:aws:s3:::bucket/s3/large"]
    assert (line["log_level"], line["kind"], line["version_id"]) == ("error", "corrupt", row.version_id)
    assert line["why"] == f"blob {blob('s3/large').name}: segment 1 is not authentic"
    part = found["arn:aws:s3:::bucket/upload"]
    assert (part["kind"], part["upload_id"], part["part_number"]) == ("missing", full.upload_id, 2)
    (summary,) = [line for line in logs if line["event"] == "scrub"]
    assert (summary["versions"], summary["corrupt"], summary["missing"]) == (11, 1, 1)


async def test_it_is_nobodys_right_and_one_line_for_each_key_and_bucket(full, scrub):
    await full.make("other")
    await full.put("one", SMALL, bucket="other", SSEKMSKeyId=full.key_id, ServerSideEncryption="aws:kms")
    full.asked.clear()
    full.uses.clear()
    ended = await scrub().run_due()
    assert full.asked == []
    assert [(use.operation, use.cause, use.key_arn, use.principal, use.resource) for use in full.uses] == [
        ("Decrypt", "scrub", full.key_arn, PRINCIPAL, f"arn:aws:s3:::{name}") for name in ("bucket", "other")
    ]
    assert {(use.access_key_id, use.user_id, use.request_id) for use in full.uses} == {("", "", f"scrub-{ended.round_id}")}


async def test_no_key_is_used_while_uses_cannot_be_recorded(full, scrub, monkeypatch):
    full.uses.clear()
    full.uses.crowded = True
    waiting = asyncio.create_task(scrub().run_due())
    await asyncio.sleep(0.05)
    assert (waiting.done(), list(full.uses)) == (False, [])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_process_at_a_time_and_who_scrubs_gives_way(full, scrub, monkeypatch):
    monkeypatch.setattr(scrubbing, "_PAGE", 2)
    mine, other = Turn(full.folder, TURN), Turn(full.folder, TURN)
    assert other.try_take()
    assert await scrub(turn=mine).run_due() is None
    assert (await read_state(full.catalog)).under_way is None
    mine.give()
    other.give()
    # In the midst of a round an operator comes, does a whole one, and goes.
    passed, operator = scrubbing._Walk.passed, scrub()
    came = False

    async def passed_with_visit(self, position):
        nonlocal came
        if not came and self._scrub is first:
            came = True
            waiting = asyncio.create_task(asyncio.to_thread(other.take))
            await asyncio.sleep(0.05)  # until it stands in the queue
            visit = asyncio.create_task(visited(waiting))
            await passed(self, position)
            await visit
        else:
            await passed(self, position)

    async def visited(waiting):
        await waiting
        ended = await operator.run_now()
        other.give()
        return ended

    monkeypatch.setattr(scrubbing._Walk, "passed", passed_with_visit)
    first = scrub(turn=mine)
    assert await first.run_due() is None  # overtaken
    state = await read_state(full.catalog)
    assert (state.under_way, state.last.tally.versions) == (None, 11)
    assert mine.try_take()  # it was given back
    mine.close()
    other.close()


async def test_bodies_are_opened_in_threads_and_steps_are_short(full, scrub, monkeypatch):
    """The longest hold of the loop while a store is scrubbed, in calls: never more than one row or one window of a body."""
    here, threads = threading.get_ident(), set()
    open_run = LayeredOpener.open

    def seen(opener, plan, sealed):
        threads.add(threading.get_ident())
        return open_run(opener, plan, sealed)

    monkeypatch.setattr(LayeredOpener, "open", seen)
    paced = []
    wait = Pace.wait

    async def waited(self, count):
        paced.append(count)
        await wait(self, count)

    monkeypatch.setattr(Pace, "wait", waited)
    ended = await scrub().run_due()
    assert threads
    assert here not in threads
    bodies = 4 * len(SMALL) + 6 * len(LARGE) + len(b"newer")
    assert sum(paced) >= bodies + (ended.tally.versions + ended.tally.parts) * (16 << 10)  # every byte, and every row
    assert max(paced) <= 32 * 65_536


async def test_the_pace_is_kept_in_the_long_run(monkeypatch):
    slept, now = [], 0.0

    async def sleep(seconds):
        nonlocal now
        slept.append(seconds)
        now += seconds

    monkeypatch.setattr(scrubbing.time, "monotonic", lambda: now)
    monkeypatch.setattr(scrubbing.asyncio, "sleep", sleep)
    pace = Pace(1000)
    for _ in range(100):
        await pace.wait(100)
    assert now == pytest.approx(10.0)
    for _ in range(10):
        await pace.wait(1)  # short ones are saved up
    assert now == pytest.approx(10.0, abs=0.02)
    free = Pace(None)
    slept.clear()
    await free.wait(1 << 40)
    assert slept == [0]


async def test_zero_turns_it_off(full, scrub):
    await asyncio.wait_for(scrub(rate=0).run(), 1)
    assert (await read_state(full.catalog)).last is None


async def test_it_outlives_a_failure(full, scrub, monkeypatch):
    monkeypatch.setattr(scrubbing, "LOOK_EVERY", 0.001)
    fails = iter([Unavailable("disk"), ValueError("what")])
    due = Scrub.run_due

    async def failing(self):
        for error in fails:
            raise error
        return await due(self)

    monkeypatch.setattr(Scrub, "run_due", failing)
    running = asyncio.create_task(scrub(rate=1 << 40).run())
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            while (await read_state(full.catalog)).last is None:  # noqa: ASYNC110 - only the catalog tells
                await asyncio.sleep(0.01)
    assert [line["error"] for line in logs if line["event"] == "scrub failed"] == ["Unavailable", "ValueError"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_records_that_cannot_be_read_are_none(vault):
    for value in (None, [], {"last": 1, "under_way": {}}, {"last": {"round_id": "a"}}):
        vault.sql("DELETE FROM document WHERE kind = ?", scrub_records.STATE_KIND)
        await vault.catalog.write(lambda tx, value=value: tx.set_document("scrub", scrub_records.STATE_KIND, value))
        assert await read_state(vault.catalog) == scrub_records.State()


async def test_records_are_read_as_they_were_written(vault):
    records = Records(vault.catalog)
    at = Round("b" * 16, 5, None, Tally(1, 2, 3, 4, 5, 6, 7, 8, 9, {"corrupt": 1}), 0, Position("bucket", ("k", "u"), ("é/k", 7)))
    await records.begin(at)
    assert (await read_state(vault.catalog)).under_way == at
    assert await records.mark(replace(at, round_id="c" * 16), []) is None
    found = Finding("corrupt", "why", "bucket", "é", "v", "u", 3, "b")
    marked = await records.mark(at, [found])
    assert await findings_of(vault.catalog, marked) == [found]
