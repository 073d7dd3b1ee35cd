"""ListObjectVersions, against a listing so slow that it can be believed; its markers, and what it says of a version."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.s3 import vault as vaults

SLOW = settings(max_examples=25, deadline=None)
KEYS = ("a", "a/1", "a/2/x", "a\u00e9", "b")


class SlowVersions:
    """A versioned bucket in a few lists: of each key its versions, the newest first, as (shown id, body or None for a marker)."""

    def __init__(self):
        self.state = None
        self.keys: dict[str, list[tuple[str, bytes | None]]] = {}

    def add(self, key, shown, body):
        versions = self.keys.setdefault(key, [])
        if shown == "null":
            versions[:] = [one for one in versions if one[0] != "null"]
        versions.insert(0, (shown, body))

    def remove(self, key, shown):
        versions = self.keys.get(key, [])
        found = [one for one in versions if one[0] == shown]
        versions[:] = [one for one in versions if one[0] != shown]
        return bool(found) and found[0][1] is None

    def elements(self, prefix, delimiter):
        """("prefix", group) or (key, shown id, newest, is a marker), in S3's order."""
        found = []
        for key in sorted((key for key in self.keys if key.startswith(prefix)), key=str.encode):
            rest, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut and self.keys[key]:
                group = ("prefix", prefix + rest + cut)
                if group not in found:
                    found.append(group)
            elif not cut:
                found += [(key, shown, place == 0, body is None) for place, (shown, body) in enumerate(self.keys[key])]
        return found


async def page_of(vault, bucket, **given):
    """The elements of one page in S3's order, and the output."""
    output = await vault.run("ListObjectVersions", Bucket=bucket, **given)
    rows = [*output["Versions"], *output["DeleteMarkers"]]
    marked = {(one["Key"], one["VersionId"]) for one in output["DeleteMarkers"]}
    found = [(one["Key"], one["VersionId"], one["IsLatest"], (one["Key"], one["VersionId"]) in marked) for one in rows]
    groups = [("prefix", one["Prefix"]) for one in output["CommonPrefixes"]]
    return found, groups, output


async def pages(vault, bucket, most, prefix="", delimiter=""):
    markers = {}
    found = []
    while True:
        elements, groups, output = await page_of(
            vault, bucket, MaxKeys=most, Prefix=prefix, **({"Delimiter": delimiter} if delimiter else {}), **markers
        )
        assert len(elements) + len(groups) <= most
        found += elements + groups
        if not output["IsTruncated"]:
            assert "NextKeyMarker" not in output
            return found
        assert len(elements) + len(groups) == most
        markers = {"KeyMarker": output["NextKeyMarker"]}
        if "NextVersionIdMarker" in output:
            markers["VersionIdMarker"] = output["NextVersionIdMarker"]


async def step(vault, bucket, model, action, key, number):
    at = {"Bucket": bucket, "Key": key}
    if action == "state":
        model.state = ("Enabled", "Suspended")[number % 2]
        await vault.versioned(bucket, model.state)
    elif action == "put":
        body = bytes([number])
        output = await vault.put(key, body, bucket=bucket)
        assert (output.get("VersionId") in {None, "null"}) == (model.state != "Enabled")
        model.add(key, output.get("VersionId", "null"), body)
    elif action == "delete" and model.state is None:
        assert await vault.run("DeleteObject", **at) == {}
        model.remove(key, "null")
    elif action == "delete":
        output = await vault.run("DeleteObject", **at)
        assert output["DeleteMarker"]
        model.add(key, output["VersionId"], None)
    else:
        versions = model.keys.get(key, [])
        shown = versions[number % len(versions)][0] if versions else "null"
        output = await vault.run("DeleteObject", **at, VersionId=shown)
        expected = {"DeleteMarker": True} if model.remove(key, shown) else {}
        assert output == expected | ({"VersionId": shown} if model.state else {})


async def reads_agree(vault, bucket, model):
    for key, versions in model.keys.items():
        for shown, body in versions:
            if body is not None:
                assert (await vault.get(key, bucket=bucket, VersionId=shown))[0] == body
        if versions and versions[0][1] is not None:
            assert (await vault.get(key, bucket=bucket))[0] == versions[0][1]
        else:
            assert (await vault.refused("GetObject", Bucket=bucket, Key=key)).code == "NoSuchKey"


steps = st.lists(
    st.tuples(
        st.sampled_from(["state", "put", "put", "put", "delete", "delete", "remove"]), st.sampled_from(KEYS), st.integers(0, 5)
    ),
    max_size=25,
)


