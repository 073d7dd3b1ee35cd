"""Session tokens: what a role's session is, sealed so that the server need not keep it. The secret travels in it, sealed too.

A token is bound to its access key id and good for nothing else; what the role may do is not in it, but looked up at each request.
Never knows a catalog, or who is let in.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.seal import SealError
from strongroom.seal.wrap import Records, derive

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "ASIA"
_LABEL: Final = "strongroom/iam/session-token"
_MOST: Final = 8_192  # characters; a longer text is no token of ours


@dataclass(frozen=True, slots=True)
class Session:
    access_key_id: str  # ASIA...
    secret_access_key: str = field(repr=False)
    account_id: str  # of the role
    role: str  # its name in lower case
    role_id: str  # AROA...
    name: str
    expires_ms: int
    policy: str | None = None  # the session policy that was passed
    policy_arns: tuple[str, ...] = ()


class SessionSeal:
    """``iam_key`` is 32 bytes; raises ValueError for another length."""

    def __init__(self, iam_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self._records = Records(derive(iam_key, _LABEL), random)

    def seal(self, session: Session) -> str:
        sealed = self._records.seal(json.dumps(asdict(session)).encode(), _binding(session.access_key_id))
        return base64.b64encode(sealed).decode("ascii")

    def open(self, token: str, access_key_id: str) -> Session | None:
        """None for whatever was not sealed here for that access key."""
        if len(token) > _MOST:
            return None
        try:
            sealed = base64.b64decode(token.encode(), validate=True)
            value: dict[str, Any] = json.loads(self._records.open(sealed, _binding(access_key_id)))
        except (binascii.Error, UnicodeError, SealError):
            return None
        value["policy_arns"] = tuple(value["policy_arns"])
        return Session(**value)


def _binding(access_key_id: str) -> bytes:
    return f"{_LABEL}/{access_key_id}".encode("utf-8", "surrogatepass")
