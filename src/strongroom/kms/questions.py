"""What KMS knows of a question about a key: the values that conditions of policies may ask for, and what grants are measured by.

Pure. Never knows policies, nor what becomes of the answer. A condition key that an operation does not have is absent from its
questions; one that this server cannot tell is told to be so. Sources: "AWS KMS condition keys" in the KMS developer guide, "Actions,
resources, and condition keys for AWS Key Management Service" in the service authorization reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from strongroom.kms.names import ALIAS_PREFIX
from strongroom.kms.records import AWS_KMS, ENCRYPT_DECRYPT, SYMMETRIC
from strongroom.kms.specs import Kind
from strongroom.policy.templates import Untold, Value, caseless

if TYPE_CHECKING:
    from strongroom.api.operation import Call, Caller, Input
    from strongroom.kms.grant_records import Terms
    from strongroom.kms.records import KeyRecord

_CONTEXT: Final = "kms:encryptioncontext:"
_RESOURCE_TAG: Final = "aws:resourcetag/"
_REQUEST_TAG: Final = "aws:requesttag/"
_ENCLAVE: Final = "kms:recipientattestation:"  # a request with a Recipient is refused, so no request has one


@dataclass(frozen=True, slots=True)
class KeyQuestion:
    """Satisfies ``api.operation.About``. ``given`` is the input of an operation of KMS; empty when S3 asks."""

    action: str
    caller: Caller
    given: Input = field(default_factory=dict[str, Any], repr=False)
    record: KeyRecord | None = None  # None: the question is about no key that is there
    new: Kind | None = None  # of the key that is to be made
    named: str = ""  # the key, as the request named it
    context: Mapping[str, str] = field(default_factory=dict[str, str])  # the encryption context
    via: str = ""  # the service that asks on the caller's behalf: s3.<region>.amazonaws.com
    same_key: bool | None = None  # ReEncrypt: whether source and destination are one key
    passing_on: Terms | None = None  # CreateGrant: what the new grant says
    policy: str | None = None  # the question is what would be under this key policy

    def value(self, key: str, /) -> Value:
        """Of a condition key in lower case. Raises Untold."""
        if key.startswith(_CONTEXT):
            return caseless(self.context, key.removeprefix(_CONTEXT), key)
        if key.startswith(_RESOURCE_TAG):
            return None if self.record is None else caseless(dict(self.record.tags), key.removeprefix(_RESOURCE_TAG), key)
        if key.startswith(_REQUEST_TAG):
            return caseless(_asked_tags(self), key.removeprefix(_REQUEST_TAG), key)
        if key.startswith(_ENCLAVE):
            return None
        entry = _VALUES.get(key)
        if entry is None:
            raise Untold(key)
        actions, compute = entry
        return compute(self) if actions is None or self.action in actions else None

    def member(self, name: str, default: str | None = None) -> Value:
        """A member of the input, as text; a default counts as if it had been sent."""
        value = self.given.get(name)
        return default if value is None else str(value)

    @property
    def kind(self) -> Kind | None:
        """Of the key that the question is about."""
        record = self.record
        return self.new if record is None else Kind(record.spec, record.usage, record.origin, record.primary is not None)


def of_new_key(action: str, caller: Caller, given: Input) -> KeyQuestion:
    """A question that CreateKey asks. Its input, right or wrong, is looked at before it is checked."""
    spec = given.get("KeySpec") or given.get("CustomerMasterKeySpec") or SYMMETRIC
    usage = given.get("KeyUsage") or ENCRYPT_DECRYPT
    return KeyQuestion(
        action, caller, given, new=Kind(spec, usage, given.get("Origin") or AWS_KMS, bool(given.get("MultiRegion")))
    )


def of_key(call: Call, action: str, record: KeyRecord | None, **known: Any) -> KeyQuestion:
    """A question about a key (None: about an alias, or a key that is not there) of an operation of KMS, or of S3.

    ``known``: what else it has.
    """
    return KeyQuestion(action, call.caller, call.input if call.operation.service == "kms" else {}, record, **known)


def _asked_tags(asked: KeyQuestion) -> Mapping[str, str]:
    return {tag["TagKey"]: tag["TagValue"] for tag in asked.given.get("Tags") or ()}


def _tag_keys(asked: KeyQuestion) -> Value:
    return (*_asked_tags(asked), *(asked.given.get("TagKeys") or ())) or None


def _alias(asked: KeyQuestion) -> Value:
    """The name of the alias, whether it was named by that or by its ARN."""
    name = asked.named.rsplit(":", 1)[-1]
    return name if name.startswith(ALIAS_PREFIX) else None


def _aliases(asked: KeyQuestion) -> Value:
    return None if asked.record is None else asked.record.aliases or None


def _of_kind(compute: Callable[[Kind], str]) -> Callable[[KeyQuestion], Value]:
    return lambda asked: None if asked.kind is None else compute(asked.kind)


def _multi_region_type(asked: KeyQuestion) -> Value:
    record = asked.record
    if record is None:
        return "PRIMARY" if asked.new is not None and asked.new.multi_region else None
    if record.primary is None:
        return None
    return "REPLICA" if record.replica or asked.action == "kms:CreateKey" else "PRIMARY"


def _encryption_algorithm(asked: KeyQuestion) -> Value:
    which = {"kms:ReEncryptFrom": "Source", "kms:ReEncryptTo": "Destination"}.get(asked.action, "")
    return asked.member(f"{which}EncryptionAlgorithm", SYMMETRIC)


def _constraint(asked: KeyQuestion) -> Value:
    """A grant has one constraint on the encryption context at most."""
    terms = asked.passing_on
    if terms is None:
        return None
    kinds = ("EncryptionContextEquals", "EncryptionContextSubset", "SourceArn")
    return tuple(kind for kind in kinds if kind in terms.constraints.output()) or None


def _operations(asked: KeyQuestion) -> Value:
    return None if asked.passing_on is None else asked.passing_on.operations


def _moment(name: str) -> Callable[[KeyQuestion], Value]:
    def compute(asked: KeyQuestion) -> Value:
        value = asked.given.get(name)
        return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else None

    return compute


def _text(flag: object) -> str:
    return "true" if flag else "false"


def _member(name: str, default: str | None = None) -> Callable[[KeyQuestion], Value]:
    return lambda asked: asked.member(name, default)


def _flag(name: str) -> Callable[[KeyQuestion], Value]:
    return lambda asked: _text(asked.given.get(name))


def _absent(_asked: KeyQuestion) -> Value:
    return None


def _actions(*names: str) -> frozenset[str]:
    return frozenset(f"kms:{name}" for name in names)


_DATA_KEYS: Final = ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
_KEY_PAIRS: Final = ("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext")
_RE_ENCRYPT: Final = ("ReEncryptFrom", "ReEncryptTo")
_SYMMETRIC: Final = _actions("Encrypt", "Decrypt", *_RE_ENCRYPT, *_DATA_KEYS, *_KEY_PAIRS)
_CREATE_GRANT: Final = _actions("CreateGrant")
_GRANTING: Final = _actions("CreateGrant", "ListGrants", "RevokeGrant")
_POLICY: Final = _actions("CreateKey", "PutKeyPolicy", "ReplicateKey")
_SIGNING: Final = _actions("Sign", "Verify")
_MACS: Final = _actions("GenerateMac", "VerifyMac")
_IMPORT: Final = _actions("ImportKeyMaterial")
_PARAMETERS: Final = _actions("GetParametersForImport")

#: The actions whose questions have a condition key (None: all), and how its value is found.
_VALUES: Final[dict[str, tuple[frozenset[str] | None, Callable[[KeyQuestion], Value]]]] = {
    "aws:tagkeys": (None, _tag_keys),
    "aws:viaawsservice": (None, lambda asked: _text(asked.via)),
    "kms:bypasspolicylockoutsafetycheck": (_POLICY, _flag("BypassPolicyLockoutSafetyCheck")),
    "kms:calleraccount": (None, lambda asked: asked.caller.account_id or None),
    "kms:customermasterkeyspec": (None, _of_kind(lambda kind: kind.spec)),
    "kms:customermasterkeyusage": (None, _of_kind(lambda kind: kind.usage)),
    "kms:datakeypairspec": (_actions(*_KEY_PAIRS), _member("KeyPairSpec")),
    "kms:encryptionalgorithm": (_SYMMETRIC, _encryption_algorithm),
    "kms:encryptioncontextkeys": (None, lambda asked: tuple(asked.context) or None),
    "kms:expirationmodel": (_IMPORT, _member("ExpirationModel", "KEY_MATERIAL_EXPIRES")),
    "kms:grantconstraintsourcearn": (
        _CREATE_GRANT,
        lambda asked: None if asked.passing_on is None else asked.passing_on.constraints.source_arn,
    ),
    "kms:grantconstrainttype": (_CREATE_GRANT, _constraint),
    "kms:granteeprincipal": (_CREATE_GRANT, _member("GranteePrincipal")),
    "kms:granteeserviceprincipal": (None, _absent),  # refused before anything is asked
    "kms:grantisforawsresource": (_GRANTING, lambda asked: _text(asked.via)),
    "kms:grantoperations": (_CREATE_GRANT, _operations),
    "kms:keyagreementalgorithm": (_actions("DeriveSharedSecret"), _member("KeyAgreementAlgorithm")),
    "kms:keyorigin": (None, _of_kind(lambda kind: kind.origin)),
    "kms:keyspec": (None, _of_kind(lambda kind: kind.spec)),
    "kms:keyusage": (None, _of_kind(lambda kind: kind.usage)),
    "kms:macalgorithm": (_MACS, _member("MacAlgorithm")),
    "kms:messagetype": (_SIGNING, _member("MessageType", "RAW")),
    "kms:multiregion": (None, _of_kind(lambda kind: _text(kind.multi_region))),
    "kms:multiregionkeytype": (None, _multi_region_type),
    "kms:policyname": (_actions("PutKeyPolicy"), _member("PolicyName", "default")),
    "kms:primaryregion": (_actions("UpdatePrimaryRegion"), _member("PrimaryRegion")),
    "kms:reencryptonsamekey": (
        _actions(*_RE_ENCRYPT),
        lambda asked: None if asked.same_key is None else _text(asked.same_key),
    ),
    "kms:replicaregion": (_actions("ReplicateKey"), _member("ReplicaRegion")),
    "kms:requestalias": (None, _alias),
    "kms:resourcealiases": (None, _aliases),
    "kms:retiringprincipal": (_CREATE_GRANT, _member("RetiringPrincipal")),
    "kms:retiringserviceprincipal": (None, _absent),
    "kms:rotationperiodindays": (_actions("EnableKeyRotation"), _member("RotationPeriodInDays", "365")),
    "kms:schedulekeydeletionpendingwindowindays": (_actions("ScheduleKeyDeletion"), _member("PendingWindowInDays", "30")),
    "kms:signingalgorithm": (_SIGNING, _member("SigningAlgorithm")),
    "kms:validto": (_IMPORT, _moment("ValidTo")),
    "kms:viaservice": (None, lambda asked: asked.via or None),
    "kms:wrappingalgorithm": (_PARAMETERS, _member("WrappingAlgorithm")),
    "kms:wrappingkeyspec": (_PARAMETERS, _member("WrappingKeySpec")),
}
