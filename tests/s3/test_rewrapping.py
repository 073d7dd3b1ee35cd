"""Objects move between keys and materials: every version of them, nothing else about them, also when it is broken off or raced."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from strongroom.kms.operating import KeyProblem, Operating
from strongroom.s3.dependents import Dependents
from strongroom.s3.rewrapping import Order, Rewrapping, Tally
from strongroom.s3.verifying import Verifying
from strongroom.seal.format import Envelope

SMALL, LARGE = os.urandom(2000), os.urandom(200_000)
KMS, DSSE = {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms:dsse"}


@pytest.fixture
async def house(vault):
    """Three keys; objects under two of them, of each mode, small and large, old and new."""
    await vault.make()
    await vault.versioned()
    vault.key_ids = [(await vault.kms_key())[0] for _ in range(3)]
    first, second, _ = vault.key_ids
    for mode, name in ((KMS, "kms"), (DSSE, "dsse")):
        for size, body in (("small", SMALL), ("large", LARGE)):
            await vault.put(f"{name}/{size}", body, SSEKMSKeyId=first, Metadata={"m": size}, **mode)
    await vault.put("kms/small", b"newer", SSEKMSKeyId=first, SSEKMSEncryptionContext="eyJhIjogImIifQ==", **KMS)
    await vault.put("second", SMALL, SSEKMSKeyId=second, **KMS)
    await vault.put("s3", LARGE)
    await vault.delete_marker("marked")
    return vault


async def keys_of(vault, *names):
    return [await Operating(vault.keys.ring).find(name) for name in names]


async def rewrap(vault, source=None, target=None, bucket="bucket", prefix="", **how):
    operating = Operating(vault.keys.ring)
    order = Order(*[None if name is None else await operating.find(name) for name in (source, target)])
    rewrapping = Rewrapping(vault.rooms, order, dry_run=how.pop("dry_run", False))
    await rewrapping.run(bucket, prefix, **how)
    return rewrapping.tally


async def rows(vault):
    bucket = await vault.buckets.find("bucket")
    return (await vault.catalog.versions(bucket.bucket_id, limit=100))[0]


def arns(found):
    """By key, of its newest version."""
    objects = [row for row in reversed(found) if not row.delete_marker]
    return {row.object_key: Envelope.decode(row.seal).key_arn.rpartition("/")[2] for row in objects}


async def clean(vault):
    return [found async for found in Verifying(vault.rooms).findings()] == []


async def test_only_the_wrapping_of_what_is_meant_changes(house):
    first, second, third = house.key_ids
    before, files = await rows(house), {path: path.read_bytes() for path in house.files}
    heads = {row.object_key: await house.head(row.object_key) for row in before if not row.delete_marker}
    tally = await rewrap(house, first, third)
    assert tally == Tally(looked_at=8, moved=5, right=0, others=2, complete=True)
    after = await rows(house)
    keep = {"seal": b"", "meta": b""}
    assert [row._replace(**keep) for row in after] == [row._replace(**keep) for row in before]
    assert {path: path.read_bytes() for path in house.files} == files
    assert arns(after) == dict.fromkeys(("dsse/large", "dsse/small", "kms/large", "kms/small"), third) | {
        "s3": "",
        "second": second,
    }
    for old, new in zip(before, after, strict=True):
        assert (old.seal == new.seal) is (old.meta == new.meta) is (old.object_key in {"s3", "second", "marked"})
    for key, head in heads.items():
        now = await house.head(key)
        assert now.pop("SSEKMSKeyId", "").endswith(third if key.count("/") else head.get("SSEKMSKeyId", ""))
        assert now == {name: value for name, value in head.items() if name != "SSEKMSKeyId"}
    assert await clean(house)
    assert (await Dependents(house.rooms).count((await keys_of(house, first))[0].name.arn)).buckets == {}


async def test_the_old_key_may_go_then(house):
    first, _, third = house.key_ids
    await rewrap(house, first, third)
    await house.kms("ScheduleKeyDeletion", KeyId=first, PendingWindowInDays=7)
    assert (await house.get("dsse/large"))[0] == LARGE
    assert (await house.get("kms/small"))[0] == b"newer"
    for row in await rows(house):
        if row.object_key == "kms/small":
            body, _ = await house.get("kms/small", VersionId=row.version_id)
            assert body in {SMALL, b"newer"}


async def test_done_twice_the_second_does_nothing(house):
    first, _, third = house.key_ids
    await rewrap(house, first, third)
    before = await rows(house)
    assert await rewrap(house, first, third) == Tally(looked_at=8, right=5, others=2, complete=True)
    assert await rewrap(house, None, third) == Tally(looked_at=8, moved=1, right=5, others=1, complete=True)
    assert [row for row in await rows(house) if row.object_key != "second"] == [
        row for row in before if row.object_key != "second"
    ]


async def test_a_dry_run_changes_nothing(house):
    before = await rows(house)
    assert (await rewrap(house, None, house.key_ids[2], dry_run=True)).moved == 6
    assert await rows(house) == before


async def test_by_prefix(house):
    first, _, third = house.key_ids
    assert (await rewrap(house, first, third, prefix="kms/")).moved == 3
    assert arns(await rows(house))["dsse/small"] == first


async def test_away_from_a_key_that_is_disabled_or_doomed(house):
    first, second, third = house.key_ids
    await house.kms("DisableKey", KeyId=first)
    await house.kms("ScheduleKeyDeletion", KeyId=second, PendingWindowInDays=7)
    assert (await rewrap(house, None, third)).moved == 6
    assert await clean(house)


async def test_not_to_a_key_that_does_not_serve(house):
    first, second, third = house.key_ids
    await house.kms("DisableKey", KeyId=third)
    with pytest.raises(KeyProblem, match="is Disabled"):
        await rewrap(house, first, third)
    signing = (await house.kms("CreateKey", KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256"))["KeyMetadata"]["KeyId"]
    with pytest.raises(KeyProblem, match="no symmetric"):
        await rewrap(house, first, signing)
    assert set(arns(await rows(house)).values()) == {"", first, second}


async def test_not_to_a_key_of_another_region(house):
    order = Order(None, (await keys_of(house, house.key_ids[0]))[0])
    assert order.target is not None
    elsewhere = replace(order.target, name=order.target.name.within("eu-central-1"))
    with pytest.raises(KeyProblem, match="another Region"):
        await Rewrapping(house.rooms, replace(order, target=elsewhere)).run("bucket")


async def test_a_target_that_is_disabled_on_the_way_ends_it(house, monkeypatch):
    monkeypatch.setattr("strongroom.s3.rewrapping.BATCH", 2)
    first, _, third = house.key_ids
    pages = 0

    def seen(_where):
        nonlocal pages
        pages += 1

    walk = house.catalog.versions

    async def versions(*args, **kwargs):
        if pages == 1:
            await house.kms("DisableKey", KeyId=third)
        return await walk(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(house.catalog, "versions", versions)
        with pytest.raises(KeyProblem, match="is Disabled"):
            await rewrap(house, first, third, seen=seen)
    assert list(arns(await rows(house)).values()).count(third) == 2
    await house.kms("EnableKey", KeyId=third)
    assert await clean(house)


async def test_to_the_newest_material(house):
    first = house.key_ids[0]
    assert await rewrap(house, first) == Tally(looked_at=8, right=5, others=2, complete=True)
    await house.kms("RotateKeyOnDemand", KeyId=first)
    assert await rewrap(house) == Tally(looked_at=8, moved=5, right=2, complete=True)
    assert await rewrap(house) == Tally(looked_at=8, right=7, complete=True)
    current = (await keys_of(house, first))[0].current
    for row in await rows(house):
        if row.object_key.startswith("kms"):
            assert Operating.material_of(Operating(house.keys.ring), Envelope.decode(row.seal).kms_wrapped) == current
    assert await clean(house)


async def test_sse_s3_to_the_newest_service_key(house):
    from strongroom.kms.service_keys import SERVICE_KEY_KIND, ServiceKeys

    old = house.keys.service_key()
    keys = house.keys._service_keys
    assert isinstance(keys, ServiceKeys)
    document = await keys._document("ab" * 16, "s3", 2**50)
    await house.catalog.write(lambda tx: tx.set_document(f"service-key/s3/{'ab' * 16}", SERVICE_KEY_KIND, document))
    await house.keys.open()
    assert await rewrap(house) == Tally(looked_at=8, moved=1, right=6, complete=True)
    (row,) = [row for row in await rows(house) if row.object_key == "s3"]
    assert Envelope.decode(row.seal).key_id == house.keys.service_key().key_id != old.key_id
    assert (await house.get("s3"))[0] == LARGE
    assert await clean(house)


async def test_what_cannot_be_opened_is_left_and_named(house):
    first, _, third = house.key_ids
    house.sql("UPDATE version SET meta = substr(meta, 2) WHERE object_key = ?", b"kms/large")
    left = []
    tally = await rewrap(house, first, third, leave=left.append)
    assert (tally.moved, tally.left) == (4, 1)
    assert [(each.bucket, each.object_key) for each in left] == [("bucket", "kms/large")]
    assert arns(await rows(house))["kms/large"] == first


async def test_a_key_whose_document_is_damaged_leaves_what_is_under_it(house):
    first, _, third = house.key_ids
    house.sql("UPDATE document SET content = '{}' WHERE kind = 'kms-key' AND CAST(scope AS TEXT) LIKE ?", f"%{first}")
    await house.catalog.write(lambda tx: tx.set_document("here", "kind", 1))
    tally = await rewrap(house, None, third)
    assert (tally.moved, tally.left) == (1, 5)
    assert arns(await rows(house))["second"] == third


async def test_unfinished_uploads_are_counted(house):
    first, _, third = house.key_ids
    await house.run("CreateMultipartUpload", Bucket="bucket", Key="u", SSEKMSKeyId=first, **KMS)
    assert (await rewrap(house, first, third)).uploads == 1
    assert (await rewrap(house, third, first)).uploads == 0


async def test_a_stop_ends_it_between_batches_and_the_next_run_goes_on(house, monkeypatch):
    monkeypatch.setattr("strongroom.s3.rewrapping.BATCH", 3)
    first, _, third = house.key_ids
    tally = await rewrap(house, first, third, stop=lambda: True)
    assert (tally.complete, tally.looked_at) == (False, 3)
    moved = list(arns(await rows(house)).values()).count(third)
    assert moved == tally.moved > 0
    tally = await rewrap(house, first, third)
    assert (tally.complete, tally.left) == (True, 0)
    assert first not in arns(await rows(house)).values()


async def test_what_is_written_meanwhile_wins(house, monkeypatch):
    """Between the look and the commit an object is replaced, one is deleted and one is wrapped anew by somebody else."""
    first, second, third = house.key_ids
    real = house.catalog.write
    raced = False

    async def write(work):
        nonlocal raced
        if not raced:
            raced = True
            await rewrap(house, first, second, prefix="dsse/large")
            await house.put("kms/large", b"replaced", SSEKMSKeyId=first, **KMS)
            (row,) = [row for row in await rows(house) if row.object_key == "dsse/small"]
            await real(lambda tx: tx.delete_version(row))
        return await real(work)

    monkeypatch.setattr(house.catalog, "write", write)
    tally = await rewrap(house, first, third)
    assert tally.changed == 2
    found = arns(await rows(house))
    assert found["dsse/large"] == second
    assert "dsse/small" not in found
    assert (await house.get("kms/large"))[0] == b"replaced"
    assert found["kms/large"] == first  # a newer version than those that were moved
    assert (await rewrap(house, first, third)).moved == 1
    assert await clean(house)


async def test_bucket_keys_stay_bucket_keys(house):
    first, _, third = house.key_ids
    for number in range(4):
        await house.put(f"shared/{number}", SMALL, SSEKMSKeyId=first, BucketKeyEnabled=True, **KMS)
    assert (await rewrap(house, first, third, prefix="shared/")).moved == 4
    envelopes = [Envelope.decode(row.seal) for row in await rows(house) if row.object_key.startswith("shared/")]
    assert [envelope.bucket_key for envelope in envelopes] == [True] * 4
    assert len({envelope.kms_wrapped for envelope in envelopes}) == 1
    assert len({envelope.wrapped for envelope in envelopes}) == 4
    await house.kms("DisableKey", KeyId=first)
    for number in range(4):
        body, answer = await house.get(f"shared/{number}")
        assert (body, answer.output["BucketKeyEnabled"], answer.output["SSEKMSKeyId"].endswith(third)) == (SMALL, True, True)


async def test_what_only_a_customers_key_opens_is_not_meant(vault):
    await vault.make()
    key = b"c" * 32
    given = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(key).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }
    await vault.put("locked", SMALL, **given)
    await vault.run("CreateMultipartUpload", Bucket="bucket", Key="upload", **given)
    before = await rows(vault)
    target = (await vault.kms_key())[0]
    for how in ((None, target), (None, None), (target, None)):
        assert await rewrap(vault, *how) == Tally(looked_at=1, others=1, complete=True)
    assert await rows(vault) == before


_RUN = """
import asyncio, sys
from pathlib import Path
from strongroom.kms.operating import Operating
from strongroom.s3 import rewrapping
from tests.s3 import vault as vaults

