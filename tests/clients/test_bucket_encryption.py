"""The rule of a bucket through boto3 and by hand. Numbers are those of the facts about encryption (sections 1 to 3, 11)."""

from __future__ import annotations

import base64
import concurrent.futures
from xml.etree import ElementTree as ET

import pytest

from tests.clients.house import OWNER, STRANGER, refused, rule, unique
from tests.clients.rules import AES, ELSEWHERE, NEW, REGION, SSE, UNBLOCKED, encryption_of, put_rule, read_rule, shown, under

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"
NO_BUCKET = "The specified bucket does not exist"
MISSING_KEY = "0d1e9b1c-3a5e-4f0e-9a52-7a6d2c1b0f11"
S3_KEY = "Default key that protects my S3 objects when no other key is defined"


# --------------------------------------------------------------------------------------- 1 to 3: get, put, delete the rule


@pytest.mark.fact("1.1", "1.2", "1.4", "5.6.1", "11.A1")
def test_a1_a_new_bucket(s3, bucket):
    assert read_rule(s3, bucket) == NEW


@pytest.mark.fact("1.6", "2.3.3", "4.2.2", "4.2.5", "11.A2")
def test_a2_a_key_is_echoed_verbatim_and_objects_say_its_arn(s3, bucket, keys):
    first = keys[0]
    alias_arn = f"arn:aws:kms:{REGION}:{OWNER}:alias/first"
    for spelling in (first["KeyId"], first["Arn"], "alias/first", alias_arn):
        put_rule(s3, bucket, "aws:kms", spelling, BucketKeyEnabled=True)
        assert read_rule(s3, bucket) == shown("aws:kms", spelling, bucket_key=True)
        expected = under(first["Arn"]) | {"BucketKeyEnabled": True}
        assert encryption_of(s3.put_object(Bucket=bucket, Key="k", Body=b"x")) == expected
        assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == expected
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.fact("1.7", "2.2.10", "4.3.16", "A85", "A86", "11.A3")
def test_a3_kms_without_a_key_is_one_managed_key_for_all_buckets(s3, kms, bucket, keys):
    other = unique()
    s3.create_bucket(Bucket=other)
    arns = set()
    for name in (bucket, other):
        put_rule(s3, name, "aws:kms")
        assert read_rule(s3, name) == shown("aws:kms")
        arns.add(s3.put_object(Bucket=name, Key="k", Body=b"x")["SSEKMSKeyId"])
    assert arns == {keys[2]["Arn"]}
    metadata = kms.describe_key(KeyId=arns.pop())["KeyMetadata"]
    assert (metadata["KeyManager"], metadata["Description"], metadata["KeySpec"]) == ("AWS", S3_KEY, "SYMMETRIC_DEFAULT")
    assert (metadata["KeyUsage"], metadata["Origin"], metadata["MultiRegion"]) == ("ENCRYPT_DECRYPT", "AWS_KMS", False)


