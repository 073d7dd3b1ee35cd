"""Two workers: what a session may, and whether it is one, is the same on both from the moment a change is answered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from botocore.credentials import Credentials

from tests.clients.doors import Door
from tests.clients.house import Server, unique
from tests.clients.test_roles import acting, assume
from tests.clients.test_sessions import new_role
from tests.clients.test_user_rights import ALLOW_ALL, arn_of, new_user, policy


@dataclass(frozen=True)
class Two:
    server: Server
    doors: list[Door]


@pytest.fixture(scope="module")
def two(two_workers, two_doors):
    return Two(two_workers, two_doors)


def codes(two, credentials):
    """What each worker answers."""
    who = Credentials(credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    answers = [replace(two.server, port=door.port).ask("GET", "/", credentials=who) for door in two.doors]
    return {"" if answer.status == 200 else answer.error[1] for answer in answers}


@pytest.mark.fact("C13", "E25")
def test_c13_sessions_follow_their_role_and_end_with_it(two):
    iam = two.server.client("iam")
    name, who = new_user(two.server, iam)
    sts = two.server.client("sts", who)
    role = new_role(iam, arn_of(name))
    credentials = assume(sts, role)["Credentials"]
    assert codes(two, credentials) == {""}
    rights = {"RoleName": role["RoleName"], "PolicyName": "rights"}
    for statement, expected in (({**ALLOW_ALL, "Effect": "Deny"}, "AccessDenied"), (ALLOW_ALL, ""), (ALLOW_ALL, "")):
        iam.put_role_policy(**rights, PolicyDocument=policy(statement))
        assert codes(two, credentials) == {expected}
    managed = iam.create_policy(PolicyName=unique(), PolicyDocument=policy({**ALLOW_ALL, "Action": "sts:*"}))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=role["RoleName"], PermissionsBoundary=managed)
    assert codes(two, credentials) == {"AccessDenied"}
    iam.delete_role_permissions_boundary(RoleName=role["RoleName"])
    assert codes(two, credentials) == {""}
    iam.delete_role_policy(**rights)
    iam.delete_role(RoleName=role["RoleName"])
    assert codes(two, credentials) == {"InvalidAccessKeyId"}


@pytest.mark.fact("C13")
def test_sessions_of_a_user_follow_it_and_end_with_its_access_key(two):
    iam = two.server.client("iam")
    name, who = new_user(two.server, iam, ALLOW_ALL)
    sts = two.server.client("sts", who)
    sessions = [
        sts.get_session_token()["Credentials"],
        sts.get_federation_token(Name="ann", Policy=policy(ALLOW_ALL))["Credentials"],
    ]
    assert acting(two.server, "sts", sessions[0]).get_caller_identity()["Arn"] == arn_of(name)
    given = {"UserName": name, "AccessKeyId": who.access_key_id}
    for change, expected in (
        (lambda: None, ""),
        (
            lambda: iam.put_user_policy(UserName=name, PolicyName="no", PolicyDocument=policy({**ALLOW_ALL, "Effect": "Deny"})),
            "AccessDenied",
        ),
        (lambda: iam.delete_user_policy(UserName=name, PolicyName="no"), ""),
        (lambda: iam.update_access_key(**given, Status="Inactive"), "InvalidAccessKeyId"),
        (lambda: iam.update_access_key(**given, Status="Active"), ""),
        (lambda: iam.delete_access_key(**given), "InvalidAccessKeyId"),
    ):
        change()
        for credentials in sessions:
            assert codes(two, credentials) == {expected}
