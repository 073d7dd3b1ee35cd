"""Buckets as the s3 room uses them: the row, its rule and the cipher of its metadata records, cached until something changes.

The cache is dropped when the catalog's generation changes, so a change made by any worker is seen by the next request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.iam.records import account_scope
from strongroom.policy.acls import Acl, AclGrant, effective
from strongroom.policy.binding import bound
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Policy
from strongroom.policy.cross_origin import CorsRule
from strongroom.policy.decide import Authority
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.public import NOT_BLOCKED, PublicAccessBlock
from strongroom.s3.bucket_names import refuse_directory_bucket
from strongroom.s3.cors_rules import stored_rules
from strongroom.s3.encryption import BucketEncryption
from strongroom.s3.lifecycle_judging import Judge
from strongroom.s3.lifecycle_rules import enabled_rules
from strongroom.s3.object_lock import LockRule, stored_rule
from strongroom.s3.ownership import ENFORCED, stored_ownership
from strongroom.s3.public_access import ACCOUNT_ACCESS, stored_account_block, stored_block
from strongroom.seal.bucket_records import BucketRecords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.kms.data_keys import DataKeys
    from strongroom.store.contract import BucketRow, Catalog, Transaction

ENCRYPTION: Final = "encryption"  # kind of the document with the bucket's default encryption
VERSIONING: Final = "versioning"
POLICY: Final = "policy"
PUBLIC_ACCESS: Final = "public-access"
CORS: Final = "cors"
PAYER: Final = "request-payment"
LIFECYCLE: Final = "lifecycle"
OWNERSHIP: Final = "ownership"
TAGS: Final = "tags"
ABAC: Final = "abac"
ACL: Final = "acl"
OBJECT_LOCK: Final = "object-lock"
_MOST: Final = 10_000  # buckets kept; beyond that the cache starts anew
ARN_PREFIX: Final = "arn:aws:s3:::"


def bucket_scope(bucket_id: str) -> str:
    """The scope of a bucket's documents."""
    return f"bucket/{bucket_id}"


def no_such_bucket(name: str) -> ApiError:
    return ApiError("NoSuchBucket", BucketName=name)


@lru_cache(maxsize=1_024)
def _compiled(text: str, name: str, ids: tuple[tuple[str, str], ...]) -> Policy:
    """A policy that was accepted once. One that is no longer understood shuts the bucket, but not its owner's root out of the policy."""
    try:
        return bound(read_bucket_policy(text, name), dict(ids))
    except InvalidPolicy:
        return read_bucket_policy(
            f'{{"Statement":{{"Effect":"Deny","Principal":"*","Action":"*","Resource":["{ARN_PREFIX}{name}","{ARN_PREFIX}{name}/*"]}}}}',
            name,
        )


def _authority(account_id: str, compiled: Policy | None, block: PublicAccessBlock, acl: Acl | None) -> Authority:
    """``acl``: None where ownership is enforced."""
    if compiled is None:
        return Authority(account_id, acl=acl, by_object=acl is not None)
    restricted = block.restricts(public_policy=compiled.public)
    return Authority(account_id, (compiled,), restricted=restricted, acl=acl, by_object=acl is not None)


def stored_grants(stored: Iterable[Sequence[str]]) -> tuple[AclGrant, ...]:
    """Of the triples that a list is kept as: permission, canonical id, URI of a group."""
    return tuple(AclGrant(*one) for one in stored)


def block_at(tx: Transaction, bucket: Bucket) -> PublicAccessBlock:
    """What is blocked at the commit: of the bucket's own settings and its account's the stricter."""
    own = stored_block(tx.document(bucket_scope(bucket.bucket_id), PUBLIC_ACCESS)) or NOT_BLOCKED
    account = stored_account_block(tx.document(account_scope(bucket.account_id), ACCOUNT_ACCESS)) or NOT_BLOCKED
    return own.with_account(account)


def stored_judge(document: Mapping[str, Any] | None) -> Judge | None:
    """Of a bucket's lifecycle as it is kept."""
    return None if document is None else Judge(enabled_rules(document), document["minimum"])


@dataclass(frozen=True, slots=True)
class Bucket:
    bucket_id: str
    name: str
    account_id: str
    region: str
    created_ms: int
    encryption: BucketEncryption
    records: BucketRecords = field(repr=False)
    authority: Authority
    versioning: str = ""  # "", "Enabled" or "Suspended"
    policy: str | None = None  # the text as it was put
    policy_ids: Mapping[str, str] = field(default_factory=dict[str, str])  # the unique ids of whom it names, by ARN of that time
    public_access: PublicAccessBlock | None = None  # None: the configuration was deleted
    cors: tuple[CorsRule, ...] = ()
    requester_pays: bool = False
    lifecycle: Judge | None = None  # None: there are no rules
    block: PublicAccessBlock = NOT_BLOCKED  # what holds: of its own and its account's the stricter
    ownership: str | None = ENFORCED  # None: the controls were deleted
    tags: Mapping[str, str] | None = None  # None: they decide nothing here
    grants: tuple[AclGrant, ...] | None = None  # of its list as it was put; None: its owner's full control
    lock_rule: LockRule | None = None  # None: no object lock
    generation: int | None = None  # of the catalog as all of this was read; None: it may be a mix of two states

    @property
    def acls(self) -> bool:
        """Whether lists count here, and objects may have other owners."""
        return self.ownership != ENFORCED


