"""Builds the rooms from one Config, and runs them: one parent process that holds the data folder, and workers that serve.

Never knows what an operation does. ``build`` is what each worker opens; ``serve`` is the parent's life from lock to exit.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import http.client
import logging
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Final, cast

import structlog
from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
from granian.log import LogLevels

from strongroom.api.operation import Register
from strongroom.config import Config, parse_key_form, url_of
from strongroom.edge.gate import EdgeSettings, Gate
from strongroom.edge.pages import Handle, Pages
from strongroom.edge.rsgi import RsgiApp
from strongroom.edge.stall import Pace
from strongroom.iam.callers import Callers
from strongroom.iam.identities import Identities, NewAccount
from strongroom.iam.principals import Principals
from strongroom.iam.rooms import iam_rooms
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use_anchors import keep_head
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.kms.rooms import kms_rooms
from strongroom.numbers import FLUSH_SECONDS, Numbers
from strongroom.observing import KeyUses, Lifecycles, Requests, configure_log, numbers_page
from strongroom.processes import Workers, tell_that_it_serves, watch
from strongroom.s3.account_access import AccountAccess
from strongroom.s3.acls import Acls
from strongroom.s3.bucket_cors import BucketCors
from strongroom.s3.bucket_lifecycle import BucketLifecycle
from strongroom.s3.bucket_policies import BucketPolicies
from strongroom.s3.bucket_settings import BucketSettings
from strongroom.s3.bucket_tagging import BucketTagging
from strongroom.s3.buckets import Buckets
from strongroom.s3.condition_values import object_values, request_values
from strongroom.s3.copying import Copying
from strongroom.s3.deleting import Deleting
from strongroom.s3.dependents import Dependents
from strongroom.s3.kept_settings import KeptSettings
from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.s3.listing import Listing
from strongroom.s3.multipart import Multipart
from strongroom.s3.object_annotations import ObjectAnnotations
from strongroom.s3.object_attributes import ObjectAttributes
from strongroom.s3.object_encryption import ObjectEncryption
from strongroom.s3.object_locking import ObjectLocking
from strongroom.s3.object_owners import governed
from strongroom.s3.object_tagging import ObjectTagging
from strongroom.s3.parts import Parts
from strongroom.s3.posting import Posting
from strongroom.s3.reading import Reading
from strongroom.s3.renaming import Renaming
from strongroom.s3.restoring import Restoring
from strongroom.s3.rooms import Rooms
from strongroom.s3.unset_settings import UnsetSettings
from strongroom.s3.upkeep import Upkeep
from strongroom.s3.upload_listing import UploadListing
from strongroom.s3.version_listing import VersionListing
from strongroom.s3.writing import Writing
from strongroom.startup import StartError, folder, self_test, tls
from strongroom.startup.first_account import first_account
from strongroom.startup.opening import LowerRooms, now
from strongroom.startup.root_key import KIND, SCOPE, Subkeys, ensure_root_key_check
from strongroom.startup.sealing import ensure_root_key, is_plain_file, left_in_folder
from strongroom.store.contract import StoreError
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog

_UPKEEP_LOCK: Final = "upkeep.lock"
_UPKEEP_AGAIN: Final = 15.0  # seconds after which a worker asks anew whether upkeep is its duty
_SWITCH_SECONDS: Final = 0.0005  # how long a digest thread may keep the loop waiting for the interpreter
_FORGET_AGAIN: Final = 1.0  # seconds
_RESPAWN_SECONDS: Final = 0.1
_SERVES_AFTER: Final = 0.05
_CERTIFICATE_SECONDS: Final = 2.0  # between two looks at the certificate's files
_LOG = structlog.get_logger("strongroom.server")


# ------------------------------------------------------------------------------------------------------------- one worker


@dataclass(slots=True)
class House:
    """All rooms of one worker, open."""

    catalog: SqliteCatalog
    blobs: FileBlobs
    keys: DataKeys
    record: KeyUseRecord
    register: Register
    gate: Gate
    upkeep: Upkeep
    lifecycle: LifecycleWork
    handle: Handle = field(repr=False)  # the gate behind the server's own pages

    async def close(self) -> None:
        await self.blobs.close()
        try:
            await asyncio.to_thread(self.record.close)
            await keep_head(self.catalog, self.record.chain_id, self.record.sealed_head())
        except (OSError, StoreError) as error:
            _LOG.error("the key-use record was not ended", exc_info=error)
        await self.catalog.close()


async def build(config: Config, root_key: bytes, numbers: Numbers | None = None) -> House:
    """Open every room of one worker on a data folder that ``first_start`` has made. Raises StartError, StoreError."""
    lower = await LowerRooms.open(config, root_key)
    catalog, blobs, keys, buckets, rooms = lower.catalog, lower.blobs, lower.keys, lower.buckets, lower.rooms
    subkeys = lower.subkeys
    record = KeyUseRecord(config.data_dir, subkeys.key_use, keys.ring.now_ms)
    await keep_head(catalog, record.chain_id, record.sealed_head())
    keys.tell(KeyUses(numbers or Numbers(), record))
    kms = kms_rooms(keys.ring, subkeys.kms, Principals(catalog))
    register = Register([*s3_rooms(rooms), *kms, *iam_rooms(catalog, Identities(catalog, subkeys.iam, now), subkeys.iam)])
    gate = Gate(
        register=register,
        callers=Callers(catalog, subkeys.iam),
        place=buckets.place,
        authority=lower.authority,
        of_object=partial(governed, rooms),
        known=partial(request_values, rooms),
        existing=partial(object_values, rooms),
        settings=EdgeSettings(
            regions=config.regions,
            domains=config.domains,
            plain_http_secrets=config.plain_http_secrets,
            pace=Pace(config.body_idle_seconds, config.body_least_rate),
            access_log=config.access_log,
        ),
        clock=now,
        observe=None if numbers is None else Requests(numbers).observe,
    )
    chores = (kms.deletion.destroy_due, kms.rotation.rotate_due, kms.importing.remove_expired, blobs.sweep_unfinished)
    upkeep = Upkeep(rooms, chores, soon=(Dependents(rooms).tell_scheduled,), grace=config.discard_grace_seconds)
    lifecycle = LifecycleWork(
        rooms,
        rate=config.lifecycle_rate,
        every=config.lifecycle_seconds,
        tell=Lifecycles(numbers or Numbers()).tell,
    )
    pages = Pages(gate.handle, partial(_ready, catalog), {} if numbers is None else {"metrics": numbers_page(numbers)})
    return House(catalog, blobs, keys, record, register, gate, upkeep, lifecycle, pages.handle)


def s3_rooms(rooms: Rooms) -> list[object]:
    """Every class of the s3 room that has operations."""
    reading, writing = Reading(rooms), Writing(rooms)
    return [
        Buckets(rooms),
        BucketSettings(rooms),
        BucketTagging(rooms),
        BucketCors(rooms),
        KeptSettings(rooms),
        UnsetSettings(rooms),
        BucketLifecycle(rooms),
        Restoring(rooms),
        BucketPolicies(rooms),
        Acls(rooms),
        AccountAccess(rooms),
        Listing(rooms),
        writing,
        Posting(writing),
        reading,
        ObjectAttributes(rooms, reading),
        ObjectAnnotations(rooms),
        Deleting(rooms),
        Copying(rooms, reading),
        ObjectEncryption(rooms),
        Renaming(rooms),
        ObjectTagging(rooms),
        ObjectLocking(rooms),
        Multipart(rooms),
        Parts(rooms, reading),
        UploadListing(rooms),
        VersionListing(rooms),
    ]


async def _ready(catalog: SqliteCatalog) -> bool:
    try:
        return await catalog.document(SCOPE, KIND) is not None
    except StoreError:
        return False


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What the parent opened once and gives to each worker, through the pipe by which multiprocessing starts it: it is in no
    file, argument or variable.
    """

    root_key: bytes = field(repr=False)


