"""Starts and stops the two servers of a run, and looks at their memory. Never knows a request.

Each is a process group of its own on a free loopback port; its log goes to a file whose end is shown when it fails.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, Self

from load import BenchError

ROOT: Final = Path(__file__).resolve().parent.parent
PATIENCE: Final = 30.0  # seconds until a server answers


@dataclass(slots=True)
class Server:
    """One running server; use it as a context."""

    name: str
    command: list[str]
    host: str  # 127.0.0.1:PORT
    probe: str  # path that answers 200 when it is ready
    log: Path
    environ: dict[str, str] = field(repr=False)
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start(subprocess.DEVNULL)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, stdout: int) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=output,
                start_new_session=True,
            )
        return self.process

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        name, _, port = self.host.rpartition(":")
        while time.monotonic() < deadline and self.process.poll() is None:
            connection = HTTPConnection(name, int(port), timeout=2)
            try:
                connection.request("GET", self.probe)
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise BenchError(f"{self.name} did not start:\n{self.tail()}")

    def seconds_to_ready(self) -> tuple[float, float]:
        """Start it, wait for the line that says so on its standard output, see that it answers, and stop it: seconds until that
        line, and of processor time until then. Raises BenchError.
        """
        started = time.perf_counter()
        process = self._start(subprocess.PIPE)
        assert process.stdout is not None
        try:
            with process.stdout as said:
                if not any(line.startswith(b"ready ") for line in said):
                    raise BenchError(f"{self.name} did not say that it is ready:\n{self.tail()}")
                seconds = time.perf_counter() - started
                used = self.processor_seconds()
            self._wait()
        finally:
            self.stop()
        return seconds, used

    def tail(self) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:])

    def stop(self) -> None:
        """SIGTERM, and whatever is left of its group after 15 s is killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def peak_mib(self) -> float:
        """The most resident memory that any process of the server ever had (VmHWM), in MiB."""
        assert self.process is not None
        return max(_peak_kib(pid) for pid in _family(self.process.pid)) / 1024

    def processor_seconds(self) -> float:
        """What all processes of the server have used of the processor so far."""
        assert self.process is not None
        return sum(_ticks(pid) for pid in _family(self.process.pid)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Account:
    access_key_id: str = field(default_factory=lambda: f"AKIA{secrets.token_hex(8).upper()}")
    secret_access_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


def bare(folder: Path) -> Server:
    host = _free_host()
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "rsgi",
        "--loop",
        "uvloop",
        "--workers",
        "1",
        "--http",
        "1",
        "--no-ws",
    ]
    command += ["--log-level", "warning", "--host", "127.0.0.1", "--port", host.rpartition(":")[2], "bare:app"]
    given = environ() | {"PYTHONPATH": str(Path(__file__).parent)}
    return Server("the bare worker", command, host, "/", folder / "bare.log", given)


def strongroom(folder: Path, account: Account, workers: int = 1, **settings: str) -> Server:
    """Workers on ``folder/data``; but for ``settings``, everything else as an operator gets it."""
    host = _free_host()
    command = [sys.executable, "-m", "strongroom", "serve", str(folder / "data"), "--listen", host, "--workers", str(workers)]
    given = environ() | {
        "STRONGROOM_ROOT_ACCESS_KEY_ID": account.access_key_id,
        "STRONGROOM_ROOT_SECRET_ACCESS_KEY": account.secret_access_key,
        "STRONGROOM_ACCOUNT_ID": "111122223333",
        **{f"STRONGROOM_{name.upper()}": value for name, value in settings.items()},
    }
    return Server("strongroom", command, host, "/-/ready", folder / "strongroom.log", given)


def moto(folder: Path) -> Server:
    """Moto's server, from its own environment. It keeps everything in memory. Raises BenchError where it is not installed."""
    program = ROOT / ".venv-bench" / "bin" / "moto_server"
    if not program.exists():
        raise BenchError("moto's server is not installed: run  make bench ENDPOINTS=moto")
    host = _free_host()
    command = [str(program), "--host", "127.0.0.1", "--port", host.rpartition(":")[2]]
    return Server("moto's server", command, host, "/moto-api/", folder / "moto.log", environ())


def environ() -> dict[str, str]:
    """Ours, without what would configure the servers behind the run's back, or have them compile their modules at each start."""
    foreign = ("STRONGROOM_", "GRANIAN_", "MOTO_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _free_host() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def _family(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _peak_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _ticks(pid: int) -> int:
    """User and system time of a process, threads included (proc_pid_stat(5), fields 14 and 15)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
