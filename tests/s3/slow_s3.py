"""A slow S3 in memory: what every client must see of buckets, versions, uploads, tags and keys, in the plainest way there is.

Written from the documentation, with no code of the server's. A refusal is a ``Refused`` with S3's code. Never knows encryption but for
this: what lies under a KMS key that is disabled cannot be read or written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Upload:
    object_key: str
    under: str | None
    tags: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Bucket:
    under: str | None = None  # the KMS key of its default encryption
    versioning: str = ""
    objects: dict[str, list[Version]] = field(default_factory=dict)  # newest first
    uploads: dict[str, Upload] = field(default_factory=dict)


class SlowS3:
    def __init__(self) -> None:
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
        place.objects[key] = [Version(shown, body, key, under, dict(tags)), *others]

    def delete(self, bucket: str, key: str, marker_id: str | None) -> None:
        """``marker_id``: the version id of the delete marker that was answered, if one was."""
        place = self.buckets[bucket]
        if place.versioning:
            self._add(bucket, key, None, {}, None, marker_id)
        else:
            assert marker_id is None
            place.objects.pop(key, None)

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
