"""What is told apart by literal texts is never lost: policies asked together say what each of them says, one statement after the other."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.compiled import Together
from strongroom.policy.decide import Authority, Question, Standing, decide, explain
from strongroom.policy.identity_documents import read_identity_policy
from strongroom.policy.templates import lookup_of
from tests.policy.asking import USER, A, identity, says

PIECES = st.sampled_from(["arn:aws:s3:::", "b", "/", "*", "?", "a", "home", "${aws:username}", "${*}", "private/", "ann"])
RESOURCES = st.lists(PIECES, min_size=1, max_size=6).map(lambda pieces: "arn:aws:s3:::b" + "".join(pieces))
STATEMENTS = st.lists(
    st.builds(
        lambda effect, action, resource, negated: {
            "Effect": effect,
            "Action": action,
            ("NotResource" if negated else "Resource"): resource,
        },
        st.sampled_from(["Allow", "Allow", "Allow", "Deny"]),
        st.sampled_from(["s3:GetObject", "s3:*", "s3:Put*"]),
        st.one_of(RESOURCES, st.lists(RESOURCES, min_size=1, max_size=3), st.just("*")),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=6,
)
ASKED = st.lists(st.sampled_from(["b", "/", "a", "home", "ann", "private/", "x", "*"]), max_size=6).map(
    lambda pieces: "arn:aws:s3:::b" + "".join(pieces)
)
VALUES = lookup_of({"aws:username": "ann"})


@settings(max_examples=300, deadline=None)
@given(st.lists(STATEMENTS, min_size=1, max_size=4), ASKED)
def test_asked_together_they_say_what_they_say_alone(documents, resource):
    policies = tuple(
        read_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": one}), f"p{at}")
        for at, one in enumerate(documents)
    )
    applying = [
        (policy.name, one.index, one.allows)
        for policy in policies
        for one in policy.statements
        if one.speaks_of("s3:getobject") and one.applies(resource, VALUES)
    ]
    denials, allows = ([one for one in applying if one[2] is verdict] for verdict in (False, True))
    expected = denials[0] if denials else allows[0] if allows else None
    together = Together(policies)
    for _ in range(2):  # the second time from memory
        found = together.look("s3:GetObject", resource, VALUES)
        assert (None if found is None else (found.policy, found.statement, found.verdict)) == expected
    question = Question(A, USER, False, "s3:GetObject", resource, Authority(A), Standing(policies), VALUES)
    quick, thorough = decide(question), explain(question)
    assert (quick.allowed, quick.reason) == (thorough.allowed, thorough.reason)
    assert quick.decided_by == thorough.decided_by


@pytest.mark.parametrize(
    ("resource", "places"),
    [
        ("arn:aws:s3:::b/k", [("arn:aws:s3:::b/k", "")]),
        ("arn:aws:s3:::b/*", [("arn:aws:s3:::b/", "")]),
        ("arn:aws:s3:::b/*/private/?x", [("arn:aws:s3:::b/", "/private/")]),
        ("arn:aws:s3:::b/${aws:username}/in/*", [("arn:aws:s3:::b/", "/in/")]),
        ("*", [("", "")]),
        (["*", "arn:aws:s3:::*-logs"], [("", ""), ("arn:aws:s3:::", "-logs")]),
    ],
)
def test_places(resource, places):
    (statement,) = identity(says(resource=resource)).statements
    assert list(statement.places) == places


def test_many_statements_are_told_apart_without_a_close_look():
    """Of 1,000 about an action, those about other objects are not even asked whether they apply."""
    each = [says(resource=f"arn:aws:s3:::b/{at}/*") for at in range(500)]
    each += [says("Deny", resource=f"arn:aws:s3:::b/*/no-{at}/*") for at in range(500)]
    policy = identity(*each)
    near = policy.about("s3:GetObject").to("arn:aws:s3:::b/7/no-3/x")
    assert [one.index for _, _, one in near] == [7, 503]
    bucket = read_bucket_policy(json.dumps({"Statement": [{**one, "Principal": "*"} for one in each[:50]]}), "b")
    assert [one.index for _, _, one in bucket.about("s3:GetObject").to("arn:aws:s3:::b/49/x")] == [49]
