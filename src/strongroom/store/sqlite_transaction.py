"""The synchronous face inside ``Catalog.write``, over the writing connection: each work's changes, undone alone if it raises.

Never commits, and never knows how works are grouped; ``sqlite_commits`` drives it. A savepoint is only opened before a work's first
change, and only if a work before it in the same transaction has changed something.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import orjson

from strongroom.store.contract import AnnotationRow, BucketRow, Conflict, Gone, PartRow, Place, Unavailable, UploadRow, VersionRow
from strongroom.store.ranges import prefix_end
from strongroom.store.remembered import part_of
from strongroom.store.sqlite_rows import Rows, part_row, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from strongroom.store.texts import Statements

# A version as transactions read it: (id, seq, current, version_id, null_version, delete_marker, size, modified_ms, seal, meta, manifest).
_ID: Final = 0
_SEQ: Final = 1
_CURRENT: Final = 2
_VERSION_ID: Final = 3
_NULL: Final = 4
_MARKER: Final = 5


def _row(bucket_id: str, object_key: str, found: Any) -> VersionRow:
    _, _, _, version_id, null, marker, size, modified_ms, seal, meta, manifest = found
    return VersionRow(bucket_id, object_key, version_id, null == 1, marker == 1, size, modified_ms, seal, meta, manifest)


class SqliteTransaction:
    """Implements ``contract.Transaction``; one object serves all works of a connection, one after the other."""

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        self._connection = connection
        self._execute = connection.cursor().execute
        self._executemany = connection.cursor().executemany
        self._rows = Rows(connection, statements)
        self._sql = statements
        self._newest_found: tuple[int, bytes, Any] | None = None  # the last answer of _newest, while it still holds
        self._generation: int | None = None
        self._annotations: bool | None = None  # whether there are any; None: not known since the generation was raised
        self._wrote_before = False  # a finished work of this transaction has changed something
        self._writes = False  # this work has
        self._savepoint = False
        self._broken = False
        self.raises_generation = False
        self.changed_parts: set[int] = set()  # of the keys whose versions change, undone works included: see ``remembered``

    # ---- what the committer calls

    def start(self, generation: int) -> None:
        """A new database transaction has begun, at this generation."""
        if generation != self._generation:  # some process has changed buckets
            self._rows.forget_numbers()
            self._annotations = None
            self._generation = generation
        self.raises_generation = False
        self.changed_parts = set()
        self._wrote_before = False
        self.start_work()

    def start_work(self) -> None:
        self._newest_found = None
        self._writes = False
        self._savepoint = False
        self._broken = False

    @property
    def wrote(self) -> bool:
        """Whether there is anything to commit."""
        return self._wrote_before

    def finish_work(self) -> None:
        """Raises Unavailable when a statement of the work failed in the database, even if the work went on."""
        if self._broken:
            raise Unavailable("catalog: a statement of this work has failed")
        if self._savepoint:
            self._execute("RELEASE work")
        self._wrote_before = self._wrote_before or self._writes

    def undo_work(self) -> None:
        """Raises sqlite3.Error when only undoing the whole transaction is left."""
        if self._writes:
            self._rows.forget_numbers()
            if self._savepoint:
                self._execute("ROLLBACK TO work")
                self._execute("RELEASE work")
            elif not self._wrote_before:  # nothing else is in this transaction yet
                self._execute("ROLLBACK")
                self._execute("BEGIN IMMEDIATE")

    def forget(self) -> None:
        """The transaction was undone as a whole."""
        self._rows.forget_numbers()

    def prove_writing(self) -> None:
        """A change of a row that nobody reads."""
        self._change(self._sql.delete_about, ("probe",))
        self._change(self._sql.set_format, ("probe", secrets.token_hex(8)))

    def give_back(self, going_on: Callable[[], bool]) -> int:
        """Move what is at the end of the file into free pages and leave the end out, a page at a time; returns how many."""
        before: int = self._rows.one("PRAGMA freelist_count")[0]
        try:
            self._before_change()
            for _ in range(before):
                # The driver runs one step of a pragma, which is one page; fetching ends it, or nothing could be committed.
                self._execute("PRAGMA incremental_vacuum(1)").fetchall()
                if not going_on():
                    break
        except sqlite3.Error as error:
            self._broken = True
            raise unavailable(error) from error
        after: int = self._rows.one("PRAGMA freelist_count")[0]
        return before - after

    @property
    def generation(self) -> int | None:
        return None if self.raises_generation else self._generation

    # ---- buckets

    def bucket(self, name: str) -> BucketRow | None:
        return self._rows.bucket(name)

    def bucket_exists(self, bucket_id: str) -> bool:
        return self._rows.number(bucket_id) is not None

    def create_bucket(self, row: BucketRow) -> None:
        given = (row.bucket_id, row.name.encode(), row.account_id, row.region, row.created_ms)
        self._insert("a bucket of that name exists", self._sql.insert_bucket, given)
        self.raises_generation = True

    def count_buckets(self, account_id: str) -> int:
        count: int = self._rows.one(self._sql.count_buckets, account_id)[0]
        return count

    def delete_bucket(self, bucket_id: str) -> list[PartRow]:
        number = self._number(bucket_id)
        if self._rows.one(self._sql.any_version, number) is not None:
            raise Conflict("the bucket is not empty")
        parts = [part_row(upload_id, found) for upload_id, *found in self._rows.all(self._sql.parts_of_bucket, number)]
        scope = f"bucket/{bucket_id}".encode()
        self._change(self._sql.delete_parts_of_bucket, (number,))
        self._change(self._sql.delete_uploads, (number,))
        self._change(self._sql.delete_documents, (scope, scope + b"\0"))
        self._change(self._sql.delete_documents, (scope + b"/", prefix_end(scope + b"/")))
        self._change(self._sql.delete_bucket, (number,))
        self._rows.forget_numbers()
        self.raises_generation = True
        return parts

    # ---- versions

    def latest(self, bucket_id: str, object_key: str) -> VersionRow | None:
        number = self._rows.number(bucket_id)
        found = None if number is None else self._newest(number, object_key.encode())
        return None if found is None else _row(bucket_id, object_key, found)

    def version(self, bucket_id: str, object_key: str, version_id: str | None) -> VersionRow | None:
        number = self._rows.number(bucket_id)
        found = None if number is None else self._find(number, object_key.encode(), version_id)
        return None if found is None else _row(bucket_id, object_key, found)

    def versions(
        self, bucket_id: str, *, prefix: str = "", start: str = "", after: Place | None = None, limit: int
    ) -> tuple[list[VersionRow], Place | None]:
        return self._rows.versions(bucket_id, prefix, start, after, limit)

    def insert_version(self, row: VersionRow) -> None:
        number, object_key = self._number(row.bucket_id), row.object_key.encode()
        newest = self._newest(number, object_key)
        if newest is not None:
            null = newest if newest[_NULL] else self._rows.one(self._sql.tx_hidden_null, number, object_key)
            if null is not None and (row.null_version or null[_VERSION_ID] == row.version_id):
                raise Conflict("the key has a null version already" if row.null_version else "a version of that id exists")
        given = (
            number,
            object_key,
            1 if newest is None else newest[_SEQ] + 1,
            0 if row.delete_marker else 1,
            row.version_id,
            1 if row.null_version else 0,
            1 if row.delete_marker else 0,
            row.size,
            row.modified_ms,
            row.seal,
            row.meta,
            row.manifest,
            row.body,
        )
        self._change_newest(row)
        self._insert("a version of that id exists", self._sql.insert_version, given)
        if newest is not None and newest[_CURRENT]:
            self._change(self._sql.set_current, (0, newest[_ID]))

    def replace_version(self, old: VersionRow, row: VersionRow) -> None:
        """One row changes in place: a third of the work of taking it out of the table and its indexes and putting another in."""
        newest = self._newest(self._number(old.bucket_id), old.object_key.encode())
        same = newest is not None and newest[_VERSION_ID] == old.version_id and newest[_NULL] and row.null_version
        if newest is None or not same or (row.bucket_id, row.object_key) != (old.bucket_id, old.object_key):
            raise Gone("no such null version is the newest")
        given = (
            0 if row.delete_marker else 1,
            row.version_id,
            1 if row.delete_marker else 0,
            row.size,
            row.modified_ms,
            row.seal,
            row.meta,
            row.manifest,
            row.body,
            newest[_ID],
        )
        self._change_newest(row)
        self._change(self._sql.replace_version, given)
        if self._are_annotations():
            self._change(self._sql.delete_annotations, (newest[_ID],))

    def delete_version(self, row: VersionRow) -> None:
        number, object_key = self._number(row.bucket_id), row.object_key.encode()
        newest = self._newest(number, object_key)
        is_newest = newest is not None and newest[_VERSION_ID] == row.version_id
        found = newest if is_newest else self._find(number, object_key, row.version_id)
        if found is None or newest is None:
            raise Gone("no such version")
        self._change_newest(row)
        self._change(self._sql.delete_version, (found[_ID],))
        if self._are_annotations():
            self._change(self._sql.delete_annotations, (found[_ID],))
        if is_newest:
            follower = self._newest(number, object_key)
            if follower is not None and not follower[_MARKER]:
                self._newest_found = None
                self._change(self._sql.set_current, (1, follower[_ID]))

    def reseal_version(self, row: VersionRow, *, seal: bytes, meta: bytes) -> None:
        found = self._find(self._number(row.bucket_id), row.object_key.encode(), row.version_id)
        if found is None:
            raise Gone("no such version")
        self._change_newest(row)
        self._change(self._sql.reseal_version, (seal, meta, found[_ID]))

    # ---- annotations

    def _are_annotations(self) -> bool:
        """Whether there are any at all. The first one raises the generation, so this is asked of the database but once."""
        if self._annotations is None:
            self._annotations = self._rows.one(self._sql.any_annotation) is not None
        return self._annotations

    def annotations(self, row: VersionRow) -> list[AnnotationRow]:
        return self._rows.annotations(row, "", "", -1)

    def put_annotation(self, row: VersionRow, annotation: AnnotationRow) -> None:
        number, name = self._annotated(row), annotation.name.encode()
        content = (annotation.size, annotation.modified_ms, annotation.meta, annotation.manifest, annotation.body)
        if not self._are_annotations():
            self._annotations = self.raises_generation = True
        if self._rows.one(self._sql.annotation, number, row.version_id, name) is None:
            self._insert("an annotation of that name exists", self._sql.insert_annotation, (number, name, *content))
        else:
            self._change(self._sql.update_annotation, (*content, number, name))

    def delete_annotation(self, row: VersionRow, name: str) -> bool:
        number = self._annotated(row)
        if self._rows.one(self._sql.annotation, number, row.version_id, name.encode()) is None:
            return False
        self._change(self._sql.delete_annotation, (number, name.encode()))
        return True

    def move_annotations(self, old: VersionRow, row: VersionRow, metas: Mapping[str, bytes]) -> None:
        given = [(self._annotated(row), meta, self._annotated(old), name.encode()) for name, meta in metas.items()]
        self._change_many(self._sql.move_annotation, given)

    def _annotated(self, row: VersionRow) -> int:
        """The number of a version's row. Raises Gone."""
        found = self._find(self._number(row.bucket_id), row.object_key.encode(), row.version_id)
        if found is None:
            raise Gone("no such version")
        number: int = found[_ID]
        return number

    # ---- uploads and parts

    def insert_upload(self, row: UploadRow) -> None:
        given = (self._number(row.bucket_id), row.object_key.encode(), row.upload_id, row.initiated_ms, row.seal, row.meta)
        self._insert("an upload of that id exists", self._sql.insert_upload, given)

    def upload(self, bucket_id: str, upload_id: str) -> UploadRow | None:
        return self._rows.upload(bucket_id, upload_id)

    def delete_upload(self, row: UploadRow) -> list[PartRow]:
        found = self._rows.one(self._sql.upload, row.upload_id)
        if found is None or found[1] != self._rows.number(row.bucket_id):
            raise Gone("no such upload")
        parts = self._rows.parts(row.upload_id, after=-1, limit=-1)
        self._change(self._sql.delete_parts, (found[0],))
        self._change(self._sql.delete_upload, (found[0],))
        return parts

    def put_part(self, row: PartRow) -> PartRow | None:
        found = self._rows.one(self._sql.upload, row.upload_id)
        if found is None:
            raise Gone("no such upload")
        identity = (found[0], row.part_number)
        content = (row.size, row.modified_ms, row.meta, row.manifest)
        old = self._rows.one(self._sql.part_number, *identity)
        if old is None:
            self._change(self._sql.insert_part, identity + content)
            return None
        self._change(self._sql.update_part, content + identity)
        return part_row(row.upload_id, old)

    # ---- blobs

    def keep(self, blob_ids: Sequence[str]) -> None:
        wanted = [bytes.fromhex(blob_id) for blob_id in blob_ids]
        self._change_many(self._sql.forget, [(blob_id,) for blob_id in wanted])
        self._change_many(self._sql.keep, [(blob_id, blob_id) for blob_id in wanted])

    def discard(self, blob_ids: Sequence[str]) -> None:
        wanted = [bytes.fromhex(blob_id) for blob_id in blob_ids]
        self._change_many(self._sql.unkeep, [(blob_id,) for blob_id in wanted])
        self._change_many(self._sql.discard, [(blob_id, blob_id) for blob_id in wanted])

    def forget_blobs(self, blob_ids: Sequence[str]) -> None:
        """For ``Catalog.forget``."""
        self._change_many(self._sql.forget, [(bytes.fromhex(blob_id),) for blob_id in blob_ids])

    # ---- documents

    def document(self, scope: str, kind: str) -> Any | None:
        return self._rows.document(scope, kind)

    def documents(self, kind: str, *, prefix: str = "", after: str = "", limit: int) -> list[tuple[str, Any]]:
        return self._rows.documents(kind, prefix, after, limit)

    def set_document(self, scope: str, kind: str, value: Any | None) -> None:
        self.note(scope, kind, value)
        self.raises_generation = True

    def note(self, scope: str, kind: str, value: Any | None) -> None:
        encoded = scope.encode()
        content = None if value is None else orjson.dumps(value).decode()
        self._change(self._sql.delete_document, (encoded, kind))
        if content is not None:
            self._change(self._sql.insert_document, (encoded, kind, content))

    # ---- inside

    def _number(self, bucket_id: str) -> int:
        number = self._rows.number(bucket_id)
        if number is None:
            raise Gone("no such bucket")
        return number

    def _change_newest(self, row: VersionRow) -> None:
        """A change of the versions of a key is about to be made: what is known of its newest one does not hold any longer."""
        self._newest_found = None
        self.changed_parts.add(part_of(row.bucket_id, row.object_key))

    def _newest(self, number: int, object_key: bytes) -> Any | None:
        memory = self._newest_found
        if memory is not None and memory[0] == number and memory[1] == object_key:
            return memory[2]
        found = self._rows.one(self._sql.tx_current, number, object_key)
        if found is None:
            found = self._rows.one(self._sql.tx_hidden, number, object_key)
        self._newest_found = (number, object_key, found)
        return found

    def _find(self, number: int, object_key: bytes, version_id: str | None) -> Any | None:
        """By id; or the null version, for None."""
        if version_id is not None:
            found = self._rows.one(self._sql.tx_numbered, number, object_key, version_id)
            if found is not None:
                return found
        newest = self._newest(number, object_key)
        null = newest if newest is None or newest[_NULL] else self._rows.one(self._sql.tx_hidden_null, number, object_key)
        return null if null is not None and version_id in {None, null[_VERSION_ID]} else None

    def _before_change(self) -> None:
        if self._broken or not self._connection.in_transaction:  # never outside: that would commit each statement alone
            raise Unavailable("catalog: a statement of this work has failed")
        if not self._writes:
            self._writes = True
            if self._wrote_before:
                self._execute("SAVEPOINT work")
                self._savepoint = True

    def _change(self, sql: str, given: tuple[Any, ...]) -> None:
        try:
            self._before_change()
            self._execute(sql, given)
        except sqlite3.Error as error:
            self._broken = True
            raise unavailable(error) from error

    def _change_many(self, sql: str, given: list[tuple[Any, ...]]) -> None:
        try:
            self._before_change()
            self._executemany(sql, given)
        except sqlite3.Error as error:
            self._broken = True
            raise unavailable(error) from error

    def _insert(self, conflict: str, sql: str, given: tuple[Any, ...]) -> None:
        try:
            self._before_change()
            self._execute(sql, given)
        except sqlite3.IntegrityError as error:  # that statement alone was undone; the work may go on
            raise Conflict(conflict) from error
        except sqlite3.Error as error:
            self._broken = True
            raise unavailable(error) from error
