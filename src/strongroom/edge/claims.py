"""What a request claims about who signed it: the Authorization header or the presigned query, taken apart. Pure.

Nothing here is believed yet: ``sigv4`` verifies it. Never knows secrets or what the request asks for.
Sources: "AWS Signature Version 4" in the S3 API reference; order and texts of refusals as recorded from AWS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote

from strongroom.api.errors import ApiError
from strongroom.api.operation import Service
from strongroom.edge.canonical import Pairs, canonical_query, is_canonical_query, pairs_of
from strongroom.edge.head import Head
from strongroom.edge.refusals import CREDENTIAL_FORM, Refusals

ALGORITHM: Final = "AWS4-HMAC-SHA256"
LONGEST: Final = 604_800  # seconds a presigned request may live

_HEADER: Final = re.compile(
    rf"{ALGORITHM}\s+Credential=(([^\s,/]+)/(\d{{8}})/([^\s,/]+)/([^\s,/]+)/aws4_request),\s*"
    r"SignedHeaders=([^\s,]+),\s*Signature=([0-9a-f]{64})",
    re.ASCII,
)
_PRESIGNED: Final = re.compile(
    rf"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=([A-Za-z0-9]+)%2F(\d{{8}})%2F([a-z0-9-]+)%2F([a-z0-9]+)%2Faws4_request"
    r"&X-Amz-Date=(\d{8}T\d{6}Z)(&X-Amz-SignedHeaders=[a-z0-9-]+)?&X-Amz-Expires=(\d{1,6})(&X-Amz-SignedHeaders=[a-z0-9-]+)?"
    r"((?:&[a-z][A-Za-z0-9_.~%-]*=[A-Za-z0-9_.~%-]*)*)&X-Amz-Signature=([0-9a-f]{64})",
    re.ASCII,
)
_SIGNED_HEADERS: Final = len("&X-Amz-SignedHeaders=")
_SIGNATURE_PART: Final = len("&X-Amz-Signature=") + 64
_SCOPE: Final = re.compile(r"/[0-9]{8}/[^/]*/([a-z0-9]+)/aws4_request")
_SERVICES: Final[dict[str, Service]] = {"kms": "kms", "iam": "iam", "sts": "sts"}
_QUERY_NAMES: Final = ("Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires")
_PARTS: Final = ("Credential", "SignedHeaders", "Signature")
_TIMESTAMP: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_DATE: Final = re.compile(r"[0-9]{8}")


@dataclass(slots=True)
class Claim:
    """Who is said to have signed what, when, and for how long."""

    access_key_id: str
    credential: str  # <access key id>/<date>/<region>/<service>/aws4_request
    date: str  # of the scope, YYYYMMDD
    region: str
    service: str
    signed_headers: list[str]  # lower-case, sorted, each once
    signature: str = field(repr=False)
    timestamp: str  # YYYYMMDDTHHMMSSZ
    signed_at: datetime
    query: str = field(repr=False)  # canonical
    presigned: bool = False
    expires: int = 0  # seconds; presigned only
    token: str | None = field(default=None, repr=False)
    # What the request asks besides the signature's parameters, as sent, when that is easily told.
    own_query: str | None = field(default=None, repr=False)
    policy: str | None = field(default=None, repr=False)  # of a form, base64: what was signed instead of the request
    # Of a presigned query that may carry headers: decoded names and values.
    params: Pairs | None = field(default=None, repr=False)

    @property
    def elsewhere(self) -> bool:
        """It came in the query or in a form, not in a header."""
        return self.presigned or self.policy is not None

    @property
    def scope(self) -> str:
        return self.credential.partition("/")[2]


def guess_service(head: Head) -> Service:
    """The service that a request to ``/`` is for, as far as its words of refusal need to know; the router decides."""
    authorization = head.headers.get("authorization")
    found = _SCOPE.search(unquote(head.query) if authorization is None else authorization)
    if found is not None:
        return _SERVICES.get(found[1], "s3")
    if head.headers.get("x-amz-target", "").startswith("TrentService."):
        return "kms"
    form = head.method == "POST" and head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return "sts" if form else "s3"


def read_claim(head: Head, refusals: Refusals) -> Claim | None:
    """The claim of a request, or None when it carries none. Raises ApiError in the service's words."""
    authorization = head.headers.get("authorization")
    query = head.query
    if authorization is None and "X-Amz-Algorithm=" in query:
        claim = _standard_query_claim(query)
        if claim is not None:
            return claim
    signed_query = "X-Amz-" in query and _is_presigned(query)
    if authorization is not None:
        if signed_query or (query and _has_v2_parameters(query)):
            raise refusals.both(authorization)
        return _header_claim(head, authorization, refusals)
    if signed_query:
        return _query_claim(query, refusals)
    if query and _has_v2_parameters(query):
        if not all(f"{name}=" in query for name in ("AWSAccessKeyId", "Signature", "Expires")):
            raise ApiError(
                "AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
            )
        raise refusals.unsupported("AWS ")
    return None


