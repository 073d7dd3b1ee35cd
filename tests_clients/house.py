"""What the tests of every client need: a bucket seen from the side, and a command in its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.house import Server

HERE = Path(sys.executable).parent  # a program may be installed beside this Python
ROOT = Path(__file__).parents[1]
MIB = 1 << 20
LARGE = 21 * MIB + 17  # more than any of these clients sends in one piece


def write(path: Path, data: bytes) -> None:
    """A file of an old date. S3 keeps whole seconds: one of this second would look newer than what has just been stored of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000))


def fetch(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """A presigned link, by who has nothing else."""
    with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=20) as answer:  # noqa: S310 - our own server
        return answer.read()


def statuses(server: Server, operation: str, bucket: str, key: str) -> list[int]:
    """How each of these requests so far was answered, by the access log, which is written four times a second."""
    time.sleep(0.6)
    lines = (json.loads(line) for line in server.log.read_text("utf-8").splitlines() if '"event":"request"' in line)
    return [
        each["status"] for each in lines if (each["operation"], each.get("bucket"), each.get("key")) == (operation, bucket, key)
    ]


@dataclass(frozen=True)
class Bucket:
    """``kms_key`` is the ARN of its default key, None under SSE-S3."""

    name: str
    kms_key: str | None
    s3: Any

    def listed(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def read(self, object_key: str) -> bytes:
        return self.s3.get_object(Bucket=self.name, Key=object_key)["Body"].read()

    def head(self, object_key: str) -> dict[str, Any]:
        return self.s3.head_object(Bucket=self.name, Key=object_key)

    def assert_sealed(self) -> None:
        """What is in it has the bucket's own encryption, whoever wrote it; of very many objects the ends are looked at."""
        keys = self.listed()
        assert keys
        for object_key in {*keys[:20], *keys[-20:]}:
            head = self.head(object_key)
            seen = (head["ServerSideEncryption"], head.get("SSEKMSKeyId"), head.get("BucketKeyEnabled", False))
            assert seen == (("AES256", None, False) if self.kms_key is None else ("aws:kms", self.kms_key, True))


@dataclass(frozen=True)
class Many(Bucket):
    """With more objects, all below "m ü/", than one answer lists."""

    @property
    def names(self) -> list[str]:
        return [f"{number:04}" for number in range(1_050)]


@dataclass(frozen=True)
class Program:
    """A command in its environment."""

    path: str
    environ: Mapping[str, str]
    folder: Path | None = None  # to run it in
    patience: int = 100  # seconds

    def __call__(self, *words: Any, given: bytes = b"") -> str:
        """What it prints."""
        return self.read(*words, given=given).decode()

    def read(self, *words: Any, given: bytes = b"") -> bytes:
        done = self._run(words, given)
        assert done.returncode == 0, (done.stdout[-3000:] + done.stderr[-3000:]).decode("utf-8", "replace")
        return done.stdout

    def fails(self, *words: Any) -> str:
        """It must end badly; what it says of it."""
        done = self._run(words, b"")
        assert done.returncode != 0
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def _run(self, words: tuple[Any, ...], given: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [self.path, *map(str, words)]
        environ, patience = dict(self.environ), self.patience
        return subprocess.run(
            command, env=environ, input=given, cwd=self.folder, capture_output=True, timeout=patience, check=False
        )
