"""How each service words a refusal of a signature: S3 in its own way, KMS (JSON) and IAM and STS (query) in another.

Sources: recorded answers of S3, KMS, STS and of services that share KMS's front end. Never knows how a signature is computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from strongroom.api.errors import ApiError

SKEW: Final = 900  # seconds a clock may be off, either way
CREDENTIAL_FORM: Final = "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"
#: A customer's key (SSE-C) in a canonical request, as a header or hoisted into the query; not its MD5.
_CUSTOMER_KEY: Final = re.compile(r"(server-side-encryption-customer-key[:=])[^\n&]*", re.IGNORECASE)


class Refusals(Protocol):
    """One method a reason. ``query`` says that the signature came in the query string."""

    def both(self, authorization: str) -> ApiError: ...
    def missing(self) -> ApiError: ...
    def unsupported(self, authorization: str) -> ApiError: ...
    def incomplete(self, authorization: str, lacking: list[str], *, query: bool) -> ApiError: ...
    def malformed(self, detail: str, *, query: bool) -> ApiError: ...
    def wrong_region(self, region: str, expecting: str, *, query: bool) -> ApiError: ...
    def wrong_service(self, service: str, expecting: str, *, query: bool) -> ApiError: ...
    def no_date(self) -> ApiError: ...
    def wrong_date(self, date: str, timestamp: str, *, query: bool) -> ApiError: ...
    def skewed(self, timestamp: str, signed: datetime, now: datetime) -> ApiError: ...
    def expired(self, signed: datetime, expires: int, now: datetime) -> ApiError: ...
    def not_yet_valid(self, signed: datetime, now: datetime) -> ApiError: ...
    def unknown_access_key(self, access_key_id: str) -> ApiError: ...
    def unsigned(self, names: Iterable[str]) -> ApiError: ...
    def mismatch(self, access_key_id: str, string_to_sign: str, signature: str, canonical: str) -> ApiError: ...
    def bad_token(self, token: str) -> ApiError: ...
    def expired_token(self, token: str) -> ApiError: ...
    def too_much(self) -> ApiError: ...


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def basic(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _bytes_of(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").hex(" ")


class S3Refusals:
    def both(self, authorization: str) -> ApiError:
        return ApiError(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the "
            "Authorization header should be specified",
            ArgumentName="Authorization",
            ArgumentValue=authorization,
        )

    def missing(self) -> ApiError:
        return ApiError("AccessDenied")

    def unsupported(self, authorization: str) -> ApiError:
        if authorization.startswith("AWS "):
            return ApiError(
                "InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            )
        if authorization.startswith("AWS4-ECDSA-P256-SHA256"):
            return ApiError("NotImplemented", Header="Authorization")
        return ApiError(
            "InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization", ArgumentValue=authorization
        )

    def incomplete(self, authorization: str, lacking: list[str], *, query: bool) -> ApiError:  # noqa: ARG002 - the other services say more
        if query:
            return ApiError(
                "AuthorizationQueryParametersError",
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, "
                "X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            )
        return self.malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature.", query=False
        )

    def malformed(self, detail: str, *, query: bool) -> ApiError:
        if query:
            return ApiError("AuthorizationQueryParametersError", detail)
        return ApiError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {detail}")

    def credential(self, detail: str, *, query: bool) -> ApiError:
        return self.malformed(f"Error parsing the X-Amz-Credential parameter; {detail}" if query else detail, query=query)

    def wrong_region(self, region: str, expecting: str, *, query: bool) -> ApiError:
        error = self.credential(f"the region '{region}' is wrong; expecting '{expecting}'", query=query)
        error.members["Region"] = expecting
        error.headers["x-amz-bucket-region"] = expecting
        return error

    def wrong_service(self, service: str, expecting: str, *, query: bool) -> ApiError:
        return self.credential(f'incorrect service "{service}". This endpoint belongs to "{expecting}".', query=query)

    def no_date(self) -> ApiError:
        return ApiError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")

    def wrong_date(self, date: str, timestamp: str, *, query: bool) -> ApiError:
        return self.malformed(
            f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{timestamp[:8]}".',
            query=query,
        )

    def skewed(self, timestamp: str, signed: datetime, now: datetime) -> ApiError:  # noqa: ARG002 - the other services compare in their text
        return ApiError(
            "RequestTimeTooSkewed", RequestTime=timestamp, ServerTime=iso(now), MaxAllowedSkewMilliseconds=str(SKEW * 1000)
        )

    def expired(self, signed: datetime, expires: int, now: datetime) -> ApiError:
        fields = {"X-Amz-Expires": str(expires), "Expires": iso(signed + timedelta(seconds=expires)), "ServerTime": iso(now)}
        return ApiError("AccessDenied", "Request has expired", fields=fields)

    def not_yet_valid(self, signed: datetime, now: datetime) -> ApiError:
        return ApiError("AccessDenied", "Request is not yet valid", fields={"X-Amz-Date": basic(signed), "ServerTime": iso(now)})

    def unknown_access_key(self, access_key_id: str) -> ApiError:
        return ApiError("InvalidAccessKeyId", AWSAccessKeyId=access_key_id)

    def unsigned(self, names: Iterable[str]) -> ApiError:
        return ApiError(
            "AccessDenied", "There were headers present in the request which were not signed", HeadersNotSigned=", ".join(names)
        )

    def mismatch(self, access_key_id: str, string_to_sign: str, signature: str, canonical: str) -> ApiError:
        # AWS sends it back. An answer is more easily logged than a request, so here it stays unsaid.
        canonical = _CUSTOMER_KEY.sub(r"\1***", canonical)
        error = ApiError(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=access_key_id,
            StringToSign=string_to_sign,
            SignatureProvided=signature,
            StringToSignBytes=_bytes_of(string_to_sign),
        )
        if canonical:  # a form has none
            error.members |= {"CanonicalRequest": canonical, "CanonicalRequestBytes": _bytes_of(canonical)}
        return error

    def bad_token(self, token: str) -> ApiError:
        return ApiError("InvalidToken", fields={"Token-0": token})

    def expired_token(self, token: str) -> ApiError:
        return ApiError("ExpiredToken", fields={"Token-0": token})

    def too_much(self) -> ApiError:
        return ApiError("SlowDown")


class FrontEndRefusals:
    """KMS, IAM and STS: one front end, two sets of codes."""

    def __init__(self, *, incomplete: str, signature: str, access_key: str, missing: str, expired: str, throttled: str) -> None:
        self._incomplete = incomplete
        self._signature = signature
        self._access_key = access_key
        self._missing = missing
        self._expired = expired
        self._throttled = throttled

    def both(self, authorization: str) -> ApiError:  # noqa: ARG002 - S3 echoes it
        return ApiError(
            self._signature, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        )

    def missing(self) -> ApiError:
        return ApiError(self._missing, "Request is missing Authentication Token")

    def unsupported(self, authorization: str) -> ApiError:
        return ApiError(self._incomplete, f"Unsupported AWS 'algorithm': '{authorization.split(' ', 1)[0]}'.")

    def incomplete(self, authorization: str, lacking: list[str], *, query: bool) -> ApiError:
        if query:
            return ApiError(
                self._incomplete, " ".join(f"AWS query-string parameters must include 'X-Amz-{name}'." for name in lacking)
            )
        clauses = "".join(f"Authorization header requires '{name}' parameter. " for name in lacking)
        return ApiError(self._incomplete, f"{clauses}Authorization={authorization}")

    def malformed(self, detail: str, *, query: bool) -> ApiError:  # noqa: ARG002 - S3 has two codes
        return ApiError(self._incomplete, detail)

    def wrong_region(self, region: str, expecting: str, *, query: bool) -> ApiError:  # noqa: ARG002 - as above
        return ApiError(self._signature, f"Credential should be scoped to a valid region, not '{region}'. ")

    def wrong_service(self, service: str, expecting: str, *, query: bool) -> ApiError:  # noqa: ARG002 - as above
        return ApiError(self._signature, f"Credential should be scoped to correct service: '{expecting}'. ")

    def no_date(self) -> ApiError:
        return ApiError(self._incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")

    def wrong_date(self, date: str, timestamp: str, *, query: bool) -> ApiError:  # noqa: ARG002 - as above
        return ApiError(
            self._signature,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{timestamp[:8]}', from '{timestamp}'.",
        )

    def skewed(self, timestamp: str, signed: datetime, now: datetime) -> ApiError:  # noqa: ARG002 - S3 gives it as it was sent
        if signed > now:
            return self.not_yet_valid(signed, now)
        edge = basic(now - timedelta(seconds=SKEW))
        return ApiError(
            self._signature, f"Signature expired: {basic(signed)} is now earlier than {edge} ({basic(now)} - 15 min.)"
        )

    def expired(self, signed: datetime, expires: int, now: datetime) -> ApiError:
        end = basic(signed + timedelta(seconds=expires))
        return ApiError(
            self._signature, f"Signature expired: {basic(now)} is now later than {end} ({basic(signed)} + {expires} sec.)"
        )

    def not_yet_valid(self, signed: datetime, now: datetime) -> ApiError:
        edge = basic(now + timedelta(seconds=SKEW))
        return ApiError(
            self._signature, f"Signature not yet current: {basic(signed)} is still later than {edge} ({basic(now)} + 15 min.)"
        )

    def unknown_access_key(self, access_key_id: str) -> ApiError:  # noqa: ARG002 - S3 echoes it
        return ApiError(self._access_key, "The security token included in the request is invalid.")

    def unsigned(self, names: Iterable[str]) -> ApiError:
        clauses = (f"'{_TITLES.get(name, name)}' must be a 'SignedHeader' in the AWS Authorization." for name in names)
        return ApiError(self._signature, " ".join(clauses))

    def mismatch(self, access_key_id: str, string_to_sign: str, signature: str, canonical: str) -> ApiError:  # noqa: ARG002 - as above
        return ApiError(
            self._signature,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
            "signing method. Consult the service documentation for details.\n\n"
            f"The Canonical String for this request should have been\n'{canonical}'\n\n"
            f"The String-to-Sign should have been\n'{string_to_sign}'\n",
        )

    def bad_token(self, token: str) -> ApiError:  # noqa: ARG002 - S3 echoes it
        return ApiError(self._access_key, "The security token included in the request is invalid.")

    def expired_token(self, token: str) -> ApiError:  # noqa: ARG002 - as above
        return ApiError(self._expired)

    def too_much(self) -> ApiError:
        return ApiError(self._throttled)


_TITLES: Final = {"host": "Host' or ':authority"}


def _query_refusals() -> Refusals:
    return FrontEndRefusals(
        incomplete="IncompleteSignature",
        signature="SignatureDoesNotMatch",
        access_key="InvalidClientTokenId",
        missing="MissingAuthenticationToken",
        expired="ExpiredToken",
        throttled="Throttling",
    )


REFUSALS: Final[dict[str, Refusals]] = {
    "s3": S3Refusals(),
    "s3control": S3Refusals(),
    "kms": FrontEndRefusals(
        incomplete="IncompleteSignatureException",
        signature="InvalidSignatureException",
        access_key="UnrecognizedClientException",
        missing="MissingAuthenticationTokenException",
        expired="ExpiredTokenException",
        throttled="ThrottlingException",
    ),
    "iam": _query_refusals(),
    "sts": _query_refusals(),
}
