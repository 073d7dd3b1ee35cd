"""A line of the key-use record in the shape of CloudTrail's events, for tools that read those. Pure.

Never invents what was not recorded: members that Strongroom has no value for are left out or null. Source: AWS CloudTrail user
guide, "CloudTrail record contents", and the examples of KMS's developer guide.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from strongroom.kms.key_use_audit import Line

_VERSION: Final = "1.11"
_NAMES: Final = uuid.UUID("c4d0a3a5-1f0e-4f53-9f0a-6b1f2d3b9e57")  # of event ids: the same line has the same one in every export


def event_id(chain_id: str, number: int, place: int = 0) -> str:
    """What stands for a use in the record. ``place``: in its line."""
    return str(uuid.uuid5(_NAMES, f"{chain_id}/{number}/{place}" if place else f"{chain_id}/{number}"))


def event(line: Line) -> dict[str, Any]:
    """One member of ``Records``."""
    entry = line.entry
    key_arn: str = entry["key"]
    account_id: str = entry["account"]
    parameters: dict[str, Any] = {"keyId": key_arn}
    if "context" in entry:
        parameters["encryptionContext"] = entry["context"]
    further: dict[str, Any] = {"cause": entry["cause"], "kmsCalled": entry["kms"]}
    further |= {name: entry[name] for name in ("resource", "version") if name in entry}
    value: dict[str, Any] = {
        "eventVersion": _VERSION,
        "userIdentity": _identity(entry),
        "eventTime": f"{entry['time'][:19]}Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": entry["operation"],
        "awsRegion": _part(key_arn, 3),
        "sourceIPAddress": entry["source_ip"],
    }
    if entry["outcome"] != "Success":
        value["errorCode"] = entry["outcome"]
        value["errorMessage"] = entry.get("reason", "")
    return value | {
        "requestParameters": parameters,
        "responseElements": None,
        "additionalEventData": further,
        "requestID": entry["request_id"],
        "eventID": event_id(line.chain_id, line.number, line.place),
        "readOnly": True,
        "resources": [{"accountId": _part(key_arn, 4), "type": "AWS::KMS::Key", "ARN": key_arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": _part(key_arn, 4) or account_id,
        "eventCategory": "Management",
    }


def _identity(entry: dict[str, Any]) -> dict[str, Any]:
    principal: str = entry["principal"]
    if not principal:
        return {"type": "Unknown", "accountId": "ANONYMOUS_PRINCIPAL"}
    resource = principal.split(":", 5)[-1]
    kinds = {"root": "Root", "assumed-role": "AssumedRole", "federated-user": "FederatedUser"}
    identity = {
        "type": kinds.get(resource.partition("/")[0], "IAMUser"),
        "principalId": entry["user_id"],
        "arn": principal,
        "accountId": entry["account"],
        "accessKeyId": entry["access_key_id"],
    }
    if resource.startswith("user/"):
        identity["userName"] = resource.rpartition("/")[2]
    if entry["cause"] != "api":
        identity["invokedBy"] = "s3.amazonaws.com"
    return identity


def _part(arn: str, index: int) -> str:
    parts = arn.split(":", 5)
    return parts[index] if len(parts) == 6 else ""