async def main(folder, *keys):
    rewrapping.BATCH = 3
    async with vaults.opened(Path(folder)) as vault:
        order = rewrapping.Order(*[await Operating(vault.keys.ring).find(key) for key in keys])
        await rewrapping.Rewrapping(vault.rooms, order).run("bucket", seen=lambda _: print("batch", flush=True))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_in_the_middle_it_leaves_a_sound_store_and_goes_on(vault):
    await vault.make()
    first, second = [(await vault.kms_key())[0] for _ in range(2)]
    bodies = {f"{number:02}": os.urandom(50 if number % 10 else 70_000) for number in range(60)}
    for key, body in bodies.items():
        await vault.put(key, body, SSEKMSKeyId=first, **KMS)
    command = [sys.executable, "-c", _RUN, str(vault.folder), first, second]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        for _ in range(4):
            assert process.stdout.readline() == "batch\n"
        process.kill()
    moved = list(arns(await rows(vault)).values()).count(second)
    assert 0 < moved < len(bodies)
    assert await clean(vault)
    tally = await rewrap(vault, first, second)
    assert (tally.moved, tally.right, tally.changed) == (len(bodies) - moved, moved, 0)
    assert set(arns(await rows(vault)).values()) == {second}
    assert {key: (await vault.get(key))[0] for key in bodies} == bodies
