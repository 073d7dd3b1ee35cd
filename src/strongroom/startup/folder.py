"""The data folder: for its owner alone, for one server at a time, and never given a new root key once it holds data.

Never knows what is in the catalog or in a blob.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from strongroom.startup import StartError
from strongroom.store.sqlite import FILE as CATALOG_FILE

ROOT_KEY_FILE: Final = "root.key"
LOCK_FILE: Final = "server.lock"
CREDENTIALS_FILE: Final = "root-credentials"
ROOT_KEY_SIZE: Final = 32
_ROOT_KEY_MOST: Final = 1000  # bytes of the file, plain or sealed
_PATIENCE: Final = 0.5  # seconds: somebody may just be asking whether a server is running
_UNFINISHED: Final = ".new"
#: What may lie in a folder that is still to become a data folder.
_HARMLESS: Final = frozenset({LOCK_FILE, ROOT_KEY_FILE + _UNFINISHED, "lost+found"})
_ROOT_KEY_TEXT: Final = re.compile(rb"[0-9a-f]{64}\n?")


def prepare(folder: Path, *, key_elsewhere: bool = False) -> None:
    """Make the folder, or make sure it is one that may be used; then it is for its owner alone. Raises StartError.

    ``key_elsewhere``: the root key is not kept in the folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
        if ROOT_KEY_FILE not in names and not (key_elsewhere and CATALOG_FILE in names):
            check_no_data(folder, names)
        if stat.S_IMODE(folder.stat().st_mode) != 0o700:
            folder.chmod(0o700)
    except NotADirectoryError:
        raise StartError(f"{folder} is not a folder") from None
    except FileExistsError:
        raise StartError(f"{folder} is not a folder") from None
    except OSError as error:
        raise StartError(f"data folder {folder}: {error.strerror}") from None


def check_no_data(folder: Path, names: set[str]) -> None:
    """A folder without a root key must hold nothing: no data that a new key could not open, and nobody else's files."""
    if names & {CATALOG_FILE, "blobs", CREDENTIALS_FILE}:
        raise StartError(
            f"{folder / ROOT_KEY_FILE} is missing, but there is data that only it can open: put the root key back (no new one was made)"
        )
    if names - _HARMLESS:
        raise StartError(f"{folder} is not empty and is no data folder of Strongroom's: choose another")


def require_existing(folder: Path) -> None:
    """For commands that work on data: they never make a folder. Raises StartError."""
    if not (folder / CATALOG_FILE).exists():
        raise StartError(f"{folder} holds no data of Strongroom's: start a server on it first, or name another with --data")


def read_root_key_file(path: Path) -> bytes:
    """What the file holds, plain or sealed. Raises StartError, also when others than the owner may use it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_ROOT_KEY_MOST)
    except FileNotFoundError:
        raise StartError(f"{path} is missing: put the root key back, or say where it is (root_key)") from None
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise StartError(f"{path} may be used by others than its owner (mode {mode:04o}): run  chmod 600 {path}")
    return data


def plain_root_key(text: bytes, place: object) -> bytes:
    """The 32 bytes of a root key that is not sealed; ``place``: where it was found. Raises StartError."""
    if not _ROOT_KEY_TEXT.fullmatch(text):
        raise StartError(f"{place} is not a root key (64 hexadecimal digits): put the right one back")
    return bytes.fromhex(text.decode("ascii"))


def write_secret(path: Path, data: bytes, *, replace: bool, check: Callable[[bytes], None] | None = None) -> None:
    """The whole file or none of it, readable by its owner alone, on the disk when this returns. Raises OSError.

    ``check`` is given what was read back before the file takes its name, and raises if it is no good.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if check is not None:
        try:
            check(unfinished.read_bytes())
        except BaseException:
            unfinished.unlink()
            raise
    if replace:
        unfinished.replace(path)
    else:
        os.link(unfinished, path)  # fails if there is one: never over an existing file
        unfinished.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """The folder belongs to this process until the block ends, or the process does. Raises StartError."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    try:
        if not _taken(descriptor, fcntl.LOCK_EX, _PATIENCE):
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            raise StartError(f"another server{f' (process {holder})' if holder else ''} is running on {folder}")
        os.pwrite(descriptor, f"{os.getpid():<19}\n".encode(), 0)  # in its old place: on a full disk there is no other
        yield
    finally:
        os.close(descriptor)


def server_is_running(folder: Path) -> bool:
    """Whether a server holds the lock; never waits. Raises StartError when the folder cannot be asked."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StartError(f"{folder / LOCK_FILE}: {error.strerror}") from None
    try:
        return not _taken(descriptor, fcntl.LOCK_SH, 0.0)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
