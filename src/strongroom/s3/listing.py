"""ListObjects and ListObjectsV2: pages of keys, and of common prefixes that are stepped over instead of read.

A page costs what it shows: a group of keys under one common prefix is one seek, however many keys it has. Listings say nothing
about encryption and need no KMS key. Never knows HTTP or XML.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import quote_plus

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.s3.archives import listed_status, wants_status
from strongroom.s3.bucket_cache import Bucket
from strongroom.s3.encryption import refuse_on
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.owners import owner_of
from strongroom.s3.positions import Kind, bad_token, read_number, read_position, show_position
from strongroom.s3.rooms import Rooms
from strongroom.store.contract import Reader, VersionRow

MOST_KEYS: Final = 1000  # of one page, keys and common prefixes together
_FIRST_BATCH: Final = 32  # rows of the first read of a listing with a delimiter, before anything is known of its groups
TURN: Final = 32  # reads after which other requests get a turn
_INT_MAX: Final = 2**31 - 1
_LAST: Final = 0x10FFFF


class Keyed(Protocol):
    @property
    def object_key(self) -> str: ...


RowT = TypeVar("RowT", bound=Keyed)


def after_all(prefix: str) -> str | None:
    """The smallest string greater than every string with that prefix, in UTF-8 order; None when there is none."""
    for end in range(len(prefix), 0, -1):
        last = ord(prefix[end - 1])
        if last != _LAST:
            # UTF-8 has no surrogates: what follows U+D7FF is U+E000.
            return prefix[: end - 1] + chr(0xE000 if last == 0xD7FF else last + 1)
    return None


def common_prefix(object_key: str, prefix: str, delimiter: str) -> str | None:
    """What a key with that prefix is rolled up into: through the first delimiter after the prefix; None for a key of its own."""
    if not delimiter:
        return None
    found = object_key.find(delimiter, len(prefix))
    return None if found < 0 else object_key[: found + len(delimiter)]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a page is asked for. Keys are >= ``start`` and > ``after``; a ``start`` of None is beyond every key."""

    prefix: str = ""
    delimiter: str = ""
    most: int = MOST_KEYS
    start: str | None = ""
    after: str | None = None


