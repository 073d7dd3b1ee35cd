"""A running Strongroom for real clients: one process, its folder, its accounts; and requests that no SDK would send.

The server is started as an operator would, by its command. Never imports the server's own code.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.processes import children

PATIENCE = 30.0  # seconds until the server answers
OWNER, STRANGER = "111122223333", "444455556666"


@dataclass(frozen=True)
class Account:
    account_id: str
    access_key_id: str = field(default_factory=lambda: f"AKIA{secrets.token_hex(8).upper()}")
    secret_access_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:root"


@dataclass
class Server:
    """``strongroom serve`` on a folder, always at the same address; ``settings`` are STRONGROOM_ variables."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    owner: Account = field(default_factory=lambda: Account(OWNER))
    python: str = sys.executable  # the one that Strongroom is installed for
    port: int = field(default_factory=lambda: free_port())  # noqa: PLW0108 - defined below
    workers: int = 1
    process: subprocess.Popen[str] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRONGROOM_", "AWS_"))}
        return clean | {
            "STRONGROOM_ROOT_ACCESS_KEY_ID": self.owner.access_key_id,
            "STRONGROOM_ROOT_SECRET_ACCESS_KEY": self.owner.secret_access_key,
            "STRONGROOM_ACCOUNT_ID": self.owner.account_id,
            "STRONGROOM_RESERVE_MIB": "3",  # many folders stay for a while after their tests
            **self.settings,
        }

    @property
    def command(self) -> tuple[str, ...]:
        return (self.python, "-m", "strongroom")

    def start(self, *under: str) -> None:
        """``under``: a program that runs it, such as strace."""
        self.launch(*under)
        self.await_ready()

    def launch(self, *under: str) -> None:
        command = [
            *under,
            *self.command,
            "serve",
            str(self.data),
            "--listen",
            f"127.0.0.1:{self.port}",
            "--workers",
            str(self.workers),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def await_ready(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE
        for line in self.process.stdout:
            if line.startswith("ready "):
                assert line == f"ready {self.url}\n"
                return
            assert time.monotonic() < deadline
        raise AssertionError(f"the server did not start:\n{self.log.read_text('utf-8', 'replace')[-3000:]}")

    def stop(self) -> None:
        """As an operator: SIGTERM, and it ends with status 0."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0
        self._forget()

    def kill(self) -> None:
        """As the power: SIGKILL to the process and all its workers, which have no time for anything."""
        assert self.process is not None
        for pid in (*children(self.process.pid), self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(20)
        deadline = time.monotonic() + PATIENCE
        while not _is_free(self.port):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self._forget()

    def close(self) -> None:
        if self.process is not None:
            self.kill()

    def peak_mib(self) -> float:
        """The most memory that any of its processes ever had (VmHWM)."""
        assert self.process is not None
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in (*children(self.process.pid), self.process.pid)]
        return max(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("VmHWM:")) / 1024

    def _forget(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def run(self, *words: str) -> str:
        """Another command of ours, on the same folder."""
        done = subprocess.run([*self.command, *words], env=self.environ, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def account(self, account_id: str, name: str) -> Account:
        made = Account(account_id)
        words = ("account", "create", name, "--id", account_id, "--access-key-id", made.access_key_id)
        self.run(*words, "--secret-access-key", made.secret_access_key, "--data", str(self.data))
        return made

    def client(
        self, service: str, account: Account | None = None, *, region: str = "us-east-1", url: str | None = None, **more: Any
    ) -> Any:
        """An unmodified boto3 client. A request is sent once: what is retried is not seen."""
        who = account or self.owner
        s3 = more.pop("s3", {"addressing_style": "path"})
        return boto3.client(
            service,
            endpoint_url=url or self.url,
            region_name=region,
            aws_access_key_id=who.access_key_id,
            aws_secret_access_key=who.secret_access_key,
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=20, s3=s3, **more),
        )

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        account: Account | None = None,
        credentials: Credentials | None = None,
        service: str = "s3",
        region: str = "us-east-1",
        unsigned: Mapping[str, str] | None = None,
        anonymous: bool = False,
    ) -> Reply:
        """One request exactly as given, signed by botocore; ``unsigned`` headers are added afterwards."""
        request = AWSRequest(method, self.url + target, headers=dict(headers or {}), data=body)
        request.context["payload_signing_enabled"] = True
        if not anonymous:
            who = account or self.owner
            signer = S3SigV4Auth if service == "s3" else SigV4Auth
            long_term = Credentials(who.access_key_id, who.secret_access_key)
            signer(credentials or long_term, service, region).add_auth(request)
        return self.send(method, target, {**dict(request.headers.items()), **(unsigned or {})}, body)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def follow(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
        """A presigned URL, as a browser would."""
        parts = urlsplit(url)
        return self.send(method, f"{parts.path}?{parts.query}", {"Host": parts.netloc, **(headers or {})}, body)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, code and message."""
        members = self.members
        return self.status, members["Code"], members["Message"]

    @property
    def members(self) -> dict[str, str]:
        """The children of the error document, or of any flat one."""
        return {child.tag.partition("}")[2] or child.tag: child.text or "" for child in ET.fromstring(self.body)}  # noqa: S314


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def unique(prefix: str = "bucket") -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    message: str
    members: dict[str, str]  # beside code, message and what every error has


def refused(call: Any, /, **given: Any) -> Refusal:
    """The error that an SDK's call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    response = caught.value.response
    error = dict(response["Error"])
    code, message = error.pop("Code"), error.pop("Message", "")
    for name in ("RequestId", "HostId", "Resource", "Type"):
        error.pop(name, None)
    return Refusal(response["ResponseMetadata"]["HTTPStatusCode"], str(code), message, error)


def rule(algorithm: str = "AES256", kms_key: str | None = None, **more: Any) -> dict[str, Any]:
    """A ServerSideEncryptionConfiguration of one rule."""
    default = {"SSEAlgorithm": algorithm} | ({} if kms_key is None else {"KMSMasterKeyID": kms_key})
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, **more}]}
