"""What depends on a KMS key: every version, old ones too, every unfinished upload, and the buckets whose default it is."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from strongroom.kms.notices import next_notice
from strongroom.kms.operating import KeyProblem, Operating
from strongroom.s3.dependents import Count, Counts, Dependent, Dependents

BODY = b"b" * 70_000


@pytest.fixture
async def key(vault):
    """Its id and ARN; three buckets, of which two depend on it."""
    key_id, arn = await vault.kms_key()
    other = (await vault.kms_key())[1]
    for name in ("one", "two", "none"):
        await vault.make(name)
    await vault.versioned("one")
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
    await vault.put("a", b"12345", bucket="one", **kms)
    await vault.put("a", BODY, bucket="one", **kms)
    await vault.put("a", b"newer", bucket="one")
    await vault.put("other", b"1", bucket="one", ServerSideEncryption="aws:kms", SSEKMSKeyId=other)
    await vault.delete_marker("a", bucket="one")
    await vault.run("CreateMultipartUpload", Bucket="two", Key="u", **kms)
    await vault.put("n", b"123", bucket="two", **kms)
    await vault.rule("aws:kms", key_id, bucket="two")
    await vault.put("n", b"", bucket="none")
    return key_id, arn


async def test_versions_uploads_and_defaults_are_counted_by_bucket(vault, key):
    counts = Counts()
    found = [each async for each in Dependents(vault.rooms).walk(key[1], counts)]
    assert counts.buckets == {"one": Count(2, 0, 70_005), "two": Count(1, 1, 3, default=True)}
    assert (counts.versions, counts.uploads, counts.size, counts.complete) == (3, 1, 70_008, True)
    assert [(each.bucket, each.object_key, each.size, bool(each.upload_id)) for each in found] == [
        ("one", "a", 70_000, False),
        ("one", "a", 5, False),
        ("two", "u", 0, True),
        ("two", "n", 3, False),
    ]
    assert found[3] == Dependent("two", "n", "null", "", 3)
    for each in found[:2]:
        body, _ = await vault.get("a", bucket="one", VersionId=each.version_id)
        assert len(body) == each.size


@pytest.mark.parametrize("named", ["alias", "arn"])
async def test_a_default_may_name_the_key_by_its_alias_or_arn(vault, key, named):
    await vault.kms("CreateAlias", AliasName="alias/mine", TargetKeyId=key[0])
    await vault.rule("aws:kms", "alias/mine" if named == "alias" else key[1], bucket="none")
    assert (await Dependents(vault.rooms).count(key[1])).buckets["none"] == Count(default=True)


async def test_the_work_of_a_count_is_bounded(vault, key):
    counts = await Dependents(vault.rooms).count(key[1], most_rows=3)
    assert not counts.complete
    assert counts.rows <= 3


async def test_a_scheduled_deletion_is_told_to_the_log_once_and_after_the_answer(vault, key):
    dependents = Dependents(vault.rooms)
    with capture_logs() as logs:
        await vault.kms("ScheduleKeyDeletion", KeyId=key[0], PendingWindowInDays=7)
    assert logs == []
    with capture_logs() as logs:
        assert await dependents.tell_scheduled() == 1
        assert await dependents.tell_scheduled() == 0
    (line,) = logs
    assert (line["event"], line["key"], line["versions"], line["uploads"], line["bytes"], line["buckets"], line["complete"]) == (
        "key deletion scheduled",
        key[1],
        3,
        1,
        70_008,
        ["one", "two"],
        True,
    )


async def test_a_deletion_that_was_cancelled_meanwhile_is_not_told(vault, key):
    await vault.kms("ScheduleKeyDeletion", KeyId=key[0], PendingWindowInDays=7)
    await vault.kms("CancelKeyDeletion", KeyId=key[0])
    with capture_logs() as logs:
        await Dependents(vault.rooms).tell_scheduled()
    assert logs == []
    assert await next_notice(vault.catalog) is None


async def test_the_operator_finds_a_key_by_each_of_its_names_and_schedules_its_deletion(vault, key):
    operating = Operating(vault.keys.ring)
    await vault.kms("CreateAlias", AliasName="alias/mine", TargetKeyId=key[0])
    region, account = key[1].split(":")[3:5]
    for name in (*key, "alias/mine", f"arn:aws:kms:{region}:{account}:alias/mine"):
        assert (await operating.find(name)).name.arn == key[1]
    for name in ("alias/none", "arn:aws:s3:::x", key[0][:-1], f"{key[1]}0", "arn:aws:kms:x"):
        with pytest.raises(KeyProblem):
            await operating.find(name)
    await vault.kms(
        "CreateAlias",
        AliasName="alias/mine",
        TargetKeyId=(await vault.kms_key(account="444455556666"))[0],
        account="444455556666",
    )
    with pytest.raises(KeyProblem, match="several keys"):
        await operating.find("alias/mine")
    date = await operating.schedule_deletion((await operating.find(key[0])).name, 9)
    metadata = (await vault.kms("DescribeKey", KeyId=key[0]))["KeyMetadata"]
    assert (metadata["KeyState"], metadata["DeletionDate"]) == ("PendingDeletion", date)
    with pytest.raises(KeyProblem, match="pending deletion already"):
        await operating.schedule_deletion((await operating.find(key[0])).name, 9)


async def test_the_key_that_s3_manages_is_not_deleted(vault):
    await vault.make()
    await vault.put("k", b"1", ServerSideEncryption="aws:kms")
    operating = Operating(vault.keys.ring)
    with pytest.raises(KeyProblem, match="managed by S3"):
        await operating.schedule_deletion((await operating.find("alias/aws/s3")).name, 7)
