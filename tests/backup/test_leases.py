"""What is given up while a backup is under way is deleted after it, and not much later when the backup died."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from strongroom.s3.backup_leases import KIND, LEASE_MS, Lease, held, leased


def now_ms(house):
    return int(house.now.timestamp() * 1000)


async def test_upkeep_waits_for_a_lease(house):
    blob_id = await house.put(b"sealed")
    async with leased(house.catalog, "one", lambda: now_ms(house)):
        await house.drop(blob_id)
        assert await house.upkeep.delete_due() == 0
        assert await house.upkeep.delete_discarded() == 0
        assert house.file(blob_id).exists()
    assert await house.catalog.documents(KIND, limit=9) == []
    assert await house.upkeep.delete_due() == 1
    assert not house.file(blob_id).exists()


async def test_one_of_two_is_enough(house):
    generation = house.catalog.generation()
    async with leased(house.catalog, "one", lambda: now_ms(house)):
        async with leased(house.catalog, "two", lambda: now_ms(house)):
            pass
        assert await held(house.catalog, now_ms(house))
    assert not await held(house.catalog, now_ms(house))
    assert house.catalog.generation() == generation  # nobody has to forget what it remembers


async def test_a_lease_of_a_backup_that_died_lapses(house):
    lease = Lease(house.catalog, "dead", lambda: now_ms(house))
    await lease.take()
    blob_id = await house.put(b"sealed")
    await house.drop(blob_id)
    house.now += timedelta(milliseconds=LEASE_MS - 1)
    assert lease.holds()
    assert await house.upkeep.delete_discarded() == 0
    house.now += timedelta(milliseconds=1)
    assert not lease.holds()
    assert await house.upkeep.delete_discarded() == 1
    await lease.renew()  # what it kept may have gone
    assert not lease.holds()
    async with leased(house.catalog, "next", lambda: now_ms(house)):
        assert [scope for scope, _ in await house.catalog.documents(KIND, limit=9)] == ["backup/next"]


async def test_a_lease_is_renewed(house, monkeypatch):
    renewed = asyncio.Event()
    real = Lease.renew

    async def renew(lease):
        await real(lease)
        if (await house.catalog.document("backup/one", KIND))["until_ms"] == now_ms(house) + LEASE_MS:
            renewed.set()

    monkeypatch.setattr(Lease, "renew", renew)
    async with leased(house.catalog, "one", lambda: now_ms(house), every=0.001) as lease:
        for _ in range(3):
            house.now += timedelta(milliseconds=LEASE_MS - 1000)
            renewed.clear()
            async with asyncio.timeout(5):
                await renewed.wait()
        assert lease.holds()


@pytest.mark.parametrize("value", [None, 1, {}, {"until_ms": "x"}, {"until_ms": 1 << 60}])
async def test_what_is_no_lease_holds_nothing_up(house, value):
    """One that ends far away was made under a wrong clock."""
    await house.catalog.write(lambda tx: tx.set_document("backup/odd", KIND, value))
    assert not await held(house.catalog, now_ms(house))
