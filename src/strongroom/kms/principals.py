"""Who can be named in a grant or a key policy: the forms of principal ARNs, and the question whether one exists. Pure but for that.

Never knows where accounts and users are kept: the server brings what answers (``Principals``). Source: "IAM identifiers" in the IAM
User Guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

_FORM: Final = re.compile(
    r"arn:aws:(?:iam::(?P<iam>[0-9]{12}):(?:root|(?:user|role)/[\w+=,.@/-]{1,512})"
    r"|sts::(?P<sts>[0-9]{12}):(?:assumed-role/[\w+=,.@-]{1,64}/[\w+=,.@-]{2,64}|federated-user/[\w+=,.@-]{2,32}))",
    re.ASCII,
)


class Principals(Protocol):
    """Answered by the room of identities."""

    async def exists(self, principal_arn: str) -> bool:
        """Whether that account, user, role or session is there. For a text of another form: False."""
        ...

    async def ids_of(self, principal_arns: Iterable[str]) -> dict[str, str]:
        """The unique ids of those that are users and roles, by ARN: whoever takes such a name later is another."""
        ...

    async def names_of(self, ids: Mapping[str, str]) -> dict[str, str]:
        """Of ARNs as they were when their ids were noted: what to show instead where that has changed."""
        ...


def account_of(principal_arn: str) -> str | None:
    """The account of a principal's ARN; None for a text that is no such ARN."""
    found = _FORM.fullmatch(principal_arn)
    return None if found is None else found["iam"] or found["sts"]


def root_of(account_id: str) -> str:
    return f"arn:aws:iam::{account_id}:root"
