"""What a bucket is called by those who judge, and what its owner is called in answers. Never knows who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.iam.records import ACCOUNT, Account, account_scope

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.store.contract import Reader


def bucket_arn(name: str) -> str:
    return f"arn:aws:s3:::{name}"


async def owner_of(catalog: Reader, call: Call, account_id: str) -> dict[str, str]:
    """The Owner element of an account. Only its canonical id: S3 gives no display names since November 2025.

    Raises LookupError when the account does not exist.
    """
    if call.caller.account_id == account_id:
        return {"ID": call.caller.canonical_id}
    value = await catalog.document(account_scope(account_id), ACCOUNT)
    if value is None:
        raise LookupError(f"account {account_id} does not exist")
    return {"ID": Account.from_document(account_id, value).canonical_id}
