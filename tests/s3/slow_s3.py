"""A slow S3 in memory: what every client must see of buckets, versions, uploads, tags, locks, lifecycles and keys, in the plainest way.

Written from the documentation, with no code of the server's. A refusal is a ``Refused`` with S3's code. Never knows encryption but for
this: what lies under a KMS key that is disabled cannot be read or written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.s3 import slow_lifecycle as lifecycle


class Refused(Exception):
    @property
    def code(self) -> str:
        return str(self.args[0])


@dataclass
class Version:
    version_id: str  # "null" for the null version
    body: bytes | None  # None: a delete marker
    key: str  # of the object
    under: str | None  # the KMS key
    made: datetime
    tags: dict[str, str] = field(default_factory=dict)
    retained_until: datetime | None = None
    held: bool = False


@dataclass
class Upload:
    object_key: str
    under: str | None
    tags: dict[str, str]
    initiated: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Bucket:
    under: str | None = None  # the KMS key of its default encryption
    versioning: str = ""
    objects: dict[str, list[Version]] = field(default_factory=dict)  # newest first
    uploads: dict[str, Upload] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)  # of its lifecycle


class SlowS3:
    def __init__(self, now: datetime) -> None:
        self.now = now
        self.buckets: dict[str, Bucket] = {}
        self.disabled: set[str] = set()

    # ---- objects

    def put(self, bucket: str, key: str, body: bytes, tags: dict[str, str], version_id: str | None) -> None:
        """``version_id`` is what the server answered, which only a bucket that has or had versioning answers."""
        self.usable(self.buckets[bucket].under)
        self._add(bucket, key, body, tags, self.buckets[bucket].under, version_id)

    def _add(
        self, bucket: str, key: str, body: bytes | None, tags: dict[str, str], under: str | None, version_id: str | None
    ) -> None:
        place = self.buckets[bucket]
        if place.versioning == "Enabled":
            assert version_id not in (None, "null")
            assert all(version_id != one.version_id for versions in place.objects.values() for one in versions)
        else:
            assert version_id == ("null" if place.versioning else None)
        shown = version_id or "null"
        others = [one for one in place.objects.get(key, []) if one.version_id != shown]
        place.objects[key] = [Version(shown, body, key, under, self.now, dict(tags)), *others]

    def delete(self, bucket: str, key: str, marker_id: str | None) -> None:
        """``marker_id``: the version id of the delete marker that was answered, if one was."""
        place = self.buckets[bucket]
        if place.versioning:
            self._add(bucket, key, None, {}, None, marker_id)
        else:
            assert marker_id is None
            place.objects.pop(key, None)

    def locked(self, one: Version) -> bool:
        return one.held or (one.retained_until is not None and self.now < one.retained_until)

    def removable(self, one: Version) -> None:
        if self.locked(one):
            raise Refused("AccessDenied")

    def delete_version(self, bucket: str, key: str, version_id: str) -> None:
        place = self.buckets[bucket]
        left = [one for one in place.objects.get(key, []) if one.version_id != version_id]
        place.objects[key] = left
        if not left:
            del place.objects[key]

    def find(self, bucket: str, key: str, version_id: str | None = None) -> Version:
        versions = self.buckets[bucket].objects.get(key, [])
        if version_id is None:
            if not versions or versions[0].body is None:
                raise Refused("NoSuchKey")
            return versions[0]
        for one in versions:
            if one.version_id == version_id:
                if one.body is None:
                    raise Refused("MethodNotAllowed")
                return one
        raise Refused("NoSuchVersion")

    def read(self, bucket: str, key: str, version_id: str | None = None) -> bytes:
        found = self.find(bucket, key, version_id)
        self.usable(found.under)
        assert found.body is not None
        return found.body

    def copy(self, source: Version, bucket: str, key: str, version_id: str | None) -> None:
        assert source.body is not None
        self._add(bucket, key, source.body, source.tags, self.buckets[bucket].under, version_id)

    def usable(self, under: str | None) -> None:
        if under in self.disabled:
            raise Refused("KMS.DisabledException")

    # ---- uploads

    def complete(self, bucket: str, upload_id: str, version_id: str | None) -> None:
        upload = self.buckets[bucket].uploads.pop(upload_id)
        body = b"".join(data for _, data in sorted(upload.parts.items()))
        self._add(bucket, upload.object_key, body, upload.tags, upload.under, version_id)

    # ---- lifecycles

    def due(self, bucket: str) -> tuple[list[Version], list[str]]:
        """Remove for good what is due to be, and give up uploads. Returns the versions to delete, which a delete marker may hide, and
        keys that get one.
        """
        place = self.buckets[bucket]
        removed: list[Version] = []
        hidden: list[str] = []
        for key, versions in place.objects.items():
            judged = [lifecycle.Version(key, len(one.body or b""), one.made, one.body is None, tags=one.tags) for one in versions]
            for number, one in enumerate(versions):
                action = lifecycle.slow_judge(place.rules, judged, number, self.now, versioned=bool(place.versioning))
                if action is not None and action[0] == "expire" and place.versioning:
                    hidden.append(key)
                elif action is not None and not self.locked(one):
                    removed.append(one)
        ends = [
            rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
            for rule in place.rules
            if "AbortIncompleteMultipartUpload" in rule
        ]
        for upload_id, upload in list(place.uploads.items()):
            if any(lifecycle.at_midnight(upload.initiated, days) <= self.now for days in ends):
                del place.uploads[upload_id]
        return removed, hidden

    # ---- what is seen

    def listing(self, bucket: str, prefix: str, delimiter: str) -> list[tuple[str, Any]]:
        """Keys with their sizes, and common prefixes with None, in the order of UTF-8."""
        objects = self.buckets[bucket].objects
        current = [(key, len(versions[0].body)) for key, versions in objects.items() if versions[0].body is not None]
        return _rolled_up(current, prefix, delimiter)

    def version_listing(self, bucket: str, prefix: str, delimiter: str) -> list[tuple[str, Any]]:
        """Keys with (version id, newest, marker) for each version, newest first, and common prefixes with None."""
        objects = self.buckets[bucket].objects
        every = [
            (key, (one.version_id, one is versions[0], one.body is None)) for key, versions in objects.items() for one in versions
        ]
        return _rolled_up(every, prefix, delimiter)


def _rolled_up(entries: list[tuple[str, Any]], prefix: str, delimiter: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, shown in sorted(entries, key=lambda entry: entry[0].encode()):
        rest = key.removeprefix(prefix)
        if not key.startswith(prefix):
            continue
        if delimiter and delimiter in rest:
            entry = (prefix + rest[: rest.index(delimiter) + len(delimiter)], None)
            if entry not in found:
                found.append(entry)
        else:
            found.append((key, shown))
    return found
