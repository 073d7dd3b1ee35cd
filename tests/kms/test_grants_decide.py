"""What grants allow: their operations to their grantee, within their constraints, and less of it handed on. Numbers are those of the facts
about KMS (A.11, C.2)."""

from __future__ import annotations

import json

import pytest

from strongroom.kms.data_keys import Subject
from strongroom.kms.grant_records import GRANTEE_KIND
from strongroom.policy.decide import Standing
from strongroom.policy.faults import Kind
from strongroom.policy.identity_documents import read_identity_policy
from tests.kms.world import HIDDEN, REGION, A, B

ROOT, OTHER = f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"
ANN, BEN, BOB = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{A}:user/ben", f"arn:aws:iam::{B}:user/bob"
ROLE, SESSION = f"arn:aws:iam::{A}:role/ops/reader", f"arn:aws:sts::{A}:assumed-role/reader/monday"
IN_SESSION = {"who": SESSION, "role": ROLE}
CONTEXT = {"team": "red", "year": "2026"}


def identity(*statements: dict, kind: Kind = Kind.IDENTITY):
    return read_identity_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), "p", kind)


def says(effect: str, action) -> dict:
    return {"Effect": effect, "Action": action, "Resource": "*"}


@pytest.fixture
async def key(world):
    """A key that its policy leaves to the account; its users and roles have no rights of their own."""
    world.principals |= {ANN, BEN, BOB, ROLE}
    for arn in (ANN, BEN, BOB):
        world.standings[arn] = Standing()
    world.standings[SESSION] = Standing(role_arn=ROLE)
    return (await world.key())[1]


async def grant(world, key: str, grantee: str, *operations: str, **given) -> tuple[str, str]:
    given = {"KeyId": key, "GranteePrincipal": grantee, "Operations": list(operations), **given}
    answer = await world.ask("CreateGrant", **given)
    return answer["GrantId"], answer["GrantToken"]


async def may(world, operation: str, /, **given) -> bool:
    try:
        await world.ask(operation, **given)
    except Exception as error:
        if getattr(error, "code", "") != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.fact("A72", "C18", "C20")
@pytest.mark.parametrize(
    ("grantee", "who", "allowed"),
    [
        (ANN, {"who": "user/ann"}, True),
        (ANN, {"who": "user/ben"}, False),
        (ROLE, IN_SESSION, True),
        (ROLE, {"who": "user/ann"}, False),
        (ROOT, {"who": "user/ann"}, False),  # to an account: its identity policies decide, and this user has none
    ],
)
async def test_a72_a_grant_allows_its_operations_to_its_grantee(world, key, grantee, who, allowed):
    assert not await may(world, "Encrypt", KeyId=key, Plaintext=b"x", **who)
    grant_id, _ = await grant(world, key, grantee, "Encrypt", "DescribeKey")
    assert await may(world, "Encrypt", KeyId=key, Plaintext=b"x", **who) is allowed  # at once, without its token
    assert await may(world, "DescribeKey", KeyId=key, **who) is allowed
    assert not await may(world, "GenerateDataKey", KeyId=key, KeySpec="AES_256", **who)  # A72: nothing else
    await world.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
    assert not await may(world, "Encrypt", KeyId=key, Plaintext=b"x", **who)


@pytest.mark.fact("C1", "C20")
async def test_c20_denies_beat_grants(world, key):
    await grant(world, key, ANN, "Encrypt")
    asked = {"KeyId": key, "Plaintext": b"x", "who": "user/ann"}
    assert await may(world, "Encrypt", **asked)
    world.standings[ANN] = Standing((identity(says("Deny", "kms:Encrypt")),))
    assert not await may(world, "Encrypt", **asked)
    world.standings[ANN] = Standing()
    delegation = {**says("Allow", "kms:*"), "Principal": {"AWS": ROOT}}
    denial = {**says("Deny", "kms:Encrypt"), "Principal": {"AWS": ANN}}
    await world.ask("PutKeyPolicy", KeyId=key, Policy=json.dumps({"Statement": [delegation, denial]}))
    code, message = await world.refusal("Encrypt", **asked)
    assert (code, message.rpartition(key)[2]) == ("AccessDenied", " with an explicit deny in a resource-based policy")