class Worker:
    """The life of one worker process: opened and closed by the face, with upkeep if it is this worker's turn."""

    def __init__(self, config: Config, root_key: bytes, numbers: Numbers) -> None:
        self._config = config
        self._root_key = root_key
        self._numbers = numbers
        self._house: House | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> Handle:
        house = self._house = await build(self._config, self._root_key, self._numbers)
        chores = (self._keep_up(house), self._show_numbers(), _forget_keys(house.keys))
        self._tasks = [asyncio.create_task(chore) for chore in chores]
        return house.handle

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        with suppress(OSError):
            self._numbers.flush()  # others go on and show it
        if self._house is not None:
            await self._house.close()

    async def _show_numbers(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            with suppress(OSError):  # a full disk must not end the counting
                self._numbers.flush()

    async def _keep_up(self, house: House) -> None:
        """One worker at a time does upkeep and carries out lifecycles: who has the lock, until its process ends."""
        with (self._config.data_dir / _UPKEEP_LOCK).open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(_UPKEEP_AGAIN)
                else:
                    break
            await asyncio.gather(house.upkeep.run(), house.lifecycle.run())


async def _forget_keys(keys: DataKeys) -> None:
    """Open keys leave memory when their time is over, also while nobody asks for them."""
    while True:
        await asyncio.sleep(_FORGET_AGAIN)
        try:
            await keys.forget_shared()
        except StoreError as error:
            _LOG.warning("shared keys stay in memory", exc_info=error)


def load_worker(config: Config, unlocked: Unlocked, numbers_folder: Path, tells: Connection) -> Callable[..., Any]:
    """What granian calls in each new worker process. It takes an object with ``__rsgi__`` where it says callable.

    The rooms are opened here and not in ``__rsgi_init__``: by then granian has taken the signals over, and one that comes
    before it serves would be lost.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its parent's affair
    configure_log(config.log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    loop = asyncio.get_event_loop()  # granian has made it
    worker = Worker(config, unlocked.root_key, Numbers(numbers_folder))
    handle = loop.run_until_complete(worker.open())
    gc.collect()
    gc.freeze()  # what is there now (AWS's models, tens of thousands of objects) stays: it need not be looked at again and again
    _heed_one_signal(loop)

    async def opened() -> Handle:
        # Granian listens between the end of this and the next turn of the loop. Should it be a moment later, nothing is lost:
        # the socket is there already.
        loop.call_later(_SERVES_AFTER, tell_that_it_serves, tells)
        return handle

    return cast("Callable[..., Any]", RsgiApp(opened, worker.close))


def _heed_one_signal(loop: asyncio.AbstractEventLoop) -> None:
    """The first signal stops a worker and later ones are nothing to it: told to stop twice, granian waits for itself forever.

    Twice is the rule: Ctrl-C and service managers signal every process, and then the parent signals its workers.
    """
    add = loop.add_signal_handler
    told = False

    def add_once(number: int, callback: Callable[..., object], *args: object) -> None:
        def once() -> None:
            nonlocal told
            if not told:
                told = True
                callback(*args)

        add(number, once)

    setattr(loop, "add_signal_handler", add_once)  # noqa: B010 - a checker would not let a method be replaced


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    """Nothing is served yet."""
    os._exit(0)


def _end_with(sentinel: int) -> None:
    """A worker never outlives its parent, which holds the lock on the data folder."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


# ------------------------------------------------------------------------------------------------------------- the parent


def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish. ``say`` prints one line on standard output.

    Raises StartError, StoreError, before anything listens; SystemExit(1) when workers keep dying.
    """
    os.umask(0o077)
    configure_log(config.log_level)
    self_test.require()
    certificate = _given_certificate(config)  # before anything is made
    folder.prepare(config.data_dir, key_elsewhere=not parse_key_form(config.root_key).in_folder)
    with folder.locked(config.data_dir):
        root_key = ensure_root_key(config)
        made = asyncio.run(first_start(config, root_key))
        if made is not None:
            _introduce(made, config, say)
        if (left := left_in_folder(config)) is not None:
            text = f"{left} is still in the data folder, though root_key is {config.root_key}"
            say(f"WARNING: {text}: remove it by  strongroom keys seal-root --to {config.root_key}")
            _LOG.warning("root key", concern=text)
        named, _ = config.address
        if config.tls == "self-signed":
            certificate = _self_signed(config, named, say)
        if certificate is not None and (concern := certificate.concern(now())) is not None:
            say(f"WARNING: {concern[1]}")
            _LOG.warning("certificate", concern=concern[1])
        host, port = free_address(*config.address)
        numbers = Path(tempfile.mkdtemp(prefix="strongroom-numbers-"))
        try:
            tell = partial(_tell_when_ready, host, port, named, config.scheme, say)
            _run(config.without_secrets(), Unlocked(root_key), numbers, host, port, certificate, tell)
        finally:
            shutil.rmtree(numbers, ignore_errors=True)


def _given_certificate(config: Config) -> tls.Certificate | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return tls.load(config.tls_cert, config.tls_key)


def _self_signed(config: Config, host: str, say: Callable[[str], None]) -> tls.Certificate:
    certificate, made = tls.self_signed(config.data_dir, host, config.domains, now())
    say(f"TLS with {'a new' if made else 'the'} self-signed certificate, for development only: {certificate.certificate}")
    say(f"  SHA-256 fingerprint {certificate.fingerprint}")
    return certificate


async def first_start(config: Config, root_key: bytes) -> NewAccount | None:
    """Make what a data folder must hold, or check it; the first account, if it was made now. Call it with the lock held."""
    catalog = SqliteCatalog.open(config.data_dir)
    try:
        await ensure_root_key_check(catalog, root_key)
        subkeys = Subkeys.of(root_key)
        await DataKeys(catalog, subkeys.kms, now).open()
        return await first_account(Identities(catalog, subkeys.iam, now), config)
    finally:
        await catalog.close()


def _introduce(made: NewAccount, config: Config, say: Callable[[str], None]) -> None:
    say("A new Strongroom. These credentials of its root account are shown this once:")
    say(f"  AWS_ACCESS_KEY_ID={made.access_key_id}")
    say(f"  AWS_SECRET_ACCESS_KEY={made.secret_access_key}")
    say(f"  AWS_ACCOUNT_ID={made.account_id}")
    say(f"They are also in {config.data_dir / folder.CREDENTIALS_FILE}.")
    say("Back up the root key apart from the data (strongroom keys backup): without it nothing can be read again.")
    if is_plain_file(config):
        say(f"THE ROOT KEY IS A PLAIN FILE, {config.data_dir / folder.ROOT_KEY_FILE}: who has it and the data has everything.")
        say("Seal it with a passphrase or a systemd credential: strongroom keys seal-root --help")


def free_address(host: str, port: int) -> tuple[str, int]:
    """The numeric address and a port nobody listens on; port 0 chooses one. Raises StartError.

    Workers share the port among themselves, so the system would let a second server join in: hence it is asked here.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"cannot listen on {host}: {error.strerror}") from None
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise StartError(f"cannot listen on {url_of(host, port)}: {error.strerror}") from None
        bound = probe.getsockname()
        return str(bound[0]), int(bound[1])


