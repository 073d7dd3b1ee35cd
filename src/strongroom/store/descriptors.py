"""What takes the system more than one call on a descriptor. Never knows what is written, nor whether it is durable then."""

from __future__ import annotations

import os


def write_whole(descriptor: int, data: bytes) -> None:
    """All of it: a disk that becomes full, or a signal, may let a part be taken first. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
