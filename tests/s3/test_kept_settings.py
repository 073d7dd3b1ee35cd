"""Settings that are kept: what is put is answered, within S3's rules and limits, and a bad one keeps the old one."""

from __future__ import annotations

import pytest

METRICS = {"Id": "m", "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "1"}]}}}
ANALYTICS = {
    "Id": "a",
    "Filter": {"Tag": {"Key": "a", "Value": ""}},
    "StorageClassAnalysis": {
        "DataExport": {
            "OutputSchemaVersion": "V_1",
            "Destination": {
                "S3BucketDestination": {"Format": "CSV", "BucketAccountId": "111122223333", "Bucket": "arn:aws:s3:::reports"}
            },
        }
    },
}
TIERING = {
    "Id": "t",
    "Filter": {"Prefix": ""},
    "Status": "Enabled",
    "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}, {"Days": 730, "AccessTier": "DEEP_ARCHIVE_ACCESS"}],
}
SORTS = {"Metrics": METRICS, "Analytics": ANALYTICS, "IntelligentTiering": TIERING}
sorts = pytest.mark.parametrize(("sort", "configuration"), SORTS.items(), ids=SORTS)


@pytest.fixture
async def bucket(vault):
    return await vault.make()


def put(vault, sort, configuration, name=None, ask="run"):
    given = {"Bucket": "bucket", "Id": name or configuration["Id"], f"{sort}Configuration": configuration}
    return getattr(vault, ask)(f"PutBucket{sort}Configuration", **given)


async def got(vault, sort, name):
    return (await vault.run(f"GetBucket{sort}Configuration", Bucket="bucket", Id=name))[f"{sort}Configuration"]


async def listed(vault, sort, **given):
    return await vault.run(f"ListBucket{sort}Configurations", Bucket="bucket", **given)


# --------------------------------------------------------------------------------------------------- configurations by id


@sorts
async def test_a_configuration_is_kept_by_its_id(vault, bucket, sort, configuration):
    assert await listed(vault, sort) == {"IsTruncated": False, f"{sort}ConfigurationList": []}
    name = configuration["Id"]
    other = {**configuration, "Id": "A._-9"}
    assert await put(vault, sort, configuration) == {}
    await put(vault, sort, other)
    assert await got(vault, sort, name) == configuration
    assert (await listed(vault, sort))[f"{sort}ConfigurationList"] == [other, configuration]  # by id
    changed = {**configuration, "Filter": {"Prefix": "other/"}}
    await put(vault, sort, changed)
    assert await got(vault, sort, name) == changed
    assert await vault.run(f"DeleteBucket{sort}Configuration", Bucket="bucket", Id=name) == {}
    assert (await listed(vault, sort))[f"{sort}ConfigurationList"] == [other]
    for verb in ("Get", "Delete"):
        error = await vault.refused(f"{verb}Bucket{sort}Configuration", Bucket="bucket", Id=name)
        assert (error.status, error.code) == (404, "NoSuchConfiguration")
        assert error.message == "The specified configuration does not exist."


async def test_the_sorts_do_not_meet_and_go_with_their_bucket(vault, bucket):
    for sort, configuration in SORTS.items():
        await put(vault, sort, {**configuration, "Id": "same"})
    for sort, configuration in SORTS.items():
        assert (await listed(vault, sort))[f"{sort}ConfigurationList"] == [{**configuration, "Id": "same"}]
    await vault.run("DeleteBucket", Bucket="bucket")
    await vault.make()
    assert [(await listed(vault, sort))[f"{sort}ConfigurationList"] for sort in SORTS] == [[], [], []]


@sorts
async def test_pages_of_a_hundred_and_no_more_than_a_thousand(vault, bucket, sort, configuration):
    names = [f"{number:04}" for number in range(1000)]

    def work(tx):
        for name in names:
            kind = {"IntelligentTiering": "intelligent-tiering"}.get(sort, sort.lower())
            tx.set_document(f"bucket/{bucket.bucket_id}/{name}", kind, {**configuration, "Id": name})

    await vault.catalog.write(work)
    found, token, pages = [], None, 0
    while True:
        page = await listed(vault, sort, **({} if token is None else {"ContinuationToken": token}))
        assert page.get("ContinuationToken") == token
        found += [one["Id"] for one in page[f"{sort}ConfigurationList"]]
        pages += 1
        token = page.get("NextContinuationToken")
        assert page["IsTruncated"] is (token is not None)
        if token is None:
            break
    assert (found, pages) == (names, 10)
    error = await put(vault, sort, {**configuration, "Id": "one-more"}, ask="refused")
    assert (error.status, error.code) == (400, "TooManyConfigurations")
    await put(vault, sort, {**configuration, "Id": "0007"})  # one that is there may be changed


async def test_a_token_that_is_none(vault, bucket):
    for token in ("x", "AWs"):
        error = await vault.refused("ListBucketMetricsConfigurations", Bucket="bucket", ContinuationToken=token)
        assert (error.status, error.code) == (400, "InvalidArgument")


BAD = [
    ("Metrics", {"Id": "other"}, "InvalidArgument"),
    ("Metrics", {"Filter": {}}, "MalformedXML"),
    ("Metrics", {"Filter": {"Prefix": "a", "Tag": {"Key": "a", "Value": "b"}}}, "MalformedXML"),
    ("Metrics", {"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
    ("Metrics", {"Filter": {"And": {}}}, "MalformedXML"),
    ("Metrics", {"Filter": {"And": {"Tags": [{"Key": "a", "Value": "b"}] * 2}}}, "InvalidTag"),
    ("Metrics", {"Filter": {"Tag": {"Key": "", "Value": "b"}}}, "InvalidTag"),
    ("Metrics", {"Filter": {"AccessPointArn": "arn:aws:s3:us-east-1:111122223333:accesspoint/x"}}, "NotImplemented"),
    ("Analytics", {"StorageClassAnalysis": None}, "MalformedXML"),
    ("Analytics", {"Filter": {"And": {"Tags": [{"Key": "a", "Value": "b"}]}}}, "MalformedXML"),
    ("IntelligentTiering", {"Tierings": []}, "MalformedXML"),
    ("IntelligentTiering", {"Status": None}, "MalformedXML"),
    ("IntelligentTiering", {"Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}] * 2}, "MalformedXML"),
    ("IntelligentTiering", {"Tierings": [{"Days": 89, "AccessTier": "ARCHIVE_ACCESS"}]}, "InvalidArgument"),
    ("IntelligentTiering", {"Tierings": [{"Days": 179, "AccessTier": "DEEP_ARCHIVE_ACCESS"}]}, "InvalidArgument"),
    ("IntelligentTiering", {"Tierings": [{"Days": 731, "AccessTier": "ARCHIVE_ACCESS"}]}, "InvalidArgument"),
]


@pytest.mark.parametrize(("sort", "change", "code"), BAD)
async def test_a_bad_configuration_keeps_the_old_one(vault, bucket, sort, change, code):
    configuration = SORTS[sort]
    await put(vault, sort, configuration)
    error = await put(vault, sort, {**configuration, **change}, configuration["Id"], ask="refused")
    assert (error.status, error.code) == (501 if code == "NotImplemented" else 400, code)
    if change == {"Id": "other"}:
        assert error.message == "Document ID does not match the specified configuration ID."
    assert await got(vault, sort, configuration["Id"]) == configuration


@pytest.mark.parametrize("change", [{"Bucket": "reports"}, {"Bucket": "arn:aws:s3:::R"}, {"BucketAccountId": "1"}])
async def test_where_an_analysis_would_go(vault, bucket, change):
    export = ANALYTICS["StorageClassAnalysis"]["DataExport"]
    to = {**export["Destination"]["S3BucketDestination"], **change}
    analysis = {"DataExport": {**export, "Destination": {"S3BucketDestination": to}}}
    error = await put(vault, "Analytics", {**ANALYTICS, "StorageClassAnalysis": analysis}, ask="refused")
    assert (error.status, error.code) == (400, "InvalidArgument")
    await put(vault, "Analytics", {**ANALYTICS, "StorageClassAnalysis": {}})


@sorts
@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "ä"])
async def test_an_id_that_is_none(vault, bucket, sort, configuration, name):
    for verb in ("Put", "Get", "Delete"):
        given = {f"{sort}Configuration": {**configuration, "Id": name}} if verb == "Put" else {}
        error = await vault.refused(f"{verb}Bucket{sort}Configuration", Bucket="bucket", Id=name, **given)
        assert (error.status, error.code) == (400, "InvalidConfigurationId")


# --------------------------------------------------------------------------------------------------------------- one state

STATES = [
    ("AccelerateConfiguration", "AccelerateConfiguration", "Status", [{}, {"Status": "Enabled"}, {"Status": "Suspended"}]),
    ("RequestPayment", "RequestPaymentConfiguration", "Payer", [{"Payer": "BucketOwner"}, {"Payer": "Requester"}]),
]


@pytest.mark.parametrize(("what", "document", "member", "answers"), STATES, ids=[row[0] for row in STATES])
async def test_a_state_is_kept(vault, bucket, what, document, member, answers):
    assert await vault.run(f"GetBucket{what}", Bucket="bucket") == answers[0]
    for answer in [*answers[1:], answers[1]]:
        assert await vault.run(f"PutBucket{what}", Bucket="bucket", **{document: answer}) == {}
        assert await vault.run(f"GetBucket{what}", Bucket="bucket") == answer
    error = await vault.refused(f"PutBucket{what}", Bucket="bucket", **{document: {}})
    assert (error.status, error.code) == (400, "MalformedXML")
    assert await vault.run(f"GetBucket{what}", Bucket="bucket") == answers[1]


async def test_no_acceleration_for_names_with_periods(vault):
    await vault.make("a.b")
    error = await vault.refused("PutBucketAccelerateConfiguration", Bucket="a.b", AccelerateConfiguration={"Status": "Enabled"})
    assert (error.status, error.code) == (400, "InvalidRequest")
    assert error.message == "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"


async def test_abac_is_off_until_it_is_put(vault, bucket):
    disabled = {"AbacStatus": {"Status": "Disabled"}}
    assert await vault.run("GetBucketAbac", Bucket="bucket") == disabled
    assert (await vault.refused("PutBucketAbac", Bucket="bucket", AbacStatus={})).code == "MalformedXML"
    assert await vault.run("PutBucketAbac", Bucket="bucket", **disabled) == {}
    assert await vault.run("GetBucketAbac", Bucket="bucket") == disabled


async def test_whose_requesters_pay_is_seen_with_the_bucket(vault, bucket):
    assert not bucket.requester_pays
    for payer in ("Requester", "BucketOwner"):
        await vault.run("PutBucketRequestPayment", Bucket="bucket", RequestPaymentConfiguration={"Payer": payer})
        assert (await vault.buckets.find("bucket")).requester_pays is (payer == "Requester")


# -------------------------------------------------------------------------------------------------- settings no bucket has

NONE_IS_SET = {
    "GetBucketLogging": {},
    "GetBucketNotificationConfiguration": {},
    "GetBucketReplication": (404, "ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "GetBucketWebsite": (404, "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "DeleteBucketReplication": {},
    "DeleteBucketWebsite": {},
    "ListBucketInventoryConfigurations": {"IsTruncated": False},
    "GetBucketInventoryConfiguration": (404, "NoSuchConfiguration", "The specified configuration does not exist."),
    "DeleteBucketInventoryConfiguration": (404, "NoSuchConfiguration", "The specified configuration does not exist."),
    "PutBucketLogging": {},  # the empty one
    "PutBucketNotificationConfiguration": {},
}


@pytest.mark.parametrize(("name", "answer"), NONE_IS_SET.items(), ids=NONE_IS_SET)
async def test_that_there_is_none_may_be_read(vault, bucket, name, answer):
    if isinstance(answer, dict):
        assert await vault.run(name, Bucket="bucket") == answer
    else:
        error = await vault.refused(name, Bucket="bucket")
        assert (error.status, error.code, error.message) == answer
    assert (await vault.refused(name, Bucket="none")).code == "NoSuchBucket"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("PutBucketLogging", {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "bucket", "TargetPrefix": ""}}}),
        ("PutBucketNotificationConfiguration", {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}),
    ],
)
async def test_what_would_set_one_is_refused(vault, bucket, name, given):
    error = await vault.refused(name, Bucket="bucket", **given)
    assert (error.status, error.code) == (501, "NotImplemented")


# ------------------------------------------------------------------------------------------------------- directory buckets


@pytest.mark.fact("1.19")
@pytest.mark.parametrize("name", ["GetBucketEncryption", "CreateBucket", "GetBucketCors"])
async def test_directory_buckets_are_another_storage(vault, name):
    error = await vault.refused(name, Bucket="base--euc1-az1--x-s3")
    assert (error.status, error.code, error.message) == (501, "NotImplemented", "Directory buckets are not implemented.")
