"""What conditions may ask about a request to IAM or STS: the tags it brings, the policy or boundary it names.

A key about the user or role that is asked for (its tags, its boundary) is one that nobody tells here yet. Pure. Never knows an operation:
all of them spell these members alike in their inputs. Source: "Actions, resources, and condition keys for AWS Identity and Access
Management" and "for AWS Security Token Service" in the service authorization reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.policy.templates import Untold, Value

#: Actions that these keys belong to.
SERVICES: Final = ("iam:", "sts:")
_REQUEST_TAG: Final = "aws:requesttag/"
_UNTOLD: Final = ("aws:resourcetag/", "iam:resourcetag/")


def identity_value(key: str, given: Mapping[str, Any]) -> Value:
    """The value of a condition key (in lower case) of an input; None for a key that is none of these. Raises Untold."""
    if key.startswith(_UNTOLD):
        raise Untold(key)
    if key == "iam:policyarn":
        return given.get("PolicyArn")
    if key == "iam:permissionsboundary":
        return _boundary(given)
    if key == "sts:transitivetagkeys":
        return tuple(given.get("TransitiveTagKeys") or ()) or None
    tags: list[Mapping[str, str]] = given.get("Tags") or []
    if key == "aws:tagkeys":
        return tuple(one.get("Key", "") for one in tags) or tuple(given.get("TagKeys") or ()) or None
    if key.startswith(_REQUEST_TAG):
        wanted = key.removeprefix(_REQUEST_TAG)
        return next((one.get("Value", "") for one in tags if one.get("Key", "").lower() == wanted), None)
    return None


def _boundary(given: Mapping[str, Any]) -> Value:
    """The one that is set; of a change to the policies of a user or role that is there, its own one is meant."""
    if "PermissionsBoundary" in given:
        return str(given["PermissionsBoundary"])
    if given.keys() & {"UserName", "RoleName"} and given.keys() & {"PolicyArn", "PolicyName"}:
        raise Untold("iam:permissionsboundary")
    return None
