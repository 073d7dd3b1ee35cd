"""What may be put as a bucket's lifecycle, what is refused and in which words, and what answers say of it."""

from __future__ import annotations

import base64
import os
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from strongroom.api.errors import ApiError
from strongroom.s3.lifecycle_reading import MOST_RULES, PREFIX_BYTES, read_configuration

MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC)
TAG = {"Key": "k", "Value": "v"}
EVERYTHING = {
    "ID": "all of it",
    "Filter": {
        "And": {
            "Prefix": "logs/",
            "Tags": [TAG, {"Key": "l", "Value": ""}],
            "ObjectSizeGreaterThan": 0,
            "ObjectSizeLessThan": 5000,
        }
    },
    "Status": "Enabled",
    "Expiration": {"Days": 400},
    "Transitions": [{"Days": 120, "StorageClass": "GLACIER"}, {"Days": 30, "StorageClass": "STANDARD_IA"}],
    "NoncurrentVersionExpiration": {"NoncurrentDays": 91, "NewerNoncurrentVersions": 100},
    "NoncurrentVersionTransitions": [{"NoncurrentDays": 0, "NewerNoncurrentVersions": 1, "StorageClass": "GLACIER"}],
}


@pytest.fixture
async def bucket(vault):
    return await vault.make()


def rule(**more: Any) -> dict[str, Any]:
    return {"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}} | more


def without(given, *names):
    return {name: value for name, value in given.items() if name not in names}


async def put(vault, *rules, **more):
    given = {"Bucket": "bucket", "LifecycleConfiguration": {"Rules": list(rules)}, **more}
    return await vault.run("PutBucketLifecycleConfiguration", **given)


async def got(vault):
    return (await vault.run("GetBucketLifecycleConfiguration", Bucket="bucket"))["Rules"]


async def test_what_is_put_is_got_and_takes_the_place_of_what_was(vault, bucket):
    error = await vault.refused("GetBucketLifecycleConfiguration", Bucket="bucket")
    assert (error.status, error.code) == (404, "NoSuchLifecycleConfiguration")
    await put(vault, EVERYTHING, rule(ID="2", Status="Disabled", Expiration={"Date": MIDNIGHT}))
    kept = [EVERYTHING, rule(ID="2", Status="Disabled", Expiration={"Date": "2027-01-01T00:00:00.000Z"})]
    assert await got(vault) == kept
    aborting = rule(
        ID="3", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}, Expiration={"ExpiredObjectDeleteMarker": True}
    )
    await put(vault, aborting)
    assert await got(vault) == [aborting]
    assert (await vault.ask("DeleteBucketLifecycle", Bucket="bucket")).output == {}
    assert (await vault.refused("GetBucketLifecycleConfiguration", Bucket="bucket")).code == "NoSuchLifecycleConfiguration"
    await vault.run("DeleteBucketLifecycle", Bucket="bucket")


async def test_rules_without_an_id_get_one(vault, bucket):
    await put(vault, rule(), rule(ID=""))
    ids = [one["ID"] for one in await got(vault)]
    assert len(set(ids)) == 2
    assert all(uuid.UUID(base64.b64decode(one).decode()).version == 4 for one in ids)


async def test_the_least_size_of_what_is_moved(vault, bucket):
    name = "TransitionDefaultMinimumObjectSize"
    assert (await put(vault, rule()))[name] == "all_storage_classes_128K"
    assert (await put(vault, rule(), **{name: "varies_by_storage_class"}))[name] == "varies_by_storage_class"
    assert (await vault.run("GetBucketLifecycleConfiguration", Bucket="bucket"))[name] == "varies_by_storage_class"
    error = await vault.refused(
        "PutBucketLifecycleConfiguration", Bucket="bucket", LifecycleConfiguration={"Rules": [rule()]}, **{name: "any"}
    )
    assert (error.code, error.message) == ("InvalidRequest", "Invalid TransitionDefaultMinimumObjectSize found: any")


