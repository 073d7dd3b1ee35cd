"""GetKeyLastUsage: what it tells comes from the key-use record, is kept for each key, and is never older than what another worker told."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import timedelta

import pytest

from strongroom.api.model import operation_model
from strongroom.kms.key_use import Alike, KeyUse
from strongroom.kms.key_use_audit import Audit
from strongroom.kms.key_use_files import KeyUseRecord
from strongroom.kms.key_use_last import LAST_KIND, LastUses
from strongroom.kms.key_use_lines import Last
from strongroom.kms.key_use_trail import event, event_id
from strongroom.kms.names import KeyName, named
from strongroom.kms.records import KEY_KIND, milliseconds
from strongroom.store.contract import Unavailable
from tests.kms.test_key_use import USING
from tests.kms.world import HIDDEN, KMS_KEY, REGION, A, B, World

RECORD_KEY = bytes(range(32))


def lines(first, *uses):
    """Each as the last of a line of its own."""
    return [Last(use, number, 0) for number, use in enumerate(uses, first)]


def use(world, arn, **changed):
    made = KeyUse(milliseconds(world.clock()), "Decrypt", "s3", True, arn, "", A, "", "", "", "", {}, "", "", "request", "")
    return made._replace(**changed)


async def told(world, key_id, **more):
    return (await world.ask("GetKeyLastUsage", KeyId=key_id, **more))["KeyLastUsage"]


@pytest.fixture
async def tracked(world: World):
    """The world's record of key uses began with it, and is on no disk: uses are told by hand."""
    await world.last_uses.begin(milliseconds(world.clock()))
    yield world.last_uses
    await world.last_uses.close()


@pytest.fixture
async def recorded(tmp_path, world: World, tracked):
    """A record on the disk that follows what the world's callers do."""
    record = KeyUseRecord(tmp_path, RECORD_KEY, lambda: milliseconds(world.clock()), flush_seconds=0.01, written=tracked.written)
    world.data_keys.ring.observer = record
    yield record
    await asyncio.to_thread(record.close)


async def until(true):
    deadline = time.monotonic() + 10
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_every_operation_that_is_recorded_is_one_that_the_answer_may_name():
    usage = operation_model("kms", "GetKeyLastUsage").output_shape.members["KeyLastUsage"]
    assert set(usage.members["Operation"].enum) >= USING


async def test_a_key_that_was_never_used(world, tracked):
    world.clock.days(1)
    key_id, arn = await world.key()
    created = world.clock()
    world.clock.days(1)
    for named_as in (key_id, arn):
        assert await world.ask("GetKeyLastUsage", KeyId=named_as) == {
            "KeyId": key_id,
            "KeyLastUsage": {},
            "TrackingStartDate": created,
            "KeyCreationDate": created,
        }


async def test_a_key_that_is_older_than_the_tracking(world):
    key_id, arn = await world.key()
    created = world.clock()
    world.clock.days(30)
    began = world.clock()
    await world.last_uses.begin(milliseconds(began))
    world.clock.days(1)
    await LastUses(world.catalog, KMS_KEY).begin(milliseconds(world.clock()))  # a later start moves no date
    answer = await world.ask("GetKeyLastUsage", KeyId=key_id)
    assert (answer["TrackingStartDate"], answer["KeyCreationDate"], answer["KeyLastUsage"]) == (began, created, {})
    world.last_uses.written(lines(7, use(world, arn)), "chain")
    answer = await world.ask("GetKeyLastUsage", KeyId=key_id)
    assert (answer["TrackingStartDate"], answer["KeyLastUsage"]["Timestamp"]) == (began, world.clock())
    await world.last_uses.close()


