"""Grant tokens: what CreateGrant hands out beside a grant's id. Authenticated, so that nobody makes one up.

A grant works at once here, so that a token adds nothing to it; but a request that brings one must bring a true one. Never knows what
a grant allows.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.kms.grant_records import GRANT_KIND, GrantRecord, grants_scope
from strongroom.kms.names import KeyName
from strongroom.kms.records import binding
from strongroom.seal.wrap import derive

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.api.operation import Call
    from strongroom.store.contract import Reader

_MAC_SIZE: Final = 32
_RANDOM_SIZE: Final = 16  # every token of a grant is another one
_OLD_ALPHABET: Final = str.maketrans(
    "-_", "+/"
)  # of the first tokens, some of which began with a dash, as options of commands do


class GrantTokens:
    """HMAC-SHA256 over the place of the grant and a random number, under a key of its own, then both of them."""

    def __init__(self, catalog: Reader, kms_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self._catalog = catalog
        self._key = derive(kms_key, "strongroom/kms/grant-tokens")
        self._random = random

    def write(self, key: KeyName, grant_id: str) -> str:
        salt = self._random(_RANDOM_SIZE)
        place = f"{key.account_id}/{key.region}/{key.key_id}/{grant_id}"
        return base64.b64encode(self._mac(salt, place) + salt + place.encode()).decode()

    def read(self, token: str) -> tuple[KeyName, str]:
        """The key and the grant id that a token was written for. Raises ApiError InvalidGrantTokenException."""
        try:
            data = base64.b64decode(token.translate(_OLD_ALPHABET).encode(), validate=True)
            place = data[_MAC_SIZE + _RANDOM_SIZE :].decode()
        except (binascii.Error, UnicodeError):
            raise invalid_token() from None
        if not hmac.compare_digest(data[:_MAC_SIZE], self._mac(data[_MAC_SIZE : _MAC_SIZE + _RANDOM_SIZE], place)):
            raise invalid_token()
        account_id, region, key_id, grant_id = place.split("/")
        return KeyName(account_id, region, key_id), grant_id

    async def grant(self, token: str) -> GrantRecord:
        """The grant of a token. Raises ApiError InvalidGrantTokenException, also for one that was retired or revoked."""
        key, grant_id = self.read(token)
        value = await self._catalog.document(grants_scope(key) + grant_id, GRANT_KIND)
        if value is None:
            raise invalid_token()
        return GrantRecord.read(key, grant_id, value)

    async def check(self, call: Call) -> None:
        """The ``GrantTokens`` of a request, each. Raises ApiError InvalidGrantTokenException."""
        tokens: list[str] = call.input.get("GrantTokens") or []
        for token in tokens:
            await self.grant(token)

    def _mac(self, salt: bytes, place: str) -> bytes:
        return hmac.digest(self._key, binding("grant-token", salt.hex(), place), "sha256")


def invalid_token() -> ApiError:
    return ApiError("InvalidGrantTokenException", "The grant token is not valid.")
