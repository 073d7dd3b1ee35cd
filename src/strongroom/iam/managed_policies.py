"""IAM's operations on managed policies: made, versioned, read, listed, deleted. AWS's own policies do not exist here.

Never knows whom a policy is attached to beyond their labels, nor how it is weighed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import directory, entities, refusals
from strongroom.iam.directory import milliseconds, moment, shown_tags
from strongroom.iam.entities import POLICY, ManagedPolicy, PolicyVersion
from strongroom.iam.inline_policies import shown_document
from strongroom.policy.faults import InvalidPolicy
from strongroom.policy.identity_documents import MOST_MANAGED, counted_size, read_identity_policy

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.store.contract import Transaction

MOST_VERSIONS: Final = 5
_TOO_MANY_VERSIONS: Final = (
    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."
)
_HAS_VERSIONS: Final = (
    "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is "
    "deleted with the policy."
)


class ManagedPolicies:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "CreatePolicy", "iam:CreatePolicy", on="run")
    async def create_policy(self, call: Call) -> Answer:
        given, account_id = call.input, call.caller.account_id
        name, path, now_ms = given["PolicyName"], given.get("Path") or "/", milliseconds(call.now)
        policy_arn = entities.arn(account_id, "policy", path, name)
        await call.allow("iam:CreatePolicy", policy_arn)
        text = _checked(given["PolicyDocument"], policy_arn)
        policy = ManagedPolicy(
            account_id,
            name,
            path,
            unique_id=entities.new_id("policy", self._shelf.random),
            description=given.get("Description") or "",
            created_ms=now_ms,
            updated_ms=now_ms,
            versions=(PolicyVersion(1, text, now_ms),),
            default=1,
            latest=1,
            tags=directory.tagged((), given.get("Tags") or []),
        )

        def within(transaction: Transaction) -> None:
            if transaction.document(policy.scope, POLICY) is not None:
                raise ApiError("EntityAlreadyExists", f"A policy called {name} already exists. Duplicate names are not allowed.")
            directory.put_policy(transaction, policy)

        await self._shelf.catalog.write(within)
        return Answer({"Policy": shown(policy, whole=True)})

    @operation("iam", "GetPolicy", "iam:GetPolicy", on="run")
    async def get_policy(self, call: Call) -> Answer:
        return Answer({"Policy": shown(await self._shelf.allowed_policy(call), whole=True)})

    @operation("iam", "ListPolicies", "iam:ListPolicies", on="run")
    async def list_policies(self, call: Call) -> Answer:
        await call.allow("iam:ListPolicies", f"arn:aws:iam::{call.caller.account_id}:policy/*")
        if call.input.get("Scope") == "AWS":
            return Answer({"Policies": [], "IsTruncated": False})
        found, more = await self._shelf.policies(call)
        return Answer({"Policies": [shown(one) for one in found], **more})

    @operation("iam", "DeletePolicy", "iam:DeletePolicy", on="run")
    async def delete_policy(self, call: Call) -> Answer:
        policy = await self._shelf.allowed_policy(call)

        def within(transaction: Transaction) -> None:
            found = directory.current_policy(transaction, policy)
            if found.attached or found.bounding:
                raise ApiError("DeleteConflict", "Cannot delete a policy attached to entities.")
            if len(found.versions) > 1:
                raise ApiError("DeleteConflict", _HAS_VERSIONS)
            transaction.set_document(found.scope, POLICY, None)

        await self._shelf.catalog.write(within)
        return Answer()

    @operation("iam", "CreatePolicyVersion", "iam:CreatePolicyVersion", on="run")
    async def create_policy_version(self, call: Call) -> Answer:
        policy = await self._shelf.allowed_policy(call)
        text, now_ms = _checked(call.input["PolicyDocument"], policy.arn), milliseconds(call.now)
        default = bool(call.input.get("SetAsDefault"))

        def work(found: ManagedPolicy) -> ManagedPolicy:
            if len(found.versions) >= MOST_VERSIONS:
                raise ApiError("LimitExceeded", _TOO_MANY_VERSIONS)
            number = found.latest + 1
            versions = (*found.versions, PolicyVersion(number, text, now_ms))
            changed = replace(found, versions=versions, latest=number, updated_ms=now_ms)
            return replace(changed, default=number) if default else changed

        policy = await self._shelf.change_policy(policy, work)
        return Answer({"PolicyVersion": shown_version(policy, policy.versions[-1])})

    @operation("iam", "GetPolicyVersion", "iam:GetPolicyVersion", on="run")
    async def get_policy_version(self, call: Call) -> Answer:
        policy = await self._shelf.allowed_policy(call)
        version = _version(policy, call.input["VersionId"])
        return Answer({"PolicyVersion": {**shown_version(policy, version), "Document": shown_document(version.text)}})

    @operation("iam", "ListPolicyVersions", "iam:ListPolicyVersions", on="run")
    async def list_policy_versions(self, call: Call) -> Answer:
        """The newest first. There are five at most, so there is one page."""
        policy = await self._shelf.allowed_policy(call)
        return Answer({"Versions": [shown_version(policy, one) for one in reversed(policy.versions)], "IsTruncated": False})

    @operation("iam", "SetDefaultPolicyVersion", "iam:SetDefaultPolicyVersion", on="run")
    async def set_default_policy_version(self, call: Call) -> Answer:
        version_id, now_ms = call.input["VersionId"], milliseconds(call.now)
        policy = await self._shelf.allowed_policy(call)
        await self._shelf.change_policy(
            policy, lambda found: replace(found, default=_version(found, version_id).number, updated_ms=now_ms)
        )
        return Answer()

    @operation("iam", "DeletePolicyVersion", "iam:DeletePolicyVersion", on="run")
    async def delete_policy_version(self, call: Call) -> Answer:
        version_id, now_ms = call.input["VersionId"], milliseconds(call.now)
        policy = await self._shelf.allowed_policy(call)

        def work(found: ManagedPolicy) -> ManagedPolicy:
            gone = _version(found, version_id)
            if gone.number == found.default:
                raise ApiError("DeleteConflict", "Cannot delete the default version of a policy.")
            return replace(found, versions=tuple(one for one in found.versions if one != gone), updated_ms=now_ms)

        await self._shelf.change_policy(policy, work)
        return Answer()


def _checked(text: str, policy_arn: str) -> str:
    """Raises ApiError MalformedPolicyDocument, LimitExceeded."""
    try:
        read_identity_policy(text, policy_arn, managed=True)
    except InvalidPolicy as error:
        raise refusals.malformed_policy(error) from None
    if counted_size(text) > MOST_MANAGED:
        raise refusals.quota("PolicySize", MOST_MANAGED)
    return text


def _version(policy: ManagedPolicy, version_id: str) -> PolicyVersion:
    found = policy.version(version_id)
    if found is None:
        raise refusals.missing_version(policy.arn, version_id)
    return found


def shown(policy: ManagedPolicy, *, whole: bool = False) -> dict[str, Any]:
    """As answers show it; lists leave its tags and description out."""
    answer: dict[str, Any] = {
        "PolicyName": policy.name,
        "PolicyId": policy.unique_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": f"v{policy.default}",
        "AttachmentCount": len(policy.attached),
        "PermissionsBoundaryUsageCount": len(policy.bounding),
        "IsAttachable": True,
        "CreateDate": moment(policy.created_ms),
        "UpdateDate": moment(policy.updated_ms),
    }
    if whole and policy.description:
        answer["Description"] = policy.description
    if whole and policy.tags:
        answer["Tags"] = shown_tags(policy.tags)
    return answer


def shown_version(policy: ManagedPolicy, version: PolicyVersion) -> dict[str, Any]:
    return {
        "VersionId": version.version_id,
        "IsDefaultVersion": version.number == policy.default,
        "CreateDate": moment(version.created_ms),
    }
