"""The key-use record of one worker: uses are taken in at once and written by a thread, once a second, as lines of a chain of its own.

A use costs the request an append to a queue. What waits is bounded; when it cannot be written, no key may be used (``full``). On a full
disk it goes on in room that was kept for it, and then for what is read alone. After ``close`` every use is on the disk. Never knows
what a use means, nor who reads the record (``key_use_audit``).
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from strongroom.kms.key_use import KeyUse
from strongroom.kms.key_use_chain import Chain, ChainError, Head
from strongroom.kms.key_use_lines import FORMAT, Last, Lines, Served
from strongroom.kms.records import moment
from strongroom.store.descriptors import write_whole
from strongroom.store.reserve import USES, Reserve, is_full

if TYPE_CHECKING:
    from datetime import datetime

    from strongroom.kms.key_use import Alike

FOLDER: Final = "key-use"  # in the data folder
FILE_NAME: Final = re.compile(r"([0-9a-f]{20})-([0-9]{6})\.jsonl")
HEAD_SUFFIX: Final = ".head"
FLUSH_SECONDS: Final = 1.0
FILE_BYTES: Final = 64 << 20
FILE_SECONDS: Final = 86_400.0
MOST_WAITING: Final = 32_768  # uses; each about a kilobyte
_HURRY: Final = 4096  # waiting uses at which the thread does not wait for its second to end
_TOGETHER: Final = 256  # uses that are written together, so that those with much in common share a line
#: What whoever reads needs: these go on while the disk is full. What makes keys for new data would only use up the room.
_READING: Final = frozenset({"Decrypt", "Verify", "VerifyMac"})
_OTHERS: Final = 256  # heads of other chains that a file's first line names, the newest
#: Is told, by the thread, of lines that are on the disk now: the last use of each, and the chain.
Written = Callable[[Sequence[Last], str], None]
_LOG: Final = structlog.get_logger("strongroom.kms")


class KeyUseRecord:
    """One per worker. ``key_use_key``: 32 bytes the server derived from its root key; ``now_ms`` gives the time, ``random`` bytes.

    Raises OSError when the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        key_use_key: bytes,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes] = os.urandom,
        *,
        file_bytes: int = FILE_BYTES,
        file_seconds: float = FILE_SECONDS,
        flush_seconds: float = FLUSH_SECONDS,
        reserve: Reserve | None = None,
        written: Written | None = None,
    ) -> None:
        self._reserve = reserve or Reserve()
        self._written = written
        self._folder = folder / FOLDER
        self._key = key_use_key
        self._now_ms = now_ms
        self._file_bytes = file_bytes
        self._file_ms = int(file_seconds * 1000)
        self._flush_seconds = flush_seconds
        # How many uses were taken in as ``served``; whoever counts others may add them.
        self.calls: dict[tuple[str, ...], float] = {}  # of KMS, by operation and cause
        self.hits: dict[tuple[str, ...], float] = {}  # of keys in memory, by operation
        self._lines = Lines()
        self._waiting: deque[KeyUse | Served] = deque()
        self._batch: list[KeyUse | Served] = []  # taken from the queue and not on the disk yet
        self._failing = False  # what waits cannot be written, or not any more
        self._wake = threading.Event()
        self._stopping = False
        self._chain = Chain.begin(key_use_key, f"{now_ms():012x}{random(4).hex()}")
        self._headed = 0  # the count that the head on the disk tells
        self._number = 0
        self._descriptor = -1
        self._size = 0
        self._since_ms = 0
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._with_room(self._begin)
        _sync_folder(self._folder)  # a power cut may leave an older head, but never none
        self._thread = threading.Thread(target=self._run, name="key-use", daemon=True)
        self._thread.start()

    # --- for the rooms above

    @property
    def chain_id(self) -> str:
        return self._chain.chain_id

    def sealed_head(self) -> bytes:
        """How far the chain has come on the disk, sealed, for whoever keeps it elsewhere."""
        chain = self._chain  # the thread puts another in its place
        return Head(chain.chain_id, chain.count, chain.head.hex()).seal(self._key)

    def used(self, use: KeyUse) -> None:
        self._waiting.append(use)
        if len(self._waiting) == _HURRY:
            self._wake.set()

    def served(self, alike: Alike, at: datetime, resource: str, version: str, request_id: str, source_ip: str) -> bool:
        """As ``full`` and ``used``, of a use that needed no question: whole it is made by the thread. False: it was not taken in."""
        waiting = self._waiting
        count = len(waiting)
        if self._failing or count >= MOST_WAITING or (alike.operation not in _READING and self._reserve.given & USES):
            return False
        waiting.append((alike, at, resource, version, request_id, source_ip))
        if count + 1 == _HURRY:
            self._wake.set()
        counts, labels = self.calls if alike.kms_called else self.hits, alike.labels
        counts[labels] = counts.get(labels, 0) + 1
        return True

    @property
    def waiting(self) -> int:
        """Uses that are not on the disk yet."""
        return len(self._waiting) + len(self._batch)

    def full(self, operation: str, /) -> bool:
        if self._failing or len(self._waiting) >= MOST_WAITING:
            return True
        return self._reserve.given & USES != 0 and operation not in _READING

    def close(self) -> None:
        """Write what waits and the last line of the chain. Waits for the disk; raises OSError when it could not be written."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._failing = True  # whatever is asked from now on could not be recorded
        try:
            self._with_room(partial(self._flush, last=True))
        finally:
            os.close(self._descriptor)

    # --- the thread

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            try:
                self._with_room(self._flush)
            except Exception as error:  # noqa: BLE001 - whatever it is: what cannot be recorded must not go on unseen
                if not self._failing:
                    _LOG.error("key uses cannot be recorded: no KMS key is used until they can be", exc_info=error)
                self._failing = True
            else:
                self._failing = False

    def _begin(self) -> None:
        if self._descriptor < 0:
            self._open_file()
        self._write_head()

    def _with_room(self, write: Callable[[], None]) -> None:
        """Once more, on a full disk, in the room that is kept for the record. ``write`` can be done again when it failed."""
        try:
            write()
        except OSError as error:
            if not is_full(error):
                raise
            self._reserve.give(USES)
            write()

    def _flush(self, *, last: bool = False) -> None:
        """On any failure the file, the chain and what waits are as they were."""
        self._batch += [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not self._batch and not last and self._headed == self._chain.count:
            return
        if self._size >= self._file_bytes or self._now_ms() - self._since_ms >= self._file_ms:
            self._open_file()
        chain = self._chain.copy()
        lines: list[bytes] = []
        lasts: list[Last] = []
        for start in range(0, len(self._batch), _TOGETHER):
            bodies, told = self._lines.of(chain.count + 1, self._batch[start : start + _TOGETHER])
            lines.append(chain.add(bodies))
            lasts += told
        data = b"".join(lines)
        if last:
            data += chain.seal({"kind": "end", "time": self._lines.time(moment(self._now_ms()))})
        if data:
            self._append(data, chain)
            self._batch = []
            if self._written is not None:
                self._written(lasts, chain.chain_id)
        self._write_head()

    def _append(self, data: bytes, chain: Chain) -> None:
        """On the disk when this returns; otherwise nothing of it is in the file."""
        try:
            write_whole(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)
        self._chain = chain

    def _open_file(self) -> None:
        """The next file of the chain, begun by a line that names how far the other chains have come."""
        path = self._folder / f"{self._chain.chain_id}-{self._number + 1:06d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        before = self._descriptor, self._size
        self._descriptor, self._size = descriptor, 0
        now_ms = self._now_ms()
        chain = self._chain.copy()
        entry: dict[str, Any] = {
            "kind": "file",
            "time": self._lines.time(moment(now_ms)),
            "format": FORMAT,
            "chain": chain.chain_id,
            "file": self._number + 1,
            "process": os.getpid(),
            "heads": self._other_heads(),
        }
        try:
            self._append(chain.seal(entry), chain)
            _sync_folder(self._folder)
        except OSError:
            self._descriptor, self._size = before
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        if before[0] >= 0:
            os.close(before[0])
        self._number += 1
        self._since_ms = now_ms

    def _other_heads(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for path in sorted(self._folder.glob(f"*{HEAD_SUFFIX}"), reverse=True)[:_OTHERS]:
            if path.stem == self._chain.chain_id:
                continue
            try:
                head = Head.open(self._key, path.stem, path.read_bytes())
            except (OSError, ChainError):
                continue  # the audit finds it
            found[head.chain_id] = [head.count, head.hash]
        return found

    def _write_head(self) -> None:
        """Whole or not at all; never ahead of the file."""
        path = self._folder / f"{self._chain.chain_id}{HEAD_SUFFIX}"
        fresh = path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_whole(descriptor, self.sealed_head())
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(path)
        self._headed = self._chain.count


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
