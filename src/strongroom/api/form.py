"""Reading ``application/x-www-form-urlencoded`` text: query strings and form bodies. Never knows what the fields mean."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_plus

from strongroom.api.errors import ApiError

_FIELDS: Final = 10_000


def read_form(text: str, *, code: str = "MalformedQueryString") -> dict[str, str]:
    """Fields by name, percent-decoded as UTF-8, ``+`` as a blank; of fields with one name the first counts.

    Raises ApiError ``code`` for bytes that are not UTF-8 and for too many fields.
    """
    if text.count("&") >= _FIELDS:
        raise ApiError(code)
    fields: dict[str, str] = {}
    try:
        for pair in text.split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            if "%" in name or "+" in name:
                name = unquote_plus(name, errors="strict")
            if "%" in value or "+" in value:
                value = unquote_plus(value, errors="strict")
            fields.setdefault(name, value)
    except UnicodeDecodeError as error:
        raise ApiError(code) from error
    return fields
