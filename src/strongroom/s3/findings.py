"""What a look at a whole store comes to: findings, counts, and how far the walk is. Nothing here looks at anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strongroom.store.contract import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``kind``: corrupt, missing, orphaned, unreadable, or key-… with what the matter is with a KMS key."""

    kind: str
    why: str
    bucket: str = ""
    object_key: str = ""
    version_id: str = ""  # the row's own
    upload_id: str = ""
    part_number: int | None = None
    blob_id: str = ""
    key: str = ""  # a key of the server's or of KMS

    @property
    def what(self) -> str:
        """The thing, in one line."""
        if self.key:
            return self.key
        if not self.bucket:
            return f"blob {self.blob_id}"
        where = f"{self.bucket}/{self.object_key}" if self.object_key else f"bucket {self.bucket}"
        if self.upload_id:
            where += f" upload {self.upload_id}"
        if self.version_id:
            where += f" version {self.version_id}"
        return where + ("" if self.part_number is None else f" part {self.part_number}")


@dataclass(slots=True)
class Tally:
    """What has been looked at so far."""

    buckets: int = 0
    versions: int = 0
    uploads: int = 0
    parts: int = 0
    size: int = 0  # bytes of plaintext whose segments were opened
    customer_locked: int = 0  # streams whose segments only the client's key opens
    blobs: int = 0
    waiting: int = 0  # blobs that were given up and wait for upkeep
    settling: int = 0  # young blobs that no row names yet
    findings: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Position:
    """All before it has been looked at, and what was found there has been told. Buckets are gone through by name, in each the
    uploads before the versions; the blobs come last.
    """

    bucket: str = ""
    upload: tuple[str, str] | None = None  # object key and id of the last upload that was looked at
    place: Place | None = None  # behind the last version that was looked at; the uploads are done, too
    rows_done: bool = False  # of all buckets
