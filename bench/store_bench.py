"""What the store costs: microseconds per durable 4 KiB write in groups, per read, and of blobs. Run: python bench/store_bench.py [folder]."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from strongroom.store import files
from strongroom.store import sqlite as sqlite_store
from strongroom.store.contract import BucketRow, PartRow, Transaction, UploadRow, VersionRow
from strongroom.store.files import FileBlobs
from strongroom.store.sqlite import SqliteCatalog

ROUNDS = 6000
BUCKET = secrets.token_hex(16)
SEAL, META, MANIFEST, BODY = (os.urandom(size) for size in (220, 200, 40, 4096 + 56))


def micro(seconds: float, count: int) -> str:
    return f"{seconds / count * 1e6:8.1f} us"


def put(object_key: str, spent: list[float]) -> Callable[[Transaction], None]:
    row = VersionRow(BUCKET, object_key, secrets.token_hex(16), True, False, 4096, 1_700_000_000_000, SEAL, META, MANIFEST, BODY)

    def work(tx: Transaction) -> None:
        begin = time.perf_counter()
        assert tx.bucket_exists(BUCKET)
        old = tx.latest(BUCKET, object_key)
        if old is not None:
            tx.delete_version(old)
        tx.insert_version(row)
        spent[0] += time.perf_counter() - begin

    return work


async def writes(catalog: SqliteCatalog, what: str, object_keys: list[str], clients: int) -> None:
    spent, commits, keys = [0.0], catalog.commits, iter(object_keys)

    async def client() -> None:
        for object_key in keys:
            await catalog.write(put(object_key, spent))

    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took, count = time.perf_counter() - begin, len(object_keys)
    grouped = count / (catalog.commits - commits)
    print(
        f"{what}, {clients:3} at once {micro(took, count)} each; the work alone {micro(spent[0], count)}; {grouped:.1f} per commit"
    )


async def reads(catalog: SqliteCatalog, object_keys: list[str]) -> None:
    random.shuffle(object_keys)
    for _ in range(2):
        begin = time.perf_counter()
        for object_key in object_keys:
            assert await catalog.latest(BUCKET, object_key) is not None
        took = time.perf_counter() - begin
    print(f"latest(), 4 KiB {micro(took, len(object_keys))}")
    begin = time.perf_counter()
    for object_key in object_keys:
        await catalog.latest(BUCKET, object_key + "x")
    print(f"latest(), no such key {micro(time.perf_counter() - begin, len(object_keys))}")
    begin = time.perf_counter()
    for after in object_keys[:20]:
        await catalog.current(BUCKET, after=after, limit=1000)
    print(f"current(limit=1000) {micro(time.perf_counter() - begin, 20)}")
    begin = time.perf_counter()
    for _ in range(100_000):
        catalog.generation()
    print(f"generation() {(time.perf_counter() - begin) / 100_000 * 1e6:.3f} us")


async def complete_upload(catalog: SqliteCatalog) -> None:
    upload = UploadRow(BUCKET, "large", "upload", 0, SEAL, META)

    def prepare(tx: Transaction) -> None:
        tx.insert_upload(upload)
        for number in range(10_000):
            tx.put_part(PartRow("upload", number + 1, 5 << 20, 0, META[:60], MANIFEST))

    def complete(tx: Transaction) -> None:
        assert len(tx.delete_upload(upload)) == 10_000
        tx.insert_version(VersionRow(BUCKET, "large", secrets.token_hex(16), True, False, 1, 0, SEAL, META, os.urandom(250_000)))

    await catalog.write(prepare)
    begin = time.perf_counter()
    await catalog.write(complete)
    print(f"an upload of 10,000 parts completed, 250 KB manifest: {(time.perf_counter() - begin) * 1e3:.0f} ms")


async def catalog_bench(folder: Path, page_size: int) -> None:
    sqlite_store.PAGE_SIZE = page_size
    print(f"--- catalog, page size {page_size}")
    catalog = SqliteCatalog.open(folder / f"catalog-{page_size}")
    await catalog.write(lambda tx: tx.create_bucket(BucketRow(BUCKET, "bench", "111122223333", "eu-central-1", 0)))
    object_keys = [f"folder/{secrets.token_hex(8)}" for _ in range(3 * ROUNDS)]
    for number, clients in enumerate((1, 16, 32)):
        rounds = ROUNDS // 4 if clients == 1 else ROUNDS
        await writes(catalog, "new keys", object_keys[number * ROUNDS :][:rounds], clients)
    written = object_keys[2 * ROUNDS :]
    await writes(catalog, "overwrites", written, 32)
    await reads(catalog, written)
    await complete_upload(catalog)
    await catalog.close()


async def blobs_bench(folder: Path, write_back: int) -> None:
    files.WRITE_BACK = write_back
    blobs, piece = FileBlobs(folder), os.urandom(1 << 20)
    writer = await blobs.create()
    begin = time.perf_counter()
    for _ in range(256):
        await writer.write(piece)
    written = time.perf_counter()
    await writer.commit()
    end = time.perf_counter()
    print(
        f"256 MiB, write-back every {write_back >> 20} MiB: {256 / (end - begin):.0f} MiB/s; its commit {(end - written) * 1e3:.0f} ms"
    )
    begin = time.perf_counter()
    for number in range(256):
        await blobs.read(writer.blob_id, number << 20, 1 << 20)
    print(f"read again in pieces of 1 MiB: {256 / (time.perf_counter() - begin):.0f} MiB/s")
    await blobs.delete(writer.blob_id)
    await blobs.close()


async def main() -> None:
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        for page_size in (4096, 8192, 16384):
            await catalog_bench(folder, page_size)
        print("--- blobs")
        for write_back in (1 << 40, files.WRITE_BACK):
            await blobs_bench(folder, write_back)
    finally:
        shutil.rmtree(folder)


asyncio.run(main())
