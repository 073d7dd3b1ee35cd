"""Block Public Access of a whole account: the three operations of S3 Control that are built. What they mean is in ``policy.public``.

Source: the reference pages of GetPublicAccessBlock, PutPublicAccessBlock and DeletePublicAccessBlock in the S3 Control API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, operation
from strongroom.iam.records import account_scope
from strongroom.s3.public_access import ACCOUNT_ACCESS, read_block, show_block, stored_account_block

if TYPE_CHECKING:
    from strongroom.api.operation import Call
    from strongroom.s3.rooms import Rooms


class AccountAccess:
    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    @operation("s3control", "GetPublicAccessBlock", "s3:GetAccountPublicAccessBlock", on="service")
    async def get_public_access_block(self, call: Call) -> Answer:
        account_id = _own(call)
        block = stored_account_block(await self._rooms.catalog.document(account_scope(account_id), ACCOUNT_ACCESS))
        if block is None:
            raise ApiError("NoSuchPublicAccessBlockConfiguration", AccountId=account_id)
        return Answer({"PublicAccessBlockConfiguration": show_block(block)})

    @operation("s3control", "PutPublicAccessBlock", "s3:PutAccountPublicAccessBlock", on="service")
    async def put_public_access_block(self, call: Call) -> Answer:
        """A flag that is left out is off."""
        account_id = _own(call)
        block = show_block(read_block(call.input["PublicAccessBlockConfiguration"] or {}))
        await self._rooms.catalog.write(lambda tx: tx.set_document(account_scope(account_id), ACCOUNT_ACCESS, block))
        return Answer()

    # There is no right to delete: deleting is a way of putting.
    @operation("s3control", "DeletePublicAccessBlock", "s3:PutAccountPublicAccessBlock", on="service")
    async def delete_public_access_block(self, call: Call) -> Answer:
        account_id = _own(call)
        await self._rooms.catalog.write(lambda tx: tx.set_document(account_scope(account_id), ACCOUNT_ACCESS, None))
        return Answer(status=204)


def _own(call: Call) -> str:
    """The account that is named, which must be the caller's. Raises ApiError AccessDenied."""
    account_id: str = call.input["AccountId"]
    if account_id != call.caller.account_id:
        raise ApiError("AccessDenied")
    return account_id
