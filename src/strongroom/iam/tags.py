"""IAM's tags on users, roles and managed policies. Keys are told apart whatever their case. Never knows what a tag means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory
from strongroom.iam.directory import shown_tags, sort_of

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory

Pairs = tuple[tuple[str, str], ...]


class Tags:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "TagUser", "iam:TagUser", on="run")
    @operation("iam", "TagRole", "iam:TagRole", on="run")
    @operation("iam", "TagPolicy", "iam:TagPolicy", on="run")
    async def tag(self, call: Call) -> Answer:
        await self._change(call, lambda tags: directory.tagged(tags, call.input["Tags"]))
        return Answer()

    @operation("iam", "UntagUser", "iam:UntagUser", on="run")
    @operation("iam", "UntagRole", "iam:UntagRole", on="run")
    @operation("iam", "UntagPolicy", "iam:UntagPolicy", on="run")
    async def untag(self, call: Call) -> Answer:
        await self._change(call, lambda tags: directory.untagged(tags, call.input["TagKeys"]))
        return Answer()

    @operation("iam", "ListUserTags", "iam:ListUserTags", on="run")
    @operation("iam", "ListRoleTags", "iam:ListRoleTags", on="run")
    @operation("iam", "ListPolicyTags", "iam:ListPolicyTags", on="run")
    async def list_tags(self, call: Call) -> Answer:
        whose = await (
            self._shelf.allowed_policy(call) if "PolicyArn" in call.input else self._shelf.allowed(call, sort_of(call))
        )
        found, more = directory.page(call, whose.tags, lambda pair: pair[0])
        return Answer({"Tags": shown_tags(found), **more})

    async def _change(self, call: Call, work: Callable[[Pairs], Pairs]) -> None:
        if "PolicyArn" in call.input:
            policy = await self._shelf.allowed_policy(call)
            await self._shelf.change_policy(policy, lambda found: replace(found, tags=work(found.tags)))
        else:
            entity = await self._shelf.allowed(call, sort_of(call))
            await self._shelf.change(entity, lambda _, found: replace(found, tags=work(found.tags)))
