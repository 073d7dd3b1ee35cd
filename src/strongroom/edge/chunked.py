"""The aws-chunked coding of a request body, decoded and verified as it arrives. Pure and without input or output.

A signed chunk is handed on only once its signature has been verified, so at most one chunk is held back. Never knows keys
beyond the signing key it is given, nor what the payload is. Source: "Signature calculations: transferring payload in
multiple chunks" and "... with trailing headers" in the S3 API reference.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256
from typing import Final

from strongroom.api.errors import ApiError
from strongroom.edge.signing_key import SigningKey

SIGNED_CHUNK_MOST: Final = 16 << 20  # bytes held back at most; SDKs send 64 KiB to 1 MiB
CHUNK_LEAST: Final = 8192  # bytes of every chunk but the last one with data
_HEADER_MOST: Final = 256
_TRAILER_MOST: Final = 4096
_SIGNED_HEADER: Final = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})")
_PLAIN_HEADER: Final = re.compile(rb"([0-9a-fA-F]{1,16})")
_EMPTY: Final = sha256(b"").hexdigest()
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


@dataclass(slots=True)
class ChunkSigner:
    """What the chunks of one request are signed with, and the signature that the next one continues."""

    key: SigningKey = field(repr=False)
    timestamp: str
    scope: str
    previous: str  # 64 hex; at first the signature of the request

    def check(self, content_hash: str, signature: str) -> None:
        """The next chunk. Raises ApiError SignatureDoesNotMatch."""
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{_EMPTY}\n{content_hash}", signature)

    def check_trailer(self, content_hash: str, signature: str) -> None:
        self._check("AWS4-HMAC-SHA256-TRAILER", content_hash, signature)

    def _check(self, kind: str, rest: str, signature: str) -> None:
        text = f"{kind}\n{self.timestamp}\n{self.scope}\n{self.previous}\n{rest}"
        if not hmac.compare_digest(self.key.sign(text.encode()).encode(), signature.encode()):
            raise ApiError("SignatureDoesNotMatch")
        self.previous = signature


class _At(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    END = auto()


class ChunkDecoder:
    """``feed`` it what arrives, in pieces of any size; call ``finish`` when nothing more comes."""

    def __init__(
        self, length: int, signer: ChunkSigner | None, *, trailing: bool, declared: frozenset[str] = frozenset()
    ) -> None:
        """``length``: decoded bytes as declared. ``declared``: trailer names (lower-case) announced in x-amz-trailer."""
        self.trailers: dict[str, str] = {}
        self._length = length
        self._signer = signer
        self._trailing = trailing
        self._declared = declared
        self._at = _At.HEADER
        self._line = bytearray()  # of a header, a trailer or the end of a chunk, as far as it has come
        self._decoded = 0
        self._left = 0  # of the current chunk
        self._size = CHUNK_LEAST  # of the current chunk; before the first, nothing to complain of
        self._number = 0
        self._signature = ""
        self._hash = sha256()
        self._held: list[memoryview] = []
        self._trailer_size = 0

    @property
    def signed(self) -> bool:
        """Whether each chunk has a signature, and so must be hashed."""
        return self._signer is not None

    def feed_all(self, parts: Iterable[bytes | bytearray]) -> list[memoryview]:
        return [piece for part in parts for piece in self.feed(part)]

    def feed(self, data: bytes | bytearray) -> list[memoryview]:
        """Verified payload, in order: views of what was fed. Raises ApiError."""
        out: list[memoryview] = []
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end:
            if self._at is _At.DATA:
                piece = view[position : position + self._left]
                position += len(piece)
                self._take(piece, out)
            elif self._at is _At.END:
                raise ApiError("InvalidRequest", "The request body holds data behind its last chunk.")
            else:
                position = self._read_line(data, position)
        return out

    def finish(self) -> None:
        """Raises ApiError IncompleteBody when the last chunk, or the end of the trailer, has not come."""
        if self._at is not _At.END:
            raise ApiError("IncompleteBody")

    def _take(self, piece: memoryview, out: list[memoryview]) -> None:
        self._left -= len(piece)
        if self._signer is None:
            out.append(piece)
        else:
            self._hash.update(piece)
            self._held.append(piece)
            if not self._left:
                self._signer.check(self._hash.hexdigest(), self._signature)
                out.extend(self._held)
                self._held = []
        if not self._left:
            self._at = _At.DATA_END

    def _read_line(self, data: bytes | bytearray, position: int) -> int:
        """Take up to the end of a line; returns the position behind what was taken."""
        stop = data.find(b"\n", position)
        taken = data[position:] if stop < 0 else data[position : stop + 1]
        most = _TRAILER_MOST if self._at is _At.TRAILER else _HEADER_MOST if self._at is _At.HEADER else 2
        if len(self._line) + len(taken) > most:
            raise self._bad_line()
        self._line += taken
        if stop < 0:
            return len(data)
        line = bytes(self._line)
        if not line.endswith(b"\r\n"):
            if self._at is not _At.TRAILER:
                raise self._bad_line()
            return stop + 1  # some clients end a trailer's value with a line feed of its own: the line goes on to CR LF
        self._line.clear()
        self._end_line(line[:-2])
        return stop + 1

    def _bad_line(self) -> ApiError:
        if self._at is _At.TRAILER:
            return ApiError("MalformedTrailerError")
        if self._at is _At.HEADER:
            return ApiError("InvalidRequest", "The request body holds a chunk header that is not well-formed.")
        return ApiError("IncompleteBody", "A chunk of the request body is not as long as its header says.")

    def _end_line(self, line: bytes) -> None:
        if self._at is _At.HEADER:
            self._open_chunk(line)
        elif self._at is _At.DATA_END:
            if line:
                raise self._bad_line()
            self._at = _At.HEADER
            if not self._size:
                self._at = _At.END
        elif line:
            self._read_trailer(line)
        else:
            self._close()

    def _open_chunk(self, line: bytes) -> None:
        found = (_PLAIN_HEADER if self._signer is None else _SIGNED_HEADER).fullmatch(line)
        if found is None:
            raise self._bad_line()
        size = int(found[1], 16)
        if size and self._size < CHUNK_LEAST:
            raise ApiError(
                "InvalidChunkSizeError",
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                Chunk=str(self._number),
                BadChunkSizeInBytes=str(self._size),
            )
        self._number += 1
        self._size = self._left = size
        self._decoded += size
        if self._decoded > self._length or (not size and self._decoded != self._length):
            raise ApiError(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header",
            )
        if self._signer is not None:
            if size > SIGNED_CHUNK_MOST:
                text = f"A signed chunk is allowed to have a size of at most {SIGNED_CHUNK_MOST} bytes"
                raise ApiError("InvalidChunkSizeError", text, Chunk=str(self._number), BadChunkSizeInBytes=str(size))
            self._signature = found[2].decode()
            self._hash = sha256()
            if not size:
                self._signer.check(_EMPTY, self._signature)
        self._at = _At.DATA if size else _At.TRAILER if self._trailing else _At.DATA_END

    def _read_trailer(self, line: bytes) -> None:
        self._trailer_size += len(line)
        raw_name, colon, raw_value = line.partition(b":")
        name, value = raw_name.strip().lower().decode("latin-1"), raw_value.strip().decode("latin-1")
        known = name in self._declared or (name == _TRAILER_SIGNATURE and self._signer is not None)
        if not colon or not known or name in self.trailers or self._trailer_size > _TRAILER_MOST:
            raise ApiError("MalformedTrailerError")
        self.trailers[name] = value

    def _close(self) -> None:
        signature = self.trailers.pop(_TRAILER_SIGNATURE, None)
        if not self._declared.issubset(self.trailers):
            raise ApiError("MalformedTrailerError")
        if self._signer is not None:
            if signature is None:
                raise ApiError("SignatureDoesNotMatch")
            text = "".join([f"{name}:{value}\n" for name, value in self.trailers.items()])
            self._signer.check_trailer(sha256(text.encode("latin-1")).hexdigest(), signature)
        self._at = _At.END
