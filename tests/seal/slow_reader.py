"""A reader of bytes at rest, written from docs/spec/at-rest.md alone: literal, slow, and importing nothing of Strongroom.

Section numbers are those of the page. It has a right to be wrong only where the page is.
"""

import hashlib
import hmac
import math

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class NotOurs(Exception):
    pass


class Unsupported(Exception):
    pass


class Truncated(Exception):
    pass


class Forged(Exception):
    pass


class AnotherKey(Exception):
    """Of a customer; no sign of damage."""


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


# Section 2


def derive(key: bytes, label: str, context: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=lp(label.encode()) + lp(context)).derive(key)


# Section 3


def sealed_length(plain: int) -> int:
    return plain + 40 + 16 * max(1, math.ceil((plain + 40) / 65520))


def plain_length(sealed: int) -> int:
    segments = math.ceil(sealed / 65536)
    last = sealed - 65536 * (segments - 1)
    if sealed < 56 or segments > 2**32 or (segments > 1 and last <= 16):
        raise Truncated
    return sealed - 40 - 16 * segments


def stream_associated_data(blob_id: str, part_number: int) -> bytes:
    return b"strongroom/seal/stream/1" + bytes.fromhex(blob_id) + part_number.to_bytes(2, "big")


def read_stream(data_key: bytes, associated_data: bytes, sealed: bytes) -> bytes:
    plain_length(len(sealed))
    if sealed[0] != 40:
        raise Forged
    salt, prefix = sealed[1:33], sealed[33:40]
    key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=associated_data).derive(data_key)
    plaintext = b""
    index = 0
    while 65536 * index < len(sealed):
        start, end = max(40, 65536 * index), min(65536 * (index + 1), len(sealed))
        last = b"\x01" if end == len(sealed) else b"\x00"
        try:
            plaintext += AESGCM(key).decrypt(prefix + index.to_bytes(4, "big") + last, sealed[start:end], None)
        except InvalidTag:
            raise Forged from None
        index += 1
    return plaintext


def range_plan(plain: int, first: int, last: int) -> tuple[int, int]:
    """From and to which sealed byte."""
    first_segment, last_segment = (first + 40) // 65520, (last + 40) // 65520
    return 65536 * first_segment, min(65536 * (last_segment + 1), sealed_length(plain))


# Section 3.1


def outer_length(inner: int) -> int:
    return inner + 40 + 32 * max(1, math.ceil((inner + 40) / 65504))


def outer_plain_length(sealed: int) -> int:
    segments = math.ceil(sealed / 65536)
    last = sealed - 65536 * (segments - 1)
    if sealed < 72 or segments > 2**32 or (segments > 1 and last <= 32):
        raise Truncated
    return sealed - 40 - 32 * segments


def outer_associated_data(blob_id: str, part_number: int) -> bytes:
    return b"strongroom/seal/outer-stream/1" + bytes.fromhex(blob_id) + part_number.to_bytes(2, "big")


def read_outer_stream(data_key: bytes, associated_data: bytes, sealed: bytes) -> bytes:
    outer_plain_length(len(sealed))
    if sealed[0] != 40:
        raise Forged
    salt, prefix = sealed[1:33], sealed[33:40]
    keys = HKDF(algorithm=SHA256(), length=64, salt=salt, info=associated_data).derive(data_key)
    inner = b""
    index = 0
    while 65536 * index < len(sealed):
        start, end = max(40, 65536 * index), min(65536 * (index + 1), len(sealed))
        last = b"\x01" if end == len(sealed) else b"\x00"
        block = prefix + index.to_bytes(4, "big") + last + bytes(4)
        ciphertext, tag = sealed[start : end - 32], sealed[end - 32 : end]
        if not hmac.compare_digest(hmac.new(keys[32:], block + ciphertext, "sha256").digest(), tag):
            raise Forged
        inner += Cipher(algorithms.AES(keys[:32]), modes.CTR(block)).decryptor().update(ciphertext)
        index += 1
    return inner


# Section 4


def read_manifest(data: bytes) -> list[tuple[str, int, int]]:
    if len(data) == 0:
        raise Truncated
    if data[0] != 1:
        raise Unsupported
    if len(data) < 5 or len(data) != 5 + 26 * number(data[1:5]):
        raise Truncated
    entries = [data[at : at + 26] for at in range(5, len(data), 26)]
    return [(entry[:16].hex(), number(entry[16:18]), number(entry[18:])) for entry in entries]


# Section 5


def take(data: bytes) -> tuple[bytes, bytes]:
    """A field and what follows it."""
    if len(data) < 2 or len(data) < 2 + number(data[:2]):
        raise Truncated
    end = 2 + number(data[:2])
    return data[2:end], data[end:]


def text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise NotOurs from None


def read_context(data: bytes) -> dict[str, str]:
    keys, values = [], []
    while data:
        key, data = take(data)
        value, data = take(data)
        keys.append(key)
        values.append(value)
    if keys != sorted(set(keys)):
        raise NotOurs
    return {text(key): text(value) for key, value in zip(keys, values, strict=True)}


