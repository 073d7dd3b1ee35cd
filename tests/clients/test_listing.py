"""Listings through boto3 and its paginators."""

from __future__ import annotations

import pytest

from tests.clients.house import refused, unique

KEYS = sorted(
    [
        *(f"a/{number:02}" for number in range(7)),
        *(f"b/{number}/x" for number in range(3)),
        "b/file",
        "a",
        "top 1+2",
        "ü/1",
        "ü/2",
        "\x01control",
        "zz//deep",
        "zz/",
    ],
    key=str.encode,
)


@pytest.fixture(scope="module")
def listed(server):
    """A bucket with the keys, which nobody changes."""
    s3 = server.client("s3")
    name = unique("listed")
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    s3.close()
    return name


def pages(s3, operation, bucket, size, **given):
    """All keys and prefixes of all pages, and the number of pages."""
    keys, prefixes, count = [], [], 0
    for page in s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}, **given):
        count += 1
        contents, groups = page.get("Contents", []), page.get("CommonPrefixes", [])
        assert len(contents) + len(groups) <= size
        keys += [each["Key"] for each in contents]
        prefixes += [each["Prefix"] for each in groups]
    return keys, prefixes, count


def expected(prefix="", delimiter=""):
    keys, prefixes = [], []
    for key in KEYS:
        if key.startswith(prefix):
            rest, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if not found:
                keys.append(key)
            elif prefix + rest + found not in prefixes:
                prefixes.append(prefix + rest + found)
    return keys, prefixes


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("prefix", "delimiter"), [("", ""), ("", "/"), ("a/", ""), ("b/", "/"), ("zz/", "/"), ("", "b/"), ("none", "/")]
)
def test_every_page_size_shows_everything_once(s3, listed, operation, size, prefix, delimiter):
    given = {name: value for name, value in (("Prefix", prefix), ("Delimiter", delimiter)) if value}
    keys, prefixes, count = pages(s3, operation, listed, size, **given)
    assert (keys, prefixes) == expected(prefix, delimiter)
    assert count == max(1, -(-(len(keys) + len(prefixes)) // size))


def test_what_is_said_of_an_object(s3, listed):
    answer = s3.list_objects_v2(Bucket=listed, Prefix="a/", MaxKeys=1, FetchOwner=True)
    (only,) = answer["Contents"]
    head = s3.head_object(Bucket=listed, Key="a/00")
    assert (only["Key"], only["Size"], only["ETag"], only["StorageClass"]) == ("a/00", 4, head["ETag"], "STANDARD")
    assert only["LastModified"] == head["LastModified"]
    assert only["Owner"]["ID"] == s3.list_buckets()["Owner"]["ID"]
    assert (answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"], answer["Name"]) == (1, 1, True, listed)
    assert "Owner" not in s3.list_objects_v2(Bucket=listed)["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=listed)["Contents"][0]


def test_where_a_listing_starts(s3, listed):
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=listed, StartAfter="b/2/x")["Contents"]] == [
        key for key in KEYS if key.encode() > b"b/2/x"
    ]
    answer = s3.list_objects(Bucket=listed, Marker="a/05", Delimiter="/", MaxKeys=1)
    assert (answer["CommonPrefixes"], answer["NextMarker"]) == ([{"Prefix": "b/"}], "b/")
    assert s3.list_objects_v2(Bucket=listed, MaxKeys=0)["KeyCount"] == 0
    refusal = refused(s3.list_objects_v2, Bucket=listed, ContinuationToken="made up")
    assert (refusal.status, refusal.code, refusal.message) == (
        400,
        "InvalidArgument",
        "The continuation token provided is incorrect",
    )


def test_names_as_they_are_sent(server, s3, bucket):
    """Without encoding-type a name that XML cannot hold is written as a reference; with it, everything is percent-encoded."""
    s3.put_object(Bucket=bucket, Key="a b+ü&<", Body=b"")
    reply = server.ask("GET", f"/{bucket}?list-type=2")
    assert "<Key>a b+ü&amp;&lt;</Key>".encode() in reply.body
    reply = server.ask("GET", f"/{bucket}?list-type=2&encoding-type=url")
    assert b"<Key>a+b%2B%C3%BC%26%3C</Key>" in reply.body
    assert b"<EncodingType>url</EncodingType>" in reply.body


def test_a_missing_bucket(s3):
    name = unique("none")
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_multipart_uploads):
        refusal = refused(call, Bucket=name)
        assert (refusal.status, refusal.code, refusal.members) == (404, "NoSuchBucket", {"BucketName": name})
