"""Where the root key comes from: a plain file, a file sealed with a passphrase, a systemd credential, a descriptor.

The root key itself stays what it is when its sealing changes, so no object is touched. Never knows what is derived from it.
``docs/spec/root-key.md``.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom.config import Config, KeyForm, parse_key_form
from strongroom.seal import Forged, SealError, Unsupported
from strongroom.seal import passphrase as sealed_bytes
from strongroom.startup import StartError
from strongroom.startup.folder import (
    ROOT_KEY_FILE,
    ROOT_KEY_SIZE,
    check_no_data,
    plain_root_key,
    read_root_key_file,
    sync_folder,
    write_secret,
)
from strongroom.startup.passphrase import passphrase, read

MAGIC: Final = b"SRRK"


def open_root_key(config: Config) -> bytes:
    """The 32 bytes, from where the settings say. Raises StartError. Ask once: a descriptor gives it only once."""
    return _opened(config.data_dir, parse_key_form(config.root_key))


def ensure_root_key(config: Config, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """As ``open_root_key``; on the first start of a data folder the file is made, in the form the settings say.

    Call it with the lock held, after ``prepare``. Raises StartError.
    """
    form = parse_key_form(config.root_key)
    path = config.data_dir / ROOT_KEY_FILE
    if not form.in_folder or path.exists():
        return open_root_key(config)
    check_no_data(config.data_dir, {each.name for each in config.data_dir.iterdir()})
    root_key = random(ROOT_KEY_SIZE)
    _write(path, form, root_key, replace=False, random=random)
    return root_key


def write_root_key(config: Config, root_key: bytes, *, replace: bool) -> None:
    """Into the data folder, in the form the settings say. Raises StartError."""
    _write(config.data_dir / ROOT_KEY_FILE, parse_key_form(config.root_key), root_key, replace=replace, random=os.urandom)


def left_in_folder(config: Config) -> Path | None:
    """A ``root.key`` that lies in the folder although the settings take the root key from elsewhere."""
    path = config.data_dir / ROOT_KEY_FILE
    return path if path.exists() and not parse_key_form(config.root_key).in_folder else None


def is_plain_file(config: Config) -> bool:
    return config.root_key == "file"


def change_sealing(config: Config, to: str, root_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
    """Give the root key another form. What there was is replaced or removed only after the new form has opened.

    ``root_key``: as it was opened, and found to be the one of this data. Raises StartError; then nothing has changed.
    """
    form = parse_key_form(to)
    path = config.data_dir / ROOT_KEY_FILE
    with _alone(config.data_dir):
        if form.in_folder:
            _write(path, form, root_key, replace=True, random=random)
            return
        if not hmac.compare_digest(_opened(config.data_dir, form), root_key):
            raise StartError(f"{to} gives another root key than the one of this data: nothing was changed")
        path.unlink(missing_ok=True)
        sync_folder(config.data_dir)


def _opened(folder: Path, form: KeyForm) -> bytes:
    path = folder / ROOT_KEY_FILE
    if form.place is None:
        data = read_root_key_file(path)
        if data.startswith(MAGIC):
            raise StartError(f"{path} is sealed with a passphrase: say where it comes from (root_key = passphrase:…)")
        return plain_root_key(data, path)
    if form.form != "passphrase":
        return plain_root_key(read(form.place), form.place)
    data = read_root_key_file(path)
    if not data.startswith(MAGIC):
        plain_root_key(data, path)  # else it is nothing at all
        raise StartError(f"{path} is not sealed, but root_key says so: seal it with  strongroom keys seal-root")
    return _unsealed(data, path, lambda: passphrase(form.place) if form.place else b"")


def _unsealed(data: bytes, path: Path, ask: Callable[[], bytes]) -> bytes:
    try:
        sealed_bytes.check(MAGIC, data)
        root_key = sealed_bytes.unseal(MAGIC, ask(), data)
    except Forged:
        raise StartError(f"{path} does not open: the passphrase is wrong, or the file was changed") from None
    except Unsupported as error:
        raise StartError(f"{path} cannot be read by this version: {error}") from None
    except SealError as error:
        raise StartError(f"{path} is damaged: {error}") from None
    if len(root_key) != ROOT_KEY_SIZE:
        raise StartError(f"{path} holds no root key")
    return root_key


def _write(path: Path, form: KeyForm, root_key: bytes, *, replace: bool, random: Callable[[int], bytes]) -> None:
    """What was written is read back and opened before it takes its name."""
    if form.place is None:
        data = f"{root_key.hex()}\n".encode()

        def prove(written: bytes) -> bytes:
            return plain_root_key(written, path)
    else:
        words = passphrase(form.place, new=True)
        data = sealed_bytes.seal(MAGIC, words, root_key, random=random)

        def prove(written: bytes) -> bytes:
            return _unsealed(written, path, lambda: words)

    def check(written: bytes) -> None:
        if not hmac.compare_digest(prove(written), root_key):
            raise StartError(f"{path}: what was written is not what is read: nothing was changed")

    try:
        write_secret(path, data, replace=replace, check=check)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Two changes of the sealing at once would have one unfinished file between them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
