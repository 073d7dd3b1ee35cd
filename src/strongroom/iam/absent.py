"""What no user here has: MFA devices, certificates, SSH keys, passwords. Clients that delete a user ask for each of them first.

The answers are true, and need the same rights as on AWS. Never knows a user beyond its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.api.errors import ApiError
from strongroom.api.operation import Answer, Call, operation
from strongroom.iam.users import named

if TYPE_CHECKING:
    from strongroom.iam.directory import Directory

_LISTS: Final = {
    "ListMFADevices": "MFADevices",
    "ListSigningCertificates": "Certificates",
    "ListSSHPublicKeys": "SSHPublicKeys",
}


class Absent:
    def __init__(self, shelf: Directory) -> None:
        self._shelf = shelf

    @operation("iam", "ListMFADevices", "iam:ListMFADevices", on="run")
    @operation("iam", "ListSigningCertificates", "iam:ListSigningCertificates", on="run")
    @operation("iam", "ListSSHPublicKeys", "iam:ListSSHPublicKeys", on="run")
    async def nothing(self, call: Call) -> Answer:
        await self._shelf.allowed(named(call), "user")
        return Answer({_LISTS[call.operation.name]: [], "IsTruncated": False})

    @operation("iam", "ListServiceSpecificCredentials", "iam:ListServiceSpecificCredentials", on="run")
    async def list_service_specific_credentials(self, call: Call) -> Answer:
        await self._shelf.allowed(named(call), "user")
        return Answer({"ServiceSpecificCredentials": []})

    @operation("iam", "ListVirtualMFADevices", "iam:ListVirtualMFADevices", on="run")
    async def list_virtual_mfa_devices(self, call: Call) -> Answer:
        await call.allow("iam:ListVirtualMFADevices", f"arn:aws:iam::{call.caller.account_id}:mfa/*")
        return Answer({"VirtualMFADevices": [], "IsTruncated": False})

    @operation("iam", "GetLoginProfile", "iam:GetLoginProfile", on="run")
    @operation("iam", "DeleteLoginProfile", "iam:DeleteLoginProfile", on="run")
    async def login_profile(self, call: Call) -> Answer:
        """Raises ApiError NoSuchEntity."""
        user = await self._shelf.allowed(named(call), "user")
        raise ApiError("NoSuchEntity", f"Login Profile for User {user.name} cannot be found.")