@pytest.mark.fact("C5", "C20")
async def test_a_session_policy_limits_what_is_granted_to_its_role(world, key):
    await grant(world, key, ROLE, "Encrypt")
    world.standings[SESSION] = Standing(session=(identity(says("Allow", "s3:*"), kind=Kind.SESSION),), role_arn=ROLE)
    code, message = await world.refusal("Encrypt", KeyId=key, Plaintext=b"x", **IN_SESSION)
    assert (code, message.endswith("because no session policy allows the kms:Encrypt action")) == ("AccessDenied", True)


@pytest.mark.fact("A73")
@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        ({"EncryptionContextEquals": CONTEXT}, CONTEXT, True),
        ({"EncryptionContextEquals": CONTEXT}, {**CONTEXT, "more": "x"}, False),
        ({"EncryptionContextEquals": CONTEXT}, {"team": "red"}, False),
        ({"EncryptionContextEquals": CONTEXT}, {}, False),
        ({"EncryptionContextSubset": {"team": "red"}}, CONTEXT, True),
        ({"EncryptionContextSubset": {"team": "red"}}, {"team": "red"}, True),
        ({"EncryptionContextSubset": {"team": "red"}}, {"team": "Red"}, False),
        ({"EncryptionContextSubset": {"team": "red"}}, {"Team": "red"}, False),
        ({"EncryptionContextSubset": {"team": "red"}}, {}, False),
        ({"SourceArn": "arn:aws:s3:::b"}, CONTEXT, False),  # no service asks on behalf of a resource here
        ({}, {}, True),
    ],
)
async def test_a73_constraints_bind_to_the_encryption_context(world, key, constraint, context, allowed):
    await grant(world, key, ANN, "Encrypt", "Decrypt", "DescribeKey", "ReEncryptFrom", "ReEncryptTo", Constraints=constraint)
    asked = {"KeyId": key, "EncryptionContext": context}
    assert await may(world, "Encrypt", Plaintext=b"x", who="user/ann", **asked) is allowed
    blob = (await world.ask("Encrypt", Plaintext=b"x", **asked))["CiphertextBlob"]
    assert await may(world, "Decrypt", CiphertextBlob=blob, who="user/ann", **asked) is allowed
    moved = {
        "CiphertextBlob": blob,
        "DestinationKeyId": key,
        "SourceEncryptionContext": context,
        "DestinationEncryptionContext": context,
    }
    assert await may(world, "ReEncrypt", who="user/ann", **moved) is allowed
    assert await may(world, "DescribeKey", KeyId=key, who="user/ann") is ("SourceArn" not in constraint)  # not bound


@pytest.mark.fact("A73", "D22")
async def test_d22_a_grant_serves_s3_too(world, key):
    context = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}
    await grant(world, key, ANN, "GenerateDataKey", "Decrypt", Constraints={"EncryptionContextSubset": context})
    made = await world.data_keys.generate(world.call("ListKeys", who="user/ann"), key, REGION, context)
    assert await world.data_keys.unwrap(world.call("ListKeys", who="user/ann"), made.wrapped, REGION, context) == made.plain
    with pytest.raises(Exception, match="no identity-based policy allows the kms:GenerateDataKey action"):
        await world.data_keys.generate(world.call("ListKeys", who="user/ann"), key, REGION, {"aws:s3:arn": "arn:aws:s3:::other"})


