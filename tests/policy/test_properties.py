"""What must hold of every world: the two judges agree, a deny always wins, order never matters, every denial has its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.policy.decide import Reason, decide, explain
from strongroom.policy.faults import Kind
from tests.policy.slow_decide import Caller, Request, Resource, as_list, denied, slow_decide
from tests.policy.worlds import callers, decided, governed, question, requests, statements

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ALLOWING = {Reason.ROOT_OF_OWNER, Reason.IDENTITY_POLICY, Reason.RESOURCE_POLICY, Reason.GRANT, Reason.ACL, Reason.BOTH_ACCOUNTS}
EVERYTHING = {"Effect": "Deny", "Action": "*", "Resource": "*"}


@many
@given(callers(), governed(), requests())
def test_the_two_judges_agree(caller: Caller, resource: Resource, request: Request):
    decision = decided(caller, resource, request)
    assert (decision.allowed, decision.reason.name) == slow_decide(caller, resource, request)


@many
@given(callers(), governed(), requests())
def test_whoever_asks_why_gets_the_same_decision_and_all_policies(caller: Caller, resource: Resource, request: Request):
    asked = question(caller, resource, request)
    short, full = decide(asked), explain(asked)
    assert (short.allowed, short.reason, short.decided_by, short.may_be_told) == (
        full.allowed,
        full.reason,
        full.decided_by,
        full.may_be_told,
    )
    assert {finding.policy for finding in short.looked_at} <= {finding.policy for finding in full.looked_at}
    there = len(resource.policies)
    if not caller.anonymous:
        there += len(caller.identity) + (caller.boundary is not None) + len(caller.session or [])
    assert sum(finding.kind not in {Kind.GRANT, Kind.ACL} for finding in full.looked_at) == there


def _each_document(caller: Caller, resource: Resource) -> list[tuple[list[dict[str, Any]], int]]:
    own = [caller.identity, caller.session or [], [] if caller.boundary is None else [caller.boundary]]
    return [(group, at) for group in [resource.policies, *own] for at in range(len(group))]


@many
@given(callers(), governed(), requests(), st.data())
def test_an_explicit_deny_always_wins(caller: Caller, resource: Resource, request: Request, data: st.DataObject):
    documents = _each_document(caller, resource)
    if not documents or caller.anonymous:
        return
    group, at = data.draw(st.sampled_from(documents))
    extra = EVERYTHING | ({"Principal": "*"} if group is resource.policies else {})
    group[at]["Statement"] = [*as_list(group[at]["Statement"]), extra]
    exempt = caller.root and caller.account == resource.owner and request.action == "s3:PutBucketPolicy"
    decision = decided(caller, resource, request)
    if not exempt:
        assert not decision.allowed
        assert decision.reason.value.startswith("an explicit deny")


@many
@given(callers(), governed(), requests(), statements(principal=True, effects=("Deny",)), st.data())
def test_adding_a_deny_never_allows_more(
    caller: Caller, resource: Resource, request: Request, extra: dict[str, Any], data: st.DataObject
):
    before = decided(caller, resource, request).allowed
    documents = _each_document(caller, resource)
    if not documents:
        return
    group, at = data.draw(st.sampled_from(documents))
    if group is not resource.policies:
        extra = {name: value for name, value in extra.items() if not name.endswith("Principal")}
    group[at]["Statement"] = [extra, *as_list(group[at]["Statement"])]
    assert decided(caller, resource, request).allowed <= before


@many
@given(callers(), governed(), requests(), st.randoms())
def test_the_order_of_statements_and_policies_never_matters(caller: Caller, resource: Resource, request: Request, random: Any):
    before = decided(caller, resource, request)
    for group in (resource.policies, caller.identity, caller.session or [], resource.grants):
        random.shuffle(group)
        for one in group:
            if "Statement" in one:
                random.shuffle(one["Statement"])
    after = decided(caller, resource, request)
    assert (after.allowed, after.reason, after.may_be_told) == (before.allowed, before.reason, before.may_be_told)


@many
@given(callers(), governed(), requests())
def test_every_denial_has_a_reason_and_every_statement_that_decided_is_named(
    caller: Caller, resource: Resource, request: Request
):
    decision = decided(caller, resource, request)
    assert decision.allowed is (decision.reason in ALLOWING)
    assert decision.may_be_told is (not caller.anonymous and caller.account == resource.owner)
    if not decision.allowed and decision.may_be_told:
        assert decision.ending(request.action).startswith(("because no ", "with an explicit deny in "))
    by = decision.decided_by
    if decision.reason.value.startswith("an explicit deny") and decision.reason is not Reason.RESTRICTED:
        assert by is not None
        assert by.verdict is False
        assert by.statement >= 0
    if by is not None:
        assert by in decision.looked_at
        assert by.verdict is decision.allowed


@many
@given(callers(), governed(), requests())
def test_nobody_is_allowed_what_a_deny_names(caller: Caller, resource: Resource, request: Request):
    if denied(caller, resource, request):
        assert not decided(caller, resource, request).allowed


@many
@given(callers(), governed(), requests())
def test_without_any_allow_only_the_root_of_the_owner_may(caller: Caller, resource: Resource, request: Request):
    def no_allows(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = []
        for one in documents:
            denies = [each for each in one["Statement"] if each["Effect"] == "Deny"]
            if denies:
                kept.append({**one, "Statement": denies})
        return kept

    resource = replace(resource, policies=no_allows(resource.policies), grants=[], acl=None)
    caller = replace(caller, identity=no_allows(caller.identity))
    decision = decided(caller, resource, request)
    if decision.allowed:
        assert caller.root
        assert caller.account == resource.owner
        assert not resource.required
