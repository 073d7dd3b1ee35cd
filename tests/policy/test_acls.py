"""What a grant of a list lets whom do, and how a list adds up with policies."""

from __future__ import annotations

import pytest

from strongroom.policy.acls import LOG_DELIVERY, Acl, AclGrant, effective
from strongroom.policy.compiled import Finding
from strongroom.policy.decide import Authority, Decision, Question, Reason, explain
from strongroom.policy.faults import Kind
from strongroom.policy.public import ALL_USERS, AUTHENTICATED_USERS, PublicAccessBlock
from strongroom.policy.reasons import fields, place, sentence, verdict
from tests.policy.asking import FOREIGN, FOREIGN_ROOT, OBJECT, ROOT, USER, A, B, ask, bucket, identity, says

OWN, THEIRS = "a" * 64, "b" * 64
READ = identity(says(resource="*", action="s3:*"))
BUCKET = "arn:aws:s3:::bucket"


def on_object(*grants: AclGrant, owner: str = A, **more: object) -> Authority:
    return Authority(owner, acl=Acl(OBJECT, grants, of_bucket=False), **more)  # type: ignore[arg-type]


def foreign(authority: Authority, action: str = "s3:GetObject", **more: object) -> Decision:
    """The root of account B asks."""
    return ask(FOREIGN_ROOT, action=action, authority=authority, canonical_id=THEIRS, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("permission", "actions"),
    [
        ("READ", {"s3:GetObject", "s3:GetObjectVersion"}),
        ("WRITE", set()),
        ("READ_ACP", {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"}),
        ("WRITE_ACP", {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"}),
    ],
)
def test_permissions_on_objects(permission: str, actions: set[str]):
    asked = actions | {
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:GetObjectAcl",
        "s3:PutObjectAcl",
        "s3:GetObjectTagging",
    }
    for action in asked:
        assert foreign(on_object(AclGrant(permission, THEIRS)), action).allowed is (action in actions)
    full = on_object(AclGrant("FULL_CONTROL", THEIRS))
    assert all(foreign(full, action).allowed for action in actions)
    assert not foreign(full, "s3:PutObject").allowed


@pytest.mark.parametrize(
    ("permission", "actions"),
    [
        ("READ", {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"}),
        ("WRITE", {"s3:PutObject", "s3:DeleteObject"}),
        ("READ_ACP", {"s3:GetBucketAcl"}),
        ("WRITE_ACP", {"s3:PutBucketAcl"}),
    ],
)
def test_permissions_on_buckets(permission: str, actions: set[str]):
    others = {"s3:GetObject", "s3:DeleteBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteObjectVersion"}
    for action in actions | others | {"s3:ListBucket", "s3:PutObject", "s3:GetBucketAcl", "s3:PutBucketAcl"}:
        for granted in (permission, "FULL_CONTROL"):
            authority = Authority(A, acl=Acl(BUCKET, (AclGrant(granted, THEIRS),), of_bucket=True))
            wanted = action in actions if granted == permission else action not in others
            assert foreign(authority, action, resource=BUCKET).allowed is wanted


def test_whom_a_grant_names():
    def reads(grant: AclGrant) -> tuple[bool, ...]:
        authority = on_object(grant)
        return (
            foreign(authority).allowed,
            ask(FOREIGN, READ, authority=authority, canonical_id=THEIRS).allowed,
            ask(FOREIGN, authority=authority, canonical_id=THEIRS).allowed,
            ask(USER, authority=authority, canonical_id=OWN).allowed,
            ask("", authority=authority).allowed,
        )

    assert reads(AclGrant("READ", THEIRS)) == (True, True, False, False, False)
    assert reads(AclGrant("READ", OWN)) == (False,) * 5  # within an account a list gives nothing
    assert reads(AclGrant("READ", group=ALL_USERS)) == (True, True, False, False, True)
    assert reads(AclGrant("READ", group=AUTHENTICATED_USERS)) == (True, True, False, False, False)
    assert reads(AclGrant("READ", group=LOG_DELIVERY)) == (False,) * 5
    assert reads(AclGrant("READ")) == (False,) * 5  # nobody's id is nobody's
    assert not ask("", authority=on_object(AclGrant("READ", ""))).allowed


def test_the_decision_names_the_grant():
    decision = ask("", authority=on_object(AclGrant("READ_ACP", OWN), AclGrant("READ", group=ALL_USERS)))
    assert decision.reason is Reason.ACL
    assert decision.by_list
    found = decision.decided_by
    assert found is not None
    assert (found.kind, found.policy, found.statement, found.sid) == (Kind.ACL, OBJECT, 1, f"READ to {ALL_USERS}")
    across = foreign(on_object(AclGrant("READ", THEIRS)))
    assert (across.reason, across.by_list) == (Reason.BOTH_ACCOUNTS, True)


def test_what_decided_is_told_to_the_operator():
    decision = ask("", authority=on_object(AclGrant("READ", group=ALL_USERS)))
    assert sentence(decision, "s3:GetObject") == (
        f'grant 1 ("READ to {ALL_USERS}") of the access control list of {OBJECT} allows s3:GetObject'
    )
    nothing = explain(Question("", "", True, "s3:GetObject", OBJECT, on_object()))
    assert [(place(one), verdict(one)) for one in nothing.looked_at] == [(f"the access control list of {OBJECT}", "says nothing")]
    for kind in Kind:  # every sort of document has words
        assert place(Finding(kind, "name", None)).endswith(" name")
        assert fields(Finding(kind, "name", True, 0))["policy_type"] == kind.value


def test_an_explicit_deny_outweighs_a_list():
    everyone = AclGrant("FULL_CONTROL", group=ALL_USERS)
    denying = bucket(says("Deny", Principal="*"))
    authority = Authority(A, (denying,), acl=Acl(OBJECT, (everyone,), of_bucket=False))
    assert ask("", authority=authority).reason is Reason.DENIED_BY_RESOURCE
    assert foreign(authority).reason is Reason.DENIED_BY_RESOURCE
    own = identity(says("Deny"), says(action="s3:*", resource="*"))
    assert ask(FOREIGN, own, authority=on_object(everyone), canonical_id=THEIRS).reason is Reason.DENIED_BY_IDENTITY


def test_boundaries_and_sessions_limit_what_a_list_gives():
    authority = on_object(AclGrant("READ", THEIRS))
    other = identity(says(action="s3:PutObject"))
    assert ask(FOREIGN, READ, authority=authority, canonical_id=THEIRS, limits=other).reason is Reason.NO_BOUNDARY
    assert ask(FOREIGN, READ, authority=authority, canonical_id=THEIRS, passed=(other,)).reason is Reason.NO_SESSION_POLICY


class TestObjectsOfOthers:
    """C11: what a bucket policy allows reaches the objects of the bucket's owner, what it denies reaches all."""

    @pytest.mark.fact("C11")
    def test_c11_allows_do_not_reach_them_and_denies_do(self):
        public = bucket(says(Principal="*"), says("Deny", Principal="*", action="s3:GetObjectAcl"))
        held = Authority(A, (public,), by_object=True)
        assert ask("", authority=held.of_object(A, None)).allowed
        theirs = held.of_object(B, None)
        assert not ask("", authority=theirs).allowed
        assert ask(ROOT, authority=theirs).reason is Reason.OTHER_ACCOUNT
        assert foreign(theirs).reason is Reason.ROOT_OF_OWNER
        assert foreign(theirs, "s3:GetObjectAcl").reason is Reason.DENIED_BY_RESOURCE

    def test_a_restricted_bucket_keeps_out_whoever_is_not_of_its_account(self):
        public = bucket(says(Principal="*"))
        theirs = Authority(A, (public,), restricted=True).of_object(B, Acl(OBJECT, (AclGrant("READ", OWN),), of_bucket=False))
        assert foreign(theirs).reason is Reason.RESTRICTED
        assert ask("", authority=theirs).reason is Reason.RESTRICTED
        assert ask(ROOT, authority=theirs, canonical_id=OWN).allowed


def test_what_is_ignored_is_not_in_the_list():
    grants = (AclGrant("READ", THEIRS), AclGrant("READ", group=ALL_USERS), AclGrant("WRITE", group=AUTHENTICATED_USERS))
    assert effective(grants, PublicAccessBlock()) == grants
    assert effective(grants, PublicAccessBlock(ignore_public_acls=True)) == grants[:1]
    logs = (AclGrant("WRITE", group=LOG_DELIVERY),)
    assert effective(logs, PublicAccessBlock(ignore_public_acls=True)) == logs
