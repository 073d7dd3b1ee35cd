"""The key that signs for one credential scope, and a bounded memory of such keys.

Never knows what is signed. Sources: "Create a signed AWS API request" in the IAM user guide.
"""

from __future__ import annotations

import hmac

from strongroom.seal.mac import MacKey


class SigningKey(MacKey):
    """At most 64 bytes, else ValueError."""

    __slots__ = ()

    def sign(self, text: bytes) -> str:
        """64 hex digits."""
        return self.digest(text).hex()


class SigningKeys:
    """Signing keys by credential (access key id, date, region, service), kept while the secret stays the same."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._keys: dict[str, tuple[str, SigningKey]] = {}

    def find(self, credential: str, secret: str) -> SigningKey:
        """``credential``: ``<access key id>/<date>/<region>/<service>/aws4_request``."""
        kept = self._keys.get(credential)
        if kept is not None and kept[0] == secret:  # both are ours: nothing to time
            return kept[1]
        _, date, region, service, _ = credential.rsplit("/", 4)
        key = SigningKey(derive(secret, date, region, service))
        if len(self._keys) >= self._most:
            self._keys.clear()
        self._keys[credential] = (secret, key)
        return key

    def __len__(self) -> int:
        return len(self._keys)


def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """The 32 bytes that sign for a scope."""
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
