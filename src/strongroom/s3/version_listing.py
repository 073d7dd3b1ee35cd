"""ListObjectVersions: pages of versions and delete markers, by key and then the newest first, groups stepped over.

A page costs what it shows, however many versions a key has. Needs no KMS key. Never knows HTTP or XML.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.s3.archives import listed_status, wants_status
from strongroom.s3.encryption import refuse_on
from strongroom.s3.listing import TURN, Ask, Names, Page, after_all, asked_page, common_prefix
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.owners import owner_of
from strongroom.s3.versions import read_version_id, shown_id
from strongroom.store.contract import VersionRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.api.operation import Call
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.rooms import Rooms
    from strongroom.store.contract import Place, Reader


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where a page begins: at the keys of ``start``, behind ``place``. A ``start`` of None is beyond every key."""

    start: str | None = ""
    place: Place | None = None


class VersionListing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "ListObjectVersions", "s3:ListBucketVersions", on="bucket")
    async def list_object_versions(self, call: Call) -> Answer:
        given, catalog = call.input, self._rooms.catalog
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        names = Names.of(given)
        begin = await _begin(catalog, bucket, given)
        ask = asked_page(given, start=begin.start)
        page = await _read_page(catalog, bucket.bucket_id, ask, begin.place)
        owner = await owner_of(catalog, call, bucket.account_id)
        within = None if begin.place is None else begin.place[0]
        output: dict[str, Any] = {
            "IsTruncated": page.truncated,
            "KeyMarker": names(given.get("KeyMarker") or ""),
            "VersionIdMarker": given.get("VersionIdMarker") or "",
            **_shown(bucket, page.rows, within, names, owner, call.now if wants_status(given) else None),
            "Name": bucket.name,
            "Prefix": names(ask.prefix),
            "MaxKeys": ask.most,
            "CommonPrefixes": [{"Prefix": names(prefix)} for prefix in page.prefixes],
        }
        if page.truncated and page.last is not None:
            kind, name = page.last
            output["NextKeyMarker"] = names(name)
            if kind == "key":
                output["NextVersionIdMarker"] = shown_id(page.rows[-1])
        if ask.delimiter:
            output["Delimiter"] = names(ask.delimiter)
        if names.encoded:
            output["EncodingType"] = given["EncodingType"]
        return Answer(output)


async def _begin(catalog: Reader, bucket: Bucket, given: Mapping[str, Any]) -> _Begin:
    """Behind the markers: of a version, of all versions of a key, or of all keys of a group. Raises ApiError InvalidArgument.

    A version that is no longer there leaves no trace of where it stood: then its key's versions begin anew. None is passed over, and
    whoever removes what was listed sees nothing twice.
    """
    marker: str = given.get("KeyMarker") or ""
    version_marker: str | None = given.get("VersionIdMarker")
    version_id: str | None = None
    if version_marker is not None:
        argument = "version-id-marker"
        if not marker:
            text = "A version-id marker cannot be specified without a key marker."
            raise ApiError("InvalidArgument", text, ArgumentName=argument, ArgumentValue=version_marker)
        if not version_marker:
            raise ApiError(
                "InvalidArgument", "A version-id marker cannot be empty.", ArgumentName=argument, ArgumentValue=version_marker
            )
        version_id = read_version_id(version_marker, argument)
    if not marker:
        return _Begin()
    prefix = given.get("Prefix") or ""
    group = common_prefix(marker, prefix, given.get("Delimiter") or "") if marker.startswith(prefix) else None
    if group is not None:  # a marker is an element of the former page, so one in a group stands for the whole group
        return _Begin(after_all(group))
    if version_marker is None:
        return _Begin(marker + "\0")
    return _Begin(marker, await catalog.place(bucket.bucket_id, marker, version_id))


async def _read_page(catalog: Reader, bucket_id: str, ask: Ask, place: Place | None) -> Page[VersionRow]:
    page = Page[VersionRow](ask)
    reads = 0
    while not page.done:
        rows, place = await catalog.versions(bucket_id, prefix=ask.prefix, start=page.start, after=place, limit=page.limit)
        page.fold(rows)
        reads += 1
        if reads % TURN == 0:
            await asyncio.sleep(0)  # an embedded catalog answers without waiting: let others have their turn
    return page


def _shown(
    bucket: Bucket, rows: list[VersionRow], within: str | None, names: Names, owner: dict[str, str], restored_at: datetime | None
) -> dict[str, list[dict[str, Any]]]:
    """``within``: the key in whose midst the page begins. The first version of any other key is its newest."""
    versions: list[dict[str, Any]] = []
    markers: list[dict[str, Any]] = []
    before = within
    metas = ObjectMeta.open_page(bucket, [row for row in rows if not row.delete_marker])
    for row in rows:
        shown: dict[str, Any] = {
            "Key": names(row.object_key),
            "VersionId": shown_id(row),
            "IsLatest": row.object_key != before,
            "LastModified": datetime.fromtimestamp(row.modified_ms // 1000, UTC),
            "Owner": owner,
        }
        before = row.object_key
        if row.delete_marker:
            markers.append(shown)
            continue
        meta = next(metas)
        shown |= {"ETag": f'"{meta.etag}"', "Size": row.size, "StorageClass": meta.storage_class}
        shown["Owner"] = meta.shown_owner(bucket, owner)
        if meta.checksums:
            shown |= {"ChecksumAlgorithm": list(meta.checksums), "ChecksumType": meta.checksum_type}
        if restored_at is not None:
            shown |= listed_status(meta, restored_at)
        versions.append(shown)
    return {"Versions": versions, "DeleteMarkers": markers}