@SLOW
@given(steps, st.integers(1, 4), st.sampled_from(["", "a", "a/", "b"]), st.sampled_from(["", "/", "a"]))
async def test_whatever_is_done_the_slow_versions_agree(tmp_path_factory, done, most, prefix, delimiter):
    async with vaults.opened(tmp_path_factory.mktemp("versions")) as vault:
        await vault.make()
        model = SlowVersions()
        for action in done:
            await step(vault, "bucket", model, *action)
        expected = model.elements(prefix, delimiter)
        found = await pages(vault, "bucket", most, prefix, delimiter)
        assert sorted(found) == sorted(expected)
        # One element a page: then the order is told too, which two lists in one document do not tell.
        assert await pages(vault, "bucket", 1, prefix, delimiter) == expected
        await reads_agree(vault, "bucket", model)
        assert await vault.catalog.count_versions((await vault.buckets.find("bucket")).bucket_id) == sum(
            len(versions) for versions in model.keys.values()
        )


@pytest.fixture
async def full(vault):
    """Key ``k`` with five versions and a marker below the newest, and ``l`` with one; their ids, the newest first."""
    await vault.make()
    await vault.versioned()
    vault.ids = []
    for number in range(4):
        vault.ids.insert(0, (await vault.put("k", bytes(number)))["VersionId"])
    vault.ids.insert(0, (await vault.run("DeleteObject", Bucket="bucket", Key="k"))["VersionId"])
    vault.ids.insert(0, (await vault.put("k", b"newest"))["VersionId"])
    vault.ids.append((await vault.put("l", b"other"))["VersionId"])
    return vault


async def ids_after(vault, **markers):
    output = await vault.run("ListObjectVersions", Bucket="bucket", **markers)
    found = {one["VersionId"] for one in [*output["Versions"], *output["DeleteMarkers"]]}
    return [version_id for version_id in vault.ids if version_id in found], output


async def test_a_page_goes_on_behind_the_version_that_is_named(full):
    for place, version_id in enumerate(full.ids[:-1]):
        found, output = await ids_after(full, KeyMarker="k", VersionIdMarker=version_id)
        assert found == full.ids[place + 1 :]
        assert (output["KeyMarker"], output["VersionIdMarker"]) == ("k", version_id)
        assert [one["Key"] for one in [*output["Versions"], *output["DeleteMarkers"]] if one["IsLatest"]] == ["l"]
    assert (await ids_after(full, KeyMarker="l", VersionIdMarker=full.ids[-1]))[0] == []


async def test_a_key_alone_is_passed_over_with_all_its_versions(full):
    assert (await ids_after(full, KeyMarker="k"))[0] == full.ids[-1:]
    assert (await ids_after(full, KeyMarker="j"))[0] == full.ids
    assert (await ids_after(full, KeyMarker="l"))[0] == []


async def test_a_version_that_is_gone_begins_its_key_anew(full):
    """Nothing is passed over; and whoever removes what was listed, sees the rest once."""
    page = await full.run("ListObjectVersions", Bucket="bucket", MaxKeys=3)
    for one in [*page["Versions"], *page["DeleteMarkers"]]:
        await full.run("DeleteObject", Bucket="bucket", Key="k", VersionId=one["VersionId"])
    found, output = await ids_after(full, KeyMarker=page["NextKeyMarker"], VersionIdMarker=page["NextVersionIdMarker"])
    assert found == full.ids[3:]
    assert {one["VersionId"] for one in output["Versions"] if one["IsLatest"]} == {full.ids[3], full.ids[-1]}
    assert (await ids_after(full, KeyMarker="k", VersionIdMarker="A" * 32))[0] == full.ids[3:]
    assert (await ids_after(full, KeyMarker="k", VersionIdMarker=full.ids[-1]))[0] == full.ids[3:]  # of another key
    assert (await ids_after(full, KeyMarker="k", VersionIdMarker="null"))[0] == full.ids[3:]


@pytest.mark.parametrize(
    ("markers", "text"),
    [
        ({"VersionIdMarker": "A" * 32}, "A version-id marker cannot be specified without a key marker."),
        ({"KeyMarker": "", "VersionIdMarker": "null"}, "A version-id marker cannot be specified without a key marker."),
        ({"KeyMarker": "k", "VersionIdMarker": ""}, "A version-id marker cannot be empty."),
        ({"KeyMarker": "k", "VersionIdMarker": "short"}, "Invalid version id specified"),
    ],
)
async def test_markers_that_are_none(full, markers, text):
    error = await full.refused("ListObjectVersions", Bucket="bucket", **markers)
    assert (error.status, error.code, error.message) == (400, "InvalidArgument", text)
    assert error.members["ArgumentName"] == "version-id-marker"


