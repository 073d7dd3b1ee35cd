"""``strongroom scrub``: what the scrub has found, and a round of it here and now, with a server on the data folder or without."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.progress import Far
from strongroom.cli.rooms import with_rooms
from strongroom.cli.settings import ConfigOption, DataOption, configured
from strongroom.cli.verify import print_finding, print_summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from strongroom.s3.findings import Tally
    from strongroom.s3.scrub_records import Round
    from strongroom.s3.scrubbing import Scrub
    from strongroom.startup.opening import LowerRooms
    from strongroom.store.turn import Turn

scrub = typer.Typer(help="Damage found in the background: what was found last, and a round here and now.", no_args_is_help=True)

_JSON = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@scrub.command()
def status(as_json: _JSON = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """The round under way, the last whole one, and what they found. Exit code 0: nothing; 1: something was found; 2: asked wrongly."""
    raise typer.Exit(with_rooms(data, config, lambda lower: _status(lower, as_json=as_json), with_faults=True))


async def _status(lower: LowerRooms, *, as_json: bool) -> int:
    from strongroom.s3.scrub_records import findings_of, read_state

    state = await read_state(lower.catalog)
    found = False
    for title, shown in (("last", state.last), ("under way", state.under_way)):
        if shown is None:
            if title == "last" and not as_json:
                typer.echo("No round has come to its end.")
            continue
        _print_round(title, shown, as_json=as_json)
        for finding in await findings_of(lower.catalog, shown):
            print_finding(finding, as_json=as_json)
        found = found or bool(shown.tally.findings)
    return int(found)


def _print_round(title: str, shown: Round, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"round": title, **asdict(shown)}))
        return
    tally = shown.tally
    if shown.ended_ms is None:
        at = (
            "the blobs"
            if shown.position.rows_done
            else f"bucket {shown.position.bucket}"
            if shown.position.bucket
            else "the begin"
        )
        typer.echo(f"Round under way since {_moment(shown.began_ms)}, at {at}:")
    else:
        typer.echo(f"Last round, {_moment(shown.began_ms)} to {_moment(shown.ended_ms)}:")
    print_summary(tally, as_json=False)
    if (count := sum(tally.findings.values())) > shown.kept:
        typer.echo(f"{shown.kept} of {count} findings are kept:" if shown.kept else f"{count} findings will be kept soon.")


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


@scrub.command()
def run(
    now: Annotated[bool, typer.Option("--now", help="Also when the last round is recent, or one is under way.")] = False,
    bucket: Annotated[str | None, typer.Option(help="Only this bucket; then it counts as no round.", show_default=False)] = None,
    as_json: _JSON = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """A round as fast as it goes, also beside a running server, which then has no round to do until the next is due.

    Without --now only if one is due. Exit code 0: clean, or none is due; 1: something was found; 2: asked wrongly.
    """
    chosen = configured(config, data_dir=data)
    every_ms = chosen.scrub_days * 86_400_000
    work = _run_bucket if bucket is not None else _run
    code = with_rooms(
        data, config, lambda lower: work(lower, bucket or "", None if now else every_ms, as_json=as_json), with_faults=True
    )
    raise typer.Exit(code)


async def _run_bucket(lower: LowerRooms, bucket: str, _every_ms: int | None, *, as_json: bool) -> int:
    from strongroom.s3.verifying import Verifying
    from strongroom.startup import folder

    if await lower.catalog.bucket(bucket) is None:
        raise typer.BadParameter(f"there is no bucket {bucket}")
    with Far("versions") as far:
        verifying = Verifying(
            lower.rooms,
            served=folder.server_is_running(lower.folder),
            faults=lower.faults,
            seen=lambda tally, where: far.to(tally.versions, None, where),
        )
        async for finding in verifying.findings(bucket):
            print_finding(finding, as_json=as_json)
    print_summary(verifying.tally, as_json=as_json)
    return int(bool(verifying.tally.findings))


async def _run(lower: LowerRooms, _bucket: str, every_ms: int | None, *, as_json: bool) -> int:
    from strongroom.s3.scrub_records import read_state
    from strongroom.s3.versions import milliseconds

    state = await read_state(lower.catalog)
    if every_ms is not None and (
        state.under_way or (state.last and _recent(state.last, every_ms, milliseconds(lower.rooms.clock())))
    ):
        typer.echo("A round is under way." if state.under_way else "No round is due; --now does one all the same.", err=as_json)
        return 0
    with _turn(lower.folder) as turn, Far("versions") as far:
        await asyncio.to_thread(turn.take)  # a server gives it within a page of rows

        def seen(tally: Tally, where: str) -> None:
            far.to(tally.versions, None, where)

        ended = await _scrub(lower, seen, as_json=as_json).run_now()
    print_summary(ended.tally, as_json=as_json)
    return int(bool(ended.tally.findings))


def _recent(last: Round, every_ms: int, now_ms: int) -> bool:
    return 0 <= now_ms - last.began_ms < every_ms


def _turn(folder: Path) -> closing[Turn]:
    from strongroom.s3.scrubbing import TURN
    from strongroom.store.turn import Turn

    return closing(Turn(folder, TURN))


def _scrub(lower: LowerRooms, seen: Callable[[Tally, str], None], *, as_json: bool) -> Scrub:
    from strongroom.kms.data_keys import DataKeys
    from strongroom.s3.scrubbing import Scrub
    from strongroom.startup import folder

    rooms = lower.rooms
    return Scrub(
        rooms,
        partial(DataKeys, lower.catalog, lower.subkeys.kms, rooms.clock),
        seen=seen,
        tell=lambda finding: print_finding(finding, as_json=as_json),
        served=folder.server_is_running(lower.folder),
    )
