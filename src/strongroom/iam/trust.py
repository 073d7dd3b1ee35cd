"""Trust policies of roles: checked when they come, bound to the unique ids of those they name, and told with the names of now.

Never knows who assumes a role, or how a trust policy is weighed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.iam import refusals
from strongroom.iam.errors import Damaged
from strongroom.iam.inline_policies import shown_document
from strongroom.iam.principals import Principals
from strongroom.policy.binding import arns_of, bound, renamed
from strongroom.policy.decide import Authority
from strongroom.policy.faults import InvalidPolicy, Kind, invalid_principal
from strongroom.policy.identity_documents import MOST_TRUST, counted_size, read_trust_policy

if TYPE_CHECKING:
    from strongroom.iam.entities import Entity
    from strongroom.store.contract import Reader


async def checked_trust(principals: Principals, text: str, role_arn: str) -> dict[str, str]:
    """The unique ids of those it names, by ARN. Raises ApiError MalformedPolicyDocument, LimitExceeded."""
    try:
        policy = read_trust_policy(text, role_arn)
        for sort, value in policy.named:
            if not await principals.is_named(sort, value):
                raise invalid_principal(Kind.TRUST, value, sort)
    except InvalidPolicy as error:
        raise refusals.malformed_policy(error) from None
    if counted_size(text) > MOST_TRUST:
        raise refusals.quota("ACLSizePerRole", MOST_TRUST)
    return await principals.ids_of(arns_of(policy))


async def shown_trust(principals: Principals, role: Entity) -> str:
    """As answers carry it: whoever was renamed under the new ARN, whoever is gone as the id that nobody has any more."""
    return shown_document(renamed(role.trust, await principals.names_of(role.trust_ids)))


async def trust_authority(catalog: Reader, role_arn: str) -> Authority:
    """Who decides who may assume a role. A role that is not there is nobody's, so nobody may. Raises Damaged."""
    role = await Principals(catalog).entity(role_arn)
    if role is None or role.sort != "role":
        return Authority("")
    try:
        policy = read_trust_policy(role.trust, role_arn)
    except InvalidPolicy as error:
        raise Damaged(f"the trust policy of {role_arn} cannot be read: {error}") from error
    return Authority(role.account_id, (bound(policy, role.trust_ids),), policy_required=True)
