"""A chore of a worker that fails: it goes on, or ends alone, and the rooms are closed in order whatever became of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from strongroom import worker as workers
from strongroom.config import Config
from strongroom.kms.data_keys import DataKeys
from strongroom.kms.key_use_audit import Audit, Report
from strongroom.numbers import Numbers
from strongroom.server import first_start
from strongroom.startup import folder
from strongroom.startup.root_key import Subkeys
from strongroom.startup.sealing import ensure_root_key
from strongroom.worker import Worker


async def served(data: Path, until: asyncio.Event) -> Report:
    """What the audit says of the record of a worker that lived until then."""
    config = Config(data_dir=data)
    folder.prepare(data)
    root_key = ensure_root_key(config)
    await first_start(config, root_key)
    worker = Worker(config, root_key, Numbers())
    await worker.open()
    try:
        await asyncio.wait_for(until.wait(), 30)
    finally:
        await worker.close()
    return Audit(data, Subkeys.of(root_key).key_use, {}).verify()


async def test_keys_go_on_to_be_forgotten_after_any_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, again = [], asyncio.Event()

    async def forget(_self: DataKeys) -> None:
        asked.append(1)
        if len(asked) == 3:
            again.set()
        raise ValueError("a document that is none")

    monkeypatch.setattr(workers, "_FORGET_AGAIN", 0.001)
    monkeypatch.setattr(DataKeys, "forget_shared", forget)
    with capture_logs() as log:
        report = await served(tmp_path, again)
    assert {entry["event"] for entry in log if "keys" in entry["event"]} == {"shared keys stay in memory"}
    assert (report.chains, report.faults, report.notices) == (1, [], [])


async def test_the_record_is_ended_also_when_a_chore_had_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = asyncio.Event()

    async def fail(_keys: DataKeys) -> None:
        failed.set()
        raise RuntimeError("of all things")

    monkeypatch.setattr(workers, "_forget_keys", fail)
    with capture_logs() as log:
        report = await served(tmp_path, failed)
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["a chore had ended"]
    assert (report.chains, report.faults, report.notices) == (1, [], [])
