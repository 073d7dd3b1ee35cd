"""A request body, readable only through its verifier: counted, decoded, digested and held to every promise of the head.

Satisfies ``api.operation.Body``. Never knows what the payload is or where it goes. Digests of long bodies are computed in
threads while the consumer already works on the part; MD5, the slowest, has a lane of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from strongroom.api.digests import QUICK, Digests, digests_of
from strongroom.api.errors import ApiError
from strongroom.edge.chunked import ChunkDecoder, ChunkSigner
from strongroom.edge.head import RawBody
from strongroom.edge.limits import INLINE_MOST, PIECE, SMALL_PART
from strongroom.edge.promises import HEADERS, Promises, is_digest
from strongroom.edge.sigv4 import STREAMING_SIGNED, STREAMING_UNSIGNED_TRAILER
from strongroom.edge.stall import Pace, Stall
from strongroom.edge.turns import Turn

if TYPE_CHECKING:
    from strongroom.api.operation import BodyPart

_THREADS: Final = ThreadPoolExecutor(max_workers=min(16, (os.cpu_count() or 1) + 2), thread_name_prefix="digest")


class RequestBody:
    """See ``api.operation.Body``; ``close`` when the answer is ready, whatever has been read."""

    def __init__(self, raw: RawBody, promises: Promises, pace: Pace, signer: ChunkSigner | None = None) -> None:
        """``signer``: what aws-chunked chunks are signed with, when the promised coding signs them."""
        self._raw = raw
        self._promises = promises
        self._chunks = _decoder(promises, signer)
        self._pace = pace
        self.turn: Turn | None = None  # by which what arrives of a long body moves on; None: at once
        self._wanted = promises.digests
        self._digests: dict[str, bytes] = {}
        self._pieces: AsyncGenerator[BodyPart, None] | None = None
        self._claimed: tuple[str, str] | None = None
        self._received = 0  # bytes as sent
        self._payload = 0  # bytes after decoding
        self.started = False  # something was read from the connection
        self.ended = False  # all of it was read, and verified

    @property
    def length(self) -> int | None:
        return self._promises.length

    def want(self, *algorithms: str) -> None:
        self._wanted.update(algorithms)

    def digest(self, algorithm: str) -> bytes:
        """Raises LookupError before the end, and for a digest nobody wanted or claimed."""
        return self._digests[algorithm]

    @property
    def claimed_checksum(self) -> tuple[str, str] | None:
        return self._claimed

    def __aiter__(self) -> AsyncIterator[BodyPart]:
        self._start()
        self._pieces = self._one_piece() if self._is_short else self._stream()
        return self._pieces

    async def read(self, limit: int, code: str = "EntityTooLarge") -> bytes:
        """The whole payload. Raises ApiError ``code`` when it exceeds ``limit`` bytes, and what reading raises."""
        length = self._promises.length
        if length is not None and length > limit:
            raise _too_large(code, limit)
        if self._is_short:
            self._start()
            data = await self._whole()
            if len(data) > limit:
                raise _too_large(code, limit)
            return data
        parts: list[BodyPart] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > limit:
                raise _too_large(code, limit)
            parts.append(part)
        return b"".join(parts)

    def _start(self) -> None:
        if self.started:
            raise RuntimeError("a body can be read once")
        self.started = True

    async def close(self) -> None:
        """Stop digesting what nobody reads any more."""
        if self._pieces is not None and not self.ended:
            await self._pieces.aclose()

    # -------------------------------------------------------------------------------------------------------- short bodies

    @property
    def _is_short(self) -> bool:
        wire = self._promises.wire_length
        return wire is not None and wire <= INLINE_MOST

    async def _whole(self) -> bytes:
        """All of a short body, verified."""
        data = b""
        wire = self._promises.wire_length
        if wire:
            stall = Stall(self._pace)
            try:
                data = await stall.wait(self._raw.whole(), 0)
            finally:
                stall.end()
            self._received = len(data)
        if self._received != wire:
            raise _incomplete()
        if self._chunks is not None:
            data = b"".join(self._chunks.feed(data))
        self._payload = len(data)
        self._digests = digests_of(data, self._wanted)
        self._conclude()
        return data

    async def _one_piece(self) -> AsyncGenerator[BodyPart, None]:
        data = await self._whole()
        if data:
            yield data

    # --------------------------------------------------------------------------------------------------------- long bodies

    async def _stream(self) -> AsyncGenerator[BodyPart, None]:
        here = self._wanted & QUICK
        quick, md5 = Digests(*here), {"md5"} & self._wanted
        lanes = [_Lane(Digests(*names)) for names in (md5, self._wanted - md5 - here) if names]
        try:
            async with aclosing(self._decoded()) as parts:
                async for part in parts:
                    self._payload += len(part)
                    for lane in lanes:
                        await lane.put(part)
                    quick.update(part)
                    yield part
            for lane in lanes:
                await lane.finish()
            for digests in (quick, *(lane.digests for lane in lanes)):
                self._digests |= {name: digests.digest(name) for name in digests.algorithms}
            self._conclude()
        finally:
            for lane in lanes:
                lane.cancel()

    async def _decoded(self) -> AsyncGenerator[BodyPart, None]:
        """The payload. Chunks that are signed are verified in a thread, some of them while more arrive."""
        chunks = self._chunks
        loop = asyncio.get_running_loop()
        gathered: list[bytes | bytearray] = []
        size = 0
        verifying: asyncio.Future[list[memoryview]] | None = None
        try:
            async with aclosing(self._arriving()) as arriving:
                async for part in arriving:
                    if chunks is None:
                        yield part
                    elif not chunks.signed:
                        for decoded in chunks.feed(part):
                            yield decoded
                    else:
                        gathered.append(part)
                        size += len(part)
                        if size >= PIECE:
                            for decoded in () if verifying is None else await verifying:
                                yield decoded
                            verifying = loop.run_in_executor(_THREADS, chunks.feed_all, gathered)
                            gathered, size = [], 0
            for decoded in () if verifying is None else await verifying:
                yield decoded
            if chunks is not None and gathered:
                verifying = loop.run_in_executor(_THREADS, chunks.feed_all, gathered)
                for decoded in await verifying:
                    yield decoded
        finally:
            if verifying is not None:
                verifying.cancel()

    async def _arriving(self) -> AsyncGenerator[bytes | bytearray, None]:
        """The bytes as sent, counted. Small parts are put together: each of them has its price in all that follows."""
        raw = self._raw.__aiter__()
        turn = self.turn
        stall = Stall(self._pace)
        small, size, ended = bytearray(), 0, False
        try:
            while not ended:
                part = b""
                try:
                    part = await stall.wait(raw.__anext__(), self._received)
                except StopAsyncIteration:
                    ended = True
                self._count(part)
                if len(part) < SMALL_PART:
                    small += part
                    if len(small) < SMALL_PART and not ended:
                        continue
                    part = b""
                size = len(small) + len(part)
                if turn is not None and size:
                    await turn.take()  # that is until the next part is asked for
                if small:
                    yield small
                    small = bytearray()
                if part:
                    yield part
                if turn is not None:
                    turn.give(size)
        finally:
            if turn is not None:
                turn.give(size)
            stall.end()

    # -------------------------------------------------------------------------------------------------------- the promises

    def _count(self, part: bytes) -> None:
        self._received += len(part)
        wire = self._promises.wire_length
        if wire is not None and self._received > wire:
            raise _incomplete()

    def _conclude(self) -> None:
        """Everything has been received and digested: hold it to the promises. Raises ApiError."""
        promises = self._promises
        if promises.wire_length is not None and self._received != promises.wire_length:
            raise _incomplete()
        if self._chunks is not None:
            self._chunks.finish()
        if promises.length is not None and self._payload != promises.length:
            raise _incomplete()
        if promises.sha256 is not None and not hmac.compare_digest(self._digests["sha256"].hex(), promises.sha256):
            raise ApiError(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=promises.sha256,
                S3ComputedContentSHA256=self._digests["sha256"].hex(),
            )
        if promises.md5 is not None:
            calculated = base64.b64encode(self._digests["md5"]).decode()
            if calculated != promises.md5:
                raise ApiError("BadDigest", CalculatedDigest=calculated, ExpectedDigest=promises.md5)
        self._check_checksum()
        self.ended = True

    def _check_checksum(self) -> None:
        promises = self._promises
        claimed = promises.checksum
        if promises.trailer is not None and self._chunks is not None:
            name = next(header for header, algorithm in HEADERS.items() if algorithm == promises.trailer)
            value = self._chunks.trailers[name]
            if not is_digest(value, promises.trailer):
                raise ApiError("InvalidRequest", f"Value for {name} trailing header is invalid.")
            claimed = (promises.trailer, value)
        if claimed is None:
            return
        algorithm, value = claimed
        if base64.b64decode(value) != self._digests[algorithm]:
            raise ApiError("BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum.")
        self._claimed = (algorithm.upper(), value)


class NoBody:
    """The body of a request that has none, whatever was read of it: satisfies ``api.operation.Body``, and holds no state."""

    __slots__ = ()
    length: int | None = 0
    started = ended = True
    claimed_checksum: tuple[str, str] | None = None

    def want(self, *algorithms: str) -> None:
        """Every digest of nothing can be had."""

    def digest(self, algorithm: str) -> bytes:
        return digests_of(b"", (algorithm,))[algorithm]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for piece in nothing:
            yield piece

    async def read(self, limit: int, code: str = "EntityTooLarge") -> bytes:  # noqa: ARG002 - nothing exceeds any limit
        return b""

    async def close(self) -> None:
        """Nothing is under way."""


NO_BODY: Final = NoBody()


def _decoder(promises: Promises, signer: ChunkSigner | None) -> ChunkDecoder | None:
    coding = promises.streaming
    if coding is None or promises.length is None:
        return None
    if coding != STREAMING_UNSIGNED_TRAILER and signer is None:  # an unsigned request cannot have signed chunks
        raise ApiError("AccessDenied")
    return ChunkDecoder(promises.length, signer, trailing=coding != STREAMING_SIGNED, declared=promises.trailers)


def _incomplete() -> ApiError:
    return ApiError("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")


def _too_large(code: str, limit: int) -> ApiError:
    return ApiError(
        code, fields={"MaxMessageLengthBytes" if code == "MaxMessageLengthExceeded" else "MaxSizeAllowed": str(limit)}
    )


class _Lane:
    """Digests of one request that are computed in a thread, while more arrives and others work on the same parts.

    Every job takes along all that has come meanwhile, so a lane that is behind asks for a thread less often.
    """

    def __init__(self, digests: Digests) -> None:
        self.digests = digests
        self._waiting: list[BodyPart] = []
        self._size = 0  # bytes of what waits
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[None] | None = None

    async def put(self, part: BodyPart) -> None:
        """Takes a part; returns when not too many are waiting. Raises what computing raised."""
        self._waiting.append(part)
        self._size += len(part)
        if self._running is not None and self._running.done():
            self._end()
        if self._running is None and self._size >= PIECE:
            self._begin()
        elif self._running is not None and self._size >= 2 * PIECE:
            await self._wait()
            self._begin()

    async def finish(self) -> None:
        """Wait until every part is digested."""
        if self._running is not None:
            await self._wait()
        if self._waiting:
            self._begin()
            await self._wait()

    def cancel(self) -> None:
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()

    def _begin(self) -> None:
        parts, self._waiting, self._size = self._waiting, [], 0
        self._running = self._loop.run_in_executor(_THREADS, self.digests.update_all, parts)

    async def _wait(self) -> None:
        if self._running is not None:
            await asyncio.wait([self._running])
            self._end()

    def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()
