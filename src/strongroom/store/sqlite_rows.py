"""Reading rows over one SQLite connection: texts and tuples in, the contract's values out.

Used by the readers (on the reading connection) and by transactions (on the writing one). Never knows who asks, and never writes.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

import orjson

from strongroom.store.contract import AnnotationRow, BucketRow, PartRow, Place, Unavailable, UploadRow, VersionRow
from strongroom.store.ranges import name_range

if TYPE_CHECKING:
    from strongroom.store.texts import Statements

# Where things stand in a version as the ``tx_`` statements read it.
_ID, _SEQ, _VERSION_ID, _NULL = 0, 1, 3, 4
_REMEMBERED: Final = 10_000  # bucket ids whose numbers are remembered


def unavailable(error: sqlite3.Error) -> Unavailable:
    """What the driver reports, in the contract's words; the driver's text names no data."""
    return Unavailable(f"catalog: {error}")


def bucket_row(found: Any) -> BucketRow:
    bucket_id, name, account_id, region, created_ms = found
    return BucketRow(bucket_id, name.decode(), account_id, region, created_ms)


def part_row(upload_id: str, found: Any) -> PartRow:
    part_number, size, modified_ms, meta, manifest = found
    return PartRow(upload_id, part_number, size, modified_ms, meta, manifest)


class Rows:
    """Each method is one or two statements, a few microseconds each. All raise Unavailable when the database fails."""

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        self._execute = connection.cursor().execute  # one cursor: every statement is read to its end before the next
        self._sql = statements
        self._numbers: dict[str, int] = {}

    def one(self, sql: str, *given: Any) -> Any:
        """The only row, or None."""
        try:
            return self._execute(sql, given).fetchone()
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def all(self, sql: str, *given: Any) -> list[Any]:
        try:
            return self._execute(sql, given).fetchall()
        except sqlite3.Error as error:
            raise unavailable(error) from error

    def number(self, bucket_id: str) -> int | None:
        """The number that stands for a bucket id inside. Remembered: it is never given to another bucket, so at worst it finds nothing."""
        number = self._numbers.get(bucket_id)
        if number is None:
            found = self.one(self._sql.bucket_number, bucket_id)
            if found is None:
                return None
            if len(self._numbers) >= _REMEMBERED:
                self._numbers.clear()
            number = self._numbers[bucket_id] = found[0]
        return number

    def forget_numbers(self) -> None:
        self._numbers.clear()

    # ---- buckets

    def bucket(self, name: str) -> BucketRow | None:
        found = self.one(self._sql.bucket, name.encode())
        return None if found is None else bucket_row(found)

    def buckets(self, account_id: str, prefix: str, after: str, region: str | None, limit: int) -> list[BucketRow]:
        low, high = name_range(prefix, after=after)
        if region is None:
            found = self.all(self._sql.buckets, account_id, low, high, limit)
        else:
            found = self.all(self._sql.buckets_in_region, account_id, low, high, region, limit)
        return [bucket_row(row) for row in found]

    def every_bucket(self, after: str, limit: int) -> list[BucketRow]:
        return [bucket_row(row) for row in self.all(self._sql.every_bucket, after.encode(), limit)]

    # ---- versions

    def latest(self, bucket_id: str, object_key: str) -> VersionRow | None:
        """The hot path of a GET: one statement when the newest version is an object."""
        number = self._numbers.get(bucket_id) or self.number(bucket_id)
        encoded = object_key.encode()
        try:
            found = self._execute(self._sql.current, (number, encoded)).fetchone()
            if found is None:
                found = self._execute(self._sql.hidden, (number, encoded)).fetchone()
                if found is None:
                    return None
        except sqlite3.Error as error:
            raise unavailable(error) from error
        version_id, null, marker, size, modified_ms, seal, meta, manifest, body = found
        return VersionRow(
            bucket_id, object_key, version_id, null == 1, marker == 1, size, modified_ms, seal, meta, manifest, body
        )

    def version(self, bucket_id: str, object_key: str, version_id: str | None) -> VersionRow | None:
        number, encoded = self.number(bucket_id), object_key.encode()
        found = None if version_id is None else self.one(self._sql.numbered, number, encoded, version_id)
        if found is None:
            found = self.one(self._sql.current_null, number, encoded) or self.one(self._sql.hidden_null, number, encoded)
            if found is None or version_id not in {None, found[0]}:
                return None
        own_id, null, marker, size, modified_ms, seal, meta, manifest, body = found
        return VersionRow(bucket_id, object_key, own_id, null == 1, marker == 1, size, modified_ms, seal, meta, manifest, body)

    def current(self, bucket_id: str, start: str, after: str | None, prefix: str, limit: int) -> list[VersionRow]:
        low, high = name_range(prefix, start, after)
        found = self.all(self._sql.list_current, self.number(bucket_id), low, high, limit)
        return [
            VersionRow(bucket_id, key.decode(), version_id, null == 1, marker == 1, size, modified_ms, seal, meta, manifest)
            for key, version_id, null, marker, size, modified_ms, seal, meta, manifest in found
        ]

    def versions(
        self, bucket_id: str, prefix: str, start: str, after: Place | None, limit: int
    ) -> tuple[list[VersionRow], Place | None]:
        low, high = name_range(prefix, start)
        within = (b"", 0)  # a version's number in its key is never below 1, so this is in the midst of no key
        if after is not None and low <= (key := after[0].encode()):
            within, low = ((key, after[1]) if key < high else within), key + b"\0"
        number = self.number(bucket_id)
        rest, behind = (number, *within), (number, low, high)
        found = self.all(self._sql.list_versions, *rest, *rest, *behind, *behind, limit)
        rows = [
            VersionRow(bucket_id, key.decode(), version_id, null == 1, marker == 1, size, modified_ms, seal, meta, manifest)
            for key, _, version_id, null, marker, size, modified_ms, seal, meta, manifest in found
        ]
        return rows, (rows[-1].object_key, found[-1][1]) if len(rows) == limit else None

    def place(self, bucket_id: str, object_key: str, version_id: str | None) -> Place | None:
        found = self._located(bucket_id, object_key, version_id)
        return None if found is None else (object_key, found[_SEQ])

    def _located(self, bucket_id: str, object_key: str, version_id: str | None) -> Any | None:
        """A version as the ``tx_`` statements read it."""
        number, encoded = self.number(bucket_id), object_key.encode()
        found = None if version_id is None else self.one(self._sql.tx_numbered, number, encoded, version_id)
        if found is None:
            found = self.one(self._sql.tx_current, number, encoded)
            if found is None or not found[_NULL]:
                found = self.one(self._sql.tx_hidden_null, number, encoded)
            if found is None or version_id not in {None, found[_VERSION_ID]}:
                return None
        return found

    def count_versions(self, bucket_id: str, prefix: str) -> int:
        count: int = self.one(self._sql.count_versions, self.number(bucket_id), *name_range(prefix))[0]
        return count

    # ---- annotations

    def annotation(self, row: VersionRow, name: str) -> AnnotationRow | None:
        located = self._located(row.bucket_id, row.object_key, row.version_id)
        found = None
        if located is not None:
            found = self.one(self._sql.annotation, located[_ID], row.version_id, name.encode())
        return None if found is None else AnnotationRow(name, *found[1:])

    def annotations(self, row: VersionRow, prefix: str, after: str, limit: int) -> list[AnnotationRow]:
        located = self._located(row.bucket_id, row.object_key, row.version_id)
        if located is None:
            return []
        low, high = name_range(prefix, after=after)
        found = self.all(self._sql.annotations, located[_ID], row.version_id, low, high, limit)
        return [AnnotationRow(name.decode(), *rest) for name, *rest in found]

    # ---- uploads and parts

    def upload(self, bucket_id: str, upload_id: str) -> UploadRow | None:
        found = self.one(self._sql.upload, upload_id)
        if found is None or found[1] != self.number(bucket_id):
            return None
        _, _, object_key, initiated_ms, seal, meta = found
        return UploadRow(bucket_id, object_key.decode(), upload_id, initiated_ms, seal, meta)

    def uploads(self, bucket_id: str, prefix: str, start: str, after: tuple[str, str] | None, limit: int) -> list[UploadRow]:
        low, high = name_range(prefix, start)
        behind = (low, "")  # an upload id is never empty
        if after is not None:
            behind = max(behind, (after[0].encode(), after[1]))
        found = self.all(self._sql.uploads, self.number(bucket_id), *behind, high, limit)
        return [
            UploadRow(bucket_id, object_key.decode(), upload_id, initiated_ms, seal, meta)
            for object_key, upload_id, initiated_ms, seal, meta in found
        ]

    def part(self, upload_id: str, part_number: int) -> PartRow | None:
        found = self.one(self._sql.part, upload_id, part_number)
        return None if found is None else part_row(upload_id, found)

    def parts(self, upload_id: str, after: int, limit: int) -> list[PartRow]:
        return [part_row(upload_id, found) for found in self.all(self._sql.parts, upload_id, after, limit)]

    # ---- documents

    def document(self, scope: str, kind: str) -> Any | None:
        found = self.one(self._sql.document, scope.encode(), kind)
        return None if found is None else orjson.loads(found[0])

    def documents(self, kind: str, prefix: str, after: str, limit: int) -> list[tuple[str, Any]]:
        low, high = name_range(prefix, after=after)
        found = self.all(self._sql.documents, kind, low, high, limit)
        return [(scope.decode(), orjson.loads(content)) for scope, content in found]

    # ---- blobs

    def discarded(self, limit: int, until: int) -> list[str]:
        return [blob_id.hex() for (blob_id,) in self.all(self._sql.discarded, until, limit)]

    def discarded_mark(self) -> int:
        mark: int = self.one(self._sql.discarded_mark)[0]
        return mark

    def is_kept(self, blob_id: str) -> bool:
        wanted = bytes.fromhex(blob_id)
        return self.one(self._sql.is_kept, wanted, wanted, wanted) is not None

    def is_named(self, blob_id: str) -> bool:
        return self.one(self._sql.is_named, bytes.fromhex(blob_id)) is not None