def _run(
    config: Config,
    unlocked: Unlocked,
    numbers: Path,
    host: str,
    port: int,
    certificate: tls.Certificate | None,
    tell: Callable[[], None],
) -> None:
    # Workers start from nothing but their Config: a forked copy of a process with threads may wait for locks nobody holds.
    multiprocessing.set_start_method("spawn", force=True)
    server = Workers(
        "strongroom.server",
        renew=partial(_renew, certificate),
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        workers=config.workers,
        workers_kill_timeout=config.stop_seconds,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_SECONDS,
        log_level=LogLevels.error,
        ssl_cert=None if certificate is None else certificate.certificate,
        ssl_key=None if certificate is None else certificate.key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    logging.getLogger("_granian").setLevel(logging.ERROR)
    server.on_startup(lambda: threading.Thread(target=tell, daemon=True).start())
    if certificate is not None:
        watch(partial(tls.stamp, certificate.certificate, certificate.key), server.ask_to_renew, _CERTIFICATE_SECONDS)

    def forgive() -> None:
        """Ctrl-C reaches the workers too; those that end by it before they are told to have not failed."""
        if server.interrupt_signal:
            server.interrupt_children.clear()  # pyright: ignore[reportUnknownMemberType] - granian does not say of what

    server.on_shutdown(forgive)
    server.serve(target_loader=partial(load_worker, config, unlocked, numbers), wrap_loader=False)


def _renew(certificate: tls.Certificate | None) -> tuple[str, str] | None:
    """The paths of certificate and key with all links followed, after a look at what they hold now. Raises StartError."""
    if certificate is None:
        return None
    found = tls.load(certificate.certificate, certificate.key)
    concern = found.concern(now())
    log = _LOG.info if concern is None else _LOG.warning
    log("certificate read anew", fingerprint=found.fingerprint, concern=None if concern is None else concern[1])
    return str(found.certificate.resolve()), str(found.key.resolve())


def _tell_when_ready(host: str, port: int, named: str, scheme: str, say: Callable[[str], None]) -> None:
    reach = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is listened on, not what to listen on
    while not _answers(reach, port, scheme):
        time.sleep(0.02)
    say(f"ready {url_of(named, port, scheme)}")


def _answers(host: str, port: int, scheme: str) -> bool:
    if scheme == "https":
        # Whether somebody answers, not who: this process holds the port, and the certificate may be for other names.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=2, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
