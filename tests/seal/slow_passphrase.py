"""A reader of bytes sealed under a passphrase, written from docs/spec/root-key.md section 2 alone; imports nothing of Strongroom."""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV


class NotOurs(Exception):
    pass


class Unsupported(Exception):
    pass


class Truncated(Exception):
    pass


class Forged(Exception):
    pass


def unseal(magic: bytes, passphrase: bytes, data: bytes) -> bytes:
    if data[0:4] != magic:
        raise NotOurs
    if data[4:5] not in {b"", b"\x01"}:
        raise Unsupported
    if len(data) < 57:
        raise Truncated
    header = data[:57]
    if header[5] != 1 or not 14 <= header[6] <= 20 or header[7] != 8 or not 1 <= header[8] <= 4:
        raise Unsupported
    if len(data) != 57 + int.from_bytes(header[53:57], "big") + 16:
        raise Truncated
    n, r, p = 2 ** header[6], header[7], header[8]
    key = hashlib.scrypt(passphrase, salt=header[9:41], n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=32)
    try:
        return AESGCMSIV(key).decrypt(header[41:53], data[57:], b"strongroom/seal/passphrase/1" + header)
    except InvalidTag:
        raise Forged from None