class Page(Generic[RowT]):
    """A page as it fills: read ``limit`` rows from ``start`` and ``after``, ``fold`` them, until it is ``done``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.rows: list[RowT] = []
        self.prefixes: list[str] = []
        self.last: tuple[Kind, str] | None = None  # the last element shown: where the next page goes on
        self.truncated = False
        self.start = ask.start or ""
        self.after = ask.after
        self.done = ask.most == 0 or ask.start is None
        self._batch = _FIRST_BATCH if ask.delimiter else ask.most + 1

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.prefixes)

    @property
    def limit(self) -> int:
        """Rows of the next read. One more than is missing tells whether the page is truncated."""
        return min(self._batch, self._ask.most - self.count + 1)

    def fold(self, rows: Sequence[RowT]) -> None:
        """Take in what ``limit`` rows from the current position were."""
        limit, before = self.limit, self.count
        for row in rows:
            if row.object_key < self.start:
                continue  # of a group that this read has just shown
            if self.count == self._ask.most:
                self.truncated = self.done = True
                return
            self._show(row)
            if self.done:
                return
        self.done = len(rows) < limit
        self._adapt(len(rows), self.count - before)

    def _show(self, row: RowT) -> None:
        group = common_prefix(row.object_key, self._ask.prefix, self._ask.delimiter)
        if group is None:
            self.rows.append(row)
            self.last = ("key", row.object_key)
            self.after = row.object_key
            return
        self.prefixes.append(group)
        self.last = ("prefix", group)
        beyond = after_all(group)
        if beyond is None:
            self.done = True
        else:
            self.start, self.after = beyond, None

    def _adapt(self, read: int, shown: int) -> None:
        """Read more at a time where reading shows something, and less where it goes through a group that is stepped over."""
        self._batch = read * 4 if shown * 4 >= read else max(2, shown * 2)


async def read_page(catalog: Reader, bucket_id: str, ask: Ask) -> Page[VersionRow]:
    page = Page[VersionRow](ask)
    reads = 0
    while not page.done:
        page.fold(await catalog.current(bucket_id, start=page.start, after=page.after, prefix=ask.prefix, limit=page.limit))
        reads += 1
        if reads % TURN == 0:
            await asyncio.sleep(0)  # an embedded catalog answers without waiting: let others have their turn
    return page


class Listing:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3", "ListObjects", "s3:ListBucket", on="bucket")
    async def list_objects(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        names = Names.of(given)
        ask = asked_page(given, **_after_marker(given))
        page = await read_page(self._rooms.catalog, bucket.bucket_id, ask)
        owner = await owner_of(self._rooms.catalog, call, bucket.account_id)
        output = _common_output(call, bucket, ask, page, names, owner)
        output["Marker"] = names(given.get("Marker") or "")
        if page.truncated and ask.delimiter and page.last is not None:
            output["NextMarker"] = names(page.last[1])
        return Answer(output)

    @operation("s3", "ListObjectsV2", "s3:ListBucket", on="bucket")
    async def list_objects_v2(self, call: Call) -> Answer:
        given = call.input
        bucket = await self._rooms.buckets.find(given["Bucket"])
        refuse_on(call.headers)
        names = Names.of(given)
        ask = asked_page(given, **_after_token(given))
        page = await read_page(self._rooms.catalog, bucket.bucket_id, ask)
        with_owner = str(given.get("FetchOwner")).lower() == "true"
        owner = await owner_of(self._rooms.catalog, call, bucket.account_id) if with_owner else None
        output = _common_output(call, bucket, ask, page, names, owner)
        output["KeyCount"] = page.count
        if given.get("ContinuationToken") is not None:
            output["ContinuationToken"] = given["ContinuationToken"]
        if given.get("StartAfter"):
            output["StartAfter"] = names(given["StartAfter"])
        if page.truncated and page.last is not None:
            output["NextContinuationToken"] = show_position(*page.last)
        return Answer(output)


@dataclass(frozen=True, slots=True)
class Names:
    """How names are written in the answer: as they are, or by ``encoding-type=url``."""

    encoded: bool

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Names:
        """Raises ApiError InvalidArgument."""
        encoding: str | None = given.get("EncodingType")
        if encoding is not None and encoding != "url":
            raise ApiError(
                "InvalidArgument",
                "Invalid Encoding Method specified in Request",
                ArgumentName="encoding-type",
                ArgumentValue=encoding,
            )
        return cls(encoding is not None)

    def __call__(self, name: str) -> str:
        return quote_plus(name, safe="/*") if self.encoded else name


def asked_page(given: Mapping[str, Any], *, start: str | None = "", after: str | None = None) -> Ask:
    return Ask(given.get("Prefix") or "", given.get("Delimiter") or "", _most_keys(given.get("MaxKeys")), start, after)


def _after_marker(given: Mapping[str, Any]) -> dict[str, str | None]:
    """A marker is an element of the former page, so one in a group stands for the whole group."""
    marker, prefix = given.get("Marker") or "", given.get("Prefix") or ""
    group = common_prefix(marker, prefix, given.get("Delimiter") or "") if marker.startswith(prefix) else None
    return {"after": marker or None} if group is None else {"start": after_all(group)}


def _after_token(given: Mapping[str, Any]) -> dict[str, str | None]:
    """The token knows whether it stopped at a key or at a group; start-after is a key and nothing else."""
    token = given.get("ContinuationToken")
    if token is None:
        return {"after": given.get("StartAfter") or None}
    kind, name = read_position(token)
    if kind == "bucket":
        raise bad_token()
    return {"start": after_all(name)} if kind == "prefix" else {"after": name}


def _most_keys(given: int | str | None) -> int:
    if given is None or given == "":
        return MOST_KEYS
    number = read_number(given)
    if number is None or number > _INT_MAX:
        raise ApiError(
            "InvalidArgument",
            "Provided max-keys not an integer or within integer range",
            ArgumentName="max-keys",
            ArgumentValue=str(given),
        )
    if number < 0:
        raise ApiError(
            "InvalidArgument",
            f"Argument maxKeys must be an integer between 0 and {_INT_MAX}",
            ArgumentName="maxKeys",
            ArgumentValue=str(given),
        )
    return min(number, MOST_KEYS)


def _common_output(
    call: Call, bucket: Bucket, ask: Ask, page: Page[VersionRow], names: Names, owner: dict[str, str] | None
) -> dict[str, Any]:
    given = call.input
    restored_at = call.now if wants_status(given) else None
    output: dict[str, Any] = {
        "IsTruncated": page.truncated,
        "Contents": [
            _shown(bucket, row, meta, names, owner, restored_at)
            for row, meta in zip(page.rows, ObjectMeta.open_page(bucket, page.rows), strict=True)
        ],
        "Name": bucket.name,
        "Prefix": names(ask.prefix),
        "MaxKeys": ask.most,
        "CommonPrefixes": [{"Prefix": names(prefix)} for prefix in page.prefixes],
    }
    if ask.delimiter:
        output["Delimiter"] = names(ask.delimiter)
    if names.encoded:
        output["EncodingType"] = given["EncodingType"]
    return output


def _shown(
    bucket: Bucket,
    row: VersionRow,
    meta: ObjectMeta,
    names: Names,
    owner: dict[str, str] | None,
    restored_at: datetime | None,
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Key": names(row.object_key),
        "LastModified": datetime.fromtimestamp(row.modified_ms // 1000, UTC),
        "ETag": f'"{meta.etag}"',
        "Size": row.size,
        "StorageClass": meta.storage_class,
    }
    if meta.checksums:
        shown["ChecksumAlgorithm"] = list(meta.checksums)
        shown["ChecksumType"] = meta.checksum_type
    if owner is not None:
        shown["Owner"] = meta.shown_owner(bucket, owner)
    if restored_at is not None:
        shown |= listed_status(meta, restored_at)
    return shown
