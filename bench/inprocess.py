"""The rooms of one worker inside this process, without a socket: what a step costs is counted in processor time of this process.

Used where the server cannot be measured without the step (its record of key uses, its sealed metadata). Never knows a measurement.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Self

from servers import Account
from signing import Signer

from strongroom import house, server
from strongroom.config import load
from strongroom.edge.head import Head
from strongroom.numbers import Numbers
from strongroom.startup import folder
from strongroom.startup.sealing import ensure_root_key

HOST = "127.0.0.1:9000"


class Raw:
    """The body of a request that has arrived."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data

    async def whole(self) -> bytes:
        return self._data


class Rooms:
    """Open with ``async with``; ``request`` is answered by the gate, as a connection would ask it."""

    def __init__(self, data: Path, account: Account | None = None, numbers: Numbers | None = None, **settings: str) -> None:
        """``account``: the root's, of a folder that is there already. ``numbers``: where requests are counted, if they are."""
        account = account or Account()
        environ = {
            "STRONGROOM_ROOT_ACCESS_KEY_ID": account.access_key_id,
            "STRONGROOM_ROOT_SECRET_ACCESS_KEY": account.secret_access_key,
            "STRONGROOM_ACCOUNT_ID": "111122223333",
            "STRONGROOM_DATA_DIR": str(data),
            **{f"STRONGROOM_{name.upper()}": value for name, value in settings.items()},
        }
        self.account = account
        self._numbers = numbers
        self.signer = Signer(HOST, account.access_key_id, account.secret_access_key)
        self.folder = data
        self._config = load({}, environ, None).config
        self.house: house.House

    async def __aenter__(self) -> Self:
        folder.prepare(self._config.data_dir)
        root_key = ensure_root_key(self._config)
        await server.first_start(self._config, root_key)
        self.house = await house.build(self._config.without_secrets(), root_key, self._numbers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.house.close()

    def head(self, method: str, bucket: str, key: str = "", size: int = 0, **query: str) -> Head:
        path, _, asked = self.signer.presigned(method, bucket, [key], **query)[0].partition("?")
        headers = {"host": HOST} | ({"content-length": str(size)} if size else {})
        return Head(method, path, None, asked, headers, "http", "127.0.0.1")

    async def request(self, head: Head, body: bytes = b"") -> bytes:
        reply = await self.house.handle(head, Raw(body))
        answer = reply.body if isinstance(reply.body, bytes) else b"".join([piece async for piece in reply.body])
        if reply.status // 100 != 2:
            raise RuntimeError(f"{head.method} {head.path} was answered {reply.status}: {answer[:300]!r}")
        return answer


async def processor_us(act: Callable[[], Awaitable[object]], times: int) -> float:
    """Microseconds of this process's processor time (all threads) for one ``act``, a mean over ``times``."""
    gc.collect()
    started = time.process_time()
    for _ in range(times):
        await act()
    return (time.process_time() - started) / times * 1e6