@pytest.mark.fact("A74")
@pytest.mark.parametrize(
    ("own", "passed", "constraint", "allowed"),
    [
        ({}, ["Encrypt"], {}, True),
        ({}, ["Encrypt", "Decrypt", "CreateGrant"], {}, True),
        ({}, ["Encrypt", "DescribeKey"], {}, False),  # more than it has
        ({}, ["GenerateDataKey"], {}, False),
        ({}, ["Encrypt"], {"EncryptionContextSubset": {"team": "red"}}, True),
        ({"EncryptionContextSubset": {"team": "red"}}, ["Encrypt"], {}, False),
        ({"EncryptionContextSubset": {"team": "red"}}, ["Encrypt"], {"EncryptionContextSubset": {"team": "blue"}}, False),
        ({"EncryptionContextSubset": {"team": "red"}}, ["Encrypt"], {"EncryptionContextSubset": {"team": "red"}}, True),
        ({"EncryptionContextSubset": {"team": "red"}}, ["Encrypt"], {"EncryptionContextSubset": CONTEXT}, True),
        ({"EncryptionContextSubset": {"team": "red"}}, ["Encrypt"], {"EncryptionContextEquals": CONTEXT}, True),
        ({"EncryptionContextEquals": CONTEXT}, ["Encrypt"], {"EncryptionContextEquals": CONTEXT}, True),
        ({"EncryptionContextEquals": CONTEXT}, ["Encrypt"], {"EncryptionContextEquals": {"team": "red"}}, False),
        (
            {"EncryptionContextEquals": CONTEXT},
            ["Encrypt"],
            {"EncryptionContextSubset": CONTEXT},
            False,
        ),  # it would let more contexts in
        ({"EncryptionContextEquals": CONTEXT}, ["Encrypt"], {}, False),
    ],
)
async def test_a74_a_grantee_passes_on_no_more_than_it_has(world, key, own, passed, constraint, allowed):
    await grant(world, key, ANN, "Encrypt", "Decrypt", "CreateGrant", Constraints=own)
    asked = {"KeyId": key, "GranteePrincipal": BEN, "Operations": passed, "Constraints": constraint}
    assert await may(world, "CreateGrant", who="user/ann", **asked) is allowed
    assert await may(world, "Encrypt", KeyId=key, Plaintext=b"x", EncryptionContext=CONTEXT, who="user/ben") is allowed
    # who may grant by a policy is not narrowed
    world.standings[ANN] = Standing((identity(says("Allow", "kms:CreateGrant")),))
    assert await may(world, "CreateGrant", who="user/ann", **asked)


async def test_a74_two_grants_do_not_add_up(world, key):
    await grant(world, key, ANN, "Encrypt", "CreateGrant")
    await grant(world, key, ANN, "Decrypt", "DescribeKey")
    for operations, allowed in ((["Encrypt"], True), (["Encrypt", "Decrypt"], False), (["Decrypt"], False)):
        asked = {"KeyId": key, "GranteePrincipal": BEN, "Operations": operations}
        assert await may(world, "CreateGrant", who="user/ann", **asked) is allowed


@pytest.mark.fact("C19", "C20", "B6")
@pytest.mark.parametrize("grantee", [BOB, OTHER])
async def test_grants_across_accounts_need_the_other_accounts_policies_too(world, key, grantee):
    await grant(world, key, grantee, "Encrypt", "DescribeKey")
    asked = {"KeyId": key, "Plaintext": b"x", "account": B, "who": "user/bob"}
    hidden = HIDDEN.replace(":root", ":user/bob").format(B, "kms:Encrypt")
    assert await world.refusal("Encrypt", **asked) == ("AccessDenied", hidden)
    world.standings[BOB] = Standing((identity(says("Allow", "kms:Encrypt")),))
    assert await may(world, "Encrypt", **asked)
    assert await may(world, "Encrypt", KeyId=key, Plaintext=b"x", account=B) is (grantee == OTHER)  # its root
    assert not await may(world, "GenerateDataKey", KeyId=key, KeySpec="AES_256", account=B)


@pytest.mark.fact("A75")
@pytest.mark.parametrize(
    ("retiring", "operations", "who", "own", "allowed"),
    [
        (ANN, ["Encrypt"], {"who": "user/ann"}, [], True),
        (ANN, ["Encrypt"], {"who": "user/ben"}, [], False),
        (ROLE, ["Encrypt"], IN_SESSION, [], True),
        (ROOT, ["Encrypt"], {"who": "user/ann"}, [], False),  # an account: whom its identities let
        (ROOT, ["Encrypt"], {"who": "user/ann"}, [says("Allow", "kms:RetireGrant")], True),
        (ROOT, ["Encrypt"], {}, [], True),
        (BOB, ["Encrypt"], {"account": B, "who": "user/bob"}, [], True),
        (OTHER, ["Encrypt"], {"account": B, "who": "user/bob"}, [], False),
        (OTHER, ["Encrypt"], {"account": B, "who": "user/bob"}, [says("Allow", "kms:RetireGrant")], True),
        (OTHER, ["Encrypt"], {"account": B}, [], True),
        (None, ["Encrypt"], {"who": "user/ben"}, [], False),  # the grantee, without that operation
        (None, ["Encrypt", "RetireGrant"], {"who": "user/ben"}, [], True),
        (None, ["Encrypt"], {"who": "user/ann"}, [says("Allow", "kms:RetireGrant")], True),  # of the issuing account
        (None, ["Encrypt"], {"account": B}, [], False),
    ],
)
async def test_a75_who_may_retire(world, key, retiring, operations, who, own, allowed):
    grant_id, _ = await grant(world, key, BEN, *operations, **({} if retiring is None else {"RetiringPrincipal": retiring}))
    for arn in (ANN, BOB):
        world.standings[arn] = Standing((identity(*own),) if own else ())
    assert await may(world, "RetireGrant", KeyId=key, GrantId=grant_id, **who) is allowed


