"""Threads of clients that write, and remember in a ledger what was acknowledged and what was under way when the server died.

Each has keys of its own, so what it remembers is exact. What it does follows from its seed alone. Never starts or ends a server.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from torture.guarded import Expiring, Locked
from torture.ledger import Current, State, Upload, Versions, digest

PLAIN: Final = ("plain", "under-kms", "dsse")  # buckets without versioning
VERSIONED: Final = "versioned"
KEYS: Final = 8  # a writer's keys in a bucket
UPLOAD_PART: Final = 5 << 20
MOST_VERSIONS: Final = 40  # of one writer; beyond, it deletes some
SIZES: Final = (0, 1, 100, 4096, 4096, 65_480, 65_481, 200_000, 1 << 20, 3 << 20)


class Writer:
    """One client. Works in rounds until it is told to stop or a request fails; a failure while the server is up is a fault."""

    def __init__(self, number: int, key_arn: str) -> None:
        """``key_arn``: of the KMS key that objects are resealed under."""
        self.name = f"writer {number}"
        self.prefix = f"{number}/"
        self.current = Current()
        self.versions = Versions()
        self.locked = Locked(self.prefix)
        self.expiring = Expiring(self.prefix)
        self.uploads: list[Upload] = []
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._key_arn = key_arn
        self._s3: Any = None
        self._random = random.Random()

    def begin(self, s3: Any, seed: int, dying: threading.Event, stopping: threading.Event) -> threading.Thread:
        """A round. ``dying`` is set before the server is killed; from then on requests may fail."""
        self._s3, self._random, self._dying, self._stopping = s3, random.Random(seed), dying, stopping
        thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        acts = (self._put, self._put, self._put, self._delete, self._delete_many, self._copy, self._reseal)
        acts += (self._put_version, self._put_version, self._delete_version, self._upload, self._upload)
        acts += (self._guard, self._guard, self._expire, self._expire)
        while not self._stopping.is_set():
            act = self._random.choice(acts)
            try:
                act()
            except (BotoCoreError, ClientError) as error:
                if not self._dying.is_set():
                    self.faults.append(f"{self.name} {act.__name__}: {error}")
                return
            self.done[act.__name__.strip("_")] += 1

    def own_keys(self) -> list[str]:
        return [f"{self.prefix}{number}" for number in range(KEYS)]

    def _key(self) -> str:
        return self._random.choice(self.own_keys())

    def _body(self) -> bytes:
        return self._random.randbytes(self._random.choice(SIZES))

    # -------------------------------------------------------------------------------------------- buckets without versioning
    def _put(self) -> None:
        bucket, key, body = self._random.choice(PLAIN), self._key(), self._body()
        self.current.under_way(bucket, key, digest(body))
        self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        self.current.done(bucket, key, digest(body))

    def _delete(self) -> None:
        bucket, key = self._random.choice(PLAIN), self._key()
        self.current.under_way(bucket, key, None)
        self._s3.delete_object(Bucket=bucket, Key=key)
        self.current.done(bucket, key, None)

    def _delete_many(self) -> None:
        bucket, keys = self._random.choice(PLAIN), self._random.sample(self.own_keys(), 3)
        for key in keys:
            self.current.under_way(bucket, key, None)
        answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        for deleted in answer.get("Deleted", ()):
            self.current.done(bucket, deleted["Key"], None)

    def _copy(self) -> None:
        source = self._existing()
        if source is None:
            return
        bucket, key = self._random.choice(PLAIN), self._key()
        (state,) = self.current.of(*source)
        if (bucket, key) == source:
            return
        self.current.under_way(bucket, key, state)
        self._s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": source[0], "Key": source[1]})
        self.current.done(bucket, key, state)

    def _reseal(self) -> None:
        """The data key is wrapped anew; whether that happened or not, the body is the same."""
        source = self._existing()
        if source is not None and source[0] == "plain":
            sealing = {"SSES3": {}} if self._random.random() < 0.5 else {"SSEKMS": {"KMSKeyArn": self._key_arn}}
            if "SSEKMS" in sealing:
                self._s3.update_object_encryption(Bucket=source[0], Key=source[1], ObjectEncryption=sealing)

    def _existing(self) -> tuple[str, str] | None:
        sure = sorted(where for where, states in self.current.states.items() if len(states) == 1 and states != {None})
        return self._random.choice(sure) if sure else None

    # ------------------------------------------------------------------------------------------------------ a versioned bucket
    def _put_version(self) -> None:
        key, body = self._key(), self._body()
        self.versions.sent(key, digest(body))
        answer = self._s3.put_object(Bucket=VERSIONED, Key=key, Body=body)
        self.versions.added(key, answer["VersionId"], digest(body))

    def _delete_version(self) -> None:
        if len(self.versions.kept) < MOST_VERSIONS and self._random.random() < 0.5:
            key = self._key()
            self.versions.sent(key, None)
            answer = self._s3.delete_object(Bucket=VERSIONED, Key=key)
            self.versions.added(key, answer["VersionId"], None)
            return
        for key, version_id in self._random.sample(sorted(self.versions.kept), min(4, len(self.versions.kept))):
            self.versions.leaving(key, version_id)
            self._s3.delete_object(Bucket=VERSIONED, Key=key, VersionId=version_id)
            self.versions.removed(key, version_id)

    # ------------------------------------------------------------------------------------------------ locked, and expiring
    def _guard(self) -> None:
        self.locked.act(self._s3, self._random)

    def _expire(self) -> None:
        self.expiring.act(self._s3, self._random)

    def mark(self) -> None:
        """A backup is about to begin, and nothing is under way."""
        for ledger in (self.current, self.versions, self.locked, self.expiring):
            ledger.mark()

    # -------------------------------------------------------------------------------------------------------------- multipart
    def _upload(self) -> None:
        """One step of one upload: begun, a part, completed or given up. What is unfinished goes on after the crash."""
        if not self.uploads or (len(self.uploads) < 2 and self._random.random() < 0.5):
            bucket, key = self._random.choice(PLAIN), self._key()
            created = self._s3.create_multipart_upload(Bucket=bucket, Key=key)
            self.uploads.append(Upload(bucket, key, created["UploadId"]))
            return
        upload = self._random.choice(self.uploads)
        where = {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.upload_id}
        number = len(upload.parts) + 1
        if number < 3:  # a part whose end is not known is sent again
            body = self._random.randbytes(UPLOAD_PART if number == 1 else self._random.choice(SIZES[1:]))
            part = self._s3.upload_part(**where, PartNumber=number, Body=body)
            upload.parts[number] = (part["ETag"], body)
        elif self._random.random() < 0.2:
            self.uploads.remove(upload)  # whether the abortion arrives or not, nothing is to be seen of it
            self._s3.abort_multipart_upload(**where)
        else:
            state = whole(upload)
            upload.before = self.current.of(upload.bucket, upload.key)
            self.current.under_way(upload.bucket, upload.key, state)
            self._s3.complete_multipart_upload(**where, MultipartUpload={"Parts": listed(upload)})
            self.current.done(upload.bucket, upload.key, state)
            self.uploads.remove(upload)


def whole(upload: Upload) -> State:
    return digest(b"".join(body for _, body in upload.parts.values()))


def listed(upload: Upload) -> list[dict[str, object]]:
    return [{"PartNumber": number, "ETag": etag} for number, (etag, _) in upload.parts.items()]
