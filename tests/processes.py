"""Looking at processes that tests have started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """All below a process, whoever ends meanwhile left out."""
    found: list[int] = []
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                for child in (task / "children").read_text().split():
                    found += [*children(int(child)), int(child)]
    return found


def command_line(pid: int) -> bytes:
    """Empty when the process has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
