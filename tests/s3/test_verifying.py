"""Every kind of damage is done to a real folder, and the verification names exactly that; what is whole or waits is no finding."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from datetime import timedelta

import pytest

from strongroom.s3.findings import Finding
from strongroom.s3.upkeep import UNNAMED_FOR_MS
from strongroom.s3.verifying import Verifying
from tests.s3.filled import LARGE, SMALL
from tests.s3.vault import PART

UNDER_KMS = ("dsse/large", "dsse/small", "kms/large", "kms/small", "shared", "upload")


async def verified(vault, *where, **how):
    verifying = Verifying(vault.rooms, **how)
    return [found async for found in verifying.findings(*where)], verifying.tally


async def findings(vault, *where, **how):
    return (await verified(vault, *where, **how))[0]


async def the_finding(vault, **how) -> Finding:
    (found,) = await findings(vault, **how)
    return found


@pytest.mark.parametrize("quick", [False, True])
async def test_a_whole_store_is_clean(full, quick):
    found, tally = await verified(full, quick=quick)
    assert found == []
    assert (tally.buckets, tally.versions, tally.uploads, tally.parts, tally.blobs) == (1, 11, 1, 2, 6)
    assert tally.size == (0 if quick else 4 * len(SMALL) + 6 * len(LARGE) + len(b"newer"))
    assert not tally.findings


async def test_an_object_of_several_parts_is_walked_whole(full, vault):
    created = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="parts")
    parts = []
    for number, size in ((1, PART), (2, 9)):
        answer = await vault.run(
            "UploadPart", data=bytes(size), PartNumber=number, Bucket="bucket", Key="parts", UploadId=created["UploadId"]
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    await vault.run(
        "CompleteMultipartUpload", Bucket="bucket", Key="parts", UploadId=created["UploadId"], MultipartUpload={"Parts": parts}
    )
    found, tally = await verified(vault, "bucket", "parts")
    assert (found, tally.versions, tally.size) == ([], 1, PART + 9)


@pytest.mark.parametrize("object_key", ["s3/large", "kms/large", "gone", "upload"])
@pytest.mark.parametrize("offset", [45, 65_536 + 5, -1])
async def test_a_flipped_byte_is_found_in_its_segment(full, blob, object_key, offset):
    if object_key == "gone":
        full.sql("DELETE FROM version WHERE delete_marker = 1")
        full.sql("UPDATE version SET current = 1 WHERE object_key = ?", b"gone")
    path = blob(object_key)
    sealed = bytearray(path.read_bytes())
    sealed[offset] ^= 1
    path.write_bytes(sealed)
    found = await the_finding(full)
    segment = {45: 0, 65_541: 1, -1: 4}[offset]
    assert (found.kind, found.bucket, found.object_key, found.blob_id) == ("corrupt", "bucket", object_key, path.name)
    assert found.why == f"blob {path.name}: segment {segment} is not authentic"
    assert (found.upload_id, found.part_number) == ((full.upload_id, 2) if object_key == "upload" else ("", None))
    assert await findings(full, quick=True) == []


@pytest.mark.parametrize("offset", [45, 65_536 + 5, 150_000, -1])
async def test_a_flipped_byte_of_the_outer_layer_is_found(full, blob, offset):
    path = blob("dsse/large")
    sealed = bytearray(path.read_bytes())
    sealed[offset] ^= 1
    path.write_bytes(sealed)
    found = await the_finding(full)
    assert (found.kind, found.object_key, found.blob_id) == ("corrupt", "dsse/large", path.name)
    part = {45: "its head", 65_541: "segment 0", 150_000: "segment 1", -1: "segment 3"}[offset]  # the first that it reaches
    assert found.why == f"blob {path.name}: {part} is not authentic"


@pytest.mark.parametrize(
    "change", [lambda data: data[:-65_536], lambda data: data[:65_536], lambda data: data[:10], lambda data: data + b"x"]
)
@pytest.mark.parametrize("quick", [False, True])
async def test_a_blob_of_another_length_is_found_without_opening_it(full, blob, change, quick):
    for key in ("dsse/large", "kms/large"):
        path = blob(key)
        whole = path.read_bytes()
        path.write_bytes(change(whole))
        found = await the_finding(full, quick=quick)
        assert (found.kind, found.object_key, found.blob_id) == ("corrupt", key, path.name)
        assert "bytes instead of" in found.why
        path.write_bytes(whole)


@pytest.mark.parametrize("object_key", ["s3/large", "upload"])
async def test_a_blob_that_is_not_there(full, blob, object_key):
    path = blob(object_key)
    path.unlink()
    found = await the_finding(full, quick=True)
    assert (found.kind, found.object_key, found.blob_id) == ("missing", object_key, path.name)


async def test_a_damaged_body_in_a_row(full):
    ((body,),) = full.sql("SELECT body FROM version WHERE object_key = ?", b"kms/small")
    full.sql("UPDATE version SET body = ? WHERE object_key = ?", body[:-1] + bytes([body[-1] ^ 1]), b"kms/small")
    found = await the_finding(full)
    assert (found.kind, found.object_key, found.why) == ("corrupt", "kms/small", "the body in the row is not authentic")
    full.sql("UPDATE version SET body = NULL WHERE object_key = ?", b"kms/small")
    found = await the_finding(full)
    assert (found.kind, found.why) == ("missing", "the row has lost its body")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("meta", ["metadata record"]),
        ("seal", ["metadata record", "envelope"]),
        ("manifest", ["metadata record", "size", "envelope"]),
        ("size", ["metadata record", "size"]),
    ],
)
async def test_a_changed_column_is_named(full, column, expected):
    where = "WHERE object_key = ?"
    ((value,),) = full.sql(f"SELECT {column} FROM version {where}", b"kms/small")  # noqa: S608 - our own words
    changed = value + 1 if column == "size" else value[:-1] + bytes([value[-1] ^ 1])
    full.sql(f"UPDATE version SET {column} = ? {where}", changed, b"kms/small")  # noqa: S608 - our own words
    found = [one for one in await findings(full, quick=True) if "instead of" not in one.why]
    assert {(one.kind, one.object_key) for one in found} == {("corrupt", "kms/small")}
    assert len(found) == len(expected)
    for one, word in zip(found, expected, strict=True):
        assert word in one.why


async def test_an_object_that_was_made_a_delete_marker_is_named(full):
    full.sql("UPDATE version SET delete_marker = 1 WHERE object_key = ?", b"kms/small")
    found = await the_finding(full, quick=True)
    assert (found.kind, found.object_key) == ("corrupt", "kms/small")
    assert found.why == "it is marked as deleted, and has what only an object has: somebody hid it"


async def test_two_rows_that_were_swapped_are_both_named(full):
    (first,), (second,) = (full.sql("SELECT meta FROM version WHERE object_key = ?", key) for key in (b"kms/small", b"empty"))
    full.sql("UPDATE version SET meta = ? WHERE object_key = ?", *second, b"kms/small")
    full.sql("UPDATE version SET meta = ? WHERE object_key = ?", *first, b"empty")
    assert sorted(found.object_key for found in await findings(full)) == ["empty", "kms/small"]


async def test_an_older_version_is_looked_at_too(full):
    full.sql("UPDATE version SET meta = substr(meta, 1, length(meta) - 1) WHERE object_key = ? AND current = 0", b"s3/small")
    found = await the_finding(full)
    rows = full.sql("SELECT version_id FROM version WHERE object_key = ? AND current = 0", b"s3/small")
    assert (found.object_key, found.version_id) == ("s3/small", rows[0][0])


@pytest.mark.parametrize(
    ("table", "column", "part"), [("upload", "meta", None), ("upload", "seal", None), ("part", "meta", 1), ("part", "size", 1)]
)
async def test_a_damaged_upload_or_part_is_named(full, table, column, part):
    where = "" if part is None else f"WHERE part_number = {part}"
    ((value,),) = full.sql(f"SELECT {column} FROM {table} {where}")  # noqa: S608 - our own words
    changed = value + 1 if column == "size" else value[:-1] + bytes([value[-1] ^ 1])
    full.sql(f"UPDATE {table} SET {column} = ? {where}", changed)  # noqa: S608 - our own words
    found = await findings(full)
    assert {(one.kind, one.object_key, one.upload_id, one.part_number) for one in found} == {
        ("corrupt", "upload", full.upload_id, part)
    }


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        *[("version", column, value) for column in ("seal", "meta", "manifest", "body") for value in ("text", 7, 1.5)],
        ("version", "version_id", b"bytes"),
        *[("version", column, value) for column in ("size", "modified_ms") for value in ("text", b"bytes", 1.5)],
        *[("upload", column, "text") for column in ("seal", "meta", "initiated_ms")],
        *[("part", column, "text") for column in ("size", "modified_ms", "meta", "manifest")],
        *[
            ("annotation", column, value)
            for column in ("size", "modified_ms", "meta", "manifest", "body")
            for value in ("text", 1.5)
        ],
    ],
)
async def test_a_value_of_another_type_is_named_and_all_else_is_looked_at(full, table, column, value):
    """SQLite keeps what is put into a column; who can write the file puts in anything."""
    call = full.call("PutObjectAnnotation", data=b"x", Bucket="bucket", Key="s3/small", AnnotationName="note")
    await call.operation.run(call)
    where = {"version": "object_key = ?", "upload": "object_key = ?", "part": "part_number = ?", "annotation": "name = ?"}[table]
    which = {"version": b"kms/small", "upload": b"upload", "part": 2, "annotation": b"note"}[table]
    full.sql(f"UPDATE {table} SET {column} = ? WHERE {where}", value, which)  # noqa: S608 - our own words
    found, tally = await verified(full)
    assert (tally.versions, tally.uploads, tally.parts) == (11, 1, 2)
    of_row, *others = found
    assert (of_row.kind, of_row.bucket) == ("corrupt", "bucket")
    assert of_row.why.endswith(f"in its row of another type than was written: {column}")
    assert of_row.object_key == {"version": "kms/small", "annotation": "s3/small"}.get(table, "upload")
    assert of_row.part_number == (2 if table == "part" else None)
    assert others == [] or (table, column) == ("part", "manifest")  # whose blob nobody names then
    json.dumps([asdict(one) for one in found])


async def test_a_default_encryption_that_is_no_document(full):
    await full.rule("AES256")
    full.sql("UPDATE document SET content = '{' WHERE kind = 'encryption'")
    found = await the_finding(full)
    assert (found.kind, found.what) == ("corrupt", "bucket bucket")


@pytest.mark.parametrize(
    ("state", "kind"), [("Disabled", "key-disabled"), ("PendingDeletion", "key-pending-deletion"), ("gone", "key-gone")]
)
async def test_objects_under_a_key_that_no_longer_serves(full, state, kind):
    if state == "Disabled":
        await full.kms("DisableKey", KeyId=full.key_id)
    else:
        await full.kms("ScheduleKeyDeletion", KeyId=full.key_id, PendingWindowInDays=7)
    if state == "gone":
        full.now += timedelta(days=8)
    found, tally = await verified(full)
    assert {(one.kind, one.object_key) for one in found} == {(kind, key) for key in UNDER_KMS}
    assert all(full.key_arn in one.why for one in found)
    # The operator's authority opens what a disabled key locks: everything was looked at all the same.
    assert (tally.size == 4 * len(SMALL) + 6 * len(LARGE) + 5) is (state != "gone")


async def test_a_check_is_nobodys_use_of_a_key(full):
    full.asked.clear()
    assert await findings(full) == []
    assert full.asked == []


async def test_damaged_key_material_is_named_with_what_it_locks(full):
    scope = f"kms/{full.key_arn.split(':')[4]}/us-east-1/{full.key_id}".encode()
    other = (await full.kms_key())[1]
    elsewhere = f"kms/{other.split(':')[4]}/us-east-1/{other.rpartition('/')[2]}".encode()
    ((content,),) = full.sql("SELECT content FROM document WHERE kind = 'kms-key' AND scope = ?", elsewhere)
    full.sql("UPDATE document SET content = ? WHERE kind = 'kms-key' AND scope = ?", content, scope)
    await full.catalog.write(lambda tx: tx.set_document("here", "kind", 1))  # so that nothing is remembered
    found = await findings(full)
    (fault,) = [one for one in found if one.key]
    assert (fault.kind, full.key_arn in fault.key) == ("corrupt", True)
    assert {one.object_key for one in found} == {"", *UNDER_KMS}


async def test_a_damaged_document_of_a_key_is_named_with_what_it_locks(full):
    full.sql("UPDATE document SET content = '{}' WHERE kind = 'kms-key'")
    await full.catalog.write(lambda tx: tx.set_document("here", "kind", 1))
    found = await findings(full)
    assert {(one.kind, one.object_key) for one in found} == {("corrupt", key) for key in ("", *UNDER_KMS)}
    assert [one.why for one in found if one.key] == ["its document is damaged"]


async def test_orphans_are_told_from_what_waits_and_from_what_is_under_way(full):
    writer = await full.blobs.create()
    await writer.write(b"sealed")
    await writer.commit()
    found = await the_finding(full)
    assert (found.kind, found.blob_id, found.what) == ("orphaned", writer.blob_id, f"blob {writer.blob_id}")
    found, tally = await verified(full, served=True)  # it may belong to a request under way
    assert (found, tally.settling) == ([], 1)
    full.now += timedelta(milliseconds=UNNAMED_FOR_MS + 5000)
    assert (await the_finding(full, served=True)).blob_id == writer.blob_id
    await full.upkeep.sweep()
    await full.run("DeleteObject", Bucket="bucket", Key="s3/large", VersionId=(await full.row("s3/large")).version_id)
    found, tally = await verified(full)
    assert (found, tally.waiting) == ([], 1)


async def test_a_blob_that_is_kept_for_nobody_and_one_that_is_not_kept(full, blob):
    path = blob("s3/large")
    full.now += timedelta(seconds=1)
    full.sql("DELETE FROM version WHERE object_key = ?", b"s3/large")
    found = await the_finding(full)
    assert (found.kind, found.blob_id, found.why) == ("orphaned", path.name, "it is kept in the catalog, but no row names it")
    full.sql("DELETE FROM blob WHERE blob_id = ?", bytes.fromhex(blob("kms/large").name))
    found = [one for one in await findings(full) if one.object_key]
    assert [(one.kind, one.object_key) for one in found] == [("corrupt", "kms/large")]
    assert "upkeep may delete it" in found[0].why


async def test_a_default_encryption_that_cannot_be_read(full):
    await full.rule("AES256")
    full.sql("UPDATE document SET content = '{}' WHERE kind = 'encryption'")
    found = await the_finding(full)
    assert (found.kind, found.what) == ("corrupt", "bucket bucket")


async def test_one_bucket_or_prefix_alone(full, blob):
    await full.make("other")
    blob("s3/large").unlink()
    assert await findings(full, "other") == []
    assert await findings(full, "bucket", "kms/") == []
    assert [one.object_key for one in await findings(full, "bucket", "s3/")] == ["s3/large"]


async def test_what_a_running_server_replaces_meanwhile_is_no_finding(full, blob, monkeypatch):
    """Between the page and the look at a row, the row is replaced, deleted or wrapped anew, and its old blob is gone."""
    walk = full.catalog.versions

    async def versions(*args, **kwargs):
        page = await walk(*args, **kwargs)
        await full.run("DeleteObject", Bucket="bucket", Key="s3/large")
        await full.put("kms/large", b"small now")
        full.sql("DELETE FROM version WHERE object_key = ? AND current = 0", b"kms/large")
        await full.upkeep.delete_discarded()
        return page

    path = blob("kms/large")
    monkeypatch.setattr(full.catalog, "versions", versions)
    path.unlink()
    assert await findings(full, "bucket") == []


async def test_a_part_that_is_sent_again_meanwhile_is_no_finding(full, monkeypatch):
    walk = full.catalog.parts

    async def parts(*args, **kwargs):
        page = await walk(*args, **kwargs)
        monkeypatch.setattr(full.catalog, "parts", walk)
        await full.run("UploadPart", data=SMALL, PartNumber=1, Bucket="bucket", Key="upload", UploadId=full.upload_id)
        await full.upkeep.delete_discarded()
        return page

    monkeypatch.setattr(full.catalog, "parts", parts)
    assert await findings(full) == []


async def test_an_upload_that_is_completed_meanwhile_leaves_no_orphan(full, monkeypatch):
    walk = full.catalog.uploads
    full.now += timedelta(seconds=1)
    parts = (await full.run("ListParts", Bucket="bucket", Key="upload", UploadId=full.upload_id))["Parts"][:1]
    named = {"Parts": [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]}

    async def uploads(*args, **kwargs):
        monkeypatch.setattr(full.catalog, "uploads", walk)
        await full.run("CompleteMultipartUpload", Bucket="bucket", Key="upload", UploadId=full.upload_id, MultipartUpload=named)
        return await walk(*args, **kwargs)

    monkeypatch.setattr(full.catalog, "uploads", uploads)
    found, tally = await verified(full, served=True)
    assert found == []
    assert tally.waiting == 1  # the part that was not named


def customer(key: bytes) -> dict[str, str]:
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(key).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }


@pytest.mark.parametrize("size", [3000, 300_000])
async def test_under_a_customers_key_all_but_the_segments_is_checked(vault, size):
    await vault.make()
    await vault.put("locked", bytes(size), **customer(b"c" * 32))
    found, tally = await verified(vault)
    assert (found, tally.customer_locked, tally.size) == ([], 1, 0)
    for column in ("meta", "seal", "manifest"):
        ((value,),) = vault.sql(f"SELECT {column} FROM version")  # noqa: S608 - our own words
        vault.sql(f"UPDATE version SET {column} = ?", value[:-1] + bytes([value[-1] ^ 1]))  # noqa: S608 - our own words
        assert {(one.kind, one.object_key) for one in await findings(vault) if one.bucket} == {("corrupt", "locked")}
        vault.sql(f"UPDATE version SET {column} = ?", value)  # noqa: S608 - our own words
    if size == 3000:
        vault.sql("UPDATE version SET body = substr(body, 2)")
    else:
        (path,) = vault.files
        path.write_bytes(path.read_bytes()[:-1])
    assert "bytes instead of" in (await the_finding(vault)).why
    if size > 3000:
        path.unlink()
        assert (await the_finding(vault)).kind == "missing"


async def test_an_unfinished_upload_under_a_customers_key(vault):
    await vault.make()
    key = customer(b"c" * 32)
    created = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="upload", **key)
    await vault.run("UploadPart", data=LARGE, PartNumber=1, Bucket="bucket", Key="upload", UploadId=created["UploadId"], **key)
    found, tally = await verified(vault)
    assert (found, tally.customer_locked, tally.parts) == ([], 1, 1)
    vault.files[0].unlink()
    found = await the_finding(vault)
    assert (found.kind, found.upload_id, found.part_number) == ("missing", created["UploadId"], 1)
