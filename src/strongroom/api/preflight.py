"""``Preflight``: what a browser asks before a request of a page from elsewhere (OPTIONS), which the model does not have. Pure.

Its output's members are headers by their names on the wire. Never knows rules. Source: "OPTIONS object" in the S3 API reference.
"""

from __future__ import annotations

from typing import Final

from strongroom.api.rest_xml_plans import Answered, Asked

OPERATION: Final = "Preflight"
_HEADERS: Final = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "vary",
)


def asked_plan() -> Asked:
    return Asked(bucket=True, key=True)


def answered_plan() -> Answered:
    return Answered(200, {name: (name, None) for name in _HEADERS})