def bare_bucket(row: BucketRow, keys: DataKeys) -> Bucket:
    """A bucket as a walk over its rows needs it, with no settings: for the operator's tools, never for a request.

    Raises LookupError when the metadata root is not there.
    """
    rule = BucketEncryption.new_bucket("blocked")
    records = BucketRecords(keys.metadata_key(row.bucket_id), row.bucket_id)
    return Bucket(row.bucket_id, row.name, row.account_id, row.region, row.created_ms, rule, records, Authority(row.account_id))


class BucketCache:
    def __init__(
        self, catalog: Catalog, keys: DataKeys, new_bucket_sse_c: str, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._catalog = catalog
        self._keys = keys
        self._random = random
        self._new_bucket_sse_c = new_bucket_sse_c
        self._generation = -1
        self._buckets: dict[str, Bucket] = {}

    def cached(self, name: str) -> Bucket | None:
        """The bucket, if it is known and nothing has changed since; never waits."""
        generation = self._catalog.generation()
        if generation != self._generation:
            self._buckets = {}
            self._generation = generation
            return None
        return self._buckets.get(name)

    async def place(self, name: str) -> Bucket | None:
        """The bucket, or None when no bucket has that name. Raises ApiError NotImplemented for the name of a directory bucket."""
        bucket = self.cached(name)
        if bucket is not None:
            return bucket
        generation = self._generation
        row = await self._catalog.bucket(name)
        if row is None:
            refuse_directory_bucket(name)
            return None
        scope = bucket_scope(row.bucket_id)
        rule = await self._catalog.document(scope, ENCRYPTION)
        versioning = await self._catalog.document(scope, VERSIONING)
        policy = await self._catalog.document(scope, POLICY)
        text: str | None = None if policy is None else policy["text"]
        ids: Mapping[str, str] = {} if policy is None else policy.get("ids", {})  # none before ids were noted
        compiled = None if text is None else _compiled(text, name, tuple(sorted(ids.items())))
        cors = stored_rules(await self._catalog.document(scope, CORS))
        requester_pays = await self._catalog.document(scope, PAYER) == "Requester"
        own_block = stored_block(await self._catalog.document(scope, PUBLIC_ACCESS))
        account_block = stored_account_block(await self._catalog.document(account_scope(row.account_id), ACCOUNT_ACCESS))
        block = (own_block or NOT_BLOCKED).with_account(account_block or NOT_BLOCKED)
        ownership = stored_ownership(await self._catalog.document(scope, OWNERSHIP))
        tags: dict[str, str] | None = None
        if await self._catalog.document(scope, ABAC) == "Enabled":
            tags = dict(await self._catalog.document(scope, TAGS) or ())
        lifecycle = await self._catalog.document(scope, LIFECYCLE)
        lock = await self._catalog.document(scope, OBJECT_LOCK)
        listed = await self._catalog.document(scope, ACL)
        grants = None if listed is None else stored_grants(listed["grants"])
        acl = None if ownership == ENFORCED else Acl(f"{ARN_PREFIX}{name}", effective(grants or (), block), of_bucket=True)
        settled = generation == self._catalog.generation() == self._generation
        bucket = Bucket(
            row.bucket_id,
            row.name,
            row.account_id,
            row.region,
            row.created_ms,
            BucketEncryption.from_document(rule, self._new_bucket_sse_c),
            BucketRecords(self._keys.metadata_key(row.bucket_id), row.bucket_id, self._random),
            _authority(row.account_id, compiled, block, acl),
            versioning["status"] if versioning else "",
            text,
            ids,
            own_block,
            cors,
            requester_pays,
            stored_judge(lifecycle),
            block,
            ownership,
            tags,
            grants,
            stored_rule(lock),
            generation if settled else None,
        )
        if settled:  # else: use, do not keep
            if len(self._buckets) >= _MOST:
                self._buckets = {}
            self._buckets[name] = bucket
        return bucket

    async def find(self, name: str) -> Bucket:
        """Raises ApiError NoSuchBucket."""
        bucket = await self.place(name)
        if bucket is None:
            raise no_such_bucket(name)
        return bucket

    async def authority(self, resource_arn: str) -> Authority:
        """Who governs ``arn:aws:s3:::bucket`` or ``arn:aws:s3:::bucket/key``. Raises ApiError NoSuchBucket."""
        return (await self.find(resource_arn.removeprefix(ARN_PREFIX).split("/", 1)[0])).authority
