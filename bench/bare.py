"""The yardstick: what granian's RSGI does when nothing is asked of it. Never knows Strongroom.

Any GET answers 4 KiB, those of the bucket ``bench-64k`` 64 KiB; ``/stream`` answers 256 MiB in pieces of 1 MiB; a PUT is read to its end.
"""

from __future__ import annotations

from typing import Any, Final

SMALL: Final = bytes(4096)
MEDIUM: Final = bytes(65536)
PIECE: Final = bytes(1 << 20)
PIECES: Final = 256

_HEADERS: Final = [("content-type", "application/octet-stream")]
_STREAM_HEADERS: Final = [*_HEADERS, ("content-length", str(len(PIECE) * PIECES))]


class Bare:
    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.method == "PUT":
            received = 0
            async for piece in protocol:
                received += len(piece)
            protocol.response_str(200, [], str(received))
        elif scope.path == "/stream":
            transport = protocol.response_stream(200, _STREAM_HEADERS)
            for _ in range(PIECES):
                await transport.send_bytes(PIECE)
        else:
            protocol.response_bytes(200, _HEADERS, MEDIUM if scope.path.startswith("/bench-64k/") else SMALL)


app = Bare()
