"""What the conditions of policies may ask about a request: each value computed when some policy asks for it, and only then.

The client's own words are what is looked at (headers, query), never what the server made of them. A key that an action does not have is
absent from its questions. Never knows policies, or what an operation does. Sources: "Actions, resources, and condition keys for
Amazon S3" in the service authorization reference, "AWS global condition context keys" in the IAM user guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from strongroom.api.operation import About, Caller, Told
from strongroom.edge.claims import Claim
from strongroom.edge.head import Head
from strongroom.edge.identity_values import SERVICES, identity_value
from strongroom.policy.s3_actions import CONDITION_KEYS, condition_key
from strongroom.policy.templates import Lookup, OneOf, Untold, Value, caseless

_HEADERS: Final = "s3:x-amz-"


class Existing:
    """The values of the resource that a question is about. They have to be fetched, which is done when some policy has asked for one:
    until then they cannot be told.
    """

    __slots__ = ("asked", "told")

    def __init__(self) -> None:
        self.asked = False
        self.told: Told | None = None

    def value(self, key: str) -> Value:
        """Raises Untold."""
        if self.told is None:
            self.asked = True
            raise Untold(key)
        return caseless(self.told, key, key)


@dataclass(slots=True)
class RequestValues:
    """One request. ``known``: values that only a room further down could tell."""

    caller: Caller
    head: Head
    headers: Mapping[str, str] = field(repr=False)  # with those that came in the query; may hold a customer's key, as the input
    claim: Claim | None
    given: Mapping[str, Any] = field(repr=False)  # the typed input
    object_key: str
    region: str
    now: datetime
    known: Told

    def of(
        self,
        action: str,
        owner: str,
        version_id: str | None = None,
        existing: Existing | None = None,
        told: Told | None = None,
        about: About | None = None,
    ) -> Lookup:
        """The values for a question about ``action`` on something that ``owner`` (an account id) has; ``version_id`` of it, where
        that is not the input's. ``existing``: of the resource itself. ``told`` and ``about``: see ``api.operation.Allow``.
        """
        known = self.known if told is None else told
        of_kms = action.startswith("kms:")

        def lookup(key: str) -> Value:
            if of_kms and key.startswith(_TOLD_BY_KMS):
                if about is None:
                    raise Untold(key)
                return about.value(key)
            if key.startswith("s3:"):
                return self._s3(key, action, owner, version_id, existing, known)
            if key.startswith(_OF_TAGS) and action.startswith("s3:"):
                return caseless(known, key, key) if not key.startswith(_OF_RESOURCE) or existing is None else existing.value(key)
            if key == "aws:resourceaccount":
                return owner
            if key in self.caller.values:
                return self.caller.values[key]
            compute = _VALUES.get(key)
            if compute is not None:
                return compute(self)
            return identity_value(key, self.given) if action.startswith(SERVICES) else None

        return lookup

    def _s3(self, key: str, action: str, owner: str, version_id: str | None, existing: Existing | None, known: Told) -> Value:
        entry = condition_key(key)
        if entry is None:
            return None
        having = CONDITION_KEYS[entry]
        if having is not None and action not in having:
            return None
        if key == "s3:resourceaccount":
            return owner
        if key == "s3:versionid" and version_id is not None:
            return version_id
        if key.startswith(_OF_RESOURCE):
            return None if existing is None else existing.value(key)
        if (value := caseless(known, key, key)) is not None:
            return value
        if key == "s3:prefix" and self.object_key:  # whether a key is there is a question about listing that key
            return None if "CopySource" in self.given else self.object_key
        compute = _VALUES.get(key)
        if compute is not None:
            return compute(self)
        return self.headers.get(key[3:]) if key.startswith(_HEADERS) or key in _PLAIN_HEADERS else None

    def member(self, name: str) -> Value:
        """A member of the input, as text."""
        value = self.given.get(name)
        return None if value is None else str(value)


#: Keys of which in questions about KMS keys only the room of KMS knows the values.
_TOLD_BY_KMS: Final = ("kms:", "aws:resourcetag/", "aws:requesttag/", "aws:tagkeys", "aws:viaawsservice")
_OF_RESOURCE: Final = ("s3:existingobjecttag/", "s3:buckettag/", "aws:resourcetag/")
_OF_TAGS: Final = ("aws:resourcetag/", "aws:requesttag/", "aws:tagkeys")
#: The server of connections takes no older one, and does not tell which it was.
_TLS: Final = OneOf(("1.2", "1.3"))
_PLAIN_HEADERS: Final = frozenset({"s3:if-match", "s3:if-none-match"})


def _signed(values: RequestValues, value: str) -> Value:
    return None if values.claim is None else value


def _principal(values: RequestValues, value: str) -> Value:
    return None if values.caller.anonymous else value


def _auth_type(values: RequestValues) -> Value:
    if values.claim is not None and values.claim.policy is not None:
        return "POST"
    return _signed(values, "REST-QUERY-STRING" if values.claim is not None and values.claim.presigned else "REST-HEADER")


def _signature_age(values: RequestValues) -> Value:
    """Milliseconds."""
    if values.claim is None:
        return None
    return str(max(0, int((values.now - values.claim.signed_at).total_seconds() * 1000)))


def _principal_type(values: RequestValues) -> Value:
    if values.caller.anonymous:
        return "Anonymous"
    kind = values.caller.arn.split(":", 5)[-1].partition("/")[0]
    return {"root": "Account", "user": "User", "assumed-role": "AssumedRole", "federated-user": "FederatedUser"}.get(kind)


def _ownership(values: RequestValues) -> Value:
    """Of the document of PutBucketOwnershipControls, else the header of CreateBucket."""
    controls: Mapping[str, Any] = values.given.get("OwnershipControls") or {}
    rules: list[Mapping[str, str]] | None = controls.get("Rules")
    return rules[0].get("ObjectOwnership") if rules else values.headers.get("x-amz-object-ownership")


def _user_name(values: RequestValues) -> Value:
    resource = values.caller.arn.split(":", 5)[-1]
    return resource.rpartition("/")[2] if resource.startswith("user/") else None


def _lock(values: RequestValues, member: str, document: str, element: str) -> Any:
    """What a request asks of object lock: in a header, or in its document."""
    value = values.given.get(member)
    inner: Mapping[str, Any] = values.given.get(document) or {}
    return inner.get(element) if value is None else value


def _retain_until(values: RequestValues) -> datetime | None:
    until: datetime | None = _lock(values, "ObjectLockRetainUntilDate", "Retention", "RetainUntilDate")
    return until


def _until_text(values: RequestValues) -> Value:
    until = _retain_until(values)
    return None if until is None else until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _remaining_days(values: RequestValues) -> Value:
    """Days that have begun count."""
    until = _retain_until(values)
    return None if until is None else str(-((values.now - until) // timedelta(days=1)))


_VALUES: Final[dict[str, Callable[[RequestValues], Value]]] = {
    "aws:currenttime": lambda values: values.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "aws:epochtime": lambda values: str(int(values.now.timestamp())),
    "aws:principalaccount": lambda values: _principal(values, values.caller.account_id),
    "aws:principalarn": lambda values: _principal(values, values.caller.principal_arn or values.caller.arn),
    "aws:principaltype": _principal_type,
    "aws:referer": lambda values: values.headers.get("referer"),
    "aws:requestedregion": lambda values: values.region,
    "aws:securetransport": lambda values: "true" if values.head.scheme == "https" else "false",
    "aws:sourceip": lambda values: values.head.client_ip or None,
    "aws:useragent": lambda values: values.headers.get("user-agent"),
    "aws:userid": lambda values: values.caller.user_id or None,
    "aws:username": _user_name,
    "aws:viaawsservice": lambda _: "false",
    "s3:authtype": _auth_type,
    "s3:delimiter": lambda values: values.member("Delimiter"),
    "s3:max-keys": lambda values: values.member("MaxKeys"),
    "s3:object-lock-legal-hold": lambda values: _lock(values, "ObjectLockLegalHoldStatus", "LegalHold", "Status"),
    "s3:object-lock-mode": lambda values: _lock(values, "ObjectLockMode", "Retention", "Mode"),
    "s3:object-lock-remaining-retention-days": _remaining_days,
    "s3:object-lock-retain-until-date": _until_text,
    "s3:objectcreationoperation": lambda values: "false" if "UploadId" in values.given else "true",
    "s3:prefix": lambda values: values.member("Prefix"),
    "s3:signatureage": _signature_age,
    "s3:x-amz-object-ownership": _ownership,
    "s3:signatureversion": lambda values: _signed(values, "AWS4-HMAC-SHA256"),
    "sts:externalid": lambda values: values.member("ExternalId"),
    "sts:rolesessionname": lambda values: values.member("RoleSessionName"),
    "sts:sourceidentity": lambda values: values.member("SourceIdentity"),
    "s3:tlsversion": lambda values: _TLS if values.head.scheme == "https" else None,
    "s3:versionid": lambda values: values.member("VersionId"),
}
