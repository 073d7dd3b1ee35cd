from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config as ClientConfig
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.config import Config, ConfigError, load
from strongroom.startup import StartError, tls
from strongroom.startup.examination import examine
from tests.server.certificates import PEM, Authority, key_text
from tests.server.process import ROOT, Serving, run

pytestmark = pytest.mark.timeout(150)  # servers start here, and start workers again
KEYS = (ROOT["STRONGROOM_ROOT_ACCESS_KEY_ID"], ROOT["STRONGROOM_ROOT_SECRET_ACCESS_KEY"])
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority():
    return Authority.new()


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """One server with a self-signed certificate, which takes secrets over TLS only."""
    folder = tmp_path_factory.mktemp("secured") / "data"
    environ = {**ROOT, "STRONGROOM_PLAIN_HTTP_SECRETS": "refuse", "STRONGROOM_DOMAINS": "localhost,s3.localhost"}
    with Serving(folder, "--tls", "self-signed", environ=environ) as serving:
        yield serving


@pytest.fixture(scope="module")
def trusted(secured):
    return str(secured.folder / "tls" / "certificate.pem")


def client(service, url, verify, **s3):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        verify=verify,
        config=ClientConfig(retries={"total_max_attempts": 1}, s3={"addressing_style": "path", **s3}),
    )


def shown(port, trust):
    """The fingerprint of the certificate a new connection is shown."""
    context = ssl.create_default_context(cafile=str(trust))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True)).fingerprint(SHA256())


def until(true, seconds=40):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"tls_cert": "a"}, "tls_cert and tls_key must be given together"),
        ({"tls_key": "a"}, "tls_cert and tls_key must be given together"),
        ({"tls": "self-signed", "tls_cert": "a", "tls_key": "b"}, "choose one"),
        ({"tls": "yes"}, "--tls must be one of: files, self-signed"),
    ],
)
def test_settings_that_contradict_each_other(given, text):
    with pytest.raises(ConfigError, match=text):
        load(given, {})


def test_settings_from_the_environment():
    config = load({}, {"STRONGROOM_TLS_CERT": "/c", "STRONGROOM_TLS_KEY": "/k"}).config
    assert (config.scheme, config.tls_cert, config.tls_key) == ("https", Path("/c"), Path("/k"))
    assert load({}, {"STRONGROOM_TLS": "self-signed"}).config.scheme == "https"
    assert load({}, {}).config.scheme == "http"


# -------------------------------------------------------------------------------------------------------- the files given


def test_what_a_certificate_says(authority, tmp_path):
    pair = authority.issue(tmp_path, start=-1, end=90)
    found = tls.load(pair.certificate, pair.key)
    assert found.fingerprint == pair.fingerprint.hex(":").upper()
    assert found.names == ("localhost", "127.0.0.1")
    assert (found.certificate, found.key) == (pair.certificate, pair.key)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["RSA", "P-384", "Ed25519"],
)
def test_kinds_of_keys(authority, tmp_path, make):
    pair = authority.issue(tmp_path, key=make())
    assert tls.load(pair.certificate, pair.key).names


def _another(pair, authority):
    pair.key.write_bytes(key_text(ec.generate_private_key(ec.SECP256R1())))


def _turned_round(pair, authority):
    own, above = x509.load_pem_x509_certificates(pair.certificate.read_bytes())
    pair.certificate.write_bytes(above.public_bytes(PEM) + own.public_bytes(PEM))