def _is_presigned(query: str) -> bool:
    return any(
        part.startswith(("X-Amz-Signature=", "X-Amz-Credential=", "X-Amz-Algorithm="))
        for part in query.split("&")
        if part[:6] == "X-Amz-"
    )


def _has_v2_parameters(query: str) -> bool:
    return any(part.startswith(("AWSAccessKeyId=", "Signature=")) for part in query.split("&"))


# ------------------------------------------------------------------------------------------------------------ header form


def _header_claim(head: Head, authorization: str, refusals: Refusals) -> Claim:
    found = _HEADER.fullmatch(authorization)
    credential, access_key_id, date, region, service, names, signature = (
        found.groups() if found else _parts(authorization, refusals)
    )
    signed = _names(names)
    timestamp, signed_at = _time_of(head, signed, refusals)
    query = head.query
    if query:
        query = canonical_query(pairs_of(query))
    token = head.headers.get("x-amz-security-token")
    return Claim(access_key_id, credential, date, region, service, signed, signature, timestamp, signed_at, query, token=token)


def _names(text: str) -> list[str]:
    return sorted(set(text.lower().split(";")) - {""})


def _parts(authorization: str, refusals: Refusals) -> tuple[str, ...]:
    """The slow way through a header that is not in the usual form: finds what is wrong with it, or that nothing is."""
    kind, _, rest = authorization.strip().partition(" ")
    if kind != ALGORITHM:
        raise refusals.unsupported(authorization)
    parts: dict[str, str] = {}
    for item in rest.split(","):
        name, equals, value = item.strip().partition("=")
        if not equals:
            raise refusals.incomplete(authorization, [part for part in _PARTS if part not in parts], query=False)
        if name in parts:
            raise refusals.malformed(f"the attribute {name} is given twice.", query=False)
        if name not in _PARTS:
            raise refusals.malformed(f"the attribute {name} is unknown.", query=False)
        parts[name] = value
    lacking = [part for part in _PARTS if not parts.get(part)]
    if lacking:
        raise refusals.incomplete(authorization, lacking, query=False)
    return (
        parts["Credential"],
        *split_credential(parts["Credential"], refusals, query=False),
        parts["SignedHeaders"],
        parts["Signature"],
    )


def split_credential(credential: str, refusals: Refusals, *, query: bool) -> tuple[str, str, str, str]:
    """Access key id, date, region, service. Raises ApiError."""
    words = "Error parsing the X-Amz-Credential parameter; " if query else ""
    parts = credential.split("/")
    if len(parts) != 5:
        raise refusals.malformed(f'{words}the Credential is mal-formed; expecting "{CREDENTIAL_FORM}".', query=query)
    access_key_id, date, region, service, terminator = parts
    if not access_key_id:
        raise refusals.malformed(f"{words}a non-empty Access Key (AKID) must be provided in the credential.", query=query)
    if not _DATE.fullmatch(date):
        text = f'{words}incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        raise refusals.malformed(text, query=query)
    if terminator != "aws4_request":
        raise refusals.malformed(f'{words}incorrect terminal "{terminator}". This endpoint uses "aws4_request".', query=query)
    return access_key_id, date, region, service


