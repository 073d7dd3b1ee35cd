"""The rules of the configurations that are kept by id, beyond what the model states. Pure; never knows buckets or where they are kept.

Sources: AnalyticsConfiguration, MetricsConfiguration and IntelligentTieringConfiguration in the S3 API reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError
from strongroom.s3.tag_sets import KEY_CHARACTERS, VALUE_CHARACTERS

Configuration = Mapping[str, Any]

_BUCKET_ARN: Final = re.compile(r"arn:aws:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_LONGEST: Final = 730  # days
#: Access tier -> the least days without access.
_TIERS: Final = {"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}


def check_metrics(configuration: Configuration) -> None:
    """Raises ApiError MalformedXML, InvalidTag, NotImplemented."""
    _check_filter(configuration.get("Filter"))


def check_analytics(configuration: Configuration) -> None:
    """Raises ApiError MalformedXML, InvalidTag, InvalidArgument."""
    _check_filter(configuration.get("Filter"))
    analysis: Mapping[str, Any] | None = configuration.get("StorageClassAnalysis")
    if analysis is None:
        raise ApiError("MalformedXML")
    if "DataExport" not in analysis:
        return
    destination: Mapping[str, str] = analysis["DataExport"]["Destination"]["S3BucketDestination"]
    if not _BUCKET_ARN.fullmatch(destination["Bucket"]):
        raise ApiError("InvalidArgument", "The destination is not the ARN of a bucket.")
    if not _ACCOUNT.fullmatch(destination.get("BucketAccountId", "0" * 12)):
        raise ApiError("InvalidArgument", "The account of the destination is not an account id.")


def check_tiering(configuration: Configuration) -> None:
    """Raises ApiError MalformedXML, InvalidTag, InvalidArgument."""
    _check_filter(configuration.get("Filter"))
    tierings: list[Mapping[str, Any]] = configuration.get("Tierings") or []
    tiers = [tiering["AccessTier"] for tiering in tierings]
    if not tiers or len(set(tiers)) != len(tiers) or configuration.get("Status") is None:
        raise ApiError("MalformedXML")
    for tiering in tierings:
        least = _TIERS[tiering["AccessTier"]]
        if not least <= tiering["Days"] <= _LONGEST:
            text = f"'Days' of the {tiering['AccessTier']} tier must be from {least} to {_LONGEST}."
            raise ApiError("InvalidArgument", text, ArgumentName="Days", ArgumentValue=str(tiering["Days"]))


def _check_filter(given: Mapping[str, Any] | None) -> None:
    """A filter is one predicate, or a conjunction of at least two; none at all is the whole bucket."""
    if given is None:
        return
    if len(given) != 1:
        raise ApiError("MalformedXML")
    both: Mapping[str, Any] | None = given.get("And")
    predicates = given if both is None else both
    if "AccessPointArn" in predicates:
        raise ApiError("NotImplemented", "Access points are not implemented.")
    tags: list[Mapping[str, str]] = [predicates["Tag"]] if "Tag" in predicates else predicates.get("Tags") or []
    if both is not None and ("Prefix" in both) + len(tags) < 2:
        raise ApiError("MalformedXML")
    if any(len(tag["Key"]) not in KEY_CHARACTERS or len(tag["Value"]) not in VALUE_CHARACTERS for tag in tags):
        raise ApiError("InvalidTag")
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise ApiError("InvalidTag", "Cannot provide multiple Tags with the same key")
