"""IAM's operations on roles: made with a trust policy, read, listed, changed, tagged, deleted.

Never knows who assumes a role (``assuming``), or how a trust policy is weighed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities
from strongroom.iam.boundaries import create, destroy, shown_boundary
from strongroom.iam.directory import milliseconds, moment, shown_tags
from strongroom.iam.entities import Entity
from strongroom.iam.trust import checked_trust, shown_trust

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.iam.principals import Principals

_SESSION_SECONDS: Final = 3_600


class Roles:
    def __init__(self, shelf: Directory, principals: Principals) -> None:
        self._shelf = shelf
        self._principals = principals

    @operation("iam", "CreateRole", "iam:CreateRole", on="run")
    async def create_role(self, call: Call) -> Answer:
        given, account_id = call.input, call.caller.account_id
        name, path, boundary = given["RoleName"], given.get("Path") or "/", given.get("PermissionsBoundary") or ""
        role_arn = entities.arn(account_id, "role", path, name)
        await call.allow("iam:CreateRole", role_arn)
        trust = given["AssumeRolePolicyDocument"]
        role = Entity(
            account_id,
            "role",
            name,
            path,
            unique_id=entities.new_id("role", self._shelf.random),
            created_ms=milliseconds(call.now),
            tags=directory.tagged((), given.get("Tags") or []),
            boundary=boundary,
            trust=trust,
            trust_ids=await checked_trust(self._principals, trust, role_arn),
            description=given.get("Description") or "",
            session_seconds=given.get("MaxSessionDuration") or _SESSION_SECONDS,
        )
        await create(self._shelf, role)
        return Answer({"Role": await self._shown(role, whole=True)})

    @operation("iam", "GetRole", "iam:GetRole", on="run")
    async def get_role(self, call: Call) -> Answer:
        role = await self._shelf.allowed(call, "role")
        shown = await self._shown(role, whole=True)
        return Answer({"Role": {**shown, "MaxSessionDuration": role.session_seconds, "RoleLastUsed": {}}})

    @operation("iam", "ListRoles", "iam:ListRoles", on="run")
    async def list_roles(self, call: Call) -> Answer:
        await call.allow("iam:ListRoles", entities.arn(call.caller.account_id, "role", call.input.get("PathPrefix") or "/", ""))
        found, more = await self._shelf.entities(call, "role")
        shown = [{**await self._shown(one), "MaxSessionDuration": one.session_seconds} for one in found]
        return Answer({"Roles": shown, **more})

    @operation("iam", "UpdateRole", "iam:UpdateRole", on="run")
    async def update_role(self, call: Call) -> Answer:
        """What is not given goes back to its default."""
        description, seconds = call.input.get("Description") or "", call.input.get("MaxSessionDuration") or _SESSION_SECONDS
        role = await self._shelf.allowed(call, "role")
        await self._shelf.change(role, lambda _, found: replace(found, description=description, session_seconds=seconds))
        return Answer()

    @operation("iam", "UpdateRoleDescription", "iam:UpdateRoleDescription", on="run")
    async def update_role_description(self, call: Call) -> Answer:
        description = call.input["Description"]
        role = await self._shelf.allowed(call, "role")
        changed = await self._shelf.change(role, lambda _, found: replace(found, description=description))
        return Answer({"Role": await self._shown(changed, whole=True)})

    @operation("iam", "UpdateAssumeRolePolicy", "iam:UpdateAssumeRolePolicy", on="run")
    async def update_assume_role_policy(self, call: Call) -> Answer:
        role = await self._shelf.allowed(call, "role")
        trust = call.input["PolicyDocument"]
        ids = await checked_trust(self._principals, trust, role.arn)
        await self._shelf.change(role, lambda _, found: replace(found, trust=trust, trust_ids=ids))
        return Answer()

    @operation("iam", "DeleteRole", "iam:DeleteRole", on="run")
    async def delete_role(self, call: Call) -> Answer:
        """Its sessions end with it."""
        role = await self._shelf.allowed(call, "role")
        await destroy(
            self._shelf, role, lambda found: ((found.attached, "detach all policies"), (found.inline, "delete policies"))
        )
        return Answer()

    @operation("iam", "ListInstanceProfilesForRole", "iam:ListInstanceProfilesForRole", on="run")
    async def list_instance_profiles_for_role(self, call: Call) -> Answer:
        """There are no instances here, so there are none."""
        await self._shelf.allowed(call, "role")
        return Answer({"InstanceProfiles": [], "IsTruncated": False})

    async def _shown(self, role: Entity, *, whole: bool = False) -> dict[str, Any]:
        """As answers show it; lists leave its tags and boundary out."""
        answer: dict[str, Any] = {
            "Path": role.path,
            "RoleName": role.name,
            "RoleId": role.unique_id,
            "Arn": role.arn,
            "CreateDate": moment(role.created_ms),
            "AssumeRolePolicyDocument": await shown_trust(self._principals, role),
        }
        if role.description:
            answer["Description"] = role.description
        if whole and role.boundary:
            answer["PermissionsBoundary"] = shown_boundary(role.boundary)
        if whole and role.tags:
            answer["Tags"] = shown_tags(role.tags)
        return answer
