"""``strongroom rewrap``: objects move to another KMS key, or to newer key material, without a byte of their data being touched."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.progress import Far
from strongroom.cli.rooms import heed_interrupt, with_rooms
from strongroom.cli.settings import ConfigOption, DataOption
from strongroom.cli.tables import one_line

if TYPE_CHECKING:
    from strongroom.s3.rewrapping import Left, Rewrapping, Tally
    from strongroom.startup.opening import LowerRooms


def rewrap(
    bucket: Annotated[str | None, typer.Option(help="The bucket.", show_default=False)] = None,
    all_buckets: Annotated[bool, typer.Option("--all-buckets", help="Every bucket, instead of one.")] = False,
    prefix: Annotated[str, typer.Option(help="Only object keys of that bucket that begin so.", show_default=False)] = "",
    from_key: Annotated[
        str | None, typer.Option(help="Only what is under this KMS key; any if not given.", metavar="KEY", show_default=False)
    ] = None,
    to_key: Annotated[
        str | None, typer.Option(help="The KMS key to move to: id, ARN or alias.", metavar="KEY", show_default=False)
    ] = None,
    newest_material: Annotated[
        bool, typer.Option("--newest-material", help="Stay under the same key, but under its newest material.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be moved.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: what is left, then the summary.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Move objects to another KMS key or to newer material; ETag, times and versions stay, and no data moves.

    May be interrupted and started again: what is right already is skipped. Exit code 0: all is moved; 1: something is left;
    2: asked wrongly; 130: interrupted.
    """
    if (bucket is None) is not all_buckets:
        raise typer.BadParameter("give either --bucket or --all-buckets")
    if prefix and bucket is None:
        raise typer.BadParameter("--prefix needs --bucket")
    if (to_key is None) is not newest_material:
        raise typer.BadParameter("give either --to-key or --newest-material")

    async def work(lower: LowerRooms) -> int:
        from strongroom.kms.operating import Operating
        from strongroom.s3.rewrapping import Order, Rewrapping

        if bucket is not None and await lower.catalog.bucket(bucket) is None:
            raise typer.BadParameter(f"there is no bucket {bucket}")
        operating = Operating(lower.keys.ring)
        order = Order(
            None if from_key is None else await operating.find(from_key),
            None if to_key is None else await operating.find(to_key),
        )
        return await _run(lower, Rewrapping(lower.rooms, order, dry_run=dry_run), bucket, prefix, as_json=as_json)

    raise typer.Exit(with_rooms(data, config, work))


async def _run(lower: LowerRooms, rewrapping: Rewrapping, bucket: str | None, prefix: str, *, as_json: bool) -> int:
    from strongroom.s3.walking import every_bucket

    stop, tally = heed_interrupt(), rewrapping.tally
    total = sum(
        [await lower.catalog.count_versions(row.bucket_id, prefix=prefix) async for row in every_bucket(lower.catalog, bucket)]
    )

    def leave(left: Left) -> None:
        if as_json:
            typer.echo(json.dumps(asdict(left)))
        else:
            typer.echo(f"left  {left.bucket}/{one_line(left.object_key)} version {left.version_id}: {one_line(left.why)}")

    with Far("versions") as far:
        await rewrapping.run(
            bucket, prefix, stop=stop.is_set, seen=lambda where: far.to(tally.looked_at, total, where), leave=leave
        )
    _print(tally, dry_run=rewrapping.dry_run, as_json=as_json)
    if not tally.complete:
        return 130
    return 1 if tally.left or tally.changed or tally.uploads else 0


def _print(tally: Tally, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"summary": {**asdict(tally), "dry_run": dry_run}}))
        return
    verb = "Would move" if dry_run else "Moved"
    rest = f"{tally.right} were right already, {tally.others} are not meant"
    typer.echo(f"{verb} {tally.moved} of {tally.looked_at} versions; {rest}.")
    if tally.left:
        typer.echo(f"{tally.left} could not be moved.")
    if tally.changed:
        typer.echo(f"{tally.changed} were written by somebody else meanwhile: run it again.")
    if tally.uploads:
        typer.echo(f"{tally.uploads} unfinished uploads keep the key they were begun under, until they are completed or aborted.")
    if not tally.complete:
        typer.echo("Interrupted; start it again to go on.", err=True)
