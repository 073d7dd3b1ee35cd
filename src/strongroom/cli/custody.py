"""``strongroom keys seal-root``, ``backup``, ``restore`` and ``drill``: how the root key is kept, and how keys are not lost."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli.progress import Far
from strongroom.cli.settings import ConfigOption, DataOption, RootKeyOption, configured
from strongroom.config import Config, ConfigError, KeyForm, SecretPlace, parse_key_form, parse_secret_place

if TYPE_CHECKING:
    from strongroom.startup.drill import Drill
    from strongroom.startup.key_backup import Backup

ToOption = Annotated[str, typer.Option("--to", help="The new form: file, passphrase:…, credential:NAME or fd:N.", metavar="FORM")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The key backup.", show_default=False)]
PassphraseOption = Annotated[
    str,
    typer.Option(
        "--passphrase", help="Where it comes from: prompt, file:PATH, fd:N, env:NAME or credential:NAME.", metavar="PLACE"
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_WHAT = "key backup"
_SAMPLE = 1000


def seal_root(to: ToOption, root_key: RootKeyOption = None, data: DataOption = None, config: ConfigOption = None) -> None:
    """Change how the root key is kept. The key stays the same, so no object is rewritten; a running server goes on.

    To a credential or descriptor: it must give this very root key, then the file is removed.
    """
    settings = configured(config, data_dir=data, root_key=root_key)
    try:
        form = parse_key_form(to)
    except ValueError as error:
        raise ConfigError(f"--to {error}") from None
    from strongroom.startup.sealing import change_sealing

    change_sealing(settings, to, proven_root_key(settings))
    typer.echo(_said(form, to))
    if to != settings.root_key:
        typer.echo(f'Before the next start, set  root_key = "{to}"', err=True)


def proven_root_key(settings: Config) -> bytes:
    """The root key, which was found to be the one of this data. Raises StartError, StoreError."""
    from strongroom.startup import folder
    from strongroom.startup.root_key import check_root_key
    from strongroom.startup.sealing import open_root_key
    from strongroom.store.sqlite import SqliteCatalog

    folder.require_existing(settings.data_dir)
    root_key = open_root_key(settings)

    async def check() -> None:
        catalog = SqliteCatalog.open(settings.data_dir)
        try:
            await check_root_key(catalog, root_key)
        finally:
            await catalog.close()

    asyncio.run(check())
    return root_key


def _said(form: KeyForm, to: str) -> str:
    if form.form == "file":
        return "The root key is a plain file now: who has it and the data has everything."
    if form.form == "passphrase":
        return "The root key is sealed with the passphrase now. What the disk still holds of an earlier plain file is not wiped."
    return f"{to} gives the root key of this data, and nothing in the data folder does any more."


# ------------------------------------------------------------------------------------------------------------------ backup


def backup(
    file: FileArgument,
    place: PassphraseOption = "prompt",
    force: ForceOption = False,
    root_key: RootKeyOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Seal the root key and all wrapped key material into a file, under a passphrase. Holds no object. A server may run."""
    settings = configured(config, data_dir=data, root_key=root_key)
    found_at = _place(place)
    from strongroom.startup import key_backup
    from strongroom.startup.passphrase import passphrase

    os.umask(0o077)
    taken, faults = asyncio.run(_taken(settings))
    key_backup.write(file, taken, passphrase(found_at, new=True, what=_WHAT), force=force)
    kinds = [each.kind for each in taken.documents]
    typer.echo(
        f"{file}: the root key, {kinds.count('kms-key')} KMS keys, {kinds.count('service-key')} keys of S3's, "
        f"{kinds.count('access-key')} access keys. It was opened again and is complete."
    )
    for fault in faults:
        typer.echo(f"does not open in the data folder: {fault}", err=True)
    if faults:
        raise typer.Exit(1)


