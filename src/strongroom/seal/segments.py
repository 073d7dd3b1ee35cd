"""How a stream is cut into segments: the arithmetic of lengths and ranges, the same for every cipher but for its tag. Pure.

Never knows keys or ciphers. ``docs/spec/at-rest.md`` section 3 is the specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.seal import Truncated

SEGMENT: Final = 65536  # sealed bytes of every segment but the last; the header counts as part of the first
HEADER: Final = 40  # its own length (1), salt (32), nonce prefix (7)
MAX_SEGMENTS: Final = 2**32  # the index is 32 bits wide


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


@dataclass(frozen=True, slots=True)
class Segments:
    tag: int  # bytes of authentication at the end of each segment

    @property
    def plain(self) -> int:
        """Plaintext bytes of a full segment."""
        return SEGMENT - self.tag

    @property
    def first_plain(self) -> int:
        """The same of the first one."""
        return SEGMENT - self.tag - HEADER

    @property
    def max_plain(self) -> int:
        return MAX_SEGMENTS * self.plain - HEADER

    def sealed_size(self, plain: int) -> int:
        """Bytes of the stream over ``plain`` bytes of plaintext. Raises ValueError when there is no such stream."""
        if 0 <= plain <= SEGMENT - self.tag - HEADER:  # one segment: the hot path
            return plain + HEADER + self.tag
        if not 0 <= plain <= self.max_plain:
            raise ValueError("a stream holds 0 bytes to 256 TiB of plaintext")
        return plain + HEADER + self.tag * max(1, -(-(plain + HEADER) // self.plain))

    def plain_size(self, sealed: int) -> int:
        """Plaintext bytes in a stream of ``sealed`` bytes. Raises Truncated when no stream has that length."""
        segments = -(-sealed // SEGMENT)
        last = sealed - (segments - 1) * SEGMENT
        if sealed < HEADER + self.tag or segments > MAX_SEGMENTS or (segments > 1 and last <= self.tag):
            raise Truncated(f"no stream is {sealed} bytes long")
        return sealed - HEADER - segments * self.tag

    def span(self, plain: int, first: int, last: int) -> Span:
        """How to read the bytes ``first`` to ``last``, inclusive, of a stream over ``plain`` bytes.

        A run that begins at segment 0 begins with the header. ``span(0, 0, -1)`` reads an empty stream. Raises ValueError for
        any other range that is not within the plaintext.
        """
        if not (0 <= first <= last < plain or (plain == 0 and first == 0 and last == -1)):
            raise ValueError(f"no bytes {first}-{last} in {plain}")
        # Counted from the header's first byte, plaintext byte p is byte (p + HEADER) of a run of ``plain`` bytes a segment.
        segment = (first + HEADER) // self.plain
        after = (max(last, 0) + HEADER) // self.plain + 1
        offset = segment * SEGMENT
        skip = first + HEADER - segment * self.plain if segment else first
        return Span(offset, min(after * SEGMENT, self.sealed_size(plain)) - offset, segment, skip, last - first + 1)
