"""Certificates as a certificate authority would give them out, made with the same library but nothing of the server's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("tests' authority")
        extension = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = _builder(name, name, key, datetime.now(UTC) - timedelta(days=1000), datetime.now(UTC) + timedelta(days=1000))
        builder = builder.add_extension(extension, critical=True).add_extension(usage, critical=True)
        return cls(builder.sign(key, SHA256()), key)

    def issue(self, folder: Path, *, start: float = -1, end: float = 90, key: object = None, name: str = "server") -> Pair:
        """Certificate and key in a folder; ``start`` and ``end`` in days from now."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            _builder(_name("a server"), self.certificate.subject, own, now + timedelta(days=start), now + timedelta(days=end))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        pair = Pair(folder / f"{name}.pem", folder / f"{name}.key", certificate.fingerprint(SHA256()))
        pair.certificate.write_bytes(certificate.public_bytes(PEM) + self.certificate.public_bytes(PEM))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(key_text(own))
        return pair

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(PEM))
        return path


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path
    fingerprint: bytes

    @property
    def words(self) -> tuple[str, ...]:
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)


def key_text(key, password: bytes | None = None) -> bytes:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, how)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, key, start, end) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), start, end)
