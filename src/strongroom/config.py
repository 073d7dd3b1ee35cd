"""The one frozen Config, and where each of its values came from: flag, environment, TOML file or default, in that order.

Never knows what a setting does. A name nobody knows is an error, so that a misspelt setting cannot go unnoticed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, cast

PREFIX: Final = "STRONGROOM_"
#: The TOML file itself is named by ``--config`` or this variable.
FILE_VARIABLE: Final = "STRONGROOM_CONFIG"


class ConfigError(Exception):
    """One line for the operator: which setting is wrong, and why."""


def _setting(default: Any, text: str, *, environment_only: bool = False) -> Any:
    metadata = {"help": text, "environment_only": environment_only}
    return field(default=default, metadata=metadata, repr=not environment_only)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything an operator may choose. Field names are the TOML keys; ``STRONGROOM_`` + upper case are the variables."""

    data_dir: Path = _setting(Path("strongroom-data"), "folder that holds everything: keys, catalog, blobs")
    root_key: str = _setting(
        "file",
        "where the root key is: file, passphrase:(prompt | file:PATH | fd:N | env:NAME | credential:NAME), credential:NAME, fd:N",
    )
    listen: str = _setting("127.0.0.1:9000", "HOST:PORT; [::1]:PORT for IPv6; port 0 takes a free one")
    workers: int = _setting(1, "worker processes")
    tls_cert: Path | None = _setting(None, "PEM file: the server's certificate, then those above it; with tls_key, TLS is served")
    tls_key: Path | None = _setting(None, "PEM file: the certificate's private key, for its owner alone")
    tls: Literal["files", "self-signed"] = _setting(
        "files", "self-signed: TLS with a certificate made for development; files: TLS if tls_cert and tls_key are given"
    )
    regions: tuple[str, ...] = _setting((), "regions that are served; none given: any of AWS's form")
    domains: tuple[str, ...] = _setting(("localhost",), "host names below which BUCKET.DOMAIN names a bucket")
    new_bucket_sse_c: Literal["blocked", "allowed"] = _setting("blocked", "whether a new bucket takes SSE-C uploads")
    plain_http_secrets: Literal["loopback", "refuse", "allow"] = _setting(
        "loopback", "whether requests that carry or use keys are taken over plain HTTP"
    )
    bucket_key_seconds: float = _setting(300.0, "how long S3 uses a bucket key before it asks KMS for another")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "least severe event that is logged")
    access_log: str = _setting("off", "one line for each request: off, stderr, or the path of a file")
    traces: str = _setting(
        "off", "where a collector takes OpenTelemetry's traces by HTTP, http://HOST:4318/v1/traces; needs strongroom[otel]"
    )
    traces_percent: int = _setting(100, "how many of all requests leave a trace")
    body_idle_seconds: float = _setting(30.0, "an upload that sends nothing for so long is given up")
    body_least_rate: int = _setting(1024, "bytes a second that an upload must reach on the whole")
    header_seconds: float = _setting(20.0, "how long a connection may take to send the head of a request, or stay idle")
    connections: int = _setting(2048, "connections that a worker keeps open; more wait until one is closed")
    requests: int = _setting(512, "requests that a worker has in hand; more are answered SlowDown")
    caller_requests: int = _setting(128, "of them, those of one access key, or of one address without one")
    row_memory_mib: int = _setting(
        32, "memory for rows of objects that were read lately, sealed as they are, in a worker; 0: none"
    )
    body_memory_mib: int = _setting(
        512, "memory for uploads and downloads under way, in a worker; one caller's may take half of it"
    )
    refusals: int = _setting(
        100, "a second: how many refusals one sender is told at once, the others are held back; 0: any number"
    )
    refusals_in_a_row: int = _setting(20, "as many refusals in a row, and nothing else, end a connection; 0: any number")
    reserve_mib: int = _setting(48, "room kept on the disk for deletes and the record of key uses when it is full; 0: none")
    discard_grace_seconds: float = _setting(
        900.0, "how long the bytes of replaced and deleted objects stay for downloads under way"
    )
    lifecycle_seconds: float = _setting(900.0, "how often the server looks whether a bucket's lifecycle has anything due")
    lifecycle_rate: int = _setting(4000, "versions a second that lifecycles go through; 0: as fast as it goes")
    scrub_rate: int = _setting(8 << 20, "bytes a second that are read in the background to find damage; 0: none")
    scrub_days: int = _setting(30, "how often everything is looked at so, at most")
    restore_seconds: int = _setting(0, "how long RestoreObject takes until an archived object can be read")
    stop_seconds: int = _setting(30, "how long running requests may take to finish when the server stops")
    root_access_key_id: str | None = _setting(None, "of the first account, on the first start", environment_only=True)
    root_secret_access_key: str | None = _setting(None, "of the first account, on the first start", environment_only=True)
    account_id: str | None = _setting(None, "of the first account, on the first start", environment_only=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host (without brackets) and port."""
        return split_address(self.listen)

    @property
    def reserve_part(self) -> int:
        """Bytes of each of the three parts of the reserve."""
        return (self.reserve_mib << 20) // 3 & -4096

    @property
    def scheme(self) -> Literal["http", "https"]:
        return "https" if self.tls == "self-signed" or self.tls_cert is not None else "http"

    def without_secrets(self) -> Config:
        """The same without what only the first start needs: what worker processes are given."""
        return replace(self, root_access_key_id=None, root_secret_access_key=None, account_id=None)


def split_address(listen: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[V6]:PORT`` taken apart. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535 or bracketed != (":" in host):
        raise ValueError("must be HOST:PORT, or [ADDRESS]:PORT for IPv6")
    return host, int(port)


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a secret of the operator's comes from. As a text, as it is written in settings."""

    kind: Literal["prompt", "file", "fd", "env", "credential"]
    name: str = ""  # a path, a number, a variable, a systemd credential

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class KeyForm:
    """How the root key is kept: ``file`` (plain) and ``passphrase`` in the data folder, else the key itself is at ``place``."""

    form: Literal["file", "passphrase", "credential", "fd"]
    place: SecretPlace | None = None  # of the passphrase, or of the key itself

    @property
    def in_folder(self) -> bool:
        return self.form in {"file", "passphrase"}


_NAMES: Final = {
    "fd": re.compile(r"[0-9]{1,4}"),
    "env": re.compile(rf"(?!{PREFIX})[A-Za-z_][A-Za-z0-9_]*"),  # those of ours would be unknown settings
    "credential": re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,255}"),
    "file": re.compile(r".+"),
}


