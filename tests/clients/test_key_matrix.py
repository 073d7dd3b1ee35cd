"""Which rights to KMS keys each S3 operation needs: with just these it works, and without any one of them it is refused and says which.

The table is that of the facts about KMS (D.1) and about encryption (4.10). A right to the object alone is none to its key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.clients.house import OWNER, Account, refused, rule, unique
from tests.clients.test_posts import form_for, post
from tests.clients.test_user_rights import arn_of, implicit

MAKE, OPEN, ENCRYPT = "kms:GenerateDataKey", "kms:Decrypt", "kms:Encrypt"
OUT, IN = "kms:ReEncryptFrom", "kms:ReEncryptTo"
DATA = b"for your eyes only"


@dataclass
class House:
    """``here`` and ``there`` are keys; objects under ``here`` are named by how; ``who`` is the user that asks."""

    owner: Any
    iam: Any
    client: Any
    server: Any
    bucket: str
    user: str
    here: str
    there: str
    settings: str = field(default_factory=unique)  # a bucket whose default encryption nobody relies on

    def may(self, *rights: tuple[str, str]) -> None:
        """All of S3, and these (action, key) alone."""
        statements = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
        statements += [{"Effect": "Allow", "Action": action, "Resource": key} for action, key in rights]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_user_policy(UserName=self.user, PolicyName="rights", PolicyDocument=document)

    def fresh(self, source: str) -> str:
        """A copy of an object, encrypted as it is."""
        object_key = unique(source)
        self.owner.put_object(Bucket=self.bucket, Key=object_key, Body=DATA, **self.kinds[source])
        return object_key

    @property
    def kinds(self) -> dict[str, dict[str, Any]]:
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.here}
        return {
            "plain": {"ServerSideEncryption": "AES256"},
            "kms": kms,
            "shared": {**kms, "BucketKeyEnabled": True},
            "dsse": {**kms, "ServerSideEncryption": "aws:kms:dsse"},
        }

    def upload(self, *parts: bytes, **encryption: Any) -> tuple[str, list[dict[str, Any]]]:
        encryption = encryption or {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.there}
        upload = self.owner.create_multipart_upload(Bucket=self.bucket, Key="m", **encryption)["UploadId"]
        given = {"Bucket": self.bucket, "Key": "m", "UploadId": upload}
        etags = [
            self.owner.upload_part(**given, PartNumber=number, Body=part)["ETag"] for number, part in enumerate(parts, start=1)
        ]
        return upload, [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]


@pytest.fixture(scope="module")
def house(server, s3, kms):
    iam = server.client("iam")
    bucket, user = unique(), unique("user")
    s3.create_bucket(Bucket=bucket)
    here, there = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    iam.create_user(UserName=user)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    client = server.client("s3", Account(OWNER, made["AccessKeyId"], made["SecretAccessKey"]), signature_version="s3v4")
    house = House(s3, iam, client, server, bucket, user, here, there)
    s3.create_bucket(Bucket=house.settings)
    for name, encryption in house.kinds.items():
        s3.put_object(Bucket=bucket, Key=name, Body=DATA, ChecksumAlgorithm="SHA256", **encryption)
    yield house
    iam.close()
    client.close()


def put(house, kind, object_key="new"):
    return house.client.put_object, {"Key": object_key, "Body": DATA, **house.kinds[kind]}


def get(house, kind):
    return house.client.get_object, {"Key": kind}


def head(house, **more):
    return house.client.head_object, {"Key": "kms", **more}


def attributes(house, *names):
    return house.client.get_object_attributes, {"Key": "kms", "ObjectAttributes": list(names)}


def copy(house, source, **encryption):
    return house.client.copy_object, {"Key": "copy", "CopySource": f"{house.bucket}/{source}", **encryption}


def begin(house, kind):
    return house.client.create_multipart_upload, {"Key": "m", **house.kinds[kind]}


def part(house):
    return house.client.upload_part, {"Key": "m", "UploadId": house.upload()[0], "PartNumber": 1, "Body": DATA}


def part_copy(house):
    given = {"Key": "m", "UploadId": house.upload()[0], "PartNumber": 1, "CopySource": f"{house.bucket}/kms"}
    return house.client.upload_part_copy, given


def complete(house):
    upload, parts = house.upload(DATA)
    return house.client.complete_multipart_upload, {"Key": "m", "UploadId": upload, "MultipartUpload": {"Parts": parts}}


def update(house, kind):
    wanted = {"SSEKMS": {"KMSKeyArn": house.there}}
    return house.client.update_object_encryption, {"Key": house.fresh(kind), "ObjectEncryption": wanted}


def to_there(house):
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": house.there}


def sealed_by_client():
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


#: Operation and how → what is called, and the rights that it needs: (action, key), of the house's two keys.
ROWS = {
    "PutObject": (lambda house: put(house, "kms"), [(MAKE, "here")]),
    "PutObject, bucket key": (lambda house: put(house, "shared"), [(MAKE, "here"), (OPEN, "here")]),
    "PutObject, DSSE": (lambda house: put(house, "dsse"), [(MAKE, "here")]),
    "PutObject, SSE-S3": (lambda house: put(house, "plain"), []),
    "GetObject": (lambda house: get(house, "kms"), [(OPEN, "here")]),
    "GetObject, bucket key": (lambda house: get(house, "shared"), [(OPEN, "here")]),
    "GetObject, DSSE": (lambda house: get(house, "dsse"), [(OPEN, "here")]),
    "GetObject, SSE-S3": (lambda house: get(house, "plain"), []),
    "HeadObject": (head, []),
    "HeadObject, checksums": (lambda house: head(house, ChecksumMode="ENABLED"), [(OPEN, "here")]),
    "GetObjectAttributes": (lambda house: attributes(house, "ObjectSize"), []),
    "GetObjectAttributes, checksums": (lambda house: attributes(house, "Checksum"), [(OPEN, "here")]),
    "CopyObject": (lambda house: copy(house, "kms", **to_there(house)), [(OPEN, "here"), (MAKE, "there")]),
    "CopyObject, from SSE-S3": (lambda house: copy(house, "plain", **to_there(house)), [(MAKE, "there")]),
    "CopyObject, to SSE-S3": (lambda house: copy(house, "kms", ServerSideEncryption="AES256"), [(OPEN, "here")]),
    "CreateMultipartUpload": (lambda house: begin(house, "kms"), [(MAKE, "here")]),
    "CreateMultipartUpload, bucket key": (lambda house: begin(house, "shared"), [(MAKE, "here"), (OPEN, "here")]),
    "UploadPart": (part, [(OPEN, "there")]),
    "UploadPartCopy": (part_copy, [(OPEN, "there"), (OPEN, "here")]),
    "CompleteMultipartUpload": (complete, [(OPEN, "there")]),
    "ListParts": (lambda house: (house.client.list_parts, {"Key": "m", "UploadId": house.upload(DATA)[0]}), []),
    "AbortMultipartUpload": (
        lambda house: (house.client.abort_multipart_upload, {"Key": "m", "UploadId": house.upload(DATA)[0]}),
        [],
    ),
    "DeleteObject": (lambda house: (house.client.delete_object, {"Key": house.fresh("kms")}), []),
    "PutObjectTagging": (lambda house: (house.client.put_object_tagging, {"Key": "kms", "Tagging": {"TagSet": []}}), []),
    "UpdateObjectEncryption": (
        lambda house: update(house, "kms"),
        [(OPEN, "here"), (OUT, "here"), (MAKE, "there"), (ENCRYPT, "there"), (IN, "there")],
    ),
    "UpdateObjectEncryption, from SSE-S3": (lambda house: update(house, "plain"), [(MAKE, "there"), (ENCRYPT, "there")]),
    "PutBucketEncryption": (
        lambda house: (
            house.client.put_bucket_encryption,
            {"Bucket": house.settings, "ServerSideEncryptionConfiguration": rule("aws:kms", house.here)},
        ),
        [],
    ),
    "GetBucketEncryption": (lambda house: (house.client.get_bucket_encryption, {"Bucket": house.settings}), []),
    "DeleteBucketEncryption": (lambda house: (house.client.delete_bucket_encryption, {"Bucket": house.settings}), []),
}
CELLS = [(name, None) for name in ROWS] + [(name, missing) for name, (_, needs) in ROWS.items() for missing in needs]


@pytest.mark.fact("D1", "D2", "4.10", "D27", "9.14", "H7")
@pytest.mark.parametrize(("row", "missing"), CELLS, ids=lambda each: each if isinstance(each, str) else str(each))
def test_d1_the_rights_to_keys_that_an_operation_needs(house, row, missing):
    prepare, needs = ROWS[row]
    call, given = prepare(house)
    house.may(*((action, getattr(house, key)) for action, key in needs if (action, key) != missing))
    if missing is None:
        answer = call(**{"Bucket": house.bucket, **given})
        if "Body" in answer:
            assert answer["Body"].read() == DATA
        return
    refusal = refused(call, Bucket=house.bucket, **given)
    assert refusal.status == 403
    if call != house.client.head_object:
        assert refusal.code == "AccessDenied"
        assert refusal.message == implicit(arn_of(house.user), missing[0], getattr(house, missing[1]))


@pytest.mark.fact("D1")
@pytest.mark.parametrize("held", [True, False])
def test_d1_a_form_upload(house, held):
    """Of the bucket's default, which the form does not name."""
    bucket = unique()
    house.owner.create_bucket(Bucket=bucket)
    house.owner.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms", house.here))
    house.may(*([(MAKE, house.here)] if held else []))
    reply = post(house.server, bucket, form_for(house.client, bucket))
    if held:
        assert reply.status == 204
    else:
        assert reply.error[:2] == (403, "AccessDenied")
        assert f"{MAKE} on resource: {house.here}" in reply.error[2]


@pytest.mark.fact("D1")
def test_d1_no_right_to_a_key_where_the_client_brings_one(house):
    bucket = unique()
    house.owner.create_bucket(Bucket=bucket)
    house.owner.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": house.here},
                    "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]},
                }
            ]
        },
    )
    house.may()
    house.client.put_object(Bucket=bucket, Key="k", Body=DATA, **sealed_by_client())
    assert house.client.get_object(Bucket=bucket, Key="k", **sealed_by_client())["Body"].read() == DATA
    refusal = refused(house.client.put_object, Bucket=bucket, Key="k", Body=DATA)  # the default is another matter
    assert (refusal.status, MAKE in refusal.message) == (403, True)
