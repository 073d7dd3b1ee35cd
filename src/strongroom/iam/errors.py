"""What iam may raise: one base and a closed handful. No text ever holds a secret.

Never knows an AWS error code: the room that answers a client chooses it.
"""

from __future__ import annotations


class IdentityError(Exception):
    """Base of what iam may raise."""


class Malformed(IdentityError):
    """A name, id or secret does not have the form it must have."""


class Taken(IdentityError):
    """Another account or access key has that name or id already."""


class Unknown(IdentityError):
    """There is no such account or access key."""


class Damaged(IdentityError):
    """A stored record does not open: it was changed on disk, or the root key is another one."""


class BadToken(IdentityError):
    """A session token was not made here, or not for that access key."""
