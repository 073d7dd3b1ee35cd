"""After a crash: what the server now shows, held to the ledgers; and what its own tools find in the folder.

Every check returns its faults as sentences. Never kills or writes, but for giving up uploads whose end is not known.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore.exceptions import ClientError

from strongroom.config import Config, load
from strongroom.s3.upkeep import Upkeep
from strongroom.startup.opening import LowerRooms
from tests.clients.house import Server
from torture.guarded import EXPIRING, LOCKED
from torture.ledger import State, digest
from torture.writers import PLAIN, VERSIONED, Writer, whole

TIMEOUT: Final = 300.0  # seconds for one of the operator's tools


def reads(s3: Any, writers: list[Writer]) -> list[str]:
    """Every object, version and upload that the ledgers know, and that nothing else is there."""
    with ThreadPoolExecutor(4) as threads:
        return [fault for faults in threads.map(lambda writer: list(_of_writer(s3, writer)), writers) for fault in faults]


def _of_writer(s3: Any, writer: Writer) -> Iterator[str]:
    yield from _uploads(s3, writer)
    for bucket in PLAIN:
        listed = {each["Key"]: each["Size"] for each in _pages(s3, "list_objects_v2", "Contents", bucket, writer.prefix)}
        for key in writer.own_keys():
            data = content(s3, bucket, key)
            fault = writer.current.fault(bucket, key, digest(data))
            if fault is not None:
                yield fault
            if listed.pop(key, None) != (None if data is None else len(data)):
                yield f"{bucket}/{key} is listed otherwise than it is read"
        if listed:
            yield f"{bucket} lists keys that nobody wrote: {sorted(listed)}"
    yield from writer.versions.faults(versions(s3, VERSIONED, writer.prefix))
    yield from writer.locked.check(s3, versions(s3, LOCKED, writer.prefix))
    for key in list(writer.expiring.states):
        fault = writer.expiring.check(key, digest(content(s3, EXPIRING, key)))
        if fault is not None:
            yield fault


def versions(s3: Any, bucket: str, prefix: str) -> dict[tuple[str, str], State]:
    """All versions there, by key and version id, read; delete markers are None."""
    found: dict[tuple[str, str], State] = {}
    for each in _pages(s3, "list_object_versions", "Versions", bucket, prefix):
        data = content(s3, bucket, each["Key"], VersionId=each["VersionId"])
        found[each["Key"], each["VersionId"]] = "unreadable" if data is None else digest(data)
    for each in _pages(s3, "list_object_versions", "DeleteMarkers", bucket, prefix):
        found[each["Key"], each["VersionId"]] = None
    return found


def _pages(s3: Any, operation: str, member: str, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3.get_paginator(operation).paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get(member, ())


def content(s3: Any, bucket: str, key: str, **more: str) -> bytes | None:
    try:
        with s3.get_object(Bucket=bucket, Key=key, **more)["Body"] as stream:
            return bytes(stream.read())
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "NoSuchVersion"}:
            return None
        raise


def _uploads(s3: Any, writer: Writer) -> Iterator[str]:
    """Acknowledged parts are there. A completion that was cut off has happened whole or not at all; then the upload is given up."""
    for upload in list(writer.uploads):
        where = {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.upload_id}
        parts = _parts(s3, where)
        if parts is None:
            writer.uploads.remove(upload)
            if upload.before is None:
                yield f"the upload of {upload.bucket}/{upload.key} is lost"
            else:
                writer.current.states[upload.bucket, upload.key] = {whole(upload)}
            continue
        for number, (etag, body) in upload.parts.items():
            if parts.get(number) != (etag, len(body)):
                yield f"part {number} of {upload.bucket}/{upload.key} is {parts.get(number)}"
        if upload.before is not None:
            writer.current.states[upload.bucket, upload.key] = upload.before
            upload.before = None
    known = {upload.upload_id for upload in writer.uploads}
    for bucket in PLAIN:
        for each in list(_pages(s3, "list_multipart_uploads", "Uploads", bucket, writer.prefix)):
            if each["UploadId"] not in known:
                s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])


def _parts(s3: Any, where: dict[str, str]) -> dict[int, tuple[str, int]] | None:
    try:
        return {each["PartNumber"]: (each["ETag"], each["Size"]) for each in s3.list_parts(**where).get("Parts", ())}
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchUpload":
            return None
        raise


def tools(server: Server, *, bodies: bool) -> list[str]:
    """``strongroom verify`` and ``audit verify`` call the folder clean, beside the running server."""
    faults: list[str] = []
    for words in (("verify", "--json", *(() if bodies else ("--quick",))), ("audit", "verify")):
        done = subprocess.run(
            [*server.command, *words, "--data", str(server.data)],
            env=server.environ,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            faults.append(f"strongroom {' '.join(words)} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return faults


def leftovers(server: Server) -> list[str]:
    """With the server stopped and two days gone by, upkeep leaves no blob that no row names, and nothing unfinished."""
    return asyncio.run(_leftovers(load({}, server.environ | {"STRONGROOM_DATA_DIR": str(server.data)}, None).config))


async def _leftovers(config: Config) -> list[str]:
    async with LowerRooms.opened(config) as lower:
        upkeep = Upkeep(replace(lower.rooms, clock=lambda: datetime.now(UTC) + timedelta(days=2)))
        await lower.blobs.sweep_unfinished()
        await upkeep.delete_discarded()
        await upkeep.sweep()
        left = [blob_id async for blob_id, *_ in lower.blobs.list()]
        unkept = await lower.catalog.unkept(left)
    faults = [f"{len(unkept)} blobs are left that no row names"] if unkept else []
    if any((config.data_dir / "tmp").iterdir()):
        faults.append("unfinished files are left in tmp/")
    return faults
