"""``strongroom lifecycle run``: the lifecycles of buckets carried out at once, by any date, on a data folder that no server runs on."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.progress import Far
from strongroom.cli.rooms import heed_interrupt, with_rooms
from strongroom.cli.settings import ConfigOption, DataOption, configured
from strongroom.cli.tables import one_line

if TYPE_CHECKING:
    from strongroom.s3.lifecycle_working import Done, Tally
    from strongroom.startup.opening import LowerRooms

lifecycle = typer.Typer(help="Lifecycles of buckets: carry them out at once, by any date.", no_args_is_help=True)


@lifecycle.callback()
def _only_group() -> None:
    pass


@lifecycle.command()
def run(
    now: Annotated[
        str | None, typer.Option(help="Judge as if it were that day (or moment, UTC).", metavar="DATE", show_default=False)
    ] = None,
    bucket: Annotated[str | None, typer.Option(help="Only this bucket.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is due; also beside a running server.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: the actions, then the summary.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Do what the rules say is due. A running server does so by itself; this is for other dates, and needs the server to be stopped.

    May be interrupted and started again. What is written bears the real time. Exit code 0: done; 1: it cannot be; 2: asked wrongly;
    130: interrupted.
    """
    moment = _moment(now)
    from strongroom.startup import folder

    chosen = configured(config, data_dir=data)

    def work() -> int:
        return with_rooms(data, config, lambda lower: _run(lower, moment, bucket, dry_run=dry_run, as_json=as_json))

    folder.require_existing(chosen.data_dir)
    if dry_run:
        code = work()
    else:
        with folder.locked(chosen.data_dir):
            code = work()
    raise typer.Exit(code)


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"--now {text} is no date: write it like 2027-01-31") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


async def _run(lower: LowerRooms, moment: datetime, bucket: str | None, *, dry_run: bool, as_json: bool) -> int:
    from strongroom.s3.lifecycle_working import LifecycleWork
    from strongroom.s3.versions import milliseconds

    if bucket is not None and await lower.catalog.bucket(bucket) is None:
        raise typer.BadParameter(f"there is no bucket {bucket}")
    stop = heed_interrupt()
    versions = 0
    with Far("versions") as far:

        def tell(kind: str, count: int) -> None:
            nonlocal versions
            if kind == "judged":
                versions += count
                far.to(versions, None)

        work = LifecycleWork(lower.rooms, rate=0, tell=tell, seen=lambda done: _print(done, as_json=as_json), dry_run=dry_run)
        tally = await work.run_at(milliseconds(moment), bucket, stop.is_set)
    _print_summary(tally, moment, dry_run=dry_run, as_json=as_json)
    return 0 if tally.complete else 130


def _print(done: Done, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: value for name, value in asdict(done).items() if value}))
        return
    to = f" to {done.storage_class}" if done.storage_class else ""
    typer.echo(f"{done.kind}{to}  {done.bucket}/{one_line(done.object_key)} {done.place}, by rule {one_line(done.rule_id)}")


def _print_summary(tally: Tally, moment: datetime, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        summary = {"versions": tally.versions, "uploads": tally.uploads, "actions": dict(sorted(tally.actions.items()))}
        typer.echo(json.dumps({"summary": {**summary, "complete": tally.complete, "dry_run": dry_run}}))
        return
    done = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.actions.items())) or "nothing"
    went = f"Went through {tally.versions} versions and {tally.uploads} unfinished uploads as of {moment:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{went}; {'due' if dry_run else 'done'}: {done}.")
    if not tally.complete:
        typer.echo("Interrupted; start it again to go on.", err=True)
