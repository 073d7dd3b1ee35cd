"""``strongroom serve`` and ``strongroom config``: running a server, and seeing with which settings it would run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli.settings import ConfigOption, DataOption, RootKeyOption, configured, loaded, one_folder
from strongroom.cli.tables import print_table

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def serve(
    data_dir: Annotated[Path | None, typer.Argument(help="Data folder; made on the first start.", show_default=False)] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0 takes a free one.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default=False)] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Serve TLS with this certificate (PEM).", metavar="FILE", show_default=False)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).", metavar="FILE", show_default=False)] = None,
    tls: Annotated[
        str | None, typer.Option(help="self-signed: make a certificate for development.", metavar="HOW", show_default=False)
    ] = None,
    root_key: RootKeyOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Run a server until SIGTERM or Ctrl-C. SIGHUP reads the certificate anew."""
    folder = one_folder(data_dir, data)
    chosen = configured(
        config, data_dir=folder, listen=listen, workers=workers, tls_cert=tls_cert, tls_key=tls_key, tls=tls, root_key=root_key
    )
    from strongroom import server

    server.serve(chosen, _say)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a pipe that waits for "ready" must get it at once


def show_config(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the effective settings and where each came from. Secrets are not shown."""
    rows = loaded(config, data_dir=data).shown()
    if as_json:
        typer.echo(json.dumps({row.name: {"value": row.value, "source": row.source} for row in rows}, indent=2))
        return
    print_table(("setting", "value", "from", "what it is"), [(row.name, row.value, row.source, row.help) for row in rows])
