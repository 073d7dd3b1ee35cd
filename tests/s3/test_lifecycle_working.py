"""Lifecycles carried out: what is due is done, what is not stays, whatever happens beside it, whenever it breaks off, by however many."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from strongroom.api.errors import ApiError
from strongroom.s3 import lifecycle_walking, lifecycle_working
from strongroom.s3.deleting import Deletion
from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.s3.versions import milliseconds
from strongroom.store.contract import Unavailable
from tests.s3 import vault as vaults
from tests.s3.slow_lifecycle import Version, slow_judge

DAY = timedelta(days=1)
LARGE = os.urandom(200_000)
NONCURRENT = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}


@pytest.fixture
async def bucket(vault):
    vault.now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    return await vault.make()


def rule(rule_id="r", chosen=None, **more):
    return {"ID": rule_id, "Status": "Enabled", "Filter": chosen or {}, **more}


async def put_rules(vault, *rules, **more):
    given = {"Bucket": "bucket", "LifecycleConfiguration": {"Rules": list(rules)}}
    await vault.run("PutBucketLifecycleConfiguration", **given, **more)


def work_of(vault, told=None, **more):
    def tell(kind, count):
        if told is not None:
            told[kind] += count

    return LifecycleWork(vault.rooms, rate=0, tell=tell, **more)


async def run(vault, **more):
    told = Counter()
    await work_of(vault, told, **more).run_due()
    return +told


async def listed(vault):
    """(key, is a delete marker), the newest first."""
    bucket = await vault.buckets.find("bucket")
    rows, _ = await vault.catalog.versions(bucket.bucket_id, limit=1000)
    return [(row.object_key, row.delete_marker) for row in rows]


async def test_an_object_goes_with_its_bytes(vault, bucket):
    await put_rules(vault, rule(chosen={"Prefix": "old/"}, Expiration={"Days": 1}))
    await vault.put("old/large", LARGE)
    await vault.put("old/small", b"x")
    await vault.put("other", b"x")
    generation = vault.catalog.generation()
    assert await run(vault) == {"judged": 3}
    assert vault.catalog.generation() == generation  # nobody has to forget what it remembers
    vault.now = datetime(2026, 3, 11, 23, 59, 59, tzinfo=UTC)
    assert await run(vault) == {"judged": 3}
    vault.now += timedelta(seconds=1)
    assert await run(vault) == {"judged": 3, "expire": 2}
    assert await listed(vault) == [("other", False)]
    assert await vault.upkeep.delete_discarded() == 1
    assert not vault.files


async def test_days_of_a_versioned_object(vault, bucket):
    """It is hidden, the hidden version goes, and then the marker that hides nothing."""
    await vault.versioned()
    await put_rules(vault, rule(Expiration={"Days": 1}, **NONCURRENT), rule("m", Expiration={"ExpiredObjectDeleteMarker": True}))
    await vault.put("k", LARGE)
    seen = []
    for _ in range(7):
        done = await run(vault)
        seen.append((done.get("expire", 0), done.get("remove", 0), done.get("remove-marker", 0), await listed(vault)))
        vault.now += DAY
    stays, hidden, marker = [("k", False)], [("k", True), ("k", False)], [("k", True)]
    assert seen == [
        (0, 0, 0, stays),
        (0, 0, 0, stays),
        (1, 0, 0, hidden),
        (0, 0, 0, hidden),
        (0, 1, 0, marker),
        (0, 0, 1, []),
        (0, 0, 0, []),
    ]
    assert await vault.upkeep.delete_discarded() == 1


async def test_the_null_version_of_a_suspended_bucket(vault, bucket):
    await vault.versioned()
    numbered = (await vault.put("k", b"numbered"))["VersionId"]
    await vault.versioned(status="Suspended")
    await vault.put("k", LARGE)
    await put_rules(vault, rule(Expiration={"Days": 1}))
    vault.now += 3 * DAY
    assert (await run(vault))["expire"] == 1
    page = await vault.run("ListObjectVersions", Bucket="bucket")
    assert [one["VersionId"] for one in page["DeleteMarkers"]] == ["null"]  # it took the place of the null version
    assert [one["VersionId"] for one in page["Versions"]] == [numbered]


async def test_newer_noncurrent_versions_are_kept_over_borders_of_pages_and_commits(vault, bucket, monkeypatch):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 4)
    monkeypatch.setattr(lifecycle_working, "BATCH", 3)
    await vault.versioned()
    for number in range(12):
        await vault.put("k", str(number).encode())
    await vault.put("l", b"")
    await put_rules(vault, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}))
    vault.now += 3 * DAY
    assert (await run(vault))["remove"] == 9
    assert (await vault.get("k"))[0] == b"11"
    assert len(await listed(vault)) == 4
    await put_rules(vault, rule(**NONCURRENT))
    assert (await run(vault))["remove"] == 2
    assert await listed(vault) == [("k", False), ("l", False)]


async def test_uploads_are_aborted(vault, bucket):
    await put_rules(vault, rule(chosen={"Prefix": "m"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}))
    for key in ("m", "n"):
        upload = (await vault.run("CreateMultipartUpload", Bucket="bucket", Key=key))["UploadId"]
        await vault.run("UploadPart", data=LARGE, PartNumber=1, Bucket="bucket", Key=key, UploadId=upload)
    vault.now += 2 * DAY
    assert await run(vault) == {}
    vault.now += DAY
    assert await run(vault) == {"abort": 1}
    uploads = (await vault.run("ListMultipartUploads", Bucket="bucket"))["Uploads"]
    assert [one["Key"] for one in uploads] == ["n"]
    assert await vault.upkeep.delete_discarded() == 1


async def test_a_transition_changes_the_class_and_nothing_else(vault, bucket):
    await vault.put("k", LARGE, Metadata={"a": "b"}, Tagging="t=1")
    await vault.put("small", b"x")
    before, row = await vault.head("k"), await vault.row("k")
    await put_rules(vault, rule(Transitions=[{"Days": 0, "StorageClass": "GLACIER_IR"}]))
    assert "move" not in await run(vault)
    vault.now += DAY
    assert (await run(vault))["move"] == 1
    assert await vault.head("k") == before | {"StorageClass": "GLACIER_IR"}
    after = await vault.row("k")
    assert after._replace(meta=b"") == row._replace(meta=b"")
    assert (await vault.get("k"))[0] == LARGE
    assert "StorageClass" not in await vault.head("small")


async def test_tags_decide(vault, bucket):
    await put_rules(vault, rule(chosen={"Tag": {"Key": "keep", "Value": "no"}}, Expiration={"Days": 1}))
    await vault.put("a", b"", Tagging="keep=no")
    await vault.put("b", b"", Tagging="keep=yes")
    await vault.put("c", b"")
    vault.now += 3 * DAY
    await run(vault)
    assert [key for key, _ in await listed(vault)] == ["b", "c"]


async def test_a_day_is_gone_through_once_and_again_when_the_rules_change(vault, bucket):
    await put_rules(vault, rule(Expiration={"Days": 1}))
    await vault.put("k")
    assert await run(vault) == {"judged": 1}
    assert await run(vault) == {}
    await put_rules(vault, rule(Expiration={"Date": vault.now.replace(hour=0)}))
    assert await run(vault) == {"judged": 1, "expire": 1}
    assert await run(vault) == {}
    vault.now += DAY
    with capture_logs() as lines:
        await run(vault)
    assert [(line["event"], line["bucket"], line["versions"]) for line in lines] == [("lifecycle", "bucket", 0)]
    await vault.run("DeleteBucketLifecycle", Bucket="bucket")
    vault.now += DAY
    assert await run(vault) == {}


async def test_a_given_date_and_a_dry_run(vault, bucket):
    await put_rules(vault, rule(Expiration={"Days": 300}))
    await vault.put("k", b"x")
    seen = []
    later = milliseconds(vault.now + 302 * DAY)
    dry = await work_of(vault, seen=seen.append, dry_run=True).run_at(later)
    assert (dry.versions, dry.actions, dry.complete) == (1, {"expire": 1}, True)
    assert [(one.bucket, one.object_key, one.place, one.kind, one.rule_id) for one in seen] == [
        ("bucket", "k", "null", "expire", "r")
    ]
    assert await listed(vault) == [("k", False)]
    assert (await work_of(vault).run_at(later, "bucket")).actions == {"expire": 1}
    assert await listed(vault) == []
    assert await run(vault) == {}  # today's walk is still to be made, and there is nothing left


async def test_it_stops_when_it_is_told_to(vault, bucket, monkeypatch):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 2)
    await put_rules(vault, rule(Expiration={"Days": 1}))
    for number in range(6):
        await vault.put(f"k{number}")
    tally = await work_of(vault).run_at(milliseconds(vault.now + 9 * DAY), stop=lambda: True)
    assert (tally.complete, tally.versions) == (False, 2)
    assert len(await listed(vault)) == 5  # the last of a page waits for the next, to be known as the last of its key


# ---- beside others


class Interrupted(LifecycleWork):
    """Others act between the judging of a page and its commit."""

    async def _commit(self, walk, batch, **more):
        await self.between()
        await super()._commit(walk, batch, **more)


async def interrupted(vault, between):
    told = Counter()
    work = Interrupted(vault.rooms, rate=0, tell=lambda kind, count: told.update({kind: count}))
    work.between = between
    await work.run_due()
    return +told


async def test_a_new_version_is_never_taken_for_the_old_one(vault, bucket):
    await put_rules(vault, rule(Expiration={"Days": 1}))
    await vault.put("k", b"old")
    vault.now += 5 * DAY

    async def between():
        await vault.put("k", b"new")

    assert await interrupted(vault, between) == {"judged": 1, "changed": 1}
    assert (await vault.get("k"))[0] == b"new"


async def test_a_version_that_has_become_the_current_one_stays(vault, bucket):
    await vault.versioned()
    await put_rules(vault, rule(**NONCURRENT))
    await vault.put("k", b"old")
    new = (await vault.put("k", b"new"))["VersionId"]
    vault.now += 5 * DAY

    async def between():
        await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId=new)

    assert await interrupted(vault, between) == {"judged": 2, "changed": 1}
    assert (await vault.get("k"))[0] == b"old"


async def test_versions_are_counted_anew(vault, bucket):
    await vault.versioned()
    await put_rules(vault, rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}))
    ids = [(await vault.put("k", str(number).encode()))["VersionId"] for number in range(5)]
    vault.now += 5 * DAY

    async def between():
        await vault.run("DeleteObject", Bucket="bucket", Key="k", VersionId=ids[3])

    # of 1 and 0, which were to go, 1 is one of two noncurrent versions now
    assert await interrupted(vault, between) == {"judged": 5, "changed": 1, "remove": 1}
    page = await vault.run("ListObjectVersions", Bucket="bucket")
    assert [one["VersionId"] for one in page["Versions"]] == [ids[4], ids[2], ids[1]]


async def test_a_marker_that_hides_something_again_stays(vault, bucket):
    await vault.versioned()
    await vault.delete_marker("k")
    await put_rules(vault, rule(Expiration={"ExpiredObjectDeleteMarker": True}))

    async def between():
        await vault.put("k", b"x")
        await vault.delete_marker("k")

    assert await interrupted(vault, between) == {"judged": 1, "changed": 1}
    assert len(await listed(vault)) == 3


async def test_rules_that_change_end_the_walk(vault, bucket):
    await put_rules(vault, rule(Expiration={"Days": 1}))
    await vault.put("k")
    vault.now += 5 * DAY

    async def between():
        await put_rules(vault, rule(Expiration={"Days": 100}))

    assert await interrupted(vault, between) == {}
    assert await listed(vault) == [("k", False)]
    assert await run(vault) == {"judged": 1}


async def test_tags_and_versioning_are_looked_at_anew(vault, bucket):
    await put_rules(vault, rule(chosen={"Tag": {"Key": "a", "Value": "b"}}, Expiration={"Days": 1}))
    await vault.put("k", b"x", Tagging="a=b")
    vault.now += 5 * DAY

    async def tagging():
        await vault.run("DeleteObjectTagging", Bucket="bucket", Key="k")

    assert await interrupted(vault, tagging) == {"judged": 1, "changed": 1}
    await vault.put("l", b"x", Tagging="a=b")
    vault.now += 5 * DAY
    # What was judged in an unversioned bucket is hidden, and not gone, in one that is versioned by now.
    await interrupted(vault, vault.versioned)
    assert await listed(vault) == [("k", False), ("l", True), ("l", False)]


async def test_what_is_locked_stays_and_the_others_go(vault, bucket, monkeypatch):
    """A refusal of the one function that deletes is heeded."""
    await vault.versioned()
    await put_rules(vault, rule(**NONCURRENT))
    for key in ("a", "b", "c"):
        await vault.put(key, b"old")
        await vault.put(key, b"new")
    real = Deletion.delete

    def delete(self, given):
        if given["Key"] == "b":
            raise ApiError("AccessDenied")
        return real(self, given)

    monkeypatch.setattr(Deletion, "delete", delete)
    vault.now += 5 * DAY
    assert await run(vault) == {"judged": 6, "remove": 2, "kept": 1}
    assert [key for key, _ in await listed(vault)] == ["a", "b", "b", "c"]


async def test_a_damaged_record_is_left_alone(vault, bucket):
    await put_rules(vault, rule(chosen={"Tag": {"Key": "a", "Value": "b"}}, Expiration={"Days": 1}))
    for key in ("k", "l"):
        await vault.put(key, b"x", Tagging="a=b")
    vault.sql("UPDATE version SET size = 7 WHERE object_key = ?", b"k")
    vault.now += 5 * DAY
    with capture_logs() as lines:
        assert await run(vault) == {"judged": 2, "expire": 1}
    assert lines[0]["event"] == "a version is not as it was written"
    assert [key for key, _ in await listed(vault)] == ["k"]


# ---- broken off, and many at once


async def test_a_walk_that_broke_off_goes_on_where_it_was(vault, bucket, monkeypatch):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 5)
    monkeypatch.setattr(lifecycle_working, "MARK_EVERY", 10)
    await put_rules(vault, rule(Expiration={"Days": 1}))
    for number in range(40):
        await vault.put(f"k{number:02}")
    vault.now += 5 * DAY
    real, commits = vault.catalog.write, 0

    async def write(work, *claim):
        nonlocal commits
        commits += 1
        if commits == 6:
            raise Unavailable("the machine stops")
        return await real(work, *claim)

    with monkeypatch.context() as patched, capture_logs() as lines:
        patched.setattr(vault.catalog, "write", write)
        first = await run(vault)
    assert [line["event"] for line in lines] == ["lifecycle failed"]
    left = len(await listed(vault))
    assert left == 40 - first["expire"]
    assert 0 < first["expire"] < 40
    async with vaults.opened(vault.folder) as other:  # another process, after the machine has started again
        other.now = vault.now
        second = await run(other)
    assert second["judged"] == left  # it did not begin anew: keys before the mark are gone, so that is all there is
    assert first["expire"] + second["expire"] == 40
    assert await run(vault) == {}


async def test_what_was_passed_before_the_mark_is_not_read_again(vault, bucket, monkeypatch):
    """Nor is the day done: what lies before the mark is as of the day the walk began."""
    monkeypatch.setattr(lifecycle_walking, "PAGE", 5)
    monkeypatch.setattr(lifecycle_working, "MARK_EVERY", 10)
    await put_rules(vault, rule(chosen={"Prefix": "none"}, Expiration={"Days": 1}))
    for number in range(40):
        await vault.put(f"k{number:02}")

    class Broken(LifecycleWork):
        async def _mark(self, row, mark):
            await super()._mark(row, mark)
            if mark["until"] is not None and mark["until"] > "k15":
                raise Unavailable("the machine stops")

    with capture_logs():
        await Broken(vault.rooms, rate=0).run_due()
    vault.now += DAY
    assert await run(vault) == {"judged": 40 - 19}
    assert await run(vault) == {"judged": 40}
    assert await run(vault) == {}


async def test_two_at_once_do_each_thing_once(vault, bucket, monkeypatch):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 7)
    monkeypatch.setattr(lifecycle_working, "BATCH", 4)
    await vault.versioned()
    await put_rules(vault, rule(Expiration={"Days": 1}, **NONCURRENT))
    for number in range(30):
        for body in (b"1", b"2", b"3"):
            await vault.put(f"k{number:02}", body)
    vault.now += 5 * DAY
    async with vaults.opened(vault.folder) as other:
        other.now = vault.now
        told = [Counter(), Counter()]
        await asyncio.gather(work_of(vault, told[0]).run_due(), work_of(other, told[1]).run_due())
    both = told[0] + told[1]
    assert (both["remove"], both["expire"]) == (60, 30)
    assert await listed(vault) == [(f"k{number:02}", marker) for number in range(30) for marker in (True, False)]


async def test_a_bucket_that_fails_does_not_stop_the_others(vault, bucket, monkeypatch):
    await vault.make("another")
    for name in ("another", "bucket"):
        given = {"LifecycleConfiguration": {"Rules": [rule(Expiration={"Days": 1})]}}
        await vault.run("PutBucketLifecycleConfiguration", Bucket=name, **given)
        await vault.put("k", bucket=name)
    vault.now += 5 * DAY
    real = lifecycle_working.judged_versions

    def judged(catalog, place, *args, **more):
        if place.name == "another":
            raise Unavailable("disk")
        return real(catalog, place, *args, **more)

    monkeypatch.setattr(lifecycle_working, "judged_versions", judged)
    with capture_logs() as lines:
        assert await run(vault) == {"judged": 1, "expire": 1}
    assert lines[0]["bucket"] == "another"


async def test_it_runs_until_it_is_stopped(vault, bucket):
    await put_rules(vault, rule(Expiration={"Days": 1}))
    await vault.put("k")
    vault.now += 5 * DAY
    done = asyncio.Event()
    work = LifecycleWork(vault.rooms, every=0.01, tell=lambda kind, _: done.set() if kind == "expire" else None)
    task = asyncio.create_task(work.run())
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_rate_is_kept(vault, bucket, monkeypatch):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 2)
    await put_rules(vault, rule(Expiration={"Days": 1}))
    for number in range(6):
        await vault.put(f"k{number}")
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(lifecycle_working.asyncio, "sleep", sleep)
    await LifecycleWork(vault.rooms, rate=1).run_due()
    assert [round(seconds) for seconds in slept] == [2, 4, 6, 6]


# ---- against the slow judge


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_done_is_what_the_slow_judge_says(vault, bucket, monkeypatch, seed):
    monkeypatch.setattr(lifecycle_walking, "PAGE", 3)
    monkeypatch.setattr(lifecycle_working, "BATCH", 2)
    chance = random.Random(seed)
    await vault.versioned()
    histories: dict[str, list[Version]] = {}
    for _ in range(40):
        vault.now += timedelta(seconds=chance.randrange(40_000))
        key = chance.choice(["a/1", "a/2", "b/1", "b/11"])
        history = histories.setdefault(key, [])
        if chance.random() < 0.2:
            await vault.delete_marker(key)
            history.insert(0, Version(key, 0, vault.now, marker=True))
            continue
        tagged = chance.random() < 0.4
        size = chance.choice([10, 140_000])
        given = {"Tagging": "k=v"} if tagged else {}
        await vault.put(key, bytes(size), StorageClass=chance.choice(["STANDARD", "ONEZONE_IA"]), **given)
        made = (await vault.row(key)).modified_ms
        history.insert(0, Version(key, size, datetime.fromtimestamp(made / 1000, UTC), tags={"k": "v"} if tagged else {}))
        history[0].storage_class = (await vault.head(key)).get("StorageClass", "STANDARD")
    rules = [
        rule("1", {"Prefix": "a/"}, NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 3}),
        rule(
            "2",
            {"Tag": {"Key": "k", "Value": "v"}},
            Expiration={"Days": 4},
            Transitions=[{"Days": 2, "StorageClass": "GLACIER_IR"}],
        ),
        rule("3", {"Prefix": "b/1"}, NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}]),
        rule("4", {"ObjectSizeLessThan": 11}, NoncurrentVersionExpiration={"NoncurrentDays": 6}),
        rule("5", Expiration={"ExpiredObjectDeleteMarker": True}),
    ]
    await put_rules(vault, *rules)
    vault.now += timedelta(seconds=chance.randrange(90_000))
    expected = []
    for key in sorted(histories):
        for place in range(len(histories[key])):
            found = slow_judge(rules, histories[key], place, vault.now, versioned=True)
            if found is not None:
                expected.append((key, *found))
    seen = []
    before = len(await listed(vault))
    told = await run(vault, seen=lambda one: seen.append((one.object_key, one.kind, one.rule_id, one.storage_class)))
    assert Counter(seen) == Counter(expected)
    gone = sum(kind in {"remove", "remove-marker"} for _, kind, _, _ in expected)
    assert len(await listed(vault)) == before - gone + told.get("expire", 0)
