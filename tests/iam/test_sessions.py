"""Session tokens, and what stands behind one: for one access key of one role, and only made here."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from strongroom.iam.callers import Callers
from strongroom.iam.directory import insert, remove
from strongroom.iam.entities import Entity
from strongroom.iam.errors import BadToken, Damaged
from strongroom.iam.sessions import Passed, Session, SessionSeal

ACCOUNT = "111122223333"
ROLE = Entity(ACCOUNT, "role", "App", "/app/", "AROAROLEROLEROLEROLER", 1, trust="{}", session_seconds=3600)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
PASSED = Passed(POLICY, tags=(("Team", "Bär"), ("cost", "1")), transitive=("team",), source_identity="ann")
SESSION = Session("ASIASESSION000000000", "s" * 40, ACCOUNT, "role", ROLE.unique_id, "name", 500, 1_000, passed=PASSED)


@pytest.fixture
async def put(catalog, identities):
    await identities.create_account("alpha", account_id=ACCOUNT)

    async def put(role):
        def work(transaction):
            for one in (ROLE, role):
                remove(transaction, one or ROLE)
            if role is not None:
                insert(transaction, role)

        await catalog.write(work)

    await put(ROLE)
    return put


@pytest.fixture
def token(iam_key):
    return SessionSeal(iam_key).seal(SESSION)


def test_a_token_opens_for_its_access_key_and_server_alone(iam_key, token):
    seal = SessionSeal(iam_key)
    assert seal.open(token, SESSION.access_key_id) == SESSION
    assert seal.open(token, "ASIASESSION000000001") is None
    assert SessionSeal(bytes(32)).open(token, SESSION.access_key_id) is None
    assert SESSION.secret_access_key not in repr(SESSION)
    assert SESSION.secret_access_key.encode() not in base64.b64decode(token)


@pytest.mark.parametrize("text", ["", "x", "AA==", "Ä", "\ud800", "A" * 10_000, "====", "AQ" * 40])
def test_other_texts_are_no_tokens(iam_key, text):
    assert SessionSeal(iam_key).open(text, SESSION.access_key_id) is None


def test_every_byte_counts(iam_key, token):
    sealed = base64.b64decode(token)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert SessionSeal(iam_key).open(base64.b64encode(changed).decode(), SESSION.access_key_id) is None


async def test_a_session_is_its_role_now(catalog, iam_key, put, token):
    callers = Callers(catalog, iam_key)
    found = await callers.session(SESSION.access_key_id, token)
    assert found.caller.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/App/name"
    assert (found.caller.user_id, found.caller.principal_arn) == (f"{ROLE.unique_id}:name", ROLE.arn)
    assert (found.expires_ms, found.session_token) == (1_000, token)
    assert (found.standing.role_arn, found.standing.unique_id, found.standing.identity) == (ROLE.arn, ROLE.unique_id, ())
    assert [one.kind.value for one in found.standing.session] == ["session policy"]
    await put(replace(ROLE, inline={"p": POLICY}))
    assert [one.name for one in (await callers.session(SESSION.access_key_id, token)).standing.identity] == ["p"]
    assert await callers.credential(SESSION.access_key_id) is None
    with pytest.raises(BadToken):
        await callers.session("ASIASESSION000000001", token)
    await put(replace(ROLE, unique_id="AROAOTHEROTHEROTHEROT"))
    assert await callers.session(SESSION.access_key_id, token) is None
    await put(None)
    assert await callers.session(SESSION.access_key_id, token) is None


async def test_a_session_whose_policy_is_gone_is_not_widened(catalog, iam_key, put):
    lost = replace(SESSION, passed=Passed(policy_arns=(f"arn:aws:iam::{ACCOUNT}:policy/absent",)))
    assert await Callers(catalog, iam_key).session(SESSION.access_key_id, SessionSeal(iam_key).seal(lost)) is None


async def test_a_role_that_cannot_be_read_is_no_role_without_policies(catalog, iam_key, put, token):
    await put(replace(ROLE, inline={"p": "{"}))
    with pytest.raises(Damaged):
        await Callers(catalog, iam_key).session(SESSION.access_key_id, token)