async def _taken(settings: Config) -> tuple[Backup, list[str]]:
    from strongroom.kms.operating import Operating
    from strongroom.startup import now
    from strongroom.startup.key_backup import take
    from strongroom.startup.opening import LowerRooms
    from strongroom.startup.sealing import open_root_key

    root_key = open_root_key(settings)
    async with LowerRooms.opened(settings, root_key, with_faults=True) as lower:
        faults = [*lower.faults, *[fault async for fault in Operating(lower.keys.ring).faults()]]
        taken = await take(lower.catalog, root_key, int(now().timestamp() * 1000))
    return taken, [f"{fault.what}: {fault.why}" for fault in faults]


def restore(
    file: FileArgument,
    place: PassphraseOption = "prompt",
    force: ForceOption = False,
    root_key: RootKeyOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Put back a lost root key and lost key records, or make them in an empty folder. No server may run on it.

    What is there stays. The root key takes the form the settings say (--root-key).
    """
    settings = configured(config, data_dir=data, root_key=root_key)
    from strongroom.startup import StartError, folder, restoring

    kept = _read(file, place)
    os.umask(0o077)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"data folder {settings.data_dir}: {error.strerror}") from None
    with folder.locked(settings.data_dir):
        done = asyncio.run(restoring.restore(settings, kept, force=force))
    typer.echo(f"root key: {done.root_key}")
    for (kind, fate), count in sorted(done.documents.items()):
        typer.echo(f"{kind}: {count} {_FATES[fate]}")


_FATES = {
    "restored": "restored",
    "there": "there already",
    "different": "differ and were left (--force replaces them)",
    "newer": "hold newer key material and were left",
    "destroyed": "were destroyed since, and stay so (--force brings them back)",
    "removed": "were removed since, and stay so (--force brings them back)",
    "replaced": "replaced",
}


def drill(
    file: FileArgument,
    place: PassphraseOption = "prompt",
    every: Annotated[bool, typer.Option("--all", help="Try every object's key, not a sample.")] = False,
    sample: Annotated[int, typer.Option(min=1, help="About how many objects' keys are tried.")] = _SAMPLE,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Prove that the backup, by itself, opens every wrapped key of the data folder. Changes nothing; exit code 1 if it does not."""
    settings = configured(config, data_dir=data)
    kept = _read(file, place)
    from strongroom.startup.drill import drill as run

    with Far("objects") as far:
        done = asyncio.run(
            run(settings, kept, most=None if every else sample, progress=lambda count, where: far.to(count, None, where))
        )
    _show(done, as_json=as_json)
    if not done.passed:
        raise typer.Exit(1)


def _show(done: Drill, *, as_json: bool) -> None:
    objects = done.objects
    faults = [*done.faults, *objects.faults]
    counts = {
        "service_keys": done.service_keys,
        "kms_materials": done.kms_materials,
        "access_keys": done.secrets,
        "objects": objects.total,
        "objects_opened": objects.opened,
        "objects_not_tried": objects.total - objects.opened - objects.failed,
        "objects_failed": objects.failed,
        "newer_than_the_backup": done.newer,
    }
    if as_json:
        typer.echo(json.dumps({"passed": done.passed, **counts, "faults": faults}, indent=2))
        return
    for name, count in counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {count}")
    for fault in faults:
        typer.echo(f"does not open: {fault}")
    if done.newer:
        typer.echo(f"{done.newer} keys of the data folder are newer than this backup: make a new one", err=True)
    typer.echo("passed: the backup opens what was tried" if done.passed else "FAILED: the backup does not open everything")


def _read(file: Path, place: str) -> Backup:
    found_at = _place(place)
    from strongroom.startup import key_backup
    from strongroom.startup.passphrase import passphrase

    return key_backup.read(file, lambda: passphrase(found_at, what=_WHAT))


def _place(text: str) -> SecretPlace:
    try:
        return parse_secret_place(text)
    except ValueError as error:
        raise ConfigError(f"--passphrase {error}") from None
