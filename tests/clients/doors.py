"""Doors: ports that lead to one worker each, so that a test knows who answers. For unmodified clients, as another endpoint.

Which worker has accepted a connection is told by Linux: the connection's socket is among the files of one process. Never imports the
server's own code.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.clients.house import PATIENCE, Server
from tests.processes import children

_TRIES = 200  # connections, each of which may come to any worker
_PIECE = 1 << 16


def workers(server: Server) -> list[int]:
    """The processes that listen on the server's port."""
    assert server.process is not None
    deadline = time.monotonic() + PATIENCE
    while True:
        listening = {inode for local, _, state, inode in _connections() if local == server.port and state == "0A"}
        found = sorted(pid for pid in children(server.process.pid) if listening & _sockets(pid))
        if len(found) >= server.workers:
            return found
        assert time.monotonic() < deadline, f"{len(found)} workers listen"
        time.sleep(0.02)


def doors(server: Server) -> list[Door]:
    """One for each worker; close them."""
    pids = workers(server)
    return [Door(server, pid, pids) for pid in pids]


class Door:
    def __init__(self, server: Server, pid: int, pids: list[int]) -> None:
        self.pid = pid
        self._pids = pids
        self._port = server.port
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                outer, _ = self._listening.accept()
            except OSError:
                return
            inner = self._connect()
            self._open += [outer, inner]
            for source, target in ((outer, inner), (inner, outer)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        """A connection to this door's worker: those that came to another one are dropped."""
        for _ in range(_TRIES):
            made = socket.create_connection(("127.0.0.1", self._port), 10)
            if self._who_has(made) == self.pid:
                made.settimeout(None)
                return made
            made.close()
        raise AssertionError(f"no connection came to worker {self.pid}")

    def _who_has(self, made: socket.socket) -> int:
        port = made.getsockname()[1]
        deadline = time.monotonic() + PATIENCE
        while True:
            for local, remote, _, inode in _connections():
                if (local, remote) == (self._port, port) and inode != "0":  # else nobody has accepted it yet
                    for pid in self._pids:
                        if inode in _sockets(pid):
                            return pid
            assert time.monotonic() < deadline, "nobody accepts the connection"
            time.sleep(0.002)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_PIECE):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _connections() -> list[tuple[int, int, str, str]]:
    """Local port, remote port, state and inode of each IPv4 socket of the machine."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(int(line[1][-4:], 16), int(line[2][-4:], 16), line[3], line[9]) for line in lines]


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets of a process."""
    found: set[str] = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(Path(entry.path).readlink().name.removeprefix("socket:[").removesuffix("]"))
    return found
