"""Aliases of the KMS API: friendly names of keys, unique in an account and Region.

Never knows what a key is used for. The alias document says which key; the key's record lists its aliases; both change together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, authorize, resolve
from strongroom.kms.names import ALIAS_PREFIX, S3_ALIAS, AliasName, KeyName
from strongroom.kms.paging import Markers, limit
from strongroom.kms.questions import of_key
from strongroom.kms.records import ALIAS_KIND, KEY_KIND, AliasRecord, KeyRecord, milliseconds, moment
from strongroom.kms.ring import KeyRing, read_alias, read_key
from strongroom.kms.specs import family
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from strongroom.store.contract import Transaction

CREATE: Final = Use("CreateAlias", "kms:CreateAlias")
UPDATE: Final = Use("UpdateAlias", "kms:UpdateAlias")
DELETE: Final = Use("DeleteAlias", "kms:DeleteAlias")
LIST: Final = Use("ListAliases", "kms:ListAliases")
MAX_ALIASES: Final = 50  # per key


class Aliases:
    def __init__(self, ring: KeyRing, markers: Markers) -> None:
        self._ring = ring
        self._markers = markers

    @operation("kms", "CreateAlias", "kms:CreateAlias", on="run")
    async def create_alias(self, call: Call) -> Answer:
        alias = _customer_alias(call)
        if alias.alias == ALIAS_PREFIX:
            raise ApiError("InvalidAliasNameException", "An alias needs a name behind its prefix.")
        target = await resolve(self._ring, call, call.input["TargetKeyId"], CREATE, call.region)
        await call.allow(CREATE.action, alias.arn, about=of_key(call, CREATE.action, None))
        await authorize(call, target, CREATE)
        now_ms = milliseconds(call.now)

        def work(transaction: Transaction) -> None:
            if read_alias(transaction, alias, now_ms) is not None:
                raise ApiError("AlreadyExistsException", f"An alias with the name {alias.arn} already exists")
            _attach(transaction, alias, target.name, now_ms)
            transaction.set_document(alias.scope, ALIAS_KIND, AliasRecord(alias, target.name.key_id, now_ms, now_ms).document())

        await self._ring.catalog.write(work)
        return Answer()

    @operation("kms", "UpdateAlias", "kms:UpdateAlias", on="run")
    async def update_alias(self, call: Call) -> Answer:
        alias = _customer_alias(call)
        now_ms = milliseconds(call.now)
        found = await self._ring.alias(alias, now_ms)
        if found is None:
            raise refusals.missing_alias(alias.arn)
        target = await resolve(self._ring, call, call.input["TargetKeyId"], UPDATE, call.region)
        await call.allow(UPDATE.action, alias.arn, about=of_key(call, UPDATE.action, None))
        await authorize(call, found[1], UPDATE)
        await authorize(call, target, UPDATE)
        if (family(found[1].spec), found[1].usage) != (family(target.spec), target.usage):
            raise refusals.invalid("An alias can be moved only to a KMS key of the same type and usage.")

        def work(transaction: Transaction) -> None:
            current = _current(transaction, alias, found[0], now_ms)
            if current.key_id != target.name.key_id:
                _detach(transaction, alias, current.key)
                _attach(transaction, alias, target.name, now_ms)
            else:
                _usable_target(transaction, target.name, now_ms)
            changed = replace(current, key_id=target.name.key_id, updated_ms=now_ms)
            transaction.set_document(alias.scope, ALIAS_KIND, changed.document())

        await self._ring.catalog.write(work)
        return Answer()

    @operation("kms", "DeleteAlias", "kms:DeleteAlias", on="run")
    async def delete_alias(self, call: Call) -> Answer:
        alias = _customer_alias(call)
        now_ms = milliseconds(call.now)
        found = await self._ring.alias(alias, now_ms)
        if found is None:
            raise refusals.missing_alias(alias.arn)
        await call.allow(DELETE.action, alias.arn, about=of_key(call, DELETE.action, None))
        await authorize(call, found[1], DELETE)

        def work(transaction: Transaction) -> None:
            _detach(transaction, alias, _current(transaction, alias, found[0], now_ms).key)
            transaction.set_document(alias.scope, ALIAS_KIND, None)

        await self._ring.catalog.write(work)
        return Answer()

    @operation("kms", "ListAliases", "kms:ListAliases", on="service")
    async def list_aliases(self, call: Call) -> Answer:
        size = limit(call, 50, 100)
        identifier: str | None = call.input.get("KeyId")
        target = None if identifier is None else await resolve(self._ring, call, identifier, LIST, call.region)
        within = "" if target is None else target.name.key_id
        after = self._markers.read(call, within=within)
        entries = await (self._all(call, after, size + 1) if target is None else self._of(call, target, after))
        page = entries[:size]
        output: dict[str, Any] = {"Aliases": page, "Truncated": len(entries) > size}
        if len(entries) > size:
            output["NextMarker"] = self._markers.write(call, page[-1]["AliasName"], within=within)
        return Answer(output)

    async def _of(self, call: Call, target: KeyRecord, after: str) -> list[dict[str, Any]]:
        now_ms = milliseconds(call.now)
        names = [
            AliasName(target.name.account_id, target.name.region, alias) for alias in sorted(target.aliases) if alias > after
        ]
        found = [await self._ring.alias(name, now_ms) for name in names]
        return [_entry(pair[0]) for pair in found if pair is not None and pair[0].key_id == target.name.key_id]

    async def _all(self, call: Call, after: str, count: int) -> list[dict[str, Any]]:
        """At least ``count`` of the account's aliases behind ``after``, if there are so many.

        alias/aws/s3 is among them even before its key is made; it then has no key and no dates.
        """
        account_id, region, now_ms = call.caller.account_id, call.region, milliseconds(call.now)
        prefix = AliasName(account_id, region, "").scope
        entries: dict[str, dict[str, Any]] = {}
        place, more = prefix + after, True
        while more and len(entries) < count:
            rows = await self._ring.catalog.documents(ALIAS_KIND, prefix=prefix, after=place, limit=count)
            for scope, value in rows:
                alias = AliasRecord.read(AliasName(account_id, region, scope.removeprefix(prefix)), value)
                if await self._ring.key(alias.key, now_ms) is not None:
                    entries[alias.name.alias] = _entry(alias)
            more = len(rows) == count
            place = rows[-1][0] if rows else place
        if after < S3_ALIAS and (not more or max(entries) > S3_ALIAS):
            unmade = AliasName(account_id, region, S3_ALIAS)
            entries.setdefault(S3_ALIAS, {"AliasName": unmade.alias, "AliasArn": unmade.arn})
        return [entries[name] for name in sorted(entries)]


def _customer_alias(call: Call) -> AliasName:
    """The alias a customer may make, move or delete. Raises ApiError."""
    name: str = call.input["AliasName"]
    if not name.startswith(ALIAS_PREFIX):
        raise refusals.invalid(
            'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html'
        )
    alias = AliasName(call.caller.account_id, call.region, name)
    if alias.reserved:
        raise refusals.reserved_alias()
    return alias


def _current(transaction: Transaction, alias: AliasName, authorized: AliasRecord, now_ms: int) -> AliasRecord:
    """The alias as it is now; it must still be on the key that was authorized. Raises ApiError NotFoundException."""
    current = read_alias(transaction, alias, now_ms)
    if current is None or current.key_id != authorized.key_id:
        raise refusals.missing_alias(alias.arn)
    return current


def _usable_target(transaction: Transaction, name: KeyName, now_ms: int) -> KeyRecord:
    """Both operations ask the same of a key that is to get an alias."""
    record = read_key(transaction, name, now_ms)
    if record is None:
        raise refusals.missing_key(name.arn)
    check_state(record, CREATE.operation)
    return record


def _attach(transaction: Transaction, alias: AliasName, name: KeyName, now_ms: int) -> None:
    record = _usable_target(transaction, name, now_ms)
    if len(record.aliases) >= MAX_ALIASES:
        raise ApiError("LimitExceededException", f"{name.arn} has {MAX_ALIASES} aliases already.")
    changed = replace(record, aliases=(*record.aliases, alias.alias))
    transaction.set_document(name.scope, KEY_KIND, changed.document())


def _detach(transaction: Transaction, alias: AliasName, name: KeyName) -> None:
    record = KeyRecord.read(name, transaction.document(name.scope, KEY_KIND))
    changed = replace(record, aliases=tuple(other for other in record.aliases if other != alias.alias))
    transaction.set_document(name.scope, KEY_KIND, changed.document())


def _entry(alias: AliasRecord) -> dict[str, Any]:
    return {
        "AliasName": alias.name.alias,
        "AliasArn": alias.name.arn,
        "TargetKeyId": alias.key_id,
        "CreationDate": moment(alias.created_ms),
        "LastUpdatedDate": moment(alias.updated_ms),
    }