MALFORMED = ("MalformedXML", None)
OLD = without(rule(Prefix=""), "Filter")
ENOUGH = "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
REFUSED = [
    ([], MALFORMED),
    ([rule(ID=str(number)) for number in range(MOST_RULES + 1)], MALFORMED),
    ([without(rule(), "Filter")], MALFORMED),
    ([rule(Prefix="")], MALFORMED),
    ([rule(Filter={"Prefix": "", "Tag": TAG})], MALFORMED),
    ([rule(Filter={"Prefix": "", "ObjectSizeLessThan": 5})], MALFORMED),
    ([rule(Filter={"And": {"Prefix": "a"}})], MALFORMED),
    ([rule(Filter={"And": {"Tags": [TAG]}})], MALFORMED),
    ([rule(Filter={"And": {}})], MALFORMED),
    ([rule(Filter={"Prefix": "a" * (PREFIX_BYTES + 1)})], ("InvalidRequest", "The maximum size of a prefix is 1024.")),
    ([rule(Filter={"And": {"Tags": [TAG, TAG]}})], ("InvalidRequest", "Duplicate Tag Keys are not allowed.")),
    ([rule(Filter={"Tag": {"Key": "", "Value": "v"}})], ("InvalidTag", "The TagKey you have provided is invalid")),
    ([rule(Filter={"Tag": {"Key": "k", "Value": "<"}})], ("InvalidTag", "The TagValue you have provided is invalid")),
    (
        [rule(Filter={"ObjectSizeLessThan": 0})],
        ("InvalidRequest", "'ObjectSizeLessThan' should be between 1 and 1099511627776000."),
    ),
    (
        [rule(Filter={"ObjectSizeGreaterThan": -1})],
        ("InvalidRequest", "'ObjectSizeGreaterThan' should be between 0 and 1099511627776000."),
    ),
    ([rule(Filter={"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}})], ("InvalidRequest", ENOUGH)),
    ([rule(ID="i" * 256)], ("InvalidArgument", "ID length should not exceed allowed limit of 255")),
    (
        [rule(ID="i"), rule(ID="i", Filter={"Prefix": "a"})],
        ("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule"),
    ),
    ([without(rule(), "Expiration")], ("InvalidRequest", "At least one action needs to be specified in a rule")),
    ([rule(Transitions=[], Expiration=None)], ("InvalidRequest", None)),
    ([rule(Expiration={})], MALFORMED),
    ([rule(Expiration={"Days": 1, "Date": MIDNIGHT})], MALFORMED),
    ([rule(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True})], MALFORMED),
    ([rule(Expiration={"Date": MIDNIGHT, "ExpiredObjectDeleteMarker": False})], MALFORMED),
    ([rule(Expiration={"Days": 0})], ("InvalidArgument", "'Days' for Expiration action must be a positive integer")),
    ([rule(Expiration={"Days": 2**31})], MALFORMED),
    ([rule(Expiration={"Date": MIDNIGHT + timedelta(hours=1)})], ("InvalidArgument", "'Date' must be at midnight GMT")),
    ([rule(Expiration={"Date": MIDNIGHT + timedelta(microseconds=1)})], ("InvalidArgument", "'Date' must be at midnight GMT")),
    (
        [rule(Expiration={"ExpiredObjectDeleteMarker": True}, Filter={"Tag": TAG})],
        ("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags."),
    ),
    (
        [rule(Expiration={"ExpiredObjectDeleteMarker": True}, Filter={"ObjectSizeLessThan": 5})],
        ("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Object Size."),
    ),
    ([rule(AbortIncompleteMultipartUpload={})], MALFORMED),
    (
        [rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0})],
        ("InvalidArgument", "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"),
    ),
    (
        [rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}, Filter={"And": {"Prefix": "", "Tags": [TAG]}})],
        ("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags."),
    ),
    (
        [rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}, Filter={"ObjectSizeGreaterThan": 5})],
        ("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Object Size."),
    ),
    ([rule(NoncurrentVersionExpiration={})], MALFORMED),
    ([rule(NoncurrentVersionExpiration={"NewerNoncurrentVersions": 1})], MALFORMED),
    (
        [rule(NoncurrentVersionExpiration={"NoncurrentDays": 0})],
        ("InvalidArgument", "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer"),
    ),
    (
        [rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 0})],
        ("InvalidArgument", "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer"),
    ),
    (
        [rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101})],
        ("InvalidArgument", "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be less than or equal to 100"),
    ),
    (
        [OLD | {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}}],
        ("InvalidRequest", "NewerNoncurrentVersions element can only be used in Lifecycle V2."),
    ),
    ([OLD, rule(ID="b")], ("InvalidRequest", "Filter element can only be used in Lifecycle V2.")),
    (
        [rule(), OLD],
        ("InvalidRequest", "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."),
    ),
    (
        [OLD, OLD | {"Prefix": "a"}],
        ("InvalidRequest", "Found overlapping prefixes '' and 'a' for same action type 'Expiration'"),
    ),
]