def _time_of(head: Head, signed: list[str], refusals: Refusals) -> tuple[str, datetime]:
    """When a request with an Authorization header was signed; ``x-amz-date`` beats ``Date``."""
    text = head.headers.get("x-amz-date")
    if text is None:
        text = head.headers.get("date")
        if text is None or "x-amz-date" in signed:
            raise refusals.no_date()
    moment = moment_of(text)
    if moment is not None:
        return text, moment
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError) as error:
        raise refusals.no_date() from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y%m%dT%H%M%SZ"), moment


def moment_of(text: str) -> datetime | None:
    """The time of ``YYYYMMDDTHHMMSSZ``, or None."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------------- query form


def _standard_query_claim(query: str) -> Claim | None:
    """The fast way, for a query as SDKs write it: canonical, the signature's own parameters at the end. None: take the other way."""
    start = query.find("X-Amz-Algorithm=")
    found = _PRESIGNED.fullmatch(query, start)
    if found is None:
        return None
    access_key_id, date, region, service, timestamp, before, expires, behind, own, signature = found.groups()
    if (before is None) == (behind is None) or (own and start):
        return None
    canonical = query[start:-_SIGNATURE_PART]
    if before is not None:  # boto3 writes it before the expiry; sorted it stands behind
        if own:
            return None
        canonical = canonical.replace(before, "", 1) + before
    if start:
        if query[start - 1] != "&":
            return None
        own = query[: start - 1]
        canonical = f"{canonical}&{own}"
    elif own:
        own = own[1:]
    if own:
        # A name that begins with a lower-case letter sorts behind all of the signature's own.
        if not is_canonical_query(own) or "x-amz-" in own.lower():
            return None
        if "&" in own or own[0] < "a":
            canonical = canonical_query(pairs_of(canonical))
    try:
        signed_at = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if int(expires) > LONGEST:
        return None
    credential = f"{access_key_id}/{date}/{region}/{service}/aws4_request"
    names = (before or behind)[_SIGNED_HEADERS:]
    claim = Claim(access_key_id, credential, date, region, service, [names], signature, timestamp, signed_at, canonical)
    claim.presigned = True
    claim.expires = int(expires)
    claim.own_query = own
    return claim


def _query_claim(query: str, refusals: Refusals) -> Claim:
    pairs = pairs_of(query)
    first: dict[str, str] = {}
    decoded: Pairs = []
    for name, value in pairs:
        plain_name, plain_value = unquote(name), unquote(value)
        first.setdefault(plain_name, plain_value)
        decoded.append((plain_name, plain_value))
    lacking = [name for name in _QUERY_NAMES if f"X-Amz-{name}" not in first]
    if lacking:
        raise refusals.incomplete("", lacking, query=True)
    algorithm = first["X-Amz-Algorithm"]
    if algorithm != ALGORITHM:
        if algorithm == "AWS4-ECDSA-P256-SHA256":
            raise refusals.unsupported(algorithm)
        raise refusals.malformed(f'X-Amz-Algorithm only supports "{ALGORITHM} and AWS4-ECDSA-P256-SHA256"', query=True)
    credential = first["X-Amz-Credential"]
    access_key_id, date, region, service = split_credential(credential, refusals, query=True)
    timestamp = first["X-Amz-Date"]
    signed_at = moment_of(timestamp)
    if signed_at is None:
        raise refusals.malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"", query=True)
    return Claim(
        access_key_id,
        credential,
        date,
        region,
        service,
        _names(first["X-Amz-SignedHeaders"]),
        first["X-Amz-Signature"],
        timestamp,
        signed_at,
        canonical_query(pair for pair in pairs if pair[0] != "X-Amz-Signature"),
        presigned=True,
        expires=_expires(first["X-Amz-Expires"], refusals),
        token=first.get("X-Amz-Security-Token"),
        params=decoded,
    )


def _expires(text: str, refusals: Refusals) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise refusals.malformed("X-Amz-Expires should be a number", query=True)
    if text.startswith("-"):
        raise refusals.malformed("X-Amz-Expires must be non-negative", query=True)
    if len(text) > 18 or int(text) > LONGEST:
        raise refusals.malformed(
            f"X-Amz-Expires must be less than a week (in seconds) that is, the given X-Amz-Expires must be less than {LONGEST} seconds",
            query=True,
        )
    return int(text)
