"""Known answers: the ciphers, the derivation and the payload format give what their documents say, or nothing starts.

A library that was replaced, miscompiled or run on a broken machine must not seal anything. Never knows any real key.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from awscrt import checksums
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV

from strongroom.seal import Forged
from strongroom.seal.ctr_hmac import CTR_HMAC
from strongroom.seal.mac import hkdf_sha256
from strongroom.seal.stream import GCM_HKDF, Opener, Sealer, open_whole, seal
from strongroom.seal.wrap import derive, unwrap, wrap
from strongroom.startup import StartError

_KEY: Final = bytes(range(32))
_PLACE: Final = b"strongroom self-test"
_PLAIN: Final = b"the bytes are sealed"
_SEALED: Final = bytes.fromhex(
    "28000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
    "715ba1a113923227f1150924aa2ff9405c105a3cbdddfb593e697668be2122950e75aa51"
)

_OUTER_SEALED: Final = bytes.fromhex(
    "28000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
    "bc99781b76c9b81f608162db736cd0f4a74fa7c45e24efcb92f06fcaf4310afe4272e820f213a0bcb7256c880e82963c463bcb45"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    name: str
    passed: bool


def _aes_gcm() -> bool:
    """Test case 14 of McGrew and Viega, "The Galois/Counter Mode of Operation"; a changed tag must not open."""
    sealed = AESGCM(bytes(32)).encrypt(bytes(12), bytes(16), None)
    if sealed != bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"):
        return False
    try:
        AESGCM(bytes(32)).decrypt(bytes(12), _flipped(sealed), None)
    except InvalidTag:
        return True
    return False


def _aes_gcm_siv() -> bool:
    """RFC 8452, appendix C.2: with and without associated data."""
    cipher, nonce = AESGCMSIV(b"\1" + bytes(31)), b"\3" + bytes(11)
    return cipher.encrypt(nonce, b"\1" + bytes(7), None) == bytes.fromhex(
        "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"
    ) and (cipher.encrypt(nonce, b"\2" + bytes(7), b"\1") == bytes.fromhex("1de22967237a813291213f267e3b452f02d01ae33e4ec854"))


def _hkdf() -> bool:
    """RFC 5869, appendix A.1, and one subkey by our own labels."""
    info, salt = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"), bytes(range(13))
    known = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    subkey = "7290cafd27d5a81fe185ef51ceec2758add5a2b40c13809a80cad5b707234901"
    derived = hkdf_sha256(b"\x0b" * 22, 42, salt, info).hex(), derive(_KEY, "strongroom/self-test", b"x").hex()
    return derived == (known, subkey)


def _stream() -> bool:
    """A fixed stream of each kind is written and read (``docs/spec/at-rest.md``); changed, it does not open."""
    for construction, known in ((GCM_HKDF, _SEALED), (CTR_HMAC, _OUTER_SEALED)):
        if seal(_KEY, _PLACE, _PLAIN, lambda size: bytes(range(size)), construction) != known:
            return False
        if open_whole(_KEY, _PLACE, known, construction) != _PLAIN:
            return False
        try:
            open_whole(_KEY, _PLACE, _flipped(known), construction)
        except Forged:
            continue
        return False
    return True


def _pieces() -> bool:
    """Three segments, written piece by piece and read back."""
    plain = bytes(range(256)) * 600
    for construction in (GCM_HKDF, CTR_HMAC):
        sealer = Sealer(_KEY, _PLACE, lambda size: bytes(range(size)), construction)
        sealed = bytes(sealer.update(plain[:100_000])) + bytes(sealer.update(plain[100_000:])) + sealer.finish()
        if sealed != seal(_KEY, _PLACE, plain, lambda size: bytes(range(size)), construction):
            return False
        if Opener(_KEY, _PLACE, sealed[:40], len(sealed), construction).open(0, sealed) != plain:
            return False
    return True


def _wrapping() -> bool:
    """A data key opens in its own place and in no other."""
    wrapped = wrap(_KEY, bytes(32), b"here")
    try:
        unwrap(_KEY, wrapped, b"there")
    except Forged:
        return unwrap(_KEY, wrapped, b"here") == bytes(32)
    return False


def _checksums() -> bool:
    """The check values of the catalogue of parametrised CRC algorithms: of the digits 1 to 9."""
    digits = b"123456789"
    return (
        zlib.crc32(digits) == 0xCBF43926
        and checksums.crc32c(digits) == 0xE3069283
        and checksums.crc64nvme(digits) == 0xAE8B14860A799888
    )


def _randomness() -> bool:
    """Not a test of randomness: only that the source is there and is not a constant."""
    return len({os.urandom(32) for _ in range(4)}) == 4


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


CHECKS: Final[dict[str, Callable[[], bool]]] = {
    "AES-256-GCM": _aes_gcm,
    "AES-256-GCM-SIV": _aes_gcm_siv,
    "HKDF-SHA256": _hkdf,
    "payload stream": _stream,
    "payload in pieces": _pieces,
    "wrapping of data keys": _wrapping,
    "checksums": _checksums,
    "random source": _randomness,
}


def outcomes() -> list[Outcome]:
    """Every check; one that raises has failed."""
    found: list[Outcome] = []
    for name, check in CHECKS.items():
        try:
            passed = check()
        except Exception:  # noqa: BLE001 - whatever went wrong, it may not be relied on
            passed = False
        found.append(Outcome(name, passed))
    return found


def require() -> None:
    """Raises StartError naming what failed."""
    failed = [outcome.name for outcome in outcomes() if not outcome.passed]
    if failed:
        raise StartError(f"self-test failed: {', '.join(failed)}: this machine or its libraries must not seal data")
