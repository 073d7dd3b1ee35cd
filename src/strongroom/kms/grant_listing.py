"""ListGrants and ListRetirableGrants: all grants of a key, and all that a principal may retire in a Region.

Never knows what grants are good for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, find
from strongroom.kms.grant_records import (
    GRANT_KIND,
    GRANTEE_KIND,
    RETIRING_KIND,
    GrantRecord,
    grantee_scope,
    grants_scope,
    read_rows,
    retirable_scope,
)
from strongroom.kms.grants import checked_grant_id, invalid_principal
from strongroom.kms.names import KeyName
from strongroom.kms.paging import Markers, limit
from strongroom.kms.principals import account_of, root_of
from strongroom.kms.records import milliseconds, moment
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.kms.ring import KeyRing

LIST: Final = Use("ListGrants", "kms:ListGrants", foreign=True)
LIST_RETIRABLE: Final = Use("ListRetirableGrants", "kms:ListRetirableGrants")


class GrantListing:
    def __init__(self, ring: KeyRing, markers: Markers) -> None:
        self._ring = ring
        self._markers = markers

    @operation("kms", "ListGrants", "kms:ListGrants", on="run")
    async def list_grants(self, call: Call) -> Answer:
        size = limit(call, 50, 100)
        if call.input.get("GranteeServicePrincipal") is not None:
            raise refusals.unsupported("GranteeServicePrincipal")
        only: str | None = call.input.get("GrantId")
        grantee: str | None = call.input.get("GranteePrincipal")
        if only is not None:
            checked_grant_id(only)
        key = (record := await find(self._ring, call, LIST)).name
        check_state(record, LIST.operation)
        within = f"{key.arn} {only or ''} {grantee or ''}"
        after = self._markers.read(call, within=within)
        if only is not None:
            grants = [grant for grant in await self._grants([(key, only)]) if grantee in {None, grant.terms.grantee}]
        elif grantee is not None:
            grants = await self._of_grantee(key, grantee, after, size + 1)
        else:
            prefix = grants_scope(key)
            rows = await self._ring.catalog.documents(GRANT_KIND, prefix=prefix, after=prefix + after, limit=size + 1)
            grants = await read_rows(self._ring.catalog, key, prefix, rows)
        return self._page(call, grants, size, within, lambda grant: grant.grant_id)

    @operation("kms", "ListRetirableGrants", "kms:ListRetirableGrants", on="service")
    async def list_retirable_grants(self, call: Call) -> Answer:
        """Grants on keys of any account, as long as the retiring principal is one of the caller's."""
        size = limit(call, 50, 100)
        if call.input.get("RetiringServicePrincipal") is not None:
            raise refusals.unsupported("RetiringServicePrincipal")
        retiring: str | None = call.input.get("RetiringPrincipal")
        if retiring is None:
            raise refusals.invalid("You must specify either RetiringPrincipal or RetiringServicePrincipal.")
        account_id = account_of(retiring)
        if account_id is None:
            raise invalid_principal(retiring)
        if account_id != call.caller.account_id:
            raise refusals.hidden(call.caller, LIST_RETIRABLE.action)
        after = self._markers.read(call, within=retiring)
        grants = await self._retirable(call, retiring, after, size + 1)
        return self._page(call, grants, size, retiring, lambda grant: _place(grant.key, grant.grant_id))

    async def _of_grantee(self, key: KeyName, grantee: str, after: str, count: int) -> list[GrantRecord]:
        prefix = grantee_scope(key, grantee)
        rows = await self._ring.catalog.documents(GRANTEE_KIND, prefix=prefix, after=prefix + after, limit=count)
        return await read_rows(self._ring.catalog, key, prefix, rows)

    async def _retirable(self, call: Call, retiring: str, after: str, count: int) -> list[GrantRecord]:
        """At least ``count`` grants behind ``after``, if there are so many, on keys that are not gone."""
        prefix = retirable_scope(call.region, retiring)
        now_ms = milliseconds(call.now)
        place, found, more = prefix + after, list[GrantRecord](), True
        while more and len(found) < count:
            rows = await self._ring.catalog.documents(RETIRING_KIND, prefix=prefix, after=place, limit=count)
            wanted: list[tuple[KeyName, str]] = []
            for scope, _ in rows:
                account_id, key_id, grant_id = scope.removeprefix(prefix).split("/")
                name = KeyName(account_id, call.region, key_id)
                if await self._ring.key(name, now_ms) is not None:
                    wanted.append((name, grant_id))
            found += await self._grants(wanted)
            more = len(rows) == count
            place = rows[-1][0] if rows else place
        return found

    async def _grants(self, wanted: list[tuple[KeyName, str]]) -> list[GrantRecord]:
        """Those that are (still) there."""
        rows = [
            (key, grant_id, await self._ring.catalog.document(grants_scope(key) + grant_id, GRANT_KIND))
            for key, grant_id in wanted
        ]
        return [GrantRecord.read(key, grant_id, value) for key, grant_id, value in rows if value is not None]

    def _page(self, call: Call, grants: list[GrantRecord], size: int, within: str, place: Callable[[GrantRecord], str]) -> Answer:
        page = grants[:size]
        output: dict[str, Any] = {"Grants": [_entry(grant) for grant in page], "Truncated": len(grants) > size}
        if len(grants) > size:
            output["NextMarker"] = self._markers.write(call, place(page[-1]), within=within)
        return Answer(output)


def _place(key: KeyName, grant_id: str) -> str:
    return f"{key.account_id}/{key.key_id}/{grant_id}"


def _entry(grant: GrantRecord) -> dict[str, Any]:
    said = grant.terms
    entry: dict[str, Any] = {
        "KeyId": grant.key.arn,
        "GrantId": grant.grant_id,
        "Name": said.name,
        "CreationDate": moment(grant.created_ms),
        "GranteePrincipal": said.grantee,
        "IssuingAccount": root_of(said.issuing_account),
        "Operations": list(said.operations),
    }
    if said.retiring is not None:
        entry["RetiringPrincipal"] = said.retiring
    constraints = said.constraints.output()
    if constraints:
        entry["Constraints"] = constraints
    return entry
