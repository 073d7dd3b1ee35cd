"""Asymmetric keys of the KMS API: their public keys, signatures and shared secrets. Encryption with them is in ``crypto``.

Never knows what is signed. Order of every operation: shape, identifiers, authorization, state, usage, algorithm, dry run,
cryptography; the last in a thread, since RSA would hold up everybody else.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals, signatures
from strongroom.kms.access import Use, check_dry_run, check_usable, find, material
from strongroom.kms.crypto import check_members
from strongroom.kms.key_use import recorded
from strongroom.kms.material import private_key, public_der
from strongroom.kms.specs import KEY_AGREEMENT, SIGN_VERIFY, algorithms, asymmetric
from strongroom.kms.states import check_state

if TYPE_CHECKING:
    from strongroom.kms.grant_tokens import GrantTokens
    from strongroom.kms.records import KeyRecord
    from strongroom.kms.ring import KeyRing

GET_PUBLIC_KEY: Final = Use("GetPublicKey", "kms:GetPublicKey", aliases=True, foreign=True)
SIGN: Final = Use("Sign", "kms:Sign", aliases=True, foreign=True)
VERIFY: Final = Use("Verify", "kms:Verify", aliases=True, foreign=True)
DERIVE: Final = Use("DeriveSharedSecret", "kms:DeriveSharedSecret", aliases=True, foreign=True)


class Asymmetric:
    def __init__(self, ring: KeyRing, tokens: GrantTokens) -> None:
        self._ring = ring
        self._tokens = tokens

    @operation("kms", "GetPublicKey", "kms:GetPublicKey", on="run")
    async def get_public_key(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        record = await find(self._ring, call, GET_PUBLIC_KEY)
        check_state(record, GET_PUBLIC_KEY.operation)
        if not asymmetric(record.spec):
            raise ApiError(
                "UnsupportedOperationException",
                f"{record.name.arn} key spec is {record.spec} which is not valid for GetPublicKey.",
            )
        member, values = algorithms(record.spec, record.usage)
        return Answer(
            {
                "KeyId": record.name.arn,
                "PublicKey": public_der(await material(self._ring, record)),
                "CustomerMasterKeySpec": record.spec,
                "KeySpec": record.spec,
                "KeyUsage": record.usage,
                member: list(values),
            }
        )

    @operation("kms", "Sign", "kms:Sign", on="run")
    @recorded()
    async def sign(self, call: Call) -> Answer:
        record, algorithm, message_type = await self._signer(call, SIGN)
        secret, message = await material(self._ring, record), call.input["Message"]
        signature = await asyncio.to_thread(
            lambda: signatures.sign(private_key(secret), algorithm, message_type, message),
        )
        return Answer({"KeyId": record.name.arn, "Signature": signature, "SigningAlgorithm": algorithm})

    @operation("kms", "Verify", "kms:Verify", on="run")
    @recorded()
    async def verify(self, call: Call) -> Answer:
        record, algorithm, message_type = await self._signer(call, VERIFY)
        secret, message, signature = await material(self._ring, record), call.input["Message"], call.input["Signature"]
        valid = await asyncio.to_thread(
            lambda: signatures.verify(private_key(secret), algorithm, message_type, message, signature),
        )
        if not valid:
            raise ApiError("KMSInvalidSignatureException", "")
        return Answer({"KeyId": record.name.arn, "SignatureValid": True, "SigningAlgorithm": algorithm})

    @operation("kms", "DeriveSharedSecret", "kms:DeriveSharedSecret", on="run")
    @recorded()
    async def derive_shared_secret(self, call: Call) -> Answer:
        await check_members(self._tokens, call)
        record = await find(self._ring, call, DERIVE)
        check_usable(record, DERIVE, KEY_AGREEMENT)
        algorithm: str = call.input["KeyAgreementAlgorithm"]
        own = cast("ec.EllipticCurvePrivateKey", private_key(await material(self._ring, record)))
        peer = peer_key(call.input["PublicKey"], own.curve)
        check_dry_run(call)
        return Answer(
            {
                "KeyId": record.name.arn,
                "SharedSecret": await asyncio.to_thread(own.exchange, ec.ECDH(), peer),
                "KeyAgreementAlgorithm": algorithm,
                "KeyOrigin": record.origin,
            }
        )

    async def _signer(self, call: Call, use: Use) -> tuple[KeyRecord, str, str]:
        """The key, the algorithm and the kind of message, all of them checked."""
        await check_members(self._tokens, call)
        record = await find(self._ring, call, use)
        check_usable(record, use, SIGN_VERIFY)
        algorithm: str = call.input["SigningAlgorithm"]
        message_type: str = call.input.get("MessageType") or signatures.RAW
        if algorithm not in algorithms(record.spec, record.usage)[1]:
            raise refusals.wrong_algorithm(algorithm, record.spec)
        signatures.check_message(algorithm, message_type, len(call.input["Message"]))
        check_dry_run(call)
        return record, algorithm, message_type


def peer_key(der: bytes, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    """A public key on that very curve: the library refuses points that are not on theirs. Raises ApiError."""
    key: Any = None
    with suppress(ValueError, UnsupportedAlgorithm, InternalError):  # the last for keys of impossible lengths
        key = load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != curve.name:
        raise refusals.invalid("The public key is not a valid key on the elliptic curve of the KMS key.")
    return key
