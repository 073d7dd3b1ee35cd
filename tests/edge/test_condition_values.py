"""What conditions may ask about a request, and what only some actions have."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from strongroom.edge.claims import read_claim
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.refusals import REFUSALS
from strongroom.iam.callers import ANONYMOUS, Caller
from strongroom.policy.conditions import compile_condition
from strongroom.policy.templates import Untold, template
from tests.edge.tiny import ACCESS_KEY, ACCOUNT, OTHER, Asked, caller, signed

SSE = "s3:x-amz-server-side-encryption"


def values(
    asked: Asked, who: Caller | None = None, *, later: float = 0, known: dict[str, str] | None = None, **given: Any
) -> RequestValues:
    head = asked.head()
    claim = read_claim(head, REFUSALS["s3"])
    now = claim.signed_at + timedelta(seconds=later) if claim is not None else None
    who = who or caller(ACCOUNT, ACCESS_KEY)
    return RequestValues(who, head, head.headers, claim, given, "k", "eu-west-1", now, known or {})  # type: ignore[arg-type]


@pytest.mark.fact("10.13", "C43")
def test_10_13_c43_only_put_object_has_the_keys_of_a_write():
    asked = signed("PUT", "/bucket/k", {"x-amz-server-side-encryption": "aws:kms", "x-amz-copy-source": "b/%6b"})
    of = values(asked).of
    assert of("s3:PutObject", ACCOUNT)(SSE) == "aws:kms"
    assert of("s3:PutObject", ACCOUNT)("s3:x-amz-copy-source") == "b/%6b"
    assert of("s3:PutObject", ACCOUNT)(f"{SSE}-aws-kms-key-id") is None
    assert of("s3:GetObject", ACCOUNT)(SSE) is None
    assert of("s3:GetObject", ACCOUNT)("s3:x-amz-copy-source") is None


@pytest.mark.fact("D19")
def test_d19_what_only_a_room_below_could_tell():
    asked = signed("PUT", "/bucket/k?partNumber=1&uploadId=u")
    of = values(asked, known={SSE: "AES256"}, UploadId="u").of
    assert of("s3:PutObject", ACCOUNT)(SSE) == "AES256"
    assert of("s3:GetObject", ACCOUNT)(SSE) is None
    assert of("s3:PutObject", ACCOUNT)("s3:objectcreationoperation") == "false"


def test_how_a_request_is_signed():
    header, query = signed("GET", "/bucket/k"), signed("GET", "/bucket/k", presigned=True)
    lookup = values(header, later=1.5).of("s3:GetObject", ACCOUNT)
    assert (lookup("s3:authtype"), lookup("s3:signatureage"), lookup("s3:signatureversion")) == (
        "REST-HEADER",
        "1500",
        "AWS4-HMAC-SHA256",
    )
    assert values(query).of("s3:GetObject", ACCOUNT)("s3:authtype") == "REST-QUERY-STRING"
    assert lookup("s3:x-amz-content-sha256") == header.head().headers["x-amz-content-sha256"]
    assert lookup("aws:securetransport") == "false"


@pytest.mark.fact("C36")
@pytest.mark.parametrize(
    ("arn", "kind", "name"),
    [
        (f"arn:aws:iam::{ACCOUNT}:root", "Account", None),
        (f"arn:aws:iam::{ACCOUNT}:user/team/ann", "User", "ann"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/monday", "AssumedRole", None),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", "FederatedUser", None),
    ],
)
def test_c36_who_asks(arn: str, kind: str, name: str | None):
    lookup = values(signed("GET", "/bucket/k"), caller(ACCOUNT, ACCESS_KEY, arn)).of("s3:GetObject", OTHER)
    assert (lookup("aws:principaltype"), lookup("aws:username"), lookup("aws:principalarn")) == (kind, name, arn)
    assert (lookup("aws:principalaccount"), lookup("aws:resourceaccount"), lookup("s3:resourceaccount")) == (
        ACCOUNT,
        OTHER,
        OTHER,
    )


@pytest.mark.fact("C14")
def test_c14_nobody_has_no_principal():
    lookup = values(Asked("GET", "/bucket/k", {}, b""), ANONYMOUS).of("s3:GetObject", ACCOUNT)
    absent = ("aws:principalarn", "aws:principalaccount", "aws:username", "s3:authtype", "s3:signatureage", "s3:signatureversion")
    assert [key for key in absent if lookup(key) is not None] == []
    assert (lookup("aws:userid"), lookup("aws:principaltype")) == ("anonymous", "Anonymous")


@pytest.mark.fact("E13")
def test_e13_whether_a_key_is_there_is_asked_with_the_key_as_prefix():
    asked = signed("GET", "/bucket/k")
    assert values(asked).of("s3:ListBucket", ACCOUNT)("s3:prefix") == "k"
    assert values(asked, CopySource="b/other").of("s3:ListBucket", ACCOUNT)("s3:prefix") is None


def test_the_version_that_is_meant():
    """The input's, but for the source of a copy and for one of many keys, of which the run tells it."""
    asked = signed("GET", "/bucket/k")
    assert values(asked, VersionId="v").of("s3:GetObjectVersion", ACCOUNT)("s3:versionid") == "v"
    assert values(asked).of("s3:GetObjectVersion", ACCOUNT, "v")("s3:versionid") == "v"
    assert values(asked).of("s3:GetObjectVersion", ACCOUNT)("s3:versionid") is None
    assert values(asked).of("s3:GetObject", ACCOUNT, "v")("s3:versionid") is None  # which has no such key


