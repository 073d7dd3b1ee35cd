"""STS: who am I, and whose access key is this."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from strongroom.api.errors import ApiError
from strongroom.api.operation import Call, Operation, Register
from strongroom.iam.callers import ANONYMOUS, Callers
from strongroom.iam.sts import Sts


@pytest.fixture
def register(identities) -> Register:
    return Register([Sts(identities)])


@pytest.fixture
async def alpha(identities, catalog, iam_key):
    new = await identities.create_account("alpha", account_id="111122223333", access_key_id="AKIAALPHA0000000000A")
    credential = await Callers(catalog, iam_key).credential(new.access_key_id)
    return credential.caller


async def run(operation: Operation, caller, **given):
    async def allow(action, resource):
        raise AssertionError("STS asks for no more than its need")

    call = Call(
        operation=operation,
        input=given,
        caller=caller,
        allow=allow,
        body=None,
        region="us-east-1",
        now=datetime(2026, 5, 4, tzinfo=UTC),
        request_id="r",
        base_url="http://127.0.0.1",
        virtual_host=False,
        secure=False,
        source_ip="127.0.0.1",
        headers={},
    )
    return await operation.run(call)


def test_each_operation_declares_its_need(register):
    needs = {operation.name: (operation.service, operation.need.action, operation.need.on) for operation in register}
    assert needs == {
        "GetCallerIdentity": ("sts", "sts:GetCallerIdentity", "nobody"),
        "GetAccessKeyInfo": ("sts", "sts:GetAccessKeyInfo", "service"),
    }


async def test_the_root_is_told_who_it_is(register, alpha):
    answer = await run(register.find("sts", "GetCallerIdentity"), alpha)
    assert answer.output == {"UserId": "111122223333", "Account": "111122223333", "Arn": "arn:aws:iam::111122223333:root"}


async def test_nobody_is_told_nothing(register):
    with pytest.raises(ApiError) as caught:
        await run(register.find("sts", "GetCallerIdentity"), ANONYMOUS)
    assert (caught.value.code, caught.value.status) == ("MissingAuthenticationToken", 403)


async def test_whose_access_key_active_or_not(register, alpha, identities):
    operation = register.find("sts", "GetAccessKeyInfo")
    beta = await identities.create_account("beta", account_id="444455556666")
    await identities.set_access_key_active(beta.access_key_id, active=False)
    for access_key_id, account_id in ((alpha.access_key_id, "111122223333"), (beta.access_key_id, "444455556666")):
        assert (await run(operation, alpha, AccessKeyId=access_key_id)).output == {"Account": account_id}


@pytest.mark.parametrize("access_key_id", ["AKIANOBODY0000000000", "../account/111122223333"])
async def test_an_unknown_access_key_has_no_account(register, alpha, access_key_id):
    with pytest.raises(ApiError) as caught:
        await run(register.find("sts", "GetAccessKeyInfo"), alpha, AccessKeyId=access_key_id)
    assert (caught.value.code, caught.value.status) == ("InvalidClientTokenId", 403)
