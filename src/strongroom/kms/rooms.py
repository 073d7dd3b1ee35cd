"""All classes of the KMS API together, as the register wants them.

Never knows what they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from strongroom.kms.aliases import Aliases
from strongroom.kms.crypto import Crypto
from strongroom.kms.deletion import Deletion
from strongroom.kms.key_settings import KeySettings
from strongroom.kms.keys import Keys
from strongroom.kms.paging import Markers
from strongroom.kms.rotation import KeyRotation

if TYPE_CHECKING:
    from strongroom.kms.ring import KeyRing


class KmsRooms(NamedTuple):
    keys: Keys
    aliases: Aliases
    crypto: Crypto
    deletion: Deletion  # upkeep calls its destroy_due
    key_settings: KeySettings
    rotation: KeyRotation  # upkeep calls its rotate_due


def kms_rooms(ring: KeyRing, kms_key: bytes) -> KmsRooms:
    """``ring`` is that of ``DataKeys``, ``kms_key`` the same 32 bytes."""
    markers = Markers(kms_key)
    return KmsRooms(
        Keys(ring, markers),
        Aliases(ring, markers),
        Crypto(ring),
        Deletion(ring),
        KeySettings(ring, markers),
        KeyRotation(ring, markers),
    )
