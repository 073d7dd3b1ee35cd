"""The command line. One clear line on standard error when something is wrong: status 1; when it was asked wrongly: 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import strongroom
from strongroom.cli import accounts
from strongroom.cli.doctor import doctor
from strongroom.config import ConfigError, load
from strongroom.iam.identities import IdentityError
from strongroom.kms.contract import ProviderError
from strongroom.startup import StartError
from strongroom.store.contract import StoreError

app = typer.Typer(
    help="Strongroom: a self-hosted, S3-compatible object store, encrypted from the first byte.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(accounts.app, name="account")
app.command()(doctor)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
DataFlag = Annotated[Path | None, typer.Option("--data", help="The data folder.")]
ListenFlag = Annotated[str | None, typer.Option("--listen", help="HOST:PORT; port 0 takes a free one.")]
WorkersFlag = Annotated[int | None, typer.Option("--workers", help="Worker processes.")]


@app.command()
def serve(
    data_dir: Annotated[Path | None, typer.Argument(help="The data folder.")] = None,
    *,
    data: DataFlag = None,
    listen: ListenFlag = None,
    workers: WorkersFlag = None,
    config: ConfigOption = None,
) -> None:
    """Run the server; prints "ready http://HOST:PORT" when it answers."""
    from strongroom.server import serve as run

    if data_dir is not None and data is not None and data_dir != data:
        raise ConfigError("the data folder is named twice, by argument and by --data")
    run(load(_flags(data_dir or data, listen, workers), os.environ, config).config)


@app.command("config")
def show_config(*, data: DataFlag = None, listen: ListenFlag = None, workers: WorkersFlag = None, config: ConfigOption = None) -> None:
    """Print the effective settings and where each comes from; never a secret."""
    table = Table("setting", "value", "from", "meaning")
    for row in load(_flags(data, listen, workers), os.environ, config).shown():
        table.add_row(row.name, row.value, row.source, row.help)
    Console().print(table)


@app.command()
def version() -> None:
    """Print the version."""
    print(strongroom.__version__)


def _flags(data_dir: Path | None, listen: str | None, workers: int | None) -> dict[str, Any]:
    return {"data_dir": data_dir, "listen": listen, "workers": workers}


def main() -> None:
    try:
        app()
    except ConfigError as error:
        print(f"strongroom: {error}", file=sys.stderr)
        sys.exit(2)
    except (StartError, StoreError, ProviderError, IdentityError) as error:
        print(f"strongroom: {error}", file=sys.stderr)
        sys.exit(1)
