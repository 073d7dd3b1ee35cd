"""The Caller behind an access key: right, cached, and gone with the next request once it is switched off."""

from __future__ import annotations

import base64
import time

import pytest

from strongroom.iam.callers import ANONYMOUS, Caller, Callers
from strongroom.iam.errors import Damaged
from strongroom.iam.identities import Identities

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def callers(catalog, iam_key) -> Callers:
    return Callers(catalog, iam_key)


@pytest.fixture
async def alpha(identities):
    return await identities.create_account(
        "alpha", account_id="111122223333", canonical_id="ab" * 32, access_key_id="AKIAALPHA", secret_access_key=SECRET
    )


async def change(catalog, access_key_id: str, **values):
    scope = f"access-key/{access_key_id}"
    value = {**await catalog.document(scope, "access-key"), **values}
    await catalog.write(lambda transaction: transaction.set_document(scope, "access-key", value))


async def test_a_credential_has_the_root_of_its_account(callers, alpha):
    credential = await callers.credential("AKIAALPHA")
    assert credential is not None
    assert credential.caller == Caller(
        account_id="111122223333",
        arn="arn:aws:iam::111122223333:root",
        user_id="111122223333",
        canonical_id="ab" * 32,
        display_name="alpha",
        access_key_id="AKIAALPHA",
        anonymous=False,
    )
    assert credential.secret_access_key == SECRET
    assert credential.session_token is None
    assert SECRET not in repr(credential)


def test_nobody_is_anonymous_and_owns_nothing():
    assert ANONYMOUS.anonymous
    assert (ANONYMOUS.account_id, ANONYMOUS.arn, ANONYMOUS.access_key_id) == ("", "", "")
    assert len(ANONYMOUS.canonical_id) != 64  # no account can have it


async def test_it_is_cached_until_something_changes(callers, alpha, catalog, identities):
    assert callers.cached("AKIAALPHA") is None
    credential = await callers.credential("AKIAALPHA")
    assert callers.cached("AKIAALPHA") is credential
    assert await callers.credential("AKIAALPHA") is credential
    await identities.create_account("beta")
    assert callers.cached("AKIAALPHA") is None
    assert await callers.credential("AKIAALPHA") == credential


async def test_after_any_change_its_caller_is_another_object_that_looks_alike(callers, alpha, catalog):
    """What is remembered for that very object (``kms.at_hand``) may have been judged by rights that were read before the change."""
    before = (await callers.credential("AKIAALPHA")).caller
    assert (await callers.credential("AKIAALPHA")).caller is before
    await catalog.write(lambda transaction: transaction.set_document("any", "thing", {}))
    after = (await callers.credential("AKIAALPHA")).caller
    assert after == before
    assert after is not before


async def test_a_disabled_access_key_is_not_found_from_the_next_request_on(callers, alpha, identities):
    assert await callers.credential("AKIAALPHA") is not None
    await identities.set_access_key_active("AKIAALPHA", active=False)
    assert callers.cached("AKIAALPHA") is None
    assert await callers.credential("AKIAALPHA") is None
    await identities.set_access_key_active("AKIAALPHA", active=True)
    assert await callers.credential("AKIAALPHA") is not None


async def test_what_another_worker_disabled_is_not_found_here_either(callers, alpha, other_worker, iam_key):
    assert await callers.credential("AKIAALPHA") is not None
    await Identities(other_worker, iam_key).set_access_key_active("AKIAALPHA", active=False)
    assert callers.cached("AKIAALPHA") is None
    assert await callers.credential("AKIAALPHA") is None


@pytest.mark.parametrize("active", [False, None, "true", 1, "Active"])
async def test_only_true_is_active(callers, alpha, catalog, active):
    await change(catalog, "AKIAALPHA", active=active)
    assert await callers.credential("AKIAALPHA") is None


@pytest.mark.parametrize(
    "access_key_id", ["AKIANOBODY", "akiaalpha", "AKIAALPHA ", "AKIAALPHA\n", "", "AKIA/ALPHA", "A" * 100_000, "Ä" * 20]
)
async def test_an_unknown_access_key_is_none(callers, alpha, access_key_id):
    assert await callers.credential(access_key_id) is None
    assert callers.cached(access_key_id) is None


