"""The one judge: the root of the owning account may, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.policy.decide import Authority, Decision, Question, Reason, decide

A = "111122223333"
B = "444455556666"


def ask(caller: str = A, *, arn: str | None = None, anonymous: bool = False, owner: str = A) -> Decision:
    return decide(
        Question(
            caller_account=caller,
            caller_arn=f"arn:aws:iam::{caller}:root" if arn is None else arn,
            anonymous=anonymous,
            action="s3:GetObject",
            resource="arn:aws:s3:::b/k",
            authority=Authority(owner),
        )
    )


def test_the_root_of_the_owning_account_may():
    assert ask() == Decision(allowed=True, reason=Reason.ROOT_OF_OWNER, may_be_told=True)


def test_a_root_of_another_account_may_not_and_is_told_nothing():
    decision = ask(B)
    assert (decision.allowed, decision.reason, decision.may_be_told) == (False, Reason.OTHER_ACCOUNT, False)


def test_an_anonymous_caller_may_not_and_is_told_nothing():
    decision = ask("", arn="", anonymous=True)
    assert (decision.allowed, decision.reason, decision.may_be_told) == (False, Reason.ANONYMOUS, False)


def test_anonymous_wins_over_everything_else_that_is_claimed():
    assert ask(anonymous=True).reason is Reason.ANONYMOUS


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:iam::{A}:user/root",
        f"arn:aws:sts::{A}:assumed-role/admin/root",
        f"arn:aws:iam::{A}:root/",
        f"arn:aws:iam::{B}:root",
        f"ARN:aws:iam::{A}:root",
        ":root",
        "",
    ],
)
def test_another_principal_of_the_owning_account_may_not_and_is_told_why(arn: str):
    decision = ask(arn=arn)
    assert (decision.allowed, decision.reason, decision.may_be_told) == (False, Reason.NO_IDENTITY_POLICY, True)


@pytest.mark.parametrize("owner", ["", "*", "1111222233334", "11112222333", "١١١١٢٢٢٢٣٣٣٣", "11112222333\n"])
def test_who_is_no_account_owns_nothing(owner: str):
    assert ask(owner, owner=owner) == Decision(allowed=False, reason=Reason.OTHER_ACCOUNT)


_accounts = st.sampled_from([A, B, "000000000000", "", "*", "root"]) | st.text(max_size=14)
_arns = (
    st.sampled_from([f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root", "arn:aws:iam::000000000000:root", "*", ""]) | st.text()
)


@settings(max_examples=100)
@given(caller=_accounts, arn=_arns, anonymous=st.booleans(), action=st.text(), resource=st.text(), owner=_accounts)
def test_only_the_exact_owner_is_ever_allowed(caller: str, arn: str, anonymous: bool, action: str, resource: str, owner: str):
    decision = decide(Question(caller, arn, anonymous, action, resource, Authority(owner)))
    exact = not anonymous and caller == owner and arn == f"arn:aws:iam::{owner}:root" and owner in {A, B, "000000000000"}
    if decision.allowed:
        assert not anonymous
        assert caller == owner
        assert arn == f"arn:aws:iam::{owner}:root"
    if exact:
        assert decision.allowed
    assert decision.allowed == (decision.reason is Reason.ROOT_OF_OWNER)
    if caller != owner:
        assert not decision.may_be_told


@settings(max_examples=50)
@given(action=st.text(), resource=st.text())
def test_neither_action_nor_resource_opens_or_closes_anything_yet(action: str, resource: str):
    for caller, allowed in ((A, True), (B, False)):
        question = Question(caller, f"arn:aws:iam::{caller}:root", False, action, resource, Authority(A))
        assert decide(question).allowed is allowed
