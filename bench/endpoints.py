"""Other S3 servers beside Strongroom: the same requests by the same client, turn by turn.

An operator names them in ``ENDPOINTS``: ``name=URL,KEY,SECRET`` or ``name=URL,KEY,SECRET,REGION``, with semicolons between. ``moto`` alone is
moto's server, which is started for the run. Nobody but who is named there is ever asked for anything. Each is asked in a
bucket of its own, which is emptied and removed at the end. What the others promise (durability, encryption, signatures that are checked) is
theirs to say; a rate says nothing of it. Never knows how results are shown.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
import load
import servers
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from load import BenchError, Targets
from signing import REGION, Signer

VARIABLE: Final = "STRONGROOM_BENCH_ENDPOINTS"
OURS: Final = "strongroom"
MOTO: Final = "moto"
SMALL: Final = 4096
READ: Final = 500  # objects that are read
LISTED: Final = 100  # of them, on a page
WRITTEN: Final = 2_000
LARGE_MIB: Final = 64
_NAME: Final = re.compile(r"[\w.-]+")
_PORTS: Final = {"http": 80, "https": 443}
_SMALL_BODY: Final = b"0123456789abcdef" * (SMALL // 16)  # what replay.lua sends


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: str
    host: str  # as load.py names hosts
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION
    bucket: str = field(default_factory=lambda: f"strongroom-bench-{secrets.token_hex(6)}")

    def client(self) -> Any:
        return boto3.client(
            "s3",
            region_name=self.region,
            endpoint_url=load.url(self.host),
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, read_timeout=load.TIMEOUT),
        )

    def targets(self, method: str, keys: list[str], **query: str) -> list[str]:
        signer = Signer(self.host.removeprefix(load.SECURE), self.access_key_id, self.secret_access_key, self.region)
        return signer.presigned(method, self.bucket, keys, **query)


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the comparison. ``prepare`` gives what takes one sample of an endpoint."""

    name: str
    title: str
    unit: str
    prepare: Callable[[Endpoint, Path, int], Callable[[], float]]


@dataclass(slots=True)
class Compared:
    """Samples by operation and endpoint; of an operation that failed on an endpoint there are none, and the reason."""

    endpoints: list[str]
    rounds: int
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    failed: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


def parse(text: str) -> tuple[list[Endpoint], bool]:
    """What ``ENDPOINTS`` names, and whether moto is wanted. Raises BenchError, which never repeats a secret."""
    found: list[Endpoint] = []
    moto = False
    for entry in filter(None, (each.strip() for each in text.split(";"))):
        if entry == MOTO:
            moto = True
            continue
        name, _, rest = entry.partition("=")
        name = name.strip()
        if not _NAME.fullmatch(name):  # and is not repeated: it may be all of the entry
            raise BenchError("ENDPOINTS: an entry does not begin with a name and =")
        url, *credentials = rest.split(",")
        place = urlsplit(url)
        try:
            usual = _PORTS[place.scheme]
            port = place.port or usual
        except (ValueError, KeyError):
            port = 0
        if not port or not place.hostname or len(credentials) not in {2, 3}:
            raise BenchError(f"ENDPOINTS: {name} is not  name=URL,KEY,SECRET  or  name=URL,KEY,SECRET,REGION")
        if place.path.strip("/") or place.query or place.username:
            raise BenchError(f"ENDPOINTS: the URL of {name} may have nothing but a host and a port")
        host = f"[{place.hostname}]:{port}" if ":" in place.hostname else f"{place.hostname}:{port}"
        found.append(Endpoint(name, host if place.scheme == "http" else f"{load.SECURE}{host}", *credentials))
    names = [OURS, *([MOTO] if moto else []), *(each.name for each in found)]
    if len(set(names)) < len(names):
        raise BenchError(f"ENDPOINTS: names must differ, and {OURS} is ours")
    return found, moto


def compare(text: str, folder: Path, rounds: int, seconds: int, say: Callable[[str], None]) -> Compared:
    """Every operation on every endpoint, ``rounds`` times by turns. Raises BenchError when Strongroom itself fails."""
    found, moto = parse(text)
    with ExitStack() as stack:
        account = servers.Account()
        ours = stack.enter_context(servers.strongroom(folder, account))
        endpoints = [Endpoint(OURS, ours.host, account.access_key_id, account.secret_access_key)]
        if moto:
            other = stack.enter_context(servers.moto(folder))
            endpoints.append(Endpoint(MOTO, other.host, account.access_key_id, account.secret_access_key))
        endpoints += found
        for endpoint in endpoints:
            say(f"{endpoint.name}: making a bucket")
            _make_bucket(endpoint)
            stack.callback(_remove_bucket, endpoint)
        return _compared(endpoints, folder, rounds, seconds, say)


