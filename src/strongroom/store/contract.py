"""What the rooms above may ask of a store: Catalog (transactions over rows and documents) and Blobs (bytes, written once).

Never knows encryption, S3's rules or what a document means: ``seal``, ``meta``, ``manifest`` and ``body`` are opaque bytes.
Times are integers, milliseconds since the Unix epoch, UTC. Object keys are compared and ordered by their UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

#: Where a walk over versions goes on: behind that version of that object key. Opaque to who walks, but for the key.
Place = tuple[str, int]


class StoreError(Exception):
    """Base of what a store may raise."""


class Gone(StoreError):
    """The row or blob does not exist (any more)."""


class Conflict(StoreError):
    """A row with that identity exists already, or a bucket is not empty."""


class Unavailable(StoreError):
    """The store cannot do it now (disk full, IO error, lock not granted in time). Nothing was changed."""


class Claim(IntEnum):
    """What a write may ask of a full disk: of the room that is kept for deletes (``store/reserve.py``), how much is given up for it."""

    NONE = 0  # a plain write: nothing, and it is refused while anything is given up
    DELETE = 1  # takes away what clients see, but may add a row to do it
    FREE = 2  # gives back, and adds nothing


@dataclass(frozen=True, slots=True)
class BucketRow:
    bucket_id: str  # 32 hex, random, never reused
    name: str
    account_id: str
    region: str
    created_ms: int


class VersionRow(NamedTuple):  # the one value that is made for every read: a dataclass that is frozen takes five times as long
    """One version of an object. ``body`` is the sealed body when it is small enough to live in the row, else None."""

    bucket_id: str
    object_key: str
    version_id: str  # unique, chosen by the writer before sealing
    null_version: bool  # shown to clients as "null"
    delete_marker: bool
    size: int  # plaintext bytes
    modified_ms: int
    seal: bytes
    meta: bytes
    manifest: bytes
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class UploadRow:
    bucket_id: str
    object_key: str
    upload_id: str
    initiated_ms: int
    seal: bytes
    meta: bytes


@dataclass(frozen=True, slots=True)
class PartRow:
    upload_id: str
    part_number: int
    size: int
    modified_ms: int
    meta: bytes
    manifest: bytes


@dataclass(frozen=True, slots=True)
class AnnotationRow:
    """A named value beside one version of an object; it goes with the version. ``body`` is None where many are read at once."""

    name: str
    size: int  # plaintext bytes
    modified_ms: int
    meta: bytes
    manifest: bytes
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes on the disk that the rows take."""

    size: int
    free: int  # of them, what deletes have left for the next writes
    log: int  # beside them: changes that are not yet in their place


class Reader(Protocol):
    """Reads see every committed write, and nothing else."""

    async def bucket(self, name: str) -> BucketRow | None: ...

    async def buckets(
        self, account_id: str, *, prefix: str = "", after: str = "", region: str | None = None, limit: int
    ) -> list[BucketRow]:
        """By name, strictly after ``after``."""
        ...

    async def every_bucket(self, *, after: str = "", limit: int) -> list[BucketRow]:
        """Of all accounts, by name, strictly after ``after``."""
        ...

    async def latest(self, bucket_id: str, object_key: str) -> VersionRow | None:
        """The newest version (it may be a delete marker), with its body."""
        ...

    async def version(self, bucket_id: str, object_key: str, version_id: str | None) -> VersionRow | None:
        """One version by id, with its body; None asks for the null version."""
        ...

    async def current(
        self, bucket_id: str, *, start: str = "", after: str | None = None, prefix: str = "", limit: int
    ) -> list[VersionRow]:
        """Newest versions that are not delete markers, by object key, without bodies (``body`` is None).

        Keys begin with ``prefix``, are >= ``start`` and, if given, > ``after``. Costs O(limit), not O(bucket).
        """
        ...

    async def versions(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: Place | None = None, limit: int
    ) -> tuple[list[VersionRow], Place | None]:
        """Every version of every key, delete markers included, without bodies: by object key, the newest version first.

        Keys begin with ``prefix`` and are >= ``start``. With where to go on, which is None at the end. One page is of one moment and
        costs O(limit), and a version that stays while pages are turned is in exactly one of them, whatever else is written meanwhile.
        """
        ...

    async def place(self, bucket_id: str, object_key: str, version_id: str | None) -> Place | None:
        """Where ``versions`` goes on behind that version (None: the null version); None when there is no such version."""
        ...

    async def count_versions(self, bucket_id: str, *, prefix: str = "") -> int:
        """How many ``versions`` gives. Costs a look at each entry of an index."""
        ...

    async def annotation(self, row: VersionRow, name: str) -> AnnotationRow | None:
        """One annotation of that version, with its body; None when there is none, or no such version any more."""
        ...

    async def annotations(self, row: VersionRow, *, prefix: str = "", after: str = "", limit: int) -> list[AnnotationRow]:
        """By the UTF-8 bytes of the name, strictly after ``after``, without bodies."""
        ...

    async def upload(self, bucket_id: str, upload_id: str) -> UploadRow | None: ...

    async def uploads(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: tuple[str, str] | None = None, limit: int
    ) -> list[UploadRow]:
        """By (object_key, upload_id), strictly after ``after``; keys >= ``start``."""
        ...

    async def part(self, upload_id: str, part_number: int) -> PartRow | None: ...

    async def parts(self, upload_id: str, *, after: int = 0, limit: int) -> list[PartRow]:
        """By part number, strictly after ``after``."""
        ...

    async def document(self, scope: str, kind: str) -> Any | None:
        """One named JSON value."""
        ...

    async def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        """(scope, value) of all documents of a kind whose scope begins with ``prefix``, by scope, strictly after ``after``."""
        ...


