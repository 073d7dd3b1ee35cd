"""What the coverage page says beside an operation: what a built one lacks, and why another will not be built.

Only a table. An operation that is neither built nor noted is shown as not built yet.
"""

from __future__ import annotations

from typing import Final

#: A built operation that lacks something -> what.
PARTIAL: Final[dict[tuple[str, str], str]] = {
    (
        "s3",
        "RenameObject",
    ): "an extension: in ordinary buckets without versioning, where AWS has it in directory buckets only; no SSE-C",
    ("s3", "CompleteMultipartUpload"): "no condition on the time of initiation (directory buckets)",
    ("s3", "CreateBucket"): "no directory buckets",
    ("s3", "CopyObject"): "no event holds",
    ("s3", "CreateMultipartUpload"): "no event holds",
    ("s3", "DeleteObject"): "no conditions on time or size (directory buckets), no MFA delete",
    ("s3", "DeleteObjects"): "no conditions on time or size (directory buckets), no MFA delete",
    ("s3", "PutBucketVersioning"): "no MFA delete",
    ("s3", "RestoreObject"): "no selecting from archives, which AWS has closed to new customers; all tiers take the same time",
    ("s3", "UpdateObjectEncryption"): "keys of the bucket owner's account only",
    ("s3", "PostObject"): "no event holds",
    ("s3", "PutObject"): "no appending, no event holds",
    ("s3", "PutObjectLockConfiguration"): "no event holds",
    ("s3", "PutObjectRetention"): "no event holds",
    ("sts", "AssumeRole"): "no MFA, no provided contexts",
    ("sts", "GetAccessKeyInfo"): "access keys of sessions tell nothing",
    ("sts", "GetFederationToken"): "no padded tokens",
    ("sts", "GetSessionToken"): "no MFA",
    ("kms", "CreateKey"): "no SM2 and ML-KEM keys, no custom key stores",
    ("kms", "CreateGrant"): "no service principals",
    ("kms", "ListGrants"): "no service principals",
    ("kms", "ListRetirableGrants"): "no service principals",
}

_NO_EFFECT: Final = "no effect"
_UNSET: Final = "none can be set, so the answer is always that there is none"
_NO_WEBSITES: Final = "websites are not served yet"
_NO_DIRECTORY_BUCKETS: Final = "directory buckets are another storage class with another API"
_NO_TABLES: Final = "metadata tables are kept in S3 Tables, another service"
_NO_FEDERATION: Final = "there are no identity providers: nobody is vouched for from outside"
_NO_ORGANIZATIONS: Final = "there are no organizations"
_NO_INSTANCES: Final = "there are no instances that could have a profile"
_NO_KEY_STORES: Final = "there are no custom key stores: answers `UnsupportedOperationException`"

_KINDS: Final = ("Analytics", "IntelligentTiering", "Metrics")
#: An operation whose setting is checked, kept and answered -> the effect it has, if any.
KEPT: Final[dict[tuple[str, str], str]] = {
    **{("s3", f"{verb}Bucket{kind}Configuration"): _NO_EFFECT for verb in ("Delete", "Get", "Put") for kind in _KINDS},
    **{("s3", f"ListBucket{kind}Configurations"): _NO_EFFECT for kind in _KINDS},
    ("s3", "GetBucketAccelerateConfiguration"): _NO_EFFECT,
    ("s3", "PutBucketAccelerateConfiguration"): _NO_EFFECT,
    ("s3", "GetBucketRequestPayment"): "see PutBucketRequestPayment",
    ("s3", "PutBucketRequestPayment"): "`Requester`: others than the owner must send `x-amz-request-payer`; nobody is charged",
}

