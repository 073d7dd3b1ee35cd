"""Where statements stand, against samples of IAM's reference and recorded answers; and which condition keys they speak of."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.policy.faults import Kind
from strongroom.policy.positions import statement_keys, statement_positions

ADMINISTRATOR = """{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "*",
      "Resource": "*"
    }
  ]
}"""
LONE = """{
  "Version":"2012-10-17",
  "Statement":{
    "Effect":"Allow",
    "Action":"s3:PutObject",
    "Resource":"arn:aws:s3:::my-test-bucket"
  }
}"""
ONE_LINE = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":'
    '{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}'
)


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        (ADMINISTRATOR, [((3, 17), (8, 6))]),  # recorded
        (LONE, [((3, 16), (7, 4))]),  # the reference's sample
        (ONE_LINE, [((1, 38), (1, 167))]),  # the CLI's example
        ('{"Statement":[{},{"Sid":"a"}]}', [((1, 15), (1, 17)), ((1, 17), (1, 29))]),
        ('{ "Id" : "}{" , "Statement" : [ ] }', []),
        ('{"Id":"x"}', []),
        ('{"Statement":{"Sid":"\\u007d\\"}"},"Version":"2012-10-17"}', [((1, 15), (1, 33))]),
    ],
)
def test_where_statements_stand(text, positions):
    json.loads(text)
    assert list(statement_positions(text)) == positions


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.lists(st.booleans())), max_size=3)
    ),
    st.sampled_from([None, 0, 2]),
)
def test_each_position_ends_behind_a_brace(statements, indent):
    text = json.dumps({"Version": "2012-10-17", "Statement": statements, "Id": 1e5}, indent=indent)
    lines = text.split("\n")
    found = statement_positions(text)
    assert len(found) == len(statements)
    for _, (line, column) in found:
        assert lines[line - 1][column - 2] == "}"
    assert list(found) == sorted(found)


def test_keys_of_statements():
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": ["arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/${*}"],
        "Condition": {
            "StringLike": {"s3:Prefix": ["${aws:PrincipalTag/Team, 'none'}", "x"]},
            "StringNotLike": {"S3:prefix": "y"},
            "NumericLessThan": {"s3:max-keys": 10},
        },
    }
    plain = {"Effect": "Deny", "NotAction": "s3:*", "NotResource": "arn:aws:s3:::${aws:userid}"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement, plain]})
    assert statement_keys(text, Kind.IDENTITY) == (
        ("s3:Prefix", "s3:max-keys", "aws:PrincipalTag/Team", "aws:username"),
        ("aws:userid",),
    )
    old = json.dumps({"Version": "2008-10-17", "Statement": [statement]})
    assert statement_keys(old, Kind.IDENTITY) == (("s3:Prefix", "s3:max-keys"),)
