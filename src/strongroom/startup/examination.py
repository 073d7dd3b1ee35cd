"""What ``strongroom doctor`` looks at: machine, folder, keys, catalog and leftovers. Reads only.

Never repairs anything and never knows how findings are shown.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from strongroom.config import Config
from strongroom.iam.identities import Identities
from strongroom.kms.contract import ProviderError
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.service_keys import SERVICE_KEY_KIND
from strongroom.startup import StartError, folder, self_test, tls
from strongroom.startup.root_key import Subkeys, check_root_key
from strongroom.startup.sealing import is_plain_file, left_in_folder, open_root_key
from strongroom.store import reserve
from strongroom.store.contract import StoreError
from strongroom.store.sqlite import FILE as CATALOG_FILE
from strongroom.store.sqlite import SqliteCatalog

_LITTLE_SPACE: Final = 1 << 30  # bytes free below which the operator is told
_NO_SPACE: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: Literal["good", "notice", "bad"]
    text: str = ""


def examine(config: Config) -> list[Finding]:
    """Every finding, the machine's first. Stops early where nothing further can be asked."""
    path = config.data_dir
    findings = [Finding(f"self-test: {each.name}", "good" if each.passed else "bad") for each in self_test.outcomes()]
    findings += _certificate(config)
    try:
        folder.require_existing(path)
        findings.append(Finding("data folder", "good", str(path.resolve())))
        findings += _permissions(path)
        findings.append(_space(path))
        findings.append(_reserve(config))
        findings.append(_server(path))
        findings += _leftovers(path)
        root_key = open_root_key(config)
        findings.append(_root_key_form(config))
        findings.append(_catalog_file(path))
        if findings[-1].state == "good":
            findings += asyncio.run(_catalog(path, root_key))
    except StartError as error:
        findings.append(Finding("data folder", "bad", str(error)))
    except OSError as error:
        findings.append(Finding("data folder", "bad", f"{error.filename}: {error.strerror}"))
    return findings


def _certificate(config: Config) -> Iterator[Finding]:
    """The one a server would use with these settings; none if it would serve plain HTTP, or is still to make one."""
    certificate, key = config.tls_cert, config.tls_key
    if config.tls == "self-signed":
        certificate, key = (config.data_dir / tls.FOLDER / name for name in (tls.CERTIFICATE_FILE, tls.KEY_FILE))
        if not certificate.exists():
            return
    if certificate is None or key is None:
        return
    try:
        found = tls.load(certificate, key)
    except StartError as error:
        yield Finding("certificate", "bad", str(error))
        return
    good = f"{found.certificate} until {found.not_after:%Y-%m-%d}, SHA-256 {found.fingerprint}"
    yield Finding("certificate", *(found.concern(datetime.now(UTC)) or ("good", good)))


def _root_key_form(config: Config) -> Finding:
    left = left_in_folder(config)
    if left is not None:
        return Finding("root key form", "bad", f"{left} is still there, though root_key is {config.root_key}")
    if is_plain_file(config):
        text = "a plain file: who has it and the data has everything; seal it with  strongroom keys seal-root"
        return Finding("root key form", "notice", text)
    return Finding("root key form", "good", config.root_key)


def _permissions(path: Path) -> Iterator[Finding]:
    open_to_others = [
        f"{each.name} ({stat.S_IMODE(each.stat().st_mode):04o})"
        for each in (path, *sorted(path.iterdir()))
        if each.stat().st_mode & 0o077 and each.name != "lost+found"
    ]
    if open_to_others:
        yield Finding("permissions", "bad", f"open to others than the owner: {', '.join(open_to_others)}")
    else:
        yield Finding("permissions", "good", "for the owner alone")


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    text = f"{free / (1 << 30):.1f} GiB free"
    return Finding("free space", "bad" if free < _NO_SPACE else "notice" if free < _LITTLE_SPACE else "good", text)


def _reserve(config: Config) -> Finding:
    missing = reserve.missing(config.data_dir)
    if missing and config.reserve_part:
        text = f"given up because the disk is full: {', '.join(missing)}; plain writes are refused until there is room for it"
        return Finding("reserve", "bad", text)
    return Finding("reserve", "good" if config.reserve_part else "notice", f"{config.reserve_mib} MiB kept for a full disk")


def _server(path: Path) -> Finding:
    return Finding("server", "good", "is running" if folder.server_is_running(path) else "is not running")


def _leftovers(path: Path) -> Iterator[Finding]:
    if (path / folder.CREDENTIALS_FILE).exists():
        text = f"{path / folder.CREDENTIALS_FILE} still holds the root credentials: keep them elsewhere and delete the file"
        yield Finding("root credentials", "notice", text)
    unfinished = sum(1 for _ in (path / "tmp").glob("*")) if (path / "tmp").is_dir() else 0
    text = f"{unfinished} unfinished files, swept by a running server" if unfinished else "none"
    yield Finding("leftovers", "notice" if unfinished else "good", text)


def _catalog_file(path: Path) -> Finding:
    """SQLite's own check of the file; it does not wait for writers and they do not wait for it."""
    try:
        connection = sqlite3.connect(f"file:{path / CATALOG_FILE}?mode=ro", uri=True, timeout=5)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return Finding("catalog file", "bad", str(error))
    return Finding("catalog file", "good", "sound") if found == ["ok"] else Finding("catalog file", "bad", "; ".join(found))


async def _catalog(path: Path, root_key: bytes) -> list[Finding]:
    findings: list[Finding] = []
    try:
        catalog = SqliteCatalog.open(path)
    except StoreError as error:
        return [Finding("catalog", "bad", str(error))]
    try:
        await check_root_key(catalog, root_key)
        findings.append(Finding("root key", "good", "opens this catalog"))
        subkeys = Subkeys.of(root_key)
        if await catalog.documents(SERVICE_KEY_KIND, limit=1):  # else opening would make them
            await DataKeys(catalog, subkeys.kms, lambda: datetime.now(UTC)).open()
            findings.append(Finding("service keys", "good", "open"))
        else:
            findings.append(Finding("service keys", "bad", "there are none: no object can be opened"))
        accounts = await Identities(catalog, subkeys.iam).accounts()
        findings.append(Finding("accounts", "good" if accounts else "bad", str(len(accounts))))
    except StartError as error:
        findings.append(Finding("root key", "bad", str(error)))
    except (ProviderError, ValueError) as error:
        findings.append(Finding("service keys", "bad", str(error) or type(error).__name__))
    except StoreError as error:
        findings.append(Finding("catalog", "bad", str(error)))
    finally:
        await catalog.close()
    return findings