@pytest.mark.fact("A75")
async def test_a75_a_key_policy_has_no_say_in_retiring(world, key):
    grant_id, _ = await grant(world, key, BEN, "Encrypt")
    lets = {**says("Allow", "kms:*"), "Principal": {"AWS": [ANN, ROOT]}}
    await world.ask("PutKeyPolicy", KeyId=key, Policy=json.dumps({"Statement": lets}))
    assert not await may(world, "RetireGrant", KeyId=key, GrantId=grant_id, who="user/ann")
    denies = {**says("Deny", "kms:RetireGrant"), "Principal": "*"}
    await world.ask("PutKeyPolicy", KeyId=key, Policy=json.dumps({"Statement": [lets, denies]}))
    assert await may(world, "RetireGrant", KeyId=key, GrantId=grant_id)


async def test_a_grant_of_one_worker_holds_on_all(world, other_worker, key):
    asked = {"KeyId": key, "Plaintext": b"x", "who": "user/ann"}
    other_worker.standings = world.standings
    assert not await may(other_worker, "Encrypt", **asked)
    grant_id, _ = await grant(world, key, ANN, "Encrypt")
    assert await may(other_worker, "Encrypt", **asked)
    await world.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
    assert not await may(other_worker, "Encrypt", **asked)


async def test_many_grants_of_one_grantee(world, key, monkeypatch):
    monkeypatch.setattr("strongroom.kms.authorities._PAGE", 2)
    for number in range(5):
        await grant(world, key, ANN, "Decrypt", Name=f"n{number}")
    await grant(world, key, ANN, "Encrypt")
    assert await may(world, "Encrypt", KeyId=key, Plaintext=b"x", who="user/ann")
    authority = await world.data_keys.authority(key)  # for whoever explains: with all of them
    assert len(authority.grants) == 6


async def test_grants_cost_no_reads_once_they_are_known(world, key):
    await grant(world, key, ANN, "Encrypt")
    asked = {"KeyId": key, "Plaintext": b"x", "who": "user/ann"}
    await may(world, "Encrypt", **asked)
    before = world.catalog.reads
    assert await may(world, "Encrypt", **asked)
    assert world.catalog.reads == before


async def test_nothing_is_left_of_a_grant_that_ended(world, key):
    grant_id, _ = await grant(world, key, ANN, "Encrypt")
    assert len(await world.catalog.documents(GRANTEE_KIND, prefix="kms/", after="", limit=9)) == 1
    await world.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
    assert await world.catalog.documents(GRANTEE_KIND, prefix="kms/", after="", limit=9) == []


@pytest.mark.fact("7.3")
@pytest.mark.parametrize("change", ["policy", "grant"])
async def test_7_3_a_shared_key_ends_with_any_change_of_policy_or_grants(world, key, change):
    """Rights are judged for each use; and what was opened before a change is not used after it."""
    context = {"aws:s3:arn": "arn:aws:s3:::bucket"}

    async def made():
        return await world.data_keys.generate(world.call("ListKeys", who="user/ann"), key, REGION, context, shared=True)

    with pytest.raises(Exception, match="kms:GenerateDataKey"):
        await made()
    grant_id, _ = await grant(world, key, ANN, "GenerateDataKey", "Decrypt")
    first = await made()
    assert (await made()).wrapped == first.wrapped
    await grant(world, key, BEN, "Decrypt")  # another's: nothing to ann
    assert (await made()).wrapped == first.wrapped
    if change == "policy":
        await world.ask(
            "PutKeyPolicy", KeyId=key, Policy=json.dumps({"Statement": {**says("Allow", "kms:*"), "Principal": {"AWS": ROOT}}})
        )
    else:
        await grant(world, key, ANN, "Encrypt")
    await world.data_keys.forget_shared()
    assert len(world.data_keys._shared) == 0
    assert (await made()).wrapped != first.wrapped
    await world.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
    with pytest.raises(Exception, match="kms:GenerateDataKey"):
        await made()