HARM = {
    "no certificate": (lambda pair, _: pair.certificate.unlink(), r"{certificate}: No such file or directory"),
    "no key": (lambda pair, _: pair.key.unlink(), r"{key}: No such file or directory"),
    "certificate is a folder": (
        lambda pair, _: (pair.certificate.unlink(), pair.certificate.mkdir()),
        r"{certificate}: Is a directory",
    ),
    "no PEM": (lambda pair, _: pair.certificate.write_text("hello"), r"{certificate} is not a PEM certificate"),
    "broken PEM": (
        lambda pair, _: pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        r"{certificate} is not a PEM certificate",
    ),
    "key is none": (lambda pair, _: pair.key.write_text("hello"), r"{key} is not a PEM private key"),
    "key and certificate swapped": (
        lambda pair, _: pair.key.write_bytes(pair.certificate.read_bytes()),
        r"{key} is not a PEM private key",
    ),
    "key with a password": (
        lambda pair, _: pair.key.write_bytes(key_text(ec.generate_private_key(ec.SECP256R1()), b"password")),
        r"{key} is encrypted: give a key without a password, for its owner alone",
    ),
    "key of another": (_another, r"{key} is not the key of the certificate {certificate}"),
    "chain the wrong way round": (
        _turned_round,
        r"{certificate}: the server's own certificate must come first, then those above it",
    ),
    "DSA": (
        lambda pair, _: pair.key.write_bytes(key_text(dsa.generate_private_key(2048))),
        r"{key}: TLS is served with RSA, ECDSA or Ed25519 keys only",
    ),
    "short RSA": (
        lambda pair, _: pair.key.write_bytes(key_text(rsa.generate_private_key(65537, 1024))),  # noqa: S505 - what is refused
        r"{key}: an RSA key must have 2048 bits or more",
    ),
    "key for the group": (
        lambda pair, _: pair.key.chmod(0o640),
        r"{key} may be used by others than its owner (mode 0640): run  chmod 600 {key}",
    ),
    "key for all": (
        lambda pair, _: pair.key.chmod(0o604),
        r"{key} may be used by others than its owner (mode 0604): run  chmod 600 {key}",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_files_that_are_no_good(authority, tmp_path, name):
    pair = authority.issue(tmp_path)
    harm, text = HARM[name]
    harm(pair, authority)
    with pytest.raises(StartError) as caught:
        tls.load(pair.certificate, pair.key)
    assert str(caught.value) == text.format(certificate=pair.certificate, key=pair.key)


def test_a_server_says_it_in_one_line_and_makes_nothing(authority, tmp_path, data):
    pair = authority.issue(tmp_path)
    pair.key.chmod(0o644)
    done = run("serve", data, "--listen", "127.0.0.1:0", *pair.words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.replace("  ", " ") == (
        f"strongroom: {pair.key} may be used by others than its owner (mode 0644): run chmod 600 {pair.key}\n"
    )
    assert not data.exists()


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (-10, -1, ("bad", "expired on")),
        (1, 90, ("bad", "is not valid before")),
        (-10, 29, ("notice", "expires on")),
        (-10, 31, None),
    ],
)
def test_dates(authority, tmp_path, start, end, says):
    pair = authority.issue(tmp_path, start=start, end=end)
    concern = tls.load(pair.certificate, pair.key).concern(datetime.now(UTC))
    if says is None:
        assert concern is None
    else:
        assert concern[0] == says[0]
        assert concern[1].startswith(f"{pair.certificate} {says[1]} ")


def test_an_expired_certificate_is_served_with_a_loud_warning(authority, tmp_path, data):
    pair = authority.issue(tmp_path, start=-10, end=-1)
    with Serving(data, *pair.words, environ=ROOT) as serving:
        assert any(line.startswith(f"WARNING: {pair.certificate} expired on ") for line in serving.printed)
        assert serving.url.startswith("https://")
        assert "expired on" in serving.log.read_text()
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            shown(serving.port, authority.write(tmp_path / "ca.pem"))


# ------------------------------------------------------------------------------------------------------- for development


def test_the_pair_for_development_is_made_once(tmp_path, mode):
    made, new = tls.self_signed(tmp_path, "127.0.0.1", ("localhost",), NOW)
    assert new
    assert made.names == ("localhost", "*.localhost", "127.0.0.1", "::1")
    assert {mode(path) for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert mode(tmp_path / "tls") == 0o700
    again, new = tls.self_signed(tmp_path, "localhost", ("localhost",), NOW + timedelta(days=300))
    assert (again, new) == (made, False)


@pytest.mark.parametrize(
    ("host", "domains", "days"),
    [("192.0.2.7", (), 0), ("s3.example.com", (), 0), ("127.0.0.1", ("s3.example.com",), 0), ("127.0.0.1", (), 380)],
    ids=["address", "host", "domain", "nearly over"],
)
def test_and_made_anew_when_it_no_longer_fits(tmp_path, host, domains, days):
    first, _ = tls.self_signed(tmp_path, "127.0.0.1", (), NOW)
    second, new = tls.self_signed(tmp_path, host, domains, NOW + timedelta(days=days))
    assert new
    assert first.fingerprint != second.fingerprint
    assert {host, *domains, *(f"*.{domain}" for domain in domains)} <= set(second.names)
    assert second.concern(NOW + timedelta(days=days)) is None


def test_a_listener_on_every_address_names_none_of_them(tmp_path):
    made, _ = tls.self_signed(tmp_path, "0.0.0.0", (), NOW)  # noqa: S104 - only named
    assert made.names == ("localhost", "*.localhost", "127.0.0.1", "::1")


def test_a_crash_while_it_was_made_leaves_no_pair_that_does_not_match(tmp_path, monkeypatch):
    tls.self_signed(tmp_path, "127.0.0.1", (), NOW)
    real = tls.write_secret

    def crash(path, data, *, replace):
        if path.name == tls.CERTIFICATE_FILE:
            raise KeyboardInterrupt
        real(path, data, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(tls, "write_secret", crash)
        with pytest.raises(KeyboardInterrupt):
            tls.self_signed(tmp_path, "192.0.2.7", (), NOW)
    made, new = tls.self_signed(tmp_path, "192.0.2.7", (), NOW)
    assert new
    assert "192.0.2.7" in made.names


def test_its_key_is_for_the_owner_alone_too(tmp_path):
    tls.self_signed(tmp_path, "127.0.0.1", (), NOW)
    (tmp_path / "tls" / "key.pem").chmod(0o644)
    with pytest.raises(StartError, match=r"key\.pem may be used by others than its owner"):
        tls.self_signed(tmp_path, "127.0.0.1", (), NOW)


# ---------------------------------------------------------------------------------------------------------------- serving


def test_the_start_tells_fingerprint_and_path(secured, trusted):
    fingerprint = x509.load_pem_x509_certificate(Path(trusted).read_bytes()).fingerprint(SHA256())
    told = "\n".join(secured.printed)
    assert f"self-signed certificate, for development only: {trusted}\n" in told
    assert f"SHA-256 fingerprint {fingerprint.hex(':').upper()}" in told
    assert secured.printed[-1] == f"ready https://127.0.0.1:{secured.port}"
    assert shown(secured.port, trusted) == fingerprint


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(secured, trusted, version):
    context = ssl.create_default_context(cafile=trusted)
    context.minimum_version = context.maximum_version = version
    plain = socket.create_connection(("127.0.0.1", secured.port), timeout=10)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
        assert secure.version() == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_versions_are_refused(secured):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_plain_http_is_not_answered_and_harms_nobody(secured, trusted):
    with socket.create_connection(("127.0.0.1", secured.port), timeout=10) as plain:
        plain.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"ready" not in plain.recv(100)
    silent = [socket.create_connection(("127.0.0.1", secured.port), timeout=10) for _ in range(20)]
    assert shown(secured.port, trusted)
    for each in silent:
        each.close()


def test_who_does_not_trust_the_certificate_does_not_connect(secured):
    from botocore.exceptions import SSLError

    with pytest.raises(SSLError):
        client("sts", secured.url, None).get_caller_identity()


def test_secrets_are_taken_over_tls_whatever_is_said_of_plain_http(secured, trusted):
    """``plain_http_secrets`` is ``refuse`` here: KMS and SSE-KMS work since the connection is TLS."""
    kms, s3 = (client(service, secured.url, trusted) for service in ("kms", "s3"))
    key = kms.create_key()["KeyMetadata"]
    data_key = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
    s3.create_bucket(Bucket="sealed")
    body = os.urandom(3_000_000)
    put = s3.put_object(Bucket="sealed", Key="k", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    assert put["SSEKMSKeyId"] == key["Arn"]
    got = s3.get_object(Bucket="sealed", Key="k")
    assert (got["Body"].read(), got["ServerSideEncryption"]) == (body, "aws:kms")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "sealed", "Key": "k"})
    assert url.startswith("https://")


@pytest.mark.fact("5.1.4", "11.D43")
def test_a_customers_key_is_taken_over_tls(secured, trusted):
    """The same settings refuse it over plain HTTP: ``tests/clients/test_encryption_refusals.py``."""
    s3 = client("s3", secured.url, trusted)
    s3.create_bucket(Bucket="customers")
    rule = {"Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}
    s3.put_bucket_encryption(Bucket="customers", ServerSideEncryptionConfiguration=rule)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
    put = s3.put_object(Bucket="customers", Key="k", Body=b"mine", **key)
    assert (put["SSECustomerAlgorithm"], "ServerSideEncryption" in put) == ("AES256", False)
    assert s3.get_object(Bucket="customers", Key="k", **key)["Body"].read() == b"mine"
    copied = s3.copy_object(
        Bucket="customers", Key="l", CopySource="customers/k", **{f"CopySource{name}": value for name, value in key.items()}
    )
    assert copied["ServerSideEncryption"] == "AES256"


def test_the_same_settings_refuse_them_over_plain_http(data):
    text = "Requests to KMS must be made over a secure connection"
    with (
        Serving(data, environ={**ROOT, "STRONGROOM_PLAIN_HTTP_SECRETS": "refuse"}) as serving,
        pytest.raises(ClientError, match=text),
    ):
        client("kms", serving.url, None).create_key()


def test_bucket_names_as_host_names(secured, trusted, monkeypatch):
    """OpenSSL takes no ``*.localhost`` (a wildcard needs two labels after it); a domain of two labels does."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **how: real("127.0.0.1" if "localhost" in str(host) else host, *more, **how)
    )
    s3 = client("s3", f"https://s3.localhost:{secured.port}", trusted, addressing_style="virtual")
    s3.create_bucket(Bucket="by-host")
    s3.put_object(Bucket="by-host", Key="k", Body=b"1")
    assert s3.get_object(Bucket="by-host", Key="k")["Body"].read() == b"1"


def test_the_aws_command(secured, trusted, tmp_path):
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": secured.url,
        "AWS_CA_BUNDLE": trusted,
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
    }
    aws = Path(sys.executable).parent / "aws"
    (tmp_path / "f").write_bytes(b"by command")
    for words in (
        ["s3", "mb", "s3://command"],
        ["s3", "cp", str(tmp_path / "f"), "s3://command/f", "--sse", "aws:kms"],
        ["s3", "cp", "s3://command/f", str(tmp_path / "back")],
    ):
        done = subprocess.run([str(aws), *words], env=environ, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == b"by command"


# --------------------------------------------------------------------------------------------------------------- renewal


class Upload:
    """A PutObject over TLS of which half has been sent; ``finish`` sends the rest and gives the status."""

    def __init__(self, serving, trust, name, body):
        request = AWSRequest("PUT", f"{serving.url}/renewed/{name}", data=body)
        S3SigV4Auth(Credentials(*KEYS), "s3", "us-east-1").add_auth(request)
        context = ssl.create_default_context(cafile=str(trust))
        self.connection = http.client.HTTPSConnection("127.0.0.1", serving.port, timeout=30, context=context)
        self.connection.putrequest("PUT", f"/renewed/{name}")
        for header, value in {**dict(request.headers.items()), "Content-Length": str(len(body))}.items():
            self.connection.putheader(header, value)
        half = len(body) // 2
        self.connection.endheaders(body[:half])
        self._rest = body[half:]
        time.sleep(0.5)  # it has reached the worker

    def finish(self):
        self.connection.send(self._rest)
        status = self.connection.getresponse().status
        self.connection.close()
        return status


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_certificate_is_served_without_losing_a_request(authority, tmp_path, data, workers):
    """By changed files; while an upload runs, and while others connect all the time."""
    pair = authority.issue(tmp_path / "one")
    later = authority.issue(tmp_path / "two")
    trust = authority.write(tmp_path / "ca.pem")
    with Serving(data, "--workers", str(workers), *pair.words, environ=ROOT) as serving:
        s3 = client("s3", serving.url, str(trust))
        s3.create_bucket(Bucket="renewed")
        s3.put_object(Bucket="renewed", Key="small", Body=b"small")
        assert shown(serving.port, trust) == pair.fingerprint
        body = os.urandom(300_000)
        upload = Upload(serving, trust, "slow", body)
        before = set(serving.workers())
        failed, stop = [], threading.Event()

        def connect():
            while not stop.is_set():
                try:
                    shown(serving.port, trust)
                except OSError as error:
                    failed.append(error)
                time.sleep(0.01)

        asking = threading.Thread(target=connect)
        asking.start()
        try:
            for old, new in ((pair.certificate, later.certificate), (pair.key, later.key)):
                new.replace(old)
            until(lambda: {shown(serving.port, trust) for _ in range(6)} == {later.fingerprint}, 60)
        finally:
            stop.set()
            asking.join()
        assert failed == []
        assert upload.finish() == 200
        assert client("s3", serving.url, str(trust)).get_object(Bucket="renewed", Key="slow")["Body"].read() == body
        assert set(serving.workers()) == before  # nobody had to start anew
        assert len(before) == workers
        assert "certificate read anew" in serving.log.read_text()
        assert serving.stop() == 0


def test_new_files_that_are_no_good_change_nothing(authority, tmp_path, data):
    pair = authority.issue(tmp_path)
    trust = authority.write(tmp_path / "ca.pem")
    with Serving(data, *pair.words, environ=ROOT) as serving:
        before = serving.workers()
        pair.key.write_bytes(key_text(ec.generate_private_key(ec.SECP256R1())))
        serving.process.send_signal(signal.SIGHUP)
        until(lambda: "is not the key of the certificate" in serving.log.read_text())
        assert shown(serving.port, trust) == pair.fingerprint
        assert serving.workers() == before
        assert serving.stop() == 0


def test_a_hangup_is_nothing_to_a_plain_server(data):
    with Serving(data, environ=ROOT) as serving:
        before = serving.workers()
        serving.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", serving.port), timeout=20) as plain:
            plain.sendall(b"GET /-/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert plain.recv(1000).startswith(b"HTTP/1.1 200")
        assert serving.workers() == before
        assert serving.stop() == 0


def test_a_stop_right_after_a_hangup_is_a_good_end(data):
    with Serving(data, "--workers", "2", environ=ROOT) as serving:
        serving.process.send_signal(signal.SIGHUP)
        assert serving.stop() == 0


def test_doctor_looks_at_the_dates(authority, tmp_path, data):
    def found(**given):
        findings = {each.what: (each.state, each.text) for each in examine(Config(data_dir=data, **given))}
        return findings.get("certificate")

    assert found() is None
    for end, state in ((90, "good"), (10, "notice"), (-1, "bad")):
        pair = authority.issue(tmp_path, start=-10, end=end)
        assert found(tls_cert=pair.certificate, tls_key=pair.key)[0] == state
    pair.key.chmod(0o644)
    text = f"{pair.key} may be used by others than its owner (mode 0644): run  chmod 600 {pair.key}"
    assert found(tls_cert=pair.certificate, tls_key=pair.key) == ("bad", text)
    assert found(tls="self-signed") is None  # a server would make it
    data.mkdir()
    tls.self_signed(data, "127.0.0.1", (), datetime.now(UTC))
    assert found(tls="self-signed")[0] == "good"