def read_envelope(data: bytes) -> dict[str, object]:
    if data[:3] != b"SRE"[: len(data)]:
        raise NotOurs
    if len(data) < 6:
        raise Truncated
    version, mode, flags = data[3], data[4], data[5]
    if version != 1 or mode not in {1, 2, 3, 4} or flags not in {0, 1}:
        raise Unsupported
    key_id, rest = take(data[6:])
    key_arn, rest = take(rest)
    kms, rest = take(rest)
    context, rest = take(rest)
    wrapped, rest = take(rest)
    outer_wrapped = b""
    if mode == 3:
        outer_wrapped, rest = take(rest)
    if rest:
        raise Truncated
    pairs = read_context(context)
    text(key_id)
    text(key_arn)
    hexadecimal = len(key_id) == 32 and all(digit in b"0123456789abcdef" for digit in key_id)
    if mode in {1, 4} and (not hexadecimal or key_arn or kms or context or flags):
        raise NotOurs
    if mode == 2 and (key_id or not key_arn or not kms):
        raise NotOurs
    if mode == 3 and (not hexadecimal or not key_arn or not kms or flags):
        raise NotOurs
    if mode == 3 and (wrapped == b"") != (outer_wrapped == b""):
        raise NotOurs
    keys = 2 + len(wrapped) + (2 + len(outer_wrapped) if mode == 3 else 0)
    return {
        "mode": mode,
        "bucket_key": flags == 1,
        "key_id": key_id.decode(),
        "key_arn": key_arn.decode(),
        "kms_wrapped": kms,
        "context": pairs,
        "wrapped": wrapped,
        "outer_wrapped": outer_wrapped,
        "bare": data[: len(data) - keys] + (bytes(4) if mode == 3 else bytes(2)),
    }


# Section 6


def unwrap(kek: bytes, wrapped: bytes, binding: bytes) -> bytes:
    if len(wrapped) < 28:
        raise Truncated
    try:
        return AESGCMSIV(kek).decrypt(wrapped[:12], wrapped[12:], b"strongroom/seal/wrap/1" + binding)
    except InvalidTag:
        raise Forged from None


def outer_version_binding(bucket_id: str, object_key: str, version_id: str, manifest: bytes, bare: bytes) -> bytes:
    place = lp(bucket_id.encode()) + lp(object_key.encode()) + lp(version_id.encode())
    return b"strongroom/seal/outer-version/1" + place + hashlib.sha256(manifest).digest() + bare


def version_binding(bucket_id: str, object_key: str, version_id: str, manifest: bytes, bare: bytes) -> bytes:
    place = lp(bucket_id.encode()) + lp(object_key.encode()) + lp(version_id.encode())
    return b"strongroom/seal/version/1" + place + hashlib.sha256(manifest).digest() + bare


def open_lock(customer_key: bytes, lock: bytes, bucket_id: str, object_key: str) -> bytes:
    if len(lock) != 124:
        raise Truncated
    salt, verifier, wrapped = lock[:32], lock[32:64], lock[64:]
    if derive(customer_key, "strongroom/seal/customer/verifier/1", b"", salt) != verifier:
        raise AnotherKey
    kek = derive(customer_key, "strongroom/seal/customer/kek/1", b"", salt)
    binding = b"strongroom/seal/customer/data-key/1" + lp(bucket_id.encode()) + lp(object_key.encode())
    return unwrap(kek, wrapped, binding)


# Section 7


def open_record(key: bytes, record: bytes, place: bytes) -> bytes:
    if len(record) == 0:
        raise Truncated
    if record[0] != 1:
        raise Unsupported
    if len(record) < 29:
        raise Truncated
    return _open_under(key, record, b"strongroom/seal/record/1" + place)


def open_version_record(
    key: bytes, record: bytes, bucket_id: str, object_key: str, version_id: str, size: int, seal: bytes, manifest: bytes
) -> bytes:
    """The record beside the other columns of a version's row."""
    if record[:1] != b"\x02":
        beside = hashlib.sha256(size.to_bytes(8, "big") + lp(seal) + manifest).digest()
        return open_record(key, record, lp(bucket_id.encode()) + lp(object_key.encode()) + lp(version_id.encode()) + beside)
    if len(record) < 29:
        raise Truncated
    texts = object_key.encode(), version_id.encode(), seal
    place = size.to_bytes(8, "big") + b"".join(len(text).to_bytes(4, "big") for text in texts) + b"".join(texts) + manifest
    return _open_under(key, record, b"strongroom/seal/record/2" + place)


def _open_under(key: bytes, record: bytes, bound: bytes) -> bytes:
    try:
        return AESGCMSIV(key).decrypt(record[1:13], record[13:], bound)
    except InvalidTag:
        raise Forged from None


# Section 1: to read an object


def read_object(
    kek: bytes,
    place: tuple[str, str, str],
    seal: bytes,
    manifest: bytes,
    streams: dict[str, bytes],
    customer_key: bytes = b"",
    outer_kek: bytes = b"",
) -> bytes:
    """``outer_kek``: the second key-encrypting key of DSSE-KMS."""
    envelope = read_envelope(seal)
    data_key = unwrap(kek, envelope["wrapped"], version_binding(*place, manifest, envelope["bare"]))
    if envelope["mode"] == 4:
        data_key = open_lock(customer_key, data_key, place[0], place[1])
    if envelope["mode"] == 3:
        outer_key = unwrap(outer_kek, envelope["outer_wrapped"], outer_version_binding(*place, manifest, envelope["bare"]))
    plaintext = b""
    for blob_id, part_number, size in read_manifest(manifest):
        sealed = streams[blob_id]
        if len(sealed) != (outer_length(sealed_length(size)) if envelope["mode"] == 3 else sealed_length(size)):
            raise Truncated
        if envelope["mode"] == 3:
            sealed = read_outer_stream(outer_key, outer_associated_data(blob_id, part_number), sealed)
        plaintext += read_stream(data_key, stream_associated_data(blob_id, part_number), sealed)
    return plaintext
