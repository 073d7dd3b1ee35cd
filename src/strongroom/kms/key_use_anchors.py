"""Which chains of the key-use record there are, kept in the catalog: so that a chain whose files are gone is missed.

Written when a chain begins and when it ends, not for its lines: a change here makes every worker's memory start anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.store.contract import Claim

if TYPE_CHECKING:
    from strongroom.store.contract import Catalog, Transaction

CHAIN_KIND: Final = "key-use-chain"
_SCOPE: Final = "key-use/"
_PAGE: Final = 1000


async def keep_head(catalog: Catalog, chain_id: str, sealed_head: bytes) -> None:
    """Keep how far a chain has come. Raises StoreError."""
    text = sealed_head.decode("ascii")

    def work(transaction: Transaction) -> None:
        transaction.note(_SCOPE + chain_id, CHAIN_KIND, text)

    await catalog.write(work, Claim.DELETE)  # a server must start on a full disk too, or nobody could delete anything


async def kept_heads(catalog: Catalog) -> dict[str, bytes]:
    """The sealed head of every chain, by chain id. Raises StoreError."""
    found: dict[str, bytes] = {}
    after = ""
    while True:
        rows = await catalog.documents(CHAIN_KIND, prefix=_SCOPE, after=after, limit=_PAGE)
        found |= {scope.removeprefix(_SCOPE): str(value).encode() for scope, value in rows}
        if len(rows) < _PAGE:
            return found
        after = rows[-1][0]
