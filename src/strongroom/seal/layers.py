"""How the streams of one object are built: which constructions lie around one another, each under a data key of its own.

One layer, or with DSSE-KMS two. Whoever seals, opens or plans a range asks here and need not know how many there are. Never knows
where data keys come from or how they are wrapped. ``docs/spec/at-rest.md`` sections 3 and 3.1.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from strongroom.seal import Truncated
from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.format import Piece, outer_associated_data, stream_associated_data
from strongroom.seal.segments import HEADER, Span
from strongroom.seal.stream import GCM_HKDF, Construction, Data, Opener, Sealer, open_whole, seal

#: Buffers for what lies between two layers while it is opened: ciphertext of the inner one. They need not be made anew each time.
_BETWEEN: Final[deque[bytearray]] = deque(maxlen=4)


def _between(size: int) -> bytearray:
    try:
        buffer = _BETWEEN.pop()
    except IndexError:
        return bytearray(size)
    return buffer if len(buffer) >= size else bytearray(size)


@dataclass(frozen=True, slots=True)
class Layer:
    construction: Construction
    associated_data: Callable[[str, int], bytes]  # of the stream in that blob, with that part number
    data_key: bytes = field(repr=False)  # 32 bytes

    def bound(self, piece: Piece) -> bytes:
        return self.associated_data(piece.blob_id, piece.part_number)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a range of a piece: the sealed bytes to fetch, and each layer's span of them."""

    spans: tuple[Span, ...]  # innermost first

    @property
    def offset(self) -> int:
        return self.spans[-1].offset

    @property
    def length(self) -> int:
        return self.spans[-1].length


