"""All of iam that has operations, built on one catalog. Never knows who is calling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.iam.absent import Absent
from strongroom.iam.access_keys import AccessKeys
from strongroom.iam.account import AccountWide
from strongroom.iam.account_aliases import AccountAliases
from strongroom.iam.assuming import Assuming
from strongroom.iam.attachments import Attachments
from strongroom.iam.boundaries import Boundaries
from strongroom.iam.directory import Directory
from strongroom.iam.groups import Groups
from strongroom.iam.inline_policies import InlinePolicies
from strongroom.iam.issuing import Issuing
from strongroom.iam.managed_policies import ManagedPolicies
from strongroom.iam.principals import Principals
from strongroom.iam.renaming import Renaming
from strongroom.iam.roles import Roles
from strongroom.iam.session_tokens import SessionTokens
from strongroom.iam.simulating import Simulating
from strongroom.iam.sts import Sts
from strongroom.iam.tags import Tags
from strongroom.iam.users import Users

if TYPE_CHECKING:
    from strongroom.iam.identities import Identities
    from strongroom.store.contract import Catalog


def iam_rooms(catalog: Catalog, identities: Identities, iam_key: bytes) -> list[object]:
    """``iam_key`` is 32 bytes, derived from the root key."""
    shelf = Directory(catalog)
    principals, issuing = Principals(catalog), Issuing(shelf, iam_key)
    return [
        Sts(identities),
        Users(shelf),
        AccessKeys(shelf, iam_key),
        InlinePolicies(shelf),
        ManagedPolicies(shelf),
        Attachments(shelf),
        Groups(shelf),
        Renaming(shelf),
        Roles(shelf, principals),
        Boundaries(shelf),
        Tags(shelf),
        Assuming(principals, issuing),
        SessionTokens(issuing),
        Simulating(shelf),
        AccountAliases(shelf),
        AccountWide(shelf, principals),
        Absent(shelf),
    ]
