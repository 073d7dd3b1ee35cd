"""Who may, by bucket policy: boto3 as the owner, as the root of another account, and as nobody."""

from __future__ import annotations

import json

import pytest
from botocore import UNSIGNED

from tests.clients.house import OWNER, STRANGER, refused, rule, unique
from tests.clients.rules import read_rule

pytestmark = pytest.mark.usefixtures("stranger")  # whom policies name must be there
SSE = "s3:x-amz-server-side-encryption"


def arn(bucket, key=None):
    return f"arn:aws:s3:::{bucket}" + ("" if key is None else f"/{key}")


def says(effect, principal, action, resource, **condition):
    found = {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource}
    return {**found, "Condition": condition} if condition else found


def document(*statements, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


@pytest.fixture(scope="module")
def other(server, stranger):
    client = server.client("s3", stranger)
    yield client
    client.close()


@pytest.fixture(scope="module")
def nobody(server):
    client = server.client("s3", signature_version=UNSIGNED)
    yield client
    client.close()


@pytest.fixture
def put(s3, bucket):
    def put(*statements):
        return s3.put_bucket_policy(Bucket=bucket, Policy=document(*statements))

    return put


@pytest.fixture
def opened(s3, bucket):
    """A bucket whose public access is not blocked."""
    s3.delete_public_access_block(Bucket=bucket)
    return bucket


def to_stranger(bucket, *actions, key="*", **condition):
    resources = [arn(bucket), arn(bucket, key)]
    return says("Allow", {"AWS": STRANGER}, list(actions), resources, **condition)


class TestTheMainStory:
    @pytest.mark.fact("11.G60")
    def test_the_owner_reads_the_rule_a_stranger_does_not_until_a_policy_lets_it(self, s3, other, bucket, put):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms"))
        mine = read_rule(s3, bucket)
        denied = refused(other.get_bucket_encryption, Bucket=bucket)
        assert (denied.status, denied.code, denied.message) == (403, "AccessDenied", "Access Denied")

        put(says("Allow", {"AWS": f"arn:aws:iam::{STRANGER}:root"}, "s3:GetEncryptionConfiguration", arn(bucket)))
        assert read_rule(other, bucket) == mine
        assert other.get_bucket_encryption(Bucket=bucket, ExpectedBucketOwner=OWNER)
        wrong = refused(other.get_bucket_encryption, Bucket=bucket, ExpectedBucketOwner=STRANGER)
        assert (wrong.status, wrong.code) == (403, "AccessDenied")
        assert refused(s3.get_bucket_encryption, Bucket=bucket, ExpectedBucketOwner=STRANGER).status == 403
        # One right is one right.
        assert refused(other.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=rule()).status == 403
        assert refused(other.delete_bucket_encryption, Bucket=bucket).status == 403
        assert refused(other.list_objects_v2, Bucket=bucket).status == 403

        s3.delete_bucket_policy(Bucket=bucket)
        assert refused(other.get_bucket_encryption, Bucket=bucket).code == "AccessDenied"
        assert read_rule(s3, bucket) == mine

    def test_writing_the_rule_can_be_granted_too(self, s3, other, bucket, put):
        put(to_stranger(bucket, "s3:PutEncryptionConfiguration"))
        other.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms"))
        assert read_rule(s3, bucket)["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        other.delete_bucket_encryption(Bucket=bucket)
        assert refused(other.get_bucket_encryption, Bucket=bucket).status == 403

    def test_an_explicit_deny_binds_the_owner_s_root_and_says_so(self, s3, bucket, put, server):
        put(says("Deny", "*", "s3:GetEncryptionConfiguration", arn(bucket)))
        denied = refused(s3.get_bucket_encryption, Bucket=bucket)
        text = f"User: arn:aws:iam::{OWNER}:root is not authorized to perform: s3:GetEncryptionConfiguration on resource: "
        text += f'"{arn(bucket)}" with an explicit deny in a resource-based policy'
        assert (denied.status, denied.message) == (403, text)
        s3.delete_bucket_policy(Bucket=bucket)
        assert read_rule(s3, bucket)


class TestKeeping:
    @pytest.mark.fact("C38", "C39")
    def test_c38_c39_put_get_delete_and_status(self, s3, bucket):
        text = '{"Version":"2012-10-17",  "Statement":[{"Sid":"A b","Effect":"Allow","Principal":{"AWS":"' + STRANGER + '"},'
        text += '"Action":"s3:ListBucket","Resource":"' + arn(bucket) + '"}]}'
        put = s3.put_bucket_policy(Bucket=bucket, Policy=text)
        assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
        got = s3.get_bucket_policy(Bucket=bucket)
        assert json.loads(got["Policy"]) == json.loads(text)
        assert got["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/json"
        assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
        for _ in range(2):
            assert s3.delete_bucket_policy(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        for call in (s3.get_bucket_policy, s3.get_bucket_policy_status):
            missing = refused(call, Bucket=bucket)
            assert (missing.status, missing.code, missing.message, missing.members) == (
                404,
                "NoSuchBucketPolicy",
                "The bucket policy does not exist",
                {"BucketName": bucket},
            )

    @pytest.mark.fact("C40")
    @pytest.mark.parametrize(
        ("statement", "message", "detail"),
        [
            ({"Action": "s3:Fly"}, "Policy has invalid action", "s3:Fly"),
            ({"Principal": {"AWS": "999999999999"}}, "Invalid principal in policy", '"AWS" : "999999999999"'),
            ({"Principal": {"AWS": "x"}}, "Invalid principal in policy", '"AWS" : "x"'),
            (
                {"Principal": {"AWS": f"arn:aws:iam::{OWNER}:user/nobody"}},
                "Invalid principal in policy",
                f'"AWS" : "arn:aws:iam::{OWNER}:user/nobody"',
            ),
            ({"Principal": {"CanonicalUser": "5" * 64}}, "Invalid principal in policy", f'"CanonicalUser" : "{"5" * 64}"'),
            ({"Resource": "arn:aws:s3:::*"}, "Policy has invalid resource", "arn:aws:s3:::*"),
            ({"Principal": f"arn:aws:iam::{OWNER}:root"}, "Invalid policy syntax.", None),
            ({"Condition": {"Like": {"aws:x": "y"}}}, "Invalid Condition type : Like", None),
        ],
    )
    def test_c40_a_malformed_policy_is_refused_and_the_old_one_stays(self, s3, bucket, put, statement, message, detail):
        put(to_stranger(bucket, "s3:ListBucket"))
        before = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        bad = says("Allow", {"AWS": STRANGER}, "s3:ListBucket", arn(bucket)) | statement
        error = refused(s3.put_bucket_policy, Bucket=bucket, Policy=document(bad))
        assert (error.status, error.code, error.message) == (400, "MalformedPolicy", message)
        assert error.members == ({} if detail is None else {"Detail": detail})
        assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == before

    @pytest.mark.fact("C40")
    def test_c40_broken_bodies(self, server, bucket):
        first = "Policies must be valid JSON and the first byte must be '{'"
        for body, message in ((b"", first), (b"[]", first), (b"{", "This policy contains invalid Json"), (b"\xff{}", first)):
            assert server.ask("PUT", f"/{bucket}?policy", body=body).error == (400, "MalformedPolicy", message)

    @pytest.mark.fact("C40")
    def test_c40_a_policy_may_have_20480_bytes(self, s3, bucket, put):
        def sized(length):
            statement = says("Allow", {"AWS": STRANGER}, "s3:ListBucket", arn(bucket))
            room = length - len(json.dumps({"Statement": [{**statement, "Sid": ""}]}, separators=(",", ":")))
            return json.dumps({"Statement": [{**statement, "Sid": "x" * room}]}, indent=4)

        s3.put_bucket_policy(Bucket=bucket, Policy=sized(20_480))
        error = refused(s3.put_bucket_policy, Bucket=bucket, Policy=sized(20_481))
        assert error.message == "Normalized policy document exceeds the maximum allowed size of 20480 bytes"

    @pytest.mark.fact("C10")
    def test_c10_root_is_never_locked_out_of_the_policy_itself(self, s3, bucket, put):
        put(says("Deny", "*", "s3:*", [arn(bucket), arn(bucket, "*")]))
        assert refused(s3.list_objects_v2, Bucket=bucket).status == 403
        assert refused(s3.get_bucket_policy_status, Bucket=bucket).status == 403
        assert s3.get_bucket_policy(Bucket=bucket)["Policy"]
        put(says("Deny", "*", "s3:PutBucketPolicy", arn(bucket)))
        s3.delete_bucket_policy(Bucket=bucket)

    def test_another_account_cannot_be_given_the_policy(self, other, bucket, put):
        put(to_stranger(bucket, "s3:*"))
        for call, given in (
            (other.get_bucket_policy, {}),
            (other.delete_bucket_policy, {}),
            (other.put_bucket_policy, {"Policy": document(to_stranger(bucket, "s3:*"))}),
        ):
            error = refused(call, Bucket=bucket, **given)
            assert (error.status, error.code) == (405, "MethodNotAllowed")
        assert other.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}

    def test_a_new_bucket_of_the_name_has_no_policy(self, s3, other):
        name = unique()
        s3.create_bucket(Bucket=name)
        s3.put_bucket_policy(Bucket=name, Policy=document(to_stranger(name, "s3:ListBucket")))
        assert other.list_objects_v2(Bucket=name)["KeyCount"] == 0
        s3.delete_bucket(Bucket=name)
        s3.create_bucket(Bucket=name)
        assert refused(other.list_objects_v2, Bucket=name).status == 403


class TestObjects:
    def test_another_account_reads_and_writes_what_it_was_given(self, s3, other, bucket, put):
        s3.put_object(Bucket=bucket, Key="shared/a", Body=b"a")
        s3.put_object(Bucket=bucket, Key="private/b", Body=b"b")
        put(to_stranger(bucket, "s3:GetObject", "s3:PutObject", key="shared/*"))
        assert other.get_object(Bucket=bucket, Key="shared/a")["Body"].read() == b"a"
        other.put_object(Bucket=bucket, Key="shared/c", Body=b"c")
        assert s3.get_object(Bucket=bucket, Key="shared/c")["Body"].read() == b"c"
        assert refused(other.get_object, Bucket=bucket, Key="private/b").status == 403
        assert refused(other.delete_object, Bucket=bucket, Key="shared/a").status == 403
        assert refused(other.copy_object, Bucket=bucket, Key="shared/d", CopySource=f"{bucket}/private/b").status == 403
        other.copy_object(Bucket=bucket, Key="shared/d", CopySource=f"{bucket}/shared/a")

    def test_a_canonical_user_is_the_account(self, s3, other, bucket, put):
        stranger_id = other.list_buckets()["Owner"]["ID"]
        put(says("Allow", {"CanonicalUser": stranger_id}, "s3:ListBucket", arn(bucket)))
        assert other.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_the_owner_of_an_upload_s_object_is_the_bucket_s(self, s3, other, bucket, put):
        put(to_stranger(bucket, "s3:PutObject", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"))
        upload = other.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        part = other.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        owner = s3.list_buckets()["Owner"]["ID"]
        assert other.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Owner"]["ID"] == owner
        assert other.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["Owner"]["ID"] == owner
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        other.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"

    @pytest.mark.fact("E13", "E14")
    def test_e13_e14_whether_a_key_is_there_is_told_to_those_who_may_list(self, s3, other, bucket, put):
        put(to_stranger(bucket, "s3:GetObject"))
        for call in (other.get_object, other.head_object):
            assert refused(call, Bucket=bucket, Key="missing").status == 403
        assert refused(other.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/missing").status == 403
        put(to_stranger(bucket, "s3:GetObject", "s3:ListBucket"))
        assert refused(other.get_object, Bucket=bucket, Key="missing").code == "NoSuchKey"
        put(
            to_stranger(bucket, "s3:GetObject"),
            says("Allow", {"AWS": STRANGER}, "s3:ListBucket", arn(bucket), StringLike={"s3:prefix": "open/*"}),
        )
        assert refused(other.get_object, Bucket=bucket, Key="open/missing").code == "NoSuchKey"
        assert refused(other.get_object, Bucket=bucket, Key="closed/missing").code == "AccessDenied"

    @pytest.mark.fact("E14")
    def test_e14_the_owner_is_told_which_right_is_missing(self, s3, bucket, put):
        put(says("Deny", "*", "s3:ListBucket", arn(bucket)))
        denied = refused(s3.get_object, Bucket=bucket, Key="missing")
        assert denied.message == (
            f'User: arn:aws:iam::{OWNER}:root is not authorized to perform: s3:ListBucket on resource: "{arn(bucket)}" '
            "with an explicit deny in a resource-based policy"
        )

    @pytest.mark.fact("E12")
    def test_e12_deletes_are_judged_key_by_key(self, s3, bucket, put):
        for key in ("a", "b"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"")
        put(says("Deny", "*", "s3:DeleteObject", arn(bucket, "a")))
        done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
        assert [one["Key"] for one in done["Deleted"]] == ["b"]
        assert [(one["Key"], one["Code"]) for one in done["Errors"]] == [("a", "AccessDenied")]

    @pytest.mark.fact("A88")
    def test_a88_a_foreign_writer_uses_the_aws_s3_of_its_own_account(self, s3, other, bucket, put):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms"))
        put(to_stranger(bucket, "s3:PutObject", "s3:GetObject"))
        written = other.put_object(Bucket=bucket, Key="k", Body=b"theirs")
        assert f":{STRANGER}:key/" in written["SSEKMSKeyId"]
        assert other.get_object(Bucket=bucket, Key="k")["Body"].read() == b"theirs"
        assert refused(s3.get_object, Bucket=bucket, Key="k").status == 403


class TestConditions:
    def deny(self, bucket, *, action="s3:PutObject", **condition):
        return says("Deny", "*", action, arn(bucket, "*"), **condition)

    @pytest.mark.fact("10.5", "D16")
    @pytest.mark.parametrize(
        ("sent", "allowed"),
        [({}, False), ({"ServerSideEncryption": "AES256"}, False), ({"ServerSideEncryption": "aws:kms"}, True)],
    )
    def test_10_5_d16_the_header_is_what_counts_not_the_default(self, s3, bucket, put, sent, allowed):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule("aws:kms"))
        put(self.deny(bucket, StringNotEquals={SSE: "aws:kms"}))
        if allowed:
            s3.put_object(Bucket=bucket, Key="k", Body=b"", **sent)
            s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k", **sent)
        else:
            denied = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", **sent)
            assert denied.message.endswith("with an explicit deny in a resource-based policy")
            assert refused(s3.create_multipart_upload, Bucket=bucket, Key="k", **sent).status == 403

    @pytest.mark.fact("10.12", "D19")
    def test_10_12_d19_parts_are_judged_by_their_upload(self, s3, bucket, put):
        put(self.deny(bucket, StringNotEquals={SSE: "AES256"}))
        assert refused(s3.create_multipart_upload, Bucket=bucket, Key="k").status == 403
        upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ServerSideEncryption="AES256")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"

    @pytest.mark.fact("10.8", "11.G59")
    def test_10_8_forbid_sse_c(self, s3, bucket, put):
        put(self.deny(bucket, Null={f"{SSE}-customer-algorithm": "false"}))
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
        denied = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32)
        assert denied.message.endswith("with an explicit deny in a resource-based policy")

    @pytest.mark.fact("10.9")
    def test_10_9_tls_only(self, s3, bucket, put):
        put(self.deny(bucket, action="s3:*", Bool={"aws:SecureTransport": "false"}))
        assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"").status == 403

    @pytest.mark.fact("C35")
    @pytest.mark.parametrize(
        ("condition", "allowed"),
        [
            ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
            ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, False),
            ({"StringLike": {"aws:UserAgent": "Boto3/*"}}, True),
            ({"StringEquals": {"aws:PrincipalAccount": STRANGER}}, True),
            ({"StringEquals": {"aws:PrincipalAccount": OWNER}}, False),
            ({"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{STRANGER}:root"}}, True),
            ({"StringEquals": {"aws:PrincipalType": "Account", "aws:userid": STRANGER}}, True),
            ({"Null": {"aws:username": "true"}}, True),
            ({"StringEquals": {"aws:ResourceAccount": OWNER, "s3:ResourceAccount": OWNER}}, True),
            ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, True),
            (
                {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}, "DateLessThan": {"aws:EpochTime": "4102444800"}},
                True,
            ),
            ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
            ({"StringEquals": {"s3:authType": "REST-HEADER", "s3:signatureversion": "AWS4-HMAC-SHA256"}}, True),
            ({"StringEquals": {"s3:authType": "REST-QUERY-STRING"}}, False),
            ({"NumericLessThan": {"s3:signatureAge": "600000"}}, True),
            ({"Null": {"s3:TlsVersion": "false"}}, False),
        ],
    )
    def test_c35_keys_of_every_request(self, s3, other, bucket, put, condition, allowed):
        put(says("Allow", {"AWS": STRANGER}, "s3:ListBucket", arn(bucket), **condition))
        if allowed:
            other.list_objects_v2(Bucket=bucket)
        else:
            assert refused(other.list_objects_v2, Bucket=bucket).status == 403

    def test_prefix_delimiter_and_max_keys(self, s3, other, bucket, put):
        condition = {
            "StringEquals": {"s3:prefix": "home/", "s3:delimiter": "/"},
            "NumericLessThanEquals": {"s3:max-keys": "10"},
        }
        put(says("Allow", {"AWS": STRANGER}, "s3:ListBucket", arn(bucket), **condition))
        other.list_objects_v2(Bucket=bucket, Prefix="home/", Delimiter="/", MaxKeys=10)
        other.list_objects(Bucket=bucket, Prefix="home/", Delimiter="/", MaxKeys=1)
        for given in ({"Prefix": "home/", "Delimiter": "/", "MaxKeys": 11}, {"Prefix": "home/", "MaxKeys": 10}, {}):
            assert refused(other.list_objects_v2, Bucket=bucket, **given).status == 403

    @pytest.mark.fact("C45")
    def test_c45_the_copy_source_is_compared_as_it_was_sent(self, s3, bucket, put, server):
        s3.put_object(Bucket=bucket, Key="a b", Body=b"")
        put(self.deny(bucket, StringNotEquals={"s3:x-amz-copy-source": f"{bucket}/a%20b"}))
        assert server.ask("PUT", f"/{bucket}/k", {"x-amz-copy-source": f"{bucket}/a%20b"}).status == 200
        assert server.ask("PUT", f"/{bucket}/k", {"x-amz-copy-source": f"{bucket}/a+b"}).status == 403

    def test_headers_of_a_presigned_query_count(self, s3, server, bucket, put):
        put(self.deny(bucket, StringNotEquals={"s3:x-amz-storage-class": "STANDARD_IA"}))
        client = server.client("s3", signature_version="s3v4")
        url = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k", "StorageClass": "STANDARD_IA"})
        assert server.follow("PUT", url, {"x-amz-storage-class": "STANDARD_IA"}, b"x").status == 200
        plain = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
        assert server.follow("PUT", plain, body=b"x").status == 403

    def test_variables(self, other, bucket, put, s3):
        s3.put_object(Bucket=bucket, Key=f"{STRANGER}/k", Body=b"mine")
        s3.put_object(Bucket=bucket, Key=f"{OWNER}/k", Body=b"not mine")
        put(says("Allow", {"AWS": STRANGER}, "s3:GetObject", arn(bucket, "${aws:PrincipalAccount}/*")))
        assert other.get_object(Bucket=bucket, Key=f"{STRANGER}/k")["Body"].read() == b"mine"
        assert refused(other.get_object, Bucket=bucket, Key=f"{OWNER}/k").status == 403


