"""How far a long command is, on standard error: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_EVERY: Final = 10.0  # seconds between plain lines
_STEP: Final = 0.1  # seconds between looks at the terminal


class Far:
    """A context. ``to`` may be called as often as one likes."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # lines of the report appear above the bar; a pipe stays a pipe
            )
            self._task = self._bar.add_task(title, total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int, total: int | None, where: str = "") -> None:
        now = time.monotonic()
        if now - self._last < (_EVERY if self._bar is None else _STEP):
            return
        self._last = now
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._title} {where}".rstrip())
            return
        of = "" if total is None else f" of {total}"
        typer.echo(f"{self._title}: {done}{of} {where}".rstrip(), err=True)