class Layers:
    """The open data keys of one object: ``inner`` of the stream over the plaintext, ``outer`` of the one around that, if any."""

    __slots__ = ("inner", "outer")

    def __init__(self, inner: bytes, outer: bytes | None = None) -> None:
        self.inner = inner
        self.outer = outer

    @property
    def _layers(self) -> tuple[Layer, ...]:
        """Innermost first."""
        innermost = Layer(GCM_HKDF, stream_associated_data, self.inner)
        return (innermost,) if self.outer is None else (innermost, Layer(CTR_HMAC, outer_associated_data, self.outer))

    def sealed_size(self, plain: int) -> int:
        """Bytes on disk of a piece over ``plain`` bytes of plaintext. Raises ValueError when there is no such piece."""
        return GCM_HKDF.segments.sealed_size(plain) if self.outer is None else self._sizes(plain)[-1]

    def seal(self, blob_id: str, part_number: int, plaintext: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
        if self.outer is None:  # the hot path
            return seal(self.inner, stream_associated_data(blob_id, part_number), plaintext, random)
        for layer in self._layers:
            bound = layer.associated_data(blob_id, part_number)
            plaintext = seal(layer.data_key, bound, plaintext, random, layer.construction)
        return plaintext

    def open_whole(self, piece: Piece, sealed: Data) -> bytes:
        """The plaintext of a whole piece. Raises Forged, Truncated."""
        blob_id, part_number, size = piece
        if self.outer is None:  # the hot path
            if len(sealed) != GCM_HKDF.segments.sealed_size(size):
                raise Truncated("the stream is not as long as its manifest says")
            return open_whole(self.inner, stream_associated_data(blob_id, part_number), sealed)
        if len(sealed) != self.sealed_size(piece.size):
            raise Truncated("the stream is not as long as its manifest says")
        inner, outer = self._layers
        between = open_whole(outer.data_key, outer.bound(piece), sealed, outer.construction)
        return open_whole(inner.data_key, inner.bound(piece), between, inner.construction)

    def sealer(self, blob_id: str, part_number: int, random: Callable[[int], bytes] = os.urandom) -> LayeredSealer:
        sealers = [
            Sealer(layer.data_key, layer.associated_data(blob_id, part_number), random, layer.construction)
            for layer in self._layers
        ]
        return LayeredSealer(*sealers)

    def plan(self, plain: int, first: int, last: int) -> Plan:
        """How to read the bytes ``first`` to ``last``, inclusive, of a piece over ``plain`` bytes; as ``Segments.span``."""
        spans: list[Span] = []
        for layer, size in zip(self._layers, self._sizes(plain), strict=False):
            spans.append(layer.construction.segments.span(size, first, last))
            first, last = spans[-1].offset, spans[-1].offset + spans[-1].length - 1
        return Plan(tuple(spans))

    def head_size(self, plain: int) -> int:
        """How many of a piece's first bytes ``opener`` needs: the outermost header, and what holds the others."""
        return self._heads(plain)[-1]

    def opener(self, piece: Piece, head: bytes) -> LayeredOpener:
        """``head``: the first ``head_size`` bytes of the piece, or more. Raises Forged, Truncated."""
        sizes, heads = self._sizes(piece.size), self._heads(piece.size)
        openers: list[Opener] = []
        for depth in reversed(range(len(self._layers))):
            layer = self._layers[depth]
            openers.append(Opener(layer.data_key, layer.bound(piece), head[:HEADER], sizes[depth + 1], layer.construction))
            if depth:
                head = openers[-1].open(0, head[: heads[depth]])
        return LayeredOpener(openers)

    def _sizes(self, plain: int) -> list[int]:
        """The plaintext's, and of each layer's stream, innermost first."""
        sizes = [plain]
        for layer in self._layers:
            sizes.append(layer.construction.segments.sealed_size(sizes[-1]))
        return sizes

    def _heads(self, plain: int) -> list[int]:
        """Of each layer, how many of its first bytes hold the header of the innermost, innermost first."""
        heads = [HEADER]
        for layer, size in zip(self._layers[1:], self._sizes(plain)[1:], strict=False):
            heads.append(layer.construction.segments.span(size, 0, heads[-1] - 1).length)
        return heads


class LayeredSealer:
    """As ``stream.Sealer``."""

    __slots__ = ("_outer", "_sealer")

    def __init__(self, sealer: Sealer, outer: Sealer | None = None) -> None:
        self._sealer = sealer
        self._outer = outer

    def feed(self, data: Data) -> None:
        """More plaintext, which must stay as it is until ``take`` has returned 0. Raises ValueError."""
        self._sealer.feed(data)

    def take(self, room: memoryview) -> int:
        """Seal what is certain and fits into ``room``, from its start, in whole segments; returns how many bytes that is."""
        if self._outer is None:
            return self._sealer.take(room)
        if ready := self._sealer.ready:
            between = bytearray(ready)
            with memoryview(between) as inner:
                self._sealer.take(inner)
            self._outer.feed(between)
        return self._outer.take(room)

    def update(self, data: Data) -> bytearray:
        data = self._sealer.update(data)
        return data if self._outer is None else self._outer.update(data)

    def finish(self) -> bytes:
        """The last sealed bytes, at most a few segments, once ``take`` has returned 0."""
        rest = self._sealer.finish()
        return rest if self._outer is None else bytes(self._outer.update(rest)) + self._outer.finish()


class LayeredOpener:
    """Reads planned ranges of one piece, in any order."""

    __slots__ = ("_openers",)

    def __init__(self, openers: list[Opener]) -> None:
        self._openers = openers  # outermost first

    def twin(self) -> LayeredOpener:
        """Another one of the same piece, for another thread."""
        return LayeredOpener([opener.twin() for opener in self._openers])

    def open(self, plan: Plan, sealed: Data) -> bytes | bytearray:
        """The plaintext of a range, from the bytes that it was planned to need: a new buffer, which nothing else refers to.

        Raises Forged, Truncated.
        """
        view = memoryview(sealed)
        if len(view) != plan.length:  # whole segments may be missing at its end: those that are there would open
            raise Truncated("the piece is not as long as its manifest says")
        *outer, innermost = zip(self._openers, reversed(plan.spans), strict=True)
        used: list[bytearray] = []
        for opener, span in outer:
            size = opener.opened_size(span.first_segment, len(view))
            used.append(_between(size))
            opener.open_into(span.first_segment, view, memoryview(used[-1])[:size])
            view = memoryview(used[-1])[span.skip : span.skip + span.take]
        opener, span = innermost
        plaintext = opener.open_buffer(span.first_segment, view)
        _BETWEEN.extend(used)
        if span.take == len(plaintext):
            return plaintext
        return bytes(memoryview(plaintext)[span.skip : span.skip + span.take])
