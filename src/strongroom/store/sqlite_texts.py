"""What SQLite is given, as ``compiling`` wrote it from ``schema`` and ``statements``. Change those, then run ``make docs``."""

# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Final

from strongroom.store.texts import Statements

#: The statements that make each table with its indexes, in order.
TABLES: Final[dict[str, tuple[str, ...]]] = {
    "about": (
        "CREATE TABLE about ( name VARCHAR(32) NOT NULL, content VARCHAR(64) NOT NULL, PRIMARY KEY (name) )",
    ),
    "annotation": (
        "CREATE TABLE annotation ( id INTEGER NOT NULL, version INTEGER NOT NULL, name BLOB NOT NULL, size BIGINT NOT NULL, modified_ms BIGINT NOT NULL, meta BLOB NOT NULL, manifest BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id) )",
        "CREATE UNIQUE INDEX annotation_of_version ON annotation (version, name)",
    ),
    "blob": (
        "CREATE TABLE blob ( blob_id BLOB NOT NULL, PRIMARY KEY (blob_id) ) WITHOUT ROWID",
    ),
    "bucket": (
        "CREATE TABLE bucket ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, bucket_id VARCHAR(32) NOT NULL, name BLOB NOT NULL, account_id VARCHAR(12) NOT NULL, region VARCHAR(64) NOT NULL, created_ms BIGINT NOT NULL, UNIQUE (bucket_id), UNIQUE (name) )",
        "CREATE INDEX bucket_of_account ON bucket (account_id, name)",
    ),
    "discarded": (
        "CREATE TABLE discarded ( id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, blob_id BLOB NOT NULL, UNIQUE (blob_id) )",
    ),
    "document": (
        "CREATE TABLE document ( id INTEGER NOT NULL, scope BLOB NOT NULL, kind VARCHAR(64) NOT NULL, content TEXT NOT NULL, PRIMARY KEY (id) )",
        "CREATE UNIQUE INDEX document_of_kind ON document (kind, scope)",
        "CREATE UNIQUE INDEX document_of_scope ON document (scope, kind)",
    ),
    "part": (
        "CREATE TABLE part ( upload INTEGER NOT NULL, part_number INTEGER NOT NULL, size BIGINT NOT NULL, modified_ms BIGINT NOT NULL, meta BLOB NOT NULL, manifest BLOB NOT NULL, PRIMARY KEY (upload, part_number) ) WITHOUT ROWID",
    ),
    "upload": (
        "CREATE TABLE upload ( id INTEGER NOT NULL, bucket INTEGER NOT NULL, object_key BLOB NOT NULL, upload_id VARCHAR(128) NOT NULL, initiated_ms BIGINT NOT NULL, seal BLOB NOT NULL, meta BLOB NOT NULL, PRIMARY KEY (id), UNIQUE (upload_id) )",
        "CREATE UNIQUE INDEX upload_order ON upload (bucket, object_key, upload_id)",
    ),
    "version": (
        "CREATE TABLE version ( id INTEGER NOT NULL, bucket INTEGER NOT NULL, object_key BLOB NOT NULL, seq BIGINT NOT NULL, current INTEGER NOT NULL, version_id VARCHAR(64) NOT NULL, null_version INTEGER NOT NULL, delete_marker INTEGER NOT NULL, size BIGINT NOT NULL, modified_ms BIGINT NOT NULL, seal BLOB NOT NULL, meta BLOB NOT NULL, manifest BLOB NOT NULL, body BLOB, PRIMARY KEY (id) )",
        "CREATE UNIQUE INDEX version_by_id ON version (bucket, object_key, version_id) WHERE null_version = 0",
        "CREATE UNIQUE INDEX version_null ON version (bucket, object_key, null_version) WHERE null_version = 1 AND current = 0",
        "CREATE UNIQUE INDEX version_order ON version (bucket, current, object_key, seq DESC)",
    ),
}

