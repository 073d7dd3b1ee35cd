"""Every statement of the catalog, written once in SQLAlchemy Core and compiled to the SQL text of a dialect by ``compiling``.

Never knows a connection. Each statement declares the order of its parameters, which is the order in which the driver gets them; a
compiled text whose order differs is refused when it is compiled. Not imported by a server: it reads the texts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, LargeBinary, bindparam, delete, exists, func, insert, select, tuple_, union_all, update
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from strongroom.store.schema import ONE, ZERO, about, annotation, blob, bucket, discarded, document, part, upload, version
from strongroom.store.texts import Statements

if TYPE_CHECKING:
    from sqlalchemy import BindParameter, Table
    from sqlalchemy.engine import Dialect


# A statement, and the names of its parameters in the order in which they are passed.
_Declared = tuple[ClauseElement, tuple[str, ...]]


def _of(name: str) -> BindParameter[Any]:
    """A parameter; the prefix keeps it apart from the columns' own."""
    return bindparam(f"of_{name}")


def _bytes(name: str) -> BindParameter[Any]:
    return bindparam(f"of_{name}", type_=LargeBinary)


def _insert(table: Table) -> _Declared:
    """All columns but the database's own number, in the table's order."""
    names = tuple(column.name for column in table.columns if column.name != "id")
    return insert(table).values({name: _of(name) for name in names}), names


def _buckets() -> dict[str, _Declared]:
    columns = (bucket.c.bucket_id, bucket.c.name, bucket.c.account_id, bucket.c.region, bucket.c.created_ms)
    page = select(*columns).where(
        bucket.c.account_id == _of("account_id"), bucket.c.name >= _bytes("low"), bucket.c.name < _bytes("high")
    )
    ordered = page.order_by(bucket.c.name).limit(_of("limit")).offset(ZERO)
    regional = page.where(bucket.c.region == _of("region")).order_by(bucket.c.name).limit(_of("limit")).offset(ZERO)
    return {
        "format": (select(about.c.content).where(about.c.name == _of("name")), ("name",)),
        "set_format": _insert(about),
        "delete_about": (delete(about).where(about.c.name == _of("name")), ("name",)),
        "bucket": (select(*columns).where(bucket.c.name == _bytes("name")), ("name",)),
        "bucket_number": (select(bucket.c.id).where(bucket.c.bucket_id == _of("bucket_id")), ("bucket_id",)),
        "buckets": (ordered, ("account_id", "low", "high", "limit")),
        "buckets_in_region": (regional, ("account_id", "low", "high", "region", "limit")),
        "every_bucket": (
            select(*columns).where(bucket.c.name > _bytes("after")).order_by(bucket.c.name).limit(_of("limit")).offset(ZERO),
            ("after", "limit"),
        ),
        "count_buckets": (
            select(func.count()).select_from(bucket).where(bucket.c.account_id == _of("account_id")),
            ("account_id",),
        ),
        "insert_bucket": _insert(bucket),
        "any_version": (select(version.c.id).where(version.c.bucket == _of("bucket")).limit(ONE).offset(ZERO), ("bucket",)),
        "any_annotation": (select(annotation.c.id).where(annotation.c.id > ZERO).limit(ONE).offset(ZERO), ()),
        "delete_bucket": (delete(bucket).where(bucket.c.id == _of("id")), ("id",)),
    }