def _compared(endpoints: list[Endpoint], folder: Path, rounds: int, seconds: int, say: Callable[[str], None]) -> Compared:
    compared = Compared([endpoint.name for endpoint in endpoints], rounds)
    samplers: dict[tuple[str, str], Callable[[], float]] = {}

    def tried(operation: Operation, endpoint: Endpoint, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (BenchError, OSError) as error:
            if endpoint.name == OURS and not isinstance(error, load.NoWrk):
                raise
            compared.failed.setdefault(operation.name, {})[endpoint.name] = str(error).splitlines()[0][:200]
            samplers.pop((operation.name, endpoint.name), None)
            return None

    for operation in OPERATIONS:
        compared.samples[operation.name] = {endpoint.name: [] for endpoint in endpoints}
        for endpoint in endpoints:
            say(f"{operation.title}: preparing {endpoint.name}")
            sampler = tried(operation, endpoint, partial(operation.prepare, endpoint, folder, seconds))
            if sampler is not None:
                samplers[operation.name, endpoint.name] = sampler
    for number in range(rounds):
        for operation in OPERATIONS:
            for endpoint in endpoints:
                sampler = samplers.get((operation.name, endpoint.name))
                if sampler is None:
                    continue
                say(f"round {number + 1} of {rounds}: {operation.title}, {endpoint.name}")
                value = tried(operation, endpoint, sampler)
                if value is not None:
                    compared.samples[operation.name][endpoint.name].append(value)
    for operation, reasons in compared.failed.items():
        for name in reasons:
            compared.samples[operation][name] = []
    return compared


# ---------------------------------------------------------------------------------------------------------- the operations
def _written(endpoint: Endpoint, folder: Path, name: str, method: str, keys: list[str]) -> Targets:
    return Targets.write(folder / f"{endpoint.bucket}-{name}.targets", endpoint.targets(method, keys))


def _small_get(endpoint: Endpoint, folder: Path, seconds: int) -> Callable[[], float]:
    keys = [f"get/{number:04d}" for number in range(READ)]
    load.fill(endpoint.host, _written(endpoint, folder, "fill", "PUT", keys), SMALL)
    targets = _written(endpoint, folder, "get", "GET", keys)
    for target in endpoint.targets("GET", [keys[0], keys[-1]]):
        if load.get(endpoint.host, target, keep=True)[2] != _SMALL_BODY:
            raise BenchError(f"{endpoint.name} does not read back what was written")
    return lambda: load.wrk(endpoint.host, targets, seconds).per_second


def _small_put(endpoint: Endpoint, folder: Path, seconds: int) -> Callable[[], float]:
    targets = _written(endpoint, folder, "put", "PUT", [f"put/{number:04d}" for number in range(WRITTEN)])
    cursor = 0

    def sample() -> float:
        nonlocal cursor
        rate = load.wrk(endpoint.host, targets, seconds, method="PUT", first=cursor, size=SMALL)
        cursor += rate.requests
        return rate.per_second

    return sample


def _list(endpoint: Endpoint, folder: Path, seconds: int) -> Callable[[], float]:
    """Pages of the objects that the small GETs read, which are prepared before."""
    load.require_wrk(install=False)
    query = {"list-type": "2", "prefix": "get/00"}
    target = endpoint.targets("GET", [""], **query)
    page = load.get(endpoint.host, target[0], keep=True)[2]
    if page.count(b"<Contents>") != LISTED:
        raise BenchError(f"{endpoint.name} lists {page.count(b'<Contents>')} objects of {LISTED}")
    targets = Targets.write(folder / f"{endpoint.bucket}-list.targets", target)
    return lambda: load.wrk(endpoint.host, targets, seconds).per_second


def _large_file(folder: Path) -> Path:
    file = folder / "compared-large"
    if not file.exists():
        with file.open("wb") as body:
            for _ in range(LARGE_MIB):
                body.write(secrets.token_bytes(1 << 20))
    return file


def _large_put(endpoint: Endpoint, folder: Path, _seconds: int) -> Callable[[], float]:
    file = _large_file(folder)
    target = endpoint.targets("PUT", ["large"])[0]
    load.put(endpoint.host, target, file)
    return lambda: LARGE_MIB / load.put(endpoint.host, target, file)


def _large_get(endpoint: Endpoint, folder: Path, _seconds: int) -> Callable[[], float]:
    """Of the object that the large PUTs write, which are prepared before."""
    target = endpoint.targets("GET", ["large"])[0]
    if load.get(endpoint.host, target, keep=True)[2] != _large_file(folder).read_bytes():
        raise BenchError(f"{endpoint.name} does not read back what was written")
    return lambda: LARGE_MIB / load.get(endpoint.host, target)[0]


OPERATIONS: Final = (
    Operation("get", "GET 4 KiB", "req/s", _small_get),
    Operation("put", "PUT 4 KiB", "req/s", _small_put),
    Operation("list", f"a page of {LISTED} keys", "req/s", _list),
    Operation("large-put", f"PUT {LARGE_MIB} MiB", "MiB/s", _large_put),
    Operation("large-get", f"GET {LARGE_MIB} MiB", "MiB/s", _large_get),
)


# --------------------------------------------------------------------------------------------------------------- buckets
def _make_bucket(endpoint: Endpoint) -> None:
    named = {} if endpoint.region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": endpoint.region}}
    try:
        endpoint.client().create_bucket(Bucket=endpoint.bucket, **named)
    except (BotoCoreError, ClientError) as error:
        raise BenchError(f"{endpoint.name}: no bucket could be made: {error}") from None


def _remove_bucket(endpoint: Endpoint) -> None:
    """Leave nothing behind on a server that is not ours; what cannot be removed is told."""
    if endpoint.name in {OURS, MOTO}:  # they go as a whole
        return
    client, left = endpoint.client(), f"{endpoint.name}: the bucket {endpoint.bucket} is left behind"
    try:
        while keys := client.list_objects_v2(Bucket=endpoint.bucket).get("Contents"):
            objects = [{"Key": each["Key"]} for each in keys]
            if errors := client.delete_objects(Bucket=endpoint.bucket, Delete={"Objects": objects, "Quiet": True}).get("Errors"):
                print(f"{left}: {errors[0].get('Message')}")
                return
        client.delete_bucket(Bucket=endpoint.bucket)
    except (BotoCoreError, ClientError) as error:
        print(f"{left}: {error}")
