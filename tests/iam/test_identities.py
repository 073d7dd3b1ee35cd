"""Accounts and access keys: made once, unique, never half made, their secrets never in clear."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import sys
from datetime import UTC, datetime

import orjson
import pytest

from strongroom.iam.errors import Damaged, IdentityError, Malformed, Taken, Unknown
from strongroom.iam.identities import Account, Identities, ensure_root
from strongroom.iam.records import AccessKey

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


async def everything(catalog) -> bytes:
    kinds = ("account", "account-name", "canonical-id", "access-key")
    return orjson.dumps([await catalog.documents(kind, limit=1000) for kind in kinds])


async def test_what_is_not_given_is_random_and_of_the_form_of_aws(identities):
    new = await identities.create_account("alpha")
    other = await identities.create_account("beta")
    assert re.fullmatch(r"[1-9][0-9]{11}", new.account_id)
    assert re.fullmatch(r"[0-9a-f]{64}", new.canonical_id)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", new.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", new.secret_access_key)
    for field in ("account_id", "canonical_id", "access_key_id", "secret_access_key"):
        assert getattr(new, field) != getattr(other, field)


async def test_what_is_given_is_kept(identities):
    new = await identities.create_account(
        "alpha two",
        account_id="000000000012",
        canonical_id="ab" * 32,
        email="alpha@example.com",
        access_key_id="0555b35654ad1656d804",
        secret_access_key=SECRET,
    )
    created = int(datetime(2026, 5, 4, 3, 2, 1, 678000, UTC).timestamp() * 1000)
    assert (new.access_key_id, new.secret_access_key) == ("0555b35654ad1656d804", SECRET)
    account = Account("000000000012", "alpha two", "alpha@example.com", "ab" * 32, created)
    assert await identities.account("000000000012") == account
    assert await identities.accounts() == [account]
    assert await identities.access_keys("000000000012") == [
        AccessKey("0555b35654ad1656d804", "000000000012", active=True, created_ms=created)
    ]


async def test_accounts_are_listed_by_id_and_a_stranger_is_none(identities):
    for account_id in ("300000000000", "100000000000", "200000000000"):
        await identities.create_account(f"n{account_id}", account_id=account_id)
    assert [account.account_id for account in await identities.accounts()] == ["100000000000", "200000000000", "300000000000"]
    assert await identities.account("999999999999") is None
    assert await identities.access_keys("999999999999") == []


async def test_listing_pages_through_everything(identities, monkeypatch):
    monkeypatch.setattr("strongroom.iam.identities._PAGE", 2)
    for count in range(5):
        await identities.create_account(f"n{count}", account_id=f"10000000000{count}")
    assert len(await identities.accounts()) == 5
    assert len(await identities.access_keys("100000000004")) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": ""},
        {"name": " a"},
        {"name": "a "},
        {"name": "a" * 65},
        {"name": "a/b"},
        {"name": "a\n"},
        {"name": "ü"},
        {"account_id": "1234"},
        {"account_id": "1234567890123"},
        {"account_id": "12345678901a"},
        {"account_id": "١٢٣٤٥٦٧٨٩٠١٢"},
        {"account_id": ""},
        {"canonical_id": "AB" * 32},
        {"canonical_id": "ab" * 31},
        {"email": "nobody"},
        {"email": "a b@example.com"},
        {"email": "a@b@c"},
        {"access_key_id": "AB"},
        {"access_key_id": "A" * 129},
        {"access_key_id": "AKIA/EXAMPLE"},
        {"access_key_id": "AKIAEXAMPLE\n"},
        {"secret_access_key": "seven77"},
        {"secret_access_key": "s" * 129},
        {"secret_access_key": "with a blank"},
        {"secret_access_key": "nöt-ascii"},
        {"secret_access_key": ""},
    ],
)
async def test_what_is_malformed_is_refused_and_nothing_is_made(identities, catalog, wanted):
    given = {"name": "alpha", **wanted}
    with pytest.raises(Malformed) as caught:
        await identities.create_account(**given)
    if given.get("secret_access_key"):
        assert given["secret_access_key"] not in str(caught.value)
    assert orjson.loads(await everything(catalog)) == [[], [], [], []]


@pytest.mark.parametrize(("access_key_id", "secret"), [("abc", "12345678"), ("A" * 128, "~" * 128), ("with_underscore", "!" * 8)])
async def test_the_limits_themselves_are_allowed(identities, access_key_id, secret):
    new = await identities.create_account("a" * 64, access_key_id=access_key_id, secret_access_key=secret)
    assert (new.access_key_id, new.secret_access_key) == (access_key_id, secret)


@pytest.mark.parametrize(
    ("field", "text"),
    [("name", "name"), ("account_id", "account id"), ("canonical_id", "canonical id"), ("access_key_id", "access key")],
)
async def test_names_and_ids_are_unique_and_a_conflict_leaves_nothing_behind(identities, catalog, field, text):
    first = {"name": "alpha", "account_id": "111122223333", "canonical_id": "ab" * 32, "access_key_id": "AKIAFIRST"}
    second = {"name": "beta", "account_id": "444455556666", "canonical_id": "cd" * 32, "access_key_id": "AKIASECOND"}
    await identities.create_account(**first)
    before = await everything(catalog)
    with pytest.raises(Taken, match=text):
        await identities.create_account(**{**second, field: first[field]})
    assert await everything(catalog) == before
    await identities.create_account(**second)


async def test_a_random_account_id_that_is_taken_is_drawn_again(catalog, iam_key):
    def draw(number: int) -> bytes:
        return (number - 100_000_000_000).to_bytes(16, "big")

    draws = [draw(111122223333), draw(111122223333), draw(444455556666)]
    numbers = iter(draws)
    count = iter(range(1000))
    identities = Identities(
        catalog, iam_key, random=lambda size: next(numbers) if size == 16 else next(count).to_bytes(size, "big")
    )
    first = await identities.create_account("alpha")
    second = await identities.create_account("beta")
    assert (first.account_id, second.account_id) == ("111122223333", "444455556666")


async def test_a_secret_is_nowhere_in_clear(identities, catalog, tmp_path):
    new = await identities.create_account("alpha", secret_access_key=SECRET)
    more = await identities.create_access_key(new.account_id, secret_access_key=SECRET)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sealed_secret" in stored
    for form in (SECRET.encode(), base64.b64encode(SECRET.encode()), SECRET.encode().hex().encode()):
        assert form not in stored
    for shown in (new, more):
        assert SECRET not in repr(shown)
        assert SECRET not in str(shown)
    values = [value["sealed_secret"] for _, value in await catalog.documents("access-key", limit=10)]
    assert len(set(values)) == 2  # a fresh nonce each time


async def test_an_account_may_have_more_access_keys(identities):
    new = await identities.create_account("alpha")
    other = await identities.create_account("beta")
    more = await identities.create_access_key(new.account_id, access_key_id="AKIAMORE")
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", more.secret_access_key)
    assert {key.access_key_id for key in await identities.access_keys(new.account_id)} == {new.access_key_id, "AKIAMORE"}
    with pytest.raises(Taken):
        await identities.create_access_key(other.account_id, access_key_id="AKIAMORE")
    with pytest.raises(Unknown):
        await identities.create_access_key("999999999999")
    with pytest.raises(Malformed):
        await identities.create_access_key(new.account_id, access_key_id="A/B")


async def test_switching_an_access_key_off_and_on(identities):
    new = await identities.create_account("alpha")
    assert not (await identities.set_access_key_active(new.access_key_id, active=False)).active
    found = await identities.access_key(new.access_key_id)
    assert (found.account_id, found.active) == (new.account_id, False)
    assert (await identities.set_access_key_active(new.access_key_id, active=True)).active
    with pytest.raises(Unknown):
        await identities.set_access_key_active("AKIANOBODY", active=False)
    with pytest.raises(Malformed):
        await identities.set_access_key_active("../x", active=False)


@pytest.mark.parametrize("access_key_id", ["AKIANOBODY", "", "../account", "A" * 100_000])
async def test_nobody_has_an_unknown_access_key(identities, access_key_id):
    await identities.create_account("alpha")
    assert await identities.access_key(access_key_id) is None


async def test_the_root_is_made_once(identities):
    new = await ensure_root(identities, account_id="111122223333", access_key_id="AKIAROOT", secret_access_key=SECRET)
    assert new is not None
    assert (new.name, new.account_id, new.access_key_id, new.secret_access_key) == ("root", "111122223333", "AKIAROOT", SECRET)
    assert await ensure_root(identities) is None
    assert await ensure_root(identities, account_id="444455556666") is None
    assert len(await identities.accounts()) == 1


async def test_the_root_is_random_when_nothing_is_given(identities):
    new = await ensure_root(identities)
    assert new is not None
    assert new.access_key_id.startswith("AKIA")


async def test_no_root_beside_accounts_of_another_name(identities):
    await identities.create_account("alpha")
    assert await ensure_root(identities) is None


async def test_a_malformed_root_is_refused_whether_or_not_there_is_one(identities):
    with pytest.raises(Malformed):
        await ensure_root(identities, secret_access_key="short")
    await ensure_root(identities)
    with pytest.raises(Malformed):
        await ensure_root(identities, secret_access_key="short")


async def test_of_many_that_race_for_the_root_one_wins(identities):
    made = await asyncio.gather(*(ensure_root(identities) for _ in range(12)))
    assert sum(new is not None for new in made) == 1
    assert len(await identities.accounts()) == 1


async def test_of_two_workers_that_race_for_the_root_one_wins(identities, other_worker, iam_key):
    elsewhere = Identities(other_worker, iam_key)
    made = await asyncio.gather(*(ensure_root(each) for each in (identities, elsewhere) * 4))
    assert sum(new is not None for new in made) == 1
    assert len(await elsewhere.accounts()) == 1


def test_of_processes_that_start_at_once_one_makes_the_root(tmp_path):
    program = """
import asyncio, pathlib, sys
from strongroom.iam.identities import Identities, ensure_root
from strongroom.store.sqlite import SqliteCatalog
async def start():
    catalog = SqliteCatalog.open(pathlib.Path(sys.argv[1]))
    sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
    new = await ensure_root(Identities(catalog, bytes(32)))
    await catalog.close()
    print("none" if new is None else new.account_id)
asyncio.run(start())
"""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    told = sorted(worker.communicate(timeout=30)[0].strip() for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0]
    assert re.fullmatch(r"[0-9]{12}", told[0])
    assert told[1] == "none"


@pytest.mark.parametrize("missing", ["name", "email", "canonical_id", "created_ms"])
async def test_a_damaged_account_is_never_guessed_at(identities, catalog, missing):
    new = await identities.create_account("alpha")
    scope = f"account/{new.account_id}"
    value = dict(await catalog.document(scope, "account"))
    del value[missing]
    await catalog.write(lambda transaction: transaction.set_document(scope, "account", value))
    with pytest.raises(Damaged, match=missing):
        await identities.account(new.account_id)


def test_all_errors_have_one_base():
    assert all(issubclass(kind, IdentityError) for kind in (Damaged, Malformed, Taken, Unknown))
