"""Which digests an upload gets, how S3 spells them, and how those of parts become one. Knows no HTTP and no storage."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.digests import Digests, combine
from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from strongroom.api.operation import Body
    from strongroom.s3.metadata import ObjectMeta

DEFAULT: Final = "CRC64NVME"  # what S3 computes when a client names no algorithm
ALGORITHMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
FULL: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"
_HASHES: Final = frozenset({"SHA1", "SHA256"})
_NAMED_BY: Final = frozenset({"ChecksumAlgorithm", *(f"Checksum{name}" for name in ALGORITHMS)})  # members of an input


def ask(body: Body, *, client_names_one: bool) -> None:
    """Before reading: S3's own checksum, unless the client brings one."""
    if not client_names_one:
        body.want(DEFAULT.lower())


def record(body: Body, meta: ObjectMeta) -> None:
    """After reading: the one checksum that the object keeps."""
    claimed = body.claimed_checksum
    meta.checksums = {DEFAULT: encoded(body.digest(DEFAULT.lower()))} if claimed is None else {claimed[0]: claimed[1]}
    meta.checksum_type = FULL


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def decoded(value: str) -> bytes:
    return base64.b64decode(value)


def names_checksum(given: Mapping[str, Any]) -> bool:
    """Does the client bring a checksum of its own, by header or by trailer?"""
    return not _NAMED_BY.isdisjoint(given) and any(given.get(member) for member in _NAMED_BY)


def known(algorithm: str) -> str:
    """An algorithm that a client names, as S3 spells it. Raises ApiError InvalidRequest."""
    algorithm = algorithm.upper()
    if algorithm not in ALGORITHMS:
        text = "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
        raise ApiError("InvalidRequest", f"{text}[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
    return algorithm


def upload_checksum(given: Mapping[str, Any]) -> tuple[str | None, str]:
    """(algorithm the client chose or None, type) of CreateMultipartUpload. Raises ApiError InvalidRequest for pairs that do not go."""
    algorithm, kind = given.get("ChecksumAlgorithm"), given.get("ChecksumType")
    if algorithm is None:
        if kind is not None:
            text = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise ApiError("InvalidRequest", text)
        return None, FULL
    algorithm = known(algorithm)
    if kind is None:
        return algorithm, FULL if algorithm == DEFAULT else COMPOSITE
    kind = kind.upper()
    if kind not in {FULL, COMPOSITE}:
        raise ApiError("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if (kind == FULL and algorithm in _HASHES) or (kind == COMPOSITE and algorithm == DEFAULT):
        raise ApiError(
            "InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return algorithm, kind


def of_parts(algorithm: str, kind: str, parts: Sequence[tuple[bytes, int]]) -> str:
    """The object's checksum from its parts' (digest, plaintext bytes): combined for FULL_OBJECT, a digest of digests otherwise."""
    name = algorithm.lower()
    if kind == FULL:
        whole, _ = parts[0]
        for digest, size in parts[1:]:
            whole = combine(name, whole, digest, size)
        return encoded(whole)
    joined = b"".join(digest for digest, _ in parts)
    digests = Digests(name)
    digests.update(joined)
    return f"{encoded(digests.digest(name))}-{len(parts)}"
