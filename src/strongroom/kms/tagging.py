"""The rules of tags on keys. Pure.

Never knows which key they are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TAGS: Final = 50
Tags = tuple[tuple[str, str], ...]


def given_tags(items: Sequence[Mapping[str, str]]) -> Tags:
    """The tags of a request. Raises ApiError TagException."""
    tags = tuple((item["TagKey"], item["TagValue"]) for item in items)
    if len({key for key, _ in tags}) != len(tags):
        raise ApiError("TagException", "Duplicate tag keys")
    if any(key.lower().startswith("aws:") for key, _ in tags):
        raise ApiError("TagException", "Tags beginning with aws: are reserved")
    if len(tags) > MAX_TAGS:
        raise ApiError("TagException", "Too many tags")
    return tags


def merged_tags(tags: Tags, more: Tags) -> Tags:
    """Equal keys are overwritten in their place, new ones come behind. Raises ApiError TagException."""
    merged = {**dict(tags), **dict(more)}
    if len(merged) > MAX_TAGS:
        raise ApiError("TagException", "Too many tags")
    return tuple(merged.items())