class Transaction(Protocol):
    """The synchronous face inside ``Catalog.write``: sees its own writes; all or nothing. Must not be kept."""

    @property
    def generation(self) -> int | None:
        """The catalog's, which no other process can raise while this lasts; None when it will be raised by this transaction."""
        ...

    def bucket(self, name: str) -> BucketRow | None: ...
    def bucket_exists(self, bucket_id: str) -> bool: ...

    def create_bucket(self, row: BucketRow) -> None:
        """Raises Conflict when the name is taken."""
        ...

    def count_buckets(self, account_id: str) -> int: ...

    def delete_bucket(self, bucket_id: str) -> list[PartRow]:
        """With its documents (scope ``bucket/<id>`` and below), its uploads and their parts, which are returned (their blobs are not discarded).

        Raises Conflict if it holds any version, Gone if there is no such bucket.
        """
        ...

    def latest(self, bucket_id: str, object_key: str) -> VersionRow | None:
        """As Reader.latest, without the body."""
        ...

    def version(self, bucket_id: str, object_key: str, version_id: str | None) -> VersionRow | None:
        """As Reader.version, without the body."""
        ...

    def versions(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: Place | None = None, limit: int
    ) -> tuple[list[VersionRow], Place | None]:
        """As Reader.versions."""
        ...

    def insert_version(self, row: VersionRow) -> None:
        """The row becomes the newest version of its key.

        Raises Conflict when the version id exists, or for a second null version; Gone when the bucket is gone.
        """
        ...

    def replace_version(self, old: VersionRow, row: VersionRow) -> None:
        """``row`` takes the place of ``old``, the newest version of the same key; both are null versions. The annotations of ``old`` go.

        Raises Gone when ``old`` is not (any more) what it was.
        """
        ...

    def delete_version(self, row: VersionRow) -> None:
        """Remove that row and its annotations; the next newest version (if any) becomes the newest. Raises Gone."""
        ...

    def reseal_version(self, row: VersionRow, *, seal: bytes, meta: bytes) -> None:
        """Replace the wrapping of a version and nothing else. Raises Gone."""
        ...

    def annotations(self, row: VersionRow) -> list[AnnotationRow]:
        """All annotations of a version by name, without bodies."""
        ...

    def put_annotation(self, row: VersionRow, annotation: AnnotationRow) -> None:
        """Insert, or replace the one of that name. Raises Gone when the version is gone."""
        ...

    def delete_annotation(self, row: VersionRow, name: str) -> bool:
        """Whether there was one. Raises Gone when the version is gone."""
        ...

    def move_annotations(self, old: VersionRow, row: VersionRow, metas: Mapping[str, bytes]) -> None:
        """The named annotations of ``old`` become those of ``row``, with other records. Raises Gone when one of the versions is gone."""
        ...

    def insert_upload(self, row: UploadRow) -> None:
        """Raises Conflict when the upload id exists; Gone when the bucket is gone."""
        ...

    def upload(self, bucket_id: str, upload_id: str) -> UploadRow | None: ...

    def delete_upload(self, row: UploadRow) -> list[PartRow]:
        """Remove an upload with its parts, which are returned by part number. Raises Gone."""
        ...

    def put_part(self, row: PartRow) -> PartRow | None:
        """Insert or replace; returns the part that was replaced. Raises Gone when the upload is gone."""
        ...

    def keep(self, blob_ids: Sequence[str]) -> None:
        """These blobs are named by a row of this transaction; upkeep must not sweep them."""
        ...

    def discard(self, blob_ids: Sequence[str]) -> None:
        """These blobs are named by no row any more; they are deleted after the commit."""
        ...

    def document(self, scope: str, kind: str) -> Any | None: ...

    def set_document(self, scope: str, kind: str, value: Any | None) -> None:
        """Set, or remove with None. Raises the generation."""
        ...

    def note(self, scope: str, kind: str, value: Any | None) -> None:
        """As ``set_document``, for what nobody remembers: the generation stays."""
        ...

    def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]: ...