async def test_what_the_kms_api_did_is_told_with_the_event_of_its_line(tmp_path, world, recorded):
    key_id, arn = await world.key()
    other_id, other_arn = await world.key()
    blob = (await world.ask("Encrypt", KeyId=key_id, Plaintext=b"x"))["CiphertextBlob"]
    world.clock.now += timedelta(seconds=5)
    await world.ask("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=other_id)

    async def both():
        found = [await told(world, each) for each in (key_id, other_id)]
        return all(each.get("Operation") == "ReEncrypt" for each in found)

    await until(both)
    lines = {line.entry["key"]: line for line in Audit(tmp_path, RECORD_KEY, {}).lines()}
    for each_id, each_arn in ((key_id, arn), (other_id, other_arn)):
        assert await told(world, each_id) == {
            "Operation": "ReEncrypt",
            "Timestamp": world.clock(),
            "CloudTrailEventId": event(lines[each_arn])["eventID"],
            "KmsRequestId": "0",
        }
    await world.refusal("Decrypt", CiphertextBlob=blob, KeyId=other_id)
    assert await told(world, other_id)  # a later refusal takes nothing away


async def test_of_uses_that_share_a_line_it_is_the_newest_with_its_own_event(tmp_path, world, recorded):
    """Lines are in the order of their first uses: the newest use of a key may be in the first of them."""
    key_id, arn = await world.key()
    reading, making = (Alike(name, "bucket-key", False, arn, "", A, "", "", {}) for name in ("Decrypt", "GenerateDataKey"))
    for number, alike in enumerate((reading, making, making, reading, reading)):
        recorded.served(alike, world.clock(), f"{number}", "", f"{number}", "")
        world.clock.now += timedelta(seconds=1)

    async def last():
        return (await told(world, key_id)).get("KmsRequestId") == "4"

    await until(last)
    newest = {line.entry["request_id"]: line for line in Audit(tmp_path, RECORD_KEY, {}).lines()}["4"]
    for _ in range(2):
        assert await told(world, key_id) == {
            "Operation": "Decrypt",
            "Timestamp": world.clock() - timedelta(seconds=1),
            "CloudTrailEventId": event(newest)["eventID"],
            "KmsRequestId": "4",
        }
        await world.last_uses.write()  # from memory, and then from its row


async def test_refused_uses_and_those_of_the_scrub_are_none(world, tracked):
    key_id, arn = await world.key()
    tracked.written(
        lines(1, use(world, arn, code="DisabledException"), use(world, arn, cause="scrub"), use(world, "alias/none")), "c"
    )
    assert await told(world, key_id) == {}
    served = Alike("GenerateDataKey", "bucket-key", False, arn, "", A, "", "", {})
    tracked.written(
        lines(4, use(world, arn), (served, world.clock(), "", "", "7", ""), use(world, arn, code="AccessDenied")), "c"
    )
    await tracked.write()
    assert await told(world, key_id) == {
        "Operation": "GenerateDataKey",
        "Timestamp": world.clock(),
        "CloudTrailEventId": event_id("c", 5),
        "KmsRequestId": "7",
    }
    tracked.written([Last((served, world.clock(), "", "", "8", ""), 9, 3)], "c")
    await tracked.write()
    assert (await told(world, key_id))["CloudTrailEventId"] == event_id("c", 9, 3) != event_id("c", 9)


async def test_what_is_told_late_of_a_long_request_is_not_the_newest(world, tracked):
    key_id, arn = await world.key()
    newest = milliseconds(world.clock())
    for number, before in enumerate((1_000, 0, 500)):
        tracked.written(lines(number, use(world, arn, at_ms=newest - before, request_id=f"{before}")), "chain")
    for _ in range(2):
        assert (await told(world, key_id))["KmsRequestId"] == "0"
        await tracked.write()


async def test_it_is_there_after_a_restart_and_on_other_workers(world, tracked, other_worker):
    key_id, arn = await world.key()
    tracked.written(lines(2, use(world, arn, request_id="first")), "chain")
    assert (await told(world, key_id))["KmsRequestId"] == "first"  # where it was recorded, at once
    assert await told(other_worker, key_id) == {}
    await until(lambda: told(other_worker, key_id))  # a second later
    assert (await told(other_worker, key_id))["KmsRequestId"] == "first"
    before = world.clock()
    world.clock.days(1)
    other_worker.last_uses.written(lines(2, use(world, arn, request_id="second")), "other")
    await other_worker.last_uses.write()
    assert (await told(world, key_id))["KmsRequestId"] == "second"
    tracked.written(lines(3, use(world, arn, request_id="late", at_ms=milliseconds(before))), "chain")
    await tracked.write()
    assert {(await told(each, key_id))["KmsRequestId"] for each in (world, other_worker)} == {"second"}


async def test_all_that_is_known_is_kept_when_the_server_ends(world, tracked, other_worker):
    keys = [await world.key() for _ in range(3)]
    tracked.written(lines(2, *[use(world, arn, request_id=key_id) for key_id, arn in keys]), "chain")
    await tracked.close()
    assert [(await told(other_worker, key_id))["KmsRequestId"] for key_id, _ in keys] == [key_id for key_id, _ in keys]


async def test_of_many_keys_each_has_its_own(world, tracked):
    """More than one transaction takes. Only those that exist have a row."""
    (key_id, arn), name = await world.key(), KeyName(A, REGION, "")
    others = [KeyName(A, REGION, f"{number:08d}-0000-0000-0000-000000000000") for number in range(450)]
    tracked.written(lines(1, *[use(world, each.arn) for each in others], use(world, arn)), "chain")
    await tracked.write()
    assert [scope for scope, _ in await world.catalog.documents(LAST_KIND, prefix=name.scope, limit=9)] == [name.scope + key_id]
    assert await told(world, key_id)


async def test_what_is_kept_lets_every_memory_of_the_catalog_stand(world, tracked):
    _, arn = await world.key()
    before = world.catalog.generation()
    tracked.written(lines(1, use(world, arn)), "chain")
    await tracked.write()
    assert world.catalog.generation() == before


async def test_while_the_catalog_cannot_be_written_it_is_known_where_it_was_recorded(world, tracked, monkeypatch):
    key_id, arn = await world.key()

    async def refuse(*_):
        raise Unavailable("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(world.catalog, "write", refuse)
        tracked.written(lines(1, use(world, arn)), "chain")
        with pytest.raises(Unavailable):
            await tracked.write()
        await tracked._write_quietly()
        assert await told(world, key_id)
    await tracked.write()
    assert await world.catalog.document(KeyName(A, REGION, key_id).scope, LAST_KIND) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"at_ms": 1},
        {"operation": "Encrypt"},
        {"request_id": "x"},
        {"chain_id": "other"},
        {"number": 9},
        {"format": 2},
        {"mac": "0" * 64},
        {"mac": None},
        {"number": "1"},
    ],
)
async def test_a_row_that_was_edited_is_an_error_until_the_key_is_used_again(world, tracked, changed):
    key_id, arn = await world.key()
    scope = KeyName(A, REGION, key_id).scope
    tracked.written(lines(1, use(world, arn)), "chain")
    await tracked.write()
    good = await world.catalog.document(scope, LAST_KIND)
    await world.catalog.write(lambda tx: tx.note(scope, LAST_KIND, {**good, **changed}))
    assert (await world.refusal("GetKeyLastUsage", KeyId=key_id))[0] == "KMSInternalException"
    tracked.written(lines(2, use(world, arn)), "chain")
    await tracked.write()
    assert await told(world, key_id)


