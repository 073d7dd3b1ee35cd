"""What a new bucket may be called, where it may be, and what else may be asked for it. Pure.

Never knows stores or HTTP. Source: AWS's rules for general purpose bucket names; CreateBucket's reference page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_IP_ADDRESS: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}", re.ASCII)
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--table-s3")
DIRECTORY: Final = "--x-s3"  # how the names of directory buckets end, and no other's
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-[1-9][0-9]?", re.ASCII)
_EU: Final = "EU"  # how S3 spelt eu-west-1 before regions had names


def check_bucket_name(name: str) -> None:
    """Raises ApiError InvalidBucketName; NotImplemented for the name of a directory bucket."""
    refuse_directory_bucket(name)
    if (
        not _NAME.fullmatch(name)
        or ".." in name
        or _IP_ADDRESS.fullmatch(name)
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
    ):
        raise ApiError("InvalidBucketName", BucketName=name)


def refuse_directory_bucket(name: str) -> None:
    if name.endswith(DIRECTORY):
        raise ApiError("NotImplemented", "Directory buckets are not implemented.")


def bucket_region(constraint: str | None, request_region: str, served: tuple[str, ...]) -> str:
    """The region of a new bucket. ``served``: the regions this server has; empty is any that looks like AWS's.

    Raises ApiError InvalidLocationConstraint, IllegalLocationConstraintException.
    """
    if not constraint:
        if request_region != "us-east-1":
            raise _illegal("unspecified")
        wanted = request_region
    else:
        wanted = "eu-west-1" if constraint == _EU else constraint
        if wanted == "us-east-1" == request_region or not _REGION.fullmatch(wanted):
            raise ApiError("InvalidLocationConstraint", LocationConstraint=constraint)
        if request_region not in {"us-east-1", wanted}:
            raise _illegal(constraint)
    if served and wanted not in served:
        raise ApiError("InvalidLocationConstraint", LocationConstraint=constraint or wanted)
    return wanted


def check_new_bucket(given: Mapping[str, Any]) -> None:
    """What CreateBucket is asked beside name and region. Raises ApiError NotImplemented for what is not built."""
    if given.get("BucketNamespace") not in {None, "global"}:
        raise ApiError("NotImplemented", Header="x-amz-bucket-namespace")
    configuration: Mapping[str, Any] = given.get("CreateBucketConfiguration") or {}
    for member in ("Location", "Bucket"):
        if configuration.get(member):
            raise ApiError("NotImplemented", f"{member} in CreateBucketConfiguration is not implemented.")


def _illegal(constraint: str) -> ApiError:
    return ApiError(
        "IllegalLocationConstraintException",
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent to.",
    )
