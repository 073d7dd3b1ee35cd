"""SSE-C with unmodified clients and with raw requests: blocked at first, unblocked by a rule, presigned, read from the disk.

Numbers are those of the facts about encryption (sections 5 and 11).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sqlite3
from contextlib import closing

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.clients.house import refused, unique
from tests.clients.rules import CUSTOMER_KEY, REGION, SSE, TRIO, UNBLOCKED, encryption_of, put_rule, writes
from tests.clients.test_slow_reader import service_keys
from tests.seal import slow_reader as slow

KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}
OTHER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(32)}
SOURCE = {f"CopySource{name}": value for name, value in KEY.items()}
ECHO = {"SSECustomerAlgorithm": "AES256"}
MD5 = TRIO[f"{SSE}-customer-key-md5"]
REQUESTS = "Requests specifying Server Side Encryption with Customer provided keys must provide "
MISSING = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
WRONG = REQUESTS + "the correct secret key."
INCOMPATIBLE = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
NOT_AES = "The Encryption request you specified is not valid. Supported value: AES256."
MD5_DIFFERS = "The calculated MD5 hash of the key did not match the hash that was provided."
BAD_LENGTH = "The secret key was invalid for the specified algorithm."
WRONG_MD5 = base64.b64encode(bytes(16)).decode()


def trio_of(customer_key, /, **changes):
    md5 = base64.b64encode(hashlib.md5(customer_key).digest()).decode()
    values = {"algorithm": "AES256", "key": base64.b64encode(customer_key).decode(), "key-md5": md5} | changes
    return {f"{SSE}-customer-{name}": value for name, value in values.items() if value is not None}


@pytest.fixture
def free(s3, bucket):
    """A bucket that takes SSE-C."""
    put_rule(s3, bucket, **UNBLOCKED)
    return bucket


@pytest.mark.fact("4.1.1", "4.1.2", "4.1.6", "4.2.3", "5.1.1", "5.1.6", "5.4.1", "5.4.3", "5.4.13", "E36")
def test_36_a_life_under_a_customers_key(s3, free):
    body = os.urandom(200_000)
    put = s3.put_object(Bucket=free, Key="k", Body=body, Metadata={"a": "b"}, **KEY)
    got = s3.get_object(Bucket=free, Key="k", **KEY)
    assert got["Body"].read() == body
    head = s3.head_object(Bucket=free, Key="k", **KEY)
    part = s3.get_object(Bucket=free, Key="k", Range="bytes=100000-100009", **KEY)
    assert part["Body"].read() == body[100_000:100_010]
    for answer in (put, got, head, part):
        assert encryption_of(answer) == ECHO
        assert answer["SSECustomerKeyMD5"] == MD5
        assert f"{SSE}-customer-key" not in answer["ResponseMetadata"]["HTTPHeaders"]  # 4.1.2
    refusal = refused(s3.get_object, Bucket=free, Key="k")
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidRequest", MISSING)
    refusal = refused(s3.get_object, Bucket=free, Key="k", **OTHER)
    assert (refusal.status, refusal.code, refusal.message) == (403, "AccessDenied", WRONG)  # E36
    listed = s3.list_objects_v2(Bucket=free)["Contents"][0]
    assert (listed["ETag"], listed["Size"]) == (put["ETag"], len(body))  # 4.1.6
    assert s3.delete_object(Bucket=free, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.fact("5.4.2", "5.4.4", "5.4.7", "11.D38")
def test_38_head_says_it_without_a_body(server, s3, free):
    s3.put_object(Bucket=free, Key="k", Body=b"x", **KEY)
    for headers, status in (
        ({}, 400),
        (trio_of(bytes(32)), 403),
        (trio_of(b"short"), 403),
        (TRIO | {f"{SSE}-customer-algorithm": "KMS"}, 400),
    ):
        reply = server.ask("HEAD", f"/{free}/k", headers)
        assert (reply.status, reply.body) == (status, b"")


ROWS = [
    ("5.2.1", {SSE: "AES256", **TRIO}, "InvalidArgument", INCOMPATIBLE, "AES256"),
    ("5.2.2", TRIO | {f"{SSE}-customer-algorithm": "KMS"}, "InvalidEncryptionAlgorithmError", NOT_AES, "KMS"),
    ("5.2.3", trio_of(CUSTOMER_KEY, algorithm=None), "InvalidArgument", REQUESTS + "a valid encryption algorithm.", None),
    ("5.2.4", trio_of(CUSTOMER_KEY, key=None), "InvalidArgument", REQUESTS + "an appropriate secret key.", None),
    ("5.2.5 10", trio_of(b"0123456789"), "InvalidArgument", BAD_LENGTH, None),
    ("5.2.5 44", trio_of(base64.b64encode(CUSTOMER_KEY)), "InvalidArgument", BAD_LENGTH, None),
    ("5.2.6", TRIO | {f"{SSE}-customer-key-md5": WRONG_MD5}, "InvalidArgument", MD5_DIFFERS, None),
    ("5.2.7", trio_of(b"0123456789", **{"key-md5": WRONG_MD5}), "InvalidArgument", MD5_DIFFERS, None),
    (
        "5.2.8",
        trio_of(CUSTOMER_KEY, **{"key-md5": None}),
        "InvalidArgument",
        REQUESTS + "the client calculated MD5 of the secret key.",
        None,
    ),
    ("5.2.9", TRIO | {f"{SSE}-customer-key": "not base64!"}, "InvalidArgument", MD5_DIFFERS, None),
]


@pytest.mark.parametrize(("number", "headers", "code", "message", "value"), ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.fact("5.2.1", "5.2.2", "5.2.3", "5.2.4", "5.2.5", "5.2.6", "5.2.7", "5.2.8", "5.2.9", "12.7", "11.D37")
def test_37_writes_that_are_refused(server, s3, free, number, headers, code, message, value):
    s3.put_object(Bucket=free, Key="source", Body=b"x")
    for reply in writes(server, free, headers):
        assert reply.error == (400, code, message)
        given = {name: text for name, text in reply.members.items() if name.startswith("Argument")}
        assert given == {"ArgumentName": SSE} | ({} if value is None else {"ArgumentValue": value})
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=free)["Contents"]] == ["source"]


@pytest.mark.fact("5.2.5", "5.4.5", "11.D39")
def test_39_a_key_of_another_length_is_a_bad_write_and_a_wrong_read(server, s3, free):
    s3.put_object(Bucket=free, Key="k", Body=b"x", **KEY)
    headers = trio_of(base64.b64encode(CUSTOMER_KEY))
    assert server.ask("GET", f"/{free}/k", headers).error == (403, "AccessDenied", WRONG)
    assert server.ask("PUT", f"/{free}/k", headers, b"x").error[:2] == (400, "InvalidArgument")


@pytest.mark.fact("4.7.4", "4.7.6", "4.7.7", "4.7.8", "4.7.9", "11.C33", "11.D41")
def test_41_parts_listed_and_completed_without_the_key(s3, free):
    where = {"Bucket": free, "Key": "k"}
    created = s3.create_multipart_upload(**where, **KEY)
    where["UploadId"] = created["UploadId"]
    assert refused(s3.upload_part, **where, PartNumber=1, Body=b"x").message.startswith("The multipart upload initiate requested")
    changed = refused(s3.upload_part, **where, PartNumber=1, Body=b"x", **OTHER)
    assert (changed.status, changed.code) == (400, "InvalidRequest")
    assert changed.message == "The provided encryption parameters did not match the ones used originally."
    part = s3.upload_part(**where, PartNumber=1, Body=b"x", **KEY)
    for answer in (created, part):
        assert (encryption_of(answer), answer["SSECustomerKeyMD5"]) == (ECHO, MD5)
    assert s3.list_parts(**where)["Parts"][0]["ETag"] == part["ETag"]
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert encryption_of(done) == {}
    assert "ChecksumCRC64NVME" not in done
    assert s3.get_object(Bucket=free, Key="k", **KEY)["Body"].read() == b"x"


@pytest.mark.fact("4.6.6", "5.3.2", "5.4.10", "5.4.11", "12.12", "11.D44")
def test_44_copies(s3, free):
    s3.put_object(Bucket=free, Key="k", Body=b"mine", **KEY)
    place = {"Bucket": free, "CopySource": f"{free}/k"}
    refusal = refused(s3.copy_object, **place, Key="copy")
    assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidRequest", MISSING)
    wrong = {f"CopySource{name}": value for name, value in OTHER.items()}
    assert refused(s3.copy_object, **place, Key="copy", **wrong).message == WRONG
    plain = s3.copy_object(**place, Key="copy", **SOURCE)
    assert plain["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"mine").hexdigest()}"'
    moved = s3.copy_object(**place, Key="k", **SOURCE, **OTHER)
    assert encryption_of(moved) == ECHO
    assert s3.get_object(Bucket=free, Key="k", **OTHER)["Body"].read() == b"mine"


def test_the_transfer_manager_of_boto3(s3, free):
    """By parts, with the key wherever boto3 puts it."""
    body = os.urandom(12 << 20)
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=2)
    s3.upload_fileobj(io.BytesIO(body), free, "k", ExtraArgs=KEY, Config=config)
    s3.copy({"Bucket": free, "Key": "k"}, free, "copy", ExtraArgs={**SOURCE, **OTHER}, SourceClient=s3, Config=config)
    for name, key in (("k", KEY), ("copy", OTHER)):
        back = io.BytesIO()
        s3.download_fileobj(free, name, back, ExtraArgs=key, Config=config)
        assert back.getvalue() == body


@pytest.mark.fact("4.4.12", "4.4.14")
def test_presigned_with_signed_headers(server, free):
    signing = server.client("s3", signature_version="s3v4")
    put = signing.generate_presigned_url("put_object", {"Bucket": free, "Key": "k", **KEY})
    get = signing.generate_presigned_url("get_object", {"Bucket": free, "Key": "k", **KEY})
    assert base64.b64encode(CUSTOMER_KEY).decode() not in put
    assert server.follow("PUT", put, TRIO, b"x").status == 200
    reply = server.follow("GET", get, TRIO)
    assert (reply.status, reply.body, reply.headers[f"{SSE}-customer-key-md5"]) == (200, b"x", MD5)
    assert server.follow("GET", get).error[:2] == (403, "SignatureDoesNotMatch")
    plain = signing.generate_presigned_url("get_object", {"Bucket": free, "Key": "k"})
    assert server.follow("GET", plain).error == (400, "InvalidRequest", MISSING)
    refusal = server.follow("GET", plain, TRIO)
    assert refusal.error == (403, "AccessDenied", "There were headers present in the request which were not signed")
    signing.close()


@pytest.mark.fact("4.4.13")
def test_presigned_with_the_key_in_the_query(server, free):
    """As SDKs do it that hoist headers; there they count like headers (4.4.13)."""
    owner = Credentials(server.owner.access_key_id, server.owner.secret_access_key)
    for method, body in (("PUT", b"x"), ("GET", b"")):
        request = AWSRequest(method, f"{server.url}/{free}/k", params=dict(TRIO))
        S3SigV4QueryAuth(owner, "s3", REGION, 60).add_auth(request)
        reply = server.follow(method, request.url, body=body)
        assert (reply.status, reply.headers[f"{SSE}-customer-key-md5"]) == (200, MD5)
    assert reply.body == b"x"


def test_the_key_is_not_sent_back_when_a_signature_is_wrong(server, free):
    """AWS's own answer holds the canonical request and with it the key; ours holds all of it but that."""
    signing = server.client("s3", signature_version="s3v4")
    url = signing.generate_presigned_url("put_object", {"Bucket": free, "Key": "k", **KEY})
    signing.close()
    reply = server.follow("PUT", url, TRIO | {f"{SSE}-customer-algorithm": "AES512"}, b"x")
    assert reply.members["Code"] == "SignatureDoesNotMatch"
    assert f"{SSE}-customer-key:***\n{SSE}-customer-key-md5:{MD5}" in reply.members["CanonicalRequest"]
    secret = base64.b64encode(CUSTOMER_KEY)
    assert secret not in reply.body
    assert secret.hex(" ").encode() not in reply.body


