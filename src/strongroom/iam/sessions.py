"""Session tokens: what a session is, sealed so that the server need not keep it. The secret travels in it, sealed too.

A token is bound to its access key id and good for nothing else; what its holder may do is not in it, but looked up at each request.
What was passed when it was asked for (policies, tags) is packed, and has a limit of its own. Never knows a catalog, or who is let in.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Sort
from strongroom.seal import SealError
from strongroom.seal.wrap import Records, derive

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "ASIA"
_LABEL: Final = "strongroom/iam/session-token"
_MOST: Final = 8_192  # characters; a longer text is no token of ours
_MOST_PACKED: Final = 4_096  # bytes: with these a token is still shorter than that


@dataclass(frozen=True, slots=True)
class Passed:
    """What a session was given when it was asked for, beyond what its holder has."""

    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()  # the session's own, and those its caller handed on
    transitive: tuple[str, ...] = ()  # keys of these tags, in lower case, that are handed on
    source_identity: str = ""

    @property
    def packed(self) -> bytes:
        return zlib.compress(json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False).encode(), 9)

    @property
    def percent(self) -> int:
        """How much of the room for it is taken; more than 100 is too much."""
        return math.ceil(len(self.packed) * 100 / _MOST_PACKED)

    @classmethod
    def unpack(cls, packed: bytes) -> Passed:
        value: dict[str, Any] = json.loads(zlib.decompress(packed))
        for name in ("policy_arns", "transitive"):
            value[name] = tuple(value[name])
        value["tags"] = tuple((key, text) for key, text in value["tags"])
        return cls(**value)


NOTHING: Final = Passed()


@dataclass(frozen=True, slots=True)
class Session:
    """``holder_id``: AROA... of the role or AIDA... of the user whose rights it has; the account id for the account's root.

    ``parent``: the access key that asked for it, and that it ends with; "" for a role's session, which lasts its time.
    """

    access_key_id: str  # ASIA...
    secret_access_key: str = field(repr=False)
    account_id: str  # of the holder
    sort: Sort
    holder_id: str
    name: str  # of the role's session or the federated user; "" for a user's own session
    issued_ms: int
    expires_ms: int
    parent: str = ""
    passed: Passed = NOTHING


class SessionSeal:
    """``iam_key`` is 32 bytes; raises ValueError for another length."""

    def __init__(self, iam_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self._records = Records(derive(iam_key, _LABEL), random)

    def seal(self, session: Session) -> str:
        head = {name: value for name, value in asdict(session).items() if name != "passed"}
        sealed = self._records.seal(json.dumps(head).encode() + b"\n" + session.passed.packed, _binding(session.access_key_id))
        return base64.b64encode(sealed).decode("ascii")

    def open(self, token: str, access_key_id: str) -> Session | None:
        """None for whatever was not sealed here for that access key."""
        if len(token) > _MOST:
            return None
        try:
            sealed = base64.b64decode(token.encode(), validate=True)
            head, _, packed = self._records.open(sealed, _binding(access_key_id)).partition(b"\n")
            return Session(**json.loads(head), passed=Passed.unpack(packed))
        except (binascii.Error, UnicodeError, SealError):
            return None


def _binding(access_key_id: str) -> bytes:
    return f"{_LABEL}/{access_key_id}".encode("utf-8", "surrogatepass")
