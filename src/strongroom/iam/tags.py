"""IAM's tags on users and roles. Keys are told apart whatever their case. Never knows what a tag means."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory
from strongroom.iam.directory import shown_tags, sort_of

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory


class Tags:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "TagUser", "iam:TagUser", on="run")
    @operation("iam", "TagRole", "iam:TagRole", on="run")
    async def tag(self, call: Call) -> Answer:
        given = call.input["Tags"]
        entity = await self._shelf.allowed(call, sort_of(call))
        await self._shelf.change(entity, lambda _, found: replace(found, tags=directory.tagged(found.tags, given)))
        return Answer()

    @operation("iam", "UntagUser", "iam:UntagUser", on="run")
    @operation("iam", "UntagRole", "iam:UntagRole", on="run")
    async def untag(self, call: Call) -> Answer:
        keys = call.input["TagKeys"]
        entity = await self._shelf.allowed(call, sort_of(call))
        await self._shelf.change(entity, lambda _, found: replace(found, tags=directory.untagged(found.tags, keys)))
        return Answer()

    @operation("iam", "ListUserTags", "iam:ListUserTags", on="run")
    @operation("iam", "ListRoleTags", "iam:ListRoleTags", on="run")
    async def list_tags(self, call: Call) -> Answer:
        entity = await self._shelf.allowed(call, sort_of(call))
        found, more = directory.page(call, entity.tags, lambda pair: pair[0])
        return Answer({"Tags": shown_tags(found), **more})
