"""What granian serves in the tests: the tiny room behind the RSGI face. Started as a program: ``served.py PORT``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from granian import Granian

from strongroom.edge.gate import EdgeSettings
from strongroom.edge.pages import Pages
from strongroom.edge.rsgi import RsgiApp
from strongroom.edge.stall import Pace
from tests.edge.tiny import tiny_gate


async def _open() -> Any:
    gate, room = tiny_gate(settings=EdgeSettings(pace=Pace(idle=1.0)))
    room.objects.update({"stream": b"s" * 100_000, "stream-fails": b"f" * 100_000, "stream-short": b"h" * 100_000})

    async def ready() -> bool:
        await asyncio.sleep(0)
        return True

    return Pages(gate.handle, ready).handle


async def _close() -> None:
    pass


app = RsgiApp(_open, _close, drain_seconds=0.5)

if __name__ == "__main__":
    Granian("tests.edge.served:app", "127.0.0.1", int(sys.argv[1]), interface="rsgi", workers=1, websockets=False).serve()  # type: ignore[arg-type]
