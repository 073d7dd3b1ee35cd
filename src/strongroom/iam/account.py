"""IAM's operations on an account as a whole: what it has counted, and everything of everybody in pages.

Never knows what a policy says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from strongroom.api.operation import Answer, Call, operation
from strongroom.iam import access_keys, attachments, directory, entities, groups, managed_policies, users
from strongroom.iam.boundaries import shown_boundary
from strongroom.iam.directory import moment, shown_tags
from strongroom.iam.entities import KINDS, POLICY, Entity, ManagedPolicy, Sort
from strongroom.iam.inline_policies import shown_document
from strongroom.iam.trust import shown_trust
from strongroom.policy import identity_documents as documents

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory
    from strongroom.iam.principals import Principals

_PAGE: Final = 1_000  # documents read at once
_ITEMS: Final = 100  # of an answer, where nothing is said
#: In the order of the answer. AWS's own policies do not exist here.
_FOLDERS: Final[dict[str, str]] = {"User": "user", "Group": "group", "Role": "role", "LocalManagedPolicy": "policy"}
_LISTS: Final = {"user": "UserDetailList", "group": "GroupDetailList", "role": "RoleDetailList", "policy": "Policies"}
#: Limits that are kept. Those of AWS on how many users, roles and policies an account has are not.
_QUOTAS: Final = {
    "AccessKeysPerUserQuota": access_keys.MOST,
    "AssumeRolePolicySizeQuota": documents.MOST_TRUST,
    "AttachedPoliciesPerGroupQuota": attachments.MOST,
    "AttachedPoliciesPerRoleQuota": attachments.MOST,
    "AttachedPoliciesPerUserQuota": attachments.MOST,
    "GroupPolicySizeQuota": documents.MOST_GROUP_INLINE,
    "GroupsPerUserQuota": groups.MOST,
    "PolicySizeQuota": documents.MOST_MANAGED,
    "RolePolicySizeQuota": documents.MOST_ROLE_INLINE,
    "UserPolicySizeQuota": documents.MOST_USER_INLINE,
    "VersionsPerPolicyQuota": managed_policies.MOST_VERSIONS,
}
#: What no account here has.
_ABSENT: Final = (
    "AccountMFAEnabled",
    "AccountPasswordPresent",
    "AccountSigningCertificatesPresent",
    "InstanceProfiles",
    "MFADevices",
    "MFADevicesInUse",
    "Providers",
    "ServerCertificates",
)


class AccountWide:
    def __init__(self, shelf: Directory, principals: Principals) -> None:
        self._shelf = shelf
        self._principals = principals

    @operation("iam", "GetAccountSummary", "iam:GetAccountSummary", on="service")
    async def get_account_summary(self, call: Call) -> Answer:
        counts = dict.fromkeys(_FOLDERS.values(), 0)
        versions = 0
        for folder in counts:
            async for _, value in self._all(call.caller.account_id, folder):
                counts[folder] += 1
                versions += len(ManagedPolicy.from_document("", value).versions) if folder == "policy" else 0
        summary = {
            **_QUOTAS,
            **dict.fromkeys(_ABSENT, 0),
            "AccountAccessKeysPresent": 1,  # the root's: an account is made with one, which can be switched off and not removed
            "Users": counts["user"],
            "Groups": counts["group"],
            "Roles": counts["role"],
            "Policies": counts["policy"],
            "PolicyVersionsInUse": versions,
        }
        return Answer({"SummaryMap": dict(sorted(summary.items()))})

    @operation("iam", "GetAccountAuthorizationDetails", "iam:GetAccountAuthorizationDetails", on="service")
    async def get_account_authorization_details(self, call: Call) -> Answer:
        """Users, then groups, roles and policies, so that a page may have some of each."""
        account_id, wanted = call.caller.account_id, call.input.get("MaxItems") or _ITEMS
        chosen = call.input.get("Filter") or list(_FOLDERS)
        folders = [folder for name, folder in _FOLDERS.items() if name in chosen]
        first, _, place = directory.read_marker(call).partition("/")
        answer: dict[str, Any] = {title: [] for title in _LISTS.values()}
        found, last = 0, ""
        for folder in folders[folders.index(first) :] if first in folders else folders:
            async for name, value in self._all(account_id, folder, place if folder == first else ""):
                if found == wanted:
                    return Answer({**answer, "IsTruncated": True, "Marker": directory.marker(last)})
                answer[_LISTS[folder]].append(await self._detail(account_id, folder, value))
                found, last = found + 1, f"{folder}/{name}"
        return Answer({**answer, "IsTruncated": False})

    async def _all(self, account_id: str, folder: str, after: str = "") -> AsyncIterator[tuple[str, Any]]:
        """(name in lower case, document) of all users, groups, roles or policies of an account, by name."""
        prefix = entities.folder(account_id, folder)
        kind = POLICY if folder == "policy" else KINDS[_sort(folder)]
        place = prefix + after if after else ""
        while page := await self._shelf.catalog.documents(kind, prefix=prefix, after=place, limit=_PAGE):
            for scope, value in page:
                yield scope.removeprefix(prefix), value
            place = page[-1][0]

    async def _detail(self, account_id: str, folder: str, value: Any) -> dict[str, Any]:
        if folder == "policy":
            return _policy(ManagedPolicy.from_document(account_id, value))
        entity = Entity.from_document(account_id, _sort(folder), value)
        inline = [{"PolicyName": name, "PolicyDocument": shown_document(text)} for name, text in entity.inline.items()]
        answer = {
            **_name(entity),
            f"{entity.sort.title()}PolicyList": inline,
            "AttachedManagedPolicies": [attachments.shown(one) for one in entity.attached],
        }
        if entity.sort == "user":
            names = [
                await self._shelf.catalog.document(entities.scope(account_id, "group", one), KINDS["group"])
                for one in entity.groups
            ]
            answer["GroupList"] = [Entity.from_document(account_id, "group", one).name for one in names if one is not None]
        if entity.sort == "role":
            trust = await shown_trust(self._principals, entity)
            answer |= {"AssumeRolePolicyDocument": trust, "InstanceProfileList": [], "RoleLastUsed": {}}
        return answer


def _sort(folder: str) -> Sort:
    return "user" if folder == "user" else "group" if folder == "group" else "role"


def _name(entity: Entity) -> dict[str, Any]:
    if entity.sort == "user":
        return {**users.shown(entity, whole=True)}
    title = entity.sort.title()
    answer: dict[str, Any] = {
        "Path": entity.path,
        f"{title}Name": entity.name,
        f"{title}Id": entity.unique_id,
        "Arn": entity.arn,
        "CreateDate": moment(entity.created_ms),
    }
    if entity.boundary:
        answer["PermissionsBoundary"] = shown_boundary(entity.boundary)
    if entity.tags:
        answer["Tags"] = shown_tags(entity.tags)
    return answer


def _policy(policy: ManagedPolicy) -> dict[str, Any]:
    versions = [
        {**managed_policies.shown_version(policy, one), "Document": shown_document(one.text)} for one in reversed(policy.versions)
    ]
    described = {"Description": policy.description} if policy.description else {}
    return {**managed_policies.shown(policy), **described, "PolicyVersionList": versions}
