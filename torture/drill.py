"""The drill: a backup that was begun under load and is restored elsewhere has all that was acknowledged before, and nothing else.

Every check returns its faults as sentences. The backup's folder stays, so that each backup after the first is an incremental one.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tests.clients.house import Server
from torture import checks
from torture.guarded import EXPIRING, LOCKED
from torture.ledger import digest
from torture.writers import PLAIN, VERSIONED, Writer

TIMEOUT: Final = 300.0  # seconds for a restore


class Drill:
    """``server``: the one that is tortured. Its backup lies beside its data."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.target = server.folder / "backup"
        self.restored = 0

    def command(self) -> tuple[str, ...]:
        return ("backup", str(self.target), "--data", str(self._server.data), "--keep", "3", "--prune")

    def restore(self, writers: list[Writer]) -> list[str]:
        """Restore the newest snapshot, start a server on it, and hold it to what the writers marked."""
        place = self._server.folder / "restored"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        copy = Server(place, self._server.settings, self._server.owner)
        faults = self._run("backup", "verify", str(self.target)) or self._run(
            "restore", str(self.target), "--data", str(copy.data)
        )
        if faults:
            return faults
        shutil.copy2(self._server.data / "root.key", copy.data / "root.key")
        copy.start()
        s3 = copy.client("s3", max_pool_connections=16)
        try:
            with ThreadPoolExecutor(4) as threads:
                faults = [each for found in threads.map(lambda one: list(_of_writer(s3, one)), writers) for each in found]
            faults += [f"restored: {fault}" for fault in checks.tools(copy, bodies=True)]
        finally:
            s3.close()
            copy.close()
        shutil.rmtree(place)
        self.restored += 1
        return faults

    def _run(self, *words: str) -> list[str]:
        done = subprocess.run(
            [*self._server.command, *words],
            env=self._server.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        said = (done.stdout + done.stderr)[-1500:]
        return [f"strongroom {' '.join(words[:2])} ended with {done.returncode}: {said}"] if done.returncode else []


def _of_writer(s3: Any, writer: Writer) -> Iterator[str]:
    for bucket in PLAIN:
        for key in writer.own_keys():
            found = digest(checks.content(s3, bucket, key))
            if found not in writer.current.possible(bucket, key):
                yield f"restored: {bucket}/{key} is {found}"
    yield from writer.versions.restored(checks.versions(s3, VERSIONED, writer.prefix))
    yield from writer.locked.restored(checks.versions(s3, LOCKED, writer.prefix))
    for key in writer.expiring.states:
        found = digest(checks.content(s3, EXPIRING, key))
        fault = writer.expiring.restored(key, found)
        if fault is not None:
            yield fault
