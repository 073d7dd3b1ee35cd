"""Encryption headers that are refused, customer keys, and keys that KMS will not use.

Numbers are those of the facts about encryption (sections 4.4, 5, 9, 11).
"""

from __future__ import annotations

import base64

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.clients.house import OWNER, Server, refused
from tests.clients.rules import AES, REGION, SSE, TRIO, UNBLOCKED, context, encryption_of, put_rule, writes

# --------------------------------------------------------------------------------------------- 4.4: headers that are refused

NOT_SUPPORTED = "The encryption method specified is not supported"
NEEDS_KMS = f"Server Side Encryption with AWS KMS managed key requires HTTP header {SSE} : aws:kms"
INCOMPATIBLE = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
BAD_CONTEXT = f"The header '{SSE}-context' shall be Base64-encoded UTF-8 string holding JSON which represents a string-string map"
HEADER_ROWS = [
    ("4.4.1", {SSE: "true"}, NOT_SUPPORTED, {"ArgumentName": SSE, "ArgumentValue": "true"}),
    ("4.4.1 case", {SSE: "aes256"}, NOT_SUPPORTED, {"ArgumentName": SSE, "ArgumentValue": "aes256"}),
    ("4.4.1 empty", {SSE: ""}, NOT_SUPPORTED, {"ArgumentName": SSE, "ArgumentValue": ""}),
    ("4.4.1 fsx", {SSE: "aws:fsx"}, NOT_SUPPORTED, {"ArgumentName": SSE, "ArgumentValue": "aws:fsx"}),
    ("4.4.2", {f"{SSE}-aws-kms-key-id": "k"}, NEEDS_KMS, {}),
    ("4.4.2 aes", {f"{SSE}-aws-kms-key-id": "k", SSE: "AES256"}, NEEDS_KMS, {}),
    ("4.4.3", {SSE: "AES256", **TRIO}, INCOMPATIBLE, {"ArgumentName": SSE, "ArgumentValue": "AES256"}),
    (
        "4.4.3 before the algorithm",
        {SSE: "aws:kms", **TRIO, f"{SSE}-customer-algorithm": "KMS"},
        INCOMPATIBLE,
        {"ArgumentName": SSE, "ArgumentValue": "aws:kms"},
    ),
    ("4.4.4 no base64", {SSE: "aws:kms", f"{SSE}-context": "%%"}, BAD_CONTEXT, None),
    ("4.4.4 no json", {SSE: "aws:kms", f"{SSE}-context": base64.b64encode(b"a=b").decode()}, BAD_CONTEXT, None),
    ("4.4.4 nested", {SSE: "aws:kms", f"{SSE}-context": context({"a": {"b": "c"}})}, BAD_CONTEXT, None),
    ("4.4.6", {SSE: "aws:kms", f"{SSE}-bucket-key-enabled": "yes"}, None, None),
]


@pytest.mark.parametrize(("number", "headers", "message", "members"), HEADER_ROWS, ids=[row[0] for row in HEADER_ROWS])
@pytest.mark.fact("4.4.1", "4.4.2", "4.4.3", "4.4.4", "4.4.6", "5.2.1", "12.5", "12.10", "11.B16", "11.B17", "11.B18")
def test_4_4_headers_that_are_refused(server, s3, bucket, number, headers, message, members):
    put_rule(s3, bucket, "aws:kms", **UNBLOCKED)
    s3.put_object(Bucket=bucket, Key="source", Body=b"x", **AES)
    for reply in writes(server, bucket, headers):
        assert (reply.status, reply.members["Code"]) == (400, "InvalidArgument")
        if message is not None:
            assert reply.members["Message"] == message
        if members is not None:
            given = {name: text for name, text in reply.members.items() if name.startswith("Argument")}
            assert given == members
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["source"]


@pytest.mark.fact("4.4.5")
def test_4_4_5_an_empty_value_in_a_context(server, bucket):
    reply = server.ask("PUT", f"/{bucket}/k", {SSE: "aws:kms", f"{SSE}-context": context({"a": ""})}, b"x")
    assert reply.error[:2] == (400, "KMS.ValidationException")


