"""How far a long command is, on standard error: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY: Final = 10.0  # seconds between plain lines
_STEP: Final = 0.1  # seconds between looks at the terminal


class Far:
    """A context. ``to`` may be called as often as one likes."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._last = time.monotonic()
        self._bar: Progress | None = _bar() if sys.stderr.isatty() else None
        if self._bar is not None:
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


def _bar() -> Progress:
    from rich import progress  # here, because most commands have no need to wait for it
    from rich.console import Console

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # lines of the report appear above the bar; a pipe stays a pipe
    )
