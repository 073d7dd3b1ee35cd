"""``strongroom keys seal-root``: how the root key is kept, changed without touching any object."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from strongroom.cli.settings import ConfigOption, DataOption, RootKeyOption, configured
from strongroom.config import Config, ConfigError, KeyForm, parse_key_form

ToOption = Annotated[str, typer.Option("--to", help="The new form: file, passphrase:…, credential:NAME or fd:N.", metavar="FORM")]


def seal_root(to: ToOption, root_key: RootKeyOption = None, data: DataOption = None, config: ConfigOption = None) -> None:
    """Change how the root key is kept. The key stays the same, so no object is rewritten; a running server goes on.

    To a credential or descriptor: it must give this very root key, then the file is removed.
    """
    settings = configured(config, data_dir=data, root_key=root_key)
    try:
        form = parse_key_form(to)
    except ValueError as error:
        raise ConfigError(f"--to {error}") from None
    from strongroom.startup.sealing import change_sealing

    change_sealing(settings, to, proven_root_key(settings))
    typer.echo(_said(form, to))
    if to != settings.root_key:
        typer.echo(f'Before the next start, set  root_key = "{to}"', err=True)


def proven_root_key(settings: Config) -> bytes:
    """The root key, which was found to be the one of this data. Raises StartError, StoreError."""
    from strongroom.startup import folder
    from strongroom.startup.root_key import check_root_key
    from strongroom.startup.sealing import open_root_key
    from strongroom.store.sqlite import SqliteCatalog

    folder.require_existing(settings.data_dir)
    root_key = open_root_key(settings)

    async def check() -> None:
        catalog = SqliteCatalog.open(settings.data_dir)
        try:
            await check_root_key(catalog, root_key)
        finally:
            await catalog.close()

    asyncio.run(check())
    return root_key


def _said(form: KeyForm, to: str) -> str:
    if form.form == "file":
        return "The root key is a plain file now: who has it and the data has everything."
    if form.form == "passphrase":
        return "The root key is sealed with the passphrase now. What the disk still holds of an earlier plain file is not wiped."
    return f"{to} gives the root key of this data, and nothing in the data folder does any more."
