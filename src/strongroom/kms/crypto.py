"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes of the KMS API.

Never knows what is encrypted, nor how a blob looks inside. Order of every operation: shape, identifiers, authorization, state,
usage, dry run, cryptography.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import ciphers, refusals
from strongroom.kms.access import (
    Use,
    authorize,
    authorize_blob,
    check_dry_run,
    check_usable,
    find,
    parsed,
    resolve,
    resolve_blob,
    seal,
)
from strongroom.kms.key_use import Named, recorded
from strongroom.kms.records import ENCRYPT_DECRYPT, SYMMETRIC, KeyRecord
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.kms.blob import Blob
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.ring import KeyRing

ENCRYPT: Final = Use("Encrypt", "kms:Encrypt", aliases=True, foreign=True)
DECRYPT: Final = Use("Decrypt", "kms:Decrypt", aliases=True, foreign=True)
GENERATE: Final = Use("GenerateDataKey", "kms:GenerateDataKey", aliases=True, foreign=True)
GENERATE_WRAPPED: Final = Use(
    "GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", aliases=True, foreign=True
)
REENCRYPT_FROM: Final = Use("ReEncrypt", "kms:ReEncryptFrom", aliases=True, foreign=True)
REENCRYPT_TO: Final = Use("ReEncrypt", "kms:ReEncryptTo", aliases=True, foreign=True)
_SOURCE: Final = Named("SourceKeyId", "SourceEncryptionContext", "SourceKeyId")
_DESTINATION: Final = Named("DestinationKeyId", "DestinationEncryptionContext", "KeyId")
_SIZES: Final = {"AES_256": 32, "AES_128": 16}


