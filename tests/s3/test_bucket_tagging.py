"""Tags of a bucket: one set, its rules and limits."""

from __future__ import annotations

import pytest


@pytest.fixture
async def bucket(vault):
    return await vault.make()


def tagging(*pairs):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}


async def put(vault, *pairs):
    answer = await vault.ask("PutBucketTagging", Bucket="bucket", Tagging=tagging(*pairs))
    assert answer.status == 204


async def got(vault):
    return [(one["Key"], one["Value"]) for one in (await vault.run("GetBucketTagging", Bucket="bucket"))["TagSet"]]


async def nothing(vault):
    error = await vault.refused("GetBucketTagging", Bucket="bucket")
    assert (error.status, error.code, error.message) == (404, "NoSuchTagSet", "The TagSet does not exist")


async def test_a_set_takes_the_place_of_the_one_before(vault, bucket):
    await nothing(vault)
    await put(vault, ("b", "2"), ("a", ""), ("Gr\u00fc\u00dfe an_alle.:/=+-@", "\u4e2d 1"))
    assert await got(vault) == [("b", "2"), ("a", ""), ("Gr\u00fc\u00dfe an_alle.:/=+-@", "\u4e2d 1")]
    await put(vault, ("c", "3"))
    assert await got(vault) == [("c", "3")]
    assert await vault.run("DeleteBucketTagging", Bucket="bucket") == {}
    await nothing(vault)
    assert await vault.run("DeleteBucketTagging", Bucket="bucket") == {}
    await put(vault, ("c", "3"))
    await put(vault)
    await nothing(vault)


async def test_tags_go_with_their_bucket(vault, bucket):
    await put(vault, ("a", "1"))
    await vault.run("DeleteBucket", Bucket="bucket")
    await vault.make()
    await nothing(vault)


@pytest.mark.parametrize(
    ("pairs", "code", "message"),
    [
        ([("", "x")], "InvalidTag", "The TagKey you have provided is invalid"),
        ([("k" * 129, "x")], "InvalidTag", "The TagKey you have provided is invalid"),
        ([("k?", "x")], "InvalidTag", "The TagKey you have provided is invalid"),
        ([("k", "v" * 257)], "InvalidTag", "The TagValue you have provided is invalid"),
        ([("k", "<v>")], "InvalidTag", "The TagValue you have provided is invalid"),
        ([("aws:k", "x")], "InvalidTag", "System tags cannot be added/updated by requester"),
        ([("AWS:k", "x")], "InvalidTag", "System tags cannot be added/updated by requester"),
        ([("k", "1"), ("k", "2")], "InvalidTag", "Cannot provide multiple Tags with the same key"),
        ([(str(n), "") for n in range(51)], "BadRequest", "Bucket tag count cannot be greater than 50"),
    ],
)
async def test_a_bad_set_is_refused_and_the_old_one_stays(vault, bucket, pairs, code, message):
    await put(vault, ("old", "1"))
    error = await vault.refused("PutBucketTagging", Bucket="bucket", Tagging=tagging(*pairs))
    assert (error.status, error.code, error.message) == (400, code, message)
    assert await got(vault) == [("old", "1")]


async def test_the_most_that_goes(vault, bucket):
    pairs = [(f"{n:0128}", "v" * 256) for n in range(50)]
    await put(vault, *pairs)
    assert await got(vault) == pairs


@pytest.mark.parametrize("tag", [{"Key": "k"}, {"Value": "v"}, {}])
async def test_half_a_tag_is_no_tag(vault, bucket, tag):
    error = await vault.refused("PutBucketTagging", Bucket="bucket", Tagging={"TagSet": [tag]})
    assert error.code == "MalformedXML"


@pytest.mark.parametrize("name", ["PutBucketTagging", "GetBucketTagging", "DeleteBucketTagging"])
async def test_needs_and_a_bucket_that_is_not_there(vault, name):
    need = vault.register.find("s3", name).need
    assert need.action == ("s3:GetBucketTagging" if name.startswith("Get") else "s3:PutBucketTagging")
    given = {"Tagging": tagging(("a", "1"))} if name.startswith("Put") else {}
    assert (await vault.refused(name, Bucket="none", **given)).code == "NoSuchBucket"
