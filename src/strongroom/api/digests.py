"""The digests that S3 names: computed over bytes as they pass. Pure; CRCs are big-endian bytes, as S3 encodes them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

from awscrt import checksums


class _Hash(Protocol):
    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A running CRC with the face of a hashlib object."""

    __slots__ = ("_crc", "_size", "_value")

    def __init__(self, crc: Callable[[Any, int], int], size: int) -> None:
        self._crc = crc
        self._size = size
        self._value = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = self._crc(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_HASHES: Final[dict[str, Callable[..., _Hash]]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}
#: With the bytes of their digest.
_CRCS: Final[dict[str, tuple[Callable[[Any, int], int], int]]] = {
    "crc32": (zlib.crc32, 4),
    "crc32c": (checksums.crc32c, 4),
    "crc64nvme": (checksums.crc64nvme, 8),
}


def _of_hash(new: Callable[..., _Hash]) -> Callable[[bytes], bytes]:
    return lambda data: new(data).digest()


def _of_crc(crc: Callable[[Any, int], int], size: int) -> Callable[[bytes], bytes]:
    return lambda data: crc(data, 0).to_bytes(size, "big")


_NEW: Final[dict[str, Callable[[], _Hash]]] = {**_HASHES, **{name: partial(_Crc, *crc) for name, crc in _CRCS.items()}}
_WHOLE: Final[dict[str, Callable[[bytes], bytes]]] = {
    **{name: _of_hash(new) for name, new in _HASHES.items()},
    **{name: _of_crc(*crc) for name, crc in _CRCS.items()},
}
#: Those that take less time than handing them to a thread: 20 us a MiB.
QUICK: Final = frozenset({"crc32c", "crc64nvme"})
DIGEST_BYTES: Final = {"md5": 16, "sha1": 20, "sha256": 32, "crc32": 4, "crc32c": 4, "crc64nvme": 8}


class Digests:
    """Several digests of one run of bytes. Raises LookupError for an algorithm that does not exist or was not asked for."""

    __slots__ = ("_hashes",)

    def __init__(self, *algorithms: str) -> None:
        self._hashes = {name: _NEW[name]() for name in algorithms}

    def add(self, *algorithms: str) -> None:
        """Only before the first update."""
        for name in algorithms:
            if name not in self._hashes:
                self._hashes[name] = _NEW[name]()

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(self._hashes)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        for running in self._hashes.values():
            running.update(data)

    def update_all(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        for part in parts:
            self.update(part)

    def digest(self, algorithm: str) -> bytes:
        return self._hashes[algorithm].digest()


def digests_of(data: bytes, algorithms: Iterable[str]) -> dict[str, bytes]:
    """Of a run of bytes that is there as a whole. Raises LookupError for an algorithm that does not exist."""
    return {name: _WHOLE[name](data) for name in algorithms}


def combine(algorithm: str, first: bytes, second: bytes, second_size: int) -> bytes:
    """The CRC of two runs of bytes put together, from the CRC of each. Raises LookupError for what is not a CRC."""
    joined = {"crc32": checksums.combine_crc32, "crc32c": checksums.combine_crc32c, "crc64nvme": checksums.combine_crc64nvme}[
        algorithm
    ]
    return int(joined(int.from_bytes(first, "big"), int.from_bytes(second, "big"), second_size)).to_bytes(
        DIGEST_BYTES[algorithm], "big"
    )