@pytest.mark.fact("7.3")
async def test_7_3_what_needs_no_question_is_asked_anew_after_any_change_and_only_if_the_answer_lasts(world, key):
    """The real judge: what a policy asks of the request is asked each time, what it asks of the caller and the key is not."""
    context = {"aws:s3:arn": "arn:aws:s3:::bucket"}
    keys = world.data_keys
    await grant(world, key, ANN, "GenerateDataKey", "Decrypt")
    call = world.call("ListKeys", who="user/ann")

    async def at_once():
        made = keys.at_hand.make_shared(call, key, REGION, context, "r")
        return made is not None and keys.at_hand.open_shared(call, made.wrapped, REGION, context, "r", "v") is not None

    async def ask():
        made = await keys.generate(call, key, REGION, context, shared=True)
        await keys.unwrap(call, made.wrapped, REGION, context, shared=True)
        return made

    assert not await at_once()
    made = await ask()
    assert await at_once()
    later = world.call("ListKeys", who="user/ann")
    later.caller = call.caller
    assert keys.at_hand.open_shared(later, made.wrapped, REGION, context, "r", "v") is not None
    for other in (
        keys.at_hand.open_shared(world.call("ListKeys", who="user/ben"), made.wrapped, REGION, context, "r", "v"),
        keys.at_hand.open_shared(world.call("ListKeys", who="user/ann"), made.wrapped, REGION, context, "r", "v"),
        keys.at_hand.open_shared(call, made.wrapped, "us-west-2", context, "r", "v"),
        keys.at_hand.open_shared(call, made.wrapped, REGION, {**context, "a": "b"}, "r", "v"),
        keys.at_hand.open_shared(call, made.wrapped[:-1], REGION, context, "r", "v"),
        keys.at_hand.make_shared(call, "alias/other", REGION, context, "r"),
        keys.at_hand.make_shared(call, None, REGION, context, "r"),
        keys.at_hand.make_shared(call, key, REGION, dict(context), "r"),
    ):
        assert other is None
    policy = {"Statement": [{**says("Allow", "kms:*"), "Principal": {"AWS": ROOT}}, {**says("Allow", "kms:*"), "Principal": "*"}]}
    policy["Statement"][1]["Condition"] = {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}
    await world.ask("PutKeyPolicy", KeyId=key, Policy=json.dumps(policy))
    assert not await at_once()
    await ask()
    assert not await at_once()  # it was asked where the request comes from
    policy["Statement"][1]["Condition"] = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    await world.ask("PutKeyPolicy", KeyId=key, Policy=json.dumps(policy))
    await ask()
    assert await at_once()
    await world.ask("DisableKey", KeyId=key)
    assert not await at_once()
    with pytest.raises(Exception, match="is disabled"):
        await ask()


