"""``strongroom audit``: the key-use record is checked, listed and exported, whether a server runs on the folder or not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from strongroom.cli.settings import ConfigOption, DataOption, configured
from strongroom.cli.tables import print_table

if TYPE_CHECKING:
    from strongroom.kms.key_use_audit import Audit, Line, Report

audit = typer.Typer(help="The record of every use of a key: check it, list it, export it.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="Only this key: its ARN or its id.", show_default=False)]
ObjectOption = Annotated[
    str | None,
    typer.Option("--object", help="Only this object: BUCKET/KEY or its ARN; BUCKET alone for all in it.", show_default=False),
]
SinceOption = Annotated[
    str | None, typer.Option(help="Only from here on: 2026-01-31T12:00, or 90s, 15m, 2h, 7d ago.", show_default=False)
]
UntilOption = Annotated[str | None, typer.Option(help="Only before this; the same forms.", show_default=False)]
_AGO: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_S3: Final = "arn:aws:s3:::"


@audit.command()
def verify(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """Check every line and every chain; exit code 1 when something was edited, removed, reordered or put in."""
    report = _opened(data, config).verify()
    if as_json:
        typer.echo(json.dumps({name: getattr(report, name) for name in report.__slots__}, indent=2))
    else:
        rows = [("good", f"{report.uses} uses in {report.lines} lines, {report.files} files, {report.chains} chains")]
        rows += [("notice", text) for text in report.notices] + [("bad", text) for text in report.faults]
        print_table(("", ""), rows, {"good": "green", "notice": "yellow", "bad": "bold red"})
    if report.faults:
        raise typer.Exit(1)


@audit.command("list")
def list_uses(
    key: KeyOption = None,
    object_: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Uses of keys, oldest first. Each line is checked as it is read; exit code 1 when the record is not whole."""
    wanted = _Wanted.of(key, object_, since, until)
    opened = _opened(data, config)
    if as_json:
        for line in wanted.among(opened.lines()):
            typer.echo(json.dumps({"chain": line.chain_id, **line.entry}, ensure_ascii=False))
    else:
        headings = ("time", "operation", "outcome", "key", "principal", "resource", "version", "cause", "kms", "from", "request")
        print_table(headings, [_row(line.entry) for line in wanted.among(opened.lines())])
    _end(opened.report)


@audit.command()
def export(
    key: KeyOption = None,
    object_: ObjectOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """The same in the shape of CloudTrail's log files, on standard output. Exit code 1 when the record is not whole."""
    wanted = _Wanted.of(key, object_, since, until)
    opened = _opened(data, config)
    from strongroom.kms.key_use_trail import event

    before = '{"Records":['
    for line in wanted.among(opened.lines()):
        sys.stdout.write(before + json.dumps(event(line), ensure_ascii=False))
        before = ",\n"
    sys.stdout.write(f"{before}]}}\n" if before.startswith("{") else "]}\n")
    _end(opened.report)


class _Wanted(NamedTuple):
    """What a line must have to be shown. Times in the form of the record, which sorts as text."""

    key: str | None
    resource: str | None
    since: str | None
    until: str | None

    @classmethod
    def of(cls, key: str | None, object_: str | None, since: str | None, until: str | None) -> _Wanted:
        resource = None if object_ is None else _S3 + object_.removeprefix(_S3)
        return cls(key, resource, _moment(since, "--since"), _moment(until, "--until"))

    def among(self, lines: Iterator[Line]) -> Iterator[Line]:
        return (line for line in lines if self._has(line.entry))

    def _has(self, entry: dict[str, Any]) -> bool:
        if self.since is not None and entry["time"] < self.since:
            return False
        if self.until is not None and entry["time"] >= self.until:
            return False
        if self.key is not None and self.key not in {entry["key"], entry["key"].rpartition("/")[2]}:
            return False
        if self.resource is None:
            return True
        found: str = entry.get("resource", "")
        whole_bucket = "/" not in self.resource
        return found == self.resource or (whole_bucket and found.startswith(f"{self.resource}/"))


def _moment(text: str | None, option: str) -> str | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        at = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text} is no time", param_hint=option) from None
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    outcome = entry["outcome"] + (f": {entry['reason']}" if "reason" in entry else "")
    kms = "called" if entry["kms"] else "not called"
    return (
        entry["time"],
        entry["operation"],
        outcome,
        entry["key"],
        entry["principal"] or "anonymous",
        entry.get("resource", ""),
        entry.get("version", ""),
        entry["cause"],
        kms,
        entry["source_ip"],
        entry["request_id"],
    )


def _end(report: Report) -> None:
    if report.faults:
        typer.echo(f"strongroom: the record is not whole ({len(report.faults)} faults): run  strongroom audit verify", err=True)
        raise typer.Exit(1)


def _opened(data: Path | None, config: Path | None) -> Audit:
    """Raises StartError, StoreError."""
    settings = configured(config, data_dir=data)
    folder_path = settings.data_dir
    from strongroom.kms.key_use_anchors import kept_heads
    from strongroom.kms.key_use_audit import Audit
    from strongroom.startup import folder
    from strongroom.startup.root_key import Subkeys, check_root_key
    from strongroom.startup.sealing import open_root_key
    from strongroom.store.sqlite import SqliteCatalog

    os.umask(0o077)
    folder.require_existing(folder_path)
    root_key = open_root_key(settings)

    async def kept() -> dict[str, bytes]:
        catalog = SqliteCatalog.open(folder_path)
        try:
            await check_root_key(catalog, root_key)
            return await kept_heads(catalog)
        finally:
            await catalog.close()

    return Audit(folder_path, Subkeys.of(root_key).key_use, asyncio.run(kept()))
