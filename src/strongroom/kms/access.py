"""From what a request names to a key it may use: resolve, authorize, check the state, seal or open; in that order everywhere.

Never judges by itself: ``call.allow`` does, by the key's policy and grants. It adds only what AWS fixes once and for all (operations
that never reach into another account). Every refusal of another account's key looks like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strongroom.api.errors import ApiError
from strongroom.kms import refusals
from strongroom.kms.blob import REGION, Blob, BlobError, ContextError, parse_blob
from strongroom.kms.contract import ProviderError, Unavailable
from strongroom.kms.identifiers import parse
from strongroom.kms.names import S3_ALIAS, AliasName, KeyName
from strongroom.kms.questions import of_key
from strongroom.kms.records import ENCRYPT_DECRYPT, KeyRecord, milliseconds
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.api.operation import Call, Holds
    from strongroom.kms.ring import KeyRing
    from strongroom.store.contract import Transaction


@dataclass(frozen=True, slots=True)
class Use:
    """One operation on a key, and how it may name that key."""

    operation: str
    action: str
    aliases: bool = False  # alias names and alias ARNs are taken
    foreign: bool = False  # may reach a key of another account
    makes_managed: bool = False  # naming alias/aws/s3 brings that key into being


async def resolve(ring: KeyRing, call: Call, identifier: str, use: Use, region: str) -> KeyRecord:
    """The key that is named. Raises ApiError NotFoundException, or AccessDenied for what another account does not show."""
    now_ms = milliseconds(call.now)
    name = parse(identifier, call.caller.account_id, region)
    if isinstance(name, AliasName) and not use.aliases:
        raise refusals.invalid_key_id(name.alias)
    foreign = name.account_id != call.caller.account_id
    record = await _find(ring, name, now_ms, make=use.makes_managed and not foreign and not call.caller.anonymous)
    if foreign and (record is None or not use.foreign):
        await call.allow(use.action, name.arn, about=of_key(call, use.action, None))
        raise refusals.hidden(call.caller, use.action)
    if record is None:
        raise refusals.missing_alias(name.arn) if isinstance(name, AliasName) else refusals.missing_key(name.arn)
    return record


async def _find(ring: KeyRing, name: KeyName | AliasName, now_ms: int, *, make: bool) -> KeyRecord | None:
    if isinstance(name, KeyName):
        return await ring.key(name, now_ms)
    if make and name.alias == S3_ALIAS:
        check_region(name.region)
        return await ring.managed_by_s3(name.account_id, name.region, now_ms)
    found = await ring.alias(name, now_ms)
    return None if found is None else found[1]


def check_region(region: str) -> None:
    """No key is made where its blobs could not say so. Raises ApiError."""
    if not REGION.fullmatch(region):
        raise refusals.invalid(f"The Region '{region}' is not valid.")


async def resolve_blob(ring: KeyRing, call: Call, blob: Blob, region: str) -> KeyRecord:
    """The key a blob says it is under.

    Raises ApiError: NotFoundException for a destroyed key of the caller's own account, AccessDenied for any other key that
    cannot be seen.
    """
    # What was sealed under a multi-Region key says where; its related key opens it here.
    name = blob.key.within(region) if blob.key.multi_region else blob.key
    record = await ring.key(name, milliseconds(call.now)) if name.region == region else None
    if record is not None:
        return record
    own = name.account_id == call.caller.account_id and name.region == region
    if own and await ring.existed(name):
        raise refusals.missing_key(name.arn)
    raise refusals.hidden_ciphertext()


def parsed(data: bytes) -> Blob:
    """Raises ApiError InvalidCiphertextException."""
    try:
        return parse_blob(data)
    except BlobError:
        raise refusals.invalid_ciphertext() from None


async def authorize(call: Call, record: KeyRecord, use: Use, **known: Any) -> Holds:
    """``known``: what else the question has, by the names of ``KeyQuestion``. Returns as ``call.allow``. Raises ApiError AccessDenied."""
    return await call.allow(use.action, record.name.arn, about=of_key(call, use.action, record, **known))


async def authorize_blob(call: Call, record: KeyRecord, use: Use, **known: Any) -> Holds:
    """As ``authorize``, but a key of another account is not even named to whoever may not use it."""
    try:
        return await authorize(call, record, use, **known)
    except ApiError as error:
        if error.code == "AccessDenied" and record.name.account_id != call.caller.account_id:
            raise refusals.hidden_ciphertext() from None
        raise


def check_usable(record: KeyRecord, use: Use, usage: str = ENCRYPT_DECRYPT) -> None:
    """State first, then usage. Raises ApiError."""
    check_state(record, use.operation)
    if record.usage != usage:
        raise refusals.wrong_usage(record.name.arn, record.usage, use.operation)


def check_dry_run(call: Call) -> None:
    """Behind all other checks, before anything is done. Raises ApiError DryRunOperationException."""
    if call.input.get("DryRun"):
        raise refusals.dry_run()


async def find(ring: KeyRing, call: Call, use: Use) -> KeyRecord:
    """The key of ``KeyId``, resolved and authorized. Raises ApiError."""
    named: str = call.input["KeyId"]
    record = await resolve(ring, call, named, use, call.region)
    await authorize(call, record, use, named=named, context=call.input.get("EncryptionContext") or {})
    return record


async def change(ring: KeyRing, call: Call, use: Use, work: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
    """Resolve, authorize, and change the key of ``KeyId`` if its state is one for that. Raises ApiError."""
    name = (await find(ring, call, use)).name

    def within(_: Transaction, record: KeyRecord) -> KeyRecord:
        check_state(record, use.operation)
        return work(record)

    changed = await ring.change(name, milliseconds(call.now), within)
    if changed is None:
        raise refusals.missing_key(name.arn)
    return changed


async def seal(ring: KeyRing, record: KeyRecord, plain: bytes, context: Mapping[str, str]) -> bytes:
    """A ciphertext blob. Raises ApiError."""
    try:
        return await ring.seal(record, plain, context)
    except (ContextError, ProviderError) as error:
        raise failure(error) from error


async def material(ring: KeyRing, record: KeyRecord) -> bytes:
    """The current material of a key whose state was checked. Raises ApiError."""
    try:
        return await ring.material(record)
    except ProviderError as error:
        raise failure(error) from error


async def unseal(ring: KeyRing, record: KeyRecord, blob: Blob, context: Mapping[str, str]) -> bytes:
    """The plaintext. Raises ApiError, InvalidCiphertextException for whatever is wrong with the blob or its context."""
    try:
        return await ring.open(record, blob, context)
    except BlobError:
        raise refusals.invalid_ciphertext() from None
    except (ContextError, ProviderError) as error:
        raise failure(error) from error


def failure(error: ContextError | ProviderError) -> ApiError:
    """What a client is told when the fault is not in the key."""
    if isinstance(error, ContextError):
        return refusals.invalid(str(error))
    if isinstance(error, Unavailable):
        return ApiError("KeyUnavailableException", "The key material cannot be reached at the moment.")
    return ApiError("KMSInternalException", "The key material could not be opened.")
