"""Another account gets nothing: every operation that is built is asked by a stranger and by nobody at all.

The operations come from the register's own declarations; one that is new fails here until it is said how to ask for it.
"""

from __future__ import annotations

import inspect
import json
import pkgutil
from dataclasses import replace
from importlib import import_module

import pytest
from botocore import UNSIGNED

from tests.clients.house import OWNER, STRANGER, refused, rule, unique
from tests.clients.test_posts import form_for, post


def built():
    """(service, operation, need) of everything that is declared."""
    for package in ("strongroom.s3", "strongroom.kms", "strongroom.iam"):
        for found in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            for _, thing in inspect.getmembers(import_module(found.name), inspect.isclass):
                for _, method in inspect.getmembers(thing, inspect.isfunction):
                    yield from getattr(method, "__operations__", [])


NEEDS = {(service, name): need for service, name, need in built()}
ON_RESOURCE = {"bucket", "object", "run"}
S3, KMS = (
    sorted(name for (service, name), need in NEEDS.items() if service == wanted and need.on in ON_RESOURCE)
    for wanted in ("s3", "kms")
)
S3_SERVICE, KMS_SERVICE = (
    sorted(name for (service, name), need in NEEDS.items() if service == wanted and need.on not in ON_RESOURCE)
    for wanted in ("s3", "kms")
)
HIDDEN = (
    f"User: arn:aws:iam::{STRANGER}:root is not authorized to perform: {{}} on this resource because the resource does not exist in "
    "this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
)
CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to "
    "access."
)


def snake(name):
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name.replace("ObjectsV2", "Objects_v2"))
    return words.lstrip("_")


@pytest.fixture(scope="module")
def house(server, stranger):
    """What the owner has, and the clients of those who want it."""
    owner, kms = server.client("s3"), server.client("kms")
    name = unique("owned")
    owner.create_bucket(Bucket=name)
    owner.put_object(Bucket=name, Key="k", Body=b"secret")
    upload = owner.create_multipart_upload(Bucket=name, Key="m")["UploadId"]
    part = owner.upload_part(Bucket=name, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    theirs = server.client("s3", stranger, signature_version="s3v4")
    nobody = server.client("s3", signature_version=UNSIGNED)
    own = unique("strange")
    theirs.create_bucket(Bucket=own)
    key = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret")["CiphertextBlob"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key["KeyId"])
    return {
        "owner": owner,
        "kms": kms,
        "stranger": theirs,
        "stranger_kms": server.client("kms", stranger),
        "nobody": nobody,
        "bucket": name,
        "own": own,
        "upload": upload,
        "part": part,
        "key": key,
        "blob": blob,
    }


def s3_members(house):
    """For every required member of every operation: what the stranger sends."""
    return {
        "Bucket": house["bucket"],
        "Key": "k",
        "UploadId": house["upload"],
        "PartNumber": 1,
        "CopySource": f"{house['bucket']}/k",
        "Delete": {"Objects": [{"Key": "k"}]},
        "ServerSideEncryptionConfiguration": rule("aws:kms"),
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": house["part"]}]},
        "Body": b"overwritten",
        "Policy": json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}}),
        "PublicAccessBlockConfiguration": {"RestrictPublicBuckets": False},
        "VersioningConfiguration": {"Status": "Enabled"},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
        "ACL": "public-read",
        "Tagging": {"TagSet": [{"Key": "k", "Value": "v"}]},
        "CORSConfiguration": {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}]},
        "RenameSource": f"{house['bucket']}/k",
        "AnnotationName": "note",
        "AnnotationPayload": b"x",
        "Id": "i",
        "AccelerateConfiguration": {"Status": "Enabled"},
        "AbacStatus": {"Status": "Disabled"},
        "RequestPaymentConfiguration": {"Payer": "Requester"},
        "AnalyticsConfiguration": {"Id": "i", "StorageClassAnalysis": {}},
        "MetricsConfiguration": {"Id": "i"},
        "IntelligentTieringConfiguration": {
            "Id": "i",
            "Status": "Enabled",
            "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
        },
        "BucketLoggingStatus": {},
        "NotificationConfiguration": {},
        "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": house["key"]["Arn"]}},
        "ObjectAttributes": ["ETag"],
        "LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]},
    }


