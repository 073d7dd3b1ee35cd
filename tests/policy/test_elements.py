"""Elements of statements: exclusive pairs, wildcards, versions and variables (C23 to C27)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.policy.faults import Fault, InvalidPolicy
from strongroom.policy.identity_documents import read_identity_policy, read_trust_policy
from strongroom.policy.wildcards import Pattern
from tests.policy.asking import ROLE, ROOT, SESSION, USER, A, ask, bucket, identity, says, text
from tests.policy.slow_decide import elements, wild


@pytest.mark.fact("C23")
@pytest.mark.parametrize("element", ["Action", "Resource"])
def test_c23_pairs_are_exclusive(element: str):
    with pytest.raises(InvalidPolicy, match=r"Syntax errors in policy\."):
        identity(says(**{f"Not{element}": "*"}))


@pytest.mark.fact("C23")
def test_c23_no_principal_in_identity_policies_and_no_resource_in_trust_policies():
    with pytest.raises(InvalidPolicy, match=r"Policy document should not specify a principal\."):
        identity(says(Principal="*"))
    with pytest.raises(InvalidPolicy, match="Has prohibited field Resource"):
        read_trust_policy(text(says(action="sts:AssumeRole", Principal="*")), "role")


@pytest.mark.fact("C23")
def test_c23_not_action_and_not_resource():
    others = identity({"Effect": "Allow", "NotAction": "s3:Put*", "NotResource": ["arn:aws:s3:::bucket/private/*"]})
    assert ask(USER, others).allowed
    assert not ask(USER, others, action="s3:PutObject").allowed
    assert not ask(USER, others, resource="arn:aws:s3:::bucket/private/x").allowed


@pytest.mark.fact("C24")
@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("s3:getobject", True),
        ("S3:GET*", True),
        ("s3:Get?bject", True),
        ("s3:*Object", True),
        ("*", True),
        ("s3:GetObjec", False),
    ],
)
def test_c24_actions_ignore_case(pattern: str, allowed: bool):
    assert ask(USER, identity(says(action=pattern))).allowed is allowed


@pytest.mark.fact("C24")
@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("arn:aws:s3:::bucket/a/b:c", True),
        ("arn:aws:s3:::bucket/A/b:c", False),
        ("arn:aws:s3:::bucket/*", True),
        ("arn:aws:s3:::bucket*c", True),
        ("arn:aws:*:::*:c", True),
        ("arn:aws:s3:::bucket/?/b:c", True),
        ("arn:aws:s3:::bucket/??/b:c", False),
    ],
)
def test_c24_resources_keep_case_and_a_star_crosses_everything(pattern: str, allowed: bool):
    assert ask(USER, identity(says(resource=pattern)), resource="arn:aws:s3:::bucket/a/b:c").allowed is allowed


@pytest.mark.fact("C25")
def test_c25_not_principal_with_allow_is_refused():
    with pytest.raises(InvalidPolicy, match=r"Allow with NotPrincipal is not allowed\.") as refused:
        bucket(says(NotPrincipal={"AWS": USER}))
    assert refused.value.fault is Fault.NOT_PRINCIPAL_ALLOW


@pytest.mark.fact("C25")
@pytest.mark.parametrize(
    ("listed", "arn", "denied"),
    [
        ([USER, ROOT], USER, False),
        ([USER, A], USER, False),
        ([USER], USER, True),
        ([ROOT], USER, True),
        ([ROOT], ROOT, False),
        ([ROLE, ROOT], SESSION, False),
        ([ROLE], SESSION, True),
        (["*"], USER, False),
        ([USER, ROOT], "", True),
    ],
)
def test_c25_not_principal_with_deny_spares_who_is_listed_with_its_account(listed: list[str], arn: str, denied: bool):
    deny = bucket(says("Deny", NotPrincipal={"AWS": listed}))
    decision = ask(arn, identity(says()), resource_policy=deny)
    assert decision.reason.value.startswith("an explicit deny") is denied


@pytest.mark.fact("C26")
def test_c26_variables_are_literal_in_the_older_version():
    home = says(resource="arn:aws:s3:::bucket/${aws:username}/*")
    values = {"aws:username": "ann"}
    mine, literal = "arn:aws:s3:::bucket/ann/x", "arn:aws:s3:::bucket/${aws:username}/x"
    assert ask(USER, identity(home), resource=mine, values=values).allowed
    assert not ask(USER, identity(home), resource=literal, values=values).allowed
    for version in ("2008-10-17", None):
        assert not ask(USER, identity(home, version=version), resource=mine, values=values).allowed
        assert ask(USER, identity(home, version=version), resource=literal, values=values).allowed


@pytest.mark.fact("C27")
@pytest.mark.parametrize(
    ("written", "values", "matching"),
    [
        ("${aws:PrincipalTag/team}", {"aws:principaltag/TEAM": "red"}, "red"),
        ("${aws:PrincipalTag/team, 'none'}", {}, "none"),
        ("${aws:PrincipalTag/team,'none'}", {"aws:PrincipalTag/team": "red"}, "red"),
        ("${*}", {}, "*"),
        ("${?}", {}, "?"),
        ("${$}{x}", {}, "${x}"),
        ("a${aws:username}b${aws:username}", {"aws:username": "-"}, "a-b-"),
        ("${unclosed", {}, "${unclosed"),
        ("${}", {}, "${}"),
    ],
)
def test_c27_variables_defaults_and_escapes(written: str, values: dict[str, str], matching: str):
    policy = identity(says(resource=f"arn:aws:s3:::bucket/{written}"))
    assert ask(USER, policy, resource=f"arn:aws:s3:::bucket/{matching}", values=values).allowed
    assert not ask(USER, policy, resource=f"arn:aws:s3:::bucket/{matching}x", values=values).allowed
    condition = identity(says(Condition={"StringEquals": {"k:x": written}}))
    assert ask(USER, condition, values={**values, "k:x": matching}).allowed


@pytest.mark.fact("C27")
def test_c27_a_value_from_the_request_is_never_a_wildcard():
    policy = identity(says(resource="arn:aws:s3:::bucket/${aws:username}"))
    assert not ask(USER, policy, resource="arn:aws:s3:::bucket/other", values={"aws:username": "*"}).allowed
    assert ask(USER, policy, resource="arn:aws:s3:::bucket/*", values={"aws:username": "*"}).allowed


@pytest.mark.fact("C27")
@pytest.mark.parametrize("value", [None, ["ann"], ["ann", "bob"]])
def test_c27_what_has_no_single_value_matches_nothing(value: object):
    values = {} if value is None else {"aws:username": value}
    policy = identity(says(resource="arn:aws:s3:::bucket/*${aws:username}*"))
    assert not ask(USER, policy, resource="arn:aws:s3:::bucket/ann", values=values).allowed
    negated = identity(says(Condition={"StringNotEquals": {"k:x": "${aws:username}"}}))
    assert ask(USER, negated, values={**values, "k:x": "ann"}).allowed


@pytest.mark.fact("C27")
def test_c27_an_exception_that_cannot_be_read_neither_widens_an_allow_nor_narrows_a_deny():
    exception = "arn:aws:s3:::bucket/${aws:username}/*"
    assert not ask(USER, identity({"Effect": "Allow", "Action": "*", "NotResource": exception})).allowed
    denies = identity(says(), {"Effect": "Deny", "Action": "*", "NotResource": exception})
    assert not ask(USER, denies).allowed


@pytest.mark.fact("C27")
@pytest.mark.parametrize(
    ("operator", "operand", "value"),
    [("NumericEquals", "${k:n}", "1"), ("Bool", "${k:b}", "true"), ("DateEquals", "${k:d}", "2026-01-01")],
)
def test_c27_no_variables_in_other_types(operator: str, operand: str, value: str):
    policy = identity(says(Condition={operator: {"k:x": operand}}))
    assert not ask(USER, policy, values={"k:x": value, operand[2:-1]: value}).allowed


_alphabet = st.text("ab*?", max_size=12)


@settings(max_examples=500, deadline=None)
@given(_alphabet, st.text("ab", max_size=12))
def test_wildcards_match_as_they_are_written(pattern: str, matched: str):
    assert Pattern.of(pattern).matches(matched) is wild(elements(pattern, "", None), matched)


@pytest.mark.parametrize(
    "pattern",
    [
        "*" * 10_000 + "b",
        "*a" * 5_000 + "b",
        "*" + "a?" * 5_000 + "b",
        "*?a" * 5_000 + "b",
        "?*" * 5_000 + "b",
        "*a?a" * 3_000 + "*b",
    ],
)
def test_huge_wildcards_match_in_linear_time(pattern: str):
    """Counted in steps, not in seconds: each character of the text is looked at a few times at most."""
    steps = 0

    class Counting(str):
        __slots__ = ()

        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            nonlocal steps
            steps += 1
            return str.__getitem__(self, at)

    haystack = Counting("a" * 20_000)
    assert Pattern.of(pattern).matches(haystack) is False
    assert steps <= 3 * len(haystack)
    assert Pattern.of(pattern[:-1] + "*").matches(haystack)


@pytest.mark.parametrize("count", [1, 100, 6_000])
def test_unclosed_variables_are_read_in_bounded_time(count: int):
    policy = read_identity_policy(text(says(resource="arn:aws:s3:::" + "${" * count)), "p")
    assert ask(USER, policy, resource="arn:aws:s3:::" + "${" * count).allowed
