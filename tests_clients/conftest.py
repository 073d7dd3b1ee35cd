"""Clients of others, unmodified, against a server over a socket: one server for each test process, a new bucket for each test.

They live in an environment of their own, beside the server's: s3fs and the server want different versions of botocore. A
program that is not installed is a skip that says what to install; one named by ``--require`` is a failure.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.house import Server, rule, unique
from tests.clients.setups import run_shell
from tests_clients.house import HERE, LARGE, ROOT, Bucket, Many, write

for _name in [name for name in os.environ if name.startswith(("AWS_", "STRONGROOM_", "RCLONE_", "RESTIC_", "MC_"))]:
    del os.environ[_name]
os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def pytest_addoption(parser):
    parser.addoption("--require", action="append", default=[], metavar="PROGRAM", help="a program that must be there")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    python, logged = str(ROOT / ".venv" / "bin" / "python"), {"STRONGROOM_ACCESS_LOG": "true"}
    server = Server(tmp_path_factory.mktemp("server"), logged, python=python)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def s3(server):
    """What makes buckets and looks at them from the side."""
    client = server.client("s3")
    yield client
    client.close()


@pytest.fixture(scope="session")
def kms_key(server):
    kms = server.client("kms")
    arn = kms.create_key(Description="of the clients")["KeyMetadata"]["Arn"]
    kms.close()
    return arn


@pytest.fixture(params=["SSE-S3", "SSE-KMS"])
def bucket(request, s3, kms_key):
    """As it is made, and with a KMS key of one's own and a bucket key."""
    made = Bucket(unique(), kms_key if request.param == "SSE-KMS" else None, s3)
    s3.create_bucket(Bucket=made.name)
    if made.kms_key is not None:
        default = rule("aws:kms", made.kms_key, BucketKeyEnabled=True)
        s3.put_bucket_encryption(Bucket=made.name, ServerSideEncryptionConfiguration=default)
    return made


@pytest.fixture
def versioned(bucket):
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture(scope="session")
def many(s3):
    """A bucket whose listing has two pages."""
    made = Many(unique("many"), None, s3)
    s3.create_bucket(Bucket=made.name)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: s3.put_object(Bucket=made.name, Key=f"m ü/{name}", Body=name.encode()), made.names))
    return made


@pytest.fixture
def files(tmp_path):
    """``~/files`` as the page speaks of it: names that need care, a file that goes by parts, one that is empty. By name, their bytes."""
    draw = random.Random(7)
    made = {
        "one.txt": b"the first\n",
        "empty": b"",
        "deep er/ü + ñ & 50%.bin": draw.randbytes(70_000),
        "deep er/large": draw.randbytes(LARGE),
    } | {f"many/{number:03}": b"%d" % number for number in range(40)}
    for name, data in made.items():
        write(tmp_path / "files" / name, data)
    return made


@pytest.fixture
def environ(server, tmp_path):
    """A clean environment after the page's first block."""
    home = {"HOME": str(tmp_path), "PATH": f"{HERE}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return run_shell("Credentials", server, home | {"NO_PROXY": "127.0.0.1,localhost", "AWS_EC2_METADATA_DISABLED": "true"})


@pytest.fixture
def at_home(environ, tmp_path, monkeypatch):
    """The same for this process, which imports the client."""
    for name in ("HOME", *(name for name in environ if name.startswith("AWS_"))):
        monkeypatch.setenv(name, environ[name])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def extension(tmp_path):
    """DuckDB's httpfs, installed in a HOME as ``INSTALL`` would, from a package instead of DuckDB's own site."""
    import duckdb
    import duckdb_extension_httpfs as package

    (given,) = (found for place in package.__path__ for found in Path(place).rglob("httpfs.duckdb_extension"))
    with duckdb.connect() as db:
        ((system,),) = db.sql("PRAGMA platform").fetchall()
    place = tmp_path / ".duckdb" / "extensions" / f"v{duckdb.__version__}" / system
    place.mkdir(parents=True)
    shutil.copy(given, place)


@pytest.fixture(scope="session")
def find(request):
    """Where a program is: ``find("rclone", "apt-get install rclone")``; ``marks`` must be in what its version says."""

    def look(name: str, how: str, marks: str = "", version: str = "version") -> str:
        path = shutil.which(name, path=f"{HERE}:{os.environ['PATH']}")
        if path is not None:
            said = subprocess.run([path, version], capture_output=True, text=True, timeout=60, check=False)
            if said.returncode == 0 and marks in said.stdout:
                return path
        if name in request.config.getoption("--require"):
            pytest.fail(f"{name} is required and not installed: {how}", pytrace=False)
        pytest.skip(f"{name} is not installed, so it is not tested: {how}")

    return look