async def test_what_is_said_of_a_version_and_of_a_marker(full):
    output = await full.run("ListObjectVersions", Bucket="bucket", Prefix="k", MaxKeys=2)
    owner = (await full.run("ListBuckets"))["Owner"]
    (version,), (marker,) = output["Versions"], output["DeleteMarkers"]
    head = await full.head("k")
    assert version | {"LastModified": None} == {
        "Key": "k",
        "VersionId": full.ids[0],
        "IsLatest": True,
        "LastModified": None,
        "Owner": owner,
        "ETag": head["ETag"],
        "Size": 6,
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": ["CRC64NVME"],
        "ChecksumType": "FULL_OBJECT",
    }
    assert set(marker) == {"Key", "VersionId", "IsLatest", "LastModified", "Owner"}
    assert (marker["VersionId"], marker["IsLatest"]) == (full.ids[1], False)
    assert (output["IsTruncated"], output["NextKeyMarker"], output["NextVersionIdMarker"]) == (True, "k", full.ids[1])
    assert (output["Name"], output["Prefix"], output["MaxKeys"], output["KeyMarker"]) == ("bucket", "k", 2, "")


async def test_names_are_encoded_where_that_is_asked(full):
    await full.put("k/\u00fc +", b"")
    await full.put("k/\u00fc +", b"")
    given = {"EncodingType": "url", "Prefix": "k/\u00fc", "Delimiter": "+", "MaxKeys": 1}
    output = await full.run("ListObjectVersions", Bucket="bucket", **given)
    assert (output["Prefix"], output["Delimiter"], output["EncodingType"]) == ("k/%C3%BC", "%2B", "url")
    assert output["CommonPrefixes"] == [{"Prefix": "k/%C3%BC+%2B"}]
    assert not output["IsTruncated"]
    output = await full.run("ListObjectVersions", Bucket="bucket", EncodingType="url", Prefix="k/", MaxKeys=1)
    assert output["Versions"][0]["Key"] == output["NextKeyMarker"] == "k/%C3%BC+%2B"
    assert (await full.refused("ListObjectVersions", Bucket="bucket", EncodingType="x")).code == "InvalidArgument"


async def test_bounds_of_a_page(full):
    output = await full.run("ListObjectVersions", Bucket="bucket", MaxKeys=0)
    assert (output["IsTruncated"], output["Versions"], output["DeleteMarkers"]) == (False, [], [])
    assert (await full.run("ListObjectVersions", Bucket="bucket", MaxKeys=5000))["MaxKeys"] == 1000
    assert (await full.refused("ListObjectVersions", Bucket="bucket", MaxKeys=-1)).code == "InvalidArgument"


async def test_a_marker_in_a_group_stands_for_the_whole_group(full):
    for key in ("k/1", "k/2", "k/3", "k0"):
        await full.put(key, b"")
    output = await full.run("ListObjectVersions", Bucket="bucket", Delimiter="/", KeyMarker="k/1", VersionIdMarker="A" * 32)
    assert output["CommonPrefixes"] == []
    assert [one["Key"] for one in output["Versions"]] == ["k0", "l"]


async def test_a_group_of_deleted_keys_is_a_group_all_the_same(full):
    await full.run("DeleteObject", Bucket="bucket", Key="gone/1")
    output = await full.run("ListObjectVersions", Bucket="bucket", Delimiter="/", Prefix="g")
    assert output["CommonPrefixes"] == [{"Prefix": "gone/"}]


async def test_a_page_costs_what_it_shows_however_many_versions_there_are(full):
    """Rows that the database gave for a page, of a key with thousands of versions and of a group with as many."""
    row = await full.row("l")

    def many(tx):
        for number in range(5000):
            tx.insert_version(row._replace(object_key="m", version_id=f"{number:032x}"))
            tx.insert_version(row._replace(object_key=f"n/{number % 50}", version_id=f"{number:032x}"))

    await full.catalog.write(many)
    given_rows = 0
    real = full.catalog.versions

    async def versions(*args, **more):
        nonlocal given_rows
        rows, place = await real(*args, **more)
        given_rows += len(rows)
        return rows, place

    full.catalog.versions = versions
    rows, _ = await real((await full.buckets.find("bucket")).bucket_id, prefix="m", limit=3)
    assert [one.version_id for one in rows] == [f"{number:032x}" for number in (4999, 4998, 4997)]
    output = await full.run("ListObjectVersions", Bucket="bucket", Prefix="n", Delimiter="/")
    assert output["CommonPrefixes"] == [{"Prefix": "n/"}]
    assert given_rows < 100
