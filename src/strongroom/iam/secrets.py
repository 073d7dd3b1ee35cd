"""Secret access keys: how they are made, and how they are sealed in the catalog.

A secret must be readable again (a signature is checked with it), so it is sealed and not hashed. Never knows accounts beyond
the names a secret is bound to, nor where the record is kept.
"""

from __future__ import annotations

import base64
import os
import struct
from typing import TYPE_CHECKING, Final

from strongroom.iam.errors import Damaged
from strongroom.seal import SealError
from strongroom.seal.wrap import Records

if TYPE_CHECKING:
    from collections.abc import Callable

_LABEL: Final = b"strongroom/iam/secret-access-key"


def new_secret(random: Callable[[int], bytes] = os.urandom) -> str:
    """40 characters of base64: 240 random bits."""
    return base64.b64encode(random(30)).decode("ascii")


class SecretSeal:
    """Seals secrets as records (``seal.wrap``: AES-256-GCM-SIV). ``iam_key`` is 32 bytes; raises ValueError for another length.

    A sealed secret is the base64 of a record. It is bound to its access key id and its owner (the account id, for a user followed by
    ``/`` and the user's id), so a record moved to another access key, account or user does not open.
    """

    def __init__(self, iam_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self._records = Records(iam_key, random)

    def seal(self, secret_access_key: str, access_key_id: str, owner: str) -> str:
        sealed = self._records.seal(secret_access_key.encode("ascii"), _binding(access_key_id, owner))
        return base64.b64encode(sealed).decode("ascii")

    def open(self, sealed: str, access_key_id: str, owner: str) -> str:
        """Raises Damaged when it was not sealed under this key for this access key of this account."""
        try:
            record = base64.b64decode(sealed, validate=True)
            return self._records.open(record, _binding(access_key_id, owner)).decode("ascii")
        except (ValueError, SealError) as error:  # ValueError: neither base64 nor ASCII
            raise Damaged(
                f"the record of access key {access_key_id} does not open: it was changed, or the root key is another one"
            ) from error


def _binding(access_key_id: str, owner: str) -> bytes:
    """Length-prefixed, so that no two pairs of names give the same bytes."""
    parts = (_LABEL, access_key_id.encode("ascii"), owner.encode("ascii"))
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)
