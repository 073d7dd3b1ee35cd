"""``strongroom doctor``: what is right and what is wrong with a data folder, its settings and the machine under it. Changes nothing."""

from __future__ import annotations

import json
from typing import Annotated, Final

import typer

from strongroom.cli.settings import ConfigOption, DataOption, RootKeyOption, configured
from strongroom.cli.tables import print_table

_COLOURS: Final = {"good": "green", "notice": "yellow", "bad": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root_key: RootKeyOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Check the machine and the data folder; exit code 1 when something is bad."""
    settings = configured(config, data_dir=data, root_key=root_key)
    from strongroom.startup.examination import examine

    findings = examine(settings)
    if as_json:
        typer.echo(json.dumps([{"what": each.what, "state": each.state, "text": each.text} for each in findings], indent=2))
    else:
        print_table(("", "what", ""), [(each.state, each.what, each.text) for each in findings], _COLOURS)
    if any(each.state == "bad" for each in findings):
        raise typer.Exit(1)
