"""All rooms of one worker, opened from one Config and put together. Never knows what an operation does, or what serves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import structlog

from strongroom.access_log import AccessLog
from strongroom.api.operation import Register
from strongroom.config import Config
from strongroom.edge.gate import EdgeSettings, Gate, Observe, Seen
from strongroom.edge.head import Reply
from strongroom.edge.load import Ceilings
from strongroom.edge.pages import Handle, Pages
from strongroom.edge.stall import Pace
from strongroom.iam.callers import Callers
from strongroom.iam.identities import Identities
from strongroom.iam.principals import Principals
from strongroom.iam.rooms import iam_rooms
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use_anchors import keep_head
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.kms.key_use_last import LastUses
from strongroom.kms.rooms import kms_rooms
from strongroom.numbers import Numbers
from strongroom.observing import (
    KeyUses,
    LastScrub,
    Lifecycles,
    LoopDelay,
    Requests,
    Scrubs,
    Spaces,
    Upkeeps,
    numbers_page,
    show_blobs,
    show_load,
    show_store,
)
from strongroom.readiness import Readiness
from strongroom.s3.condition_values import request_values, resource_values
from strongroom.s3.dependents import Dependents
from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.s3.object_owners import governed
from strongroom.s3.operations import s3_operations
from strongroom.s3.scrubbing import TURN as SCRUB_TURN
from strongroom.s3.scrubbing import Scrub
from strongroom.s3.upkeep import Upkeep
from strongroom.startup import now
from strongroom.startup.opening import LowerRooms
from strongroom.startup.root_key import KIND, SCOPE
from strongroom.store.contract import StoreError
from strongroom.store.files import FileBlobs
from strongroom.store.reserve import Reserve
from strongroom.store.sqlite import FILE as CATALOG_FILE
from strongroom.store.sqlite import SqliteCatalog
from strongroom.store.sqlite_space import SpaceKeeping
from strongroom.store.turn import Turn
from strongroom.tracing import Tracing

_LOG = structlog.get_logger("strongroom.server")


@dataclass(slots=True)
class House:
    """All rooms of one worker, open."""

    reserve: Reserve
    catalog: SqliteCatalog
    blobs: FileBlobs
    keys: DataKeys
    record: KeyUseRecord
    last_uses: LastUses
    register: Register
    gate: Gate
    upkeep: Upkeep
    lifecycle: LifecycleWork
    scrub: Scrub
    scrub_turn: Turn
    access_log: AccessLog | None
    tracing: Tracing | None
    loop_delay: LoopDelay
    handle: Handle = field(repr=False)  # the gate behind the server's own pages

    async def close(self) -> None:
        self.scrub_turn.close()
        if self.tracing is not None:
            await self.tracing.close()
        if self.access_log is not None:
            await self.access_log.close()
        await self.blobs.close()
        try:
            await asyncio.to_thread(self.record.close)
            await keep_head(self.catalog, self.record.chain_id, self.record.sealed_head())
        except (OSError, StoreError) as error:
            _LOG.error("the key-use record was not ended", exc_info=error)
        await self.last_uses.close()
        await self.catalog.close()
        self.reserve.close()


async def build(config: Config, root_key: bytes, numbers: Numbers | None = None) -> House:
    """Open every room of one worker on a data folder that ``server.first_start`` has made. Raises StartError, StoreError."""
    lower = await LowerRooms.open(config, root_key)
    catalog, blobs, keys, buckets, rooms = lower.catalog, lower.blobs, lower.keys, lower.buckets, lower.rooms
    subkeys = lower.subkeys
    last_uses = LastUses(catalog, subkeys.key_use)
    await last_uses.begin(keys.ring.now_ms())
    record = KeyUseRecord(config.data_dir, subkeys.key_use, keys.ring.now_ms, reserve=lower.reserve, written=last_uses.written)
    await keep_head(catalog, record.chain_id, record.sealed_head())
    tracing = _trace(config, lower)
    counted = numbers or Numbers()
    access_log = None
    if config.access_log != "off":
        lost = counted.counter("strongroom_access_log_lost", "Lines of the access log that could not be written").add
        access_log = AccessLog(config.access_log, config.domains, partial(lost, ()))
    keys.tell(KeyUses(counted, record, None if access_log is None else access_log.used))
    kms = kms_rooms(keys.ring, subkeys.kms, Principals(catalog), last_uses)
    register = Register([*s3_operations(rooms), *kms, *iam_rooms(catalog, Identities(catalog, subkeys.iam, now), subkeys.iam)])
    gate = Gate(
        register=register,
        callers=Callers(catalog, subkeys.iam),
        place=buckets.place,
        place_at_once=buckets.cached,
        authority=lower.authority,
        of_object=partial(governed, rooms),
        known=partial(request_values, rooms),
        existing=partial(resource_values, rooms),
        settings=EdgeSettings(
            regions=config.regions,
            domains=config.domains,
            plain_http_secrets=config.plain_http_secrets,
            pace=Pace(config.body_idle_seconds, config.body_least_rate),
            ceilings=Ceilings(config.requests, config.caller_requests, config.body_memory_mib << 20, config.refusals),
        ),
        clock=now,
        random=rooms.random,
        observe=_observe(numbers, access_log, tracing),
    )
    show_load(counted, gate.load)
    show_store(counted, catalog, blobs, record)
    space = SpaceKeeping(catalog, config.data_dir / CATALOG_FILE)
    chores = (kms.deletion.destroy_due, kms.rotation.rotate_due, kms.importing.remove_expired, blobs.sweep_unfinished)
    upkeep = Upkeep(
        rooms,
        chores,
        soon=(Dependents(rooms).tell_scheduled,),
        beside=(space.drain, space.give_back),
        grace=config.discard_grace_seconds,
        tell=Upkeeps(counted).tell,
    )
    lifecycle = LifecycleWork(
        rooms,
        rate=config.lifecycle_rate,
        every=config.lifecycle_seconds,
        tell=Lifecycles(counted).tell,
    )
    scrub_turn = Turn(config.data_dir, SCRUB_TURN)
    scrub = Scrub(
        rooms,
        partial(DataKeys, catalog, subkeys.kms, now),
        rate=config.scrub_rate,
        every=config.scrub_days * 86_400.0,
        turn=scrub_turn,
        watcher=Scrubs(counted),
    )
    readiness = Readiness(catalog, blobs)
    show_blobs(counted, upkeep)
    looks = (LastScrub(counted, catalog).look, Spaces(counted, catalog).look)
    more = {} if numbers is None else {"metrics": numbers_page(numbers, readiness, *looks)}
    pages = Pages(gate.handle if tracing is None else tracing.around(gate.handle), partial(_ready, catalog, readiness), more)
    return House(
        lower.reserve,
        catalog,
        blobs,
        keys,
        record,
        last_uses,
        register,
        gate,
        upkeep,
        lifecycle,
        scrub,
        scrub_turn,
        access_log,
        tracing,
        LoopDelay(counted),
        pages.handle,
    )


def _trace(config: Config, lower: LowerRooms) -> Tracing | None:
    """Spans at the doors of the rooms below, where they are wanted. Raises StartError."""
    if config.traces == "off":
        return None
    tracing = Tracing(config.traces, config.traces_percent)
    tracing.stand_at(lower.catalog, write="commit")
    tracing.stand_at_blobs(lower.blobs)
    tracing.stand_at(lower.keys, generate="kms GenerateDataKey", unwrap="kms Decrypt")
    return tracing


def _observe(numbers: Numbers | None, access_log: AccessLog | None, tracing: Tracing | None) -> Observe | None:
    """Who is told of answered requests."""
    counting = [] if numbers is None else [Requests(numbers).observe]
    told: list[Observe] = [*counting, *(each.observe for each in (access_log, tracing) if each is not None)]
    if len(told) < 2:
        return told[0] if told else None

    def observe(seen: Seen, reply: Reply) -> None:
        for each in told:
            each(seen, reply)

    return observe


async def _ready(catalog: SqliteCatalog, readiness: Readiness) -> bool:
    try:
        return await catalog.document(SCOPE, KIND) is not None and await readiness.writable()
    except StoreError:
        return False
