"""All classes of the KMS API together, as the register wants them.

Never knows what they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from strongroom.kms.aliases import Aliases
from strongroom.kms.asymmetric import Asymmetric
from strongroom.kms.crypto import Crypto
from strongroom.kms.deletion import Deletion
from strongroom.kms.grant_listing import GrantListing
from strongroom.kms.grant_tokens import GrantTokens
from strongroom.kms.grants import Grants
from strongroom.kms.importing import Importing
from strongroom.kms.key_pairs import KeyPairs
from strongroom.kms.key_policies import KeyPolicies
from strongroom.kms.key_stores import KeyStores
from strongroom.kms.key_tags import KeyTags
from strongroom.kms.keys import Keys
from strongroom.kms.last_usage import LastUsage
from strongroom.kms.macs import Macs
from strongroom.kms.paging import Markers
from strongroom.kms.regions import Regions
from strongroom.kms.rotation import KeyRotation

if TYPE_CHECKING:
    from strongroom.kms.key_use_last import LastUses
    from strongroom.kms.principals import Principals
    from strongroom.kms.ring import KeyRing


class KmsRooms(NamedTuple):
    keys: Keys
    aliases: Aliases
    crypto: Crypto
    deletion: Deletion  # upkeep calls its destroy_due
    key_policies: KeyPolicies
    key_tags: KeyTags
    rotation: KeyRotation  # upkeep calls its rotate_due
    grants: Grants
    grant_listing: GrantListing
    asymmetric: Asymmetric
    macs: Macs
    key_pairs: KeyPairs
    key_stores: KeyStores
    importing: Importing  # upkeep calls its remove_expired
    regions: Regions
    last_usage: LastUsage


def kms_rooms(ring: KeyRing, kms_key: bytes, principals: Principals, last_uses: LastUses) -> KmsRooms:
    """``ring`` is that of ``DataKeys``, ``kms_key`` the same 32 bytes; ``principals`` knows who exists, ``last_uses`` what was used when."""
    markers = Markers(kms_key)
    tokens = GrantTokens(ring.catalog, kms_key, ring.random)
    deletion = Deletion(ring)
    policies = KeyPolicies(ring, markers, principals)
    return KmsRooms(
        keys=Keys(ring, markers, tokens, policies),
        aliases=Aliases(ring, markers),
        crypto=Crypto(ring, tokens),
        deletion=deletion,
        key_policies=policies,
        key_tags=KeyTags(ring, markers),
        rotation=KeyRotation(ring, markers),
        grants=Grants(ring, tokens, principals),
        grant_listing=GrantListing(ring, markers),
        asymmetric=Asymmetric(ring, tokens),
        macs=Macs(ring, tokens),
        key_pairs=KeyPairs(ring, tokens),
        key_stores=KeyStores(),
        importing=Importing(ring),
        regions=Regions(ring, deletion, policies),
        last_usage=LastUsage(ring, last_uses),
    )
