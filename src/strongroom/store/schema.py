"""The tables of the catalog, in SQLAlchemy Core: one schema for SQLite now and PostgreSQL later.

Never knows a connection, a file or what an opaque column holds. Names that are ordered (object keys, bucket names, document
scopes) are stored as their UTF-8 bytes, so every database compares them alike, U+0000 included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text, and_, literal_column
from sqlalchemy.schema import CreateIndex, CreateTable

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.engine import Dialect

_BIG = BigInteger().with_variant(Integer(), "sqlite")
# Literals, not parameters: a partial index is only used when its condition is spelled out.
ONE: Final[ColumnElement[int]] = literal_column("1")
ZERO: Final[ColumnElement[int]] = literal_column("0")

metadata: Final = MetaData()

about: Final = Table(
    "about",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("content", String(64), nullable=False),
)

bucket: Final = Table(
    "bucket",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("bucket_id", String(32), nullable=False, unique=True),
    Column("name", LargeBinary, nullable=False, unique=True),
    Column("account_id", String(12), nullable=False),
    Column("region", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("bucket_of_account", "account_id", "name"),
    sqlite_autoincrement=True,  # a number is never given twice, so remembering one for long is harmless
)

# ``current`` is 1 on the newest version of a key unless that is a delete marker. It leads the index, so the current versions of a
# bucket lie side by side however many old versions and markers there are, and one index serves listing and "the newest of this key".
# ``seq`` counts the versions of a key and falls in the index, because S3 lists the newest first while keys rise.
version: Final = Table(
    "version",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("bucket", _BIG, nullable=False),
    Column("object_key", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("current", Integer, nullable=False),
    Column("version_id", String(64), nullable=False),
    Column("null_version", Integer, nullable=False),
    Column("delete_marker", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=True),  # last: the columns before it are read without touching it
)
Index("version_order", version.c.bucket, version.c.current, version.c.object_key, version.c.seq.desc(), unique=True)
_numbered = version.c.null_version == ZERO
Index(
    "version_by_id",
    version.c.bucket,
    version.c.object_key,
    version.c.version_id,
    unique=True,
    sqlite_where=_numbered,
    postgresql_where=_numbered,
)
# A null version that is current is found as the current one; only the others need an index, and they are few. ``null_version`` is
# in it, though always 1, because SQLite would otherwise prefer ``version_order`` and walk all hidden versions of the key.
_hidden_null = and_(version.c.null_version == ONE, version.c.current == ZERO)
Index(
    "version_null",
    version.c.bucket,
    version.c.object_key,
    version.c.null_version,
    unique=True,
    sqlite_where=_hidden_null,
    postgresql_where=_hidden_null,
)

annotation: Final = Table(
    "annotation",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("version", _BIG, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),  # last, as in ``version``
    Index("annotation_of_version", "version", "name", unique=True),
)

upload: Final = Table(
    "upload",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("bucket", _BIG, nullable=False),
    Column("object_key", LargeBinary, nullable=False),
    Column("upload_id", String(128), nullable=False, unique=True),
    Column("initiated_ms", BigInteger, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Index("upload_order", "bucket", "object_key", "upload_id", unique=True),
)

part: Final = Table(
    "part",
    metadata,
    Column("upload", _BIG, primary_key=True, autoincrement=False),
    Column("part_number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("meta", LargeBinary, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

document: Final = Table(
    "document",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("scope", LargeBinary, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("content", Text, nullable=False),
    Index("document_of_scope", "scope", "kind", unique=True),
    Index("document_of_kind", "kind", "scope", unique=True),
)

blob: Final = Table("blob", metadata, Column("blob_id", LargeBinary, primary_key=True), sqlite_with_rowid=False)

discarded: Final = Table(
    "discarded",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("blob_id", LargeBinary, nullable=False, unique=True),
    sqlite_autoincrement=True,  # a number that came again would lie before a mark that was made earlier
)


def ddl(dialect: Dialect) -> dict[str, tuple[str, ...]]:
    """The statements that make each table with its indexes, by its name, in the order in which they are made."""
    return {
        table.name: (
            str(CreateTable(table).compile(dialect=dialect)),
            *(str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=lambda i: str(i.name))),
        )
        for table in metadata.sorted_tables
    }
