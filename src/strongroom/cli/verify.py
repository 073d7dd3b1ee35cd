"""``strongroom verify``: the whole store looked at, with a server on it or without. Changes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.progress import Far
from strongroom.cli.rooms import with_rooms
from strongroom.cli.settings import ConfigOption, DataOption
from strongroom.cli.tables import one_line

if TYPE_CHECKING:
    from strongroom.s3.findings import Finding, Tally
    from strongroom.startup.opening import LowerRooms


def verify(
    bucket: Annotated[str | None, typer.Option(help="Only this bucket.", show_default=False)] = None,
    prefix: Annotated[str, typer.Option(help="Only object keys of that bucket that begin so.", show_default=False)] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Rows, keys, metadata and lengths, but no bodies.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: the findings, then the summary.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Look at every row, key, record and blob. Exit code 0: clean; 1: something was found; 2: asked wrongly."""
    if prefix and bucket is None:
        raise typer.BadParameter("--prefix needs --bucket")
    code = with_rooms(data, config, lambda lower: _verify(lower, bucket, prefix, quick=quick, as_json=as_json), with_faults=True)
    raise typer.Exit(code)


async def _verify(lower: LowerRooms, bucket: str | None, prefix: str, *, quick: bool, as_json: bool) -> int:
    from strongroom.s3.verifying import Verifying
    from strongroom.s3.walking import every_bucket
    from strongroom.startup import folder

    rows = [row async for row in every_bucket(lower.catalog, bucket)]
    if bucket is not None and not rows:
        raise typer.BadParameter(f"there is no bucket {bucket}")
    total = sum([await lower.catalog.count_versions(row.bucket_id, prefix=prefix) for row in rows])
    with Far("versions") as far:
        verifying = Verifying(
            lower.rooms,
            quick=quick,
            served=folder.server_is_running(lower.folder),
            faults=lower.faults,
            seen=lambda tally, where: far.to(tally.versions, total, where),
        )
        async for finding in verifying.findings(bucket, prefix):
            print_finding(finding, as_json=as_json)
    print_summary(verifying.tally, as_json=as_json)
    return 1 if verifying.tally.findings else 0


def print_finding(finding: Finding, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: value for name, value in asdict(finding).items() if value not in {"", None}}))
    else:
        typer.echo(f"{finding.kind}  {one_line(finding.what)}: {one_line(finding.why)}")


def print_summary(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"summary": asdict(tally)}))
        return
    looked = f"{tally.buckets} buckets, {tally.versions} versions, {tally.uploads} unfinished uploads, {tally.parts} parts"
    typer.echo(f"Looked at {looked}, {tally.blobs} blobs; opened {tally.size} bytes.")
    if tally.customer_locked:
        typer.echo(
            f"{tally.customer_locked} streams are under customers' keys: their segments could not be opened, all else was checked."
        )
    if tally.waiting or tally.settling:
        typer.echo(
            f"{tally.waiting} blobs were given up and wait for upkeep; {tally.settling} are so young that a request may own them."
        )
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.findings.items()))
    typer.echo(f"Found: {found}." if found else "Clean.")
