"""Names of keys and aliases, and where their documents are. Pure.

Never knows whether such a key exists, nor how a caller spelt the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

#: A UUID in lower case, or the id of a multi-Region key.
KEY_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32}")
_ARN: Final = re.compile(rf"arn:aws:kms:([a-z0-9-]+):([0-9]{{12}}):key/({KEY_ID.pattern})")
ALIAS_PREFIX: Final = "alias/"
RESERVED_PREFIX: Final = "alias/aws/"  # aliases of the keys that services manage
S3_ALIAS: Final = "alias/aws/s3"


class KeyName(NamedTuple):
    """Which key, all over the world."""

    account_id: str
    region: str
    key_id: str

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{self.region}:{self.account_id}:key/{self.key_id}"

    @property
    def multi_region(self) -> bool:
        return self.key_id.startswith("mrk-")

    def related(self, other: KeyName) -> bool:
        """The same key, or the same multi-Region key in another Region: what one sealed, the other may open."""
        return self == other or (self.multi_region and other._replace(region=self.region) == self)

    def within(self, region: str) -> KeyName:
        """The related key of another Region."""
        return self._replace(region=region)

    @property
    def scope(self) -> str:
        """Where its documents are."""
        return f"kms/{self.account_id}/{self.region}/{self.key_id}"


def named(key_arn: str) -> KeyName | None:
    """Of an ARN that is a ``KeyName``'s; None for any other text."""
    match = _ARN.fullmatch(key_arn)
    return None if match is None else KeyName(match[2], match[1], match[3])


@dataclass(frozen=True, slots=True)
class AliasName:
    account_id: str
    region: str
    alias: str  # with its prefix: alias/...

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{self.region}:{self.account_id}:{self.alias}"

    @property
    def scope(self) -> str:
        return f"kms/{self.account_id}/{self.region}/{self.alias}"

    @property
    def reserved(self) -> bool:
        return self.alias.startswith(RESERVED_PREFIX)
