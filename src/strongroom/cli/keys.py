"""``strongroom keys``: KMS keys of all accounts as the operator sees them, in the catalog itself, whether a server runs on it or not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from strongroom.cli.progress import Far
from strongroom.cli.rooms import with_rooms
from strongroom.cli.settings import ConfigOption, DataOption
from strongroom.cli.tables import one_line, print_table

if TYPE_CHECKING:
    from strongroom.kms.records import KeyRecord
    from strongroom.s3.dependents import Counts
    from strongroom.startup.opening import LowerRooms

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Key id, key ARN, alias or alias ARN.")]

keys = typer.Typer(help="KMS keys: list them, see what depends on one, delete one.", no_args_is_help=True)


@keys.command("list")
def list_keys(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """All KMS keys of all accounts."""

    async def work(lower: LowerRooms) -> list[dict[str, Any]]:
        from strongroom.kms.operating import Operating

        return [
            {"arn": name.arn} | ({"state": "damaged"} if record is None else _fields(record))
            async for name, record in Operating(lower.keys.ring).every_key()
        ]

    rows = with_rooms(data, config, work)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    headings = ("state", "key", "managed by", "aliases", "deleted on", "description")
    members = ("state", "arn", "manager", "aliases", "deletion_date", "description")
    shown = [tuple(_text(row.get(member)) for member in members) for row in rows]
    print_table(headings, shown, {"Enabled": "green", "Disabled": "yellow", "PendingDeletion": "bold red", "damaged": "bold red"})


def _fields(record: KeyRecord) -> dict[str, Any]:
    from strongroom.kms.records import moment

    return {
        "state": record.state,
        "manager": record.manager,
        "aliases": list(record.aliases),
        "created": moment(record.created_ms).isoformat(timespec="seconds"),
        "deletion_date": None if record.deletion_ms is None else moment(record.deletion_ms).isoformat(timespec="seconds"),
        "description": record.description,
        "materials": len(record.materials),
    }


def _text(value: str | list[str] | None) -> str:
    return ", ".join(value) if isinstance(value, list) else value or ""


@keys.command()
def dependents(
    key: KeyArgument,
    list_names: Annotated[bool, typer.Option("--list", help="Also name every version and unfinished upload.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """What becomes unreadable if this key goes: versions, bytes and unfinished uploads by bucket."""
    listed: list[dict[str, Any]] | None = [] if list_names and as_json else None

    async def work(lower: LowerRooms) -> tuple[str, Counts]:
        from strongroom.kms.operating import Operating

        arn = (await Operating(lower.keys.ring).find(key)).name.arn
        return arn, await _counted(lower, arn, names=list_names, listed=listed)

    arn, counts = with_rooms(data, config, work)
    if as_json:
        document = {"key": arn, **_summed(counts)} | ({} if listed is None else {"dependents": listed})
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(arn, counts)


async def _counted(lower: LowerRooms, arn: str, *, names: bool, listed: list[dict[str, Any]] | None = None) -> Counts:
    """Names are printed as they are found, or put into ``listed``."""
    from strongroom.s3.dependents import Counts, Dependents

    counts = Counts()
    with Far("rows") as far:
        async for found in Dependents(lower.rooms).walk(arn, counts):
            far.to(counts.rows, None, found.bucket)
            if listed is not None:
                listed.append(asdict(found))
            elif names:
                what = f"upload {found.upload_id}" if found.upload_id else f"version {found.version_id}  {found.size} bytes"
                typer.echo(f"{found.bucket}/{one_line(found.object_key)}  {what}")
    return counts


def _summed(counts: Counts) -> dict[str, Any]:
    return {
        "versions": counts.versions,
        "bytes": counts.size,
        "uploads": counts.uploads,
        "buckets": {
            name: {"versions": each.versions, "bytes": each.size, "uploads": each.uploads, "default": each.default}
            for name, each in sorted(counts.buckets.items())
        },
    }


def _show(arn: str, counts: Counts) -> None:
    if not counts.buckets:
        typer.echo(f"Nothing depends on {arn}.")
        return
    rows = [
        (name, str(each.versions), str(each.size), str(each.uploads), "yes" if each.default else "")
        for name, each in sorted(counts.buckets.items())
    ]
    rows.append(("all", str(counts.versions), str(counts.size), str(counts.uploads), ""))
    print_table(("bucket", "versions", "bytes", "unfinished uploads", "its default key"), rows)


@keys.command()
def delete(
    key: KeyArgument,
    window_days: Annotated[int, typer.Option(min=7, max=30, help="Days until the key is gone for good.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what depends on the key.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Schedule the deletion of a key, after showing what depends on it. Until its date it can be cancelled by its account."""
    with_rooms(data, config, lambda lower: _delete(lower, key, window_days, ask=not yes, dry_run=dry_run))


async def _delete(lower: LowerRooms, key: str, window_days: int, *, ask: bool, dry_run: bool) -> None:
    from strongroom.kms.operating import Operating, check_deletable

    operating = Operating(lower.keys.ring)
    record = await operating.find(key)
    check_deletable(record)
    arn = record.name.arn
    _show(arn, await _counted(lower, arn, names=False))
    if dry_run:
        return
    if ask:
        typer.confirm(f"Delete {arn} in {window_days} days, and make all this unreadable?", abort=True, err=True)
    date = await operating.schedule_deletion(record.name, window_days)
    typer.echo(f"{arn} is disabled now, and is deleted on {date.isoformat(timespec='seconds')}.")