@pytest.mark.fact("4.1.5", "4.9.2", "11.B21")
def test_21_a_context_is_bound_and_told_once(s3, bucket):
    given = context({"project": "ü", "a": "b"})
    written = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=given)
    assert written["SSEKMSEncryptionContext"] == given
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"x"
    assert "SSEKMSEncryptionContext" not in got
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=given)
    assert created["SSEKMSEncryptionContext"] == given
    own = context({"aws:s3:arn": f"arn:aws:s3:::{bucket}/k"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"y", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=own)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"y"
    other = context({"aws:s3:arn": f"arn:aws:s3:::{bucket}/other"})
    with pytest.raises(s3.exceptions.ClientError, match="string-string map"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"z", ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=other)


@pytest.mark.fact("4.4.8", "4.7.5", "11.B22")
def test_22_the_header_where_it_does_not_belong(server, s3, bucket):
    created = s3.create_multipart_upload(Bucket=bucket, Key="k")
    upload = f"uploadId={created['UploadId']}"
    s3.put_object(Bucket=bucket, Key="source", Body=b"x")
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=created["UploadId"], PartNumber=1, Body=b"x")
    complete = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part['ETag']}</ETag></Part></CompleteMultipartUpload>"
    )
    copy = {"x-amz-copy-source": f"{bucket}/source"}
    for reply in (
        server.ask("PUT", f"/{bucket}/k?partNumber=1&{upload}", {SSE: "AES256"}, b"x"),
        server.ask("PUT", f"/{bucket}/k?partNumber=1&{upload}", {SSE: "AES256", **copy}),
        server.ask("POST", f"/{bucket}/k?{upload}", {SSE: "AES256"}, complete.encode()),
        server.ask("GET", f"/{bucket}?list-type=2", {SSE: "AES256"}),
        server.ask("GET", f"/{bucket}", {SSE: "AES256"}),
        server.ask("GET", f"/{bucket}?uploads", {SSE: "AES256"}),
        server.ask("GET", f"/{bucket}/k?{upload}", {SSE: "AES256"}),
    ):
        assert reply.error == (400, "InvalidArgument", f"{SSE} header is not supported for this operation.")
        assert (reply.members["ArgumentName"], reply.members["ArgumentValue"]) == (SSE, "AES256")


@pytest.mark.fact("4.4.12", "4.4.14")
def test_23_a_presigned_put_says_its_encryption(server, bucket):
    signing = server.client("s3", signature_version="s3v4")
    url = signing.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms"})
    assert "x-amz-server-side-encryption" in url  # among the signed headers
    reply = server.follow("PUT", url, {SSE: "aws:kms"}, b"x")
    assert (reply.status, reply.headers[SSE]) == (200, "aws:kms")
    assert server.follow("PUT", url, {SSE: "AES256"}, b"x").error[:2] == (403, "SignatureDoesNotMatch")  # 4.4.14
    assert server.follow("PUT", url, body=b"x").error[:2] == (403, "SignatureDoesNotMatch")
    plain = signing.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
    reply = server.follow("PUT", plain, {SSE: "aws:kms"}, b"x")
    assert reply.error == (403, "AccessDenied", "There were headers present in the request which were not signed")
    assert reply.members["HeadersNotSigned"] == SSE
    signing.close()


@pytest.mark.parametrize(("header", "status"), [({}, 200), ({SSE: "AES256"}, 200), ({SSE: "aws:kms"}, 403)], ids=str)
@pytest.mark.fact("4.4.13", "11.B23")
def test_4_4_13_the_encryption_in_the_query_of_a_presigned_url(server, s3, bucket, header, status):
    """As SDKs do it that hoist headers into the query; there it counts like the header."""
    put_rule(s3, bucket, "aws:kms")
    request = AWSRequest("PUT", f"{server.url}/{bucket}/k", params={SSE: "AES256"})
    owner = Credentials(server.owner.access_key_id, server.owner.secret_access_key)
    S3SigV4QueryAuth(owner, "s3", REGION, 60).add_auth(request)
    reply = server.follow("PUT", request.url, header, b"x")
    assert reply.status == status
    if status == 200:
        assert reply.headers[SSE] == "AES256"


