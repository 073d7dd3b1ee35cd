"""IAM's operations that attach managed policies to users, groups and roles. An attachment is noted on both sides, in one transaction.

Never knows what a policy says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, refusals
from strongroom.iam.directory import sort_of
from strongroom.iam.entities import KINDS, Entity

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.iam.entities import Sort
    from strongroom.store.contract import Transaction

MOST: Final = 10
_QUOTAS: Final[dict[Sort, str]] = {"user": "PoliciesPerUser", "group": "PoliciesPerGroup", "role": "PoliciesPerRole"}


class Attachments:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "AttachUserPolicy", "iam:AttachUserPolicy", on="run")
    @operation("iam", "AttachGroupPolicy", "iam:AttachGroupPolicy", on="run")
    @operation("iam", "AttachRolePolicy", "iam:AttachRolePolicy", on="run")
    async def attach(self, call: Call) -> Answer:
        """Also of one that is attached already."""
        policy_arn = call.input["PolicyArn"]
        directory.read_policy_arn(policy_arn)

        def work(transaction: Transaction, found: Entity) -> Entity:
            policy = directory.managed(transaction, policy_arn)
            if policy is None or policy.account_id != found.account_id:
                raise refusals.not_attachable(policy_arn)
            if policy_arn in found.attached:
                return found
            if len(found.attached) >= MOST:
                raise refusals.quota(_QUOTAS[found.sort], MOST)
            directory.put_policy(transaction, replace(policy, attached=(*policy.attached, found.label)))
            return replace(found, attached=(*found.attached, policy_arn))

        await self._shelf.change(await self._shelf.allowed(call, sort_of(call)), work)
        return Answer()

    @operation("iam", "DetachUserPolicy", "iam:DetachUserPolicy", on="run")
    @operation("iam", "DetachGroupPolicy", "iam:DetachGroupPolicy", on="run")
    @operation("iam", "DetachRolePolicy", "iam:DetachRolePolicy", on="run")
    async def detach(self, call: Call) -> Answer:
        policy_arn = call.input["PolicyArn"]
        directory.read_policy_arn(policy_arn)

        def work(transaction: Transaction, found: Entity) -> Entity:
            if policy_arn not in found.attached:
                raise refusals.missing_policy(policy_arn)
            policy = directory.managed(transaction, policy_arn)
            if policy is not None:
                directory.put_policy(transaction, replace(policy, attached=directory.without(policy.attached, found.label)))
            return replace(found, attached=directory.without(found.attached, policy_arn))

        await self._shelf.change(await self._shelf.allowed(call, sort_of(call)), work)
        return Answer()

    @operation("iam", "ListAttachedUserPolicies", "iam:ListAttachedUserPolicies", on="run")
    @operation("iam", "ListAttachedGroupPolicies", "iam:ListAttachedGroupPolicies", on="run")
    @operation("iam", "ListAttachedRolePolicies", "iam:ListAttachedRolePolicies", on="run")
    async def list_attached(self, call: Call) -> Answer:
        entity = await self._shelf.allowed(call, sort_of(call))
        prefix = call.input.get("PathPrefix") or "/"
        below = [one for one in entity.attached if one.partition(":policy")[2].startswith(prefix)]
        found, more = directory.page(call, below, str)
        return Answer({"AttachedPolicies": [shown(one) for one in found], **more})

    @operation("iam", "ListEntitiesForPolicy", "iam:ListEntitiesForPolicy", on="run")
    async def list_entities_for_policy(self, call: Call) -> Answer:
        policy = await self._shelf.allowed_policy(call)
        usage = call.input.get("PolicyUsageFilter")
        attached = () if usage == "PermissionsBoundary" else policy.attached
        bounding = () if usage == "PermissionsPolicy" else policy.bounding
        wanted = {"User": ("user",), "Group": ("group",), "Role": ("role",), None: ("user", "group", "role")}.get(
            call.input.get("EntityFilter"), ()
        )
        labels = [one for one in dict.fromkeys((*attached, *bounding)) if one.partition("/")[0] in wanted]
        found, more = directory.page(call, labels, str)
        answer: dict[str, Any] = {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": [], **more}
        for label in found:
            await self._show(policy.account_id, label, call.input.get("PathPrefix") or "/", answer)
        return Answer(answer)

    async def _show(self, account_id: str, label: str, prefix: str, answer: dict[str, Any]) -> None:
        word, _, name = label.partition("/")
        sort: Sort = "group" if word == "group" else "role" if word == "role" else "user"
        value = await self._shelf.catalog.document(entities.scope(account_id, sort, name), KINDS[sort])
        if value is None:
            return
        entity = Entity.from_document(account_id, sort, value)
        if entity.path.startswith(prefix):
            title = sort.title()
            answer[f"Policy{title}s"].append({f"{title}Name": entity.name, f"{title}Id": entity.unique_id})


def shown(policy_arn: str) -> dict[str, str]:
    return {"PolicyName": policy_arn.rpartition("/")[2], "PolicyArn": policy_arn}
