"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes of the KMS API.

Never knows what is encrypted, nor how a blob looks inside. Order of every operation: shape, identifiers, authorization, state,
usage, dry run, cryptography.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import (
    Use,
    authorize,
    authorize_blob,
    check_usable,
    parsed,
    resolve,
    resolve_blob,
    seal,
    unseal,
)
from strongroom.kms.records import ENCRYPT_DECRYPT, SYMMETRIC, KeyRecord
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.kms.blob import Blob
    from strongroom.kms.ring import KeyRing

ENCRYPT: Final = Use("Encrypt", "kms:Encrypt", aliases=True, foreign=True)
DECRYPT: Final = Use("Decrypt", "kms:Decrypt", aliases=True, foreign=True)
GENERATE: Final = Use("GenerateDataKey", "kms:GenerateDataKey", aliases=True, foreign=True)
GENERATE_WRAPPED: Final = Use(
    "GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", aliases=True, foreign=True
)
REENCRYPT_FROM: Final = Use("ReEncrypt", "kms:ReEncryptFrom", aliases=True, foreign=True)
REENCRYPT_TO: Final = Use("ReEncrypt", "kms:ReEncryptTo", aliases=True, foreign=True)
_SIZES: Final = {"AES_256": 32, "AES_128": 16}


class Crypto:
    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    @operation("kms", "Encrypt", "kms:Encrypt", on="run")
    async def encrypt(self, call: Call) -> Answer:
        _refuse_unbuilt(call)
        record = await resolve(self._ring, call, call.input["KeyId"], ENCRYPT, call.region)
        await authorize(call, record, ENCRYPT)
        check_usable(record, ENCRYPT)
        _check_algorithm(call, "EncryptionAlgorithm", record)
        _check_dry_run(call)
        wrapped = await seal(self._ring, record, call.input["Plaintext"], _context(call))
        return Answer({"CiphertextBlob": wrapped, "KeyId": record.name.arn, "EncryptionAlgorithm": SYMMETRIC})

    @operation("kms", "Decrypt", "kms:Decrypt", on="run")
    async def decrypt(self, call: Call) -> Answer:
        _refuse_unbuilt(call)
        source = await self._source(call, "KeyId", DECRYPT)
        blob, record = source.blob, source.record
        await source.authorize(call, DECRYPT)
        source.check(DECRYPT)
        _check_algorithm(call, "EncryptionAlgorithm", record)
        _check_dry_run(call)
        plain = await unseal(self._ring, record, blob, _context(call))
        return Answer(
            {"KeyId": record.name.arn, "Plaintext": plain, "EncryptionAlgorithm": SYMMETRIC, "KeyMaterialId": blob.material_id}
        )

    @operation("kms", "ReEncrypt", "kms:ReEncryptFrom", on="run")
    async def re_encrypt(self, call: Call) -> Answer:
        _refuse_unbuilt(call)
        given = await self._source(call, "SourceKeyId", REENCRYPT_FROM)
        blob, source = given.blob, given.record
        target = await resolve(self._ring, call, call.input["DestinationKeyId"], REENCRYPT_TO, call.region)
        await given.authorize(call, REENCRYPT_FROM)
        await authorize(call, target, REENCRYPT_TO)
        given.check(REENCRYPT_FROM)
        check_usable(target, REENCRYPT_TO)
        _check_algorithm(call, "SourceEncryptionAlgorithm", source)
        _check_algorithm(call, "DestinationEncryptionAlgorithm", target)
        _check_dry_run(call)
        plain = await unseal(self._ring, source, blob, _context(call, "SourceEncryptionContext"))
        wrapped = await seal(self._ring, target, plain, _context(call, "DestinationEncryptionContext"))
        return Answer(
            {
                "CiphertextBlob": wrapped,
                "SourceKeyId": source.name.arn,
                "KeyId": target.name.arn,
                "SourceEncryptionAlgorithm": SYMMETRIC,
                "DestinationEncryptionAlgorithm": SYMMETRIC,
                "SourceKeyMaterialId": blob.material_id,
                "DestinationKeyMaterialId": target.current,
            }
        )

    @operation("kms", "GenerateDataKey", "kms:GenerateDataKey", on="run")
    async def generate_data_key(self, call: Call) -> Answer:
        plain, output = await self._data_key(call, GENERATE)
        return Answer({**output, "Plaintext": plain})

    @operation("kms", "GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", on="run")
    async def generate_data_key_without_plaintext(self, call: Call) -> Answer:
        _, output = await self._data_key(call, GENERATE_WRAPPED)
        return Answer(output)

    @operation("kms", "GenerateRandom", "kms:GenerateRandom", on="service")
    async def generate_random(self, call: Call) -> Answer:
        _refuse_unbuilt(call)
        size: int | None = call.input.get("NumberOfBytes")
        if size is None:
            raise refusals.invalid("NumberOfBytes is required.")
        return Answer({"Plaintext": self._ring.random(size)})

    async def _data_key(self, call: Call, use: Use) -> tuple[bytes, dict[str, Any]]:
        _refuse_unbuilt(call)
        size: int | None = call.input.get("NumberOfBytes")
        spec: str | None = call.input.get("KeySpec")
        if (size is None) == (spec is None):
            raise refusals.invalid("Please specify either number of bytes or key spec.")
        record = await resolve(self._ring, call, call.input["KeyId"], use, call.region)
        await authorize(call, record, use)
        check_usable(record, use)
        _check_dry_run(call)
        plain = self._ring.random(_SIZES[spec] if spec is not None else size or 0)
        wrapped = await seal(self._ring, record, plain, _context(call))
        return plain, {"CiphertextBlob": wrapped, "KeyId": record.name.arn, "KeyMaterialId": record.current}

    async def _source(self, call: Call, member: str, use: Use) -> _Source:
        """The blob, and the key that is to open it: the one the caller names, else the one the blob names."""
        data: bytes | None = call.input.get("CiphertextBlob")
        if data is None:
            raise refusals.missing_member("ciphertextBlob")
        identifier: str | None = call.input.get(member)
        if identifier is None:
            blob = parsed(data)
            return _Source(blob, await resolve_blob(self._ring, call, blob, call.region), named=False)
        record = await resolve(self._ring, call, identifier, use, call.region)
        return _Source(parsed(data), record, named=True)