@pytest.mark.fact("2.1.3", "5.6.1", "5.6.8", "5.6.10", "12.2", "11.E48")
def test_48_a_block_stays_until_it_is_lifted_by_name(server, s3, bucket):
    refusal = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **KEY)  # new buckets are blocked (5.6.1)
    assert (refusal.status, refusal.code) == (403, "AccessDenied")  # the owner is not exempt (5.6.10)
    put_rule(s3, bucket, "aws:kms")  # the element omitted
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **KEY).code == "AccessDenied"
    put_rule(s3, bucket, "aws:kms", **UNBLOCKED)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **KEY)
    put_rule(s3, bucket)  # omitted again
    assert encryption_of(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **KEY)) == ECHO
    put_rule(s3, bucket, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **KEY).code == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="k", **KEY)["Body"].read() == b"x"


@pytest.mark.fact("5.6.7", "11.E50")
def test_50_an_upload_begun_before_the_block(s3, free):
    where = {"Bucket": free, "Key": "k"}
    where["UploadId"] = s3.create_multipart_upload(**where, **KEY)["UploadId"]
    part = s3.upload_part(**where, PartNumber=1, Body=b"x", **KEY)
    put_rule(s3, free, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
    named = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    for refusal in (
        refused(s3.upload_part, **where, PartNumber=2, Body=b"x", **KEY),
        refused(s3.complete_multipart_upload, **where, MultipartUpload=named),
    ):
        assert (refusal.status, refusal.code) == (403, "AccessDenied")
        assert "because this bucket has blocked upload requests" in refusal.message
    assert s3.list_parts(**where)["Parts"][0]["ETag"] == part["ETag"]
    assert s3.abort_multipart_upload(**where)["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.fact("5.1.3", "11.D45")
def test_45_the_disk_has_no_key_and_is_read_with_both(own_server):
    """Not with the root key alone; with root key and customer's key, by the reader written from the document."""
    s3 = own_server.client("s3")
    name = unique()
    s3.create_bucket(Bucket=name)
    put_rule(s3, name, **UNBLOCKED)
    bodies = {"small": os.urandom(4096), "large": os.urandom(1_000_000), "parts": os.urandom(5 << 20) + b"tail"}
    for object_key in ("small", "large"):
        s3.put_object(Bucket=name, Key=object_key, Body=bodies[object_key], **KEY)
    where = {"Bucket": name, "Key": "parts"}
    where["UploadId"] = s3.create_multipart_upload(**where, **KEY)["UploadId"]
    etags = [
        s3.upload_part(**where, PartNumber=number, Body=body, **KEY)["ETag"]
        for number, body in ((1, bodies["parts"][: 5 << 20]), (2, b"tail"))
    ]
    named = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": named})
    refused(s3.get_object, Bucket=name, Key="small", **OTHER)
    s3.close()
    own_server.stop()

    on_disk = b"".join(path.read_bytes() for path in own_server.folder.rglob("*") if path.is_file())  # the log as well
    for secret in (CUSTOMER_KEY, hashlib.md5(CUSTOMER_KEY).digest(), bodies["small"][:64], bodies["large"][:64]):
        for form in (secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode()):
            assert form not in on_disk

    root_key = bytes.fromhex((own_server.data / "root.key").read_text().strip())
    with closing(sqlite3.connect(own_server.data / "catalog.sqlite")) as catalog:
        keys = service_keys(
            catalog.execute("SELECT scope, content FROM document WHERE kind = 'service-key'").fetchall(), root_key
        )
        ((bucket_id,),) = catalog.execute("SELECT bucket_id FROM bucket WHERE name = ?", (name.encode(),)).fetchall()
        rows = catalog.execute("SELECT object_key, version_id, seal, manifest, body FROM version").fetchall()
    assert len(rows) == 3
    for object_key, version_id, seal, manifest, body in rows:
        streams = {}
        for blob_id, part_number, _ in slow.read_manifest(manifest):
            path = own_server.data / "blobs" / blob_id[:2] / blob_id[2:4] / blob_id
            streams[blob_id] = body if part_number == 0 else path.read_bytes()
        envelope = slow.read_envelope(seal)
        assert envelope["mode"] == 4
        read = [keys[envelope["key_id"]], (bucket_id, object_key.decode(), version_id), seal, manifest, streams]
        assert slow.read_object(*read, CUSTOMER_KEY) == bodies[object_key.decode()]
        with pytest.raises(slow.AnotherKey):
            slow.read_object(*read, bytes(32))
