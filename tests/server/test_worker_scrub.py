"""A worker scrubs by itself: whose duty upkeep is looks at once for a round to do, and its use of a key is in the record."""

from __future__ import annotations

import asyncio
import json

import pytest

from strongroom.config import Config
from strongroom.numbers import Numbers
from strongroom.s3 import scrubbing
from strongroom.s3.scrub_records import read_state
from strongroom.server import first_start
from strongroom.startup import folder
from strongroom.startup.sealing import ensure_root_key
from strongroom.worker import Worker
from tests.server.process import ROOT, Serving, here
from tests.server.test_serving import client


@pytest.fixture
def stored(tmp_path):
    with Serving(tmp_path / "data", environ=ROOT) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="letters")
        s3.put_object(Bucket="letters", Key="kms", Body=b"1", ServerSideEncryption="aws:kms")
        s3.put_object(Bucket="letters", Key="plain", Body=b"2" * 100_000)
        s3.close()
        assert serving.stop() == 0
    return tmp_path / "data"


async def serve_until_scrubbed(stored, rate):
    config = Config(data_dir=stored, scrub_rate=rate)
    folder.prepare(stored)
    root_key = ensure_root_key(config)
    await first_start(config, root_key)
    numbers = Numbers()
    worker = Worker(config, root_key, numbers)
    await worker.open()
    try:
        catalog = worker._house.catalog
        async with asyncio.timeout(30):
            while rate and (await read_state(catalog)).last is None:  # noqa: ASYNC110 - only the catalog tells
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        assert ((await read_state(catalog)).last is not None) is bool(rate)
    finally:
        await worker.close()
    return numbers


@pytest.mark.parametrize("rate", [0, 1 << 30])
def test_a_worker_scrubs_and_none_does_where_it_is_off(stored, monkeypatch, rate):
    monkeypatch.setattr(scrubbing, "LOOK_EVERY", 0.01)
    numbers = asyncio.run(serve_until_scrubbed(stored, rate))
    shown = {family.name: family for family in numbers.collect()}
    objects = [sample.value for sample in shown["strongroom_scrub_objects"].samples]
    assert objects == ([2.0] if rate else [])
    lines = [json.loads(line) for line in here("audit", "list", "--json", "--data", stored).stdout.splitlines()]
    scrubs = [(line["operation"], line["principal"], line["resource"]) for line in lines if line["cause"] == "scrub"]
    assert scrubs == ([("Decrypt", "strongroom:scrub", "arn:aws:s3:::letters")] if rate else [])
    assert here("audit", "verify", "--data", stored).returncode == 0
