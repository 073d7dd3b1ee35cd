"""Puts back from a key backup what a data folder has lost, and nothing else: what is there stays, unless it is forced.

Never brings back what was taken away on purpose: a destroyed key, a deleted alias or access key. Never knows the backup's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from strongroom.config import Config, parse_key_form
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.records import KEY_KIND, TOMBSTONE_KIND
from strongroom.startup import StartError, folder, now
from strongroom.startup.key_backup import MATERIAL, Backup, Document
from strongroom.startup.root_key import KIND, SCOPE, Subkeys, check_root_key
from strongroom.startup.sealing import open_root_key, write_root_key
from strongroom.store.contract import Transaction
from strongroom.store.sqlite import FILE as CATALOG_FILE
from strongroom.store.sqlite import SqliteCatalog

_MAY_BE_THERE: Final = frozenset({folder.ROOT_KEY_FILE, folder.LOCK_FILE, folder.CREDENTIALS_FILE, "blobs", "lost+found"})
#: What became of a document.
Fate = Literal["restored", "there", "different", "newer", "destroyed", "removed", "replaced"]


@dataclass(slots=True)
class Restored:
    root_key: Literal["restored", "there", "replaced"] = "there"
    documents: Counter[tuple[str, Fate]] = field(default_factory=Counter[tuple[str, Fate]])  # by kind and fate


async def restore(config: Config, backup: Backup, *, force: bool) -> Restored:
    """With the lock on the folder held: no server may run. Raises StartError, before anything is written; StoreError."""
    path = config.data_dir
    if not (path / CATALOG_FILE).exists():
        _check_strangers(config)
    else:
        await _check_same_data(config, backup, force=force)
    done = Restored(_root_key(config, backup, force=force))
    catalog = SqliteCatalog.open(path)
    try:
        await catalog.write(lambda transaction: _put_back(transaction, backup, done, force=force))
        await check_root_key(catalog, backup.root_key)
    finally:
        await catalog.close()
    return done


def _check_strangers(config: Config) -> None:
    strange = {each.name for each in config.data_dir.iterdir()} - _MAY_BE_THERE
    if any(not name.startswith((CATALOG_FILE.partition(".")[0], folder.ROOT_KEY_FILE)) for name in strange):
        raise StartError(f"{config.data_dir} is not empty and is no data folder of Strongroom's: choose another")


async def _check_same_data(config: Config, backup: Backup, *, force: bool) -> None:
    """A backup of other data is refused, forced or not: nothing here would open any more."""
    catalog = SqliteCatalog.open(config.data_dir)
    try:
        if await catalog.document(SCOPE, KIND) is not None:
            try:
                await check_root_key(catalog, backup.root_key)
            except StartError:
                if not force or not await _opens(catalog, backup):
                    raise StartError(f"the backup is not of the data in {config.data_dir}: nothing was restored") from None
        elif not await _opens(catalog, backup):
            raise StartError(f"the backup is not of the data in {config.data_dir}: nothing was restored")
    finally:
        await catalog.close()


async def _opens(catalog: SqliteCatalog, backup: Backup) -> bool:
    """Whether all of S3's own keys that are there open under the backup's root key."""
    faults = await DataKeys(catalog, Subkeys.of(backup.root_key).kms, now).open_what_opens()
    return all(fault.missing for fault in faults)


def _root_key(config: Config, backup: Backup, *, force: bool) -> Literal["restored", "there", "replaced"]:
    form = parse_key_form(config.root_key)
    path = config.data_dir / folder.ROOT_KEY_FILE
    if form.in_folder and not path.exists():
        write_root_key(config, backup.root_key, replace=False)
        return "restored"
    try:
        same = open_root_key(config) == backup.root_key
    except StartError:
        if not (form.in_folder and force):
            raise
        same = False
    if same:
        return "there"
    if not form.in_folder:
        raise StartError(f"{config.root_key} gives another root key than the backup: nothing was restored")
    if not force:
        raise StartError(f"{path} holds another root key than the backup: nothing was restored (--force replaces it)")
    write_root_key(config, backup.root_key, replace=True)
    return "replaced"


def _put_back(transaction: Transaction, backup: Backup, done: Restored, *, force: bool) -> None:
    fresh = not any(transaction.documents(kind, limit=1) for kind in MATERIAL)
    for each in backup.documents:
        there = transaction.document(each.scope, each.kind)
        fate = _fate(each, there, transaction.document, fresh=fresh, force=force)
        done.documents[each.kind, fate] += 1
        if fate in {"restored", "replaced"}:
            transaction.set_document(each.scope, each.kind, each.value)
            if each.kind == KEY_KIND and transaction.document(each.scope, TOMBSTONE_KIND) is not None:
                transaction.set_document(each.scope, TOMBSTONE_KIND, None)


def _fate(each: Document, there: Any, find: Callable[[str, str], Any], *, fresh: bool, force: bool) -> Fate:
    if there == each.value:
        return "there"
    if there is not None:
        if each.kind == KEY_KIND and not _materials(there) <= _materials(each.value):
            return "newer"  # forced or not: what was wrapped under its later material would be lost
        return "replaced" if force else "different"
    if fresh or force:
        return "restored"
    if each.kind not in MATERIAL:
        return "removed"
    return "destroyed" if each.kind == KEY_KIND and find(each.scope, TOMBSTONE_KIND) is not None else "restored"


def _materials(value: Any) -> set[str]:
    """Ids of the key materials in a key's document; none in one that is damaged."""
    try:
        return {str(each["id"]) for each in value["materials"]}
    except (KeyError, TypeError):
        return set()


def newer(backup: Backup, document: Document) -> bool:
    """Whether a document of the data folder holds key material that the backup does not."""
    kept = {(each.kind, each.scope): each.value for each in backup.documents}.get((document.kind, document.scope))
    if kept is None:
        return True
    return document.kind == KEY_KIND and not _materials(document.value) <= _materials(kept)
