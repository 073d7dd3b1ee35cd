"""The command ``strongroom``: its commands together, and every expected failure as one line on standard error."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from strongroom import __version__
from strongroom.cli import custody
from strongroom.cli.account import account
from strongroom.cli.audit import audit
from strongroom.cli.backup import backup, restore
from strongroom.cli.compact import compact
from strongroom.cli.doctor import doctor
from strongroom.cli.explain import explain
from strongroom.cli.keys import keys
from strongroom.cli.lifecycle import lifecycle
from strongroom.cli.rewrap import rewrap
from strongroom.cli.scrub import scrub
from strongroom.cli.serve import serve, show_config
from strongroom.cli.verify import verify
from strongroom.config import ConfigError

app = typer.Typer(
    name="strongroom",
    help="An S3-compatible object store whose encryption is on from the first byte.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.add_typer(account, name="account")
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(lifecycle, name="lifecycle")
app.add_typer(scrub, name="scrub")
app.add_typer(backup, name="backup")
app.command()(restore)
keys.command("seal-root")(custody.seal_root)
keys.command()(custody.backup)
keys.command()(custody.restore)
keys.command()(custody.drill)
app.command()(doctor)
app.command()(verify)
app.command()(compact)
app.command()(rewrap)
app.command()(explain)
app.command("config")(show_config)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def strongroom(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.", show_default=False)
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Exit codes: 0, 1 for what could not be done, 2 for what was asked wrongly."""
    from strongroom.iam.identities import IdentityError
    from strongroom.kms.operating import KeyProblem
    from strongroom.startup import StartError
    from strongroom.store.contract import StoreError

    try:
        code: object = app(standalone_mode=False)
    except TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except (ConfigError, KeyProblem) as error:
        _fail(str(error), 2)
    except (StartError, IdentityError, StoreError) as error:
        _fail(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os._exit(1)  # whoever read us has gone; nothing can be flushed any more
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> NoReturn:
    sys.stderr.write(f"strongroom: {' '.join(text.split())}\n")
    sys.exit(code)
