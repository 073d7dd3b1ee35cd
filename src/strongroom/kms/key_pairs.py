"""Data key pairs of the KMS API: made here, used outside, the private key also handed out under a symmetric key.

Never keeps a pair, nor knows what it is for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, check_dry_run, check_usable, find, seal
from strongroom.kms.crypto import check_members
from strongroom.kms.key_use import recorded
from strongroom.kms.material import fresh, public_der
from strongroom.kms.records import SYMMETRIC
from strongroom.kms.specs import UNMADE

if TYPE_CHECKING:
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.ring import KeyRing

GENERATE: Final = Use("GenerateDataKeyPair", "kms:GenerateDataKeyPair", aliases=True, foreign=True)
GENERATE_WRAPPED: Final = Use(
    "GenerateDataKeyPairWithoutPlaintext", "kms:GenerateDataKeyPairWithoutPlaintext", aliases=True, foreign=True
)


class KeyPairs:
    def __init__(self, ring: KeyRing, tokens: GrantTokens) -> None:
        self._ring = ring
        self._tokens = tokens

    @operation("kms", "GenerateDataKeyPair", "kms:GenerateDataKeyPair", on="run")
    @recorded()
    async def generate_data_key_pair(self, call: Call) -> Answer:
        secret, output = await self._pair(call, GENERATE)
        return Answer({**output, "PrivateKeyPlaintext": secret})

    @operation("kms", "GenerateDataKeyPairWithoutPlaintext", "kms:GenerateDataKeyPairWithoutPlaintext", on="run")
    @recorded()
    async def generate_data_key_pair_without_plaintext(self, call: Call) -> Answer:
        _, output = await self._pair(call, GENERATE_WRAPPED)
        return Answer(output)

    async def _pair(self, call: Call, use: Use) -> tuple[bytes, dict[str, Any]]:
        """The private key as PKCS #8 in DER, and the answer without it."""
        await check_members(self._tokens, call)
        spec: str = call.input["KeyPairSpec"]
        record = await find(self._ring, call, use)
        check_usable(record, use)
        if record.spec != SYMMETRIC:
            raise refusals.asymmetric_data_key()
        if spec in UNMADE:
            raise refusals.unsupported(f"KeyPairSpec {spec}")
        check_dry_run(call)
        secret = await asyncio.to_thread(fresh, spec, self._ring.random)
        context: dict[str, str] = call.input.get("EncryptionContext") or {}
        return secret, {
            "PrivateKeyCiphertextBlob": await seal(self._ring, record, secret, context),
            "PublicKey": public_der(secret),
            "KeyId": record.name.arn,
            "KeyPairSpec": spec,
            "KeyMaterialId": record.current,
        }
