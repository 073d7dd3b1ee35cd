"""The payload: Tink Streaming AEAD, AES256-GCM-HKDF-SHA256, 64 KiB segments; sealing, opening and the arithmetic of ranges.

One stream under one data key and one associated data. Never knows where the bytes lie, what they mean, or how the data key
is wrapped. ``docs/spec/at-rest.md`` section 3 is the specification; https://developers.google.com/tink/streaming-aead is its source.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.seal import Forged, Truncated

SEGMENT: Final = 65536  # sealed bytes of every segment but the last; the header counts as part of the first
HEADER: Final = 40  # its own length (1), salt (32), nonce prefix (7)
TAG: Final = 16
DATA_KEY: Final = 32
PLAIN: Final = SEGMENT - TAG  # plaintext bytes of a full segment
FIRST_PLAIN: Final = PLAIN - HEADER  # the same of the first one
MAX_SEGMENTS: Final = 2**32  # the index is 32 bits wide
MAX_PLAIN: Final = MAX_SEGMENTS * PLAIN - HEADER

_SALT: Final = 32
_RANDOM: Final = HEADER - 1
_SMALLEST: Final = HEADER + TAG
_LENGTH_BYTE: Final = bytes([HEADER])
_ONLY: Final = b"\0\0\0\0\x01"  # what follows the prefix in the nonce of a stream's only segment: index 0, final
_SHA256: Final = SHA256()

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Span:
    """The plan of a range: read ``length`` sealed bytes at ``offset``, open them as segments from ``first_segment`` on, drop
    ``skip`` bytes of plaintext in front and keep ``take``.
    """

    offset: int
    length: int
    first_segment: int
    skip: int
    take: int


def sealed_size(plain: int) -> int:
    """Bytes of the stream over ``plain`` bytes of plaintext. Raises ValueError when there is no such stream."""
    if not 0 <= plain <= MAX_PLAIN:
        raise ValueError("a stream holds 0 bytes to 256 TiB of plaintext")
    return plain + HEADER + TAG * max(1, -(-(plain + HEADER) // PLAIN))


def plain_size(sealed: int) -> int:
    """Plaintext bytes in a stream of ``sealed`` bytes. Raises Truncated when no stream has that length."""
    segments = -(-sealed // SEGMENT)
    last = sealed - (segments - 1) * SEGMENT
    if sealed < _SMALLEST or segments > MAX_SEGMENTS or (segments > 1 and last <= TAG):
        raise Truncated(f"no stream is {sealed} bytes long")
    return sealed - HEADER - segments * TAG


def span(plain: int, first: int, last: int) -> Span:
    """How to read the bytes ``first`` to ``last``, inclusive, of a stream over ``plain`` bytes.

    A run that begins at segment 0 begins with the header. ``span(0, 0, -1)`` reads an empty stream. Raises ValueError for
    any other range that is not within the plaintext.
    """
    if not (0 <= first <= last < plain or (plain == 0 and first == 0 and last == -1)):
        raise ValueError(f"no bytes {first}-{last} in {plain}")
    # Counted from the header's first byte, plaintext byte p is byte (p + HEADER) of a run of PLAIN bytes a segment.
    segment = (first + HEADER) // PLAIN
    after = (max(last, 0) + HEADER) // PLAIN + 1
    offset = segment * SEGMENT
    skip = first + HEADER - segment * PLAIN if segment else first
    return Span(offset, min(after * SEGMENT, sealed_size(plain)) - offset, segment, skip, last - first + 1)


def seal(data_key: bytes, associated_data: bytes, plaintext: Data, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """The whole stream over ``plaintext``. ``data_key``: 32 bytes; ``random(39)``: salt and nonce prefix, never used before."""
    data = plaintext if isinstance(plaintext, bytes) else memoryview(plaintext).cast("B")
    size = len(data)
    fresh = random(_RANDOM)
    if size <= FIRST_PLAIN:  # the hot path: no objects but the cipher
        if len(data_key) != DATA_KEY or len(fresh) != _RANDOM:
            raise ValueError("a data key is 32 bytes and a stream takes 39 random ones")
        cipher = AESGCM(HKDF(_SHA256, DATA_KEY, fresh[:_SALT], associated_data).derive(data_key))
        return _LENGTH_BYTE + fresh + cipher.encrypt(fresh[_SALT:] + _ONLY, data, None)
    view = memoryview(data)
    cipher = _cipher(data_key, associated_data, fresh)
    out = bytearray(sealed_size(size))
    out[:HEADER] = _LENGTH_BYTE + fresh
    with memoryview(out) as target:
        last = (size + HEADER - 1) // PLAIN
        for index in range(last + 1):
            start, end = index * PLAIN - HEADER, min((index + 1) * PLAIN - HEADER, size)
            place = target[max(index * SEGMENT, HEADER) : end + HEADER + (index + 1) * TAG]
            cipher.encrypt_into(_nonce(fresh[_SALT:], index, index == last), view[max(start, 0) : end], None, place)
    return bytes(out)


def open_whole(data_key: bytes, associated_data: bytes, sealed: Data) -> bytes:
    """The plaintext of a whole stream. Raises Forged, Truncated; ValueError for a data key that is not 32 bytes."""
    view = memoryview(sealed).cast("B")
    size = len(view)
    if size > SEGMENT:
        return Opener(data_key, associated_data, bytes(view[:HEADER]), size).open(0, view)
    if size < _SMALLEST:
        raise Truncated(f"no stream is {size} bytes long")
    if len(data_key) != DATA_KEY:
        raise ValueError("a data key is 32 bytes")
    header = bytes(view[:HEADER])
    if header[0] != HEADER:
        raise Forged("the header is not that of a stream")
    cipher = AESGCM(HKDF(_SHA256, DATA_KEY, header[1:33], associated_data).derive(data_key))
    try:
        return cipher.decrypt(header[33:] + _ONLY, view[HEADER:], None)
    except InvalidTag:
        raise Forged("the stream is not authentic") from None


class Sealer:
    """Seals a stream piece by piece. The last segment is held back, since only ``finish`` knows that it is the last.

    Concatenate what ``update`` and ``finish`` return, in order. Each holds one Sealer for one stream; not for several threads.
    """

    __slots__ = ("_cipher", "_finished", "_header", "_held", "_index", "_prefix")

    def __init__(self, data_key: bytes, associated_data: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        fresh = random(_RANDOM)
        self._cipher = _cipher(data_key, associated_data, fresh)
        self._prefix = fresh[_SALT:]
        self._header = _LENGTH_BYTE + fresh
        self._held = bytearray()  # 0 to a full segment of plaintext
        self._index = 0  # of the segment that ``_held`` will be
        self._finished = False

    def update(self, data: Data) -> bytearray:
        """The sealed bytes that are certain now, maybe none. Raises ValueError after ``finish`` and beyond 256 TiB."""
        if self._finished:
            raise ValueError("the stream is finished")
        view = memoryview(data).cast("B")
        held = self._held
        taken = (PLAIN if self._index else FIRST_PLAIN) - len(held)
        if len(view) <= taken:
            held += view
            return bytearray()
        ready = 1 + (len(view) - taken - 1) // PLAIN  # full segments that have at least one byte behind them
        if self._index + ready >= MAX_SEGMENTS:
            raise ValueError("a stream holds 0 bytes to 256 TiB of plaintext")
        header = b"" if self._index else self._header
        out = bytearray(len(header) + len(held) + taken + TAG + (ready - 1) * SEGMENT)
        out[: len(header)] = header
        held += view[:taken]
        with memoryview(out) as target:
            end = len(header) + len(held) + TAG
            self._encrypt(held, target[len(header) : end])
            for _ in range(ready - 1):
                self._encrypt(view[taken : taken + PLAIN], target[end : end + SEGMENT])
                taken += PLAIN
                end += SEGMENT
        self._held = bytearray(view[taken:])
        return out

    def finish(self) -> bytes:
        """The last sealed bytes. Raises ValueError when called again."""
        if self._finished:
            raise ValueError("the stream is finished")
        self._finished = True
        last = self._cipher.encrypt(_nonce(self._prefix, self._index, final=True), self._held, None)
        return last if self._index else self._header + last

    def _encrypt(self, plaintext: Data, place: memoryview) -> None:
        self._cipher.encrypt_into(_nonce(self._prefix, self._index, final=False), plaintext, None, place)
        self._index += 1


class Opener:
    """Opens runs of whole segments of one stream, in any order.

    ``header`` is the stream's first 40 bytes, ``sealed_length`` the length of all of it, which says which segment is the last:
    take it from a place that is authenticated (``sealed_size`` of a manifest's size). Raises Truncated for lengths that cannot
    be, Forged for a header that is not one, ValueError for a data key that is not 32 bytes.
    """

    __slots__ = ("_cipher", "_header", "_last", "_length")

    def __init__(self, data_key: bytes, associated_data: bytes, header: bytes, sealed_length: int) -> None:
        plain_size(sealed_length)
        if len(header) != HEADER:
            raise Truncated(f"a header is {HEADER} bytes")
        if header[0] != HEADER:
            raise Forged("the header is not that of a stream")
        self._cipher = _cipher(data_key, associated_data, header[1:])
        self._header = bytes(header)
        self._length = sealed_length
        self._last = (sealed_length - 1) // SEGMENT

    def open(self, first_segment: int, sealed: Data) -> bytes:
        """The plaintext of consecutive whole segments. A run that begins at segment 0 begins with the header.

        All of it is authentic or nothing is returned. Raises Forged, and Truncated when the run does not end with a segment.
        """
        return bytes(self.open_buffer(first_segment, sealed))

    def open_buffer(self, first_segment: int, sealed: Data) -> bytearray:
        """As ``open``, without its last copy: a new buffer, which nothing else refers to."""
        view = memoryview(sealed).cast("B")
        start, end = first_segment * SEGMENT, first_segment * SEGMENT + len(view)
        ends_well = end == self._length or (end < self._length and end % SEGMENT == 0)
        if first_segment < 0 or not view or not ends_well:
            raise Truncated("these are not whole segments of the stream")
        segments = -(-len(view) // SEGMENT)
        at = 0
        if start == 0:
            if bytes(view[:HEADER]) != self._header:
                raise Forged("the header is not that of the stream")
            at = HEADER
        out = bytearray(len(view) - at - segments * TAG)
        filled, prefix = 0, self._header[1 + _SALT :]
        try:
            with memoryview(out) as target:
                for index in range(first_segment, first_segment + segments):
                    piece = view[at : (index + 1) * SEGMENT - start]
                    nonce = _nonce(prefix, index, index == self._last)
                    filled += self._cipher.decrypt_into(nonce, piece, None, target[filled : filled + len(piece) - TAG])
                    at += len(piece)
        except InvalidTag:
            raise Forged("the stream is not authentic") from None
        return out


def _cipher(data_key: bytes, associated_data: bytes, fresh: bytes) -> AESGCM:
    """The cipher of one stream, from the 39 random bytes of its header."""
    if len(data_key) != DATA_KEY or len(fresh) != _RANDOM:
        raise ValueError("a data key is 32 bytes and a stream takes 39 random ones")
    return AESGCM(HKDF(_SHA256, DATA_KEY, fresh[:_SALT], associated_data).derive(data_key))


def _nonce(prefix: bytes, index: int, final: bool) -> bytes:
    return prefix + index.to_bytes(4, "big") + (b"\x01" if final else b"\0")
