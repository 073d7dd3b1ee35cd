"""One server for each test process, as long as it lives; buckets and keys are made anew for each test."""

from __future__ import annotations

import socket

import pytest

from tests.clients.doors import doors
from tests.clients.house import STRANGER, Server, unique


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory):
    """A server of two workers; ``two_doors`` lead to them one by one."""
    server = Server(tmp_path_factory.mktemp("two"), workers=2)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def two_doors(two_workers):
    opened = doors(two_workers)
    yield opened
    for door in opened:
        door.close()


@pytest.fixture
def own_server(tmp_path):
    """One for a single test, that may be stopped and killed."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def stranger(server):
    return server.account(STRANGER, "stranger")


@pytest.fixture(scope="session")
def s3(server):
    client = server.client("s3")
    yield client
    client.close()


@pytest.fixture(scope="session")
def kms(server):
    client = server.client("kms")
    yield client
    client.close()


@pytest.fixture(scope="session")
def iam(server):
    client = server.client("iam")
    yield client
    client.close()


@pytest.fixture
def bucket(s3):
    name = unique()
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def key(kms):
    """A new KMS key: its metadata."""
    return kms.create_key()["KeyMetadata"]


@pytest.fixture(scope="session")
def keys(kms):
    """Two keys of one's own, with an alias for the first; and the one that S3 manages."""
    first, second = (kms.create_key()["KeyMetadata"] for _ in range(2))
    kms.create_alias(AliasName="alias/first", TargetKeyId=first["KeyId"])
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    return first, second, managed


@pytest.fixture
def resolving(monkeypatch):
    """Every name below ``localhost`` is this machine (RFC 6761), also where the system's resolver does not know it."""
    real = socket.getaddrinfo

    def find(host, *args, **kwargs):
        here = isinstance(host, str) and (host == "localhost" or host.endswith(".localhost"))
        return real("127.0.0.1" if here else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", find)