@dataclass(frozen=True, slots=True)
class _Source:
    """A blob and the key that is to open it."""

    blob: Blob
    record: KeyRecord
    named: bool  # by the caller, not by the blob alone

    async def authorize(self, call: Call, use: Use) -> None:
        await (authorize if self.named else authorize_blob)(call, self.record, use)

    def check(self, use: Use) -> None:
        check_state(self.record, use.operation)
        if self.record.name != self.blob.key or self.record.usage != ENCRYPT_DECRYPT:
            raise refusals.incorrect_key()


def _refuse_unbuilt(call: Call) -> None:
    """Members that would change what happens must not be passed over."""
    if call.input.get("GrantTokens"):
        raise ApiError("InvalidGrantTokenException", "The grant token is not valid.")
    for member in ("Recipient", "CustomKeyStoreId", "DryRunModifiers"):
        if call.input.get(member):
            raise refusals.unsupported(member)


def _check_algorithm(call: Call, member: str, record: KeyRecord) -> None:
    asked: str = call.input.get(member) or SYMMETRIC
    if asked != SYMMETRIC:
        raise refusals.wrong_algorithm(asked, record.spec)


def _check_dry_run(call: Call) -> None:
    if call.input.get("DryRun"):
        raise refusals.dry_run()


def _context(call: Call, member: str = "EncryptionContext") -> Mapping[str, str]:
    context: Mapping[str, str] | None = call.input.get(member)
    return context or {}
