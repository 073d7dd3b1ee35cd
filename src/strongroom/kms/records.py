"""Key and alias records: what is kept of them, as documents of the catalog, and how both are read back. Pure.

Never knows how material is wrapped, nor who may use a key. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from strongroom.kms.names import AliasName, KeyName

KEY_KIND: Final = "kms-key"
ALIAS_KIND: Final = "kms-alias"
TOMBSTONE_KIND: Final = "kms-tombstone"
SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
ENCRYPT_DECRYPT: Final = "ENCRYPT_DECRYPT"
AWS_KMS: Final = "AWS_KMS"  # the origin of keys whose material was made here
EXTERNAL: Final = "EXTERNAL"  # or brought by a customer
_FORMAT: Final = 1
#: Members that came later, with what they are where an earlier version left them out. A policy without ids means whom it names by name.
_LATER_OF_MATERIAL: Final = {"rotated": None, "expires_ms": None, "description": "", "pending": False}
_LATER_OF_KEY: Final[dict[str, Any]] = {
    "origin": AWS_KMS,
    "rotation": None,
    "primary": None,
    "regions": [],
    "waiting_days": None,
    "policy_ids": {},
}

State = Literal["Enabled", "Disabled", "PendingImport", "PendingDeletion", "PendingReplicaDeletion"]
Manager = Literal["CUSTOMER", "AWS"]
Rotated = Literal["AUTOMATIC", "ON_DEMAND"]
_STATES: Final = frozenset(get_args(State))
_ROTATED: Final = frozenset({*get_args(Rotated), None})


@dataclass(frozen=True, slots=True)
class Material:
    """Secret bytes of a key: 32 for AES, those of an HMAC key, or a private key as PKCS #8 in DER."""

    material_id: str  # 64 hex: random, or of imported material its fingerprint
    created_ms: int
    provider: str  # the name of the provider that wrapped it
    wrapped: bytes = field(repr=False)  # empty: imported once, and now deleted or expired
    rotated: Rotated | None = None  # the rotation that brought it; None: the key's first
    expires_ms: int | None = None  # imported material alone
    description: str = ""  # imported material alone
    pending: bool = False  # imported, and not rotated to yet

    def document(self) -> dict[str, Any]:
        return {
            "id": self.material_id,
            "created_ms": self.created_ms,
            "provider": self.provider,
            "wrapped": base64.b64encode(self.wrapped).decode(),
            "rotated": self.rotated,
            "expires_ms": self.expires_ms,
            "description": self.description,
            "pending": self.pending,
        }

    @classmethod
    def read(cls, value: Any) -> Material:
        """Raises ValueError, KeyError or TypeError for a document that no version wrote."""
        row: Any = value
        if isinstance(value, list):  # as the first version wrote it
            material_id, created_ms, provider, wrapped = row
            value = {"id": material_id, "created_ms": created_ms, "provider": provider, "wrapped": wrapped}
        value = {**_LATER_OF_MATERIAL, **value}
        if value["rotated"] not in _ROTATED:
            raise ValueError("a key material has an unknown rotation")
        return cls(
            material_id=value["id"],
            created_ms=value["created_ms"],
            provider=value["provider"],
            wrapped=base64.b64decode(value["wrapped"], validate=True),
            rotated=value["rotated"],
            expires_ms=value["expires_ms"],
            description=value["description"],
            pending=value["pending"],
        )


