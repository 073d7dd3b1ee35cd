"""Which digests an upload gets and how S3 spells them. Knows names and base64, never how a digest is computed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from strongroom.api.operation import Body
    from strongroom.s3.metadata import ObjectMeta

DEFAULT: Final = "CRC64NVME"  # what S3 computes when a client names no algorithm
ALGORITHMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


def ask(body: Body, *, client_names_one: bool) -> None:
    """Before reading: MD5 for the ETag, and S3's own checksum unless the client brings one."""
    if client_names_one:
        body.want("md5")
    else:
        body.want("md5", DEFAULT.lower())


def record(body: Body, meta: ObjectMeta) -> None:
    """After reading: the one checksum that the object keeps."""
    claimed = body.claimed_checksum
    if claimed is None:
        meta.checksums = {DEFAULT: base64.b64encode(body.digest(DEFAULT.lower())).decode()}
    else:
        meta.checksums = {claimed[0]: claimed[1]}
    meta.checksum_type = "FULL_OBJECT"
