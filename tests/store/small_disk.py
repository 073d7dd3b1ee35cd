"""A real disk that is small enough to be filled: a file system in memory, mounted for a test.

Only root may mount; elsewhere a test runs itself once more as the root of a namespace of its own (``in_namespace``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_CHUNK = 4096


@contextmanager
def mounted(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Skips the test where mounting is not allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount(8) here")
    if done.returncode:
        pytest.skip(f"a file system in memory cannot be mounted here (in a namespace of its own, perhaps): {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def in_namespace(file: str) -> None:
    """Run a module's tests as the root of a new user and mount namespace. Skips where root does it directly, or nobody may."""
    if os.geteuid() == 0:
        pytest.skip("root mounts the small disk itself")
    may = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    with suppress(FileNotFoundError):
        if subprocess.run(may, capture_output=True, check=False).returncode == 0:
            again = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", file]
            done = subprocess.run(["unshare", "-rm", *again], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-5000:]
            return
    pytest.skip("namespaces of users and mounts are not allowed here")


def fill(folder: Path, name: str = "filler") -> Path:
    """Take all the room there is, to the last page."""
    path = folder / name
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, _CHUNK):
            with suppress(OSError):
                while True:
                    file.write(b"f" * size)
    return path


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
