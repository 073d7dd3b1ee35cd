"""Condition operators, quantifiers and absent keys (C28 to C36)."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.policy.conditions import encryption_context_values
from strongroom.policy.decide import Authority, Question, Standing, decide
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.operators import OPERATORS
from strongroom.policy.templates import Lazy, Untold
from tests.policy.asking import OBJECT, ROLE, USER, A, ask, bucket, identity, says
from tests.policy.test_evaluation import to


def holds(operator: str, operands: Any, value: Any) -> bool:
    values = {} if value is None else {"k:x": value}
    return ask(USER, identity(says(Condition={operator: {"k:x": operands}})), values=values).allowed


C28 = {
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
}
NEGATED = {name for name in C28 if "Not" in name}


@pytest.mark.fact("C28")
def test_c28_all_operators_are_there_and_no_others():
    assert set(OPERATORS) == C28


@pytest.mark.fact("C28")
@pytest.mark.parametrize(
    ("operator", "operand", "matching", "other"),
    [
        ("StringEquals", "a*", "a*", "ab"),
        ("StringNotEquals", "a", "A", "a"),
        ("StringEqualsIgnoreCase", "aB", "Ab", "abc"),
        ("StringNotEqualsIgnoreCase", "aB", "abc", "AB"),
        ("StringLike", "a*c?", "abcd", "Abcd"),
        ("StringNotLike", "a*", "ba", "ab"),
        ("NumericEquals", "1.0", "1", "2"),
        ("NumericNotEquals", 1, "2", "1.00"),
        ("NumericLessThan", 2, "1.9", "2"),
        ("NumericLessThanEquals", "2", "2", "2.1"),
        ("NumericGreaterThan", "9", "10", "9"),
        ("NumericGreaterThanEquals", "-1", "-1", "-2"),
        ("DateEquals", "2026-01-01T00:00:00Z", "1767225600", "1767225601"),
        ("DateNotEquals", "2026-01-01", "2026-01-02T00:00:00Z", "2026-01-01T01:00:00+01:00"),
        ("DateLessThan", "2026-01-01", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00Z"),
        ("DateLessThanEquals", "2026-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ("DateGreaterThan", "2026", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00Z"),
        ("DateGreaterThanEquals", 1767225600, "2026-01-01T00:00:00Z", "2025-12-31"),
        ("Bool", True, "true", "false"),
        ("Bool", "False", "false", "true"),
        ("BinaryEquals", "YWI=", "YWI=", "YWM="),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", "203.0.114.1"),
        ("IpAddress", "203.0.113.9", "203.0.113.9", "203.0.113.8"),
        ("IpAddress", "2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.9", "::203.0.113.9"),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.1", "203.0.113.1"),
        ("ArnEquals", "arn:aws:iam::*:user/a?n", f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{A}:user/anna"),
        ("ArnLike", "arn:aws:iam::111122223333:role/*", ROLE, USER),
        ("ArnNotEquals", USER, ROLE, USER),
        ("ArnNotLike", "arn:*:iam::*:user/*", ROLE, USER),
    ],
)
def test_c28_each_operator(operator: str, operand: Any, matching: str, other: str):
    assert holds(operator, operand, matching)
    assert not holds(operator, operand, other)


@pytest.mark.fact("C28", "C30")
@pytest.mark.parametrize("name", sorted(C28 | {f"{name}IfExists" for name in C28}))
@pytest.mark.parametrize("quantifier", ["", "ForAllValues:", "ForAnyValue:"])
def test_c28_c30_absent_keys(name: str, quantifier: str):
    operand = {"IpAddress": "10.0.0.1", "NotIpAddress": "10.0.0.1", "BinaryEquals": "YQ=="}.get(
        name.removesuffix("IfExists"), "1"
    )
    bare = name.removesuffix("IfExists")
    expected = quantifier == "ForAllValues:" or (not quantifier and (name.endswith("IfExists") or bare in NEGATED))
    assert holds(quantifier + name, operand, None) is expected
    if name == bare:
        assert holds(quantifier + name, operand, []) is expected


@pytest.mark.fact("C30")
@pytest.mark.parametrize(("operand", "absent", "there"), [("true", True, False), (True, True, False), ("false", False, True)])
def test_c30_null(operand: Any, absent: bool, there: bool):
    assert holds("Null", operand, None) is absent
    assert holds("Null", operand, "x") is there
    assert holds("Null", operand, "") is there


@pytest.mark.fact("C28")
@pytest.mark.parametrize("name", ["NullIfExists", "ForAllValues:Null", "ForAnyValue:Null"])
def test_c28_null_has_neither_suffix_nor_prefix(name: str):
    with pytest.raises(InvalidPolicy):
        identity(says(Condition={name: {"k:x": "true"}}))


@pytest.mark.fact("C29")
def test_c29_and_across_operators_and_keys_or_across_values():
    policy = identity(says(Condition={"StringEquals": {"k:x": ["a", "b"], "k:y": "c"}, "NumericLessThan": {"k:n": 5}}))
    good = {"k:x": "b", "k:y": "c", "k:n": "4"}
    assert ask(USER, policy, values=good).allowed
    for key, value in (("k:x", "c"), ("k:y", "a"), ("k:n", "5")):
        assert not ask(USER, policy, values={**good, key: value}).allowed


@pytest.mark.fact("C29")
def test_c29_a_negated_operator_means_none_of_the_values():
    assert not holds("StringNotEquals", ["a", "b"], "b")
    assert holds("StringNotEquals", ["a", "b"], "c")
    assert not holds("NotIpAddress", ["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.1")


@pytest.mark.fact("C28")
@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "c"], True),
        ("ForAnyValue:StringEquals", ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["c", "a"], False),
        ("ForAnyValue:StringNotEquals", ["c", "a"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], False),
        ("StringEquals", ["c", "a"], True),
        ("StringNotEquals", ["c", "a"], False),
    ],
)
def test_c28_multivalued_keys(operator: str, values: list[str], expected: bool):
    assert holds(operator, ["a", "b"], values) is expected


@pytest.mark.fact("C31")
def test_c31_key_names_ignore_case_and_operator_names_do_not():
    policy = identity(says(Condition={"StringEquals": {"AWS:UserName": "ann"}}))
    assert ask(USER, policy, values={"aws:username": "ann"}).allowed
    with pytest.raises(InvalidPolicy, match="Invalid Condition type : stringequals"):
        bucket(to("*", Condition={"stringequals": {"aws:username": "ann"}}))


@pytest.mark.fact("C32")
@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("arn:aws:iam::*:user/*", True),
        ("arn:aws:iam::*", False),  # the star stays within its part
        ("arn:*:ann", False),
        ("*:*:*:*:*:*", True),
        ("*", True),
    ],
)
def test_c32_wildcards_of_arns_stay_within_their_part(pattern: str, matching: bool):
    assert holds("ArnLike", pattern, USER) is matching
    assert holds("ArnLike", pattern, "no arn") is False


@pytest.mark.fact("C42")
@pytest.mark.parametrize("date", ["soon", "2026-13-01", "2026-02-30", "2026-1-1", "1e3", "", "20260101T000000Z", "9" * 400])
def test_c42_malformed_dates_never_match(date: str):
    assert not holds("DateLessThan", date, "2026-01-01T00:00:00Z")
    assert not holds("DateGreaterThan", date, "2026-01-01T00:00:00Z")
    assert not holds("DateGreaterThan", "2026-01-01T00:00:00Z", date)


@pytest.mark.parametrize("number", ["1e9", "NaN", "Infinity", "0x1", "", "1_0", "٣", "9" * 5_000])
def test_malformed_numbers_never_match(number: str):
    assert not holds("NumericEquals", number, "1")
    assert not holds("NumericGreaterThanEquals", "0", number)
    assert not holds("NumericLessThanEquals", "0", number)


@pytest.mark.fact("C33")
def test_c33_encryption_context():
    values = encryption_context_values({"Team": "Red", "aws:s3:arn": "arn:aws:s3:::b"})
    named = identity(
        says(
            Condition={
                "StringEquals": {"kms:EncryptionContext:TEAM": "Red", "kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::b"}
            }
        )
    )
    assert ask(USER, named, values=values).allowed
    assert not ask(USER, named, values=encryption_context_values({"Team": "red", "aws:s3:arn": "arn:aws:s3:::b"})).allowed
    keys = identity(says(Condition={"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "Team"}}))
    assert ask(USER, keys, values=values).allowed
    assert not ask(USER, keys, values=encryption_context_values({"team": "Red"})).allowed
    assert encryption_context_values({}) == {}


def test_values_are_computed_only_for_the_keys_some_policy_asks_for_and_once():
    asked: list[str] = []

    def compute(key: str) -> str | None:
        asked.append(key)
        return "ann" if key == "aws:username" else None

    from strongroom.policy.decide import Authority, Question, Standing, decide

    mine = identity(
        says(resource="arn:aws:s3:::other/*", Condition={"StringEquals": {"k:never": "1"}}),
        says(action="s3:PutObject", Condition={"StringEquals": {"k:never": "1"}}),
        says(Condition={"StringEquals": {"aws:username": "ann"}}, resource="arn:aws:s3:::bucket/${aws:username}/*"),
    )
    question = Question(
        A, USER, False, "s3:GetObject", "arn:aws:s3:::bucket/ann/x", Authority(A), Standing((mine,)), Lazy(compute)
    )
    assert decide(question).allowed
    assert asked == ["aws:username"]


def untold(key: str) -> str | None:
    if key.startswith("k:untold"):
        raise Untold(key)
    return "x" if key == "k:x" else None


@pytest.mark.parametrize("operator", ["StringEquals", "StringNotLikeIfExists", "ForAnyValue:StringEquals", "Null"])
def test_what_nobody_can_tell_counts_against_the_caller(operator: str) -> None:
    unknown = {operator: {"k:untold": "true"}}
    allow, deny = says(Condition=unknown), says("Deny", Condition=unknown)
    also_false = says("Deny", Condition={**unknown, "StringLike": {"k:x": "y"}})
    for policy, allowed in (
        (identity(allow), False),
        (identity(says()), True),
        (identity(says(), deny), False),
        (identity(says(), also_false), True),  # a condition beside it that does not hold keeps the Deny from holding
        (identity(says(resource="arn:aws:s3:::bucket/${k:untold}")), False),
        (identity(says(), says("Deny", resource="arn:aws:s3:::bucket/${k:untold}")), False),
    ):
        question = Question(A, USER, False, "s3:GetObject", OBJECT, Authority(A), Standing((policy,)), untold)
        assert decide(question).allowed is allowed