#: An operation that is not built, on purpose -> why.
REFUSED: Final[dict[tuple[str, str], str]] = {
    ("s3", "CreateBucketMetadataConfiguration"): _NO_TABLES,
    ("s3", "CreateBucketMetadataTableConfiguration"): _NO_TABLES,
    ("s3", "CreateSession"): _NO_DIRECTORY_BUCKETS,
    ("s3", "DeleteBucketMetadataConfiguration"): _NO_TABLES,
    ("s3", "DeleteBucketMetadataTableConfiguration"): _NO_TABLES,
    ("s3", "GetBucketMetadataConfiguration"): _NO_TABLES,
    ("s3", "GetBucketMetadataTableConfiguration"): _NO_TABLES,
    ("s3", "GetObjectTorrent"): "AWS has retired it",
    ("s3", "PutBucketInventoryConfiguration"): "inventories are not written yet",
    ("s3", "PutBucketReplication"): "nothing is replicated yet",
    ("s3", "PutBucketWebsite"): _NO_WEBSITES,
    ("s3", "ListDirectoryBuckets"): _NO_DIRECTORY_BUCKETS,
    ("s3", "SelectObjectContent"): "AWS has closed it to new customers",
    ("s3", "UpdateBucketMetadataAnnotationTableConfiguration"): _NO_TABLES,
    ("s3", "UpdateBucketMetadataInventoryTableConfiguration"): _NO_TABLES,
    ("s3", "UpdateBucketMetadataJournalTableConfiguration"): _NO_TABLES,
    ("s3", "WriteGetObjectResponse"): "Object Lambda is another service",
    ("iam", "AddRoleToInstanceProfile"): _NO_INSTANCES,
    ("iam", "CreateInstanceProfile"): _NO_INSTANCES,
    ("iam", "DeleteInstanceProfile"): _NO_INSTANCES,
    ("iam", "GetInstanceProfile"): _NO_INSTANCES,
    ("iam", "ListInstanceProfileTags"): _NO_INSTANCES,
    ("iam", "ListInstanceProfiles"): _NO_INSTANCES,
    ("iam", "RemoveRoleFromInstanceProfile"): _NO_INSTANCES,
    ("iam", "TagInstanceProfile"): _NO_INSTANCES,
    ("iam", "UntagInstanceProfile"): _NO_INSTANCES,
    ("sts", "AssumeRoleWithSAML"): _NO_FEDERATION,
    ("sts", "AssumeRoleWithWebIdentity"): _NO_FEDERATION,
    ("sts", "AssumeRoot"): _NO_ORGANIZATIONS,
    ("sts", "DecodeAuthorizationMessage"): "no denial is encoded: callers of the owning account are told in words",
    ("sts", "GetDelegatedAccessToken"): _NO_ORGANIZATIONS,
    ("sts", "GetWebIdentityToken"): _NO_FEDERATION,
}

#: An operation that is built to refuse, with a better answer than 501 -> why and how.
REFUSING: Final[dict[tuple[str, str], str]] = {
    ("s3", "DeleteBucketInventoryConfiguration"): _UNSET,
    ("s3", "DeleteBucketReplication"): _UNSET,
    ("s3", "DeleteBucketWebsite"): _UNSET,
    ("s3", "GetBucketInventoryConfiguration"): _UNSET,
    ("s3", "GetBucketLogging"): _UNSET,
    ("s3", "GetBucketNotificationConfiguration"): _UNSET,
    ("s3", "GetBucketReplication"): _UNSET,
    ("s3", "GetBucketWebsite"): _UNSET,
    ("s3", "ListBucketInventoryConfigurations"): _UNSET,
    ("s3", "PutBucketLogging"): "access logs are not written yet; takes only the configuration without any",
    ("s3", "PutBucketNotificationConfiguration"): "nobody is notified yet; takes only the configuration without any",
    ("kms", "ConnectCustomKeyStore"): _NO_KEY_STORES,
    ("kms", "CreateCustomKeyStore"): _NO_KEY_STORES,
    ("kms", "DeleteCustomKeyStore"): _NO_KEY_STORES,
    ("kms", "DescribeCustomKeyStores"): _NO_KEY_STORES,
    ("kms", "DisconnectCustomKeyStore"): _NO_KEY_STORES,
    ("kms", "UpdateCustomKeyStore"): _NO_KEY_STORES,
}