def moving(*moves, **more):
    return without(rule(**more), *(() if "Expiration" in more else ("Expiration",))) | {"Transitions": list(moves)}


def past_moving(*moves, **more):
    return without(rule(**more), "Expiration") | {"NoncurrentVersionTransitions": list(moves)}


def days(number, name="STANDARD_IA"):
    return {"Days": number, "StorageClass": name}


def past(number, name="STANDARD_IA"):
    return {"NoncurrentDays": number, "StorageClass": name}


REFUSED_MOVES = [
    (moving({"StorageClass": "GLACIER"}), MALFORMED),
    (moving({"Days": 1}), MALFORMED),
    (moving({"Days": 1, "Date": MIDNIGHT, "StorageClass": "GLACIER"}), MALFORMED),
    (moving(days(-1, "GLACIER")), ("InvalidArgument", "'Days' for Transition action must be nonnegative")),
    (
        moving(days(29)),
        ("InvalidArgument", "'Days' in Transition action must be greater than or equal to 30 for storageClass 'STANDARD_IA'"),
    ),
    (
        moving(days(0, "ONEZONE_IA")),
        ("InvalidArgument", "'Days' in Transition action must be greater than or equal to 30 for storageClass 'ONEZONE_IA'"),
    ),
    (
        moving({"Date": MIDNIGHT + timedelta(seconds=1), "StorageClass": "GLACIER"}),
        ("InvalidArgument", "'Date' must be at midnight GMT"),
    ),
    (
        moving(days(1, "GLACIER"), days(300, "GLACIER")),
        ("InvalidRequest", "'StorageClass' must be different for 'Transition' actions in same 'Rule' with filter '(prefix=)'"),
    ),
    (
        moving(days(1, "GLACIER"), {"Date": MIDNIGHT, "StorageClass": "DEEP_ARCHIVE"}),
        ("InvalidRequest", "Found mixed 'Date' and 'Days' based Transition actions in lifecycle rule for filter '(prefix=)'"),
    ),
    (
        moving(days(1, "GLACIER"), days(90, "DEEP_ARCHIVE"), Filter={"Prefix": "p"}),
        (
            "InvalidArgument",
            (
                "'Days' in the 'Transition' action for StorageClass 'DEEP_ARCHIVE' for filter '(prefix=p)' must be 90 days more than "
                "'filter '(prefix=p)'' in the 'Transition' action for StorageClass 'GLACIER'"
            ),
        ),
    ),
    (
        moving(days(30), days(59, "GLACIER")),
        (
            "InvalidArgument",
            (
                "'Days' in the 'Transition' action for StorageClass 'GLACIER' for filter '(prefix=)' must be 30 days more than "
                "'filter '(prefix=)'' in the 'Transition' action for StorageClass 'STANDARD_IA'"
            ),
        ),
    ),
    (moving(days(30), days(1, "GLACIER")), ("InvalidArgument", None)),
    (moving(days(5, "INTELLIGENT_TIERING"), days(5, "GLACIER")), ("InvalidArgument", None)),
    (moving(days(30, "ONEZONE_IA"), days(100, "GLACIER_IR")), ("InvalidRequest", None)),
    (
        moving({"Date": MIDNIGHT, "StorageClass": "DEEP_ARCHIVE"}, {"Date": MIDNIGHT, "StorageClass": "GLACIER"}),
        ("InvalidArgument", None),
    ),
    (
        moving(days(30), Expiration={"Days": 30}),
        (
            "InvalidArgument",
            "'Days' in the Expiration action for filter '(prefix=)' must be greater than 'Days' in the Transition action",
        ),
    ),
    (
        moving({"Date": MIDNIGHT, "StorageClass": "GLACIER"}, Expiration={"Date": MIDNIGHT}),
        (
            "InvalidArgument",
            "'Date' in the Expiration action for filter '(prefix=)' must be later than 'Date' in the Transition action",
        ),
    ),
    (
        moving(days(30), Expiration={"Date": MIDNIGHT}),
        (
            "InvalidRequest",
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for filter '(prefix=)'",
        ),
    ),
    (past_moving({"NoncurrentDays": 1}), MALFORMED),
    (past_moving({"StorageClass": "GLACIER"}), MALFORMED),
    (
        past_moving(past(-1, "GLACIER")),
        ("InvalidArgument", "'NoncurrentDays' for NoncurrentVersionTransition action must be nonnegative"),
    ),
    (past_moving(past(29)), ("InvalidArgument", None)),
    (past_moving(past(30), past(40, "GLACIER")), ("InvalidArgument", None)),
    (past_moving(past(30), past(60, "STANDARD_IA")), ("InvalidRequest", None)),
    (past_moving(past(1, "GLACIER") | {"NewerNoncurrentVersions": 101}), ("InvalidArgument", None)),
    (
        past_moving(past(30), NoncurrentVersionExpiration={"NoncurrentDays": 30}),
        (
            "InvalidArgument",
            (
                "'NoncurrentDays' in the NoncurrentVersionExpiration action for filter '(prefix=)' must be greater than "
                "'NoncurrentDays' in the NoncurrentVersionTransition action"
            ),
        ),
    ),
]


