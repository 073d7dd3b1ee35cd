"""The four forms in which AWS takes the name of a key: key id, key ARN, alias name, alias ARN. Pure.

Never knows whether a key exists. A string without a prefix is a key id; nothing is guessed.
Source: AWS KMS Developer Guide, "Key identifiers (KeyId)".
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.kms import refusals
from strongroom.kms.names import ALIAS_PREFIX, KEY_ID, AliasName, KeyName

_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def parse(identifier: str, account_id: str, region: str) -> KeyName | AliasName:
    """What ``identifier`` names, for a caller of ``account_id`` who asks in ``region``. Raises ApiError NotFoundException.

    Ids and alias names belong to the caller's account; an ARN says its own, but never another Region.
    """
    if not identifier.startswith("arn:"):
        return _named(account_id, region, identifier)
    parts = identifier.split(":", 5)
    if len(parts) != len(("arn", "aws", "kms", "region", "account", "resource")) or parts[1:3] != ["aws", "kms"]:
        raise refusals.invalid_key_id(identifier)
    if parts[3] != region:
        raise refusals.invalid_arn(parts[3])
    if not _ACCOUNT.fullmatch(parts[4]):
        raise refusals.invalid_key_id(identifier)
    if parts[5].startswith(ALIAS_PREFIX):
        return AliasName(parts[4], region, parts[5])
    if not parts[5].startswith("key/"):
        raise refusals.invalid_key_id(identifier)
    return _key(parts[4], region, parts[5].removeprefix("key/"))


def _named(account_id: str, region: str, name: str) -> KeyName | AliasName:
    if name.startswith(ALIAS_PREFIX):
        return AliasName(account_id, region, name)
    return _key(account_id, region, name)


def _key(account_id: str, region: str, key_id: str) -> KeyName:
    if not KEY_ID.fullmatch(key_id):
        raise refusals.invalid_key_id(key_id)
    return KeyName(account_id, region, key_id)
