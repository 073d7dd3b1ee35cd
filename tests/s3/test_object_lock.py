"""Object lock: the bucket's configuration, retention and legal hold of versions, and everything that must not get past them."""

from __future__ import annotations

import ast
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import strongroom
from strongroom.api.errors import ApiError
from strongroom.s3.lifecycle_working import LifecycleWork
from strongroom.s3.object_lock import COMPLIANCE, GOVERNANCE, LockRule, ObjectLock, read_retention, read_rule, requested_lock
from strongroom.s3.rewrapping import Order, Rewrapping
from strongroom.s3.versions import milliseconds
from tests.s3.test_multipart import TAIL, Upload
from tests.s3.test_object_tagging import Meanwhile

OBJECT = "arn:aws:s3:::bucket/k"
AT = {"Bucket": "bucket", "Key": "k"}
MD5 = {"content-md5": "what the body promised is checked elsewhere"}
PROTECTED = (403, "AccessDenied", "Access Denied because object protected by object lock.")
DAY = timedelta(days=1)
NOW = datetime(2026, 5, 4, 3, 2, 1, 678000, UTC)
NOW_MS = milliseconds(NOW)


def told(error):
    return error.status, error.code, error.message


@pytest.fixture
async def bucket(vault):
    return await vault.make(ObjectLockEnabledForBucket=True)


async def put(vault, data=TAIL, /, **given):
    """The new version's id."""
    return (await vault.put("k", data, headers=MD5, **given))["VersionId"]


def retained(vault, mode=GOVERNANCE, days=10):
    return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": vault.now + days * DAY}


async def retain(vault, version_id, mode=GOVERNANCE, days=10, **given):
    retention = {"Mode": mode, "RetainUntilDate": vault.now + days * DAY} if mode else {}
    await vault.run("PutObjectRetention", **AT, VersionId=version_id, Retention=retention, headers=MD5, **given)


async def hold(vault, version_id, status):
    await vault.run("PutObjectLegalHold", **AT, VersionId=version_id, LegalHold={"Status": status}, headers=MD5)


async def configure(vault, rule=None, **given):
    configuration = {"ObjectLockEnabled": "Enabled"} | ({} if rule is None else {"Rule": {"DefaultRetention": rule}})
    await vault.run("PutObjectLockConfiguration", Bucket="bucket", ObjectLockConfiguration=configuration, headers=MD5, **given)


async def stays(vault, version_id, data=TAIL, **given):
    error = await vault.refused("DeleteObject", **AT, VersionId=version_id, **given)
    assert told(error) == PROTECTED
    assert (await vault.get("k", VersionId=version_id))[0] == data


async def goes(vault, version_id, **given):
    assert (await vault.run("DeleteObject", **AT, VersionId=version_id, **given)) == {"VersionId": version_id}
    assert (await vault.refused("HeadObject", **AT, VersionId=version_id)).code == "NoSuchVersion"


# ------------------------------------------------------------------------------------------------- the bucket's configuration


async def test_a_bucket_made_with_object_lock(vault, bucket):
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {"Status": "Enabled"}
    got = await vault.run("GetObjectLockConfiguration", Bucket="bucket")
    assert got == {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    arn = "arn:aws:s3:::bucket"
    assert {("s3:PutBucketObjectLockConfiguration", arn), ("s3:PutBucketVersioning", arn)} <= set(vault.asked)
    vault.denied = {("s3:PutBucketObjectLockConfiguration", "arn:aws:s3:::second")}
    assert (await vault.refused("CreateBucket", Bucket="second", ObjectLockEnabledForBucket=True)).code == "AccessDenied"
    assert await vault.catalog.bucket("second") is None
    await vault.run("CreateBucket", Bucket="second", ObjectLockEnabledForBucket=False)
    assert await vault.run("GetBucketVersioning", Bucket="second") == {}


async def test_object_lock_comes_to_a_bucket_whose_versioning_is_on(vault):
    await vault.make()
    error = await vault.refused("GetObjectLockConfiguration", Bucket="bucket")
    assert told(error) == (
        404,
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    )
    text = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
    for status in (None, "Suspended"):
        if status:
            await vault.versioned(status=status)
        given = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}, "headers": MD5}
        error = await vault.refused("PutObjectLockConfiguration", Bucket="bucket", **given)
        assert told(error) == (409, "InvalidBucketState", text)
    await vault.put("k", b"null")
    await vault.versioned()
    await configure(vault)
    await retain(vault, "null")
    await put(vault, b"new")
    await stays(vault, "null", b"null")


