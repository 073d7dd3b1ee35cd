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
