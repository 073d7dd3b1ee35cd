"""``strongroom account``: accounts are made and listed in the catalog itself, whether a server runs on it or not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from strongroom.cli.settings import ConfigOption, DataOption, configured
from strongroom.cli.tables import print_table
from strongroom.iam.identities import Account, Identities

T = TypeVar("T")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

account = typer.Typer(help="Accounts: make them, list them.", no_args_is_help=True)


@account.command()
def create(
    name: Annotated[str, typer.Argument(help="A name for people; no other account may have it.")],
    account_id: Annotated[str | None, typer.Option("--id", help="12 digits; random if not given.", show_default=False)] = None,
    canonical_id: Annotated[str | None, typer.Option(help="64 hexadecimal digits.", show_default=False)] = None,
    email: Annotated[str | None, typer.Option(help="For people only.", show_default=False)] = None,
    access_key_id: Annotated[str | None, typer.Option(help="Of its root; random if not given.", show_default=False)] = None,
    secret_access_key: Annotated[
        str | None, typer.Option(help="Random if not given; - reads it from standard input.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an account with one access key, which is printed this once. A running server knows it at once."""
    if secret_access_key == "-":  # noqa: S105 - other processes can see what stands in the command
        secret_access_key = sys.stdin.readline().rstrip("\r\n")

    def work(identities: Identities) -> Awaitable[dict[str, str]]:
        return _create(
            identities,
            name,
            account_id=account_id,
            canonical_id=canonical_id,
            email=email,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
        )

    made = _with_identities(data, config, work)
    if as_json:
        typer.echo(json.dumps(made, indent=2))
        return
    for field, value in made.items():
        typer.echo(f"{field}: {value}")
    typer.echo("The secret access key is not shown again.", err=True)


async def _create(identities: Identities, name: str, **wanted: str | None) -> dict[str, str]:
    made = await identities.create_account(name, **wanted)
    return {**_fields(made), "access_key_id": made.access_key_id, "secret_access_key": made.secret_access_key}


@account.command("list")
def list_accounts(as_json: JsonOption = False, data: DataOption = None, config: ConfigOption = None) -> None:
    """All accounts, without secrets."""
    rows = [_fields(each) for each in _with_identities(data, config, lambda identities: identities.accounts())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    print_table(("account id", "name", "e-mail", "canonical id", "made"), [tuple(row.values()) for row in rows])


def _fields(each: Account) -> dict[str, str]:
    created = datetime.fromtimestamp(each.created_ms / 1000, UTC).isoformat(timespec="seconds")
    return {
        "account_id": each.account_id,
        "name": each.name,
        "email": each.email,
        "canonical_id": each.canonical_id,
        "created": created,
    }


def _with_identities(data: Path | None, config: Path | None, work: Callable[[Identities], Awaitable[T]]) -> T:
    """Open the catalog of the data folder, after its root key has been checked. Raises StartError, IdentityError, StoreError."""
    settings = configured(config, data_dir=data)
    folder_path = settings.data_dir
    from strongroom.startup import folder
    from strongroom.startup.root_key import Subkeys, check_root_key
    from strongroom.startup.sealing import open_root_key
    from strongroom.store.sqlite import SqliteCatalog

    os.umask(0o077)
    folder.require_existing(folder_path)
    root_key = open_root_key(settings)

    async def run() -> T:
        catalog = SqliteCatalog.open(folder_path)
        try:
            await check_root_key(catalog, root_key)
            return await work(Identities(catalog, Subkeys.of(root_key).iam))
        finally:
            await catalog.close()

    return asyncio.run(run())