class Catalog(Reader, Protocol):
    """Rows and documents. Conformance: ``tests/store/catalog_suite.py``."""

    async def write(self, work: Callable[[Transaction], T], claim: Claim = Claim.NONE) -> T:
        """Run ``work`` in one transaction and return its result once that is durable.

        Writes are serialised over all workers; many waiting works share one commit, each in its own savepoint. An
        exception from ``work`` undoes that work alone and is raised here. Raises Unavailable when it cannot be committed.
        A work with a ``claim`` may be run again when the disk was full: what it did before was undone.
        """
        ...

    def generation(self) -> int:
        """Changes (for every worker on the folder) whenever a bucket or a document has changed: what caches compare. Under a microsecond."""
        ...

    async def discarded_mark(self) -> int:
        """A mark behind all that is discarded so far; later marks are greater or equal."""
        ...

    async def discarded(self, limit: int, until: int | None = None) -> list[str]:
        """Blob ids that wait for deletion, oldest first; with a mark, those before it. ``forget`` them once they are deleted."""
        ...

    async def forget(self, blob_ids: Sequence[str]) -> None: ...

    async def unkept(self, blob_ids: Sequence[str]) -> list[str]:
        """Those of the given ids that no row names (neither kept nor waiting for deletion)."""
        ...

    async def kept(self, blob_ids: Sequence[str]) -> list[str]:
        """Those of the given ids that are kept because a row names them."""
        ...

    async def space(self) -> Space: ...

    async def prove_writing(self) -> None:
        """Commit something that nobody asks for; no cache need know. Raises Unavailable when it cannot be committed."""
        ...

    async def close(self) -> None: ...


LEAST_ROOM: Final = 64 << 10  # bytes


class BlobWriter(Protocol):
    """One blob being written. Nothing is visible before ``commit``; after a crash or ``abort`` nothing remains that counts."""

    @property
    def blob_id(self) -> str: ...  # 32 hex, random

    async def write(self, data: bytes | bytearray | memoryview) -> None: ...

    async def fill(self, source: Callable[[memoryview], int]) -> None:
        """Write what ``source`` makes, without a copy between: it is called, in a thread, with at least ``LEAST_ROOM`` bytes of room to
        write to from their start, returns how many it wrote, and is called again until that is 0. What it raises comes through.
        """
        ...

    async def commit(self) -> None:
        """Durable when it returns (data, name and folder are on disk). Raises Unavailable."""
        ...

    async def abort(self) -> None:
        """Idempotent; harmless after commit."""
        ...


class Blobs(Protocol):
    """Write once, read a range, delete, list. Conformance: ``tests/store/blobs_suite.py``."""

    async def create(self) -> BlobWriter: ...

    async def read(self, blob_id: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes, or fewer only at the end. Raises Gone, Unavailable."""
        ...

    async def read_with(self, blob_id: str, offset: int, length: int, use: Callable[[memoryview], T]) -> T:
        """What ``use`` makes of the bytes that ``read`` would give, in a thread, or at once where they are few and at hand. They are there
        until it returns, and no longer: it keeps none of them but by a copy. Raises as ``read``; what ``use`` raises comes through.
        """
        ...

    async def size(self, blob_id: str) -> int:
        """Raises Gone."""
        ...

    async def delete(self, blob_id: str) -> None:
        """Idempotent."""
        ...

    def list(self) -> AsyncIterator[tuple[str, int, int]]:
        """(blob_id, committed at in ms, bytes) of every committed blob, in no order."""
        ...

    async def prove_writing(self) -> None:
        """After a write that failed: write as much as a large body does at a time, and take it away again. Raises Unavailable."""
        ...

    async def close(self) -> None: ...
