"""What is public, and what S3 Block Public Access does about it. Pure. Never knows buckets, nor where settings are kept.

Sources: "Blocking public access to your Amazon S3 storage", with its meaning of "public", in the S3 user guide.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from strongroom.policy.compiled import Statement
from strongroom.policy.conditions import Condition, Quantifier
from strongroom.policy.operators import read_network
from strongroom.policy.templates import template

#: A fixed value of one of these makes a statement for everyone one for somebody.
_NARROWING: Final = frozenset(
    {
        "aws:principalorgid",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
_OPERATORS: Final = frozenset({"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"})
_WIDEST: Final = {4: 8, 6: 32}  # bits of a network that is somebody's
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
_GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS})


def is_public(statements: Iterable[Statement]) -> bool:
    """Whether a bucket policy with these statements opens the bucket to everyone."""
    return any(
        one.allows
        and not one.inert
        and (one.not_principal or (one.principals is not None and one.principals.everyone))
        and not any(_narrows(condition) for condition in one.conditions)
        for one in statements
    )


def _narrows(condition: Condition) -> bool:
    if condition.negated or condition.if_exists or condition.quantifier is Quantifier.ALL:
        return False
    if condition.key == "aws:sourceip":
        return condition.operator == "IpAddress" and all(_is_narrow(operand) for operand in condition.operands)
    if condition.key not in _NARROWING or condition.operator not in _OPERATORS:
        return False
    return all(template(operand, variables=True).fixed for operand in condition.operands)


def _is_narrow(operand: str) -> bool:
    network = read_network(operand)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return network.prefixlen >= 96 + _WIDEST[4]
    return network is not None and network.prefixlen >= _WIDEST[network.version]


def is_public_grant(grantee_uri: str | None) -> bool:
    """Whether a grant of an ACL is to everyone: ``grantee_uri`` is the URI of the group it is to, if it is to one."""
    return grantee_uri in _GROUPS


@dataclass(frozen=True, slots=True)
class PublicAccessBlock:
    """The four settings of S3 Block Public Access."""

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False

    def with_account(self, account: PublicAccessBlock) -> PublicAccessBlock:
        """What holds when bucket and account have settings: of each the stricter."""
        return PublicAccessBlock(
            self.block_public_acls or account.block_public_acls,
            self.ignore_public_acls or account.ignore_public_acls,
            self.block_public_policy or account.block_public_policy,
            self.restrict_public_buckets or account.restrict_public_buckets,
        )

    def refuses_policy(self, *, public: bool) -> bool:
        """Whether a bucket policy may not be put."""
        return self.block_public_policy and public

    def refuses_acl(self, *, public: bool) -> bool:
        """Whether an ACL may not be put."""
        return self.block_public_acls and public

    def restricts(self, *, public_policy: bool) -> bool:
        """Whether callers of other accounts, and nobody in particular, are kept out of the bucket."""
        return self.restrict_public_buckets and public_policy

    def ignores_grant(self, grantee_uri: str | None) -> bool:
        """Whether a grant of an ACL has no effect."""
        return self.ignore_public_acls and is_public_grant(grantee_uri)


#: An account's that has none.
NOT_BLOCKED: Final = PublicAccessBlock()
#: A new bucket's.
ALL_BLOCKED: Final = PublicAccessBlock(True, True, True, True)