STATEMENTS: Final = Statements(
    format="SELECT about.content FROM about WHERE about.name = ?",
    set_format="INSERT INTO about (name, content) VALUES (?, ?)",
    delete_about="DELETE FROM about WHERE about.name = ?",
    bucket="SELECT bucket.bucket_id, bucket.name, bucket.account_id, bucket.region, bucket.created_ms FROM bucket WHERE bucket.name = ?",
    bucket_number="SELECT bucket.id FROM bucket WHERE bucket.bucket_id = ?",
    buckets="SELECT bucket.bucket_id, bucket.name, bucket.account_id, bucket.region, bucket.created_ms FROM bucket WHERE bucket.account_id = ? AND bucket.name >= ? AND bucket.name < ? ORDER BY bucket.name LIMIT ? OFFSET 0",
    buckets_in_region="SELECT bucket.bucket_id, bucket.name, bucket.account_id, bucket.region, bucket.created_ms FROM bucket WHERE bucket.account_id = ? AND bucket.name >= ? AND bucket.name < ? AND bucket.region = ? ORDER BY bucket.name LIMIT ? OFFSET 0",
    every_bucket="SELECT bucket.bucket_id, bucket.name, bucket.account_id, bucket.region, bucket.created_ms FROM bucket WHERE bucket.name > ? ORDER BY bucket.name LIMIT ? OFFSET 0",
    count_buckets="SELECT count(*) AS count_1 FROM bucket WHERE bucket.account_id = ?",
    insert_bucket="INSERT INTO bucket (bucket_id, name, account_id, region, created_ms) VALUES (?, ?, ?, ?, ?)",
    any_version="SELECT version.id FROM version WHERE version.bucket = ? LIMIT 1 OFFSET 0",
    any_annotation="SELECT annotation.id FROM annotation WHERE annotation.id > 0 LIMIT 1 OFFSET 0",
    delete_bucket="DELETE FROM bucket WHERE bucket.id = ?",
    current="SELECT version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest, version.body FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key = ?",
    hidden="SELECT version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest, version.body FROM version WHERE version.bucket = ? AND version.current = 0 AND version.object_key = ? ORDER BY version.seq DESC LIMIT 1 OFFSET 0",
    numbered="SELECT version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest, version.body FROM version WHERE version.bucket = ? AND version.object_key = ? AND version.version_id = ? AND version.null_version = 0",
    current_null="SELECT version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest, version.body FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key = ? AND version.null_version = 1",
    hidden_null="SELECT version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest, version.body FROM version WHERE version.bucket = ? AND version.object_key = ? AND version.null_version = 1 AND version.current = 0",
    list_current="SELECT version.object_key, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key >= ? AND version.object_key < ? ORDER BY version.object_key LIMIT ? OFFSET 0",
    list_versions="SELECT version.object_key AS object_key, version.seq AS seq, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key = ? AND version.seq < ? UNION ALL SELECT version.object_key AS object_key, version.seq AS seq, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 0 AND version.object_key = ? AND version.seq < ? UNION ALL SELECT version.object_key AS object_key, version.seq AS seq, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key >= ? AND version.object_key < ? UNION ALL SELECT version.object_key AS object_key, version.seq AS seq, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 0 AND version.object_key >= ? AND version.object_key < ? ORDER BY object_key, seq DESC LIMIT ? OFFSET 0",
    count_versions="SELECT count(*) AS count_1 FROM version WHERE version.bucket = ? AND version.current IN (0, 1) AND version.object_key >= ? AND version.object_key < ?",
    tx_current="SELECT version.id, version.seq, version.current, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 1 AND version.object_key = ?",
    tx_hidden="SELECT version.id, version.seq, version.current, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.current = 0 AND version.object_key = ? ORDER BY version.seq DESC LIMIT 1 OFFSET 0",
    tx_numbered="SELECT version.id, version.seq, version.current, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.object_key = ? AND version.version_id = ? AND version.null_version = 0",
    tx_hidden_null="SELECT version.id, version.seq, version.current, version.version_id, version.null_version, version.delete_marker, version.size, version.modified_ms, version.seal, version.meta, version.manifest FROM version WHERE version.bucket = ? AND version.object_key = ? AND version.null_version = 1 AND version.current = 0",
    insert_version="INSERT INTO version (bucket, object_key, seq, current, version_id, null_version, delete_marker, size, modified_ms, seal, meta, manifest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    set_current="UPDATE version SET current=? WHERE version.id = ?",
    replace_version="UPDATE version SET current=?, version_id=?, delete_marker=?, size=?, modified_ms=?, seal=?, meta=?, manifest=?, body=? WHERE version.id = ?",
    delete_version="DELETE FROM version WHERE version.id = ?",
    reseal_version="UPDATE version SET seal=?, meta=? WHERE version.id = ?",
    annotation="SELECT annotation.name, annotation.size, annotation.modified_ms, annotation.meta, annotation.manifest, annotation.body FROM annotation JOIN version ON annotation.version = version.id WHERE annotation.version = ? AND version.version_id = ? AND annotation.name = ?",
    annotations="SELECT annotation.name, annotation.size, annotation.modified_ms, annotation.meta, annotation.manifest FROM annotation JOIN version ON annotation.version = version.id WHERE annotation.version = ? AND version.version_id = ? AND annotation.name >= ? AND annotation.name < ? ORDER BY annotation.name LIMIT ? OFFSET 0",
    insert_annotation="INSERT INTO annotation (version, name, size, modified_ms, meta, manifest, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
    update_annotation="UPDATE annotation SET size=?, modified_ms=?, meta=?, manifest=?, body=? WHERE annotation.version = ? AND annotation.name = ?",
    move_annotation="UPDATE annotation SET version=?, meta=? WHERE annotation.version = ? AND annotation.name = ?",
    delete_annotation="DELETE FROM annotation WHERE annotation.version = ? AND annotation.name = ?",
    delete_annotations="DELETE FROM annotation WHERE annotation.version = ?",
    upload="SELECT upload.id, upload.bucket, upload.object_key, upload.initiated_ms, upload.seal, upload.meta FROM upload WHERE upload.upload_id = ?",
    uploads="SELECT upload.object_key, upload.upload_id, upload.initiated_ms, upload.seal, upload.meta FROM upload WHERE upload.bucket = ? AND (upload.object_key, upload.upload_id) > (?, ?) AND upload.object_key < ? ORDER BY upload.object_key, upload.upload_id LIMIT ? OFFSET 0",
    insert_upload="INSERT INTO upload (bucket, object_key, upload_id, initiated_ms, seal, meta) VALUES (?, ?, ?, ?, ?, ?)",
    delete_upload="DELETE FROM upload WHERE upload.id = ?",
    delete_uploads="DELETE FROM upload WHERE upload.bucket = ?",
    part="SELECT part.part_number, part.size, part.modified_ms, part.meta, part.manifest FROM part WHERE part.upload = (SELECT upload.id FROM upload WHERE upload.upload_id = ?) AND part.part_number = ?",
    part_number="SELECT part.part_number, part.size, part.modified_ms, part.meta, part.manifest FROM part WHERE part.upload = ? AND part.part_number = ?",
    parts="SELECT part.part_number, part.size, part.modified_ms, part.meta, part.manifest FROM part WHERE part.upload = (SELECT upload.id FROM upload WHERE upload.upload_id = ?) AND part.part_number > ? ORDER BY part.part_number LIMIT ? OFFSET 0",
    parts_of_bucket="SELECT upload.upload_id, part.part_number, part.size, part.modified_ms, part.meta, part.manifest FROM upload JOIN part ON part.upload = upload.id WHERE upload.bucket = ? ORDER BY upload.object_key, upload.upload_id, part.part_number",
    insert_part="INSERT INTO part (upload, part_number, size, modified_ms, meta, manifest) VALUES (?, ?, ?, ?, ?, ?)",
    update_part="UPDATE part SET size=?, modified_ms=?, meta=?, manifest=? WHERE part.upload = ? AND part.part_number = ?",
    delete_parts="DELETE FROM part WHERE part.upload = ?",
    delete_parts_of_bucket="DELETE FROM part WHERE part.upload IN (SELECT upload.id FROM upload WHERE upload.bucket = ?)",
    document="SELECT document.content FROM document WHERE document.scope = ? AND document.kind = ?",
    documents="SELECT document.scope, document.content FROM document WHERE document.kind = ? AND document.scope >= ? AND document.scope < ? ORDER BY document.scope LIMIT ? OFFSET 0",
    insert_document="INSERT INTO document (scope, kind, content) VALUES (?, ?, ?)",
    delete_document="DELETE FROM document WHERE document.scope = ? AND document.kind = ?",
    delete_documents="DELETE FROM document WHERE document.scope >= ? AND document.scope < ?",
    keep="INSERT INTO blob (blob_id) SELECT ? AS anon_1 WHERE NOT (EXISTS (SELECT * FROM blob WHERE blob.blob_id = ?))",
    unkeep="DELETE FROM blob WHERE blob.blob_id = ?",
    discard="INSERT INTO discarded (blob_id) SELECT ? AS anon_1 WHERE NOT (EXISTS (SELECT * FROM discarded WHERE discarded.blob_id = ?))",
    forget="DELETE FROM discarded WHERE discarded.blob_id = ?",
    discarded="SELECT discarded.blob_id FROM discarded WHERE discarded.id <= ? ORDER BY discarded.id LIMIT ? OFFSET 0",
    discarded_mark="SELECT coalesce(max(discarded.id), 0) AS coalesce_1 FROM discarded",
    is_kept="SELECT ? AS anon_1 WHERE (EXISTS (SELECT * FROM blob WHERE blob.blob_id = ?)) OR (EXISTS (SELECT * FROM discarded WHERE discarded.blob_id = ?))",
    is_named="SELECT blob.blob_id FROM blob WHERE blob.blob_id = ?",
)
