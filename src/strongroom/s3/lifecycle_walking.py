"""Goes through a bucket and says what its lifecycle has in store for each version. Reads only; memory is that of a page.

A page is read, judged and handed on at once, so what is said may have changed by the time it is done: who acts judges anew, in the
transaction. Never acts, and never waits for anything but the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from strongroom.s3.bucket_lifecycle import told_of
from strongroom.s3.lifecycle_judging import Facts
from strongroom.s3.metadata import ObjectMeta
from strongroom.seal import SealError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from strongroom.s3.bucket_cache import Bucket
    from strongroom.s3.lifecycle_judging import Action, Judge, Told
    from strongroom.store.contract import Catalog, VersionRow

PAGE: Final = 50  # versions read and judged in one go: half a millisecond, in which nobody else is served

_log = structlog.get_logger("strongroom.lifecycle")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version for which something is due."""

    row: VersionRow
    facts: Facts
    successor: str | None  # version id of the next newer version of the key
    action: Action


@dataclass(frozen=True, slots=True)
class Page:
    """``until``: all keys before this one have been judged to their last version; None: the walk is over."""

    versions: int
    candidates: list[Candidate]
    until: str | None


def ask(bucket: Bucket, row: VersionRow) -> Told:
    """Raises SealError when the row is not as it was written."""
    return told_of(ObjectMeta.open(bucket, row))


async def judged_versions(
    catalog: Catalog, bucket: Bucket, judge: Judge, today: int, *, versioned: bool, start: str = ""
) -> AsyncIterator[Page]:
    """From the first version of the key ``start`` on. A version whose record does not open is left alone, with a line in the log."""
    place = None
    held: VersionRow | None = None  # read, but not judged: whether its key goes on is not known yet
    before: VersionRow | None = None  # the version before ``held``
    index = 0  # of ``held`` among the versions of its key
    while True:
        rows, place = await catalog.versions(bucket.bucket_id, start=start, after=place, limit=PAGE)
        candidates: list[Candidate] = []
        for row in (*rows, None) if place is None else rows:
            following = row is not None and held is not None and row.object_key == held.object_key
            if held is not None:
                facts = _facts(held, before, index, follows=following)
                action = _judged(bucket, judge, held, facts, today, versioned=versioned)
                if action is not None:
                    candidates.append(Candidate(held, facts, None if before is None else before.version_id, action))
            before, index = (held, index + 1) if following else (None, 0)
            held = row
        yield Page(len(rows), candidates, None if held is None else held.object_key)
        if place is None:
            return


def _facts(row: VersionRow, before: VersionRow | None, index: int, *, follows: bool) -> Facts:
    since = None if before is None else before.modified_ms
    only = index == 0 and not follows
    return Facts(row.object_key, row.size, row.modified_ms, row.delete_marker, since, max(index - 1, 0), only)


def _judged(bucket: Bucket, judge: Judge, row: VersionRow, facts: Facts, today: int, *, versioned: bool) -> Action | None:
    try:
        return judge.judge(facts, today, lambda: ask(bucket, row), versioned=versioned)
    except SealError as error:
        _log.error(
            "a version is not as it was written", bucket=bucket.name, version_id=row.version_id, error=type(error).__name__
        )
        return None