def ask_s3(client, name, house):
    members = s3_members(house)
    shape = client.meta.service_model.operation_model(name).input_shape
    wanted = {*shape.required_members, *({"Body", "MultipartUpload", "LifecycleConfiguration"} & set(shape.members))}
    if name in {"PutBucketAcl", "PutObjectAcl"}:
        wanted.add("ACL")
    given = {member: members[member] for member in wanted}
    if "UploadId" in given:
        given["Key"] = "m"
    return given


def nothing_happened(house):
    owner, name = house["owner"], house["bucket"]
    assert owner.get_object(Bucket=name, Key="k")["Body"].read() == b"secret"
    assert [each["Key"] for each in owner.list_objects_v2(Bucket=name)["Contents"]] == ["k"]
    assert [each["UploadId"] for each in owner.list_multipart_uploads(Bucket=name)["Uploads"]] == [house["upload"]]
    assert [each["ETag"] for each in owner.list_parts(Bucket=name, Key="m", UploadId=house["upload"])["Parts"]] == [house["part"]]
    only = owner.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert only["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert "Status" not in owner.get_bucket_versioning(Bucket=name)
    controls = owner.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert refused(owner.get_bucket_tagging, Bucket=name).code == "NoSuchTagSet"
    assert refused(owner.get_bucket_cors, Bucket=name).code == "NoSuchCORSConfiguration"
    assert owner.get_object_tagging(Bucket=name, Key="k")["TagSet"] == []
    assert owner.list_object_annotations(Bucket=name, Key="k")["AnnotationCount"] == 0
    assert "Status" not in owner.get_bucket_accelerate_configuration(Bucket=name)
    assert owner.get_bucket_request_payment(Bucket=name)["Payer"] == "BucketOwner"
    assert "MetricsConfigurationList" not in owner.list_bucket_metrics_configurations(Bucket=name)
    assert refused(owner.get_bucket_policy, Bucket=name).code == "NoSuchBucketPolicy"
    assert refused(owner.get_bucket_lifecycle_configuration, Bucket=name).code == "NoSuchLifecycleConfiguration"
    assert all(owner.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())


def stranger_posts(server, client, house, *, anonymous):
    fields = {"key": "k"} if anonymous else form_for(client, house["bucket"])
    assert post(server, house["bucket"], fields).error == (403, "AccessDenied", "Access Denied")


@pytest.mark.parametrize("who", ["stranger", "nobody"])
@pytest.mark.parametrize("name", S3)
def test_every_operation_on_anothers_bucket(house, server, name, who):
    client = house[who]
    if name == "PostObject":  # no SDK sends it
        stranger_posts(server, client, house, anonymous=who == "nobody")
        nothing_happened(house)
        return
    given = ask_s3(client, name, house)
    if name == "DeleteObjects":  # refused key by key
        answer = client.delete_objects(**given)
        assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [("k", "AccessDenied")]
        assert "Deleted" not in answer
    else:
        refusal = refused(getattr(client, snake(name)), **given)
        assert refusal.status == 403
        if not name.startswith("Head"):
            assert (refusal.code, refusal.message, refusal.members) == ("AccessDenied", "Access Denied", {})
    nothing_happened(house)


def test_reading_by_copying(house):
    """Into a bucket of one's own, whole or as a part: the source is asked for as well."""
    stranger, own = house["stranger"], house["own"]
    source = f"{house['bucket']}/k"
    assert refused(stranger.copy_object, Bucket=own, Key="k", CopySource=source).status == 403
    upload = stranger.create_multipart_upload(Bucket=own, Key="k")["UploadId"]
    given = {"Bucket": own, "Key": "k", "UploadId": upload, "PartNumber": 1}
    assert refused(stranger.upload_part_copy, **given, CopySource=source).status == 403
    assert "Contents" not in stranger.list_objects_v2(Bucket=own)


def test_an_upload_of_another_bucket_by_its_id(house):
    stranger, own = house["stranger"], house["own"]
    refusal = refused(stranger.upload_part, Bucket=own, Key="m", UploadId=house["upload"], PartNumber=1, Body=b"x")
    assert refusal.code == "NoSuchUpload"
    refusal = refused(stranger.abort_multipart_upload, Bucket=own, Key="m", UploadId=house["upload"])
    assert refusal.code == "NoSuchUpload"
    nothing_happened(house)


def test_what_is_asked_of_the_service(house):
    assert S3_SERVICE == ["CreateBucket", "ListBuckets", "Preflight"]  # the last asks for nothing that is anybody's
    refusal = refused(house["stranger"].create_bucket, Bucket=house["bucket"])
    assert (refusal.status, refusal.code) == (409, "BucketAlreadyExists")
    listed = house["stranger"].list_buckets()
    assert house["bucket"] not in [each["Name"] for each in listed["Buckets"]]
    assert house["own"] in [each["Name"] for each in listed["Buckets"]]
    for call, given in ((house["nobody"].list_buckets, {}), (house["nobody"].create_bucket, {"Bucket": unique()})):
        assert refused(call, **given).status == 403
    nothing_happened(house)


def test_a_missing_bucket_and_anothers_look_different(house):
    """As on AWS: names are shared by all."""
    assert refused(house["stranger"].list_objects_v2, Bucket=unique("none")).code == "NoSuchBucket"


def test_both_accounts_work_side_by_side(house):
    stranger, own = house["stranger"], house["own"]
    stranger.put_object(Bucket=own, Key="mine", Body=b"x", ServerSideEncryption="aws:kms")
    with stranger.get_object(Bucket=own, Key="mine")["Body"] as body:
        assert body.read() == b"x"
    arn = stranger.head_object(Bucket=own, Key="mine")["SSEKMSKeyId"]
    assert arn.split(":")[4] == STRANGER  # its own aws/s3
    assert refused(house["owner"].get_object, Bucket=own, Key="mine").status == 403
    stranger.delete_object(Bucket=own, Key="mine")


# ------------------------------------------------------------------------------------------------------------------- KMS


def kms_members(house):
    return {
        "KeyId": house["key"]["Arn"],
        "TargetKeyId": house["key"]["Arn"],
        "SourceKeyId": house["key"]["Arn"],
        "DestinationKeyId": house["key"]["Arn"],
        "AliasName": f"alias/{house['own']}",
        "Plaintext": b"x",
        "CiphertextBlob": house["blob"],
        "Description": "mine now",
        "Tags": [{"TagKey": "a", "TagValue": "b"}],
        "TagKeys": ["a"],
        "KeySpec": "AES_256",
        "Message": b"x",
        "SigningAlgorithm": "ECDSA_SHA_256",
        "Signature": b"x",
        "MacAlgorithm": "HMAC_SHA_256",
        "Mac": b"x",
        "KeyAgreementAlgorithm": "ECDH",
        "PublicKey": b"x",
        "KeyPairSpec": "ECC_NIST_P256",
        "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "WrappingKeySpec": "RSA_2048",
        "ImportToken": b"x",
        "EncryptedKeyMaterial": b"x",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        "ReplicaRegion": "eu-west-3",
        "PrimaryRegion": "eu-west-3",
        "GranteePrincipal": f"arn:aws:iam::{STRANGER}:root",
        "Operations": ["Decrypt"],
        "GrantId": "0" * 64,
        "RetiringPrincipal": f"arn:aws:iam::{STRANGER}:root",
        "Policy": "{}",
    }


@pytest.mark.parametrize("name", KMS)
def test_every_operation_on_anothers_key(house, name):
    client = house["stranger_kms"]
    members = kms_members(house)
    given = {member: members[member] for member in client.meta.service_model.operation_model(name).input_shape.required_members}
    for begin, member in (
        ("GenerateDataKey", "KeySpec"),
        ("Decrypt", "CiphertextBlob"),
        ("ReEncrypt", "CiphertextBlob"),
        ("ImportKeyMaterial", "ExpirationModel"),
        ("CreateGrant", "GranteePrincipal"),
    ):
        if name.startswith(begin) and "Pair" not in name:
            given[member] = members[member]
    refusal = refused(getattr(client, snake(name)), **given)
    assert refusal.status == 400
    if name in {"DeleteAlias", "UpdateAlias"}:  # an alias of one's own account, which has none of that name
        assert refusal.code == "NotFoundException"
    elif name in {"Decrypt", "ReEncrypt"}:  # of a blob alone not even the key is told
        assert (refusal.code, refusal.message) == ("AccessDeniedException", CIPHERTEXT)
    else:
        assert (refusal.code, refusal.message) == ("AccessDeniedException", HIDDEN.format(NEEDS["kms", name].action))
    metadata = house["kms"].describe_key(KeyId=house["key"]["KeyId"])["KeyMetadata"]
    assert (metadata["KeyState"], metadata["Description"]) == ("Enabled", "")
    assert house["kms"].list_resource_tags(KeyId=house["key"]["KeyId"])["Tags"] == []


@pytest.mark.parametrize("exists", [True, False])
def test_anothers_key_looks_the_same_whether_it_exists_or_not(house, exists):
    arn = house["key"]["Arn"] if exists else house["key"]["Arn"][:-1] + ("0" if house["key"]["Arn"][-1] != "0" else "1")
    refusal = refused(house["stranger_kms"].encrypt, KeyId=arn, Plaintext=b"x")
    assert (refusal.code, refusal.message) == ("AccessDeniedException", HIDDEN.format("kms:Encrypt"))
    refusal = refused(house["stranger_kms"].decrypt, KeyId=arn, CiphertextBlob=house["blob"])
    assert (refusal.code, refusal.message) == ("AccessDeniedException", HIDDEN.format("kms:Decrypt"))


def test_names_of_keys_are_of_ones_own_account(house):
    theirs, alias = house["stranger_kms"], f"alias/{house['bucket']}"
    refusal = refused(theirs.encrypt, KeyId=house["key"]["KeyId"], Plaintext=b"x")
    assert refusal.code == "NotFoundException"
    refusal = refused(theirs.encrypt, KeyId=alias, Plaintext=b"x")
    assert refusal.message == f"Alias arn:aws:kms:us-east-1:{STRANGER}:{alias} is not found."
    refusal = refused(theirs.encrypt, KeyId=f"arn:aws:kms:us-east-1:{OWNER}:{alias}", Plaintext=b"x")
    assert refusal.code == "AccessDeniedException"


def test_lists_of_keys_are_of_ones_own_account(house):
    on_no_key = {name for name in KMS_SERVICE if "CustomKeyStore" not in name}  # which are refused to everybody
    assert on_no_key - {"ListRetirableGrants", "RetireGrant"} == {"CreateKey", "GenerateRandom", "ListAliases", "ListKeys"}
    theirs = house["stranger_kms"]
    mine = theirs.create_key()["KeyMetadata"]["KeyId"]
    keys = {each["KeyId"] for page in theirs.get_paginator("list_keys").paginate() for each in page["Keys"]}
    assert mine in keys
    assert house["key"]["KeyId"] not in keys
    assert all(STRANGER in each["AliasArn"] for each in theirs.list_aliases()["Aliases"])


@pytest.mark.fact("A89")
def test_the_managed_key_is_for_s3_alone(house, keys):
    managed = keys[2]["Arn"]
    for call, given in ((house["kms"].encrypt, {"Plaintext": b"x"}), (house["kms"].generate_data_key, {"KeySpec": "AES_256"})):
        refusal = refused(call, KeyId=managed, **given)
        assert refusal.code == "AccessDeniedException"
        assert "because no resource-based policy allows the kms:" in refusal.message
    for call in (house["kms"].disable_key, house["kms"].schedule_key_deletion):
        assert refused(call, KeyId=managed).code in {"AccessDeniedException", "NotAuthorizedException"}


def test_who_one_is(server, stranger):
    for who in (server.owner, stranger):
        sts = server.client("sts", who)
        answer = sts.get_caller_identity()
        assert (answer["Account"], answer["Arn"], answer["UserId"]) == (who.account_id, who.arn, who.account_id)
        sts.close()


def test_a_key_nobody_has_and_a_wrong_secret(server, s3, bucket):
    for who, code in (
        (replace(server.owner, access_key_id="AKIANOBODYNOBODYNOBO"), "InvalidAccessKeyId"),
        (replace(server.owner, secret_access_key="x" * 40), "SignatureDoesNotMatch"),
    ):
        client = server.client("s3", who)
        refusal = refused(client.list_objects_v2, Bucket=bucket)
        assert (refusal.status, refusal.code) == (403, code)
        assert refusal.members["AWSAccessKeyId"] == who.access_key_id
        client.close()
        kms = server.client("kms", who)
        refusal = refused(kms.list_keys)
        assert refusal.status == 400
        assert refusal.code == ("UnrecognizedClientException" if code == "InvalidAccessKeyId" else "InvalidSignatureException")
        kms.close()
