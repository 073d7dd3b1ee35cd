"""A principal by its ARN: what stands for whom, and what is nobody (users, roles and sessions: ``tests/server/test_explain``)."""

from __future__ import annotations

import pytest

from strongroom.iam.acting import NOBODY, Acting

ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize("text", [ACCOUNT, ROOT])
async def test_a_root(catalog, identities, text):
    await identities.create_account("alpha", account_id=ACCOUNT)
    found = await Acting(catalog).principal(text)
    assert found is not None
    assert (found.caller.arn, found.caller.user_id, found.arn, found.standing.identity) == (ROOT, ACCOUNT, ROOT, ())
    assert (found.caller.access_key_id, found.caller.anonymous) == ("", False)


@pytest.mark.parametrize("text", ["anonymous", "*"])
async def test_nobody(catalog, text):
    found = await Acting(catalog).principal(text)
    assert found is NOBODY
    assert found.caller.anonymous


@pytest.mark.parametrize(
    "text",
    [
        "",
        "111122223334",
        "arn:aws:iam::111122223334:root",
        f"{ROOT}\n",
        f"{ACCOUNT}:root",
        f"arn:aws:iam::{ACCOUNT}",
        f"arn:aws:iam::{ACCOUNT}:user/none",
        f"arn:aws:iam::{ACCOUNT}:role/none",
        f"arn:aws:iam::{ACCOUNT}:group/none",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/none/session",
        "s3.amazonaws.com",
    ],
)
async def test_who_is_not_there(catalog, identities, text):
    await identities.create_account("alpha", account_id=ACCOUNT)
    assert await Acting(catalog).principal(text) is None


async def test_everybody(catalog, identities):
    for number in range(3):
        await identities.create_account(f"account {number}", account_id=f"{number}" * 12)
    found = [one.arn async for one in Acting(catalog).everybody()]
    assert found == ["anonymous", *(f"arn:aws:iam::{str(number) * 12}:root" for number in range(3))]
