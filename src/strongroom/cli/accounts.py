"""``strongroom account``: make and list accounts. A running server knows a new one at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from strongroom.cli.folder import DEFAULT_DATA, DataOption, opened
from strongroom.iam.identities import Account, Identities, NewAccount

app = typer.Typer(help="Make and list accounts.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="A name for people.")],
    *,
    account_id: Annotated[str | None, typer.Option("--id", help="12 digits; random if not given.")] = None,
    canonical_id: Annotated[str | None, typer.Option("--canonical-id", help="64 hexadecimal digits; random if not given.")] = None,
    email: Annotated[str | None, typer.Option("--email")] = None,
    access_key_id: Annotated[str | None, typer.Option("--access-key-id", help="Random if not given.")] = None,
    secret_access_key: Annotated[str | None, typer.Option("--secret-access-key", help="Random if not given.")] = None,
    as_json: JsonOption = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Make an account with root credentials. The secret is shown this once."""

    async def work() -> NewAccount:
        async with opened(data) as folder:
            return await Identities(folder.catalog, folder.subkeys.iam).create_account(
                name,
                account_id=account_id,
                canonical_id=canonical_id,
                email=email,
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
            )

    made = asyncio.run(work())
    shown = {**_shown(made), "access_key_id": made.access_key_id, "secret_access_key": made.secret_access_key}
    if as_json:
        print(json.dumps(shown))
    else:
        for label, value in shown.items():
            print(f"{label}: {value}")


@app.command("list")
def list_(*, as_json: JsonOption = False, data: DataOption = DEFAULT_DATA) -> None:
    """All accounts, without secrets."""

    async def work() -> list[Account]:
        async with opened(data) as folder:
            return await Identities(folder.catalog, folder.subkeys.iam).accounts()

    accounts = asyncio.run(work())
    if as_json:
        print(json.dumps([_shown(account) for account in accounts]))
        return
    table = Table("account", "name", "email", "canonical id")
    for account in accounts:
        table.add_row(account.account_id, account.name, account.email or "", account.canonical_id)
    Console().print(table)


def _shown(account: Account | NewAccount) -> dict[str, str]:
    return {
        "account_id": account.account_id,
        "name": account.name,
        "email": account.email or "",
        "canonical_id": account.canonical_id,
    }
