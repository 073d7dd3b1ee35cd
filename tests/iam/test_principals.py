"""Which principals exist: the roots of accounts (users and roles: ``test_users``); no sessions."""

from __future__ import annotations

import pytest

from strongroom.iam.principals import Principals


@pytest.mark.parametrize(
    ("principal", "exists"),
    [
        ("arn:aws:iam::111122223333:root", True),
        ("arn:aws:iam::111122223334:root", False),
        ("arn:aws:iam::111122223333:root\n", False),
        ("arn:aws:iam::111122223333:user/root", False),
        ("arn:aws:iam::111122223333:role/root", False),
        ("arn:aws:sts::111122223333:assumed-role/a/b", False),
        ("111122223333", False),
        ("*", False),
        ("", False),
    ],
)
async def test_who_exists(catalog, identities, principal, exists):
    await identities.create_account("alpha", account_id="111122223333")
    assert await Principals(catalog).exists(principal) is exists


async def test_accounts_by_their_addresses(catalog, identities):
    ids = {}
    for name, email in (("a", "One@example.org"), ("b", "two@example.org"), ("c", "two@Example.org"), ("d", None)):
        ids[name] = (await identities.create_account(name, email=email)).canonical_id
    principals = Principals(catalog)
    found = await principals.canonical_ids_of_emails({"one@example.org", "TWO@example.org", "three@example.org", ""})
    assert {email: sorted(one) for email, one in found.items()} == {
        "one@example.org": [ids["a"]],
        "two@example.org": sorted([ids["b"], ids["c"]]),
        "three@example.org": [],
        "": [],  # nobody's address is nobody's
    }
    assert await principals.canonical_ids_of_emails(set()) == {}
