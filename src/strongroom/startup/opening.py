"""Opens the lower rooms on a data folder: what each worker and each of the operator's tools begin with.

Never knows HTTP, how it is decided who may do what, or what is done with the rooms.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from strongroom.api.operation import About
from strongroom.config import Config
from strongroom.iam.trust import trust_authority
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.service_keys import KeyFault
from strongroom.policy.decide import Authority
from strongroom.s3.bucket_cache import BucketCache
from strongroom.s3.rooms import Rooms, S3Settings
from strongroom.startup import StartError, folder, now
from strongroom.startup.randomness import Randomness
from strongroom.startup.root_key import Subkeys, check_root_key
from strongroom.startup.sealing import open_root_key
from strongroom.store.files import FileBlobs
from strongroom.store.reserve import Reserve
from strongroom.store.sqlite import SqliteCatalog


@dataclass(slots=True)
class LowerRooms:
    """Everything below the gate, open. Closed by whoever opened it."""

    folder: Path
    reserve: Reserve
    catalog: SqliteCatalog
    blobs: FileBlobs
    subkeys: Subkeys = field(repr=False)
    keys: DataKeys
    buckets: BucketCache
    rooms: Rooms
    faults: list[KeyFault]  # service keys that do not open: only what ``opened`` gives to a tool that asks for it may have any

    @classmethod
    async def open(cls, config: Config, root_key: bytes) -> Self:
        """For a worker, on a folder that a first start has made. Raises StartError, StoreError, ProviderError."""
        return await cls._open(config, root_key, serving=True)

    @classmethod
    async def _open(cls, config: Config, root_key: bytes, *, serving: bool) -> Self:
        subkeys = Subkeys.of(root_key)
        reserve = Reserve(config.data_dir, config.reserve_part, join=not serving)
        if serving or not folder.server_is_running(config.data_dir):
            reserve.relieve()
        remembered = config.row_memory_mib << 20 if serving else 0
        catalog = SqliteCatalog.open(config.data_dir, remembered=remembered, reserve=reserve)
        blobs = FileBlobs(config.data_dir, reserve=reserve)
        faults: list[KeyFault] = []
        try:
            await check_root_key(catalog, root_key)
            random = Randomness()
            keys = DataKeys(catalog, subkeys.kms, now, random, shared_seconds=config.bucket_key_seconds)
            if serving:
                await keys.open()
            else:
                faults = await keys.open_what_opens()
        except BaseException:
            await blobs.close()
            await catalog.close()
            reserve.close()
            raise
        buckets = BucketCache(catalog, keys, config.new_bucket_sse_c, random)
        settings = S3Settings(config.new_bucket_sse_c, config.regions, config.restore_seconds)
        rooms = Rooms(catalog, blobs, keys, buckets, settings, now, random)
        return cls(config.data_dir, reserve, catalog, blobs, subkeys, keys, buckets, rooms, faults)

    async def authority(self, action: str, resource_arn: str, about: About | None = None) -> Authority:
        """Who governs a resource, when it is asked for that action. ``about``: what is known of the question.

        Raises ApiError NoSuchBucket, ValueError, Damaged.
        """
        if action.startswith("sts:") and resource_arn.startswith("arn:aws:iam:"):
            return await trust_authority(self.catalog, resource_arn)
        if resource_arn.startswith(("arn:aws:iam:", "arn:aws:sts:")):
            return Authority(resource_arn.split(":", 5)[4])
        if resource_arn.startswith("arn:aws:kms:"):
            return await self.keys.authority(resource_arn, about)
        return await self.buckets.authority(resource_arn)

    async def close(self) -> None:
        await self.blobs.close()
        await self.catalog.close()
        self.reserve.close()

    @classmethod
    @asynccontextmanager
    async def opened(cls, config: Config, root_key: bytes | None = None, *, with_faults: bool = False) -> AsyncGenerator[Self]:
        """For a tool of the operator's, whether a server runs on the folder or not. Makes nothing. Raises StartError, StoreError.

        ``root_key``: another than the settings lead to. ``with_faults``: service keys that do not open are told in ``faults``, and are no error.
        """
        os.umask(0o077)
        folder.require_existing(config.data_dir)
        lower = await cls._open(config, root_key or open_root_key(config), serving=False)
        try:
            if lower.faults and not with_faults:
                raise StartError(f"{lower.faults[0].what}: {lower.faults[0].why}; run  strongroom verify")
            yield lower
        finally:
            await lower.close()
