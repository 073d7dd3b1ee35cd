"""The command ``strongroom`` as an operator runs it, with whatever it prints and however it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from queue import Empty, Queue
from typing import Self
from unittest import mock

from tests.processes import children, command_line

COMMAND = [sys.executable, "-m", "strongroom"]
ROOT = {
    "STRONGROOM_ROOT_ACCESS_KEY_ID": "AKIAROOTROOTROOTROOT",
    "STRONGROOM_ROOT_SECRET_ACCESS_KEY": "root/secret+0123456789abcdefghijklmnopqr",
    "STRONGROOM_ACCOUNT_ID": "111122223333",
}


def run(*words: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def here(*words: object, answer: str = "") -> subprocess.CompletedProcess[str]:
    """As ``run``, within this process: what takes a second there takes a moment here. ``answer`` is standard input."""
    from strongroom.cli.main import main

    mask = os.umask(0o077)
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.multiple(sys, argv=["strongroom", *map(str, words)], stdin=io.StringIO(answer)),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            os.umask(mask)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


class Serving:
    """A running ``strongroom serve``; use it as a context. Stopped roughly if the test did not stop it."""

    def __init__(self, folder: Path, *words: str, environ: dict[str, str] | None = None, listen: str = "127.0.0.1:0") -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", str(folder), "--listen", listen, *words],
                env={**os.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.printed: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            for line in out:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def __enter__(self) -> Self:
        while True:
            try:
                line = self._lines.get(timeout=30)
            except Empty:
                line = None
            if line is None:
                self.__exit__()
                raise AssertionError(f"not ready; it said: {self.log.read_text()[-3000:]}")
            self.printed.append(line)
            if line.startswith("ready "):
                self.url = line.removeprefix("ready ")
                self.port = int(self.url.rpartition(":")[2])
                return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
        self._reader.join(20)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit status."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._reader.join(20)
        return status

    def workers(self) -> list[int]:
        """Process ids."""
        return [child for child in children(self.process.pid) if b"spawn_main" in command_line(child)]
