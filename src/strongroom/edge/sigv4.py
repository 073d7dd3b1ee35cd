"""AWS Signature Version 4, checked: times, scope, signatures. Pure.

Never knows who a caller is, where secrets are kept, or what the request asks for. The order of the checks is AWS's: time,
scope, access key, signature, token. Source: "AWS Signature Version 4" in the S3 API reference and the IAM user guide.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from strongroom.api.errors import ApiError
from strongroom.edge.canonical import canonical_headers, other_path, pairs_of, s3_path
from strongroom.edge.claims import ALGORITHM, Claim
from strongroom.edge.form_policy import names_customer_key
from strongroom.edge.head import Head
from strongroom.edge.refusals import SKEW, Refusals
from strongroom.edge.signing_key import SigningKey

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING: Final = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})
_CONTENT_SHA256: Final = "x-amz-content-sha256"
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_REGION: Final = re.compile(r"[a-z]{2,8}(?:-[a-z]{1,12})+-[0-9]{1,2}")
_AUTHENTICATION: Final = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
    }
)


# ----------------------------------------------------------------------------------------------------- before the secret


def check_time(claim: Claim, now: datetime, refusals: Refusals) -> None:
    """Refuse a clock more than 15 minutes off, an expired presigned request, and a scope of another day.

    A form is good as long as its policy says (facts E32).
    """
    age = (now - claim.signed_at).total_seconds()
    if claim.presigned:
        if age > claim.expires:
            raise refusals.expired(claim.signed_at, claim.expires, now)
        if age < -SKEW:
            raise refusals.not_yet_valid(claim.signed_at, now)
    elif claim.policy is None and not -SKEW <= age <= SKEW:
        raise refusals.skewed(claim.timestamp, claim.signed_at, now)
    if claim.date != claim.timestamp[:8]:
        raise refusals.wrong_date(claim.date, claim.timestamp, query=claim.elsewhere)


def check_scope(claim: Claim, service: str, region: str | None, regions: tuple[str, ...], refusals: Refusals) -> None:
    """Refuse another service, and a region that is not ``region`` (if given) nor one of ``regions`` (empty: any of AWS's form)."""
    if claim.service != service:
        raise refusals.wrong_service(claim.service, service, query=claim.elsewhere)
    if region is not None:
        if claim.region != region:
            raise refusals.wrong_region(claim.region, region, query=claim.elsewhere)
    elif claim.region not in regions and (regions or not _REGION.fullmatch(claim.region)):
        raise refusals.wrong_region(claim.region, regions[0] if regions else "us-east-1", query=claim.elsewhere)


def check_signed_headers(claim: Claim, headers: Mapping[str, str], refusals: Refusals) -> None:
    """Refuse a request with a Host or an ``x-amz-`` header that is not signed. One that the signed query repeats is signed."""
    signed = claim.signed_headers
    unsigned = [name for name in headers if name.startswith("x-amz-") and name not in signed]
    if unsigned and claim.params is not None:
        carried = {name.lower(): value for name, value in reversed(claim.params)}
        unsigned = [name for name in unsigned if carried.get(name) != headers[name]]
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise refusals.unsigned(unsigned)


# ---------------------------------------------------------------------------------------------------------- the signature


def payload_hash(claim: Claim | None, headers: Mapping[str, str]) -> str:
    """What S3 takes as the hash of the payload: the header, checked for its form. Raises ApiError."""
    value = headers.get(_CONTENT_SHA256)
    if value is None:
        if claim is not None and not claim.elsewhere:
            raise ApiError("InvalidRequest", f"Missing required header for this request: {_CONTENT_SHA256}")
        return UNSIGNED
    if value == UNSIGNED or value in STREAMING or _HEX.fullmatch(value):
        return value
    if value.startswith("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        raise ApiError("NotImplemented", Header=_CONTENT_SHA256)
    raise ApiError(
        "InvalidArgument",
        f"{_CONTENT_SHA256} must be {UNSIGNED}, {STREAMING_UNSIGNED_TRAILER}, {STREAMING_SIGNED}, {STREAMING_SIGNED_TRAILER} or a valid "
        "sha256 value.",
        ArgumentName=_CONTENT_SHA256,
        ArgumentValue=value,
    )


def check_signature(claim: Claim, head: Head, payload: str, key: SigningKey, refusals: Refusals) -> None:
    """Compare the signature in constant time; ``payload`` is the hash of the payload as it was signed. Raises ApiError."""
    path = s3_path(head.path) if claim.service == "s3" else other_path(head.path)
    names = claim.signed_headers
    signed = canonical_headers(names, head.headers)
    canonical = f"{head.method}\n{path}\n{claim.query}\n{signed}\n{';'.join(names)}\n{payload}"
    string_to_sign = f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{sha256(canonical.encode()).hexdigest()}"
    if not hmac.compare_digest(key.sign(string_to_sign.encode()).encode(), claim.signature.encode("utf-8", "replace")):
        raise refusals.mismatch(claim.access_key_id, string_to_sign, claim.signature, canonical)


def check_form_signature(claim: Claim, key: SigningKey, refusals: Refusals) -> None:
    """As ``check_signature``, of a form: its policy as sent is what was signed. Raises ApiError."""
    policy = claim.policy or ""
    if not hmac.compare_digest(key.sign(policy.encode()).encode(), claim.signature.encode("utf-8", "replace")):
        shown = "" if names_customer_key(policy) else policy
        raise refusals.mismatch(claim.access_key_id, shown, claim.signature, "")


def check_token(claim: Claim, token: str | None, refusals: Refusals) -> None:
    """Refuse a session token that is wrong, missing, or sent with a long-term key (``token`` None)."""
    if claim.token is None and token is None:
        return
    if token is None or claim.token is None or not hmac.compare_digest(claim.token.encode(), token.encode()):
        raise refusals.bad_token(claim.token or "")


def carried_headers(query: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers together with those that the query carries: who signs in the query may move ``x-amz-`` headers there."""
    if "amz-" not in query and "AMZ-" not in query.upper():
        return headers
    together = dict(headers)
    for name, value in pairs_of(query):
        lower = unquote(name).lower()
        if lower.startswith("x-amz-") and lower not in _AUTHENTICATION:
            together.setdefault(lower, unquote(value))
    return together
