"""``strongroom backup`` and ``restore``: the data folder's second copy, taken, looked at, pruned and brought back. Without any key."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from strongroom.cli.progress import Far
from strongroom.cli.settings import ConfigOption, DataOption, configured

if TYPE_CHECKING:
    from strongroom.backup.restoring import Restored
    from strongroom.backup.taking import Taken

TargetArgument = Annotated[Path, typer.Argument(metavar="TARGET", help="The folder that holds the backup.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_ROOT_KEY = "The root key is NOT in it, and without it nothing opens: keep  strongroom keys backup  apart from this."


class _TakeUnlessSaid(TyperGroup):
    """``strongroom backup TARGET`` is ``strongroom backup take TARGET``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["take", *args]
        return super().parse_args(ctx, args)


backup = typer.Typer(
    cls=_TakeUnlessSaid,
    help="strongroom backup TARGET copies what is new in the data folder there, beside a running server. Not the root key.",
    no_args_is_help=True,
)


@contextmanager
def _errors() -> Generator[None]:
    from strongroom.startup import StartError

    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StartError(f"{where}{error.strerror or error}") from None


@backup.command()
def take(
    target: TargetArgument,
    keep: Annotated[int, typer.Option(min=1, help="So many of the newest snapshots stay.")] = 14,
    prune: Annotated[bool, typer.Option("--prune", help="Remove blobs that none of them names.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Copy what is new (this is meant without a command). Exit code 0: complete; 1: not, or the data folder has lost something."""
    from strongroom.backup.taking import Wanted
    from strongroom.backup.taking import take as taking

    settings = configured(config, data_dir=data)
    os.umask(0o077)
    with _errors(), Far("blobs") as far:
        done = asyncio.run(taking(Wanted(settings.data_dir, target, keep, prune, lambda: datetime.now(UTC), far.to)))
    _show_taken(target, done, as_json=as_json)
    raise typer.Exit(1 if done.missing or done.lost else 0)


def _show_taken(target: Path, done: Taken, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2))
    else:
        typer.echo(
            f"{target}: snapshot {done.snapshot}, {done.blobs} blobs of {done.size} bytes; copied {done.copied} of them anew."
        )
        if done.snapshots_removed or done.blobs_removed:
            typer.echo(f"Removed {done.snapshots_removed} old snapshots and {done.blobs_removed} blobs that no other names.")
    typer.echo(_ROOT_KEY, err=True)
    for blob_id in done.lost:
        typer.echo(f"the data folder has lost blob {blob_id}, or part of it; the backup has it", err=True)
    for blob_id in done.missing:
        typer.echo(f"the data folder has lost blob {blob_id}, and the backup has none: see  strongroom verify", err=True)


@backup.command("list")
def list_snapshots(target: TargetArgument, as_json: JsonOption = False) -> None:
    """The snapshots, the oldest first."""
    from strongroom.backup.layout import Target

    found = Target(target)
    found.require_existing()
    names = found.snapshots()
    typer.echo(json.dumps(names) if as_json else "\n".join(names), nl=bool(names) or as_json)


@backup.command()
def verify(target: TargetArgument, as_json: JsonOption = False) -> None:
    """Read every file of the backup, without any key. Exit code 0: all is as it was copied; 1: something was found."""
    from strongroom.backup.checking import Checking
    from strongroom.backup.layout import Target

    folder = Target(target)
    folder.require_existing()
    found: list[str] = []
    with _errors(), folder.locked(), Far("blobs") as far:
        checking = Checking(folder, lambda done: far.to(done, None))
        for text in checking.findings():
            found.append(text)
            if not as_json:
                typer.echo(text)
    tally = checking.tally
    if as_json:
        typer.echo(json.dumps({"summary": asdict(tally), "findings": found}, indent=2))
    else:
        typer.echo(f"Read {tally.snapshots} snapshots, {tally.blobs} blobs of {tally.size} bytes.")
        typer.echo(f"Found: {tally.findings}." if found else "Clean.")
    raise typer.Exit(1 if found or not tally.snapshots else 0)


def restore(
    target: TargetArgument,
    snapshot: Annotated[
        str | None, typer.Option(metavar="TIME", help="As list shows it, or its beginning. Else the newest.", show_default=False)
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Restore a backup into an empty folder (--data). Exit code 0: all of it; 1: not, or not all. Then put the root key there."""
    from strongroom.backup.layout import Target
    from strongroom.backup.restoring import restore as restoring

    settings = configured(config, data_dir=data)
    folder = Target(target)
    folder.require_existing()
    os.umask(0o077)
    with _errors(), folder.locked(), Far("blobs") as far:
        done = restoring(folder, settings.data_dir, snapshot, lambda count: far.to(count, None))
    _show_restored(settings.data_dir, done)
    raise typer.Exit(1 if done.left_out else 0)


def _show_restored(data: Path, done: Restored) -> None:
    typer.echo(
        f"{data}: snapshot {done.head.snapshot}, {done.blobs} blobs of {done.size} bytes, {done.records} files of key uses."
    )
    for text in done.left_out:
        typer.echo(f"not restored: {text}", err=True)
    whose = ", ".join(done.head.accounts) or "none yet"
    typer.echo(f"It opens with the root key that this data was made under (accounts: {whose}), and with no other. Now run")
    typer.echo(
        f"    strongroom keys restore FILE --data {data}    # from a backup of these keys; or put root.key there, mode 0600"
    )
    typer.echo(f"    strongroom verify --data {data}")
