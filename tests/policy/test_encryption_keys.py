"""Bucket policies about encryption, as patterns everybody uses (section 10 of the encryption semantics)."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.policy.decide import Reason
from tests.policy.asking import ROOT, A, ask, bucket, says

SSE = "s3:x-amz-server-side-encryption"
KEY_ID = f"{SSE}-aws-kms-key-id"
CUSTOMER = f"{SSE}-customer-algorithm"
ARN = f"arn:aws:kms:eu-west-1:{A}:key/6d0b7ee4-0000-4000-8000-000000000001"


def put(condition: dict[str, Any], action: Any = "s3:PutObject", asked: str = "s3:PutObject", **sent: Any) -> bool:
    """Whether root may put under a policy that denies when ``condition`` holds. ``sent``: the headers the client sent."""
    names = {"sse": SSE, "key": KEY_ID, "customer": CUSTOMER, "tls": "aws:SecureTransport", "version": "s3:TlsVersion"}
    values = {names[name]: value for name, value in sent.items()}
    denies = bucket(says("Deny", action, Principal="*", Condition=condition))
    decision = ask(ROOT, resource_policy=denies, action=asked, values=values)
    assert decision.reason is (Reason.ROOT_OF_OWNER if decision.allowed else Reason.DENIED_BY_RESOURCE)
    if not decision.allowed:
        assert decision.ending(asked) == "with an explicit deny in a resource-based policy"  # 10.11
    return decision.allowed


@pytest.mark.fact("10.3", "10.4")
@pytest.mark.parametrize(
    ("condition", "without", "sent"),
    [
        ({"Null": {SSE: "true"}}, False, True),
        ({"StringNotEquals": {SSE: "AES256"}}, False, True),
        ({"StringEquals": {SSE: "AES256"}}, True, False),
    ],
)
def test_10_3_10_4_the_condition_sees_what_the_client_sent(condition: dict[str, Any], without: bool, sent: bool):
    assert put(condition) is without
    assert put(condition, sse="AES256") is sent


@pytest.mark.fact("10.5")
@pytest.mark.parametrize(("sse", "allowed"), [(None, False), ("AES256", False), ("aws:kms", True), ("aws:kms:dsse", False)])
def test_10_5_deny_other_than_kms(sse: str | None, allowed: bool):
    assert put({"StringNotEquals": {SSE: "aws:kms"}}, **({} if sse is None else {"sse": sse})) is allowed


@pytest.mark.fact("10.6")
@pytest.mark.parametrize(("sse", "allowed"), [(None, True), ("AES256", False), ("aws:kms", True)])
def test_10_6_only_if_the_client_chooses(sse: str | None, allowed: bool):
    condition = {"Null": {SSE: "false"}, "StringNotEquals": {SSE: "aws:kms"}}
    assert put(condition, **({} if sse is None else {"sse": sse})) is allowed


@pytest.mark.fact("10.6", "C30")
def test_10_6_c30_if_exists_holds_for_an_absent_key_so_a_deny_with_it_denies():
    assert not put({"StringNotEqualsIfExists": {SSE: "aws:kms"}})
    assert not put({"StringNotEqualsIfExists": {SSE: "aws:kms"}}, sse="AES256")
    assert put({"StringNotEqualsIfExists": {SSE: "aws:kms"}}, sse="aws:kms")


@pytest.mark.fact("10.7")
@pytest.mark.parametrize(
    ("key_id", "allowed"),
    [(None, False), (ARN, True), (ARN[:-1] + "2", False), ("alias/mine", False), (ARN.rpartition("/")[2], False)],
)
def test_10_7_required_key(key_id: str | None, allowed: bool):
    assert put({"ArnNotEqualsIfExists": {KEY_ID: ARN}}, **({} if key_id is None else {"key": key_id})) is allowed


@pytest.mark.fact("10.8")
def test_10_8_require_and_forbid_sse_c():
    assert not put({"Null": {CUSTOMER: "true"}})
    assert put({"Null": {CUSTOMER: "true"}}, customer="AES256")
    assert put({"Null": {CUSTOMER: "false"}})
    assert not put({"Null": {CUSTOMER: "false"}}, customer="AES256")


@pytest.mark.fact("10.9")
def test_10_9_tls_only():
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    for asked in ("s3:PutObject", "s3:GetObject"):
        assert not put(condition, "s3:*", asked, tls="false")
        assert put(condition, "s3:*", asked, tls="true")


@pytest.mark.fact("10.1")
def test_10_1_tls_version():
    condition = {"NumericLessThan": {"s3:TlsVersion": 1.2}}
    assert not put(condition, version="1.1")
    assert put(condition, version="1.2")
    assert put(condition, version="1.3")


@pytest.mark.fact("10.10")
def test_10_10_a_policy_sees_values_that_are_no_valid_parameters():
    assert not put({"StringNotEquals": {CUSTOMER: "AES256"}}, customer="AES192")


@pytest.mark.fact("10.2")
def test_10_2_the_keys_apply_to_put_object():
    assert put({"StringNotEquals": {SSE: "aws:kms"}}, asked="s3:GetObject", action="s3:PutObject")
