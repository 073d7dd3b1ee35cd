"""What a data folder that grows does to a server: its start looks at no rows, and the room that it takes is shown and can be had back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from strongroom import house, server
from strongroom.config import Config
from strongroom.startup import folder
from strongroom.startup.sealing import ensure_root_key
from strongroom.store import sqlite
from strongroom.store.contract import BucketRow, VersionRow
from strongroom.store.sqlite import FILE, SqliteCatalog
from tests.server.process import ROOT, Serving, here
from tests.server.test_numbers_page import metrics
from tests.server.test_serving import client


async def begin(data):
    """All that the parent and a worker do until the worker serves."""
    config = Config(data_dir=data)
    folder.prepare(data)
    root_key = ensure_root_key(config)
    await server.first_start(config, root_key)
    await (await house.build(config, root_key)).close()


async def grow(data, first, last):
    bucket = BucketRow("b" * 32, "bucket", "1" * 12, "us-east-1", 0)
    catalog = SqliteCatalog.open(data)

    def work(tx):
        if tx.bucket("bucket") is None:
            tx.create_bucket(bucket)
        for number in range(first, last):
            version_id = os.urandom(16).hex()
            tx.insert_version(
                VersionRow(bucket.bucket_id, f"{number:06d}", version_id, True, False, 1, 0, b"s", b"m", b"f", os.urandom(100))
            )
            tx.keep([os.urandom(16).hex()])

    await catalog.write(work)
    await catalog.close()


async def test_a_start_does_the_same_steps_however_many_objects_there_are(tmp_path, monkeypatch):
    steps = 0

    def one():
        nonlocal steps
        steps += 1

    real = sqlite3.connect

    def connect(*given, **named):
        connection = real(*given, **named)
        connection.set_progress_handler(one, 1)  # at each instruction of the database's machine
        return connection

    data = tmp_path / "data"
    await begin(data)
    counts = []
    for first, last in ((0, 100), (100, 5000)):
        await grow(data, first, last)
        with monkeypatch.context() as patched:
            patched.setattr(sqlite.sqlite3, "connect", connect)
            steps = 0
            await begin(data)
        counts.append(steps)
    assert counts[0] > 100
    assert counts[1] - counts[0] < 50, counts


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with Serving(tmp_path_factory.mktemp("grown") / "data", environ=ROOT) as serving:
        s3 = client("s3", serving.url)
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="small", Body=b"small")
        s3.close()
        yield serving


def test_the_room_that_is_taken_is_among_the_metrics_and_compacting_waits_until_the_server_is_stopped(serving):
    shown = metrics(serving.url)
    size = shown["strongroom_catalog_bytes"]
    assert size > 50_000
    assert shown["strongroom_catalog_log_bytes"] > 0
    assert 0 <= shown["strongroom_catalog_free_bytes"] < size
    assert shown["strongroom_blobs"] == shown["strongroom_blob_bytes"] == 0
    refused = here("compact", "--data", serving.folder)
    assert refused.returncode == 1
    assert "another server" in refused.stderr
    assert serving.stop() == 0
    before = (serving.folder / FILE).stat().st_size
    done = here("compact", "--data", serving.folder)
    assert (done.returncode, done.stderr) == (0, "")
    now = (serving.folder / FILE).stat().st_size
    assert done.stdout == f"{serving.folder / FILE}: {before:,} bytes before, {now:,} now\n"
    with closing(sqlite3.connect(serving.folder / FILE)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM version").fetchone() == (1,)
