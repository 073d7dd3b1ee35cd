"""Worker processes: granian's parent, made to exchange its workers without losing a connection.

granian reads certificates when a worker starts and cannot read them again, so new ones come with new workers. Each worker's
listening socket belongs to the parent and outlives it: a new worker takes over the socket of the old one, connections that
wait in its queue are answered by the new one, and the old one ends when its last request does. Never knows what is served.
"""

# pyright: reportUnknownMemberType=false
# granian's classes are typed in part.

from __future__ import annotations

import multiprocessing
import multiprocessing.reduction
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import structlog
from granian._granian import ListenerSpec
from granian.server.mp import MPServer

from strongroom.startup import StartError

_START_SECONDS: Final = 60.0  # how long a new worker may take to open its rooms
_ENOUGH: Final = 5.0  # seconds for a worker that failed to start to go away
_LOG = structlog.get_logger("strongroom.server")

_Process = Any  # granian's WorkerProcess, whose methods have no types
#: What granian calls in a new worker process; the worker tells through the connection that it serves.
Loader = Callable[[Connection], Callable[..., Any]]
#: Reads the certificate anew and gives what granian's workers are told of it. Raises StartError when the files are no good.
Renew = Callable[[], "tuple[str, str] | None"]


class _Inherited:
    """An open descriptor that a spawned process has under the same number, and that nothing in it closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _Inherited._again, (multiprocessing.reduction.DupFd(self._descriptor), self._descriptor)

    @staticmethod
    def _again(_passed: object, descriptor: int) -> _Inherited:
        return _Inherited(descriptor)


class Workers(MPServer):
    """``serve`` it with a ``Loader``. SIGHUP and ``ask_to_renew`` exchange the workers one after the other."""

    def __init__(self, *args: Any, renew: Renew, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._renew = renew
        self._sockets: list[Any] = []  # granian's holders: their descriptors stay open until the process ends
        self._retired: list[_Process] = []  # told to end, and finishing what they have begun

    def ask_to_renew(self) -> None:
        self.reload_signal = True
        self.main_loop_interrupt.set()

    # ------------------------------------------------------------------------------------------------------------ sockets

    def _init_shared_socket(self) -> None:
        """One socket for each worker, all on the same port: the system spreads new connections over them."""
        self._ssp = self._shd = self._sso = None
        self._sockets = [ListenerSpec(self.bind_addr, self.bind_port, self.backlog).build() for _ in range(self.workers)]

    def _drop_shared_socket(self) -> None:
        """They are closed at the end of the process, which is near."""

    # ------------------------------------------------------------------------------------------------------------ workers

    def _start(self, idx: int, target: Any, loader: Loader, *, watched: bool) -> tuple[_Process, Connection]:
        """A new worker on the socket of its place; ``watched``: its death is noticed and made good."""
        told, tells = multiprocessing.Pipe(duplex=False)
        held = self._sockets[idx]
        self._shd, self._sso = held, _Inherited(held.get_fd())
        worker: _Process = self._spawn_worker(idx=idx, target=target, callback_loader=partial(loader, tells))
        worker.interrupt_by_parent = not watched
        worker.start()
        tells.close()
        return worker, told

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        for idx in range(self.workers):
            worker, told = self._start(idx, spawn_target, target_loader, watched=True)
            told.close()
            self.wrks.append(worker)

    def _respawn_workers(self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0) -> None:  # noqa: ARG002 - granian's
        """A dead worker is replaced at once, a living one when its successor serves."""
        self._retired = [worker for worker in self._retired if worker.is_alive()]
        for idx in workers:
            old: _Process = self.wrks[idx]
            if not old.is_alive():
                self.respawned_wrks[idx] = time.monotonic()
                self.wrks[idx], told = self._start(idx, spawn_target, target_loader, watched=True)
                told.close()
            elif not self._exchange(idx, spawn_target, target_loader):
                return

    def _exchange(self, idx: int, target: Any, loader: Loader) -> bool:
        """False when the successor does not serve, or the server is to stop: then the old worker goes on."""
        successor, told = self._start(idx, target, loader, watched=False)
        with told:
            serves = self._serves(successor, told)
        successor.interrupt_by_parent = not serves
        if not serves or not successor.is_alive():
            successor.terminate()
            self._retired.append(successor)
            if not self.interrupt_signal:
                _LOG.error("a new worker did not start; those that run go on", worker=idx + 1)
                successor.join(_ENOUGH)
                if successor.is_alive():
                    successor.kill()
            return False
        old: _Process = self.wrks[idx]
        self.wrks[idx] = successor
        old.terminate()
        self._retired.append(old)
        return True

    def _serves(self, worker: _Process, told: Connection) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while not self.interrupt_signal and time.monotonic() < deadline and worker.is_alive():
            if told.poll(0.1):
                try:
                    return bool(told.recv_bytes(1))
                except (EOFError, OSError):
                    return False
        return False

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        try:
            files = self._renew()
        except StartError as error:
            self.reload_signal = False
            self.main_loop_interrupt.clear()
            _LOG.error("the certificate was not read anew; the one in use stays", why=str(error))
        else:
            if files is not None:
                enabled, _, _, *rest = self.ssl_ctx
                setattr(self, "ssl_ctx", (enabled, *files, *rest))  # noqa: B010 - what granian infers of it is too narrow
            super()._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]
            _LOG.info("workers were exchanged")
        if self.interrupt_signal or self.interrupt_children:  # pyright: ignore[reportUnknownMemberType] - granian does not say of what
            self.main_loop_interrupt.set()  # what came while it was cleared

    def _stop_workers(self) -> None:
        self.wrks.extend(worker for worker in self._retired if worker.is_alive())
        super()._stop_workers()  # type: ignore[no-untyped-call]


def watch(stamp: Callable[[], object], changed: Callable[[], None], seconds: float) -> None:
    """In a thread of its own, as long as the process lives: call ``changed`` when the stamp has changed and is at rest."""

    def work() -> None:
        known = stamp()
        while True:
            time.sleep(seconds)
            if stamp() == known:
                continue
            known = stamp()
            time.sleep(seconds)
            while (later := stamp()) != known:  # certificate and key are rarely replaced in one moment
                known = later
                time.sleep(seconds)
            changed()

    threading.Thread(target=work, daemon=True).start()


def tell_that_it_serves(tells: Connection) -> None:
    """In the worker, once. A parent that did not wait has closed its end."""
    try:
        tells.send_bytes(b"\1")
    except OSError:
        pass
    finally:
        tells.close()
