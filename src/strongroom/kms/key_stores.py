"""Custom key stores of the KMS API: there are none, and every operation on them says so.

Never knows a key. AWS keeps such stores in a CloudHSM cluster or behind an external proxy, neither of which is here.
"""

from __future__ import annotations

from strongroom.api.operation import Answer, Call, operation
from strongroom.kms import refusals


class KeyStores:
    @operation("kms", "ConnectCustomKeyStore", "kms:ConnectCustomKeyStore", on="service")
    @operation("kms", "CreateCustomKeyStore", "kms:CreateCustomKeyStore", on="service")
    @operation("kms", "DeleteCustomKeyStore", "kms:DeleteCustomKeyStore", on="service")
    @operation("kms", "DescribeCustomKeyStores", "kms:DescribeCustomKeyStores", on="service")
    @operation("kms", "DisconnectCustomKeyStore", "kms:DisconnectCustomKeyStore", on="service")
    @operation("kms", "UpdateCustomKeyStore", "kms:UpdateCustomKeyStore", on="service")
    async def refuse(self, call: Call) -> Answer:
        raise refusals.unsupported(call.operation.name)
