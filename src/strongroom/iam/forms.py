"""The forms that names, ids and secrets must have. Pure; each check returns what it was given, or raises Malformed."""

from __future__ import annotations

import re
from typing import Final

from strongroom.iam.errors import Malformed

_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")
_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{64}")
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{3,128}")  # AWS: 16 to 128; test suites and operators use shorter ones
_SECRET: Final = re.compile(r"[!-~]{8,128}")
_NAME: Final = re.compile(r"[A-Za-z0-9_+=,.@-](?:[A-Za-z0-9_+=,.@ -]{0,62}[A-Za-z0-9_+=,.@-])?")
_EMAIL: Final = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,255}")


def account_id(value: str) -> str:
    return _checked(_ACCOUNT_ID, value, "an account id is 12 digits")


def canonical_id(value: str) -> str:
    return _checked(_CANONICAL_ID, value, "a canonical id is 64 hexadecimal digits in lower case")


def access_key_id(value: str) -> str:
    return _checked(_ACCESS_KEY_ID, value, "an access key id is 3 to 128 of A-Z, a-z, 0-9 and _")


def is_access_key_id(value: str) -> bool:
    """Whether a record for it can exist at all. Cheap for the long and strange ones that strangers send."""
    return len(value) <= 128 and _ACCESS_KEY_ID.fullmatch(value) is not None


def secret_access_key(value: str) -> str:
    """The value itself never gets into the error."""
    return _checked(_SECRET, value, "a secret access key is 8 to 128 printable ASCII characters without blanks")


def account_name(value: str) -> str:
    return _checked(_NAME, value, "an account name is 1 to 64 of A-Z, a-z, 0-9, blanks inside and _+=,.@-")


def email(value: str) -> str:
    return _checked(_EMAIL, value, "an email address is name@domain in printable ASCII, at most 64 and 255 characters")


def _checked(form: re.Pattern[str], value: str, rule: str) -> str:
    if form.fullmatch(value) is None:
        raise Malformed(rule)
    return value
