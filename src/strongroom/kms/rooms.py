"""All classes of the KMS API together, as the register wants them.

Never knows what they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from strongroom.kms.aliases import Aliases
from strongroom.kms.asymmetric import Asymmetric
from strongroom.kms.crypto import Crypto
from strongroom.kms.deletion import Deletion
from strongroom.kms.key_pairs import KeyPairs
from strongroom.kms.key_settings import KeySettings
from strongroom.kms.key_stores import KeyStores
from strongroom.kms.keys import Keys
from strongroom.kms.macs import Macs
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
    asymmetric: Asymmetric
    macs: Macs
    key_pairs: KeyPairs
    key_stores: KeyStores


def kms_rooms(ring: KeyRing, kms_key: bytes) -> KmsRooms:
    """``ring`` is that of ``DataKeys``, ``kms_key`` the same 32 bytes."""
    markers = Markers(kms_key)
    return KmsRooms(
        keys=Keys(ring, markers),
        aliases=Aliases(ring, markers),
        crypto=Crypto(ring),
        deletion=Deletion(ring),
        key_settings=KeySettings(ring, markers),
        rotation=KeyRotation(ring, markers),
        asymmetric=Asymmetric(ring),
        macs=Macs(ring),
        key_pairs=KeyPairs(ring),
        key_stores=KeyStores(),
    )
