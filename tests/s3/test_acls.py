"""Access control lists beneath the judge: how they are written, where they are kept, and what is judged at the commit."""

from __future__ import annotations

import asyncio

import pytest

from strongroom.api.errors import ApiError
from strongroom.iam.records import ACCOUNT, Account, account_scope
from strongroom.policy.acls import AclGrant
from strongroom.policy.public import ALL_USERS, AUTHENTICATED_USERS
from strongroom.s3.acl_forms import Asked, canned_for_bucket, canned_for_object, header_grants
from strongroom.s3.ownership import ENFORCED, PREFERRED, WRITER, owner_of_new
from tests.s3.vault import A, B

OBJECT = "arn:aws:s3:::bucket/k"
AT = {"Bucket": "bucket", "Key": "k"}
OWN, THEIRS = "a" * 64, "b" * 64


@pytest.fixture
async def bucket(vault):
    """One in which lists count, and nothing public is blocked."""
    await vault.run("CreateBucket", Bucket="bucket", ObjectOwnership=WRITER)
    await vault.run("DeletePublicAccessBlock", Bucket="bucket")
    return await vault.rooms.buckets.find("bucket")


def canonical(vault, account):
    return vault.call("GetBucketAcl", account=account).caller.canonical_id


def grants(answer):
    return [(one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in answer["Grants"]]


async def judged(vault):
    """As the judge does: it looks at the row that is there."""
    vault.judged[OBJECT] = (await vault.row("k")).version_id


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("id=x", [("id", "x")]),
        ('id="x"', [("id", "x")]),
        (' id = "x" , uri="u,r"'.replace("u,r", "u"), [("id", "x"), ("uri", "u")]),
        ('emailAddress="a@b",id=y', [("emailAddress", "a@b"), ("id", "y")]),
        ('id=""', [("id", "")]),
    ],
)
def test_headers(header, wanted):
    assert header_grants({"GrantReadACP": header}) == [Asked("READ_ACP", sort, value, sort) for sort, value in wanted]


@pytest.mark.parametrize("header", ["", "x", "id", "id=", "ID=x", 'id="x', "id=x y", "id=x,", "name=x", 'id="a""b"'])
def test_headers_that_are_none(header):
    with pytest.raises(ApiError) as caught:
        header_grants({"GrantWrite": header})
    members = {"ArgumentName": "x-amz-grant-write", "ArgumentValue": header}
    assert (caught.value.code, caught.value.message, caught.value.members) == (
        "InvalidArgument",
        "Argument format not recognized",
        members,
    )


def test_canned_names_about_the_owner_of_the_bucket():
    own = AclGrant("FULL_CONTROL", OWN)
    assert canned_for_object("bucket-owner-read", OWN, THEIRS) == (own, AclGrant("READ", THEIRS))
    assert canned_for_object("bucket-owner-full-control", OWN, THEIRS) == (own, AclGrant("FULL_CONTROL", THEIRS))
    assert canned_for_object("bucket-owner-full-control", OWN, OWN) == (own,)
    assert canned_for_bucket("bucket-owner-read", OWN) == (own,)  # on a bucket they say nothing
    assert canned_for_bucket("authenticated-read", OWN) == (own, AclGrant("READ", group=AUTHENTICATED_USERS))
    with pytest.raises(ApiError):
        canned_for_object("log-delivery-write", OWN, OWN)


@pytest.mark.parametrize(
    ("ownership", "writer", "canned", "owner"),
    [
        (ENFORCED, B, "bucket-owner-full-control", A),
        (WRITER, B, None, B),
        (WRITER, B, "bucket-owner-full-control", B),
        (None, B, None, B),  # the controls were deleted
        (PREFERRED, B, None, B),
        (PREFERRED, B, "private", B),
        (PREFERRED, B, "bucket-owner-full-control", A),
        (WRITER, "", None, A),  # nobody
        (WRITER, A, None, A),
    ],
)
def test_whose_a_new_object_is(ownership, writer, canned, owner):
    assert owner_of_new(ownership, A, writer, canned) == owner


