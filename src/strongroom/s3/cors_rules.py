"""The rules of a CORSConfiguration, between S3's shape, the stored document and the values that are matched. Pure.

Never knows buckets or requests. Sources: PutBucketCors in the S3 API reference; texts as recorded from AWS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from strongroom.api.errors import ApiError
from strongroom.policy.cross_origin import METHODS, CorsRule

MOST_RULES: Final = 100
ID_CHARACTERS: Final = 255
MOST_CHARACTERS: Final = 64 << 10  # of all values; S3 limits the document to 64 KB
_LISTS: Final = ("AllowedOrigins", "AllowedMethods", "AllowedHeaders", "ExposeHeaders")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_ORIGIN: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)


def check_rules(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules of a CORSConfiguration as they are kept. Raises ApiError MalformedXML, InvalidRequest, MaxMessageLengthExceeded."""
    rules: list[Mapping[str, Any]] = configuration.get("CORSRules") or []
    if not rules or any(not _values(rule, "AllowedOrigins") or not _values(rule, "AllowedMethods") for rule in rules):
        raise ApiError("MalformedXML")
    if len(rules) > MOST_RULES:
        raise _invalid(f"The number of CORS rules should not exceed allowed limit of {MOST_RULES} rules.")
    for rule in rules:
        _check_rule(rule)
    if sum(len(value) for rule in rules for element in _LISTS for value in _values(rule, element)) > MOST_CHARACTERS:
        raise ApiError("MaxMessageLengthExceeded")
    return [dict(rule) for rule in rules]


def _check_rule(rule: Mapping[str, Any]) -> None:
    origins, methods, allowed, exposed = (_values(rule, element) for element in _LISTS)
    for method in methods:
        if method not in METHODS:
            raise _invalid(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for element, values in (("AllowedOrigin", origins), ("AllowedHeader", allowed)):
        for value in values:
            if value.count("*") > 1:
                raise _invalid(f'{element} "{value}" can not have more than one wildcard.')
    for name in exposed:
        if "*" in name:
            raise _invalid(f'ExposeHeader "{name}" contains wildcard. We currently do not support wildcard for ExposeHeader.')
    # What is no header name could put another header into an answer; an origin that is none could only be a mistake.
    if not all(_HEADER_NAME.fullmatch(name) for name in (*allowed, *exposed)) or not all(map(_ORIGIN.fullmatch, origins)):
        raise ApiError("MalformedXML")
    if len(rule.get("ID") or "") > ID_CHARACTERS:
        raise _invalid(f"The ID of a CORS rule cannot be longer than {ID_CHARACTERS} characters.")
    if (rule.get("MaxAgeSeconds") or 0) < 0:
        raise ApiError("MalformedXML")


def _values(rule: Mapping[str, Any], element: str) -> list[str]:
    return rule.get(element) or []


def _invalid(text: str) -> ApiError:
    return ApiError("InvalidRequest", text)


def stored_rules(document: list[Mapping[str, Any]] | None) -> tuple[CorsRule, ...]:
    """The rules as they are matched."""
    return tuple(_compiled(rule) for rule in document or [])


def _compiled(rule: Mapping[str, Any]) -> CorsRule:
    origins, methods, allowed, exposed = (tuple(_values(rule, element)) for element in _LISTS)
    return CorsRule(origins, methods, tuple(name.lower() for name in allowed), exposed, rule.get("MaxAgeSeconds"))
