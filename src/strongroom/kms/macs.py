"""HMAC keys of the KMS API: GenerateMac and VerifyMac (HMAC, FIPS 198-1).

Never knows what is authenticated.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals
from strongroom.kms.access import Use, check_dry_run, check_usable, find, material
from strongroom.kms.crypto import check_members
from strongroom.kms.key_use import recorded
from strongroom.kms.specs import GENERATE_VERIFY_MAC, algorithms

if TYPE_CHECKING:
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.ring import KeyRing

GENERATE: Final = Use("GenerateMac", "kms:GenerateMac", aliases=True, foreign=True)
VERIFY: Final = Use("VerifyMac", "kms:VerifyMac", aliases=True, foreign=True)
_DIGESTS: Final = {f"HMAC_SHA_{bits}": f"sha{bits}" for bits in (224, 256, 384, 512)}


class Macs:
    def __init__(self, ring: KeyRing, tokens: GrantTokens) -> None:
        self._ring = ring
        self._tokens = tokens

    @operation("kms", "GenerateMac", "kms:GenerateMac", on="run")
    @recorded()
    async def generate_mac(self, call: Call) -> Answer:
        key_arn, mac = await self._mac(call, GENERATE)
        return Answer({"Mac": mac, "MacAlgorithm": call.input["MacAlgorithm"], "KeyId": key_arn})

    @operation("kms", "VerifyMac", "kms:VerifyMac", on="run")
    @recorded()
    async def verify_mac(self, call: Call) -> Answer:
        key_arn, mac = await self._mac(call, VERIFY)
        if not hmac.compare_digest(mac, call.input["Mac"]):
            raise ApiError("KMSInvalidMacException", "")
        return Answer({"KeyId": key_arn, "MacValid": True, "MacAlgorithm": call.input["MacAlgorithm"]})

    async def _mac(self, call: Call, use: Use) -> tuple[str, bytes]:
        """The key's ARN and the MAC of the message under it, everything checked."""
        await check_members(self._tokens, call)
        record = await find(self._ring, call, use)
        check_usable(record, use, GENERATE_VERIFY_MAC)
        algorithm: str = call.input["MacAlgorithm"]
        if algorithm not in algorithms(record.spec, record.usage)[1]:
            raise refusals.wrong_algorithm(algorithm, record.spec)
        check_dry_run(call)
        secret = await material(self._ring, record)
        return record.name.arn, hmac.digest(secret, call.input["Message"], _DIGESTS[algorithm])
