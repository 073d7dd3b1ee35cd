"""What every class of the s3 room is given: the rooms below and its settings. Nothing here acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from strongroom.kms.data_keys import DataKeys
    from strongroom.s3.bucket_cache import BucketCache
    from strongroom.store.contract import Blobs, Catalog


@dataclass(frozen=True, slots=True)
class S3Settings:
    """The operator's choices that change what S3 answers."""

    new_bucket_sse_c: Literal["blocked", "allowed"] = "blocked"
    regions: tuple[str, ...] = ()  # empty: any AWS-shaped region is served
    restore_seconds: int = 0  # until an archived object can be read


@dataclass(frozen=True, slots=True)
class Rooms:
    catalog: Catalog
    blobs: Blobs
    keys: DataKeys
    buckets: BucketCache
    settings: S3Settings
    clock: Callable[[], datetime]  # aware, UTC
    random: Callable[[int], bytes]
