"""The rules of S3's tag sets. Pure. Never knows what is tagged, or where the tags are kept.

Sources: "Object tagging" in the S3 user guide, "Tag restrictions" in the cost allocation guide.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ON_BUCKET: Final = 50
KEY_CHARACTERS: Final = range(1, 129)
VALUE_CHARACTERS: Final = range(257)
_SIGNS: Final = frozenset("_.:/=+-@")
_KINDS: Final = frozenset("LZN")  # letters, separators, numbers


def read_tag_set(tagging: Mapping[str, Any], most: int, too_many: str) -> dict[str, str]:
    """Key → value, in the order they were given. ``too_many``: what is said of more than ``most``.

    Raises ApiError MalformedXML, InvalidTag, BadRequest.
    """
    given: list[Mapping[str, str]] = tagging.get("TagSet") or []
    if any(tag.get("Key") is None or tag.get("Value") is None for tag in given):
        raise ApiError("MalformedXML")
    tags: dict[str, str] = {}
    for tag in given:
        key, value = tag["Key"], tag["Value"]
        if len(key) not in KEY_CHARACTERS or not _allowed(key):
            raise ApiError("InvalidTag", "The TagKey you have provided is invalid", fields={"TagKey": key})
        if len(value) not in VALUE_CHARACTERS or not _allowed(value):
            raise ApiError("InvalidTag", "The TagValue you have provided is invalid", fields={"TagKey": key, "TagValue": value})
        if key.lower().startswith("aws:"):
            raise ApiError("InvalidTag", "System tags cannot be added/updated by requester", fields={"TagKey": key})
        if key in tags:
            raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key", fields={"TagKey": key})
        tags[key] = value
    if len(tags) > most:
        raise ApiError("BadRequest", too_many)
    return tags


def show_tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _allowed(text: str) -> bool:
    return all(character in _SIGNS or unicodedata.category(character)[0] in _KINDS for character in text)
