"""What is served in the tests: the tiny room behind a listener. Started as a program: ``served.py PORT``."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvloop

from strongroom.edge.gate import EdgeSettings
from strongroom.edge.listener import Listener
from strongroom.edge.pages import Pages
from strongroom.edge.stall import Pace
from tests.edge.tiny import tiny_gate


async def _serve(port: int) -> None:
    gate, room = tiny_gate(settings=EdgeSettings(pace=Pace(idle=1.0)))
    room.objects.update({"stream": b"s" * 100_000, "stream-fails": b"f" * 100_000, "stream-short": b"h" * 100_000})

    async def ready() -> bool:
        await asyncio.sleep(0)
        return True

    with socket.create_server(("127.0.0.1", port)) as listening:
        await Listener(listening, Pages(gate.handle, ready).handle, drain_seconds=0.5).listen()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
