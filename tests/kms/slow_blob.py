"""Ciphertext blobs written and read from ``docs/spec/kms-blob.md`` alone: slow, plain, and sharing no code with the product."""

from __future__ import annotations

import hashlib
import hmac
import re

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def one_time_key(material: bytes, salt: bytes, key_id: str, material_id: str) -> bytes:
    label = b"strongroom/kms/blob/1/1/ciphertext"
    context = salt + key_id.encode() + bytes.fromhex(material_id)
    return hmac.new(material, b"\0\0\0\x01" + label + b"\0" + context + b"\0\0\x01\0", hashlib.sha256).digest()


def encoded(context: dict[str, str]) -> bytes:
    out = number(len(context))
    for key in sorted(context, key=lambda text: text.encode()):
        for text in (key, context[key]):
            out += number(len(text.encode())) + text.encode()
    return out


def write(case: dict) -> bytes:
    header = b"SRKB\x01\x01"
    for name in ("region", "account_id", "key_id"):
        header += bytes([len(case[name])]) + case[name].encode()
    salt, iv, plain = (bytes.fromhex(case[name]) for name in ("salt", "iv", "plain"))
    header += bytes.fromhex(case["material_id"]) + salt + iv + number(len(plain))
    key = one_time_key(bytes.fromhex(case["material"]), salt, case["key_id"], case["material_id"])
    return header + AESGCM(key).encrypt(iv, plain, header + encoded(case["context"]))


def read(blob: bytes, material: bytes, context: dict[str, str]) -> bytes:
    shape = re.compile(
        rb"SRKB\x01\x01(.)([A-Za-z0-9._-]{1,64})\x0c([0-9]{12})\x24([0-9a-f-]{36}|mrk-[0-9a-f]{32})(.{32})(.{16})(.{12})(.{4})(.+)",
        re.DOTALL,
    )
    found = shape.fullmatch(blob)
    assert found, "not a blob"
    length, region, _, key_id, material_id, salt, iv, size, sealed = found.groups()
    assert length[0] == len(region)
    assert int.from_bytes(size, "big") == len(sealed) - 16
    key = one_time_key(material, salt, key_id.decode(), material_id.hex())
    return AESGCM(key).decrypt(iv, sealed, blob[: found.start(9)] + encoded(context))
