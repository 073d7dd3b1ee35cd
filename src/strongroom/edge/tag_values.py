"""What conditions may ask about the tags that a request to IAM or STS brings: ``aws:RequestTag/...`` and ``aws:TagKeys``.

Pure. Never knows an operation: all of them spell tags alike in their inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.policy.templates import Value

#: Actions whose requests carry tags in this way.
TAGGED: Final = ("iam:", "sts:")
_REQUEST_TAG: Final = "aws:requesttag/"


def tag_value(key: str, given: Mapping[str, Any]) -> Value:
    """The value of a condition key (in lower case) that is about the request's tags; None for any other, and where there are none."""
    if key == "sts:transitivetagkeys":
        return tuple(given.get("TransitiveTagKeys") or ()) or None
    tags: list[Mapping[str, str]] = given.get("Tags") or []
    if key == "aws:tagkeys":
        return tuple(one.get("Key", "") for one in tags) or tuple(given.get("TagKeys") or ()) or None
    if key.startswith(_REQUEST_TAG):
        wanted = key.removeprefix(_REQUEST_TAG)
        return next((one.get("Value", "") for one in tags if one.get("Key", "").lower() == wanted), None)
    return None