async def test_a_damaged_row_or_key_keeps_no_other_from_being_told(tmp_path, world, tracked):
    (torn_id, torn), (gone_id, gone), (good_id, good) = [await world.key() for _ in range(3)]
    tracked.written(lines(1, *(use(world, each) for each in (torn, gone, good))), "chain")
    await tracked.write()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None)) as connection:
        for key_id, kind in ((torn_id, LAST_KIND), (gone_id, KEY_KIND)):
            scope = KeyName(A, REGION, key_id).scope.encode()
            connection.execute("UPDATE document SET content = '{' WHERE scope = ? AND kind = ?", (scope, kind))
    assert (await world.refusal("GetKeyLastUsage", KeyId=torn_id))[0] == "KMSInternalException"
    world.clock.now += timedelta(seconds=1)
    tracked.written(lines(4, *(use(world, each) for each in (torn, gone, good))), "chain")
    await tracked.write()
    for key_id in (torn_id, good_id):
        assert (await told(world, key_id))["Timestamp"] == world.clock()


async def test_a_row_of_another_key_is_an_error(world, tracked):
    (one_id, one), (other_id, other) = await world.key(), await world.key()
    tracked.written(lines(1, use(world, one), use(world, other)), "chain")
    await tracked.write()
    rows = [await world.catalog.document(KeyName(A, REGION, each).scope, LAST_KIND) for each in (one_id, other_id)]
    await world.catalog.write(lambda tx: tx.note(KeyName(A, REGION, one_id).scope, LAST_KIND, rows[1]))
    assert (await world.refusal("GetKeyLastUsage", KeyId=one_id))[0] == "KMSInternalException"
    assert await told(world, other_id)


