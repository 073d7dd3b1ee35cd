"""Over TLS, with the certificate that the server has made for itself: each client trusts it as the page says.

What clients send over https alone is here too: keys of the customer's own.
"""

from __future__ import annotations

import base64
import io
import os

import boto3
import duckdb
import obstore
import pytest
import s3fs
from minio import Minio
from minio.sse import SseCustomerKey
from obstore.store import S3Store
from pyarrow import fs

from tests.clients.house import Server, rule, unique
from tests.clients.setups import run_shell
from tests_clients.house import HERE, ROOT, Program

DATA = b"over the wire" * 1000
MINE = b"thirty-two bytes that are mine.."


class Secure(Server):
    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    server = Secure(
        tmp_path_factory.mktemp("secure"), {"STRONGROOM_TLS": "self-signed"}, python=str(ROOT / ".venv" / "bin" / "python")
    )
    server.start()
    yield server
    server.close()


@pytest.fixture
def trusting(secure, tmp_path, monkeypatch):
    """The environment that the page makes, also for this process."""
    start = {"HOME": str(tmp_path), "PATH": f"{HERE}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    environ = run_shell("TLS", secure, run_shell("Credentials", secure, start))
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
    ):
        monkeypatch.setenv(name, environ[name])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return environ


@pytest.fixture
def s3(trusting):
    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def name(s3):
    """A bucket that takes keys of the customer's own, too."""
    made = unique("tls")
    s3.create_bucket(Bucket=made)
    taking = rule(BlockedEncryptionTypes={"EncryptionType": ["NONE"]})
    s3.put_bucket_encryption(Bucket=made, ServerSideEncryptionConfiguration=taking)
    return made


def is_mine(s3, name, object_key):
    """Whether it is sealed under the customer's key: read with it, refused without."""
    with pytest.raises(s3.exceptions.ClientError, match="400"):
        s3.head_object(Bucket=name, Key=object_key)
    with s3.get_object(Bucket=name, Key=object_key, SSECustomerAlgorithm="AES256", SSECustomerKey=MINE)["Body"] as body:
        return body.read() == DATA


def test_s3fs(trusting, name):
    files = s3fs.S3FileSystem()
    files.pipe(f"{name}/k", DATA)
    assert files.cat(f"{name}/k") == DATA
    s3fs.S3FileSystem.clear_instance_cache()


def test_obstore(trusting, name):
    store = S3Store(name)
    store.put("k", DATA)
    assert bytes(obstore.get(store, "k").bytes()) == DATA


def test_duckdb(trusting, secure, name, extension):
    names = {
        "ENDPOINT": f"127.0.0.1:{secure.port}",
        "KEY_ID": secure.owner.access_key_id,
        "SECRET": secure.owner.secret_access_key,
    }
    told = ", ".join(f"{key} '{value}'" for key, value in names.items())
    with duckdb.connect() as db:
        db.execute("LOAD httpfs")
        db.execute(f"SET ca_cert_file = '{trusting['SSL_CERT_FILE']}'")
        db.execute("SET enable_server_cert_verification = true")
        db.execute(f"CREATE SECRET (TYPE s3, URL_STYLE 'path', REGION 'us-east-1', {told})")
        db.execute(f"COPY (SELECT 7 AS id) TO 's3://{name}/k.parquet'")
        assert db.sql(f"SELECT id FROM 's3://{name}/k.parquet'").fetchall() == [(7,)]  # noqa: S608 - our own names


def test_pyarrow(trusting, secure, name):
    s3 = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{secure.port}", tls_ca_file_path=trusting["SSL_CERT_FILE"])
    with s3.open_output_stream(f"{name}/k") as stream:
        stream.write(DATA)
    with s3.open_input_file(f"{name}/k") as file:
        assert file.read() == DATA


def test_minio(trusting, secure, s3, name):
    client = Minio(f"127.0.0.1:{secure.port}", secure.owner.access_key_id, secure.owner.secret_access_key)
    client.put_object(name, "k", io.BytesIO(DATA), len(DATA))
    with client.get_object(name, "k") as answer:
        assert answer.read() == DATA
    client.put_object(name, "mine", io.BytesIO(DATA), len(DATA), sse=SseCustomerKey(MINE))
    assert is_mine(s3, name, "mine")


def test_rclone(trusting, secure, find, s3, name):
    environ = {key: value for key, value in trusting.items() if key != "AWS_CA_BUNDLE"}
    rclone = Program(find("rclone", "apt-get install rclone"), environ)
    remote = f":s3,provider=Other,env_auth,endpoint='{secure.url}':{name}"
    rclone("rcat", f"{remote}/k", given=DATA)
    assert rclone.read("cat", f"{remote}/k") == DATA
    mine = ("--s3-sse-customer-algorithm", "AES256", "--s3-sse-customer-key", MINE.decode())
    rclone("rcat", f"{remote}/mine", *mine, given=DATA)
    assert rclone.read("cat", f"{remote}/mine", *mine) == DATA
    assert is_mine(s3, name, "mine")


def test_mc(trusting, secure, find, s3, name):
    mc = Program(find("mc", "make .venv-clients/bin/mc (needs Go)", marks="MinIO", version="--version"), trusting)
    mc("alias", "set", "here", secure.url, secure.owner.access_key_id, secure.owner.secret_access_key)
    mc("pipe", f"here/{name}/k", given=DATA)
    assert mc.read("cat", f"here/{name}/k") == DATA
    mine = base64.b64encode(MINE).decode().rstrip("=")
    mc("pipe", "--enc-c", f"here/{name}/mine={mine}", f"here/{name}/mine", given=DATA)
    assert is_mine(s3, name, "mine")


def test_s3cmd(trusting, secure, find, name, tmp_path):
    host = f"127.0.0.1:{secure.port}"
    (tmp_path / ".s3cfg").write_text(
        f"[default]\nhost_base = {host}\nhost_bucket = {host}\nuse_https = True\nca_certs_file = {trusting['SSL_CERT_FILE']}\n"
    )
    s3cmd = Program(find("s3cmd", "apt-get install s3cmd", version="--version"), trusting)
    s3cmd("put", "-", f"s3://{name}/k", given=DATA)
    assert s3cmd.read("get", f"s3://{name}/k", "-", "--quiet") == DATA


def test_restic(trusting, secure, find, name):
    there = {"RESTIC_REPOSITORY": f"s3:{secure.url}/{name}/laptop", "RESTIC_PASSWORD": "open sesame"}
    restic = Program(find("restic", "apt-get install restic"), trusting | there)
    restic("init")
    restic("backup", "--stdin", given=DATA)
    assert restic.read("dump", "latest", "stdin") == DATA
