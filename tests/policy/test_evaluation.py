"""How policies add up. Tests bear the numbers of the rules of policy evaluation they show."""

from __future__ import annotations

import pytest

from strongroom.policy.decide import Authority, Question, Reason, Standing, explain
from strongroom.policy.faults import Kind
from strongroom.policy.identity_documents import read_trust_policy
from strongroom.policy.key_documents import grant
from tests.policy.asking import (
    FOREIGN,
    FOREIGN_ROOT,
    KEY,
    OBJECT,
    ROLE,
    ROOT,
    SESSION,
    USER,
    A,
    B,
    ask,
    boundary,
    bucket,
    identity,
    key,
    says,
    session,
    text,
)

READ = identity(says())
ALL = says(action="*", resource="*")


def to(principal: object, **more: object) -> dict[str, object]:
    """A statement of a bucket policy that lets a principal read."""
    return says(Principal=principal, **more)


class TestCombination:
    @pytest.mark.fact("C1")
    def test_c1_nothing_allowed_is_denied(self):
        assert ask(USER).reason is Reason.NO_IDENTITY_POLICY

    @pytest.mark.fact("C1")
    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({"resource_policy": bucket(to({"AWS": USER}), to("*", effect="Deny"))}, Reason.DENIED_BY_RESOURCE),
            ({"limits": boundary(ALL, says("Deny"))}, Reason.DENIED_BY_BOUNDARY),
            ({"passed": (session(ALL, says("Deny")),)}, Reason.DENIED_BY_SESSION),
        ],
    )
    def test_c1_any_matching_deny_wins(self, given: dict[str, object], reason: Reason):
        decision = ask(USER, READ, **given)
        assert (decision.allowed, decision.reason) == (False, reason)

    @pytest.mark.fact("C1")
    def test_c1_a_deny_of_an_identity_policy_wins_over_the_bucket_s_allow(self):
        decision = ask(USER, identity(says("Deny")), resource_policy=bucket(to({"AWS": USER})))
        assert decision.reason is Reason.DENIED_BY_IDENTITY

    @pytest.mark.fact("C2")
    def test_c2_of_several_denies_the_resource_s_is_named_first(self):
        every = {"resource_policy": bucket(to("*", effect="Deny")), "limits": boundary(says("Deny"))}
        assert ask(USER, identity(says("Deny")), passed=(session(says("Deny")),), **every).reason is Reason.DENIED_BY_RESOURCE
        own = ask(USER, identity(says("Deny")), limits=boundary(says("Deny")), passed=(session(says("Deny")),))
        assert own.reason is Reason.DENIED_BY_IDENTITY
        assert ask(USER, limits=boundary(says("Deny")), passed=(session(says("Deny")),)).reason is Reason.DENIED_BY_BOUNDARY

    @pytest.mark.fact("C3")
    def test_c3_in_the_same_account_either_side_suffices(self):
        assert ask(USER, READ).reason is Reason.IDENTITY_POLICY
        assert ask(USER, resource_policy=bucket(to({"AWS": USER}))).reason is Reason.RESOURCE_POLICY

    @pytest.mark.fact("C3")
    @pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": B}, {"AWS": FOREIGN_ROOT}, {"AWS": FOREIGN}])
    def test_c3_across_accounts_both_sides_are_needed(self, principal: object):
        policy = bucket(to(principal))
        assert ask(FOREIGN, READ, resource_policy=policy).reason is Reason.BOTH_ACCOUNTS
        assert ask(FOREIGN, resource_policy=policy).allowed is False
        assert ask(FOREIGN, READ).reason is Reason.OTHER_ACCOUNT
        assert ask(FOREIGN_ROOT, resource_policy=policy).allowed is (principal != {"AWS": FOREIGN})

    @pytest.mark.fact("C3")
    def test_c3_across_accounts_boundary_and_session_policy_limit_too(self):
        policy = bucket(to({"AWS": FOREIGN}))
        assert ask(FOREIGN, READ, resource_policy=policy, limits=boundary(says(action="s3:Put*"))).reason is Reason.NO_BOUNDARY
        assert ask(FOREIGN, READ, resource_policy=policy, passed=()).reason is Reason.NO_SESSION_POLICY

    @pytest.mark.fact("C4")
    def test_c4_root_has_everything_in_its_account_but_for_explicit_denies(self):
        assert ask(ROOT, resource_policy=bucket(to({"AWS": USER}))).reason is Reason.ROOT_OF_OWNER
        assert ask(ROOT, resource_policy=bucket(to("*", effect="Deny"))).reason is Reason.DENIED_BY_RESOURCE

    @pytest.mark.fact("C5")
    def test_c5_boundary_and_session_policy_intersect_with_identity_policies(self):
        inside, outside = says(), says(action="s3:PutObject")
        assert ask(USER, READ, limits=boundary(inside)).allowed
        assert ask(USER, READ, limits=boundary(outside)).reason is Reason.NO_BOUNDARY
        assert ask(SESSION, READ, passed=(session(inside),)).allowed
        assert ask(SESSION, READ, passed=(session(outside),)).reason is Reason.NO_SESSION_POLICY
        assert ask(SESSION, READ, passed=(session(outside), session(inside))).allowed
        assert ask(USER, limits=boundary(inside)).reason is Reason.NO_IDENTITY_POLICY

    @pytest.mark.fact("C5")
    @pytest.mark.parametrize("limit", ["boundary", "session"])
    def test_c5_what_names_user_or_session_is_not_limited(self, limit: str):
        given = {"limits": boundary(says(action="s3:Put*"))} if limit == "boundary" else {"passed": ()}
        for arn in (USER, SESSION):
            assert ask(arn, resource_policy=bucket(to({"AWS": arn})), **given).reason is Reason.RESOURCE_POLICY
        assert not ask(SESSION, resource_policy=bucket(to({"AWS": ROLE})), **given).allowed
        assert not ask(SESSION, resource_policy=bucket(to("*")), **given).allowed
        narrowed = bucket(to("*", Condition={"ArnLike": {"aws:PrincipalArn": ROLE}}))
        assert ask(SESSION, resource_policy=narrowed, values={"aws:PrincipalArn": ROLE}, **given).allowed
        assert not ask(SESSION, resource_policy=narrowed, values={"aws:PrincipalArn": USER}, **given).allowed

    @pytest.mark.fact("C5")
    def test_c5_naming_the_account_is_delegation_only(self):
        for principal in ({"AWS": A}, {"AWS": ROOT}):
            assert ask(USER, resource_policy=bucket(to(principal))).reason is Reason.NO_IDENTITY_POLICY
            assert ask(USER, READ, resource_policy=bucket(to(principal))).allowed

    @pytest.mark.fact("C6")
    def test_c6_role_arn_with_a_session_policy_that_lacks_the_action(self):
        lacking = (session(says(action="s3:PutObject")),)
        assert ask(SESSION, resource_policy=bucket(to({"AWS": ROLE})), passed=lacking).reason is Reason.NO_SESSION_POLICY
        assert ask(SESSION, resource_policy=bucket(to({"AWS": SESSION})), passed=lacking).allowed

    @pytest.mark.fact("C7")
    def test_c7_forms_of_principals(self):
        assert ask(SESSION, resource_policy=bucket(to({"AWS": ROLE}))).allowed
        assert not ask(SESSION, resource_policy=bucket(to({"AWS": f"arn:aws:iam::{A}:role/reader"}))).allowed
        assert not ask(f"{SESSION}s", resource_policy=bucket(to({"AWS": SESSION}))).allowed
        assert ask("", resource_policy=bucket(to("*"))).allowed
        assert ask("", resource_policy=bucket(to({"AWS": "*"}))).allowed
        assert ask("", resource_policy=bucket(to({"AWS": USER}))).reason is Reason.ANONYMOUS
        canonical = bucket(to({"CanonicalUser": "5" * 64}))
        assert ask(FOREIGN_ROOT, resource_policy=canonical, canonical_id="5" * 64).allowed
        assert not ask(FOREIGN_ROOT, resource_policy=canonical, canonical_id="6" * 64).allowed
        service = bucket(to({"Service": "logging.s3.amazonaws.com"}))
        assert ask("", resource_policy=service).reason is Reason.ANONYMOUS
        asked = Question("", "logging.s3.amazonaws.com", False, "s3:GetObject", OBJECT, Authority(A, (service,)))
        assert explain(asked._replace(standing=Standing(service="logging.s3.amazonaws.com"))).allowed
        assert explain(asked._replace(standing=Standing(service="s3.amazonaws.com"))).reason is Reason.NO_RESOURCE_POLICY

    @pytest.mark.fact("C8")
    def test_c8_a_unique_id_names_the_principal_it_was_given_to(self):
        user, role = bucket(to({"AWS": "AIDA" + "X" * 17})), bucket(to({"AWS": "AROA" + "Y" * 17}))
        assert ask(USER, resource_policy=user, unique_id="AIDA" + "X" * 17).allowed
        assert not ask(USER, resource_policy=user, unique_id="AIDA" + "Z" * 17).allowed
        assert ask(SESSION, resource_policy=role, unique_id="AROA" + "Y" * 17).allowed
        assert not ask(SESSION, resource_policy=role, unique_id="AROA" + "Y" * 17, passed=()).allowed
        assert role.named == (("AWS", "AROA" + "Y" * 17),)

    @pytest.mark.fact("C10")
    @pytest.mark.parametrize("action", ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"])
    def test_c10_root_is_never_locked_out_of_its_bucket_policy(self, action: str):
        lock = bucket(says("Deny", "s3:*", ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"], Principal="*"))
        assert ask(ROOT, resource_policy=lock, action=action, resource="arn:aws:s3:::bucket").allowed
        assert not ask(USER, identity(ALL), resource_policy=lock, action=action, resource="arn:aws:s3:::bucket").allowed
        assert not ask(FOREIGN_ROOT, resource_policy=lock, action=action, resource="arn:aws:s3:::bucket").allowed

    @pytest.mark.fact("C10")
    def test_c10_the_policy_s_status_has_no_such_exception(self):
        lock = bucket(says("Deny", "s3:*", "arn:aws:s3:::bucket", Principal="*"))
        decision = ask(ROOT, resource_policy=lock, action="s3:GetBucketPolicyStatus", resource="arn:aws:s3:::bucket")
        assert decision.reason is Reason.DENIED_BY_RESOURCE

    @pytest.mark.fact("C12")
    def test_c12_a_user_of_the_owning_account_needs_an_allow(self):
        assert not ask(USER).allowed

    @pytest.mark.fact("C14")
    def test_c14_nobody_has_only_resource_policies(self):
        assert ask("").reason is Reason.ANONYMOUS
        assert ask("", identity(ALL)).reason is Reason.ANONYMOUS
        only = bucket(to("*", Condition={"StringLike": {"aws:username": "*"}}))
        assert not ask("", resource_policy=only).allowed


class TestKeys:
    DELEGATES = says(action="kms:*", resource="*", Principal={"AWS": ROOT})
    MAY = identity(says(action="kms:Decrypt", resource=KEY))

    def ask(
        self, arn: str, *own: object, policy: dict[str, object] | None = None, grants: tuple[object, ...] = (), **more: object
    ):
        authority = Authority(A, () if policy is None else (key(policy),), grants, policy_required=True)  # type: ignore[arg-type]
        return ask(arn, *own, action="kms:Decrypt", resource=KEY, authority=authority, **more)  # type: ignore[arg-type]

    @pytest.mark.fact("C16")
    def test_c16_without_the_key_policy_not_even_root_may(self):
        other = says(action="kms:*", resource="*", Principal={"AWS": f"arn:aws:iam::{A}:user/other"})
        for policy in (None, other):
            assert self.ask(ROOT, policy=policy).reason is Reason.NO_RESOURCE_POLICY
            assert self.ask(USER, self.MAY, policy=policy).reason is Reason.NO_RESOURCE_POLICY
        assert self.ask(ROOT, policy=self.DELEGATES).allowed

    @pytest.mark.fact("C17")
    def test_c17_naming_root_turns_identity_policies_on_for_those_actions(self):
        assert self.ask(USER, self.MAY, policy=self.DELEGATES).reason is Reason.IDENTITY_POLICY
        assert self.ask(USER, policy=self.DELEGATES).reason is Reason.NO_IDENTITY_POLICY
        some = says(action="kms:Encrypt", resource="*", Principal={"AWS": ROOT})
        assert self.ask(USER, self.MAY, policy=some).reason is Reason.NO_RESOURCE_POLICY

    @pytest.mark.fact("C17")
    def test_c17_identity_denies_count_without_delegation(self):
        named = says(action="kms:*", resource="*", Principal={"AWS": USER})
        denies = identity(says("Deny", "kms:*", "*"))
        assert self.ask(USER, denies, policy=named).reason is Reason.DENIED_BY_IDENTITY

    @pytest.mark.fact("C18")
    @pytest.mark.parametrize(("arn", "principal"), [(USER, USER), (SESSION, ROLE), (USER, "*")])
    def test_c18_naming_user_or_role_suffices_alone(self, arn: str, principal: str):
        assert (
            self.ask(arn, policy=says(action="kms:*", resource="*", Principal={"AWS": principal})).reason
            is Reason.RESOURCE_POLICY
        )

    @pytest.mark.fact("C19", "C21")
    @pytest.mark.parametrize("principal", [FOREIGN, B, FOREIGN_ROOT, "*"])
    def test_c19_c21_across_accounts_both_sides(self, principal: str):
        policy = says(action="kms:*", resource="*", Principal={"AWS": principal})
        assert self.ask(FOREIGN, self.MAY, policy=policy).allowed
        assert not self.ask(FOREIGN, policy=policy).allowed
        assert self.ask(FOREIGN, self.MAY, policy=self.DELEGATES).reason is Reason.OTHER_ACCOUNT

    @pytest.mark.fact("C20")
    def test_c20_grants_add_allows_and_explicit_denies_beat_them(self):
        given = grant("g", USER, frozenset({"Decrypt"}))
        assert self.ask(USER, grants=(given,)).reason is Reason.GRANT
        assert self.ask(USER, policy=self.DELEGATES, grants=(given,)).decided_by.kind is Kind.GRANT
        assert not self.ask(f"{USER}a", grants=(given,)).allowed
        assert not self.ask(USER, grants=(grant("g", USER, frozenset({"Encrypt"})),)).allowed
        denies = says("Deny", "kms:Decrypt", "*", Principal={"AWS": USER})
        assert self.ask(USER, policy=denies, grants=(given,)).reason is Reason.DENIED_BY_RESOURCE
        assert self.ask(USER, identity(says("Deny", "kms:*", "*")), grants=(given,)).reason is Reason.DENIED_BY_IDENTITY
        abroad = grant("g", FOREIGN, frozenset({"Decrypt"}))
        assert self.ask(FOREIGN, self.MAY, grants=(abroad,)).allowed
        assert not self.ask(FOREIGN, grants=(abroad,)).allowed

    @pytest.mark.fact("C20")
    @pytest.mark.parametrize(
        ("context", "equal", "within"),
        [
            ({}, False, False),
            ({"a": "1"}, True, True),
            ({"a": "1", "b": "2"}, False, True),
            ({"A": "1"}, False, False),
            ({"a": "2"}, False, False),
        ],
    )
    def test_c20_constraints_on_the_encryption_context(self, context: dict[str, str], equal: bool, within: bool):
        exact = grant("g", USER, frozenset({"Decrypt"}), context_equals={"a": "1"})
        subset = grant("g", USER, frozenset({"Decrypt"}), context_subset={"a": "1"})
        assert self.ask(USER, grants=(exact,), context=context).allowed is equal
        assert self.ask(USER, grants=(subset,), context=context).allowed is within

    @pytest.mark.fact("C20")
    def test_c20_constraints_do_not_bind_describe_key(self):
        exact = grant("g", USER, frozenset({"DescribeKey", "Decrypt"}), context_equals={"a": "1"})
        authority = Authority(A, (), (exact,), policy_required=True)
        assert ask(USER, action="kms:DescribeKey", resource=KEY, authority=authority).allowed
        assert not ask(USER, action="s3:DescribeKey", resource=KEY, authority=authority).allowed

    @pytest.mark.fact("C21")
    def test_c21_everyone_is_the_account_without_identity_policies(self):
        everyone = says(action="kms:*", resource="*", Principal="*")
        assert self.ask(USER, policy=everyone).allowed
        assert self.ask(ROOT, policy=everyone).allowed

    @pytest.mark.fact("A62")
    def test_a62_a_statement_without_action_or_resource_has_no_effect(self):
        assert not self.ask(USER, policy={"Sid": "has no effect", "Effect": "Allow", "Principal": "*", "Resource": "*"}).allowed
        assert not self.ask(USER, policy={"Effect": "Allow", "Principal": "*", "Action": "kms:*"}).allowed

    @pytest.mark.fact("A88")
    def test_a88_the_policy_of_aws_s3(self):
        through = says(
            action=["kms:Decrypt"],
            resource="*",
            Principal={"AWS": "*"},
            Condition={"StringEquals": {"kms:CallerAccount": A, "kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
        )
        s3 = {"kms:CallerAccount": A, "kms:ViaService": "s3.eu-west-1.amazonaws.com"}
        assert self.ask(USER, policy=through, values=s3).allowed
        assert self.ask(USER, policy=through, values={"kms:CallerAccount": A}).reason is Reason.NO_RESOURCE_POLICY
        assert not self.ask(ROOT, policy=through, values={"kms:CallerAccount": A}).allowed
        assert not self.ask(FOREIGN, self.MAY, policy=through, values={**s3, "kms:CallerAccount": B}).allowed
        assert not self.ask(USER, identity(says("Deny", "kms:*", "*")), policy=through, values=s3).allowed


class TestTrust:
    def ask(self, arn: str, principal: object, *own: object, **more: object):
        trust = read_trust_policy(text({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}), ROLE)
        authority = Authority(A, (trust,), policy_required=True)
        return ask(arn, *own, action="sts:AssumeRole", resource=ROLE, authority=authority, **more)  # type: ignore[arg-type]

    @pytest.mark.fact("F10")
    def test_f10_who_may_assume_a_role(self):
        may = identity(says(action="sts:AssumeRole", resource=ROLE))
        assert self.ask(USER, {"AWS": USER}).allowed
        assert not self.ask(USER, {"AWS": ROOT}).allowed
        assert self.ask(USER, {"AWS": ROOT}, may).allowed
        assert not self.ask(USER, {"AWS": FOREIGN}, may).allowed
        assert self.ask(FOREIGN, {"AWS": FOREIGN}, may).allowed
        assert not self.ask(FOREIGN, {"AWS": FOREIGN}).allowed


class TestWhatIsTold:
    @pytest.mark.fact("E4", "E5")
    @pytest.mark.parametrize(
        ("given", "ending"),
        [
            ({}, "because no identity-based policy allows the s3:GetObject action"),
            ({"resource_policy": bucket(to("*", effect="Deny"))}, "with an explicit deny in a resource-based policy"),
            ({"limits": boundary(says("Deny"))}, "with an explicit deny in a permissions boundary"),
            ({"passed": (session(says("Deny")),)}, "with an explicit deny in a session policy"),
            (
                {"resource_policy": bucket(to({"AWS": ROLE})), "passed": ()},
                "because no session policy allows the s3:GetObject action",
            ),
            (
                {"resource_policy": bucket(to({"AWS": ROLE})), "limits": boundary(says(action="s3:Put*"))},
                "because no permissions boundary allows the s3:GetObject action",
            ),
        ],
    )
    def test_e4_e5_endings(self, given: dict[str, object], ending: str):
        decision = ask(SESSION, **given)
        assert (decision.ending("s3:GetObject"), decision.may_be_told) == (ending, True)

    @pytest.mark.fact("E5")
    def test_e5_identity_and_key_endings(self):
        assert ask(USER, identity(says("Deny"))).ending("s3:GetObject") == "with an explicit deny in an identity-based policy"
        authority = Authority(A, (), policy_required=True)
        decision = ask(ROOT, action="kms:Decrypt", resource=KEY, authority=authority)
        assert decision.ending("kms:Decrypt") == "because no resource-based policy allows the kms:Decrypt action"

    @pytest.mark.fact("E3")
    def test_e3_other_accounts_and_nobody_are_told_nothing(self):
        assert not ask(FOREIGN, READ).may_be_told
        assert not ask(FOREIGN, identity(says("Deny")), resource_policy=bucket(to({"AWS": FOREIGN}))).may_be_told
        assert not ask("", resource_policy=bucket(to("*", effect="Deny"))).may_be_told

    @pytest.mark.fact("E24")
    def test_e24_restricted_buckets_keep_their_own_account(self):
        policy = bucket(to("*"))
        authority = Authority(A, (policy,), restricted=policy.public)
        assert policy.public
        assert ask(USER, authority=authority).allowed
        assert ask(FOREIGN, READ, authority=authority).reason is Reason.RESTRICTED
        assert ask("", authority=authority).reason is Reason.RESTRICTED
        assert ask("", authority=authority).ending("s3:GetObject") == "with an explicit deny in a resource-based policy"

    @pytest.mark.fact("D29")
    def test_d29_an_allow_whose_condition_fails_reads_as_no_allow(self):
        never = identity(says(Condition={"StringEquals": {"aws:username": "somebody else"}}))
        assert ask(USER, never, values={"aws:username": "ann"}).reason is Reason.NO_IDENTITY_POLICY

    def test_the_statement_that_decided(self):
        policy = bucket(to({"AWS": A}), to("*", effect="Deny", Sid="Stop"))
        decision = ask(USER, READ, resource_policy=policy)
        assert decision.decided_by is not None
        assert (decision.decided_by.policy, decision.decided_by.statement, decision.decided_by.sid) == (
            "arn:aws:s3:::bucket",
            1,
            "Stop",
        )
