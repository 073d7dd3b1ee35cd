"""Tink's Streaming AEAD: sealing and opening a stream of 64 KiB segments. AES256-GCM-HKDF-SHA256 here, other ciphers beside it.

One stream under one data key and one associated data. Never knows where the bytes lie, what they mean, or how the data key
is wrapped. ``docs/spec/at-rest.md`` section 3 is the specification; https://developers.google.com/tink/streaming-aead is its source.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.seal import Forged, Truncated
from strongroom.seal.mac import hkdf_sha256
from strongroom.seal.segments import HEADER, MAX_SEGMENTS, SEGMENT, Segments, Span

__all__ = ["HEADER", "MAX_SEGMENTS", "SEGMENT", "Span"]  # and all that is defined here

TAG: Final = 16
DATA_KEY: Final = 32

_SALT: Final = 32
_RANDOM: Final = HEADER - 1
_LENGTH_BYTE: Final = bytes([HEADER])
_ONLY: Final = b"\0\0\0\0\x01"  # what follows the prefix in the nonce of a stream's only segment: index 0, final

Data = bytes | bytearray | memoryview


class SegmentCipher(Protocol):
    """Seals and opens the segments of one stream. The nonce is 12 bytes; a segment never has associated data of its own."""

    def encrypt(self, nonce: bytes, data: Data, associated_data: None, /) -> bytes: ...

    def encrypt_into(self, nonce: bytes, data: Data, associated_data: None, buf: Data, /) -> int: ...

    def decrypt(self, nonce: bytes, data: Data, associated_data: None, /) -> bytes:
        """Raises InvalidTag."""
        ...

    def decrypt_into(self, nonce: bytes, data: Data, associated_data: None, buf: Data, /) -> int:
        """Raises InvalidTag."""
        ...


@dataclass(frozen=True, slots=True)
class Construction:
    """One of Tink's streaming AEADs. ``cipher`` makes the cipher of a stream from ``key_size`` bytes derived for it alone."""

    segments: Segments
    key_size: int
    cipher: Callable[[bytes], SegmentCipher]

    def of_stream(self, data_key: bytes, associated_data: bytes, fresh: bytes) -> SegmentCipher:
        """The cipher of one stream, from the 39 random bytes of its header."""
        return self.cipher(self.stream_keys(data_key, associated_data, fresh))

    def stream_keys(self, data_key: bytes, associated_data: bytes, fresh: bytes) -> bytes:
        if len(data_key) != DATA_KEY or len(fresh) != _RANDOM:
            raise ValueError("a data key is 32 bytes and a stream takes 39 random ones")
        return hkdf_sha256(data_key, self.key_size, fresh[:_SALT], associated_data)


GCM_HKDF: Final = Construction(Segments(TAG), 32, AESGCM)

PLAIN: Final = GCM_HKDF.segments.plain  # plaintext bytes of a full segment
FIRST_PLAIN: Final = GCM_HKDF.segments.first_plain  # the same of the first one
MAX_PLAIN: Final = GCM_HKDF.segments.max_plain
sealed_size: Final = GCM_HKDF.segments.sealed_size
plain_size: Final = GCM_HKDF.segments.plain_size
span: Final = GCM_HKDF.segments.span


def seal(
    data_key: bytes,
    associated_data: bytes,
    plaintext: Data,
    random: Callable[[int], bytes] = os.urandom,
    construction: Construction = GCM_HKDF,
) -> bytes:
    """The whole stream over ``plaintext``. ``data_key``: 32 bytes; ``random(39)``: salt and nonce prefix, never used before."""
    data = plaintext if isinstance(plaintext, bytes) else memoryview(plaintext).cast("B")
    size, segments = len(data), construction.segments
    fresh = random(_RANDOM)
    cipher = construction.of_stream(data_key, associated_data, fresh)
    if size <= segments.first_plain:  # the hot path: no objects but the cipher
        return b"".join((_LENGTH_BYTE, fresh, cipher.encrypt(fresh[_SALT:] + _ONLY, data, None)))
    view, plain = memoryview(data), segments.plain
    out = bytearray(segments.sealed_size(size))
    out[:HEADER] = _LENGTH_BYTE + fresh
    with memoryview(out) as target:
        last = (size + HEADER - 1) // plain
        for index in range(last + 1):
            start, end = index * plain - HEADER, min((index + 1) * plain - HEADER, size)
            place = target[max(index * SEGMENT, HEADER) : end + HEADER + (index + 1) * segments.tag]
            cipher.encrypt_into(_nonce(fresh[_SALT:], index, index == last), view[max(start, 0) : end], None, place)
    return bytes(out)


