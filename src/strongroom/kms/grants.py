"""Grants of the KMS API: created, retired, revoked.

Never knows who may what: making and revoking is asked of ``call.allow``, and who may retire stands in the grant. What a grant allows
is decided by the judge, to whom ``authorities`` brings it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import grant_records, refusals
from strongroom.kms.access import Use, authorize, check_dry_run, find, resolve
from strongroom.kms.grant_records import GrantRecord, Terms, grants_scope
from strongroom.kms.grant_terms import check_fits, terms
from strongroom.kms.principals import Principals, account_of, root_of
from strongroom.kms.questions import of_key
from strongroom.kms.records import milliseconds
from strongroom.kms.ring import read_key
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.names import KeyName
    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction

CREATE: Final = Use("CreateGrant", "kms:CreateGrant", foreign=True)
RETIRE: Final = Use("RetireGrant", "kms:RetireGrant", foreign=True)
REVOKE: Final = Use("RevokeGrant", "kms:RevokeGrant", foreign=True)
MAX_GRANTS: Final = 50_000  # per key
_GRANT_ID: Final = re.compile("[0-9a-f]{64}")


class Grants:
    def __init__(self, ring: KeyRing, tokens: GrantTokens, principals: Principals, most: int = MAX_GRANTS) -> None:
        self._ring = ring
        self._tokens = tokens
        self._principals = principals
        self._most = most

    @operation("kms", "CreateGrant", "kms:CreateGrant", on="run")
    async def create_grant(self, call: Call) -> Answer:
        """Asked again with the same name and all else the same, it answers with the grant that is there, and a new token."""
        asked = terms(call.input, call.caller.account_id)
        await self._tokens.check(call)
        named: str = call.input["KeyId"]
        record = await resolve(self._ring, call, named, CREATE, call.region)
        await authorize(call, record, CREATE, named=named, passing_on=asked, context=asked.constraints.context)
        check_state(record, CREATE.operation)
        check_fits(asked, record)
        await self._check_principals(asked)
        check_dry_run(call)
        now_ms = milliseconds(call.now)
        ids = await self._principals.ids_of(one for one in (asked.grantee, asked.retiring) if one is not None)
        fresh = GrantRecord(record.name, self._ring.random(32).hex(), now_ms, asked, ids)

        def work(transaction: Transaction) -> str:
            current = read_key(transaction, record.name, now_ms)
            if current is None:
                raise refusals.missing_key(record.name.arn)
            check_state(current, CREATE.operation)
            there = grant_records.named(transaction, record.name, asked)
            if there is not None:
                return there
            if grant_records.count(transaction, record.name) >= self._most:
                raise ApiError("LimitExceededException", f"{record.name.arn} has {self._most} grants already.")
            grant_records.add(transaction, fresh)
            return fresh.grant_id

        grant_id = await self._ring.catalog.write(work)
        return Answer({"GrantId": grant_id, "GrantToken": self._tokens.write(record.name, grant_id)})

    @operation("kms", "RetireGrant", "kms:RetireGrant", on="nobody")
    async def retire_grant(self, call: Call) -> Answer:
        """Needs no right of its own: the grant says who may, and only its issuing account is asked for one."""
        grant = await self._to_retire(call)
        await _authorize_retiring(call, grant)
        check_dry_run(call)
        await self._remove(grant)
        return Answer()

    @operation("kms", "RevokeGrant", "kms:RevokeGrant", on="run")
    async def revoke_grant(self, call: Call) -> Answer:
        grant_id = checked_grant_id(call.input["GrantId"])
        record = await find(self._ring, call, REVOKE)
        check_state(record, REVOKE.operation)
        grant = await self._grant(record.name, grant_id)
        if grant is None:
            raise missing_grant(grant_id)
        check_dry_run(call)
        await self._remove(grant)
        return Answer()

    async def _check_principals(self, asked: Terms) -> None:
        for principal in (asked.grantee, asked.retiring):
            if principal is not None and (account_of(principal) is None or not await self._principals.exists(principal)):
                raise invalid_principal(principal)

    async def _to_retire(self, call: Call) -> GrantRecord:
        """The grant that is named by a token, or by key and id. Another account's is not told from one that is not there."""
        token: str | None = call.input.get("GrantToken")
        identifier: str | None = call.input.get("KeyId")
        given: str | None = call.input.get("GrantId")
        if (token is None) == (identifier is None or given is None) or (token is not None and (identifier or given)):
            raise refusals.invalid("You must specify either a grant token, or both a key ARN and a grant ID.")
        if token is not None:
            grant = await self._tokens.grant(token)
            await resolve(self._ring, call, grant.key.arn, RETIRE, call.region)
            return grant
        grant_id = checked_grant_id(given or "")
        record = await resolve(self._ring, call, identifier or "", RETIRE, call.region)
        found = await self._grant(record.name, grant_id)
        if found is not None:
            return found
        if record.name.account_id != call.caller.account_id:
            raise refusals.hidden(call.caller, RETIRE.action)
        raise missing_grant(grant_id)

    async def _grant(self, key: KeyName, grant_id: str) -> GrantRecord | None:
        value = await self._ring.catalog.document(grants_scope(key) + grant_id, grant_records.GRANT_KIND)
        return None if value is None else GrantRecord.read(key, grant_id, value)

    async def _remove(self, grant: GrantRecord) -> None:
        def work(transaction: Transaction) -> None:
            current = grant_records.read_grant(transaction, grant.key, grant.grant_id)
            if current is None:
                raise missing_grant(grant.grant_id)
            grant_records.remove(transaction, current)

        await self._ring.catalog.write(work)


async def _authorize_retiring(call: Call, grant: GrantRecord) -> None:
    """The grant itself lets its retiring principal, and its grantee if that is among its operations; where either is an account, and for
    the account that issued it, that account's identities decide: key policies have no say. Raises ApiError AccessDenied.
    """
    said, caller = grant.terms, call.caller
    named = {said.retiring, *({said.grantee} if RETIRE.operation in said.operations else ())}
    if not caller.anonymous:
        own = {
            arn for arn in (caller.arn, caller.principal_arn) if grant.ids.get(arn) in {None, caller.user_id.partition(":")[0]}
        }
        if not named.isdisjoint(own):
            return
        if caller.account_id == said.issuing_account or root_of(caller.account_id) in named:
            await call.allow(RETIRE.action, grant.key.arn, about=of_key(call, RETIRE.action, None))
            return
    raise refusals.hidden(caller, RETIRE.action)


def checked_grant_id(grant_id: str) -> str:
    if not _GRANT_ID.fullmatch(grant_id):
        raise ApiError("InvalidGrantIdException", f"The grant ID '{grant_id}' is not valid.")
    return grant_id


def missing_grant(grant_id: str) -> ApiError:
    return ApiError("NotFoundException", f"Grant ID {grant_id} not found")


def invalid_principal(principal: str) -> ApiError:
    return ApiError("InvalidArnException", f"ARN does not refer to a valid principal: {principal}")
