"""What stands behind a user's access key: its standing, read anew after each change by any worker; damage is never no policy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from strongroom.api.operation import Call, Register
from strongroom.iam.callers import Callers
from strongroom.iam.errors import Damaged
from strongroom.iam.principals import Principals
from strongroom.iam.rooms import iam_rooms

ACCOUNT = "111122223333"
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
USER = f"iam/{ACCOUNT}/user/alice"


@dataclass
class Iam:
    register: Register
    caller: object
    asked: list

    async def __call__(self, name, **given):
        async def allow(action, resource):
            self.asked.append((action, resource))

        operation = self.register.find("iam", name)
        call = Call(
            operation,
            given,
            self.caller,
            allow,
            None,
            "us-east-1",
            datetime(2026, 5, 4, tzinfo=UTC),
            "r",
            "",
            False,
            False,
            "",
            {},
        )
        return (await operation.run(call)).output


@pytest.fixture
async def iam(catalog, identities, iam_key):
    root = await identities.create_account("alpha", account_id=ACCOUNT)
    credential = await Callers(catalog, iam_key).credential(root.access_key_id)
    iam = Iam(Register(iam_rooms(catalog, identities, iam_key)), credential.caller, [])
    await iam("CreateUser", UserName="Alice", Path="/dev/")
    return iam


@pytest.fixture
async def key(iam):
    return (await iam("CreateAccessKey", UserName="alice"))["AccessKey"]


def names(credential):
    return [one.name for one in credential.standing.identity]


async def test_the_caller_of_a_user(iam, key, catalog, iam_key):
    found = await Callers(catalog, iam_key).credential(key["AccessKeyId"])
    assert found.caller.arn == f"arn:aws:iam::{ACCOUNT}:user/dev/Alice"
    assert found.caller.user_id == found.standing.unique_id
    assert found.caller.user_id.startswith("AIDA")
    assert found.secret_access_key == key["SecretAccessKey"]
    assert (names(found), found.standing.boundary, found.standing.session) == ([], None, None)
    assert key["SecretAccessKey"] not in repr(found)


async def test_a_change_counts_on_all_workers_at_once(iam, key, catalog, other_worker, iam_key):
    here, there = Callers(catalog, iam_key), Callers(other_worker, iam_key)
    access_key_id = key["AccessKeyId"]
    await iam("CreateGroup", GroupName="G")
    policy_arn = (await iam("CreatePolicy", PolicyName="P", PolicyDocument=DOCUMENT))["Policy"]["Arn"]
    changes = [
        ("PutUserPolicy", {"UserName": "Alice", "PolicyName": "inline", "PolicyDocument": DOCUMENT}, ["inline"]),
        ("AttachGroupPolicy", {"GroupName": "G", "PolicyArn": policy_arn}, ["inline"]),
        ("AddUserToGroup", {"GroupName": "G", "UserName": "Alice"}, ["inline", policy_arn]),
        ("DeleteUserPolicy", {"UserName": "Alice", "PolicyName": "inline"}, [policy_arn]),
        ("DetachGroupPolicy", {"GroupName": "G", "PolicyArn": policy_arn}, []),
    ]
    for change, given, expected in changes:
        await iam(change, **given)
        for callers in (here, there):
            assert callers.cached(access_key_id) is None
            assert names(await callers.credential(access_key_id)) == expected
            assert callers.cached(access_key_id) is not None


async def test_a_new_default_version_counts(iam, key, catalog, iam_key):
    callers = Callers(catalog, iam_key)
    policy_arn = (await iam("CreatePolicy", PolicyName="P", PolicyDocument=DOCUMENT))["Policy"]["Arn"]
    await iam("AttachUserPolicy", UserName="Alice", PolicyArn=policy_arn)
    before = (await callers.credential(key["AccessKeyId"])).standing.identity[0]
    await iam("CreatePolicyVersion", PolicyArn=policy_arn, PolicyDocument=DOCUMENT.replace("Allow", "Deny"))
    same = (await callers.credential(key["AccessKeyId"])).standing.identity[0]
    assert same is before  # found again, not parsed again
    await iam("SetDefaultPolicyVersion", PolicyArn=policy_arn, VersionId="v2")
    after = (await callers.credential(key["AccessKeyId"])).standing.identity[0]
    assert not after.statements[0].allows


async def test_no_secret_is_stored_in_clear(iam, key, catalog):
    value = await catalog.document(f"access-key/{key['AccessKeyId']}", "access-key")
    assert key["SecretAccessKey"] not in json.dumps(value)


@pytest.mark.parametrize("owner", [{}, {"user": "alice", "user_id": "AIDAOTHEROTHEROTHEROT"}])
async def test_an_access_key_does_not_open_for_another_owner(iam, key, catalog, iam_key, owner):
    """Neither for the root nor for another user, who has meanwhile been given it in clear."""
    scope = f"access-key/{key['AccessKeyId']}"
    value = await catalog.document(scope, "access-key")
    moved = {name: item for name, item in value.items() if name not in {"user", "user_id"}} | owner
    await catalog.write(lambda transaction: transaction.set_document(scope, "access-key", moved))
    with pytest.raises(Damaged):
        await Callers(catalog, iam_key).credential(key["AccessKeyId"])


@pytest.mark.parametrize(
    "spoil",
    [
        {"inline": {"p": "{"}},
        {"inline": {"p": 1}},
        {"inline": None},
        {"attached": [f"arn:aws:iam::{ACCOUNT}:policy/absent"]},
        {"attached": "p"},
        {"boundary": f"arn:aws:iam::{ACCOUNT}:policy/absent"},
        {"boundary": None},
        {"groups": ["absent"]},
        {"groups": [1]},
        {"tags": [["a"]]},
        {"created_ms": True},
    ],
)
async def test_damage_is_never_no_policy(iam, key, catalog, iam_key, spoil):
    value = await catalog.document(USER, "iam-user")
    await catalog.write(lambda transaction: transaction.set_document(USER, "iam-user", {**value, **spoil}))
    with pytest.raises(Damaged):
        await Callers(catalog, iam_key).credential(key["AccessKeyId"])


@pytest.mark.parametrize("lost", ["user", "listed", "id"])
async def test_an_access_key_needs_its_user(iam, key, catalog, iam_key, lost):
    value = await catalog.document(USER, "iam-user")
    changed = {"user": None, "listed": {**value, "access_keys": []}, "id": {**value, "unique_id": "AIDAOTHEROTHEROTHEROT"}}[lost]
    await catalog.write(lambda transaction: transaction.set_document(USER, "iam-user", changed))
    assert await Callers(catalog, iam_key).credential(key["AccessKeyId"]) is None


async def test_every_operation_asks_with_the_whole_arn(iam):
    iam.asked.clear()
    await iam("GetUser", UserName="ALICE")
    await iam("UpdateUser", UserName="alice", NewPath="/ops/")
    user = f"arn:aws:iam::{ACCOUNT}:user"
    assert iam.asked == [
        ("iam:GetUser", f"{user}/dev/Alice"),
        ("iam:UpdateUser", f"{user}/dev/Alice"),
        ("iam:UpdateUser", f"{user}/ops/Alice"),
    ]


async def test_which_users_exist(iam, catalog):
    """For key policies, bucket policies and grants: by the whole ARN, in the case it was made with."""
    principals = Principals(catalog)
    assert await principals.exists(f"arn:aws:iam::{ACCOUNT}:user/dev/Alice")
    for absent in ("user/Alice", "user/dev/alice", "user/dev/Bob", "role/dev/Alice", "user/dev/Alice\n"):
        assert not await principals.exists(f"arn:aws:iam::{ACCOUNT}:{absent}")
    assert not await principals.exists("arn:aws:iam::444455556666:user/dev/Alice")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/dev/Alice"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    await iam("CreateRole", RoleName="App", Path="/dev/", AssumeRolePolicyDocument=document)
    assert await principals.exists(f"arn:aws:iam::{ACCOUNT}:role/dev/App")
    assert not await principals.exists(f"arn:aws:iam::{ACCOUNT}:user/dev/App")
