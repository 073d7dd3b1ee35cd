"""A large object in parts that go out at the same time, beside the same bytes in one stream. Never knows how results are shown."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final
from xml.etree import ElementTree as ET

import load
import servers
from load import BenchError
from measures import LARGE, Measure, Run, Sample

PARTS: Final = 8
_TIMES: Final = 4  # the file of noise, one after the other
_SIZE: Final = _TIMES * LARGE  # 1 GiB
_PART: Final = _SIZE // PARTS
_MIB: Final = 1 << 20


def _multipart(workers: int, run: Run) -> Callable[[], Sample]:
    """Each sample has a server and a folder of its own, which goes with it: a gigabyte twice a sample would fill a disk."""
    file = run.large_file()
    folder = run.folder / "multipart"

    def sample() -> Sample:
        folder.mkdir()
        try:
            with servers.strongroom(folder, run.account, workers=workers) as server:
                its = replace(run, our_server=server)
                its.create_bucket("bench-parts")
                target = its.one("PUT", "bench-parts", "one-stream")
                load.upload(server.host, its.one("PUT", "bench-parts", "warm"), file, [(0, _PART)])
                started = time.perf_counter()
                load.upload(server.host, target, file, [(0, LARGE)] * _TIMES)
                single = time.perf_counter() - started
                parts = _in_parts(its)
                _check(its)
        finally:
            shutil.rmtree(folder)
        return Sample(_SIZE / _MIB / parts, _SIZE / _MIB / single)

    return sample


def _in_parts(run: Run) -> float:
    """Seconds from CreateMultipartUpload to the answer of CompleteMultipartUpload."""
    file = run.large_file()
    started = time.perf_counter()
    created = ET.fromstring(run.request("POST", run.one("POST", "bench-parts", "parts", uploads="")))  # noqa: S314 - our own server's answer
    upload_id = next(element.text or "" for element in created if element.tag.endswith("}UploadId"))

    def part(number: int) -> str:
        target = run.one("PUT", "bench-parts", "parts", partNumber=str(number), uploadId=upload_id)
        return load.upload(run.ours, target, file, [((number - 1) * _PART % LARGE, _PART)])

    with ThreadPoolExecutor(PARTS) as pool:
        etags = list(pool.map(part, range(1, PARTS + 1)))
    listed = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1))
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    answer = run.request("POST", run.one("POST", "bench-parts", "parts", uploadId=upload_id), body)
    if b"<Error>" in answer:
        raise BenchError(f"the upload was not completed: {answer[:300]!r}")
    return time.perf_counter() - started


def _check(run: Run) -> None:
    """Both objects are whole; that their bytes are what was sent is for the tests."""
    for key in ("one-stream", "parts"):
        if load.get(run.ours, run.one("GET", "bench-parts", key))[1] != _SIZE:
            raise BenchError(f"bench-parts/{key} is not 1 GiB")


MEASURES: Final = (
    Measure("parts", f"1 GiB in {PARTS} parts at once, one worker", "MiB/s", "in one stream", 1.6, partial(_multipart, 1)),
    Measure("parts-two", f"1 GiB in {PARTS} parts at once, two workers", "MiB/s", "in one stream", 1.6, partial(_multipart, 2)),
)