class TestPublic:
    READ = staticmethod(lambda bucket: says("Allow", "*", "s3:GetObject", arn(bucket, "*")))

    @pytest.mark.fact("E17", "E18")
    def test_e17_e18_settings_of_a_new_bucket_and_without(self, s3, bucket):
        read = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert read == dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
        for _ in range(2):
            s3.delete_public_access_block(Bucket=bucket)
        missing = refused(s3.get_public_access_block, Bucket=bucket)
        assert (missing.status, missing.code, missing.message, missing.members) == (
            404,
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            {"BucketName": bucket},
        )
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
        read = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert read == {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": False,
            "BlockPublicPolicy": False,
            "RestrictPublicBuckets": False,
        }

    @pytest.mark.fact("E8")
    def test_e8_a_public_policy_is_refused_while_it_is_blocked(self, s3, bucket, put):
        denied = refused(s3.put_bucket_policy, Bucket=bucket, Policy=document(self.READ(bucket)))
        text = f'User: arn:aws:iam::{OWNER}:root is not authorized to perform: s3:PutBucketPolicy on resource: "{arn(bucket)}" '
        text += "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access."
        assert (denied.status, denied.code, denied.message) == (403, "AccessDenied", text)
        assert refused(s3.get_bucket_policy, Bucket=bucket).code == "NoSuchBucketPolicy"

    def test_nobody_reads_what_a_policy_opens_and_nothing_else(self, s3, nobody, opened, put):
        s3.put_object(Bucket=opened, Key="k", Body=b"for all")
        denied = refused(nobody.get_object, Bucket=opened, Key="k")
        assert (denied.status, denied.message) == (403, "Access Denied")
        put(self.READ(opened))
        assert s3.get_bucket_policy_status(Bucket=opened)["PolicyStatus"] == {"IsPublic": True}
        assert nobody.get_object(Bucket=opened, Key="k")["Body"].read() == b"for all"
        assert refused(nobody.get_object, Bucket=opened, Key="missing").status == 403
        for call, given in (
            (nobody.put_object, {"Key": "k", "Body": b""}),
            (nobody.delete_object, {"Key": "k"}),
            (nobody.list_objects_v2, {}),
            (nobody.get_bucket_policy, {}),
            (nobody.get_bucket_encryption, {}),
        ):
            assert refused(call, Bucket=opened, **given).status == 403

    @pytest.mark.fact("E34")
    def test_e34_nobody_reads_what_is_under_a_kms_key(self, s3, nobody, opened, put):
        s3.put_object(Bucket=opened, Key="k", Body=b"", ServerSideEncryption="aws:kms")
        put(says("Allow", "*", ["s3:GetObject", "s3:PutObject"], arn(opened, "*")))
        denied = refused(nobody.get_object, Bucket=opened, Key="k")
        assert (denied.status, denied.code) == (400, "InvalidArgument")
        assert refused(nobody.put_object, Bucket=opened, Key="n", Body=b"", ServerSideEncryption="aws:kms").status == 400

    @pytest.mark.fact("E24")
    def test_e24_restricted_buckets_keep_their_own_account(self, s3, other, nobody, opened, put):
        s3.put_object(Bucket=opened, Key="k", Body=b"x")
        put(self.READ(opened))
        assert other.get_object(Bucket=opened, Key="k")["Body"].read() == b"x"
        s3.put_public_access_block(Bucket=opened, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
        for client in (other, nobody):
            assert refused(client.get_object, Bucket=opened, Key="k").message == "Access Denied"
        assert s3.get_object(Bucket=opened, Key="k")["Body"].read() == b"x"

    @pytest.mark.fact("C14")
    def test_c14_principal_bound_keys_are_absent_for_nobody(self, s3, nobody, opened, put):
        s3.put_object(Bucket=opened, Key="k", Body=b"x")
        for condition, allowed in (
            ({"Null": {"aws:PrincipalArn": "true", "aws:PrincipalAccount": "true", "s3:authType": "true"}}, True),
            ({"StringEquals": {"aws:userid": "anonymous", "aws:PrincipalType": "Anonymous"}}, True),
            ({"StringLike": {"aws:PrincipalArn": "*"}}, False),
        ):
            put({**self.READ(opened), "Condition": condition})
            if allowed:
                assert nobody.get_object(Bucket=opened, Key="k")["Body"].read() == b"x"
            else:
                assert refused(nobody.get_object, Bucket=opened, Key="k").status == 403
