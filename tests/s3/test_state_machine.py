"""Whatever is done in whatever order, the server shows what a slow S3 in memory shows: on a real catalog and real files, restarts included."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from strongroom.api.errors import ApiError
from strongroom.s3.lifecycle_working import LifecycleWork
from tests.s3 import vault as vaults
from tests.s3.slow_s3 import Bucket, Refused, SlowS3, Upload, Version

BUCKETS = ("plain", "under-kms", "locked")
VERSIONING = ("plain", "under-kms")  # those whose versioning may change
DAY = timedelta(days=1)
MD5 = {"content-md5": "what the body promised is checked elsewhere"}
KEYS = ("a", "a/1", "a/b/2", "b", "ü")
buckets = st.sampled_from(BUCKETS)
keys = st.sampled_from(KEYS)
bodies = st.binary(max_size=30) | st.integers(0, 255).map(lambda byte: bytes([byte]) * 70_000)  # in the row, and in a file
tags = st.dictionaries(st.sampled_from(("k", "Kind", "é")), st.sampled_from(("", "one", "two words")), max_size=2)
LISTINGS = tuple(product(("", "a", "a/", "ü", "none"), ("", "/"), (1, 2, 3, 1000)))
RULES: tuple[list[dict[str, Any]], ...] = (
    [],
    [
        {"Filter": {}, "Expiration": {"Days": 2}},
        {"ID": "u", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    ],
    [{"Filter": {"Prefix": "a"}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}],
    [
        {
            "Filter": {},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
        }
    ],
    [{"Filter": {"Tag": {"Key": "k", "Value": "one"}}, "Expiration": {"Days": 1}}],
)
index = st.integers(0, 1000)  # of one of those there are, counted round


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="strongroom-machine-"))
        self.now = datetime(2026, 3, 10, 12, tzinfo=UTC)
        self.slow = SlowS3(self.now)
        self.steps = 0
        self.stack = AsyncExitStack()
        self.open()

    def open(self) -> None:
        self.vault = self.do(self.stack.enter_async_context(vaults.opened(self.folder)))
        self.vault.now = self.now

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def run(self, name: str, **given: Any) -> dict[str, Any]:
        return self.do(self.vault.run(name, **given))

    def same(self, ours: Coroutine[Any, Any, Any], theirs: Any) -> Any:
        """What both answer, or None where both refuse with the same code. ``theirs`` is asked first, and may change nothing."""
        try:
            wanted = theirs()
        except Refused as refusal:
            code = refusal.code
        else:
            return self.do(ours), wanted
        with pytest.raises(ApiError) as caught:
            self.do(ours)
        assert caught.value.code == code
        return None

    @initialize(
        before=st.lists(st.tuples(buckets, keys, bodies, tags), min_size=3, max_size=6),
        versioning=st.sampled_from((("",), ("Enabled",), ("Enabled", "Suspended"))),
        after=st.lists(st.tuples(buckets, keys, bodies, tags), min_size=3, max_size=6),
    )
    def begin(self, before: list[Any], versioning: tuple[str, ...], after: list[Any]) -> None:
        """Two buckets, and something in them from before and after they had versioning, so that every example gets somewhere."""
        self.kms_key = self.do(self.vault.kms_key())[0]
        for name in BUCKETS:
            self.do(self.vault.make(name, **({"ObjectLockEnabledForBucket": True} if name == "locked" else {})))
            self.slow.buckets[name] = Bucket(versioning="Enabled" if name == "locked" else "")
        self.do(self.vault.rule("aws:kms", self.kms_key, bucket="under-kms"))
        self.slow.buckets["under-kms"].under = self.kms_key
        for one in before:
            self._put(*one)
        for status in filter(None, versioning):
            for name in VERSIONING:
                self._set_versioning(name, status)
            for one in after:
                self._put(*one)

    # ---- changes

    @rule(puts=st.lists(st.tuples(buckets, keys, bodies, tags), min_size=1, max_size=4))
    def put(self, puts: list[Any]) -> None:
        for one in puts:
            self._put(*one)

    def _put(self, bucket: str, key: str, body: bytes, tags: dict[str, str]) -> None:
        given = {"Tagging": "&".join(f"{name}={value}".replace(" ", "+") for name, value in tags.items())} if tags else {}
        done = self.same(
            self.vault.put(key, body, bucket=bucket, **given), lambda: self.slow.usable(self.slow.buckets[bucket].under)
        )
        if done is not None:
            self.slow.put(bucket, key, body, tags, done[0].get("VersionId"))

    @rule(bucket=buckets, key=keys)
    def delete(self, bucket: str, key: str) -> None:
        answer = self.run("DeleteObject", Bucket=bucket, Key=key)
        assert answer.get("DeleteMarker", False) == bool(self.slow.buckets[bucket].versioning)
        self.slow.delete(bucket, key, answer.get("VersionId"))

    @rule(
        bucket=buckets,
        which=st.lists(st.tuples(keys, st.booleans(), index), min_size=1, max_size=4, unique_by=lambda one: one[0]),
    )
    def delete_many(self, bucket: str, which: list[tuple[str, bool, int]]) -> None:
        """Some by key alone, some by one of their versions."""
        wanted: list[dict[str, str]] = []
        for key, by_version, number in which:
            versions = self.slow.buckets[bucket].objects.get(key, [])
            named = {"VersionId": versions[number % len(versions)].version_id} if by_version and versions else {}
            wanted.append({"Key": key, **named})
        answer = self.run("DeleteObjects", Bucket=bucket, Delete={"Objects": wanted})
        locked = {
            one.version_id for versions in self.slow.buckets[bucket].objects.values() for one in versions if self.slow.locked(one)
        }
        refused = [one for one in wanted if one.get("VersionId") in locked]
        assert [(one["VersionId"], one["Code"]) for one in answer.get("Errors", ())] == [
            (one["VersionId"], "AccessDenied") for one in refused
        ]
        for one, done in zip([one for one in wanted if one not in refused], answer.get("Deleted", ()), strict=True):
            if "VersionId" in one:
                self.slow.delete_version(bucket, one["Key"], one["VersionId"])
            else:
                self.slow.delete(bucket, one["Key"], done.get("DeleteMarkerVersionId"))

    @rule(bucket=buckets, number=index)
    def delete_version(self, bucket: str, number: int) -> None:
        one = self.some_version(bucket, number)
        if one is not None:
            asked = self.vault.run("DeleteObject", Bucket=bucket, Key=one.key, VersionId=one.version_id)
            done = self.same(asked, lambda: self.slow.removable(one))
            if done is not None:
                assert done[0].get("DeleteMarker", False) == (one.body is None)
                self.slow.delete_version(bucket, one.key, one.version_id)

    @rule(bucket=st.sampled_from(VERSIONING), key=keys, body=bodies, tags=tags, status=st.sampled_from(("Enabled", "Suspended")))
    def set_versioning(self, bucket: str, key: str, body: bytes, tags: dict[str, str], status: str) -> None:
        """A change of the state shows in what is written after it."""
        self._set_versioning(bucket, status)
        self._put(bucket, key, body, tags)

    def _set_versioning(self, bucket: str, status: str) -> None:
        self.do(self.vault.versioned(bucket, status))
        self.slow.buckets[bucket].versioning = status

    @rule(source=buckets, number=index, bucket=buckets, key=keys)
    def copy(self, source: str, number: int, bucket: str, key: str) -> None:
        one = self.some_version(source, number)
        if one is None or one.body is None or (source, one.key) == (bucket, key):
            return
        wanted = f"{source}/{one.key}?versionId={one.version_id}"

        def judge() -> None:
            self.slow.read(source, one.key, one.version_id)
            self.slow.usable(self.slow.buckets[bucket].under)

        done = self.same(self.vault.run("CopyObject", Bucket=bucket, Key=key, CopySource=wanted), judge)
        if done is not None:
            self.slow.copy(one, bucket, key, done[0].get("VersionId"))

    @rule(bucket=buckets, number=index, tags=tags)
    def tag(self, bucket: str, number: int, tags: dict[str, str]) -> None:
        one = self.some_version(bucket, number)
        if one is not None and one.body is not None:
            tag_set = [{"Key": name, "Value": value} for name, value in tags.items()]
            at = {"Bucket": bucket, "Key": one.key, "VersionId": one.version_id}
            self.run("PutObjectTagging", **at, Tagging={"TagSet": tag_set})
            one.tags = dict(tags)

    # ---- uploads

    @rule(bucket=buckets, key=keys, tags=tags)
    def begin_upload(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        under = self.slow.buckets[bucket].under
        given = {"Tagging": "&".join(f"{name}={value}".replace(" ", "+") for name, value in tags.items())} if tags else {}
        done = self.same(
            self.vault.run("CreateMultipartUpload", Bucket=bucket, Key=key, **given), lambda: self.slow.usable(under)
        )
        if done is not None:
            self.slow.buckets[bucket].uploads[done[0]["UploadId"]] = Upload(key, under, tags, self.now)

    @rule(bucket=buckets, number=index, body=bodies)
    def upload_part(self, bucket: str, number: int, body: bytes) -> None:
        """Only one part each: all but the last have 5 MiB at least, which is too slow here."""
        found = self.some_upload(bucket, number)
        if found is not None:
            upload_id, upload = found
            at = {"Bucket": bucket, "Key": upload.object_key, "UploadId": upload_id, "PartNumber": 1}
            if self.same(self.vault.run("UploadPart", data=body, **at), lambda: self.slow.usable(upload.under)) is not None:
                upload.parts[1] = body

    @rule(bucket=buckets, number=index, finish=st.booleans())
    def end_upload(self, bucket: str, number: int, finish: bool) -> None:
        found = self.some_upload(bucket, number)
        if found is None:
            return
        upload_id, upload = found
        at = {"Bucket": bucket, "Key": upload.object_key, "UploadId": upload_id}
        if not finish:
            self.run("AbortMultipartUpload", **at)
            del self.slow.buckets[bucket].uploads[upload_id]
        elif upload.parts:
            parts = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in self.run("ListParts", **at)["Parts"]]
            assert [one["PartNumber"] for one in parts] == sorted(upload.parts)
            done = self.same(
                self.vault.run("CompleteMultipartUpload", **at, MultipartUpload={"Parts": parts}),
                lambda: self.slow.usable(upload.under),
            )
            if done is not None:
                self.slow.complete(bucket, upload_id, done[0].get("VersionId"))

    # ---- locks and lifecycles

    @rule(number=index, days=st.integers(1, 4), hold=st.booleans())
    def protect(self, number: int, days: int, hold: bool) -> None:
        """Retain a version for longer than it is, and hold it or no longer hold it."""
        one = self.some_version("locked", number)
        if one is None or one.body is None:
            return
        at = {"Bucket": "locked", "Key": one.key, "VersionId": one.version_id}
        one.retained_until = max(one.retained_until or self.now, self.now) + days * DAY
        self.run("PutObjectRetention", **at, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": one.retained_until}, headers=MD5)
        self.run("PutObjectLegalHold", **at, LegalHold={"Status": "ON" if hold else "OFF"}, headers=MD5)
        one.held = hold

    @rule(bucket=buckets, rules=st.sampled_from(RULES), days=st.integers(1, 4))
    def days_pass(self, bucket: str, rules: list[dict[str, Any]], days: int) -> None:
        """One bucket gets other rules, and the lifecycle of each is carried out some days later."""
        ruled = [{"ID": "r", "Status": "Enabled", **one} for one in rules]
        if ruled:
            self.run("PutBucketLifecycleConfiguration", Bucket=bucket, LifecycleConfiguration={"Rules": ruled})
        else:
            self.run("DeleteBucketLifecycle", Bucket=bucket)
        self.slow.buckets[bucket].rules = ruled
        self.now = self.vault.now = self.slow.now = self.now + days * DAY
        self.do(LifecycleWork(self.vault.rooms, rate=0).run_due())
        for name in BUCKETS:
            removed, hidden = self.slow.due(name)
            for one in removed:
                self.slow.delete_version(name, one.key, one.version_id)
            for key in hidden:
                rows = self.run("ListObjectVersions", Bucket=name, Prefix=key)["DeleteMarkers"]
                self.slow.delete(name, key, next(one["VersionId"] for one in rows if one["Key"] == key and one["IsLatest"]))

    # ---- keys and restarts

    @precondition(lambda self: not self.slow.disabled)
    @rule()
    def disable_key(self) -> None:
        self.do(self.vault.kms("DisableKey", KeyId=self.kms_key))
        self.slow.disabled.add(self.kms_key)

    @precondition(lambda self: self.slow.disabled)
    @rule()
    def enable_key(self) -> None:
        self.do(self.vault.kms("EnableKey", KeyId=self.kms_key))
        self.slow.disabled.clear()

    @rule()
    def restart(self) -> None:
        self.do(self.stack.aclose())
        self.open()

    # ---- what is seen

    @invariant()
    def everything_is_seen_as_it_is(self) -> None:
        """Each key, the versions of one of them, the uploads that are open; and listings, another kind of them after each step."""
        self.steps += 1
        prefix, delimiter, page = LISTINGS[self.steps % len(LISTINGS)]
        for bucket, place in self.slow.buckets.items():
            for key in KEYS:
                self.reads(bucket, key, None)
            for one in place.objects.get(KEYS[self.steps % len(KEYS)], []):
                self.reads(bucket, one.key, one.version_id)
            listed = self.run("ListMultipartUploads", Bucket=bucket).get("Uploads", ())
            assert {one["UploadId"] for one in listed} == set(place.uploads)
            self.lists({"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": page})
            self.lists_versions({"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": page})

    def lists(self, given: dict[str, Any]) -> None:
        found: list[tuple[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            answer = self.run("ListObjectsV2", **given, **more)
            here = [(one["Key"], one["Size"]) for one in answer.get("Contents", ())]
            here += [(one["Prefix"], None) for one in answer.get("CommonPrefixes", ())]
            assert len(here) == answer["KeyCount"] <= given["MaxKeys"]
            found += sorted(here, key=lambda one: one[0].encode())
            if not answer["IsTruncated"]:
                break
            more = {"ContinuationToken": answer["NextContinuationToken"]}
        assert found == self.slow.listing(given["Bucket"], given["Prefix"], given["Delimiter"])

    def lists_versions(self, given: dict[str, Any]) -> None:
        found: list[tuple[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            answer = self.run("ListObjectVersions", **given, **more)
            rows = [(one, False) for one in answer.get("Versions", ())] + [(one, True) for one in answer.get("DeleteMarkers", ())]
            here = [(one["Key"], (one["VersionId"], one["IsLatest"], is_marker)) for one, is_marker in rows]
            here += [(one["Prefix"], None) for one in answer.get("CommonPrefixes", ())]
            assert len(here) <= given["MaxKeys"]
            found += here
            if not answer["IsTruncated"]:
                break
            more = {"KeyMarker": answer["NextKeyMarker"]}
            if answer.get("NextVersionIdMarker"):
                more["VersionIdMarker"] = answer["NextVersionIdMarker"]
        wanted = self.slow.version_listing(given["Bucket"], given["Prefix"], given["Delimiter"])
        assert sorted(found, key=repr) == sorted(
            wanted, key=repr
        )  # versions and markers come apart; tests of listings hold the order

    def reads(self, bucket: str, key: str, version_id: str | None) -> None:
        more = {} if version_id is None else {"VersionId": version_id}
        both = self.same(self.vault.get(key, bucket=bucket, **more), lambda: self.slow.read(bucket, key, version_id))
        if both is not None:
            (body, answer), wanted = both
            found = self.slow.find(bucket, key, version_id)
            assert body == wanted
            assert answer.output.get("TagCount", 0) == len(found.tags)
            tag_set = self.run("GetObjectTagging", Bucket=bucket, Key=key, **more)["TagSet"]
            assert {one["Key"]: one["Value"] for one in tag_set} == found.tags

    # ---- some of those there are

    def some_version(self, bucket: str, number: int) -> Version | None:
        every = [one for _, versions in sorted(self.slow.buckets[bucket].objects.items()) for one in versions]
        return every[number % len(every)] if every else None

    def some_upload(self, bucket: str, number: int) -> tuple[str, Upload] | None:
        every = list(self.slow.buckets[bucket].uploads.items())
        return every[number % len(every)] if every else None


@pytest.mark.timeout(180)
def test_the_server_shows_what_a_slow_s3_shows():
    # Shrinking takes minutes here: add Phase.shrink when something was found.
    chosen = settings(max_examples=25, stateful_step_count=30, phases=[Phase.explicit, Phase.generate])
    run_state_machine_as_test(Machine, settings=chosen)
