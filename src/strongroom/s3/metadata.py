"""What an object tells about itself beside its bytes, and its sealed form in the row.

ETag, checksums, user metadata and system headers are sealed under the bucket's metadata key. The record is bound to bucket
id, object key and version id, and to the size, wrapping and manifest that stand beside it in the row: whoever edits one of
them on disk gets an error, also from HEAD and listings. Never knows HTTP or who may read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from strongroom.api.errors import ApiError
from strongroom.s3.object_lock import UNLOCKED, ObjectLock
from strongroom.s3.storage_classes import read_class
from strongroom.s3.tag_sets import requested_tags

if TYPE_CHECKING:
    from strongroom.s3.bucket_cache import Bucket
    from strongroom.store.contract import VersionRow

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
SYSTEM_HEADERS: Final = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires")
_SYSTEM: Final = frozenset(SYSTEM_HEADERS)
USER_METADATA_BYTES: Final = 2048
REDIRECT_BYTES: Final = 2048


@dataclass(slots=True)
class ObjectMeta:
    etag: str = ""  # without quotes
    system: dict[str, str] = field(default_factory=dict[str, str])  # member name -> value
    user: dict[str, str] = field(default_factory=dict[str, str])
    checksums: dict[str, str] = field(default_factory=dict[str, str])  # "CRC32" -> base64
    checksum_type: str = ""
    storage_class: str = "STANDARD"
    website_redirect: str = ""
    multipart: bool = False  # came by a multipart upload: its parts can be read by number
    part_checksums: list[str] = field(
        default_factory=list[str]
    )  # base64 of each part, in the manifest's order, if the client chose an algorithm
    tags: dict[str, str] = field(default_factory=dict[str, str])
    renamed: str = ""  # by which request it got its key, if that had a token: see ``renaming``
    owner: tuple[str, str] | None = None  # account id and canonical id, where it is not the bucket's owner
    acl: list[list[str]] | None = None  # permission, canonical id, URI of a group; None: the owner's full control alone
    restored: list[int] = field(
        default_factory=list[int]
    )  # of an archived object: since when and until when there is a readable copy, in ms; empty for never
    lock: ObjectLock = UNLOCKED

    @classmethod
    def from_input(cls, given: Mapping[str, Any]) -> ObjectMeta:
        """From the members of PutObject, CopyObject or CreateMultipartUpload. Raises ApiError for what cannot be kept."""
        user: dict[str, str] = given.get("Metadata") or {}
        if user and sum(len(name.encode()) + len(value.encode()) for name, value in user.items()) > USER_METADATA_BYTES:
            raise ApiError("MetadataTooLarge", MaxSizeAllowed=str(USER_METADATA_BYTES))
        system: dict[str, str] = {}
        if not _SYSTEM.isdisjoint(given):
            system = {name: given[name] for name in SYSTEM_HEADERS if given.get(name)}
            if "Expires" in system and not isinstance(given["Expires"], str):
                system["Expires"] = given["Expires"].strftime("%a, %d %b %Y %H:%M:%S GMT")
            if "ContentEncoding" in system:
                _drop_transfer_coding(system)
        storage_class = read_class(given.get("StorageClass"))
        redirect = given.get("WebsiteRedirectLocation") or ""
        if redirect:
            _check_redirect(redirect)
        return cls(
            system=system,
            user=dict(user),
            storage_class=storage_class,
            website_redirect=redirect,
            tags=requested_tags(given),
        )

    def pack(self) -> bytes:
        value: dict[str, Any] = {"e": self.etag}
        if self.system:
            value["h"] = self.system
        if self.user:
            value["u"] = self.user
        if self.checksums:
            value["c"] = self.checksums
            value["t"] = self.checksum_type
        if self.storage_class != "STANDARD":
            value["s"] = self.storage_class
        if self.website_redirect:
            value["w"] = self.website_redirect
        if self.multipart:
            value["m"] = True
        if self.part_checksums:
            value["p"] = self.part_checksums
        if self.tags:
            value["g"] = self.tags
        if self.restored:
            value["b"] = self.restored
        if self.renamed:
            value["r"] = self.renamed
        if self.owner is not None:
            value["o"] = self.owner
        if self.acl is not None:
            value["a"] = self.acl
        if self.lock is not UNLOCKED and self.lock != UNLOCKED:
            value["l"] = self.lock.pack()
        return orjson.dumps(value)

    @classmethod
    def unpack(cls, packed: bytes) -> ObjectMeta:
        value: dict[str, Any] = orjson.loads(packed)
        if len(value) == 3 and "c" in value:  # what most have: no look at the others
            return cls(value["e"], {}, {}, value["c"], value["t"], "STANDARD", "", False, [], {}, "", None, None, [], UNLOCKED)
        get = value.get
        return cls(
            value["e"],
            get("h", {}),
            get("u", {}),
            get("c", {}),
            get("t", ""),
            get("s", "STANDARD"),
            get("w", ""),
            get("m", False),
            get("p", []),
            get("g", {}),
            get("r", ""),
            tuple(value["o"]) if "o" in value else None,
            get("a"),
            restored=get("b", []),
            lock=ObjectLock(*value["l"]) if "l" in value else UNLOCKED,
        )

    def seal(self, bucket: Bucket, object_key: str, version_id: str, *, size: int, seal: bytes, manifest: bytes) -> bytes:
        """The record for a version's row."""
        return bucket.records.seal_version(self.pack(), object_key, version_id, size, seal, manifest)

    @staticmethod
    def resealed(bucket: Bucket, row: VersionRow, seal: bytes) -> bytes:
        """The record of a row, unchanged but for standing beside another envelope. Raises seal.Forged as ``open``."""
        packed = bucket.records.open_version(row)
        return bucket.records.seal_version(packed, row.object_key, row.version_id, row.size, seal, row.manifest)

    @classmethod
    def open(cls, bucket: Bucket, row: VersionRow) -> ObjectMeta:
        """Raises seal.Forged when the row is not as it was written."""
        return cls.unpack(bucket.records.open_version(row))

    @classmethod
    def open_page(cls, bucket: Bucket, rows: Sequence[VersionRow]) -> Iterator[ObjectMeta]:
        """Of each row in turn; all are opened before the first is given. Raises as ``open``."""
        return map(cls.unpack, bucket.records.open_page(rows))  # one after the other: a thousand at once are dear to collect

    def shown_owner(self, bucket: Bucket, bucket_owner: dict[str, str]) -> dict[str, str]:
        """The Owner element of the object, whose bucket's is ``bucket_owner``."""
        return bucket_owner if self.owner is None or not bucket.acls else {"ID": self.owner[1]}

    def output(self) -> dict[str, Any]:
        """The members that GetObject and HeadObject answer, without checksums and encryption."""
        value: dict[str, Any] = {"ETag": f'"{self.etag}"', "ContentType": DEFAULT_CONTENT_TYPE, **self.system}
        if self.user:
            value["Metadata"] = self.user
        if self.storage_class != "STANDARD":
            value["StorageClass"] = self.storage_class
        if self.website_redirect:
            value["WebsiteRedirectLocation"] = self.website_redirect
        return value

    def checksum_output(self) -> dict[str, str]:
        value = {f"Checksum{name}": checksum for name, checksum in self.checksums.items()}
        if value:
            value["ChecksumType"] = self.checksum_type
        return value


def _check_redirect(location: str) -> None:
    """Raises ApiError InvalidRedirectLocation."""
    if not location.startswith(("/", "http://", "https://")):
        text = "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        raise ApiError("InvalidRedirectLocation", text)
    if len(location.encode()) > REDIRECT_BYTES:
        text = f"The length of website redirect location cannot exceed {REDIRECT_BYTES:,} characters."
        raise ApiError("InvalidRedirectLocation", text)


def _drop_transfer_coding(system: dict[str, str]) -> None:
    """aws-chunked describes the request's body, not the object's."""
    kept = [coding for coding in (part.strip() for part in system["ContentEncoding"].split(",")) if coding != "aws-chunked"]
    if kept:
        system["ContentEncoding"] = ",".join(kept)
    else:
        del system["ContentEncoding"]
