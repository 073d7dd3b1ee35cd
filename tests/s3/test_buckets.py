"""Making, finding, listing and removing buckets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from strongroom.api.errors import ApiError
from strongroom.iam.identities import Identities
from strongroom.policy.public import ALL_USERS
from strongroom.s3 import buckets as module
from strongroom.s3.bucket_cache import ENCRYPTION, bucket_scope
from strongroom.s3.bucket_names import bucket_region, check_bucket_name
from strongroom.s3.positions import show_position
from strongroom.s3.rooms import S3Settings
from strongroom.seal.format import Piece, encode_manifest
from strongroom.store.contract import PartRow, UploadRow
from tests.s3.world import NOW_MS, A, B


async def refused(world, name, /, **given) -> tuple[int, str, str, dict[str, str]]:
    with pytest.raises(ApiError) as caught:
        await world.run(name, **given)
    error = caught.value
    return error.status, error.code, error.message, error.members


@pytest.mark.parametrize("name", ["abc", "a.b", "a--b", "1a2", "x" * 63, "1.2.3", "1.2.3.4.5", "a1.2.3.4", "sthree", "mrap"])
def test_names(name):
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "ab",
            "x" * 64,
            "Abc",
            "a_b",
            "a b",
            "a/b",
            "-ab",
            "ab-",
            ".ab",
            "ab.",
            "a..b",
            "äbc",
            "abc\n",
            "a٣b",
            "192.168.5.4",
            "999.0.0.1",
        ),
        *("xn--abc", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--table-s3"),
    ],
)
def test_names_that_are_none(name):
    with pytest.raises(ApiError) as caught:
        check_bucket_name(name)
    assert (caught.value.status, caught.value.code) == (400, "InvalidBucketName")
    assert caught.value.message == "The specified bucket is not valid."
    assert caught.value.members == {"BucketName": name}


@pytest.mark.parametrize(
    ("constraint", "request_region", "region"),
    [
        (None, "us-east-1", "us-east-1"),
        ("", "us-east-1", "us-east-1"),
        ("eu-central-1", "us-east-1", "eu-central-1"),
        ("us-gov-west-1", "us-east-1", "us-gov-west-1"),
        ("eusc-de-east-1", "eusc-de-east-1", "eusc-de-east-1"),
        ("EU", "us-east-1", "eu-west-1"),
        ("EU", "eu-west-1", "eu-west-1"),
        ("eu-west-1", "eu-west-1", "eu-west-1"),
    ],
)
def test_regions(constraint, request_region, region):
    assert bucket_region(constraint, request_region, ()) == region


@pytest.mark.parametrize(
    ("constraint", "request_region", "code", "message"),
    [
        ("us-east-1", "us-east-1", "InvalidLocationConstraint", "The specified location-constraint is not valid"),
        ("moon-1", "us-east-1", "InvalidLocationConstraint", "The specified location-constraint is not valid"),
        ("eu-west-1\n", "eu-west-1", "InvalidLocationConstraint", "The specified location-constraint is not valid"),
        (
            None,
            "eu-west-1",
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
        ),
        (
            "us-east-1",
            "eu-west-1",
            "IllegalLocationConstraintException",
            "The us-east-1 location constraint is incompatible for the region specific endpoint this request was sent to.",
        ),
    ],
)
def test_regions_that_do_not_go_together(constraint, request_region, code, message):
    with pytest.raises(ApiError) as caught:
        bucket_region(constraint, request_region, ())
    assert (caught.value.status, caught.value.code, caught.value.message) == (400, code, message)
    assert caught.value.members == ({"LocationConstraint": constraint} if code == "InvalidLocationConstraint" else {})


async def test_a_bucket_is_made_once_and_found(world):
    assert await world.run("CreateBucket", Bucket="abc") == {"Location": "/abc", "BucketArn": "arn:aws:s3:::abc"}
    row = await world.catalog.bucket("abc")
    assert (row.account_id, row.region, row.created_ms) == (A, "us-east-1", NOW_MS)
    assert await world.run("CreateBucket", Bucket="abc") == {"Location": "/abc", "BucketArn": "arn:aws:s3:::abc"}
    assert await world.catalog.bucket("abc") == row
    assert await world.run("HeadBucket", Bucket="abc") == {
        "BucketArn": "arn:aws:s3:::abc",
        "BucketRegion": "us-east-1",
        "AccessPointAlias": False,
    }
    assert await world.run("GetBucketLocation", Bucket="abc") == {"LocationConstraint": ""}


async def test_a_bucket_elsewhere(world):
    elsewhere = {"Bucket": "abc", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    output = await world.run("CreateBucket", region="eu-west-1", **elsewhere)
    assert output["Location"] == "http://abc.s3.example:9000/"
    assert await world.run("GetBucketLocation", Bucket="abc") == {"LocationConstraint": "eu-west-1"}
    mine = (409, "BucketAlreadyOwnedByYou", {"BucketName": "abc"})
    for again in (elsewhere | {"region": "eu-west-1"}, elsewhere, {"Bucket": "abc"}):
        status, code, message, members = await refused(world, "CreateBucket", **again)
        assert (status, code, members) == mine
        assert message == "Your previous request to create the named bucket succeeded and you already own it."


@pytest.mark.parametrize(
    ("base_url", "virtual_host", "location"),
    [
        ("https://abc.s3.example", True, "https://abc.s3.example/"),
        ("http://127.0.0.1:9000", False, "http://127.0.0.1:9000/abc/"),
        ("http://[::1]:9000", False, "http://[::1]:9000/abc/"),
    ],
)
async def test_the_location_is_an_address_that_works(world, base_url, virtual_host, location):
    call = world.call(
        "CreateBucket", region="eu-west-1", Bucket="abc", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    answer = await call.operation.run(replace(call, base_url=base_url, virtual_host=virtual_host))
    assert answer.output["Location"] == location


async def test_names_belong_to_the_first_who_asks(world):
    await world.make("abc")
    status, code, _, members = await refused(world, "CreateBucket", Bucket="abc", account=B)
    assert (status, code, members) == (409, "BucketAlreadyExists", {"BucketName": "abc"})


async def test_only_the_served_regions(world):
    world.use(S3Settings(regions=("eu-west-1",)))
    assert (await refused(world, "CreateBucket", Bucket="abc"))[1] == "InvalidLocationConstraint"
    await world.make("abc", region="eu-west-1", CreateBucketConfiguration={"LocationConstraint": "EU"})


@pytest.mark.parametrize(
    ("given", "status", "code", "members"),
    [
        ({"BucketNamespace": "account-regional"}, 501, "NotImplemented", {"Header": "x-amz-bucket-namespace"}),
        (
            {"CreateBucketConfiguration": {"Tags": [{"Key": "aws:a", "Value": "b"}]}},
            400,
            "InvalidTag",
            {"TagKey": "aws:a"},
        ),
        ({"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}}, 501, "NotImplemented", {}),
        ({"ACL": "public-read"}, 400, "InvalidBucketAclWithObjectOwnership", {}),
        (
            {"GrantRead": f"uri={ALL_USERS}", "ObjectOwnership": "BucketOwnerEnforced"},
            400,
            "InvalidBucketAclWithObjectOwnership",
            {},
        ),
        ({"ACL": "mine"}, 400, "InvalidArgument", {"ArgumentName": "x-amz-acl", "ArgumentValue": "mine"}),
        ({"ObjectOwnership": "Nobody"}, 400, "InvalidArgument", {"ArgumentName": "x-amz-object-ownership"}),
        ({"ACL": "public-read", "ObjectOwnership": "ObjectWriter"}, 400, "InvalidBucketAclWithBlockPublicAccessError", {}),
    ],
)
async def test_what_is_asked_beside_a_name(world, given, status, code, members):
    answer = await refused(world, "CreateBucket", Bucket="abc", **given)
    assert (answer[0], answer[1], answer[3]) == (status, code, members)
    assert await world.catalog.bucket("abc") is None


async def test_what_changes_nothing_is_accepted(world):
    await world.make(
        "abc",
        ACL="private",
        ObjectOwnership="BucketOwnerEnforced",
        ObjectLockEnabledForBucket=False,
        CreateBucketConfiguration={},
    )


async def test_an_account_has_so_many_buckets(world, monkeypatch):
    monkeypatch.setattr(module, "MOST_BUCKETS", 2)
    for name in ("abc", "abd"):
        await world.make(name)
    assert (await refused(world, "CreateBucket", Bucket="abe"))[:2] == (400, "TooManyBuckets")
    await world.make("abc")  # which is there
    await world.make("abe", account=B)


async def test_listing_buckets(world):
    for name in ("b-2", "b-1", "c-1"):
        await world.make(name)
    await world.make("b-3", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    await world.make("b-0", account=B)

    async def names(**given):
        return [bucket["Name"] for bucket in (await world.run("ListBuckets", **given))["Buckets"]]

    output = await world.run("ListBuckets")
    assert output["Owner"] == {"ID": world.call("ListBuckets").caller.canonical_id}
    assert [bucket["Name"] for bucket in output["Buckets"]] == ["b-1", "b-2", "b-3", "c-1"]
    assert set(output) == {"Buckets", "Owner"}
    assert set(output["Buckets"][0]) == {"Name", "CreationDate", "BucketArn"}
    assert output["Buckets"][0]["CreationDate"].microsecond == 0
    output = await world.run("ListBuckets", Prefix="b-", MaxBuckets=2)
    assert output["Prefix"] == "b-"
    assert [bucket["BucketRegion"] for bucket in output["Buckets"]] == ["us-east-1", "us-east-1"]
    assert await names(Prefix="b-", MaxBuckets=2, ContinuationToken=output["ContinuationToken"]) == ["b-3"]
    assert await names(BucketRegion="eu-west-1") == ["b-3"]
    assert await names(BucketRegion="moon-1") == []
    assert "ContinuationToken" not in await world.run("ListBuckets", MaxBuckets=4)


@pytest.mark.parametrize("most", [0, -1, 10_001, "many"])
async def test_how_many_buckets_may_be_asked_for(world, most):
    status, code, _, members = await refused(world, "ListBuckets", MaxBuckets=most)
    assert (status, code, members) == (400, "InvalidArgument", {"ArgumentName": "max-buckets", "ArgumentValue": str(most)})


@pytest.mark.parametrize("token", ["", "abc", "ü", "b-1", show_position("key", "b-1"), show_position("bucket", "b-1") + "="])
async def test_tokens_that_this_server_did_not_give(world, token):
    status, code, message, _ = await refused(world, "ListBuckets", ContinuationToken=token)
    assert (status, code, message) == (400, "InvalidArgument", "The continuation token provided is incorrect")


async def test_a_bucket_goes_when_it_is_empty(world):
    bucket = await world.make()
    await world.put(bucket, "gone", delete_marker=True)
    status, code, message, members = await refused(world, "DeleteBucket", Bucket="bucket")
    assert (status, code, message) == (409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
    assert members == {"BucketName": "bucket"}
    marker = await world.catalog.latest(bucket.bucket_id, "gone")
    await world.catalog.write(lambda tx: tx.delete_version(marker))
    assert await world.run("DeleteBucket", Bucket="bucket") == {}
    assert await world.catalog.document(bucket_scope(bucket.bucket_id), ENCRYPTION) is None
    for name in ("DeleteBucket", "HeadBucket", "GetBucketLocation"):
        assert (await refused(world, name, Bucket="bucket"))[:2] == (404, "NoSuchBucket")
    assert (await world.make()).bucket_id != bucket.bucket_id


async def test_unfinished_uploads_go_with_the_bucket_and_their_blobs_to_upkeep(world):
    bucket = await world.make()
    blob_ids = [f"{number:032x}" for number in range(3)]

    def work(tx):
        for number, blob_id in enumerate(blob_ids):
            tx.insert_upload(UploadRow(bucket.bucket_id, "key", f"upload-{number}", NOW_MS, b"", b""))
            tx.keep([blob_id])
            tx.put_part(PartRow(f"upload-{number}", 1, 5, NOW_MS, b"", encode_manifest([Piece(blob_id, 1, 5)])))

    await world.catalog.write(work)
    await world.put(bucket, "key")
    assert (await refused(world, "DeleteBucket", Bucket="bucket"))[1] == "BucketNotEmpty"
    assert len(await world.catalog.uploads(bucket.bucket_id, limit=10)) == 3
    row = await world.catalog.latest(bucket.bucket_id, "key")
    await world.catalog.write(lambda tx: tx.delete_version(row))
    await world.run("DeleteBucket", Bucket="bucket")
    assert sorted(await world.catalog.discarded(10)) == blob_ids


async def test_the_owner_of_anothers_bucket(world):
    identities = Identities(world.catalog, bytes(32))
    account = await identities.create_account("b", account_id=B)
    call = world.call("ListBuckets", account=A)
    assert await module.owner_of(world.catalog, call, B) == {"ID": account.canonical_id}
    with pytest.raises(LookupError):
        await module.owner_of(world.catalog, call, "999999999999")