def test_tls_is_one_of_two_versions_and_nobody_can_tell_which():
    plain = values(signed("GET", "/bucket/k"))
    assert plain.of("s3:GetObject", ACCOUNT)("s3:tlsversion") is None
    plain.head.scheme = "https"
    lookup = plain.of("s3:GetObject", ACCOUNT)

    def holds(operator: str, version: str) -> bool:
        return compile_condition(operator, "s3:TlsVersion", [version], variables=True).holds(lookup)

    assert not holds("NumericLessThan", "1.2")
    assert holds("NumericGreaterThanEquals", "1.2")
    assert holds("NumericNotEquals", "1.1")
    assert not holds("Null", "true")
    for operator in ("NumericLessThan", "NumericEquals", "NumericNotEquals", "NumericGreaterThanEqualsIfExists"):
        with pytest.raises(Untold):
            holds(operator, "1.3")
    with pytest.raises(Untold):
        template("a/${s3:TlsVersion}", variables=True).complete(lookup)


def test_the_ownership_that_is_asked_for():
    controls = {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    put = values(signed("PUT", "/bucket?ownershipControls"), OwnershipControls=controls)
    assert put.of("s3:PutBucketOwnershipControls", ACCOUNT)("s3:x-amz-object-ownership") == "ObjectWriter"
    made = values(signed("PUT", "/bucket", {"x-amz-object-ownership": "BucketOwnerPreferred", "x-amz-acl": "private"}))
    assert made.of("s3:CreateBucket", ACCOUNT)("s3:x-amz-object-ownership") == "BucketOwnerPreferred"
    assert made.of("s3:CreateBucket", ACCOUNT)("s3:x-amz-acl") == "private"
    assert made.of("s3:ListBucket", ACCOUNT)("s3:x-amz-acl") is None


@pytest.mark.fact("C37")
@pytest.mark.parametrize(
    "key",
    [
        "aws:multifactorauthpresent",
        "aws:principalorgid",
        "aws:sourcevpce",
        "aws:principaltag/team",
        "s3:tlsversion",
        "s3:existingobjecttag/team",
        "s3:nothing",
        "kms:viaservice",
        "nothing",
        "s3:",
        "",
    ],
)
def test_c37_what_does_not_exist_here_is_absent(key: str):
    assert values(signed("GET", "/bucket/k")).of("s3:GetObject", ACCOUNT)(key) is None


def test_what_a_request_asks_of_object_lock():
    asked = signed("PUT", "/bucket/k")
    now = values(asked).now
    keys = [f"s3:object-lock-{name}" for name in ("mode", "retain-until-date", "remaining-retention-days", "legal-hold")]
    until = (now + timedelta(days=10, seconds=-1)).replace(microsecond=0)
    text = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    written = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until, "ObjectLockLegalHoldStatus": "ON"}
    lookup = values(asked, **written).of("s3:PutObject", ACCOUNT)
    assert [lookup(key) for key in keys] == ["GOVERNANCE", text, "10", "ON"]
    lookup = values(asked, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}).of("s3:PutObjectRetention", ACCOUNT)
    assert [lookup(key) for key in keys] == ["COMPLIANCE", text, "10", None]
    lookup = values(asked, LegalHold={"Status": "OFF"}).of("s3:PutObjectLegalHold", ACCOUNT)
    assert [lookup(key) for key in keys] == [None, None, None, "OFF"]
    for given in ({}, {"Retention": {}}, {"LegalHold": None}):
        lookup = values(asked, **given).of("s3:PutObject", ACCOUNT)
        assert [lookup(key) for key in keys] == [None] * 4
    exact = {"ObjectLockRetainUntilDate": now + timedelta(days=3)}
    assert values(asked, **exact).of("s3:PutObject", ACCOUNT)(keys[2]) == "3"
    assert values(asked, **exact).of("s3:GetObject", ACCOUNT)(keys[2]) is None