@pytest.mark.fact("1.9", "3.1", "3.2", "3.4", "3.5", "3.8", "12.1", "11.A4")
def test_a4_delete_returns_to_the_beginning_as_often_as_one_likes(s3, bucket, keys):
    put_rule(s3, bucket, "aws:kms", keys[0]["KeyId"])
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    for _ in range(2):
        assert s3.delete_bucket_encryption(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert read_rule(s3, bucket) == NEW
    assert encryption_of(s3.put_object(Bucket=bucket, Key="after", Body=b"x")) == AES
    assert encryption_of(s3.head_object(Bucket=bucket, Key="before")) == under(keys[0]["Arn"])
    assert s3.get_object(Bucket=bucket, Key="before")["Body"].read() == b"x"


@pytest.mark.fact("2.1.4", "2.1.7", "2.6.3", "11.A5")
def test_a5_a_rule_is_for_what_comes_after_it(s3, bucket, keys):
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    put_rule(s3, bucket, "aws:kms", keys[0]["KeyId"])
    s3.put_object(Bucket=bucket, Key="after", Body=b"x")
    assert encryption_of(s3.head_object(Bucket=bucket, Key="before")) == AES
    assert encryption_of(s3.head_object(Bucket=bucket, Key="after")) == under(keys[0]["Arn"])


@pytest.mark.parametrize("rules", [[], [rule()["Rules"][0]] * 2], ids=["none", "two"])
@pytest.mark.fact("2.2.1", "2.2.2", "2.4.7", "11.A9")
def test_a9_not_exactly_one_rule(s3, bucket, rules):
    put_rule(s3, bucket, "aws:kms", "alias/x")
    refusal = refused(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    assert (refusal.status, refusal.code, refusal.message) == (400, "MalformedXML", MALFORMED)
    assert read_rule(s3, bucket) == shown("aws:kms", "alias/x")


@pytest.mark.fact("2.2.3", "11.A10")
def test_a10_a_key_beside_aes256(s3, bucket):
    refusal = refused(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=rule("AES256", "alias/x"))
    message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidArgument", message)
    assert refusal.members == {"ArgumentName": "ApplyServerSideEncryptionByDefault"}
    assert read_rule(s3, bucket) == NEW


@pytest.mark.fact("1.13", "3.3", "11.A11")
def test_a11_a_missing_bucket_comes_before_a_bad_document(s3):
    name = unique("none")
    empty = {"Rules": []}
    for refusal in (
        refused(s3.get_bucket_encryption, Bucket=name),
        refused(s3.put_bucket_encryption, Bucket=name, ServerSideEncryptionConfiguration=empty),
        refused(s3.delete_bucket_encryption, Bucket=name),
    ):
        assert (refusal.status, refusal.code, refusal.message) == (404, "NoSuchBucket", NO_BUCKET)
        assert refusal.members == {"BucketName": name}


def key_elsewhere(server, *, disabled=False):
    client = server.client("kms", region=ELSEWHERE)
    metadata = client.create_key()["KeyMetadata"]
    if disabled:
        client.disable_key(KeyId=metadata["KeyId"])
    client.close()
    return metadata


@pytest.mark.parametrize("way", ["default", "header"])
@pytest.mark.parametrize("number", ["9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "9.7", "9.8", "9.9"])
@pytest.mark.fact(
    "2.3.1", "2.3.2", "4.6.10", "4.7.12", "9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "9.7", "9.8", "9.9", "9.19", "9.20", "11.A12"
)
def test_a12_a_key_is_looked_at_when_an_object_is_written(server, s3, kms, bucket, number, way):
    arn = f"arn:aws:kms:{REGION}:{OWNER}:key/"
    missing = ("KMS.NotFoundException", f"Key '{arn}{MISSING_KEY}' does not exist")
    if number == "9.8":
        own = kms.create_key()["KeyMetadata"]
        kms.disable_key(KeyId=own["KeyId"])
        name, expected = own["KeyId"], ("KMS.DisabledException", f"{own['Arn']} is disabled.")
    elif number == "9.9":
        own = kms.create_key()["KeyMetadata"]
        kms.schedule_key_deletion(KeyId=own["KeyId"])
        name, expected = own["Arn"], ("KMS.KMSInvalidStateException", f"{own['Arn']} is pending deletion.")
    elif number in {"9.4", "9.5"}:
        there = key_elsewhere(server)
        if number == "9.4":
            name, expected = there["Arn"], ("KMS.NotFoundException", f"Invalid arn {ELSEWHERE}")
        else:
            name, expected = there["KeyId"], ("KMS.NotFoundException", f"Key '{arn}{there['KeyId']}' does not exist")
    else:
        name, expected = {
            "9.1": ("fake-key-id", ("KMS.NotFoundException", "Invalid keyId 'fake-key-id'")),
            "9.2": (MISSING_KEY, missing),
            "9.3": (arn + MISSING_KEY, missing),
            "9.6": ("aws/s3", ("KMS.NotFoundException", "Invalid keyId 'aws/s3'")),
            "9.7": ("alias/none", ("KMS.NotFoundException", f"Alias arn:aws:kms:{REGION}:{OWNER}:alias/none is not found.")),
        }[number]
    s3.put_object(Bucket=bucket, Key="source", Body=b"x", **AES)
    given = {}
    if way == "default":
        put_rule(s3, bucket, "aws:kms", name)
        assert read_rule(s3, bucket) == shown("aws:kms", name)
    else:
        given = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": name}
    for refusal in (
        refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **given),
        refused(s3.create_multipart_upload, Bucket=bucket, Key="k", **given),
        refused(s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/source", **given),
    ):
        assert (refusal.status, refusal.code, refusal.message, refusal.members) == (400, *expected, {})
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["source"]  # 9.19
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.fact("1.11", "11.A13")
def test_a13_the_document_as_it_is_sent(server, s3, bucket):
    put_rule(s3, bucket, "aws:kms", "alias/x", BucketKeyEnabled=True)
    reply = server.ask("GET", f"/{bucket}?encryption")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/xml")
    assert reply.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    root = ET.fromstring(reply.body)  # noqa: S314 - our own answer
    assert root.tag == f"{S3}ServerSideEncryptionConfiguration"
    (only,) = root
    assert only.tag == f"{S3}Rule"
    assert sorted(child.tag for child in only) == [
        f"{S3}{name}" for name in ("ApplyServerSideEncryptionByDefault", "BlockedEncryptionTypes", "BucketKeyEnabled")
    ]
    texts = {child.tag.removeprefix(S3): child.text for child in only.iter() if child.text and child.text.strip()}
    assert texts == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": "alias/x",
        "BucketKeyEnabled": "true",
        "EncryptionType": "SSE-C",
    }
    blocked = only.find(f"{S3}BlockedEncryptionTypes")
    assert blocked is not None
    assert [child.tag for child in blocked] == [f"{S3}EncryptionType"]


DEFAULT = "<ApplyServerSideEncryptionByDefault>{}</ApplyServerSideEncryptionByDefault>"
KMS = "<SSEAlgorithm>aws:kms</SSEAlgorithm>", "<KMSMasterKeyID>k</KMSMasterKeyID>"
FLAG = "<BucketKeyEnabled>true</BucketKeyEnabled>"
BLOCK = "<BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType></BlockedEncryptionTypes>"
ROOT = "ServerSideEncryptionConfiguration"


def document(*children, namespace=True):
    inside = "".join(children)
    space = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' if namespace else ""
    return f"<{ROOT}{space}><Rule>{inside}</Rule></{ROOT}>".encode()


@pytest.mark.parametrize("namespace", [True, False])
@pytest.mark.parametrize(
    "children",
    [
        (DEFAULT.format("".join(KMS)), FLAG, BLOCK),
        (BLOCK, FLAG, DEFAULT.format("".join(reversed(KMS)))),
        (FLAG, DEFAULT.format("".join(KMS)), BLOCK),
    ],
    ids=["model", "reverse", "mixed"],
)
@pytest.mark.fact("1.11", "2.1.1", "2.2.22", "11.A14")
def test_a14_elements_in_any_order_with_and_without_a_namespace(server, s3, bucket, children, namespace):
    reply = server.ask("PUT", f"/{bucket}?encryption", body=document(*children, namespace=namespace))
    assert (reply.status, reply.body) == (200, b"")
    assert read_rule(s3, bucket) == shown("aws:kms", "k", bucket_key=True, block="NONE")


@pytest.mark.parametrize("operation", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ["AES256", "aws:kms", "nonsense"])
@pytest.mark.fact("4.4.8", "4.8.1", "11.A15")
def test_a15_the_header_on_a_read(server, s3, bucket, operation, value):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    reply = server.ask(operation, f"/{bucket}/k", {SSE: value})
    assert reply.status == 400
    if operation == "HEAD":
        assert reply.body == b""
    else:
        assert reply.error == (400, "InvalidArgument", f"{SSE} header is not supported for this operation.")
        assert (reply.members["ArgumentName"], reply.members["ArgumentValue"]) == (SSE, value)


AES_DEFAULT = DEFAULT.format("<SSEAlgorithm>AES256</SSEAlgorithm>")


@pytest.mark.parametrize(
    ("number", "body", "code"),
    [
        ("2.2.1", f"<{ROOT}/>", "MalformedXML"),
        ("2.2.2", f"<{ROOT}><Rule>{AES_DEFAULT}</Rule><Rule>{AES_DEFAULT}</Rule></{ROOT}>", "MalformedXML"),
        ("2.2.4", document(DEFAULT.format("<SSEAlgorithm>SSE-KMS</SSEAlgorithm>")), "MalformedXML"),
        ("2.2.4 case", document(DEFAULT.format("<SSEAlgorithm>aes256</SSEAlgorithm>")), "MalformedXML"),
        ("2.2.4 case of kms", document(DEFAULT.format("<SSEAlgorithm>AWS:KMS</SSEAlgorithm>")), "MalformedXML"),
        ("2.2.5", document(DEFAULT.format("<KMSMasterKeyID>k</KMSMasterKeyID>")), "MalformedXML"),
        ("2.2.5 empty", document(DEFAULT.format("")), "MalformedXML"),
        ("2.2.6", document(), "MalformedXML"),
        ("2.2.7 cut", document(AES_DEFAULT)[:-5], "MalformedXML"),
        ("2.2.7 text", b"encrypt it", "MalformedXML"),
        ("2.2.7 root", document(AES_DEFAULT).replace(ROOT.encode(), b"BucketEncryption"), "MalformedXML"),
        ("2.2.8", b"", "MissingRequestBodyError"),
        ("2.2.14", document(DEFAULT.format("<SSEAlgorithm>aws:fsx</SSEAlgorithm>")), "MalformedXML"),
        ("2.2.16", document(AES_DEFAULT, BLOCK.replace("NONE", "SSE-S3")), "MalformedXML"),
        (
            "2.2.17",
            document(AES_DEFAULT, BLOCK.replace("</Blo", "<EncryptionType>SSE-C</EncryptionType></Blo")),
            "MalformedXML",
        ),
        ("2.2.19", document(AES_DEFAULT, FLAG.replace("true", "yes")), "MalformedXML"),
        ("2.2.20", document(AES_DEFAULT, "<Priority>1</Priority>"), "MalformedXML"),
        (
            "2.2.21",
            document(AES_DEFAULT).replace(b"<Rule>", b"<Rules><Rule>").replace(b"</Rule>", b"</Rule></Rules>"),
            "MalformedXML",
        ),
        ("1.12", document(DEFAULT.format("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSKeyID>k</KMSKeyID>")), "MalformedXML"),
        (
            "65 entities",
            b'<!DOCTYPE a [<!ENTITY x "AES256"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;">]>'
            + document(DEFAULT.format("<SSEAlgorithm>&y;</SSEAlgorithm>")),
            "MalformedXML",
        ),
        ("65 huge", document(AES_DEFAULT, " " * (2 << 20)), "MaxMessageLengthExceeded"),
        ("65 deep", b"<a>" * 50_000, "MalformedXML"),
        ("65 not utf-8", document(AES_DEFAULT).replace(b"AES256", b"AES256\xff"), "MalformedXML"),
    ],
    ids=lambda value: value if isinstance(value, str) and value[:1].isdigit() else "",
)
@pytest.mark.fact(
    "1.12",
    "2.2.1",
    "2.2.2",
    "2.2.4",
    "2.2.5",
    "2.2.6",
    "2.2.7",
    "2.2.8",
    "2.2.14",
    "2.2.16",
    "2.2.17",
    "2.2.19",
    "2.2.20",
    "2.2.21",
    "2.4.7",
    "12.4",
    "12.13",
    "11.I65",
)
def test_2_2_documents_that_change_nothing(server, s3, bucket, number, body, code):
    put_rule(s3, bucket, "aws:kms", "alias/x")
    reply = server.ask("PUT", f"/{bucket}?encryption", body=body if isinstance(body, bytes) else body.encode())
    assert (reply.status, reply.members["Code"]) == (400, code)
    if code == "MalformedXML":
        assert reply.members["Message"] == MALFORMED
    assert read_rule(s3, bucket) == shown("aws:kms", "alias/x")  # 2.4.7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}, shown(block="NONE")),  # 2.2.9, 51
        (rule("aws:kms:dsse")["Rules"][0], shown("aws:kms:dsse")),  # 1.8, 2.2.11
        (rule("aws:kms:dsse", BucketKeyEnabled=True)["Rules"][0], shown("aws:kms:dsse", bucket_key=True)),  # 2.2.13
        (rule("AES256", BucketKeyEnabled=True)["Rules"][0], shown(bucket_key=True)),  # 1.5, 2.2.12
        (rule("aws:kms", "any text, aws/s3 or not")["Rules"][0], shown("aws:kms", "any text, aws/s3 or not")),  # 2.3.1
    ],
    ids=["2.2.9", "1.8", "2.2.13", "1.5", "2.3.1"],
)
@pytest.mark.fact("1.5", "1.8", "2.2.9", "2.2.11", "2.2.12", "2.2.13", "2.3.1", "6.6", "12.3", "11.E51")
def test_rules_that_are_taken(s3, bucket, given, expected):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [given]})
    assert read_rule(s3, bucket) == expected


