"""Policies that are none, at the doors of S3, IAM and KMS: the documented error, and what was there before stays."""

from __future__ import annotations

import json

import pytest

from tests.clients.house import OWNER, refused, unique

RIGHT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::BUCKET/*"}


def text(**more):
    return json.dumps({"Version": "2012-10-17", "Statement": {**RIGHT, **more}}, ensure_ascii=False)


BAD = {
    "no JSON": "GetObject",
    "cut short": text()[:-1],
    "a list": "[]",
    "a mark before it": "\ufeff" + text(),
    "a control character": text(Sid="a").replace('"a"', '"a\x01"'),
    "an invisible character in an action": text(Action="s3:Get\u200bObject"),
    "an invisible character in an element": text().replace("Effect", "Eff\u200bect"),
    "deeply nested": '{"Statement":' + "[" * 5_000 + "]" * 5_000 + "}",
    "a key twice": text().replace('"Effect"', '"Effect": "Deny", "Effect"'),
    "a number for an action": text(Action=7),
    "null for a resource": text(Resource=None),
    "an unknown element": text(Efect="Allow"),
    "an unknown effect": text(Effect="allow"),
    "an unknown operator": text(Condition={"StringMatches": {"aws:SourceIp": "x"}}),
    "an operator in another case": text(Condition={"stringequals": {"aws:UserAgent": "x"}}),
    "a bad version": text().replace("2012-10-17", "2013-10-17"),
    "no statement": '{"Version":"2012-10-17"}',
    "more than 20 KiB": text(Condition={"StringEquals": {"aws:UserAgent": ["x" * 100] * 400}}),
}
SIZES = {"more than 20 KiB"}


@pytest.fixture(scope="module")
def places(server, s3, kms):
    """For each service: how a policy is put, and how it is got back; each has a good one."""
    iam = server.client("iam")
    bucket, user, key = unique(), unique("user"), kms.create_key()["KeyMetadata"]["KeyId"]
    s3.create_bucket(Bucket=bucket)
    good = text(Principal={"AWS": OWNER}).replace("BUCKET", bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=good)
    iam.create_user(UserName=user)
    named = {"UserName": user, "PolicyName": "p"}
    iam.put_user_policy(**named, PolicyDocument=text())
    yield {
        "s3": (
            lambda bad: refused(s3.put_bucket_policy, Bucket=bucket, Policy=bad.replace("BUCKET", bucket)),
            lambda: s3.get_bucket_policy(Bucket=bucket)["Policy"],
            {"MalformedPolicy"},
        ),
        "iam": (
            lambda bad: refused(iam.put_user_policy, **named, PolicyDocument=bad),
            lambda: iam.get_user_policy(**named)["PolicyDocument"],
            {"MalformedPolicyDocument", "ValidationError", "LimitExceeded"},
        ),
        "kms": (
            lambda bad: refused(kms.put_key_policy, KeyId=key, Policy=bad),
            lambda: kms.get_key_policy(KeyId=key)["Policy"],
            {"MalformedPolicyDocumentException", "ValidationException", "LimitExceededException"},
        ),
    }
    iam.close()


@pytest.mark.parametrize("service", ["s3", "iam", "kms"])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_policy_is_refused_and_changes_nothing(places, service, name):
    put, get, codes = places[service]
    before = get()
    bad = BAD[name]
    if service in {"s3", "kms"}:
        bad = bad.replace('"Effect"', f'"Principal": {{"AWS": "{OWNER}"}}, "Effect"', 1)
    if service == "kms":
        bad = bad.replace("s3:Get", "kms:Get")
    refusal = put(bad)
    assert refusal.code in codes
    assert refusal.status == 400 or (refusal.code, refusal.status) == ("LimitExceeded", 409)
    assert get() == before


def test_hundreds_of_stars_are_matched_at_once(s3):
    """A pattern that would take a backtracking matcher longer than the universe: it is kept, and it decides."""
    bucket = unique()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a" * 900, Body=b"x")
    stars = f"arn:aws:s3:::{bucket}/" + "*a" * 400 + "b"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": stars}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    assert s3.get_object(Bucket=bucket, Key="a" * 900)["Body"].read() == b"x"
    deny["Resource"] = stars[:-1] + "*"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    assert refused(s3.get_object, Bucket=bucket, Key="a" * 900).code == "AccessDenied"
