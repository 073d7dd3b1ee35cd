"""Whether the root key is the one this catalog was made under, and the subkeys of the rooms.

A catalog keeps one small record sealed under a subkey of the root key. Another key cannot open it, so a wrong root key is
found before anything is read or written with it. Never knows what the subkeys seal.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final, Self

from strongroom.seal import SealError
from strongroom.seal.wrap import Records, derive
from strongroom.startup import StartError
from strongroom.store.contract import Catalog, Transaction

SCOPE: Final = "server"
KIND: Final = "root-key-check"
_LABEL: Final = "strongroom/root-key-check"
_FORMAT: Final = 1
_KNOWN: Final = b"this catalog was made under this root key"
_PLACE: Final = b"strongroom/root-key-check/1"
#: No catalog holds one of these before it holds the check.
_DATA_KINDS: Final = ("account", "service-key")


@dataclass(frozen=True, slots=True)
class Subkeys:
    """32 bytes each, one for each room that keeps secrets."""

    iam: bytes = field(repr=False)
    kms: bytes = field(repr=False)
    key_use: bytes = field(repr=False)

    @classmethod
    def of(cls, root_key: bytes) -> Self:
        labels = ("strongroom/iam", "strongroom/kms", "strongroom/key-use")
        return cls(*(derive(root_key, label) for label in labels))


async def check_root_key(catalog: Catalog, root_key: bytes) -> None:
    """Raises StartError when the catalog was made under another root key."""
    _open(await catalog.document(SCOPE, KIND), root_key)


async def ensure_root_key_check(catalog: Catalog, root_key: bytes) -> None:
    """As ``check_root_key``; a catalog that holds nothing yet is bound to this root key. Raises StartError."""
    if await catalog.document(SCOPE, KIND) is None:
        sealed = Records(derive(root_key, _LABEL)).seal(_KNOWN, _PLACE)
        document = {"format": _FORMAT, "sealed": base64.b64encode(sealed).decode("ascii")}

        def work(transaction: Transaction) -> None:
            if transaction.document(SCOPE, KIND) is not None:
                return
            if any(transaction.documents(kind, limit=1) for kind in _DATA_KINDS):
                raise StartError("the catalog holds data but nothing to check the root key by: it is damaged")
            transaction.set_document(SCOPE, KIND, document)

        await catalog.write(work)
    await check_root_key(catalog, root_key)


def _open(document: Any | None, root_key: bytes) -> None:
    if document is None:
        raise StartError("the catalog holds nothing to check the root key by: start a server on this folder first")
    try:
        if document["format"] != _FORMAT:
            raise StartError("the root key check has an unknown format: a newer Strongroom is needed")
        opened = Records(derive(root_key, _LABEL)).open(base64.b64decode(document["sealed"], validate=True), _PLACE)
    except (SealError, ValueError, KeyError, TypeError):
        raise StartError("root.key is not the key this data was made under: put the right root.key back") from None
    if opened != _KNOWN:
        raise StartError("the root key check is damaged")
