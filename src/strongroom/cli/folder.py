"""Opening a data folder for a command, whether a server runs on it or not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from strongroom.startup.folder import read_root_key, require_existing
from strongroom.startup.root_key import Subkeys, check_root_key
from strongroom.store.sqlite import SqliteCatalog

DataOption = Annotated[Path, typer.Option("--data", envvar="STRONGROOM_DATA_DIR", help="The data folder.")]
DEFAULT_DATA = Path("strongroom-data")


@dataclass(frozen=True, slots=True)
class OpenFolder:
    catalog: SqliteCatalog
    subkeys: Subkeys = field(repr=False)


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[OpenFolder]:
    """Raises StartError, Unavailable."""
    require_existing(folder)
    root_key = read_root_key(folder)
    catalog = SqliteCatalog.open(folder)
    try:
        await check_root_key(catalog, root_key)
        yield OpenFolder(catalog, Subkeys.of(root_key))
    finally:
        await catalog.close()
