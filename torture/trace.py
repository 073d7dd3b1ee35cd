"""What ``strace`` saw a program do to the files of one folder, in the order in which it did it.

Written by ``strace -ff -ttt -T -y -xx``: one file for each thread, times in seconds since the epoch. Never knows what survives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

OPTIONS: Final = ("-ff", "-ttt", "-T", "-y", "-xx", "-s", "8388608", "-e", "signal=none", "-e", "status=successful")
CALLS: Final = (
    "openat,write,pwrite64,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,"
    "fsync,fdatasync,copy_file_range,pwritev,pwritev2"
)

Kind = Literal["create", "write", "append", "truncate", "allocate", "rename", "link", "unlink", "mkdir", "rmdir", "sync"]


@dataclass(frozen=True, slots=True)
class Event:
    """One call that succeeded, from ``began`` to ``ended``; ``other`` is the new name of a rename or link."""

    began: float
    ended: float
    kind: Kind
    path: str
    other: str = ""
    offset: int = 0
    data: bytes = b""


_LINE: Final = re.compile(r"(\d+\.\d+) (\w+)\((.*)\) += (-?\d+)(?:<[^>]*>)?(?: \([^)]*\))? <(\d+\.\d+)>$")
_PATHS: Final = re.compile(r'<((?:\\x[0-9a-f]{2})+)>|"((?:\\x[0-9a-f]{2})*)"')


def events(prefix: Path, folder: Path) -> list[Event]:
    """Those below ``folder``, by the time they began. ``prefix``: what strace's -o was given. Raises ValueError for a call it cannot read."""
    found = [
        event for file in sorted(prefix.parent.glob(f"{prefix.name}.*")) for event in _of_thread(file, f"{folder}/", str(folder))
    ]
    return sorted(found, key=lambda event: event.began)


def _of_thread(file: Path, inside: str, itself: str) -> Iterator[Event]:
    with file.open("r", encoding="ascii", errors="replace") as lines:
        for line in lines:
            matched = _LINE.match(line.rstrip("\n"))
            if matched is None:
                continue
            began, call, arguments, result, took = matched.groups()
            start, end = float(began), float(began) + float(took)
            for event in _events(call, arguments, int(result), start, end):
                if event.path.startswith(inside) or event.path == itself:
                    yield event


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _events(call: str, arguments: str, result: int, began: float, ended: float) -> Iterator[Event]:
    names = [_text(first or second) for first, second in _PATHS.findall(arguments)]
    paths = [name.decode("utf-8", "replace") for name in names if name.startswith(b"/")]
    if not paths:
        return
    if call == "openat":
        # With a folder's descriptor in front the paths are absolute all the same: the program under test opens nothing relatively.
        if "O_CREAT" in arguments:
            yield Event(began, ended, "create", paths[-1])
        if "O_TRUNC" in arguments:
            yield Event(began, ended, "truncate", paths[-1])
    elif call == "write":
        yield Event(began, ended, "append", paths[0], data=names[1][:result])
    elif call == "pwrite64":
        yield Event(began, ended, "write", paths[0], offset=int(arguments.rpartition(", ")[2], 0), data=names[1][:result])
    elif call == "ftruncate":
        yield Event(began, ended, "truncate", paths[0], offset=int(arguments.rpartition(", ")[2], 0))
    elif call == "fallocate":  # glibc's posix_fallocate: mode, offset and length after the file
        offset, length = (int(each, 0) for each in arguments.split(", ")[-2:])
        yield Event(began, ended, "allocate", paths[0], offset=offset + length)
    elif call in {"fsync", "fdatasync"}:
        yield Event(began, ended, "sync", paths[0])
    elif call in {"rename", "renameat", "renameat2", "link", "linkat"}:
        yield Event(began, ended, "rename" if call.startswith("rename") else "link", paths[0], paths[-1])
    elif call in {"unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"}:
        kind: Kind = (
            "mkdir" if call.startswith("mkdir") else "rmdir" if call == "rmdir" or "AT_REMOVEDIR" in arguments else "unlink"
        )
        yield Event(began, ended, kind, paths[-1])
    else:
        raise ValueError(f"{call} on {paths[0]} is not understood")
