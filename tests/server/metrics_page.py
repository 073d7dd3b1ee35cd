"""``docs/metrics.md``: every metric of a worker, from the tables it counts in. ``make docs`` writes it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from strongroom.config import Config
from strongroom.house import build
from strongroom.numbers import Family, Labels, Numbers
from strongroom.observing import count_errors
from strongroom.server import first_start
from strongroom.startup import folder
from strongroom.startup.sealing import ensure_root_key

_HEAD = """# Metrics

Written by `make docs`. `/-/metrics` gives them in Prometheus's text format, added up over all workers of the server; what a worker counted
is up to a second old on the page. Counts begin at 0 with the server. Histograms of times have the bounds 1 ms to 30 s, those of numbers
1 to 256. Names and meanings are held to this page by a test; a metric may come, and values of its labels, but none changes its
meaning under its name.

The page is answered without credentials. No metric names a caller, a bucket, a key or an address.

| name | type | labels | unit | meaning |
|---|---|---|---|---|
"""
_TAIL = """
`strongroom_scrub_last_…` are absent until a round has come to its end. In `strongroom_errors_total`, `event` is the text of the line in the
log and `kind` the kind of exception or finding; only lines that `log_level` lets through are counted. `cause` of a KMS operation: `api`,
asked of KMS itself; `s3`, by S3 for one object; `bucket-key`, by S3 for many; `scrub`, by the server to see whether objects are whole
(once for each key and bucket in a round).

## What to watch

| if | then |
|---|---|
| `strongroom_store_writable == 0` | the disk is full or broken: see the log, `strongroom_errors_total` |
| `strongroom_scrub_last_findings > 0`, `increase(strongroom_scrub_findings_total[1d]) > 0` | damage: `strongroom scrub status` |
| `time() - strongroom_scrub_last_end_seconds` above two periods | the scrub does not come round: raise `scrub_rate` |
| `time() - strongroom_upkeep_latest_seconds{step="delete_due"} > 600` | no worker does upkeep: space does not come back |
| `rate(strongroom_requests_total{status=~"5.."}[5m]) > 0` | errors of the server's own; the log has each with its request id |
| `rate(strongroom_overload_refusals_total[5m]) > 0` | a ceiling is reached: see the README's table of settings |
| `strongroom_commit_queue`, `strongroom_blob_queue`, `strongroom_key_use_queue` high and growing | the disk does not keep up |
| `histogram_quantile(0.99, rate(strongroom_loop_delay_seconds_bucket[5m])) > 0.05` | a worker has more to do than one core can |
"""


def metrics() -> list[tuple[Family, Labels]]:
    """Of a worker as it is built for a server."""
    with tempfile.TemporaryDirectory(prefix="strongroom-") as place:
        return asyncio.run(_metrics(Path(place) / "data"))


async def _metrics(data: Path) -> list[tuple[Family, Labels]]:
    # All that is told only where it is turned on is turned on.
    config = Config(data_dir=data, access_log="stderr")
    folder.prepare(data)
    root_key = ensure_root_key(config)
    await first_start(config, root_key)
    numbers = Numbers()
    count_errors(numbers)
    house = await build(config, root_key, numbers)
    try:
        return numbers.families()
    finally:
        await house.close()


def page() -> str:
    rows = [
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} "
        f"| {', '.join(f'`{label}`' for label in labels)} | {_unit(family)} | {family.documentation} |\n"
        for family, labels in sorted(metrics(), key=lambda each: each[0].name)
    ]
    return _HEAD + "".join(rows) + _TAIL


def _unit(family: Family) -> str:
    last = family.name.rpartition("_")[2]
    return last if last in {"seconds", "bytes"} else ""


if __name__ == "__main__":
    os.umask(0o077)
    sys.stdout.write(page())