@pytest.mark.fact("2.2.18", "2.5.1")
def test_2_2_18_an_empty_block_element_unblocks(server, s3, bucket):
    assert server.ask("PUT", f"/{bucket}?encryption", body=document(AES_DEFAULT, "<BlockedEncryptionTypes/>")).status == 200
    assert read_rule(s3, bucket) == shown(block="NONE")


@pytest.mark.fact("2.1.2", "2.1.3", "2.5.3", "12.2", "11.E48")
def test_2_1_2_a_put_replaces_and_48_only_an_omitted_block_stays(s3, bucket):
    put_rule(s3, bucket, "aws:kms", "k", BucketKeyEnabled=True)
    put_rule(s3, bucket, "aws:kms")
    assert read_rule(s3, bucket) == shown("aws:kms")
    put_rule(s3, bucket, **UNBLOCKED)
    put_rule(s3, bucket, "aws:kms")
    assert read_rule(s3, bucket) == shown("aws:kms", block="NONE")
    put_rule(s3, bucket, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
    put_rule(s3, bucket)
    assert read_rule(s3, bucket) == shown()


@pytest.mark.parametrize(
    ("headers", "code", "message"),
    [
        ({"Content-MD5": "short"}, "InvalidDigest", "The Content-MD5 you specified was invalid."),
        (
            {"Content-MD5": base64.b64encode(bytes(16)).decode()},
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest", "The CRC32 you specified did not match the calculated checksum."),
    ],
    ids=["2.4.3", "2.4.4", "2.4.5"],
)
@pytest.mark.fact("2.4.1", "2.4.2", "2.4.3", "2.4.4", "2.4.5", "2.4.7", "12.14", "11.I66")
def test_66_digests_of_the_document(server, s3, bucket, headers, code, message):
    reply = server.ask("PUT", f"/{bucket}?encryption", headers, document(AES_DEFAULT, BLOCK))
    assert reply.error == (400, code, message)
    if code == "InvalidDigest":
        assert reply.members["Content-MD5"] == "short"
    assert read_rule(s3, bucket) == NEW
    assert server.ask("PUT", f"/{bucket}?encryption", body=document(AES_DEFAULT)).status == 200  # 2.4.2: none at all


@pytest.mark.parametrize("operation", ["get", "put", "delete"])
@pytest.mark.fact("1.14", "3.9", "11.G60")
def test_60_the_expected_owner(server, s3, bucket, operation):
    call = getattr(s3, f"{operation}_bucket_encryption")
    given = {"ServerSideEncryptionConfiguration": rule()} if operation == "put" else {}
    call(Bucket=bucket, ExpectedBucketOwner=OWNER, **given)
    refusal = refused(call, Bucket=bucket, ExpectedBucketOwner=STRANGER, **given)
    assert (refusal.status, refusal.code, refusal.message) == (403, "AccessDenied", "Access Denied")
    for value in ("0000", "0000000000020", "abcd", "aa000000000$", "invalid"):
        refusal = refused(call, Bucket=bucket, ExpectedBucketOwner=value, **given)
        message = f"The value of the expected bucket owner parameter must be an AWS Account ID... [{value}]"
        assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidBucketOwnerAWSAccountID", message)
    body = document(AES_DEFAULT) if operation == "put" else b""
    reply = server.ask(operation.upper(), f"/{bucket}?encryption", {"x-amz-expected-bucket-owner": ""}, body)
    assert reply.error[:2] == (400, "InvalidBucketOwnerAWSAccountID")
    assert reply.error[2].endswith("... []")


@pytest.mark.fact("2.1.6", "11.I67")
def test_67_rules_that_race_never_mix(s3, bucket):
    choices = [("aws:kms", "one", True), ("aws:kms:dsse", "two", False), ("AES256", None, False)]

    def put(choice):
        algorithm, kms_key, flag = choice
        put_rule(s3, bucket, algorithm, kms_key, BucketKeyEnabled=flag)

    valid = [shown(algorithm, kms_key, bucket_key=flag) for algorithm, kms_key, flag in choices]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        puts = [threads.submit(put, choices[number % 3]) for number in range(30)]
        reads = [threads.submit(read_rule, s3, bucket) for _ in range(20)]
        assert all(done.result() in [*valid, NEW] for done in reads)
        for done in puts:
            done.result()
    assert read_rule(s3, bucket) in valid
