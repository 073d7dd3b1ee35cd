from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.edge import sigv4
from strongroom.edge.canonical import is_canonical_query, pairs_of
from strongroom.edge.claims import guess_service, read_claim
from strongroom.edge.head import Head
from strongroom.edge.refusals import REFUSALS
from strongroom.edge.signing_key import SigningKeys, derive
from tests.edge import tiny

S3 = REFUSALS["s3"]


def now() -> datetime:
    return datetime.now(UTC)


def verify(
    head: Head, *, payload: str | None = None, service: str = "s3", when: datetime | None = None, region: str | None = None
) -> sigv4.Claim:
    refusals = REFUSALS[service]
    claim = read_claim(head, refusals)
    assert claim is not None
    sigv4.check_time(claim, when or claim.signed_at, refusals)
    sigv4.check_scope(claim, service, region, (), refusals)
    sigv4.check_signed_headers(claim, head.headers, refusals)
    key = SigningKeys().find(claim.credential, tiny.SECRET)
    headers = sigv4.carried_headers(head.query, head.headers)
    sigv4.check_signature(claim, head, payload or sigv4.payload_hash(claim, headers), key, refusals)
    sigv4.check_token(claim, None, refusals)
    return claim


def refused(head: Head, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        verify(head, **more)
    return caught.value


# -------------------------------------------------------------------------------------------------- botocore as the oracle

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
word = st.text("abcdefgXYZ-_.~ +%/&=é漢;:,", max_size=8)
paths = st.lists(st.one_of(text, st.sampled_from(["..", ".", "", "a b", "a+b", "100%", "x=y&z"])), max_size=4).map(
    lambda parts: "/" + quote("/".join(["bucket", *parts]), safe="/~")
)
queries = st.lists(st.tuples(word.filter(bool), word), max_size=5).map(
    lambda pairs: "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
metadata = st.dictionaries(st.text("abc-x", min_size=1, max_size=6).map("x-amz-meta-".__add__), values, max_size=3)


@given(path=paths, query=queries, headers=metadata, presigned=st.booleans(), method=st.sampled_from(["GET", "PUT", "DELETE"]))
@settings(max_examples=100, deadline=None)
def test_what_botocore_signs_for_s3_is_verified(
    path: str, query: str, headers: dict[str, str], *, presigned: bool, method: str
) -> None:
    asked = tiny.signed(method, path + (f"?{query}" if query else ""), headers, b"body", presigned=presigned)
    claim = verify(asked.head())
    assert claim.presigned == presigned
    assert claim.region == "eu-west-1"


@given(path=paths.filter(lambda path: "//" not in path), query=queries)
@settings(max_examples=60, deadline=None)
def test_what_botocore_signs_for_other_services_is_verified(path: str, query: str) -> None:
    asked = tiny.signed("POST", path + (f"?{query}" if query else ""), {}, b"{}", service="kms")
    verify(asked.head(), payload=sigv4.sha256(b"{}").hexdigest(), service="kms")


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize("change", ["method", "path", "query", "host"])
def test_a_changed_request_does_not_match(presigned: bool, change: str) -> None:
    head = tiny.signed("GET", "/bucket/key?versionId=1", presigned=presigned).head()
    if change == "method":
        head = replace(head, method="DELETE")
    elif change == "path":
        head = replace(head, path="/bucket/kez")
    elif change == "query":
        head = replace(head, query=head.query.replace("versionId=1", "versionId=2"))
    else:
        head.headers["host"] = "elsewhere"
    assert refused(head).code == "SignatureDoesNotMatch"


def test_a_mismatch_shows_how_it_was_computed() -> None:
    head = tiny.signed("GET", "/bucket/key", secret="another").head()
    error = refused(head)
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert list(error.members) == [
        "AWSAccessKeyId",
        "StringToSign",
        "SignatureProvided",
        "StringToSignBytes",
        "CanonicalRequest",
        "CanonicalRequestBytes",
    ]
    canonical = error.members["CanonicalRequest"]
    assert canonical.startswith("GET\n/bucket/key\n\nhost:127.0.0.1:9000\n")
    assert bytes.fromhex(error.members["CanonicalRequestBytes"]) == canonical.encode()
    assert error.members["StringToSign"].endswith(sigv4.sha256(canonical.encode()).hexdigest())
    assert tiny.SECRET not in str(error.members)


# ----------------------------------------------------------------------------------------------------------- header form


def header_with(head: Head, old: str, new: str) -> Head:
    assert old in head.headers["authorization"]
    head.headers["authorization"] = head.headers["authorization"].replace(old, new)
    return head


def plain() -> Head:
    return tiny.signed("GET", "/bucket/key").head()


@pytest.mark.parametrize(
    ("old", "new", "code", "text"),
    [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA512 ", "InvalidArgument", "Unsupported Authorization Type"),
        ("AWS4-HMAC-SHA256 ", "AWS ", "InvalidRequest", "Please use AWS4-HMAC-SHA256."),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", "NotImplemented", ""),
        ("/aws4_request", "/aws4_reques", "AuthorizationHeaderMalformed", 'incorrect terminal "aws4_reques"'),
        ("/s3/", "/ec2/", "AuthorizationHeaderMalformed", 'incorrect service "ec2". This endpoint belongs to "s3".'),
        ("/eu-west-1/", "/eu_west/", "AuthorizationHeaderMalformed", "the region 'eu_west' is wrong; expecting 'us-east-1'"),
        ("/eu-west-1/s3", "/s3", "AuthorizationHeaderMalformed", "the Credential is mal-formed"),
        ("Credential=AKIAIOSFODNN7EXAMPLE", "Credential=", "AuthorizationHeaderMalformed", "a non-empty Access Key"),
        ("SignedHeaders=", "Signed=", "AuthorizationHeaderMalformed", "Signed is unknown"),
        ("SignedHeaders=", "Credential=a, SignedHeaders=", "AuthorizationHeaderMalformed", "Credential is given twice"),
        (", Signature=", ", ", "AuthorizationHeaderMalformed", "requires three components"),
        (
            "SignedHeaders=host;",
            "SignedHeaders=",
            "AccessDenied",
            "There were headers present in the request which were not signed",
        ),
    ],
)
def test_malformed_authorization(old: str, new: str, code: str, text: str) -> None:
    error = refused(header_with(plain(), old, new))
    assert error.code == code
    assert text in error.message


def test_wrong_region_tells_the_right_one() -> None:
    error = refused(plain(), region="eu-central-1")
    assert error.message == "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'eu-central-1'"
    assert error.members == {"Region": "eu-central-1"}
    assert error.headers == {"x-amz-bucket-region": "eu-central-1"}
    error = refused(tiny.signed("GET", "/bucket/key", presigned=True).head(), region="eu-central-1")
    assert error.code == "AuthorizationQueryParametersError"
    assert error.members == {"Region": "eu-central-1"}


@pytest.mark.parametrize("minutes", [-16, 16])
def test_clock_skew(minutes: int) -> None:
    when = now() + timedelta(minutes=minutes)
    error = refused(plain(), when=when)
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert list(error.members) == ["RequestTime", "ServerTime", "MaxAllowedSkewMilliseconds"]
    assert error.members["ServerTime"] == when.strftime("%Y-%m-%dT%H:%M:%SZ")
    verify(plain(), when=now() + timedelta(minutes=14 if minutes > 0 else -14))


def test_the_clock_is_judged_before_region_and_signature() -> None:
    head = header_with(plain(), "Signature=", "Signature=0")
    assert refused(head, when=now() + timedelta(hours=1), region="eu-central-1").code == "RequestTimeTooSkewed"
    assert refused(head, region="eu-central-1").code == "AuthorizationHeaderMalformed"
    assert refused(head).code == "SignatureDoesNotMatch"


def test_scope_of_another_day() -> None:
    head = plain()
    day = head.headers["x-amz-date"][:8]
    assert "Invalid credential date" in refused(header_with(head, f"/{day}/", "/20200101/")).message


def test_names_of_signed_headers_are_normalised() -> None:
    head = plain()
    names = head.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    shuffled = ";".join([*reversed(names.upper().split(";")), "host"])
    verify(header_with(head, names, shuffled))


def sign_by_hand(headers: dict[str, str], names: str, timestamp: str, path: str = "/bucket/key") -> Head:
    """What botocore cannot do: signs with the headers as they are given."""
    scope = f"{timestamp[:8]}/eu-west-1/s3/aws4_request"
    canonical = f"GET\n{path}\n\n" + "".join(f"{name}:{headers.get(name, '')}\n" for name in names.split(";"))
    canonical += f"\n{names}\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{sigv4.sha256(canonical.encode()).hexdigest()}"
    key = derive(tiny.SECRET, timestamp[:8], "eu-west-1", "s3")
    signature = sigv4.hmac.digest(key, to_sign.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={tiny.ACCESS_KEY}/{scope},SignedHeaders={names},Signature={signature}"
    return Head("GET", path, None, "", {**headers, "authorization": authorization}, "http", "127.0.0.1")


def test_date_alone_may_sign_and_x_amz_date_beats_it() -> None:
    moment = now().replace(microsecond=0)
    basic = moment.strftime("%Y%m%dT%H%M%SZ")
    base = {"host": "h", "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "date": format_datetime(moment, usegmt=True)}
    assert verify(sign_by_hand(base, "date;host;x-amz-content-sha256", basic)).signed_at == moment
    stale = {**base, "date": "Mon, 01 Jan 2001 00:00:00 GMT", "x-amz-date": basic}
    assert verify(sign_by_hand(stale, "host;x-amz-content-sha256;x-amz-date", basic), when=moment).timestamp == basic
    error = refused(sign_by_hand(base, "date;host;x-amz-content-sha256;x-amz-date", basic))
    assert (error.code, error.message) == ("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    for date in ("yesterday", None):
        headers = {**base, "date": date} if date else {name: value for name, value in base.items() if name != "date"}
        assert refused(sign_by_hand(headers, "host;x-amz-content-sha256", basic)).code == "AccessDenied"


def test_blanks_in_values_are_folded_and_absent_signed_headers_are_empty() -> None:
    basic = now().strftime("%Y%m%dT%H%M%SZ")
    base = {"host": "h", "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": basic, "x-amz-meta-a": "b c"}
    head = sign_by_hand(base, "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-z", basic)
    head.headers["x-amz-meta-a"] = "  b   c "
    verify(head)


def test_unsigned_amz_headers_are_named() -> None:
    head = plain()
    head.headers["x-amz-meta-new"] = "1"
    head.headers["x-amz-acl"] = "public-read"
    error = refused(head)
    assert error.message == "There were headers present in the request which were not signed"
    assert error.members == {"HeadersNotSigned": "x-amz-meta-new, x-amz-acl"}


def test_a_token_with_a_long_term_key_is_refused_after_the_signature() -> None:
    head = tiny.signed("GET", "/bucket/key", token="made-up").head()
    error = refused(head)
    assert (error.code, error.members) == ("InvalidToken", {"Token-0": "made-up"})
    assert refused(header_with(head, "Signature=", "Signature=0")).code == "SignatureDoesNotMatch"


def test_content_sha256() -> None:
    claim = read_claim(plain(), S3)
    with pytest.raises(ApiError, match="Missing required header"):
        sigv4.payload_hash(claim, {})
    assert sigv4.payload_hash(None, {}) == sigv4.UNSIGNED
    for value in ("abc", "A" * 64, "STREAMING-AWS4-HMAC-SHA512"):
        with pytest.raises(ApiError, match="or a valid sha256 value") as caught:
            sigv4.payload_hash(claim, {"x-amz-content-sha256": value})
        assert caught.value.members["ArgumentValue"] == value
    with pytest.raises(ApiError) as caught:
        sigv4.payload_hash(claim, {"x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"})
    assert caught.value.code == "NotImplemented"


def test_signed_twice() -> None:
    head = tiny.signed("GET", "/bucket/key", presigned=True).head()
    head.headers["authorization"] = "AWS4-HMAC-SHA256 x"
    with pytest.raises(ApiError, match="Only one auth mechanism allowed") as caught:
        read_claim(head, S3)
    assert caught.value.members == {"ArgumentName": "Authorization", "ArgumentValue": "AWS4-HMAC-SHA256 x"}


def test_version_2() -> None:
    head = Head("GET", "/b/k", None, "AWSAccessKeyId=a&Signature=b&Expires=1", {"host": "h"}, "http", "")
    with pytest.raises(ApiError, match="Please use AWS4-HMAC-SHA256"):
        read_claim(head, S3)
    head.query = "AWSAccessKeyId=a&Expires=1"
    with pytest.raises(ApiError, match="requires the Signature, Expires and AWSAccessKeyId parameters"):
        read_claim(head, S3)
    head.query = "Expires=1"
    assert read_claim(head, S3) is None


# ------------------------------------------------------------------------------------------------------------ query form


def presigned(target: str = "/bucket/key", headers: dict[str, str] | None = None, **more: Any) -> Head:
    return tiny.signed("GET", target, headers, presigned=True, **more).head()


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires"])
def test_a_missing_parameter(name: str) -> None:
    head = presigned()
    head.query = "&".join(part for part in head.query.split("&") if not part.startswith(f"X-Amz-{name}="))
    error = refused(head)
    assert error.code == "AuthorizationQueryParametersError"
    assert error.message.startswith("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Algorithm", "AWS4-HMAC-SHA512", "X-Amz-Algorithm only supports"),
        ("Credential", "a%2Fb", 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'),
        ("Date", "2020-01-01", "ISO8601 Long Format"),
        ("Date", "20209999T000000Z", "ISO8601 Long Format"),
        ("Expires", "soon", "should be a number"),
        ("Expires", "%C2%B2", "should be a number"),
        ("Expires", "-1", "must be non-negative"),
        ("Expires", "604801", "must be less than a week"),
        ("Expires", "9" * 30, "must be less than a week"),
    ],
)
def test_a_bad_parameter(name: str, value: str, text: str) -> None:
    head = presigned()
    head.query = "&".join(
        f"X-Amz-{name}={value}" if part.startswith(f"X-Amz-{name}=") else part for part in head.query.split("&")
    )
    error = refused(head)
    assert error.code == "AuthorizationQueryParametersError"
    assert text in error.message


def test_expiry() -> None:
    verify(presigned(expires=60), when=now() + timedelta(seconds=55))
    error = refused(presigned(expires=60), when=now() + timedelta(seconds=62))
    assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Request has expired")
    assert list(error.members) == ["X-Amz-Expires", "Expires", "ServerTime"]
    assert refused(presigned(), when=now() - timedelta(minutes=16)).message == "Request is not yet valid"
    verify(presigned(expires=604_800), when=now() + timedelta(days=6))


def test_the_first_of_duplicates_counts() -> None:
    head = presigned()
    signature = head.query[-64:]
    head.query += "&X-Amz-Signature=" + "0" * 64
    verify(head)
    head.query = head.query.replace(signature, "1" * 64)
    assert refused(head).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "own", ["", "versionId=1", "x-id=GetObject", "A=1&b=2", "%2F=1", "response-content-type=text%2Fplain&a="]
)
def test_the_fast_way_and_the_slow_way_agree(own: str) -> None:
    head = presigned("/bucket/key" + (f"?{own}" if own else ""))
    fast = verify(head)
    parts = head.query.split("&")
    slow = verify(replace(head, query="&".join([parts[-1], *parts[:-1]])))
    assert (fast.own_query is not None, slow.own_query) == (is_canonical_query(own), None)
    assert (fast.query, fast.credential, fast.signed_headers, fast.expires) == (
        slow.query,
        slow.credential,
        slow.signed_headers,
        slow.expires,
    )


def test_what_follows_the_signature_is_signed_or_refused() -> None:
    head = presigned()
    head.query += "&uploads="
    assert refused(head).code == "SignatureDoesNotMatch"
    head = presigned()
    head.query = "uploads&" + head.query
    assert refused(head).code == "SignatureDoesNotMatch"


def test_headers_carried_in_the_query_are_signed() -> None:
    target = "/bucket/key?x-amz-server-side-encryption=AES256&X-Amz-Meta-A=b%20c"
    head = tiny.signed("PUT", target, presigned=True).head()
    verify(head)
    carried = sigv4.carried_headers(head.query, head.headers)
    assert carried["x-amz-server-side-encryption"] == "AES256"
    assert carried["x-amz-meta-a"] == "b c"
    assert "x-amz-signature" not in carried
    head.headers["x-amz-server-side-encryption"] = "AES256"
    verify(head)
    head.headers["x-amz-server-side-encryption"] = "aws:kms"
    assert refused(head).members == {"HeadersNotSigned": "x-amz-server-side-encryption"}


# ---------------------------------------------------------------------------------------------------------- other services


def kms() -> Head:
    return tiny.signed("POST", "/", {"X-Amz-Target": "TrentService.ListKeys"}, b"{}", service="kms").head()


def test_kms_words_its_refusals_in_its_own_way() -> None:
    digest = sigv4.sha256(b"{}").hexdigest()
    assert guess_service(kms()) == "kms"
    verify(kms(), service="kms", payload=digest)
    error = refused(kms(), service="kms", payload=digest, when=now() + timedelta(hours=1))
    assert error.code == "InvalidSignatureException"
    assert error.message.startswith("Signature expired: ")
    assert error.message.endswith(" - 15 min.)")
    error = refused(kms(), service="kms", payload=digest, when=now() - timedelta(hours=1))
    assert error.message.startswith("Signature not yet current: ")
    error = refused(header_with(kms(), "/kms/", "/ec2/"), service="kms", payload=digest)
    assert error.message == "Credential should be scoped to correct service: 'kms'. "
    error = refused(header_with(kms(), ", Signature=", ", Sig="), service="kms", payload=digest)
    assert error.code == "IncompleteSignatureException"
    error = refused(kms(), service="kms", payload="0" * 64)
    assert error.message.startswith(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
    )
    assert REFUSALS["kms"].unknown_access_key("x").code == "UnrecognizedClientException"
    assert REFUSALS["sts"].unknown_access_key("x").code == "InvalidClientTokenId"
    assert REFUSALS["sts"].missing().code == "MissingAuthenticationToken"
    assert (REFUSALS["sts"].mismatch("a", "b", "c", "d").status, REFUSALS["sts"].unknown_access_key("x").status) == (403, 403)


# ------------------------------------------------------------------------------------------------------------------- keys


def test_signing_keys_are_bounded_and_follow_the_secret() -> None:
    keys = SigningKeys(most=4)
    claim = read_claim(plain(), S3)
    assert claim is not None
    first = keys.find(claim.credential, "one")
    assert keys.find(claim.credential, "one") is first
    assert keys.find(claim.credential, "two") != first
    for number in range(20):
        claim.credential = f"{number}/20260101/eu-west-1/s3/aws4_request"
        keys.find(claim.credential, "one")
        assert len(keys) <= 4


@given(query=st.text("abAB%2Fz1=&+ -_.~", max_size=30))
@settings(max_examples=100, deadline=None)
def test_a_canonical_query_recodes_to_itself(query: str) -> None:
    if is_canonical_query(query) and query:
        pairs = pairs_of(query)
        assert "&".join(f"{name}={value}" for name, value in pairs) == query
        assert pairs_of(query.replace("&", "&&")) == pairs
