"""ListObjects and ListObjectsV2: the page as it fills, against a slow listing that reads everything; and through a real catalog."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api.errors import ApiError
from strongroom.iam.identities import Identities
from strongroom.s3.listing import Ask, Page, after_all, common_prefix
from strongroom.s3.metadata import ObjectMeta
from strongroom.s3.positions import read_position, show_position
from strongroom.seal import SealError
from tests.s3.world import A, B, opened


@dataclass(frozen=True)
class Row:
    object_key: str


class Keys:
    """What a catalog answers, from a list; counts what it was asked."""

    def __init__(self, keys) -> None:
        self.keys = sorted(set(keys), key=str.encode)
        self.reads = 0
        self.rows = 0

    def current(self, start, after, prefix, limit):
        assert limit > 0
        found = [
            Row(key)
            for key in self.keys
            if key.startswith(prefix) and key.encode() >= start.encode() and (after is None or key.encode() > after.encode())
        ][:limit]
        self.reads += 1
        self.rows += len(found)
        return found


def page_of(keys: Keys, ask: Ask) -> Page[Row]:
    page = Page[Row](ask)
    while not page.done:
        page.fold(keys.current(page.start, page.after, ask.prefix, page.limit))
    return page


def elements(page) -> list[str]:
    return sorted([row.object_key for row in page.rows] + page.prefixes, key=str.encode)


def slowly(keys, prefix, delimiter) -> list[str]:
    """Every element of the whole listing, in order, by reading every key."""
    found: list[str] = []
    for key in sorted(set(keys), key=str.encode):
        if key.startswith(prefix):
            head, mark, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            element = prefix + head + mark if mark else key
            if element not in found:
                found.append(element)
    return found


# Few letters, so that keys share prefixes; and those around which orders and successors go wrong.
letters = st.sampled_from("ab/\x00\x7f é\ud7ff\ue000\uffff\U00010000\U0010ffff")
names = st.text(letters, min_size=1, max_size=6)
key_sets = st.lists(names, max_size=40)
delimiters = st.one_of(st.just(""), st.just("/"), st.text(letters, min_size=1, max_size=2))
prefixes = st.text(letters, max_size=2)


@settings(max_examples=100, deadline=None)
@given(key_sets, prefixes, delimiters, st.integers(1, 8))
def test_pages_together_are_the_whole_listing_once(keys, prefix, delimiter, most):
    catalog = Keys(keys)
    found: list[str] = []
    ask = Ask(prefix, delimiter, most)
    while True:
        page = page_of(catalog, ask)
        assert page.count == len(elements(page)) <= most
        found += elements(page)
        if not page.truncated:
            break
        assert page.count == most
        kind, name = read_position(show_position(*page.last))
        ask = Ask(prefix, delimiter, most, **({"start": after_all(name)} if kind == "prefix" else {"after": name}))
    assert found == slowly(keys, prefix, delimiter)


@settings(max_examples=100, deadline=None)
@given(key_sets, prefixes, delimiters, names)
def test_a_page_starts_after_a_key(keys, prefix, delimiter, after):
    page = page_of(Keys(keys), Ask(prefix, delimiter, after=after))
    assert not page.truncated
    assert elements(page) == slowly([key for key in keys if key.encode() > after.encode()], prefix, delimiter)


@settings(max_examples=100, deadline=None)
@given(names, names)
def test_what_comes_after_all_keys_with_a_prefix(prefix, more):
    beyond = after_all(prefix)
    if beyond is None:
        assert set(prefix) == {"\U0010ffff"}
        return
    assert (prefix + more).encode() < beyond.encode()
    # nothing lies between: whatever is below it and not below the prefix, begins with the prefix
    assert not prefix.encode() <= more.encode() < beyond.encode() or more.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "beyond"),
    [
        ("a/", "a0"),
        ("\ud7ff", "\ue000"),
        ("a\U0010ffff", "b"),
        ("a\U0010ffff\U0010ffff", "b"),
        ("\uffff", "\U00010000"),
        ("\U0010ffff", None),
        ("", None),
    ],
)
def test_successors(prefix, beyond):
    assert after_all(prefix) == beyond


def test_the_first_delimiter_after_the_prefix_counts():
    assert common_prefix("a/b/c", "a/", "/") == "a/b/"
    assert common_prefix("a/b", "a/", "/") is None
    assert common_prefix("a/", "a/", "/") is None
    assert common_prefix("a--b--c", "", "--") == "a--"
    assert common_prefix("a/b", "", "") is None


def test_groups_are_stepped_over_and_not_read():
    catalog = Keys(f"{group:04}/{key:03}" for group in range(100) for key in range(200))
    page = page_of(catalog, Ask("", "/"))
    assert len(page.prefixes) == 100
    assert catalog.reads <= 105
    assert catalog.rows <= 800


def test_small_groups_and_single_keys_are_read_many_at_a_time():
    single = Keys(f"{number:05}" for number in range(5000))
    assert page_of(single, Ask()).count == 1000
    assert single.reads == 1
    listed = Keys(f"{number:05}" for number in range(5000))
    assert page_of(listed, Ask("", "/")).truncated
    assert listed.reads <= 5
    small = Keys(f"{number // 2:05}/{number % 2}" for number in range(5000))
    assert len(page_of(small, Ask("", "/")).prefixes) == 1000
    assert small.reads <= 15


# ---------------------------------------------------------------------------------------------------- through the operations


async def keys_of(world, operation="ListObjectsV2", **given):
    output = await world.run(operation, Bucket="bucket", **given)
    return [shown["Key"] for shown in output["Contents"]], [shown["Prefix"] for shown in output["CommonPrefixes"]]


async def refused(world, operation, **given):
    with pytest.raises(ApiError) as caught:
        await world.run(operation, Bucket="bucket", **given)
    error = caught.value
    return error.status, error.code, error.message, error.members


async def test_an_empty_listing(world):
    await world.make()
    common = {"IsTruncated": False, "Contents": [], "Name": "bucket", "Prefix": "", "MaxKeys": 1000, "CommonPrefixes": []}
    assert await world.run("ListObjects", Bucket="bucket") == common | {"Marker": ""}
    assert await world.run("ListObjectsV2", Bucket="bucket") == common | {"KeyCount": 0}


async def test_what_is_shown_of_an_object(world):
    bucket = await world.make()
    meta = ObjectMeta("e" * 32, checksums={"CRC32": "AAAAAA=="}, checksum_type="FULL_OBJECT", storage_class="STANDARD_IA")
    await world.put(bucket, "key", meta=meta)
    await world.put(bucket, "gone", delete_marker=True)
    (shown,) = (await world.run("ListObjectsV2", Bucket="bucket"))["Contents"]
    assert shown.pop("LastModified").isoformat() == "2026-05-04T03:02:01+00:00"
    assert shown == {
        "Key": "key",
        "ETag": f'"{"e" * 32}"',
        "Size": 5,
        "StorageClass": "STANDARD_IA",
        "ChecksumAlgorithm": ["CRC32"],
        "ChecksumType": "FULL_OBJECT",
    }


async def test_the_owner_is_shown_always_in_the_first_version_and_on_demand_in_the_second(world):
    bucket = await world.make()
    await world.put(bucket, "key")
    owner = {"ID": world.call("ListObjects").caller.canonical_id}
    account = await Identities(world.catalog, bytes(32)).create_account("a", account_id=A)
    for operation, how, expected in (
        ("ListObjects", {}, owner),
        ("ListObjects", {"account": B}, {"ID": account.canonical_id}),
        ("ListObjectsV2", {"FetchOwner": True}, owner),
        ("ListObjectsV2", {"FetchOwner": False}, None),
        ("ListObjectsV2", {}, None),
    ):
        (shown,) = (await world.run(operation, Bucket="bucket", **how))["Contents"]
        assert shown.get("Owner") == expected


async def test_prefixes_and_delimiters(world):
    bucket = await world.make()
    await world.put(bucket, "a", "b/", "b/1", "b/2/3", "c--d--e", "ü/x")
    assert await keys_of(world, Delimiter="/") == (["a", "c--d--e"], ["b/", "ü/"])
    assert await keys_of(world, Delimiter="/", Prefix="b/") == (["b/", "b/1"], ["b/2/"])
    assert await keys_of(world, Delimiter="/", Prefix="b") == ([], ["b/"])
    assert await keys_of(world, Delimiter="--") == (["a", "b/", "b/1", "b/2/3", "ü/x"], ["c--"])
    assert await keys_of(world, Delimiter="", Prefix="b/2") == (["b/2/3"], [])
    assert await keys_of(world, Prefix="nothing") == ([], [])
    output = await world.run("ListObjectsV2", Bucket="bucket", Delimiter="/")
    assert (output["KeyCount"], output["Delimiter"]) == (4, "/")


async def test_pages_of_the_second_version(world):
    bucket = await world.make()
    await world.put(bucket, "a", "b/1", "b/2", "c", "d/1")
    found, token, pages = [], {}, 0
    while True:
        output = await world.run("ListObjectsV2", Bucket="bucket", Delimiter="/", MaxKeys=1, StartAfter="0", **token)
        assert output["StartAfter"] == "0"
        assert output["KeyCount"] == 1
        assert output.get("ContinuationToken") == token.get("ContinuationToken")
        found += [shown["Key"] for shown in output["Contents"]] + [shown["Prefix"] for shown in output["CommonPrefixes"]]
        pages += 1
        assert output["IsTruncated"] == ("NextContinuationToken" in output)
        if not output["IsTruncated"]:
            break
        token = {"ContinuationToken": output["NextContinuationToken"]}
    assert (found, pages) == (["a", "b/", "c", "d/"], 4)


async def test_pages_of_the_first_version(world):
    bucket = await world.make()
    await world.put(bucket, "a", "b/1", "b/2", "c", "d/1")
    output = await world.run("ListObjects", Bucket="bucket", MaxKeys=2)
    assert output["IsTruncated"]
    assert "NextMarker" not in output  # only where a group may be the last element
    output = await world.run("ListObjects", Bucket="bucket", Delimiter="/", MaxKeys=2)
    assert output["NextMarker"] == "b/"
    output = await world.run("ListObjects", Bucket="bucket", Delimiter="/", MaxKeys=2, Marker="b/")
    assert (output["Marker"], output["IsTruncated"]) == ("b/", False)
    assert "NextMarker" not in output
    assert await keys_of(world, "ListObjects", Delimiter="/", Marker="b/") == (["c"], ["d/"])
    assert await keys_of(world, "ListObjects", Delimiter="/", Marker="b/1") == (["c"], ["d/"])
    assert await keys_of(world, "ListObjects", Marker="b/1") == (["b/2", "c", "d/1"], [])


async def test_start_after_is_a_key(world):
    bucket = await world.make()
    await world.put(bucket, "a", "b/1", "b/2", "c")
    assert await keys_of(world, StartAfter="b/1") == (["b/2", "c"], [])
    assert await keys_of(world, StartAfter="b/1", Delimiter="/") == (["c"], ["b/"])
    assert await keys_of(world, StartAfter="b/2", Delimiter="/") == (["c"], [])
    assert await keys_of(world, StartAfter="b/1", ContinuationToken=show_position("key", "b/2")) == (["c"], [])


@pytest.mark.parametrize("operation", ["ListObjects", "ListObjectsV2"])
async def test_how_many_keys(world, operation):
    bucket = await world.make()
    await world.put(bucket, "a", "b")
    for most, echoed, keys, truncated in ((0, 0, 0, False), (1, 1, 1, True), (2, 2, 2, False), (2**31 - 1, 1000, 2, False)):
        output = await world.run(operation, Bucket="bucket", MaxKeys=most)
        assert (output["MaxKeys"], len(output["Contents"]), output["IsTruncated"]) == (echoed, keys, truncated)
    for bad, name in ((-1, "maxKeys"), (2**31, "max-keys"), ("many", "max-keys")):
        status, code, _, members = await refused(world, operation, MaxKeys=bad)
        assert (status, code, members) == (400, "InvalidArgument", {"ArgumentName": name, "ArgumentValue": str(bad)})


async def test_names_that_are_encoded(world):
    bucket = await world.make()
    odd = "a b+c&d/é\x01(3)~*"
    await world.put(bucket, odd, "p q|r")
    given = {"EncodingType": "url", "Delimiter": "|", "StartAfter": " "}
    output = await world.run("ListObjectsV2", Bucket="bucket", **given)
    assert output["EncodingType"] == "url"
    assert output["Contents"][0]["Key"] == "a+b%2Bc%26d/%C3%A9%01%283%29~*"
    assert unquote_plus(output["Contents"][0]["Key"]) == odd
    assert (output["Delimiter"], output["StartAfter"], output["CommonPrefixes"]) == ("%7C", "+", [{"Prefix": "p+q%7C"}])
    output = await world.run(
        "ListObjects", Bucket="bucket", EncodingType="url", Delimiter="|", Prefix="p ", Marker="p !", MaxKeys=1
    )
    assert (output["Prefix"], output["Marker"], output["CommonPrefixes"]) == ("p+", "p+%21", [{"Prefix": "p+q%7C"}])
    for encoding in ("", "URL", "base64"):
        assert await refused(world, "ListObjects", EncodingType=encoding) == (
            400,
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            {"ArgumentName": "encoding-type", "ArgumentValue": encoding},
        )


@pytest.mark.parametrize("token", ["", "x", "ü", "AWs=", "AWsA" + "=" * 3, "//79", show_position("bucket", "key")])
async def test_a_token_that_this_server_did_not_give(world, token):
    await world.make()
    bad = (400, "InvalidArgument", "The continuation token provided is incorrect", {"ArgumentName": "continuation-token"})
    assert await refused(world, "ListObjectsV2", ContinuationToken=token) == bad


async def test_a_missing_bucket(world):
    for operation in ("ListObjects", "ListObjectsV2"):
        assert (await refused(world, operation))[:2] == (404, "NoSuchBucket")


async def test_the_cost_is_of_the_page_and_not_of_the_bucket(world):
    bucket = await world.make()
    await world.put(bucket, *(f"{group:03}/{key:03}" for group in range(50) for key in range(100)))
    assert (await keys_of(world, Delimiter="/"))[1] == [f"{group:03}/" for group in range(50)]
    assert world.catalog.reads <= 52
    assert world.catalog.rows_read <= 400
    world.catalog.reads = 0
    assert len((await keys_of(world, StartAfter="010/"))[0]) == 1000
    assert world.catalog.reads == 1


async def test_a_row_changed_on_disk_is_an_error_and_not_a_line(world):
    bucket = await world.make()
    await world.put(bucket, "key")
    row = await world.catalog.latest(bucket.bucket_id, "key")
    await world.catalog.write(lambda tx: tx.reseal_version(row, seal=b"other", meta=row.meta))
    with pytest.raises(SealError):
        await keys_of(world)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
async def test_the_real_catalog_agrees_with_the_slow_listing(data, tmp_path_factory):
    async with opened(tmp_path_factory.mktemp("listing")) as world:
        keys, prefix, delimiter = data.draw(key_sets), data.draw(prefixes), data.draw(delimiters)
        bucket = await world.make()
        await world.put(bucket, *dict.fromkeys(keys))
        found, more = [], {}
        while True:
            output = await world.run("ListObjectsV2", Bucket="bucket", Prefix=prefix, Delimiter=delimiter, MaxKeys=3, **more)
            shown = [one["Key"] for one in output["Contents"]] + [one["Prefix"] for one in output["CommonPrefixes"]]
            found += sorted(shown, key=str.encode)
            if not output["IsTruncated"]:
                break
            more = {"ContinuationToken": output["NextContinuationToken"]}
        assert found == slowly(keys, prefix, delimiter)
        marker, found = "", []
        while True:
            output = await world.run("ListObjects", Bucket="bucket", Prefix=prefix, Delimiter=delimiter, MaxKeys=3, Marker=marker)
            shown = [one["Key"] for one in output["Contents"]] + [one["Prefix"] for one in output["CommonPrefixes"]]
            found += sorted(shown, key=str.encode)
            if not output["IsTruncated"]:
                break
            marker = output.get("NextMarker") or output["Contents"][-1]["Key"]
        assert found == slowly(keys, prefix, delimiter)
