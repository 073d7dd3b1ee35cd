"""The options that every command shares, and the Config they make together with environment and file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom.config import Config, ConfigError, Loaded, load

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder. Also STRONGROOM_DATA_DIR.", metavar="FOLDER", show_default=False)
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings. Also STRONGROOM_CONFIG.", metavar="FILE", show_default=False),
]
RootKeyOption = Annotated[
    str | None,
    typer.Option(
        "--root-key",
        help="Where the root key is: file, passphrase:(prompt | file:PATH | fd:N | env:NAME | credential:NAME), credential:NAME, fd:N.",
        metavar="FORM",
        show_default=False,
    ),
]


def loaded(file: Path | None, **flags: Any) -> Loaded:
    """Raises ConfigError. Flags that are None count as not given."""
    return load(flags, os.environ, file)


def configured(file: Path | None, **flags: Any) -> Config:
    return loaded(file, **flags).config


def one_folder(first: Path | None, second: Path | None) -> Path | None:
    """A data folder may be an argument or an option, not two different ones."""
    if first is not None and second is not None and first != second:
        raise ConfigError("two data folders were given")
    return first if first is not None else second
