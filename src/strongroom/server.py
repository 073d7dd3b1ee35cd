"""From a config to running workers: the checks of the start, the first account, granian, and the line that says ready.

Never knows a room's inside: ``rooms`` builds them in each worker.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import socket
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server

from strongroom.config import PREFIX, url_of
from strongroom.edge.rsgi import RsgiApp
from strongroom.iam.identities import Identities
from strongroom.kms.data_keys import DataKeys
from strongroom.rooms import Worker, clock
from strongroom.startup import self_test
from strongroom.startup.first_account import first_account
from strongroom.startup.folder import CREDENTIALS_FILE, ensure_root_key, locked, prepare
from strongroom.startup.root_key import Subkeys, ensure_root_key_check
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog

if TYPE_CHECKING:
    from strongroom.config import Config
    from strongroom.iam.identities import NewAccount

#: Seconds a thread may hold the interpreter while another waits: a commit's end must not wait for five milliseconds.
SWITCH_INTERVAL: Final = 0.0005
_POLL: Final = 0.02  # seconds
_SECRET_VARIABLES: Final = ("ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY", "ACCOUNT_ID")


def configure_log(level: str) -> None:
    """One JSON object a line, on standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def worker_app(config: Config) -> RsgiApp:
    """What each worker process runs."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    configure_log(config.log_level)
    worker = Worker(config)

    async def open_() -> object:
        pages = await worker.open()
        return pages.handle

    return RsgiApp(open_, worker.close)  # type: ignore[arg-type]


async def _start(config: Config, root_key: bytes) -> NewAccount | None:
    """What must be in the catalog before a worker opens it. Raises StartError, Unavailable, ProviderError."""
    catalog = SqliteCatalog.open(config.data_dir)
    try:
        await ensure_root_key_check(catalog, root_key)
        subkeys = Subkeys.of(root_key)
        await DataKeys(catalog, subkeys.kms, clock).open()
        made = await first_account(Identities(catalog, subkeys.iam), config)
        blobs = FileBlobs(config.data_dir)
        try:
            await blobs.sweep_unfinished()
        finally:
            await blobs.close()
    finally:
        await catalog.close()
    return made


def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT; running requests are finished. Raises StartError, Unavailable, ProviderError."""
    configure_log(config.log_level)
    self_test.require()
    prepare(config.data_dir)
    with locked(config.data_dir):
        made = asyncio.run(_start(config, ensure_root_key(config.data_dir)))
        if made is not None:
            _show(made, config)
        for name in _SECRET_VARIABLES:  # workers need them no more
            os.environ.pop(PREFIX + name, None)
        host, port = config.address
        if port == 0:
            port = _free_port(host)
        config = replace(config.without_secrets(), listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        server = Server(
            "strongroom",
            address=host,
            port=port,
            interface=Interfaces.RSGI,
            workers=config.workers,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            websockets=False,
            log_level=LogLevels.warning,
            respawn_failed_workers=True,
            respawn_interval=1.0,
            workers_kill_timeout=config.stop_seconds,
        )
        threading.Thread(target=_announce, args=(host, port), daemon=True).start()
        server.serve(target_loader=partial(worker_app, config), wrap_loader=False)


def _show(made: NewAccount, config: Config) -> None:
    if config.root_secret_access_key is not None:  # the operator's own: known already, never printed
        return
    print(
        "The root credentials, printed this once and kept in "
        f"{config.data_dir / CREDENTIALS_FILE}:\n"
        f"  AWS_ACCESS_KEY_ID={made.access_key_id}\n"
        f"  AWS_SECRET_ACCESS_KEY={made.secret_access_key}\n"
        f"  account {made.account_id}",
        flush=True,
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.bind((host, 0))
        return int(listening.getsockname()[1])


def _announce(host: str, port: int) -> None:
    """Say ready once a worker answers; for whoever waits for it on standard output."""
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    while True:
        connection = http.client.HTTPConnection(asked, port, timeout=5)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == http.HTTPStatus.OK:
                break
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(_POLL)
    print(f"ready {url_of(host, port)}", flush=True)