@pytest.mark.parametrize(("rules", "answer"), [*REFUSED, *(([one], answer) for one, answer in REFUSED_MOVES)])
def test_what_is_refused(rules, answer):
    with pytest.raises(ApiError) as caught:
        read_configuration({"Rules": rules}, None, os.urandom)
    assert (caught.value.status, caught.value.code) == (400, answer[0])
    assert answer[1] is None or caught.value.message == answer[1]


async def test_a_bad_configuration_is_refused_and_the_old_one_stays(vault, bucket):
    await put(vault, rule(ID="old"))
    for rules, answer in REFUSED[:12]:
        given = {"Bucket": "bucket", "LifecycleConfiguration": {"Rules": rules}}
        assert (await vault.refused("PutBucketLifecycleConfiguration", **given)).code == answer[0]
    assert await got(vault) == [rule(ID="old")]


@pytest.mark.parametrize(
    "rules",
    [
        [rule(ID="i" * 255, Filter={"Prefix": "p" * PREFIX_BYTES})],
        [rule(ID=str(number), Filter={"Prefix": str(number)}) for number in range(MOST_RULES)],
        [OLD, OLD | {"Prefix": "a", "Expiration": None, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}],
        [rule(ID="1"), rule(ID="2")],  # the same twice: settled when it is judged
        [rule(Expiration={"ExpiredObjectDeleteMarker": False})],
        [rule(Filter={"ObjectSizeGreaterThan": 0})],
        [rule(Filter={"And": {"Prefix": "", "Tags": [TAG]}})],
        [moving(days(30), days(60, "INTELLIGENT_TIERING"), days(61, "GLACIER"), days(151, "DEEP_ARCHIVE"))],
        [moving(days(0, "GLACIER_IR"), days(90, "GLACIER"))],
        [past_moving(past(30), NoncurrentVersionExpiration={"NoncurrentDays": 31})],
    ],
)
def test_what_is_taken(rules):
    kept = read_configuration({"Rules": rules}, None, os.urandom)["rules"]
    assert len(kept) == len(rules)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        ("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
        ("DeleteBucketLifecycle", "s3:PutLifecycleConfiguration"),
    ],
)
async def test_needs_and_a_bucket_that_is_not_there(vault, name, action):
    assert vault.register.find("s3", name).need.action == action
    given = {"LifecycleConfiguration": {"Rules": [rule()]}} if name.startswith("Put") else {}
    assert (await vault.refused(name, Bucket="none", **given)).code == "NoSuchBucket"


# ---- what answers say


