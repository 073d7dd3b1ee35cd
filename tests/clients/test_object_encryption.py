"""Which encryption an object gets, its ETags, and its copies. Numbers are those of the facts about encryption (sections 4, 11)."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.clients.house import OWNER, refused, unique
from tests.clients.rules import AES, ELSEWHERE, NEW, SSE, TRIO, UNBLOCKED, context, encryption_of, put_rule, read_rule, under

# ------------------------------------------------------------------------------------------ 4.2, 4.3: which encryption wins

FIRST, SECOND, MANAGED = "first", "second", "managed"
SHARED = {FIRST: "first, by a bucket key", MANAGED: "managed, by a bucket key"}
ROWS = [
    # number, rule (algorithm, key, flag), request, what wins
    ("4.3.2", ("aws:kms", FIRST, False), {"ServerSideEncryption": "AES256"}, AES),
    ("4.3.2 of dsse", ("aws:kms:dsse", FIRST, False), {"ServerSideEncryption": "AES256"}, AES),
    ("4.3.3", None, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": SECOND}, SECOND),
    ("4.3.3 over a rule", ("aws:kms", FIRST, False), {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": SECOND}, SECOND),
    ("4.3.4", ("aws:kms", FIRST, False), {"ServerSideEncryption": "aws:kms"}, MANAGED),
    ("4.3.6", None, {}, AES),
    ("4.3.6 explicit", ("AES256", None, True), {}, AES),
    ("4.3.7", ("aws:kms", FIRST, False), {}, FIRST),
    ("4.3.7 by a bucket key", ("aws:kms", FIRST, True), {}, SHARED[FIRST]),
    ("4.3.8", ("aws:kms", None, False), {}, MANAGED),
    ("4.3.10", ("aws:kms", FIRST, False), {"BucketKeyEnabled": True}, SHARED[FIRST]),
    ("4.3.11", ("aws:kms", FIRST, True), {"ServerSideEncryption": "aws:kms"}, SHARED[MANAGED]),
    ("4.3.12", None, {"ServerSideEncryption": "aws:kms"}, MANAGED),
    ("4.3.13", ("aws:kms", FIRST, True), {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": False}, MANAGED),
    ("4.3.14", ("aws:kms", FIRST, False), {"SSEKMSEncryptionContext": context({"a": "b"})}, FIRST),
    ("4.4.7", ("aws:kms", FIRST, True), {"ServerSideEncryption": "AES256", "BucketKeyEnabled": True}, AES),
]


@pytest.mark.parametrize(("number", "default", "request_", "winner"), ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.fact(
    "4.1.3",
    "4.1.4",
    "4.1.5",
    "4.2.1",
    "4.2.2",
    "4.3.2",
    "4.3.3",
    "4.3.4",
    "4.3.6",
    "4.3.7",
    "4.3.8",
    "4.3.10",
    "4.3.11",
    "4.3.12",
    "4.3.13",
    "4.3.14",
    "4.4.7",
    "4.6.1",
    "4.6.5",
    "4.6.7",
    "4.7.2",
    "4.7.3",
    "4.5.1",
    "4.5.2",
    "11.A6",
    "11.A7",
    "11.A8",
    "7.6",
    "7.7",
    "12.6",
)
def test_4_3_which_encryption_wins(s3, bucket, keys, number, default, request_, winner):
    named = dict(zip((FIRST, SECOND, MANAGED), keys, strict=True))
    if default is not None:
        algorithm, name, flag = default
        put_rule(s3, bucket, algorithm, None if name is None else named[name]["KeyId"], BucketKeyEnabled=flag)
    given = dict(request_)
    if "SSEKMSKeyId" in given:
        given["SSEKMSKeyId"] = named[given["SSEKMSKeyId"]]["KeyId"]
    expected = winner if isinstance(winner, dict) else under(named[winner.partition(",")[0]]["Arn"])
    if winner in SHARED.values():
        expected["BucketKeyEnabled"] = True  # 7.7
    echoed = {name: given[name] for name in ("SSEKMSEncryptionContext",) if name in given}
    body = os.urandom(40)
    s3.put_object(Bucket=bucket, Key="source", Body=body, **AES)

    written = s3.put_object(Bucket=bucket, Key="put", Body=body, **given)
    assert encryption_of(written) == {**expected, **echoed}
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/source", **given)
    assert encryption_of(copied) == {**expected, **echoed}
    created = s3.create_multipart_upload(Bucket=bucket, Key="multipart", **given)
    assert encryption_of(created) == {**expected, **echoed}
    where = {"Bucket": bucket, "Key": "multipart", "UploadId": created["UploadId"]}
    part = s3.upload_part(**where, PartNumber=1, Body=body)
    assert encryption_of(part) == expected  # 4.7.2, 4.7.3
    part_copy = s3.upload_part_copy(**where, PartNumber=2, CopySource=f"{bucket}/source")
    assert encryption_of(part_copy) == expected
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert encryption_of(done) == expected
    for name, answer in (("put", written), ("copy", copied["CopyObjectResult"]), ("multipart", done)):
        head, got = s3.head_object(Bucket=bucket, Key=name), s3.get_object(Bucket=bucket, Key=name)
        assert encryption_of(head) == encryption_of(got) == expected  # 4.1.3, 4.1.5: no flag that is off, no context
        assert got["Body"].read() == body
        assert head["ETag"] == got["ETag"] == answer["ETag"]
        if name != "multipart":
            assert (head["ETag"] == f'"{hashlib.md5(body).hexdigest()}"') == (expected == AES)  # 26


@pytest.mark.fact("4.2.4", "4.3.5", "4.3.9", "6.2", "6.3", "6.4", "6.6", "6.9", "11.B20")
@pytest.mark.parametrize("flag", [False, True])
def test_20_dsse_has_two_layers_and_never_a_bucket_key(server, s3, bucket, keys, flag):
    put_rule(s3, bucket, "aws:kms:dsse", keys[0]["KeyId"], BucketKeyEnabled=flag)  # 4.3.9, 6.6
    body = os.urandom(100_000)
    for given, winner in (
        ({}, keys[0]),
        ({"ServerSideEncryption": "aws:kms:dsse"}, keys[2]),  # 6.4
        ({"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": keys[1]["KeyId"], "BucketKeyEnabled": True}, keys[1]),  # 6.9
    ):
        expected = {**under(winner["Arn"]), "ServerSideEncryption": "aws:kms:dsse"}
        assert encryption_of(s3.put_object(Bucket=bucket, Key="k", Body=body, **given)) == expected
        assert encryption_of(s3.head_object(Bucket=bucket, Key="k")) == expected
        got = s3.get_object(Bucket=bucket, Key="k")
        assert (encryption_of(got), got["Body"].read()) == (expected, body)
        assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=70000-70009")["Body"].read() == body[70000:70010]
        assert f"{SSE}-bucket-key-enabled" not in server.ask("HEAD", f"/{bucket}/k").headers


@pytest.mark.fact("4.1.3", "4.1.4", "4.1.5", "11.B19")
def test_19_headers_that_are_off_are_absent(server, s3, bucket, keys):
    for given in ({}, {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": False}):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
        for method in ("GET", "HEAD"):
            headers = server.ask(method, f"/{bucket}/k").headers
            assert f"{SSE}-bucket-key-enabled" not in headers
            assert f"{SSE}-context" not in headers
            assert (f"{SSE}-aws-kms-key-id" in headers) == bool(given)
            assert headers[SSE] == given.get("ServerSideEncryption", "AES256")


@pytest.mark.fact("2.3.3", "4.2.5", "9.7", "11.B25")
def test_25_an_alias_is_resolved_when_an_object_is_written(s3, kms, bucket, keys):
    first, second, _ = keys
    alias = f"alias/{unique('moving')}"
    kms.create_alias(AliasName=alias, TargetKeyId=first["KeyId"])
    put_rule(s3, bucket, "aws:kms", alias)
    s3.put_object(Bucket=bucket, Key="old", Body=b"x")
    kms.update_alias(AliasName=alias, TargetKeyId=second["KeyId"])
    s3.put_object(Bucket=bucket, Key="new", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="old")["SSEKMSKeyId"] == first["Arn"]
    assert s3.head_object(Bucket=bucket, Key="new")["SSEKMSKeyId"] == second["Arn"]
    kms.delete_alias(AliasName=alias)
    assert s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"x"
    assert refused(s3.put_object, Bucket=bucket, Key="k").code == "KMS.NotFoundException"


@pytest.mark.fact("4.3.16")
def test_4_3_16_in_another_region_it_is_another_key(server):
    client = server.client("s3", region=ELSEWHERE)
    there, kms = unique(), server.client("kms", region=ELSEWHERE)
    client.create_bucket(Bucket=there, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    arn = client.put_object(Bucket=there, Key="k", Body=b"x", ServerSideEncryption="aws:kms")["SSEKMSKeyId"]
    assert arn.startswith(f"arn:aws:kms:{ELSEWHERE}:{OWNER}:key/")
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"] == arn
    own = kms.create_key()["KeyMetadata"]
    answer = client.put_object(Bucket=there, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=own["KeyId"])
    assert answer["SSEKMSKeyId"] == own["Arn"]
    client.close()
    kms.close()


# ------------------------------------------------------------------------------------------- 4.5, 4.6: ETags and copies


@pytest.mark.fact("4.5.1", "4.5.2", "11.C26")
def test_26_etags(s3, bucket):
    body = b"test-sse"
    assert s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"] == '"42832cdec7083e70a9cd6f2d5852e004"'  # 4.5.1
    seen = {s3.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption="aws:kms")["ETag"] for _ in range(2)}
    assert len(seen) == 2
    assert '"42832cdec7083e70a9cd6f2d5852e004"' not in seen
    assert all(len(etag) == 34 and int(etag.strip('"'), 16) >= 0 for etag in seen)


@pytest.mark.parametrize("algorithm", ["AES256", "aws:kms"])
@pytest.mark.fact("4.5.4", "11.C27")
def test_27_etags_of_multipart_uploads(s3, bucket, algorithm):
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ServerSideEncryption=algorithm)
    where = {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"]}
    bodies = [bytes(5 << 20), bytes(10)]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    opaque = [part["ETag"] != f'"{hashlib.md5(body).hexdigest()}"' for part, body in zip(parts, bodies, strict=True)]
    assert opaque == [algorithm == "aws:kms"] * 2
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    joined = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    assert done["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-2"'
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(bodies)


@pytest.mark.fact("4.5.8", "11.C28")
def test_28_checksums_are_of_the_plaintext(s3, bucket):
    sums = set()
    for algorithm in ("AES256", "aws:kms"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ServerSideEncryption=algorithm, ChecksumAlgorithm="CRC32C")
        sums.add(s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32C"])
    assert len(sums) == 1


@pytest.mark.fact("4.5.11", "4.8.4", "9.21")
def test_4_5_11_a_checksum_of_a_kms_object_needs_its_key(s3, kms, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])
    kms.disable_key(KeyId=key["KeyId"])
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 1
    refusal = refused(s3.head_object, Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (refusal.status, refusal.code) == (400, "400")  # 9.21


@pytest.mark.fact("4.5.5", "4.6.1", "4.6.2", "4.6.5", "11.C29", "11.C30", "11.C32")
def test_29_30_32_a_copy_takes_its_encryption_where_it_goes(s3, bucket, keys):
    first, second, managed = keys
    there = unique()
    s3.create_bucket(Bucket=there)
    put_rule(s3, bucket, "aws:kms", first["KeyId"], BucketKeyEnabled=True)
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    source = f"{bucket}/k"
    answer = s3.copy_object(Bucket=there, Key="k", CopySource=source)
    assert encryption_of(answer) == AES
    assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'  # 4.5.5
    put_rule(s3, there, "aws:kms", second["KeyId"])
    assert encryption_of(s3.copy_object(Bucket=there, Key="k", CopySource=source)) == under(second["Arn"])
    answer = s3.copy_object(Bucket=there, Key="k", CopySource=source, ServerSideEncryption="aws:kms")
    assert encryption_of(answer) == under(managed["Arn"])
    assert s3.get_object(Bucket=there, Key="k")["Body"].read() == b"hello"


ILLEGAL = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage "
    "class, website redirect location or encryption attributes."
)


@pytest.mark.parametrize(
    "given",
    [{}, {"ACL": "private"}, {"Metadata": {"a": "b"}}, {"Metadata": {"a": "b"}, "MetadataDirective": "COPY"}],
    ids=["nothing", "acl", "metadata", "copied metadata"],
)
@pytest.mark.fact("4.6.3", "11.C31")
def test_31_a_copy_onto_itself_that_changes_nothing(s3, bucket, given):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD_IA")  # an implied change of class is none
    refusal = refused(s3.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/k", **given)
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidRequest", ILLEGAL)


@pytest.mark.parametrize(
    ("before", "given"),
    [
        (AES, AES),
        (AES, {"ServerSideEncryption": "aws:kms"}),
        ({"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
        ({"ServerSideEncryption": "aws:kms"}, {}),
        ({}, {"MetadataDirective": "REPLACE"}),
        ({}, {"StorageClass": "STANDARD"}),
        ({}, {"WebsiteRedirectLocation": "/x"}),
    ],
    ids=["same", "kms", "kms again", "kms to the rule", "metadata", "class", "redirect"],
)
@pytest.mark.fact("4.6.4", "11.C31")
def test_31_what_makes_a_copy_onto_itself_legal(s3, bucket, before, given):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **before)
    answer = s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", **given)
    assert answer["ServerSideEncryption"] == given.get("ServerSideEncryption", "AES256")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.fact("2.1.8", "3.7", "4.6.4", "11.C31", "11.I68")
def test_31_an_explicit_rule_makes_it_legal_68_also_after_a_restart(own_server):
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"")

    def copy():
        return s3.copy_object(Bucket="bucket", Key="k", CopySource="bucket/k")

    put_rule(s3, "bucket", "AES256", BucketKeyEnabled=False)
    copy()
    own_server.stop()
    own_server.start()
    copy()
    assert read_rule(s3, "bucket") == NEW  # told the same, and yet put
    s3.delete_bucket_encryption(Bucket="bucket")
    assert refused(copy).message == ILLEGAL  # 3.7
    own_server.stop()
    own_server.start()
    assert refused(copy).message == ILLEGAL
    s3.close()


@pytest.mark.fact("4.7.1", "4.7.2", "11.C34")
def test_34_an_upload_keeps_the_encryption_of_its_creation(s3, bucket, keys):
    put_rule(s3, bucket, "aws:kms", keys[0]["KeyId"])
    created = s3.create_multipart_upload(Bucket=bucket, Key="k")
    s3.delete_bucket_encryption(Bucket=bucket)
    where = {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"]}
    part = s3.upload_part(**where, PartNumber=1, Body=b"x")
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    for answer in (created, part, done, s3.head_object(Bucket=bucket, Key="k")):
        assert encryption_of(answer) == under(keys[0]["Arn"])


@pytest.mark.parametrize("trio", [TRIO, {f"{SSE}-customer-algorithm": "AES256"}], ids=["all", "one"])
@pytest.mark.fact("4.7.6")
def test_4_7_6_a_part_with_a_customers_key_in_another_upload(server, s3, bucket, trio):
    put_rule(s3, bucket, **UNBLOCKED)
    created = s3.create_multipart_upload(Bucket=bucket, Key="k")
    reply = server.ask("PUT", f"/{bucket}/k?partNumber=1&uploadId={created['UploadId']}", trio, b"x")
    message = (
        "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption "
        "parameters."
    )
    assert reply.error == (400, "InvalidRequest", message)


@pytest.mark.fact("4.8.2", "5.4.9", "11.D40")
def test_4_8_2_a_customers_key_for_an_object_that_has_none(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    reply = server.ask("GET", f"/{bucket}/k", TRIO)
    assert reply.error == (400, "InvalidRequest", "The encryption parameters are not applicable to this object.")
    reply = server.ask("HEAD", f"/{bucket}/k", TRIO)
    assert (reply.status, reply.body) == (400, b"")