async def test_who_may_ask(world, tracked):
    key_id, arn = await world.key()
    await world.ask("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    world.asked.clear()
    await world.ask("GetKeyLastUsage", KeyId=key_id)
    assert world.asked == [("kms:GetKeyLastUsage", arn)]
    world.denied.add("kms:GetKeyLastUsage")
    assert (await world.refusal("GetKeyLastUsage", KeyId=key_id))[0] == "AccessDenied"
    world.denied.clear()
    for alias in ("alias/a", f"arn:aws:kms:{REGION}:{A}:alias/a"):
        assert await world.refusal("GetKeyLastUsage", KeyId=alias) == ("NotFoundException", "Invalid keyId 'alias/a'")
    world.shared.add(B)  # the key's policy lets the other account do anything, and still it cannot
    refusal = await world.refusal("GetKeyLastUsage", KeyId=arn, account=B)
    assert refusal == ("AccessDenied", HIDDEN.format(B, "kms:GetKeyLastUsage"))
    missing = KeyName(A, REGION, "00000000-0000-4000-8000-000000000000")
    assert (await world.refusal("GetKeyLastUsage", KeyId=missing.key_id))[0] == "NotFoundException"


async def test_it_is_told_in_every_state_and_goes_with_the_key(world, tracked, other_worker):
    key_id, arn = await world.key()
    tracked.written(lines(1, use(world, arn)), "chain")
    await tracked.write()
    at = world.clock()
    await world.ask("DisableKey", KeyId=key_id)
    assert (await told(world, key_id))["Timestamp"] == at
    await world.ask("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    assert (await told(world, key_id))["Timestamp"] == at
    world.clock.days(7)
    assert (await world.refusal("GetKeyLastUsage", KeyId=key_id))[0] == "NotFoundException"
    assert await world.rooms.deletion.destroy_due() == 1
    other_worker.last_uses.written(lines(1, use(world, arn)), "other")  # of its last second, told late
    await other_worker.last_uses.write()
    assert await world.catalog.documents(LAST_KIND, limit=9) == []


async def test_related_keys_have_each_their_own(world, tracked):
    primary, arn = await world.key(MultiRegion=True)
    await world.ask("ReplicateKey", KeyId=primary, ReplicaRegion="eu-west-1")
    tracked.written(lines(1, use(world, arn)), "chain")
    await tracked.write()
    assert await told(world, primary)
    assert await told(world, primary, region="eu-west-1") == {}


def test_names_of_keys():
    for key_id in ("0d990263-018e-4e65-a703-eff731de951e", "mrk-" + "0a" * 16):
        name = KeyName(A, REGION, key_id)
        assert named(name.arn) == name
        alias = f"arn:aws:kms:{REGION}:{A}:alias/a"
        for other in ("", "alias/a", key_id, alias, f"{name.arn}\n", f" {name.arn}", name.arn.replace("key/", "")):
            assert named(other) is None