class Crypto:
    def __init__(self, ring: KeyRing, tokens: GrantTokens) -> None:
        self._ring = ring
        self._tokens = tokens

    @operation("kms", "Encrypt", "kms:Encrypt", on="run")
    @recorded()
    async def encrypt(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        record = await find(self._ring, call, ENCRYPT)
        check_usable(record, ENCRYPT)
        algorithm, context, plain = _algorithm(call), _context(call), call.input["Plaintext"]
        ciphers.check_algorithm(record, algorithm, context)
        ciphers.check_size(record, algorithm, len(plain))
        check_dry_run(call)
        ciphertext = await ciphers.encrypt(self._ring, record, algorithm, plain, context)
        return Answer({"CiphertextBlob": ciphertext, "KeyId": record.name.arn, "EncryptionAlgorithm": algorithm})

    @operation("kms", "Decrypt", "kms:Decrypt", on="run")
    @recorded()
    async def decrypt(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        algorithm, context = _algorithm(call), _context(call)
        source = await self._source(call, "KeyId", DECRYPT, algorithm)
        await source.authorize(call, DECRYPT, context=context)
        source.check(DECRYPT)
        ciphers.check_algorithm(source.record, algorithm, context)
        check_dry_run(call)
        plain = await ciphers.decrypt(self._ring, source.record, algorithm, source.ciphertext, context)
        output = {"KeyId": source.record.name.arn, "Plaintext": plain, "EncryptionAlgorithm": algorithm}
        return Answer(output | source.material_id("KeyMaterialId"))

    @operation("kms", "ReEncrypt", "kms:ReEncryptFrom", on="run")
    @recorded(_SOURCE, _DESTINATION)
    async def re_encrypt(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        algorithm, context = _algorithm(call, "Source"), _context(call, "Source")
        new_algorithm, new_context = _algorithm(call, "Destination"), _context(call, "Destination")
        given = await self._source(call, "SourceKeyId", REENCRYPT_FROM, algorithm)
        source = given.record
        named: str = call.input["DestinationKeyId"]
        target = await resolve(self._ring, call, named, REENCRYPT_TO, call.region)
        same_key = source.name == target.name
        await given.authorize(call, REENCRYPT_FROM, context=context, same_key=same_key)
        await authorize(call, target, REENCRYPT_TO, named=named, context=new_context, same_key=same_key)
        given.check(REENCRYPT_FROM)
        check_usable(target, REENCRYPT_TO)
        ciphers.check_algorithm(source, algorithm, context)
        ciphers.check_algorithm(target, new_algorithm, new_context)
        check_dry_run(call)
        plain = await ciphers.decrypt(self._ring, source, algorithm, given.ciphertext, context)
        ciphers.check_size(target, new_algorithm, len(plain))
        output = {
            "CiphertextBlob": await ciphers.encrypt(self._ring, target, new_algorithm, plain, new_context),
            "SourceKeyId": source.name.arn,
            "KeyId": target.name.arn,
            "SourceEncryptionAlgorithm": algorithm,
            "DestinationEncryptionAlgorithm": new_algorithm,
        }
        if target.spec == SYMMETRIC:
            output["DestinationKeyMaterialId"] = target.current
        return Answer(output | given.material_id("SourceKeyMaterialId"))

    @operation("kms", "GenerateDataKey", "kms:GenerateDataKey", on="run")
    @recorded()
    async def generate_data_key(self, call: Call) -> Answer:
        plain, output = await self._data_key(call, GENERATE)
        return Answer({**output, "Plaintext": plain})

    @operation("kms", "GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKeyWithoutPlaintext", on="run")
    @recorded()
    async def generate_data_key_without_plaintext(self, call: Call) -> Answer:
        _, output = await self._data_key(call, GENERATE_WRAPPED)
        return Answer(output)

    @operation("kms", "GenerateRandom", "kms:GenerateRandom", on="service")
    async def generate_random(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        size: int | None = call.input.get("NumberOfBytes")
        if size is None:
            raise refusals.invalid("NumberOfBytes is required.")
        return Answer({"Plaintext": self._ring.random(size)})

    async def _data_key(self, call: Call, use: Use) -> tuple[bytes, dict[str, Any]]:
        await check_members(self._tokens, call)
        size: int | None = call.input.get("NumberOfBytes")
        spec: str | None = call.input.get("KeySpec")
        if (size is None) == (spec is None):
            raise refusals.invalid("Please specify either number of bytes or key spec.")
        record = await find(self._ring, call, use)
        check_usable(record, use)
        if record.spec != SYMMETRIC:
            raise refusals.asymmetric_data_key()
        check_dry_run(call)
        plain = self._ring.random(_SIZES[spec] if spec is not None else size or 0)
        wrapped = await seal(self._ring, record, plain, _context(call))
        return plain, {"CiphertextBlob": wrapped, "KeyId": record.name.arn, "KeyMaterialId": record.current}

    async def _source(self, call: Call, member: str, use: Use, algorithm: str) -> _Source:
        """The ciphertext, and the key that is to open it: the one the caller names, else the one the blob names."""
        data: bytes | None = call.input.get("CiphertextBlob")
        if data is None:
            raise refusals.missing_member("ciphertextBlob")
        identifier: str | None = call.input.get(member)
        if identifier is None:
            blob = parsed(data)
            return _Source(blob, await resolve_blob(self._ring, call, blob, call.region), named=None)
        record = await resolve(self._ring, call, identifier, use, call.region)
        return _Source(parsed(data) if algorithm == SYMMETRIC else data, record, named=identifier)


@dataclass(frozen=True, slots=True)
class _Source:
    """A ciphertext and the key that is to open it: a blob of ours, or the bytes of RSA."""

    ciphertext: Blob | bytes = field(repr=False)
    record: KeyRecord
    named: str | None  # as the caller named the key; None: by the blob alone

    async def authorize(self, call: Call, use: Use, **known: Any) -> None:
        if self.named is None:
            await authorize_blob(call, self.record, use, **known)
        else:
            await authorize(call, self.record, use, named=self.named, **known)

    def check(self, use: Use) -> None:
        check_state(self.record, use.operation)
        another = not isinstance(self.ciphertext, bytes) and not self.record.name.related(self.ciphertext.key)
        if another or self.record.usage != ENCRYPT_DECRYPT:
            raise refusals.incorrect_key()

    def material_id(self, member: str) -> dict[str, Any]:
        """What opened it, for the answer; RSA keys have one material and do not name it."""
        return {} if isinstance(self.ciphertext, bytes) else {member: self.ciphertext.material_id}


async def check_members(tokens: GrantTokens, call: Call) -> None:
    """Members that would change what happens must not be passed over. Raises ApiError, also for a grant token that is not true."""
    for member in ("Recipient", "CustomKeyStoreId", "DryRunModifiers"):
        if call.input.get(member):
            raise refusals.unsupported(member)
    await tokens.check(call)


def _algorithm(call: Call, which: str = "") -> str:
    return call.input.get(f"{which}EncryptionAlgorithm") or SYMMETRIC


def _context(call: Call, which: str = "") -> Mapping[str, str]:
    context: Mapping[str, str] | None = call.input.get(f"{which}EncryptionContext")
    return context or {}