@dataclass(frozen=True, slots=True)
class Rotation:
    """The automatic rotation of a key that has it switched on."""

    period_days: int
    next_ms: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key. ``aliases`` and ``tags`` are in the order in which they were given; every material stays until deletion."""

    name: KeyName
    created_ms: int
    manager: Manager
    description: str
    policy: str  # the JSON text
    current: str  # id of the material that encrypts
    materials: tuple[Material, ...] = field(repr=False)
    state: State = "Enabled"
    deletion_ms: int | None = None
    tags: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    spec: str = SYMMETRIC
    usage: str = ENCRYPT_DECRYPT
    origin: str = AWS_KMS
    rotation: Rotation | None = None
    primary: str | None = None  # the Region of the primary key; None for a key of one Region
    regions: tuple[str, ...] = ()  # all Regions of a multi-Region key, this one among them
    policy_ids: tuple[tuple[str, str], ...] = ()  # unique ids of the users and roles that the policy meant, by ARN of that time
    waiting_days: int | None = None  # a primary key's window of deletion, which begins when the last replica is destroyed

    def gone(self, now_ms: int) -> bool:
        """Its window of deletion is over, whether or not upkeep has been here."""
        return self.deletion_ms is not None and self.deletion_ms <= now_ms

    @property
    def doomed(self) -> bool:
        return self.state in {"PendingDeletion", "PendingReplicaDeletion"}

    @property
    def replica(self) -> bool:
        return self.primary not in {None, self.name.region}

    @property
    def lacking(self) -> bool:
        """Something was encrypted, or would be, under material that must be imported first."""
        return not self.current or any(not material.wrapped and not material.pending for material in self.materials)

    def at(self, now_ms: int) -> KeyRecord:
        """As it is at that time: without imported material that has expired, and in the state that follows."""
        if self.origin != EXTERNAL:
            return self
        materials = tuple(
            replace(material, wrapped=b"", expires_ms=None)
            if material.expires_ms is not None and material.expires_ms <= now_ms
            else material
            for material in self.materials
        )
        left = self if materials == self.materials else replace(self, materials=materials)
        if left.lacking and left.state in {"Enabled", "Disabled"}:
            return replace(left, state="PendingImport")
        return left

    @property
    def until_ms(self) -> int | None:
        """When it changes by itself, without a change in the catalog; None: never."""
        moments = [self.deletion_ms, *(material.expires_ms for material in self.materials)]
        return min((moment for moment in moments if moment is not None), default=None)

    def material(self, material_id: str) -> Material | None:
        return next((material for material in self.materials if material.material_id == material_id), None)

    def document(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "created_ms": self.created_ms,
            "manager": self.manager,
            "description": self.description,
            "policy": self.policy,
            "current": self.current,
            "materials": [material.document() for material in self.materials],
            "state": self.state,
            "deletion_ms": self.deletion_ms,
            "tags": [list(tag) for tag in self.tags],
            "aliases": list(self.aliases),
            "spec": self.spec,
            "usage": self.usage,
            "origin": self.origin,
            "rotation": None if self.rotation is None else [self.rotation.period_days, self.rotation.next_ms],
            "primary": self.primary,
            "regions": list(self.regions),
            "waiting_days": self.waiting_days,
            "policy_ids": dict(self.policy_ids),
        }

    @classmethod
    def read(cls, name: KeyName, value: Any) -> KeyRecord:
        """Raises ValueError, KeyError or TypeError for a document that no version wrote."""
        value = {**_LATER_OF_KEY, **value}
        if value["format"] != _FORMAT or value["state"] not in _STATES:
            raise ValueError(f"the document of {name.arn} has an unknown format")
        return cls(
            name=name,
            created_ms=value["created_ms"],
            manager=value["manager"],
            description=value["description"],
            policy=value["policy"],
            current=value["current"],
            materials=tuple(Material.read(each) for each in value["materials"]),
            state=value["state"],
            deletion_ms=value["deletion_ms"],
            tags=tuple((tag[0], tag[1]) for tag in value["tags"]),
            aliases=tuple(value["aliases"]),
            spec=value["spec"],
            usage=value["usage"],
            origin=value["origin"],
            rotation=None if value["rotation"] is None else Rotation(*value["rotation"]),
            primary=value["primary"],
            regions=tuple(value["regions"]),
            waiting_days=value["waiting_days"],
            policy_ids=tuple(sorted(value["policy_ids"].items())),
        )


@dataclass(frozen=True, slots=True)
class AliasRecord:
    name: AliasName
    key_id: str  # in the same account and Region
    created_ms: int
    updated_ms: int

    @property
    def key(self) -> KeyName:
        return KeyName(self.name.account_id, self.name.region, self.key_id)

    def document(self) -> dict[str, Any]:
        return {"key_id": self.key_id, "created_ms": self.created_ms, "updated_ms": self.updated_ms}

    @classmethod
    def read(cls, name: AliasName, value: Any) -> AliasRecord:
        return cls(name, value["key_id"], value["created_ms"], value["updated_ms"])


def key_binding(name: KeyName, material_id: str) -> bytes:
    """What wrapped material is bound to, so that no record can stand in for another: each text with its length in front."""
    return binding("kms-key", name.account_id, name.region, name.key_id, material_id)


def binding(*texts: str) -> bytes:
    """Count, then every text with its length, as big-endian 32-bit numbers and UTF-8: unambiguous."""
    encoded = [text.encode() for text in texts]
    return struct.pack(">I", len(encoded)) + b"".join(struct.pack(">I", len(text)) + text for text in encoded)


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def default_policy(account_id: str) -> str:
    """The policy of a key that was created without one: the account decides through its own identities."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return _pretty("key-default-1", statement)


def s3_managed_policy(account_id: str, region: str) -> str:
    """The policy of aws/s3: everyone of the account, but only through S3; directly no more than metadata."""
    through_s3 = {
        "Sid": "Allow access through S3 for all principals in the account that are authorized to use S3",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:CallerAccount": account_id, "kms:ViaService": f"s3.{region}.amazonaws.com"}},
    }
    metadata = {
        "Sid": "Allow direct access to key metadata to the account",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
        "Resource": "*",
    }
    return _pretty("auto-s3-2", through_s3, metadata)


def _pretty(policy_id: str, *statements: dict[str, Any]) -> str:
    document = {"Version": "2012-10-17", "Id": policy_id, "Statement": list(statements)}
    return json.dumps(document, indent=2, separators=(",", " : "))
