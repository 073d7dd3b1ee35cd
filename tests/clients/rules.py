"""Words that the tests of encryption share: rules put and read, what a response says of an encryption."""

from __future__ import annotations

import base64
import hashlib
import json

from tests.clients.house import rule

SSE = "x-amz-server-side-encryption"
NEW = rule(BucketKeyEnabled=False, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
UNBLOCKED = {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
REGION, ELSEWHERE = "us-east-1", "eu-west-3"
AES = {"ServerSideEncryption": "AES256"}
CUSTOMER_KEY = bytes(range(32))
TRIO = {
    f"{SSE}-customer-algorithm": "AES256",
    f"{SSE}-customer-key": base64.b64encode(CUSTOMER_KEY).decode(),
    f"{SSE}-customer-key-md5": base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode(),
}


def read_rule(s3, bucket):
    return s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]


def put_rule(s3, bucket, *words, **more):
    return s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule(*words, **more))


def shown(algorithm="AES256", kms_key=None, *, bucket_key=False, block="SSE-C"):
    """A rule as it is read back."""
    return rule(algorithm, kms_key, BucketKeyEnabled=bucket_key, BlockedEncryptionTypes={"EncryptionType": [block]})


def encryption_of(answer):
    """What a response says of the encryption; absent is absent."""
    names = ("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled", "SSECustomerAlgorithm")
    return {name: answer[name] for name in names if name in answer}


def under(arn):
    """What a response says of an object under that KMS key."""
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": arn}


def context(pairs):
    return base64.b64encode(json.dumps(pairs).encode()).decode()


def writes(server, bucket, headers):
    """The three ways of writing that take encryption headers."""
    yield server.ask("PUT", f"/{bucket}/k", headers, b"x")
    yield server.ask("POST", f"/{bucket}/k?uploads", headers)
    yield server.ask("PUT", f"/{bucket}/k", {"x-amz-copy-source": f"{bucket}/source", **headers})
