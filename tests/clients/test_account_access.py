"""Block Public Access of a whole account, by boto3's client for S3 Control."""

from __future__ import annotations

import json
import re

import pytest
from botocore import UNSIGNED

from tests.clients.house import OWNER, STRANGER, refused, unique

ALL = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def error_of(reply):
    """S3 Control puts its errors into an envelope."""
    found = re.fullmatch(
        rb"<\?xml[^>]*>\n<ErrorResponse><Error><Code>(\w+)</Code><Message>.+</Error><RequestId>.+</RequestId><HostId>.+</HostId>"
        rb"</ErrorResponse>",
        reply.body,
    )
    assert found is not None, reply.body
    return reply.status, found[1].decode()


def block(*names):
    return dict.fromkeys(ALL, False) | dict.fromkeys(names, True)


@pytest.fixture
def control(server, resolving):
    """The client puts the account id before the name of the host."""
    client = server.client("s3control", url=f"http://localhost:{server.port}")
    yield client
    client.delete_public_access_block(AccountId=OWNER)
    client.close()


@pytest.fixture
def put(control):
    return lambda *names: control.put_public_access_block(AccountId=OWNER, PublicAccessBlockConfiguration=block(*names))


@pytest.fixture
def nobody(server):
    client = server.client("s3", signature_version=UNSIGNED)
    yield client
    client.close()


@pytest.fixture
def opened(s3):
    """A bucket of which nothing is blocked, where lists count."""
    name = unique()
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket=name)
    return name


@pytest.mark.fact("E18")
def test_e18_absent_put_and_deleted(control):
    missing = refused(control.get_public_access_block, AccountId=OWNER)
    assert (missing.status, missing.code, missing.message, missing.members) == (
        404,
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
        {"AccountId": OWNER},
    )
    control.put_public_access_block(AccountId=OWNER, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    got = control.get_public_access_block(AccountId=OWNER)["PublicAccessBlockConfiguration"]
    assert got == block("IgnorePublicAcls")
    for _ in range(2):
        assert control.delete_public_access_block(AccountId=OWNER)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(control.get_public_access_block, AccountId=OWNER).status == 404


def test_of_one_s_own_account_and_by_its_own_right(server, control, stranger):
    theirs = server.client("s3control", stranger, url=f"http://localhost:{server.port}")
    for call, more in (
        (theirs.get_public_access_block, {}),
        (theirs.put_public_access_block, {"PublicAccessBlockConfiguration": block()}),
        (theirs.delete_public_access_block, {}),
    ):
        denied = refused(call, AccountId=OWNER, **more)
        assert (denied.status, denied.code, denied.message) == (403, "AccessDenied", "Access Denied")
    assert refused(theirs.get_public_access_block, AccountId=STRANGER).status == 404
    unsigned = server.send("GET", "/v20180820/configuration/publicAccessBlock", {"x-amz-account-id": OWNER})
    assert error_of(unsigned) == (403, "AccessDenied")
    iam = server.client("iam")
    iam.create_user(UserName="block-reader")
    key = iam.create_access_key(UserName="block-reader")["AccessKey"]
    user = server.client(
        "s3control", type(stranger)(OWNER, key["AccessKeyId"], key["SecretAccessKey"]), url=f"http://localhost:{server.port}"
    )
    denied = refused(user.get_public_access_block, AccountId=OWNER)
    assert denied.message.endswith("because no identity-based policy allows the s3:GetAccountPublicAccessBlock action")
    allow = {"Statement": {"Effect": "Allow", "Action": "s3:GetAccountPublicAccessBlock", "Resource": "*"}}
    iam.put_user_policy(UserName="block-reader", PolicyName="p", PolicyDocument=json.dumps(allow))
    assert refused(user.get_public_access_block, AccountId=OWNER).status == 404
    assert refused(user.put_public_access_block, AccountId=OWNER, PublicAccessBlockConfiguration=block()).status == 403


def test_what_is_not_built_answers_501(control, server):
    answer = refused(control.list_access_points, AccountId=OWNER)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    answer = refused(control.get_access_point_policy, AccountId=OWNER, Name="point")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    body = b"<PublicAccessBlockConfiguration><Other/></PublicAccessBlockConfiguration>"
    path = "/v20180820/configuration/publicAccessBlock"
    assert error_of(server.ask("PUT", path, {"x-amz-account-id": OWNER}, body)) == (400, "MalformedXML")


def test_a_bucket_may_have_the_name_of_the_version(s3):
    s3.create_bucket(Bucket="v20180820")
    s3.put_object(Bucket="v20180820", Key="configuration/publicAccessBlock", Body=b"x")
    with s3.get_object(Bucket="v20180820", Key="configuration/publicAccessBlock")["Body"] as body:
        assert body.read() == b"x"


def test_of_account_and_bucket_the_stricter_holds(s3, nobody, put, opened):
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{opened}/policy"}
    public = json.dumps({"Statement": public})
    s3.put_object(Bucket=opened, Key="list", Body=b"x", ACL="public-read")
    s3.put_object(Bucket=opened, Key="policy", Body=b"x")
    s3.put_bucket_policy(Bucket=opened, Policy=public)
    nobody.get_object(Bucket=opened, Key="list")["Body"].read()
    nobody.get_object(Bucket=opened, Key="policy")["Body"].read()

    put("IgnorePublicAcls")
    assert refused(nobody.get_object, Bucket=opened, Key="list").status == 403
    nobody.get_object(Bucket=opened, Key="policy")["Body"].read()
    put("RestrictPublicBuckets")
    assert refused(nobody.get_object, Bucket=opened, Key="policy").status == 403
    put("BlockPublicPolicy")
    assert "BlockPublicPolicy" in refused(s3.put_bucket_policy, Bucket=opened, Policy=public).message
    put("BlockPublicAcls")
    assert "BlockPublicAcls" in refused(s3.put_object_acl, Bucket=opened, Key="list", ACL="public-read").message
    nobody.get_object(Bucket=opened, Key="list")["Body"].read()
    assert refused(s3.get_public_access_block, Bucket=opened).status == 404  # the bucket's own is what it was
    put()
    s3.put_bucket_policy(Bucket=opened, Policy=public)
    s3.put_public_access_block(Bucket=opened, PublicAccessBlockConfiguration=block(*ALL))
    assert refused(nobody.get_object, Bucket=opened, Key="list").status == 403
    assert refused(nobody.get_object, Bucket=opened, Key="policy").status == 403