def _versions() -> dict[str, _Declared]:
    c = version.c
    shown = (c.version_id, c.null_version, c.delete_marker, c.size, c.modified_ms, c.seal, c.meta, c.manifest)
    whole, within = select(*shown, c.body), select(c.id, c.seq, c.current, *shown)
    of_key = (c.bucket == _of("bucket"), c.object_key == _bytes("object_key"))
    key = ("bucket", "object_key")
    is_current = (c.bucket == _of("bucket"), c.current == ONE, c.object_key == _bytes("object_key"))
    is_hidden = (c.bucket == _of("bucket"), c.current == ZERO, c.object_key == _bytes("object_key"))
    is_numbered = (*of_key, c.version_id == _of("version_id"), c.null_version == ZERO)
    is_hidden_null = (*of_key, c.null_version == ONE, c.current == ZERO)
    listed = select(c.object_key, *shown).where(
        c.bucket == _of("bucket"), c.current == ONE, c.object_key >= _bytes("low"), c.object_key < _bytes("high")
    )
    replaced = ("current", "version_id", "delete_marker", "size", "modified_ms", "seal", "meta", "manifest", "body")
    # The rest of one key and the keys behind it, each in both halves of ``version_order``, in one statement, so that a version that
    # stops being the current one is in neither twice nor in none of them; the database merges them without sorting.
    rest, behind = ("bucket", "after_key", "after_seq"), ("bucket", "low", "high")
    located = select(c.object_key.label("object_key"), c.seq.label("seq"), *shown).where(c.bucket == _of("bucket"))
    runs = [
        located.where(c.current == half, *which)
        for which in (
            (c.object_key == _bytes("after_key"), c.seq < _of("after_seq")),
            (c.object_key >= _bytes("low"), c.object_key < _bytes("high")),
        )
        for half in (ONE, ZERO)
    ]
    walked = union_all(*runs)
    order = (walked.selected_columns.object_key, walked.selected_columns.seq.desc())
    walked = walked.order_by(*order).limit(_of("limit")).offset(ZERO)
    counted = select(func.count()).where(
        c.bucket == _of("bucket"), c.current.in_((ZERO, ONE)), c.object_key >= _bytes("low"), c.object_key < _bytes("high")
    )
    resealed = update(version).values(seal=_bytes("seal"), meta=_bytes("meta")).where(c.id == _of("id"))
    return {
        "current": (whole.where(*is_current), key),
        "hidden": (whole.where(*is_hidden).order_by(c.seq.desc()).limit(ONE).offset(ZERO), key),
        "numbered": (whole.where(*is_numbered), (*key, "version_id")),
        "current_null": (whole.where(*is_current, c.null_version == ONE), key),
        "hidden_null": (whole.where(*is_hidden_null), key),
        "list_current": (listed.order_by(c.object_key).limit(_of("limit")).offset(ZERO), ("bucket", "low", "high", "limit")),
        "list_versions": (walked, (*rest, *rest, *behind, *behind, "limit")),
        "count_versions": (counted, ("bucket", "low", "high")),
        "tx_current": (within.where(*is_current), key),
        "tx_hidden": (within.where(*is_hidden).order_by(c.seq.desc()).limit(ONE).offset(ZERO), key),
        "tx_numbered": (within.where(*is_numbered), (*key, "version_id")),
        "tx_hidden_null": (within.where(*is_hidden_null), key),
        "insert_version": _insert(version),
        "set_current": (update(version).values(current=_of("current")).where(c.id == _of("id")), ("current", "id")),
        "replace_version": (
            update(version).values({name: _of(name) for name in replaced}).where(c.id == _of("id")),
            (*replaced, "id"),
        ),
        "delete_version": (delete(version).where(c.id == _of("id")), ("id",)),
        "reseal_version": (resealed, ("seal", "meta", "id")),
    }


def _annotations() -> dict[str, _Declared]:
    c = annotation.c
    shown = (c.name, c.size, c.modified_ms, c.meta, c.manifest)
    # The version's own id as well as its number: a null version that is replaced keeps the number.
    whose = (c.version == _of("version"), version.c.version_id == _of("version_id"))
    of_version = ("version", "version_id")
    one = (c.version == _of("version"), c.name == _bytes("name"))
    changed = {name: _of(name) for name in ("size", "modified_ms", "meta", "manifest", "body")}
    joined = select(*shown).join_from(annotation, version, c.version == version.c.id)
    page = joined.where(*whose, c.name >= _bytes("low"), c.name < _bytes("high")).order_by(c.name)
    whole = select(*shown, c.body).join_from(annotation, version, c.version == version.c.id)
    return {
        "annotation": (whole.where(*whose, c.name == _bytes("name")), (*of_version, "name")),
        "annotations": (page.limit(_of("limit")).offset(ZERO), (*of_version, "low", "high", "limit")),
        "insert_annotation": _insert(annotation),
        "update_annotation": (update(annotation).values(changed).where(*one), (*changed, "version", "name")),
        "move_annotation": (
            update(annotation).values(version=_of("to"), meta=_bytes("meta")).where(*one),
            ("to", "meta", "version", "name"),
        ),
        "delete_annotation": (delete(annotation).where(*one), ("version", "name")),
        "delete_annotations": (delete(annotation).where(c.version == _of("version")), ("version",)),
    }