async def test_versioning_stays_on(vault, bucket):
    error = await vault.refused("PutBucketVersioning", Bucket="bucket", VersioningConfiguration={"Status": "Suspended"})
    text = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
    assert told(error) == (409, "InvalidBucketState", text)
    await vault.versioned()
    assert await vault.run("GetBucketVersioning", Bucket="bucket") == {"Status": "Enabled"}


@pytest.mark.parametrize("rule", [{"Mode": GOVERNANCE, "Days": 3}, {"Mode": COMPLIANCE, "Years": 2}])
async def test_a_default_is_for_new_versions_that_ask_for_nothing(vault, bucket, rule):
    before = await put(vault)
    await configure(vault, rule)
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
    assert await vault.run("GetObjectLockConfiguration", Bucket="bucket") == {"ObjectLockConfiguration": configuration}
    assert "ObjectLockMode" not in await vault.head("k", VersionId=before)
    version = await put(vault)
    head = await vault.head("k")
    until = vault.now + 3 * DAY if "Days" in rule else vault.now.replace(year=vault.now.year + 2)
    assert head["ObjectLockMode"] == rule["Mode"]
    assert abs(head["ObjectLockRetainUntilDate"] - until) < timedelta(milliseconds=2)
    await stays(vault, version)
    asked = await put(vault, **retained(vault, GOVERNANCE, 1))
    assert (await vault.head("k"))["ObjectLockRetainUntilDate"] < vault.now + 2 * DAY
    await stays(vault, asked)
    held = await put(vault, ObjectLockLegalHoldStatus="OFF")
    head = await vault.head("k", VersionId=held)
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == (rule["Mode"], "OFF")
    await configure(vault)
    free = await put(vault)
    assert "ObjectLockMode" not in await vault.head("k")
    for each in (before, free):
        await goes(vault, each)
    await stays(vault, version)


