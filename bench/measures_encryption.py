"""What the encryptions cost beside SSE-S3, on the same server in the same run. Never knows how results are shown."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import mean, median
from typing import Any, Final

import boto3
import load
import servers
from botocore.config import Config
from load import BenchError
from measures import LARGE, OBJECTS, PUT_KEYS, SMALL, Measure, Run, Sample
from signing import REGION

REWRAPPED: Final = 20_000  # objects
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_PART: Final = 64 * _MIB


def client(run: Run, service: str) -> Any:
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=f"http://{run.ours}",
        aws_access_key_id=run.account.access_key_id,
        aws_secret_access_key=run.account.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, read_timeout=60),
    )


def _new_key(run: Run) -> str:
    arn: str = client(run, "kms").create_key(Description="bench")["KeyMetadata"]["Arn"]
    return arn


def _bucket(run: Run, name: str, algorithm: str, *, bucket_key: bool = False) -> None:
    """A bucket whose default encryption is that; with KMS under a key of its own."""
    run.create_bucket(name)
    if algorithm == "AES256":
        return
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm, "KMSMasterKeyID": _new_key(run)},
        "BucketKeyEnabled": bucket_key,
    }
    client(run, "s3").put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _require(run: Run, bucket: str, key: str, algorithm: str, *, bucket_key: bool = False) -> None:
    """What is measured is what is said."""
    head = client(run, "s3").head_object(Bucket=bucket, Key=key)
    if (head["ServerSideEncryption"], head.get("BucketKeyEnabled", False)) != (algorithm, bucket_key):
        raise BenchError(f"{bucket}/{key} is under {head['ServerSideEncryption']}, bucket key {head.get('BucketKeyEnabled')}")


# ------------------------------------------------------------------------------------------------------ small requests
def _small(name: str, method: str, *, bucket_key: bool) -> Callable[[Run], Callable[[], Sample]]:
    def prepare(run: Run) -> Callable[[], Sample]:
        size = SMALL if method == "PUT" else 0
        keys = [f"{number:05d}" for number in range(PUT_KEYS if method == "PUT" else OBJECTS)]
        kinds = {f"bench-{name}-s3": "AES256", f"bench-{name}-kms": "aws:kms"}
        targets = {}
        for bucket, algorithm in kinds.items():
            _bucket(run, bucket, algorithm, bucket_key=bucket_key and algorithm != "AES256")
            if method == "GET":
                load.fill(run.ours, run.targets(f"{bucket}-fill", "PUT", bucket, keys), SMALL)
            targets[bucket] = run.targets(bucket, method, bucket, keys)
            load.wrk(run.ours, targets[bucket], 1, method=method, size=size)
            _require(run, bucket, keys[1], algorithm, bucket_key=bucket_key and algorithm != "AES256")
        plain, kms = targets.values()

        def sample() -> Sample:
            """In turns of a second, of which each side begins every other pair: what else the machine does meets both."""
            rates: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(max(2, run.seconds)):
                for ours in (True, False) if turn % 2 else (False, True):
                    asked = load.wrk(run.ours, kms if ours else plain, 1, method=method, size=size)
                    rates[ours].append(asked.per_second)
            return Sample(mean(rates[True]), mean(rates[False]))

        return sample

    return prepare


# -------------------------------------------------------------------------------------------------------- large bodies
def _dsse_get(run: Run) -> Callable[[], Sample]:
    file = run.large_file()
    digest = hashlib.sha256(file.read_bytes()).digest()
    targets: list[str] = []
    for bucket, algorithm in (("bench-dsse", "aws:kms:dsse"), ("bench-single", "AES256")):
        _bucket(run, bucket, algorithm)
        load.put(run.ours, run.one("PUT", bucket, "whole"), file)
        _require(run, bucket, "whole", algorithm)
        targets.append(run.one("GET", bucket, "whole"))
        if hashlib.sha256(load.get(run.ours, targets[-1], keep=True)[2]).digest() != digest:
            raise BenchError(f"{bucket}/whole does not read back what was written")

    def sample() -> Sample:
        yardstick, dsse = load.get(run.ours, targets[1])[0], load.get(run.ours, targets[0])[0]
        return Sample(LARGE / _MIB / dsse, LARGE / _MIB / yardstick)

    return sample


# ------------------------------------------------------------------------------------------------------ wrapping alone
def _update_encryption(run: Run) -> Callable[[], Sample]:
    """One object of 1 GiB in parts, one of 1 KiB; both are moved to and fro between two keys."""
    s3, bucket = client(run, "s3"), "bench-update"
    run.create_bucket(bucket)
    arns = [_new_key(run), _new_key(run)]
    s3.put_object(Bucket=bucket, Key="small", Body=bytes(1024))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    parts = []
    for number in range(1, _GIB // _PART + 1):
        run.say(f"update: part {number} of 1 GiB")
        made = s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=bytes(_PART))
        parts.append({"PartNumber": number, "ETag": made["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    turn = 0

    def one(key: str) -> float:
        nonlocal turn
        turn += 1
        started = time.perf_counter()
        s3.update_object_encryption(Bucket=bucket, Key=key, ObjectEncryption={"SSEKMS": {"KMSKeyArn": arns[turn // 2 % 2]}})
        return (time.perf_counter() - started) * 1e3

    def sample() -> Sample:
        pairs = [(one("large"), one("small")) for _ in range(20)]
        return Sample(median(large for large, _ in pairs), median(small for _, small in pairs))

    return sample


def _rewrap(run: Run) -> Callable[[], Sample]:
    bucket, keys = "bench-rewrap", [f"{number:06d}" for number in range(REWRAPPED)]
    _bucket(run, bucket, "aws:kms", bucket_key=True)
    load.fill(run.ours, run.targets("rewrap", "PUT", bucket, keys), 64)
    _require(run, bucket, keys[1], "aws:kms", bucket_key=True)

    def sample() -> Sample:
        command = [sys.executable, "-m", "strongroom", "rewrap", "--data", str(run.folder / "data")]
        command += ["--bucket", bucket, "--to-key", _new_key(run)]
        started = time.perf_counter()
        ran = subprocess.run(command, cwd=servers.ROOT, env=servers.environ(), capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if ran.returncode:
            raise BenchError(f"rewrap failed: {(ran.stderr or ran.stdout).strip()[-300:]}")
        return Sample(REWRAPPED / seconds, 5000)

    return sample


_SSE_S3: Final = "SSE-S3 on the same server"
MEASURES: Final = (
    Measure(
        "bucket-key-get", "GET 4 KiB, SSE-KMS with a bucket key", "req/s", _SSE_S3, 0.95, _small("bkg", "GET", bucket_key=True)
    ),
    Measure(
        "bucket-key-put", "PUT 4 KiB, SSE-KMS with a bucket key", "req/s", _SSE_S3, 0.95, _small("bkp", "PUT", bucket_key=True)
    ),
    Measure("kms-get", "GET 4 KiB, SSE-KMS", "req/s", _SSE_S3, 0.70, _small("kmsg", "GET", bucket_key=False)),
    Measure("kms-put", "PUT 4 KiB, SSE-KMS", "req/s", _SSE_S3, 0.70, _small("kmsp", "PUT", bucket_key=False)),
    Measure("dsse-get", "GET 256 MiB, DSSE-KMS", "MiB/s", _SSE_S3, 0.50, _dsse_get),
    Measure("update", "UpdateObjectEncryption of 1 GiB", "ms", "that of 1 KiB", 2.0, _update_encryption, at_most=True),
    Measure("rewrap", "strongroom rewrap", "objects/s", "5,000 objects/s", 1.0, _rewrap),
)