async def test_a_name_that_is_nobodys_is_looked_up_once_until_something_changes(catalog, iam_key, alpha, identities):
    class Counting:
        """The catalog, and how often it was asked for a document."""

        def __init__(self):
            self.asked = 0

        def __getattr__(self, name):
            return getattr(catalog, name)

        async def document(self, scope, kind):
            self.asked += 1
            return await catalog.document(scope, kind)

    counting = Counting()
    callers = Callers(counting, iam_key)
    for _ in range(5):
        assert await callers.credential("AKIANOBODY0000000000") is None
    assert counting.asked == 1
    for number in range(3000):
        assert await callers.credential(f"AKIANOBODY{number:010}") is None
    assert len(callers._unknown) <= 1000
    await identities.set_access_key_active("AKIAALPHA", active=False)
    assert await callers.credential("AKIAALPHA") is None
    await identities.set_access_key_active("AKIAALPHA", active=True)
    assert await callers.credential("AKIAALPHA") is not None


async def test_an_access_key_whose_account_is_gone_is_none(callers, alpha, catalog):
    await catalog.write(lambda transaction: transaction.set_document("account/111122223333", "account", None))
    assert await callers.credential("AKIAALPHA") is None


async def test_a_credential_read_while_it_was_disabled_does_not_count(catalog, iam_key, alpha, identities):
    class Slow:
        """The catalog, with a change by another worker between the read of the access key and the read of its account."""

        def __getattr__(self, name):
            return getattr(catalog, name)

        async def document(self, scope, kind):
            if kind == "account":
                await identities.set_access_key_active("AKIAALPHA", active=False)
            return await catalog.document(scope, kind)

    callers = Callers(Slow(), iam_key)
    assert await callers.credential("AKIAALPHA") is None  # it is read again
    assert callers.cached("AKIAALPHA") is None


@pytest.mark.parametrize("spoil", ["flip", "short", "version", "text", "empty", "missing"])
async def test_a_changed_secret_does_not_open(callers, alpha, catalog, spoil):
    sealed = (await catalog.document("access-key/AKIAALPHA", "access-key"))["sealed_secret"]
    record = bytearray(base64.b64decode(sealed))
    if spoil == "flip":
        record[-1] ^= 1
    elif spoil == "short":
        del record[20:]
    elif spoil == "version":
        record[0] = 2
    spoilt = {"text": "no base64!", "empty": "", "missing": None}.get(spoil, base64.b64encode(record).decode())
    await change(catalog, "AKIAALPHA", sealed_secret=spoilt)
    with pytest.raises(Damaged) as caught:
        await callers.credential("AKIAALPHA")
    assert SECRET not in str(caught.value)


async def test_a_secret_moved_to_another_access_key_or_account_does_not_open(callers, alpha, identities, catalog):
    await identities.create_account("beta", account_id="444455556666", access_key_id="AKIABETA")
    sealed = (await catalog.document("access-key/AKIAALPHA", "access-key"))["sealed_secret"]
    await change(catalog, "AKIABETA", sealed_secret=sealed)
    with pytest.raises(Damaged):
        await callers.credential("AKIABETA")
    await change(catalog, "AKIAALPHA", account_id="444455556666")
    with pytest.raises(Damaged):
        await callers.credential("AKIAALPHA")


async def test_another_root_key_opens_nothing(alpha, catalog):
    with pytest.raises(Damaged, match="root key"):
        await Callers(catalog, bytes(32)).credential("AKIAALPHA")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(catalog, length):
    with pytest.raises(ValueError, match="32 bytes"):
        Callers(catalog, bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        Identities(catalog, bytes(length))


async def test_the_cache_is_bounded(callers, identities, alpha, monkeypatch):
    monkeypatch.setattr("strongroom.iam.callers._MOST", 2)
    ids = [(await identities.create_access_key(alpha.account_id)).access_key_id for _ in range(5)]
    for access_key_id in ids:
        assert await callers.credential(access_key_id) is not None
    assert len(callers._credentials) <= 2


async def test_a_hit_takes_well_under_a_microsecond(catalog, iam_key, alpha):
    callers = Callers(catalog, iam_key)
    assert await callers.credential("AKIAALPHA") is not None
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(1000):
            callers.cached("AKIAALPHA")
        best = min(best, time.perf_counter() - started)
    assert best / 1000 < 2e-6  # measured: below 0.3 µs; the room is for a busy machine
