"""A disk that loses what was not synced: from a trace, the folder as it may stand when the power went at a moment.

What is certain: writes to a file that ended before an fsync of it began which itself has ended, and names in a folder likewise. All
else may be there or not: names one by one, writes at an offset one by one and torn at sectors of 512 bytes, what was appended from
some point on not at all. That is less than journaling file systems keep. Never knows what the files mean.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from torture.trace import Event

SECTOR: Final = 512


@dataclass(slots=True)
class _Change:
    """A write or truncation of a file, or (``name``) a name put into a folder or taken out of it (``file`` None)."""

    ended: float
    offset: int = 0
    data: bytes | None = None  # None: cut to ``offset``
    appended: bool = False
    name: str = ""
    file: _File | None = None
    certain: float = float("inf")  # from when on


@dataclass(slots=True)
class _File:
    folder: bool = False
    size: int = 0  # as the program sees it
    changes: list[_Change] = field(default_factory=list)


class Disk:
    """Made from the events of a trace that began before ``root`` existed or while it was empty."""

    def __init__(self, root: Path, events: list[Event]) -> None:
        self._root = str(root)
        self._top = _File(folder=True)
        self._live: dict[str, _File] = {self._root: self._top}
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        path = event.path
        file = self._live.get(path)
        match event.kind:
            case "create" | "mkdir":
                if file is None:
                    self._enter(path, _File(folder=event.kind == "mkdir"), event.ended)
            case "append" | "write" if file is not None:
                offset = file.size if event.kind == "append" else event.offset
                file.changes.append(_Change(event.ended, offset, event.data, appended=event.kind == "append"))
                file.size = max(file.size, offset + len(event.data))
            case "truncate" if file is not None:
                file.changes.append(_Change(event.ended, event.offset))
                file.size = event.offset
            case "allocate" if file is not None:
                if event.offset > file.size:
                    file.changes.append(_Change(event.ended, event.offset))
                    file.size = event.offset
            case "link" | "rename" if file is not None:
                self._enter(event.other, file, event.ended)
                if event.kind == "rename":
                    for inner in [name for name in self._live if name.startswith(f"{path}/")]:
                        self._live[event.other + inner[len(path) :]] = self._live.pop(inner)
                    self._leave(path, event.ended)
            case "unlink" | "rmdir" if file is not None:
                self._leave(path, event.ended)
            case "sync" if file is not None:
                for change in file.changes:
                    if change.ended <= event.began:
                        change.certain = min(change.certain, event.ended)
            case _:
                pass  # a file from outside of the folder, or one that has no name any more

    def _enter(self, path: str, file: _File, ended: float) -> None:
        self._live[path] = file
        self._change_name(path, file, ended)

    def _leave(self, path: str, ended: float) -> None:
        del self._live[path]
        self._change_name(path, None, ended)

    def _change_name(self, path: str, file: _File | None, ended: float) -> None:
        parent, _, name = path.rpartition("/")
        if path != self._root:
            self._live[parent].changes.append(_Change(ended, name=name, file=file))

    def image(self, moment: float, target: Path, chance: random.Random, kept: float) -> None:
        """Write what is there at ``moment`` into ``target``, a new folder. ``kept``: how likely each uncertain change is there."""
        _write_folder(self._top, moment, target, chance, kept)


def _there(change: _Change, moment: float, chance: random.Random, kept: float) -> bool:
    return change.certain <= moment or (change.ended <= moment and chance.random() < kept)


def _write_folder(folder: _File, moment: float, target: Path, chance: random.Random, kept: float) -> None:
    target.mkdir(mode=0o700)
    names: dict[str, _File] = {}
    for change in folder.changes:
        if _there(change, moment, chance, kept):
            if change.file is None:
                names.pop(change.name, None)
            else:
                names[change.name] = change.file
    for name, file in names.items():
        if file.folder:
            _write_folder(file, moment, target / name, chance, kept)
        else:
            (target / name).write_bytes(_content(file, moment, chance, kept))
            (target / name).chmod(0o600)


def _content(file: _File, moment: float, chance: random.Random, kept: float) -> bytes:
    content = bytearray()
    ended = False  # what was appended behind something lost is lost as well
    for change in file.changes:
        certain = change.certain <= moment
        if change.ended > moment and not certain:
            continue
        there = certain or chance.random() < kept
        if change.appended and not certain:
            ended = ended or not there
            there = not ended
        if change.data is None:
            if there:
                del content[change.offset :]
                content.extend(bytes(change.offset - len(content)))
        elif certain or (there and kept >= 1):
            _put(content, change.offset, change.data)
        elif there:
            for start in range(0, len(change.data), SECTOR):
                if change.appended or chance.random() < kept:
                    _put(content, change.offset + start, change.data[start : start + SECTOR])
    return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
