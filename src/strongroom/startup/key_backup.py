"""A backup of the keys: the root key and every record of wrapped key material, sealed under a passphrase, in one file.

It holds what a data folder cannot be opened without, and no object. Never knows what the keys are for.
``docs/spec/key-backup.md``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from strongroom.iam.records import ACCESS_KEY, ACCOUNT, ACCOUNT_NAME, CANONICAL_ID
from strongroom.kms.records import ALIAS_KIND, KEY_KIND, TOMBSTONE_KIND
from strongroom.kms.service_keys import SERVICE_KEY_KIND
from strongroom.seal import Forged, NotOurs, SealError, Unsupported
from strongroom.seal import passphrase as sealed_bytes
from strongroom.startup import StartError
from strongroom.startup.folder import ROOT_KEY_SIZE, write_secret
from strongroom.startup.root_key import KIND as CHECK_KIND
from strongroom.store.contract import Catalog

MAGIC: Final = b"SRBK"
FORMAT: Final = 1
#: Documents without which something cannot be opened.
MATERIAL: Final = (CHECK_KIND, SERVICE_KEY_KIND, KEY_KIND)
#: Documents by which the keys are found, and the secrets of those who may ask.
COMPANIONS: Final = (ALIAS_KIND, TOMBSTONE_KIND, ACCOUNT, ACCOUNT_NAME, CANONICAL_ID, ACCESS_KEY)
_PAGE: Final = 500
_MOST: Final = 1 << 30  # bytes of a file


@dataclass(frozen=True, slots=True)
class Document:
    kind: str
    scope: str
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Backup:
    created_ms: int
    root_key: bytes = field(repr=False)  # 32 bytes
    documents: tuple[Document, ...] = field(repr=False)

    def encode(self) -> bytes:
        document = {
            "format": FORMAT,
            "created_ms": self.created_ms,
            "root_key": self.root_key.hex(),
            "documents": [{"kind": each.kind, "scope": each.scope, "value": each.value} for each in self.documents],
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises Unsupported, NotOurs."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise Unsupported(f"format {document['format']}")
            found = cls(
                int(document["created_ms"]),
                bytes.fromhex(document["root_key"]),
                tuple(Document(str(each["kind"]), str(each["scope"]), each["value"]) for each in document["documents"]),
            )
        except (ValueError, KeyError, TypeError):
            raise NotOurs("its contents are not those of a key backup") from None
        if len(found.root_key) != ROOT_KEY_SIZE or {each.kind for each in found.documents} - {*MATERIAL, *COMPANIONS}:
            raise NotOurs("its contents are not those of a key backup")
        return found


async def take(catalog: Catalog, root_key: bytes, now_ms: int) -> Backup:
    """Everything that is there now, by kind and scope."""
    documents = [each async for each in every_document(catalog, (*MATERIAL, *COMPANIONS))]
    return Backup(now_ms, root_key, tuple(documents))


async def every_document(catalog: Catalog, kinds: tuple[str, ...]) -> AsyncIterator[Document]:
    for kind in kinds:
        after = ""
        while page := await catalog.documents(kind, after=after, limit=_PAGE):
            for scope, value in page:
                yield Document(kind, scope, value)
            after = page[-1][0]


def write(path: Path, backup: Backup, passphrase: bytes, *, force: bool = False) -> None:
    """The whole file or none; what was written is opened before it takes its name. Raises StartError."""
    if path.exists() and not force:
        raise StartError(f"{path} exists already: name another file, or replace it with --force")

    def check(written: bytes) -> None:
        if _opened(path, written, passphrase) != backup:
            raise StartError(f"{path}: what was written is not what is read: no backup was made")

    try:
        write_secret(path, sealed_bytes.seal(MAGIC, passphrase, backup.encode()), replace=True, check=check)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None


def read(path: Path, ask: Callable[[], bytes]) -> Backup:
    """``ask`` gives the passphrase, and is asked only for a file that is a backup. Raises StartError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    try:
        sealed_bytes.check(MAGIC, data)
    except SealError as error:
        raise _refused(path, error) from None
    return _opened(path, data, ask())


def _opened(path: Path, data: bytes, passphrase: bytes) -> Backup:
    try:
        return Backup.decode(sealed_bytes.unseal(MAGIC, passphrase, data))
    except SealError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: SealError) -> StartError:
    if isinstance(error, Forged):
        return StartError(f"{path} does not open: the passphrase is wrong, or the file was changed")
    if isinstance(error, Unsupported):
        return StartError(f"{path} cannot be read by this version of Strongroom: {error}")
    if isinstance(error, NotOurs):
        return StartError(f"{path} is not a key backup of Strongroom's: {error}")
    return StartError(f"{path} is damaged: {error}")