def _uploads() -> dict[str, _Declared]:
    c, p = upload.c, part.c
    after = tuple_(c.object_key, c.upload_id) > tuple_(_bytes("after_key"), _of("after_id"))
    page = select(c.object_key, c.upload_id, c.initiated_ms, c.seal, c.meta)
    page = page.where(c.bucket == _of("bucket"), after, c.object_key < _bytes("high")).order_by(c.object_key, c.upload_id)
    columns = (p.part_number, p.size, p.modified_ms, p.meta, p.manifest)
    named = select(c.id).where(c.upload_id == _of("upload_id")).scalar_subquery()
    in_bucket = select(c.id).where(c.bucket == _of("bucket"))
    of_bucket = select(c.upload_id, *columns).join_from(upload, part, p.upload == c.id).where(c.bucket == _of("bucket"))
    changed = {name: _of(name) for name in ("size", "modified_ms", "meta", "manifest")}
    identity = ("upload", "part_number")
    whose = (p.upload == _of("upload"), p.part_number == _of("part_number"))
    return {
        "upload": (
            select(c.id, c.bucket, c.object_key, c.initiated_ms, c.seal, c.meta).where(c.upload_id == _of("upload_id")),
            ("upload_id",),
        ),
        "uploads": (page.limit(_of("limit")).offset(ZERO), ("bucket", "after_key", "after_id", "high", "limit")),
        "insert_upload": _insert(upload),
        "delete_upload": (delete(upload).where(c.id == _of("id")), ("id",)),
        "delete_uploads": (delete(upload).where(c.bucket == _of("bucket")), ("bucket",)),
        "part": (select(*columns).where(p.upload == named, p.part_number == _of("part_number")), ("upload_id", "part_number")),
        "part_number": (select(*columns).where(*whose), identity),
        "parts": (
            select(*columns)
            .where(p.upload == named, p.part_number > _of("after"))
            .order_by(p.part_number)
            .limit(_of("limit"))
            .offset(ZERO),
            ("upload_id", "after", "limit"),
        ),
        "parts_of_bucket": (of_bucket.order_by(c.object_key, c.upload_id, p.part_number), ("bucket",)),
        "insert_part": _insert(part),
        "update_part": (update(part).values(changed).where(*whose), (*changed, *identity)),
        "delete_parts": (delete(part).where(p.upload == _of("upload")), ("upload",)),
        "delete_parts_of_bucket": (delete(part).where(p.upload.in_(in_bucket)), ("bucket",)),
    }


def _documents() -> dict[str, _Declared]:
    c = document.c
    which = (c.scope == _bytes("scope"), c.kind == _of("kind"))
    page = select(c.scope, c.content).where(c.kind == _of("kind"), c.scope >= _bytes("low"), c.scope < _bytes("high"))
    below = delete(document).where(c.scope >= _bytes("low"), c.scope < _bytes("high"))
    return {
        "document": (select(c.content).where(*which), ("scope", "kind")),
        "documents": (page.order_by(c.scope).limit(_of("limit")).offset(ZERO), ("kind", "low", "high", "limit")),
        "insert_document": _insert(document),
        "delete_document": (delete(document).where(*which), ("scope", "kind")),
        "delete_documents": (below, ("low", "high")),
    }


def _blobs() -> dict[str, _Declared]:
    wanted = bindparam("of_blob_id", type_=LargeBinary)
    kept = exists().where(blob.c.blob_id == wanted)
    waiting = exists().where(discarded.c.blob_id == wanted)
    one, twice = ("blob_id",), ("blob_id", "blob_id")
    return {
        "keep": (insert(blob).from_select(["blob_id"], select(wanted).where(~kept)), twice),
        "unkeep": (delete(blob).where(blob.c.blob_id == wanted), one),
        "discard": (insert(discarded).from_select(["blob_id"], select(wanted).where(~waiting)), twice),
        "forget": (delete(discarded).where(discarded.c.blob_id == wanted), one),
        "discarded": (
            select(discarded.c.blob_id)
            .where(discarded.c.id <= bindparam("of_until", type_=BigInteger))
            .order_by(discarded.c.id)
            .limit(_of("limit"))
            .offset(ZERO),
            ("until", "limit"),
        ),
        "discarded_mark": (select(func.coalesce(func.max(discarded.c.id), ZERO)), ()),
        "is_kept": (select(wanted).where(kept | waiting), ("blob_id", "blob_id", "blob_id")),
        "is_named": (select(blob.c.blob_id).where(blob.c.blob_id == wanted), one),
    }


def _text(name: str, declared: _Declared, dialect: Dialect) -> str:
    statement, order = declared
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    given = tuple(position.removeprefix("of_") for position in compiled.positiontup or ())
    if given != order:
        raise AssertionError(f"statement {name} takes {given}, not {order}")
    return str(compiled)


def compile_statements(dialect: Dialect) -> Statements:
    """``dialect`` must have a positional parameter style (qmark, format)."""
    declared = {**_buckets(), **_versions(), **_annotations(), **_uploads(), **_documents(), **_blobs()}
    return Statements(**{name: _text(name, statement, dialect) for name, statement in declared.items()})
