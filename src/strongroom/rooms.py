"""Building the rooms of one worker from one frozen config, in the order in which they stand on each other.

Never knows processes, signals or the command line.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from strongroom.api.operation import Register
from strongroom.edge.gate import EdgeSettings, Gate
from strongroom.edge.pages import Pages
from strongroom.edge.stall import Pace
from strongroom.iam.callers import Callers
from strongroom.iam.identities import Identities
from strongroom.iam.sts import Sts
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.rooms import kms_rooms
from strongroom.s3.bucket_cache import BucketCache
from strongroom.s3.bucket_settings import BucketSettings
from strongroom.s3.buckets import Buckets
from strongroom.s3.copying import Copying
from strongroom.s3.deleting import Deleting
from strongroom.s3.listing import Listing
from strongroom.s3.multipart import Multipart
from strongroom.s3.parts import Parts
from strongroom.s3.reading import Reading
from strongroom.s3.rooms import Rooms, S3Settings
from strongroom.s3.upkeep import Upkeep
from strongroom.s3.upload_listing import UploadListing
from strongroom.s3.writing import Writing
from strongroom.startup.folder import read_root_key
from strongroom.startup.root_key import KIND, SCOPE, Subkeys, check_root_key
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog

if TYPE_CHECKING:
    from strongroom.config import Config
    from strongroom.kms.rooms import KmsRooms
    from strongroom.policy.decide import Authority
    from strongroom.store.contract import Catalog

UPKEEP_LOCK: Final = "upkeep.lock"
ELECTION_EVERY: Final = 10.0  # seconds between tries of a worker to become the one that does upkeep


def clock() -> datetime:
    return datetime.now(UTC)


def operations(s3: Rooms, kms: KmsRooms, identities: Identities) -> Register:
    """Every built operation of every service."""
    reading = Reading(s3)
    return Register(
        [
            Buckets(s3),
            BucketSettings(s3),
            Listing(s3),
            Writing(s3),
            reading,
            Deleting(s3),
            Copying(s3, reading),
            Multipart(s3),
            Parts(s3, reading),
            UploadListing(s3),
            *kms,
            Sts(identities),
        ]
    )


class Worker:
    """The rooms of one worker process: ``open`` when its loop runs, ``close`` before it ends."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._catalog: SqliteCatalog | None = None
        self._blobs: FileBlobs | None = None
        self._upkeep: asyncio.Task[None] | None = None

    async def open(self) -> Pages:
        """Raises StartError, store.Unavailable or ProviderError: the worker must not serve then."""
        config = self._config
        root_key = read_root_key(config.data_dir)
        catalog = self._catalog = SqliteCatalog.open(config.data_dir)
        await check_root_key(catalog, root_key)
        blobs = self._blobs = FileBlobs(config.data_dir)
        subkeys = Subkeys.of(root_key)
        keys = DataKeys(catalog, subkeys.kms, clock)
        await keys.open()
        kms = kms_rooms(keys.ring, subkeys.kms)
        buckets = BucketCache(catalog, keys, config.new_bucket_sse_c)
        settings = S3Settings(config.new_bucket_sse_c, config.regions)
        s3 = Rooms(catalog, blobs, keys, buckets, settings, clock, os.urandom)

        async def authority(resource_arn: str) -> Authority:
            return await (keys if resource_arn.startswith("arn:aws:kms:") else buckets).authority(resource_arn)

        gate = Gate(
            register=operations(s3, kms, Identities(catalog, subkeys.iam)),
            callers=Callers(catalog, subkeys.iam),
            place=buckets.place,
            authority=authority,
            settings=EdgeSettings(
                config.regions,
                config.domains,
                config.plain_http_secrets,
                Pace(config.body_idle_seconds, config.body_least_rate),
                config.access_log,
            ),
            clock=clock,
        )
        self._upkeep = asyncio.create_task(self._keep_up(Upkeep(s3, (kms.deletion.destroy_due,))))
        return Pages(gate.handle, lambda: _is_ready(catalog))

    async def close(self) -> None:
        """Finishes the writes under way."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await self._upkeep
        if self._catalog is not None:
            await self._catalog.close()
        if self._blobs is not None:
            await self._blobs.close()

    async def _keep_up(self, upkeep: Upkeep) -> None:
        """Upkeep in whichever worker holds the lock; it passes on when that one ends."""
        descriptor = os.open(self._config.data_dir / UPKEEP_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(ELECTION_EVERY)
                else:
                    await upkeep.run()
        finally:
            os.close(descriptor)


async def _is_ready(catalog: Catalog) -> bool:
    return await catalog.document(SCOPE, KIND) is not None
