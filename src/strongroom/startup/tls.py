"""The server's certificate and its key: files that are checked before anything listens, or a pair made here for development.

Never knows HTTP or workers: who serves is given two paths that were proven to belong together.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.startup import StartError
from strongroom.startup.folder import sync_folder, write_secret

FOLDER: Final = "tls"  # in the data folder: the pair made for development
CERTIFICATE_FILE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"
SOON: Final = timedelta(days=30)
_LIFE: Final = timedelta(days=397)
_MOST: Final = 1 << 20  # bytes of a file
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what may be listened on

_PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and the key that belongs to it, by their paths as they were given."""

    certificate: Path
    key: Path
    fingerprint: str  # SHA-256 of the certificate, as OpenSSL writes it
    names: tuple[str, ...]  # what it may be reached by: host names and addresses
    not_before: datetime
    not_after: datetime

    def context(self) -> ssl.SSLContext:
        """What connections are opened with, of what the files hold now. Raises OSError, ssl.SSLError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.certificate, self.key, _no_password)
        return context

    def concern(self, now: datetime) -> tuple[Literal["bad", "notice"], str] | None:
        """What the operator should know of its dates: ``bad`` when clients refuse it now."""
        if now > self.not_after:
            return "bad", f"{self.certificate} expired on {_day(self.not_after)}: clients refuse it"
        if now < self.not_before:
            return "bad", f"{self.certificate} is not valid before {_day(self.not_before)}: clients refuse it"
        if now + SOON > self.not_after:
            return "notice", f"{self.certificate} expires on {_day(self.not_after)}"
        return None


def _no_password() -> bytes:
    """Instead of asking whoever sits at the terminal."""
    return b""


def _day(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes").removesuffix("+00:00") + " UTC"


def load(certificate: Path, key: Path) -> Certificate:
    """Read both files and make sure that they belong together. Raises StartError."""
    try:
        chain = x509.load_pem_x509_certificates(_read(certificate, secret=False))
    except ValueError:
        raise StartError(f"{certificate} is not a PEM certificate") from None
    private = _private_key(key)
    public = _public_bytes(private.public_key())
    if _public_of(chain[0]) != public:
        if any(_public_of(each) == public for each in chain[1:]):
            raise StartError(f"{certificate}: the server's own certificate must come first, then those above it")
        raise StartError(f"{key} is not the key of the certificate {certificate}")
    leaf = chain[0]
    return Certificate(
        certificate,
        key,
        leaf.fingerprint(SHA256()).hex(":").upper(),
        _names_of(leaf),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )


def _private_key(path: Path) -> _PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path, secret=True), None)
    except TypeError:
        raise StartError(f"{path} is encrypted: give a key without a password, for its owner alone") from None
    except (ValueError, UnsupportedAlgorithm):
        raise StartError(f"{path} is not a PEM private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise StartError(f"{path}: TLS is served with RSA, ECDSA or Ed25519 keys only")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 2048:
        raise StartError(f"{path}: an RSA key must have 2048 bits or more")
    return key


def _read(path: Path, *, secret: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_MOST)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    if secret and mode & 0o077:
        raise StartError(f"{path} may be used by others than its owner (mode {mode:04o}): run  chmod 600 {path}")
    return data


def _public_of(certificate: x509.Certificate) -> bytes:
    """Empty, and so equal to none, for a kind of key the library does not know."""
    try:
        return _public_bytes(certificate.public_key())
    except (UnsupportedAlgorithm, ValueError):
        return b""


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))


# ------------------------------------------------------------------------------------------------------- for development


def self_signed(data_dir: Path, host: str, domains: Sequence[str], now: datetime) -> tuple[Certificate, bool]:
    """The pair in the data folder, and whether it was made now: on first use, near its end, or for another host.

    Raises StartError.
    """
    folder = data_dir / FOLDER
    certificate, key = folder / CERTIFICATE_FILE, folder / KEY_FILE
    names = _wanted(host, domains)
    try:
        if certificate.exists() and key.exists():
            found = load(certificate, key)
            if found.concern(now) is None and set(names) <= set(found.names):
                return found, False
        folder.mkdir(mode=0o700, exist_ok=True)
        certificate.unlink(missing_ok=True)  # it is there if and only if the key beside it is its own
        sync_folder(folder)
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_secret(key, pem, replace=True)
        write_secret(certificate, _sign(private, names, now).public_bytes(serialization.Encoding.PEM), replace=True)
    except OSError as error:
        raise StartError(f"{error.filename or folder}: {error.strerror}") from None
    return load(certificate, key), True


def _wanted(host: str, domains: Sequence[str]) -> tuple[str, ...]:
    names = ["localhost", "*.localhost"]
    for domain in domains:
        names += [domain, f"*.{domain}"]
    names += ["127.0.0.1", "::1"]
    if host not in _ANYWHERE:
        names.append(str(address) if (address := _address(host)) else host.lower())
    return tuple(dict.fromkeys(names))


def _sign(private: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime) -> x509.Certificate:
    """A server's certificate and no authority: it vouches for nothing but itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Strongroom, self-signed for development")])
    public = private.public_key()
    general = [x509.IPAddress(address) if (address := _address(name)) else x509.DNSName(name) for name in names]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    moment = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))  # for clocks that are behind
        .not_valid_after(moment + _LIFE)
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(private, SHA256())
    )


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------------------- new files


def stamp(certificate: Path, key: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes when one of the files is replaced or written; follows links, as renewal tools set them. Never raises."""
    stamps: list[tuple[int, int, int]] = []
    for path in (certificate, key):
        try:
            found = path.stat()
        except OSError:
            stamps.append((0, 0, 0))
        else:
            stamps.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return tuple(stamps)
