"""The parent process: it holds the data folder, makes what a first start must make, and lets workers serve until it is told to stop.

Never knows the rooms. ``serve`` is its life from lock to exit.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import resource
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import structlog

from strongroom.config import Config, parse_key_form, url_of
from strongroom.iam.identities import Identities, NewAccount
from strongroom.kms.data_keys import DataKeys
from strongroom.logs import configure_log
from strongroom.processes import Workers, listening_sockets, watch
from strongroom.startup import StartError, extras, folder, now, self_test, tls
from strongroom.startup.first_account import first_account
from strongroom.startup.root_key import Subkeys, ensure_root_key_check
from strongroom.startup.sealing import ensure_root_key, is_plain_file, left_in_folder
from strongroom.store.reserve import Reserve
from strongroom.store.sqlite import SqliteCatalog

_FILES: Final = 512  # open files of a worker beside connections, and beside two for each request
_CERTIFICATE_SECONDS: Final = 2.0  # between two looks at the certificate's files
_LOG = structlog.get_logger("strongroom.server")


@dataclass(frozen=True, slots=True)
class Unlocked:
    """What the parent opened once and gives to each worker, through the pipe by which multiprocessing starts it: it is in no
    file, argument or variable.
    """

    root_key: bytes = field(repr=False)


def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish. ``say`` prints one line on standard output.

    Raises StartError, StoreError, before anything listens; SystemExit(1) when workers keep dying.
    """
    os.umask(0o077)
    configure_log(config.log_level)
    self_test.require()
    if config.traces != "off":
        extras.require_traces()
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
    reserve = Reserve(config.data_dir, config.reserve_part)
    reserve.relieve()
    catalog = SqliteCatalog.open(config.data_dir, reserve=reserve)
    try:
        await ensure_root_key_check(catalog, root_key)
        subkeys = Subkeys.of(root_key)
        await DataKeys(catalog, subkeys.kms, now).open()
        return await first_account(Identities(catalog, subkeys.iam, now), config)
    finally:
        await catalog.close()
        reserve.close()


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
    limited = replace(config, connections=_connections(config))
    server = Workers(
        partial(_work, limited, unlocked, numbers, certificate),
        listening_sockets(host, port, config.workers),
        renew=partial(_look_at, certificate),
        stop_seconds=config.stop_seconds,
    )
    threading.Thread(target=tell, daemon=True).start()
    if certificate is not None:
        watch(partial(tls.stamp, certificate.certificate, certificate.key), server.ask_to_renew, _CERTIFICATE_SECONDS)
    server.serve()


def _work(
    config: Config,
    unlocked: Unlocked,
    numbers: Path,
    certificate: tls.Certificate | None,
    listening: socket.socket,
    tells: Connection,
) -> None:
    """In a worker process. Only there the rooms are imported: the parent needs none, and would start a second later."""
    from strongroom.worker import work

    work(config, unlocked.root_key, numbers, certificate, listening, tells)


def _connections(config: Config) -> int:
    """How many connections a worker may keep open, so that files are left for its work; asks the system for as many as it gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    work = _FILES + 2 * config.requests
    if soft != resource.RLIM_INFINITY and soft < config.connections + work:
        wanted = config.connections + work
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= config.connections + work:
        return config.connections
    most = max(64, soft - work)
    _LOG.warning("fewer connections than asked for: too few open files are allowed", connections=most, open_files=soft)
    return most


def _look_at(certificate: tls.Certificate | None) -> None:
    """At what its files hold now. Raises StartError."""
    if certificate is not None:
        found = tls.load(certificate.certificate, certificate.key)
        concern = found.concern(now())
        log = _LOG.info if concern is None else _LOG.warning
        log("certificate read anew", fingerprint=found.fingerprint, concern=None if concern is None else concern[1])


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
