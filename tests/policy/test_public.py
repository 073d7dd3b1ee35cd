"""What is public, and what Block Public Access does about it (E8, E9, E17, E23, E24)."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.policy.public import ALL_BLOCKED, PublicAccessBlock, is_public_grant
from tests.policy.asking import USER, A, bucket, says

ORG = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}


@pytest.mark.fact("E23")
@pytest.mark.parametrize(
    ("statement", "public"),
    [
        (says(Principal="*"), True),
        (says(Principal={"AWS": "*"}), True),
        (says(Principal={"AWS": [USER, "*"]}), True),
        (says("Deny", Principal="*"), False),
        (says(Principal={"AWS": A}), False),
        (says(Principal={"CanonicalUser": "5" * 64}), False),
        (says(Principal={"Service": "logging.s3.amazonaws.com"}), False),
    ],
)
def test_e23_everyone_is_public(statement: dict[str, Any], public: bool):
    assert bucket(statement).public is public


@pytest.mark.fact("E23")
@pytest.mark.parametrize(
    ("condition", "public"),
    [
        ({}, True),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/7"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["10.0.0.1", "0.0.0.0/0"]}}, True),
        ({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}, False),
        ({"IpAddress": {"aws:SourceIp": "2001::/31"}}, True),
        ({"IpAddress": {"aws:SourceIp": "::ffff:0:0/96"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, True),
        ({"IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}}, True),
        ({"StringEquals": {"aws:SourceIp": "203.0.113.0"}}, True),
        (ORG, False),
        ({"StringLike": {"aws:PrincipalOrgID": "o-*"}}, True),
        ({"StringLike": {"aws:PrincipalOrgID": "o-1"}}, False),
        ({"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": "o-1"}}, False),
        ({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, True),
        ({"StringEquals": {"aws:PrincipalOrgID": "${aws:PrincipalOrgID}"}}, True),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-west-1:111122223333:topic"}}, False),
        ({"StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
        ({"StringEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}, False),
        ({"StringEquals": {"aws:SourceAccount": A}}, False),
        ({"StringEquals": {"aws:userid": "AIDAX"}}, False),
        ({"StringLike": {"aws:userid": "AROAX:*"}}, True),
        ({"StringEquals": {"s3:DataAccessPointAccount": A}}, False),
        ({"StringEquals": {"aws:UserAgent": "mine"}}, True),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"Null": {"aws:PrincipalOrgID": False}}, True),
        ({"Bool": {"aws:SecureTransport": True}, **ORG}, False),
    ],
)
def test_e23_what_narrows_a_wildcard(condition: dict[str, Any], public: bool):
    assert bucket(says(Principal="*", Condition=condition)).public is public


@pytest.mark.fact("E23")
def test_e23_the_kms_key_narrows_writes():
    condition = {"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-west-1:111122223333:key/1"}}
    assert not bucket(says(action="s3:PutObject", Principal="*", Condition=condition)).public


@pytest.mark.fact("E23")
def test_e23_one_public_statement_suffices():
    assert bucket(says(Principal={"AWS": A}), says(Principal="*", Condition=ORG), says(Principal="*")).public
    assert not bucket(says(Principal={"AWS": A}), says(Principal="*", Condition=ORG)).public


@pytest.mark.fact("E8", "E9")
def test_e8_e9_the_four_settings():
    nothing = PublicAccessBlock()
    group = "http://acs.amazonaws.com/groups/global/AllUsers"
    assert ALL_BLOCKED.refuses_policy(public=True)
    assert not ALL_BLOCKED.refuses_policy(public=False)
    assert ALL_BLOCKED.refuses_acl(public=True)
    assert ALL_BLOCKED.restricts(public_policy=True)
    assert not ALL_BLOCKED.restricts(public_policy=False)
    assert ALL_BLOCKED.ignores_grant(group)
    assert not ALL_BLOCKED.ignores_grant(None)
    assert not nothing.refuses_policy(public=True)
    assert not nothing.refuses_acl(public=True)
    assert not nothing.restricts(public_policy=True)
    assert not nothing.ignores_grant(group)


def test_the_stricter_of_bucket_and_account_holds():
    bucket_has, account_has = PublicAccessBlock(block_public_acls=True), PublicAccessBlock(restrict_public_buckets=True)
    assert bucket_has.with_account(account_has) == PublicAccessBlock(block_public_acls=True, restrict_public_buckets=True)
    assert ALL_BLOCKED.with_account(PublicAccessBlock()) == ALL_BLOCKED


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("http://acs.amazonaws.com/groups/global/AllUsers", True),
        ("http://acs.amazonaws.com/groups/global/AuthenticatedUsers", True),
        ("http://acs.amazonaws.com/groups/s3/LogDelivery", False),
        (None, False),
    ],
)
def test_public_grants(uri: str | None, public: bool):
    assert is_public_grant(uri) is public