def midnight(moment, number):
    """The midnight behind the day that comes so many days later."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return format_datetime(day + timedelta(days=number + 1), usegmt=True)


def says(moment, number, rule_id):
    return f'expiry-date="{midnight(moment, number)}", rule-id="{rule_id}"'


async def complete(vault, key, **given):
    at = {"Bucket": "bucket", "Key": key}
    begun = await vault.run("CreateMultipartUpload", **at, **given)
    at |= {"UploadId": begun["UploadId"]}
    part = await vault.run("UploadPart", data=b"x", PartNumber=1, **at)
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC64NVME": part.get("ChecksumCRC64NVME")}]
    return begun, await vault.run("CompleteMultipartUpload", MultipartUpload={"Parts": parts}, **at), at


async def test_every_answer_about_a_current_version_says_when_it_expires(vault, bucket):
    await put(
        vault,
        rule(ID="one & all", Expiration={"Days": 3}),
        rule(ID="sooner/", Filter={"Prefix": "s/"}, Expiration={"Days": 2}),
        rule(ID="off", Status="Disabled"),
        rule(ID="large", Filter={"ObjectSizeGreaterThan": 5}, Expiration={"Days": 1}),
    )
    three, two = says(vault.now, 3, "one%20%26%20all"), says(vault.now, 2, "sooner%2F")
    assert (await vault.put("k", b"x"))["Expiration"] == three
    assert (await vault.put("s/k", b"x"))["Expiration"] == two
    assert (await vault.put("s/l", b"larger"))["Expiration"] == says(vault.now, 1, "large")
    vault.now += timedelta(days=1, minutes=1)  # of the object's own time, not of now
    assert (await vault.head("k"))["Expiration"] == three
    assert (await vault.get("s/k"))[1].output["Expiration"] == two
    copied = await vault.run("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")
    assert copied["Expiration"] == says(vault.now, 3, "one%20%26%20all")
    assert (await complete(vault, "m"))[1]["Expiration"] == says(vault.now, 3, "one%20%26%20all")
    posted = await vault.ask("PostObject", data=b"x", Bucket="bucket", Key="posted")
    assert posted.output["Expiration"] == says(vault.now, 3, "one%20%26%20all")


async def test_a_version_that_is_named_says_nothing(vault, bucket):
    await put(vault, rule())
    await vault.versioned()
    version_id = (await vault.put("k"))["VersionId"]
    assert "Expiration" in await vault.head("k")
    assert "Expiration" not in await vault.head("k", VersionId=version_id)


async def test_nothing_is_said_where_no_rule_is(vault, bucket):
    assert "Expiration" not in await vault.put("k")
    await put(vault, rule(Expiration={"ExpiredObjectDeleteMarker": True}), rule(Filter={"Prefix": "other"}))
    assert "Expiration" not in await vault.head("k")
    assert "AbortDate" not in (await complete(vault, "m"))[0]


async def test_a_day_beyond_the_calendar_is_not_told(vault, bucket):
    far = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2**31 - 1}}
    await put(vault, rule(Expiration={"Days": 2**31 - 1}, **far))
    assert "Expiration" not in await vault.put("k")
    assert "AbortDate" not in await vault.run("CreateMultipartUpload", Bucket="bucket", Key="m")


async def test_dates(vault, bucket):
    await put(vault, rule(ID="d", Expiration={"Date": MIDNIGHT}), rule(ID="later", Expiration={"Days": 100_000}))
    assert (await vault.put("k"))["Expiration"] == 'expiry-date="Fri, 01 Jan 2027 00:00:00 GMT", rule-id="d"'


async def test_uploads_say_when_they_are_aborted(vault, bucket):
    abort = "AbortIncompleteMultipartUpload"
    await put(
        vault,
        without(rule(ID="week", **{abort: {"DaysAfterInitiation": 7}}), "Expiration"),
        without(rule(ID="soon", Filter={"Prefix": "m/"}, **{abort: {"DaysAfterInitiation": 1}}), "Expiration"),
    )
    begun = await vault.run("CreateMultipartUpload", Bucket="bucket", Key="m/1")
    expected = vault.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    assert (begun["AbortDate"], begun["AbortRuleId"]) == (expected, "soon")
    vault.now += timedelta(days=3)
    listed = await vault.run("ListParts", Bucket="bucket", Key="m/1", UploadId=begun["UploadId"])
    assert (listed["AbortDate"], listed["AbortRuleId"]) == (expected, "soon")
    assert (await vault.run("CreateMultipartUpload", Bucket="bucket", Key="n"))["AbortRuleId"] == "week"


async def test_rules_about_tags(vault, bucket):
    await put(vault, rule(ID="t", Filter={"And": {"Tags": [TAG, {"Key": "l", "Value": "w"}]}}))
    assert "Expiration" not in await vault.put("k", b"x", Tagging="k=v")
    assert (await vault.put("k", b"x", Tagging="l=w&k=v&m=x"))["Expiration"] == says(vault.now, 1, "t")
    assert "Expiration" in await vault.head("k")
    await vault.run("PutObjectTagging", Bucket="bucket", Key="k", Tagging={"TagSet": [TAG]})
    assert "Expiration" not in await vault.head("k")
    assert "Expiration" in (await complete(vault, "m", Tagging="l=w&k=v"))[1]