async def test_the_owner_and_the_list_are_in_the_sealed_record(vault, bucket):
    account = Account(A, "owner", "", canonical(vault, A), 0)
    await vault.catalog.write(lambda tx: tx.set_document(account_scope(A), ACCOUNT, account.to_document()))
    await vault.put("k", b"x", account=B, ACL="public-read")
    await judged(vault)
    row = await vault.row("k")
    answer = await vault.run("GetObjectAcl", **AT, account=B)
    assert answer["Owner"] == {"ID": canonical(vault, B)}
    assert grants(answer) == [(canonical(vault, B), "FULL_CONTROL"), (ALL_USERS, "READ")]
    await vault.run("PutObjectAcl", **AT, account=B, ACL="authenticated-read")
    now = await vault.row("k")
    assert now.meta != row.meta
    assert now._replace(meta=b"") == row._replace(meta=b"")  # neither time nor bytes
    clear = b"".join(path.read_bytes() for path in vault.folder.glob("catalog.sqlite*"))
    assert ALL_USERS.encode() not in clear
    assert AUTHENTICATED_USERS.encode() not in clear
    assert canonical(vault, B).encode() not in clear


async def test_another_version_than_the_one_that_was_judged_is_not_read(vault, bucket):
    """Between the judge's look and the run's, somebody has put another object there, with another owner and another list."""
    await vault.put("k", b"public", ACL="public-read")
    await judged(vault)
    assert (await vault.get("k"))[0] == b"public"
    await vault.put("k", b"private")
    for name, more in (
        ("GetObject", {}),
        ("HeadObject", {}),
        ("GetObjectAcl", {}),
        ("PutObjectAcl", {"ACL": "public-read"}),
        ("CopyObject", {"CopySource": "bucket/k", "Key": "copy"}),
        ("GetObjectAttributes", {"ObjectAttributes": ["ETag"]}),
        ("GetObjectTagging", {}),
    ):
        with pytest.raises(ApiError) as caught:
            await vault.run(name, **(AT | more))
        assert (caught.value.status, caught.value.code) == (409, "OperationAborted"), name
    vault.judged[OBJECT] = ""  # nothing was there when it was judged
    with pytest.raises(ApiError, match="OperationAborted"):
        await vault.run("GetObject", **AT)
    vault.judged.clear()  # nothing was asked that an owner or a list decides
    assert (await vault.get("k"))[0] == b"private"


async def test_ownership_and_blocks_are_looked_at_again_at_the_commit(vault, bucket):
    for name, given, code in (
        ("PutPublicAccessBlock", {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}, "AccessDenied"),
        ("PutBucketOwnershipControls", {"OwnershipControls": {"Rules": [{"ObjectOwnership": ENFORCED}]}}, None),
    ):
        first, second = vault.call(name, Bucket="bucket", **given), vault.call("PutBucketAcl", Bucket="bucket", ACL="public-read")
        done = await asyncio.gather(first.operation.run(first), second.operation.run(second), return_exceptions=True)
        assert isinstance(done[1], ApiError)
        assert done[1].code == (code or "AccessControlListNotSupported")
        await vault.run("DeletePublicAccessBlock", Bucket="bucket")
    assert grants(await vault.run("GetBucketAcl", Bucket="bucket")) == [(canonical(vault, A), "FULL_CONTROL")]


async def test_a_list_needs_a_right_of_its_own_where_lists_count(vault, bucket):
    vault.denied.add(("s3:PutObjectAcl", OBJECT))
    await vault.put("k", b"x")
    for name, more in (("PutObject", {"data": b"x"}), ("CreateMultipartUpload", {}), ("CopyObject", {"CopySource": "bucket/k"})):
        with pytest.raises(ApiError, match="AccessDenied"):
            await vault.run(name, **AT, ACL="private", **more)
