"""Principals bound to unique ids: the policy means whom it meant when it was kept, whatever they are called now."""

from __future__ import annotations

import json

import pytest

from strongroom.policy.binding import arns_of, bound, renamed
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.decide import Authority, Question, Standing, decide

A, B = "111122223333", "444455556666"
ANN, APP = f"arn:aws:iam::{A}:user/dev/ann", f"arn:aws:iam::{A}:role/app"
IDS = {ANN: "AIDAANNANNANNANNANNAN", APP: "AROAAPPAPPAPPAPPAPPAP"}
SESSION = f"arn:aws:sts::{A}:assumed-role/app/one"
ONE = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allowed(text, ids, arn, unique_id, *, identity=(), role_arn=""):
    policy = bound(read_bucket_policy(text, "b"), ids)
    standing = Standing(identity=identity, unique_id=unique_id, role_arn=role_arn)
    question = Question(A, arn, False, "s3:GetObject", "arn:aws:s3:::b/k", Authority(A, (policy,)), standing)
    return decide(question).allowed


@pytest.mark.fact("C8")
@pytest.mark.parametrize(
    ("named", "arn", "role_arn"), [(ANN, ANN, ""), (APP, SESSION, APP)], ids=["a user", "the session of a role"]
)
def test_c8_the_id_decides(named, arn, role_arn):
    text = document({**ONE, "Principal": {"AWS": [named, B]}})
    assert allowed(text, IDS, arn, IDS[named], role_arn=role_arn)
    assert not allowed(text, IDS, arn, "A" * 21, role_arn=role_arn)  # another one, of the same name
    renamed_arn, renamed_role = arn.replace("ann", "eve").replace("app", "new"), role_arn.replace("app", "new")
    assert allowed(text, IDS, renamed_arn, IDS[named], role_arn=renamed_role)  # the same one, of another name
    assert not allowed(text, {}, renamed_arn, IDS[named], role_arn=renamed_role)
    assert allowed(text, {}, arn, "A" * 21, role_arn=role_arn)  # what is not bound is matched by name


@pytest.mark.fact("C8")
def test_c8_who_is_spared_from_a_deny_is_spared_by_id():
    deny = {**ONE, "Effect": "Deny", "NotPrincipal": {"AWS": [ANN, A]}}
    text = document({**ONE, "Principal": "*"}, deny)
    assert allowed(text, IDS, ANN, IDS[ANN])
    assert not allowed(text, IDS, ANN, "A" * 21)


def test_only_users_and_roles_are_bound():
    text = document({**ONE, "Principal": {"AWS": [A, f"arn:aws:iam::{B}:root", ANN], "Service": "s3.amazonaws.com"}})
    policy = read_bucket_policy(text, "b")
    assert arns_of(policy) == (A, f"arn:aws:iam::{B}:root", ANN)
    found = bound(policy, IDS).statements[0].principals
    assert (found.accounts, found.arns, found.unique_ids, found.services) == (
        {A, B},
        frozenset(),
        {IDS[ANN]},
        {"s3.amazonaws.com"},
    )
    assert bound(policy, {}) is policy
    everyone = read_bucket_policy(document({**ONE, "Principal": "*"}), "b")
    assert bound(everyone, IDS).statements[0].principals.everyone


def test_a_document_is_shown_with_the_names_of_now():
    condition = {"ArnEquals": {"aws:PrincipalArn": ANN}, "NumericEquals": {"s3:max-keys": 1}}
    text = document(
        {**ONE, "Principal": {"AWS": ANN}, "Condition": condition},
        {**ONE, "Effect": "Deny", "NotPrincipal": {"AWS": [APP, A, ANN]}},
    )
    shown = json.loads(renamed(text, {ANN: IDS[ANN]}))["Statement"]
    assert shown[0] == {**ONE, "Principal": {"AWS": IDS[ANN]}, "Condition": condition}
    assert shown[1]["NotPrincipal"] == {"AWS": [APP, A, IDS[ANN]]}
    assert renamed(text, {}) is text
    single = json.dumps({"Version": "2012-10-17", "Statement": {**ONE, "Principal": "*"}})
    assert json.loads(renamed(single, {ANN: "x"})) == json.loads(single)
