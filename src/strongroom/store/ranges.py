"""Ranges of names by their UTF-8 bytes: what "begins with", "from" and "after" mean as one half-open range.

Never knows tables.
"""

from __future__ import annotations

from typing import Final

END: Final = b"\xff"  # above every UTF-8 text


def prefix_end(prefix: bytes) -> bytes:
    """The least bytes above everything that begins with ``prefix``."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else END


def name_range(prefix: str, start: str = "", after: str | None = None) -> tuple[bytes, bytes]:
    """[low, high): names that begin with ``prefix``, are >= ``start`` and, if given, > ``after``."""
    first = prefix.encode()
    low = max(first, start.encode())
    if after is not None:
        low = max(low, after.encode() + b"\0")  # nothing lies between a name and itself with a zero byte behind
    return low, prefix_end(first)
