"""How long the log of the catalog may become, and who copies it back. Never knows what is in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT: Final = 2000  # pages of log that are copied back in one go, by whoever commits then
LOG_MOST: Final = 64 << 20  # bytes: beyond, committers leave it to upkeep; it is cut to this when it begins anew
_LOG_WORST: Final = 32 * LOG_MOST  # beyond this they copy it back after all, and everybody waits: nobody else seems to do it
LOOK_EVERY: Final = 16  # commits


def log_size(path: Path) -> int:
    """Bytes of the log beside the catalog's file, which stays as long as it once was until it is cut."""
    try:
        return os.stat(f"{path}-wal").st_size  # noqa: PTH116 - paths are made for few calls
    except FileNotFoundError:
        return 0


class LogPace:
    """What ``wal_autocheckpoint`` should be, asked after each commit."""

    def __init__(self, path: Path, most: int = LOG_MOST) -> None:
        self._path = path
        self._most = most
        self._looks = 0
        self._left_alone = False
        self.short = False  # the disk is full

    @property
    def pages(self) -> int:
        if self.short:  # copied back sooner, the log begins anew sooner, and so takes less of the room there is
            return CHECKPOINT // 8
        return 0 if self._left_alone else CHECKPOINT

    def changed(self) -> bool:
        """Whether ``pages`` is another than before."""
        self._looks += 1
        if self._looks % LOOK_EVERY:
            return False
        before = self.pages
        self._left_alone = self._most < log_size(self._path) <= _LOG_WORST
        return self.pages != before