def parse_key_form(text: str) -> KeyForm:
    """Raises ValueError."""
    form, colon, rest = text.partition(":")
    if form == "file" and not colon:
        return KeyForm("file")
    if form == "passphrase":
        return KeyForm("passphrase", parse_secret_place(rest))
    if form in {"credential", "fd"}:
        return KeyForm(cast("Any", form), parse_secret_place(text))
    raise ValueError("must be file, passphrase:…, credential:NAME or fd:N")


def parse_secret_place(text: str) -> SecretPlace:
    """Raises ValueError."""
    kind, colon, name = text.partition(":")
    if kind == "prompt" and not colon:
        return SecretPlace("prompt")
    if kind not in _NAMES or _NAMES[kind].fullmatch(name) is None:
        raise ValueError("must name its place: prompt, file:PATH, fd:N, env:NAME or credential:NAME")
    return SecretPlace(cast("Any", kind), str(Path(name).expanduser()) if kind == "file" else name)


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """``http://HOST:PORT``, with the brackets an IPv6 address needs."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Shown:
    """One effective setting, fit to be printed."""

    name: str
    value: str
    source: str  # "flag", "environment", the file's path, "default"
    help: str


@dataclass(frozen=True, slots=True)
class Loaded:
    config: Config
    sources: Mapping[str, str]  # setting -> where it came from; those not named are defaults

    def shown(self) -> list[Shown]:
        """Every setting but the secrets, which are only said to be there."""
        rows: list[Shown] = []
        for each in fields(Config):
            value = getattr(self.config, each.name)
            if each.metadata["environment_only"]:
                text = "" if value is None else "(set, not shown)"
            elif value is None:
                text = ""
            elif isinstance(value, tuple):
                text = ", ".join(cast("tuple[str, ...]", value))
            else:
                text = str(value).lower() if isinstance(value, bool) else str(value)
            rows.append(Shown(each.name, text, self.sources.get(each.name, "default"), each.metadata["help"]))
        return rows


def load(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Loaded:
    """The effective configuration. Flags that are None count as not given. Raises ConfigError."""
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}

    def take(name: str, raw: object, source: str, shown_name: str) -> None:
        try:
            values[name] = _READ[name](raw)
        except ValueError as error:
            raise ConfigError(f"{shown_name} {error}") from None
        sources[name] = source

    for name, raw in (_toml(file) if file is not None else {}).items():
        take(name, raw, str(file), f"{file}: {name}")
    for variable, raw in environ.items():
        if variable.startswith(PREFIX) and variable != FILE_VARIABLE:
            name = variable.removeprefix(PREFIX).lower()
            if name not in _READ or variable != variable.upper():
                raise ConfigError(f"unknown setting {variable} in the environment")
            if raw:
                take(name, raw, "environment", variable)
    for name, raw in flags.items():
        if raw is not None:
            take(name, raw, "flag", f"--{name.replace('_', '-')}")
    config = Config(**values)
    if (config.root_access_key_id is None) != (config.root_secret_access_key is None):
        raise ConfigError("STRONGROOM_ROOT_ACCESS_KEY_ID and STRONGROOM_ROOT_SECRET_ACCESS_KEY must be given together")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError("tls_cert and tls_key must be given together")
    if config.tls == "self-signed" and config.tls_cert is not None:
        raise ConfigError("tls is self-signed, but tls_cert and tls_key are given too: choose one")
    return Loaded(config, sources)


def _toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    environment_only = {each.name for each in fields(Config) if each.metadata["environment_only"]}
    for name in table:
        if name in environment_only:
            raise ConfigError(f"{file}: {name} may only come from the environment ({PREFIX}{name.upper()})")
        if name not in _READ:
            raise ConfigError(f"{file}: unknown setting {name}")
    return table


def _text(raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError("must be a text")
    return raw


def _path(raw: object) -> Path:
    return Path(_text(str(raw) if isinstance(raw, Path) else raw)).expanduser()


def _address(raw: object) -> str:
    text = _text(raw)
    split_address(text)
    return text


def _root_key(raw: object) -> str:
    text = _text(raw)
    parse_key_form(text)
    return text


def _names(raw: object) -> tuple[str, ...]:
    """A TOML list of texts, or one text with commas."""
    parts: Sequence[object] = raw.split(",") if isinstance(raw, str) else _listed(raw)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("must be a list of texts")
    return tuple(stripped for part in parts if (stripped := str(part).strip()))


def _listed(raw: object) -> Sequence[object]:
    return cast("Sequence[object]", raw) if isinstance(raw, list | tuple) else [None]


def _domains(raw: object) -> tuple[str, ...]:
    return tuple(name.lower().strip(".") for name in _names(raw))


def _whole(least: int, most: int) -> Callable[[object], int]:
    def read(raw: object) -> int:
        if isinstance(raw, str) and raw.isascii() and raw.isdigit():
            raw = int(raw)
        if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return raw

    return read


def _seconds(raw: object) -> float:
    try:
        number = float(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 1 <= number <= 86_400:
        raise ValueError("must be a number of seconds from 1 to 86400")
    return number


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if raw not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return str(raw)

    return read


def _access_log(raw: object) -> str:
    """A switch, too, as it once was."""
    known: dict[object, str] = {True: "stderr", False: "off", "true": "stderr", "false": "off"}
    if isinstance(raw, bool) or raw in {"true", "false", "off", "stderr"}:
        return known[raw] if raw in known else str(raw)
    path = _path(raw)
    if not path.is_absolute():
        raise ValueError("must be off, stderr, or the absolute path of a file")
    return str(path)


def _traces(raw: object) -> str:
    text = _text(raw)
    if text != "off" and re.fullmatch(r"https?://[^\s/]+(/\S*)?", text) is None:
        raise ValueError("must be off, or begin with http:// or https://")
    return text


_READ: Final[dict[str, Callable[[object], Any]]] = {
    "data_dir": _path,
    "root_key": _root_key,
    "listen": _address,
    "workers": _whole(1, 64),
    "tls_cert": _path,
    "tls_key": _path,
    "tls": _one_of("files", "self-signed"),
    "regions": _names,
    "domains": _domains,
    "new_bucket_sse_c": _one_of("blocked", "allowed"),
    "plain_http_secrets": _one_of("loopback", "refuse", "allow"),
    "bucket_key_seconds": _seconds,
    "log_level": _one_of("debug", "info", "warning", "error"),
    "access_log": _access_log,
    "traces": _traces,
    "traces_percent": _whole(1, 100),
    "body_idle_seconds": _seconds,
    "body_least_rate": _whole(0, 1 << 30),
    "header_seconds": _seconds,
    "connections": _whole(1, 1_000_000),
    "requests": _whole(1, 1_000_000),
    "caller_requests": _whole(1, 1_000_000),
    "row_memory_mib": _whole(0, 1 << 20),
    "body_memory_mib": _whole(16, 1 << 20),
    "refusals": _whole(0, 1_000_000),
    "refusals_in_a_row": _whole(0, 1_000_000),
    "reserve_mib": _whole(0, 1 << 20),
    "discard_grace_seconds": _seconds,
    "lifecycle_seconds": _seconds,
    "lifecycle_rate": _whole(0, 1_000_000),
    "scrub_rate": _whole(0, 1 << 40),
    "scrub_days": _whole(1, 3650),
    "restore_seconds": _whole(0, 30 * 86_400),
    "stop_seconds": _whole(1, 3600),
    "root_access_key_id": _text,
    "root_secret_access_key": _text,
    "account_id": _text,
}
