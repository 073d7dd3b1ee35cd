"""What every Catalog must do, from the contract alone. A subclass gives the fixtures ``catalog`` and ``another``.

``another`` is a second handle on the same data, as another worker would have it.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.store.contract import AnnotationRow, BucketRow, Conflict, Gone, PartRow, UploadRow, VersionRow

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog, Transaction

_count = itertools.count(1)


def new_id() -> str:
    return f"{next(_count):032x}"


def bucket(name: str, *, account_id: str = "111122223333", region: str = "eu-central-1") -> BucketRow:
    return BucketRow(new_id(), name, account_id, region, 1_700_000_000_123)


def version(bucket_id: str, object_key: str, **changes: object) -> VersionRow:
    given_: dict[str, object] = {
        "version_id": new_id(),
        "null_version": False,
        "delete_marker": False,
        "size": 5,
        "modified_ms": 1_700_000_000_456,
        "seal": b"seal\0",
        "meta": b"meta\xff",
        "manifest": b"",
        "body": b"\0body",
    }
    return VersionRow(bucket_id, object_key, **(given_ | changes))  # type: ignore[arg-type]


def annotation(name: str, **changes: object) -> AnnotationRow:
    given_: dict[str, object] = {"size": 3, "modified_ms": 7, "meta": b"meta", "manifest": b"manifest", "body": b"body"}
    return AnnotationRow(name, **(given_ | changes))  # type: ignore[arg-type]


def without_body(row: VersionRow) -> VersionRow:
    return VersionRow(
        row.bucket_id,
        row.object_key,
        row.version_id,
        row.null_version,
        row.delete_marker,
        row.size,
        row.modified_ms,
        row.seal,
        row.meta,
        row.manifest,
    )


def upload(bucket_id: str, object_key: str, upload_id: str | None = None) -> UploadRow:
    return UploadRow(bucket_id, object_key, upload_id or new_id(), 1_700_000_000_789, b"seal", b"meta")


def part(upload_id: str, number: int, *, size: int = 5, manifest: bytes = b"m") -> PartRow:
    return PartRow(upload_id, number, size, 1_700_000_000_000 + number, b"meta", manifest)


async def make_bucket(catalog: Catalog, name: str = "bucket") -> BucketRow:
    row = bucket(name)
    await catalog.write(lambda tx: tx.create_bucket(row))
    return row


async def insert(catalog: Catalog, *rows: VersionRow) -> None:
    def work(tx: Transaction) -> None:
        for row in rows:
            tx.insert_version(row)

    await catalog.write(work)


async def put_keys(catalog: Catalog, bucket_id: str, object_keys: list[str]) -> None:
    await insert(catalog, *(version(bucket_id, key) for key in object_keys))


# Keys whose order by UTF-8 bytes differs from that by UTF-16 units, and those that break C strings and prefix arithmetic.
HARD_KEYS = [
    "",
    "\0",
    "\0a",
    "a",
    "a\0",
    "a\0b",
    "a/",
    "ab",
    "b",
    "~",
    "\x7f",
    "\x80",
    "\u07ff",
    "é",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
]
_keys = st.text(st.sampled_from("\0ab/é\uffff\U0001f600\U0010ffff"), max_size=4)


class CatalogSuite:
    # ---- walking

    async def test_buckets_of_all_accounts_are_walked_by_name(self, catalog: Catalog) -> None:
        rows = [bucket(name, account_id=account) for name, account in (("b", "1" * 12), ("a", "2" * 12), ("c", "1" * 12))]
        for row in rows:
            await catalog.write(lambda tx, row=row: tx.create_bucket(row))  # type: ignore[misc]
        assert [row.name for row in await catalog.every_bucket(limit=9)] == ["a", "b", "c"]
        assert [row.name for row in await catalog.every_bucket(limit=1)] == ["a"]
        assert await catalog.every_bucket(after="a", limit=1) == [rows[0]]
        assert await catalog.every_bucket(after="c", limit=1) == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    async def test_every_version_is_walked_by_key_and_the_newest_first(self, catalog: Catalog, limit: int) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        other = (await make_bucket(catalog, "other")).bucket_id
        rows = [
            version(bucket_id, "a/1"),
            version(bucket_id, "a/1", delete_marker=True, body=None),
            version(bucket_id, "a/1", null_version=True),
            version(bucket_id, "a/2", delete_marker=True),
            version(bucket_id, "a/\u00e9"),
            version(bucket_id, "a/\U0001f600", null_version=True),
            version(bucket_id, "a/\U0001f600"),
            version(bucket_id, "b"),
        ]
        await insert(catalog, version(other, "a/0"), *rows)
        rows.reverse()
        rows.sort(key=lambda row: row.object_key.encode())
        for prefix in ("", "a/", "a/1", "b", "c"):
            expected = [without_body(row) for row in rows if row.object_key.startswith(prefix)]
            found: list[VersionRow] = []
            after = None
            while True:
                page, after = await catalog.versions(bucket_id, prefix=prefix, after=after, limit=limit)
                assert len(page) <= limit
                found += page
                if after is None:
                    break
            assert found == expected
            assert await catalog.count_versions(bucket_id, prefix=prefix) == len(expected)
            inside = await catalog.write(lambda tx, prefix=prefix: tx.versions(bucket_id, prefix=prefix, limit=limit))
            assert inside == await catalog.versions(bucket_id, prefix=prefix, limit=limit)
        assert await catalog.versions(new_id(), limit=limit) == ([], None)
        assert await catalog.count_versions(new_id()) == 0

    async def test_a_transaction_walks_what_it_has_written(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        old, new = version(bucket_id, "a"), version(bucket_id, "a")

        def work(tx: Transaction) -> list[str]:
            for row in (old, new):
                tx.insert_version(row)
            rows, after = tx.versions(bucket_id, start="a", limit=1)
            rest, _ = tx.versions(bucket_id, start="a", after=after, limit=9)
            return [row.version_id for row in (*rows, *rest)]

        assert await catalog.write(work) == [new.version_id, old.version_id]

    async def test_a_walk_goes_on_behind_any_version_and_at_any_key(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        rows = [
            version(bucket_id, "a"),
            version(bucket_id, "k"),
            version(bucket_id, "k", null_version=True),
            version(bucket_id, "k"),
            version(bucket_id, "l", null_version=True, delete_marker=True),
            version(bucket_id, "m", null_version=True),
        ]
        await insert(catalog, *rows)
        order = [without_body(rows[index]) for index in (0, 3, 2, 1, 4, 5)]
        for index, row in enumerate(order):
            asked = {row.version_id, None} if row.null_version else {row.version_id}
            for version_id in asked:
                place = await catalog.place(bucket_id, row.object_key, version_id)
                assert place is not None
                for start in ("", "k", "l", "z"):
                    behind = [one for one in order[index + 1 :] if one.object_key >= start]
                    assert (await catalog.versions(bucket_id, start=start, after=place, limit=9))[0] == behind
                for prefix in ("a", "k", "m"):
                    behind = [one for one in order[index + 1 :] if one.object_key.startswith(prefix)]
                    assert (await catalog.versions(bucket_id, prefix=prefix, after=place, limit=9))[0] == behind
        assert await catalog.place(bucket_id, "a", None) is None
        assert await catalog.place(bucket_id, "k", rows[0].version_id) is None
        assert await catalog.place(bucket_id, "none", None) is None
        assert await catalog.place(new_id(), "k", None) is None

    async def test_a_walk_meets_what_stays_exactly_once_whatever_is_written(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        rows = [version(bucket_id, key) for key in "abcde"]
        await insert(catalog, *rows)
        found: list[VersionRow] = []
        after = None
        while True:
            page, after = await catalog.versions(bucket_id, after=after, limit=1)
            found += page
            if after is None:
                break
            for key in {page[0].object_key, "e"} - {found[-2].object_key if len(found) > 1 else ""}:
                await insert(catalog, version(bucket_id, key))  # what was met is no longer the newest, nor is what will be met
            newest = await catalog.latest(bucket_id, "c")
            assert newest is not None
            if newest != rows[2]:  # and here it becomes so again
                await catalog.write(lambda tx, newest=newest: tx.delete_version(newest))  # type: ignore[misc]
        assert [row for row in found if row in list(map(without_body, rows))] == list(map(without_body, rows))

    # ---- buckets

    async def test_a_bucket_is_found_by_its_name_and_only_while_it_exists(self, catalog: Catalog) -> None:
        row = await make_bucket(catalog)
        assert await catalog.bucket("bucket") == row
        assert await catalog.bucket("bucke") is None
        assert await catalog.write(lambda tx: (tx.bucket("bucket"), tx.bucket_exists(row.bucket_id))) == (row, True)
        await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id))
        assert await catalog.bucket("bucket") is None
        assert await catalog.write(lambda tx: (tx.bucket("bucket"), tx.bucket_exists(row.bucket_id))) == (None, False)

    async def test_a_bucket_name_is_taken_once(self, catalog: Catalog) -> None:
        row = await make_bucket(catalog)
        with pytest.raises(Conflict):
            await catalog.write(lambda tx: tx.create_bucket(bucket("bucket", account_id="444455556666")))
        assert await catalog.bucket("bucket") == row

    async def test_a_conflict_that_the_work_handles_undoes_nothing_else(self, catalog: Catalog) -> None:
        await make_bucket(catalog)

        def work(tx: Transaction) -> None:
            tx.set_document("here", "kind", 1)
            with pytest.raises(Conflict):
                tx.create_bucket(bucket("bucket"))
            tx.set_document("there", "kind", 2)

        await catalog.write(work)
        assert await catalog.documents("kind", limit=9) == [("here", 1), ("there", 2)]

    async def test_buckets_are_listed_by_account_region_prefix_and_page(self, catalog: Catalog) -> None:
        for name, account_id, region in (
            ("b2", "1", "x"),
            ("b1", "1", "x"),
            ("a", "1", "y"),
            ("b3", "2", "x"),
            ("b10", "1", "y"),
        ):
            row = bucket(name, account_id=account_id, region=region)
            await catalog.write(lambda tx, row=row: tx.create_bucket(row))

        async def names(**asked: object) -> list[str]:
            return [row.name for row in await catalog.buckets("1", **({"limit": 9} | asked))]  # type: ignore[arg-type]

        assert await names() == ["a", "b1", "b10", "b2"]
        assert await names(limit=2) == ["a", "b1"]
        assert await names(after="b1", limit=1) == ["b10"]
        assert await names(prefix="b1") == ["b1", "b10"]
        assert await names(region="y") == ["a", "b10"]
        assert await names(region="y", after="a") == ["b10"]
        assert await names(prefix="c") == []
        assert await catalog.write(lambda tx: tx.count_buckets("1")) == 4

    async def test_deleting_a_bucket_takes_its_documents_uploads_and_parts(self, catalog: Catalog) -> None:
        row, other = await make_bucket(catalog), await make_bucket(catalog, "other")
        mine, its = upload(row.bucket_id, "k"), upload(other.bucket_id, "k")
        parts = [part(mine.upload_id, 1), part(mine.upload_id, 2)]

        def work(tx: Transaction) -> None:
            for one in (mine, its):
                tx.insert_upload(one)
            for one in (*parts, part(its.upload_id, 1)):
                tx.put_part(one)
            for bucket_id in (row.bucket_id, other.bucket_id):
                tx.set_document(f"bucket/{bucket_id}", "policy", {"a": 1})
                tx.set_document(f"bucket/{bucket_id}/x", "inventory", {"a": 1})

        await catalog.write(work)
        assert await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id)) == parts
        assert await catalog.documents("policy", limit=9) == [(f"bucket/{other.bucket_id}", {"a": 1})]
        assert await catalog.documents("inventory", limit=9) == [(f"bucket/{other.bucket_id}/x", {"a": 1})]
        assert await catalog.upload(row.bucket_id, mine.upload_id) is None
        assert await catalog.parts(mine.upload_id, limit=9) == []
        assert await catalog.upload(other.bucket_id, its.upload_id) == its
        assert len(await catalog.parts(its.upload_id, limit=9)) == 1

    async def test_a_bucket_with_any_version_is_not_deleted(self, catalog: Catalog) -> None:
        row = await make_bucket(catalog)
        marker = version(row.bucket_id, "k", delete_marker=True, body=None)
        await insert(catalog, marker)
        with pytest.raises(Conflict):
            await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id))
        await catalog.write(lambda tx: tx.delete_version(marker))
        await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id))
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id))

    async def test_a_bucket_made_anew_shows_nothing_of_the_old_one(self, catalog: Catalog, another: Catalog) -> None:
        old = await make_bucket(catalog)
        assert await another.latest(old.bucket_id, "k") is None
        await another.write(lambda tx: tx.bucket_exists(old.bucket_id))
        await catalog.write(lambda tx: tx.delete_bucket(old.bucket_id))
        new = await make_bucket(catalog)
        await insert(catalog, version(new.bucket_id, "k"))
        assert await another.latest(old.bucket_id, "k") is None
        assert await another.current(old.bucket_id, limit=9) == []
        assert await another.write(lambda tx: tx.bucket_exists(old.bucket_id)) is False

    async def test_nothing_is_put_into_a_bucket_that_is_gone(self, catalog: Catalog, another: Catalog) -> None:
        row = await make_bucket(catalog)
        await another.write(lambda tx: tx.bucket_exists(row.bucket_id))
        await catalog.write(lambda tx: tx.delete_bucket(row.bucket_id))
        for one in (catalog, another):
            with pytest.raises(Gone):
                await insert(one, version(row.bucket_id, "k"))
            with pytest.raises(Gone):
                await one.write(lambda tx: tx.insert_upload(upload(row.bucket_id, "k")))

    # ---- versions

    async def test_a_version_comes_back_as_it_was_written(self, catalog: Catalog) -> None:
        row = await make_bucket(catalog)
        whole = version(row.bucket_id, "k", size=2**45, seal=b"\0\xff", meta=b"", manifest=bytes(range(256)), body=b"")
        null = version(row.bucket_id, "n", null_version=True, body=None)
        await insert(catalog, whole, null)
        assert await catalog.latest(row.bucket_id, "k") == whole
        assert await catalog.version(row.bucket_id, "k", whole.version_id) == whole
        assert await catalog.latest(row.bucket_id, "n") == null
        assert await catalog.version(row.bucket_id, "n", None) == null
        assert await catalog.write(lambda tx: tx.latest(row.bucket_id, "k")) == without_body(whole)
        assert await catalog.write(lambda tx: tx.version(row.bucket_id, "k", whole.version_id)) == without_body(whole)
        assert await catalog.latest(row.bucket_id, "K") is None
        assert await catalog.latest(new_id(), "k") is None
        assert await catalog.version(row.bucket_id, "k", null.version_id) is None
        assert await catalog.version(row.bucket_id, "k", None) is None

    async def test_a_null_version_is_replaced_in_place(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        older = version(bucket_id, "k")
        old = version(bucket_id, "k", null_version=True, manifest=b"old")
        new = version(bucket_id, "k", null_version=True, size=7, seal=b"s", meta=b"m", manifest=b"new", body=None, modified_ms=9)
        marker = version(bucket_id, "k", null_version=True, delete_marker=True, body=None)
        await insert(catalog, older, old)
        await catalog.write(lambda tx: tx.replace_version(old, new))
        assert await catalog.latest(bucket_id, "k") == await catalog.version(bucket_id, "k", None) == new
        assert await catalog.version(bucket_id, "k", old.version_id) is None
        assert await catalog.current(bucket_id, limit=9) == [new]
        await catalog.write(lambda tx: tx.replace_version(new, marker))
        assert await catalog.latest(bucket_id, "k") == marker
        assert await catalog.current(bucket_id, limit=9) == []
        await catalog.write(lambda tx: tx.replace_version(marker, old))
        assert await catalog.current(bucket_id, limit=9) == [without_body(old)]
        await catalog.write(lambda tx: tx.delete_version(old))
        assert await catalog.latest(bucket_id, "k") == older

    async def test_only_the_newest_null_version_is_replaced_and_by_its_like(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        null, named = version(bucket_id, "k", null_version=True), version(bucket_id, "n")
        await insert(catalog, null, named)
        for old, new in (
            (null, version(bucket_id, "k")),
            (null, version(bucket_id, "other", null_version=True)),
            (version(bucket_id, "k", null_version=True), version(bucket_id, "k", null_version=True)),
            (named, version(bucket_id, "n", null_version=True)),
            (version(bucket_id, "none", null_version=True), version(bucket_id, "none", null_version=True)),
        ):
            with pytest.raises(Gone):
                await catalog.write(lambda tx, old=old, new=new: tx.replace_version(old, new))
        assert await catalog.latest(bucket_id, "k") == null
        await insert(catalog, version(bucket_id, "k"))
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.replace_version(null, version(bucket_id, "k", null_version=True)))

    async def test_the_newest_version_is_the_last_inserted_and_the_next_one_follows(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        first, second = version(bucket_id, "k"), version(bucket_id, "k")
        marker = version(bucket_id, "k", delete_marker=True, body=None)
        await insert(catalog, first)
        await insert(catalog, second, marker)
        assert await catalog.latest(bucket_id, "k") == marker
        assert await catalog.current(bucket_id, limit=9) == []
        await catalog.write(lambda tx: tx.delete_version(marker))
        assert await catalog.latest(bucket_id, "k") == second
        assert await catalog.current(bucket_id, limit=9) == [without_body(second)]
        await catalog.write(lambda tx: tx.delete_version(first))
        assert await catalog.latest(bucket_id, "k") == second
        await catalog.write(lambda tx: tx.delete_version(second))
        assert await catalog.latest(bucket_id, "k") is None
        assert await catalog.current(bucket_id, limit=9) == []
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.delete_version(second))

    async def test_a_version_id_exists_once(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        row = version(bucket_id, "k")
        await insert(catalog, row, version(bucket_id, "k"))
        newest = await catalog.latest(bucket_id, "k")
        with pytest.raises(Conflict):
            await insert(catalog, version(bucket_id, "k", version_id=row.version_id))
        assert await catalog.latest(bucket_id, "k") == newest
        await insert(catalog, version(bucket_id, "other", version_id=row.version_id))

    async def test_a_key_has_one_null_version_wherever_it_stands(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        null, numbered = version(bucket_id, "k", null_version=True), version(bucket_id, "k")
        await insert(catalog, null)
        with pytest.raises(Conflict):
            await insert(catalog, version(bucket_id, "k", null_version=True))
        await insert(catalog, numbered)
        with pytest.raises(Conflict):
            await insert(catalog, version(bucket_id, "k", null_version=True))
        assert await catalog.version(bucket_id, "k", None) == null
        assert await catalog.latest(bucket_id, "k") == numbered
        assert await catalog.write(lambda tx: tx.version(bucket_id, "k", None)) == without_body(null)
        await catalog.write(lambda tx: tx.delete_version(null))
        assert await catalog.version(bucket_id, "k", None) is None
        newer = version(bucket_id, "k", null_version=True)
        await insert(catalog, newer)
        with pytest.raises(Gone):  # the one that was replaced, not the one that stands there now
            await catalog.write(lambda tx: tx.delete_version(null))
        assert await catalog.latest(bucket_id, "k") == newer

    async def test_a_null_version_is_replaced_in_one_work(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        for _ in range(3):
            new = version(bucket_id, "k", null_version=True, body=b"x" * 5000)

            def work(tx: Transaction, new: VersionRow = new) -> None:
                old = tx.latest(bucket_id, "k")
                if old is not None:
                    tx.delete_version(old)
                tx.insert_version(new)
                assert tx.latest(bucket_id, "k") == without_body(new)

            await catalog.write(work)
            assert await catalog.latest(bucket_id, "k") == new
            assert await catalog.current(bucket_id, limit=9) == [without_body(new)]

    async def test_resealing_changes_the_wrapping_and_nothing_else(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        old, new = version(bucket_id, "k"), version(bucket_id, "k")
        await insert(catalog, old, new)
        await catalog.write(lambda tx: tx.reseal_version(old, seal=b"other" * 99, meta=b"m"))
        expected = version(bucket_id, "k", version_id=old.version_id, seal=b"other" * 99, meta=b"m")
        assert await catalog.version(bucket_id, "k", old.version_id) == expected
        assert await catalog.latest(bucket_id, "k") == new
        await catalog.write(lambda tx: tx.delete_version(old))
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.reseal_version(old, seal=b"", meta=b""))

    # ---- listing

    async def test_keys_are_ordered_by_their_utf8_bytes(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        await put_keys(catalog, bucket_id, HARD_KEYS[::-1])
        expected = sorted(HARD_KEYS, key=str.encode)
        assert [row.object_key for row in await catalog.current(bucket_id, limit=99)] == expected
        for key in HARD_KEYS:
            found = await catalog.latest(bucket_id, key)
            assert found is not None
            assert found.object_key == key
        paged: list[str] = []
        while page := await catalog.current(bucket_id, after=paged[-1] if paged else None, limit=2):
            paged += [row.object_key for row in page]
        assert paged == expected

    async def test_a_page_begins_with_start_after_and_prefix_as_said(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        await put_keys(catalog, bucket_id, HARD_KEYS)

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(prefix=_keys, start=_keys, after=st.none() | _keys, limit=st.integers(1, 20))
        def check(prefix: str, start: str, after: str | None, limit: int) -> None:
            expected = [
                key
                for key in sorted(HARD_KEYS, key=str.encode)
                if key.startswith(prefix) and key.encode() >= start.encode() and (after is None or key.encode() > after.encode())
            ]
            reading = catalog.current(bucket_id, prefix=prefix, start=start, after=after, limit=limit)
            with pytest.raises(StopIteration) as ended:  # reads do not suspend; if one ever does, this shows it
                reading.send(None)  # type: ignore[attr-defined]
            assert [row.object_key for row in ended.value.value] == expected[:limit]

        check()

    async def test_old_versions_and_markers_are_not_listed(self, catalog: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        await insert(catalog, *(version(bucket_id, "b") for _ in range(5)))
        await insert(catalog, version(bucket_id, "a"), version(bucket_id, "a", delete_marker=True), version(bucket_id, "c"))
        assert [row.object_key for row in await catalog.current(bucket_id, limit=9)] == ["b", "c"]
        assert all(row.body is None for row in await catalog.current(bucket_id, limit=9))

    # ---- uploads and parts

    @pytest.mark.parametrize("null", [False, True])
    async def test_annotations_are_put_replaced_listed_and_removed(self, catalog: Catalog, null: bool) -> None:
        made = await make_bucket(catalog)
        row, other = version(made.bucket_id, "k", null_version=null), version(made.bucket_id, "other")
        await insert(catalog, row, other)
        names = ["\uffff", "a", "ab", "b", "\U00010000"]
        for name in names:
            await catalog.write(lambda tx, name=name: tx.put_annotation(row, annotation(name)))
        await catalog.write(lambda tx: tx.put_annotation(other, annotation("a", body=b"other")))
        await insert(catalog, version(made.bucket_id, "k"))  # the annotated version is no longer the newest
        bare = {name: annotation(name, body=None) for name in names}
        in_order = [bare[name] for name in sorted(names, key=str.encode)]
        assert await catalog.annotations(row, limit=99) == in_order
        assert await catalog.write(lambda tx: tx.annotations(row)) == in_order
        assert await catalog.annotations(row, prefix="a", limit=99) == [bare["a"], bare["ab"]]
        assert await catalog.annotations(row, prefix="a", after="a", limit=99) == [bare["ab"]]
        assert await catalog.annotations(row, after="a", limit=2) == [bare["ab"], bare["b"]]
        changed = annotation("a", size=9, modified_ms=8, meta=b"m", manifest=b"n", body=b"anew")
        await catalog.write(lambda tx: tx.put_annotation(row, changed))
        assert await catalog.annotation(row, "a") == changed
        assert await catalog.annotation(other, "a") == annotation("a", body=b"other")
        assert await catalog.annotation(row, "c") is None
        assert await catalog.write(lambda tx: tx.delete_annotation(row, "a")) is True
        assert await catalog.write(lambda tx: tx.delete_annotation(row, "a")) is False
        assert await catalog.annotation(row, "a") is None
        assert await catalog.annotation(other, "a") is not None

    async def test_annotations_go_with_their_version(self, catalog: Catalog) -> None:
        made = await make_bucket(catalog)
        null, newer = version(made.bucket_id, "k", null_version=True), version(made.bucket_id, "k", null_version=True)
        numbered = version(made.bucket_id, "n")
        await insert(catalog, null, numbered)
        for row in (null, numbered):
            await catalog.write(lambda tx, row=row: tx.put_annotation(row, annotation("a")))
        await catalog.write(lambda tx: tx.replace_version(null, newer))
        await catalog.write(lambda tx: tx.delete_version(numbered))
        for row in (null, newer, numbered):
            assert await catalog.annotations(row, limit=9) == []
            assert await catalog.annotation(row, "a") is None
        for row in (null, numbered):
            with pytest.raises(Gone):
                await catalog.write(lambda tx, row=row: tx.put_annotation(row, annotation("a")))
            with pytest.raises(Gone):
                await catalog.write(lambda tx, row=row: tx.delete_annotation(row, "a"))
        await catalog.write(lambda tx: tx.put_annotation(newer, annotation("a")))
        assert await catalog.annotation(newer, "a") == annotation("a")

    async def test_annotations_move_to_another_version(self, catalog: Catalog) -> None:
        made = await make_bucket(catalog)
        old, row = version(made.bucket_id, "old"), version(made.bucket_id, "row")
        await insert(catalog, old, row)

        def put(tx: Transaction) -> None:
            for name in ("a", "b"):
                tx.put_annotation(old, annotation(name))

        await catalog.write(put)
        await catalog.write(lambda tx: tx.move_annotations(old, row, {"a": b"another", "b": b"meta"}))
        assert await catalog.annotation(row, "a") == annotation("a", meta=b"another")
        assert await catalog.annotation(row, "b") == annotation("b")
        assert await catalog.annotations(old, limit=9) == []
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.move_annotations(row, version(made.bucket_id, "x"), {"a": b""}))

    async def test_uploads_are_found_listed_and_removed(self, catalog: Catalog) -> None:
        row, other = await make_bucket(catalog), await make_bucket(catalog, "other")
        rows = [upload(row.bucket_id, key, name) for key, name in (("a", "9"), ("b", "1"), ("b", "2"), ("\0", "5"), ("ba", "0"))]

        def work(tx: Transaction) -> None:
            for one in rows:
                tx.insert_upload(one)

        await catalog.write(work)
        with pytest.raises(Conflict):
            await catalog.write(lambda tx: tx.insert_upload(upload(row.bucket_id, "z", "9")))
        assert await catalog.upload(row.bucket_id, "2") == rows[2]
        assert await catalog.write(lambda tx: tx.upload(row.bucket_id, "2")) == rows[2]
        assert await catalog.upload(other.bucket_id, "2") is None
        expected = sorted(rows, key=lambda one: (one.object_key.encode(), one.upload_id))
        assert await catalog.uploads(row.bucket_id, limit=9) == expected
        assert await catalog.uploads(row.bucket_id, limit=2) == expected[:2]
        assert await catalog.uploads(row.bucket_id, after=("b", "1"), limit=9) == expected[3:]
        assert await catalog.uploads(row.bucket_id, after=("a", "9"), start="b", limit=9) == expected[2:]
        assert await catalog.uploads(row.bucket_id, prefix="b", start="ba", limit=9) == expected[4:]
        assert await catalog.uploads(other.bucket_id, limit=9) == []
        assert await catalog.write(lambda tx: tx.delete_upload(rows[0])) == []
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.delete_upload(rows[0]))

    async def test_parts_are_put_replaced_listed_and_given_back(self, catalog: Catalog) -> None:
        row = upload((await make_bucket(catalog)).bucket_id, "k")
        await catalog.write(lambda tx: tx.insert_upload(row))
        second, first = part(row.upload_id, 2), part(row.upload_id, 1, manifest=b"x" * 3000)
        assert await catalog.write(lambda tx: (tx.put_part(second), tx.put_part(first))) == (None, None)
        newer = part(row.upload_id, 2, size=77, manifest=b"")
        assert await catalog.write(lambda tx: tx.put_part(newer)) == second
        assert await catalog.part(row.upload_id, 2) == newer
        assert await catalog.part(row.upload_id, 3) is None
        assert await catalog.parts(row.upload_id, limit=9) == [first, newer]
        assert await catalog.parts(row.upload_id, limit=1) == [first]
        assert await catalog.parts(row.upload_id, after=1, limit=9) == [newer]
        assert await catalog.write(lambda tx: tx.delete_upload(row)) == [first, newer]
        assert await catalog.parts(row.upload_id, limit=9) == []
        with pytest.raises(Gone):
            await catalog.write(lambda tx: tx.put_part(second))

    # ---- blobs

    async def test_blobs_are_kept_discarded_and_forgotten(self, catalog: Catalog) -> None:
        kept, dropped, never = new_id(), new_id(), new_id()
        await catalog.write(lambda tx: tx.keep([kept, dropped, kept]))
        assert await catalog.unkept([never, kept, dropped]) == [never]
        assert await catalog.kept([never, kept, dropped]) == [kept, dropped]
        await catalog.write(lambda tx: tx.discard([dropped, dropped]))
        assert await catalog.discarded(9) == [dropped]
        assert await catalog.unkept([never, kept, dropped]) == [never]
        assert await catalog.kept([never, kept, dropped]) == [kept]
        await catalog.forget([dropped])
        assert await catalog.discarded(9) == []
        assert await catalog.unkept([never, kept, dropped]) == [never, dropped]

    async def test_what_is_discarded_later_is_never_before_an_earlier_mark(self, catalog: Catalog) -> None:
        """Also when all that was there has been forgotten meanwhile."""
        first, second = new_id(), new_id()
        await catalog.write(lambda tx: tx.discard([first]))
        mark = await catalog.discarded_mark()
        await catalog.forget([first])
        await catalog.write(lambda tx: tx.discard([second]))
        assert await catalog.discarded(9, mark) == []
        assert await catalog.discarded(9) == [second]
        assert await catalog.discarded_mark() > mark

    async def test_what_is_kept_last_is_not_deleted(self, catalog: Catalog) -> None:
        blob_ids = [new_id() for _ in range(3)]

        def work(tx: Transaction) -> None:
            tx.keep(blob_ids)
            tx.discard(blob_ids)
            tx.keep(blob_ids[1:2])

        await catalog.write(work)
        assert await catalog.discarded(9) == [blob_ids[0], blob_ids[2]]
        assert await catalog.discarded(1) == [blob_ids[0]]

    # ---- documents

    async def test_a_note_is_a_document_that_raises_no_generation(self, catalog: Catalog) -> None:
        await catalog.write(lambda tx: tx.set_document("a", "kind", 1))
        before = catalog.generation()
        for value in (2, 3, None):
            await catalog.write(lambda tx, value=value: tx.note("a", "kind", value))
            assert await catalog.document("a", "kind") == value
        assert catalog.generation() == before
        await catalog.write(lambda tx: tx.set_document("a", "kind", 4))
        assert catalog.generation() != before

    async def test_documents_are_set_replaced_removed_and_listed(self, catalog: Catalog) -> None:
        values = {"a": {"b": [1, None, True, "é\0\U0001f600"]}, "b": 0, "ba": "", "c": []}

        def work(tx: Transaction) -> None:
            for scope, value in values.items():
                tx.set_document(scope, "kind", value)
            tx.set_document("a", "other", "x")
            assert tx.document("a", "kind") == values["a"]
            assert tx.documents("kind", prefix="b", limit=9) == [("b", 0), ("ba", "")]

        await catalog.write(work)
        assert await catalog.documents("kind", limit=9) == list(values.items())
        assert await catalog.documents("kind", after="a", limit=2) == [("b", 0), ("ba", "")]
        assert await catalog.document("a", "other") == "x"
        await catalog.write(lambda tx: tx.set_document("a", "kind", "new"))
        assert await catalog.document("a", "kind") == "new"
        await catalog.write(lambda tx: tx.set_document("a", "kind", None))
        assert await catalog.document("a", "kind") is None
        assert await catalog.document("a", "other") == "x"

    # ---- transactions

    async def test_a_failing_work_undoes_itself_alone(self, catalog: Catalog) -> None:
        class Refused(Exception):
            pass

        def work(number: int, tx: Transaction) -> int:
            tx.set_document(f"{number}", "kind", number)
            if number % 3 == 0:
                raise Refused
            return number

        works = [catalog.write(lambda tx, number=number: work(number, tx)) for number in range(10)]
        results = await asyncio.gather(*works, return_exceptions=True)
        assert [type(result) is Refused for result in results] == [number % 3 == 0 for number in range(10)]
        assert [value for _, value in await catalog.documents("kind", limit=99)] == [1, 2, 4, 5, 7, 8]

    async def test_an_undone_bucket_leaves_no_trace(self, catalog: Catalog) -> None:
        row = bucket("bucket")

        def work(tx: Transaction) -> None:
            tx.create_bucket(row)
            assert tx.bucket_exists(row.bucket_id)
            raise LookupError

        with pytest.raises(LookupError):
            await catalog.write(work)
        other = await make_bucket(catalog)
        assert await catalog.write(lambda tx: tx.bucket_exists(row.bucket_id)) is False
        with pytest.raises(Gone):
            await insert(catalog, version(row.bucket_id, "k"))
        await insert(catalog, version(other.bucket_id, "k"))

    async def test_reads_see_what_was_committed_through_any_handle(self, catalog: Catalog, another: Catalog) -> None:
        bucket_id = (await make_bucket(catalog)).bucket_id
        for number in range(20):
            writer, reader = (catalog, another) if number % 2 else (another, catalog)
            row = version(bucket_id, "k")
            await insert(writer, row)
            assert await reader.latest(bucket_id, "k") == row

    async def test_the_generation_changes_for_all_when_a_bucket_or_document_does(
        self, catalog: Catalog, another: Catalog
    ) -> None:
        seen = {(catalog.generation(), another.generation())}

        async def changes(expected: bool) -> None:
            now = (catalog.generation(), another.generation())
            assert now[0] == now[1]
            assert (now not in seen) is expected
            seen.add(now)

        row = await make_bucket(catalog)
        await changes(True)
        await another.write(lambda tx: tx.set_document("a", "kind", 1))
        await changes(True)
        await insert(catalog, version(row.bucket_id, "k"))
        await catalog.write(lambda tx: tx.keep([new_id()]))
        await changes(False)
        await catalog.write(lambda tx: tx.set_document("a", "kind", None))
        await changes(True)
        other = await make_bucket(another, "other")
        await changes(True)
        await catalog.write(lambda tx: tx.delete_bucket(other.bucket_id))
        await changes(True)

    async def test_many_writers_through_two_handles_lose_nothing(self, catalog: Catalog, another: Catalog) -> None:
        def work(tx: Transaction) -> int:
            number: int = (tx.document("counter", "kind") or 0) + 1
            tx.set_document("counter", "kind", number)
            return number

        results = await asyncio.gather(*((catalog, another)[number % 2].write(work) for number in range(100)))
        assert sorted(results) == list(range(1, 101))
        assert await catalog.document("counter", "kind") == 100

    async def test_a_cancelled_write_does_not_disturb_the_others(self, catalog: Catalog) -> None:
        tasks = [
            asyncio.create_task(catalog.write(lambda tx, n=number: tx.set_document(f"{n}", "kind", n))) for number in range(10)
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[5].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [number for number, result in enumerate(results) if isinstance(result, asyncio.CancelledError)] == [0, 5]
        stored = {value for _, value in await catalog.documents("kind", limit=99)}
        assert stored - {0, 5} == {1, 2, 3, 4, 6, 7, 8, 9}  # a cancelled one may or may not have happened
