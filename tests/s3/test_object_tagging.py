"""Tags of objects: one set a version, its rules and limits, the writes that bring it, and what it costs in rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from strongroom.api.errors import ApiError
from strongroom.s3.object_tags import tags_of
from strongroom.s3.rewrapping import Order, Rewrapping
from strongroom.s3.tag_sets import read_tagging_header
from tests.s3.test_multipart import TAIL, Upload

OBJECT = "arn:aws:s3:::bucket/k"
AT = {"Bucket": "bucket", "Key": "k"}


@pytest.fixture
async def bucket(vault):
    return await vault.make()


def tagging(*pairs):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}


async def got(vault, object_key="k", bucket="bucket", **given):
    answer = await vault.run("GetObjectTagging", Bucket=bucket, Key=object_key, **given)
    return [(one["Key"], one["Value"]) for one in answer["TagSet"]]


async def test_a_set_takes_the_place_of_the_one_before_and_nothing_else_changes(vault, bucket):
    await vault.put("k", TAIL, Metadata={"a": "b"})
    before, row = await vault.head("k"), await vault.row("k")
    assert await got(vault) == []
    assert (
        await vault.run(
            "PutObjectTagging", **AT, Tagging=tagging(("b", "2"), ("a", ""), ("Gr\u00fc\u00dfe an_alle.:/=+-@", "\u4e2d 1"))
        )
        == {}
    )
    assert await got(vault) == [("b", "2"), ("a", ""), ("Gr\u00fc\u00dfe an_alle.:/=+-@", "\u4e2d 1")]
    assert await vault.head("k") == before | {"TagCount": 3}
    assert (await vault.get("k"))[0] == TAIL
    now = await vault.row("k")
    assert now._replace(meta=b"") == row._replace(meta=b"")
    await vault.run("PutObjectTagging", **AT, Tagging=tagging(("c", "3")))
    assert await got(vault) == [("c", "3")]
    answer = await vault.ask("DeleteObjectTagging", **AT)
    assert await got(vault) == []
    assert "TagCount" not in await vault.head("k")
    assert answer.output == {}
    assert await vault.run("DeleteObjectTagging", **AT) == {}
    await vault.put("k", TAIL, Tagging="d=4")
    await vault.put("k", TAIL)
    assert await got(vault) == []


async def test_tags_are_sealed(vault, bucket):
    await vault.put("k", TAIL, Tagging="SECRETKEY=SECRETVALUE")
    assert tags_of(bucket, await vault.row("k")) == {"SECRETKEY": "SECRETVALUE"}
    (meta,) = vault.sql("SELECT meta FROM version")[0]
    assert b"SECRET" not in meta
    for path in vault.folder.rglob("*"):
        assert not path.is_file() or b"SECRET" not in path.read_bytes()


async def test_each_version_has_its_own(vault, bucket):
    await vault.versioned()
    first = (await vault.put("k", Tagging="n=1"))["VersionId"]
    second = (await vault.put("k", Tagging="n=2"))["VersionId"]
    assert await vault.run("PutObjectTagging", **AT, VersionId=first, Tagging=tagging(("n", "0"))) == {"VersionId": first}
    assert [await got(vault, VersionId=each) for each in (first, second)] == [[("n", "0")], [("n", "2")]]
    assert (await vault.run("DeleteObjectTagging", **AT))["VersionId"] == second
    assert [await got(vault, VersionId=each) for each in (first, second)] == [[("n", "0")], []]
    assert (await vault.run("GetObjectTagging", **AT))["VersionId"] == second


async def test_what_has_no_tags(vault, bucket):
    for name, method in (("PutObjectTagging", "PUT"), ("GetObjectTagging", "GET"), ("DeleteObjectTagging", "DELETE")):
        given = AT | ({"Tagging": tagging(("a", "1"))} if name.startswith("Put") else {})
        assert (await vault.refused(name, **given | {"Bucket": "none"})).code == "NoSuchBucket"
        await vault.run("DeleteObject", **AT)
        assert (await vault.refused(name, **given)).code == "NoSuchKey"
        assert (await vault.refused(name, **given, VersionId="x")).code == "InvalidArgument"
        assert (await vault.refused(name, **given, VersionId="x" * 32)).code == "NoSuchVersion"
        await vault.versioned()
        await vault.put("k")
        await vault.delete_marker("k")
        error = await vault.refused(name, **given)
        assert (error.code, error.headers["x-amz-delete-marker"]) == ("NoSuchKey", "true")
        marker = error.headers["x-amz-version-id"]
        error = await vault.refused(name, **given, VersionId=marker)
        assert (error.status, error.code, error.members["Method"]) == (405, "MethodNotAllowed", method)
    marker = await vault.catalog.version((await vault.buckets.find("bucket")).bucket_id, "k", marker)
    assert tags_of(bucket, marker) == {}


BAD_SETS = [
    ([("", "x")], "InvalidTag", "The TagKey you have provided is invalid"),
    ([("k" * 129, "x")], "InvalidTag", "The TagKey you have provided is invalid"),
    ([("k?", "x")], "InvalidTag", "The TagKey you have provided is invalid"),
    ([("k", "v" * 257)], "InvalidTag", "The TagValue you have provided is invalid"),
    ([("k", "<v>")], "InvalidTag", "The TagValue you have provided is invalid"),
    ([("aws:k", "x")], "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
    ([("AWS:k", "x")], "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
    ([("k", "1"), ("k", "2")], "InvalidTag", "Cannot provide multiple Tags with the same key"),
    ([(str(n), "") for n in range(11)], "BadRequest", "Object tags cannot be greater than 10"),
]


@pytest.mark.parametrize(("pairs", "code", "message"), BAD_SETS)
async def test_a_bad_set_is_refused_and_the_old_one_stays(vault, bucket, pairs, code, message):
    await vault.put("k", Tagging="old=1")
    error = await vault.refused("PutObjectTagging", **AT, Tagging=tagging(*pairs))
    assert (error.status, error.code, error.message) == (400, code, message)
    error = await vault.refused("PostObject", **AT, data=b"new", TaggingDocument=tagging(*pairs))
    assert (error.status, error.code, error.message) == (400, code, message)
    assert await got(vault) == [("old", "1")]


@pytest.mark.parametrize("tag", [{"Key": "k"}, {"Value": "v"}, {}])
async def test_half_a_tag_is_no_tag(vault, bucket, tag):
    await vault.put("k")
    assert (await vault.refused("PutObjectTagging", **AT, Tagging={"TagSet": [tag]})).code == "MalformedXML"


async def test_the_most_that_goes(vault, bucket):
    pairs = [(f"{n:0128}", "v" * 256) for n in range(10)]
    await vault.put("k", Tagging="&".join("=".join(pair) for pair in pairs))
    assert await got(vault) == pairs
    await vault.run("PutObjectTagging", **AT, Tagging=tagging(*pairs))
    assert await got(vault) == pairs


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("key", {"key": ""}),
        ("key=", {"key": ""}),
        ("&", {}),
        ("&&", {}),
        ("123", {"123": ""}),
        ("key1&key2", {"key1": "", "key2": ""}),
        ("key1=val1&key2", {"key1": "val1", "key2": ""}),
        ("a+b=c%20d%2B", {"a b": "c d+"}),
        ("Gr%C3%BC%C3%9Fe=%E4%B8%AD&A=1&a=2", {"Gr\u00fc\u00dfe": "\u4e2d", "A": "1", "a": "2"}),
        ("a=b%3Dc", {"a": "b=c"}),
    ],
)
def test_a_header_of_tags(header, tags):
    assert read_tagging_header(header) == tags


@pytest.mark.parametrize(
    "header", ["=", "=v", "k=1&k=2", "a=&a=", "k%3D=1&k%3d=2", "k=v=w", "k=%", "k=%zz", "k%f=1", "k=%ff", "%C3=1"]
)
def test_a_header_that_is_no_query(header):
    with pytest.raises(ApiError) as caught:
        read_tagging_header(header)
    error = caught.value
    assert (error.status, error.code) == (400, "InvalidArgument")
    assert error.message == (
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
    )
    assert error.members == {"ArgumentName": "x-amz-tagging", "ArgumentValue": header}


@pytest.mark.parametrize(
    ("header", "code", "message"),
    [
        ("TagSet%3D%5B%7BKey%3Da%7D%5D", "InvalidTag", "The TagKey you have provided is invalid"),
        ("k=%3Cv%3E", "InvalidTag", "The TagValue you have provided is invalid"),
        ("aws:k=v", "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
        ("&".join(map(str, range(11))), "BadRequest", "Object tags cannot be greater than 10"),
    ],
)
@pytest.mark.parametrize("name", ["PutObject", "CopyObject", "CreateMultipartUpload"])
async def test_a_write_with_bad_tags_writes_nothing(vault, bucket, name, header, code, message):
    await vault.put("source", TAIL)
    given = {"CopySource": "bucket/source", "TaggingDirective": "REPLACE"} if name == "CopyObject" else {}
    error = await vault.refused(name, **AT, Tagging=header, **given)
    assert (error.status, error.code, error.message) == (400, code, message)
    assert vault.sql("SELECT count(*) FROM version") == [(1,)]
    assert vault.sql("SELECT count(*) FROM upload") == [(0,)]


@pytest.mark.fact("C46")
async def test_c46_writes_with_tags(vault, bucket):
    vault.asked.clear()
    await vault.put("k", TAIL, Tagging="a=1")
    assert vault.asked == [("s3:PutObjectTagging", OBJECT)]
    assert await got(vault) == [("a", "1")]
    await vault.run("PostObject", **AT, data=TAIL, TaggingDocument=tagging(("a", "2")))
    assert await got(vault) == [("a", "2")]
    upload = Upload(vault)
    await upload.create(Tagging="a=3")
    await upload.part(1, TAIL)
    await upload.complete()
    assert await got(vault, upload.at["Key"]) == [("a", "3")]
    vault.asked.clear()
    await vault.put("k", TAIL, Tagging="")
    assert vault.asked == []
    vault.denied.add(("s3:PutObjectTagging", OBJECT))
    for name, given in (
        ("PutObject", {"Tagging": "a=1"}),
        ("CreateMultipartUpload", {"Tagging": "a=1"}),
        ("PostObject", {"TaggingDocument": tagging(("a", "2"))}),
        (
            "CopyObject",
            {"Tagging": "a=1", "TaggingDirective": "REPLACE", "CopySource": "bucket/k", "MetadataDirective": "REPLACE"},
        ),
    ):
        assert (await vault.refused(name, **AT, **given)).code == "AccessDenied"
    assert await got(vault) == []
    assert (await vault.refused("PostObject", **AT, Tagging="a=1", TaggingDocument=tagging())).code == "InvalidRequest"


async def test_copies_take_the_tags_along_or_others_or_none(vault, bucket):
    await vault.versioned()
    version = (await vault.put("source", TAIL, Tagging="a=1&b=2"))["VersionId"]
    await vault.put("source", TAIL)
    old = {"CopySource": f"bucket/source?versionId={version}"}
    await vault.run("CopyObject", **AT, **old)
    assert await got(vault) == [("a", "1"), ("b", "2")]
    await vault.run("CopyObject", **AT, **old, Tagging="c=3")  # COPY is what counts
    assert await got(vault) == [("a", "1"), ("b", "2")]
    await vault.run("CopyObject", **AT, **old, Tagging="c=3", TaggingDirective="REPLACE")
    assert await got(vault) == [("c", "3")]
    await vault.run("CopyObject", **AT, **old, TaggingDirective="REPLACE")
    assert await got(vault) == []
    await vault.run("CopyObject", **AT, CopySource="bucket/source")
    assert await got(vault) == []


async def test_the_rights_of_a_copy_with_tags(vault, bucket):
    await vault.versioned()
    version = (await vault.put("source", TAIL, Tagging="a=1"))["VersionId"]
    source = "arn:aws:s3:::bucket/source"
    for copy_source, action in (
        ("bucket/source", "GetObjectTagging"),
        (f"bucket/source?versionId={version}", "GetObjectVersionTagging"),
    ):
        vault.asked.clear()
        await vault.run("CopyObject", **AT, CopySource=copy_source)
        assert {(f"s3:{action}", source), ("s3:PutObjectTagging", OBJECT)} <= set(vault.asked)
        vault.denied = {(f"s3:{action}", source)}
        assert (await vault.refused("CopyObject", **AT, CopySource=copy_source)).code == "AccessDenied"
        await vault.run("CopyObject", **AT, CopySource=copy_source, TaggingDirective="REPLACE")
        assert await got(vault) == []
        vault.denied = set()
    assert ("s3:GetObjectVersionTagging", source, version) in vault.asked_versions
    vault.denied = {("s3:PutObjectTagging", OBJECT)}
    assert (await vault.refused("CopyObject", **AT, CopySource="bucket/source")).code == "AccessDenied"


async def test_the_count_is_for_those_who_may_read_tags(vault, bucket):
    await vault.versioned()
    version = (await vault.put("k", TAIL, Tagging="a=1&b=2"))["VersionId"]
    assert (await vault.get("k"))[1].output["TagCount"] == (await vault.head("k", VersionId=version))["TagCount"] == 2
    vault.denied = {("s3:GetObjectTagging", OBJECT)}
    assert "TagCount" not in (await vault.get("k"))[1].output
    assert "TagCount" not in await vault.head("k")
    assert (await vault.head("k", VersionId=version))["TagCount"] == 2
    vault.denied = {("s3:GetObjectVersionTagging", OBJECT)}
    assert "TagCount" not in await vault.head("k", VersionId=version)


async def test_tags_need_no_key(vault, bucket):
    key_id, _ = await vault.kms_key()
    await vault.put("k", TAIL, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    await vault.kms("DisableKey", KeyId=key_id)
    await vault.run("PutObjectTagging", **AT, Tagging=tagging(("a", "1")))
    assert await got(vault) == [("a", "1")]


async def test_tags_stay_through_another_wrapping(vault, bucket):
    _, arn = await vault.kms_key()
    await vault.put("k", TAIL, Tagging="a=1")
    await vault.run("UpdateObjectEncryption", **AT, ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}})
    assert await got(vault) == [("a", "1")]
    assert (await vault.get("k"))[0] == TAIL


class Meanwhile:
    """The catalog, which does something else first."""

    def __init__(self, catalog, work):
        self._catalog, self._work = catalog, work

    def __getattr__(self, name):
        return getattr(self._catalog, name)

    async def write(self, work, *claim):
        meanwhile, self._work = self._work, None
        if meanwhile is not None:
            await meanwhile()
        return await self._catalog.write(work, *claim)


async def test_tags_put_while_a_version_is_rewrapped_stay(vault, bucket):
    """What was prepared before would bring the old record back."""
    key_id, _ = await vault.kms_key()
    await vault.put("k", TAIL, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    await vault.kms("RotateKeyOnDemand", KeyId=key_id)

    async def tag():
        await vault.run("PutObjectTagging", **AT, Tagging=tagging(("a", "1")))

    rewrapping = Rewrapping(replace(vault.rooms, catalog=Meanwhile(vault.catalog, tag)), Order(None, None))
    await rewrapping.run("bucket")
    assert (rewrapping.tally.changed, rewrapping.tally.moved) == (1, 0)
    assert await got(vault) == [("a", "1")]
    again = Rewrapping(vault.rooms, Order(None, None))
    await again.run("bucket")
    assert again.tally.moved == 1
    assert await got(vault) == [("a", "1")]
    assert (await vault.get("k"))[0] == TAIL


async def test_a_version_that_is_replaced_meanwhile(vault, bucket):
    """Tags go to what is there at the commit, or nowhere."""
    await vault.put("k", b"old")

    async def put():
        await vault.put("k", b"new")

    room = vault.register.find("s3", "PutObjectTagging").run.__self__
    real, room._rooms = room._rooms, replace(vault.rooms, catalog=Meanwhile(vault.catalog, put))
    try:
        await vault.run("PutObjectTagging", **AT, Tagging=tagging(("a", "1")))
    finally:
        room._rooms = real
    assert await got(vault) == [("a", "1")]
    assert (await vault.get("k"))[0] == b"new"


@pytest.mark.parametrize("verb", ["Put", "Get", "Delete"])
def test_needs(vault, verb):
    need = vault.register.find("s3", f"{verb}ObjectTagging").need
    assert (need.action, need.with_version) == (f"s3:{verb}ObjectTagging", f"s3:{verb}ObjectVersionTagging")
