"""The S3 actions and condition keys that a bucket policy may speak of, and which of them go together.

Tables only. Never knows an operation. Source: "Actions, resources, and condition keys for Amazon S3" in the service authorization
reference, as far as it concerns general purpose buckets.
"""

from __future__ import annotations

from typing import Final

from strongroom.policy.wildcards import Pattern


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OBJECT_ACTIONS: Final = _names(
    """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectAnnotation DeleteObjectTagging DeleteObjectVersion
    DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAnnotation GetObjectAttributes GetObjectLegalHold
    GetObjectRetention GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
    GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent InitiateReplication ListMultipartUploadParts
    ListObjectAnnotations ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl PutObjectAnnotation PutObjectLegalHold
    PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete ReplicateObject
    ReplicateTags RestoreObject UpdateObjectEncryption
    """
)
BUCKET_ACTIONS: Final = _names(
    """
    CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration DeleteBucketPolicy
    DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS
    GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration
    GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment
    GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration
    GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket
    ListBucketMultipartUploads ListBucketVersions ListTagsForResource PutAccelerateConfiguration PutAnalyticsConfiguration
    PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration
    PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging
    PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration PutInventoryConfiguration
    PutLifecycleConfiguration PutMetricsConfiguration PutReplicationConfiguration TagResource UntagResource
    UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
    """
)
_BY_NAME: Final = {f"s3:{name}".lower(): f"s3:{name}" for name in OBJECT_ACTIONS | BUCKET_ACTIONS}


def _actions(names: str) -> frozenset[str]:
    return frozenset(f"s3:{name}" for name in names.split())


_ACL_WRITES: Final = _actions("PutObject PutObjectAcl PutObjectVersionAcl PutBucketAcl CreateBucket")
_LISTS: Final = _actions("ListBucket ListBucketVersions")
_LOCKS: Final = _actions("PutObject PutObjectRetention BypassGovernanceRetention ReplicateObject")
_PUT: Final = _actions("PutObject")
_TAGGING: Final = _actions("PutObject PutObjectTagging PutObjectVersionTagging")

#: Condition key (lower case, "/" where a name follows) → the actions that have it. None: all of them.
CONDITION_KEYS: Final[dict[str, frozenset[str] | None]] = {
    "s3:accessgrantsinstancearn": None,
    "s3:accesspointnetworkorigin": None,
    "s3:accesspointtag/": None,
    "s3:authtype": None,
    "s3:buckettag/": None,
    "s3:dataaccesspointaccount": None,
    "s3:dataaccesspointarn": None,
    "s3:resourceaccount": None,
    "s3:signatureage": None,
    "s3:signatureversion": None,
    "s3:tlsversion": None,
    "s3:x-amz-content-sha256": None,
    "s3:delimiter": _LISTS,
    "s3:max-keys": _LISTS,
    "s3:prefix": _LISTS,
    "s3:versionid": _actions(
        "DeleteObjectVersion DeleteObjectVersionTagging GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes"
        " GetObjectVersionTagging GetObjectVersionTorrent PutObjectVersionAcl PutObjectVersionTagging"
    ),
    "s3:existingobjecttag/": _actions(
        "GetObject GetObjectVersion GetObjectAcl GetObjectVersionAcl PutObjectAcl PutObjectVersionAcl GetObjectTagging"
        " GetObjectVersionTagging PutObjectTagging PutObjectVersionTagging DeleteObjectTagging DeleteObjectVersionTagging"
        " GetObjectAttributes GetObjectVersionAttributes"
    ),
    "s3:requestobjecttag/": _TAGGING,
    "s3:requestobjecttagkeys": _TAGGING,
    "s3:x-amz-acl": _ACL_WRITES,
    "s3:x-amz-grant-full-control": _ACL_WRITES,
    "s3:x-amz-grant-read": _ACL_WRITES,
    "s3:x-amz-grant-read-acp": _ACL_WRITES,
    "s3:x-amz-grant-write": _ACL_WRITES,
    "s3:x-amz-grant-write-acp": _ACL_WRITES,
    "s3:x-amz-copy-source": _PUT,
    "s3:x-amz-metadata-directive": _PUT,
    "s3:x-amz-server-side-encryption": _PUT | _actions("ReplicateObject"),
    "s3:x-amz-server-side-encryption-aws-kms-key-id": _PUT | _actions("ReplicateObject"),
    "s3:x-amz-server-side-encryption-customer-algorithm": _PUT | _actions("ReplicateObject"),
    "s3:x-amz-storage-class": _PUT,
    "s3:x-amz-website-redirect-location": _PUT,
    "s3:x-amz-object-ownership": _actions("PutBucketOwnershipControls CreateBucket"),
    "s3:if-match": _PUT | _actions("DeleteObject"),
    "s3:if-none-match": _PUT,
    "s3:objectcreationoperation": _PUT,
    "s3:object-lock-mode": _LOCKS,
    "s3:object-lock-retain-until-date": _LOCKS,
    "s3:object-lock-remaining-retention-days": _LOCKS,
    "s3:object-lock-legal-hold": _actions("PutObject PutObjectLegalHold ReplicateObject"),
    "s3:inventoryaccessibleoptionalfields": _actions("PutInventoryConfiguration"),
}


def actions_of(written: str) -> frozenset[str]:
    """The actions a bucket policy's Action element means; empty for one that means none."""
    pattern = Pattern.of(written.lower())
    if pattern.literal is not None:
        found = _BY_NAME.get(pattern.literal)
        return frozenset() if found is None else frozenset((found,))
    return frozenset(name for lowered, name in _BY_NAME.items() if pattern.matches(lowered))


def on_objects(action: str) -> bool:
    """Whether an action (``s3:GetObject``) is on objects, else it is on the bucket."""
    return action.removeprefix("s3:") in OBJECT_ACTIONS


def condition_key(key: str) -> str | None:
    """The entry of CONDITION_KEYS for a key in lower case, or None when there is no such key."""
    name, slash, rest = key.partition("/")
    entry = name + slash
    return entry if bool(slash) == bool(rest) and entry in CONDITION_KEYS else None
