"""The judge and what it has to fetch: values of the resource, when a policy asks for them, and of that resource."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import Holds, Need
from strongroom.api.routing import Route
from strongroom.edge.condition_values import RequestValues
from strongroom.edge.judge import Judge
from strongroom.policy.acls import Acl, AclGrant
from strongroom.policy.bucket_documents import read_bucket_policy
from strongroom.policy.decide import ROOT, Authority, Reason
from strongroom.policy.key_documents import Grant, grant, read_key_policy
from strongroom.policy.public import ALL_USERS
from strongroom.policy.templates import Untold
from tests.edge.tiny import ACCESS_KEY, ACCOUNT, OTHER, caller, of_object, signed

K = "arn:aws:s3:::bucket/k"
KEY = "arn:aws:kms:eu-west-1:210987654321:key/0d990263-018e-4e65-a703-eff731de951e"
NEED = Need("s3:GetObject", "object", "s3:GetObjectVersion")


def statement(effect: str, condition: Any = None, action: Any = "s3:GetObject*", resource: str = "arn:aws:s3:::bucket/*") -> Any:
    said = {"Effect": effect, "Principal": "*", "Action": action, "Resource": resource}
    return said if condition is None else {**said, "Condition": condition}


class Bench:
    """A judge for a caller of another account, over one bucket policy; what is there has ``tags``."""

    def __init__(self, *statements: Any, tags: dict[str, str] | None = None, **given: Any) -> None:
        self.fetched: list[tuple[str, str | None]] = []
        self.tags = tags or {}
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.place = Place(Authority(ACCOUNT, (read_bucket_policy(text, "bucket"),) if statements else ()))
        head = signed("GET", "/bucket/k").head()
        who = caller(OTHER, ACCESS_KEY)
        known = given.pop("known", {})
        values = RequestValues(who, head, head.headers, None, given, "k", "eu-west-1", datetime.now(UTC), known)
        self.denied: list[Any] = []
        self.judge = Judge(who, ROOT, self.authority, lambda: values, self.existing, self.denied, of_object)

    async def authority(self, action: str, resource: str, about: Any) -> Authority:
        return self.place.authority

    async def existing(self, resource: str, version_id: str | None) -> dict[str, str]:
        self.fetched.append((resource, version_id))
        return {f"s3:ExistingObjectTag/{key}": value for key, value in self.tags.items()}

    async def may(self, action: str = "s3:GetObject", **more: Any) -> bool:
        try:
            await self.judge(action, K, **more)
        except ApiError as error:
            return error.code != "AccessDenied"
        return True


class Place:
    account_id, region, cors = ACCOUNT, "eu-west-1", ()

    def __init__(self, authority: Authority) -> None:
        self.authority = authority


ALLOW = statement("Allow")
PUBLIC = {"StringEquals": {"s3:ExistingObjectTag/Class": "public"}}


async def test_nothing_is_fetched_that_no_policy_asks_for():
    elsewhere = statement("Deny", PUBLIC, resource="arn:aws:s3:::bucket/other")
    of_another = statement("Deny", PUBLIC, action="s3:PutObjectTagging")
    for bench in (Bench(), Bench(ALLOW), Bench(ALLOW, elsewhere, of_another)):
        await bench.may()
        assert bench.fetched == []


@pytest.mark.fact("C44")
@pytest.mark.parametrize(
    ("tags", "allowed", "denied"),
    [
        ({}, False, True),
        ({"Class": "public"}, True, False),
        ({"class": "public"}, True, False),
        ({"Class": "secret"}, False, True),
    ],
)
async def test_c44_allows_and_denies_by_the_tags_that_are_there(tags, allowed, denied):
    bench = Bench(statement("Allow", PUBLIC), tags=tags)
    assert await bench.may() is allowed
    assert bench.fetched == [(K, None)]
    other = {"StringNotEquals": {"s3:ExistingObjectTag/Class": "public"}}
    bench = Bench(ALLOW, statement("Deny", other), statement("Deny", other), tags=tags)
    assert await bench.may() is not denied
    assert bench.fetched == [(K, None)]  # once, however many ask
    assert len(bench.denied) == denied


async def test_the_version_that_is_meant():
    bench = Bench(statement("Allow", PUBLIC), tags={"Class": "public"}, VersionId="mine")
    await bench.judge.decide(NEED, Route("s3", "GetObject", "bucket", "k", virtual_host=False), bench.place, with_version=True)
    assert await bench.may("s3:GetObjectVersion", version_id="of the source")
    assert bench.fetched == [(K, "mine"), (K, "of the source")]


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:PutObjectRetention"])
async def test_c44_actions_without_that_key(action):
    """A document with it is refused for them; by a wildcard it is absent."""
    bench = Bench(statement("Deny", PUBLIC, "s3:*"), statement("Allow", action="s3:*"), tags={"Class": "public"})
    assert await bench.may(action)
    assert bench.fetched == []


@pytest.mark.parametrize("operator", ["StringEquals", "StringEqualsIfExists", "StringNotEquals", "Null"])
async def test_of_two_tags_that_differ_by_case_nobody_knows_which_is_meant(operator):
    """So an Allow does not hold, and a Deny does."""
    for value in ("true", "false") if operator == "Null" else ("public", "x"):
        condition = {operator: {"s3:ExistingObjectTag/class": value}}
        tags = {"Class": "public", "CLASS": "x", "other": "y"}
        assert not await Bench(statement("Allow", condition), tags=tags).may()
        assert not await Bench(ALLOW, statement("Deny", condition), tags=tags).may()


async def test_what_cannot_be_fetched_allows_nothing():
    bench = Bench(ALLOW, statement("Deny", PUBLIC))

    async def broken(resource: str, version_id: str | None) -> dict[str, str]:
        raise OSError("the disk is gone")

    bench.judge._existing = broken
    with pytest.raises(OSError, match="gone"):
        await bench.may()


async def test_a_variable_of_a_tag_that_is_there():
    bench = Bench(statement("Allow", resource="arn:aws:s3:::bucket/${s3:ExistingObjectTag/name}"), tags={"name": "k"})
    assert await bench.may()
    bench.tags = {"name": "l"}
    assert not await bench.may()


async def test_tags_of_the_request_and_those_that_the_run_tells_of():
    """The run's are instead of the request's: a copy takes tags along that the request does not say."""
    good = {
        "StringEquals": {"s3:RequestObjectTag/Project": "good"},
        "ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": "Project"},
    }
    known = {"s3:RequestObjectTag/Project": "good", "s3:RequestObjectTagKeys": ("Project",)}
    bench = Bench(statement("Allow", good, "s3:PutObjectTagging"), known=known)
    assert await bench.may("s3:PutObjectTagging")
    assert not await bench.may("s3:PutObjectTagging", told={"s3:RequestObjectTag/Project": "bad"})
    more = {"s3:RequestObjectTag/Project": "good", "s3:RequestObjectTagKeys": ("Project", "Other")}
    assert not await bench.may("s3:PutObjectTagging", told=more)
    assert not await bench.may("s3:PutObjectTagging", told={})
    assert not await bench.may()
    twice = {**known, "s3:RequestObjectTag/project": "bad"}
    assert not await bench.may("s3:PutObjectTagging", told=twice)


class Object:
    """One that is there, in a bucket where lists count."""

    version_id = "v1"

    def __init__(self, owner: str, *grants: AclGrant, policies: tuple[Any, ...] = ()) -> None:
        self.owner = owner
        self.authority = Authority(ACCOUNT, policies, by_object=True).of_object(owner, Acl(K, grants, of_bucket=False))


class TestWhereListsCount:
    """The caller is of another account than the bucket."""

    @staticmethod
    def bench(there: Object | None, *grants: AclGrant, **more: Any) -> tuple[Bench, list[tuple[str, str | None]]]:
        bench, looked = Bench(**more), []

        async def of_object(resource: str, version_id: str | None) -> Object | None:
            looked.append((resource, version_id))
            return there

        bench.place.authority = Authority(ACCOUNT, acl=Acl("arn:aws:s3:::bucket", grants, of_bucket=True), by_object=True)
        bench.judge._of_object = of_object
        return bench, looked

    async def test_the_list_of_the_object_decides_and_which_one_is_remembered(self):
        bench, looked = self.bench(Object(ACCOUNT, AclGrant("READ", group=ALL_USERS)))
        assert await bench.may()
        assert looked == [(K, None)]
        assert bench.judge.judged(K) == "v1"
        assert bench.judge.judged("arn:aws:s3:::bucket/other") is None
        assert await bench.may("s3:GetObjectVersion", version_id="v9")
        assert looked[1:] == [(K, "v9")]
        assert not await bench.may("s3:GetObjectAcl")

    async def test_its_owner_reads_it(self):
        assert await self.bench(Object(OTHER))[0].may()
        assert not await self.bench(Object(ACCOUNT))[0].may()

    async def test_what_is_not_there_is_told_to_who_may_list(self):
        for grants, code in (((), "AccessDenied"), ((AclGrant("READ", group=ALL_USERS),), "NoSuchKey")):
            bench, _ = self.bench(None, *grants)
            with pytest.raises(ApiError) as caught:
                await bench.judge("s3:GetObject", K)
            assert caught.value.code == code
            assert len(bench.denied) == (code == "AccessDenied")
            assert bench.judge.judged(K) == ""

    async def test_the_list_of_a_bucket_lets_write_what_is_new_and_one_s_own(self):
        write = AclGrant("WRITE", group=ALL_USERS)
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert await self.bench(None, write)[0].may(action)
            assert await self.bench(Object(OTHER), write)[0].may(action)
            bench, _ = self.bench(Object(ACCOUNT), write)
            assert not await bench.may(action)
            assert [decision.reason for _, decision in bench.denied] == [Reason.OTHER_ACCOUNT]
            assert not await self.bench(Object(OTHER))[0].may(action)

    async def test_what_one_is_about_to_make_is_not_looked_for(self):
        bench, looked = self.bench(Object(ACCOUNT))
        assert await bench.may("s3:PutObjectAcl", new=True)  # it will be one's own
        assert not await bench.may("s3:PutObjectTagging", new=True)  # that is the bucket's to give
        assert looked == []

    async def test_where_lists_count_for_nothing_nobody_looks(self):
        bench, looked = self.bench(Object(OTHER))
        bench.place.authority = Authority(ACCOUNT)
        assert not await bench.may()
        assert not await bench.may("s3:PutObjectAcl", new=True)
        assert looked == []


class About:
    """What a room says of a question about a key."""

    context: ClassVar[dict[str, str]] = {}

    def value(self, key: str, /) -> str | None:
        if key == "kms:keyusage":
            raise Untold(key)
        return {"kms:viaservice": "s3.eu-west-1.amazonaws.com", "kms:encryptioncontext:a": "b"}.get(key)


HERE, CONTEXT, ANY = Holds.THIS_REQUEST, Holds.SAME_CONTEXT, Holds.ANY_CONTEXT


def governed(*statements: dict[str, Any], grants: tuple[Grant, ...] = ()) -> Place:
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return Place(Authority(OTHER, (read_key_policy(text, OTHER),), grants, policy_required=True))


def says(effect: str, action: str, **condition: Any) -> dict[str, Any]:
    said = {"Effect": effect, "Principal": "*", "Action": action, "Resource": "*"}
    return {**said, "Condition": condition} if condition else said


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({}, ANY),
        ({"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}, ANY),
        ({"StringEquals": {"aws:PrincipalAccount": OTHER}}, ANY),
        ({"StringEquals": {"kms:EncryptionContext:a": "b"}}, CONTEXT),
        ({"Null": {"kms:EncryptionContextKeys": "true"}}, CONTEXT),
        ({"StringEquals": {"kms:EncryptionContext:a": "b", "aws:PrincipalAccount": OTHER}}, CONTEXT),
        ({"StringNotEquals": {"kms:RequestAlias": "alias/x"}}, HERE),  # as the request named the key
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.1"}}, HERE),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.1"}, "StringEquals": {"kms:EncryptionContext:a": "b"}}, HERE),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, HERE),
        ({"StringNotEquals": {"aws:UserAgent": "x"}}, HERE),
    ],
)
async def test_an_answer_holds_for_what_differs_only_in_what_was_not_asked_for(condition: Any, holds: Holds) -> None:
    bench = Bench()
    bench.place = governed(says("Allow", "kms:Decrypt", **condition))
    assert await bench.judge("kms:Decrypt", KEY, about=About()) is holds


async def test_a_denial_that_did_not_hold_counts_as_much() -> None:
    """What a statement asks that came to nothing may come to something for another request."""
    bench = Bench()
    denial = says("Deny", "kms:Decrypt", StringEquals={"kms:EncryptionContext:a": "c"})
    bench.place = governed(denial, says("Allow", "kms:Decrypt"))
    assert await bench.judge("kms:Decrypt", KEY, about=About()) is CONTEXT
    bench.place = governed({**denial, "Action": "kms:Encrypt"}, says("Allow", "kms:Decrypt"))
    assert await bench.judge("kms:Decrypt", KEY, about=About()) is ANY


@pytest.mark.parametrize(
    ("bounds", "holds"), [({}, ANY), ({"context_equals": {"a": "b"}}, CONTEXT), ({"context_subset": {}}, CONTEXT)]
)
async def test_an_answer_that_a_constraint_of_a_grant_may_have_given_holds_for_its_context_alone(
    bounds: Any, holds: Holds
) -> None:
    bench = Bench()
    one = grant("g", f"arn:aws:iam::{OTHER}:root", frozenset({"Decrypt"}), **bounds)
    bench.place = governed(says("Allow", "kms:Decrypt"), grants=(one,))
    assert await bench.judge("kms:Decrypt", KEY, about=About()) is holds


async def test_an_answer_holds_no_further_where_something_could_not_be_told_or_is_not_about_a_key() -> None:
    bench = Bench()
    unasked, maybe = (says("Deny", name, StringEquals={"kms:KeyUsage": "x"}) for name in ("kms:Encrypt", "kms:Decrypt"))
    maybe["Effect"] = "Allow"
    for statement, holds in ((unasked, ANY), (maybe, HERE)):
        bench.place = governed(statement, says("Allow", "kms:Decrypt"))
        assert await bench.judge("kms:Decrypt", KEY, about=About()) is holds
    assert await Bench(ALLOW).judge("s3:GetObject", K) is HERE
