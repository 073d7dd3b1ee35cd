"""The rules of S3's tag sets. Pure. Never knows what is tagged, or where the tags are kept.

Sources: "Object tagging" in the S3 user guide, "Tag restrictions" in the cost allocation guide; texts as AWS answers them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from strongroom.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY_CHARACTERS: Final = range(1, 129)
VALUE_CHARACTERS: Final = range(257)
TAGGING_HEADER: Final = "x-amz-tagging"
_SIGNS: Final = frozenset("_.:/=+-@")
_KINDS: Final = frozenset("LZN")  # letters, separators, numbers
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class TagRules:
    """What differs between the things that have tags."""

    most: int
    too_many: str  # what is said of more
    reserved: str  # what is said of a key that begins with aws:


BUCKET_TAGS: Final = TagRules(
    50, "Bucket tag count cannot be greater than 50", "System tags cannot be added/updated by requester"
)
OBJECT_TAGS: Final = TagRules(10, "Object tags cannot be greater than 10", "Your TagKey cannot be prefixed with aws:")


def read_tag_set(tagging: Mapping[str, Any], rules: TagRules) -> dict[str, str]:
    """Key → value, in the order they were given. Raises ApiError MalformedXML, InvalidTag, BadRequest."""
    given: list[Mapping[str, str]] = tagging.get("TagSet") or []
    if any(tag.get("Key") is None or tag.get("Value") is None for tag in given):
        raise ApiError("MalformedXML")
    return _checked(((tag["Key"], tag["Value"]) for tag in given), rules)


def read_tagging_header(header: str, rules: TagRules = OBJECT_TAGS) -> dict[str, str]:
    """The tags of ``k=v&k2=v2``, percent-encoded as a query. A key alone has an empty value; nothing between two ``&`` is nothing.

    Raises ApiError InvalidArgument, InvalidTag, BadRequest.
    """
    pairs: list[tuple[str, str]] = []
    for part in header.split("&"):
        if not part:
            continue
        key, _, value = part.partition("=")
        if not key or "=" in value:
            raise _bad_header(header)
        pairs.append((_decoded(key, header), _decoded(value, header)))
    if len({key for key, _ in pairs}) != len(pairs):
        raise _bad_header(header)
    return _checked(pairs, rules)


def requested_tags(given: Mapping[str, Any]) -> dict[str, str]:
    """The tags that a write brings: in its header, or as the document of a form. Raises ApiError as the two readers."""
    header: str | None = given.get("Tagging")
    document: Mapping[str, Any] | None = given.get("TaggingDocument")
    if document is None:
        return read_tagging_header(header) if header else {}
    if header:
        raise ApiError("InvalidRequest", f"The form has tags twice: as 'tagging' and as '{TAGGING_HEADER}'.")
    return read_tag_set(document, OBJECT_TAGS)


def check_tags(tags: Mapping[str, str], rules: TagRules) -> dict[str, str]:
    """A set that came about by adding to another. Raises ApiError InvalidTag, BadRequest."""
    return _checked(tags.items(), rules)


def brought(tags: Mapping[str, str]) -> dict[str, str | tuple[str, ...]]:
    """What conditions see of the tags that a request brings for a bucket."""
    values: dict[str, str | tuple[str, ...]] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        values["aws:TagKeys"] = tuple(tags)
    return values


def show_tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _checked(pairs: Iterable[tuple[str, str]], rules: TagRules) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if len(key) not in KEY_CHARACTERS or not _allowed(key):
            raise ApiError("InvalidTag", "The TagKey you have provided is invalid", fields={"TagKey": key})
        if len(value) not in VALUE_CHARACTERS or not _allowed(value):
            raise ApiError("InvalidTag", "The TagValue you have provided is invalid", fields={"TagKey": key, "TagValue": value})
        if key.lower().startswith("aws:"):
            raise ApiError("InvalidTag", rules.reserved, fields={"TagKey": key})
        if key in tags:
            raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key", fields={"TagKey": key})
        tags[key] = value
    if len(tags) > rules.most:
        raise ApiError("BadRequest", rules.too_many)
    return tags


def _allowed(text: str) -> bool:
    return all(character in _SIGNS or unicodedata.category(character)[0] in _KINDS for character in text)


def _decoded(text: str, header: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise _bad_header(header)
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise _bad_header(header) from None


def _bad_header(header: str) -> ApiError:
    text = f"The header '{TAGGING_HEADER}' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
    return ApiError("InvalidArgument", text, ArgumentName=TAGGING_HEADER, ArgumentValue=header)