@pytest.mark.parametrize(
    ("configuration", "code", "message"),
    [
        ({}, "MalformedXML", None),
        ({"Rule": {"DefaultRetention": {"Mode": GOVERNANCE, "Days": 1}}}, "MalformedXML", None),
        ({"ObjectLockEnabled": "Disabled"}, "MalformedXML", None),
        ({"ObjectLockEnabled": "Enabled", "Rule": {}}, "MalformedXML", None),
        ({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": GOVERNANCE}}}, "MalformedXML", None),
        ({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Days": 1}}}, "MalformedXML", None),
        ({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "FREE", "Days": 1}}}, "MalformedXML", None),
        (
            {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": GOVERNANCE, "Days": 1, "Years": 1}}},
            "MalformedXML",
            None,
        ),
        *(
            (
                {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": GOVERNANCE, name: number}}},
                "InvalidArgument",
                text,
            )
            for name, most in (("Days", 36_500), ("Years", 100))
            for number, text in (
                (0, "Default retention period must be a positive integer value."),
                (-1, "Default retention period must be a positive integer value."),
                (most + 1, "Default retention period too large."),
            )
        ),
        (
            {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"DefaultEventHold": {"Days": 1}}}},
            "NotImplemented",
            "Event holds are not implemented: DefaultEventHold.",
        ),
    ],
)
async def test_a_bad_configuration_is_refused_and_the_old_one_stays(vault, bucket, configuration, code, message):
    await configure(vault, {"Mode": GOVERNANCE, "Days": 3})
    given = {"Bucket": "bucket", "ObjectLockConfiguration": configuration, "headers": MD5}
    error = await vault.refused("PutObjectLockConfiguration", **given)
    assert (error.code, error.message) == (code, message or error.message)
    assert (await vault.buckets.find("bucket")).lock_rule == LockRule(GOVERNANCE, 3)


def test_the_most_that_goes():
    for period in ({"Days": 36_500}, {"Years": 100}):
        rule = read_rule({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": COMPLIANCE, **period}}})
        assert rule.apply(ObjectLock(), NOW_MS).until_ms > NOW_MS + 99 * 365 * 86_400_000


@pytest.mark.parametrize(
    ("rule", "start", "end"),
    [
        (LockRule(GOVERNANCE, days=1), "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        (LockRule(GOVERNANCE, years=1), "2027-06-01T00:00:00Z", "2028-06-01T00:00:00Z"),
        (LockRule(GOVERNANCE, years=1), "2028-02-29T01:00:00Z", "2029-02-28T01:00:00Z"),
        (LockRule(GOVERNANCE, years=4), "2028-02-29T01:00:00Z", "2032-02-29T01:00:00Z"),
    ],
)
def test_until_when_a_default_retains(rule, start, end):
    start_ms, end_ms = (milliseconds(datetime.fromisoformat(text)) for text in (start, end))
    assert rule.apply(ObjectLock(hold="ON"), start_ms) == ObjectLock(GOVERNANCE, end_ms, "ON")


# ----------------------------------------------------------------------------------------------------- what protects a version


@pytest.mark.fact("E11")
@pytest.mark.parametrize("mode", [GOVERNANCE, COMPLIANCE])
async def test_e11_a_retained_version_stays_until_its_end(vault, bucket, mode):
    version = await put(vault, **retained(vault, mode, 10))
    head = await vault.head("k")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"].date()) == (mode, (vault.now + 10 * DAY).date())
    await stays(vault, version)
    vault.now += 10 * DAY - timedelta(milliseconds=1)
    await stays(vault, version)
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    (error,) = answer["Errors"]
    assert error == {"Key": "k", "VersionId": version, "Code": PROTECTED[1], "Message": PROTECTED[2]}
    vault.now += timedelta(milliseconds=2)
    assert (await vault.head("k"))["ObjectLockMode"] == mode  # it is told of, and protects no more
    await goes(vault, version)


async def test_a_delete_of_many_takes_those_that_may_go(vault, bucket):
    versions = [await put(vault), await put(vault, **retained(vault)), await put(vault, ObjectLockLegalHoldStatus="ON")]
    objects = [{"Key": "k", "VersionId": each} for each in versions] + [{"Key": "k"}]
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete={"Objects": objects})
    assert [one.get("VersionId") for one in answer["Deleted"]] == [versions[0], None]
    assert [(one["VersionId"], one["Code"], one["Message"]) for one in answer["Errors"]] == [
        (each, *PROTECTED[1:]) for each in versions[1:]
    ]
    assert answer["Deleted"][1]["DeleteMarker"]
    marker = answer["Deleted"][1]["DeleteMarkerVersionId"]
    assert (await vault.run("DeleteObject", **AT, VersionId=marker))["DeleteMarker"]  # nothing protects a delete marker
    assert (await vault.get("k"))[0] == TAIL


async def test_new_versions_and_delete_markers_go_on_top(vault, bucket):
    version = await put(vault, **retained(vault, COMPLIANCE))
    await put(vault, b"new")
    await vault.run("CopyObject", **AT, CopySource=f"bucket/k?versionId={version}")
    assert "ObjectLockMode" not in await vault.head("k")  # a copy has a lock of its own
    await vault.delete_marker("k")
    await stays(vault, version)
    assert (await vault.refused("DeleteBucket", Bucket="bucket")).code == "BucketNotEmpty"


async def test_a_legal_hold_knows_neither_end_nor_bypass(vault, bucket):
    version = await put(vault, ObjectLockLegalHoldStatus="ON")
    assert await vault.run("GetObjectLegalHold", **AT) == {"LegalHold": {"Status": "ON"}}
    vault.now += 50_000 * DAY
    await stays(vault, version)
    await stays(vault, version, BypassGovernanceRetention=True)
    await retain(vault, version, days=1)  # a retention beside it
    await hold(vault, version, "OFF")
    assert (await vault.head("k"))["ObjectLockLegalHoldStatus"] == "OFF"
    await stays(vault, version)
    vault.now += 2 * DAY
    await hold(vault, version, "ON")
    await stays(vault, version)
    await hold(vault, version, "OFF")
    await goes(vault, version)


async def test_governance_is_bypassed_by_who_may_and_says_so(vault, bucket):
    versions = [await put(vault, **retained(vault)) for _ in range(3)]
    await stays(vault, versions[0])
    vault.denied = {("s3:BypassGovernanceRetention", OBJECT)}
    error = await vault.refused("DeleteObject", **AT, VersionId=versions[0], BypassGovernanceRetention=True)
    assert error.code == "AccessDenied"
    objects = {"Objects": [{"Key": "k", "VersionId": each} for each in versions]}
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete=objects, BypassGovernanceRetention=True)
    assert (len(answer["Errors"]), answer["Deleted"]) == (3, [])
    vault.denied = set()
    await goes(vault, versions[0], BypassGovernanceRetention=True)
    assert ("s3:BypassGovernanceRetention", OBJECT, versions[0]) in vault.asked_versions
    answer = await vault.run("DeleteObjects", Bucket="bucket", Delete=objects, BypassGovernanceRetention=True)
    assert (answer["Errors"], len(answer["Deleted"])) == ([], 3)


async def test_compliance_is_bypassed_by_nobody(vault, bucket):
    version = await put(vault, **retained(vault, COMPLIANCE))
    await stays(vault, version, BypassGovernanceRetention=True)
    for mode, days in ((COMPLIANCE, 9), (GOVERNANCE, 11), ("", 0)):
        retention = {"Mode": mode, "RetainUntilDate": vault.now + days * DAY} if mode else {}
        given = {"Retention": retention, "BypassGovernanceRetention": True, "headers": MD5}
        assert told(await vault.refused("PutObjectRetention", **AT, **given)) == PROTECTED
    await retain(vault, version, COMPLIANCE, 12)
    vault.now += 11 * DAY
    await stays(vault, version)


async def test_a_bypass_where_there_is_nothing_to_bypass(vault):
    await vault.make()
    for name, given in (("DeleteObject", {"Key": "k"}), ("DeleteObjects", {"Delete": {"Objects": [{"Key": "k"}]}})):
        error = await vault.refused(name, Bucket="bucket", BypassGovernanceRetention=True, **given)
        text = "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets."
        assert told(error) == (400, "InvalidArgument", text)


@pytest.mark.parametrize(
    ("before", "mode", "days", "plain", "bypassing"),
    [
        (None, GOVERNANCE, 1, True, True),
        (None, COMPLIANCE, 1, True, True),
        (None, "", 0, True, True),
        (GOVERNANCE, GOVERNANCE, 10, True, True),
        (GOVERNANCE, GOVERNANCE, 11, True, True),
        (GOVERNANCE, GOVERNANCE, 9, False, True),
        (GOVERNANCE, COMPLIANCE, 11, False, True),
        (GOVERNANCE, COMPLIANCE, 1, False, True),
        (GOVERNANCE, "", 0, False, True),
        (COMPLIANCE, COMPLIANCE, 10, True, True),
        (COMPLIANCE, COMPLIANCE, 11, True, True),
        (COMPLIANCE, COMPLIANCE, 9, False, False),
        (COMPLIANCE, GOVERNANCE, 11, False, False),
        (COMPLIANCE, "", 0, False, False),
    ],
)
def test_what_a_retention_may_become(before, mode, days, plain, bypassing):
    day = 86_400_000
    lock = ObjectLock(before, NOW_MS + 10 * day, "OFF") if before else ObjectLock(hold="OFF")
    until = NOW_MS + days * day if mode else 0
    for bypass, allowed in ((False, plain), (True, bypassing)):
        if allowed:
            assert lock.retained_anew(mode, until, NOW_MS, bypass=bypass) == ObjectLock(mode, until, "OFF")
        else:
            with pytest.raises(ApiError) as caught:
                lock.retained_anew(mode, until, NOW_MS, bypass=bypass)
            assert told(caught.value) == PROTECTED
    later = NOW_MS + 10 * day
    assert lock.retained_anew(mode, later + 1 if mode else 0, later, bypass=False).mode == mode  # once it has ended


async def test_retention_put_got_and_taken_away(vault, bucket):
    version = await put(vault)
    none = (404, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
    assert told(await vault.refused("GetObjectRetention", **AT)) == none
    assert told(await vault.refused("GetObjectLegalHold", **AT)) == none
    row = await vault.row("k")
    await retain(vault, version, GOVERNANCE, 2)
    got = (await vault.run("GetObjectRetention", **AT, VersionId=version))["Retention"]
    assert (got["Mode"], got["RetainUntilDate"].date()) == (GOVERNANCE, (vault.now + 2 * DAY).date())
    assert (await vault.row("k"))._replace(meta=b"") == row._replace(meta=b"")  # nothing else has changed
    await retain(vault, version, "", BypassGovernanceRetention=True)
    assert told(await vault.refused("GetObjectRetention", **AT)) == none
    assert "ObjectLockMode" not in await vault.head("k")
    await goes(vault, version)


@pytest.mark.parametrize("name", ["PutObjectRetention", "GetObjectRetention", "PutObjectLegalHold", "GetObjectLegalHold"])
async def test_versions_that_have_no_lock(vault, name):
    given = {"PutObjectRetention": {"Retention": {}}, "PutObjectLegalHold": {"LegalHold": {"Status": "ON"}}}.get(name, {})
    await vault.make()
    await vault.put("k")
    error = await vault.refused(name, **AT, **given, headers=MD5)
    assert told(error) == (400, "InvalidRequest", "Bucket is missing Object Lock Configuration")
    await vault.versioned()
    await configure(vault)
    assert (await vault.refused(name, **AT | {"Key": "none"}, **given, headers=MD5)).code == "NoSuchKey"
    assert (await vault.refused(name, **AT, VersionId="x" * 32, **given, headers=MD5)).code == "NoSuchVersion"
    marker = (await vault.run("DeleteObject", **AT))["VersionId"]
    assert (await vault.refused(name, **AT, VersionId=marker, **given, headers=MD5)).code == "MethodNotAllowed"
    assert vault.register.find("s3", name).need.action == f"s3:{name}"


@pytest.mark.parametrize(
    ("name", "given", "code"),
    [
        ("PutObjectRetention", {}, "MalformedXML"),
        ("PutObjectRetention", {"Retention": {"Mode": GOVERNANCE}}, "MalformedXML"),
        ("PutObjectRetention", {"Retention": {"RetainUntilDate": NOW}}, "MalformedXML"),
        ("PutObjectRetention", {"Retention": {"Mode": "FREE", "RetainUntilDate": NOW}}, "MalformedXML"),
        (
            "PutObjectRetention",
            {"Retention": {"Mode": GOVERNANCE, "RetainUntilDate": datetime(2001, 1, 1, tzinfo=UTC)}},
            "InvalidArgument",
        ),
        ("PutObjectRetention", {"Retention": {"EventHold": "ON"}}, "NotImplemented"),
        ("PutObjectRetention", {"Retention": {"EventHoldDuration": {"Days": 1}}}, "NotImplemented"),
        ("PutObjectLegalHold", {}, "MalformedXML"),
        ("PutObjectLegalHold", {"LegalHold": {}}, "MalformedXML"),
        ("PutObjectLegalHold", {"LegalHold": {"Status": "on"}}, "MalformedXML"),
    ],
)
async def test_bad_documents_change_nothing(vault, bucket, name, given, code):
    version = await put(vault, **retained(vault), ObjectLockLegalHoldStatus="ON")
    row = await vault.row("k")
    assert (await vault.refused(name, **AT, VersionId=version, **given, headers=MD5)).code == code
    assert await vault.row("k") == row


def test_a_date_that_is_past():
    with pytest.raises(ApiError) as caught:
        read_retention({"Mode": GOVERNANCE, "RetainUntilDate": NOW}, NOW_MS)
    assert caught.value.message == "The retain until date must be in the future!"


# --------------------------------------------------------------------------------------------------------------------- writes


@pytest.mark.parametrize(
    ("given", "message", "members"),
    [
        (
            {"ObjectLockMode": "FREE"},
            "Unknown wormMode directive.",
            {"ArgumentName": "x-amz-object-lock-mode", "ArgumentValue": "FREE"},
        ),
        (
            {"ObjectLockLegalHoldStatus": "wrong"},
            "Legal Hold must be either of 'ON' or 'OFF'",
            {"ArgumentName": "x-amz-object-lock-legal-hold", "ArgumentValue": "wrong"},
        ),
        (
            {"ObjectLockMode": GOVERNANCE},
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            {"ArgumentName": "x-amz-object-lock-retain-until-date"},
        ),
        (
            {"ObjectLockRetainUntilDate": NOW + DAY},
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            {"ArgumentName": "x-amz-object-lock-mode"},
        ),
        (
            {"ObjectLockMode": GOVERNANCE, "ObjectLockRetainUntilDate": NOW},
            "The retain until date must be in the future!",
            {"ArgumentName": "x-amz-object-lock-retain-until-date", "ArgumentValue": "as it was written"},
        ),
    ],
)
def test_headers_that_are_refused(given, message, members):
    with pytest.raises(ApiError) as caught:
        requested_lock(given, {"x-amz-object-lock-retain-until-date": "as it was written"}, NOW_MS)
    assert (caught.value.code, caught.value.message, caught.value.members) == ("InvalidArgument", message, members)


@pytest.mark.parametrize("member", ["ObjectLockEventHold", "ObjectLockEventHoldDurationDays", "ObjectLockEventHoldDurationYears"])
def test_event_holds_are_not_built(member):
    with pytest.raises(ApiError) as caught:
        requested_lock({member: "ON"}, {}, NOW_MS)
    assert caught.value.code == "NotImplemented"


WRITES = {
    "PutObject": {"data": TAIL},
    "PostObject": {"data": TAIL},
    "CopyObject": {"CopySource": "bucket/source"},
    "CreateMultipartUpload": {},
}


@pytest.mark.fact("D1")
@pytest.mark.parametrize("name", WRITES)
async def test_each_write_takes_a_lock_and_its_rights(vault, name):
    await vault.make()
    await vault.put("source", TAIL)
    lock = retained(vault, COMPLIANCE) | {"ObjectLockLegalHoldStatus": "ON"}
    for given in (retained(vault), {"ObjectLockLegalHoldStatus": "OFF"}):
        error = await vault.refused(name, **AT, **WRITES[name], **given, headers=MD5)
        assert told(error) == (400, "InvalidRequest", "Bucket is missing ObjectLockConfiguration")
    await vault.versioned()
    await configure(vault, {"Mode": GOVERNANCE, "Days": 1})
    for action in ("s3:PutObjectRetention", "s3:PutObjectLegalHold"):
        vault.denied = {(action, OBJECT)}
        assert (await vault.refused(name, **AT, **WRITES[name], **lock, headers=MD5)).code == "AccessDenied"
    vault.denied = set()
    for given, mode in ((lock, COMPLIANCE), ({}, GOVERNANCE)):
        if name == "CreateMultipartUpload":
            upload = Upload(vault)
            await upload.create(**given)
            await upload.part(1, TAIL, headers=MD5)
            await upload.complete()
        else:
            await vault.run(name, **AT, **WRITES[name], **given, headers=MD5)
        head = await vault.head("k")
        assert head["ObjectLockMode"] == mode
        assert head.get("ObjectLockLegalHoldStatus") == given.get("ObjectLockLegalHoldStatus")
        await stays(vault, head["VersionId"])


async def test_an_upload_is_retained_from_its_completion(vault, bucket):
    upload = Upload(vault)
    await upload.create()
    await upload.part(1, TAIL)
    await configure(vault, {"Mode": COMPLIANCE, "Days": 2})
    vault.now += 10 * DAY
    await upload.complete()
    assert (await vault.head("k"))["ObjectLockRetainUntilDate"] > vault.now + DAY


DIGESTS = [
    {"content-md5": "x"},
    {"x-amz-checksum-crc32": "x"},
    {"x-amz-checksum-sha256": "x"},
    {"x-amz-trailer": "x-amz-checksum-crc64nvme"},
]


async def test_a_locked_body_brings_a_digest(vault, bucket):
    text = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put {} requests with Object Lock parameters"
    upload = Upload(vault)
    await upload.create(**retained(vault))
    for headers in ({}, {"x-amz-checksum-algorithm": "CRC32"}, {"x-amz-content-sha256": "x"}, {"x-amz-trailer": "other"}):
        for given in (retained(vault), {"ObjectLockLegalHoldStatus": "ON"}):
            for name in ("PutObject", "PostObject"):
                error = await vault.refused(name, **AT, data=TAIL, **given, headers=headers)
                assert told(error) == (400, "InvalidRequest", text.format("Object"))
        error = await upload.refused("UploadPart", PartNumber=1, data=TAIL, headers=headers)
        assert told(error) == (400, "InvalidRequest", text.format("Part"))
        for name, given in (
            ("PutObjectRetention", {"Key": "k", "Retention": {}}),
            ("PutObjectLegalHold", {"Key": "k", "LegalHold": {"Status": "ON"}}),
            ("PutObjectLockConfiguration", {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}),
        ):
            error = await vault.refused(name, Bucket="bucket", **given, headers=headers)
            text_of_document = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            assert told(error) == (400, "InvalidRequest", text_of_document)
    await vault.put("k", TAIL)  # nothing will lock it
    for headers in DIGESTS:
        await vault.put("k", TAIL, headers=headers, **retained(vault))
        await vault.run("UploadPart", **upload.at, PartNumber=1, data=TAIL, headers=headers)
    await configure(vault, {"Mode": GOVERNANCE, "Days": 1})
    assert (await vault.refused("PutObject", **AT, data=TAIL)).code == "InvalidRequest"


async def test_a_lock_is_told_to_those_who_may_know_it(vault, bucket):
    await put(vault, **retained(vault), ObjectLockLegalHoldStatus="ON")
    members = {"ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"}
    assert members <= set(await vault.head("k"))
    assert members <= set((await vault.get("k"))[1].output)
    vault.denied = {("s3:GetObjectRetention", OBJECT)}
    assert members & set(await vault.head("k")) == {"ObjectLockLegalHoldStatus"}
    vault.denied = {("s3:GetObjectLegalHold", OBJECT)}
    assert members & set((await vault.get("k"))[1].output) == {"ObjectLockMode", "ObjectLockRetainUntilDate"}


# -------------------------------------------------------------------------------------------------- keys, races, disk and code


@pytest.mark.fact("8.9")
async def test_8_9_a_protected_version_keeps_its_encryption(vault, bucket):
    _, arn = await vault.kms_key()
    wanted = {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": arn}}}
    for given in (retained(vault, GOVERNANCE, 1), {"ObjectLockLegalHoldStatus": "ON"}):
        version = await put(vault, **given)
        error = await vault.refused("UpdateObjectEncryption", **AT, VersionId=version, **wanted)
        assert (error.status, error.code) == (403, "AccessDenied")
        assert error.message.startswith(
            "The encryption type for the specified object can\u2019t be updated because that object is protected"
        )
        assert (await vault.head("k"))["ServerSideEncryption"] == "AES256"
    await hold(vault, version, "OFF")
    await vault.run("UpdateObjectEncryption", **AT, **wanted)
    head = await vault.head("k")
    assert (head["SSEKMSKeyId"], head["ObjectLockLegalHoldStatus"]) == (arn, "OFF")


async def test_a_hold_that_comes_while_the_encryption_changes(vault, bucket):
    _, arn = await vault.kms_key()
    version = await put(vault)
    room = vault.register.find("s3", "UpdateObjectEncryption").run.__self__
    real, room._rooms = room._rooms, replace(vault.rooms, catalog=Meanwhile(vault.catalog, lambda: hold(vault, version, "ON")))
    try:
        error = await vault.refused("UpdateObjectEncryption", **AT, ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}})
    finally:
        room._rooms = real
    assert error.code == "AccessDenied"
    assert (await vault.head("k"))["ServerSideEncryption"] == "AES256"
    await stays(vault, version)


async def test_the_operator_rewraps_what_is_locked(vault, bucket):
    """Only the wrapping changes; a lock that comes meanwhile stays."""
    key_id, _ = await vault.kms_key()
    sealed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
    versions = [await put(vault, **sealed, **retained(vault, COMPLIANCE)), await put(vault, **sealed)]
    await vault.kms("RotateKeyOnDemand", KeyId=key_id)
    catalog = Meanwhile(vault.catalog, lambda: hold(vault, versions[1], "ON"))
    first = Rewrapping(replace(vault.rooms, catalog=catalog), Order(None, None))
    await first.run("bucket")
    assert (first.tally.moved, first.tally.changed) == (1, 1)
    second = Rewrapping(vault.rooms, Order(None, None))
    await second.run("bucket")
    assert second.tally.moved == 1
    for version in versions:
        await stays(vault, version)


@pytest.mark.parametrize("lock", ["retention", "hold"])
async def test_a_delete_is_judged_at_its_commit(vault, bucket, lock):
    """A lock that is answered before the delete commits holds."""
    version = await put(vault)

    async def meanwhile():
        await (retain(vault, version) if lock == "retention" else hold(vault, version, "ON"))

    room = vault.register.find("s3", "DeleteObject").run.__self__
    real, room._rooms = room._rooms, replace(vault.rooms, catalog=Meanwhile(vault.catalog, meanwhile))
    try:
        assert told(await vault.refused("DeleteObject", **AT, VersionId=version)) == PROTECTED
    finally:
        room._rooms = real
    await stays(vault, version)


async def test_a_lock_is_sealed_and_a_damaged_record_frees_nothing(vault, bucket):
    version = await put(vault, **retained(vault, COMPLIANCE))
    (meta,) = vault.sql("SELECT meta FROM version")[0]
    assert COMPLIANCE.encode() not in meta
    vault.sql("UPDATE version SET meta = ?", meta[:-1] + bytes([meta[-1] ^ 1]))
    assert (await vault.refused("DeleteObject", **AT, VersionId=version)).code == "InternalError"
    await vault.run("DeleteObject", **AT)
    assert vault.sql("SELECT count(*) FROM version") == [(2,)]


async def test_upkeep_keeps_the_bytes(vault, bucket):
    data = TAIL * 200
    version = await put(vault, data, **retained(vault))
    await vault.delete_marker("k")
    await vault.refused("DeleteObject", **AT, VersionId=version)
    vault.now += 9 * DAY
    assert await vault.upkeep.delete_discarded() == 0
    assert await vault.upkeep.sweep() == 0
    await stays(vault, version, data)


async def test_a_lifecycle_keeps_to_it_whatever_day_it_is_given(vault, bucket):
    rules = [{"ID": "r", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}]
    await vault.run("PutBucketLifecycleConfiguration", Bucket="bucket", LifecycleConfiguration={"Rules": rules})
    locked = await put(vault, **retained(vault, COMPLIANCE, 10))
    held = await put(vault, ObjectLockLegalHoldStatus="ON")
    free = await put(vault)
    await put(vault)
    vault.now += 3 * DAY
    work = LifecycleWork(vault.rooms, rate=0)
    for moment in (vault.now, vault.now + 400 * DAY):  # the operator may run it for any day; locks go by the clock all the same
        await work.run_at(milliseconds(moment), "bucket")
        await stays(vault, locked)
        await stays(vault, held)
    assert (await vault.refused("HeadObject", **AT, VersionId=free)).code == "NoSuchVersion"
    vault.now += 10 * DAY
    await work.run_at(milliseconds(vault.now), "bucket")
    assert (await vault.refused("HeadObject", **AT, VersionId=locked)).code == "NoSuchVersion"
    await stays(vault, held)


def test_there_is_one_way_for_a_version_to_go():
    """By the code's own tree: whatever removes or replaces a row does it where object lock is judged."""
    found: dict[str, set[str]] = {"delete_version": set(), "replace_version": set(), "_remove": set()}
    for path in Path(strongroom.__file__).parent.rglob("*.py"):
        if path.parent.name == "store":
            continue
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func).rpartition(".")[2]
                    if name in found and (name != "_remove" or path.stem == "versions"):
                        found[name].add(f"{path.stem}.{function.name}")
    assert found == {
        "delete_version": {"versions._remove", "versions.move_version"},  # renamed, where there are no versions
        # A null version, which no bucket with object lock gets.
        "replace_version": {"versions._become_newest", "versions.commit_in_place"},
        "_remove": {"versions.remove_version", "versions._become_newest"},
    }
