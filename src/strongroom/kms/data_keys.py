"""The one door through which S3 gets keys: data keys under customer keys, on behalf of a caller, and S3's own keys.

Never knows buckets, objects or how they are sealed: a bucket id is a label, an object's ARN a value in an encryption context.
Raises ApiError with KMS's own codes (S3 puts ``KMS.`` in front); AccessDenied keeps its name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from strongroom.api.operation import Holds
from strongroom.kms import refusals
from strongroom.kms.access import Use, authorize, authorize_blob, check_usable, parsed, resolve, resolve_blob, seal, unseal
from strongroom.kms.at_hand import DATA_KEY_SIZE, Allowed, KeysAtHand
from strongroom.kms.authorities import KeyAuthorities, grantee_names
from strongroom.kms.identifiers import parse
from strongroom.kms.key_use import NO_SUBJECT, Subject, Using
from strongroom.kms.local import LocalProvider
from strongroom.kms.names import S3_ALIAS, AliasName, KeyName
from strongroom.kms.questions import KeyQuestion
from strongroom.kms.records import SYMMETRIC, s3_managed_policy
from strongroom.kms.ring import KeyRing
from strongroom.kms.service_keys import KeyFault, ServiceKey, ServiceKeys
from strongroom.kms.shared_keys import KeyState, KmsDataKey, SharedKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from strongroom.api.operation import About, Call, Caller
    from strongroom.kms.key_use import Observer
    from strongroom.kms.records import KeyRecord
    from strongroom.policy.decide import Authority
    from strongroom.seal.wrap import Kek
    from strongroom.store.contract import Catalog

__all__ = ["DataKeys", "KmsDataKey", "ServiceKey", "Subject"]

SHARED_SECONDS: Final = 300.0
GENERATE: Final = Use("GenerateDataKey", "kms:GenerateDataKey", aliases=True, foreign=True, makes_managed=True)
UNWRAP: Final = Use("Decrypt", "kms:Decrypt", foreign=True)
ENCRYPT: Final = Use("Encrypt", "kms:Encrypt", foreign=True)
REWRAP_FROM: Final = Use("ReEncrypt", "kms:ReEncryptFrom", foreign=True)
REWRAP_TO: Final = Use("ReEncrypt", "kms:ReEncryptTo", foreign=True)


class DataKeys:
    """One per worker. ``kms_key``: 32 bytes the server derived from its root key; ``ring`` is shared with the KMS API.

    ``shared_seconds``: the life of a shared data key.
    """

    def __init__(
        self,
        catalog: Catalog,
        kms_key: bytes,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes] = os.urandom,
        *,
        shared_seconds: float = SHARED_SECONDS,
    ) -> None:
        provider = LocalProvider(kms_key, random)
        self.ring = KeyRing(catalog, provider, clock, random)
        self._service_keys = ServiceKeys(catalog, provider, random)
        self._shared = SharedKeys(int(shared_seconds * 1000))
        #: What needs no question; to be asked before ``generate`` and ``unwrap``, which put there what they may.
        self.at_hand = KeysAtHand(self.ring)
        self._authorities = KeyAuthorities(self.ring)
        self._looked_at: int | None = None  # the catalog's generation when the shared keys were last compared with it

    def tell(self, observer: Observer) -> None:
        """From now on ``observer`` is told of every use of a customer's key or of aws/s3, not of S3's own keys."""
        self.ring.observer = observer

    async def open(self) -> None:
        """At start-up: load S3's own keys, or make them. Raises ProviderError, ValueError; the server must not start then."""
        await self._service_keys.open(self.ring.now_ms())

    async def open_what_opens(self) -> list[KeyFault]:
        """As ``open``, for the operator's tools: makes nothing, and tells which of S3's own keys do not open."""
        return await self._service_keys.open_what_opens()

    async def generate(
        self,
        call: Call,
        kms_key: str | None,
        region: str,
        context: Mapping[str, str],
        *,
        subject: Subject = NO_SUBJECT,
        shared: bool = False,
    ) -> KmsDataKey:
        """A data key under ``kms_key`` (key id, key ARN, alias or alias ARN; None: aws/s3 of the caller's account).

        Fresh, or ``shared`` with other uses of the same caller under the same context; that needs kms:Decrypt as well.
        """
        with Using(self.ring.observer, call, "GenerateDataKey", "bucket-key" if shared else "s3", context, subject) as use:
            use.key_arn = kms_key or S3_ALIAS
            if call.caller.anonymous:
                raise refusals.hidden(call.caller, GENERATE.action)
            generation = self.ring.catalog.generation()
            record = await resolve(self.ring, call, use.key_arn, GENERATE, region)
            use.key_arn, named = record.name.arn, use.key_arn
            holds = Holds.ANY_CONTEXT
            for need in (GENERATE, UNWRAP) if shared else (GENERATE,):
                holds = min(holds, await authorize(call, record, need, named=named, context=context, via=_s3(region)))
            check_usable(record, GENERATE)
            if record.spec != SYMMETRIC:
                raise refusals.wrong_algorithm(SYMMETRIC, record.spec)

            async def make() -> KmsDataKey:
                plain = self.ring.random(DATA_KEY_SIZE)
                return KmsDataKey(plain, await seal(self.ring, record, plain, context), record.name.arn)

            allowed = Allowed(call, record, region, context, generation, holds)
            if not shared:
                made = await make()
                self.at_hand.remember(allowed, subject.resource, named)
                return made
            kept = await self._shared.made(call, await self._state(call, record), context, use, make)
            self.at_hand.remember_shared(allowed, kept, named=named)
            return kept.key

    async def unwrap(
        self,
        call: Call,
        wrapped: bytes,
        region: str,
        context: Mapping[str, str],
        *,
        subject: Subject = NO_SUBJECT,
        shared: bool = False,
    ) -> bytes | Kek:
        """The data key in ``wrapped``, if the caller may use the key it is under and that key is in a state to be used.

        ``shared``: it was made so, and may be answered from memory.
        """
        with Using(self.ring.observer, call, "Decrypt", "bucket-key" if shared else "s3", context, subject) as use:
            blob = parsed(wrapped)
            use.key_arn = blob.key.arn
            generation = self.ring.catalog.generation()
            record = await resolve_blob(self.ring, call, blob, region)
            holds = await authorize_blob(call, record, UNWRAP, context=context, via=_s3(region))
            check_usable(record, UNWRAP)

            async def unwrapped() -> bytes:
                return await unseal(self.ring, record, blob, context)

            allowed = Allowed(call, record, region, context, generation, holds)
            if not shared:
                plain = await unwrapped()
                self.at_hand.remember(allowed, subject.resource, blob)
                return plain
            kept = await self._shared.opened(call, await self._state(call, record), wrapped, context, use, unwrapped)
            self.at_hand.remember_shared(allowed, kept)
            return kept.key.kek

    async def allow_rewrapping(
        self, call: Call, region: str, before: tuple[str, Mapping[str, str]] | None, after: tuple[str, Mapping[str, str]]
    ) -> None:
        """Whether the caller may move a data key from one KMS key to another, each the ARN of a key that it was allowed to use just now
        and the encryption context there; ``before`` is None for what was under no KMS key. Raises ApiError.
        """
        same_key = None if before is None else before[0] == after[0]
        moves = [(ENCRYPT, after)] + ([] if before is None else [(REWRAP_FROM, before), (REWRAP_TO, after)])
        for use, (arn, context) in moves:
            record = await resolve(self.ring, call, arn, use, region)
            await authorize(call, record, use, named=arn, context=context, via=_s3(region), same_key=same_key)

    async def _state(self, call: Call, record: KeyRecord) -> KeyState:
        names = grantee_names(call.caller)
        return KeyState(record, names, (await self._authorities.of(record.name, names)).grants)

    async def forget_shared(self) -> None:
        """Drop keys from memory whose time is over or whose KMS key has changed; to be called every now and then. Raises StoreError."""
        now_ms = self.ring.now_ms()
        self.ring.forget_old(now_ms)
        self._shared.forget_old(now_ms)
        self.at_hand.forget_old(now_ms)
        generation = self.ring.catalog.generation()
        if generation == self._looked_at:
            return

        async def current(state: KeyState) -> KeyState | None:
            try:
                record = await self.ring.key(state.record.name, now_ms)
                if record is None:
                    return None
                return KeyState(record, state.grantees, (await self._authorities.of(record.name, state.grantees)).grants)
            except (ValueError, KeyError, TypeError):  # damaged: nobody can use it
                return None

        await self._shared.forget_changed(current)
        self._looked_at = generation

    def service_key(self, key_id: str | None = None) -> ServiceKey:
        """S3's own wrapping key; None: the current one. Raises LookupError for an unknown id."""
        return self._service_keys.key(key_id)

    def metadata_key(self, bucket_id: str) -> bytes:
        """32 bytes: the key of a bucket's metadata, HKDF-SHA256 from S3's metadata root."""
        return self._service_keys.metadata_key(bucket_id)

    async def authority(self, resource_arn: str, about: About | None = None) -> Authority:
        """Who governs a KMS key or alias: ``about`` that question, None: with every grant on the key. Raises ValueError for anything else."""
        return await self._authorities.of_arn(resource_arn, about if isinstance(about, KeyQuestion) else None)

    async def question(
        self, caller: Caller, action: str, arn: str, context: Mapping[str, str], *, through_s3: bool
    ) -> KeyQuestion:
        """What a question of that caller would say about a key, for whoever explains decisions. Raises ApiError for what is no ARN."""
        region = arn.split(":", 4)[3]
        name = parse(arn, caller.account_id, region)
        record = await self.ring.key(name, self.ring.now_ms()) if isinstance(name, KeyName) else None
        unmade = s3_managed_policy(name.account_id, region) if isinstance(name, AliasName) and name.alias == S3_ALIAS else None
        via = _s3(region) if through_s3 else ""
        return KeyQuestion(action, caller, record=record, context=context, via=via, policy=unmade)


def _s3(region: str) -> str:
    """The name by which S3 asks, on behalf of its callers."""
    return f"s3.{region}.amazonaws.com"