def open_whole(data_key: bytes, associated_data: bytes, sealed: Data, construction: Construction = GCM_HKDF) -> bytes:
    """The plaintext of a whole stream. Raises Forged, Truncated; ValueError for a data key that is not 32 bytes."""
    view = sealed if isinstance(sealed, bytes) else memoryview(sealed).cast("B")
    size = len(view)
    if size > SEGMENT:
        return Opener(data_key, associated_data, bytes(view[:HEADER]), size, construction).open(0, view)
    if size < HEADER + construction.segments.tag:
        raise Truncated(f"no stream is {size} bytes long")
    header = bytes(view[:HEADER])
    cipher = construction.of_stream(data_key, associated_data, header[1:])
    if header[0] != HEADER:
        raise Forged("the header is not that of a stream")
    try:
        return cipher.decrypt(header[1 + _SALT :] + _ONLY, view[HEADER:], None)
    except InvalidTag:
        raise Forged("the stream is not authentic") from None


class Sealer:
    """Seals a stream as it comes. The last segment is held back, since only ``finish`` knows that it is the last.

    ``feed`` it plaintext and ``take`` sealed segments, or let ``update`` do both; all that was taken and ``finish``, in order, is the
    stream. What is fed is not copied and must stay as it is until it was taken. Each holds one Sealer for one stream; not for several
    threads at once.
    """

    __slots__ = ("_at", "_cipher", "_fed", "_finished", "_header", "_held", "_index", "_prefix", "_scratch", "_segments")

    def __init__(
        self,
        data_key: bytes,
        associated_data: bytes,
        random: Callable[[int], bytes] = os.urandom,
        construction: Construction = GCM_HKDF,
    ) -> None:
        fresh = random(_RANDOM)
        self._cipher = construction.of_stream(data_key, associated_data, fresh)
        self._segments = construction.segments
        self._prefix = fresh[_SALT:]
        self._header = _LENGTH_BYTE + fresh
        self._fed: deque[memoryview] = deque()  # plaintext that is not sealed yet
        self._held = 0  # bytes of it
        self._at = 0  # where the first of it begins
        self._scratch = bytearray()  # for a segment whose plaintext does not lie together
        self._index = 0  # of the segment that comes next
        self._finished = False

    def feed(self, data: Data) -> None:
        """More plaintext. Raises ValueError after ``finish`` and beyond 256 TiB."""
        if self._finished:
            raise ValueError("the stream is finished")
        view = memoryview(data).cast("B")
        if self._index + self._ready(len(view)) >= MAX_SEGMENTS:
            raise ValueError("a stream holds 0 bytes to 256 TiB of plaintext")
        if view:
            self._fed.append(view)
            self._held += len(view)

    @property
    def ready(self) -> int:
        """Sealed bytes that are certain now: whole segments, each with at least one byte of plaintext behind it."""
        return self._ready() * SEGMENT

    def take(self, room: memoryview) -> int:
        """Seal as many whole segments as are certain and fit into ``room``, from its start; returns how many bytes that is."""
        count = min(self._ready(), len(room) // SEGMENT)
        for place in range(0, count * SEGMENT, SEGMENT):
            start, size = place, self._segments.plain
            if not self._index:
                start, size = HEADER, self._segments.first_plain
                room[:HEADER] = self._header
            with room[start : place + SEGMENT] as target:
                self._cipher.encrypt_into(_nonce(self._prefix, self._index, final=False), self._next(size), None, target)
            self._index += 1
        return count * SEGMENT

    def update(self, data: Data) -> bytearray:
        """The sealed bytes that are certain with ``data``, maybe none. Raises as ``feed``. Keeps a copy of what is left."""
        self.feed(data)
        out = bytearray(self.ready)
        with memoryview(out) as room:
            self.take(room)
        if self._held:
            self._fed, self._at = deque([memoryview(bytes(self._next(self._held)))]), 0
            self._held = len(self._fed[0])
        return out

    def finish(self) -> bytes:
        """The last sealed bytes, once ``ready`` is 0. Raises ValueError when called again, and when more is ready."""
        if self._finished or self._ready():
            raise ValueError("the stream is finished, or was not taken")
        self._finished = True
        last = self._cipher.encrypt(_nonce(self._prefix, self._index, final=True), self._next(self._held), None)
        return last if self._index else self._header + last

    def _ready(self, more: int = 0) -> int:
        """Segments that are certain, or would be with so many bytes more."""
        beyond = self._held + more - (self._segments.plain if self._index else self._segments.first_plain)
        return 0 if beyond <= 0 else 1 + (beyond - 1) // self._segments.plain

    def _next(self, size: int) -> memoryview:
        """The next ``size`` bytes of plaintext, which are no longer held: where they lie, or else put together."""
        self._held -= size
        if not size:
            return memoryview(b"")
        first, at = self._fed[0], self._at
        if len(first) - at > size:
            self._at = at + size
            return first[at : at + size]
        if len(first) - at == size:
            self._fed.popleft()
            self._at = 0
            return first[at:]
        if len(self._scratch) < size:
            self._scratch = bytearray(SEGMENT)
        whole = memoryview(self._scratch)[:size]
        filled = 0
        while filled < size:
            first, at = self._fed[0], self._at
            count = min(len(first) - at, size - filled)
            whole[filled : filled + count] = first[at : at + count]
            filled += count
            self._at = at + count
            if self._at == len(first):
                self._fed.popleft()
                self._at = 0
        return whole


class Opener:
    """Opens runs of whole segments of one stream, in any order; not for several threads.

    ``header`` is the stream's first 40 bytes, ``sealed_length`` the length of all of it, which says which segment is the last:
    take it from a place that is authenticated (``sealed_size`` of a manifest's size). Raises Truncated for lengths that cannot
    be, Forged for a header that is not one, ValueError for a data key that is not 32 bytes.
    """

    __slots__ = ("_cipher", "_header", "_last", "_length", "_new_cipher", "_tag")

    def __init__(
        self, data_key: bytes, associated_data: bytes, header: bytes, sealed_length: int, construction: Construction = GCM_HKDF
    ) -> None:
        construction.segments.plain_size(sealed_length)
        if len(header) != HEADER:
            raise Truncated(f"a header is {HEADER} bytes")
        if header[0] != HEADER:
            raise Forged("the header is not that of a stream")
        self._new_cipher = partial(construction.cipher, construction.stream_keys(data_key, associated_data, header[1:]))
        self._cipher = self._new_cipher()
        self._tag = construction.segments.tag
        self._header = bytes(header)
        self._length = sealed_length
        self._last = (sealed_length - 1) // SEGMENT

    def twin(self) -> Opener:
        """Another one of the same stream, for another thread."""
        other = copy(self)
        setattr(other, "_cipher", self._new_cipher())  # noqa: B010 - of the very same class
        return other

    def open(self, first_segment: int, sealed: Data) -> bytes:
        """The plaintext of consecutive whole segments. A run that begins at segment 0 begins with the header.

        All of it is authentic or nothing is returned. Raises Forged, and Truncated when the run does not end with a segment.
        """
        return bytes(self.open_buffer(first_segment, sealed))

    def open_buffer(self, first_segment: int, sealed: Data) -> bytearray:
        """As ``open``, without its last copy: a new buffer, which nothing else refers to."""
        view = memoryview(sealed).cast("B")
        out = bytearray(self.opened_size(first_segment, len(view)))
        with memoryview(out) as room:
            self.open_into(first_segment, view, room)
        return out

    def opened_size(self, first_segment: int, size: int) -> int:
        """Plaintext bytes of a run of ``size`` sealed bytes. Raises Truncated when the run is not one of whole segments."""
        start, end = first_segment * SEGMENT, first_segment * SEGMENT + size
        ends_well = end == self._length or (end < self._length and end % SEGMENT == 0)
        if first_segment < 0 or not size or not ends_well:
            raise Truncated("these are not whole segments of the stream")
        return size - (0 if start else HEADER) + size // -SEGMENT * self._tag

    def open_into(self, first_segment: int, sealed: Data, room: memoryview) -> int:
        """As ``open``, to the start of ``room``; how many bytes. What is in ``room`` after an error is not authentic. Raises as ``open``."""
        view = memoryview(sealed).cast("B")
        self.opened_size(first_segment, len(view))
        start, at = first_segment * SEGMENT, 0
        if start == 0:
            if bytes(view[:HEADER]) != self._header:
                raise Forged("the header is not that of the stream")
            at = HEADER
        filled, prefix, tag = 0, self._header[1 + _SALT :], self._tag
        try:
            for index in range(first_segment, first_segment + -(len(view) // -SEGMENT)):
                piece = view[at : (index + 1) * SEGMENT - start]
                nonce = _nonce(prefix, index, index == self._last)
                filled += self._cipher.decrypt_into(nonce, piece, None, room[filled : filled + len(piece) - tag])
                at += len(piece)
        except InvalidTag:
            raise Forged("the stream is not authentic") from None
        return filled


def _nonce(prefix: bytes, index: int, final: bool) -> bytes:
    return prefix + index.to_bytes(4, "big") + (b"\x01" if final else b"\0")