@pytest.mark.fact("4.4.10", "5.1.4", "E35", "11.D43", "12.8")
def test_4_4_10_kms_wants_a_safe_way(tmp_path):
    server = Server(tmp_path, {"STRONGROOM_PLAIN_HTTP_SECRETS": "refuse"})
    server.start()
    try:
        s3 = server.client("s3")
        s3.create_bucket(Bucket="bucket")
        refusal = refused(s3.put_object, Bucket="bucket", Key="k", ServerSideEncryption="aws:kms")
        message = "Requests specifying Server Side Encryption with AWS KMS managed keys must be made over a secure connection."
        assert (refusal.status, refusal.code, refusal.message) == (400, "InvalidArgument", message)
        put_rule(s3, "bucket", "aws:kms", **UNBLOCKED)
        assert refused(s3.put_object, Bucket="bucket", Key="k", Body=b"x").message == message
        reply = server.ask("PUT", "/bucket/k", TRIO, b"x")
        message = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
        assert reply.error == (400, "InvalidArgument", message)
        assert encryption_of(s3.put_object(Bucket="bucket", Key="k", Body=b"x", **AES)) == AES
        s3.close()
    finally:
        server.close()


# --------------------------------------------------------------------------------- 5.6: blocked customer keys; what is unbuilt


@pytest.mark.parametrize(
    "trio", [TRIO, {**TRIO, f"{SSE}-customer-key-md5": base64.b64encode(bytes(16)).decode()}], ids=["46", "47"]
)
@pytest.mark.fact("5.6.2", "5.6.4", "5.6.5", "11.E47", "11.E46")
def test_46_47_a_blocked_customer_key_is_refused_before_it_is_looked_at(server, s3, bucket, trio):
    s3.put_object(Bucket=bucket, Key="source", Body=b"x")
    blocked = (
        f'User: {server.owner.arn} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::{bucket}/k" because '
        "this bucket has blocked upload requests that specify Server Side Encryption with Customer provided keys (SSE-C). "
        "Please specify a different server-side encryption type"
    )
    for reply in writes(server, bucket, trio):
        assert reply.error == (403, "AccessDenied", blocked)


# ------------------------------------------------------------------------------------------------------------- 9: KMS says no


@pytest.mark.fact("4.8.3", "4.8.4", "4.8.5", "9.8", "9.9", "9.22", "A55", "11.F52")
def test_52_53_a_key_that_is_switched_off_or_on_its_way_out(s3, kms, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret", ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])
    arn, name = key["Arn"], key["KeyId"]

    def outcome():
        refusal = refused(s3.get_object, Bucket=bucket, Key="k")
        assert refusal.status == 400
        assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 6  # 4.8.4
        return refusal.code, refusal.message

    kms.disable_key(KeyId=name)
    assert outcome() == ("KMS.DisabledException", f"{arn} is disabled.")
    kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=7)
    assert outcome() == ("KMS.KMSInvalidStateException", f"{arn} is pending deletion.")
    kms.cancel_key_deletion(KeyId=name)
    assert outcome() == ("KMS.DisabledException", f"{arn} is disabled.")  # 9.22: cancelling leaves it disabled
    kms.enable_key(KeyId=name)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"
    kms.disable_key(KeyId=name)
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204  # 4.8.5


@pytest.mark.fact("9.8", "9.19", "9.20")
def test_9_19_a_failed_write_leaves_the_old_object(s3, kms, bucket, key):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    kms.disable_key(KeyId=key["KeyId"])
    put_rule(s3, bucket, "aws:kms", key["KeyId"])
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new").code == "KMS.DisabledException"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


@pytest.mark.fact("2.3.4", "9.15")
def test_9_15_the_key_of_another_account(server, s3, stranger, bucket):
    theirs = server.client("kms", stranger)
    foreign = theirs.create_key()["KeyMetadata"]
    refusal = refused(s3.put_object, Bucket=bucket, Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId=foreign["Arn"])
    assert (refusal.status, refusal.code) == (403, "AccessDenied")
    assert refusal.message == (
        f"User: {server.owner.arn} is not authorized to perform: kms:GenerateDataKey on this resource because the resource does not "
        "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
    )
    own = refused(s3.put_object, Bucket=bucket, Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId=foreign["KeyId"])
    assert own.message == f"Key 'arn:aws:kms:{REGION}:{OWNER}:key/{foreign['KeyId']}' does not exist"  # 2.3.4
    theirs.close()
