"""``make demo``: the main job, played by unmodified boto3 over a socket on a server and a data folder of its own.

Every step is checked; the first one that fails ends the demo with status 1. Nothing is left behind.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from rich.console import Console
from search import WINDOW, Plaintext

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client

ROOT: Final = Path(__file__).resolve().parent.parent
MIB: Final = 1 << 20
FILE_SIZE: Final = 24 * MIB
PART_SIZE: Final = 8 * MIB
PATIENCE: Final = 30.0  # seconds until the server answers
BUCKET: Final = "main-job"
KEY: Final = "ledgers/2024.bin"


class StepFailed(Exception):
    """What was seen instead of what had to be."""


def require(holds: bool, seen: object) -> None:
    if not holds:
        raise StepFailed(str(seen))


@dataclass(slots=True)
class Server:
    """``strongroom serve`` on a folder; started and stopped as often as one likes, always at the same address."""

    folder: Path
    log: Path
    access_key_id: str = field(default_factory=lambda: f"AKIA{secrets.token_hex(8).upper()}")
    secret_access_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")} | {
            "STRONGROOM_ROOT_ACCESS_KEY_ID": self.access_key_id,
            "STRONGROOM_ROOT_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        command = [sys.executable, "-m", "strongroom", "serve", str(self.folder), "--listen", self.address, "--workers", "1"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own server
                command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.is_ready():
                return
            time.sleep(0.05)
        raise StepFailed("the server did not start")

    def is_ready(self) -> bool:
        host, _, port = self.address.rpartition(":")
        connection = HTTPConnection(host, int(port), timeout=2)
        with suppress(OSError):
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        return False

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def make_file(path: Path) -> bytes:
    """24 MiB, always the same: a ledger of readable lines, then noise."""
    source = random.Random("strongroom")  # noqa: S311 - the same in every run is the point
    lines = bytearray()
    while len(lines) < FILE_SIZE // 2:
        lines += f"{len(lines) // 64:07d};{source.getrandbits(96):029d};paid to {source.getrandbits(64):016x};\n".encode()
    content = bytes(lines[: FILE_SIZE // 2]) + source.randbytes(FILE_SIZE - FILE_SIZE // 2)
    path.write_bytes(content)
    return content


class MainJob:
    """The steps in their order; each returns what the report says of it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.path = folder / "ledger.bin"
        self.content = make_file(self.path)
        settings = Config(proxies={}, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        session = boto3.Session(server.access_key_id, server.secret_access_key, region_name="eu-central-1")
        endpoint = f"http://{server.address}"
        self.s3: S3Client = session.client("s3", endpoint_url=endpoint, config=settings)
        self.kms: KMSClient = session.client("kms", endpoint_url=endpoint, config=settings)
        self.kms_key = ""

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "a server starts on an empty data folder", self.start
        yield "a new bucket is encrypted by default", self.default_encryption
        yield "the rule is changed to SSE-KMS with a new key", self.change_rule
        yield "a file is uploaded in parts", self.upload
        yield "it comes back byte for byte", self.download
        yield "a range of it is read", self.read_range
        yield "no 32 bytes of it stand on the disk", self.search_disk
        yield "key disabled: the read fails", self.disable
        yield "key enabled: it reads again", self.enable
        yield "server restarted: it still reads", self.restart
        yield "an object in each mode of encryption", self.each_mode

    def start(self) -> str:
        self.server.start()
        return f"http://{self.server.address}, signed by boto3 {boto3.__version__}"

    def default_encryption(self) -> str:
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        rule = self.rule()
        require(rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, rule)
        return f"get_bucket_encryption: {rule['ApplyServerSideEncryptionByDefault']}"

    def change_rule(self) -> str:
        self.kms_key = self.kms.create_key(Description="the demo's key")["KeyMetadata"]["Arn"]
        wanted: Any = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.kms_key}
        self.s3.put_bucket_encryption(
            Bucket=BUCKET,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": wanted}]},
        )
        rule = self.rule()
        require(rule["ApplyServerSideEncryptionByDefault"] == wanted, rule)
        return f"get_bucket_encryption: {rule['ApplyServerSideEncryptionByDefault']}"

    def upload(self) -> str:
        transfer = TransferConfig(multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE)
        started = time.perf_counter()
        self.s3.upload_file(str(self.path), BUCKET, KEY, Config=transfer)
        seconds = time.perf_counter() - started
        head: Any = self.s3.head_object(Bucket=BUCKET, Key=KEY)
        seen = head["ContentLength"], head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")
        require(seen == (FILE_SIZE, "aws:kms", self.kms_key), seen)
        return f"{FILE_SIZE // MIB} MiB in {FILE_SIZE // PART_SIZE} parts, {seconds:.1f} s; head_object: aws:kms with that key"

    def download(self) -> str:
        self.read_whole()
        return f"SHA-256 {hashlib.sha256(self.content).hexdigest()[:16]}… of both"

    def read_range(self) -> str:
        first, last = 8 * MIB - 5, 8 * MIB + 70_000  # over the seam of two parts and of two segments
        answer = self.s3.get_object(Bucket=BUCKET, Key=KEY, Range=f"bytes={first}-{last}")
        body = answer["Body"].read()
        require(body == self.content[first : last + 1], f"{len(body)} other bytes")
        require(answer["ContentRange"] == f"bytes {first}-{last}/{FILE_SIZE}", answer["ContentRange"])
        return f"{answer['ContentRange']}: {len(body):,} bytes, the right ones"

    def search_disk(self) -> str:
        started = time.perf_counter()
        plaintext = Plaintext(self.content)
        self.prove_search(plaintext)
        searched = plaintext.search(self.server.folder)
        require(searched.size >= FILE_SIZE, f"only {searched.size:,} bytes are there: that cannot be all")
        require(not searched.found, f"plaintext stands in {searched.found}")
        seconds = time.perf_counter() - started
        return f"{searched.size:,} bytes in {searched.files} files compared at every offset, {seconds:.1f} s; a planted window was found"

    def prove_search(self, plaintext: Plaintext) -> None:
        """The search finds one window wherever it lies, and does not take 31 bytes for 32."""
        folder = self.folder / "planted"
        noise = random.Random(1).randbytes(MIB)  # noqa: S311 - deterministic
        for number, offset in enumerate((0, 1_000_003, FILE_SIZE // 2 - 7, FILE_SIZE - WINDOW)):
            for size in (WINDOW, WINDOW - 1):
                place = folder / f"{number}-{size}"
                place.mkdir(parents=True)
                at = 500_001 + number
                (place / "file").write_bytes(noise[:at] + self.content[offset : offset + size] + b"\xff" + noise[at:])
                found = plaintext.search(place).found
                require(bool(found) == (size == WINDOW), f"the search itself is wrong about {size} planted bytes: {found}")

    def disable(self) -> str:
        self.kms.disable_key(KeyId=self.kms_key)
        try:
            self.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            require(code == "KMS.DisabledException", error)
            return f"get_object: {code}"
        raise StepFailed("the object was read although its key is disabled")

    def enable(self) -> str:
        self.kms.enable_key(KeyId=self.kms_key)
        self.read_whole()
        return "get_object: the same bytes"

    def restart(self) -> str:
        status = self.server.stop()
        require(status == 0, f"the server ended with status {status}")
        self.server.start()
        self.read_whole()
        rule = self.rule()["ApplyServerSideEncryptionByDefault"]
        require(rule.get("KMSMasterKeyID") == self.kms_key, rule)
        return "SIGTERM ended it with status 0; after the new start the same bytes and the same rule"

    def each_mode(self) -> str:
        """SSE-S3, SSE-KMS with and without a bucket key, DSSE-KMS, and SSE-C, which a new bucket takes only once it is unblocked."""
        default: Any = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        unblocked: Any = {"Rules": [{**default, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]}
        self.s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=unblocked)
        customer: Any = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secrets.token_bytes(32)}
        modes: list[tuple[Any, Any, tuple[str | None, bool | None, str | None]]] = [
            ({"ServerSideEncryption": "AES256"}, {}, ("AES256", None, None)),
            ({"ServerSideEncryption": "aws:kms"}, {}, ("aws:kms", None, None)),
            ({"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}, {}, ("aws:kms", True, None)),
            ({"ServerSideEncryption": "aws:kms:dsse"}, {}, ("aws:kms:dsse", None, None)),
            (customer, customer, (None, None, "AES256")),
        ]
        body = self.content[:100_000]
        for sent, needed, told in modes:
            self.s3.put_object(Bucket=BUCKET, Key="mode", Body=body, **sent)
            answer: Any = self.s3.get_object(Bucket=BUCKET, Key="mode", **needed)
            seen = tuple(answer.get(name) for name in ("ServerSideEncryption", "BucketKeyEnabled", "SSECustomerAlgorithm"))
            require(seen == told, seen)
            require(answer["Body"].read() == body, f"other bytes came back: {told}")
        try:
            self.s3.get_object(Bucket=BUCKET, Key="mode")
        except ClientError as error:
            require(error.response.get("Error", {}).get("Code") == "InvalidRequest", error)
            return "SSE-S3, SSE-KMS, SSE-KMS with a bucket key, DSSE-KMS, SSE-C: written and read; SSE-C without its key: InvalidRequest"
        raise StepFailed("an object under a customer's key was read without it")

    def rule(self) -> Any:
        """The one rule of the bucket, as boto3 shows it."""
        rules = self.s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
        require(len(rules) == 1, rules)
        return rules[0]

    def read_whole(self) -> None:
        target = self.folder / "downloaded"
        self.s3.download_file(BUCKET, KEY, str(target))
        require(target.read_bytes() == self.content, "other bytes came back")


def forget_surroundings() -> None:
    """Nobody's AWS profile, proxy or endpoint takes part."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def main() -> int:
    forget_surroundings()
    console = Console(highlight=False)
    console.print(f"[bold]The main job[/]: a file of {FILE_SIZE // MIB} MiB, through boto3, onto encrypted storage\n")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as folder:
        server = Server(Path(folder, "data"), Path(folder, "log"))
        name = "preparing"
        try:
            for name, step in MainJob(server, Path(folder)).steps():
                with console.status(name):
                    told = step()
                console.print(f"[green]✓[/] {name}")
                console.print(f"  {told}", style="dim", markup=False)
        except (StepFailed, ClientError, OSError) as error:
            console.print(f"[bold red]✗ {name}[/]")
            console.print(f"  {type(error).__name__}: {error}", markup=False)
            if server.log.exists():
                console.print("\n".join(server.log.read_text("utf-8", "replace").splitlines()[-15:]), style="dim", markup=False)
            return 1
        finally:
            server.stop()
    console.print(f"\n[bold green]All of it holds[/] ({time.monotonic() - started:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
