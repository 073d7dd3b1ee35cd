"""Walks over everything a store holds, page by page: buckets, versions, uploads and parts. What the operator's tools go through.

Memory is that of one page, however large the store is. Never knows what is looked for, and never opens anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strongroom.store.contract import BucketRow, Catalog, PartRow, Place, UploadRow, VersionRow

PAGE: Final = 500


async def every_bucket(catalog: Catalog, name: str | None = None) -> AsyncIterator[BucketRow]:
    """All buckets by name, or the one of that name, if it is there."""
    if name is not None:
        row = await catalog.bucket(name)
        if row is not None:
            yield row
        return
    after = ""
    while rows := await catalog.every_bucket(after=after, limit=PAGE):
        for row in rows:
            yield row
        after = rows[-1].name


async def every_version(
    catalog: Catalog, bucket_id: str, prefix: str = "", *, page: int = PAGE
) -> AsyncIterator[list[VersionRow]]:
    """Pages of all versions of a bucket, delete markers included, without bodies."""
    async for rows, _ in every_page(catalog, bucket_id, prefix, page=page):
        if rows:
            yield rows


async def every_page(
    catalog: Catalog, bucket_id: str, prefix: str = "", *, page: int = PAGE, after: Place | None = None
) -> AsyncIterator[tuple[list[VersionRow], Place | None]]:
    """As ``every_version``, from behind ``after`` on: pages, which may be empty, with where the next one begins; None: it was the last."""
    while True:
        rows, after = await catalog.versions(bucket_id, prefix=prefix, after=after, limit=page)
        yield rows, after
        if after is None:
            return


async def every_upload(
    catalog: Catalog, bucket_id: str, prefix: str = "", *, page: int = PAGE, after: tuple[str, str] | None = None
) -> AsyncIterator[UploadRow]:
    """From behind ``after`` on: an object key and an upload id."""
    while rows := await catalog.uploads(bucket_id, prefix=prefix, after=after, limit=page):
        for row in rows:
            yield row
        after = (rows[-1].object_key, rows[-1].upload_id)


async def every_part(catalog: Catalog, upload_id: str, *, page: int = PAGE) -> AsyncIterator[PartRow]:
    after = 0
    while rows := await catalog.parts(upload_id, after=after, limit=page):
        for row in rows:
            yield row
        after = rows[-1].part_number
