"""IAM's operations on the alias of an account: a second name for it, unique on this server. An account has one at most.

Never knows what an alias is good for: nothing is addressed by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import records

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.store.contract import Transaction

_KIND: Final = "account-alias"


class AccountAliases:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "CreateAccountAlias", "iam:CreateAccountAlias", on="service")
    async def create_account_alias(self, call: Call) -> Answer:
        """In the place of the one there was. Raises ApiError EntityAlreadyExists."""
        alias, account_id = call.input["AccountAlias"], call.caller.account_id

        def work(transaction: Transaction) -> None:
            owner: Any = transaction.document(_scope(alias), _KIND)
            if owner is not None and owner["account_id"] != account_id:
                raise ApiError("EntityAlreadyExists", f"The account alias {alias} already exists.")
            _remove(transaction, account_id)
            transaction.set_document(_scope(alias), _KIND, {"account_id": account_id})
            transaction.set_document(records.account_scope(account_id), _KIND, {"alias": alias})

        await self._shelf.catalog.write(work)
        return Answer()

    @operation("iam", "DeleteAccountAlias", "iam:DeleteAccountAlias", on="service")
    async def delete_account_alias(self, call: Call) -> Answer:
        """Raises ApiError NoSuchEntity."""
        alias, account_id = call.input["AccountAlias"], call.caller.account_id

        def work(transaction: Transaction) -> None:
            if _alias(transaction.document(records.account_scope(account_id), _KIND)) != alias:
                raise ApiError("NoSuchEntity", f"The account alias with name {alias} cannot be found.")
            _remove(transaction, account_id)

        await self._shelf.catalog.write(work)
        return Answer()

    @operation("iam", "ListAccountAliases", "iam:ListAccountAliases", on="service")
    async def list_account_aliases(self, call: Call) -> Answer:
        alias = _alias(await self._shelf.catalog.document(records.account_scope(call.caller.account_id), _KIND))
        return Answer({"AccountAliases": [alias] if alias else [], "IsTruncated": False})


def _scope(alias: str) -> str:
    return f"account-alias/{alias}"


def _alias(value: Any) -> str:
    return "" if value is None else str(value["alias"])


def _remove(transaction: Transaction, account_id: str) -> None:
    scope = records.account_scope(account_id)
    alias = _alias(transaction.document(scope, _KIND))
    if alias:
        transaction.set_document(_scope(alias), _KIND, None)
        transaction.set_document(scope, _KIND, None)
