"""Secrets of the operator's, from where the settings say: a prompt, a file, a descriptor, a variable, a systemd credential.

Each is read once, by the process that was started, and handed to no other by environment or argument. Never knows what it opens.
"""

from __future__ import annotations

import getpass
import os
import stat
from pathlib import Path
from typing import Final

from strongroom.config import SecretPlace
from strongroom.startup import StartError

LEAST: Final = 12  # characters of a new passphrase
_MOST: Final = 1024
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"


def passphrase(place: SecretPlace, *, new: bool = False, what: str = "root key") -> bytes:
    """The bytes as given; one line break at the end of a file, descriptor or credential does not count.

    ``new``: something will be sealed under it: a prompt asks twice, and it must not be short. Raises StartError.
    """
    found = _asked(what, new=new) if place.kind == "prompt" else read(place)
    if place.kind not in {"prompt", "env"}:
        found = found.removesuffix(b"\n").removesuffix(b"\r")
    if not found:
        raise StartError(f"the passphrase from {place} is empty")
    if len(found) > _MOST:
        raise StartError(f"the passphrase from {place} is longer than {_MOST} bytes")
    if new and len(found.decode("utf-8", "replace")) < LEAST:
        raise StartError(f"the passphrase from {place} is too short: it must have {LEAST} characters or more")
    return found


def read(place: SecretPlace) -> bytes:
    """At most a few KiB. Raises StartError."""
    try:
        match place.kind:
            case "file":
                return _from_file(Path(place.name))
            case "fd":
                return _from_descriptor(int(place.name))
            case "env":
                found = os.environb.pop(place.name.encode(), None)  # worker processes do not inherit it
                if found is None:
                    raise StartError(f"the environment has no variable {place.name}")
                return found
            case "credential":
                folder = os.environ.get(_CREDENTIALS)
                if folder is None:
                    raise StartError(f"there is no credential {place.name}: systemd set no {_CREDENTIALS}")
                return (Path(folder) / place.name).read_bytes()
            case "prompt":
                raise ValueError("a prompt is for passphrases only")
    except OSError as error:
        raise StartError(f"{place}: {error.strerror}") from None


def _from_file(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        data = file.read(_MOST * 4)
    if mode & 0o077:
        raise StartError(f"{path} may be used by others than its owner (mode {mode:04o}): run  chmod 600 {path}")
    return data


def _from_descriptor(descriptor: int) -> bytes:
    data = b""
    try:
        while len(data) <= _MOST * 4 and (more := os.read(descriptor, _MOST * 4)):
            data += more
    finally:
        if descriptor > 2:
            os.close(descriptor)
    return data


def _asked(what: str, *, new: bool) -> bytes:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise StartError(f"there is no terminal to ask for the passphrase of the {what} on") from None
    found = getpass.getpass(f"{'New passphrase' if new else 'Passphrase'} of the {what}: ")
    if new and getpass.getpass("Once more: ") != found:
        raise StartError("the two passphrases differ")
    return found.encode()
