"""Deletions of keys that were scheduled and not yet told to the log: a queue of documents, written with the schedule itself.

So that whoever does upkeep can count what becomes unreadable after the answer has been given, and a crash loses no line.
Never knows what is encrypted under a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.kms.names import KeyName

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog, Transaction

NOTICE_KIND: Final = "kms-deletion-notice"


def announce(transaction: Transaction, name: KeyName) -> None:
    transaction.note(name.scope, NOTICE_KIND, {"announced": True})


async def next_notice(catalog: Catalog) -> KeyName | None:
    """The key whose deletion is to be told next; ``told`` takes it off the queue."""
    found = await catalog.documents(NOTICE_KIND, prefix="kms/", limit=1)
    return KeyName(*found[0][0].split("/")[1:4]) if found else None


async def told(catalog: Catalog, name: KeyName) -> None:
    await catalog.write(lambda transaction: transaction.note(name.scope, NOTICE_KIND, None))
