"""Whether a principal that somebody names exists: the root of an account, or a user or role by its whole ARN.

Never knows who asks, or what the principal is named for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from strongroom.iam import entities, records
from strongroom.iam.entities import KINDS, Entity, Sort

if TYPE_CHECKING:
    from strongroom.store.contract import Reader

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")
_ENTITY: Final = re.compile(r"arn:aws:iam::([0-9]{12}):(user|role)/(?:[!-~]{1,510}/)?([\w+=,.@-]{1,64})", re.ASCII)


class Principals:
    def __init__(self, catalog: Reader) -> None:
        self._catalog = catalog

    async def is_named(self, sort: str, value: str) -> bool:
        """Whether a policy's principal exists: of the sort "AWS" an account id or an ARN, of "CanonicalUser" a canonical id."""
        if sort == "CanonicalUser":
            return await self._catalog.document(records.canonical_id_scope(value), records.CANONICAL_ID) is not None
        return sort == "AWS" and await self.exists(f"arn:aws:iam::{value}:root" if _ACCOUNT.fullmatch(value) else value)

    async def exists(self, principal_arn: str) -> bool:
        named = _ENTITY.fullmatch(principal_arn)
        if named is not None:
            sort: Sort = "role" if named[2] == "role" else "user"
            value = await self._catalog.document(entities.scope(named[1], sort, named[3]), KINDS[sort])
            return value is not None and Entity.from_document(named[1], sort, value).arn == principal_arn
        found = _ROOT.fullmatch(principal_arn)
        if found is None:
            return False
        return await self._catalog.document(records.account_scope(found[1]), records.ACCOUNT) is not None
