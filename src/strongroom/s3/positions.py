"""Where a listing goes on: opaque continuation tokens, and the numbers that bound a page. Pure.

A token says a kind and a name, nothing else; it gives no right, so it needs no secret. One that this room did not write is refused.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Literal

from strongroom.api.errors import ApiError

#: After that object key; after all keys with that prefix; after that bucket; after the configuration of that id; after that annotation.
Kind = Literal["key", "prefix", "bucket", "configuration", "annotation"]

_KINDS: Final[dict[bytes, Kind]] = {
    b"\x01k": "key",
    b"\x01p": "prefix",
    b"\x01b": "bucket",
    b"\x01c": "configuration",
    b"\x01a": "annotation",
}
_MARKS: Final = {kind: mark for mark, kind in _KINDS.items()}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


def bad_token() -> ApiError:
    return ApiError("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")


def show_position(kind: Kind, name: str) -> str:
    return urlsafe_b64encode(_MARKS[kind] + name.encode()).decode()


def read_position(token: str) -> tuple[Kind, str]:
    """Raises ApiError InvalidArgument for a token that ``show_position`` did not write."""
    try:
        raw = urlsafe_b64decode(token)
        kind, name = _KINDS[raw[:2]], raw[2:].decode()
    except (ValueError, KeyError):
        raise bad_token() from None
    if not name or show_position(kind, name) != token:
        raise bad_token()
    return kind, name


def read_number(given: int | str) -> int | None:
    """A number as the codec or the client gave it; None when it is none."""
    if isinstance(given, int):
        return given
    return int(given) if _INTEGER.fullmatch(given) else None
