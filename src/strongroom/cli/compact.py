"""``strongroom compact``: the catalog's file written anew without free pages, on a data folder that no server runs on."""

from __future__ import annotations

import typer

from strongroom.cli.settings import ConfigOption, DataOption, configured


def compact(data: DataOption = None, config: ConfigOption = None) -> None:
    """Give back all room that deletes have left in the catalog, at once. A running server does it by itself, little by little, but for
    the catalogs of programs before 0.1.0; once compacted, those are like others.

    Needs the server to be stopped, no root key, and up to three times the catalog's size of free disk meanwhile. A crash leaves the
    catalog as it was.
    """
    from strongroom.startup import folder
    from strongroom.store.sqlite import FILE
    from strongroom.store.sqlite_space import write_anew

    chosen = configured(config, data_dir=data)
    folder.require_existing(chosen.data_dir)
    with folder.locked(chosen.data_dir):
        path = chosen.data_dir / FILE
        before = path.stat().st_size
        write_anew(path)
        typer.echo(f"{path}: {before:,} bytes before, {path.stat().st_size:,} now")