@pytest.mark.fact("4.10")
async def test_4_10_a_key_is_at_hand_for_one_caller_and_only_where_no_context_had_a_say(world, key):
    """The real judge, without a bucket key. What opens is what the long way opens: nothing is given for another object's context."""
    keys, hand, name = world.data_keys, world.data_keys.at_hand, "aws:s3:arn"
    call = world.call("ListKeys", who="user/ann")

    def subject(resource):
        return {name: resource}, {"subject": Subject(resource)}

    def at_once(resource="r", call=call, region=REGION, named=key, by=name):
        made = hand.make(call, named, region, by, resource)
        if made is None:
            return None
        opened = hand.open(call, made.wrapped, region, by, resource, "v")
        assert opened in {None, made.plain}
        return opened

    async def ask(resource="r"):
        context, told = subject(resource)
        made = await keys.generate(call, key, REGION, context, **told)
        assert await keys.unwrap(call, made.wrapped, REGION, context, **told) == made.plain
        return made

    with pytest.raises(Exception, match="kms:GenerateDataKey"):
        await ask()
    grant_id, _ = await grant(world, key, ANN, "GenerateDataKey", "Decrypt")
    assert at_once() is None
    made = await ask()
    assert at_once() is not None
    assert at_once("another") is not None
    later = world.call("ListKeys", who="user/ann")
    later.caller = call.caller
    assert hand.open(later, made.wrapped, REGION, name, "r", "v") == made.plain
    for other in (
        hand.open(world.call("ListKeys", who="user/ann"), made.wrapped, REGION, name, "r", "v"),
        hand.open(world.call("ListKeys", who="user/ben"), made.wrapped, REGION, name, "r", "v"),
        hand.open(call, made.wrapped, "us-west-2", name, "r", "v"),
        hand.open(call, made.wrapped, REGION, name, "another", "v"),  # sealed for r
        hand.open(call, made.wrapped, REGION, "another", "r", "v"),
        hand.open(call, made.wrapped[:-1], REGION, name, "r", "v"),
        hand.open(call, made.wrapped[:-1] + bytes([made.wrapped[-1] ^ 1]), REGION, name, "r", "v"),
        hand.open(call, b"", REGION, name, "r", "v"),
        hand.open(call, made.wrapped, REGION, name, "\ud800", "v"),
        hand.make(call, key, REGION, name, "\ud800"),
        hand.make(call, key, "us-west-2", name, "r"),
        hand.make(call, key, REGION, "another", "r"),
        hand.make(call, "alias/other", REGION, name, "r"),
        hand.make(call, None, REGION, name, "r"),
        hand.make(world.call("ListKeys", who="user/ben"), key, REGION, name, "r"),
    ):
        assert other is None
    context, told = subject("another")
    with pytest.raises(Exception, match="InvalidCiphertext"):
        await keys.unwrap(call, made.wrapped, REGION, context, **told)
    await world.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
    assert at_once() is None
    await grant(world, key, ANN, "GenerateDataKey", "Decrypt", Constraints={"EncryptionContextSubset": {name: "r"}})
    await ask()
    assert at_once() is None  # the grant had to look at the context
    await grant(world, key, ANN, "GenerateDataKey", "Decrypt")
    await ask()
    assert at_once() is None  # and one that needs not look does not help: nobody says which of them it was
    await world.ask("DisableKey", KeyId=key)
    with pytest.raises(Exception, match="is disabled"):
        await ask()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("shared", [False, True])
async def test_what_was_judged_while_something_changed_is_at_hand_for_nobody(world, other_worker, key, shared, elsewhere, late):
    """Something changes, here or on another worker, before each question is judged; or the right is taken away just behind the last."""
    keys, hand, who = world.data_keys, world.data_keys.at_hand, other_worker if elsewhere else world
    context, given = {"aws:s3:arn": "r"}, {"shared": shared, "subject": Subject("r")}
    grant_id, _ = await grant(world, key, ANN, "GenerateDataKey", "Decrypt")
    call, asked = world.call("ListKeys", who="user/ann"), []
    judge = call.allow

    async def allow(action, *rest, **more):
        asked.append(action)
        if not late:
            await who.ask("UpdateKeyDescription", KeyId=key, Description=f"{len(asked)}")
        answer = await judge(action, *rest, **more)
        if late and len(asked) == (3 if shared else 2):
            await who.ask("RevokeGrant", KeyId=key, GrantId=grant_id)
        return answer

    call.allow = allow
    made = await keys.generate(call, key, REGION, context, **given)
    await keys.unwrap(call, made.wrapped, REGION, context, **given)
    assert asked == ["kms:GenerateDataKey", *["kms:Decrypt"] * (1 + shared)]
    if shared:
        assert hand.make_shared(call, key, REGION, context, "r") is None
        assert hand.open_shared(call, made.wrapped, REGION, context, "r", "v") is None
    else:
        assert hand.make(call, key, REGION, "aws:s3:arn", "r") is None
        assert hand.open(call, made.wrapped, REGION, "aws:s3:arn", "r", "v") is None
    if late:
        with pytest.raises(Exception, match="kms:Decrypt"):
            await keys.unwrap(call, made.wrapped, REGION, context, **given)
