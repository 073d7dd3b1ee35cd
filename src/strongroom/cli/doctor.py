"""``strongroom doctor``: the self-test, and whether a data folder is sound enough to be served."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from strongroom.cli.folder import DEFAULT_DATA, DataOption, opened
from strongroom.kms.contract import ProviderError
from strongroom.kms.data_keys import DataKeys
from strongroom.rooms import clock
from strongroom.startup import StartError, self_test
from strongroom.startup.folder import CREDENTIALS_FILE, read_root_key, require_existing, server_is_running
from strongroom.store.contract import Unavailable
from strongroom.store.sqlite import FILE

LEAST_FREE: Final = 1 << 30  # bytes; below that the doctor warns


def doctor(*, data: DataOption = DEFAULT_DATA) -> None:
    """Run the self-test and check a data folder. Exit code 1 when something is wrong."""
    table = Table("check", "result", "what was found")
    failed = False
    for outcome in self_test.outcomes():
        failed |= not outcome.passed
        table.add_row(outcome.name, _word(passed=outcome.passed), "known answers")
    for name, check in _CHECKS.items():
        try:
            found, passed = check(data), True
        except (StartError, Unavailable, ProviderError, OSError, sqlite3.Error) as error:
            found, passed = str(error), False
        failed |= not passed
        table.add_row(name, _word(passed=passed), found)
    Console().print(table)
    if failed:
        raise typer.Exit(1)


def _word(*, passed: bool) -> str:
    return "[green]ok[/]" if passed else "[red]failed[/]"


def _folder(data: Path) -> str:
    require_existing(data)
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o077:
        raise StartError(f"{data} may be entered by others than its owner (mode {mode:04o}): run  chmod 700 {data}")
    return f"{data}, server {'running' if server_is_running(data) else 'not running'}"


def _root_key(data: Path) -> str:
    read_root_key(data)
    return "readable by its owner alone; back it up elsewhere"


def _catalog(data: Path) -> str:
    require_existing(data)
    with closing(sqlite3.connect(f"file:{data / FILE}?mode=ro", uri=True, timeout=5)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StartError(f"the catalog is damaged: {found}")
    return "quick check passed"


def _keys(data: Path) -> str:
    async def work() -> str:
        async with opened(data) as folder:
            keys = DataKeys(folder.catalog, folder.subkeys.kms, clock)
            await keys.open()
            return f"the root key opens S3's own keys (current: {keys.service_key().key_id})"

    return asyncio.run(work())


def _space(data: Path) -> str:
    free = shutil.disk_usage(data).free
    if free < LEAST_FREE:
        raise StartError(f"only {free >> 20} MiB are free")
    return f"{free >> 30} GiB free"


def _leftovers(data: Path) -> str:
    count = len(os.listdir(data / "tmp")) if (data / "tmp").exists() else 0
    credentials = f"; {CREDENTIALS_FILE} is still there: keep it elsewhere and delete it" if (data / CREDENTIALS_FILE).exists() else ""
    return f"{count} unfinished uploads (swept at the next start){credentials}"


_CHECKS: Final[dict[str, Callable[[Path], str]]] = {
    "data folder": _folder,
    "root key": _root_key,
    "catalog": _catalog,
    "keys": _keys,
    "space": _space,
    "leftovers": _leftovers,
}
